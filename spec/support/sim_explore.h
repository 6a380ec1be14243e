/* sim_explore.h - cuts the power at the events of a journal, at random where all of them would be
 * too many, and now and then again while the store recovers from that: shared by the sim_*_check
 * programs.
 */
#ifndef SIM_EXPLORE_H
#define SIM_EXPLORE_H

#include "sim_model.h"

#define DEPTH 2 /* cuts within recoveries */
/* Of so many moments one is chosen; a program may choose fewer. */
#ifndef STRIDE
#define STRIDE 1u
#endif

static uint32_t draw(uint64_t *seed, uint32_t below) {
    *seed = scramble(*seed);
    return (uint32_t)(*seed >> 32) % below;
}

static pkv_config config_for_recovery(check *c) {
    pkv_config config = {.memory_shards = 1,
                         .wal_shards = c->config.wal_shards,
                         .sync = PKV_SYNC_ALWAYS,
                         .snapshot_threads = 1,
                         .snapshot_interval = PKV_SNAPSHOT_NEVER};
    config.wal_io = draw(&c->seed, 2) ? PKV_WAL_IO_MMAP : PKV_WAL_IO_PWRITE;
    if (draw(&c->seed, 8) == 0) config.wal_shards = 3 - config.wal_shards;
    return config;
}

/* Some changes, each durable when it returns, numbered from where no other history has any. */
static void write_on(check *c, pkv *store, history *h) {
    pkv_config config = c->config;
    c->config.sync = PKV_SYNC_ALWAYS;
    writer w = {.c = c, .h = h, .store = store};
    for (int i = 0; i < 3; i++) make_change(&w, draw(&c->seed, KEYS), draw(&c->seed, 4) == 0);
    if (draw(&c->seed, 4) == 0) make_durable(&w, pkv_snapshot);
    c->config = config;
}

/* Opens what the cut has left, judges it, writes on and closes. *h becomes the history since, with
 * its first session from when the store was open. */
static bool recover(check *c, const claim *m, history *h) {
    pkv_config config = config_for_recovery(c);
    pkv *store = NULL;
    if (pkv_open("simulated", &config, &store)) {
        complain(c, "it does not open");
        return false;
    }
    size_t opened = sim_now();
    bool good = read_all(c, store, h->latest) && judge(c, m, h->latest);
    h->count = m->h->count; /* no number is given twice */
    begin_session(h, opened);
    find_lanes(c, store, &h->sessions[0]);
    if (good && h->count + 3 <= OPS) write_on(c, store, h);
    if (pkv_close(store)) {
        complain(c, "it does not close");
        return false;
    }
    return good;
}

/* The state of the closed store must be the one that the history ends with. */
static bool reopen(check *c, const history *h) {
    pkv_config config = config_for_recovery(c);
    pkv *store = NULL;
    uint32_t got[KEYS];
    if (pkv_open("simulated", &config, &store)) {
        complain(c, "it does not open again");
        return false;
    }
    bool good = read_all(c, store, got);
    if (good && memcmp(got, h->latest, sizeof got) != 0) {
        complain(c, "what was written after the recovery is not there");
        good = false;
    }
    return pkv_close(store) == PKV_OK && good;
}

static void explore(check *c, const sim_journal *journal, size_t first, const claim *before,
                    const history *h, int depth);

static void cut_once(check *c, sim_replay *replay, sim_cut cut, const claim *m, int depth) {
    bool nest = depth < DEPTH && draw(&c->seed, depth ? 150 : 800) == 0;
    char doing[sizeof c->doing];
    memcpy(doing, c->doing, sizeof doing);
    size_t length = strlen(c->doing);
    (void)snprintf(c->doing + length, sizeof doing - length, ", cut %d/%d/%d/%llx at %zu",
                   (int)cut.names, (int)cut.sizes, (int)cut.pages, (unsigned long long)cut.seed,
                   m->event);
    history *h = new_history();
    sim_replay_cut(replay, cut, nest);
    size_t first = sim_now();
    bool good = recover(c, m, h);
    if (good && !nest && draw(&c->seed, 4) == 0) good = reopen(c, h);
    c->states++;
    c->nested += depth > 0;
    if (nest) {
        sim_journal journal = sim_end();
        if (good) explore(c, &journal, first, m, h, depth + 1);
        sim_journal_release(&journal);
    }
    free_history(h);
    memcpy(c->doing, doing, sizeof doing);
}

/* Of a long run of changed pages, a large value's, say, some will do. */
static bool skips(check *c, const sim_journal *journal, size_t event) {
    if (event == 0 || event == journal->count) return false;
    const sim_event *last = &journal->events[event - 1], *next = last + 1;
    bool run = last->kind == SIM_PAGE_CHANGED && next->kind == SIM_PAGE_CHANGED;
    if (run && last->file == next->file) return draw(&c->seed, 8) > 0;
    return STRIDE > 1 && draw(&c->seed, STRIDE) > 0;
}

static const sim_cut EXTREMES[] = {
    {SIM_ALL, SIM_ALL, SIM_NONE, 0},     {SIM_NONE, SIM_ALL, SIM_ALL, 0},
    {SIM_ALL, SIM_NONE, SIM_ALL, 0},     {SIM_ALL, SIM_ALL, SIM_ODD, 0},
    {SIM_ALL, SIM_ALL, SIM_EVEN, 0},     {SIM_ALL, SIM_ALL, SIM_LATE, 0},
    {SIM_ALL, SIM_LATE, SIM_LATE, 0},    {SIM_ALL, SIM_ALL, SIM_LAST, 0},
    {SIM_ALL, SIM_ODD, SIM_ALL, 0},      {SIM_ALL, SIM_EVEN, SIM_ALL, 0},
    {SIM_BY_NAME, SIM_ALL, SIM_ALL, 0},  {SIM_BY_NAME, SIM_NONE, SIM_NONE, 0},
    {SIM_RANDOM, SIM_ALL, SIM_ALL, 0},   {SIM_NONE, SIM_NONE, SIM_NONE, 0},
    {SIM_RANDOM, SIM_ALL, SIM_RANDOM, 0}};
#define EXTREME_COUNT (sizeof EXTREMES / sizeof *EXTREMES)

/* Cuts the power at each event from `first` on. Until the history's first session, what `before`
 * says must be found. */
static void explore(check *c, const sim_journal *journal, size_t first, const claim *before,
                    const history *h, int depth) {
    sim_replay *replay = sim_replay_new(journal);
    for (size_t event = first; event <= journal->count && c->bad < 20; event++) {
        if (skips(c, journal, event)) continue;
        claim m = {h, event};
        if (before && event < h->sessions[0].begun) m = *before;
        sim_replay_to(replay, event);
        cut_once(c, replay, (sim_cut){SIM_ALL, SIM_ALL, SIM_ALL, 0}, &m, depth);
        if (!sim_replay_pending(replay)) continue;
        cut_once(c, replay, (sim_cut){SIM_NONE, SIM_NONE, SIM_NONE, 0}, &m, depth);
        int others = depth ? 1 : 3;
        for (int i = 0; i < others; i++) {
            sim_cut extreme = EXTREMES[draw(&c->seed, EXTREME_COUNT)];
            extreme.seed = scramble(c->seed);
            cut_once(c, replay, extreme, &m, depth);
            sim_cut random = {SIM_RANDOM, SIM_RANDOM, SIM_RANDOM, scramble(c->seed + 1)};
            if (draw(&c->seed, 2)) random.names = SIM_BY_NAME;
            cut_once(c, replay, random, &m, depth);
        }
    }
    sim_replay_free(replay);
}

#endif
