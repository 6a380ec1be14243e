/* sim_snapshot_check.c - a snapshot is all or nothing, on the simulated disk.
 *
 * Damage: of a store with a snapshot in several files, a backup and a log behind them, closed and
 * not, each file of the snapshot, of the backup, and the manifest is cut at every length, has a bit
 * of each byte flipped, grows, is removed, and gets another one's contents or exchanges them. It
 * opens with exactly what it held, where that does not take the file; else not at all, with an
 * error that names the file, and the offset in a snapshot's, and changes no byte of the folder.
 *
 * Crashes: the power fails at every event of a snapshot's publishing and clean-up, in all the ways
 * of sim_cuts.h. It opens with exactly what it held, and once closed has no file that is not in
 * force.
 */
#include <errno.h>
#include <sys/random.h>
#include "effort.h"
#include "sim_cuts.h"
#include "sim_image.h"
#include "sim_values.h"

/* Of so many damages, or events, one is tried; odd, so that each bit of a byte has its turn. */
#define STRIDE EFFORT(1u, 5u, 5u, 5u, 17u)
/* Of so many calls one fails; another one in each variant. */
#define FAILING_STRIDE EFFORT(4u, 4u, 8u, 8u, 16u)

/* Every run has the same stores. */
ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
    static uint8_t last;
    (void)flags;
    memset(buffer, ++last, size);
    return (ssize_t)size;
}

/* ---- A store, and what it must hold */

typedef struct world {
    check c;
    uint32_t expected[KEYS];
    const char *file; /* that is damaged, or NULL */
    const char *other;
    size_t opened, refused;
} world;

static void say(world *w, const char *what, size_t at) {
    (void)snprintf(w->c.doing, sizeof w->c.doing, "%s %s %s %zu", w->file ? w->file : "", what,
                   w->other ? w->other : "", at);
}

static bool is_whole(world *w, pkv *store) {
    uint32_t got[KEYS];
    if (!read_all(&w->c, store, got)) return false;
    if (memcmp(got, w->expected, sizeof got) == 0) return true;
    complain(&w->c, "it does not hold what it held");
    return false;
}

static pkv_config config_of(uint32_t files, uint32_t wal_shards, pkv_wal_io io, int32_t backups) {
    return (pkv_config){.sync = PKV_SYNC_ALWAYS,
                        .wal_io = io,
                        .wal_shards = wal_shards,
                        .memory_shards = files,
                        .snapshot_threads = 1,
                        .snapshot_shard_bytes = 1,
                        .keep_backups = backups,
                        .snapshot_interval = PKV_SNAPSHOT_NEVER};
}

static pkv *open_store(world *w) {
    pkv *store = NULL;
    if (pkv_open("simulated", &w->c.config, &store) == PKV_OK) return store;
    complain(&w->c, "it does not open");
    return NULL;
}

/* Changes that are durable; the values of some keys are larger than a page. */
static void make_changes(world *w, pkv *store, uint32_t first, uint32_t count) {
    for (uint32_t change = first; change < first + count; change++) {
        char text[16];
        uint32_t key = change * 7 % KEYS;
        bool unset = change % 9 == 8 && w->expected[key];
        make_value(change, value_buffer);
        pkv_bytes name = key_bytes(text, key), value = {value_buffer, value_size(change)};
        if (unset ? pkv_unset(store, name) : pkv_set(store, name, value)) {
            complain(&w->c, "a change fails");
        }
        w->expected[key] = unset ? 0 : change;
    }
}

static void snapshot(world *w, pkv *store) {
    if (pkv_snapshot(store)) complain(&w->c, "a snapshot fails");
}

static void close_store(world *w, pkv *store) {
    if (pkv_close(store)) complain(&w->c, "it does not close");
}

/* ---- Damage */

static bool is_same(const image *a, const image *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = strcmp(a->files[i].name, b->files[i].name) == 0 &&
               a->files[i].size == b->files[i].size &&
               memcmp(a->files[i].bytes, b->files[i].bytes, a->files[i].size) == 0;
    }
    return same;
}

static bool is_named(const char *file) {
    const pkv_error *error = pkv_error_detail();
    return file && strcmp(error->file, file) == 0 && strstr(error->message, file);
}

static void check_refusal(world *w, pkv_status status, bool needs_offset) {
    w->refused++;
    if (status != PKV_CORRUPT) complain(&w->c, "it is refused for another reason");
    if (!is_named(w->file) && !is_named(w->other)) {
        complain(&w->c, "the error does not name the file");
    }
    if (needs_offset && pkv_error_detail()->offset == UINT64_MAX) {
        complain(&w->c, "the error does not tell the offset");
    }
}

typedef enum effect { REFUSED, REFUSED_AT, WHOLE } effect;

/* Puts the damaged files on the disk, and opens them. */
static void try_damage(world *w, const image *damaged, effect wanted) {
    put_disk(damaged);
    pkv *store = NULL;
    pkv_status status = pkv_open("simulated", &w->c.config, &store);
    if (!status) {
        w->opened++;
        (void)is_whole(w, store);
        if (wanted != WHOLE) complain(&w->c, "it opens");
        close_store(w, store);
        return;
    }
    if (wanted == WHOLE)
        complain(&w->c, "it does not open");
    else
        check_refusal(w, status, wanted == REFUSED_AT);
    image after = {.count = 0};
    read_disk(&after);
    if (!is_same(damaged, &after)) complain(&w->c, "a refusal changes files");
    release_image(&after);
}

static void cut_file(world *w, image *i, size_t file, effect wanted) {
    size_t size = i->files[file].size;
    for (size_t at = 0; at < size; at += STRIDE) {
        say(w, "cut to", at);
        i->files[file].size = at;
        try_damage(w, i, wanted);
    }
    i->files[file].size = size;
}

static void flip_file(world *w, image *i, size_t file, effect wanted) {
    for (size_t at = 0; at < i->files[file].size; at += STRIDE) {
        uint8_t bit = (uint8_t)(1u << at % 8);
        say(w, "flipped at", at);
        i->files[file].bytes[at] ^= bit;
        try_damage(w, i, wanted);
        i->files[file].bytes[at] ^= bit;
    }
}

static void grow_file(world *w, image *i, size_t file, effect wanted) {
    uint8_t *bytes = i->files[file].bytes;
    size_t size = i->files[file].size;
    uint8_t *more = calloc(2, size + 1); /* behind the contents, zeros */
    if (!more) abort();
    memcpy(more, bytes, size);
    i->files[file].bytes = more;
    for (size_t by = 1; by <= size + 1; by += size / 4 + 1) {
        say(w, "with zeros behind it:", by);
        i->files[file].size = size + by;
        try_damage(w, i, wanted);
    }
    memcpy(more + size, bytes, size);
    say(w, "twice in a row", 0);
    i->files[file].size = 2 * size;
    if (size > 0) try_damage(w, i, wanted);
    free(more);
    i->files[file].bytes = bytes;
    i->files[file].size = size;
}

static void remove_file(world *w, const image *i, size_t file, effect wanted) {
    image without = *i;
    without.count--;
    memmove(&without.files[file], &without.files[file + 1],
            (without.count - file) * sizeof without.files[0]);
    say(w, "removed", 0);
    try_damage(w, &without, wanted);
}

static void give_contents(image *to, size_t file, const image *from, size_t other) {
    to->files[file].bytes = from->files[other].bytes;
    to->files[file].size = from->files[other].size;
}

/* Snapshots 2 and 4 in four files each, and log 5. */
static bool is_in_force(const char *name) {
    return strncmp(name, "snapshot_4_", 11) == 0;
}

/* Every other file's contents instead of its own; then the other one has its own, too. */
static void swap_file(world *w, const image *i, size_t file, effect wanted) {
    for (size_t other = 0; other < i->count; other++) {
        bool same = i->files[other].size == i->files[file].size &&
                    memcmp(i->files[other].bytes, i->files[file].bytes, i->files[file].size) == 0;
        if (other == file || same) continue;
        image swapped = *i;
        w->other = i->files[other].name;
        give_contents(&swapped, file, i, other);
        say(w, "with the contents of", 0);
        try_damage(w, &swapped, wanted);
        give_contents(&swapped, other, i, file);
        say(w, "exchanged with", 0);
        if (is_in_force(w->other)) try_damage(w, &swapped, wanted == WHOLE ? REFUSED_AT : wanted);
        w->other = NULL;
    }
}

static void damage_file(world *w, image *i, size_t file, effect wanted, effect missing) {
    w->file = i->files[file].name;
    remove_file(w, i, file, missing);
    cut_file(w, i, file, wanted);
    flip_file(w, i, file, wanted);
    grow_file(w, i, file, wanted);
    swap_file(w, i, file, wanted);
    w->file = NULL;
}

/* Without a manifest a folder is read as the crate's: what is named full, and the logs behind it.
 */
static void damage_all(world *w, image *i) {
    for (size_t file = 0; file < i->count; file++) {
        const char *name = i->files[file].name;
        if (strcmp(name, "manifest") == 0) damage_file(w, i, file, REFUSED, WHOLE);
        if (is_in_force(name)) damage_file(w, i, file, REFUSED_AT, REFUSED);
        if (strncmp(name, "snapshot_2_", 11) == 0) damage_file(w, i, file, WHOLE, WHOLE);
    }
}

static bool check_damage(pkv_wal_io io, size_t *tried) {
    world w = {.c = {.config = config_of(4, 1, io, 1)}};
    image running = {.count = 0}, closed = {.count = 0};
    sim_begin(false);
    pkv *store = open_store(&w);
    if (!store) return false;
    make_changes(&w, store, 1, 4);
    snapshot(&w, store);
    make_changes(&w, store, 5, 14);
    snapshot(&w, store);
    make_changes(&w, store, 19, 5);
    read_disk(&running);
    close_store(&w, store);
    read_disk(&closed);
    damage_all(&w, &running);
    damage_all(&w, &closed);
    release_image(&running);
    release_image(&closed);
    *tried += w.opened + w.refused;
    (void)printf("%zu damaged folders refused, %zu opened whole\n", w.refused, w.opened);
    return w.c.bad == 0;
}

/* Two files of a snapshot that are as long as each other, with as many records. */
static bool find_twins(const image *i, size_t *one, size_t *two) {
    for (*one = 0; *one < i->count; ++*one) {
        if (!strstr(i->files[*one].name, "_full.bin") || i->files[*one].size == 0) continue;
        for (*two = *one + 1; *two < i->count; ++*two) {
            bool full = strstr(i->files[*two].name, "_full.bin") != NULL;
            if (full && i->files[*two].size == i->files[*one].size) return true;
        }
    }
    return false;
}

/* They have each other's contents. Keys fall where chance has them, so it may take some stores. */
static bool check_twins(size_t *tried) {
    world w = {.c = {.config = config_of(4, 1, PKV_WAL_IO_PWRITE, PKV_KEEP_NONE)}};
    for (unsigned i = 0; i < 100 && w.refused + w.opened == 0; i++) {
        image all = {.count = 0};
        size_t one, two;
        sim_begin(false);
        pkv *store = open_store(&w);
        if (!store) return false;
        for (uint32_t key = 10; key < KEYS; key++) {
            char text[16];
            if (pkv_set(store, key_bytes(text, key), (pkv_bytes){&key, sizeof key})) return false;
        }
        snapshot(&w, store);
        close_store(&w, store);
        read_disk(&all);
        if (find_twins(&all, &one, &two)) {
            image swapped = all;
            w.file = all.files[one].name;
            w.other = all.files[two].name;
            give_contents(&swapped, one, &all, two);
            give_contents(&swapped, two, &all, one);
            say(&w, "exchanged with its twin", 0);
            try_damage(&w, &swapped, REFUSED_AT);
        }
        release_image(&all);
    }
    *tried += w.refused;
    return w.c.bad == 0 && w.refused > 0;
}

/* ---- Crashes */

#define SEEN 65536u /* a power of two */

static uint64_t seen[SEEN];

/* False, and remembered, where such a disk was not seen before. */
static bool was_seen(uint64_t hash) {
    size_t i = (hash |= 1) % SEEN;
    while (seen[i] && seen[i] != hash) i = (i + 1) % SEEN;
    bool was = seen[i] != 0;
    seen[i] = hash;
    return was;
}

static int count_file(void *context, const char *name) {
    *(uint64_t *)context += strncmp(name, "snapshot_", 9) == 0;
    return 0;
}

/* What is not in force is gone, what is needs no renaming. */
static void check_cleaned_up(world *w) {
    const os_folder folder = {0};
    pkv_check_report report;
    uint64_t files = 0, removed = 0;
    (void)os_folder_list(&folder, count_file, &files);
    if (pkv_check("simulated", NULL, NULL, &report)) complain(&w->c, "it is not sound");
    if (report.files != files) complain(&w->c, "there are files that are not in force");
    if (pkv_delete_failed_pending_snapshots("simulated", &removed) || removed > 0) {
        complain(&w->c, "there are pending files");
    }
}

static void recover(world *w, sim_replay *replay, sim_cut cut) {
    sim_replay_cut(replay, cut, false);
    pkv *store = open_store(w);
    if (!store) return;
    if (is_whole(w, store)) w->opened++;
    close_store(w, store);
    check_cleaned_up(w);
}

static size_t crash_at_each_event(world *w, const sim_journal *journal, size_t from) {
    size_t cuts = 0;
    cut_list list;
    sim_replay *replay = sim_replay_new(journal);
    memset(seen, 0, sizeof seen);
    for (size_t event = from; event <= journal->count; event += STRIDE) {
        sim_replay_to(replay, event);
        list_cuts(replay, &list);
        for (size_t i = 0; i < list.count && w->c.bad < 20; i++) {
            const sim_cut *cut = &list.cuts[i];
            cuts++;
            if (was_seen(sim_replay_hash(replay, *cut))) continue;
            (void)snprintf(w->c.doing, sizeof w->c.doing, "cut %d/%d/%d/%llx at %zu of %zu",
                           (int)cut->names, (int)cut->sizes, (int)cut->pages,
                           (unsigned long long)cut->seed, event, journal->count);
            recover(w, replay, *cut);
        }
    }
    sim_replay_free(replay);
    return cuts;
}

/* True if that call was made to fail, and the store can be written to nonetheless. */
static bool fail_snapshot(pkv *store, unsigned call, bool *met) {
    pkv_stats stats;
    sim_fail(call, EIO, false);
    (void)pkv_snapshot(store);
    *met = sim_failures() > 0;
    sim_fail(0, 0, false);
    return pkv_stats_get(store, &stats) == PKV_OK && !stats.read_only;
}

/* There are so many older snapshots, and the one before may have failed, at that call. False: there
 * is no such call. */
static bool check_crash(world *w, unsigned older, unsigned failing, size_t *cuts) {
    bool met = false, writable = true;
    sim_begin(true);
    pkv *store = open_store(w);
    if (!store) return false;
    memset(w->expected, 0, sizeof w->expected);
    for (unsigned i = 0; i < older; i++) {
        make_changes(w, store, 1 + 3 * i, 3);
        snapshot(w, store);
    }
    make_changes(w, store, 10, 6);
    if (failing) writable = fail_snapshot(store, failing, &met);
    if (writable && failing) make_changes(w, store, 16, 3);
    size_t from = sim_now();
    if (writable) snapshot(w, store);
    sim_journal journal = sim_end();
    (void)pkv_close(store);
    if (writable) *cuts += crash_at_each_event(w, &journal, from);
    sim_journal_release(&journal);
    return met;
}

/* Mapped and not, with backups and without, in one file and in four; log shards as it comes. */
static bool check_crashes(unsigned variant, size_t *cuts, size_t *opened) {
    pkv_wal_io io = variant & 1 ? PKV_WAL_IO_MMAP : PKV_WAL_IO_PWRITE;
    int32_t backups = variant & 2 ? 1 : PKV_KEEP_NONE;
    uint32_t files = variant & 4 ? 4 : 1, shards = variant % 3 ? 1 : 2;
    world w = {.c = {.config = config_of(files, shards, io, backups)}};
    for (unsigned older = 0; older <= 2; older++) (void)check_crash(&w, older, 0, cuts);
    unsigned failing = 1 + variant % FAILING_STRIDE;
    while (w.c.bad == 0 && check_crash(&w, 1, failing, cuts)) failing += FAILING_STRIDE;
    *opened += w.opened;
    return w.c.bad == 0;
}

int main(void) {
    int passed = 0, failed = 0;
    size_t damages = 0, cuts = 0, opened = 0;
    make_filler();
    for (pkv_wal_io io = PKV_WAL_IO_MMAP; io <= PKV_WAL_IO_PWRITE; io++) {
        check_damage(io, &damages) ? passed++ : failed++;
    }
    check_twins(&damages) ? passed++ : failed++;
    for (unsigned variant = 0; variant < 8; variant++) {
        check_crashes(variant, &cuts, &opened) ? passed++ : failed++;
    }
    printf("%zu damaged folders; %zu cuts, %zu different disks\n", damages, cuts, opened);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
