/* Framing of RecordIO and TFRecord, and moving spans. The formats: formats/recordio.py, formats/tfrecord.py. */
#define _POSIX_C_SOURCE 200809L /* pread */
#define _FILE_OFFSET_BITS 64

#include "kernels.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Bytes are put together by shifts: little-endian on any machine, and one load where the machine is. */
static uint32_t load_u32(const uint8_t *data) {
    return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
}

static uint64_t load_u64(const uint8_t *data) { return load_u32(data) | (uint64_t)load_u32(data + 4) << 32; }

static void store_u32(uint8_t *data, uint32_t value) {
    for (int i = 0; i < 4; i++)
        data[i] = (uint8_t)(value >> 8 * i);
}

static void store_u64(uint8_t *data, uint64_t value) {
    store_u32(data, (uint32_t)value);
    store_u32(data + 4, (uint32_t)(value >> 32));
}

/* ---- RecordIO ---- */

enum { PART_HEADER = 8, IMAGE_HEADER = 24 };
static const uint32_t MAGIC = 0xced7230au;

static int part_flag(const uint8_t *part) { return (int)(load_u32(part + 4) >> 29); }
static int64_t part_length(const uint8_t *part) { return load_u32(part + 4) & 0x1fffffffu; }
static int64_t padded(int64_t length) { return (length + 3) & ~(int64_t)3; }

/* What is wrong with the head of a part, 8 bytes of which are there; open: a record waits for its next part. */
static int check_head(const uint8_t *part, int open) {
    if (load_u32(part) != MAGIC)
        return RB_BAD_MAGIC;
    int flag = part_flag(part);
    if (flag > 3)
        return RB_BAD_FLAG;
    if (!open && flag >= 2)
        return RB_ORPHAN_PART;
    if (open && flag < 2)
        return RB_UNFINISHED_RECORD;
    return RB_OK;
}

/* Move the parts of the record at head together, with the magics between them; return the payload's length.
 * A part only moves left, by the 4 bytes of each length word before it, so the heads after it stay whole. */
static int64_t join_parts(uint8_t *data, int64_t head) {
    int64_t length = part_length(data + head), part = head + PART_HEADER + padded(length);
    int flag;
    do {
        flag = part_flag(data + part);
        int64_t more = part_length(data + part), body = part + PART_HEADER;
        uint8_t *end = data + head + PART_HEADER + length;
        store_u32(end, MAGIC);
        memmove(end + 4, data + body, (size_t)more);
        length += 4 + more;
        part = body + padded(more);
    } while (flag == 2);
    return length;
}

void rb_scan_recordio(uint8_t *data, int64_t start, int64_t size, int final, int64_t capacity, int64_t *starts,
                      int64_t *lengths, struct rb_scan *result) {
    int64_t count = 0, record = start, wanted = start, part = start;
    int fault = RB_OK, open = 0;
    while (count < capacity || open) {
        wanted = part;
        if (part == size && !open)
            break;
        if (size - part < PART_HEADER) {
            if (final)
                fault = part == size ? RB_UNFINISHED_RECORD : RB_TRUNCATED_HEADER;
            wanted = part + PART_HEADER;
            break;
        }
        if ((fault = check_head(data + part, open)))
            break;
        int64_t body = part_length(data + part);
        int flag = part_flag(data + part);
        wanted = part + PART_HEADER + padded(body);
        if (wanted > size) {
            if (final)
                fault = RB_TRUNCATED_BODY;
            break;
        }
        part = wanted;
        open = flag == 1 || flag == 2;
        if (open)
            continue;
        starts[count] = record + PART_HEADER;
        lengths[count++] = flag == 0 ? body : join_parts(data, record);
        record = part;
    }
    *result = (struct rb_scan){count, record, wanted, fault, part};
}

/* Take what belongs to the first 24 bytes of the payload out of `size` bytes that follow in it. */
static void keep_header(struct rb_walk *walk, const uint8_t *data, int64_t size) {
    int64_t room = IMAGE_HEADER - walk->got, take = size < room ? size : room;
    memcpy(walk->header + walk->got, data, (size_t)take);
    walk->got += take;
}

void rb_walk_recordio(const uint8_t *window, int64_t origin, int64_t size, int64_t file_size, struct rb_walk *walk,
                      int64_t capacity, int64_t *heads, int64_t *lengths, uint8_t *headers, struct rb_scan *result) {
    static const uint8_t MAGIC_BYTES[4] = {0x0a, 0x23, 0xd7, 0xce};
    int64_t count = 0;
    int fault = RB_OK;
    while (count < capacity) {
        int open = walk->record >= 0;
        int64_t part = walk->next, at = part - origin;
        if (part == file_size && !open)
            break;
        if (file_size - part < PART_HEADER) {
            fault = part == file_size ? RB_UNFINISHED_RECORD : RB_TRUNCATED_HEADER;
            break;
        }
        if (at < 0 || size - at < PART_HEADER)
            break;
        if ((fault = check_head(window + at, open)))
            break;
        int64_t length = part_length(window + at);
        if (file_size - part - PART_HEADER < padded(length)) {
            fault = RB_TRUNCATED_BODY;
            break;
        }
        int64_t got = walk->got + (open ? 4 : 0); /* a magic comes first */
        int64_t room = got < IMAGE_HEADER ? IMAGE_HEADER - got : 0;
        if (size - at - PART_HEADER < (length < room ? length : room))
            break;
        if (open) {
            keep_header(walk, MAGIC_BYTES, 4);
            walk->length += 4;
        } else {
            walk->record = part;
        }
        keep_header(walk, window + at + PART_HEADER, length);
        walk->length += length;
        walk->next = part + PART_HEADER + padded(length);
        int flag = part_flag(window + at);
        if (flag == 1 || flag == 2)
            continue;
        heads[count] = walk->record;
        lengths[count] = walk->length;
        memcpy(headers + IMAGE_HEADER * count++, walk->header, IMAGE_HEADER);
        *walk = (struct rb_walk){.next = walk->next, .record = -1};
    }
    *result = (struct rb_scan){count, walk->next, walk->next, fault, walk->next};
}

int64_t rb_resync_recordio(const uint8_t *data, int64_t start, int64_t size, int final, int *decided) {
    int64_t at = padded(start);
    for (*decided = 0; size - at >= PART_HEADER; at += 4) {
        if (load_u32(data + at) != MAGIC || part_flag(data + at) > 1)
            continue;
        int flag = part_flag(data + at);
        int64_t end = at + PART_HEADER + padded(part_length(data + at));
        if (size - end < PART_HEADER) { /* nothing to see behind it, or not yet */
            if (!final)
                return at;
            if (end > size || flag == 1)
                continue;
            *decided = 1;
            return at;
        }
        int follows = load_u32(data + end) == MAGIC ? part_flag(data + end) : 4;
        if (flag == 0 ? follows > 1 : follows != 2 && follows != 3)
            continue;
        *decided = 1;
        return at;
    }
    if (final) {
        *decided = 1;
        return size;
    }
    return at;
}

/* Cut the record at `head` of out (a whole part, flag 0) into parts at each aligned magic; return its new size, or -1 if
 * it would not fit. Works from the end to the front, as the record grows by 4 bytes with each magic. */
static int64_t escape_record(uint8_t *out, int64_t head, int64_t length, int64_t magics, int64_t capacity) {
    int64_t last = head + PART_HEADER + length + 4 * magics, end = length;
    if (head + PART_HEADER + padded(length) + 4 * magics > capacity)
        return -1;
    uint8_t *payload = out + head + PART_HEADER;
    uint32_t flag = 3;
    for (int64_t at = (length - 4) & ~(int64_t)3; magics > 0; at -= 4) {
        if (load_u32(payload + at) != MAGIC)
            continue;
        int64_t size = end - at - 4; /* what follows this magic becomes a part of its own */
        memmove(out + last - size, payload + at + 4, (size_t)size);
        store_u32(out + last - size - 8, MAGIC);
        store_u32(out + last - size - 4, flag << 29 | (uint32_t)size);
        last -= size + 8;
        end = at;
        flag = 2;
        magics--;
    }
    store_u32(out + head + 4, 1u << 29 | (uint32_t)end);
    return 0;
}

int64_t rb_frame_recordio(const struct rb_spans *pieces, int num_pieces, int64_t first, int64_t rows, int escape,
                          uint8_t *out, int64_t capacity, int64_t *heads, int64_t *written, int *fault) {
    int64_t row = first, head = 0;
    for (*fault = RB_OK; row < rows; row++) {
        int64_t length = 0, magics = 0;
        for (int p = 0; p < num_pieces && length <= RB_RECORDIO_LIMIT; p++)
            length += pieces[p].lengths[row];
        if (length > RB_RECORDIO_LIMIT) {
            *fault = RB_TOO_LONG;
            break;
        }
        if (capacity - head < PART_HEADER + padded(length))
            break;
        uint8_t *payload = out + head + PART_HEADER, *to = payload;
        for (int p = 0; p < num_pieces; p++) {
            memcpy(to, pieces[p].base + pieces[p].starts[row], (size_t)pieces[p].lengths[row]);
            to += pieces[p].lengths[row];
        }
        for (int64_t at = 0; escape && at + 4 <= length; at += 4)
            magics += load_u32(payload + at) == MAGIC;
        store_u32(out + head, MAGIC);
        store_u32(out + head + 4, (uint32_t)length);
        if (magics && escape_record(out, head, length, magics, capacity) < 0)
            break;
        int64_t end = head + PART_HEADER + length + 4 * magics;
        memset(out + end, 0, (size_t)(padded(length) - length));
        heads[row - first] = head;
        head = end + padded(length) - length;
    }
    *written = head;
    return row - first;
}

/* ---- TFRecord ---- */

enum { LENGTH_HEADER = 12, FRAME = 16 };
static const int64_t NO_LENGTH = (int64_t)1 << 62; /* above any file: keeps sums of offsets within int64 */

/* The length in a record's head, or -1 where its checksum does not fit. */
static int64_t frame_length(const uint8_t *head) {
    if (load_u32(head + 8) != rb_mask_crc(rb_crc32c(0, head, 8)))
        return -1;
    uint64_t length = load_u64(head);
    return length < (uint64_t)NO_LENGTH ? (int64_t)length : NO_LENGTH;
}

static int payload_is_sound(const uint8_t *head, int64_t length) {
    const uint8_t *payload = head + LENGTH_HEADER;
    return load_u32(payload + length) == rb_mask_crc(rb_crc32c(0, payload, length));
}

void rb_scan_tfrecord(const uint8_t *data, int64_t start, int64_t size, int final, int64_t capacity, int64_t *starts,
                      int64_t *lengths, struct rb_scan *result) {
    int64_t count = 0, head = start, wanted = start;
    int fault = RB_OK;
    while (count < capacity) {
        wanted = head;
        if (head == size)
            break;
        if (size - head < LENGTH_HEADER) {
            fault = final ? RB_TRUNCATED_HEADER : RB_OK;
            wanted = head + LENGTH_HEADER;
            break;
        }
        int64_t length = frame_length(data + head);
        if (length < 0) {
            fault = RB_BAD_LENGTH_CRC;
            break;
        }
        if (size - head - FRAME < length) {
            fault = final ? RB_TRUNCATED_BODY : RB_OK;
            wanted = length < NO_LENGTH - head - FRAME ? head + FRAME + length : NO_LENGTH;
            break;
        }
        if (!payload_is_sound(data + head, length)) {
            fault = RB_BAD_DATA_CRC;
            break;
        }
        starts[count] = head + LENGTH_HEADER;
        lengths[count++] = length;
        wanted = head += FRAME + length;
    }
    *result = (struct rb_scan){count, head, wanted, fault, head};
}

void rb_walk_tfrecord(const uint8_t *window, int64_t origin, int64_t size, int64_t file_size, int64_t next,
                      int64_t capacity, int64_t *heads, int64_t *lengths, struct rb_scan *result) {
    int64_t count = 0;
    int fault = RB_OK;
    while (count < capacity && next != file_size) {
        if (file_size - next < LENGTH_HEADER) {
            fault = RB_TRUNCATED_HEADER;
            break;
        }
        if (next < origin || size - (next - origin) < LENGTH_HEADER)
            break;
        int64_t length = frame_length(window + (next - origin));
        if (length < 0 || file_size - next - FRAME < length) {
            fault = length < 0 ? RB_BAD_LENGTH_CRC : RB_TRUNCATED_BODY;
            break;
        }
        heads[count] = next;
        lengths[count++] = length;
        next += FRAME + length;
    }
    *result = (struct rb_scan){count, next, next, fault, next};
}

int64_t rb_resync_tfrecord(const uint8_t *data, int64_t start, int64_t size, int final, int *decided) {
    int64_t at = start;
    for (*decided = 0; size - at >= LENGTH_HEADER; at++) {
        int64_t length = frame_length(data + at);
        if (length < 0)
            continue;
        int fits = size - at - FRAME >= length;
        if (!fits && !final)
            return at;
        if (!fits || !payload_is_sound(data + at, length))
            continue;
        *decided = 1;
        return at;
    }
    if (final) {
        *decided = 1;
        return size;
    }
    return at;
}

int64_t rb_frame_tfrecord(const struct rb_spans *piece, int64_t first, int64_t rows, uint8_t *out, int64_t capacity,
                          int64_t *heads, int64_t *written, int *fault) {
    int64_t row = first, head = 0;
    *fault = RB_OK;
    for (; row < rows; row++) {
        int64_t length = piece->lengths[row];
        if (capacity - head - FRAME < length)
            break;
        uint8_t *payload = out + head + LENGTH_HEADER;
        memcpy(payload, piece->base + piece->starts[row], (size_t)length);
        rb_seal_tfrecord(out + head, length);
        heads[row - first] = head;
        head += FRAME + length;
    }
    *written = head;
    return row - first;
}

void rb_seal_tfrecord(uint8_t *head, int64_t length) {
    uint8_t *payload = head + LENGTH_HEADER;
    store_u64(head, (uint64_t)length);
    store_u32(head + 8, rb_mask_crc(rb_crc32c(0, head, 8)));
    store_u32(payload + length, rb_mask_crc(rb_crc32c(0, payload, length)));
}

/* ---- spans ---- */

void rb_gather_spans(const struct rb_spans *spans, int64_t rows, uint8_t *out) {
    for (int64_t row = 0; row < rows; row++) {
        memcpy(out, spans->base + spans->starts[row], (size_t)spans->lengths[row]);
        out += spans->lengths[row];
    }
}

static uint32_t digest_number(uint32_t crc, int64_t number) {
    uint8_t bytes[8];
    store_u64(bytes, (uint64_t)number);
    return rb_crc32c(crc, bytes, 8);
}

static uint32_t digest_value(uint32_t crc, const struct rb_spans *spans, int64_t i) {
    return rb_crc32c(digest_number(crc, spans->lengths[i]), spans->base + spans->starts[i], spans->lengths[i]);
}

void rb_digest_rows(const struct rb_spans *spans, const int64_t *list_starts, const int64_t *list_lengths,
                    int64_t rows, uint32_t *crcs) {
    for (int64_t row = 0; row < rows; row++) {
        if (!list_starts) {
            crcs[row] = digest_value(crcs[row], spans, row);
            continue;
        }
        crcs[row] = digest_number(crcs[row], list_lengths[row]);
        for (int64_t i = 0; i < list_lengths[row]; i++)
            crcs[row] = digest_value(crcs[row], spans, list_starts[row] + i);
    }
}

int64_t rb_read_spans(int fd, const int64_t *offsets, const int64_t *lengths, int64_t rows, uint8_t *out,
                      int *error) {
    *error = 0;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t done = 0; done < lengths[row];) {
            ssize_t got = pread(fd, out + done, (size_t)(lengths[row] - done), (off_t)(offsets[row] + done));
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0) {
                *error = got < 0 ? errno : 0;
                return row;
            }
            done += got;
        }
        out += lengths[row];
    }
    return rows;
}

/* A decimal integer without leading zeros, up to 18 digits; at the byte behind it, or -1. */
static int64_t read_decimal(const uint8_t *text, int64_t at, int64_t size, int64_t *value) {
    int64_t first = at;
    *value = 0;
    for (; at < size && text[at] >= '0' && text[at] <= '9'; at++) {
        if (at - first == 18)
            return -1;
        *value = 10 * *value + (text[at] - '0');
    }
    int64_t digits = at - first;
    return digits == 0 || (digits > 1 && text[first] == '0') ? -1 : at;
}

int64_t rb_parse_index(const uint8_t *text, int64_t size, int64_t capacity, int64_t *keys, int64_t *offsets,
                       int64_t *parsed) {
    int64_t count = 0, at = 0;
    for (*parsed = 0; count < capacity && at < size; *parsed = at) {
        at = read_decimal(text, at, size, &keys[count]);
        if (at < 0 || at == size || text[at] != '\t')
            break;
        at = read_decimal(text, at + 1, size, &offsets[count]);
        if (at < 0 || (at < size && text[at] != '\n'))
            break;
        at += at < size;
        count++;
    }
    return count;
}
