/* driver.h - the state of a run, and what the steps are made of. */
#ifndef DRIVER_H
#define DRIVER_H

#include <pthread.h>

#include "adapter.h"
#include "histogram.h"
#include "system.h"
#include "workload.h"

#define THREADS_MAX 64
#define RECENT      64 /* last writes of a thread that are read again after a step */
#define SECONDS_MAX 1e6

typedef struct bench {
    const adapter *store;
    bench_options options;
    workload work;
    void *handle;
    void *sessions[THREADS_MAX];
    uint64_t operations; /* of a step at most, by all threads */
    double seconds;      /* of a step at most */
    uint64_t present;    /* entries 0 to before this one are there */
    uint64_t extra;      /* so many others are, too */
    uint64_t fresh;      /* no entry from this one on has ever been set */
    int partial;         /* a load was cut short: there may be others still */
    uint64_t user_bytes; /* of keys and values, set since the open */
    uint64_t memory_before, written_before;
} bench;

typedef struct worker {
    bench *bench;
    void *session;
    const void *plan;                 /* of the step */
    histogram *times;                 /* NULL: nothing is timed */
    uint64_t index;                   /* of `threads` */
    uint64_t limit;                   /* operations */
    uint64_t deadline, deadline_mask; /* looked at when done & mask is the mask */
    uint64_t random;
    permutation visit; /* of a share of the entries, other than those of the other workers */
    uint64_t done, inserted, user_bytes, start, end;
    uint64_t recent[RECENT], recents;
    pthread_t thread;
} worker;

/* The session of worker `index`, which is the same in all steps. */
void *bench_session(bench *b, uint64_t index);

/* Prints a line "step measure number". */
void report(const char *name, const char *measure, double number);
void report_times(const char *name, const histogram *times);

/* Runs `run` in so many threads, all released at once, each with its share of bench.operations, and
 * waits for them. Returns the nanoseconds between the first start and the last end. */
uint64_t run_workers(bench *b, worker *workers, uint64_t threads, void (*run)(worker *));

/* Sets up workers 0 to threads - 1; `timed`: each has a histogram, freed by free_workers. */
worker *make_workers(bench *b, uint64_t threads, const void *plan, int timed);
void free_workers(worker *workers, uint64_t threads);

/* Whether the worker has done enough. */
static inline int is_over(const worker *w) {
    return w->done >= w->limit ||
           ((w->done & w->deadline_mask) == w->deadline_mask && now() >= w->deadline);
}

/* ---- Single operations */

static inline void set_entry(worker *w, uint64_t entry) {
    unsigned char key[KEY_MAX];
    const bench *b = w->bench;
    bench_bytes k = make_key(&b->work, entry, key), v = make_value(&b->work, entry);
    w->user_bytes += k.size + v.size;
    w->recent[w->recents++ % RECENT] = entry;
    b->store->set(w->session, k, v);
}

/* Dies if the entry is absent or wrong; returns the size of its value. */
static inline size_t get_entry(worker *w, uint64_t entry, unsigned char value[VALUE_MAX]) {
    unsigned char key[KEY_MAX];
    const bench *b = w->bench;
    bench_answer answer = {value, VALUE_MAX, 0};
    b->store->get(w->session, make_key(&b->work, entry, key), &answer);
    if (answer.size == ABSENT) die("an entry that was set is absent");
    if (!is_value(&b->work, entry, value, answer.size)) die("an entry is not what was set");
    return answer.size;
}

static inline void remove_entry(worker *w, uint64_t entry) {
    unsigned char key[KEY_MAX];
    w->recent[w->recents++ % RECENT] = entry;
    w->bench->store->remove(w->session, make_key(&w->bench->work, entry, key));
}

/* Reads the last writes again, which must be those of this round. Dies if not. */
void check_recent(worker *w);

/* ---- Steps, by the file that has them; `name` is what the step was called */

typedef struct step {
    const char *name;
    void (*run)(bench *b, const char *name);
} step;

int operation_step(bench *b, const char *name); /* 0: there is none of that name */
int lifecycle_step(bench *b, const char *name);
int snapshot_step(bench *b, const char *name);

/* Runs the step of that name out of a list that ends with a NULL name. */
int run_step(bench *b, const step *steps, const char *name);

#endif
