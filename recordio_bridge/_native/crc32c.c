/* CRC-32C (Castagnoli; reflected polynomial 0x82F63B78), the checksum of TFRecord.
 *
 * The processor's instruction takes 8 bytes at a latency of 3 cycles but can start one every cycle, so three
 * neighbouring stretches are summed at a time and joined by a carry-less product: shifting a CRC over n bytes is a
 * product with x^(8n-33) mod P (33 = 32 that the crc instruction adds, and 1 for the reflected product).
 * Without the instruction: the table of eight slices.
 */
#include "kernels.h"
#include "slices.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

static const uint32_t SLICES[8][256] = {
    SLICE(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u),
    SLICE(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u, 0xfbc3faf9u),
    SLICE(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u, 0x8b277743u),
    SLICE(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u, 0x52a0c93fu),
    SLICE(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu, 0x6ea2d55cu),
    SLICE(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu, 0x1c08b7d6u),
    SLICE(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au, 0xf56e0ef4u),
    SLICE(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u, 0x34019664u),
};

uint32_t rb_crc32c_table(uint32_t crc, const uint8_t *data, int64_t size) {
    return crc_by_slices(SLICES, crc, data, size);
}

#if defined(__x86_64__)

enum { LONG_STRETCH = 4096, SHORT_STRETCH = 256 };

__attribute__((target("sse4.2,pclmul"))) static uint32_t shift(uint32_t crc, uint32_t factor) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc), _mm_cvtsi32_si128((int)factor), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* Three stretches of `stretch` bytes; once and twice are x^(8n-33) for one and two of them. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t three(uint32_t crc, const uint8_t *data, int64_t stretch,
                                                               uint32_t once, uint32_t twice) {
    uint64_t a = crc, b = 0, c = 0;
    for (int64_t i = 0; i < stretch; i += 8) {
        a = _mm_crc32_u64(a, load_u64(data + i));
        b = _mm_crc32_u64(b, load_u64(data + stretch + i));
        c = _mm_crc32_u64(c, load_u64(data + 2 * stretch + i));
    }
    return shift((uint32_t)a, twice) ^ shift((uint32_t)b, once) ^ (uint32_t)c;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_x86(uint32_t crc, const uint8_t *data, int64_t size) {
    crc = ~crc;
    for (; size >= 3 * LONG_STRETCH; data += 3 * LONG_STRETCH, size -= 3 * LONG_STRETCH)
        crc = three(crc, data, LONG_STRETCH, 0x82f89c77u, 0x54a86326u);
    for (; size >= 3 * SHORT_STRETCH; data += 3 * SHORT_STRETCH, size -= 3 * SHORT_STRETCH)
        crc = three(crc, data, SHORT_STRETCH, 0xb9e02b86u, 0xdd7e3b0cu);
    uint64_t wide = crc;
    for (; size >= 8; data += 8, size -= 8)
        wide = _mm_crc32_u64(wide, load_u64(data));
    crc = (uint32_t)wide;
    for (; size > 0; data++, size--)
        crc = _mm_crc32_u8(crc, *data);
    return ~crc;
}

uint32_t rb_crc32c(uint32_t crc, const uint8_t *data, int64_t size) {
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return crc32c_x86(crc, data, size);
    return rb_crc32c_table(crc, data, size);
}

#elif defined(__aarch64__) && defined(__linux__)

__attribute__((target("+crc"))) static uint32_t crc32c_arm(uint32_t crc, const uint8_t *data, int64_t size) {
    crc = ~crc;
    for (; size >= 8; data += 8, size -= 8)
        crc = __crc32cd(crc, load_u64(data));
    for (; size > 0; data++, size--)
        crc = __crc32cb(crc, *data);
    return ~crc;
}

uint32_t rb_crc32c(uint32_t crc, const uint8_t *data, int64_t size) {
    if (getauxval(AT_HWCAP) & (1 << 7)) /* HWCAP_CRC32 */
        return crc32c_arm(crc, data, size);
    return rb_crc32c_table(crc, data, size);
}

#elif defined(__aarch64__) && defined(__APPLE__)

/* Every 64-bit Apple processor has the instruction, and its compiler allows it without asking. */
uint32_t rb_crc32c(uint32_t crc, const uint8_t *data, int64_t size) {
    crc = ~crc;
    for (; size >= 8; data += 8, size -= 8)
        crc = __builtin_arm_crc32cd(crc, load_u64(data));
    for (; size > 0; data++, size--)
        crc = __builtin_arm_crc32cb(crc, *data);
    return ~crc;
}

#else

uint32_t rb_crc32c(uint32_t crc, const uint8_t *data, int64_t size) { return rb_crc32c_table(crc, data, size); }

#endif

/* TensorFlow stores checksums rotated by 15 bits plus a constant (record_writer.h), so that a CRC over data that
 * holds CRCs stays useful. */
uint32_t rb_mask_crc(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }
