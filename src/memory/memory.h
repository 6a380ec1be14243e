/* memory.h - the wing of a running store: all entries, in shards, behind one interface.
 *
 *     memory   handle state: where the region is, how keys are hashed
 *      └ region   one reservation of address space (region.h)
 *          ├ rows      chunks of all shards side by side, also in large pages (rows.h)
 *          └ shard     a span of it: locks, counters, and what follows (shard.h)
 *              ├ table     the hash index: linear hashing over cache-line buckets (table.h)
 *              │  └ nodes     where its buckets overflow to (nodes.h)
 *              ├ arena     where entries lie: exact-size reuse inside chunks (arena.h)
 *              │  └ space     its chunks, committed and discarded (space.h)
 *              └ upkeep    evacuation of sparse chunks (upkeep.h)
 *
 * memory.c reads and changes single entries, load.c makes many changes at once, walk.c iterates.
 *
 * All that a shard holds is addressed by offsets in its span; no pointer lies in the region.
 *
 * Locking. Each shard has a writer lock (one writer prepares, logs and applies a change while he
 * holds it, I/O included) and a sequence lock, the table lock: a change is a write under it, a few
 * hundred ns, no I/O; a small entry is read without a lock, anything larger with writers locked
 * out. So a reader never waits for I/O. Order: writer lock, then table lock.
 */
#ifndef PKV_MEMORY_H
#define PKV_MEMORY_H

#include <stdbool.h>
#include "../pkv.h"
#include "../bytes/hash.h"
#include "../os/os.h"
#include "../os/visibility.h"
#include "region.h"

typedef struct memory {
    region region;
    uint32_t shard_count; /* a power of two */
    unsigned shard_shift; /* from a hash without its lowest bit to the number of its shard */
    bool fixed_keys;      /* every key is 8 bytes */
    hash_secret secret;
} memory;

pkv_status memory_create(memory *m, uint32_t shard_count, bool fixed_keys, uint64_t seed);
/* Gives all memory back. Safe on a zeroed memory. `locks` = false leaves the locks alone: in a
 * forked child their state is unknown. */
void memory_destroy(memory *m, bool locks);

/* A key as the calls below want it: found once, used often. */
typedef struct memory_key {
    pkv_bytes bytes; /* fixed keys: size 8 */
    uint64_t hash;
    uint32_t shard;
} memory_key;

/* Where the hash is known. */
static inline memory_key memory_key_with(const memory *m, pkv_bytes key, uint64_t hash) {
    uint32_t index = (uint32_t)(hash >> 1 >> m->shard_shift);
    return (memory_key){.bytes = key, .hash = hash, .shard = index};
}

static inline memory_key memory_key_of(const memory *m, pkv_bytes key) {
    return memory_key_with(m, key, hash_with(&m->secret, key.data, key.size));
}

/* ---- Changing. Between memory_begin and memory_end the caller holds the shard's writer lock. */

void memory_begin(memory *m, uint32_t shard);
void memory_end(memory *m, uint32_t shard);

/* A change that has been given all the memory it may need: applying it cannot fail. */
typedef struct memory_change {
    uint32_t shard;
    /* private to memory.c */
    const memory_key *key; /* to set; NULL: to unset */
    pkv_bytes value;
    pkv_type type;
    size_t bytes;   /* of a block for it */
    uint32_t block; /* which one; 0 where there is none */
    bool taken;     /* and written; else it was only found, and is taken where it is needed */
    uint32_t old;   /* the entry that is replaced or removed; 0 where there is none */
    uint8_t *over;  /* of the old entry, the value that is written over instead */
    uint8_t *line;  /* where the table has the key, or will have it */
    uint32_t node, slot;
    uint8_t tag; /* what it notes of the key */
} memory_change;

/* PKV_NO_MEMORY changes nothing. The index has not been looked at: it may come into the caches
 * while the change is logged. Key and value must stay until the change is applied or abandoned. */
pkv_status memory_prepare_set(memory *m, const memory_key *key, pkv_bytes value, pkv_type type,
                              memory_change *change);
/* PKV_NOT_FOUND where the key is not there. */
pkv_status memory_prepare_unset(memory *m, const memory_key *key, memory_change *change);
/* Writes under the table lock. Also does the shard's bounded share of upkeep: splitting or merging
 * a bucket, moving a few entries out of a sparse chunk. */
void memory_apply(memory *m, memory_change *change);
void memory_abandon(memory *m, memory_change *change);

/* ---- Loading: many changes at once, as long as nobody reads. */

typedef struct memory_item {
    memory_key key;
    pkv_bytes value;
    pkv_type type;
    bool unset; /* value and type mean nothing */
} memory_item;

/* About how many changes each shard has had, and will have had at the end. */
typedef struct memory_progress {
    uint64_t made, expected;
} memory_progress;

#define MEMORY_LOAD_MAX 64u

/* Makes up to MEMORY_LOAD_MAX changes in order; *done tells how many, also on failure. The caller
 * holds the writer locks of their shards. Where the index grows, it grows to what the shard is
 * expected to need. */
pkv_status memory_load(memory *m, const memory_item *items, size_t count, memory_progress progress,
                       size_t *done);
/* Gives back what the index of a shard has grown too far. */
void memory_trim(memory *m, uint32_t shard);

/* ---- Reading (read.c). No lock is held by the caller. */

/* Copies at most `capacity` bytes; *size is the whole size. PKV_NOT_FOUND, no error detail. */
pkv_status memory_get(memory *m, const memory_key *key, void *buffer, size_t capacity, size_t *size,
                      pkv_type *type);
/* The same where the key's hash is not known yet, and the second also where nobody asks for the
 * type. */
pkv_status memory_get_typed(memory *m, pkv_bytes key, void *buffer, size_t capacity, size_t *size,
                            pkv_type *type);
pkv_status memory_get_bytes(memory *m, pkv_bytes key, void *buffer, size_t capacity, size_t *size);

/* Ask for the memory that the key's next use will touch, without waiting for it: first the bucket,
 * then, once that has come, the entry. For many keys at once, whose cache misses then overlap.
 * *node is 0 at first; where it is not 0 afterwards, the way to the entry is longer: to be called
 * again, with *node as it is, once that has come. */
void memory_prefetch_bucket(memory *m, const memory_key *key);
void memory_prefetch_entry(memory *m, const memory_key *key, uint32_t *node);

/* A larger value is not copied by a walk: its reader fetches it with memory_get. */
#define WALK_VALUE_MAX ((size_t)16 << 10)

typedef struct walk_entry {
    size_t key, value; /* offsets in walk_step.bytes */
    size_t key_size, value_size;
    pkv_type type;
    bool fetch; /* the value was not copied */
} walk_entry;

/* The entries of one bucket, copied. Zero it before the first use. */
typedef struct walk_step {
    uint8_t *bytes;
    walk_entry *entries;
    size_t bytes_capacity, count, capacity;
} walk_step;

void walk_step_release(walk_step *step);

/* Copies the entries at *position (0 to begin) of a shard and moves it on; PKV_NOT_FOUND after the
 * last step. Entries that stay from the first step to the last are seen exactly once, whatever is
 * set, unset, split, merged or moved meanwhile: the position runs through the hash space, read from
 * its lowest bit (as Redis's SCAN does), in which a bucket is always one interval. */
pkv_status memory_walk(memory *m, uint32_t shard, uint64_t *position, walk_step *step);

/* Forgets a shard's entries and gives their memory back. For a memory that has one user left. */
void memory_clear(memory *m, uint32_t shard);

/* Has the memory that entries will take next be there before they come, where that is worth the
 * while. For a thread that nobody waits for. */
void memory_commit_ahead(memory *m);

typedef struct memory_stats {
    uint64_t entries, key_bytes, value_bytes;
    uint64_t used_bytes; /* committed: index, entries, waste */
    uint64_t free_bytes; /* of these, free for reuse */
} memory_stats;

/* Adds a shard's figures to *stats. */
void memory_count(memory *m, uint32_t shard, memory_stats *stats);

#include "../os/visibility_end.h"
#endif
