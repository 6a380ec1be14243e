/* sim_model.h - what a store must hold after a power cut on the simulated disk: shared by the
 * sim_*_check programs.
 *
 * What is found in a store tells which change each key had last (sim_values.h), and that must be so
 * after some prefix of the changes. A prefix is looked for in each *lane*: the changes of one
 * writer to one shard of the log.
 *
 * Invariant: an operation's `durable` is never less than the number of events that were needed to
 * make it so, its `begun` never more than the first that has anything of it.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "../../src/os/simulated.h"
#include "../../src/store.h"
#include "sim_values.h"

#define OPS      400u
#define SESSIONS 4u
#define WRITERS  2u
#define SHARDS   2u
#define LANES    (WRITERS * SHARDS)

/* ---- The model. Change number i is ops[i - 1]; a key that change 0 had last is not there. */

typedef struct operation {
    uint32_t key, lane;
    bool unset, acknowledged;
    size_t begun, durable; /* events of the journal at that time */
} operation;

/* From one open to the next: all before it is durable. */
typedef struct session {
    size_t first, begun;
    uint32_t base[KEYS]; /* changes */
    uint32_t lane[KEYS]; /* which prefix it belongs to: shard of the log, and writer */
} session;

typedef struct history {
    os_mutex lock;
    operation ops[OPS];
    size_t count;
    session sessions[SESSIONS];
    size_t session_count;
    uint32_t latest[KEYS];
} history;

/* What must be found after a cut: the history as it stood at an event. */
typedef struct claim {
    const history *h;
    size_t event;
} claim;

static history *new_history(void) {
    history *h = calloc(1, sizeof *h);
    if (!h || os_mutex_init(&h->lock)) abort();
    return h;
}

static void free_history(history *h) {
    os_mutex_destroy(&h->lock);
    free(h);
}

/* ---- Writing */

typedef struct writer {
    check *c;
    history *h;
    pkv *store;
    unsigned index;
    uint32_t operations;
    uint64_t seed;
} writer;

static uint32_t begin_change(history *h, uint32_t key, bool unset) {
    os_lock(&h->lock);
    const session *s = &h->sessions[h->session_count - 1];
    operation *op = &h->ops[h->count++];
    *op = (operation){.key = key, .lane = s->lane[key], .unset = unset, .durable = SIZE_MAX};
    op->begun = sim_now();
    uint32_t change = (uint32_t)h->count;
    h->latest[key] = unset ? 0 : change;
    os_unlock(&h->lock);
    return change;
}

static void end_change(history *h, uint32_t change, bool durable) {
    os_lock(&h->lock);
    h->ops[change - 1].acknowledged = true;
    if (durable) h->ops[change - 1].durable = sim_now();
    os_unlock(&h->lock);
}

static void make_change(writer *w, uint32_t key, bool unset) {
    char text[16];
    static _Thread_local uint8_t value[VALUE_MAX];
    pkv_bytes name = key_bytes(text, key);
    if (unset && w->h->latest[key] == 0) {
        if (pkv_unset(w->store, name) != PKV_NOT_FOUND) complain(w->c, "unset what is not there");
        return;
    }
    uint32_t change = begin_change(w->h, key, unset);
    pkv_status status;
    if (unset) {
        status = pkv_unset(w->store, name);
    } else {
        make_value(change, value);
        status = pkv_set(w->store, name, (pkv_bytes){value, value_size(change)});
    }
    if (status) complain(w->c, "a change fails");
    end_change(w->h, change, w->c->config.sync == PKV_SYNC_ALWAYS);
}

/* Everything acknowledged before `flush` is durable once it has returned. */
static void make_durable(writer *w, pkv_status (*flush)(pkv *store)) {
    static _Thread_local bool acknowledged[OPS];
    history *h = w->h;
    os_lock(&h->lock);
    size_t count = h->count;
    for (size_t i = 0; i < count; i++) acknowledged[i] = h->ops[i].acknowledged;
    os_unlock(&h->lock);
    if (flush(w->store)) complain(w->c, "a flush or snapshot fails");
    os_lock(&h->lock);
    size_t now = sim_now();
    for (size_t i = 0; i < count; i++) {
        if (acknowledged[i] && h->ops[i].durable > now) h->ops[i].durable = now;
    }
    os_unlock(&h->lock);
}

static void begin_session(history *h, size_t begun) {
    session *s = &h->sessions[h->session_count++];
    *s = (session){.first = h->count, .begun = begun};
    memcpy(s->base, h->latest, sizeof s->base);
}

/* As operations.c chooses the shard. */
static void find_lanes(const check *c, const pkv *store, session *s) {
    for (uint32_t key = 0; key < KEYS; key++) {
        char text[16];
        memory_key at = memory_key_of(&store->memory, key_bytes(text, key));
        uint64_t bits = at.hash >> 8 & UINT32_MAX;
        uint32_t shard = (uint32_t)(bits * store->config.wal_shards >> 32);
        s->lane[key] = shard * WRITERS + key % c->writers;
    }
}

/* ---- Judging */

static const session *session_at(const claim *m) {
    const history *h = m->h;
    size_t i = 0;
    while (i + 1 < h->session_count && h->sessions[i + 1].begun <= m->event) i++;
    return &h->sessions[i];
}

/* Is what the keys of a lane have the state after some prefix of its changes, with all that are
 * durable and none that was not begun? */
static const char *judge_lane(const claim *m, const session *s, uint32_t lane,
                              const uint32_t got[KEYS]) {
    const history *h = m->h;
    uint32_t expected[KEYS];
    size_t wrong = 0, upto = s->first, fits = SIZE_MAX, wanted = s->first;
    memcpy(expected, s->base, sizeof expected);
    for (uint32_t k = 0; k < KEYS; k++) wrong += s->lane[k] == lane && expected[k] != got[k];
    bool last = s + 1 == h->sessions + h->session_count;
    size_t end = last ? h->count : s[1].first;
    for (size_t i = s->first; i < end; i++) {
        if (h->ops[i].lane == lane && h->ops[i].durable <= m->event) wanted = i + 1;
    }
    if (wrong == 0) fits = s->first;
    for (; upto < end && h->ops[upto].begun <= m->event; upto++) {
        const operation *op = &h->ops[upto];
        if (op->lane != lane) continue;
        wrong -= expected[op->key] != got[op->key];
        expected[op->key] = op->unset ? 0 : (uint32_t)(upto + 1);
        wrong += expected[op->key] != got[op->key];
        if (wrong == 0) fits = upto + 1;
    }
    if (fits == SIZE_MAX) return "what is there is no prefix of the changes";
    return fits < wanted ? "what was acknowledged as durable is lost" : NULL;
}

static bool judge(check *c, const claim *m, const uint32_t got[KEYS]) {
    const session *s = session_at(m);
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const char *fault = judge_lane(m, s, lane, got);
        if (!fault) continue;
        complain(c, fault);
        return false;
    }
    return true;
}

#endif
