/* upkeep.h - evacuation: emptying the sparsest chunks of an arena, a little with every change.
 *
 *     idle ──waste──> survey ──> mark ──> move ──> idle
 *
 *     survey   counts the chunks by how full they are, to see which are the sparse ones
 *     mark     takes the free blocks of sparse chunks out of their lists, so that nothing new is
 *              placed there
 *     move     goes through the index, bucket by bucket, and copies what it finds in the marked
 *              chunks to elsewhere; a chunk in which nothing is left is given back
 *
 * Going through the index instead of the chunks needs no way from a block to its slot: no hashing,
 * no dependent look-up; the block of a fixed key would not do for it.
 *
 * A merge can put an entry behind the bucket that is next; so the way through the index is gone
 * again until no marked chunk is left.
 */
#ifndef PKV_UPKEEP_H
#define PKV_UPKEEP_H

#include <stdbool.h>
#include <stdint.h>
#include "../os/visibility.h"

typedef struct shard shard;

#define FULLNESS_CLASSES 16u

typedef enum upkeep_phase { UPKEEP_IDLE = 0, UPKEEP_SURVEY, UPKEEP_MARK, UPKEEP_MOVE } upkeep_phase;

typedef struct upkeep {
    upkeep_phase phase;
    uint32_t chunk;    /* survey, mark: the next one */
    uint32_t granule;  /* mark: where in a chunk its free blocks are being taken out; or 0 */
    uint32_t bucket;   /* move: the next one */
    unsigned sparse;   /* a chunk less full than this class is sparse */
    uint32_t quota;    /* survey: chunks counted; mark: chunks that may still be marked */
    uint64_t wanted;   /* mark: free bytes that are enough */
    uint64_t expected; /* mark: free bytes of the chunks marked so far */
    int64_t gained;    /* move: bytes given back so far, less those newly taken */
    uint64_t accepted; /* waste that an evacuation was found not to reduce */
    uint64_t free_bytes[FULLNESS_CLASSES]; /* survey: of the chunks of a class */
} upkeep;

/* A bounded share of work. The caller holds the writer lock only. */
void upkeep_step(shard *s);

#include "../os/visibility_end.h"
#endif
