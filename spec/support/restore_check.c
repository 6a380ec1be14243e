/* restore_check - what comes back from a log does not depend on how many threads read it, nor does
 * what is told of a damaged one. Few keys are changed again and again, so that nearly every change
 * is undone by one that other threads are at.
 *
 *     restore_check [seed]
 */
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../../src/bytes/limits.h"
#include "../../src/disk/reader.h"
#include "../../src/disk/restore.h"
#include "../../src/os/error.h"
#include "../../src/pkv.h"
#include "effort.h"
#include "process_bytes.h"

#define OPERATIONS   EFFORT(40000u, 40000u, 40000u, 40000u, 6000u)
#define ROUNDS       EFFORT(5, 5, 5, 5, 2)
#define KEYS         300u
#define LARGEST      (READER_LARGE + READER_LARGE / 2)
#define ABSENT       UINT32_MAX
#define LOG_NAME     "snapshot_1_0-of-1_diff.bin"
#define PATH_BYTES   200
#define THREAD_TRIES 3

static const uint32_t thread_counts[THREAD_TRIES] = {1, 2, 8};

/* Operation n sets its key to a value that tells n, or unsets it. Unsets of what is not there are
 * not logged, and not in here. */
typedef struct operation {
    uint32_t key;
    uint32_t size; /* ABSENT: unset */
} operation;

static operation history[OPERATIONS];
static uint64_t offsets[OPERATIONS]; /* of its record in a log of its own */
static uint8_t value[LARGEST];
static char base[64];
static unsigned seed;
static int passed, failed;

static void check(bool ok, const char *what, const char *where, unsigned threads) {
    ok ? passed++ : failed++;
    if (ok) return;
    printf("not ok: %s (%s, %u threads, seed %u): %s\n", what, where, threads, seed,
           pkv_error_detail()->message);
}

static unsigned next_random(void) {
    static unsigned state;
    if (state == 0) state = seed;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static unsigned random_below(unsigned limit) {
    return (next_random() >> 4) % limit;
}

static uint32_t random_size(void) {
    if (random_below(OPERATIONS / 4) == 0) return LARGEST - random_below(100);
    if (random_below(100) == 0) return 4 + random_below(5000);
    return 4 + random_below(150);
}

static void make_history(void) {
    static bool there[KEYS];
    memset(there, 0, sizeof there);
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        operation *o = &history[i];
        o->key = random_below(random_below(2) ? KEYS : 8);
        o->size = there[o->key] && random_below(3) == 0 ? ABSENT : random_size();
        there[o->key] = o->size != ABSENT;
    }
}

static pkv_bytes key_of(uint32_t key, bool fixed, uint64_t *bytes) {
    *bytes = key;
    return (pkv_bytes){bytes, fixed ? 8 : 2 + key % 7};
}

static pkv_bytes value_of(uint32_t number) {
    memcpy(value, &number, sizeof number);
    memset(value + 4, (int)(number % 251), history[number].size - 4);
    return (pkv_bytes){value, history[number].size};
}

static bool write_history(const char *path, const pkv_config *config, uint32_t snapshot_at,
                          bool clean) {
    pkv *store;
    uint64_t bytes;
    bool ok = pkv_open(path, config, &store) == PKV_OK;
    for (uint32_t i = 0; i < OPERATIONS && ok; i++) {
        pkv_bytes key = key_of(history[i].key, config->keys == PKV_KEYS_FIXED, &bytes);
        ok = history[i].size == ABSENT ? pkv_unset(store, key) == PKV_OK
                                       : pkv_set(store, key, value_of(i)) == PKV_OK;
        if (i == snapshot_at) ok = ok && pkv_snapshot(store) == PKV_OK;
    }
    return ok && (!clean || pkv_close(store) == PKV_OK);
}

/* Whether the store holds what the first `count` operations leave. */
static bool holds(pkv *store, uint32_t count, bool fixed) {
    static uint8_t buffer[LARGEST];
    static uint32_t last[KEYS]; /* operation on the key, from 1 on */
    uint64_t bytes, entries = 0, stored = 0;
    memset(last, 0, sizeof last);
    for (uint32_t i = 0; i < count; i++) last[history[i].key] = i + 1;
    for (uint32_t key = 0; key < KEYS; key++) {
        size_t size = 0;
        pkv_bytes at = key_of(key, fixed, &bytes);
        pkv_status status = pkv_get(store, at, buffer, sizeof buffer, &size);
        if (last[key] == 0 || history[last[key] - 1].size == ABSENT) {
            if (status != PKV_NOT_FOUND) return false;
            continue;
        }
        entries++;
        pkv_bytes wanted = value_of(last[key] - 1);
        if (status != PKV_OK || size != wanted.size) return false;
        if (memcmp(buffer, wanted.data, size) != 0) return false;
    }
    return pkv_count(store, &stored) == PKV_OK && stored == entries;
}

static void shell(const char *format, const char *a, const char *b) {
    char command[2 * PATH_BYTES + 40];
    (void)snprintf(command, sizeof command, format, a, b);
    if (system(command) != 0) printf("cannot run: %s\n", command);
}

static void path_of(const char *name, char path[PATH_BYTES]) {
    (void)snprintf(path, PATH_BYTES, "%s/%s", base, name);
}

/* ---- Whole logs */

static void comes_back(const char *name, pkv_config config, uint32_t snapshot_at) {
    static const uint32_t memory_shards[] = {0, 1, 256};
    char path[PATH_BYTES];
    path_of(name, path);
    make_history();
    config.snapshot_interval = PKV_SNAPSHOT_NEVER;
    check(write_history(path, &config, snapshot_at, true), "is written", name, 0);
    for (unsigned i = 0; i < 3 * THREAD_TRIES; i++) {
        pkv *store = NULL;
        config.snapshot_threads = thread_counts[i % 3];
        config.memory_shards = memory_shards[i / 3];
        bool ok = pkv_open(path, &config, &store) == PKV_OK;
        check(ok, "opens", name, config.snapshot_threads);
        if (!ok) return;
        check(holds(store, OPERATIONS, config.keys == PKV_KEYS_FIXED), "is what was written", name,
              config.snapshot_threads);
        check(pkv_close(store) == PKV_OK, "closes", name, config.snapshot_threads);
    }
    shell("rm -rf %s%s", path, "");
}

/* ---- Damaged logs */

static int open_log(const char *path) {
    char name[PATH_BYTES + 40];
    (void)snprintf(name, sizeof name, "%s/%s", path, LOG_NAME);
    return open(name, O_RDWR);
}

/* A bit of the record at the offset. */
static void flip(const char *path, uint64_t offset) {
    int file = open_log(path);
    uint8_t byte = 0;
    bool ok = pread(file, &byte, 1, (off_t)offset + 2) == 1;
    byte ^= 1;
    ok = ok && pwrite(file, &byte, 1, (off_t)offset + 2) == 1;
    check(ok && close(file) == 0, "is damaged", path, 0);
}

/* A length that the file cannot fill. */
static void claim_more(const char *path, uint64_t offset) {
    static const uint8_t length[] = {0xff, 0xff, 0xff, 0x7f};
    int file = open_log(path);
    bool ok = pwrite(file, length, sizeof length, (off_t)offset) == sizeof length;
    check(ok && close(file) == 0, "is damaged", path, 0);
}

static uint64_t size_of_log(const char *path) {
    int file = open_log(path);
    off_t size = lseek(file, 0, SEEK_END);
    check(close(file) == 0, "is there", path, 0);
    return (uint64_t)size;
}

/* Where the records of a folder's only log begin. */
static bool find_offsets(const os_folder *folder, const manifest *m) {
    file_name name = {.ordinal = 1, .shard = 0, .shard_count = 1, .kind = FILE_DIFF};
    reader in;
    reader_batch batch = {.ended = RECORD_OK};
    size_t count = 0;
    bool ok = reader_open(&in, folder, &name, RECORD_OURS, m->salt) == PKV_OK;
    while (ok && count < OPERATIONS && batch.ended == RECORD_OK) {
        ok = reader_next(&in, &batch) == PKV_OK;
        for (size_t i = 0; i < batch.count && count < OPERATIONS; i++) {
            offsets[count++] = batch.offsets[i];
        }
    }
    reader_close(&in);
    return ok && count == OPERATIONS;
}

/* What has not been flushed is a torn tail from the first damaged record on. */
static void is_cut(const char *from, uint32_t number,
                   void (*damage)(const char *path, uint64_t offset)) {
    char path[PATH_BYTES];
    path_of("torn", path);
    for (unsigned i = 0; i < THREAD_TRIES; i++) {
        pkv_config config = {.snapshot_threads = thread_counts[i],
                             .snapshot_interval = PKV_SNAPSHOT_NEVER};
        pkv *store;
        pkv_event event = {0};
        uint64_t seen = 0;
        shell("cp -r %s %s", from, path);
        damage(path, offsets[number]);
        bool ok = pkv_open(path, &config, &store) == PKV_OK;
        check(ok, "a torn log opens", LOG_NAME, thread_counts[i]);
        if (ok) {
            check(pkv_next_event(store, &seen, &event) == PKV_OK && event.entries == number,
                  "it is cut at the first damaged record", LOG_NAME, thread_counts[i]);
            check(holds(store, number, false), "what is before comes back", LOG_NAME,
                  thread_counts[i]);
            check(pkv_close(store) == PKV_OK, "it closes", LOG_NAME, thread_counts[i]);
            check(size_of_log(path) == offsets[number], "its tail is cut off", LOG_NAME,
                  thread_counts[i]);
        }
        shell("rm -rf %s%s", path, "");
    }
}

/* ---- A sink that watches the order, and fails where it is told to */

typedef struct sink {
    atomic_bool busy[SINK_PARTS_MAX];
    uint32_t next[SINK_PARTS_MAX];  /* operations seen are below it */
    uint32_t fail_hash, fail_apply; /* from this operation on; at this operation */
    atomic_uint applied, disorders;
} sink;

static uint32_t number_of(const record *entry) {
    uint32_t number = 0;
    if (!entry->unset) memcpy(&number, entry->value.data, sizeof number);
    return number;
}

/* Keys have their bytes from the left on, so the first says enough. Unsets tell no number, and are
 * passed over. */
static pkv_status hash(void *context, const record *entry, record_origin origin, uint64_t *bits) {
    const sink *s = context;
    (void)origin;
    if (entry->unset) return PKV_NOT_FOUND;
    if (number_of(entry) >= s->fail_hash) return fail(PKV_USAGE, NULL, NO_OFFSET, 0, "no hash");
    *bits = (uint64_t) * (const uint8_t *)entry->key.data << 56;
    return PKV_OK;
}

static pkv_status apply(void *context, const sink_batch *batch, size_t *applied) {
    sink *s = context;
    pkv_status status = PKV_OK;
    if (atomic_exchange(&s->busy[batch->part], true)) atomic_fetch_add(&s->disorders, 1);
    for (*applied = 0; *applied < batch->count; ++*applied) {
        uint32_t number = number_of(batch->items[*applied].entry);
        if (number < s->next[batch->part]) atomic_fetch_add(&s->disorders, 1);
        s->next[batch->part] = number + 1;
        if (number == s->fail_apply) {
            status = fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no room");
            break;
        }
        if (number % 509 == 0) (void)sched_yield();
    }
    atomic_fetch_add(&s->applied, (unsigned)*applied);
    atomic_store(&s->busy[batch->part], false);
    return status;
}

static pkv_status feed_to(const os_folder *folder, const manifest *m, unsigned threads,
                          const restore_sink *to) {
    manifest copy;
    restore_result result;
    if (manifest_copy(m, &copy) != PKV_OK) return PKV_NO_MEMORY;
    pkv_status status = restore_run(folder, &copy, threads, to, &result);
    manifest_release(&copy);
    return status;
}

static pkv_status feed(const os_folder *folder, const manifest *m, unsigned threads, sink *s) {
    restore_sink to = {.part_bits = 5, .hash = hash, .apply = apply, .context = s};
    return feed_to(folder, m, threads, &to);
}

static bool told(pkv_status status, pkv_status wanted, uint32_t number) {
    const pkv_error *error = pkv_error_detail();
    return status == wanted && strcmp(error->file, LOG_NAME) == 0 &&
           error->offset == offsets[number];
}

static uint32_t random_set(void) {
    uint32_t number = random_below(OPERATIONS);
    while (history[number].size == ABSENT) number = (number + 1) % OPERATIONS;
    return number;
}

static unsigned sets_below(uint32_t number) {
    unsigned sets = 0;
    for (uint32_t i = 0; i < number; i++) sets += history[i].size != ABSENT;
    return sets;
}

static void comes_in_order(const os_folder *folder, const manifest *m, unsigned threads) {
    sink s = {.fail_hash = ABSENT, .fail_apply = ABSENT};
    pkv_status status = feed(folder, m, threads, &s);
    check(status == PKV_OK, "is read", "sink", threads);
    check(s.disorders == 0, "each part gets its records in order", "sink", threads);
    check(s.applied == sets_below(OPERATIONS), "each part gets all of them", "sink", threads);
}

static void failures_are_told(const os_folder *folder, const manifest *m, unsigned threads) {
    sink s = {.fail_hash = random_set(), .fail_apply = ABSENT};
    pkv_status status = feed(folder, m, threads, &s);
    check(told(status, PKV_USAGE, s.fail_hash), "the first refused record is told", "sink",
          threads);
    check(s.disorders == 0 && s.applied <= sets_below(s.fail_hash), "none behind it is applied",
          "sink", threads);
    sink t = {.fail_hash = ABSENT, .fail_apply = random_set()};
    status = feed(folder, m, threads, &t);
    check(told(status, PKV_NO_MEMORY, t.fail_apply), "the record that failed is told", "sink",
          threads);
    check(t.disorders == 0, "in order until then", "sink", threads);
}

/* The first of two failures of different kinds is told. */
static void damage_is_told(const char *path, const os_folder *folder, const manifest *m,
                           uint32_t number, unsigned threads) {
    sink s = {.fail_hash = ABSENT, .fail_apply = ABSENT};
    flip(path, offsets[number]);
    check(told(feed(folder, m, threads, &s), PKV_CORRUPT, number), "the damaged record is told",
          "sink", threads);
    check(s.disorders == 0 && s.applied == sets_below(number), "all before it is applied", "sink",
          threads);
    sink t = {.fail_hash = random_set(), .fail_apply = ABSENT};
    pkv_status status = feed(folder, m, threads, &t);
    bool is_first = t.fail_hash < number;
    check(told(status, is_first ? PKV_USAGE : PKV_CORRUPT, is_first ? t.fail_hash : number),
          "the first of two failures is told", "sink", threads);
    flip(path, offsets[number]);
}

static bool read_folder(const char *path, os_folder *folder, manifest *m) {
    bool found = false, ok = os_folder_open(path, folder) == 0;
    ok = ok && manifest_read(folder, m, &found) == PKV_OK && found;
    check(ok, "the folder can be read", path, 0);
    return ok;
}

static void sinks(const char *path) {
    os_folder folder;
    manifest m = {0};
    bool ok = read_folder(path, &folder, &m) && find_offsets(&folder, &m);
    check(ok, "the records are found", path, 0);
    for (unsigned i = 0; i < THREAD_TRIES && ok; i++) {
        comes_in_order(&folder, &m, thread_counts[i]);
        for (int round = 0; round < ROUNDS; round++) {
            failures_are_told(&folder, &m, thread_counts[i]);
            damage_is_told(path, &folder, &m, random_below(OPERATIONS), thread_counts[i]);
        }
    }
    manifest_release(&m);
    os_folder_close(&folder);
}

/* ---- A sink that watches the memory */

#define BULK       ((size_t)4 << 20)
#define BULK_COUNT 20u

typedef struct scales {
    atomic_size_t most; /* bytes that the process had when it was looked at */
    atomic_uint applied;
} scales;

static pkv_status hash_evenly(void *context, const record *entry, record_origin origin,
                              uint64_t *bits) {
    (void)context;
    (void)origin;
    *bits = (uint64_t) * (const uint8_t *)entry->key.data << 56;
    return PKV_OK;
}

static pkv_status weigh(void *context, const sink_batch *batch, size_t *applied) {
    scales *s = context;
    size_t now = process_bytes(PROCESS_RESIDENT), most = atomic_load(&s->most);
    while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now)) continue;
    atomic_fetch_add(&s->applied, (unsigned)batch->count);
    *applied = batch->count;
    return PKV_OK;
}

/* One large record at a time, and the batches: a thread has eight, of 256 KiB at most. */
static void large_records(const char *path) {
    os_folder folder;
    manifest m = {0};
    pkv *store;
    pkv_config config = {.snapshot_interval = PKV_SNAPSHOT_NEVER};
    static uint8_t bytes[BULK];
    bool ok = pkv_open(path, &config, &store) == PKV_OK;
    for (uint8_t i = 0; i < BULK_COUNT && ok; i++) {
        uint8_t key[] = {(uint8_t)(i * 12), i};
        ok = pkv_set(store, (pkv_bytes){key, 2}, (pkv_bytes){bytes, BULK}) == PKV_OK;
    }
    check(ok && pkv_close(store) == PKV_OK, "is written", path, 0);
    ok = read_folder(path, &folder, &m);
    for (unsigned i = 0; i < THREAD_TRIES && ok; i++) {
        scales s = {0};
        size_t before = process_bytes(PROCESS_RESIDENT),
               limit = BULK * 5 / 2 + thread_counts[i] * (2u << 20);
        restore_sink to = {.part_bits = 5, .hash = hash_evenly, .apply = weigh, .context = &s};
        check(feed_to(&folder, &m, thread_counts[i], &to) == PKV_OK && s.applied == BULK_COUNT,
              "large records are read", path, thread_counts[i]);
        check(SANITIZED || s.most < before + limit, "large records do not pile up", path,
              thread_counts[i]);
    }
    manifest_release(&m);
    os_folder_close(&folder);
    shell("rm -rf %s%s", path, "");
}

/* ---- All of it */

static void damaged(void) {
    pkv_config config = {.snapshot_interval = PKV_SNAPSHOT_NEVER};
    char clean[PATH_BYTES], unclean[PATH_BYTES];
    path_of("clean", clean);
    path_of("unclean", unclean);
    make_history();
    check(write_history(clean, &config, ABSENT, true), "is written", "clean", 0);
    sinks(clean);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(!write_history(unclean, &config, ABSENT, false));
    int status = 1;
    check(waitpid(child, &status, 0) == child && status == 0, "is written", "unclean", 0);
    for (int round = 0; round < ROUNDS; round++) is_cut(unclean, random_below(OPERATIONS), flip);
    is_cut(unclean, 0, flip);
    is_cut(unclean, OPERATIONS - 1, flip);
    is_cut(unclean, OPERATIONS / 2, claim_more);
}

int main(int argc, char **argv) {
    char path[PATH_BYTES];
    seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : (unsigned)time(NULL) | 1;
    printf("restore_check: seed %u\n", seed);
    (void)mallopt(M_MMAP_THRESHOLD, 64 << 10); /* what is freed is given back */
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(base, sizeof base, "%s/pkv-restore-XXXXXX", parent);
    if (!mkdtemp(base)) return 1;
    comes_back("strings", (pkv_config){0}, ABSENT);
    comes_back("integers", (pkv_config){.keys = PKV_KEYS_FIXED}, ABSENT);
    comes_back("shards", (pkv_config){.wal_shards = 3}, ABSENT);
    comes_back("snapshot", (pkv_config){.snapshot_threads = 2}, OPERATIONS / 2);
    comes_back("two logs", (pkv_config){.wal_shards = 2}, OPERATIONS - 10);
    damaged();
    path_of("large", path);
    large_records(path);
    shell("rm -rf %s%s", base, "");
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
