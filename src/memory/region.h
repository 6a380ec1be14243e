/* region.h - one span of address space, cut into a span per shard.
 *
 * Today it is private memory of one process. Nothing in it is a pointer, so that later the same
 * bytes can be mapped by several processes. */
#ifndef PKV_REGION_H
#define PKV_REGION_H

#include "../pkv.h"
#include "../os/visibility.h"

typedef struct region {
    uint8_t *base;
    uint64_t span; /* bytes of address space per shard: a multiple of CHUNK_BYTES */
    uint32_t count;
} region;

/* Reserves `count` spans, each as large as 32-bit offsets can address and as the machine's memory
 * can make sense of (4 times its fair share; 4 GiB at least, so that a value of 1 GiB can take
 * another's place); smaller where address space is short. */
pkv_status region_create(region *r, uint32_t count);
void region_destroy(region *r); /* safe on a zeroed one */

static inline uint8_t *region_span(const region *r, uint32_t index) {
    return r->base + r->span * index;
}

#include "../os/visibility_end.h"
#endif
