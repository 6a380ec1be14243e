#include "hash.h"

/* Digits of pi after the point: numbers with nothing up their sleeve. */
#define PI_1 UINT64_C(0x243f6a8885a308d3)
#define PI_2 UINT64_C(0x13198a2e03707345)
#define PI_3 UINT64_C(0xa4093822299f31d1)
#define PI_4 UINT64_C(0x082efa98ec4e6c89)
#define PI_5 UINT64_C(0x452821e638d01377)

hash_secret hash_secret_of(uint64_t seed) {
    uint64_t factor = hash_fold(seed ^ PI_1, PI_2);
    return (hash_secret){factor, hash_fold(seed ^ PI_3, PI_4), factor ^ PI_5};
}

static uint64_t hash_short(const hash_secret *secret, const uint8_t *at, size_t size) {
    uint64_t a = 0, b = 0;
    if (size >= 4) {
        a = load_u32(at);
        b = load_u32(at + size - 4);
    } else if (size > 0) {
        a = (uint64_t)at[0] << 16 | (uint64_t)at[size / 2] << 8 | at[size - 1];
    }
    return hash_last(secret, secret->state, a, b, size);
}

uint64_t hash_other(const hash_secret *secret, const void *data, size_t size) {
    const uint8_t *at = (const uint8_t *)data;
    if (size < 8) return hash_short(secret, at, size);
    uint64_t factor = secret->factor, state = secret->state;
    size_t left = size;
    if (left > 64) {
        /* Two chains at once: a single one would wait for each product. */
        uint64_t other = state ^ PI_5;
        for (; left > 32; at += 32, left -= 32) {
            state = hash_fold(load_u64(at) ^ state, load_u64(at + 8) ^ factor);
            other = hash_fold(load_u64(at + 16) ^ other, load_u64(at + 24) ^ factor);
        }
        state ^= hash_turned(other);
    }
    for (; left > 16; at += 16, left -= 16) {
        state = hash_fold(load_u64(at) ^ state, load_u64(at + 8) ^ factor);
    }
    return hash_last(secret, state, load_u64(at + left - 16), load_u64(at + left - 8), size);
}
