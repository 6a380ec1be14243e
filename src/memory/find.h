/* find.h - finding keys: from a hash to the line of its bucket, and along the chain.
 *
 * Inline, and with few branches that depend on what was read. While a processor waits for memory it
 * goes on, with the next operation too, and its waits overlap: for as long as it guesses each
 * branch, and for a few hundred instructions.
 */
#ifndef PKV_FIND_H
#define PKV_FIND_H

#include <string.h>
#include "block.h"
#include "shard.h"
#include "words.h"
#include "../os/visibility.h"

/* ---- Keys */

#define TAG_SHIFT 40

/* 8 bits that depend on all of these bytes (Fibonacci hashing, Knuth). */
static inline uint8_t hash_of_others(const shard *s, const void *other_bytes) {
    uint64_t word = 0;
    memcpy(&word, other_bytes, BLOCK_KEY_FIXED);
    return (uint8_t)((word ^ s->secret.state) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

/* The first byte of a fixed key. */
static inline uint8_t table_first_byte(const shard *s, uint8_t tag, const void *other_bytes) {
    return tag ^ hash_of_others(s, other_bytes);
}

static inline table_key table_key_of(const shard *s, const memory_key *key) {
    const uint8_t *bytes = (const uint8_t *)key->bytes.data;
    if (!s->fixed_keys) {
        return (table_key){bytes, key->bytes.size, key->hash, (uint8_t)(key->hash >> TAG_SHIFT)};
    }
    return (table_key){bytes + 1, BLOCK_KEY_FIXED, key->hash,
                       (uint8_t)(bytes[0] ^ hash_of_others(s, bytes + 1))};
}

/* ---- Buckets */

/* 2^k */
static inline uint32_t half_of(uint32_t buckets) {
    return (uint32_t)1 << (31u - (unsigned)__builtin_clz(buckets));
}

/* The bits of a hash that choose among so many buckets; or all but the uppermost, for those that
 * have not been split yet. */
static inline uint32_t table_mask(uint32_t buckets) {
    return 2 * half_of(buckets) - 1;
}

/* The number of the bucket of a hash in a table of this extent. */
static inline uint32_t table_bucket(uint64_t extent, uint64_t hash) {
    uint32_t mask = (uint32_t)(extent >> 32), bucket = (uint32_t)hash & mask;
    return bucket < (uint32_t)extent ? bucket : bucket & mask >> 1;
}

/* The line of a bucket. */
static inline uint8_t *table_line(const shard *s, uint32_t bucket) {
    const uint64_t *entry = &space_directory(&s->arena.space)[bucket / LINES_PER_CHUNK];
    uint64_t line = bucket % LINES_PER_CHUNK * (uint64_t)LINE_BYTES;
    line += __atomic_load_n(entry, __ATOMIC_RELAXED);
    return (uint8_t *)(uintptr_t)((uintptr_t)s + line);
}

static inline uint8_t *table_line_of(const shard *s, uint64_t hash) {
    return table_line(s, table_bucket(table_extent(&s->table), hash));
}

/* ---- Chains. What a reader without a lock finds counts only once the lock's version has been
 * looked at; the offsets are still to be read, by word_get. */

typedef struct glance {
    uint32_t found; /* slots that may be the key's, as bits; also empty ones */
    const uint32_t *offsets;
} glance;

/* The first of them, where there is one. */
static inline uint32_t glance_slot(const glance *g) {
    return (uint32_t)__builtin_ctz(g->found);
}

/* The next node of the chain; 0: none. */
static inline uint32_t glance_next(const glance *g) {
    return word_get(g->offsets - 1);
}

/* The bytes of `word` that equal `tag`, as a bit each; the one at the lowest address is bit 0.
 * (SWAR: Lamport 1975; Mycroft's test in its exact form.) */
static inline uint32_t bytes_that_equal(uint64_t word, uint8_t tag) {
    const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f), ones = UINT64_C(0x0101010101010101);
    uint64_t x = word ^ (ones * tag);
    uint64_t equal = ~(((x & low) + low) | x | low);
    return (uint32_t)((equal >> 7) * UINT64_C(0x0102040810204080) >> 56);
}

#if defined(__SSE2__) && WORDS_ANYWHERE /* so that the other way is tested too */
static inline uint32_t tags_that_equal(__m128i tags, uint8_t tag) {
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag)));
}

static inline uint32_t line_tags_that_equal(const uint8_t *line, uint8_t tag) {
    return tags_that_equal((__m128i) * (const volatile wide_anywhere *)line, tag);
}

static inline uint32_t node_tags_that_equal(const uint8_t *node, uint8_t tag) {
    return tags_that_equal(_mm_cvtsi64_si128((long long)*(const volatile pair_anywhere *)node),
                           tag);
}
#else
static inline uint32_t line_tags_that_equal(const uint8_t *line, uint8_t tag) {
    const uint64_t *pairs = (const uint64_t *)(const void *)line;
    uint64_t first = __atomic_load_n(pairs, __ATOMIC_RELAXED);
    uint64_t second = __atomic_load_n(pairs + 1, __ATOMIC_RELAXED);
    return bytes_that_equal(first, tag) | bytes_that_equal(second, tag) << 8;
}

static inline uint32_t node_tags_that_equal(const uint8_t *node, uint8_t tag) {
    const uint32_t *words = (const uint32_t *)(const void *)node;
    return bytes_that_equal(word_get(words) | (uint64_t)word_get(words + 1) << 32, tag);
}
#endif

static inline glance glance_line(const uint8_t *line, uint8_t tag) {
    return (glance){.found = line_tags_that_equal(line, tag) & ((1u << LINE_SLOTS) - 1),
                    .offsets = (const uint32_t *)(const void *)(line + LINE_SLOTS + 4)};
}

static inline glance glance_node(const shard *s, uint32_t node, uint8_t tag) {
    const uint8_t *at = shard_single_at(s, node);
    return (glance){.found = node_tags_that_equal(at, tag) & ((1u << NODE_SLOTS) - 1),
                    .offsets = (const uint32_t *)(const void *)(at + 12)};
}

/* ---- Ahead of reading. What is asked for may be out of date, or no offset at all: a prefetch of
 * any address is harmless. Only what is read must be there. */

/* Cache lines of a block that are asked for at once, since only its head tells how long it is. What
 * the rest of a longer one takes, the processor sees coming. */
#define BLOCK_LINES 3u

/* Those from the line `first` on. */
static inline void prefetch_block(const uint8_t *at, unsigned first) {
    for (unsigned i = first; i < BLOCK_LINES; i++) prefetch_to_read(at + i * LINE_BYTES);
}

#include "../os/visibility_end.h"
#endif
