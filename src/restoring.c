/* restoring.c - see store.h: the sink of a restore.
 *
 * A part of the sink is some shards of the memory, one if there are no more than parts. The records
 * of a part come in batches, by one thread at a time for each file; the shards' writer locks keep
 * apart those that come from different files. No reader is there yet.
 */
#include "store.h"

#include "bytes/planted.h"
#include "os/parallel.h"

/* Not worth a thread. */
#define RECORDS_FEW 10000u

typedef struct restoring {
    pkv *store;
    unsigned part_bits;
    uint64_t seen[SINK_PARTS_MAX]; /* records of each part, changed under its writer locks */
} restoring;

static pkv_status hash_record(void *context, const record *entry, record_origin origin,
                              uint64_t *hash) {
    const restoring *r = context;
    if (record_is_hole(entry, r->store->config.keys, origin)) return PKV_NOT_FOUND;
    if (PLANTED(lose_unset) && entry->unset) return PKV_NOT_FOUND;
    pkv_status status = store_check_key(r->store, entry->key);
    if (status) return status;
    *hash = memory_key_of(&r->store->memory, entry->key).hash;
    return PKV_OK;
}

static size_t take_items(const restoring *r, const sink_batch *batch, size_t from,
                         memory_item items[MEMORY_LOAD_MAX]) {
    size_t count = 0;
    for (; count < MEMORY_LOAD_MAX && from + count < batch->count; count++) {
        const sink_item *item = &batch->items[from + count];
        const record *entry = item->entry;
        items[count] = (memory_item){
            .key = memory_key_with(&r->store->memory, entry->key, item->hash),
            .value = entry->value,
            .type = entry->type,
            .unset = entry->unset,
        };
    }
    return count;
}

static pkv_status load(restoring *r, const sink_batch *batch, size_t *applied) {
    memory_item items[MEMORY_LOAD_MAX];
    memory *m = &r->store->memory;
    uint64_t *seen = &r->seen[batch->part];
    pkv_status status = PKV_OK;
    while (*applied < batch->count && !status) {
        size_t count = take_items(r, batch, *applied, items), done = 0;
        memory_progress progress = {.made = (*seen << r->part_bits) / m->shard_count,
                                    .expected = batch->expected / m->shard_count};
        *seen += count;
        status = memory_load(m, items, count, progress, &done);
        *applied += done;
    }
    return status;
}

static pkv_status apply(void *context, const sink_batch *batch, size_t *applied) {
    restoring *r = context;
    memory *m = &r->store->memory;
    uint32_t shards = m->shard_count >> r->part_bits, first = batch->part * shards;
    *applied = 0;
    for (uint32_t i = 0; i < shards; i++) memory_begin(m, first + i);
    pkv_status status = load(r, batch, applied);
    for (uint32_t i = 0; i < shards; i++) memory_end(m, first + i);
    return status;
}

static pkv_status trim(void *context, size_t shard) {
    memory_trim(context, (uint32_t)shard);
    return PKV_OK;
}

pkv_status store_restore(pkv *store) {
    unsigned threads = store->config.snapshot_threads;
    restoring r = {.store = store};
    uint32_t shards = store->memory.shard_count;
    while (1u << r.part_bits < shards && 1u << r.part_bits < SINK_PARTS_MAX) r.part_bits++;
    restore_sink sink = {r.part_bits, hash_record, apply, &r};
    pkv_status status = disk_restore(&store->disk, threads, &sink, &store->restored);
    if (status) return status;
    if (store->restored.entries < RECORDS_FEW) threads = 1;
    return parallel_run(threads, shards, PARALLEL_WITH_CALLER, trim, &store->memory);
}
