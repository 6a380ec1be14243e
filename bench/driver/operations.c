/* operations.c - steps that are operations, as many as there is room or time for: loading, the
 * mixes of YCSB, batches. The name of a step is "load", "get", ..., or a mix with a distribution,
 * "a:zipf"; with "latency:" in front, each operation is timed by itself instead of all together. */
#define _GNU_SOURCE
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>

enum choice {
    FRESH,   /* entries that are not there yet, each once */
    EACH,    /* all that are there, each once before any is met again */
    UNIFORM, /* drawn, all equally likely */
    ZIPF     /* drawn, some far more likely */
};

typedef struct mixture {
    const char *name;
    enum choice choice;
    /* Percent of the operations; the rest sets a chosen entry. */
    unsigned reads, inserts, read_modify_writes;
    int varying; /* the values that are set have another size each */
} mixture;

/* In YCSB's workload D, what is drawn counts back from the newest entry. */
#define FROM_NEWEST(m) ((m)->inserts > 0 && (m)->choice != FRESH)

static const mixture mixtures[] = {
    {"load", FRESH, 0, 100, 0, 0},        {"get", EACH, 100, 0, 0, 0},
    {"update", EACH, 0, 0, 0, 0},         {"resize", EACH, 0, 0, 0, 1},
    {"a:uniform", UNIFORM, 50, 0, 0, 0},  {"a:zipf", ZIPF, 50, 0, 0, 0},
    {"b:uniform", UNIFORM, 95, 0, 0, 0},  {"b:zipf", ZIPF, 95, 0, 0, 0},
    {"c:uniform", UNIFORM, 100, 0, 0, 0}, {"c:zipf", ZIPF, 100, 0, 0, 0},
    {"d:uniform", UNIFORM, 95, 5, 0, 0},  {"d:zipf", ZIPF, 95, 5, 0, 0},
    {"f:uniform", UNIFORM, 50, 0, 50, 0}, {"f:zipf", ZIPF, 50, 0, 50, 0}};

static zipf distribution;
static uint64_t distribution_entries;

/* ---- The mixes */

/* The entry that the worker sets as its next new one: every thread has its own. */
static uint64_t fresh_entry(const worker *w, uint64_t number) {
    return w->bench->fresh + number * w->bench->options.threads + w->index;
}

static uint64_t choose(worker *w, const mixture *m) {
    const bench *b = w->bench;
    uint64_t inserted = w->inserted;
    if (m->choice == EACH) return next_permuted(&w->visit);
    if (!FROM_NEWEST(m))
        return m->choice == ZIPF ? zipf_entry(&distribution, &w->random, b->present)
                                 : below(next_random(&w->random), b->present);
    uint64_t age = m->choice == ZIPF ? zipf_rank(&distribution, &w->random)
                                     : below(next_random(&w->random), b->present + inserted);
    return age < inserted ? fresh_entry(w, inserted - 1 - age) : b->present - 1 - (age - inserted);
}

static void run_mixture(worker *w) {
    const mixture *m = w->plan;
    unsigned char value[VALUE_MAX];
    uint64_t inserts = m->reads + m->inserts, modifies = inserts + m->read_modify_writes;
    for (; !is_over(w); w->done++) {
        uint64_t percent =
            modifies == 0 || m->reads == 100 ? 0 : below(next_random(&w->random), 100);
        uint64_t start = w->times ? now() : 0;
        if (percent < m->reads) {
            get_entry(w, choose(w, m), value);
        } else if (percent < inserts) {
            set_entry(w, fresh_entry(w, w->inserted++));
        } else {
            uint64_t entry = choose(w, m);
            if (percent < modifies) get_entry(w, entry, value);
            set_entry(w, entry);
        }
        if (w->times) histogram_add(w->times, now() - start);
    }
}

/* What the workers have added. Those of a load count as a gapless beginning. */
static void count_inserts(bench *b, const worker *workers, const mixture *m) {
    uint64_t threads = b->options.threads, least = UINT64_MAX, most = 0, sum = 0;
    if (m->inserts == 0) return;
    for (uint64_t i = 0; i < threads; i++) {
        if (workers[i].inserted < least) least = workers[i].inserted;
        if (workers[i].inserted > most) most = workers[i].inserted;
        sum += workers[i].inserted;
    }
    if (m->choice != FRESH) {
        b->extra += sum;
    } else {
        b->partial = sum < b->operations;
        b->present = b->partial ? least * threads : sum;
    }
    b->fresh += most * threads;
}

static const mixture *find_mixture(const char *name) {
    for (size_t i = 0; i < sizeof mixtures / sizeof *mixtures; i++)
        if (strcmp(mixtures[i].name, name) == 0) return &mixtures[i];
    return NULL;
}

static void report_workers(const char *name, worker *workers, uint64_t threads, uint64_t ns) {
    uint64_t done = 0;
    for (uint64_t i = 0; i < threads; i++) {
        done += workers[i].done;
        if (i > 0 && workers[i].times) histogram_merge(workers[0].times, workers[i].times);
    }
    if (workers[0].times)
        report_times(name, workers[0].times);
    else
        report(name, "ns", (double)ns / (double)done);
}

static void mix_step(bench *b, const char *name, const mixture *m, int timed) {
    uint64_t threads = b->options.threads, operations = b->operations;
    double seconds = b->seconds;
    if (m->choice == FRESH) {
        b->operations = b->options.entries;
        if (b->options.durability != D2) b->seconds = SECONDS_MAX;
    }
    if (m->choice == FRESH && b->fresh > 0) die("%s: a store is loaded once", name);
    if (m->choice != FRESH && b->present == 0) die("%s: nothing is loaded", name);
    if (m->choice == ZIPF && distribution_entries != b->present) {
        zipf_make(&distribution, b->present);
        distribution_entries = b->present;
    }
    if (m->varying) b->work.varying = 1;
    worker *workers = make_workers(b, threads, m, timed);
    uint64_t ns = run_workers(b, workers, threads, run_mixture);
    report_workers(name, workers, threads, ns);
    count_inserts(b, workers, m);
    for (uint64_t i = 0; i < threads; i++) check_recent(&workers[i]);
    free_workers(workers, threads);
    b->operations = operations;
    b->seconds = seconds;
}

/* ---- The driver itself */

static void run_nothing(worker *w) {
    unsigned char key[KEY_MAX];
    const bench *b = w->bench;
    for (; !is_over(w); w->done++) {
        uint64_t entry = next_permuted(&w->visit);
        bench_bytes k = make_key(&b->work, entry, key), v = make_value(&b->work, entry);
        __asm__ volatile("" : : "r"(k.data), "r"(v.data) : "memory");
        w->user_bytes += k.size + v.size;
        w->recent[w->recents++ % RECENT] = entry;
    }
}

/* All that an update does but the store's part of it. */
static void nothing_step(bench *b, const char *name) {
    uint64_t threads = b->options.threads, user_bytes = b->user_bytes;
    worker *workers = make_workers(b, threads, NULL, 0);
    for (uint64_t i = 0; i < threads; i++)
        workers[i].visit = permutation_from(b->options.entries, i);
    uint64_t ns = run_workers(b, workers, threads, run_nothing);
    b->user_bytes = user_bytes;
    report_workers(name, workers, threads, ns);
    free_workers(workers, threads);
}

/* ---- Batches */

#define BATCH 64

/* The values of a batch lie close together in memory, as a program would have them. */
static void run_batches(worker *w) {
    const bench *b = w->bench;
    size_t room = b->work.value_size * 3 / 2;
    unsigned char keys[BATCH][KEY_MAX], *values = malloc(BATCH * room);
    uint64_t entries[BATCH];
    bench_bytes key[BATCH];
    bench_answer answer[BATCH];
    if (!values) die("no memory");
    for (size_t i = 0; i < BATCH; i++) answer[i] = (bench_answer){values + i * room, room, 0};
    for (; w->done < w->limit && now() < w->deadline; w->done += BATCH) {
        uint64_t start = w->times ? now() : 0;
        for (size_t i = 0; i < BATCH; i++) {
            entries[i] = next_permuted(&w->visit);
            key[i] = make_key(&b->work, entries[i], keys[i]);
        }
        b->store->get_many(w->session, BATCH, key, answer);
        for (size_t i = 0; i < BATCH; i++)
            if (answer[i].size == ABSENT ||
                !is_value(&b->work, entries[i], answer[i].buffer, answer[i].size))
                die("an entry is absent, or not what was set");
        if (w->times) histogram_add(w->times, now() - start);
    }
    free(values);
}

static void many_step(bench *b, const char *name, int timed) {
    if (!b->store->get_many) return;
    worker *workers = make_workers(b, b->options.threads, NULL, timed);
    uint64_t ns = run_workers(b, workers, b->options.threads, run_batches);
    report_workers(name, workers, b->options.threads, ns);
    free_workers(workers, b->options.threads);
}

int operation_step(bench *b, const char *name) {
    int timed = strncmp(name, "latency:", 8) == 0;
    const char *what = timed ? name + 8 : name;
    const mixture *m = find_mixture(what);
    if (m)
        mix_step(b, name, m, timed);
    else if (strcmp(what, "nothing") == 0)
        nothing_step(b, name);
    else if (strcmp(what, "many") == 0)
        many_step(b, name, timed);
    else
        return 0;
    return 1;
}
