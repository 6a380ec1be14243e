/* shard.h - the head of a shard's span: all of its state that is shared.
 *
 * Lies at the start of the span, the arena's space first, so that its address is the span's. Holds
 * offsets and counters, no pointer. Nothing of it belongs to one process: a span is complete
 * without the `memory` it is reached by.
 *
 * Who may touch what:
 *     under the writer lock             arena, upkeep, and blocks that no slot points to
 *     and in a write of the table lock  table, buckets, nodes, blocks that a slot points to
 *     to read under the table lock      the latter; also under the writer lock, who alone changes
 *     to read at any time               the counters; what lies in chunks, as seqlock.h says
 *
 * So what lies in chunks is written by words.h alone, and memory stays readable once it was
 * committed.
 */
#ifndef PKV_SHARD_H
#define PKV_SHARD_H

#include <stdalign.h>
#include "../bytes/prefetch.h"
#include "../os/os.h"
#include "arena.h"
#include "memory.h"
#include "seqlock.h"
#include "table.h"
#include "upkeep.h"
#include "../os/visibility.h"

typedef struct shard {
    arena arena;
    upkeep upkeep;
    alignas(CACHE_LINE) table table;
    bool fixed_keys;
    hash_secret secret;
    alignas(CACHE_LINE) os_latch writer; /* and in its line, what he needs next */
    bool overwriting;                    /* the last set met a value of its size */
    counter entries, key_bytes, value_bytes;
    /* In another, since readers look at it: writers need it for a part of their time only. */
    alignas(CACHE_LINE) seqlock lock;
} shard;

static inline shard *shard_of(const memory *m, uint32_t index) {
    return (shard *)(void *)region_span(&m->region, index);
}

static inline uint8_t *shard_at(const shard *s, uint32_t granule) {
    return arena_at(&s->arena, granule);
}

/* Of what is not in a run of chunks: index, nodes, blocks that are not large. */
static inline uint8_t *shard_single_at(const shard *s, uint32_t granule) {
    return space_single_at(&s->arena.space, granule);
}

/* memory.c: finds where the change is to be made. */
void shard_locate(shard *s, memory_change *change);
/* Makes the change visible, where there may be readers in a write of the table lock. */
void shard_publish(shard *s, const memory_change *change);
/* Counts it, and gives back what it has replaced. */
void shard_settle(shard *s, const memory_change *change);

#include "../os/visibility_end.h"
#endif
