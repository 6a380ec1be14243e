/* checksum.c - CRC-32C, three ways.
 *
 * A CRC is a remainder of polynomials over GF(2), so it is linear: tables can be put together from
 * the values of single bits, and the CRC of a long buffer from those of its parts. What all three
 * ways share: `state` is the complement of the public crc, and bits are reflected (bit 31 is the
 * coefficient of x^0). */
#include <stdbool.h>
#include "checksum.h"
#include "planted.h"
#include "varint.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CHECKSUM_X86
#include <immintrin.h>
#elif defined(__aarch64__) && (defined(__ARM_FEATURE_CRC32) || defined(__linux__))
#define CHECKSUM_ARM
#if !defined(__ARM_FEATURE_CRC32)
#include <sys/auxv.h>
#endif
#endif

/* ---- By tables. SPAN_8(v, b0 .. b7) lists, for n from 0 to 255, v xor each b whose bit n has. */

#define SPAN_1(v, a)                (v), (v) ^ (a)
#define SPAN_2(v, a, b)             SPAN_1(v, a), SPAN_1((v) ^ (b), a)
#define SPAN_3(v, a, b, c)          SPAN_2(v, a, b), SPAN_2((v) ^ (c), a, b)
#define SPAN_4(v, a, b, c, d)       SPAN_3(v, a, b, c), SPAN_3((v) ^ (d), a, b, c)
#define SPAN_5(v, a, b, c, d, e)    SPAN_4(v, a, b, c, d), SPAN_4((v) ^ (e), a, b, c, d)
#define SPAN_6(v, a, b, c, d, e, f) SPAN_5(v, a, b, c, d, e), SPAN_5((v) ^ (f), a, b, c, d, e)
#define SPAN_7(v, a, b, c, d, e, f, g)                                                             \
    SPAN_6(v, a, b, c, d, e, f), SPAN_6((v) ^ (g), a, b, c, d, e, f)
#define SPAN_8(v, a, b, c, d, e, f, g, h)                                                          \
    SPAN_7(v, a, b, c, d, e, f, g), SPAN_7((v) ^ (h), a, b, c, d, e, f, g)

/* tables[k][n]: the state after byte n and k zero bytes, begun with 0. */
static const uint32_t tables[8][256] = {
    {SPAN_8(0u, 0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu,
            0x417b1dbcu, 0x82f63b78u)},
    {SPAN_8(0u, 0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u,
            0xff17c604u, 0xfbc3faf9u)},
    {SPAN_8(0u, 0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u,
            0xc76580d9u, 0x8b277743u)},
    {SPAN_8(0u, 0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu,
            0xaba65fe7u, 0x52a0c93fu)},
    {SPAN_8(0u, 0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u,
            0x37516aaeu, 0x6ea2d55cu)},
    {SPAN_8(0u, 0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du,
            0x0e045bebu, 0x1c08b7d6u)},
    {SPAN_8(0u, 0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu,
            0x7ab7077au, 0xf56e0ef4u)},
    {SPAN_8(0u, 0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u,
            0x1a00cb32u, 0x34019664u)},
};

static uint32_t by_tables(uint32_t state, const uint8_t *at, size_t size) {
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t low = state ^ load_u32(at), high = load_u32(at + 4);
        state = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
                tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
                tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
    }
    for (; size > 0; at++, size--) state = state >> 8 ^ tables[0][(state ^ *at) & 0xff];
    return state;
}

uint32_t checksum_portable(uint32_t crc, const void *data, size_t size) {
    return ~by_tables(~crc, (const uint8_t *)data, size);
}

#if defined(CHECKSUM_X86)

/* The instruction takes a word every cycle but answers after three, so long buffers are read as
 * three neighbouring lanes at once, and the lanes' states joined: a state is shifted over the n
 * bytes behind it when it is multiplied by x^(8n), modulo the polynomial. A carry-less product of
 * two reflected words carries a factor x too many, and the crc32 instruction that reduces it adds
 * x^32, hence the 33. */
#define LANE_BYTES   256u
#define SHIFT_LANE   0xb9e02b86u /* x^(8 * 256 - 33) */
#define SHIFT_2LANES 0xdd7e3b0cu /* x^(8 * 512 - 33) */

#define X86_TARGET __attribute__((target("sse4.2,pclmul")))

static bool have_instruction(void) {
    bool crc32 = __builtin_cpu_supports("sse4.2"), product = __builtin_cpu_supports("pclmul");
    return crc32 & product;
}

X86_TARGET static inline uint64_t shifted(uint64_t state, uint32_t factor) {
    __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)state), _mm_cvtsi64_si128(factor), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

X86_TARGET static uint64_t three_lanes(uint64_t state, const uint8_t *at) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < LANE_BYTES; i += 8) {
        state = _mm_crc32_u64(state, load_u64(at + i));
        second = _mm_crc32_u64(second, load_u64(at + i + LANE_BYTES));
        third = _mm_crc32_u64(third, load_u64(at + i + 2 * LANE_BYTES));
    }
    return shifted(state, SHIFT_2LANES) ^ shifted(second, SHIFT_LANE) ^ third;
}

X86_TARGET static uint32_t by_instruction(uint32_t begin, const uint8_t *at, size_t size) {
    uint64_t state = begin;
    for (; size >= 3 * LANE_BYTES; at += 3 * LANE_BYTES, size -= 3 * LANE_BYTES) {
        state = three_lanes(state, at);
    }
    for (; size >= 32; at += 32, size -= 32) {
        state = _mm_crc32_u64(state, load_u64(at));
        state = _mm_crc32_u64(state, load_u64(at + 8));
        state = _mm_crc32_u64(state, load_u64(at + 16));
        state = _mm_crc32_u64(state, load_u64(at + 24));
    }
    for (; size >= 8; at += 8, size -= 8) state = _mm_crc32_u64(state, load_u64(at));
    uint32_t rest = (uint32_t)state;
    for (; size > 0; at++, size--) rest = _mm_crc32_u8(rest, *at);
    return rest;
}

#elif defined(CHECKSUM_ARM)

#if defined(__ARM_FEATURE_CRC32)
static bool have_instruction(void) {
    return true;
}
#else
/* HWCAP_CRC32 of asm/hwcap.h. getauxval reads a word that libc keeps. */
static bool have_instruction(void) {
    return (getauxval(AT_HWCAP) & 1ul << 7) != 0;
}
#endif

/* Assembled by hand, since what it takes to have the intrinsics differs between compilers. */
static inline uint32_t step_8(uint32_t state, uint64_t word) {
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(state) : "r"(word));
    return state;
}

static inline uint32_t step_1(uint32_t state, uint32_t byte) {
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(state) : "r"(byte));
    return state;
}

static uint32_t by_instruction(uint32_t state, const uint8_t *at, size_t size) {
    for (; size >= 8; at += 8, size -= 8) state = step_8(state, load_u64(at));
    for (; size > 0; at++, size--) state = step_1(state, *at);
    return state;
}

#else

static bool have_instruction(void) {
    return false;
}
#define by_instruction by_tables

#endif

uint32_t checksum(uint32_t crc, const void *data, size_t size) {
    if (!have_instruction()) /* GCOVR_EXCL_BR_LINE: a processor has one answer */
        return checksum_portable(crc, data, size);
    return ~by_instruction(~crc, (const uint8_t *)data, size);
}

uint32_t checksum_seed(uint64_t ordinal, uint64_t salt) {
    if (PLANTED(drop_checksum_seed)) return 0;
    uint8_t bytes[16];
    store_u64(bytes, ordinal);
    store_u64(bytes + 8, salt);
    return checksum(0, bytes, salt ? 16 : 8);
}

/* ---- Sums of parts */

#define POLYNOMIAL 0x82f63b78u

/* x^(8 * 2^n). The order of x is 2^31 - 1, so the next would be the first again. */
static const uint32_t powers[31] = {
    0x00800000u, 0x00008000u, 0x82f63b78u, 0x6ea2d55cu, 0x18b8ea18u, 0x510ac59au, 0xb82be955u,
    0xb8fdb1e7u, 0x88e56f72u, 0x74c360a4u, 0xe4172b16u, 0x0d65762au, 0x35d73a62u, 0x28461564u,
    0xbf455269u, 0xe2ea32dcu, 0xfe7740e6u, 0xf946610bu, 0x3c204f8fu, 0x538586e3u, 0x59726915u,
    0x734d5309u, 0xbc1ac763u, 0x7d0722ccu, 0xd289cabeu, 0xe94ca9bcu, 0x05b74f3fu, 0xa51e1f42u,
    0x40000000u, 0x20000000u, 0x08000000u};

static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (; a; a <<= 1) {
        if (a & 0x80000000u) product ^= b;
        b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

/* The complements of state and result cancel each other, as in checksum(0, b). */
uint32_t checksum_over(uint32_t crc, size_t size) {
    for (size_t n = 0; size > 0; n++, size >>= 1) {
        if (size & 1) crc = multiply(crc, powers[n % 31]);
    }
    return crc;
}

/* Backwards, bit by bit. The polynomial's top bit is set and a state that was shifted has none
 * there, so the top bit tells whether the polynomial was added. */
uint32_t checksum_before(uint32_t after, const void *data, size_t size) {
    const uint8_t *bytes = (const uint8_t *)data;
    uint32_t state = ~after;
    while (size-- > 0) {
        for (int bit = 0; bit < 8; bit++) {
            state = state & 0x80000000u ? (state ^ POLYNOMIAL) << 1 | 1 : state << 1;
        }
        state ^= bytes[size];
    }
    return ~state;
}
