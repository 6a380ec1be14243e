/* words.h - memory that one thread writes while others may read it. What they read counts only once
 * the sequence lock has said that nobody wrote meanwhile (seqlock.h).
 *
 * All of it is written and read by granules or pairs of granules, each atomic, in no order
 * ("relaxed"): a read in the midst of a write finds old and new words, and nothing worse. Whoever
 * holds the lock that keeps writers out may read as he likes.
 */
#ifndef PKV_WORDS_H
#define PKV_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "../os/visibility.h"

/* Some read two words as one number, or a number's bytes. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error the index and the blocks are read as little-endian numbers
#endif

static inline uint32_t word_get(const uint32_t *at) {
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void word_set(uint32_t *at, uint32_t value) {
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static inline uint8_t byte_get(const uint8_t *at) {
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void byte_set(uint8_t *at, uint8_t value) {
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

/* ---- Bytes of any alignment, to be copied or compared: read in what pieces the processor likes,
 * each once. That is volatile and not atomic, as in Linux's READ_ONCE; ThreadSanitizer knows only
 * what is atomic, and other compilers and processors only what the standard says. */

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__)) &&                          \
    !defined(__SANITIZE_THREAD__)
#define WORDS_ANYWHERE 1
typedef uint32_t word_anywhere __attribute__((aligned(1), may_alias));
typedef uint64_t pair_anywhere __attribute__((aligned(1), may_alias));
typedef long long wide_anywhere __attribute__((vector_size(16), aligned(1), may_alias));

/* The bits in which shared bytes differ from private ones. */
static inline uint32_t word_difference(const void *shared, const void *with) {
    return *(const volatile word_anywhere *)shared ^ *(const word_anywhere *)with;
}

static inline uint64_t pair_difference(const void *shared, const void *with) {
    return *(const volatile pair_anywhere *)shared ^ *(const pair_anywhere *)with;
}

static inline void wide_copy(void *to, const void *from) {
    *(volatile wide_anywhere *)to = *(const volatile wide_anywhere *)from;
}

/* 32 bytes. */
static inline void wides_copy(uint8_t *to, const uint8_t *from) {
    wide_copy(to, from);
    wide_copy(to + 16, from + 16);
}

static inline void line_copy(uint8_t *to, const uint8_t *from) {
    wides_copy(to, from);
    wides_copy(to + 32, from + 32);
}

static inline void word_copy(void *to, const void *from) {
    *(volatile word_anywhere *)to = *(const volatile word_anywhere *)from;
}

static inline void pair_copy(void *to, const void *from) {
    *(volatile pair_anywhere *)to = *(const volatile pair_anywhere *)from;
}
#else
#define WORDS_ANYWHERE 0
#endif

/* Copies between shared and private memory, either way. */
static inline __attribute__((always_inline)) void bytes_copy(void *to, const void *from,
                                                             size_t size) {
    uint8_t *out = (uint8_t *)to;
    const uint8_t *in = (const uint8_t *)from;
#if WORDS_ANYWHERE
    /* The pieces at the end overlap those at the start, so that up to 128 bytes take no loop. */
    if (size > 16) {
        for (; size > 128; out += 64, in += 64, size -= 64) line_copy(out, in);
        if (size > 64) {
            line_copy(out, in);
            line_copy(out + size - 64, in + size - 64);
        } else if (size > 32) {
            wides_copy(out, in);
            wides_copy(out + size - 32, in + size - 32);
        } else {
            wide_copy(out, in);
            wide_copy(out + size - 16, in + size - 16);
        }
        return;
    }
    if (size >= 8) {
        pair_copy(out, in);
        pair_copy(out + size - 8, in + size - 8);
        return;
    }
    if (size >= 4) {
        word_copy(out, in);
        word_copy(out + size - 4, in + size - 4);
        return;
    }
#endif
    for (size_t i = 0; i < size; i++) {
        __atomic_store_n(out + i, __atomic_load_n(in + i, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    }
}

#if defined(__SSE2__) && WORDS_ANYWHERE
/* Whether 16 shared bytes are the same as private ones. */
static inline bool wide_equal(const void *shared, const void *with) {
    __m128i a = (__m128i) * (const volatile wide_anywhere *)shared;
    return _mm_movemask_epi8(_mm_cmpeq_epi8(a, (__m128i) * (const wide_anywhere *)with)) == 0xffff;
}
#endif

/* Whether they are the same as private ones. */
static inline bool bytes_equal(const void *shared, const void *with, size_t size) {
    const uint8_t *a = (const uint8_t *)shared, *b = (const uint8_t *)with;
    uint64_t difference = 0;
#if defined(__SSE2__) && WORDS_ANYWHERE
    if (size >= 16) {
        if (!wide_equal(a + size - 16, b + size - 16)) return false;
        for (; size > 16; a += 16, b += 16, size -= 16) {
            if (!wide_equal(a, b)) return false;
        }
        return true;
    }
#endif
#if WORDS_ANYWHERE
    if (size >= 8) {
        difference = pair_difference(a, b) | pair_difference(a + size - 8, b + size - 8);
        for (size_t i = 8; i + 8 < size; i += 8) difference |= pair_difference(a + i, b + i);
        return difference == 0;
    }
    if (size >= 4)
        return (word_difference(a, b) | word_difference(a + size - 4, b + size - 4)) == 0;
#endif
    for (size_t i = 0; i < size; i++) difference |= __atomic_load_n(a + i, __ATOMIC_RELAXED) ^ b[i];
    return difference == 0;
}

static inline void words_clear(void *shared, size_t bytes) {
    uint32_t *at = (uint32_t *)shared;
    for (size_t i = 0; i < bytes / 4; i++) word_set(at + i, 0);
}

#include "../os/visibility_end.h"
#endif
