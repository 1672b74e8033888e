/* SageMaker's Record: the names that are learned of any bytes are found again, and what is counted is what is filled. */
#include "fuzz.h"

enum { MOST = 8 };

/* The names of one record, learned one after the other as the library does; 0 where it is no Record. */
static int names_of(const struct rb_spans *record, struct rb_key *names, uint8_t *texts[MOST], int *count) {
    int64_t starts[MOST], lengths[MOST], rows;
    struct rb_name at;
    int fault = RB_OK;
    for (*count = 0; *count < MOST; ++*count) {
        rows = rb_find_values(record, 1, names, *count, 1, starts, lengths, &fault, &at);
        MUST((rows == 1) == (fault == RB_OK));
        if (fault != RB_UNKNOWN_KEY)
            return fault == RB_OK;
        MUST(at.start >= 0 && at.length >= 0 && at.start + at.length <= record->lengths[0] && at.field < 256);
        uint8_t *name = texts[*count] = room_of(at.length + 1, 1);
        name[0] = (uint8_t)at.field;
        memcpy(name + 1, record->base + at.start, (size_t)at.length);
        for (int k = 0; k < *count; k++)
            MUST(names[k].length != at.length + 1 || memcmp(names[k].name, name, (size_t)at.length + 1) != 0);
        names[*count] = (struct rb_key){name, at.length + 1};
    }
    return rb_find_values(record, 1, names, *count, 0, starts, lengths, &fault, &at) == 1;
}

/* Each part of a Value, into room that is what was counted, and not into less or more. */
static void fill(const struct rb_spans *value, int kind, const int64_t *counts) {
    for (int part = 1; part <= 3; part++) {
        int64_t count = counts[part - 1];
        MUST(count >= 0 && count <= value->lengths[0]);
        if (kind == RB_BYTES_VALUE) {
            int64_t *starts = numbers(count + 1), *lengths = numbers(count + 1);
            if (part == 3) {
                MUST(count == 0);
            } else {
                MUST(rb_fill_texts(value, 1, part, count, starts, lengths) == count);
                for (int64_t i = 0; i < count; i++)
                    MUST(starts[i] >= value->starts[0] && lengths[i] >= 0 &&
                         starts[i] + lengths[i] <= value->starts[0] + value->lengths[0]);
                MUST(rb_fill_texts(value, 1, part, count + 1, starts, lengths) == -1);
                MUST(count == 0 || rb_fill_texts(value, 1, part, count - 1, starts, lengths) == -1);
            }
            free(starts);
            free(lengths);
            continue;
        }
        int64_t size = count * (part > 1 || kind == RB_FLOAT64_TENSOR ? 8 : 4);
        uint8_t *out = room_of(size, 1), *more = room_of(size + 8, 1);
        MUST(rb_fill_tensors(value, 1, kind, part, size, out) == size);
        MUST(rb_fill_tensors(value, 1, kind, part, size + 8, more) == -1);
        free(out);
        free(more);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t input_size) {
    int64_t size = (int64_t)input_size, zero = 0, starts[MOST], lengths[MOST], counts[3 * MOST];
    uint8_t *exact = copy_of(data, size), *texts[MOST], kinds[MOST];
    struct rb_spans record = {exact, &zero, &size};
    struct rb_key names[MOST];
    struct rb_name at;
    int count, fault;
    if (names_of(&record, names, texts, &count)) {
        MUST(rb_find_values(&record, 1, names, count, 0, starts, lengths, &fault, &at) == 1 && fault == RB_OK);
        for (int k = 0; k < count; k++) {
            MUST(starts[k] >= 0 && lengths[k] >= 0 && starts[k] + lengths[k] <= size);
            struct rb_spans value = {exact, &starts[k], &lengths[k]};
            if (rb_count_tensors(&value, 1, &kinds[k], &counts[3 * k], &fault) < 1)
                MUST(fault != RB_OK);
            else if (kinds[k])
                fill(&value, kinds[k], &counts[3 * k]);
        }
    }
    for (int k = 0; k < count; k++)
        free(texts[k]);
    free(exact);
    return 0;
}
