/* lifecycle.c - steps that say how a store lives with its data: memory, after a load and after it
 * was churned; deleting and filling again; reading all; coming to rest; dying. */
#define _GNU_SOURCE
#include "driver.h"

#include <signal.h>
#include <stdio.h>

#define CHURN_PASSES 10

/* ---- Memory */

/* Reads all entries and returns the bytes of their keys and values. */
static uint64_t sum_payload(bench *b) {
    unsigned char value[VALUE_MAX];
    worker w = {.bench = b, .session = bench_session(b, 0)};
    permutation visit = permutation_from(b->present, 0);
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < b->present; i++)
        bytes += b->work.key_size + get_entry(&w, next_permuted(&visit), value);
    return bytes;
}

/* What the processes have grown by since before the open. "memory:WORD" says after what. */
static void memory_step(bench *b, const char *name) {
    double memory = (double)processes_memory(b->options.folder, b->store->mapped_log);
    double grown = memory - (double)b->memory_before;
    uint64_t payload =
        b->work.varying ? sum_payload(b) : b->present * (b->work.key_size + b->work.value_size);
    report(name, "per_entry", grown / (double)b->present);
    report(name, "over_payload", (grown / (double)payload - 1) * 100);
}

/* ---- Churn */

/* Which entries a pass removes, to set them again at its end: one in eight, others in each pass. */
static int is_removed(uint64_t entry, uint64_t pass) {
    return mix(entry + pass) % 8 == 0;
}

static void churn_pass(worker *w, uint64_t pass) {
    permutation again = w->visit;
    for (uint64_t i = 0; i < w->limit; i++) {
        uint64_t entry = next_permuted(&w->visit);
        if (is_removed(entry, pass))
            remove_entry(w, entry);
        else
            set_entry(w, entry);
    }
    for (uint64_t i = 0; i < w->limit; i++) {
        uint64_t entry = next_permuted(&again);
        if (is_removed(entry, pass)) set_entry(w, entry);
    }
    w->visit = again;
}

/* Sets every entry ten times, in passes, each time to a value of another size. */
static void churn_step(bench *b, const char *name) {
    b->work.varying = 1;
    worker w = {.bench = b, .session = bench_session(b, 0), .limit = b->present};
    w.visit = permutation_from(b->present, 0);
    uint64_t start = now();
    for (uint64_t pass = 0; pass < CHURN_PASSES; pass++) {
        b->work.round++;
        churn_pass(&w, pass);
    }
    report(name, "ns", (double)(now() - start) / (double)(b->present * CHURN_PASSES));
    b->user_bytes += w.user_bytes;
    check_recent(&w);
}

/* ---- Deleting, and filling again with values of other sizes */

static void check_removed(worker *w) {
    unsigned char key[KEY_MAX], value[VALUE_MAX];
    uint64_t count = w->recents < RECENT ? w->recents : RECENT;
    bench *b = w->bench;
    for (uint64_t i = 0; i < count; i++) {
        bench_answer answer = {value, VALUE_MAX, 0};
        b->store->get(w->session, make_key(&b->work, w->recent[i], key), &answer);
        if (answer.size != ABSENT) die("an entry that was removed is there");
    }
}

static void refill_step(bench *b, const char *name) {
    (void)name;
    worker w = {.bench = b, .session = bench_session(b, 0), .deadline_mask = 127};
    permutation again = w.visit = permutation_from(b->present, 0);
    w.limit = b->present / 2;
    uint64_t start = now();
    w.deadline = start + (uint64_t)(b->seconds * 1e9);
    for (; !is_over(&w); w.done++) remove_entry(&w, next_permuted(&w.visit));
    report("delete", "ns", (double)(now() - start) / (double)w.done);
    check_removed(&w);

    b->work.varying = 1;
    w.recents = 0;
    start = now();
    for (uint64_t i = 0; i < w.done; i++) set_entry(&w, next_permuted(&again));
    report("refill", "ns", (double)(now() - start) / (double)w.done);
    b->user_bytes += w.user_bytes;
    check_recent(&w);
}

/* ---- Reading all */

static void scan_step(bench *b, const char *name) {
    void *session = bench_session(b, 0);
    uint64_t start = now(), count = b->store->scan(session), end = now();
    if (!b->partial && count != b->present + b->extra) die("a scan does not see all entries once");
    report(name, "ns", (double)(end - start) / (double)count);
}

/* After a restart: finds all that a process before this one had loaded. */
static void check_step(bench *b, const char *name) {
    unsigned char value[VALUE_MAX];
    worker w = {.bench = b, .session = bench_session(b, 0)};
    permutation visit = permutation_from(b->options.entries, 0);
    uint64_t start = now();
    for (uint64_t i = 0; i < b->options.entries; i++) get_entry(&w, next_permuted(&visit), value);
    report(name, "seconds", (double)(now() - start) / 1e9);
    b->present = b->fresh = b->options.entries;
}

/* ---- Rest and death */

static void settle_step(bench *b, const char *name) {
    (void)b;
    report(name, "seconds", processes_settle());
}

static void sync_step(bench *b, const char *name) {
    if (!b->store->sync) return;
    uint64_t start = now();
    b->store->sync(b->handle);
    report(name, "seconds", (double)(now() - start) / 1e9);
}

static void kill_step(bench *b, const char *name) {
    (void)b;
    (void)name;
    fflush(stdout);
    raise(SIGKILL);
}

int lifecycle_step(bench *b, const char *name) {
    static const step steps[] = {{"memory:load", memory_step},  {"memory:resize", memory_step},
                                 {"memory:churn", memory_step}, {"memory:restore", memory_step},
                                 {"churn", churn_step},         {"refill", refill_step},
                                 {"scan", scan_step},           {"check", check_step},
                                 {"settle", settle_step},       {"sync", sync_step},
                                 {"kill", kill_step},           {NULL, NULL}};
    return run_step(b, steps, name);
}
