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
#include "../bytes/planted.h"
#include "../os/error.h"
#include "block.h"
#include "shard.h"

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
    uint32_t line;
    uint64_t from, end; /* coordinates wanted */
    bool whole;         /* all that is in the bucket */
} stretch;

static stretch stretch_at(const shard *s, uint64_t position) {
    uint32_t bucket = table_bucket(&s->table, coordinate(position));
    uint64_t length = WALK_END >> table_bucket_bits(&s->table, bucket);
    uint64_t start = position / length * length;
    return (stretch){.s = s,
                     .line = table_line(s, bucket),
                     .from = position,
                     .end = start + length,
                     .whole = start == position};
}

static bool is_wanted(const stretch *st, const slot *entry) {
    if (PLANTED(miss_what_moved)) return st->whole;
    return st->whole || coordinate(table_slot_hash(st->s, entry)) >= st->from;
}

static size_t copied_bytes(size_t key_size, const block *b) {
    return key_size + (b->value_size <= WALK_VALUE_MAX ? b->value_size : 0);
}

static void copy_entry(walk_step *step, const void *key, size_t key_size, const block *b) {
    walk_entry *out = &step->entries[step->count++];
    *out = (walk_entry){.key = step->bytes_size,
                        .value = step->bytes_size + key_size,
                        .key_size = key_size,
                        .value_size = b->value_size,
                        .type = b->type,
                        .fetch = b->value_size > WALK_VALUE_MAX};
    uint8_t *at = step->bytes + step->bytes_size;
    if (key_size > 0) memcpy(at, key, key_size);
    if (!out->fetch && b->value_size > 0) memcpy(at + key_size, b->value, b->value_size);
    step->bytes_size += copied_bytes(key_size, b);
}

/* Copies the stretch into `step` where that has room, and counts what it takes. */
static void copy_stretch(const stretch *st, walk_step *step, size_t *bytes, size_t *count) {
    const shard *s = st->s;
    step->bytes_size = step->count = *bytes = *count = 0;
    slots at = table_line_slots(s, st->line);
    for (;;) {
        for (unsigned i = 0; i < at.capacity && at.offsets[i] != 0; i++) {
            slot entry = table_slot(&at, i);
            if (!is_wanted(st, &entry)) continue;
            block b = block_read(shard_at(s, entry.offset), s->fixed_keys);
            const void *key = s->fixed_keys ? (const void *)&entry.key : b.key;
            size_t key_size = s->fixed_keys ? sizeof entry.key : b.key_size;
            *bytes += copied_bytes(key_size, &b);
            *count += 1;
            if (*bytes <= step->bytes_capacity && *count <= step->capacity) {
                copy_entry(step, key, key_size, &b);
            }
        }
        if (*at.link == 0) return;
        at = table_node_slots(s, *at.link);
    }
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
    step->count = step->bytes_size = 0;
    if (*position >= WALK_END) return PKV_NOT_FOUND;
    for (;;) {
        size_t bytes, count;
        os_lock_shared(&s->lock);
        stretch st = stretch_at(s, *position);
        copy_stretch(&st, step, &bytes, &count);
        os_rw_unlock(&s->lock);
        if (bytes <= step->bytes_capacity && count <= step->capacity) {
            *position = st.end;
            return PKV_OK;
        }
        /* no allocation under the lock; the bucket may have changed when it is looked at again */
        if (!reserve(step, bytes, count)) {
            step->count = step->bytes_size = 0;
            return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "out of memory for a walk's %zu bytes",
                        bytes);
        }
    }
}

void walk_step_release(walk_step *step) {
    free(step->bytes);
    free(step->entries);
    *step = (walk_step){0};
}
