/* snapshots.c - steps about what else goes on while a store works: snapshots, and readers beside a
 * writer. */
#define _GNU_SOURCE
#include "driver.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLE_MS 5

/* ---- Loops that run until they are told to stop, with the time of each operation */

typedef struct loop {
    worker worker;
    void (*operation)(worker *);
    atomic_int *stop;
    histogram times;
} loop;

static void read_any(worker *w) {
    unsigned char value[VALUE_MAX];
    get_entry(w, below(next_random(&w->random), w->bench->present), value);
}

static void set_any(worker *w) {
    set_entry(w, below(next_random(&w->random), w->bench->present));
}

static void do_nothing(worker *w) {
    (void)w;
}

static void *run_loop(void *argument) {
    loop *l = argument;
    for (uint64_t before = now(), after; !atomic_load(l->stop); before = after) {
        l->operation(&l->worker);
        after = now();
        histogram_add(&l->times, after - before);
    }
    return NULL;
}

static void start_loop(bench *b, loop *l, uint64_t index, void (*operation)(worker *),
                       atomic_int *stop) {
    *l = (loop){.operation = operation, .stop = stop};
    l->worker = (worker){.bench = b, .session = bench_session(b, index), .index = index};
    l->worker.random = mix(b->work.round << 8 | index);
    if (pthread_create(&l->worker.thread, NULL, run_loop, l) != 0) die("cannot start a thread");
}

/* ---- The longest stall */

static void take_snapshot(bench *b) {
    b->store->snapshot(b->handle);
}

static void wait_a_while(bench *b) {
    sleep_ms((long)(b->seconds * 1000));
}

/* Times one thread's operations for as long as `meanwhile` takes in this one. */
static void time_beside(bench *b, const char *name, void (*operation)(worker *),
                        void (*meanwhile)(bench *)) {
    static loop l;
    atomic_int stop = 0;
    start_loop(b, &l, 0, operation, &stop);
    meanwhile(b);
    atomic_store(&stop, 1);
    pthread_join(l.worker.thread, NULL);
    b->user_bytes += l.worker.user_bytes;
    report_times(name, &l.times);
    if (operation == set_any) check_recent(&l.worker);
}

/* A loop that only reads the clock shows what the machine itself does. */
static void clock_step(bench *b, const char *name) {
    time_beside(b, name, do_nothing, wait_a_while);
}

/* Sets and gets, without a snapshot and with one. */
static void stall_step(bench *b, const char *name) {
    (void)name;
    if (!b->store->snapshot) return;
    time_beside(b, "set", set_any, wait_a_while);
    time_beside(b, "get", read_any, wait_a_while);
    processes_settle();
    time_beside(b, "set+snapshot", set_any, take_snapshot);
    processes_settle();
    time_beside(b, "get+snapshot", read_any, take_snapshot);
    processes_settle();
}

/* ---- The memory that a snapshot takes */

typedef struct sampler {
    const bench *bench;
    atomic_int *stop;
    pthread_t thread;
    uint64_t most;
} sampler;

static void *sample_memory(void *argument) {
    sampler *s = argument;
    while (!atomic_load(s->stop)) {
        uint64_t memory = processes_memory(s->bench->options.folder, s->bench->store->mapped_log);
        if (memory > s->most) s->most = memory;
        sleep_ms(SAMPLE_MS);
    }
    return NULL;
}

/* While entries are set all the time. */
static void peak_step(bench *b, const char *name) {
    static loop l;
    atomic_int stop = 0;
    if (!b->store->snapshot) return;
    uint64_t before = processes_memory(b->options.folder, b->store->mapped_log);
    sampler s = {.bench = b, .stop = &stop, .most = before};
    start_loop(b, &l, 0, set_any, &stop);
    if (pthread_create(&s.thread, NULL, sample_memory, &s) != 0) die("cannot start a thread");
    take_snapshot(b);
    atomic_store(&stop, 1);
    pthread_join(l.worker.thread, NULL);
    pthread_join(s.thread, NULL);
    b->user_bytes += l.worker.user_bytes;
    report(name, "grown", (double)(s.most - before));
}

static void snapshot_alone_step(bench *b, const char *name) {
    if (!b->store->snapshot) return;
    uint64_t start = now();
    take_snapshot(b);
    report(name, "seconds", (double)(now() - start) / 1e9);
}

/* ---- A reader beside a writer */

static void run_beside(worker *w) {
    unsigned char value[VALUE_MAX];
    const int *writes = w->plan;
    for (; !is_over(w); w->done++) {
        uint64_t entry = below(next_random(&w->random), w->bench->present);
        if (*writes)
            set_entry(w, entry);
        else
            get_entry(w, entry, value);
    }
}

/* Runs `count` workers, each with its kind of work, and adds up their operations a second. */
static double rate_of(bench *b, const int *kinds, uint64_t count) {
    double rate = 0;
    worker *workers = make_workers(b, count, NULL, 0);
    for (uint64_t i = 0; i < count; i++) {
        workers[i].plan = &kinds[i];
        workers[i].limit = UINT64_MAX;
    }
    run_workers(b, workers, count, run_beside);
    for (uint64_t i = 0; i < count; i++)
        rate += (double)workers[i].done * 1e9 / (double)(workers[i].end - workers[i].start);
    free_workers(workers, count);
    return rate;
}

/* What a reader and a writer do together, as a share of what each does alone. */
static void beside_step(bench *b, const char *name) {
    static const int kinds[] = {0, 1};
    double reader = rate_of(b, &kinds[0], 1), writer = rate_of(b, &kinds[1], 1);
    double both = rate_of(b, kinds, 2);
    report(name, "get_alone", 1e9 / reader);
    report(name, "set_alone", 1e9 / writer);
    report(name, "share", both / (reader + writer));
}

int snapshot_step(bench *b, const char *name) {
    static const step steps[] = {{"snapshot", snapshot_alone_step},
                                 {"clock", clock_step},
                                 {"stall", stall_step},
                                 {"peak", peak_step},
                                 {"beside", beside_step},
                                 {NULL, NULL}};
    return run_step(b, steps, name);
}
