/* sync_check.c - when a write is acknowledged: with sync = always only once a flush that began
 * after it has ended; one flush serves all that wait; a flush that fails is final, and everybody is
 * told.
 *
 * The flush itself, fdatasync, is this program's: it counts, takes its time, and fails on demand.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "../../src/pkv.h"

#define THREADS 8
#define WRITES  60 /* per thread */

static int passed, failed;
static atomic_uint_fast64_t begun, ended; /* flushes; the number of the latest that has ended */
static atomic_int failing;                /* so many flushes are to fail */
static atomic_int working, writing;       /* threads with more to write, and those within a write */
static char folder[] = "/tmp/pkv-sync-XXXXXX", path[64];

static void check(bool ok, const char *what) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s: %s\n", what, pkv_error_detail()->message);
}

static void take_time(void) {
    struct timespec time = {0, 2000000};
    nanosleep(&time, NULL);
}

/* Until all other threads have come, and have had time to wait. */
static void await_others(void) {
    while (atomic_load(&writing) < atomic_load(&working)) take_time();
    take_time();
}

__attribute__((visibility("default"))) int fdatasync(int fd) {
    uint64_t number = atomic_fetch_add(&begun, 1) + 1;
    await_others();
    if (atomic_load(&failing) > 0 && atomic_fetch_sub(&failing, 1) > 0) {
        errno = EIO;
        return -1;
    }
    int result = (int)syscall(SYS_fdatasync, fd);
    uint64_t before = atomic_load(&ended);
    while (before < number && !atomic_compare_exchange_weak(&ended, &before, number)) {
    }
    return result;
}

static void choose_path(const char *name) {
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
}

static pkv_bytes key_of(char *buffer, unsigned thread, unsigned i) {
    return (pkv_bytes){buffer, (size_t)snprintf(buffer, 32, "key %u %u", thread, i)};
}

/* ---- Groups */

typedef struct worker {
    pkv *store;
    unsigned index;
    bool early;     /* acknowledged before a flush that began later had ended */
    pkv_status how; /* the last write ended */
    unsigned written;
} worker;

static void *write_all(void *context) {
    worker *w = context;
    char name[32];
    for (unsigned i = 0; i < WRITES && !w->how; i++) {
        uint64_t before = atomic_load(&begun);
        (void)atomic_fetch_add(&writing, 1);
        w->how = pkv_set(w->store, key_of(name, w->index, i), (pkv_bytes){"value", 5});
        (void)atomic_fetch_sub(&writing, 1);
        if (w->how) break;
        w->written = i + 1;
        if (atomic_load(&ended) <= before) w->early = true;
    }
    (void)atomic_fetch_sub(&working, 1);
    return NULL;
}

static void run(pkv *store, worker workers[THREADS]) {
    pthread_t threads[THREADS];
    atomic_store(&working, THREADS);
    for (unsigned t = 0; t < THREADS; t++) {
        workers[t] = (worker){.store = store, .index = t};
        pthread_create(&threads[t], NULL, write_all, &workers[t]);
    }
    for (unsigned t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
}

/* All that was acknowledged, and nothing that was never tried. */
static void check_content(const worker workers[THREADS], const char *what) {
    pkv *store;
    check(pkv_open(path, NULL, &store) == PKV_OK, what);
    unsigned missing = 0;
    for (unsigned t = 0; t < THREADS; t++) {
        for (unsigned i = 0; i < workers[t].written; i++) {
            char name[32], value[8];
            size_t size;
            missing += pkv_get(store, key_of(name, t, i), value, sizeof value, &size) != PKV_OK;
        }
    }
    check(missing == 0, what);
    check(pkv_close(store) == PKV_OK, what);
}

static void check_groups(pkv_wal_io io) {
    choose_path(io == PKV_WAL_IO_MMAP ? "groups-mmap" : "groups-pwrite");
    pkv_config config = {.sync = PKV_SYNC_ALWAYS, .wal_io = io};
    pkv *store;
    worker workers[THREADS];
    check(pkv_open(path, &config, &store) == PKV_OK, "opens");
    run(store, workers);
    bool early = false;
    pkv_status how = PKV_OK;
    for (unsigned t = 0; t < THREADS; t++) {
        early |= workers[t].early;
        if (workers[t].how) how = workers[t].how;
    }
    check(how == PKV_OK, "all writes succeed");
    check(!early, "a write is acknowledged only after a flush that began behind it");
    pkv_stats stats;
    check(pkv_stats_get(store, &stats) == PKV_OK, "has figures");
    printf("%u writes, %llu flushes\n", THREADS * WRITES, (unsigned long long)stats.flushes);
    check(stats.flushes < THREADS * WRITES / 2, "one flush serves many writes");
    check(stats.flushes >= WRITES, "no thread goes on without one");
    uint64_t flushes = atomic_load(&begun);
    check(pkv_sync(store) == PKV_OK && atomic_load(&begun) == flushes, "nothing is left to flush");
    check(pkv_close(store) == PKV_OK, "closes");
    check_content(workers, "what was acknowledged is there");
}

/* Flushes of a mode other than always: none at all until pkv_sync, and then one. */
static void check_lazy(pkv_sync_mode mode) {
    choose_path(mode == PKV_SYNC_OS ? "os" : "buffered");
    pkv_config config = {.sync = mode};
    pkv *store;
    worker workers[THREADS];
    check(pkv_open(path, &config, &store) == PKV_OK, "opens");
    uint64_t flushes = atomic_load(&begun);
    run(store, workers);
    check(atomic_load(&begun) == flushes, "nothing is flushed before its time");
    check(pkv_sync(store) == PKV_OK && atomic_load(&begun) == flushes + 1, "pkv_sync flushes");
    check(pkv_close(store) == PKV_OK, "closes");
    check(atomic_load(&begun) > flushes + 1, "so does closing");
    check_content(workers, "all is there");
}

/* ---- A flush that fails */

static void check_refusals(pkv *store) {
    pkv_bytes key = {"key 0 0", 7}, value = {"other", 5};
    pkv_stats stats;
    char got[8];
    size_t size;
    check(pkv_set(store, key, value) == PKV_READ_ONLY, "a set is refused from then on");
    check(pkv_unset(store, key) == PKV_READ_ONLY, "an unset too");
    check(pkv_sync(store) != PKV_OK, "a sync fails");
    check(pkv_snapshot(store) == PKV_READ_ONLY, "a snapshot fails");
    check(pkv_get(store, key, got, sizeof got, &size) == PKV_OK, "what is there can be read");
    check(pkv_stats_get(store, &stats) == PKV_OK && stats.read_only, "the figures say so");
    check(strstr(stats.last_failure, "cannot flush") != NULL, "and why");
}

static void check_failing_flush(pkv_wal_io io) {
    choose_path(io == PKV_WAL_IO_MMAP ? "failing-mmap" : "failing-pwrite");
    pkv_config config = {.sync = PKV_SYNC_ALWAYS, .wal_io = io};
    pkv *store;
    worker workers[THREADS];
    check(pkv_open(path, &config, &store) == PKV_OK, "opens");
    check(pkv_set(store, (pkv_bytes){"key 0 0", 7}, (pkv_bytes){"value", 5}) == PKV_OK, "sets");
    atomic_store(&failing, 1); /* only one: that later ones would succeed must not be tried */
    run(store, workers);
    unsigned told = 0;
    for (unsigned t = 0; t < THREADS; t++) {
        bool refused = workers[t].how == PKV_IO || workers[t].how == PKV_READ_ONLY;
        told += refused && !workers[t].early;
    }
    check(told == THREADS, "every thread is told of a flush that failed");
    uint64_t flushes = atomic_load(&begun);
    check_refusals(store);
    check(atomic_load(&begun) == flushes, "and it is never tried again");
    check(pkv_close(store) == PKV_READ_ONLY, "closing says that not all is safe");
    check_content(workers, "a reopen recovers what was acknowledged");
}

/* A flush of the background's that fails is told by the next write. */
static void check_failing_interval(void) {
    choose_path("failing-interval");
    pkv_config config = {.sync = PKV_SYNC_INTERVAL, .sync_seconds = 0.001};
    pkv *store;
    check(pkv_open(path, &config, &store) == PKV_OK, "opens");
    check(pkv_set(store, (pkv_bytes){"key 0 0", 7}, (pkv_bytes){"value", 5}) == PKV_OK, "sets");
    check(pkv_sync(store) == PKV_OK, "syncs");
    atomic_store(&failing, 1);
    check(pkv_set(store, (pkv_bytes){"b", 1}, (pkv_bytes){"value", 5}) == PKV_OK, "sets");
    while (atomic_load(&failing) > 0) take_time();
    pkv_stats stats = {0};
    while (pkv_stats_get(store, &stats) == PKV_OK && !stats.read_only) take_time();
    check_refusals(store);
    check(pkv_close(store) == PKV_READ_ONLY, "closing says that not all is safe");
    worker workers[THREADS] = {{.written = 1}};
    check_content(workers, "a reopen recovers what was flushed");
}

int main(void) {
    if (!mkdtemp(folder)) return 1;
    check_groups(PKV_WAL_IO_MMAP);
    check_groups(PKV_WAL_IO_PWRITE);
    check_lazy(PKV_SYNC_OS);
    check_lazy(PKV_SYNC_BUFFERED);
    check_failing_flush(PKV_WAL_IO_MMAP);
    check_failing_flush(PKV_WAL_IO_PWRITE);
    check_failing_interval();
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command)) printf("cannot remove %s\n", folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
