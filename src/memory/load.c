/* load.c - see memory.h: many changes at once, to a memory that nobody reads yet. */
#include "memory.h"
#include "block.h"
#include "shard.h"

/* Bytes of an item that are asked for: what the rest of a longer one takes, the processor sees
 * coming. */
#define ITEM_BYTES 256u

static void prefetch_bytes(pkv_bytes bytes) {
    const uint8_t *at = bytes.data;
    for (size_t i = 0; i < bytes.size && i < ITEM_BYTES; i += CACHE_LINE)
        __builtin_prefetch(at + i);
}

/* An access that waits for no other costs a tenth of one that does; so all buckets are asked for,
 * then what is likely to be next in them. */
static void prefetch(memory *m, const memory_item *items, size_t count) {
    for (size_t i = 0; i < count; i++) {
        memory_prefetch_bucket(m, &items[i].key);
        prefetch_bytes(items[i].key.bytes);
        if (!items[i].unset) prefetch_bytes(items[i].value);
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t node = 0;
        memory_prefetch_entry(m, &items[i].key, &node);
    }
}

static pkv_status change(memory *m, const memory_item *item) {
    memory_change c;
    pkv_status status = item->unset
                            ? memory_prepare_unset(m, &item->key, &c)
                            : memory_prepare_set(m, &item->key, item->value, item->type, &c);
    if (status) return status == PKV_NOT_FOUND ? PKV_OK : status;
    shard *s = shard_of(m, c.shard);
    shard_publish(s, &c);
    shard_settle(s, &c);
    return PKV_OK;
}

/* Entries at the end, if the changes to come are as often new keys as those so far. */
static uint64_t outlook(const shard *s, const memory_progress *progress) {
    uint64_t entries = counter_get(&s->entries), made = progress->made;
    if (progress->expected <= made) return entries;
    double share = entries < made ? (double)entries / (double)made : 1;
    return entries + (uint64_t)((double)(progress->expected - made) * share);
}

/* Page by page takes longer. Only where all of the chunk will be used. */
static void populate(const shard *s, const memory_progress *progress) {
    uint64_t entries = counter_get(&s->entries), live = counter_get(&s->arena.live_bytes);
    uint64_t more = outlook(s, progress) - entries;
    uint32_t bump = s->arena.bump;
    if (entries == 0 || more < CHUNK_BYTES / (live / entries + 1)) return;
    os_populate(shard_at(s, bump), (size_t)(s->arena.bump_end - bump) * GRANULE);
}

pkv_status memory_load(memory *m, const memory_item *items, size_t count, memory_progress progress,
                       size_t *done) {
    prefetch(m, items, count);
    for (*done = 0; *done < count; ++*done) {
        shard *s = shard_of(m, items[*done].key.shard);
        uint32_t chunk = s->arena.bump_chunk;
        pkv_status status = change(m, &items[*done]);
        if (status) return status;
        progress.made++;
        if (s->arena.bump_chunk != chunk) populate(s, &progress);
        if (table_is_full(s)) table_grow(s, outlook(s, &progress));
        upkeep_step(s);
    }
    return PKV_OK;
}

/* Gives back whole pages of the last `size` bytes of the chunk that ends before `end`. */
static void discard_end(const shard *s, uint32_t end, size_t size) {
    size_t page = os_page_size(), whole = size / page * page;
    if (whole > 0) os_discard(shard_at(s, end) - whole, whole);
}

/* What was made for entries that have not come. */
static void discard_unused(const shard *s) {
    const arena *a = &s->arena;
    uint32_t last = s->table.buckets - 1, line = table_line(s, last);
    size_t unused = (LINES_PER_CHUNK - 1 - last % LINES_PER_CHUNK) * LINE_BYTES;
    discard_end(s, chunk_start(chunk_of(line) + 1), unused);
    discard_end(s, a->bump_end, (size_t)(a->bump_end - a->bump) * GRANULE);
}

void memory_trim(memory *m, uint32_t index) {
    shard *s = shard_of(m, index);
    os_lock(&s->writer);
    table_trim(s);
    discard_unused(s);
    os_unlock(&s->writer);
}
