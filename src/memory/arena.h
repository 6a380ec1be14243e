/* arena.h - where entries lie: blocks of any size, in the chunks of a space.
 *
 *     chunk   ┌──────┬──────┬────────┬──────┬──────────┬───────────────┐
 *             │ live │ free │ live   │ dead │ live     │ not yet used  │
 *             └──────┴──────┴────────┴──────┴──────────┴───────────────┘
 *                                                      ^ bump          ^ bump_end
 *
 * Blocks are whole granules, ARENA_BLOCK_MIN bytes at least, and fill a chunk without a gap, each
 * saying its own size, so that a chunk can be walked. One chunk at a time has unused space at its
 * end, where blocks are placed that fit nowhere else. A free block is in the list of its size:
 *
 *     0x0f, size in granules (3 bytes) │ next │ previous │ ...
 *
 * One list per size up to LIST_EXACT granules, 8 lists per power of two beyond ("segregated fit",
 * Wilson et al. 1995), and a bitmap of those that are not empty. A block is taken from the list of
 * its very size, else cut from the next larger free block, else from the unused space. A block
 * given back is joined with the free blocks behind it; those before it are left to evacuation
 * (upkeep.h), which empties the sparsest chunks. A free block of less than ARENA_BLOCK_MIN, or in
 * a chunk that is being emptied, is dead: in no list.
 *
 * A block of more than ARENA_LARGE bytes gets a run of chunks of its own.
 *
 * Invariants: a chunk's live bytes are the sum of its blocks that are neither free nor dead; every
 * free block is in exactly one list, no dead one is in any; a chunk of which nothing is live is
 * given back, unless it has the unused space or too many free blocks to unlink at once.
 */
#ifndef PKV_ARENA_H
#define PKV_ARENA_H

#include <stdatomic.h>
#include "space.h"
#include "../os/visibility.h"

#define ARENA_BLOCK_MIN 12u
#define ARENA_LARGE     (CHUNK_BYTES / 4)
#define LIST_EXACT      256u
#define LISTS           (LIST_EXACT + 8 * 8)
#define LIST_WORDS      ((LISTS + 63) / 64)

/* Changed under the writer lock only, read at any time. */
typedef _Atomic uint64_t counter;

static inline uint64_t counter_get(const counter *c) {
    return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void counter_set(counter *c, uint64_t value) {
    atomic_store_explicit(c, value, memory_order_relaxed);
}

static inline void counter_add(counter *c, uint64_t value) {
    counter_set(c, counter_get(c) + value);
}

static inline void counter_subtract(counter *c, uint64_t value) {
    counter_set(c, counter_get(c) - value);
}

typedef struct arena {
    space space; /* first: lies at the start of the span */
    bool fixed_keys;
    uint32_t bump_chunk, bump, bump_end; /* granules; all 0 at first */
    uint64_t list_bits[LIST_WORDS];
    uint32_t lists[LISTS];
    uint32_t leaving;    /* chunks that are being evacuated */
    counter used_bytes;  /* of chunks with blocks, the unused space left out */
    counter live_bytes;  /* of these */
    counter large_bytes; /* pages of large blocks */
} arena;

/* The granule where the next block of so many bytes, no large one, will be; 0 if there is no
 * memory. It is taken by arena_occupy, with nothing taken or given in between, or by nobody. */
uint32_t arena_find(arena *a, size_t bytes);
void arena_occupy(arena *a, uint32_t granule, size_t bytes);
/* The granule of a block of `bytes`, of unknown content; 0 if there is no memory. */
uint32_t arena_take(arena *a, size_t bytes);
void arena_give(arena *a, uint32_t granule, size_t bytes);
/* Forgets all blocks. The space is cleared by others. */
void arena_clear(arena *a);

/* Takes the free blocks of a leaving chunk out of their lists, up to `limit` blocks on from
 * *granule, and moves it on. True when the chunk is through. */
bool arena_drop_free(arena *a, uint32_t *granule, unsigned limit);
/* Gives a leaving chunk back if nothing in it is live and none of its blocks is in a list. */
bool arena_release(arena *a, uint32_t chunk);

/* Granules of the block at `granule`, of whatever kind, in a chunk of blocks. */
uint32_t arena_block_size(const arena *a, uint32_t granule);
/* Where the blocks of a chunk end. */
static inline uint32_t arena_chunk_end(const arena *a, uint32_t chunk) {
    return chunk == a->bump_chunk ? a->bump : chunk_start(chunk + 1);
}

static inline uint8_t *arena_at(const arena *a, uint32_t granule) {
    return space_at(&a->space, granule);
}

/* Free and wasted bytes inside chunks. */
static inline uint64_t arena_waste(const arena *a) {
    return counter_get(&a->used_bytes) - counter_get(&a->live_bytes);
}

#include "../os/visibility_end.h"
#endif
