/* sim_repair_check.c - the power fails at every event of a repair in place on the simulated disk,
 * and of the repair that follows; and call k of it fails, for every k. Whatever the disk has kept:
 *
 *   - each of the old files is there as it was, where it was or in a folder for damaged files;
 *   - an open shows what it showed before the repair, or what it shows after it, or refuses;
 *   - a check says that all is sound, or what is wrong;
 *   - another repair in place leads to what the first would have led to.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/disk/fileset.h"
#include "../../src/os/error.h"
#include "../../src/os/simulated.h"
#include "effort.h"

#define STORE     "simulated"
#define FILES_MAX 32
#define KEYS      40
#define STRIDE    EFFORT(1u, 2u, 2u, 2u, 8u) /* of so many events, one is followed by cuts */
#define NEST      100u /* of so many cuts, one is followed by cuts in the repair after it */

/* The files of a folder. */
typedef struct image {
    struct file {
        char name[FILE_NAME_BYTES];
        uint8_t *bytes;
        uint64_t size;
    } files[FILES_MAX];
    size_t count;
} image;

/* What an open shows: entries, whatever their order. */
typedef struct content {
    pkv_status status;
    uint64_t count, sum;
} content;

typedef struct scene {
    const char *name;
    void (*make)(void);
    pkv_keys keys; /* to be told where no manifest tells */
    image old;
    content before, after;
} scene;

static int passed, failed;
static size_t states, nested, errors;

static bool check(bool ok, const scene *s, const char *what, size_t event, unsigned cut) {
    if (ok) return true;
    if (failed++ < 10) {
        printf("not ok: %s, event %zu, cut %u: %s: %s\n", s->name, event, cut, what,
               pkv_error_detail()->message);
    }
    return false;
}

static uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* ---- Files */

static os_folder open_folder(const char *path) {
    os_folder folder;
    if (os_folder_open(path, &folder)) abort();
    return folder;
}

static bool read_file(const os_folder *folder, struct file *file) {
    int fd;
    size_t got;
    if (os_file_open(folder, file->name, OS_READ, &fd)) return false;
    if (os_file_size(fd, &file->size)) abort();
    file->bytes = malloc((size_t)file->size + 1);
    if (!file->bytes || os_file_read(fd, file->bytes, (size_t)file->size, 0, &got)) abort();
    return os_file_close(fd) == 0;
}

static int add_file(void *context, const char *name) {
    image *to = context;
    if (strcmp(name, LOCK_NAME) != 0) {
        (void)snprintf(to->files[to->count++].name, FILE_NAME_BYTES, "%s", name);
    }
    return 0;
}

static void take_image(image *to) {
    os_folder folder = open_folder(STORE);
    to->count = 0;
    (void)os_folder_list(&folder, add_file, to);
    for (size_t i = 0; i < to->count; i++) {
        if (!read_file(&folder, &to->files[i])) abort();
    }
}

static void put_image(const image *from, bool record) {
    sim_begin(record);
    for (size_t i = 0; i < from->count; i++) {
        sim_put_bytes(sim_put_file(from->files[i].name), from->files[i].bytes, from->files[i].size);
    }
}

static bool is_in(const struct file *file, const char *path) {
    os_folder folder;
    struct file found;
    if (os_folder_open(path, &folder)) return false;
    memcpy(found.name, file->name, sizeof found.name);
    if (!read_file(&folder, &found)) return false;
    bool same =
        found.size == file->size && memcmp(found.bytes, file->bytes, (size_t)file->size) == 0;
    free(found.bytes);
    return same;
}

static bool is_somewhere(const struct file *file) {
    char path[64];
    if (is_in(file, STORE)) return true;
    for (unsigned n = 1; n <= 4; n++) {
        (void)snprintf(path, sizeof path, STORE "/damaged-%u", n);
        if (is_in(file, path)) return true;
    }
    return false;
}

/* ---- Damaged folders */

static pkv_config config_of(pkv_keys keys) {
    return (pkv_config){.keys = keys,
                        .memory_shards = 4,
                        .snapshot_shard_bytes = 500,
                        .snapshot_threads = 1,
                        .snapshot_interval = PKV_SNAPSHOT_NEVER};
}

static void fill(pkv *store, unsigned round) {
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16], value[400] = "";
        int size = snprintf(key, sizeof key, "key %u", i);
        memset(value, 'a' + (int)(i + round) % 26, sizeof value);
        pkv_bytes name = {key, (size_t)size}, bytes = {value, mix(i * 7 + round) % sizeof value};
        if (i % 9 == round) {
            (void)pkv_unset(store, name);
        } else if (pkv_set(store, name, bytes)) {
            abort();
        }
    }
}

static pkv *make_store(uint32_t wal_shards, unsigned snapshots) {
    pkv *store;
    pkv_config config = config_of(PKV_KEYS_VARIABLE);
    config.wal_shards = wal_shards;
    sim_begin(false);
    if (pkv_open(STORE, &config, &store)) abort();
    for (unsigned round = 0; round <= snapshots; round++) {
        fill(store, round);
        if (round < snapshots && pkv_snapshot(store)) abort();
    }
    return store;
}

/* Changes some bytes in the middle of the files whose names contain `part`. */
static void damage(const char *part) {
    image all;
    os_folder folder = open_folder(STORE);
    take_image(&all);
    for (size_t i = 0; i < all.count; i++) {
        int fd;
        struct file *file = &all.files[i];
        if (strstr(file->name, part) && file->size > 10) {
            if (os_file_open(&folder, file->name, OS_WRITE, &fd)) abort();
            if (os_file_write(fd, "damage", 6, file->size / 2)) abort();
            (void)os_file_close(fd);
        }
        free(file->bytes);
    }
}

static void make_sound(void) {
    if (pkv_close(make_store(1, 1))) abort();
}

static void make_damaged_log(void) {
    if (pkv_close(make_store(2, 0))) abort();
    damage("diff");
}

static void make_damaged_snapshot(void) {
    if (pkv_close(make_store(2, 3))) abort();
    damage("full");
}

static void make_without_manifest(void) {
    if (pkv_close(make_store(1, 2))) abort();
    os_folder folder = open_folder(STORE);
    if (os_unlink(&folder, MANIFEST_NAME)) abort();
    damage("diff");
}

static void make_damaged_manifest(void) {
    if (pkv_close(make_store(3, 1))) abort();
    damage(MANIFEST_NAME);
}

/* As a process leaves it that dies. */
static void make_killed(void) {
    image left;
    pkv *store = make_store(2, 1);
    take_image(&left);
    if (pkv_close(store)) abort();
    put_image(&left, false);
    for (size_t i = 0; i < left.count; i++) free(left.files[i].bytes);
}

static void make_crates(void) {
    static const uint8_t record[] = "\x0d\x0a\x02k0\x12\x07value k0";
    uint8_t bytes[20 * 14];
    sim_begin(false);
    for (unsigned i = 0; i < 20; i++) {
        memcpy(bytes + i * 14, record, 14);
        bytes[i * 14 + 4] = (uint8_t)('a' + i);
    }
    sim_put_bytes(sim_put_file("snapshot_1_0-of-1_diff.bin"), bytes, sizeof bytes);
    damage("diff");
}

/* ---- Judging */

static content look(pkv_keys keys) {
    pkv *store = NULL;
    pkv_cursor *cursor = NULL;
    pkv_entry entry;
    pkv_config config = config_of(keys);
    content found = {.status = pkv_open(STORE, &config, &store)};
    if (found.status) return found;
    found.status = pkv_cursor_open(store, &cursor);
    while (!found.status && pkv_cursor_next(cursor, &entry) == PKV_OK) {
        uint64_t sum = 0;
        for (size_t i = 0; i < entry.key.size; i++) {
            sum = mix(sum + ((const uint8_t *)entry.key.data)[i]);
        }
        for (size_t i = 0; i < entry.value.size; i++) {
            sum = mix(sum + ((const uint8_t *)entry.value.data)[i]);
        }
        found.count++;
        found.sum += sum;
    }
    pkv_cursor_close(cursor);
    if (pkv_close(store)) found.status = PKV_IO;
    return found;
}

static bool is_same(const content *a, const content *b) {
    return a->status == b->status && a->count == b->count && a->sum == b->sum;
}

static uint64_t missing; /* files that the latest repair could not read */

static pkv_status repair(const scene *s) {
    pkv_repair_report report;
    pkv_repair_options options = {.in_place = 1, .keys = s->keys};
    pkv_status status = pkv_repair(STORE, &options, NULL, NULL, &report);
    missing = report.missing;
    return status;
}

static bool has_old_files(const scene *s) {
    for (size_t i = 0; i < s->old.count; i++) {
        if (!is_somewhere(&s->old.files[i])) return false;
    }
    return true;
}

static bool can_check(void) {
    pkv_check_report report;
    pkv_status status = pkv_check(STORE, NULL, NULL, &report);
    return status == PKV_OK || status == PKV_CORRUPT;
}

/* ---- Cutting */

static const sim_cut cuts[] = {
    {SIM_ALL, SIM_ALL, SIM_ALL, 0},         {SIM_NONE, SIM_NONE, SIM_NONE, 0},
    {SIM_ALL, SIM_ALL, SIM_NONE, 0},        {SIM_NONE, SIM_ALL, SIM_ALL, 0},
    {SIM_ALL, SIM_NONE, SIM_ALL, 0},        {SIM_ALL, SIM_ALL, SIM_ODD, 0},
    {SIM_ALL, SIM_ALL, SIM_EVEN, 0},        {SIM_ALL, SIM_LATE, SIM_LATE, 0},
    {SIM_ALL, SIM_ODD, SIM_ALL, 0},         {SIM_ALL, SIM_EVEN, SIM_ALL, 0},
    {SIM_BY_NAME, SIM_ALL, SIM_ALL, 1},     {SIM_BY_NAME, SIM_NONE, SIM_NONE, 2},
    {SIM_BY_NAME, SIM_ALL, SIM_RANDOM, 3},  {SIM_RANDOM, SIM_ALL, SIM_ALL, 4},
    {SIM_RANDOM, SIM_RANDOM, SIM_RANDOM, 5}};
#define CUT_COUNT (sizeof cuts / sizeof *cuts)

static void explore(const scene *s, const sim_journal *journal, size_t first, int depth);

/* Open only, as a program would; then, from the same cut, all else. */
static void cut_once(const scene *s, sim_replay *replay, size_t event, unsigned number, int depth) {
    sim_cut cut = cuts[number];
    cut.seed = mix(cut.seed + event);
    bool nest = depth == 0 && mix(event * CUT_COUNT + number) % NEST == 0;
    sim_replay_cut(replay, cut, false);
    content found = look(s->keys);
    bool refused = found.status == PKV_CORRUPT;
    bool known = refused || is_same(&found, &s->before) || is_same(&found, &s->after);
    states++;
    nested += depth > 0;
    check(known, s, "it opens, and shows something else", event, number);

    sim_replay_cut(replay, cut, nest);
    size_t first = sim_now();
    check(has_old_files(s), s, "an old file is lost", event, number);
    check(can_check(), s, "it cannot be checked", event, number);
    bool good = check(repair(s) == PKV_OK, s, "it cannot be repaired", event, number);
    if (nest) {
        sim_journal journal = sim_end();
        explore(s, &journal, first, depth + 1);
        sim_journal_release(&journal);
        return;
    }
    good = good && check(has_old_files(s), s, "the repair has lost an old file", event, number);
    if (!good) return;
    found = look(s->keys);
    check(is_same(&found, &s->after), s, "the repair leads to something else", event, number);
}

static void explore(const scene *s, const sim_journal *journal, size_t first, int depth) {
    sim_replay *replay = sim_replay_new(journal);
    for (size_t event = first; event <= journal->count; event++) {
        if (STRIDE > 1 && mix(event) % STRIDE > 0) continue;
        sim_replay_to(replay, event);
        unsigned count = sim_replay_pending(replay) ? CUT_COUNT : 1;
        for (unsigned i = 0; i < count; i++) cut_once(s, replay, event, i, depth);
    }
    sim_replay_free(replay);
}

/* ---- Failing calls */

/* A file that cannot be read is left out, and told of. True if there was such a call. */
static bool fail_once(const scene *s, unsigned call, bool ever) {
    put_image(&s->old, false);
    sim_fail(call, EIO, ever);
    pkv_status status = repair(s);
    bool met = sim_failures() > 0;
    sim_fail(0, 0, false);
    errors += met;
    check(met || !status, s, "it fails without a reason", call, 0);
    check(has_old_files(s), s, "an old file is lost where a call fails", call, 0);
    if (status) check(repair(s) == PKV_OK, s, "it cannot be repaired after all", call, 0);
    content found = look(s->keys);
    bool same = is_same(&found, &s->after) || (found.status == PKV_OK && missing > 0);
    check(same, s, "it is not what it should be", call, 0);
    return met;
}

/* ---- Scenes */

static void run(scene *s) {
    int before = failed;
    s->make();
    take_image(&s->old);
    s->before = look(s->keys);
    put_image(&s->old, true);
    size_t first = sim_now();
    check(repair(s) == PKV_OK, s, "it cannot be repaired", 0, 0);
    sim_journal journal = sim_end();
    s->after = look(s->keys);
    check(s->after.status == PKV_OK && s->after.count > 0, s, "it does not open", 0, 0);
    explore(s, &journal, first, 0);
    sim_journal_release(&journal);
    for (unsigned ever = 0; ever < 2; ever++) {
        unsigned call = 1;
        while (failed == before && fail_once(s, call, ever)) call += STRIDE;
    }
    for (size_t i = 0; i < s->old.count; i++) free(s->old.files[i].bytes);
    passed += failed == before;
}

int main(void) {
    static scene scenes[] = {
        {.name = "a sound store", .make = make_sound},
        {.name = "damaged logs", .make = make_damaged_log},
        {.name = "damaged snapshots", .make = make_damaged_snapshot},
        {.name = "no manifest", .make = make_without_manifest, .keys = PKV_KEYS_VARIABLE},
        {.name = "a damaged manifest", .make = make_damaged_manifest, .keys = PKV_KEYS_VARIABLE},
        {.name = "a store that was not closed", .make = make_killed},
        {.name = "a damaged folder of the crate's",
         .make = make_crates,
         .keys = PKV_KEYS_VARIABLE}};
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) run(&scenes[i]);
    printf("%zu power cuts, %zu of them in a second repair; %zu failing calls\n", states, nested,
           errors);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
