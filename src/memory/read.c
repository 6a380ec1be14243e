/* Reading one entry: without a lock where it is small and nobody writes meanwhile, else under it.
 */
#include "../bytes/limits.h"
#include "block.h"
#include "shard.h"
#include "words.h"

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

static void hand_out(const reading *r, const block *b) {
    size_t copied = b->value_size < r->capacity ? b->value_size : r->capacity;
    if (copied > 0) memcpy(r->buffer, b->value, copied);
    *r->size = b->value_size;
    if (r->type != NULL) *r->type = b->type;
}

/* ---- Without a lock */

typedef enum look {
    LOOK_FOUND,
    LOOK_NOTHING,
    LOOK_SPOILT, /* somebody has written: what was read means nothing */
    LOOK_LONG    /* a block for the lock */
} look;

static bool is_unchanged(const reading *r) {
    return seqlock_unchanged(&r->s->lock, r->version);
}

/* LOOK_NOTHING where the block is another key's. */
static look look_at_block(const reading *r, uint32_t offset) {
    uint8_t copy[PEEK_BYTES + GRANULE];
    const uint8_t *at = shard_at(r->s, offset);
    words_get(copy, at, ARENA_BLOCK_MIN); /* holds both lengths */
    if (!is_unchanged(r)) return LOOK_SPOILT;

    bool fixed = r->s->fixed_keys;
    block b;
    size_t bytes = block_head(copy, fixed, &b) + b.key_size + b.value_size;
    if (b.key_size != r->key.size) return LOOK_NOTHING;
    if (bytes > PEEK_BYTES) return LOOK_LONG;
    if (bytes > ARENA_BLOCK_MIN) {
        size_t rest = round_to_granules(bytes - ARENA_BLOCK_MIN);
        words_get(copy + ARENA_BLOCK_MIN, at + ARENA_BLOCK_MIN, rest);
        if (!is_unchanged(r)) return LOOK_SPOILT;
    }
    b = block_read(copy, fixed);
    if (b.key_size > 0 && memcmp(b.key, r->key.data, b.key_size) != 0) return LOOK_NOTHING;
    hand_out(r, &b);
    return LOOK_FOUND;
}

static look look_at_slots(const reading *r, const slots *here) {
    look seen = LOOK_NOTHING;
    uint32_t left = table_candidates(here, &r->key);
    for (; left != 0 && seen == LOOK_NOTHING; left &= left - 1) {
        uint32_t offset = here->offsets[__builtin_ctz(left)];
        if (offset == 0) break; /* and so are those behind it */
        seen = look_at_block(r, offset);
    }
    return seen;
}

static look look_for(const reading *r) {
    uint32_t copy[LINE_BYTES / 4];
    uint32_t line = table_line_of(r->s, r->key.hash);
    words_get(copy, shard_at(r->s, line), LINE_BYTES);
    slots here = table_line_at(copy);
    for (;;) {
        if (!is_unchanged(r)) return LOOK_SPOILT;
        look seen = look_at_slots(r, &here);
        uint32_t node = *here.link;
        if (seen != LOOK_NOTHING || node == 0) return seen;
        words_get(copy, shard_at(r->s, node), NODE_BYTES);
        here = table_node_at(copy);
    }
}

/* ---- Under the lock */

static look find_locked(const reading *r) {
    place at;
    if (!table_find(r->s, &r->key, &at)) return LOOK_NOTHING;
    block b = block_read(shard_at(r->s, at.offset), r->s->fixed_keys);
    hand_out(r, &b);
    return LOOK_FOUND;
}

pkv_status memory_get(memory *m, const memory_key *key, void *buffer, size_t capacity, size_t *size,
                      pkv_type *type) {
    shard *s = shard_of(m, key->shard);
    reading r = {.s = s,
                 .key = shard_table_key(s, key),
                 .buffer = buffer,
                 .capacity = capacity,
                 .size = size,
                 .type = type};
    look seen = LOOK_SPOILT;
    for (unsigned i = 0; i < SEQLOCK_LOOKS && seen == LOOK_SPOILT; i++) {
        r.version = seqlock_version(&s->lock);
        if (r.version % 2 == 0) seen = look_for(&r);
    }
    if (seen == LOOK_SPOILT || seen == LOOK_LONG) {
        seqlock_lock_shared(&s->lock);
        if (PLANTED(read_after_unlock)) seqlock_unlock_shared(&s->lock);
        seen = find_locked(&r);
        if (PLANTED(read_after_unlock)) seqlock_lock_shared(&s->lock);
        seqlock_unlock_shared(&s->lock);
    }
    return seen == LOOK_FOUND ? PKV_OK : PKV_NOT_FOUND;
}

/* ---- Ahead of reading. What is loaded here may be out of date, or no offset at all: a prefetch of
 * any address is harmless. */

void memory_prefetch_bucket(memory *m, const memory_key *key) {
    const shard *s = shard_of(m, key->shard);
    __builtin_prefetch(shard_at(s, table_line_of(s, key->hash)));
}

void memory_prefetch_entry(memory *m, const memory_key *key, uint32_t *node) {
    const shard *s = shard_of(m, key->shard);
    uint32_t copy[LINE_BYTES / 4];
    slots here;
    if (*node == 0) {
        uint32_t line = table_line_of(s, key->hash);
        words_get(copy, shard_at(s, line), LINE_BYTES);
        here = table_line_at(copy);
    } else {
        words_get(copy, shard_at(s, *node), NODE_BYTES);
        here = table_node_at(copy);
    }
    table_key wanted = shard_table_key(s, key);
    uint32_t found = table_candidates(&here, &wanted);
    *node = found ? 0 : *here.link;
    uint32_t next = found ? here.offsets[__builtin_ctz(found)] : *node;
    if (next == 0) return;
    __builtin_prefetch(shard_at(s, next));
    if (found) __builtin_prefetch(shard_at(s, next) + LINE_BYTES);
}
