/* fault_folder_check.c - a call fails, any one, once, while a folder is opened, checked or cleaned
 * up that a process which died, a power loss, or another program left: the failure is told, and
 * the next open finds what was to be found. */
#include "failing_calls.h"

#include <stdio.h>
#include <string.h>
#include "../../src/pkv.h"

#define KEYS 100

static int passed, failed;
static char folder[64], path[80];

static void check(bool ok, const char *scene, const char *what, call_kind kind, int call) {
    ok ? passed++ : failed++;
    if (ok) return;
    printf("not ok: %s: %s (call %d of kind %d): %s\n", scene, what, call, (int)kind,
           pkv_error_detail()->message);
}

static void must(bool ok, const char *what) {
    if (ok) return;
    printf("not ok: %s: %s\n0 passed, 1 failed\n", what, pkv_error_detail()->message);
    exit(1);
}

static void run(const char *command) {
    char line[400];
    (void)snprintf(line, sizeof line, "cd %s && %s", folder, command);
    must(system(line) == 0, command);
}

/* ---- Contents */

static pkv *open_store(const char *where, pkv_choice create) {
    pkv *store = NULL;
    pkv_config config = {.create = create,
                         .keys = PKV_KEYS_FIXED,
                         .key_type = PKV_I64,
                         .wal_shards = 1,
                         .snapshot_threads = 1,
                         .keep_backups = 3,
                         .snapshot_interval = PKV_SNAPSHOT_NEVER};
    return pkv_open(where, &config, &store) ? NULL : store;
}

static pkv_bytes key_bytes(unsigned char bytes[8], int key) {
    (void)pkv_integer_key(PKV_I64, key, bytes);
    return (pkv_bytes){bytes, 8};
}

static void set_all(pkv *store, int value) {
    for (int key = 0; key < KEYS; key++) {
        unsigned char bytes[8];
        must(pkv_set(store, key_bytes(bytes, key), (pkv_bytes){&value, sizeof value}) == PKV_OK,
             "set");
    }
}

/* How many keys have the value. */
static int count_of(pkv *store, int value) {
    int count = 0;
    for (int key = 0; key < KEYS; key++) {
        unsigned char bytes[8];
        int got = 0;
        size_t size = 0;
        pkv_status status = pkv_get(store, key_bytes(bytes, key), &got, sizeof got, &size);
        count += status == PKV_OK && size == sizeof got && got == value;
    }
    return count;
}

/* ---- What is found: each makes `original`, in which all keys but `odd` have the value 3 */

/* A snapshot, backups, a log that was not closed, what is left of a snapshot, and of a rotation. */
static void leave_dead_process(void) {
    pkv *store = open_store("store", PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    for (int value = 1; value <= 3; value++) {
        set_all(store, value);
        if (value < 3) must(pkv_snapshot(store) == PKV_OK, "snapshot");
    }
    run("cp -r store original");
    run("head -c 700000 /dev/zero >> original/snapshot_5_0-of-1_diff.bin"); /* room for more */
    run("echo rubbish > original/snapshot_8_0-of-1_pending.bin");
    run("head -c 5000 /dev/zero > original/snapshot_9_0-of-1_diff.bin");
    must(pkv_close(store) == PKV_OK, "close");
}

/* Of two logs, the first has lost its last record: key 99 is odd. */
static void leave_hole(void) {
    pkv *store = open_store("store", PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    set_all(store, 1);
    set_all(store, 3);
    run("mkdir store/snapshot_2_0-of-1_pending.bin");
    must(pkv_snapshot(store) != PKV_OK, "a snapshot that fails behind the rotation");
    set_all(store, 4);
    run("cp -r store original && rmdir original/*pending.bin");
    run("truncate -s -1 original/snapshot_1_0-of-1_diff.bin");
    must(pkv_close(store) == PKV_OK, "close");
}

/* No manifest: the files are taken for the crate's. */
static void leave_foreign(void) {
    pkv *store = open_store("store", PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    set_all(store, 1);
    must(pkv_snapshot(store) == PKV_OK, "snapshot");
    set_all(store, 3);
    must(pkv_close(store) == PKV_OK, "close");
    run("cp -r store original && rm original/manifest original/lockfile");
    run("echo rubbish > original/snapshot_8_0-of-1_pending.bin");
}

/* ---- What is done with it */

static pkv_status open_it(void) {
    pkv *store = open_store(path, PKV_NO);
    return store ? pkv_close(store) : pkv_error_detail()->status;
}

static pkv_status step_through(pkv_cursor *cursor) {
    pkv_entry entry;
    pkv_status status;
    do {
        status = pkv_cursor_next(cursor, &entry);
    } while (!status);
    pkv_cursor_close(cursor);
    return status == PKV_NOT_FOUND ? PKV_OK : status;
}

/* Iterates, and drains, which closes whatever happens. */
static pkv_status use_it(void) {
    pkv *store = open_store(path, PKV_NO);
    pkv_cursor *cursor = NULL;
    if (!store) return pkv_error_detail()->status;
    pkv_status status = pkv_cursor_open(store, &cursor);
    if (!status) status = step_through(cursor);
    pkv_status drained = pkv_drain(store, &cursor);
    if (!drained) drained = step_through(cursor);
    return status ? status : drained;
}

static pkv_status check_it(void) {
    pkv_check_report report;
    return pkv_check(path, NULL, NULL, &report);
}

static pkv_status prune_it(void) {
    uint64_t removed;
    return pkv_prune_backups(path, 0, &removed);
}

static pkv_status delete_pending_of_it(void) {
    uint64_t removed;
    return pkv_delete_failed_pending_snapshots(path, &removed);
}

typedef struct scene {
    const char *name;
    void (*leave)(void);
    int odd; /* so many keys have another value than 3 */
} scene;

static const scene scenes[] = {{"a process that died", leave_dead_process, 0},
                               {"a log that lost its end", leave_hole, 1},
                               {"files without a manifest", leave_foreign, 0}};

typedef struct action {
    const char *name;
    pkv_status (*act)(void);
} action;

static const action actions[] = {{"open", open_it},
                                 {"use", use_it},
                                 {"check", check_it},
                                 {"prune", prune_it},
                                 {"delete pending", delete_pending_of_it}};

/* A check cannot do without any of these; an open tries to clean up, too, whatever comes of it. */
static bool must_be_told(const action *a, call_kind kind) {
    bool reads = kind == READ || kind == OPEN || kind == STAT || kind == LOCK || kind == LIST;
    return reads && a->act == check_it;
}

/* True if there was such a call. */
static bool run_once(const scene *s, const action *a, call_kind kind, int call) {
    char what[120];
    (void)snprintf(what, sizeof what, "%s, %s", s->name, a->name);
    run("rm -rf store && cp -r original store");
    fail_from(kind, call, 1);
    pkv_status status = a->act();
    bool met = atomic_load(&failures) > 0;
    heal();
    check(met || !status, what, "it fails though no call does", kind, call);
    check(status || !met || !must_be_told(a, kind), what, "a failing call is not told", kind, call);
    uint64_t removed;
    check(pkv_prune_backups(path, KEYS, &removed) == PKV_OK, what, "it stays open", kind, call);
    pkv *store = open_store(path, PKV_NO);
    check(store != NULL, what, "it does not open any more", kind, call);
    if (!store) return met;
    check(count_of(store, 3) == KEYS - s->odd, what, "something is lost", kind, call);
    set_all(store, 5);
    check(pkv_close(store) == PKV_OK, what, "it does not close", kind, call);
    return met;
}

/* A close that cannot take back what a failed snapshot has listed: the manifest stays true. */
static void close_fails(void) {
    static const char when[] = "close";
    pkv *store = open_store(path, PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    set_all(store, 1);
    fail_from(ALLOCATE, 1, EVER);
    check(pkv_snapshot(store) == PKV_NO_SPACE, when, "no room for a log, which is listed", 0, 0);
    fail_from(RENAME, 1, EVER);
    check(pkv_close(store) == PKV_IO, when, "nor can it be taken off the list", 0, 0);
    heal();
    store = open_store(path, PKV_NO);
    must(store != NULL, "open");
    check(count_of(store, 1) == KEYS, when, "a reopen finds everything", 0, 0);
    check(pkv_snapshot(store) == PKV_OK && pkv_close(store) == PKV_OK, when, "goes on", 0, 0);
    run("rm -rf store");
}

static void run_scene(const scene *s) {
    s->leave();
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        for (call_kind kind = FLUSH; kind < KINDS_HERE; kind++) {
            for (int call = 1; run_once(s, &actions[i], kind, call); call++) {
            }
        }
    }
    run("rm -rf store original");
}

int main(void) {
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(folder, sizeof folder, "%s/pkv-fault-XXXXXX", parent);
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    (void)snprintf(path, sizeof path, "%s/store", folder);
    close_fails();
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) run_scene(&scenes[i]);
    (void)rmdir(folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
