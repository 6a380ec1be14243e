/* Walking a shard, bucket by bucket, through the hash space read from its lowest bit.
 *
 *     coordinate of an entry   the lowest 32 bits of its hash, reversed
 *     bucket of n bits         an interval of 2^(32-n) coordinates
 *     *position                all entries with a lower coordinate have been seen
 *
 * A split halves an interval and a merge joins two that touch, so the buckets always cover the
 * space in order; what a merge has put beside the rest of an interval is told by its coordinate.
 */
#include <stdlib.h>
#include <string.h>
#include "../bytes/hash.h"
#include "../bytes/planted.h"
#include "../os/error.h"
#include "block.h"
#include "find.h"
#include "shard.h"
#include "words.h"

#define WALK_END ((uint64_t)1 << 32)

static uint64_t coordinate(uint64_t hash) {
    uint32_t x = (uint32_t)hash;
    x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
    x = (x >> 8 & 0x00ff00ffu) | (x & 0x00ff00ffu) << 8;
    return x >> 16 | x << 16;
}

/* One bucket as a walk meets it. */
typedef struct stretch {
    const shard *s;
    bool locked;      /* writers are locked out; else only what an unchanged version vouches for */
    uint32_t version; /* of the table lock */
    uint64_t from, end;  /* coordinates wanted */
    bool whole;          /* all that is in the bucket */
    size_t bytes, count; /* what it takes in a step */
} stretch;

static bool is_unchanged(const stretch *st) {
    return st->locked || seqlock_unchanged(&st->s->lock, st->version);
}

static bool is_wanted(const stretch *st, const void *key, size_t size) {
    if (PLANTED(miss_what_moved)) return st->whole;
    return st->whole || coordinate(hash_with(&st->s->secret, key, size)) >= st->from;
}

/* Copies an entry as it lies in its block, but for a value that is to be fetched. A fixed key's
 * first byte goes where the head has ended. Where there is no room it is counted, wanted or not. */
static bool copy_entry(stretch *st, const slot *entry, walk_step *step) {
    const shard *s = st->s;
    const uint8_t *at = shard_at(s, entry->offset);
    uint8_t head[ARENA_BLOCK_MIN];
    words_get(head, at, sizeof head); /* holds both lengths */
    if (!is_unchanged(st)) return false;
    block b;
    size_t to_value = block_head(head, s->fixed_keys, &b) + b.key_size;
    bool fetch = b.value_size > WALK_VALUE_MAX;
    size_t copied = round_to_granules(to_value + (fetch ? 0 : b.value_size));
    size_t start = st->bytes;
    st->bytes += copied;
    st->count++;
    if (st->bytes > step->bytes_capacity || st->count > step->capacity) return true;

    size_t key_size = s->fixed_keys ? 1 + BLOCK_KEY_FIXED : b.key_size;
    size_t value = start + to_value;
    walk_entry *out = &step->entries[st->count - 1];
    *out = (walk_entry){.key = value - key_size,
                        .value = value,
                        .key_size = key_size,
                        .value_size = b.value_size,
                        .type = b.type,
                        .fetch = fetch};
    words_get(step->bytes + start, at, copied);
    uint8_t *key = step->bytes + out->key;
    if (s->fixed_keys) *key = table_first_byte(s, entry->tag, key + 1);
    if (!is_wanted(st, key, key_size)) {
        st->bytes = start;
        st->count--;
    }
    return true;
}

static bool copy_slots(stretch *st, const slots *here, walk_step *step) {
    for (unsigned i = 0; i < here->capacity && here->offsets[i] != 0; i++) {
        slot entry = table_slot(here, i);
        if (!copy_entry(st, &entry, step)) return false;
    }
    return true;
}

/* Copies the stretch at a position into `step`, as far as that has room. False if a writer has come
 * between. */
static bool copy_stretch(stretch *st, uint64_t position, walk_step *step) {
    const shard *s = st->s;
    uint64_t extent = table_extent(&s->table);
    uint32_t bucket = table_bucket(extent, coordinate(position));
    uint64_t length = WALK_END >> table_bucket_bits((uint32_t)extent, bucket);
    uint64_t start = position / length * length;
    st->from = position;
    st->end = start + length;
    st->whole = start == position;
    st->bytes = st->count = 0;

    uint32_t copy[LINE_BYTES / 4];
    words_get(copy, table_line(s, bucket), LINE_BYTES);
    slots here = table_line_at(copy);
    while (is_unchanged(st) && copy_slots(st, &here, step)) {
        uint32_t node = *here.link;
        if (node == 0) return is_unchanged(st);
        words_get(copy, shard_single_at(s, node), NODE_BYTES);
        here = table_node_at(copy);
    }
    return false;
}

/* Asks for what the next step will read, and for the line that the step after it will. */
static void prefetch_next(const shard *s, const stretch *st) {
    uint64_t length = st->end - st->from;
    if (st->end + length >= WALK_END) return;
    slots next = table_line_at(table_line_of(s, coordinate(st->end)));
    for (unsigned i = 0; i < next.capacity; i++) {
        prefetch_block(shard_single_at(s, word_get(&next.offsets[i])), 0);
    }
    prefetch_to_read(table_line_of(s, coordinate(st->end + length)));
}

static void copy_locked(stretch *st, shard *s, uint64_t position, walk_step *step) {
    seqlock_lock_shared(&s->lock);
    st->locked = true;
    (void)copy_stretch(st, position, step);
    seqlock_unlock_shared(&s->lock);
}

static bool reserve(walk_step *step, size_t bytes, size_t count) {
    if (bytes > step->bytes_capacity) {
        uint8_t *grown = realloc(step->bytes, bytes + bytes / 2);
        if (grown == NULL) return false;
        step->bytes = grown;
        step->bytes_capacity = bytes + bytes / 2;
    }
    if (count > step->capacity) {
        walk_entry *grown = realloc(step->entries, (count + count / 2) * sizeof *grown);
        if (grown == NULL) return false;
        step->entries = grown;
        step->capacity = count + count / 2;
    }
    return true;
}

pkv_status memory_walk(memory *m, uint32_t index, uint64_t *position, walk_step *step) {
    shard *s = shard_of(m, index);
    step->count = 0;
    if (*position >= WALK_END) return PKV_NOT_FOUND;
    for (;;) {
        stretch st = {.s = s};
        bool good = false;
        for (unsigned i = 0; i < SEQLOCK_LOOKS && !good; i++) {
            st.version = seqlock_version(&s->lock);
            good = st.version % 2 == 0 && copy_stretch(&st, *position, step);
        }
        if (!good) copy_locked(&st, s, *position, step);
        if (st.bytes <= step->bytes_capacity && st.count <= step->capacity) {
            step->count = st.count;
            *position = st.end;
            prefetch_next(s, &st);
            return PKV_OK;
        }
        /* no allocation under the lock; the bucket may have changed when it is looked at again */
        if (!reserve(step, st.bytes, st.count)) {
            return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0,
                        "no memory to walk over %zu bytes of entries", st.bytes);
        }
    }
}

void walk_step_release(walk_step *step) {
    free(step->bytes);
    free(step->entries);
    *step = (walk_step){0};
}
