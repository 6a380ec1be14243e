/* sim_fault_check.c - call k to the simulated disk fails, for every k of a life of a store, once or
 * from then on, with EIO or ENOSPC; some time later the power fails too.
 *
 *   - A set that fails has changed nothing, unless it was its flush that failed (PKV_IO).
 *   - Whatever was acknowledged in PKV_SYNC_ALWAYS is there after every power cut since.
 *   - Without the fault the store opens, and can be written to.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/os/simulated.h"
#include "../../src/pkv.h"
#include "effort.h"

#define KEYS      12
#define STEPS     40
#define CALL_STEP EFFORT(1u, 1u, 1u, 5u, 61u)

static int passed, failed;
static size_t cuts;

/* What a key may hold: the value that was acknowledged last, or one whose flush failed since. */
typedef struct model {
    int acknowledged[KEYS], doubtful[KEYS];
} model;

typedef struct fault {
    unsigned call;
    int error;
    bool ever;
    pkv_wal_io io;
} fault;

static bool check(bool ok, const fault *f, const char *what) {
    if (ok) return true;
    failed++;
    printf("not ok: call %u, error %d, ever %d, io %d: %s: %s\n", f->call, f->error, f->ever,
           (int)f->io, what, pkv_error_detail()->message);
    return false;
}

static pkv_bytes text_of(char text[16], int number) {
    return (pkv_bytes){text, (size_t)snprintf(text, 16, "%d", number)};
}

/* 0: not there; -1: no answer. */
static int value_of(pkv *store, int key) {
    char name[16], value[16] = "";
    size_t size = 0;
    pkv_status status = pkv_get(store, text_of(name, key), value, sizeof value - 1, &size);
    if (status == PKV_NOT_FOUND) return 0;
    return status ? -1 : atoi(value);
}

static pkv *open_store(const fault *f) {
    pkv *store = NULL;
    pkv_config config = {.sync = PKV_SYNC_ALWAYS,
                         .wal_io = f->io,
                         .memory_shards = 1,
                         .keep_backups = PKV_KEEP_NONE,
                         .snapshot_interval = PKV_SNAPSHOT_NEVER};
    return pkv_open("simulated", &config, &store) ? NULL : store;
}

static bool change(pkv *store, model *m, int step, const fault *f) {
    char name[16], value[16];
    int key = step * 7 % KEYS, before = value_of(store, key), to = step % 5 == 4 ? 0 : step + 1;
    pkv_status status = to ? pkv_set(store, text_of(name, key), text_of(value, to))
                           : pkv_unset(store, text_of(name, key));
    if (status == PKV_NOT_FOUND) return check(before == 0, f, "what is there is not found");
    int after = value_of(store, key);
    if (!status) {
        m->acknowledged[key] = to;
        m->doubtful[key] = to;
        return check(after == to, f, "a set changes nothing");
    }
    if (status == PKV_IO && after == to) {
        m->doubtful[key] = to;
        return true;
    }
    return check(after == before, f, "a set that fails changes something");
}

static bool is_right(pkv *store, const model *m, const fault *f) {
    for (int key = 0; key < KEYS; key++) {
        int value = value_of(store, key);
        bool right = value == m->acknowledged[key] || value == m->doubtful[key];
        if (!check(right, f, "a value is not what was acknowledged")) return false;
    }
    return true;
}

/* Opens twice, writes and snapshots in each; false where something is wrong. */
static bool live(model *m, const fault *f) {
    for (int life = 0; life < 2; life++) {
        pkv *store = open_store(f);
        if (!store) {
            if (!check(sim_failures() > 0, f, "it does not open")) return false;
            continue;
        }
        for (int step = 0; step < STEPS / 2; step++) {
            if (!change(store, m, life * STEPS / 2 + step, f)) return false;
            if (step % 8 == 5) (void)pkv_snapshot(store);
        }
        if (!is_right(store, m, f)) return false;
        pkv_status status = pkv_close(store);
        if (!check(!status || sim_failures() > 0, f, "it does not close")) return false;
    }
    return true;
}

static bool recovers(const sim_journal *journal, sim_cut cut, const model *m, const fault *f) {
    sim_replay *replay = sim_replay_new(journal);
    sim_replay_to(replay, journal->count);
    sim_replay_cut(replay, cut, false);
    sim_replay_free(replay);
    cuts++;
    pkv *store = open_store(f);
    if (!check(store != NULL, f, "it does not open after the power cut")) return false;
    model since = *m;
    bool good = is_right(store, m, f);
    for (int step = 0; step < 3 && good; step++) good = change(store, &since, step, f);
    return check(pkv_close(store) == PKV_OK, f, "it does not close after the power cut") && good;
}

/* True if there was such a call. */
static bool run(const fault *f) {
    model m = {0};
    sim_begin(true);
    sim_fail(f->call, f->error, f->ever);
    bool good = live(&m, f);
    bool met = sim_failures() > 0;
    sim_fail(0, 0, false);
    sim_journal journal = sim_end();
    const sim_cut all = {SIM_ALL, SIM_ALL, SIM_ALL, 0}, none = {SIM_NONE, SIM_NONE, SIM_NONE, 0};
    good = good && recovers(&journal, all, &m, f) && recovers(&journal, none, &m, f);
    for (unsigned i = 0; i < 2 && good; i++) {
        const sim_cut random = {SIM_BY_NAME, SIM_RANDOM, SIM_RANDOM, f->call * 2 + i};
        good = recovers(&journal, random, &m, f);
    }
    sim_journal_release(&journal);
    passed += good;
    return met;
}

int main(void) {
    static const int errors[] = {EIO, ENOSPC};
    for (unsigned kind = 0; kind < 8; kind++) {
        fault f = {.error = errors[kind % 2],
                   .ever = kind / 2 % 2,
                   .io = kind / 4 ? PKV_WAL_IO_PWRITE : PKV_WAL_IO_MMAP};
        f.call = 1;
        while (failed == 0 && run(&f)) f.call += CALL_STEP;
    }
    printf("%zu power cuts\n", cuts);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
