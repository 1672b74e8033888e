/* Images, .idx lines and LZF streams: what the kernels say of any bytes is within bounds, and is the same when they are read twice. */
#include "fuzz.h"

static void check_images(const uint8_t *data, int64_t size, int64_t cut) {
    int64_t starts[2] = {0, cut}, lengths[2] = {cut, size - cut}, heights[2], widths[2];
    uint8_t kinds[2], traits[2];
    struct rb_spans images = {data, starts, lengths};
    rb_survey_images(&images, 2, kinds, heights, widths, traits);
    for (int i = 0; i < 2; i++) {
        MUST(kinds[i] <= RB_WEBP);
        MUST((heights[i] == -1) == (widths[i] == -1) && heights[i] >= -1 && heights[i] != 0 && widths[i] != 0);
        MUST(kinds[i] != RB_NO_IMAGE || (heights[i] == -1 && traits[i] == 0));
        MUST(heights[i] <= UINT32_MAX && widths[i] <= UINT32_MAX);
        uint8_t *alone = copy_of(data + starts[i], lengths[i]), kind, trait; /* it does not look beyond its span */
        int64_t zero = 0, height, width;
        struct rb_spans image = {alone, &zero, &lengths[i]};
        rb_survey_images(&image, 1, &kind, &height, &width, &trait);
        MUST(kind == kinds[i] && trait == traits[i] && height == heights[i] && width == widths[i]);
        free(alone);
    }
}

static void check_index(const uint8_t *text, int64_t size, int64_t few) {
    int64_t most = size / 3 + 1, *keys = numbers(most), *offsets = numbers(most), parsed, at = 0, row = 0;
    int64_t count = rb_parse_index(text, size, most, keys, offsets, &parsed);
    MUST(count >= 0 && count < most && parsed >= 0 && parsed <= size);
    while (row < count) { /* a few lines at a time are the same */
        int64_t some[8], places[8], seen, found = rb_parse_index(text + at, size - at, few, some, places, &seen);
        MUST(found > 0 && found <= few && row + found <= count);
        for (int64_t i = 0; i < found; i++, row++)
            MUST(some[i] == keys[row] && places[i] == offsets[row] && some[i] >= 0 && places[i] >= 0);
        at += seen;
    }
    MUST(at == parsed);
    free(keys);
    free(offsets);
}

/* Two streams that are sound by themselves are one behind the other. */
static void check_lzf(const uint8_t *data, int64_t size, int64_t cut) {
    int64_t whole = rb_lzf_length(data, size), first = rb_lzf_length(data, cut);
    int64_t second = rb_lzf_length(data + cut, size - cut);
    MUST(whole >= -1 && whole <= 88 * size && first <= 88 * cut);
    MUST(first < 0 || second < 0 || whole == first + second);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_size) {
    if (input_size < 2)
        return 0;
    int64_t size = (int64_t)input_size - 2;
    uint8_t *data = copy_of(input + 2, size);
    check_images(data, size, input[0] % (size + 1));
    check_index(data, size, input[1] % 8 + 1);
    check_lzf(data, size, input[0] % (size + 1));
    free(data);
    return 0;
}
