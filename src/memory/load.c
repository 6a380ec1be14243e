/* load.c - see memory.h: many changes at once, to a memory that nobody reads yet. */
#include "memory.h"
#include "block.h"
#include "shard.h"
#include "../bytes/planted.h"

/* Bytes of an item that are asked for: what the rest of a longer one takes, the processor sees
 * coming. */
#define ITEM_BYTES 256u

static void prefetch_bytes(pkv_bytes bytes) {
    const uint8_t *at = bytes.data;
    for (size_t i = 0; i < bytes.size && i < ITEM_BYTES; i += CACHE_LINE) prefetch_to_read(at + i);
}

/* An access that waits for no other costs a tenth of one that does. What the buckets refer to is
 * not asked for: most of what is restored is new, and a bucket says so by itself. */
static void prefetch(memory *m, const memory_item *items, size_t count) {
    for (size_t i = 0; i < count; i++) {
        memory_prefetch_bucket(m, &items[i].key);
        prefetch_bytes(items[i].key.bytes);
        if (!items[i].unset) prefetch_bytes(items[i].value);
    }
}

static pkv_status change(memory *m, const memory_item *item) {
    memory_change c;
    pkv_status status = item->unset
                            ? memory_prepare_unset(m, &item->key, &c)
                            : memory_prepare_set(m, &item->key, item->value, item->type, &c);
    if (status) return status == PKV_NOT_FOUND ? PKV_OK : status;
    shard *s = shard_of(m, c.shard);
    shard_locate(s, &c);
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

pkv_status memory_load(memory *m, const memory_item *items, size_t count, memory_progress progress,
                       size_t *done) {
    prefetch(m, items, count);
    for (*done = 0; *done < count; ++*done) {
        shard *s = shard_of(m, items[*done].key.shard);
        pkv_status status = change(m, &items[*done]);
        if (status) return status;
        progress.made++;
        if (table_is_full(s)) table_grow(s, outlook(s, &progress));
        upkeep_step(s);
    }
    return PKV_OK;
}

void memory_trim(memory *m, uint32_t index) {
    shard *s = shard_of(m, index);
    os_latch_take(&s->writer);
    if (!PLANTED(keep_grown_index)) table_trim(s);
    os_latch_release(&s->writer);
}
