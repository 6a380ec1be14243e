/* space.h - the memory of a shard as chunks: taken from the system and given back.
 *
 *     span    │ head: shard │ index directory │ chunk_infos │ chunks of runs    │ reserved │
 *     rows    │ single chunks, among those of the other shards (rows.h)         │ reserved │
 *
 * Chunks are numbered, so that a granule's chunk is its number / CHUNK_GRANULES. What takes a chunk
 * by itself has it in the rows: all of the index, and blocks of up to a chunk. What takes more has
 * a run of chunks behind each other in the span, which are numbered from RUNS_FROM on; so bit 31 of
 * a granule's number tells. Number 0 stands for "none". The head, and each of the areas behind it,
 * is committed as far as it was ever needed; what a chunk held is discarded when it is given back.
 *
 * In either zone the free chunks below `top` form runs, kept in lists by the power of two of their
 * length, in the manner of Knuth's boundary tags (TAOCP 1, 2.5): the first and last chunk_info of a
 * run hold its length, so that neighbours are joined in constant time.
 *
 * Invariants: no two free runs touch; no free run touches `top`; bit i of run_bits is set exactly
 * where runs[i] is not 0; every chunk below `top` is of the kind that its chunk_info says.
 *
 * The struct lies at the very start of its span: its address is the span's.
 */
#ifndef PKV_SPACE_H
#define PKV_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../bytes/limits.h"
#include "rows.h"
#include "../os/visibility.h"

/* Bytes are addressed by the number of their granule, 32 bits wide. */
#define GRANULE        4u
#define CHUNK_GRANULES (CHUNK_BYTES / GRANULE)
/* What memory is counted in: an untouched page costs nothing. */
#define PAGE_COUNTED 4096u
#define RUN_CLASSES  32u
/* The first chunk of those that form runs. */
#define RUNS_FROM (((uint32_t)1 << 31) / CHUNK_GRANULES)

typedef enum chunk_kind {
    CHUNK_FREE = 1,
    CHUNK_BLOCKS, /* of an arena */
    CHUNK_LARGE,  /* one of a run that holds one large block */
    CHUNK_INDEX,  /* of a table: lines */
    CHUNK_NODES   /* of a table: overflow nodes */
} chunk_kind;

/* Whether a chunk of blocks is being evacuated. */
typedef enum chunk_leaving {
    CHUNK_STAYS = 0,
    CHUNK_LEAVING, /* its free blocks are being taken out of their lists */
    CHUNK_UNLISTED /* none is in a list: nothing new is placed here */
} chunk_leaving;

typedef struct chunk_info {
    uint32_t size; /* blocks: live bytes; first or last of a free or large run: its length */
    uint32_t next, previous; /* first of a free run: neighbours in the list; 0 ends it */
    uint8_t kind;
    uint8_t leaving; /* blocks: a chunk_leaving */
    uint16_t unused;
} chunk_info;

/* A part of the span that is committed from its start on. Byte offsets, multiples of a page. */
typedef struct area {
    uint64_t start, committed, limit;
} area;

/* Chunks that are found behind each other by their numbers. */
typedef struct zone {
    uint32_t first, top, limit;
    uint32_t run_bits;
    uint32_t runs[RUN_CLASSES];
} zone;

/* Distances are in bytes, from the struct on, modulo 2^64. */
typedef struct space {
    area directory;
    uint64_t single;     /* distance of where chunk 0 would be in the rows */
    uint64_t single_gap; /* bytes between one chunk and the next */
    uint64_t rows;       /* distance */
    area infos, run_infos, run_chunks;
    zone singles, runs;
} space;

/* Address space of a span whose head takes `head` bytes, for two zones of `zone_bytes`. */
uint64_t space_span(uint64_t head, uint64_t zone_bytes);
/* Lays out that of shard number `index`. Its head, and the page that this ends in, is committed and
 * zero. */
void space_create(space *s, uint64_t head, uint64_t zone_bytes, rows *r, uint32_t index);
/* Gives all chunks back. */
void space_clear(space *s);

/* The first of `count` chunks in a row, of unknown content; 0 if there is no memory. The caller
 * sets the kind. */
uint32_t space_take(space *s, uint32_t count);
/* Gives them back, and their memory to the system. */
void space_give(space *s, uint32_t chunk, uint32_t count);
void space_mark(space *s, uint32_t chunk, uint32_t count, chunk_kind kind);

/* Makes the first `count` entries of the index directory usable: distances of chunks by
 * themselves. */
bool space_grow_directory(space *s, uint32_t count);

static inline size_t round_to_granules(size_t bytes) {
    return (bytes + GRANULE - 1) / GRANULE * GRANULE;
}

/* Whether a granule is in a run of chunks, and not in one by itself. */
static inline bool space_in_run(uint32_t granule) {
    return (int32_t)granule < 0;
}

/* The address of a granule that is not in a run. (Computed as a number, since the rows lie before
 * the span.) */
static inline uint8_t *space_single_at(const space *s, uint32_t granule) {
    uint64_t gaps = (uint64_t)(granule / CHUNK_GRANULES) * s->single_gap;
    return (uint8_t *)(uintptr_t)((uintptr_t)s + s->single + (uint64_t)granule * GRANULE + gaps);
}

/* The distance of a chunk by itself, and which one has that distance. */
static inline uint64_t space_chunk_distance(const space *s, uint32_t chunk) {
    return s->single + chunk * (s->single_gap + CHUNK_BYTES);
}

static inline uint32_t space_chunk_of(const space *s, uint64_t distance) {
    return (uint32_t)((distance - s->single) / (s->single_gap + CHUNK_BYTES));
}

static inline uint8_t *space_at(const space *s, uint32_t granule) {
    if (!space_in_run(granule)) return space_single_at(s, granule);
    uint64_t offset = (uint64_t)granule * GRANULE - (uint64_t)RUNS_FROM * CHUNK_BYTES;
    return (uint8_t *)(uintptr_t)s + s->run_chunks.start + offset;
}

static inline chunk_info *space_info(const space *s, uint32_t chunk) {
    uint8_t *infos = (uint8_t *)(uintptr_t)s + s->infos.start;
    return (chunk_info *)(void *)infos + chunk;
}

static inline uint64_t *space_directory(const space *s) {
    return (uint64_t *)(void *)((uint8_t *)(uintptr_t)s + s->directory.start);
}

static inline uint32_t chunk_of(uint32_t granule) {
    return granule / CHUNK_GRANULES;
}
static inline uint32_t chunk_start(uint32_t chunk) {
    return chunk * CHUNK_GRANULES;
}

#include "../os/visibility_end.h"
#endif
