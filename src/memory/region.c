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

/* Puts rows and spans into what is reserved. */
static bool lay_out(region *r, uint32_t count) {
    uint64_t page = os_page_size();
    uint64_t start = ((uintptr_t)r->reserved + OS_LARGE_PAGE - 1) / OS_LARGE_PAGE * OS_LARGE_PAGE;
    uint64_t limit = r->zone_bytes * count;
    r->rows = (rows *)(uintptr_t)(start + limit);
    r->spans = (uint8_t *)r->rows + (sizeof(rows) + page - 1) / page * page;
    if (os_commit(r->rows, (size_t)(r->spans - (uint8_t *)r->rows)) != 0) return false;
    rows_create(r->rows, count, limit);
    return true;
}

pkv_status region_create(region *r, uint32_t count, uint64_t head) {
    *r = (region){0};
    for (uint64_t wanted = wanted_zone(count); wanted >= ZONE_MIN; wanted /= 2) {
        uint64_t zone_bytes = wanted / ZONE_MIN * ZONE_MIN;
        uint64_t span = space_span(head, zone_bytes);
        uint64_t size = OS_LARGE_PAGE + os_page_size() + (zone_bytes + span) * count;
        void *reserved = os_reserve((size_t)size);
        if (reserved == NULL) continue;
        *r = (region){.reserved = reserved, .size = size, .span = span, .zone_bytes = zone_bytes};
        if (lay_out(r, count)) return PKV_OK;
        region_destroy(r);
        break;
    }
    return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "there is no address space for %u memory shards",
                (unsigned)count);
}

void region_destroy(region *r) {
    if (r->reserved != NULL) os_unreserve(r->reserved, (size_t)r->size);
    *r = (region){0};
}
