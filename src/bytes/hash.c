/* hash.c - a keyed hash of byte strings.
 *
 * Two words of input are xored with two secret words, multiplied to 128 bits and folded: the low
 * half of the product xor the high one. Input of up to 16 bytes takes one such step, longer input
 * one per 16 bytes; the last step's words may overlap the ones before, so that no length needs
 * padding. A step more, over the length, spreads what is left of the input's shape.
 *
 * Unlike in wyhash, both factors are secret: were one of them a known constant, input that equals
 * the constant would make the product 0 whatever the seed, and with it collisions at will. */
#include "hash.h"
#include "varint.h"

/* Digits of pi after the point: numbers with nothing up their sleeve. */
#define PI_1 UINT64_C(0x243f6a8885a308d3)
#define PI_2 UINT64_C(0x13198a2e03707345)
#define PI_3 UINT64_C(0xa4093822299f31d1)
#define PI_4 UINT64_C(0x082efa98ec4e6c89)
#define PI_5 UINT64_C(0x452821e638d01377)

static inline uint64_t fold(uint64_t a, uint64_t b) {
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 uint128;
    uint128 product = (uint128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (uint32_t)middle;
    return (other << 32 | (uint32_t)low) ^ (a1 * b1 + (middle >> 32) + (other >> 32));
#endif
}

static inline uint64_t turned(uint64_t word) {
    return word << 32 | word >> 32;
}

/* Words that together hold every byte of an input of at most 16 bytes. The second one is turned,
 * since where both are the same word, swapping the factors must not be a way to collide. */
static inline void load_short(const uint8_t *at, size_t size, uint64_t *a, uint64_t *b) {
    *a = *b = 0;
    if (size >= 8) {
        *a = load_u64(at);
        *b = turned(load_u64(at + size - 8));
    } else if (size >= 4) {
        *a = load_u32(at);
        *b = load_u32(at + size - 4);
    } else if (size > 0) {
        *a = (uint64_t)at[0] << 16 | (uint64_t)at[size / 2] << 8 | at[size - 1];
    }
}

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed) {
    const uint8_t *at = (const uint8_t *)data;
    uint64_t secret = fold(seed ^ PI_1, PI_2), state = fold(seed ^ PI_3, PI_4);
    uint64_t a, b;

    if (size <= 16) {
        load_short(at, size, &a, &b);
    } else {
        size_t left = size;
        if (left > 64) {
            /* Two chains at once: a single one would wait for each product. */
            uint64_t other = state ^ PI_5;
            for (; left > 32; at += 32, left -= 32) {
                state = fold(load_u64(at) ^ state, load_u64(at + 8) ^ secret);
                other = fold(load_u64(at + 16) ^ other, load_u64(at + 24) ^ secret);
            }
            state ^= turned(other);
        }
        for (; left > 16; at += 16, left -= 16) {
            state = fold(load_u64(at) ^ state, load_u64(at + 8) ^ secret);
        }
        a = load_u64(at + left - 16);
        b = load_u64(at + left - 8);
    }
    state = fold(a ^ state, b ^ secret);
    return fold(state ^ size, secret ^ PI_5);
}
