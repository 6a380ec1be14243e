#include "region.h"
#include "../bytes/limits.h"
#include "../os/error.h"
#include "../os/os.h"

/* A span holds two values of the largest size, so that one can replace the other, */
#define SPAN_WANTED ((uint64_t)4 << 30)
/* or as many times the shard's share of the machine's memory, since shards fill unevenly. */
#define SPAN_OVER_SHARE 4u
/* Below this a span is of no use. */
#define SPAN_MIN ((uint64_t)1 << 20)

static uint64_t wanted_span(uint32_t count) {
    uint64_t span = os_memory_size() / count * SPAN_OVER_SHARE;
    if (span < SPAN_WANTED) span = SPAN_WANTED;
    if (span > SHARD_BYTES_MAX) span = SHARD_BYTES_MAX;
    while (span > SIZE_MAX / 4 / count) span /= 2;
    return span;
}

/* Whole chunks and whole pages, so that every span begins on a page. */
static uint64_t rounded_span(uint64_t span) {
    uint64_t unit = os_page_size() > CHUNK_BYTES ? os_page_size() : CHUNK_BYTES;
    return span / unit * unit;
}

pkv_status region_create(region *r, uint32_t count) {
    *r = (region){0};
    for (uint64_t span = wanted_span(count); span >= SPAN_MIN; span /= 2) {
        uint64_t size = rounded_span(span);
        void *base = os_reserve((size_t)(size * count));
        if (base == NULL) continue;
        *r = (region){.base = base, .span = size, .count = count};
        return PKV_OK;
    }
    return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "there is no address space for %u memory shards",
                (unsigned)count);
}

void region_destroy(region *r) {
    if (r->base != NULL) os_unreserve(r->base, (size_t)(r->span * r->count));
    *r = (region){0};
}
