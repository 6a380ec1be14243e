/* store.c - this store in the benchmark, at its defaults. */
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>

#include "../src/pkv.h"

static void check(pkv_status status) {
    if (status == PKV_OK) return;
    fprintf(stderr, "bench: %s\n", pkv_error_detail()->message);
    exit(1);
}

static void *store_open(const char *folder, uint64_t snapshot_interval) {
    pkv_config config;
    pkv *store;
    pkv_config_init(&config);
    if (snapshot_interval == INTERVAL_NEVER)
        config.snapshot_interval = PKV_SNAPSHOT_NEVER;
    else if (snapshot_interval != INTERVAL_DEFAULT)
        config.snapshot_interval = snapshot_interval;
    check(pkv_open(folder, &config, &store));
    return store;
}

static void store_close(void *store) {
    check(pkv_close(store));
}

static void store_set(void *store, const char *key, const unsigned char *value) {
    check(pkv_set(store, (pkv_bytes){key, KEY_SIZE}, (pkv_bytes){value, VALUE_SIZE}));
}

static size_t store_get(void *store, const char *key, unsigned char *value) {
    size_t size;
    pkv_status status = pkv_get(store, (pkv_bytes){key, KEY_SIZE}, value, VALUE_SIZE, &size);
    if (status == PKV_NOT_FOUND) return 0;
    check(status);
    return size;
}

static uint64_t store_memory(void *store) {
    pkv_stats stats;
    check(pkv_stats_get(store, &stats));
    return stats.memory_bytes;
}

static void store_activity(void *store, const char *folder, activity *result) {
    (void)folder;
    pkv_stats stats;
    check(pkv_stats_get(store, &stats));
    *result = (activity){stats.snapshots, stats.snapshot_running != 0};
}

int main(int argc, char **argv) {
    static const adapter store = {.open = store_open,
                                  .close = store_close,
                                  .set = store_set,
                                  .get = store_get,
                                  .memory = store_memory,
                                  .activity = store_activity};
    return workload_main(argc, argv, &store);
}
