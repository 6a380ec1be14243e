/* threads_check.c - any number of threads read, write, iterate, flush and snapshot at once, and
 * nothing is lost, seen twice or mixed up: in every sync mode, with both ways of writing the log.
 *
 *     threads_check [seed]
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "../../src/pkv.h"

#define WRITERS 3
#define KEYS    400 /* per writer */
#define ROUNDS  6000
#define STEADY  100 /* keys that stay all the time */

typedef struct run {
    pkv *store;
    const char *path;
    unsigned seed;
    atomic_bool stop;
    atomic_int failures;
    /* What each writer knows to be in the store: 0 is absent. */
    unsigned expected[WRITERS][KEYS];
} run;

typedef struct worker {
    run *r;
    unsigned index;
} worker;

static int passed, failed;

static void check(bool ok, const char *what, const char *where) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s (%s): %s\n", what, where, pkv_error_detail()->message);
}

static void complain(run *r, const char *what) {
    if (atomic_fetch_add(&r->failures, 1) < 5) {
        printf("%s: %s\n", what, pkv_error_detail()->message);
    }
}

static unsigned next_random(unsigned *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* The value of a key tells the key and its version, and has a length of its own. */
static pkv_bytes make_value(char *buffer, unsigned writer, unsigned key, unsigned version) {
    int head = snprintf(buffer, 64, "%u:%u:%u:", writer, key, version);
    size_t size = (size_t)head + version % 300;
    memset(buffer + head, 'a' + (int)(version % 26), size - (size_t)head);
    return (pkv_bytes){buffer, size};
}

static pkv_bytes make_key(char *buffer, unsigned writer, unsigned key) {
    int size = snprintf(buffer, 64, "writer %u key %u", writer, key);
    return (pkv_bytes){buffer, (size_t)size};
}

static void *write_keys(void *context) {
    worker *w = context;
    run *r = w->r;
    unsigned random = r->seed + w->index * 7919 + 1;
    for (unsigned i = 1; i <= ROUNDS; i++) {
        unsigned key = next_random(&random) % KEYS;
        char name[64], value[512];
        pkv_bytes k = make_key(name, w->index, key);
        bool unset = next_random(&random) % 4 == 0;
        pkv_status status = unset ? pkv_unset(r->store, k)
                                  : pkv_set(r->store, k, make_value(value, w->index, key, i));
        bool was_there = r->expected[w->index][key] != 0;
        if (status != (unset && !was_there ? PKV_NOT_FOUND : PKV_OK)) complain(r, "write");
        r->expected[w->index][key] = unset ? 0 : i;
    }
    return NULL;
}

static bool is_whole(pkv_bytes value) {
    unsigned writer, key, version;
    char text[512], again[512];
    if (value.size >= sizeof text) return false;
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    if (sscanf(text, "%u:%u:%u:", &writer, &key, &version) != 3) return false;
    pkv_bytes whole = make_value(again, writer, key, version);
    return whole.size == value.size && memcmp(whole.data, value.data, value.size) == 0;
}

static void *read_keys(void *context) {
    worker *w = context;
    run *r = w->r;
    unsigned random = r->seed + 31 + w->index;
    while (!atomic_load(&r->stop)) {
        char name[64], value[512];
        size_t size;
        unsigned writer = next_random(&random) % WRITERS, key = next_random(&random) % KEYS;
        pkv_status status =
            pkv_get(r->store, make_key(name, writer, key), value, sizeof value, &size);
        if (status == PKV_NOT_FOUND) continue;
        if (status || !is_whole((pkv_bytes){value, size})) complain(r, "read");
    }
    return NULL;
}

static void iterate_once(run *r) {
    pkv_cursor *cursor;
    if (pkv_cursor_open(r->store, &cursor)) {
        complain(r, "cursor");
        return;
    }
    unsigned seen[STEADY] = {0}, index;
    pkv_entry entry;
    while (pkv_cursor_next(cursor, &entry) == PKV_OK) {
        char name[64] = "";
        memcpy(name, entry.key.data, entry.key.size < 63 ? entry.key.size : 63);
        if (sscanf(name, "steady %u", &index) == 1 && index < STEADY) seen[index]++;
    }
    for (index = 0; index < STEADY; index++) {
        if (seen[index] != 1) complain(r, "an entry that stays was not seen exactly once");
    }
    pkv_cursor_close(cursor);
}

static void *iterate(void *context) {
    worker *w = context;
    while (!atomic_load(&w->r->stop)) iterate_once(w->r);
    return NULL;
}

static void *snapshot_and_flush(void *context) {
    worker *w = context;
    run *r = w->r;
    pkv_stats stats;
    pkv_event event;
    uint64_t seen = 0;
    while (!atomic_load(&r->stop)) {
        if (pkv_snapshot(r->store)) complain(r, "snapshot");
        if (pkv_sync(r->store)) complain(r, "sync");
        if (pkv_stats_get(r->store, &stats)) complain(r, "stats");
        while (pkv_next_event(r->store, &seen, &event) == PKV_OK) {
            if (event.kind == PKV_EVENT_FAILED) complain(r, event.message);
        }
        pkv *again;
        if (pkv_open(r->path, NULL, &again) || again != r->store || pkv_close(again)) {
            complain(r, "open again");
        }
    }
    return NULL;
}

static void compare(run *r, const char *where) {
    uint64_t count = 0, expected = STEADY;
    for (unsigned w = 0; w < WRITERS; w++) {
        for (unsigned key = 0; key < KEYS; key++) {
            char name[64], value[512], got[512];
            size_t size = 0;
            unsigned version = r->expected[w][key];
            pkv_status status = pkv_get(r->store, make_key(name, w, key), got, sizeof got, &size);
            pkv_bytes whole = make_value(value, w, key, version);
            bool same = version == 0 ? status == PKV_NOT_FOUND
                                     : status == PKV_OK && size == whole.size &&
                                           memcmp(got, whole.data, size) == 0;
            if (!same) complain(r, "a key does not hold what was written last");
            expected += version != 0;
        }
    }
    check(atomic_load(&r->failures) == 0, "every key holds what was written last", where);
    check(pkv_count(r->store, &count) == PKV_OK && count == expected, "the count is right", where);
}

static void set_steady(run *r) {
    for (unsigned i = 0; i < STEADY; i++) {
        char name[64];
        int size = snprintf(name, sizeof name, "steady %u", i);
        if (pkv_set(r->store, (pkv_bytes){name, (size_t)size}, (pkv_bytes){"1", 1})) {
            complain(r, "set");
        }
    }
}

static void run_threads(run *r) {
    pthread_t writers[WRITERS], others[4];
    worker w[WRITERS + 4];
    void *(*bodies[4])(void *) = {read_keys, read_keys, iterate, snapshot_and_flush};
    for (unsigned i = 0; i < WRITERS + 4; i++) w[i] = (worker){r, i};
    for (unsigned i = 0; i < 4; i++) pthread_create(&others[i], NULL, bodies[i], &w[WRITERS + i]);
    for (unsigned i = 0; i < WRITERS; i++) pthread_create(&writers[i], NULL, write_keys, &w[i]);
    for (unsigned i = 0; i < WRITERS; i++) pthread_join(writers[i], NULL);
    atomic_store(&r->stop, true);
    for (unsigned i = 0; i < 4; i++) pthread_join(others[i], NULL);
}

static void run_config(const char *folder, const char *name, pkv_config config, unsigned seed) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    run *r = calloc(1, sizeof *r);
    r->seed = seed;
    r->path = path;
    check(pkv_open(path, &config, &r->store) == PKV_OK, "opens", name);
    set_steady(r);
    run_threads(r);
    compare(r, name);
    check(pkv_close(r->store) == PKV_OK, "closes", name);
    config.memory_shards = 8; /* what comes back depends on no shard count */
    config.wal_shards = config.wal_shards == 3 ? 1 : 3;
    check(pkv_open(path, &config, &r->store) == PKV_OK, "opens again", name);
    compare(r, name);
    check(pkv_close(r->store) == PKV_OK, "closes again", name);
    free(r);
}

int main(int argc, char **argv) {
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : (unsigned)time(NULL) | 1;
    printf("threads_check: seed %u\n", seed);
    char folder[] = "/tmp/pkv-threads-XXXXXX";
    if (!mkdtemp(folder)) return 1;
    run_config(folder, "defaults", (pkv_config){0}, seed);
    run_config(folder, "pwrite", (pkv_config){.wal_io = PKV_WAL_IO_PWRITE, .wal_shards = 3}, seed);
    run_config(folder, "buffered",
               (pkv_config){.wal_io = PKV_WAL_IO_PWRITE, .sync = PKV_SYNC_BUFFERED}, seed);
    run_config(folder, "always", (pkv_config){.sync = PKV_SYNC_ALWAYS, .wal_shards = 2}, seed);
    run_config(folder, "interval",
               (pkv_config){.sync = PKV_SYNC_INTERVAL, .sync_seconds = 0.01, .memory_shards = 1},
               seed);
    run_config(folder, "often", (pkv_config){.snapshot_interval = 50, .keep_backups = -1}, seed);
    char command[600];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) printf("cannot remove %s\n", folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
