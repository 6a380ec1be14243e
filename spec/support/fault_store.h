/* fault_store.h - the store that fault_check does things to, in a new folder of a new folder.
 *
 * Key i, a number in decimal, is set to another number.
 */
#ifndef FAULT_STORE_H
#define FAULT_STORE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "../../src/pkv.h"

#define KEYS 40

static pkv_wal_io wal_io; /* that it is opened with */
static char doing[160];   /* for messages */

static int passed, failed;
static char folder[64], path[80];

static void check(bool ok, const char *what) {
    ok ? passed++ : failed++;
    if (!ok && failed <= 20) {
        printf("not ok: %s: %s: %s\n", doing, what, pkv_error_detail()->message);
    }
}

static pkv_bytes number(char text[16], int i) {
    return (pkv_bytes){text, (size_t)snprintf(text, 16, "%d", i)};
}

static pkv_status set(pkv *store, int key, int value) {
    char k[16], v[16];
    return pkv_set(store, number(k, key), number(v, value));
}

static bool holds(pkv *store, int key, int value) {
    char k[16], v[16], got[16];
    size_t size = 0;
    pkv_bytes expected = number(v, value);
    return pkv_get(store, number(k, key), got, sizeof got, &size) == PKV_OK &&
           size == expected.size && memcmp(got, v, size) == 0;
}

static bool is_there(pkv *store, int key) {
    char k[16];
    size_t size = 0;
    return pkv_get(store, number(k, key), NULL, 0, &size) != PKV_NOT_FOUND;
}

static pkv_config config_of(pkv_sync_mode sync) {
    return (pkv_config){.sync = sync,
                        .wal_io = wal_io,
                        .memory_shards = 4,
                        .snapshot_threads = 2,
                        .snapshot_interval = PKV_SNAPSHOT_NEVER};
}

static pkv_status try_open(pkv_sync_mode sync, pkv **store) {
    pkv_config config = config_of(sync);
    *store = NULL;
    return pkv_open(path, &config, store);
}

static pkv *open_store(pkv_sync_mode sync) {
    pkv *store;
    check(try_open(sync, &store) == PKV_OK, "open");
    return store;
}

static pkv_wal_io io_of(pkv *store) {
    pkv_stats stats;
    return pkv_stats_get(store, &stats) == PKV_OK ? stats.wal_io : PKV_WAL_IO_DEFAULT;
}

static void remove_files(const char *name) {
    DIR *listing = opendir(name);
    for (const struct dirent *entry; listing && (entry = readdir(listing));) {
        (void)unlinkat(dirfd(listing), entry->d_name, 0);
    }
    if (listing) (void)closedir(listing);
    (void)rmdir(name);
}

static void remove_store(void) {
    char parent[sizeof path];
    memcpy(parent, path, sizeof parent);
    *strrchr(parent, '/') = '\0';
    remove_files(path);
    remove_files(parent);
}

/* Keys 0 to KEYS - 1 hold `value`. */
static void check_all(pkv *store, int value, const char *what) {
    int good = 0;
    for (int i = 0; i < KEYS; i++) good += holds(store, i, value);
    check(good == KEYS, what);
}

static void set_all(pkv *store, int value) {
    for (int i = 0; i < KEYS; i++) {
        if (set(store, i, value)) check(false, "set");
    }
}

#endif
