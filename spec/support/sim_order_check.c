/* sim_order_check.c - orders of events that threads meet rarely, written down. One thread calls the
 * disk's wing alone, on the simulated disk, and stands for memory and for all writers: it makes
 * changes where a snapshot gives it a turn, lets calls fail, and dies. Then the power fails at
 * every event of that, and what comes back must be
 *
 *   - the state after some beginning of the changes,
 *   - with all that was said to be durable;
 *   - after the death of the process alone, the state after all of them.
 *
 *     sim_order_check [script]        all of them, or the one of that name
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/disk/disk.h"
#include "../../src/os/error.h"
#include "../../src/os/simulated.h"
#include "effort.h"

#define KEYS       4u
#define CHANGES    64u
#define EVENT_STEP EFFORT(1u, 1u, 4u, 4u, 16u)

typedef struct change {
    uint32_t key;
    size_t begun, durable; /* events of the journal at that time */
} change;

/* When a snapshot gives the writers a turn. */
typedef enum turn { SETTLING, WALKING } turn;

typedef struct world {
    disk d;
    uint32_t memory[KEYS]; /* the number of the change that each key had last, or 0 */
    change changes[CHANGES];
    uint32_t count;
    pkv_wal_io io;
    uint32_t parts; /* of a snapshot */
    void (*take_turn)(struct world *w, turn when, uint32_t key);
    unsigned variant;
    const char *script;
    pkv_status walk; /* what the next walk ends with */
    unsigned bad;
} world;

static int passed, failed;
static size_t states;

static bool check(world *w, bool ok, const char *what) {
    if (ok) return true;
    if (w->bad++ < 3) {
        printf("not ok: %s %u, io %d: %s: %s\n", w->script, w->variant, (int)w->io, what,
               pkv_error_detail()->message);
    }
    return false;
}

/* ---- A store without memory */

static pkv_status hash_entry(void *context, const record *entry, record_origin origin,
                             uint64_t *hash) {
    (void)context;
    (void)entry;
    (void)origin;
    *hash = 0;
    return PKV_OK;
}

static pkv_status restore_entries(void *context, const sink_batch *batch, size_t *applied) {
    uint32_t *memory = context;
    for (*applied = 0; *applied < batch->count; (*applied)++) {
        const record *entry = batch->items[*applied].entry;
        uint32_t key = entry->key.size == 1 ? *(const uint8_t *)entry->key.data : UINT8_MAX;
        if (key < 'a' || key >= 'a' + KEYS || entry->value.size != sizeof *memory) {
            return fail(PKV_CORRUPT, NULL, NO_OFFSET, 0, "a record that nobody has written");
        }
        memcpy(&memory[key - 'a'], entry->value.data, sizeof *memory);
    }
    return PKV_OK;
}

/* Restores without starting to write. */
static pkv_status read_store(disk *d, uint32_t memory[KEYS]) {
    os_folder folder;
    disk_wants wants = {.create = true};
    restore_result result;
    restore_sink sink = {0, hash_entry, restore_entries, memory};
    *d = (disk){.lock_fd = -1};
    memset(memory, 0, KEYS * sizeof *memory);
    pkv_status status = disk_open_folder("simulated", true, &folder);
    if (!status) status = disk_begin("simulated", folder, d);
    if (!status) status = disk_open(d, &wants);
    if (status) return status;
    status = disk_restore(d, 1, &sink, &result);
    if (status) (void)disk_close(d);
    return status;
}

/* The keeper has nothing to tell. */
static void ignore(void *context) {
    (void)context;
}

static pkv_status open_store(world *w) {
    pkv_status status = read_store(&w->d, w->memory);
    if (status) return status;
    wal_options log = {
        .shard_count = 1, .sync = PKV_SYNC_OS, .io = w->io, .salt = w->d.m.salt, .grown = ignore};
    status = disk_start(&w->d, &log);
    if (status) (void)disk_close(&w->d);
    return status;
}

/* The first half of a set: the number of the change, or 0 where it failed. */
static uint32_t append(world *w, uint32_t key) {
    char name = (char)('a' + key);
    uint64_t position;
    uint32_t number = w->count + 1;
    record entry = {.key = {&name, 1}, .value = {&number, sizeof number}};
    if (number > CHANGES) abort();
    w->changes[w->count] = (change){key, sim_now(), SIZE_MAX};
    if (wal_append(w->d.log, 0, &entry, &position)) return 0;
    w->count = number;
    return number;
}

static void apply(world *w, uint32_t number) {
    if (number) w->memory[w->changes[number - 1].key] = number;
}

static void set(world *w, uint32_t key) {
    apply(w, append(w, key));
}

static void set_all(world *w) {
    for (uint32_t key = 0; key < KEYS; key++) set(w, key);
}

static void claim(world *w, uint32_t upto) {
    size_t now = sim_now();
    for (uint32_t i = 0; i < upto; i++) {
        if (w->changes[i].durable > now) w->changes[i].durable = now;
    }
}

static pkv_status flush(world *w) {
    uint32_t upto = w->count;
    pkv_status status = wal_sync(w->d.log);
    if (!status) claim(w, upto);
    return status;
}

static pkv_status walk(void *context, uint32_t part, uint32_t parts, snapshot_writer *out) {
    world *w = context;
    for (uint32_t key = KEYS * part / parts; key < KEYS * (part + 1) / parts; key++) {
        w->take_turn(w, WALKING, key);
        if (w->walk && key == KEYS / 2) return fail(w->walk, NULL, NO_OFFSET, 0, "no walk");
        char name = (char)('a' + key);
        pkv_bytes value = {&w->memory[key], sizeof w->memory[key]};
        if (w->memory[key] == 0) continue;
        pkv_status status = snapshot_put(out, (pkv_bytes){&name, 1}, value, PKV_BYTES);
        if (status) return status;
    }
    return PKV_OK;
}

static void settle(void *context) {
    world *w = context;
    w->take_turn(w, SETTLING, 0);
}

static pkv_status take_snapshot(world *w) {
    disk_snapshot_result result;
    disk_snapshot_plan plan = {
        .shard_count = w->parts, .threads = 1, .source = {walk, w}, .settle = settle};
    uint32_t upto = w->count;
    pkv_status status = disk_snapshot(&w->d, &plan, &result);
    if (!status) claim(w, upto);
    return status;
}

static void close_store(world *w) {
    if (disk_close(&w->d) == PKV_OK) claim(w, w->count);
}

/* ---- Judging */

/* Is it the state after the first n changes, for an n from `least` to `most`? */
static bool is_after(const world *w, const uint32_t got[KEYS], uint32_t least, uint32_t most) {
    uint32_t expected[KEYS] = {0};
    for (uint32_t n = 0; n <= most; n++) {
        if (n > 0) expected[w->changes[n - 1].key] = n;
        if (n >= least && memcmp(expected, got, sizeof expected) == 0) return true;
    }
    return false;
}

/* Reads what a power cut at `event` has left. */
static void judge(world *w, size_t event) {
    disk d;
    uint32_t got[KEYS], durable = 0, begun = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->changes[i].durable <= event) durable = i + 1;
        if (w->changes[i].begun <= event) begun = i + 1;
    }
    states++;
    if (!check(w, read_store(&d, got) == PKV_OK, "it does not open")) return;
    (void)disk_close(&d);
    if (!check(w, is_after(w, got, 0, begun), "what is there is no beginning of the changes")) {
        return;
    }
    (void)check(w, is_after(w, got, durable, begun), "what was durable is lost");
}

/* The power fails at each event from `first` on. */
static void cut_everywhere(world *w, size_t first) {
    static const sim_cut cuts[] = {
        {SIM_ALL, SIM_ALL, SIM_ALL, 0},          {SIM_NONE, SIM_NONE, SIM_NONE, 0},
        {SIM_ALL, SIM_ALL, SIM_NONE, 0},         {SIM_NONE, SIM_ALL, SIM_ALL, 0},
        {SIM_ALL, SIM_NONE, SIM_ALL, 0},         {SIM_ALL, SIM_LATE, SIM_LATE, 0},
        {SIM_BY_NAME, SIM_ALL, SIM_ALL, 1},      {SIM_BY_NAME, SIM_ALL, SIM_ALL, 4},
        {SIM_BY_NAME, SIM_ALL, SIM_ALL, 5},      {SIM_BY_NAME, SIM_NONE, SIM_NONE, 2},
        {SIM_BY_NAME, SIM_RANDOM, SIM_RANDOM, 3}};
    sim_journal journal = sim_end();
    sim_replay *replay = sim_replay_new(&journal);
    for (size_t event = first; event <= journal.count && w->bad == 0; event += EVENT_STEP) {
        sim_replay_to(replay, event);
        size_t count = sim_replay_pending(replay) ? sizeof cuts / sizeof *cuts : 1;
        for (size_t i = 0; i < count; i++) {
            sim_cut cut = cuts[i];
            cut.seed += event * 16 + (uint64_t)w->variant * 100000;
            sim_replay_cut(replay, cut, false);
            judge(w, event);
        }
    }
    sim_replay_free(replay);
    sim_journal_release(&journal);
}

/* ---- Turns */

static void do_nothing(world *w, turn when, uint32_t key) {
    (void)w, (void)when, (void)key;
}

/* The variant's digits, to the base 3, say what comes at each turn: nothing, changes of what the
 * walk has passed and then of what it has not, or these with a flush. */
static void act(world *w, unsigned step) {
    unsigned what = w->variant;
    for (unsigned i = 0; i < step; i++) what /= 3;
    if (what % 3 == 0) return;
    set(w, 0);
    set(w, KEYS - 1);
    if (what % 3 == 2) (void)check(w, flush(w) == PKV_OK, "a flush fails");
}

static void act_in_turn(world *w, turn when, uint32_t key) {
    if (when == SETTLING) act(w, 0);
    if (when == WALKING && key == KEYS / 2) act(w, 1);
}

static uint32_t appended; /* and not applied yet */

static void apply_late(world *w, turn when, uint32_t key) {
    (void)key;
    if (when == SETTLING) apply(w, appended);
}

/* ---- Scripts: each returns false where there is no variant behind this one */

static bool begin(world *w) {
    sim_begin(true);
    return check(w, open_store(w) == PKV_OK, "it does not open");
}

/* Writers go on during a snapshot. */
static bool writers_go_on(world *w) {
    w->take_turn = act_in_turn;
    if (!begin(w)) return false;
    set_all(w);
    (void)check(w, take_snapshot(w) == PKV_OK, "a snapshot fails");
    act(w, 2);
    close_store(w);
    cut_everywhere(w, 0);
    return w->variant + 1 < 27;
}

/* A writer has appended to the old log when that is replaced, and has not changed memory yet. */
static bool writer_is_late(world *w) {
    w->take_turn = apply_late;
    if (!begin(w)) return false;
    set_all(w);
    appended = append(w, 1);
    (void)check(w, take_snapshot(w) == PKV_OK, "a snapshot fails");
    apply(w, appended);
    close_store(w);
    cut_everywhere(w, 0);
    return false;
}

/* A snapshot fails in the midst of its walk; writers go on; another one follows, or not. */
static bool walk_fails(world *w) {
    w->take_turn = act_in_turn;
    if (!begin(w)) return false;
    set_all(w);
    w->walk = PKV_NO_MEMORY;
    (void)check(w, take_snapshot(w) == PKV_NO_MEMORY, "a snapshot without a walk");
    w->walk = PKV_OK;
    set(w, 2);
    (void)check(w, flush(w) == PKV_OK, "a flush fails");
    if (w->variant >= 9) (void)check(w, take_snapshot(w) == PKV_OK, "the next snapshot fails");
    set(w, 1);
    close_store(w);
    cut_everywhere(w, 0);
    return w->variant + 1 < 18;
}

/* A call fails during a snapshot; then changes are made, and flushed; another snapshot follows, or
 * not. */
static bool call_fails(world *w) {
    w->take_turn = do_nothing;
    if (!begin(w)) return false;
    set_all(w);
    sim_fail(w->variant / 2 + 1, EIO, false);
    pkv_status status = take_snapshot(w);
    bool met = sim_failures() > 0, told = !status || pkv_error_detail()->os_error == EIO;
    (void)check(w, told, "a snapshot fails with another error than that of the call");
    sim_fail(0, 0, false);
    set(w, 2);
    (void)flush(w);
    if (w->variant % 2) (void)take_snapshot(w);
    close_store(w);
    cut_everywhere(w, 0);
    return met;
}

/* The process dies at a call during a snapshot: from then on, none does anything. The power fails
 * while the store is opened again, and flushed, and some time later. It had been closed before. */
static bool process_dies(world *w) {
    w->take_turn = do_nothing;
    if (!begin(w)) return false;
    set_all(w);
    close_store(w);
    if (!check(w, open_store(w) == PKV_OK, "it does not open")) return false;
    if (w->variant % 2) (void)check(w, flush(w) == PKV_OK, "a flush fails");
    set(w, 1);
    sim_fail(w->variant / 2 + 1, EIO, true);
    (void)take_snapshot(w);
    bool met = sim_failures() > 0;
    (void)disk_close(&w->d);
    sim_fail(0, 0, false);
    size_t died = sim_now();
    if (!check(w, open_store(w) == PKV_OK, "it does not open again")) return met;
    (void)check(w, is_after(w, w->memory, w->count, w->count), "a change died with the process");
    (void)check(w, flush(w) == PKV_OK, "a flush fails");
    set(w, 2);
    (void)check(w, flush(w) == PKV_OK, "a flush fails");
    close_store(w);
    cut_everywhere(w, died);
    return met;
}

/* The disk changes a byte of a snapshot's first file while the second is written. */
static void rot(world *w, turn when, uint32_t key) {
    file_name name = {2, 0, 2, FILE_PENDING};
    char text[FILE_NAME_BYTES];
    uint8_t byte = 0;
    size_t got;
    int fd;
    if (when != WALKING || key != KEYS / 2) return;
    file_name_format(&name, text);
    if (!check(w, os_file_open(&w->d.folder, text, OS_WRITE, &fd) == 0, "no such file")) return;
    (void)os_file_read(fd, &byte, 1, w->variant, &got);
    byte ^= 1;
    (void)os_file_write(fd, &byte, 1, w->variant);
    (void)os_file_close(fd);
}

static bool snapshot_rots(world *w) {
    w->take_turn = rot;
    w->parts = 2;
    if (!begin(w)) return false;
    set_all(w);
    (void)check(w, take_snapshot(w) == PKV_IO, "a snapshot that does not read back is published");
    set(w, 1);
    close_store(w);
    judge(w, sim_now());
    return w->variant + 1 < 10;
}

/* ---- All of them */

static const struct {
    const char *name;
    bool (*run)(world *w);
} scripts[] = {{"writers_go_on", writers_go_on}, {"writer_is_late", writer_is_late},
               {"walk_fails", walk_fails},       {"call_fails", call_fails},
               {"process_dies", process_dies},   {"snapshot_rots", snapshot_rots}};

static void run_script(size_t index, pkv_wal_io io) {
    bool more = true;
    for (unsigned variant = 0; more; variant++) {
        world w = {.io = io, .parts = 1, .script = scripts[index].name, .variant = variant};
        more = scripts[index].run(&w);
        w.bad ? failed++ : passed++;
    }
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        if (argc > 1 && strcmp(argv[1], scripts[i].name) != 0) continue;
        run_script(i, PKV_WAL_IO_MMAP);
        run_script(i, PKV_WAL_IO_PWRITE);
    }
    printf("%zu crash states\n", states);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
