/* Reading protobuf's wire format, and Examples on it. Inline, as each reader is called for every field of every record.
 * A cursor into a message is a struct span; nothing here looks beyond its end. */
#ifndef RECORDIO_BRIDGE_WIRE_H
#define RECORDIO_BRIDGE_WIRE_H

#include "kernels.h"

#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, GROUP = 3, END_GROUP = 4, FIXED32 = 5 }; /* protobuf wire types */
enum { DEEPEST_GROUP = 32 };

struct span { /* what is left of a message */
    const uint8_t *at, *end;
};

/* The bytes of a row: none for one that is not there, whose start is -1. */
static inline struct span span_of(const struct rb_spans *spans, int64_t row) {
    if (spans->starts[row] < 0)
        return (struct span){0, 0};
    const uint8_t *at = spans->base + spans->starts[row];
    return (struct span){at, at + spans->lengths[row]};
}

/* The index of the key that is these bytes, behind its first ones, of which there may be none; or -1. `likely` is tried first,
 * as writers keep one order of keys. */
static inline int index_of_key(const struct rb_key *keys, int num_keys, int likely, struct span first, struct span rest) {
    int64_t before = first.end - first.at, length = rest.end - rest.at;
    for (int i = 0; i < num_keys; i++) {
        int k = likely + i < num_keys ? likely + i : likely + i - num_keys;
        if (keys[k].length == before + length && memcmp(keys[k].name, first.at, (size_t)before) == 0 &&
            memcmp(keys[k].name + before, rest.at, (size_t)length) == 0)
            return k;
    }
    return -1;
}

/* Every reader returns 0, or -1 where the bytes are no wire format; then the cursor is anywhere. */
static inline int read_varint(struct span *from, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 70 && from->at < from->end; shift += 7) {
        uint8_t byte = *from->at++;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return 0;
    }
    return -1;
}

static inline int read_tag(struct span *from, uint32_t *field, int *wire) {
    uint64_t tag;
    const uint8_t *before = from->at;
    if (read_varint(from, &tag) || from->at - before > 5 || tag > UINT32_MAX || tag >> 3 == 0)
        return -1; /* also what says 32 bits in more than five bytes, as in protobuf */
    *field = (uint32_t)(tag >> 3);
    *wire = (int)(tag & 7);
    return 0;
}

static inline int read_bytes(struct span *from, struct span *value) {
    uint64_t length;
    if (read_varint(from, &length) || length > (uint64_t)(from->end - from->at))
        return -1;
    *value = (struct span){from->at, from->at + length};
    from->at += length;
    return 0;
}

static inline int skip_bytes(struct span *from, int64_t size) {
    if (from->end - from->at < size)
        return -1;
    from->at += size;
    return 0;
}

static inline int skip_value(struct span *from, int wire) {
    uint64_t number;
    struct span bytes;
    switch (wire) {
    case VARINT: return read_varint(from, &number);
    case FIXED64: return skip_bytes(from, 8);
    case BYTES: return read_bytes(from, &bytes);
    case FIXED32: return skip_bytes(from, 4);
    default: return -1;
    }
}

static inline int skip_field(struct span *from, uint32_t field, int wire) {
    if (wire != GROUP)
        return skip_value(from, wire);
    uint32_t open[DEEPEST_GROUP];
    int depth = 0;
    open[depth++] = field;
    while (depth > 0) {
        if (read_tag(from, &field, &wire))
            return -1;
        if (wire == GROUP) {
            if (depth == DEEPEST_GROUP)
                return -1;
            open[depth++] = field;
        } else if (wire == END_GROUP) {
            if (open[--depth] != field)
                return -1;
        } else if (skip_value(from, wire)) {
            return -1;
        }
    }
    return 0;
}

/* The next field `number` of wire type BYTES, others passed over: 1, or 0 at the end of the message, or -1. */
static inline int next_message(struct span *from, uint32_t number, struct span *value) {
    while (from->at < from->end) {
        uint32_t field;
        int wire;
        if (read_tag(from, &field, &wire))
            return -1;
        if (field == number && wire == BYTES)
            return read_bytes(from, value) ? -1 : 1;
        if (skip_field(from, field, wire))
            return -1;
    }
    return 0;
}

static inline int read_entry(struct span entry, struct span *key, struct span *value) {
    *key = *value = (struct span){entry.end, entry.end};
    int has_value = 0;
    while (entry.at < entry.end) {
        uint32_t field;
        int wire;
        if (read_tag(&entry, &field, &wire))
            return RB_BAD_MESSAGE;
        if (wire != BYTES || (field != 1 && field != 2)) {
            if (skip_field(&entry, field, wire))
                return RB_BAD_MESSAGE;
            continue;
        }
        if (read_bytes(&entry, field == 1 ? key : value))
            return RB_BAD_MESSAGE;
        if (field == 2 && has_value++)
            return RB_REPEATED_VALUE; /* protobuf would merge the two, and one span cannot say that */
    }
    return RB_OK;
}

/* The next value, or packed run of values, of a list message: 1, or 0 at its end, or -1. */
static inline int next_run(struct span *list, int kind, struct span *run) {
    int single = kind == RB_FLOAT ? FIXED32 : kind == RB_INT64 ? VARINT : BYTES;
    while (list->at < list->end) {
        uint32_t field;
        int wire;
        if (read_tag(list, &field, &wire))
            return -1;
        const uint8_t *before = list->at;
        if (field == 1 && wire == BYTES)
            return read_bytes(list, run) ? -1 : 1;
        if (skip_field(list, field, wire))
            return -1;
        if (field == 1 && wire == single) {
            *run = (struct span){before, list->at};
            return 1;
        }
    }
    return 0;
}

static inline int count_varints(struct span run, int64_t *count) {
    int length = 0;
    for (; run.at < run.end; run.at++) {
        if (*run.at < 128) {
            ++*count;
            length = 0;
        } else if (++length == 10) {
            return RB_BAD_MESSAGE;
        }
    }
    return length ? RB_BAD_LIST : RB_OK;
}

/* Add the values of a run to *count; return a fault. */
static inline int count_run(struct span run, int kind, int64_t *count) {
    if (kind == RB_INT64)
        return count_varints(run, count);
    int64_t size = run.end - run.at;
    if (kind == RB_FLOAT && size % 4)
        return RB_BAD_LIST;
    *count += kind == RB_FLOAT ? size / 4 : 1;
    return RB_OK;
}

static inline int count_list(struct span list, int kind, int64_t *count) {
    struct span run;
    int found;
    while ((found = next_run(&list, kind, &run)) > 0) {
        int fault = count_run(run, kind, count);
        if (fault)
            return fault;
    }
    return found < 0 ? RB_BAD_MESSAGE : RB_OK;
}

/* The next list of a Feature: its kind (1 to 3), or 0 at the end, or -1. */
static inline int next_list(struct span *feature, struct span *list) {
    while (feature->at < feature->end) {
        uint32_t field;
        int wire;
        if (read_tag(feature, &field, &wire))
            return -1;
        if (wire == BYTES && field <= 3)
            return read_bytes(feature, list) ? -1 : (int)field;
        if (skip_field(feature, field, wire))
            return -1;
    }
    return 0;
}

/* Kind and number of values of a Feature; return a fault. */
static inline int count_feature(struct span feature, int *kind, int64_t *count) {
    struct span list;
    int next;
    *kind = RB_NO_KIND;
    *count = 0;
    while ((next = next_list(&feature, &list)) > 0) {
        if (*kind != next)
            *count = 0; /* a oneof: what was set last stays */
        *kind = next;
        int fault = count_list(list, next, count);
        if (fault)
            return fault;
    }
    return next < 0 ? RB_BAD_MESSAGE : RB_OK;
}

/* A Feature that a later entry of its key replaces: nobody will count it, but where it is not whole, the message is no
   Example. */
static inline int check_replaced(const uint8_t *feature, int64_t length) {
    int kind;
    int64_t count;
    return count_feature((struct span){feature, feature + length}, &kind, &count);
}

/* Reads the next content of a message that is a oneof: its kind, or 0 at the end, or less than 0. */
typedef int (*read_content)(struct span *message, struct span *content);

/* Cut off what a later content of another kind replaces; return the kind that stays. */
static inline int settle(struct span *message, read_content next) {
    struct span rest = *message, content;
    int settled = 0, kind;
    for (const uint8_t *before = rest.at; (kind = next(&rest, &content)) > 0; before = rest.at) {
        if (kind == settled)
            continue;
        settled = kind;
        message->at = before;
    }
    return settled;
}

#endif
