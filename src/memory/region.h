/* region.h - one reservation of address space: rows of chunks, then a span per shard.
 *
 *     │ row 0 │ row 1 │ ...  │ rows │ span of shard 0 │ span of shard 1 │ ...
 *
 * Today it is private memory of one process. Nothing in it is a pointer, so that later the same
 * bytes can be mapped by several processes. */
#ifndef PKV_REGION_H
#define PKV_REGION_H

#include "../pkv.h"
#include "space.h"
#include "../os/visibility.h"

typedef struct region {
    void *reserved;
    uint64_t size; /* bytes reserved */
    rows *rows;    /* at the start of a page */
    uint8_t *spans;
    uint64_t span;       /* bytes of address space per shard */
    uint64_t zone_bytes; /* of a shard's single chunks, and of its runs */
} region;

/* Reserves memory for `count` shards with a head of `head` bytes, each as large as 32-bit offsets
 * can address and as the machine's memory can make sense of (4 times its fair share; 4 GiB at
 * least, so that a value of 1 GiB can take another's place); smaller where address space is short.
 */
pkv_status region_create(region *r, uint32_t count, uint64_t head);
void region_destroy(region *r); /* safe on a zeroed one */

static inline uint8_t *region_span(const region *r, uint32_t index) {
    return r->spans + r->span * index;
}

#include "../os/visibility_end.h"
#endif
