/* tf.train.Example on the wire, many at a time (tensorflow/core/example/feature.proto; the drawing is in example.py). */
#include "wire.h"

#include <string.h>

/* ---- reading ---- */

struct search {
    const struct rb_key *keys;
    int num_keys;
    const uint8_t *base, *at; /* at: where a fault is */
};

/* Note the features of one Features message in starts and lengths of its row; return a fault. */
static int find_in_message(struct search *search, struct span features, int64_t *starts, int64_t *lengths) {
    struct span entry, key, value;
    int likely = 0, found;
    while (search->at = features.at, (found = next_message(&features, 1, &entry)) > 0) {
        search->at = entry.at;
        int fault = read_entry(entry, &key, &value);
        if (fault)
            return fault;
        int k = index_of_key(search->keys, search->num_keys, likely, (struct span){key.at, key.at}, key);
        if (k < 0)
            continue;
        if (starts[k] >= 0) {
            search->at = search->base + starts[k];
            if ((fault = check_replaced(search->at, lengths[k])))
                return fault;
        }
        starts[k] = value.at - search->base;
        lengths[k] = value.end - value.at;
        likely = k + 1 < search->num_keys ? k + 1 : 0;
    }
    return found < 0 ? RB_BAD_MESSAGE : RB_OK;
}

int64_t rb_find_features(const struct rb_spans *payloads, int64_t rows, const struct rb_key *keys, int num_keys,
                         int64_t *starts, int64_t *lengths, int *fault, int64_t *position) {
    struct search search = {keys, num_keys, payloads->base, payloads->base};
    int64_t row = 0;
    *fault = RB_OK;
    for (; row < rows; row++, starts += num_keys, lengths += num_keys) {
        const uint8_t *payload = payloads->base + payloads->starts[row];
        struct span example = {payload, payload + payloads->lengths[row]}, features;
        for (int k = 0; k < num_keys; k++) {
            starts[k] = -1;
            lengths[k] = 0;
        }
        int found;
        while (search.at = example.at, (found = next_message(&example, 1, &features)) > 0)
            if ((*fault = find_in_message(&search, features, starts, lengths)))
                break;
        if (found < 0)
            *fault = RB_BAD_MESSAGE;
        if (*fault)
            break;
    }
    *position = search.at - search.base;
    return row;
}

int64_t rb_count_values(const struct rb_spans *features, int64_t rows, uint8_t *kinds, int64_t *counts, int *fault) {
    int64_t row = 0;
    for (*fault = RB_OK; row < rows; row++) {
        int kind;
        *fault = count_feature(span_of(features, row), &kind, &counts[row]);
        kinds[row] = (uint8_t)kind;
        if (*fault)
            break;
    }
    return row;
}

/* Calls `take` on each run of the settled lists; it returns how many values it took, or -1 when it has no room. */
typedef int64_t (*take_run)(void *to, struct span run);

static int64_t take_row(struct span feature, int wanted, take_run take, void *to) {
    struct span list, run;
    int64_t taken = 0;
    if (settle(&feature, next_list) != wanted)
        return 0;
    while (next_list(&feature, &list) > 0)
        while (next_run(&list, wanted, &run) > 0) {
            int64_t values = take(to, run);
            if (values < 0)
                return -1;
            taken += values;
        }
    return taken;
}

static int64_t take_rows(const struct rb_spans *features, int64_t rows, int wanted, take_run take, void *to) {
    int64_t taken = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t values = take_row(span_of(features, row), wanted, take, to);
        if (values < 0)
            return -1;
        taken += values;
    }
    return taken;
}

struct bytes_target {
    const uint8_t *base;
    int64_t *starts, *lengths;
    int64_t room;
};

static int64_t take_bytes(void *to, struct span run) {
    struct bytes_target *target = to;
    if (target->room-- == 0)
        return -1;
    *target->starts++ = run.at - target->base;
    *target->lengths++ = run.end - run.at;
    return 1;
}

int64_t rb_fill_bytes(const struct rb_spans *features, int64_t rows, int64_t capacity, int64_t *starts,
                      int64_t *lengths) {
    struct bytes_target target = {features->base, starts, lengths, capacity};
    return take_rows(features, rows, RB_BYTES, take_bytes, &target) == capacity ? capacity : -1;
}

struct number_target {
    uint8_t *out;
    int64_t room; /* values */
    int dtype;
    int64_t value; /* the one that did not fit */
    int misfit;
};

static int64_t take_floats(void *to, struct span run) {
    struct number_target *target = to;
    int64_t values = (run.end - run.at) / 4;
    if (values > target->room)
        return -1;
    memcpy(target->out, run.at, (size_t)values * 4);
    target->out += values * 4;
    target->room -= values;
    return values;
}

int64_t rb_fill_floats(const struct rb_spans *features, int64_t rows, int64_t capacity, uint8_t *out) {
    struct number_target target = {out, capacity, 0, 0, 0};
    return take_rows(features, rows, RB_FLOAT, take_floats, &target) == capacity ? capacity : -1;
}

static const struct {
    int64_t size, low, high;
} DTYPES[] = {
    [RB_BOOL] = {1, 0, 1},
    [RB_INT8] = {1, INT8_MIN, INT8_MAX},
    [RB_INT16] = {2, INT16_MIN, INT16_MAX},
    [RB_INT32] = {4, INT32_MIN, INT32_MAX},
    [RB_INT64_T] = {8, INT64_MIN, INT64_MAX},
    [RB_UINT8] = {1, 0, UINT8_MAX},
    [RB_UINT16] = {2, 0, UINT16_MAX},
    [RB_UINT32] = {4, 0, UINT32_MAX},
    [RB_UINT64] = {8, 0, INT64_MAX},
};

int64_t rb_dtype_size(int dtype) {
    return dtype >= RB_BOOL && dtype <= RB_UINT64 ? DTYPES[dtype].size : -1;
}

static void store_little(uint8_t *to, uint64_t value, int64_t size) {
    for (int64_t i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

/* Take the varints of one or two bytes that a run begins with, while they fit and bytes are left to look at; return how many.
   Inlined for each size, so that a value is one store. */
static inline int64_t take_short_sized(struct number_target *target, struct span *run, int64_t size) {
    int64_t high = DTYPES[target->dtype].high, values = 0;
    uint8_t *out = target->out;
    const uint8_t *at = run->at;
    for (; run->end - at >= 2 && values < target->room; values++) {
        uint64_t second = at[0] >> 7, value = (at[0] & 127u) | (at[1] & (0u - second) & 127u) << 7;
        if ((second & at[1] >> 7) || (int64_t)value > high)
            break;
        store_little(out, value, size);
        out += size;
        at += 1 + second;
    }
    target->out = out;
    target->room -= values;
    run->at = at;
    return values;
}

static int64_t take_short_ints(struct number_target *target, struct span *run) {
    switch (DTYPES[target->dtype].size) {
    case 1: return take_short_sized(target, run, 1);
    case 2: return take_short_sized(target, run, 2);
    case 4: return take_short_sized(target, run, 4);
    default: return take_short_sized(target, run, 8);
    }
}

static int64_t take_ints(void *to, struct span run) {
    struct number_target *target = to;
    int64_t size = DTYPES[target->dtype].size, values = take_short_ints(target, &run);
    uint64_t raw;
    for (; run.at < run.end; values++) {
        if (read_varint(&run, &raw) || target->room-- == 0)
            return -1;
        int64_t value = (int64_t)raw;
        if (value < DTYPES[target->dtype].low || value > DTYPES[target->dtype].high) {
            target->value = value;
            target->misfit = 1;
            return -1;
        }
        store_little(target->out, raw, size);
        target->out += size;
    }
    return values;
}

int64_t rb_fill_ints(const struct rb_spans *features, int64_t rows, int dtype, int64_t capacity, uint8_t *out,
                     int64_t *row, int64_t *value) {
    struct number_target target = {out, capacity, dtype, 0, 0};
    int64_t taken = 0;
    for (*row = 0; *row < rows; ++*row) {
        int64_t values = take_row(span_of(features, *row), RB_INT64, take_ints, &target);
        if (target.misfit) {
            *value = target.value;
            return capacity;
        }
        if (values < 0)
            return -1;
        taken += values;
    }
    return taken == capacity ? capacity : -1;
}

/* ---- writing ---- */

/* A byte for every 7 bits, and one for 0. */
static int64_t varint_size(uint64_t value) {
    int bits = 64 - __builtin_clzll(value | 1);
    return (9 * bits + 64) >> 6;
}

static uint8_t *put_varint(uint8_t *to, uint64_t value) {
    for (; value >= 128; value >>= 7)
        *to++ = (uint8_t)(value | 128);
    *to++ = (uint8_t)value;
    return to;
}

static uint8_t *put_head(uint8_t *to, int tag, int64_t length) {
    *to++ = (uint8_t)tag;
    return put_varint(to, (uint64_t)length);
}

static uint8_t *put_bytes(uint8_t *to, int tag, const uint8_t *bytes, int64_t length) {
    to = put_head(to, tag, length);
    memcpy(to, bytes, (size_t)length);
    return to + length;
}

/* tag, length, and the length bytes: the size of a nested message */
static int64_t nested_size(int64_t length) { return 1 + varint_size((uint64_t)length) + length; }

/* Run `body` for each integer `value` (sign-extended into uint64_t) of `size` bytes at `at`. */
#define EACH(type, body)                                                                                             \
    for (; size > 0; at += sizeof(type), size -= (int64_t)sizeof(type)) {                                            \
        type number;                                                                                                 \
        memcpy(&number, at, sizeof number);                                                                          \
        uint64_t value = (uint64_t)number;                                                                           \
        body;                                                                                                        \
    }                                                                                                                \
    break;
#define EACH_INTEGER(dtype, body)                                                                                    \
    switch (dtype) {                                                                                                 \
    case RB_INT8: EACH(int8_t, body)                                                                                 \
    case RB_INT16: EACH(int16_t, body)                                                                               \
    case RB_INT32: EACH(int32_t, body)                                                                               \
    case RB_INT64_T: EACH(int64_t, body)                                                                             \
    case RB_UINT16: EACH(uint16_t, body)                                                                             \
    case RB_UINT32: EACH(uint32_t, body)                                                                             \
    case RB_UINT64: EACH(uint64_t, body)                                                                             \
    default: EACH(uint8_t, body) /* RB_BOOL and RB_UINT8 */                                                          \
    }

enum { ONE_BYTE = 1 << 7, TWO_BYTES = 1 << 14 }; /* varints below these are that short */
static const uint64_t EIGHT_BYTES = (uint64_t)1 << 56;

/* 1 for a value from ONE_BYTE up to TWO_BYTES, 0 below: as a sum, since SSE2 cannot compare 64 bits. */
static inline uint64_t needs_two(uint64_t value) { return (value + TWO_BYTES - ONE_BYTE) >> 14; }

/* Images, classes and counts are small: for them there are loops without branches, of which compilers make vectors. */
static uint64_t set_bits(int dtype, const uint8_t *at, int64_t size) {
    uint64_t bits = 0;
    EACH_INTEGER(dtype, bits |= value)
    return bits;
}

static int64_t varints_size(int dtype, const uint8_t *at, int64_t size, uint64_t bits) {
    int64_t total = size / DTYPES[dtype].size;
    if (bits >= TWO_BYTES) {
        total = 0;
        EACH_INTEGER(dtype, total += varint_size(value))
    } else if (bits >= ONE_BYTE) {
        EACH_INTEGER(dtype, total += (int64_t)needs_two(value))
    }
    return total;
}

/* The varint of a value below EIGHT_BYTES, `size` bytes long, in the low bytes of a word: its bits apart by sevens, and the
   bit that says that more follow in all bytes but the last. */
static inline uint64_t varint_word(uint64_t value, int64_t size) {
    value = (value & 0xfffffff) | (value & 0xfffffff0000000) << 4;
    value = (value & 0x3fff00003fff) | (value & 0xfffc0000fffc000) << 2;
    value = (value & 0x7f007f007f007f) | (value & 0x3f803f803f803f80) << 1;
    return value | (0x8080808080808080 & (((uint64_t)1 << (8 * (size - 1))) - 1));
}

/* Write the varints of some integers into exactly the bytes up to `end`, which varints_size() counted. Another thread of the
   caller may have changed the integers since: then the list is nonsense, but nothing is written beyond it. */
static uint8_t *put_varints(uint8_t *to, uint8_t *end, int dtype, const uint8_t *at, int64_t size, uint64_t bits) {
    if (bits < ONE_BYTE) {
        EACH_INTEGER(dtype, *to++ = (uint8_t)value)
        return end;
    }
    if (bits < TWO_BYTES) { /* two bytes are written for each; where one is enough, the next one takes the second */
        int64_t width = DTYPES[dtype].size;
        const uint8_t *last = at + size - width;
        size -= width;
        EACH_INTEGER(dtype, {
            if (end - to < 2)
                return end;
            uint64_t two = needs_two(value) & 1;
            to[0] = (uint8_t)(value | two << 7);
            to[1] = (uint8_t)(value >> 7);
            to += 1 + two;
        })
        at = last, size = width;
    }
    EACH_INTEGER(dtype, {
        int64_t length = varint_size(value);
        if (end - to >= 8 && value < EIGHT_BYTES) { /* eight bytes are written; those that are not its own are the next one's */
            store_little(to, varint_word(value, length), 8);
            to += length;
        } else if (end - to < length) {
            return end;
        } else {
            to = put_varint(to, value);
        }
    })
    return end;
}

/* The bytes of a column's list in this row; 0 means that the row has no value; -1 that one does not fit int64. */
static int64_t list_size(struct rb_column *column, int64_t row) {
    const struct rb_spans *values = &column->values;
    if (column->kind == RB_BYTES && !column->is_list)
        return nested_size(values->lengths[row]);
    int64_t total = 0;
    if (column->kind == RB_BYTES) {
        int64_t first = column->list_starts[row];
        for (int64_t i = first; i < first + column->list_lengths[row]; i++)
            total += nested_size(values->lengths[i]);
        return total;
    }
    int64_t size = values->lengths[row];
    if (size == 0 || column->kind == RB_FLOAT)
        return size ? nested_size(size) : 0;
    const uint8_t *at = values->base + values->starts[row];
    column->list_bits = set_bits(column->dtype, at, size);
    if (column->dtype == RB_UINT64 && column->list_bits >> 63)
        return -1;
    return nested_size(varints_size(column->dtype, at, size, column->list_bits));
}

static int64_t entry_size(const struct rb_column *column) {
    return nested_size(column->key_length) + nested_size(nested_size(column->list_size));
}

static uint8_t *put_list(uint8_t *to, const struct rb_column *column, int64_t row) {
    const struct rb_spans *values = &column->values;
    if (column->kind == RB_BYTES) {
        int64_t first = column->is_list ? column->list_starts[row] : row;
        int64_t count = column->is_list ? column->list_lengths[row] : 1;
        for (int64_t i = first; i < first + count; i++)
            to = put_bytes(to, 0x0a, values->base + values->starts[i], values->lengths[i]);
        return to;
    }
    const uint8_t *at = values->base + values->starts[row];
    int64_t size = values->lengths[row];
    if (column->kind == RB_FLOAT)
        return put_bytes(to, 0x0a, at, size);
    /* The list is tag, length, values: its length word is as long as makes the whole list_size. */
    int64_t packed = column->list_size - 2;
    while (nested_size(packed) > column->list_size)
        packed--;
    to = put_head(to, 0x0a, packed);
    return put_varints(to, to + packed, column->dtype, at, size, column->list_bits);
}

static uint8_t *put_entry(uint8_t *to, const struct rb_column *column, int64_t row) {
    static const int TAGS[] = {[RB_BYTES] = 0x0a, [RB_FLOAT] = 0x12, [RB_INT64] = 0x1a};
    to = put_head(to, 0x0a, entry_size(column));
    to = put_bytes(to, 0x0a, column->key, column->key_length);
    to = put_head(to, 0x12, nested_size(column->list_size));
    to = put_head(to, TAGS[column->kind], column->list_size);
    return put_list(to, column, row);
}

/* Size the lists of a row; return the size of its Features message, or -1 with the column at fault. */
static int64_t features_size(struct rb_column *columns, int num_columns, int64_t row, int *column) {
    int64_t total = 0;
    for (int c = 0; c < num_columns; c++) {
        columns[c].list_size = list_size(&columns[c], row);
        if (columns[c].list_size < 0) {
            *column = c;
            return -1;
        }
        if (columns[c].list_size > 0)
            total += nested_size(entry_size(&columns[c]));
    }
    return total;
}

int64_t rb_encode_examples(struct rb_column *columns, int num_columns, int64_t first, int64_t rows, int framed,
                           uint8_t *out, int64_t capacity, int64_t *starts, int64_t *lengths, int64_t *written,
                           int *fault, int *column) {
    int64_t before = framed ? 12 : 0, after = framed ? 4 : 0, row = first, end = 0;
    *column = 0;
    for (*fault = RB_OK; row < rows; row++) {
        int64_t features = features_size(columns, num_columns, row, column);
        int64_t length = features > 0 ? nested_size(features) : 0;
        if (features < 0 || length > RB_MESSAGE_LIMIT) {
            *fault = features < 0 ? RB_OUT_OF_RANGE : RB_TOO_LONG;
            break;
        }
        if (capacity - end < before + length + after)
            break;
        uint8_t *payload = out + end + before;
        if (length > 0) {
            uint8_t *to = put_head(payload, 0x0a, features);
            for (int c = 0; c < num_columns; c++)
                if (columns[c].list_size > 0)
                    to = put_entry(to, &columns[c], row);
        }
        if (framed)
            rb_seal_tfrecord(out + end, length);
        starts[row - first] = end + before;
        lengths[row - first] = length;
        end += before + length + after;
    }
    *written = end;
    return row - first;
}
