/* How long what LZF packed is. No byte is unpacked.
 *
 * A stream is runs of literal bytes, each behind its length, and references to bytes that were unpacked before.
 * Source: liblzf 3.6, lzf_d.c, which h5py has its filter from. */
#include "kernels.h"

enum { LITERALS = 32, LONGEST = 7, LEAST = 2 }; /* controls below are of literals; more bytes follow; of a reference */

int64_t rb_lzf_length(const uint8_t *data, int64_t size) {
    int64_t unpacked = 0;
    for (int64_t at = 0; at < size;) {
        int64_t control = data[at++];
        if (control < LITERALS) {
            if (size - at < control + 1)
                return -1;
            at += control + 1;
            unpacked += control + 1;
            continue;
        }
        int64_t length = control >> 5;
        if (size - at < 1 + (length == LONGEST))
            return -1;
        if (length == LONGEST)
            length += data[at++];
        int64_t back = ((control & 31) << 8) + data[at++] + 1;
        if (back > unpacked)
            return -1;
        unpacked += length + LEAST;
    }
    return unpacked;
}
