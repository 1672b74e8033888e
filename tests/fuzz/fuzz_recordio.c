/* RecordIO: scanning in blocks, walking from head to head, finding records again, and writing agree about any bytes. */
#include "fuzz.h"

enum { HEADER = 24 };

/* The walk over the same bytes finds the same heads, sizes and first bytes, and stops at the same place. */
static void check_walk(const uint8_t *data, int64_t size, int64_t window, const struct scanned *whole) {
    struct rb_walk walk = {.record = -1};
    struct rb_scan result;
    int64_t row = 0, head, length;
    uint8_t header[HEADER];
    while (1) {
        int64_t origin = walk.next, seen = size - origin < window ? size - origin : window;
        uint8_t *view = copy_of(data + origin, seen);
        rb_walk_recordio(view, origin, seen, size, &walk, 1, &head, &length, header, &result);
        free(view);
        if (result.fault != RB_OK || (result.count == 0 && walk.next == size && walk.record < 0))
            break;
        if (result.count == 0) {
            MUST(walk.next > origin); /* 32 bytes are enough for a head and what is kept behind it */
            continue;
        }
        MUST(row < whole->result.count && length == whole->lengths[row] && head == whole->starts[row] - 8);
        MUST(memcmp(header, whole->data + whole->starts[row], (size_t)(length < HEADER ? length : HEADER)) == 0);
        row++;
    }
    MUST(row == whole->result.count && result.fault == whole->result.fault);
    MUST(result.fault == RB_OK || walk.next == whole->result.position);
}

/* What is written of the payloads is read back as the same. */
static void check_frame(const struct scanned *whole) {
    int64_t rows = whole->result.count, room = 0, written;
    for (int64_t row = 0; row < rows; row++)
        room += 2 * whole->lengths[row] + 16; /* every word may be a magic, which takes a header in its place */
    uint8_t *out = room_of(room, 1);
    int64_t *heads = numbers(rows);
    struct rb_spans payloads = {whole->data, whole->starts, whole->lengths};
    int fault;
    MUST(rb_frame_recordio(&payloads, 1, 0, rows, 1, out, room, heads, &written, &fault) == rows && fault == RB_OK);
    struct scanned again = scan_of(rb_scan_recordio, out, written, 1, rows + 1);
    MUST(again.result.count == rows && again.result.fault == RB_OK);
    for (int64_t row = 0; row < rows; row++)
        MUST(is_payload(&again, row, whole, row));
    uint8_t *exact = room_of(written, 1); /* as much room as it takes, and one byte less, which is one record less */
    int64_t same;
    MUST(rb_frame_recordio(&payloads, 1, 0, rows, 1, exact, written, heads, &same, &fault) == rows && same == written);
    MUST(memcmp(exact, out, (size_t)written) == 0);
    if (written)
        MUST(rb_frame_recordio(&payloads, 1, 0, rows, 1, exact, written - 1, heads, &same, &fault) == rows - 1);
    free(exact);
    let_go(&again);
    free(heads);
    free(out);
}

static void check_resync(const uint8_t *data, int64_t size, int64_t start) {
    uint8_t *exact = copy_of(data, size);
    int decided;
    int64_t at = rb_resync_recordio(exact, start, size, 1, &decided);
    MUST(decided && at >= start && (at <= size || start > size - 3));
    at = rb_resync_recordio(exact, start, size, 0, &decided);
    MUST(at >= start && (!decided || at < size));
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_size) {
    if (input_size < 4)
        return 0;
    const uint8_t *data = input + 4;
    int64_t size = (int64_t)input_size - 4, place = input[0] | input[1] << 8;
    struct scanned whole = scan_of(rb_scan_recordio, data, size, 1, size / 8 + 1);
    check_blocks(rb_scan_recordio, data, size, place % (size + 1), input[2] % 7 + 1, &whole);
    check_walk(data, size, 32 + input[3], &whole);
    check_frame(&whole);
    check_resync(data, size, place % (size + 1));
    let_go(&whole);
    return 0;
}
