/* What the first bytes of image files say: their kind, height and width. No pixel is decoded.
 *
 * Specifications: JPEG, ITU-T T.81 B.1 and B.2 (stray bytes before a marker as in libjpeg's jdmarker.c); PNG, ISO 15948 11.2.2;
 * GIF89a 18; BMP, BITMAPCOREHEADER and BITMAPINFOHEADER; WebP, RFC 9649 and RFC 6386 9.1. */
#include "kernels.h"

#include <string.h>

struct size {
    int64_t height, width;
};
static const struct size UNKNOWN = {-1, -1};

static int64_t big16(const uint8_t *data) { return (int64_t)data[0] << 8 | data[1]; }
static int64_t big32(const uint8_t *data) { return big16(data) << 16 | big16(data + 2); }
static int64_t little16(const uint8_t *data) { return data[0] | (int64_t)data[1] << 8; }
static int64_t little24(const uint8_t *data) { return little16(data) | (int64_t)data[2] << 16; }
static int64_t little32(const uint8_t *data) { return little16(data) | little16(data + 2) << 16; }

static struct size checked(int64_t height, int64_t width) {
    return height > 0 && width > 0 ? (struct size){height, width} : UNKNOWN;
}

static int begins(const uint8_t *data, int64_t size, int64_t at, const char *text) {
    int64_t length = (int64_t)strlen(text);
    return size - at >= length && memcmp(data + at, text, (size_t)length) == 0;
}

/* A start of frame, which holds the size: all of C0 to CF but DHT, JPG and DAC. */
static int is_frame(int marker) {
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

/* Hop from marker to marker up to the start of frame. */
static struct size jpeg_size(const uint8_t *data, int64_t size) {
    int64_t at = 2;
    for (;;) {
        while (at < size && data[at] != 0xFF) /* stray bytes: decoders pass over them, too */
            at++;
        while (at < size && data[at] == 0xFF) /* fill bytes */
            at++;
        if (at >= size)
            return UNKNOWN;
        int marker = data[at++];
        if (marker == 0 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) /* no marker; TEM; RST: nothing follows */
            continue;
        if (marker == 0xD8 || marker == 0xD9 || marker == 0xDA || size - at < 2) /* SOI, EOI or SOS before a frame */
            return UNKNOWN;
        int64_t length = big16(data + at);
        if (is_frame(marker))
            return length >= 8 && size - at >= 7 ? checked(big16(data + at + 3), big16(data + at + 5)) : UNKNOWN;
        if (length < 2 || length > size - at)
            return UNKNOWN;
        at += length;
    }
}

static struct size png_size(const uint8_t *data, int64_t size) {
    if (size < 24 || !begins(data, size, 12, "IHDR"))
        return UNKNOWN;
    int64_t width = big32(data + 16), height = big32(data + 20);
    return width > INT32_MAX || height > INT32_MAX ? UNKNOWN : checked(height, width);
}

static struct size gif_size(const uint8_t *data, int64_t size) {
    return size < 10 ? UNKNOWN : checked(little16(data + 8), little16(data + 6));
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

static struct size bmp_size(const uint8_t *data, int64_t size) {
    if (bitmap_header(data, size) == 12)
        return size < 22 ? UNKNOWN : checked(little16(data + 20), little16(data + 18));
    if (size < 26)
        return UNKNOWN;
    int64_t width = little32(data + 18), height = little32(data + 22);
    if (height > INT32_MAX) /* negative: the rows are stored from the top down */
        height = ((int64_t)1 << 32) - height;
    return width > INT32_MAX ? UNKNOWN : checked(height, width);
}

static struct size webp_size(const uint8_t *data, int64_t size) {
    if (begins(data, size, 12, "VP8 ") && size >= 30 && !(data[20] & 1) && begins(data, size, 23, "\x9d\x01\x2a"))
        return checked(little16(data + 28) & 0x3FFF, little16(data + 26) & 0x3FFF);
    if (begins(data, size, 12, "VP8L") && size >= 25 && data[20] == 0x2F) {
        int64_t bits = little32(data + 21);
        return checked((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1);
    }
    if (begins(data, size, 12, "VP8X") && size >= 30)
        return checked(little24(data + 27) + 1, little24(data + 24) + 1);
    return UNKNOWN;
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

void rb_survey_images(const struct rb_spans *images, int64_t rows, uint8_t *kinds, int64_t *heights, int64_t *widths) {
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *data = images->base + images->starts[row];
        int64_t size = images->lengths[row];
        struct size found = UNKNOWN;
        switch (kinds[row] = (uint8_t)kind_of(data, size)) {
        case RB_JPEG: found = jpeg_size(data, size); break;
        case RB_PNG: found = png_size(data, size); break;
        case RB_GIF: found = gif_size(data, size); break;
        case RB_BMP: found = bmp_size(data, size); break;
        case RB_WEBP: found = webp_size(data, size); break;
        }
        heights[row] = found.height;
        widths[row] = found.width;
    }
}
