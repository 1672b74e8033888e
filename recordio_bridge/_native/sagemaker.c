/* SageMaker's Record on the wire, many at a time (record.proto; the drawing is in sagemaker.py).
 * Stricter than Examples: a field that record.proto does not have is a fault, as no column could keep it. */
#include "wire.h"

#include <string.h>

enum { FEATURES = 1, LABEL = 2, UID = 3, CONFIGURATION = 5 }; /* fields of a Record; 3 to 5 are texts */
enum { PARTS = 3 };  /* a tensor has values, keys and shape; Bytes has values and a content type */

/* ---- finding ---- */

/* The next field of any wire type: 1, or 0 at the end of the message, or -1. */
static inline int next_field(struct span *from, uint32_t *number, int *wire, struct span *value) {
    if (from->at == from->end)
        return 0;
    if (read_tag(from, number, wire))
        return -1;
    if (*wire == BYTES)
        return read_bytes(from, value) ? -1 : 1;
    value->at = from->at;
    if (skip_field(from, *number, *wire))
        return -1;
    value->end = from->at;
    return 1;
}

/* Key and value of an entry of a map; both have a default: nothing. Return a fault. */
static int open_entry(struct span entry, struct span *key, struct span *value) {
    uint32_t number;
    int wire, found, has_value = 0;
    struct span field;
    *key = *value = (struct span){entry.end, entry.end};
    while ((found = next_field(&entry, &number, &wire, &field)) > 0) {
        if (wire != BYTES || number > 2)
            return RB_UNKNOWN_FIELD;
        if (number == 2 && has_value++)
            return RB_REPEATED_VALUE; /* protobuf would merge the two, and one span cannot say that */
        *(number == 1 ? key : value) = field;
    }
    return found < 0 ? RB_BAD_MESSAGE : RB_OK;
}

static int find_in_record(struct span record, const uint8_t *base, const struct rb_key *names, int num_names, int learn,
                          int64_t *starts, int64_t *lengths, struct rb_name *at) {
    uint32_t number;
    int wire, found, likely = 0;
    struct span field;
    for (int k = 0; k < num_names; k++) {
        starts[k] = -1;
        lengths[k] = 0;
    }
    while (at->start = record.at - base, (found = next_field(&record, &number, &wire, &field)) > 0) {
        struct span key = {field.at, field.at};
        if (wire != BYTES || number > CONFIGURATION)
            return RB_UNKNOWN_FIELD;
        if (number < UID) {
            struct span entry = field;
            int fault = open_entry(entry, &key, &field);
            if (fault)
                return fault;
        }
        uint8_t kind = (uint8_t)number;
        int k = index_of_key(names, num_names, likely, (struct span){&kind, &kind + 1}, key);
        if (k >= 0) {
            starts[k] = field.at - base;
            lengths[k] = field.end - field.at;
            likely = k + 1 < num_names ? k + 1 : 0;
        } else if (learn) {
            *at = (struct rb_name){number, key.at - base, key.end - key.at};
            return RB_UNKNOWN_KEY;
        }
    }
    return found < 0 ? RB_BAD_MESSAGE : RB_OK;
}

int64_t rb_find_values(const struct rb_spans *payloads, int64_t rows, const struct rb_key *names, int num_names, int learn,
                       int64_t *starts, int64_t *lengths, int *fault, struct rb_name *at) {
    int64_t row = 0;
    *fault = RB_OK;
    *at = (struct rb_name){0, 0, 0};
    for (; row < rows; row++) {
        const uint8_t *payload = payloads->base + payloads->starts[row];
        struct span record = {payload, payload + payloads->lengths[row]};
        *fault = find_in_record(record, payloads->base, names, num_names, learn, starts + row * num_names,
                                lengths + row * num_names, at);
        if (*fault)
            break;
    }
    return row;
}

/* ---- counting ---- */

/* How many bytes each number of a part takes: 0 for varints. */
static int width_of(int kind, uint32_t part) {
    return part != 1 ? 0 : kind == RB_FLOAT32_TENSOR ? 4 : kind == RB_FLOAT64_TENSOR ? 8 : 0;
}

/* The next run of numbers of a tensor, packed or a single one, and its part: a fault, with part 0 at the end. */
static inline int next_numbers(struct span *tensor, int kind, uint32_t *part, struct span *run) {
    int wire, found = next_field(tensor, part, &wire, run);
    if (found <= 0) {
        *part = 0;
        return found < 0 ? RB_BAD_MESSAGE : RB_OK;
    }
    if (*part > PARTS)
        return RB_UNKNOWN_FIELD;
    int width = width_of(kind, *part), single = width == 4 ? FIXED32 : width == 8 ? FIXED64 : VARINT;
    return wire == BYTES || wire == single ? RB_OK : RB_UNKNOWN_FIELD;
}

static int count_tensor(struct span tensor, int kind, int64_t *counts) {
    uint32_t part;
    struct span run;
    for (;;) {
        int fault = next_numbers(&tensor, kind, &part, &run);
        if (fault || part == 0)
            return fault;
        int width = width_of(kind, part);
        if (width == 0 && (fault = count_varints(run, &counts[part - 1])))
            return fault;
        if (width && (run.end - run.at) % width)
            return RB_BAD_LIST;
        if (width)
            counts[part - 1] += (run.end - run.at) / width;
    }
}

static int count_bytes(struct span bytes, int64_t *counts) {
    uint32_t number;
    int wire, found;
    struct span value;
    while ((found = next_field(&bytes, &number, &wire, &value)) > 0) {
        if (wire != BYTES || number > 2)
            return RB_UNKNOWN_FIELD;
        counts[number - 1] = number == 1 ? counts[0] + 1 : 1; /* of content types the last counts */
    }
    return found < 0 ? RB_BAD_MESSAGE : RB_OK;
}

/* The next tensor or Bytes of a Value: its kind, or 0 at the end, or minus a fault. */
static inline int next_content(struct span *value, struct span *content) {
    uint32_t number;
    int wire, found = next_field(value, &number, &wire, content);
    if (found <= 0)
        return found < 0 ? -RB_BAD_MESSAGE : 0;
    int known = number == RB_FLOAT32_TENSOR || number == RB_FLOAT64_TENSOR || number == RB_INT32_TENSOR ||
                number == RB_BYTES_VALUE;
    return wire == BYTES && known ? (int)number : -RB_UNKNOWN_FIELD;
}

static int count_value(struct span value, uint8_t *kind, int64_t *counts) {
    struct span content;
    *kind = 0;
    memset(counts, 0, PARTS * sizeof *counts);
    for (;;) {
        int next = next_content(&value, &content), fault;
        if (next <= 0)
            return -next;
        if (next != *kind)
            memset(counts, 0, PARTS * sizeof *counts); /* a oneof: what was set last stays */
        *kind = (uint8_t)next;
        fault = next == RB_BYTES_VALUE ? count_bytes(content, counts) : count_tensor(content, next, counts);
        if (fault)
            return fault;
    }
}

int64_t rb_count_tensors(const struct rb_spans *values, int64_t rows, uint8_t *kinds, int64_t *counts, int *fault) {
    int64_t row = 0;
    for (*fault = RB_OK; row < rows; row++)
        if ((*fault = count_value(span_of(values, row), &kinds[row], counts + PARTS * row)))
            break;
    return row;
}

/* ---- filling; what is read here was counted before, so there are no faults ---- */

struct room {
    uint8_t *out;
    int64_t left; /* bytes */
};

/* Append the numbers of a run; -1 where there is no room. */
static inline int take_numbers_of(struct span run, int width, int stored, struct room *room) {
    if (width) {
        int64_t size = run.end - run.at;
        if (size > room->left)
            return -1;
        memcpy(room->out, run.at, (size_t)size);
        *room = (struct room){room->out + size, room->left - size};
        return 0;
    }
    uint64_t number;
    while (run.at < run.end) {
        if (read_varint(&run, &number) || room->left < stored)
            return -1;
        for (int i = 0; i < stored; i++)
            room->out[i] = (uint8_t)(number >> 8 * i);
        *room = (struct room){room->out + stored, room->left - stored};
    }
    return 0;
}

int64_t rb_fill_tensors(const struct rb_spans *values, int64_t rows, int kind, int part, int64_t size, uint8_t *out) {
    int width = width_of(kind, (uint32_t)part), stored = width ? width : part == 1 ? 4 : 8;
    struct room room = {out, size};
    uint32_t next;
    for (int64_t row = 0; row < rows; row++) {
        struct span value = span_of(values, row), tensor, run;
        if (settle(&value, next_content) != kind)
            continue;
        while (next_content(&value, &tensor) > 0)
            while (next_numbers(&tensor, kind, &next, &run) == RB_OK && next)
                if ((int)next == part && take_numbers_of(run, width, stored, &room))
                    return -1;
    }
    return room.left == 0 ? size : -1;
}

int64_t rb_fill_texts(const struct rb_spans *values, int64_t rows, int part, int64_t capacity, int64_t *starts,
                      int64_t *lengths) {
    int64_t taken = 0;
    for (int64_t row = 0; row < rows; row++) {
        struct span value = span_of(values, row), content, text;
        int64_t before = taken;
        uint32_t number;
        int wire;
        if (settle(&value, next_content) != RB_BYTES_VALUE)
            continue;
        while (next_content(&value, &content) > 0)
            while (next_field(&content, &number, &wire, &text) > 0) {
                if ((int)number != part)
                    continue;
                if (part == 2)
                    taken = before; /* the last content type counts */
                if (taken == capacity)
                    return -1;
                starts[taken] = text.at - values->base;
                lengths[taken++] = text.end - text.at;
            }
    }
    return taken == capacity ? capacity : -1;
}
