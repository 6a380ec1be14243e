/* table.h - the hash index of a shard: linear hashing (Litwin 1980) over cache lines.
 *
 *     line  tag x 12 │ link │ offset x 12             64 bytes
 *     node  tag x 5, 0, 0, 0 │ link │ offset x 5      32 bytes
 *
 * A bucket is a line, and a chain of nodes where that is full. A slot holds the granule of an
 * entry's block, 0 in an empty one, and a tag: of a variable key 8 bits of its hash, of a fixed
 * one its first byte, xor 8 bits of a hash of the other 7, which are in the block (so the tag is
 * both a filter and an eighth of the key: quotienting, Knuth's exercise 6.4-13). Nodes are half a
 * line each, because in linear hashing the buckets that wait to be split hold
 * twice as much as the others, and whole lines behind them would stand half empty. Lines lie in
 * chunks of their own, found through the directory by number.
 *
 * With 2^k <= buckets < 2^(k+1), a hash belongs to the bucket that its lowest k + 1 bits name, or
 * k bits where there is no such bucket. One bucket is split or merged at a time:
 *
 *     hash    63 ... shard │ ... │ 47 .. tag .. 40 │ ... │ 31 ..... bucket 0
 *
 * Invariants: a chain is filled from its start, without a gap; no node is empty; a key is in the
 * bucket of its hash, once.
 */
#ifndef PKV_TABLE_H
#define PKV_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../bytes/limits.h"
#include "nodes.h"
#include "../os/visibility.h"

typedef struct shard shard;

#define LINE_BYTES        64u
#define LINES_PER_CHUNK   (CHUNK_BYTES / LINE_BYTES)
#define LINE_SLOTS        12u
#define NODE_SLOTS        5u
#define TABLE_BUCKETS_MAX ((uint32_t)1 << 31)

typedef struct table {
    uint64_t extent; /* how many buckets, 1 at least, and above that table_mask of it */
    uint32_t spare;  /* a node for the insert that is being prepared; else 0 */
    nodes nodes;
} table;

/* One line or node. */
typedef struct slots {
    uint8_t *tags;
    uint32_t *offsets; /* granules of blocks */
    uint32_t *link;    /* granule of the next node of the chain; 0 ends it */
    unsigned capacity;
} slots;

/* What a slot holds. */
typedef struct slot {
    uint32_t offset;
    uint8_t tag;
} slot;

/* A key to look for: what a slot and a block have of it. */
typedef struct table_key {
    const void *data;
    size_t size;
    uint64_t hash;
    uint8_t tag;
} table_key;

/* Where a key is; or that it is not there: `offset` is 0 and `node` the last one of the chain. */
typedef struct place {
    uint8_t *line; /* of the bucket */
    uint32_t node; /* of the node that holds the slot; 0: the line does */
    uint32_t index;
    uint32_t offset;
} place;

/* Makes a table of one bucket. False if there is no memory. */
bool table_create(shard *s);

/* Read at any time. */
static inline uint64_t table_extent(const table *t) {
    return __atomic_load_n(&t->extent, __ATOMIC_RELAXED);
}

static inline uint32_t table_buckets(const table *t) {
    return (uint32_t)table_extent(t);
}
/* Among so many buckets, how many of the hash's low bits all in this one share. */
unsigned table_bucket_bits(uint32_t buckets, uint32_t bucket);

/* Of a line or node, or of a copy, which is made up of uint32_t. */
slots table_line_at(void *line);
slots table_node_at(void *node);
/* Of the node at a granule. */
slots table_node_slots(const shard *s, uint32_t node);
/* The slot at `index`; its offset is 0 where there is none. */
slot table_slot(const slots *at, unsigned index);
uint64_t table_slot_hash(const shard *s, const slot *entry);

/* False where the key is not there. */
bool table_find(const shard *s, const table_key *key, place *at);

/* Before an insert in this chain: takes the node that it may need. Its memory has been reserved. */
void table_prepare_insert(shard *s, const place *at);

/* These need the exclusive lock. */
void table_insert(shard *s, const place *at, const slot *entry);
void table_replace(shard *s, const place *at, uint32_t offset);
void table_remove(shard *s, const place *at);

/* Splits or merges one bucket if the load asks for it and there is memory. Takes the exclusive
 * lock. */
void table_balance(shard *s);
/* While a shard is loaded, in the place of table_balance: whether a bucket is to be split; splits
 * one, and as many more as `entries` need. table_trim merges those that are not needed. */
bool table_is_full(const shard *s);
void table_grow(shard *s, uint64_t entries);
void table_trim(shard *s);

#include "../os/visibility_end.h"
#endif
