/* words.h - memory that one thread writes while others may read it. What they read counts only once
 * the sequence lock has said that nobody wrote meanwhile (seqlock.h).
 *
 * All of it is written and read by granules or pairs of granules, each atomic, in no order
 * ("relaxed"): a read in the midst of a write finds old and new words, and nothing worse. Whoever
 * holds the lock that keeps writers out may read as he likes.
 */
#ifndef PKV_WORDS_H
#define PKV_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "../os/visibility.h"

static inline uint32_t word_get(const uint32_t *at) {
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void word_set(uint32_t *at, uint32_t value) {
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

/* Copy `bytes`, whole granules, between a granule on in shared memory and private memory of any
 * alignment. */
static inline void words_get(void *to, const void *shared, size_t bytes) {
    const uint8_t *from = (const uint8_t *)shared, *end = from + bytes;
    uint8_t *out = (uint8_t *)to;
    if (((uintptr_t)from & 4) != 0 && from < end) {
        uint32_t word = word_get((const uint32_t *)(const void *)from);
        memcpy(out, &word, 4);
        from += 4;
        out += 4;
    }
    for (; end - from >= 8; from += 8, out += 8) {
        uint64_t pair = __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_RELAXED);
        memcpy(out, &pair, 8);
    }
    if (from < end) {
        uint32_t word = word_get((const uint32_t *)(const void *)from);
        memcpy(out, &word, 4);
    }
}

static inline void words_set(void *shared, const void *from, size_t bytes) {
    uint8_t *to = (uint8_t *)shared, *end = to + bytes;
    const uint8_t *in = (const uint8_t *)from;
    if (((uintptr_t)to & 4) != 0 && to < end) {
        uint32_t word;
        memcpy(&word, in, 4);
        word_set((uint32_t *)(void *)to, word);
        to += 4;
        in += 4;
    }
    for (; end - to >= 8; to += 8, in += 8) {
        uint64_t pair;
        memcpy(&pair, in, 8);
        __atomic_store_n((uint64_t *)(void *)to, pair, __ATOMIC_RELAXED);
    }
    if (to < end) {
        uint32_t word;
        memcpy(&word, in, 4);
        word_set((uint32_t *)(void *)to, word);
    }
}

static inline void words_clear(void *shared, size_t bytes) {
    uint32_t *at = (uint32_t *)shared;
    for (size_t i = 0; i < bytes / 4; i++) word_set(at + i, 0);
}

#include "../os/visibility_end.h"
#endif
