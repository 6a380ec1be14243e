/* Reading one entry: without a lock where it is small and nobody writes meanwhile, else under it.
 */
#include "../bytes/limits.h"
#include "find.h"

/* A longer block is read under the lock. */
#define PEEK_BYTES 2048u
#if PEEK_BYTES > BLOCK_PEEK_MAX
#error a length of two bytes must do
#endif

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

/* Apart, so that what is seldom is not in the way of what is common. */
static __attribute__((noinline)) void copy_part(void *buffer, const uint8_t *value, size_t size) {
    bytes_copy(buffer, value, size);
}

/* Into the buffer, where it counts only if it is found to be the value. */
static inline __attribute__((always_inline)) void copy_value(const reading *r, const uint8_t *value,
                                                             size_t size) {
    if (__builtin_expect(size <= r->capacity, 1)) {
        bytes_copy(r->buffer, value, size);
    } else {
        copy_part(r->buffer, value, r->capacity);
    }
}

static inline look tell(const reading *r, size_t size, pkv_type type) {
    *r->size = size;
    if (r->type != NULL) *r->type = type;
    return LOOK_FOUND;
}

/* ---- Without a lock
 *
 * What memory delivers comes late, and every instruction that needs it waits in the processor's
 * scheduler, which holds a hundred or so: when that is full, nothing further is begun, and the wait
 * of the next get does not overlap with this one's. So of what is nearly always the same as little
 * as possible is computed: it is compared and branched on, which the processor guesses. For the
 * same reason there is a copy of all this for each kind of keys. */

static inline bool is_unchanged(const reading *r) {
    return seqlock_unchanged(&r->s->lock, r->version);
}

static inline look unless_spoilt(const reading *r, look seen) {
    return is_unchanged(r) ? seen : LOOK_SPOILT;
}

/* LOOK_NOTHING where the block is another key's. */
static inline __attribute__((always_inline)) look look_at_block(const reading *r, uint32_t offset,
                                                                bool fixed_keys) {
    const uint8_t *at = shard_single_at(r->s, offset);
    prefetch_block(at, 1);
    unsigned head = byte_get(at++);
    size_t key_size = fixed_keys ? BLOCK_KEY_FIXED : r->key.size;
    if (!fixed_keys && !block_key_has(&at, key_size)) return unless_spoilt(r, LOOK_NOTHING);
    size_t value_size = block_value_peek(head, &at);
    if (value_size > PEEK_BYTES) return unless_spoilt(r, LOOK_LONG);
    if (!is_unchanged(r)) return LOOK_SPOILT;

    if (!bytes_equal(at, r->key.data, key_size)) return unless_spoilt(r, LOOK_NOTHING);
    copy_value(r, at + key_size, value_size);
    if (!is_unchanged(r)) return LOOK_SPOILT;
    return tell(r, value_size, (pkv_type)(head & BLOCK_TYPE));
}

static inline __attribute__((always_inline)) look look_for(reading *r, bool fixed_keys) {
    if (!fixed_keys && r->key.size > PEEK_BYTES) return LOOK_LONG;
    r->version = seqlock_version(&r->s->lock);
    if (r->version % 2 != 0) return LOOK_SPOILT;
    glance here = glance_line(table_line_of(r->s, r->key.hash), r->key.tag);
    for (;;) {
        for (; here.found != 0; here.found &= here.found - 1) {
            uint32_t offset = word_get(&here.offsets[glance_slot(&here)]);
            if (!is_unchanged(r)) return LOOK_SPOILT;
            if (offset == 0 || space_in_run(offset)) {
                if (offset == 0) break; /* and so are those behind it */
                return LOOK_LONG;
            }
            look seen = look_at_block(r, offset, fixed_keys);
            if (seen != LOOK_NOTHING) return seen;
        }
        uint32_t node = glance_next(&here);
        if (!is_unchanged(r)) return LOOK_SPOILT;
        if (node == 0) return LOOK_NOTHING;
        here = glance_node(r->s, node, r->key.tag);
    }
}

/* ---- Under the lock */

static look find_locked(const reading *r) {
    place at;
    if (!table_find(r->s, &r->key, &at)) return LOOK_NOTHING;
    block b = block_read(shard_at(r->s, at.offset), r->s->fixed_keys);
    copy_value(r, b.value, b.value_size);
    return tell(r, b.value_size, b.type);
}

/* After a look that told nothing. Apart from the first one, which is all that a get does as a rule,
 * and which keeps a reading and its key in registers; and begins anew, so that the first look need
 * keep nothing for it. */
static __attribute__((noinline)) pkv_status
get_slowly(memory *m, pkv_bytes key, void *buffer, size_t capacity, size_t *size, pkv_type *type) {
    memory_key at = memory_key_of(m, key);
    shard *s = shard_of(m, at.shard);
    reading r = {s, table_key_of(s, &at), 0, buffer, capacity, size, type};
    look seen = LOOK_SPOILT;
    for (unsigned i = 1; i < SEQLOCK_LOOKS && seen == LOOK_SPOILT; i++) {
        seen = look_for(&r, s->fixed_keys);
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

static __attribute__((noinline)) pkv_status get_bytes_slowly(memory *m, pkv_bytes key, void *buffer,
                                                             size_t capacity, size_t *size) {
    return get_slowly(m, key, buffer, capacity, size, NULL);
}

static inline __attribute__((always_inline)) look look_once(memory *m, const memory_key *key,
                                                            void *buffer, size_t capacity,
                                                            size_t *size, pkv_type *type) {
    shard *s = shard_of(m, key->shard);
    reading r = {s, table_key_of(s, key), 0, buffer, capacity, size, type};
    return s->fixed_keys ? look_for(&r, true) : look_for(&r, false);
}

AT_LINE_START pkv_status memory_get_bytes(memory *m, pkv_bytes key, void *buffer, size_t capacity,
                                          size_t *size) {
    memory_key at = memory_key_of(m, key);
    look seen = look_once(m, &at, buffer, capacity, size, NULL);
    if (seen == LOOK_FOUND) return PKV_OK;
    if (seen == LOOK_NOTHING) return PKV_NOT_FOUND;
    return get_bytes_slowly(m, key, buffer, capacity, size);
}

AT_LINE_START pkv_status memory_get_typed(memory *m, pkv_bytes key, void *buffer, size_t capacity,
                                          size_t *size, pkv_type *type) {
    memory_key at = memory_key_of(m, key);
    look seen = look_once(m, &at, buffer, capacity, size, type);
    if (seen == LOOK_FOUND) return PKV_OK;
    if (seen == LOOK_NOTHING) return PKV_NOT_FOUND;
    return get_slowly(m, key, buffer, capacity, size, type);
}

AT_LINE_START pkv_status memory_get(memory *m, const memory_key *key, void *buffer, size_t capacity,
                                    size_t *size, pkv_type *type) {
    look seen = look_once(m, key, buffer, capacity, size, type);
    if (seen == LOOK_FOUND) return PKV_OK;
    if (seen == LOOK_NOTHING) return PKV_NOT_FOUND;
    return get_slowly(m, key->bytes, buffer, capacity, size, type);
}

/* ---- Ahead of reading */

void memory_prefetch_bucket(memory *m, const memory_key *key) {
    const shard *s = shard_of(m, key->shard);
    prefetch_to_read(table_line_of(s, key->hash));
}

void memory_prefetch_entry(memory *m, const memory_key *key, uint32_t *node) {
    const shard *s = shard_of(m, key->shard);
    uint8_t tag = table_key_of(s, key).tag;
    uint32_t version = seqlock_version(&s->lock);
    glance here =
        *node == 0 ? glance_line(table_line_of(s, key->hash), tag) : glance_node(s, *node, tag);
    uint32_t next = glance_next(&here);
    *node = here.found || version % 2 != 0 || !seqlock_unchanged(&s->lock, version) ? 0 : next;
    if (here.found) {
        uint32_t offset = word_get(&here.offsets[glance_slot(&here)]);
        prefetch_block(shard_single_at(s, offset), 0);
    } else if (*node != 0) {
        prefetch_to_read(shard_single_at(s, *node));
    }
}
