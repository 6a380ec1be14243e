/* lock_check.c - whoever touches what a lock guards holds that lock. The memory in question is made
 * inaccessible; the signal that follows asks, in the thread that touches it, whether the lock is
 * held, and lets it go on.
 *
 * And a snapshot waits for every writer who holds his lock while the log is replaced. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "../../src/memory/shard.h"
#include "../../src/store.h"

#define SHARDS 4u

static int passed, failed;

static struct {
    uint8_t *at;
    size_t size;
    os_rwlock *lock;
    bool exclusive; /* is what is wanted */
    volatile sig_atomic_t touched, unguarded;
} watched;

/* Held exclusively if nobody can share it, shared if nobody can have it alone. */
static bool is_held(os_rwlock *lock, bool exclusive) {
    int error = exclusive ? pthread_rwlock_tryrdlock(lock) : pthread_rwlock_trywrlock(lock);
    if (error) return true;
    os_rw_unlock(lock);
    return false;
}

static void on_touch(int number, siginfo_t *info, void *context) {
    (void)context;
    uint8_t *at = info->si_addr;
    if (at < watched.at || at >= watched.at + watched.size) {
        (void)signal(number, SIG_DFL); /* a fault of another kind: it comes again, and ends us */
        return;
    }
    watched.touched = 1;
    watched.unguarded = !is_held(watched.lock, watched.exclusive);
    (void)mprotect(watched.at, watched.size, PROT_READ | PROT_WRITE);
}

static void watch(void *at, size_t size, os_rwlock *lock, bool exclusive) {
    watched.at = at;
    watched.size = size;
    watched.lock = lock;
    watched.exclusive = exclusive;
    watched.touched = watched.unguarded = 0;
    (void)mprotect(at, size, exclusive ? PROT_READ : PROT_NONE);
}

static void check_watched(const char *what, uint32_t index, bool fixed_keys) {
    (void)mprotect(watched.at, watched.size, PROT_READ | PROT_WRITE);
    bool ok = watched.touched && !watched.unguarded;
    ok ? passed++ : failed++;
    if (ok) return;
    printf("not ok: %s (shard %u, fixed keys %d): %s\n", what, index, fixed_keys,
           watched.touched ? "the lock is not held" : "nothing was touched");
}

static void prepare(memory *m, const memory_key *key, bool unset, memory_change *change) {
    pkv_status status =
        unset ? memory_prepare_unset(m, key, change)
              : memory_prepare_set(m, key, (pkv_bytes){"value", 5}, PKV_BYTES, change);
    if (!status) return;
    printf("not ok: a change cannot be prepared\n");
    failed++;
}

/* Only the line is watched: what else a change touches is its own, or a counter. */
static void check_writer(memory *m, const memory_key *key, bool unset, const char *what) {
    shard *s = shard_of(m, key->shard);
    memory_change change = {0};
    memory_begin(m, key->shard);
    prepare(m, key, unset, &change);
    uint8_t *line = shard_at(s, table_line(s, table_bucket(&s->table, key->hash)));
    watch(line - (uintptr_t)line % os_page_size(), os_page_size(), &s->lock, true);
    memory_apply(m, &change);
    check_watched(what, key->shard, m->fixed_keys);
    memory_end(m, key->shard);
}

static void check_reader(memory *m, const memory_key *key, uint8_t *page) {
    size_t size = 0;
    watch(page, os_page_size(), &shard_of(m, key->shard)->lock, false);
    (void)memory_get(m, key, page, os_page_size(), &size, NULL);
    check_watched("a reader copies", key->shard, m->fixed_keys);
}

static void check_walk(memory *m, uint32_t index, uint8_t *page) {
    walk_entry entries[8];
    walk_step step = {page, entries, 0, os_page_size(), 0, 8};
    uint64_t position = 0;
    watch(page, os_page_size(), &shard_of(m, index)->lock, false);
    (void)memory_walk(m, index, &position, &step);
    check_watched("a walk copies", index, m->fixed_keys);
}

static void check_shard(memory *m, uint32_t index, uint8_t *page) {
    uint64_t number = 0;
    memory_key key;
    do {
        number++;
        key = memory_key_of(m, (pkv_bytes){&number, sizeof number});
    } while (key.shard != index);
    check_writer(m, &key, false, "a writer inserts");
    check_reader(m, &key, page);
    check_walk(m, index, page);
    check_writer(m, &key, false, "a writer replaces");
    check_writer(m, &key, true, "a writer removes");
}

/* ---- Snapshots */

static atomic_bool done;

static void *take_snapshot(void *store) {
    pkv_status status = pkv_snapshot(store);
    atomic_store(&done, true);
    return status ? "the snapshot fails" : NULL;
}

static void take_time(void) {
    struct timespec pause = {0, 1000000};
    (void)nanosleep(&pause, NULL);
}

static uint64_t current_log(pkv *store) {
    os_lock(&store->disk.lock);
    uint64_t ordinal = store->disk.current;
    os_unlock(&store->disk.lock);
    return ordinal;
}

/* Once the log has been replaced, a snapshot that does not wait ends in a moment. */
static void check_settling(pkv *store, uint32_t index) {
    pthread_t thread;
    void *wrong = NULL;
    uint64_t before = current_log(store);
    atomic_store(&done, false);
    memory_begin(&store->memory, index);
    if (pthread_create(&thread, NULL, take_snapshot, store) != 0) exit(1);
    while (current_log(store) == before && !atomic_load(&done)) take_time();
    for (int i = 0; i < 150 && !atomic_load(&done); i++) take_time();
    bool waits = !atomic_load(&done);
    memory_end(&store->memory, index);
    (void)pthread_join(thread, &wrong);
    waits && !wrong ? passed++ : failed++;
    if (!waits) printf("not ok: a snapshot waits for the writers (shard %u)\n", index);
    if (wrong) printf("not ok: %s: %s\n", (char *)wrong, pkv_error_detail()->message);
}

static void check_snapshots(void) {
    char folder[] = "/dev/shm/pkv-lock-XXXXXX", other[] = "/tmp/pkv-lock-XXXXXX", command[64];
    const char *path = mkdtemp(folder) ? folder : mkdtemp(other);
    pkv_config config = {.memory_shards = SHARDS, .snapshot_interval = PKV_SNAPSHOT_NEVER};
    pkv *store = NULL;
    if (!path || pkv_open(path, &config, &store)) exit(1);
    check_settling(store, 0);
    check_settling(store, SHARDS - 1);
    if (pkv_close(store)) exit(1);
    (void)snprintf(command, sizeof command, "rm -rf %s", path);
    if (system(command) != 0) printf("cannot remove %s\n", path);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_touch, .sa_flags = SA_SIGINFO};
    uint8_t *page = os_reserve(os_page_size());
    if (!page || sigaction(SIGSEGV, &action, NULL) != 0) return 1;
    for (int fixed_keys = 0; fixed_keys < 2; fixed_keys++) {
        memory m;
        if (memory_create(&m, SHARDS, fixed_keys, 1) != PKV_OK) return 1;
        for (uint32_t i = 0; i < SHARDS; i++) check_shard(&m, i, page);
        memory_destroy(&m, true);
    }
    check_snapshots();
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
