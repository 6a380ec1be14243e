/* operations.c - see store.h: reading and writing single entries.
 *
 * A write takes the shard's writer lock, gets all the memory it may need, appends to the log,
 * changes memory, releases. So log order is memory order for every key, and a failed append has
 * changed nothing.
 */
#include "store.h"

#include <string.h>
#include "bytes/prefetch.h"

/* The 8 bytes of a key must be an integer of the store's type, padded with zeros. */
static pkv_status check_padding(pkv_integer type, pkv_bytes key) {
    unsigned char padded[8];
    (void)pkv_integer_key(type, pkv_key_integer(type, key.data), padded);
    if (memcmp(padded, key.data, 8) == 0) return PKV_OK;
    return fail(PKV_KEY_MODE, NULL, NO_OFFSET, 0,
                "a key that is no %s, the type of this store's keys", pkv_integer_name(type));
}

void store_set_key_sizes(pkv *store) {
    const pkv_config *c = &store->config;
    if (c->keys == PKV_KEYS_VARIABLE) {
        store->key_spread = PKV_KEY_MAX;
    } else {
        /* of a type whose keys have padding, none will do by its size alone */
        store->key_least = c->key_type <= PKV_I64 ? 8 : SIZE_MAX;
    }
}

pkv_status store_judge_key(const pkv *store, pkv_bytes key) {
    pkv_integer type = store->config.key_type;
    if (store->config.keys == PKV_KEYS_FIXED) {
        if (key.size == 8) return type <= PKV_I64 ? PKV_OK : check_padding(type, key);
        return fail(PKV_KEY_MODE, NULL, NO_OFFSET, 0,
                    "a key of %zu bytes: keys of this store are %s, 8 bytes", key.size,
                    pkv_integer_name(type));
    }
    if (key.size <= PKV_KEY_MAX) return PKV_OK;
    return fail(PKV_TOO_LARGE, NULL, NO_OFFSET, 0,
                "a key of %zu bytes: keys may have %zu bytes at most", key.size, PKV_KEY_MAX);
}

pkv_status store_judge(const pkv *store, pkv_bytes key) {
    pkv_status status = store_usable(store);
    return status ? status : store_judge_key(store, key);
}

/* By the hash alone, so that a key stays in its shard whatever the number of memory shards. */
static uint32_t log_shard(const pkv *store, const memory_key *key) {
    uint64_t bits = key->hash >> 8 & UINT32_MAX;
    return (uint32_t)(bits * store->config.wal_shards >> 32);
}

/* Appends and applies, or abandons; then, where the mode says so, waits for the flush. The caller
 * holds the shard's writer lock, which is released here. */
static pkv_status commit(pkv *store, const memory_key *key, record *entry, memory_change *change) {
    uint64_t position = 0;
    uint32_t shard = log_shard(store, key);
    if (PLANTED(log_in_other_shard) && entry->unset) shard = store->config.wal_shards - 1 - shard;
    pkv_status status = wal_append(store->disk.log, shard, entry, &position);
    if (status && !PLANTED(apply_unlogged)) {
        memory_abandon(&store->memory, change);
    } else {
        memory_apply(&store->memory, change);
    }
    memory_end(&store->memory, key->shard);
    if (status) return store_named(status, store->disk.path);
    if (store->config.snapshot_interval) background_count_write(store);
    if (store->config.sync != PKV_SYNC_ALWAYS) return PKV_OK;
    return store_named(wal_wait(store->disk.log, shard, position), store->disk.path);
}

pkv_status pkv_set_typed(pkv *store, pkv_bytes key, pkv_bytes value, pkv_type type) {
    pkv_status status = store_check(store, key);
    if (status) return status;
    if (value.size > PKV_VALUE_MAX) {
        return fail(PKV_TOO_LARGE, NULL, NO_OFFSET, 0,
                    "a value of %zu bytes: values may have %zu bytes at most", value.size,
                    PKV_VALUE_MAX);
    }
    if ((unsigned)type > PKV_TABLE) {
        return fail(PKV_USAGE, NULL, NO_OFFSET, 0, "%u is no pkv_type", (unsigned)type);
    }
    memory_key at = memory_key_of(&store->memory, key);
    memory_change change;
    memory_prefetch_bucket(&store->memory, &at);
    memory_begin(&store->memory, at.shard);
    status = memory_prepare_set(&store->memory, &at, value, type, &change);
    if (status) {
        memory_end(&store->memory, at.shard);
        return status;
    }
    record entry = {.key = key, .value = value, .type = type};
    return commit(store, &at, &entry, &change);
}

pkv_status pkv_set(pkv *store, pkv_bytes key, pkv_bytes value) {
    return pkv_set_typed(store, key, value, PKV_BYTES);
}

pkv_status pkv_unset(pkv *store, pkv_bytes key) {
    pkv_status status = store_check(store, key);
    if (status) return status;
    memory_key at = memory_key_of(&store->memory, key);
    memory_change change;
    memory_begin(&store->memory, at.shard);
    status = memory_prepare_unset(&store->memory, &at, &change);
    if (status) {
        memory_end(&store->memory, at.shard);
        return status;
    }
    record entry = {.key = key, .unset = true};
    return commit(store, &at, &entry, &change);
}

AT_LINE_START pkv_status pkv_get_typed(pkv *store, pkv_bytes key, void *buffer, size_t capacity,
                                       size_t *size, pkv_type *type) {
    pkv_status status = store_check(store, key);
    if (status) return status;
    return memory_get_typed(&store->memory, key, buffer, capacity, size, type);
}

AT_LINE_START pkv_status pkv_get(pkv *store, pkv_bytes key, void *buffer, size_t capacity,
                                 size_t *size) {
    pkv_status status = store_check(store, key);
    if (status) return status;
    return memory_get_bytes(&store->memory, key, buffer, capacity, size);
}

/* Keys whose cache misses overlap. */
#define GET_BATCH 32

static pkv_status get_batch(pkv *store, size_t count, const pkv_bytes *keys, pkv_value *values) {
    memory *m = &store->memory;
    memory_key at[GET_BATCH];
    uint32_t nodes[GET_BATCH] = {0};
    for (size_t i = 0; i < count; i++) {
        pkv_status status = store_check_key(store, keys[i]);
        if (status) return status;
        at[i] = memory_key_of(m, keys[i]);
        memory_prefetch_bucket(m, &at[i]);
    }
    for (size_t i = 0; i < count; i++) memory_prefetch_entry(m, &at[i], &nodes[i]);
    for (size_t i = 0; i < count; i++) {
        if (nodes[i]) memory_prefetch_entry(m, &at[i], &nodes[i]);
    }
    for (size_t i = 0; i < count; i++) {
        pkv_value *v = &values[i];
        v->size = 0;
        v->type = PKV_BYTES;
        v->status = memory_get(m, &at[i], v->buffer, v->capacity, &v->size, &v->type);
    }
    return PKV_OK;
}

pkv_status pkv_get_many(pkv *store, size_t count, const pkv_bytes *keys, pkv_value *values) {
    pkv_status status = store_usable(store);
    for (size_t i = 0; i < count && !status; i += GET_BATCH) {
        size_t batch = count - i < GET_BATCH ? count - i : GET_BATCH;
        status = get_batch(store, batch, keys + i, values + i);
    }
    return status;
}

pkv_status pkv_sync(pkv *store) {
    pkv_status status = store_usable(store);
    return status ? status : store_named(wal_sync(store->disk.log), store->disk.path);
}
