/* Reading one entry: without a lock where it is small and nobody writes meanwhile, else under it.
 */
#include "../bytes/limits.h"
#include "find.h"

/* A longer block is read under the lock. */
#define PEEK_BYTES 2048u

typedef struct reading {
    const shard *s;
    table_key key;
    uint32_t version; /* of the shard, when the look began */
    void *buffer;     /* for the value */
    size_t capacity;
    size_t *size;
    pkv_type *type;
} reading;

typedef enum look {
    LOOK_FOUND,
    LOOK_NOTHING,
    LOOK_SPOILT, /* somebody has written: what was read means nothing */
    LOOK_LONG    /* a block for the lock */
} look;

/* Into the buffer, where it counts only if it is found to be the value. */
static inline void copy_value(const reading *r, const uint8_t *value, size_t size) {
    bytes_copy(r->buffer, value, size < r->capacity ? size : r->capacity);
}

static inline look tell(const reading *r, const block *b) {
    *r->size = b->value_size;
    if (r->type != NULL) *r->type = b->type;
    return LOOK_FOUND;
}

/* ---- Without a lock */

static bool is_unchanged(const reading *r) {
    return seqlock_unchanged(&r->s->lock, r->version);
}

/* LOOK_NOTHING where the block is another key's. */
static inline __attribute__((always_inline)) look look_at_block(const reading *r, uint32_t offset) {
    const uint8_t *at = shard_at(r->s, offset);
    prefetch_block(at, 1);
    const uint32_t *words = (const uint32_t *)(const void *)at;
    uint64_t head = word_get(words) | (uint64_t)word_get(words + 1) << 32;
    if (!is_unchanged(r)) return LOOK_SPOILT;

    block b;
    size_t head_size = block_peek(head, r->s->fixed_keys, &b);
    if (head_size == 0) {
        uint64_t copy[2] = {head, word_get(words + 2)};
        if (!is_unchanged(r)) return LOOK_SPOILT;
        head_size = block_head((const uint8_t *)copy, r->s->fixed_keys, &b);
        if (b.key_size + b.value_size > PEEK_BYTES) return LOOK_LONG;
    }
    if (b.key_size != r->key.size) return LOOK_NOTHING;
    at += head_size;
    if (!bytes_equal(at, r->key.data, b.key_size)) {
        return is_unchanged(r) ? LOOK_NOTHING : LOOK_SPOILT;
    }
    copy_value(r, at + b.key_size, b.value_size);
    return is_unchanged(r) ? tell(r, &b) : LOOK_SPOILT;
}

static inline __attribute__((always_inline)) look look_for(reading *r) {
    r->version = seqlock_version(&r->s->lock);
    if (r->version % 2 != 0) return LOOK_SPOILT;
    glance here = glance_line(r->s, table_line_of(r->s, r->key.hash), r->key.tag);
    for (;;) {
        if (!is_unchanged(r)) return LOOK_SPOILT;
        for (; here.found != 0; here.found &= here.found - 1) {
            uint32_t offset = word_get(&here.offsets[__builtin_ctz(here.found)]);
            if (!is_unchanged(r)) return LOOK_SPOILT;
            if (offset == 0) break; /* and so are those behind it */
            look seen = look_at_block(r, offset);
            if (seen != LOOK_NOTHING) return seen;
        }
        if (here.next == 0) return LOOK_NOTHING;
        here = glance_node(r->s, here.next, r->key.tag);
    }
}

/* ---- Under the lock */

static look find_locked(const reading *r) {
    place at;
    if (!table_find(r->s, &r->key, &at)) return LOOK_NOTHING;
    block b = block_read(shard_at(r->s, at.offset), r->s->fixed_keys);
    copy_value(r, b.value, b.value_size);
    return tell(r, &b);
}

/* After a look that told nothing. Apart from the first one, which is all that a get does as a rule,
 * and which keeps a reading in registers. */
static __attribute__((noinline)) look look_on(shard *s, reading r) {
    look seen = LOOK_SPOILT;
    for (unsigned i = 1; i < SEQLOCK_LOOKS && seen == LOOK_SPOILT; i++) seen = look_for(&r);
    if (seen == LOOK_SPOILT || seen == LOOK_LONG) {
        seqlock_lock_shared(&s->lock);
        if (PLANTED(read_after_unlock)) seqlock_unlock_shared(&s->lock);
        seen = find_locked(&r);
        if (PLANTED(read_after_unlock)) seqlock_lock_shared(&s->lock);
        seqlock_unlock_shared(&s->lock);
    }
    return seen;
}

pkv_status memory_get(memory *m, const memory_key *key, void *buffer, size_t capacity, size_t *size,
                      pkv_type *type) {
    shard *s = shard_of(m, key->shard);
    reading r = {.s = s,
                 .key = table_key_of(s, key),
                 .buffer = buffer,
                 .capacity = capacity,
                 .size = size,
                 .type = type};
    look seen = look_for(&r);
    if (seen == LOOK_SPOILT || seen == LOOK_LONG) seen = look_on(s, r);
    return seen == LOOK_FOUND ? PKV_OK : PKV_NOT_FOUND;
}

/* ---- Ahead of reading */

void memory_prefetch_bucket(memory *m, const memory_key *key) {
    const shard *s = shard_of(m, key->shard);
    __builtin_prefetch(shard_at(s, table_line_of(s, key->hash)));
}

void memory_prefetch_entry(memory *m, const memory_key *key, uint32_t *node) {
    const shard *s = shard_of(m, key->shard);
    uint8_t tag = table_key_of(s, key).tag;
    uint32_t version = seqlock_version(&s->lock);
    glance here =
        *node == 0 ? glance_line(s, table_line_of(s, key->hash), tag) : glance_node(s, *node, tag);
    *node = here.found || version % 2 != 0 || !seqlock_unchanged(&s->lock, version) ? 0 : here.next;
    if (here.found) {
        prefetch_block(shard_at(s, word_get(&here.offsets[__builtin_ctz(here.found)])), 0);
    } else if (*node != 0) {
        __builtin_prefetch(shard_at(s, *node));
    }
}
