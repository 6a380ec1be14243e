/* linear_check.c - concurrent use is linearizable: every operation takes effect at one moment
 * between its call and its return (Herlihy and Wing 1990).
 *
 * Threads work on few keys at once and note when each operation began and ended, and what it
 * answered. A history holds if the operations on each key can be put in an order that agrees with
 * the times and in which every answer is right; all orders are tried (Wing and Gong 1993), with
 * what was tried before remembered (Lowe 2017).
 *
 *     linear_check [histories [seed]]
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "../../src/pkv.h"

#define THREADS 3
#define KEYS    2
#define STEPS   5
#define OPS_MAX (THREADS * STEPS)

typedef enum kind { SET, GET, UNSET } kind;

typedef struct operation {
    kind kind;
    int key;
    unsigned began, ended;
    unsigned value; /* set: written; get: read; unset: 1 if the key was there. 0: it was not */
    bool failed;
} operation;

static pkv *store;
static atomic_uint now, awake;
static operation history[OPS_MAX];
static pthread_barrier_t barrier;
static atomic_bool stop;
static unsigned seed;

static int passed, failed;

static void check(bool ok, const char *what, unsigned detail) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s (%u)\n", what, detail);
}

/* ---- Making a history */

static void act(operation *o, unsigned value) {
    pkv_bytes key = {o->key == 0 ? "zero" : "one", o->key == 0 ? 4 : 3};
    size_t size = 0;
    pkv_status status;
    o->began = atomic_fetch_add(&now, 1);
    if (value % 2) sched_yield(); /* on one processor, too, operations meet */
    if (o->kind == SET) {
        status = pkv_set(store, key, (pkv_bytes){&value, sizeof value});
        o->value = value;
    } else if (o->kind == GET) {
        status = pkv_get(store, key, &o->value, sizeof o->value, &size);
    } else {
        status = pkv_unset(store, key);
        o->value = status == PKV_OK;
    }
    if (value % 3 == 0) sched_yield();
    o->ended = atomic_fetch_add(&now, 1);
    if (status == PKV_NOT_FOUND) o->value = 0;
    o->failed = status != PKV_OK && status != PKV_NOT_FOUND;
}

static void *work(void *context) {
    unsigned index = (unsigned)(uintptr_t)context, random = seed * 31 + index + 1, value = 0;
    for (;;) {
        (void)pthread_barrier_wait(&barrier);
        if (atomic_load(&stop)) return NULL;
        /* Awake all at once, or they would work one after the other. */
        atomic_fetch_add(&awake, 1);
        while (atomic_load(&awake) % THREADS != 0) sched_yield();
        for (unsigned i = 0; i < STEPS; i++) {
            random = random * 1664525 + 1013904223;
            operation *o = &history[index * STEPS + i];
            *o = (operation){.kind = (kind)(random >> 16) % 3, .key = (int)(random >> 24) % KEYS};
            act(o, ++value * THREADS + index + 1); /* no value twice */
        }
        (void)pthread_barrier_wait(&barrier);
    }
}

static bool overlaps(void) {
    for (unsigned i = 0; i < OPS_MAX; i++) {
        for (unsigned j = 0; j < OPS_MAX; j++) {
            const operation *a = &history[i], *b = &history[j];
            if (i / STEPS != j / STEPS && a->key == b->key && a->began < b->began &&
                b->began < a->ended) {
                return true;
            }
        }
    }
    return false;
}

/* ---- Judging it */

/* The value after the operation, if its answer is right where the value was `before`. */
static bool answers(const operation *o, unsigned before, unsigned *after) {
    *after = before;
    if (o->kind == GET) return o->value == before;
    *after = o->kind == SET ? o->value : 0;
    return o->kind == SET || (o->value != 0) == (before != 0);
}

/* What was found not to lead to an end: the operations done, and the value that they left. */
typedef struct tried {
    unsigned done, value;
} tried;

typedef struct search {
    const operation *ops[OPS_MAX];
    unsigned count;
    tried dead[1 << 14];
    unsigned dead_count;
} search;

static bool is_dead(const search *s, unsigned done, unsigned value) {
    for (unsigned i = 0; i < s->dead_count; i++) {
        if (s->dead[i].done == done && s->dead[i].value == value) return true;
    }
    return false;
}

/* May the operation come next: has none that is left ended before it began? */
static bool may_be_next(const search *s, unsigned done, unsigned index) {
    for (unsigned i = 0; i < s->count; i++) {
        if (!(done & 1u << i) && s->ops[i]->ended < s->ops[index]->began) return false;
    }
    return true;
}

/* *end is a value that the key can have afterwards. */
static bool can_end(search *s, unsigned done, unsigned value, unsigned end) {
    if (done == (1u << s->count) - 1) return value == end;
    if (is_dead(s, done, value)) return false;
    for (unsigned i = 0; i < s->count; i++) {
        unsigned after;
        if (done & 1u << i || !may_be_next(s, done, i)) continue;
        if (answers(s->ops[i], value, &after) && can_end(s, done | 1u << i, after, end))
            return true;
    }
    if (s->dead_count < sizeof s->dead / sizeof *s->dead) {
        s->dead[s->dead_count++] = (tried){done, value};
    }
    return false;
}

static unsigned value_now(int key) {
    operation o = {.kind = GET, .key = key};
    act(&o, 0);
    return o.value;
}

static bool holds(int key, unsigned before, unsigned end) {
    static search s;
    s.count = s.dead_count = 0;
    for (unsigned i = 0; i < OPS_MAX; i++) {
        if (history[i].failed) return false;
        if (history[i].key == key) s.ops[s.count++] = &history[i];
    }
    return can_end(&s, 0, before, end);
}

/* The judge itself: it must refuse what is wrong. */
static void check_judge(void) {
    memset(history, 0, sizeof history);
    for (unsigned i = 0; i < OPS_MAX; i++) history[i].key = 9;
    history[0] = (operation){SET, 0, 1, 2, 7, false};
    history[1] = (operation){GET, 0, 3, 4, 0, false}; /* began after the set had ended */
    check(!holds(0, 0, 7), "a stale read is found", 0);
    history[1].began = 1;
    check(holds(0, 0, 7), "a read beside the set may see either", 0);
    history[2] = (operation){UNSET, 0, 5, 6, 0, false};
    check(!holds(0, 0, 0), "an unset that misses the key is found", 0);
    history[2].value = 1;
    check(holds(0, 0, 0) && !holds(0, 0, 7), "what is left must fit", 0);
}

int main(int argc, char **argv) {
    unsigned histories = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
    seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : (unsigned)time(NULL);
    printf("linear_check: seed %u\n", seed);
    char path[] = "/tmp/pkv-linear-XXXXXX", command[64];
    if (!mkdtemp(path)) return 1;
    check_judge();
    pkv_config config = {.memory_shards = 1, .snapshot_interval = 20000};
    check(pkv_open(path, &config, &store) == PKV_OK, "opens", 0);
    pthread_t threads[THREADS];
    (void)pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    unsigned wrong = 0, concurrent = 0, values[KEYS] = {0};
    for (unsigned round = 0; round < histories; round++) {
        (void)pthread_barrier_wait(&barrier);
        (void)pthread_barrier_wait(&barrier);
        concurrent += overlaps();
        for (int key = 0; key < KEYS; key++) {
            unsigned end = value_now(key);
            wrong += !holds(key, values[key], end);
            values[key] = end;
        }
    }
    atomic_store(&stop, true);
    (void)pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("%u histories, %u with operations on a key at once\n", histories, concurrent);
    check(concurrent > 0, "operations at once", concurrent);
    check(wrong == 0, "histories that are not linearizable", wrong);
    check(pkv_close(store) == PKV_OK, "closes", 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", path);
    if (system(command) != 0) printf("cannot remove %s\n", path);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
