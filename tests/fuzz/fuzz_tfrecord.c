/* TFRecord: scanning in blocks, walking from head to head, finding records again, and writing agree about any bytes. */
#include "fuzz.h"

enum { LENGTH_HEADER = 12, FRAME = 16 };

static void scan(uint8_t *data, int64_t start, int64_t size, int final, int64_t capacity, int64_t *starts,
                 int64_t *lengths, struct rb_scan *result) {
    rb_scan_tfrecord(data, start, size, final, capacity, starts, lengths, result);
}

/* Put checksums where lengths fit, as no mutation hits two of 32 bits: `sound` of 256 records have right ones. */
static void seal(uint8_t *data, int64_t size, uint8_t sound) {
    for (int64_t head = 0; size - head >= FRAME;) {
        int64_t length = data[head] | data[head + 1] << 8;
        memset(data + head + 2, 0, 6);
        if (length > size - head - FRAME)
            length = data[head] % (size - head - FRAME + 1);
        if (data[head + 8] > sound)
            return;
        rb_seal_tfrecord(data + head, length);
        head += FRAME + length;
    }
}

static void check_walk(const uint8_t *data, int64_t size, int64_t window, const struct scanned *whole) {
    struct rb_scan result;
    int64_t next = 0, row = 0, head, length;
    while (1) {
        int64_t seen = size - next < window ? size - next : window;
        uint8_t *view = copy_of(data + next, seen);
        rb_walk_tfrecord(view, next, seen, size, next, 1, &head, &length, &result);
        free(view);
        if (result.fault != RB_OK || result.count == 0)
            break;
        if (row == whole->result.count) { /* it does not read the payload, so not its checksum either */
            MUST(whole->result.fault == RB_BAD_DATA_CRC && head == whole->result.position);
            return;
        }
        MUST(length == whole->lengths[row] && head == whole->starts[row] - LENGTH_HEADER);
        MUST(result.consumed > next);
        next = result.consumed;
        row++;
    }
    MUST(row == whole->result.count && result.fault == whole->result.fault && result.position == whole->result.position);
}

static void check_frame(const struct scanned *whole) {
    int64_t rows = whole->result.count, room = 0, written;
    for (int64_t row = 0; row < rows; row++)
        room += whole->lengths[row] + FRAME;
    uint8_t *out = room_of(room, 1);
    int64_t *heads = numbers(rows);
    struct rb_spans payloads = {whole->data, whole->starts, whole->lengths};
    int fault;
    MUST(rb_frame_tfrecord(&payloads, 0, rows, out, room, heads, &written, &fault) == rows && written == room);
    MUST(written == whole->result.consumed && memcmp(out, whole->data, (size_t)written) == 0);
    if (written)
        MUST(rb_frame_tfrecord(&payloads, 0, rows, out, room - 1, heads, &written, &fault) == rows - 1);
    free(heads);
    free(out);
}

static void check_resync(const uint8_t *data, int64_t size, int64_t start) {
    uint8_t *exact = copy_of(data, size);
    int decided;
    int64_t at = rb_resync_tfrecord(exact, start, size, 1, &decided);
    MUST(decided && at >= start && at <= size);
    if (at < size) { /* what it found is a record */
        struct scanned found = scan_of(scan, data + at, size - at, 1, 1);
        MUST(found.result.count == 1);
        let_go(&found);
    }
    at = rb_resync_tfrecord(exact, start, size, 0, &decided);
    MUST(at >= start && at <= size);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_size) {
    if (input_size < 5)
        return 0;
    int64_t size = (int64_t)input_size - 5, place = input[0] | input[1] << 8;
    uint8_t *data = copy_of(input + 5, size);
    if (input[4])
        seal(data, size, input[4]);
    struct scanned whole = scan_of(scan, data, size, 1, size / FRAME + 1);
    check_blocks(scan, data, size, place % (size + 1), input[2] % 7 + 1, &whole);
    check_walk(data, size, LENGTH_HEADER + input[3], &whole);
    check_frame(&whole);
    check_resync(data, size, place % (size + 1));
    let_go(&whole);
    free(data);
    return 0;
}
