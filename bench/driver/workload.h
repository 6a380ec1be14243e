/* workload.h - keys, values, and which entry is next: by arithmetic, so that making an operation
 * costs a few nanoseconds and touches nothing but some kilobytes that stay in the first cache.
 *
 * Entries are numbers from 0. The key of an entry is a bijection of its number that looks random.
 * Its value is a piece of a pool of random bytes: where the piece begins depends on the entry, and
 * on the round in which it was written, whose last three bits each byte of the pool repeats. So a
 * value that was read tells whose it is and when it was set.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <string.h>

#include "adapter.h"

#define KEY_MAX    16
#define VALUE_MAX  ((size_t)4096)
#define POOL_SLOTS 512
#define ROUNDS     8 /* that can be told apart */

typedef struct workload {
    uint64_t entries;
    size_t key_size, value_size;
    /* Values have value_size bytes, or, where they vary, between half and one and a half of it. */
    int varying;
    uint64_t round;
} workload;

extern unsigned char workload_pool[POOL_SLOTS * ROUNDS + VALUE_MAX];

void workload_make_pool(void);

/* The last steps of splitmix64: a bijection. */
static inline uint64_t mix(uint64_t x) {
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* A number below `limit` out of a random one: its upper bits decide. */
static inline uint64_t below(uint64_t random, uint64_t limit) {
    return (uint64_t)((unsigned __int128)random * limit >> 64);
}

/* 32 bits as eight hexadecimal digits. */
static inline uint64_t hexadecimal(uint32_t bits) {
    uint64_t x = bits;
    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = (x + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    return x + UINT64_C(0x3030303030303030) + letters * ('a' - '0' - 10);
}

static inline bench_bytes make_key(const workload *w, uint64_t entry, unsigned char key[KEY_MAX]) {
    uint64_t bits = mix(entry);
    if (w->key_size == 8) {
        memcpy(key, &bits, 8);
    } else {
        uint64_t digits[2] = {hexadecimal((uint32_t)bits), hexadecimal((uint32_t)(bits >> 32))};
        memcpy(key, digits, 16);
    }
    return (bench_bytes){key, w->key_size};
}

static inline const unsigned char *value_in_pool(uint64_t entry, uint64_t round) {
    uint64_t slot = entry * UINT64_C(0x9e3779b97f4a7c15) >> 55;
    return workload_pool + slot * ROUNDS + round % ROUNDS;
}

static inline size_t varied_size(const workload *w, uint64_t entry, uint64_t round) {
    return w->value_size / 2 + below(mix(entry ^ round % ROUNDS << 48), w->value_size + 1);
}

static inline bench_bytes make_value(const workload *w, uint64_t entry) {
    size_t size = w->varying ? varied_size(w, entry, w->round) : w->value_size;
    return (bench_bytes){value_in_pool(entry, w->round), size};
}

static inline int is_same(const unsigned char *a, const unsigned char *b, size_t size) {
    uint64_t x, y;
    if (size != 8) return memcmp(a, b, size) == 0;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return x == y;
}

/* Whether a value can be that of the entry, by its size, its first and its last eight bytes. */
static inline int is_value(const workload *w, uint64_t entry, const unsigned char *value,
                           size_t size) {
    size_t ends = size < 8 ? size : 8, rest = size - ends;
    uint64_t round = value[0] % ROUNDS;
    if (size != w->value_size && (!w->varying || size != varied_size(w, entry, round))) return 0;
    const unsigned char *wanted = value_in_pool(entry, round);
    return is_same(value, wanted, ends) && is_same(value + rest, wanted + rest, ends);
}

/* Whether it was also written in the round that is going on. */
static inline int is_recent(const workload *w, const unsigned char *value) {
    return value[0] % ROUNDS == w->round % ROUNDS;
}

/* ---- Which entry is next */

static inline uint64_t next_random(uint64_t *state) {
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

/* All numbers below `entries` once, far from each other: steps of a large prime. */
#define STRIDE UINT64_C(2654435761)

typedef struct permutation {
    uint64_t entries, step, at;
} permutation;

/* The one that begins where the whole one is after `skip` steps. */
permutation permutation_from(uint64_t entries, uint64_t skip);

static inline uint64_t next_permuted(permutation *p) {
    uint64_t entry = p->at;
    p->at += p->step;
    if (p->at >= p->entries) p->at -= p->entries;
    return entry;
}

/* Ranks from 0, drawn with a probability proportional to 1 / (rank + 1) ^ 0.99.
 *
 * The ranks are cut into ranges: single ones first, then ranges that grow with the rank, within
 * which all ranks are taken as equally likely (the ends of a range differ by about 3 %). A range is
 * drawn by Walker's alias method. The ranges of ten million ranks take 10 KB. */
#define ZIPF_SINGLE 256
#define ZIPF_GROWTH 32
#define ZIPF_RANGES 2048

typedef struct zipf {
    uint64_t count; /* of ranges */
    struct {
        uint32_t first, ranks;
        uint32_t threshold, alias; /* another range, if a random number is not below */
    } ranges[ZIPF_RANGES];
} zipf;

void zipf_make(zipf *z, uint64_t entries);

static inline uint64_t zipf_rank(const zipf *z, uint64_t *state) {
    uint64_t random = next_random(state);
    uint64_t range = below(random, z->count);
    if ((uint32_t)random >= z->ranges[range].threshold) range = z->ranges[range].alias;
    if (z->ranges[range].ranks == 1) return z->ranges[range].first;
    return z->ranges[range].first + below(next_random(state), z->ranges[range].ranks);
}

/* Spreads the frequent ranks over the entries, so that they are no neighbours in memory. */
static inline uint64_t zipf_entry(const zipf *z, uint64_t *state, uint64_t entries) {
    return below(mix(zipf_rank(z, state) ^ UINT64_C(0x5bd1e995)), entries);
}

#endif
