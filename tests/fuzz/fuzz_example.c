/* Example: the survey, the search for keys, the counts and the values agree about any bytes, and what is encoded of
 * them is decoded as the same. */
#include "fuzz.h"

enum { MOST = 8, SLOTS = 32 };

struct column {
    struct rb_key key;
    int64_t start, length, count; /* its feature, and how many values it has */
    uint8_t kind;
    int64_t *starts, *lengths; /* bytes: where they are */
    uint8_t *values;           /* else the numbers */
};

/* The distinct keys of the one record, MOST at most, in the order that the survey tells them in. */
static int keys_of(const struct rb_spans *record, struct rb_key *keys, int *is_message) {
    struct rb_seen seen[MOST] = {{0}};
    struct rb_found found[MOST] = {{0}};
    int32_t slots[SLOTS];
    int64_t starts[MOST], lengths[MOST], value;
    int count = 0, fault, key;
    struct rb_survey survey = {keys, 0, seen, found, slots, SLOTS, starts, lengths, MOST};
    MUST(rb_survey_keys(&survey) == 0);
    int64_t rows = rb_survey_features(record, 1, &survey, &fault, &key, &value);
    MUST((rows == 1) == (fault == RB_OK));
    *is_message = fault == RB_OK || fault == RB_UNKNOWN_KEY;
    int64_t unknown = fault == RB_UNKNOWN_KEY ? value : 0;
    MUST(unknown >= 0 && unknown <= MOST);
    for (int64_t i = 0; i < unknown; i++) {
        MUST(lengths[i] >= 0 && starts[i] >= record->starts[0]);
        MUST(starts[i] + lengths[i] <= record->starts[0] + record->lengths[0]);
        struct rb_key name = {record->base + starts[i], lengths[i]};
        int is_known = 0;
        for (int k = 0; k < count; k++)
            is_known |= keys[k].length == name.length && memcmp(keys[k].name, name.name, (size_t)name.length) == 0;
        if (!is_known)
            keys[count++] = name;
    }
    return count;
}

/* Take the values out, into room that is what was counted. */
static void fill(const uint8_t *base, struct column *column, int dtype) {
    struct rb_spans feature = {base, &column->start, &column->length};
    int64_t count = column->count, row, value;
    if (column->kind == RB_BYTES) {
        column->starts = numbers(count);
        column->lengths = numbers(count);
        MUST(rb_fill_bytes(&feature, 1, count, column->starts, column->lengths) == count);
        for (int64_t i = 0; i < count; i++)
            MUST(column->starts[i] >= column->start && column->lengths[i] >= 0 &&
                 column->starts[i] + column->lengths[i] <= column->start + column->length);
        if (count)
            MUST(rb_fill_bytes(&feature, 1, count - 1, column->starts, column->lengths) == -1);
        MUST(rb_fill_bytes(&feature, 1, count, column->starts, column->lengths) == count);
    } else if (column->kind == RB_FLOAT) {
        column->values = room_of(4 * count, 1);
        MUST(rb_fill_floats(&feature, 1, count, column->values) == count);
    } else if (column->kind == RB_INT64) {
        uint8_t *narrow = room_of(rb_dtype_size(dtype) * count, 1);
        rb_fill_ints(&feature, 1, dtype, count, narrow, &row, &value);
        free(narrow);
        column->values = room_of(8 * count, 1);
        MUST(rb_fill_ints(&feature, 1, RB_INT64_T, count, column->values, &row, &value) == count && row == 1);
    }
}

static int is_same(const uint8_t *base, const struct column *one, const uint8_t *other_base, const struct column *other) {
    if (one->kind != other->kind || one->count != other->count)
        return 0;
    if (one->kind == RB_FLOAT || one->kind == RB_INT64)
        return memcmp(one->values, other->values, (size_t)(one->kind == RB_FLOAT ? 4 : 8) * (size_t)one->count) == 0;
    for (int64_t i = 0; one->kind == RB_BYTES && i < one->count; i++)
        if (one->lengths[i] != other->lengths[i] ||
            memcmp(base + one->starts[i], other_base + other->starts[i], (size_t)one->lengths[i]))
            return 0;
    return 1;
}

/* The values of these keys in one record; 0 where it cannot be decoded. */
static int decode(const uint8_t *base, int64_t size, const struct rb_key *keys, int num_keys, int dtype,
                  struct column *columns) {
    int64_t zero = 0, position, starts[MOST], lengths[MOST], counts[MOST];
    struct rb_spans record = {base, &zero, &size};
    uint8_t kinds[MOST];
    int fault;
    int64_t rows = rb_find_features(&record, 1, keys, num_keys, starts, lengths, &fault, &position);
    MUST((rows == 1) == (fault == RB_OK) && position >= 0 && position <= size);
    if (fault)
        return 0;
    struct rb_spans features = {base, starts, lengths};
    if (rb_count_values(&features, num_keys, kinds, counts, &fault) < num_keys) {
        MUST(fault != RB_OK);
        return 0;
    }
    for (int k = 0; k < num_keys; k++) {
        columns[k] = (struct column){keys[k], starts[k], lengths[k], counts[k], kinds[k], NULL, NULL, NULL};
        MUST(counts[k] >= 0 && counts[k] <= size);
        fill(base, &columns[k], dtype);
    }
    return 1;
}

static void let_go_of(struct column *columns, int count) {
    for (int k = 0; k < count; k++) {
        free(columns[k].starts);
        free(columns[k].lengths);
        free(columns[k].values);
    }
}

/* Write the columns as an Example and read it again. */
static void check_encode(const uint8_t *base, struct column *columns, int count, int framed) {
    struct rb_column encoder[MOST];
    struct rb_key keys[MOST];
    struct column again[MOST];
    int64_t zero = 0, sizes[MOST], start, length, written, room = 64;
    int used = 0, fault, at;
    for (int k = 0; k < count; k++) {
        if (columns[k].kind == RB_NO_KIND || columns[k].count == 0)
            continue; /* an empty list is not written */
        struct column *column = &columns[used];
        *column = columns[k]; /* moves up; what has no value holds no memory */
        sizes[used] = column->count * (column->kind == RB_FLOAT ? 4 : 8);
        encoder[used] = (struct rb_column){
            .key = column->key.name, .key_length = column->key.length, .kind = column->kind, .dtype = RB_INT64_T,
            .is_list = column->kind == RB_BYTES, .values = {column->values, &zero, &sizes[used]},
            .list_starts = &zero, .list_lengths = &column->count,
        };
        room += 64 + column->key.length + 11 * column->count;
        if (column->kind == RB_BYTES) {
            encoder[used].values = (struct rb_spans){base, column->starts, column->lengths};
            for (int64_t i = 0; i < column->count; i++)
                room += column->lengths[i];
        }
        keys[used++] = column->key;
    }
    uint8_t *out = room_of(room, 1);
    MUST(rb_encode_examples(encoder, used, 0, 1, framed, out, room, &start, &length, &written, &fault, &at) == 1);
    MUST(fault == RB_OK && start >= 0 && start + length <= written);
    uint8_t *exact = room_of(written, 1); /* as much room as it takes, and one byte less */
    int64_t same;
    MUST(rb_encode_examples(encoder, used, 0, 1, framed, exact, written, &start, &length, &same, &fault, &at) == 1);
    MUST(same == written && memcmp(exact, out, (size_t)written) == 0);
    if (written)
        MUST(rb_encode_examples(encoder, used, 0, 1, framed, exact, written - 1, &start, &length, &same, &fault, &at) == 0);
    MUST(decode(out + start, length, keys, used, RB_INT64_T, again));
    for (int k = 0; k < used; k++)
        MUST(is_same(base, &columns[k], out + start, &again[k]));
    let_go_of(again, used);
    free(exact);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_size) {
    if (input_size < 1)
        return 0;
    int64_t size = (int64_t)input_size - 1, zero = 0;
    uint8_t *data = copy_of(input + 1, size);
    struct rb_spans record = {data, &zero, &size};
    struct rb_key keys[MOST];
    struct column columns[MOST];
    int is_message, count = keys_of(&record, keys, &is_message);
    int is_decoded = decode(data, size, keys, count, input[0] % 9, columns);
    MUST(!is_decoded || is_message);
    if (is_decoded) {
        int held = count;
        struct column before[MOST];
        memcpy(before, columns, sizeof before);
        check_encode(data, columns, count, input[0] & 1);
        let_go_of(before, held);
    }
    free(data);
    return 0;
}
