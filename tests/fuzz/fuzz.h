/* What the fuzz targets share: inputs in memory of their exact size, so that a sanitizer sees one byte too far. */
#ifndef RECORDIO_BRIDGE_FUZZ_H
#define RECORDIO_BRIDGE_FUZZ_H

#include "../../recordio_bridge/_native/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A promise of the kernels; libFuzzer keeps the input that breaks one. */
#define MUST(promise)                                                              \
    do {                                                                           \
        if (!(promise)) {                                                          \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #promise);  \
            abort();                                                               \
        }                                                                          \
    } while (0)

static inline void *room_of(int64_t count, size_t size) {
    void *room = malloc((size_t)count * size);
    MUST(room != NULL || count == 0);
    return room;
}

static inline int64_t *numbers(int64_t count) { return room_of(count, sizeof(int64_t)); }

static inline uint8_t *copy_of(const uint8_t *data, int64_t size) {
    uint8_t *copy = room_of(size, 1);
    if (size)
        memcpy(copy, data, (size_t)size);
    return copy;
}

/* The payloads that a scan found, and what it said. */
struct scanned {
    uint8_t *data;
    int64_t *starts, *lengths;
    struct rb_scan result;
};

typedef void scan_kernel(uint8_t *data, int64_t start, int64_t size, int final, int64_t capacity, int64_t *starts,
                         int64_t *lengths, struct rb_scan *result);

static inline struct scanned scan_of(scan_kernel *scan, const uint8_t *data, int64_t size, int final, int64_t capacity) {
    struct scanned found = {copy_of(data, size), numbers(capacity), numbers(capacity), {0, 0, 0, 0, 0}};
    scan(found.data, 0, size, final, capacity, found.starts, found.lengths, &found.result);
    const struct rb_scan *result = &found.result;
    MUST(result->count >= 0 && result->count <= capacity);
    MUST(result->consumed >= 0 && result->consumed <= size);
    MUST(result->fault == RB_OK || (result->position >= result->consumed && result->position <= size));
    MUST(!final || result->fault != RB_OK || result->count == capacity || result->consumed == size);
    for (int64_t row = 0, end = 0; row < result->count; row++) {
        MUST(found.starts[row] >= end && found.lengths[row] >= 0);
        end = found.starts[row] + found.lengths[row];
        MUST(end <= result->consumed);
    }
    return found;
}

static inline void let_go(struct scanned *found) {
    free(found->data);
    free(found->starts);
    free(found->lengths);
}

static inline int is_payload(const struct scanned *found, int64_t row, const struct scanned *other, int64_t other_row) {
    int64_t length = found->lengths[row];
    return length == other->lengths[other_row] &&
           memcmp(found->data + found->starts[row], other->data + other->starts[other_row], (size_t)length) == 0;
}

/* Scanned in two blocks, cut anywhere, and then a few records at a time, a file has the same records and the same fault. */
static inline void check_blocks(scan_kernel *scan, const uint8_t *data, int64_t size, int64_t cut, int64_t few,
                                const struct scanned *whole) {
    int64_t at = 0, row = 0;
    while (1) {
        int final = at > 0 || cut == size;
        struct scanned part = scan_of(scan, data + at, final ? size - at : cut, final, few);
        MUST(part.result.count <= whole->result.count - row);
        for (int64_t i = 0; i < part.result.count; i++)
            MUST(is_payload(&part, i, whole, row + i));
        row += part.result.count;
        int ends = part.result.fault != RB_OK || (final && part.result.count < few);
        if (part.result.fault != RB_OK)
            MUST(part.result.fault == whole->result.fault && at + part.result.position == whole->result.position);
        int stuck = !ends && part.result.consumed == 0; /* the first block holds no whole record */
        at += part.result.consumed;
        let_go(&part);
        if (ends)
            break;
        if (stuck)
            cut = size;
    }
    MUST(row == whole->result.count && at == whole->result.consumed);
}

#endif
