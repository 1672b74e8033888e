/* CRC-32 (reflected polynomial 0xEDB88320), the checksum of a zip's members, and so of .npz.
 *
 * x86 has no instruction for it, but a carry-less product: 64 bytes are kept as four remainders of 16 bytes, each of which is
 * moved over the next 64 bytes by two products with x^n mod P and added to them. What is left in the end are 16 bytes with
 * the same remainder as all that came before, and the table goes on from there.
 * Gopal and others, Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction (Intel, 2009).
 */
#include "kernels.h"
#include "slices.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const uint32_t SLICES[8][256] = {
    SLICE(0x77073096u, 0xee0e612cu, 0x076dc419u, 0x0edb8832u, 0x1db71064u, 0x3b6e20c8u, 0x76dc4190u, 0xedb88320u),
    SLICE(0x191b3141u, 0x32366282u, 0x646cc504u, 0xc8d98a08u, 0x4ac21251u, 0x958424a2u, 0xf0794f05u, 0x3b83984bu),
    SLICE(0x01c26a37u, 0x0384d46eu, 0x0709a8dcu, 0x0e1351b8u, 0x1c26a370u, 0x384d46e0u, 0x709a8dc0u, 0xe1351b80u),
    SLICE(0xb8bc6765u, 0xaa09c88bu, 0x8f629757u, 0xc5b428efu, 0x5019579fu, 0xa032af3eu, 0x9b14583du, 0xed59b63bu),
    SLICE(0x3d6029b0u, 0x7ac05360u, 0xf580a6c0u, 0x30704bc1u, 0x60e09782u, 0xc1c12f04u, 0x58f35849u, 0xb1e6b092u),
    SLICE(0xcb5cd3a5u, 0x4dc8a10bu, 0x9b914216u, 0xec53826du, 0x03d6029bu, 0x07ac0536u, 0x0f580a6cu, 0x1eb014d8u),
    SLICE(0xa6770bb4u, 0x979f1129u, 0xf44f2413u, 0x33ef4e67u, 0x67de9cceu, 0xcfbd399cu, 0x440b7579u, 0x8816eaf2u),
    SLICE(0xccaa009eu, 0x4225077du, 0x844a0efau, 0xd3e51bb5u, 0x7cbb312bu, 0xf9766256u, 0x299dc2edu, 0x533b85dau),
};

uint32_t rb_crc32_table(uint32_t crc, const uint8_t *data, int64_t size) {
    return crc_by_slices(SLICES, crc, data, size);
}

#if defined(__x86_64__)

enum { LEAST = 128 }; /* bytes that are worth it */

__attribute__((target("sse4.1,pclmul"))) static __m128i load(const uint8_t *data) {
    return _mm_loadu_si128((const __m128i *)data);
}

/* Move a remainder over the bytes up to `next`, and add those. factors: x^(n+32) and x^(n-32) for a move over n bits. */
__attribute__((target("sse4.1,pclmul"))) static __m128i fold(__m128i remainder, __m128i factors, __m128i next) {
    __m128i low = _mm_clmulepi64_si128(remainder, factors, 0x00);
    __m128i high = _mm_clmulepi64_si128(remainder, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("sse4.1,pclmul"))) static uint32_t crc32_x86(uint32_t crc, const uint8_t *data, int64_t size) {
    const __m128i over_64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4), over_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i a = _mm_xor_si128(load(data), _mm_cvtsi32_si128((int)~crc)), b = load(data + 16), c = load(data + 32),
            d = load(data + 48);
    for (data += 64, size -= 64; size >= 64; data += 64, size -= 64) {
        a = fold(a, over_64, load(data));
        b = fold(b, over_64, load(data + 16));
        c = fold(c, over_64, load(data + 32));
        d = fold(d, over_64, load(data + 48));
    }
    a = fold(fold(fold(a, over_16, b), over_16, c), over_16, d);
    for (; size >= 16; data += 16, size -= 16)
        a = fold(a, over_16, load(data));
    uint8_t left[16];
    _mm_storeu_si128((__m128i *)left, a);
    crc = rb_crc32_table(~0u, left, sizeof left); /* ~0: a register of 0, as the first one is in `a` already */
    return rb_crc32_table(crc, data, size);
}

uint32_t rb_crc32(uint32_t crc, const uint8_t *data, int64_t size) {
    if (size >= LEAST && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("pclmul"))
        return crc32_x86(crc, data, size);
    return rb_crc32_table(crc, data, size);
}

#else

uint32_t rb_crc32(uint32_t crc, const uint8_t *data, int64_t size) { return rb_crc32_table(crc, data, size); }

#endif
