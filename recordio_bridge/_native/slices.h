/* Checksums by the table of eight slices: what processors without an instruction for them run. */
#ifndef RECORDIO_BRIDGE_SLICES_H
#define RECORDIO_BRIDGE_SLICES_H

#include <stdint.h>
#include <string.h>

static inline uint64_t load_u64(const uint8_t *data) {
    uint64_t value;
    memcpy(&value, data, sizeof value);
    return value;
}

/* A CRC table is linear: the entry of a byte is the xor of the entries of its bits. So eight entries make a table. */
#define BIT(i, k, entry) (((i) >> (k)) & 1u ? (entry) : 0u)
#define ENTRY(i, a, b, c, d, e, f, g, h)                                                                             \
    (BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^ BIT(i, 6, g) ^        \
     BIT(i, 7, h))
#define FOUR(i, ...)                                                                                                 \
    ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__), ENTRY((i) + 3, __VA_ARGS__)
#define SIXTEEN(i, ...)                                                                                              \
    FOUR(i, __VA_ARGS__), FOUR((i) + 4, __VA_ARGS__), FOUR((i) + 8, __VA_ARGS__), FOUR((i) + 12, __VA_ARGS__)
#define SIXTY_FOUR(i, ...)                                                                                           \
    SIXTEEN(i, __VA_ARGS__), SIXTEEN((i) + 16, __VA_ARGS__), SIXTEEN((i) + 32, __VA_ARGS__),                         \
        SIXTEEN((i) + 48, __VA_ARGS__)
#define SLICE(...)                                                                                                   \
    {SIXTY_FOUR(0u, __VA_ARGS__), SIXTY_FOUR(64u, __VA_ARGS__), SIXTY_FOUR(128u, __VA_ARGS__),                       \
     SIXTY_FOUR(192u, __VA_ARGS__)}

/* Go on with a reflected CRC, whose register is inverted before and after. */
static inline uint32_t crc_by_slices(const uint32_t slices[8][256], uint32_t crc, const uint8_t *data, int64_t size) {
    crc = ~crc;
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word = load_u64(data) ^ crc;
        crc = slices[7][word & 255] ^ slices[6][word >> 8 & 255] ^ slices[5][word >> 16 & 255] ^
              slices[4][word >> 24 & 255] ^ slices[3][word >> 32 & 255] ^ slices[2][word >> 40 & 255] ^
              slices[1][word >> 48 & 255] ^ slices[0][word >> 56];
    }
    for (; size > 0; data++, size--)
        crc = slices[0][(crc ^ *data) & 255] ^ crc >> 8;
    return ~crc;
}

#endif
