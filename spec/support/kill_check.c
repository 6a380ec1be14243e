/* kill_check.c - what several threads have been told is written is there after SIGKILL at any
 * moment: of writing under tiny snapshot intervals, of opening and recovering, of closing; in every
 * sync mode but buffered, both ways of writing the log and with any number of its shards.
 *
 * Several workers each have a store, and a process that opens it, compares it with what was
 * acknowledged so far, writes on, at times closes it, and is killed; and the next. What is
 * acknowledged stands in memory that worker and process share. What a kill has interrupted is read
 * from the folder that it left.
 *
 *     kill_check [kills]       PKV_SEED: the seed of a run to repeat
 *
 * Half of the stores lie where temporary files do (TMPDIR), the others in memory, if there is a
 * file system in memory.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../../src/disk/fileset.h"
#include "../../src/disk/manifest.h"
#include "../../src/os/error.h"
#include "effort.h"

#define WORKERS              6 /* processes: much of the time is spent waiting */
#define THREADS              3
#define KEYS                 150 /* per thread */
#define VALUE_MAX            (300 << 10)
#define LIFE                 40 /* kills of one store */
#define KILLS                EFFORT(1000u, 300u, 300u, 300u, 100u)
#define WRITING_MICROSECONDS 8192
#define ENOUGH_KILLS         500 /* to have met every moment */

typedef enum stage { OPENING, WRITING, CLOSING } stage;

/* What a kill fell in. */
typedef enum moment { RECOVERY, SNAPSHOT, PUBLISH, CLOSE, BETWEEN, MOMENTS } moment;

static const char *const moment_names[MOMENTS] = {
    "while opening or recovering", "while a snapshot was written", "while files were exchanged",
    "while closing", "at other moments"};

/* Shared by a worker and its processes. Thread t makes its changes in order, from 1 on; a key that
 * was never changed is as after change 0, which unset it. */
typedef struct ledger {
    atomic_uint_fast64_t acknowledged[THREADS];
    atomic_uint_fast64_t verified[THREADS]; /* `latest` counts the changes up to this one */
    uint64_t latest[THREADS][KEYS];         /* the change that each key is known to have had last */
    atomic_int stage;
    uint64_t ordinal; /* the last given when writing began */
    atomic_bool failed;
} ledger;

typedef struct worker {
    ledger ledger;
    unsigned kills, moments[MOMENTS];
    bool failed;
    unsigned index, seed;
    long opening_microseconds; /* the latest */
    char path[128];
} worker;

typedef struct writer {
    ledger *ledger;
    pkv *store;
    unsigned index;
    atomic_bool *stop;
} writer;

/* ---- What change number i of a thread is */

static uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static unsigned key_of(unsigned thread, uint64_t i) {
    return (unsigned)(mix(i * THREADS + thread) % KEYS);
}

static bool unsets(uint64_t i) {
    return i == 0 || mix(i) % 4 == 0;
}

static pkv_bytes key_bytes(char *buffer, unsigned thread, unsigned key) {
    return (pkv_bytes){buffer, (size_t)snprintf(buffer, 32, "%u:%u", thread, key)};
}

static pkv_bytes value_bytes(char *buffer, unsigned thread, uint64_t i) {
    size_t size = mix(i) % 200;
    if (i % 61 == 0) size = mix(i) % 20000;
    if (i % 997 == 0) size = VALUE_MAX - 100;
    int head = snprintf(buffer, 64, "%u:%llu:", thread, (unsigned long long)i);
    memset(buffer + head, 'a' + (int)(i % 26), size);
    return (pkv_bytes){buffer, (size_t)head + size};
}

/* ---- The process that is killed */

/* Whoever is killed before he can exit has still said it. */
static _Noreturn void give_up(ledger *l, const char *what) {
    atomic_store(&l->failed, true);
    printf("not ok: %s: %s\n", what, pkv_error_detail()->message);
    (void)fflush(stdout);
    _exit(1);
}

/* Is the key as change i left it? */
static bool is_as_after(pkv *store, unsigned thread, unsigned key, uint64_t i) {
    static char expected[VALUE_MAX], got[VALUE_MAX];
    char name[32];
    size_t size = 0;
    pkv_status status = pkv_get(store, key_bytes(name, thread, key), got, sizeof got, &size);
    if (unsets(i)) return status == PKV_NOT_FOUND;
    pkv_bytes value = value_bytes(expected, thread, i);
    return status == PKV_OK && size == value.size && memcmp(got, expected, size) == 0;
}

/* The change that was under way may have been made or not; it then counts as done. All of this may
 * be interrupted by a kill, and then begins anew: so `verified` goes before `acknowledged`. */
static unsigned verify_thread(ledger *l, pkv *store, unsigned t, uint64_t *entries) {
    uint64_t acknowledged = atomic_load(&l->acknowledged[t]), next = acknowledged + 1;
    unsigned wrong = 0;
    for (uint64_t i = atomic_load(&l->verified[t]) + 1; i <= acknowledged; i++) {
        l->latest[t][key_of(t, i)] = i;
    }
    for (unsigned key = 0; key < KEYS; key++) {
        uint64_t *latest = &l->latest[t][key];
        if (key_of(t, next) == key && is_as_after(store, t, key, next)) *latest = next;
        if (!is_as_after(store, t, key, *latest)) {
            printf("thread %u, key %u is not as change %llu left it; %llu acknowledged\n", t, key,
                   (unsigned long long)*latest, (unsigned long long)acknowledged);
            wrong++;
        }
        *entries += !unsets(*latest);
    }
    if (wrong > 0) return wrong;
    atomic_store(&l->verified[t], next);
    atomic_store(&l->acknowledged[t], next);
    return 0;
}

static void verify(ledger *l, pkv *store) {
    unsigned wrong = 0;
    uint64_t entries = 0, count = 0;
    for (unsigned t = 0; t < THREADS; t++) wrong += verify_thread(l, store, t, &entries);
    if (wrong > 0) give_up(l, "something acknowledged is lost");
    if (pkv_count(store, &count)) give_up(l, "counting");
    if (count == entries) return;
    printf("%llu entries, not %llu\n", (unsigned long long)count, (unsigned long long)entries);
    give_up(l, "there is what nobody wrote");
}

static void *write_on(void *context) {
    writer *w = context;
    char *value = malloc(VALUE_MAX), name[32];
    for (uint64_t i = atomic_load(&w->ledger->acknowledged[w->index]) + 1; !atomic_load(w->stop);
         i++) {
        pkv_bytes key = key_bytes(name, w->index, key_of(w->index, i));
        pkv_status status = unsets(i) ? pkv_unset(w->store, key)
                                      : pkv_set(w->store, key, value_bytes(value, w->index, i));
        if (status && status != PKV_NOT_FOUND) give_up(w->ledger, "writing");
        atomic_store(&w->ledger->acknowledged[w->index], i);
    }
    free(value);
    return NULL;
}

static void sleep_microseconds(long us) {
    struct timespec time = {us / 1000000, us % 1000000 * 1000};
    (void)nanosleep(&time, NULL);
}

/* False where the folder has no manifest. */
static bool read_manifest(const char *path, manifest *m) {
    os_folder folder;
    bool found = false;
    if (os_folder_open(path, &folder)) return false;
    pkv_status status = manifest_read(&folder, m, &found);
    os_folder_close(&folder);
    return !status && found;
}

/* Writes until it is killed, or for some microseconds, and then closes. */
static void write_all(worker *w, pkv *store, long microseconds) {
    static writer writers[THREADS];
    static atomic_bool stop;
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        writers[t] = (writer){&w->ledger, store, t, &stop};
        if (pthread_create(&threads[t], NULL, write_on, &writers[t])) _exit(1);
    }
    while (microseconds < 0) (void)pause();
    sleep_microseconds(microseconds);
    atomic_store(&stop, true);
    for (unsigned t = 0; t < THREADS; t++) (void)pthread_join(threads[t], NULL);
}

/* microseconds < 0: writes for ever; 0: not at all. */
static _Noreturn void live(worker *w, const pkv_config *config, bool checks, long microseconds) {
    ledger *l = &w->ledger;
    pkv *store = NULL;
    pkv_check_report report;
    pkv_status status = checks ? pkv_check(w->path, NULL, NULL, &report) : PKV_OK;
    if (status && status != PKV_NOT_FOUND) give_up(l, "checking");
    if (pkv_open(w->path, config, &store)) give_up(l, "opening");
    verify(l, store);
    manifest m = {0};
    if (!read_manifest(w->path, &m)) give_up(l, "reading the manifest");
    l->ordinal = m.last_ordinal;
    manifest_release(&m);
    atomic_store(&l->stage, WRITING);
    if (microseconds != 0) write_all(w, store, microseconds);
    atomic_store(&l->stage, CLOSING);
    if (pkv_close(store)) give_up(l, "closing");
    _exit(0);
}

/* ---- What the kill has interrupted */

static bool is_listed(const manifest *m, const file_name *name) {
    return manifest_find(name->kind == FILE_DIFF ? &m->logs : &m->snapshots, name->ordinal) != NULL;
}

/* Is there a file whose name the manifest does not know, or knows better? */
static bool has_leftovers(const os_folder *folder, const manifest *m) {
    fileset files = {0};
    bool found = false;
    int fd;
    if (os_file_open(folder, MANIFEST_NEW_NAME, OS_READ, &fd) == 0) {
        found = true;
        (void)os_file_close(fd);
    }
    if (fileset_scan(folder, &files)) return found;
    for (size_t i = 0; i < files.count; i++) {
        bool listed = is_listed(m, &files.names[i]);
        bool pending = files.names[i].kind == FILE_PENDING;
        found = found || (pending ? listed : !listed);
    }
    fileset_release(&files);
    return found;
}

/* From its log's entry in the manifest to its own, a snapshot is written. Before and behind that,
 * files are made, listed, renamed and removed. */
static moment moment_of(const worker *w) {
    stage at = (stage)atomic_load(&w->ledger.stage);
    if (at != WRITING) return at == OPENING ? RECOVERY : CLOSE;
    os_folder folder;
    manifest m = {0};
    if (!read_manifest(w->path, &m)) return BETWEEN;
    if (os_folder_open(w->path, &folder)) return BETWEEN;
    const manifest_group *snapshot = manifest_snapshot(&m);
    uint64_t covered = snapshot ? snapshot->ordinal : 0;
    bool writes = m.last_ordinal > w->ledger.ordinal && covered + 1 < m.last_ordinal;
    moment found = writes ? SNAPSHOT : BETWEEN;
    if (has_leftovers(&folder, &m)) found = PUBLISH;
    os_folder_close(&folder);
    manifest_release(&m);
    return found;
}

/* ---- A worker */

static pkv_config choose_config(void) {
    static const pkv_sync_mode modes[] = {PKV_SYNC_OS, PKV_SYNC_ALWAYS, PKV_SYNC_INTERVAL};
    static const uint64_t intervals[] = {0, 1, 20, 300};
    pkv_config c = {.sync = modes[rand() % 3], .snapshot_interval = intervals[rand() % 4]};
    if (c.sync == PKV_SYNC_INTERVAL) c.sync_seconds = 0.001;
    c.wal_io = rand() % 2 ? PKV_WAL_IO_MMAP : PKV_WAL_IO_PWRITE;
    c.wal_shards = (uint32_t)(rand() % 3 + 1);
    c.memory_shards = 1u << (rand() % 6);
    c.keep_backups = rand() % 2 ? 1 : PKV_KEEP_NONE;
    c.snapshot_shard_bytes = rand() % 2 ? 5000 : 0;
    return c;
}

static bool is_running(pid_t child) {
    siginfo_t how = {0};
    return waitid(P_PID, (id_t)child, &how, WEXITED | WNOHANG | WNOWAIT) == 0 && how.si_pid == 0;
}

/* Some time in what the process does until it has reached a stage, or soon afterwards. */
static void await_moment(worker *w, pid_t child, stage wanted) {
    if (rand() % 4 == 0) {
        sleep_microseconds(rand() % (2 * w->opening_microseconds + 1));
        return;
    }
    double began = os_now();
    while (atomic_load(&w->ledger.stage) < (int)wanted && is_running(child)) {
        sleep_microseconds(50);
    }
    if (wanted == WRITING) w->opening_microseconds = (long)((os_now() - began) * 1e6);
    long below = 1 + rand() % WRITING_MICROSECONDS; /* rather soon than late */
    sleep_microseconds(rand() % below);
}

/* Starts a process and kills it; false where something is wrong. One that ends before the kill has
 * closed its store. */
static bool kill_one(worker *w) {
    bool closes = rand() % 5 == 0, checks = rand() % 8 == 0;
    long microseconds = closes ? rand() % 2000 : -1;
    pkv_config config = choose_config();
    atomic_store(&w->ledger.stage, OPENING);
    pid_t child = fork();
    if (child == 0) live(w, &config, checks, microseconds);
    await_moment(w, child, closes ? CLOSING : WRITING);
    int how = 0;
    if (kill(child, SIGKILL) || waitpid(child, &how, 0) != child) return false;
    if (WIFEXITED(how)) return WEXITSTATUS(how) == 0;
    if (WTERMSIG(how) != SIGKILL) printf("not ok: it died of signal %d\n", WTERMSIG(how));
    w->kills++;
    w->moments[moment_of(w)]++;
    return WTERMSIG(how) == SIGKILL && !atomic_load(&w->ledger.failed);
}

/* Compares what the last kill left, closes the store, and finds nothing wrong with it. */
static bool end_well(worker *w) {
    pkv_config config = choose_config();
    int how = 0;
    pid_t child = fork();
    if (child == 0) live(w, &config, true, 0);
    if (waitpid(child, &how, 0) != child || !WIFEXITED(how) || WEXITSTATUS(how)) return false;
    pkv_check_report report;
    pkv_status status = pkv_check(w->path, NULL, NULL, &report);
    if (status) printf("not ok: checking at the end: %s\n", pkv_error_detail()->message);
    return !status && report.torn == 0;
}

static bool make_folder(worker *w) {
    const char *folder = getenv("TMPDIR");
    struct stat facts;
    if (!folder || !*folder) folder = "/tmp";
    if (w->index % 2 == 0 && stat("/dev/shm", &facts) == 0) folder = "/dev/shm";
    (void)snprintf(w->path, sizeof w->path, "%s/pkv-kill-XXXXXX", folder);
    return mkdtemp(w->path) != NULL;
}

/* One store after the other. */
static void work(worker *w, unsigned kills) {
    srand(w->seed + w->index);
    char command[200];
    while (w->kills < kills && !w->failed) {
        memset(&w->ledger, 0, sizeof w->ledger);
        if (!make_folder(w)) {
            w->failed = true;
            return;
        }
        unsigned last = kills - w->kills > LIFE ? w->kills + LIFE : kills;
        while (w->kills < last && !w->failed) w->failed = !kill_one(w);
        if (!w->failed) w->failed = !end_well(w);
        if (w->failed) break;
        (void)snprintf(command, sizeof command, "rm -rf '%s'", w->path);
        if (system(command)) printf("cannot remove %s\n", w->path);
    }
    if (w->failed) {
        printf("not ok: worker %u, kill %u with PKV_SEED=%u; the store is %s\n", w->index, w->kills,
               w->seed, w->path);
    }
    (void)fflush(stdout);
}

/* ---- All of them */

static void print_moments(const worker *all, unsigned kills, unsigned *missed) {
    printf("%u kills:", kills);
    for (int at = 0; at < MOMENTS; at++) {
        unsigned count = 0;
        for (int i = 0; i < WORKERS; i++) count += all[i].moments[at];
        printf("%s %u %s", at ? "," : "", count, moment_names[at]);
        if (count == 0 && kills >= ENOUGH_KILLS) (*missed)++;
    }
    printf("\n");
}

int main(int argc, char **argv) {
    unsigned wanted = argc > 1 ? (unsigned)atoi(argv[1]) : KILLS, kills = 0, failed = 0;
    const char *given = getenv("PKV_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    worker *all = mmap(NULL, WORKERS * sizeof *all, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return 1;
    printf("PKV_SEED=%u\n", seed);
    (void)fflush(stdout);
    pid_t children[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        all[i].index = i;
        all[i].seed = seed;
        children[i] = fork();
        if (children[i] != 0) continue;
        work(&all[i], wanted / WORKERS + (i < wanted % WORKERS));
        _exit(0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        int how = 0;
        bool well = waitpid(children[i], &how, 0) == children[i] && WIFEXITED(how);
        failed += !well || WEXITSTATUS(how) || all[i].failed;
        kills += all[i].kills;
    }
    print_moments(all, kills, &failed);
    printf("%u passed, %u failed\n", kills, failed);
    return failed != 0;
}
