/* What image files say of themselves: their kind, height and width, and some traits. No pixel is decoded.
 *
 * Specifications: JPEG, ITU-T T.81 B.1 and B.2 (stray bytes before a marker as in libjpeg's jdmarker.c); PNG, ISO 15948 11.2.2
 * and 11.3, and of animations, W3C's third edition 11.3.5; GIF89a 18; BMP, BITMAPCOREHEADER and BITMAPINFOHEADER; WebP, RFC 9649
 * and RFC 6386 9.1. */
#include "kernels.h"

#include <string.h>

struct look { /* at one image */
    int64_t height, width;
    uint8_t traits;
};

static int64_t big16(const uint8_t *data) { return (int64_t)data[0] << 8 | data[1]; }
static int64_t big32(const uint8_t *data) { return big16(data) << 16 | big16(data + 2); }
static int64_t little16(const uint8_t *data) { return data[0] | (int64_t)data[1] << 8; }
static int64_t little24(const uint8_t *data) { return little16(data) | (int64_t)data[2] << 16; }
static int64_t little32(const uint8_t *data) { return little16(data) | little16(data + 2) << 16; }

static void set_size(struct look *look, int64_t height, int64_t width) {
    if (height > 0 && width > 0) {
        look->height = height;
        look->width = width;
    }
}

static int begins(const uint8_t *data, int64_t size, int64_t at, const char *text) {
    int64_t length = (int64_t)strlen(text);
    return size - at >= length && memcmp(data + at, text, (size_t)length) == 0;
}

/* A start of frame, which holds the size: all of C0 to CF but DHT, JPG and DAC. */
static int is_frame(int marker) {
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

/* Whether an end-of-image marker is there: inside of pixels, FF is always followed by 00 or a restart. Sought from the end,
 * where it mostly is. */
static int has_end(const uint8_t *data, int64_t at, int64_t size) {
    for (int64_t i = size - 2; i >= at; i--)
        if (data[i] == 0xFF && data[i + 1] == 0xD9)
            return 1;
    return 0;
}

static void look_at_frame(const uint8_t *data, int64_t size, struct look *look) {
    if (size >= 7 && big16(data) >= 8)
        set_size(look, big16(data + 3), big16(data + 5));
    if (size >= 8 && data[7] != 1)
        look->traits |= RB_COLOUR;
}

/* Hop from marker to marker up to the scan. */
static void look_at_jpeg(const uint8_t *data, int64_t size, struct look *look) {
    int64_t at = 2;
    for (int framed = 0;;) {
        while (at < size && data[at] != 0xFF) /* stray bytes: decoders pass over them, too */
            at++;
        while (at < size && data[at] == 0xFF) /* fill bytes */
            at++;
        if (at >= size)
            return;
        int marker = data[at++];
        if (marker == 0 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) /* no marker; TEM; RST: nothing follows */
            continue;
        if (marker == 0xDA && has_end(data, at, size))
            look->traits |= RB_WHOLE;
        if (marker == 0xD8 || marker == 0xD9 || marker == 0xDA || size - at < 2) /* SOI, EOI, SOS */
            return;
        if (is_frame(marker) && !framed++)
            look_at_frame(data + at, size - at, look);
        int64_t length = big16(data + at);
        if (length < 2 || length > size - at)
            return;
        at += length;
    }
}

static void look_at_png(const uint8_t *data, int64_t size, struct look *look) {
    if (size < 24 || !begins(data, size, 12, "IHDR"))
        return;
    int64_t width = big32(data + 16), height = big32(data + 20);
    if (width <= INT32_MAX && height <= INT32_MAX)
        set_size(look, height, width);
    if (size < 26)
        return;
    int depth = data[24], colour = data[25];
    look->traits |= (depth == 16 ? RB_DEEP : 0) | (colour == 0 || colour == 4 ? 0 : RB_COLOUR);
    look->traits |= colour == 4 || colour == 6 ? RB_ALPHA : 0;
    for (int64_t at = 8; size - at >= 8; at += 12 + big32(data + at)) { /* a chunk: length, name, so many bytes, checksum */
        if (begins(data, size, at + 4, "IDAT")) {
            look->traits |= RB_WHOLE;
            return;
        }
        look->traits |= begins(data, size, at + 4, "tRNS") ? RB_TRANSPARENT : 0;
        look->traits |= begins(data, size, at + 4, "acTL") ? RB_SEVERAL : 0;
    }
}

static void look_at_gif(const uint8_t *data, int64_t size, struct look *look) {
    look->traits |= RB_SEVERAL;
    if (size >= 10)
        set_size(look, little16(data + 8), little16(data + 6));
}

/* The size of a bitmap's second header, which says what that is; 0 where these bytes are no bitmap. */
static int64_t bitmap_header(const uint8_t *data, int64_t size) {
    static const int64_t KNOWN[] = {12, 16, 40, 52, 56, 64, 108, 124};
    int64_t header = size >= 18 && begins(data, size, 0, "BM") ? little32(data + 14) : 0;
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        if (header == KNOWN[i])
            return header;
    return 0;
}

static void look_at_bmp(const uint8_t *data, int64_t size, struct look *look) {
    if (bitmap_header(data, size) == 12) {
        if (size >= 22)
            set_size(look, little16(data + 20), little16(data + 18));
        return;
    }
    if (size < 26)
        return;
    int64_t width = little32(data + 18), height = little32(data + 22);
    if (height > INT32_MAX) /* negative: the rows are stored from the top down */
        height = ((int64_t)1 << 32) - height;
    if (width <= INT32_MAX)
        set_size(look, height, width);
}

static void look_at_webp(const uint8_t *data, int64_t size, struct look *look) {
    if (begins(data, size, 12, "VP8 ") && size >= 30 && !(data[20] & 1) && begins(data, size, 23, "\x9d\x01\x2a"))
        set_size(look, little16(data + 28) & 0x3FFF, little16(data + 26) & 0x3FFF);
    if (begins(data, size, 12, "VP8L") && size >= 25 && data[20] == 0x2F) {
        int64_t bits = little32(data + 21);
        set_size(look, (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1);
    }
    if (begins(data, size, 12, "VP8X")) {
        look->traits |= size > 20 && data[20] & 2 ? RB_SEVERAL : 0;
        if (size >= 30)
            set_size(look, little24(data + 27) + 1, little24(data + 24) + 1);
    }
}

static int kind_of(const uint8_t *data, int64_t size) {
    if (begins(data, size, 0, "\xff\xd8\xff"))
        return RB_JPEG;
    if (begins(data, size, 0, "\x89PNG\r\n\x1a\n"))
        return RB_PNG;
    if (begins(data, size, 0, "GIF87a") || begins(data, size, 0, "GIF89a"))
        return RB_GIF;
    if (begins(data, size, 0, "RIFF") && begins(data, size, 8, "WEBP"))
        return RB_WEBP;
    return bitmap_header(data, size) ? RB_BMP : RB_NO_IMAGE;
}

void rb_survey_images(const struct rb_spans *images, int64_t rows, uint8_t *kinds, int64_t *heights, int64_t *widths,
                      uint8_t *traits) {
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *data = images->base + images->starts[row];
        int64_t size = images->lengths[row];
        struct look look = {-1, -1, 0};
        switch (kinds[row] = (uint8_t)kind_of(data, size)) {
        case RB_JPEG: look_at_jpeg(data, size, &look); break;
        case RB_PNG: look_at_png(data, size, &look); break;
        case RB_GIF: look_at_gif(data, size, &look); break;
        case RB_BMP: look_at_bmp(data, size, &look); break;
        case RB_WEBP: look_at_webp(data, size, &look); break;
        }
        heights[row] = look.height;
        widths[row] = look.width;
        traits[row] = look.traits;
    }
}
