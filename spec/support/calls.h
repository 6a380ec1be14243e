/* calls.h - lives of a store, step by step, and what is to be seen of each step from below: the
 * calls that read or change a file or a name, in their order, and then all files. Shared by
 * calls_posix.c and calls_simulated.c, which must print the same (spec/platform_spec.lua).
 *
 * The store draws no random numbers, and a step ends when its background threads sleep. What these
 * did in a step is printed behind what the program's own thread did: between the two there is no
 * order.
 */
#ifndef CALLS_H
#define CALLS_H

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "../../src/bytes/hash.h"
#include "../../src/pkv.h"
#include "image.h"

/* ---- The layer */

/* Of the one folder that there is, called "folder". */
static void layer_on_call(void (*told)(const char *line));
static void layer_read(image *to);
static void layer_write(const image *from); /* and nothing else is in it */

ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
    (void)flags;
    memset(buffer, 0x5a, size);
    return (ssize_t)size;
}

/* ---- Who sleeps (the Makefile has the linker put these in the place of the calls) */

static pthread_mutex_t sleeping = PTHREAD_MUTEX_INITIALIZER;
static struct {
    pthread_cond_t *cond; /* NULL: a free place */
    bool woken;
} sleepers[8];

int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) {
    size_t i = 0;
    (void)pthread_mutex_lock(&sleeping);
    while (sleepers[i].cond) i++;
    sleepers[i].cond = cond;
    sleepers[i].woken = false;
    (void)pthread_mutex_unlock(&sleeping);
    int error = __real_pthread_cond_wait(cond, mutex);
    (void)pthread_mutex_lock(&sleeping);
    sleepers[i].cond = NULL;
    (void)pthread_mutex_unlock(&sleeping);
    return error;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond) {
    (void)pthread_mutex_lock(&sleeping);
    for (size_t i = 0; i < sizeof sleepers / sizeof *sleepers; i++) {
        if (sleepers[i].cond == cond) sleepers[i].woken = true;
    }
    (void)pthread_mutex_unlock(&sleeping);
    return __real_pthread_cond_broadcast(cond);
}

/* The keeper and the snapshot thread. */
static void wait_until_they_sleep(void) {
    enum { THREADS = 2 };
    int asleep = 0;
    while (asleep < THREADS) {
        struct timespec pause = {0, 100000};
        (void)nanosleep(&pause, NULL);
        asleep = 0;
        (void)pthread_mutex_lock(&sleeping);
        for (size_t i = 0; i < sizeof sleepers / sizeof *sleepers; i++) {
            asleep += sleepers[i].cond && !sleepers[i].woken;
        }
        (void)pthread_mutex_unlock(&sleeping);
    }
}

/* ---- What is told */

static pthread_mutex_t listing = PTHREAD_MUTEX_INITIALIZER;
static pthread_t program_thread;
static struct {
    char *text;
    bool background;
} lines[1000];
static size_t line_count;

static void note_call(const char *line) {
    (void)pthread_mutex_lock(&listing);
    if (line_count == sizeof lines / sizeof *lines) abort();
    lines[line_count].background = !pthread_equal(pthread_self(), program_thread);
    lines[line_count++].text = strdup(line);
    (void)pthread_mutex_unlock(&listing);
}

static void print_calls(bool background) {
    for (size_t i = 0; i < line_count; i++) {
        if (lines[i].background != background) continue;
        (void)printf("%s%s\n", background ? "    meanwhile: " : "    ", lines[i].text);
        free(lines[i].text);
    }
}

static void print_files(void) {
    image now = {.count = 0};
    layer_read(&now);
    for (size_t i = 0; i < now.count; i++) {
        uint64_t hash = hash_bytes(now.files[i].bytes, now.files[i].size, 1);
        (void)printf("    %s: %zu bytes, %016" PRIx64 "\n", now.files[i].name, now.files[i].size,
                     hash);
    }
    release_image(&now);
}

/* ---- Steps */

typedef struct life {
    pkv_config config;
    pkv *store;
} life;

static void begin_step(const char *what) {
    (void)printf("%s\n", what);
    line_count = 0;
    layer_on_call(note_call);
}

static void end_step(life *l, pkv_status status) {
    if (l->store) wait_until_they_sleep();
    layer_on_call(NULL);
    print_calls(false);
    print_calls(true);
    if (status) (void)printf("    status %d: %s\n", (int)status, pkv_error_detail()->message);
    print_files();
}

static void open_it(life *l) {
    begin_step("open");
    end_step(l, pkv_open("folder", &l->config, &l->store));
}

static void close_it(life *l) {
    begin_step("close");
    pkv_status status = pkv_close(l->store);
    l->store = NULL;
    end_step(l, status);
}

static void set(life *l, const char *key, size_t size) {
    static char value[400000];
    begin_step("set");
    (void)printf("    key %s\n", key);
    memset(value, key[0], sizeof value);
    end_step(l, pkv_set(l->store, (pkv_bytes){key, strlen(key)}, (pkv_bytes){value, size}));
}

static void unset(life *l, const char *key) {
    begin_step("unset");
    end_step(l, pkv_unset(l->store, (pkv_bytes){key, strlen(key)}));
}

static void sync_it(life *l) {
    begin_step("sync");
    end_step(l, pkv_sync(l->store));
}

static void snapshot(life *l) {
    begin_step("snapshot");
    end_step(l, pkv_snapshot(l->store));
}

static void restore_image(life *l, const image *from) {
    begin_step("(the files of an earlier step)");
    layer_on_call(NULL);
    layer_write(from);
    end_step(l, PKV_OK);
}

/* ---- Lives */

static void set_some(life *l) {
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) set(l, keys[i], 10 + 700 * i);
    unset(l, "b");
}

/* Created, written to, rotated twice with backups, closed. */
static void live_long(life *l, image *running, image *closed) {
    open_it(l);
    set_some(l);
    sync_it(l);
    set(l, "large", 300000);
    sync_it(l);
    set(l, "behind", 100);
    layer_read(running);
    snapshot(l);
    set_some(l);
    snapshot(l);
    set(l, "large", 200000);
    snapshot(l);
    set_some(l);
    close_it(l);
    layer_read(closed);
}

static void live_again(life *l) {
    open_it(l);
    set_some(l);
    sync_it(l);
    close_it(l);
}

/* The last record of each log is damaged: a torn tail. */
static void live_torn(life *l, const image *running) {
    image torn = *running;
    for (size_t i = 0; i < torn.count; i++) {
        size_t size = torn.files[i].size;
        uint8_t *copy = malloc(size + 1);
        if (!copy) abort();
        memcpy(copy, torn.files[i].bytes, size);
        while (size > 0 && copy[size - 1] == 0) size--;
        if (size > 0 && strstr(torn.files[i].name, "diff")) copy[size - 1] ^= 1;
        torn.files[i].bytes = copy;
    }
    restore_image(l, &torn);
    release_image(&torn);
    live_again(l);
}

/* The renaming and the clean-up of the last snapshot were interrupted. (All bytes are borrowed.) */
static void live_unfinished(life *l, const image *closed) {
    static uint8_t bytes[] = "whatever";
    image left = *closed;
    for (size_t i = 0; i < left.count; i++) {
        char *kind = strstr(left.files[i].name, "full.bin");
        if (kind && strstr(left.files[i].name, "_6_")) memcpy(kind, "pending.bin", 12);
    }
    add_file(&left, "snapshot_1_0-of-1_diff.bin", bytes, sizeof bytes);
    add_file(&left, "snapshot_9_0-of-2_pending.bin", bytes, sizeof bytes);
    add_file(&left, "manifest.new", bytes, sizeof bytes);
    restore_image(l, &left);
    live_again(l);
}

static void administer(life *l) {
    uint64_t removed;
    pkv_check_report report;
    begin_step("prune");
    end_step(l, pkv_prune_backups("folder", 0, &removed));
    begin_step("delete pending");
    end_step(l, pkv_delete_failed_pending_snapshots("folder", &removed));
    begin_step("check");
    end_step(l, pkv_check("folder", NULL, NULL, &report));
}

static void run(pkv_wal_io io, uint32_t shards, pkv_sync_mode sync) {
    image none = {.count = 0}, running = none, closed = none;
    life l = {.config = {.sync = sync,
                         .wal_io = io,
                         .wal_shards = shards,
                         .memory_shards = 4,
                         .snapshot_threads = 1,
                         .snapshot_shard_bytes = 100000,
                         .snapshot_interval = PKV_SNAPSHOT_NEVER}};
    (void)printf("---- io %d, %u shards, sync %d\n", (int)io, shards, (int)sync);
    restore_image(&l, &none);
    live_long(&l, &running, &closed);
    live_again(&l);
    restore_image(&l, &running);
    live_again(&l);
    live_torn(&l, &running);
    live_unfinished(&l, &closed);
    l.config.wal_shards = 3 - shards;
    live_again(&l);
    administer(&l);
    release_image(&running);
    release_image(&closed);
}

static void run_all(void) {
    program_thread = pthread_self();
    for (pkv_wal_io io = PKV_WAL_IO_MMAP; io <= PKV_WAL_IO_PWRITE; io++) {
        for (uint32_t shards = 1; shards <= 2; shards++) {
            run(io, shards, PKV_SYNC_OS);
            run(io, shards, PKV_SYNC_ALWAYS);
        }
    }
}

#endif
