/* hash.h - a seeded 64-bit hash of byte strings, all of whose bits are good. The log's shards are
 * chosen by it, so the manifest keeps its seed, and a check by which another function would be
 * known.
 *
 * In the manner of wyhash (Wang Yi 2019): two words of input are xored with two secret words,
 * multiplied to 128 bits and folded, the low half of the product xor the high one. Input of up to
 * 16 bytes takes one such step, longer input one per 16 bytes; the last step's words may overlap
 * the ones before, so that no length needs padding. A step more, over the length, spreads what is
 * left of the input's shape.
 *
 * Unlike in wyhash, both factors are secret: were one of them a known constant, input that equals
 * the constant would make the product 0 whatever the seed, and with it collisions at will. */
#ifndef PKV_HASH_H
#define PKV_HASH_H

#include <stddef.h>
#include <stdint.h>
#include "varint.h"
#include "../os/visibility.h"

/* What a seed is made into once. */
typedef struct hash_secret {
    uint64_t factor, state, last_factor;
} hash_secret;

hash_secret hash_secret_of(uint64_t seed);

static inline uint64_t hash_fold(uint64_t a, uint64_t b) {
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

static inline uint64_t hash_turned(uint64_t word) {
    return word << 32 | word >> 32;
}

static inline uint64_t hash_last(const hash_secret *secret, uint64_t state, uint64_t a, uint64_t b,
                                 size_t size) {
    state = hash_fold(a ^ state, b ^ secret->factor);
    return hash_fold(state ^ size, secret->last_factor);
}

/* Of less than 8 bytes, and of more than 16. */
uint64_t hash_other(const hash_secret *secret, const void *data, size_t size);

/* The second word is turned, since where both are the same word, swapping the factors must not be a
 * way to collide. */
static inline uint64_t hash_with(const hash_secret *secret, const void *data, size_t size) {
    if (size - 8 > 8) return hash_other(secret, data, size);
    const uint8_t *at = (const uint8_t *)data;
    uint64_t a = load_u64(at), b = hash_turned(load_u64(at + size - 8));
    return hash_last(secret, secret->state, a, b, size);
}

/* With a seed that is used once. */
static inline uint64_t hash_bytes(const void *data, size_t size, uint64_t seed) {
    hash_secret secret = hash_secret_of(seed);
    return hash_with(&secret, data, size);
}

#include "../os/visibility_end.h"
#endif
