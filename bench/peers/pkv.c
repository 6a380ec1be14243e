/* pkv.c - this store. Of its settings only what the class of durability and the work ask for
 * differs from the defaults. */
#include "../driver/adapter.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../src/pkv.h"

#define MANY_MAX 256

static void check(pkv_status status) {
    if (status == PKV_OK) return;
    fprintf(stderr, "pkv: %s\n", pkv_error_detail()->message);
    exit(1);
}

static void *store_open(const bench_options *options) {
    static const pkv_sync_mode modes[] = {PKV_SYNC_BUFFERED, PKV_SYNC_OS, PKV_SYNC_ALWAYS};
    pkv_config config;
    pkv *store;
    pkv_config_init(&config);
    config.sync = modes[options->durability];
    if (options->key_size == 8) config.keys = PKV_KEYS_FIXED;
    if (options->snapshots != SNAPSHOTS_DEFAULT) config.snapshot_interval = PKV_SNAPSHOT_NEVER;
    check(pkv_open(options->folder, &config, &store));
    return store;
}

static void store_close(void *store) {
    check(pkv_close(store));
}

static void store_set(void *store, bench_bytes key, bench_bytes value) {
    check(pkv_set(store, (pkv_bytes){key.data, key.size}, (pkv_bytes){value.data, value.size}));
}

static void store_get(void *store, bench_bytes key, bench_answer *answer) {
    pkv_status status = pkv_get(store, (pkv_bytes){key.data, key.size}, answer->buffer,
                                answer->capacity, &answer->size);
    if (status == PKV_NOT_FOUND)
        answer->size = ABSENT;
    else
        check(status);
}

static void store_get_many(void *store, size_t count, const bench_bytes *keys,
                           bench_answer *answers) {
    pkv_bytes wanted[MANY_MAX];
    pkv_value values[MANY_MAX];
    if (count == 0 || count > MANY_MAX) abort();
    for (size_t i = 0; i < count; i++) {
        wanted[i] = (pkv_bytes){keys[i].data, keys[i].size};
        values[i].buffer = answers[i].buffer;
        values[i].capacity = answers[i].capacity;
    }
    check(pkv_get_many(store, count, wanted, values));
    for (size_t i = 0; i < count; i++)
        answers[i].size = values[i].status == PKV_OK ? values[i].size : ABSENT;
}

static void store_remove(void *store, bench_bytes key) {
    check(pkv_unset(store, (pkv_bytes){key.data, key.size}));
}

static uint64_t store_scan(void *store) {
    pkv_cursor *cursor;
    pkv_entry entry;
    pkv_status status;
    uint64_t count = 0;
    check(pkv_cursor_open(store, &cursor));
    while ((status = pkv_cursor_next(cursor, &entry)) == PKV_OK) count++;
    if (status != PKV_NOT_FOUND) check(status);
    pkv_cursor_close(cursor);
    return count;
}

static void store_sync(void *store) {
    check(pkv_sync(store));
}

static void store_snapshot(void *store) {
    check(pkv_snapshot(store));
}

int main(int argc, char **argv) {
    static const adapter store = {
        .name = "pkv",
        .settings = {"defaults but sync = buffered", "defaults", "defaults but sync = always"},
        .mapped_log = "_diff.bin",
        .open = store_open,
        .close = store_close,
        .set = store_set,
        .get = store_get,
        .get_many = store_get_many,
        .remove = store_remove,
        .scan = store_scan,
        .sync = store_sync,
        .snapshot = store_snapshot,
    };
    return bench_main(argc, argv, &store);
}
