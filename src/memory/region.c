#include "region.h"
#include "../bytes/limits.h"
#include "../os/error.h"
#include "../os/os.h"

/* A zone holds two values of the largest size, so that one can replace the other, */
#define ZONE_WANTED ((uint64_t)4 << 30)
/* or as many times the shard's share of the machine's memory, since shards fill unevenly. */
#define ZONE_OVER_SHARE 4u
/* Below this a zone is of no use. A multiple of this is one of whole chunks and of large pages. */
#define ZONE_MIN ((uint64_t)2 << 20)

static uint64_t wanted_zone(uint32_t count) {
    uint64_t wanted = os_memory_size() / count * ZONE_OVER_SHARE;
    if (wanted < ZONE_WANTED) wanted = ZONE_WANTED;
    if (wanted > SHARD_BYTES_MAX) wanted = SHARD_BYTES_MAX;
    while (wanted > SIZE_MAX / 8 / count) wanted /= 2;
    return wanted;
}

static bool reserve(region *r, uint32_t count, uint64_t head) {
    for (uint64_t wanted = wanted_zone(count); wanted >= ZONE_MIN; wanted /= 2) {
        r->zone_bytes = wanted / ZONE_MIN * ZONE_MIN;
        r->span = space_span(head, r->zone_bytes);
        r->size = OS_LARGE_PAGE + os_page_size() + (r->zone_bytes + r->span) * count;
        r->reserved = os_reserve((size_t)r->size);
        if (r->reserved != NULL) return true;
    }
    return false;
}

/* Puts rows and spans into what is reserved. */
static bool lay_out(region *r, uint32_t count) {
    uint64_t start = ((uintptr_t)r->reserved + OS_LARGE_PAGE - 1) / OS_LARGE_PAGE * OS_LARGE_PAGE;
    uint64_t limit = r->zone_bytes * count;
    r->rows = (rows *)(uintptr_t)(start + limit);
    r->spans = (uint8_t *)r->rows + os_page_size();
    if (os_commit(r->rows, os_page_size()) != 0) return false;
    rows_create(r->rows, count, limit);
    return true;
}

pkv_status region_create(region *r, uint32_t count, uint64_t head) {
    *r = (region){0};
    if (!reserve(r, count, head)) {
        return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0,
                    "there is no address space for %u memory shards", (unsigned)count);
    }
    if (lay_out(r, count)) return PKV_OK;
    region_destroy(r);
    return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for %u memory shards",
                (unsigned)count);
}

void region_destroy(region *r) {
    if (r->reserved != NULL) os_unreserve(r->reserved, (size_t)r->size);
    *r = (region){0};
}
