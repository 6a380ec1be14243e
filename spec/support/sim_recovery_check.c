/* sim_recovery_check.c - recoveries that are cut short, all of them. A set of folders as crashes
 * leave them: none yet; torn tails; several logs, after a snapshot that failed at any of its calls;
 * snapshots half written, half published, half cleaned up; closes and openings that were not ended,
 * with another number of log shards; the crate's files. Of each, the power fails at every event of
 * its recovery (open, a change, close), and at every event of the recovery from that, each time in
 * all the ways of sim_cuts.h. Then the folder
 *
 *   - opens;
 *   - holds what was durable: until the first recovery has returned from open, a prefix of the
 *     changes with all that were acknowledged as durable; from then on exactly what it found, and
 *     the changes made by those who recovered, if they were acknowledged;
 *   - can be written to, closed and opened again.
 *
 *     sim_recovery_check [name]       only folders of that name
 *
 * A recovery depends on the disk alone. So, of the cuts that leave the same disk, one is recovered
 * from, and what came of it is compared with what each of them demands.
 */
#include <errno.h>
#include <sys/random.h>
#include "effort.h"
#include "sim_cuts.h"
#include "sim_model.h"

/* Cuts within cuts, fewer where limits are tiny, which such disks do not meet; and of so many
 * variants one is tried. */
#define DEPTH  EFFORT(2, 0, 1, 1, 0)
#define STRIDE EFFORT(1u, 1u, 3u, 3u, 4u)
#define NODES  65536u /* a power of two */

static size_t folders, cuts, recovered;

/* The store draws no random numbers here, so that one disk has one recovery. */
ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
    (void)flags;
    memset(buffer, 0x5a, size);
    return (ssize_t)size;
}

/* ---- What a recovery found, by the disk it began with */

typedef struct node {
    uint64_t image; /* 0: a free place */
    bool good;
    uint32_t got[KEYS];
} node;

static node nodes[NODES];
static size_t node_count;

static node *find_node(uint64_t image) {
    size_t i = image % NODES;
    while (nodes[i].image && nodes[i].image != image) i = (i + 1) % NODES;
    return &nodes[i];
}

static void forget_nodes(void) {
    memset(nodes, 0, sizeof nodes);
    node_count = 0;
}

/* ---- One recovery */

/* A folder of the set, and what is done to it. */
typedef struct trial {
    check c; /* its config: of the life that ended in the crash */
    history *h;
    writer w;
    bool moves;    /* recoveries take turns with the number of log shards, and how it is written */
    unsigned step; /* of a life that has several: at which call it goes wrong */
    size_t from, upto; /* the crash: at each of these events */
} trial;

typedef struct recovery {
    const history *before;         /* what counts until it has opened; NULL: what it found */
    size_t opened, begun, durable; /* events of the journal; the latter two of its change */
    uint32_t got[KEYS], after[KEYS];
} recovery;

static pkv *open_store(trial *t, pkv_config config) {
    pkv *store = NULL;
    if (pkv_open("simulated", &config, &store) == PKV_OK) return store;
    complain(&t->c, "it does not open");
    return NULL;
}

static pkv_config config_at(const trial *t, unsigned depth) {
    pkv_config config = t->c.config;
    config.sync = PKV_SYNC_ALWAYS;
    if (!t->moves || depth % 2 == 0) return config;
    config.wal_io = config.wal_io == PKV_WAL_IO_MMAP ? PKV_WAL_IO_PWRITE : PKV_WAL_IO_MMAP;
    config.wal_shards = SHARDS + 1 - config.wal_shards;
    return config;
}

/* Opens, makes a change and closes. */
static bool recover(trial *t, unsigned depth, recovery *r) {
    char text[16];
    uint32_t change = OPS + 1 + depth;
    pkv *store = open_store(t, config_at(t, depth));
    if (!store) return false;
    r->opened = sim_now();
    bool good = read_all(&t->c, store, r->got);
    memcpy(r->after, r->got, sizeof r->after);
    r->after[depth] = change;
    make_value(change, value_buffer);
    pkv_bytes value = {value_buffer, value_size(change)};
    r->begun = sim_now();
    if (good && pkv_set(store, key_bytes(text, depth), value)) {
        complain(&t->c, "it cannot be written to");
        good = false;
    }
    r->durable = sim_now();
    if (pkv_close(store) == PKV_OK) return good;
    complain(&t->c, "it does not close");
    return false;
}

/* Is it all there when it is opened once more? */
static bool reopen(trial *t, unsigned depth, const recovery *r) {
    uint32_t got[KEYS];
    pkv *store = open_store(t, config_at(t, depth));
    if (!store) return false;
    bool good = read_all(&t->c, store, got);
    if (good && memcmp(got, r->after, sizeof got) != 0) {
        complain(&t->c, "what was written after the recovery is not there");
        good = false;
    }
    return pkv_close(store) == PKV_OK && good;
}

/* Was this to be found after a cut at that event? */
static bool is_right(trial *t, const recovery *r, size_t event, const uint32_t got[KEYS]) {
    if (r->before && event < r->opened) return judge(&t->c, &(claim){r->before, event}, got);
    bool old = event < r->durable && memcmp(got, r->got, sizeof r->got) == 0;
    bool new = event >= r->begun &&memcmp(got, r->after, sizeof r->after) == 0;
    if (old || new) return true;
    complain(&t->c, "it does not hold what a recovery had found or written");
    return false;
}

/* ---- Cutting */

static void explore(trial *t, const sim_journal *journal, size_t first, const recovery *r,
                    unsigned depth);

/* Recovers from the cut, and from all cuts of that. */
static void visit(trial *t, sim_replay *replay, sim_cut cut, unsigned depth, node *n) {
    recovery r = {0};
    bool nests = (int)depth < DEPTH;
    sim_replay_cut(replay, cut, nests);
    size_t first = sim_now();
    n->good = recover(t, depth, &r);
    memcpy(n->got, r.got, sizeof n->got);
    recovered++;
    if (!n->good) return;
    if (!nests) {
        if (n->image % 8 == 1) /* one in four, to save time */
            n->good = reopen(t, depth + 1, &r);
        return;
    }
    sim_journal journal = sim_end();
    explore(t, &journal, first, &r, depth + 1);
    sim_journal_release(&journal);
}

static void cut_once(trial *t, sim_replay *replay, size_t event, sim_cut cut, const recovery *r,
                     unsigned depth) {
    char doing[sizeof t->c.doing];
    memcpy(doing, t->c.doing, sizeof doing);
    size_t length = strlen(doing);
    (void)snprintf(t->c.doing + length, sizeof doing - length, ", cut %d/%d/%d/%llx at %zu",
                   (int)cut.names, (int)cut.sizes, (int)cut.pages, (unsigned long long)cut.seed,
                   event);
    cuts++;
    uint64_t image = scramble(sim_replay_hash(replay, cut) + depth) | 1;
    node *n = find_node(image);
    if (!n->image) {
        if (++node_count > NODES / 2) abort();
        n->image = image;
        visit(t, replay, cut, depth, n);
    }
    if (n->good) (void)is_right(t, r, event, n->got);
    memcpy(t->c.doing, doing, sizeof doing);
}

static void cut_at(trial *t, sim_replay *replay, size_t event, const recovery *r, unsigned depth) {
    cut_list list;
    sim_replay_to(replay, event);
    list_cuts(replay, &list);
    for (size_t i = 0; i < list.count && t->c.bad < 20; i++) {
        cut_once(t, replay, event, list.cuts[i], r, depth);
    }
}

static void explore(trial *t, const sim_journal *journal, size_t first, const recovery *r,
                    unsigned depth) {
    sim_replay *replay = sim_replay_new(journal);
    for (size_t event = first; event <= journal->count; event++) {
        cut_at(t, replay, event, r, depth);
    }
    sim_replay_free(replay);
}

/* ---- Lives, and how they end. False: there is no such step. */

static bool begin_life(trial *t, uint32_t shards) {
    pkv_config config = t->c.config;
    config.wal_shards = shards;
    begin_session(t->h, sim_now());
    t->w = (writer){.c = &t->c, .h = t->h, .store = open_store(t, config)};
    if (!t->w.store) return false;
    find_lanes(&t->c, t->w.store, &t->h->sessions[t->h->session_count - 1]);
    return true;
}

static void end_life(trial *t) {
    make_durable(&t->w, pkv_close);
}

/* The fifth unsets what the second set; the sixth and the eighth reach over pages. */
static void make_changes(trial *t, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = (uint32_t)t->h->count;
        bool unset = number % 7 == 4;
        make_change(&t->w, 4 + (unset ? number - 3 : number) % 7, unset);
    }
}

static void make_durable_changes(trial *t, uint32_t count) {
    make_changes(t, count);
    make_durable(&t->w, pkv_sync);
}

static void crash_here(trial *t) {
    t->from = t->upto = sim_now();
}

static bool live_never(trial *t) {
    begin_session(t->h, 0);
    return true;
}

static bool live_torn(trial *t) {
    if (!begin_life(t, t->c.config.wal_shards)) return false;
    make_durable_changes(t, 3);
    make_changes(t, 6);
    crash_here(t);
    end_life(t);
    return true;
}

/* A call of a snapshot fails, and then there are two logs, or one and an empty one. */
static bool live_with_failure(trial *t) {
    if (!begin_life(t, t->c.config.wal_shards)) return false;
    make_durable_changes(t, 2);
    make_changes(t, 5);
    sim_fail(t->step, EIO, false);
    bool failed = pkv_snapshot(t->w.store) != PKV_OK;
    bool met = sim_failures() > 0;
    sim_fail(0, 0, false);
    pkv_stats stats;
    if (pkv_stats_get(t->w.store, &stats) == PKV_OK && !stats.read_only) {
        make_changes(t, 3);
        if (failed && t->step % 2) make_durable(&t->w, pkv_sync);
        make_changes(t, 2);
    }
    crash_here(t);
    (void)pkv_close(t->w.store);
    return met;
}

static bool live_snapshot(trial *t) {
    if (!begin_life(t, t->c.config.wal_shards)) return false;
    make_durable_changes(t, 4);
    make_durable(&t->w, pkv_snapshot);
    make_changes(t, 6);
    t->from = sim_now();
    make_durable(&t->w, pkv_snapshot);
    t->upto = sim_now();
    end_life(t);
    return true;
}

static bool live_close(trial *t) {
    if (!begin_life(t, t->c.config.wal_shards)) return false;
    make_changes(t, 6);
    t->from = sim_now();
    end_life(t);
    t->upto = sim_now();
    return true;
}

static bool live_other_shards(trial *t) {
    uint32_t shards = t->c.config.wal_shards;
    if (!begin_life(t, SHARDS + 1 - shards)) return false;
    make_changes(t, 6);
    end_life(t);
    t->from = sim_now();
    if (!begin_life(t, shards)) return false;
    t->upto = sim_now();
    end_life(t);
    return true;
}

/* ---- The same where the process dies, and what it had told the system is still there */

typedef enum moment { IN_SNAPSHOT, IN_OPEN, IN_CLOSE } moment;

/* From a call on all calls fail, so that nothing is changed any more. */
static bool die_in(trial *t, moment when) {
    sim_fail(t->step, EIO, true);
    pkv_config config = t->c.config;
    if (when == IN_OPEN) (void)pkv_open("simulated", &config, &t->w.store);
    if (when == IN_SNAPSHOT) (void)pkv_snapshot(t->w.store);
    bool met = sim_failures() > 0;
    if (t->w.store) (void)pkv_close(t->w.store);
    met = met || (when == IN_CLOSE && sim_failures() > 0);
    sim_fail(0, 0, false);
    crash_here(t);
    return met;
}

static bool die_in_snapshot(trial *t) {
    if (!begin_life(t, t->c.config.wal_shards)) return false;
    make_durable_changes(t, 4);
    make_durable(&t->w, pkv_snapshot);
    make_changes(t, 6);
    return die_in(t, IN_SNAPSHOT);
}

static bool die_in_open(trial *t) {
    if (!begin_life(t, SHARDS + 1 - t->c.config.wal_shards)) return false;
    make_changes(t, 6);
    end_life(t);
    begin_session(t->h, sim_now());
    t->w.store = NULL;
    return die_in(t, IN_OPEN);
}

static bool die_in_close(trial *t) {
    if (!begin_life(t, t->c.config.wal_shards)) return false;
    make_changes(t, 6);
    return die_in(t, IN_CLOSE);
}

/* ---- The crate's folder: no checksums, no manifest, a snapshot whose renaming was interrupted */

static size_t put_record(uint8_t *out, uint32_t key, uint32_t change) {
    char text[16];
    pkv_bytes name = key_bytes(text, key);
    size_t size = value_size(change);
    if (size > 100) abort(); /* or its length takes two bytes */
    out[0] = (uint8_t)(4 + name.size + size);
    out[1] = 0x0a;
    out[2] = (uint8_t)name.size;
    memcpy(out + 3, name.data, name.size);
    out[3 + name.size] = 0x12;
    out[4 + name.size] = (uint8_t)size;
    make_value(change, out + 5 + name.size);
    return out[0] + 1u;
}

static bool live_crate(trial *t) {
    static const struct {
        const char *file;
        uint32_t key, change;
    } parts[] = {{"snapshot_1_0-of-1_diff.bin", 9, 14},
                 {"snapshot_2_0-of-2_full.bin", 4, 1},
                 {"snapshot_2_1-of-2_pending.bin", 5, 7},
                 {"snapshot_3_0-of-2_diff.bin", 4, 9},
                 {"snapshot_3_1-of-2_diff.bin", 6, 13}};
    uint8_t bytes[256];
    begin_session(t->h, 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t size = put_record(bytes, parts[i].key, parts[i].change);
        size_t torn = i < 3 ? 0 : put_record(bytes + size, parts[i].key, 15) - 1;
        sim_put_bytes(sim_put_file(parts[i].file), bytes, size + torn);
        if (i > 0) t->h->sessions[0].base[parts[i].key] = parts[i].change;
    }
    crash_here(t);
    return true;
}

/* ---- All of them */

typedef struct kind {
    const char *name;
    bool (*live)(trial *t);
    bool steps, dies;
} kind;

static const kind kinds[] = {{"none", live_never, false, false},
                             {"torn", live_torn, false, false},
                             {"snapshot failed", live_with_failure, true, false},
                             {"snapshot", live_snapshot, false, false},
                             {"close", live_close, false, false},
                             {"other shards", live_other_shards, false, false},
                             {"crate", live_crate, false, false},
                             {"died in snapshot", die_in_snapshot, true, true},
                             {"died in open", die_in_open, true, true},
                             {"died in close", die_in_close, true, true}};

/* With the log mapped and not, in one shard and two; backups kept or not, snapshots in one file and
 * in two, as it comes. Recoveries stay with that and do not, where there are no steps each, else by
 * turns. */
static pkv_config config_of(unsigned variant) {
    return (pkv_config){.sync = PKV_SYNC_OS,
                        .wal_io = variant & 1 ? PKV_WAL_IO_PWRITE : PKV_WAL_IO_MMAP,
                        .wal_shards = variant & 2 ? 2 : 1,
                        .memory_shards = 2,
                        .snapshot_threads = 1,
                        .snapshot_shard_bytes = (variant & 1) == (variant >> 1 & 1) ? 1 : 0,
                        .keep_backups = variant & 2 ? 1 : PKV_KEEP_NONE,
                        .snapshot_interval = PKV_SNAPSHOT_NEVER};
}

static void crash(trial *t, const sim_journal *journal) {
    recovery r = {.before = t->h, .opened = SIZE_MAX};
    sim_replay *replay = sim_replay_new(journal);
    for (size_t event = t->from; event <= t->upto; event++) cut_at(t, replay, event, &r, 0);
    sim_replay_free(replay);
}

/* The journal goes on: nothing was flushed by dying. */
static sim_journal recover_from_death(trial *t, recovery *r) {
    *r = (recovery){.before = t->h};
    if (recover(t, 0, r) && memcmp(r->got, t->h->latest, sizeof r->got) != 0) {
        complain(&t->c, "what was acknowledged is lost when the process dies");
    }
    return sim_end();
}

/* False: there is no such step. */
static bool run_step(const kind *k, unsigned variant, unsigned step, size_t *bad) {
    trial t = {.c = {.config = config_of(variant), .writers = 1}, .step = step};
    t.moves = k->steps ? step / 2 % 2 : variant & 4;
    (void)snprintf(t.c.doing, sizeof t.c.doing, "%s, variant %u, step %u", k->name, variant, step);
    t.h = new_history();
    sim_begin(true);
    bool met = k->live(&t);
    recovery r;
    sim_journal journal = k->dies ? recover_from_death(&t, &r) : sim_end();
    if (k->dies) {
        explore(&t, &journal, t.from, &r, 1);
    } else {
        crash(&t, &journal);
    }
    sim_journal_release(&journal);
    free_history(t.h);
    folders += t.upto - t.from + 1;
    *bad += t.c.bad;
    return met && k->steps;
}

static bool run(const kind *k, unsigned variant) {
    size_t bad = 0;
    unsigned step = 1;
    forget_nodes();
    while (run_step(k, variant, step, &bad) && bad == 0) step++;
    return bad == 0;
}

int main(int argc, char **argv) {
    int passed = 0, failed = 0;
    make_filler();
    for (const kind *k = kinds; k < kinds + sizeof kinds / sizeof *kinds; k++) {
        if (argc > 1 && strcmp(argv[1], k->name) != 0) continue;
        size_t before = recovered;
        for (unsigned variant = 0; variant < (k->steps ? 4 : 8); variant += STRIDE) {
            run(k, variant) ? passed++ : failed++;
        }
        printf("%s: %zu\n", k->name, recovered - before);
    }
    printf("%zu folders, %zu cuts in recoveries; %zu different disks recovered from\n", folders,
           cuts, recovered);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
