/* memory_inspect.h - checks every invariant of a shard that its headers state. For tests: walks all
 * chunks, blocks, lists, runs and buckets, while nobody else uses the shard. */
#ifndef PKV_MEMORY_INSPECT_H
#define PKV_MEMORY_INSPECT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/bytes/hash.h"
#include "../../src/memory/block.h"
#include "../../src/memory/find.h"
#include "../../src/memory/shard.h"

/* Sums up what is found, and what is wrong: the first flaw, or NULL. */
typedef struct inspection {
    const shard *s;
    const char *flaw;
    uint64_t live_bytes, used_bytes, large_bytes, free_blocks, entries, key_bytes, value_bytes;
    uint64_t blocks;              /* in chunks */
    uint64_t slots, linked_nodes; /* reached from the index */
    uint32_t chunks_of_index, chunks_of_nodes;
    bool leaving;
} inspection;

static void inspect_that(inspection *in, bool holds, const char *flaw) {
    if (!holds && in->flaw == NULL) in->flaw = flaw;
}

/* Bit 4 is reserved. */
static bool is_entry(unsigned head) {
    return (head & BLOCK_TYPE) <= PKV_TABLE && (head & 0x10) == 0;
}

static void inspect_chunk(inspection *in, uint32_t chunk) {
    const arena *a = &in->s->arena;
    const chunk_info *info = space_info(&a->space, chunk);
    uint32_t granule = chunk_start(chunk), end = arena_chunk_end(a, chunk);
    uint64_t live = 0;
    inspect_that(in, end >= granule && end <= chunk_start(chunk + 1), "bump is not in its chunk");
    while (granule < end && in->flaw == NULL) {
        unsigned head = *arena_at(a, granule);
        uint32_t size = arena_block_size(a, granule);
        inspect_that(in, size > 0 && granule + size <= end, "a block crosses its chunk's end");
        bool dead = head == BLOCK_DEAD || head == BLOCK_FREE;
        if (!dead) {
            live += size * GRANULE;
            inspect_that(in, is_entry(head), "a block has no known head");
        }
        in->blocks += !dead;
        in->free_blocks += head == BLOCK_FREE;
        inspect_that(in, head != BLOCK_FREE || info->leaving != CHUNK_UNLISTED,
                     "a free block is in a list though its chunk leaves");
        granule += size;
    }
    inspect_that(in, granule == end || in->flaw != NULL, "blocks do not fill their chunk");
    inspect_that(in, live == info->size, "a chunk's live bytes are miscounted");
    in->live_bytes += live;
    in->used_bytes += (uint64_t)(end - chunk_start(chunk)) * GRANULE;
    in->leaving |= info->leaving != CHUNK_STAYS;
}

static void inspect_runs(inspection *in, const zone *z, uint64_t free_runs) {
    const space *sp = &in->s->arena.space;
    for (unsigned i = 0; i < RUN_CLASSES; i++) {
        inspect_that(in, (z->run_bits >> i & 1) == (z->runs[i] != 0), "run_bits are wrong");
        uint32_t previous = 0;
        for (uint32_t run = z->runs[i]; run != 0 && in->flaw == NULL; free_runs--) {
            const chunk_info *info = space_info(sp, run);
            inspect_that(in, free_runs > 0 && info->kind == CHUNK_FREE, "a run's list is broken");
            inspect_that(in, info->previous == previous, "a run's list does not lead back");
            inspect_that(in, info->size >> i == 1, "a run is in another class's list");
            previous = run;
            run = info->next;
        }
    }
    inspect_that(in, free_runs == 0, "a free run is in no list");
}

static void inspect_chunks(inspection *in, const zone *z) {
    const space *sp = &in->s->arena.space;
    uint64_t free_runs = 0;
    uint32_t chunk = z->first;
    bool after_free = false;
    while (chunk < z->top && in->flaw == NULL) {
        const chunk_info *info = space_info(sp, chunk);
        uint32_t count = 1;
        bool is_free = info->kind == CHUNK_FREE;
        if (is_free || info->kind == CHUNK_LARGE) {
            count = info->size;
            inspect_that(in, count > 0 && count <= z->top - chunk, "a run is too long");
            for (uint32_t i = 0; in->flaw == NULL && i < count; i++) {
                inspect_that(in, space_info(sp, chunk + i)->kind == info->kind, "a run is mixed");
            }
            if (in->flaw != NULL) return;
            inspect_that(in, space_info(sp, chunk + count - 1)->size == count, "a run's tail lies");
        }
        inspect_that(in, !(is_free && after_free), "two free runs touch");
        free_runs += is_free;
        in->blocks += info->kind == CHUNK_LARGE;
        in->chunks_of_index += info->kind == CHUNK_INDEX;
        in->chunks_of_nodes += info->kind == CHUNK_NODES;
        if (info->kind == CHUNK_BLOCKS) inspect_chunk(in, chunk);
        inspect_that(in, info->kind >= CHUNK_FREE && info->kind <= CHUNK_NODES, "unknown kind");
        after_free = is_free;
        chunk += count;
    }
    inspect_that(in, !after_free, "a free run touches top");
    inspect_runs(in, z, free_runs);
}

static void inspect_lists(inspection *in) {
    const arena *a = &in->s->arena;
    uint64_t left = in->free_blocks;
    for (unsigned i = 0; i < LISTS && in->flaw == NULL; i++) {
        bool bit = a->list_bits[i / 64] >> i % 64 & 1;
        inspect_that(in, bit == (a->lists[i] != 0), "list_bits are wrong");
        uint32_t previous = 0;
        for (uint32_t at = a->lists[i]; at != 0 && in->flaw == NULL; left--) {
            const uint32_t *words = (const uint32_t *)(const void *)space_at(&a->space, at);
            inspect_that(in, left > 0 && *arena_at(a, at) == BLOCK_FREE, "a list is broken");
            inspect_that(in, words[2] == previous, "a list does not lead back");
            uint32_t size = arena_block_size(a, at);
            inspect_that(in, size == i || (i >= LIST_EXACT && size >= LIST_EXACT), "wrong list");
            previous = at;
            at = words[1];
        }
    }
    inspect_that(in, left == 0, "a free block is in no list");
}

static void inspect_slot(inspection *in, uint32_t bucket, const slots *at, unsigned index) {
    const shard *s = in->s;
    slot entry = table_slot(at, index);
    const chunk_info *info = space_info(&s->arena.space, chunk_of(entry.offset));
    bool large = info->kind == CHUNK_LARGE;
    inspect_that(in, large || info->kind == CHUNK_BLOCKS, "a slot points into no chunk of blocks");
    inspect_that(in, is_entry(*shard_at(s, entry.offset)), "a slot points to no entry");
    if (in->flaw != NULL) return;
    uint64_t hash = table_slot_hash(s, &entry);
    inspect_that(in, table_bucket(table_extent(&s->table), hash) == bucket,
                 "an entry is in another's bucket");
    inspect_that(in, s->fixed_keys || entry.tag == (uint8_t)(hash >> 40), "a tag is wrong");
    block b = block_read(shard_at(s, entry.offset), s->fixed_keys);
    size_t bytes = block_bytes_of(shard_at(s, entry.offset), s->fixed_keys);
    inspect_that(in, large == (bytes > ARENA_LARGE), "an entry is in the wrong kind of chunk");
    if (large) in->large_bytes += (bytes + PAGE_COUNTED - 1) / PAGE_COUNTED * PAGE_COUNTED;
    in->slots++;
    in->key_bytes += s->fixed_keys ? 8 : b.key_size;
    in->value_bytes += b.value_size;
}

static bool is_node(const shard *s, uint32_t granule) {
    return space_info(&s->arena.space, chunk_of(granule))->kind == CHUNK_NODES &&
           granule % (NODE_BYTES / GRANULE) == 0;
}

static void inspect_nodes(inspection *in) {
    const shard *s = in->s;
    const nodes *n = &s->table.nodes;
    uint64_t free = 0, chunks = 0;
    for (uint32_t at = n->free; at != 0 && in->flaw == NULL; free++) {
        inspect_that(in, is_node(s, at) && free < n->made, "the list of free nodes is broken");
        at = in->flaw ? 0 : *table_node_slots(s, at).link;
    }
    for (uint32_t at = n->chunk; at != 0; at = space_info(&s->arena.space, at)->previous) chunks++;
    inspect_that(in, in->linked_nodes == n->live, "nodes and links do not match");
    inspect_that(in, n->made == n->live + free, "a node is neither linked nor free");
    inspect_that(in, chunks == in->chunks_of_nodes, "a chunk of nodes is lost");
    uint64_t before = chunks > 0 ? (chunks - 1) * NODES_PER_CHUNK : 0;
    inspect_that(in, n->made == before + n->fresh && n->fresh <= NODES_PER_CHUNK,
                 "nodes are miscounted");
}

static void inspect_bucket(inspection *in, uint32_t bucket) {
    const shard *s = in->s;
    slots at = table_line_at(table_line(s, bucket));
    for (bool node = false; in->flaw == NULL; node = true) {
        unsigned filled = 0;
        while (filled < at.capacity && at.offsets[filled] != 0) filled++;
        for (unsigned i = 0; i < filled; i++) inspect_slot(in, bucket, &at, i);
        for (unsigned i = filled; i < at.capacity; i++) {
            inspect_that(in, at.offsets[i] == 0, "a chain has a gap");
            inspect_that(in, at.tags[i] == 0, "an empty slot has a tag");
        }
        inspect_that(in, filled > 0 || !node, "a node is empty");
        if (*at.link == 0) return;
        inspect_that(in, filled == at.capacity, "a chain goes on behind a gap");
        inspect_that(in, is_node(s, *at.link), "a link leads to no node");
        in->linked_nodes++;
        at = table_node_slots(s, *at.link);
    }
}

/* NULL if all is well, else what is not. No change may be prepared. */
static const char *memory_inspect(const memory *m, uint32_t index) {
    const shard *s = shard_of(m, index);
    inspection in = {.s = s};
    inspect_chunks(&in, &s->arena.space.singles);
    if (in.flaw == NULL) inspect_chunks(&in, &s->arena.space.runs);
    inspect_lists(&in);
    for (uint32_t i = 0; i < table_buckets(&s->table) && in.flaw == NULL; i++)
        inspect_bucket(&in, i);
    if (in.flaw != NULL) return in.flaw;
    inspect_that(&in, s->table.spare == 0, "a spare node is left");
    inspect_that(&in, in.slots == in.blocks, "blocks and slots do not match");
    inspect_nodes(&in);
    uint32_t per_chunk = LINES_PER_CHUNK;
    inspect_that(&in, in.chunks_of_index == (table_buckets(&s->table) + per_chunk - 1) / per_chunk,
                 "the index has the wrong number of chunks");
    inspect_that(&in, in.live_bytes == counter_get(&s->arena.live_bytes), "live_bytes is wrong");
    inspect_that(&in, in.used_bytes == counter_get(&s->arena.used_bytes), "used_bytes is wrong");
    inspect_that(&in, in.large_bytes == counter_get(&s->arena.large_bytes), "large_bytes is wrong");
    inspect_that(&in, in.slots == counter_get(&s->entries), "entries are miscounted");
    inspect_that(&in, in.key_bytes == counter_get(&s->key_bytes), "key_bytes is wrong");
    inspect_that(&in, in.value_bytes == counter_get(&s->value_bytes), "value_bytes is wrong");
    inspect_that(&in,
                 !in.leaving || s->upkeep.phase == UPKEEP_MARK || s->upkeep.phase == UPKEEP_MOVE,
                 "a chunk is left behind");
    return in.flaw;
}

#endif
