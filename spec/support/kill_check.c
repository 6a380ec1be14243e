/* kill_check.c - what several threads have been told is written is there after SIGKILL at any
 * moment, under tiny snapshot intervals, in every sync mode but buffered, both ways of writing the
 * log and with any number of its shards; also when recovery itself is never ended cleanly.
 *
 *     kill_check [rounds]       PKV_SEED: the seed of a run to repeat
 */
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
#include "../../src/pkv.h"

#define THREADS   3
#define KEYS      150 /* per thread */
#define VALUE_MAX (300 << 10)
#ifdef __SANITIZE_THREAD__
#define ROUNDS 15
#else
#define ROUNDS 60
#endif
#define NOT_OPENED 100 /* exit codes of the verifier; others: number of wrong keys */

/* Shared by all processes. Thread t makes its changes in order, from 1 on; a key that was never
 * changed is as after change 0, which unset it. */
typedef struct shared {
    atomic_uint_fast64_t acknowledged[THREADS];
    uint64_t latest[THREADS][KEYS]; /* the change that each key is known to have had last */
    atomic_bool opened;
} shared;

typedef struct writer {
    shared *s;
    pkv *store;
    unsigned index;
} writer;

static shared *all;
static char path[64];

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

static void *write_for_ever(void *context) {
    writer *w = context;
    char *value = malloc(VALUE_MAX), name[32];
    for (uint64_t i = atomic_load(&w->s->acknowledged[w->index]) + 1;; i++) {
        pkv_bytes key = key_bytes(name, w->index, key_of(w->index, i));
        pkv_status status = unsets(i) ? pkv_unset(w->store, key)
                                      : pkv_set(w->store, key, value_bytes(value, w->index, i));
        if (status && status != PKV_NOT_FOUND) {
            printf("writing failed: %s\n", pkv_error_detail()->message);
            _exit(1);
        }
        atomic_store(&w->s->acknowledged[w->index], i);
    }
    return NULL;
}

static void run_writers(const pkv_config *config) {
    pkv *store;
    if (pkv_open(path, config, &store)) {
        printf("opening failed: %s\n", pkv_error_detail()->message);
        _exit(1);
    }
    atomic_store(&all->opened, true);
    static writer writers[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_t thread;
        writers[t] = (writer){all, store, t};
        if (pthread_create(&thread, NULL, write_for_ever, &writers[t])) _exit(1);
    }
    for (;;) pause();
}

/* ---- The process that looks what is there */

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

/* The change that was under way may have been made or not; it then counts as done. */
static int verify_thread(pkv *store, unsigned t, const uint64_t *verified, uint64_t *entries) {
    uint64_t acknowledged = atomic_load(&all->acknowledged[t]), next = acknowledged + 1;
    int wrong = 0;
    for (uint64_t i = verified[t] + 1; i <= acknowledged; i++) all->latest[t][key_of(t, i)] = i;
    for (unsigned key = 0; key < KEYS; key++) {
        uint64_t *latest = &all->latest[t][key];
        if (key_of(t, next) == key && is_as_after(store, t, key, next)) *latest = next;
        if (!is_as_after(store, t, key, *latest)) {
            printf("thread %u, key %u is not as change %llu left it; %llu acknowledged\n", t, key,
                   (unsigned long long)*latest, (unsigned long long)acknowledged);
            wrong++;
        }
        *entries += !unsets(*latest);
    }
    atomic_store(&all->acknowledged[t], next);
    return wrong;
}

static int verify(const pkv_config *config, const uint64_t *verified, bool close) {
    pkv *store;
    if (pkv_open(path, config, &store)) {
        printf("opening failed: %s\n", pkv_error_detail()->message);
        return NOT_OPENED;
    }
    int wrong = 0;
    uint64_t entries = 0, count = 0;
    for (unsigned t = 0; t < THREADS; t++) wrong += verify_thread(store, t, verified, &entries);
    if (pkv_count(store, &count) || count != entries) {
        printf("%llu entries, not %llu\n", (unsigned long long)count, (unsigned long long)entries);
        wrong++;
    }
    if (close && pkv_close(store)) wrong++;
    return wrong > 50 ? 50 : wrong;
}

/* ---- Rounds */

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

static void sleep_microseconds(long us) {
    struct timespec time = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

/* True if the child died by our hand. */
static bool write_and_kill(const pkv_config *config) {
    atomic_store(&all->opened, false);
    pid_t child = fork();
    if (child == 0) run_writers(config);
    /* Now and then while it opens. */
    while (rand() % 20 && !atomic_load(&all->opened) && waitpid(child, NULL, WNOHANG) == 0) {
        sleep_microseconds(100);
    }
    sleep_microseconds(rand() % 30000);
    int how = 0;
    if (kill(child, SIGKILL) || waitpid(child, &how, 0) != child) return false;
    return WIFSIGNALED(how);
}

static int verify_in_child(const pkv_config *config) {
    uint64_t verified[THREADS];
    static uint64_t verified_before[THREADS];
    for (unsigned t = 0; t < THREADS; t++) verified[t] = verified_before[t];
    bool close = rand() % 2;
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int wrong = verify(config, verified, close);
        (void)fflush(stdout);
        _exit(wrong);
    }
    int how = 0;
    if (waitpid(child, &how, 0) != child || !WIFEXITED(how)) return NOT_OPENED;
    for (unsigned t = 0; t < THREADS; t++) {
        verified_before[t] = atomic_load(&all->acknowledged[t]);
    }
    return WEXITSTATUS(how);
}

static bool make_folder(void) {
    struct stat facts;
    bool in_memory = stat("/dev/shm", &facts) == 0;
    (void)snprintf(path, sizeof path, "%s/pkv-kill-XXXXXX", in_memory ? "/dev/shm" : "/tmp");
    return mkdtemp(path) != NULL;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS, passed = 0;
    const char *given = getenv("PKV_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    srand(seed);
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || !make_folder()) return 1;
    for (; passed < rounds; passed++) {
        pkv_config writes = choose_config(), reads = choose_config();
        if (!write_and_kill(&writes) || verify_in_child(&reads)) break;
    }
    if (passed < rounds) {
        printf("not ok: round %d with PKV_SEED=%u; the store is %s\n", passed, seed, path);
    } else {
        char command[100];
        (void)snprintf(command, sizeof command, "rm -rf %s", path);
        if (system(command)) printf("cannot remove %s\n", path);
    }
    printf("%d passed, %d failed\n", passed, passed < rounds);
    return passed < rounds;
}
