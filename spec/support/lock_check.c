/* lock_check.c - what the locks of memory are for, at the moment when it matters. The memory in
 * question is made inaccessible; in the signal that follows, in the midst of a look or a change,
 * another change is made, or the lock is asked who holds it.
 *
 * And a snapshot waits for every writer who holds his lock while the log is replaced; and a latch
 * has one holder at a time, whether the others spin or sleep. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "../../src/memory/find.h"
#include "../../src/memory/shard.h"
#include "../../src/store.h"

#define SHARDS 4u

static int passed, failed;

static void check(bool holds, const char *what, const shard *s, uint32_t index) {
    holds ? passed++ : failed++;
    if (!holds) printf("not ok: %s (shard %u, fixed keys %d)\n", what, index, s->fixed_keys);
}

/* ---- Touching */

static struct {
    uint8_t *at;
    size_t size;
    void (*touched)(void *context); /* once */
    void *context;
    volatile sig_atomic_t count;
} watched;

static void on_touch(int number, siginfo_t *info, void *context) {
    (void)context;
    uint8_t *at = info->si_addr;
    if (at < watched.at || at >= watched.at + watched.size) {
        (void)signal(number, SIG_DFL); /* a fault of another kind: it comes again, and ends us */
        return;
    }
    (void)mprotect(watched.at, watched.size, PROT_READ | PROT_WRITE);
    watched.count++;
    watched.touched(watched.context);
}

/* The page of an address. */
static void watch(uint8_t *at, int access, void (*touched)(void *context), void *context) {
    watched.at = at - (uintptr_t)at % os_page_size();
    watched.size = os_page_size();
    watched.touched = touched;
    watched.context = context;
    watched.count = 0;
    (void)mprotect(watched.at, watched.size, access);
}

/* Was it touched? */
static bool unwatch(void) {
    (void)mprotect(watched.at, watched.size, PROT_READ | PROT_WRITE);
    return watched.count > 0;
}

/* ---- Entries */

static bool set(memory *m, const memory_key *key, pkv_bytes value) {
    memory_change change;
    memory_begin(m, key->shard);
    pkv_status status = memory_prepare_set(m, key, value, PKV_BYTES, &change);
    if (!status) memory_apply(m, &change);
    memory_end(m, key->shard);
    return !status;
}

static place place_of(const shard *s, const memory_key *key) {
    table_key wanted = table_key_of(s, key);
    place at;
    (void)table_find(s, &wanted, &at);
    return at;
}

/* Two keys of a shard, the second never there but where a test sets it. */
typedef struct pair {
    memory *m;
    shard *s;
    uint32_t index;
    uint64_t numbers[2];
    memory_key key, other;
    bool odd; /* what a touch has found */
} pair;

static void make_pair(pair *p, memory *m, uint32_t index) {
    uint64_t number = 0;
    *p = (pair){.m = m, .s = shard_of(m, index), .index = index};
    for (unsigned i = 0; i < 2; i++) {
        memory_key *key = i ? &p->other : &p->key;
        do {
            p->numbers[i] = ++number;
            *key = memory_key_of(m, (pkv_bytes){&p->numbers[i], sizeof number});
        } while (key->shard != index);
    }
}

/* ---- Changing under the sequence lock */

static void ask_version(void *context) {
    pair *p = context;
    p->odd = seqlock_version(&p->s->lock) % 2 == 1;
}

/* Only the line is watched: what else a change touches is its own, or a counter. */
static void check_change(pair *p, bool unset, const char *what) {
    memory_change change = {0};
    memory_begin(p->m, p->index);
    pkv_status status =
        unset ? memory_prepare_unset(p->m, &p->key, &change)
              : memory_prepare_set(p->m, &p->key, (pkv_bytes){"value", 5}, PKV_BYTES, &change);
    p->odd = false;
    watch(table_line_of(p->s, p->key.hash), PROT_READ, ask_version, p);
    if (!status) memory_apply(p->m, &change);
    check(unwatch() && p->odd, what, p->s, p->index);
    memory_end(p->m, p->index);
}

/* Of the block nothing is written but the entry: the next change is guessed to be as the last. */
static void check_overwriting(pair *p) {
    for (int i = 0; i < 2; i++) {
        if (!set(p->m, &p->key, (pkv_bytes){"value", 5})) abort();
    }
    uint32_t offset = place_of(p->s, &p->key).offset;
    p->odd = false;
    watch(shard_at(p->s, offset), PROT_READ, ask_version, p);
    bool done = set(p->m, &p->key, (pkv_bytes){"other", 5});
    bool stayed = place_of(p->s, &p->key).offset == offset;
    check(unwatch() && p->odd && done && stayed, "a writer overwrites", p->s, p->index);
}

/* ---- Reading without a lock */

/* The entry gets a longer value elsewhere, and another entry its place. */
static void replace(void *context) {
    pair *p = context;
    if (!set(p->m, &p->key, (pkv_bytes){"a longer value", 14})) abort();
    if (!set(p->m, &p->other, (pkv_bytes){"value", 5})) abort();
}

static void remove_other(pair *p) {
    memory_change change;
    memory_begin(p->m, p->index);
    if (!memory_prepare_unset(p->m, &p->other, &change)) memory_apply(p->m, &change);
    memory_end(p->m, p->index);
}

static void begin_disturbed(pair *p, bool at_block) {
    remove_other(p);
    if (!set(p->m, &p->key, (pkv_bytes){"value", 5})) abort();
    place at = place_of(p->s, &p->key);
    watch(at_block ? shard_at(p->s, at.offset) : at.line, PROT_NONE, replace, p);
}

static void check_read(pair *p, bool at_block) {
    char value[16] = "";
    size_t size = 0;
    begin_disturbed(p, at_block);
    pkv_status status = memory_get(p->m, &p->key, value, sizeof value, &size, NULL);
    bool right = !status && size == 14 && memcmp(value, "a longer value", 14) == 0;
    check(unwatch() && right, "a reader whose entry is replaced meanwhile", p->s, p->index);
}

static void check_walk(pair *p, bool at_block) {
    uint8_t bytes[256];
    walk_entry entries[8];
    walk_step step = {bytes, entries, sizeof bytes, 0, 8};
    uint64_t position = 0;
    bool right = false;
    begin_disturbed(p, at_block);
    pkv_status status = memory_walk(p->m, p->index, &position, &step);
    for (size_t i = 0; i < step.count; i++) {
        const walk_entry *e = &entries[i];
        right |= e->key_size == 8 && memcmp(bytes + e->key, &p->numbers[0], 8) == 0 &&
                 e->value_size == 14 && memcmp(bytes + e->value, "a longer value", 14) == 0;
    }
    right &= !status && step.count == 2;
    check(unwatch() && right, "a walk whose bucket is changed meanwhile", p->s, p->index);
}

/* ---- Looking ahead */

/* In the midst of a write a link may lead anywhere. */
static void check_prefetch(pair *p) {
    remove_other(p); /* so that its chain is gone through to the end */
    uint32_t node = 0, *link = table_line_at(place_of(p->s, &p->key).line).link;
    uint32_t kept = *link;
    bool locked = seqlock_begin_write(&p->s->lock);
    word_set(link, UINT32_MAX);
    memory_prefetch_entry(p->m, &p->other, &node);
    word_set(link, kept);
    seqlock_end_write(&p->s->lock, locked);
    check(node == 0, "a link is not followed while somebody writes", p->s, p->index);
}

/* ---- Reading with writers locked out */

static void ask_lock(void *context) {
    pair *p = context;
    p->odd = pthread_rwlock_trywrlock(&p->s->lock.lock) == 0;
    if (p->odd) os_rw_unlock(&p->s->lock.lock);
}

static void check_long_value(pair *p) {
    static char value[100000], copy[100000];
    size_t size;
    if (!set(p->m, &p->key, (pkv_bytes){value, sizeof value})) abort();
    uint8_t *behind = shard_at(p->s, place_of(p->s, &p->key).offset) + 50000;
    p->odd = true;
    watch(behind, PROT_NONE, ask_lock, p);
    (void)memory_get(p->m, &p->key, copy, sizeof copy, &size, NULL);
    check(unwatch() && !p->odd, "a reader of a long value", p->s, p->index);
}

static void take_time(void) {
    struct timespec pause = {0, 1000000};
    (void)nanosleep(&pause, NULL);
}

static atomic_bool done;

static void *write_one(void *context) {
    pair *p = context;
    if (!set(p->m, &p->key, (pkv_bytes){"new", 3})) abort();
    atomic_store(&done, true);
    return NULL;
}

static void check_waiting(pair *p) {
    pthread_t thread;
    atomic_store(&done, false);
    seqlock_lock_shared(&p->s->lock);
    if (pthread_create(&thread, NULL, write_one, p) != 0) exit(1);
    for (int i = 0; i < 30 && !atomic_load(&done); i++) take_time();
    bool waits = !atomic_load(&done);
    seqlock_unlock_shared(&p->s->lock);
    (void)pthread_join(thread, NULL);
    check(waits && atomic_load(&done), "a writer waits for readers", p->s, p->index);
}

static void check_shard(memory *m, uint32_t index) {
    pair p;
    make_pair(&p, m, index);
    check_change(&p, false, "a writer inserts");
    check_change(&p, false, "a writer replaces");
    check_change(&p, true, "a writer removes");
    check_overwriting(&p);
    for (int at_block = 0; at_block < 2; at_block++) {
        check_read(&p, at_block);
        check_walk(&p, at_block);
    }
    check_prefetch(&p);
    check_long_value(&p);
    check_waiting(&p);
}

/* ---- Snapshots */

static void *take_snapshot(void *store) {
    pkv_status status = pkv_snapshot(store);
    atomic_store(&done, true);
    return status ? "the snapshot fails" : NULL;
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

/* ---- Latches */

#define THREADS 4
#define TURNS   20000u

static os_latch latch;
static unsigned turns; /* not atomic, and so of the holder alone */

static void *take_turns(void *context) {
    (void)context;
    for (unsigned i = 0; i < TURNS; i++) {
        os_latch_take(&latch);
        unsigned seen = turns;
        if (i % (TURNS / 5) == 0) take_time(); /* long enough for the others to fall asleep */
        turns = seen + 1;
        os_latch_release(&latch);
    }
    return NULL;
}

static void check_latch(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, take_turns, NULL) != 0) exit(1);
    }
    for (int i = 0; i < THREADS; i++) (void)pthread_join(threads[i], NULL);
    bool all = turns == THREADS * TURNS;
    all ? passed++ : failed++;
    if (!all) printf("not ok: a latch has one holder at a time (%u turns)\n", turns);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_touch, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSEGV, &action, NULL) != 0) return 1;
    for (int fixed_keys = 0; fixed_keys < 2; fixed_keys++) {
        memory m;
        if (memory_create(&m, SHARDS, fixed_keys, 1) != PKV_OK) return 1;
        for (uint32_t i = 0; i < SHARDS; i++) check_shard(&m, i);
        memory_destroy(&m, true);
    }
    check_snapshots();
    check_latch();
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
