/* fault_folder_check.c - a call fails, any one, once, while a folder is opened, checked or cleaned
 * up that a process which died, a power loss, or another program left: the failure is told, and
 * the next open finds what was to be found. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../src/disk/manifest.pb-c.h"
#include "../../src/pkv.h"
#include "../../src/pkv_protobuf.h"
#include "effort.h"
#include "fault_messages.h"
#include "failing_calls.h"

#define KEYS      40
#define CALL_STEP EFFORT(1u, 3u, 1u, 3u, 7u)

typedef struct fault {
    const char *call;
    int error;
} fault;

static const fault faults[] = {
    {"fdatasync", EIO},
    {"fsync", EIO},
    {"fallocate", ENOSPC},
    {"ftruncate", EIO},
    {"renameat", EIO},
    {"unlinkat", EIO},
    {"mkdir", ENOSPC},
    {"pwrite", ENOSPC},
    {"pwrite", EIO},
    {"close", EIO},
    {"openat", EMFILE},
    {"openat", ENOMEM},
    {"pread", EIO},
    {"fstat", EIO},
    {"fdopendir", ENOMEM},
    {"readdir", EIO},
    {"flock", ENOLCK},
    {"fstatfs", EIO},
    {"MADV_POPULATE_WRITE", EFAULT},
    {"mmap", ENOMEM},
    {"mprotect", ENOMEM},
    {"pthread_create", EAGAIN},
    {"pthread_mutex_init", ENOMEM},
    {"pthread_cond_init", ENOMEM},
    {"pthread_rwlock_init", ENOMEM},
    {"memory", ENOMEM},
};

static int passed, failed;
static char folder[64], path[80];

static char doing[160];

static void check(bool ok, const char *what) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s: %s: %s\n", doing, what, pkv_error_detail()->message);
}

static void must(bool ok, const char *what) {
    if (ok) return;
    printf("not ok: %s: %s\n0 passed, 1 failed\n", what, pkv_error_detail()->message);
    exit(1);
}

static void run(const char *command) {
    must(system(command) == 0, command);
}

/* What runs often needs no shell. */

static void copy_file(const char *from, const char *to) {
    static char bytes[1 << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    must(in && out, from);
    size_t size = fread(bytes, 1, sizeof bytes, in);
    must(size < sizeof bytes && fwrite(bytes, 1, size, out) == size, from);
    must(fclose(in) == 0 && fclose(out) == 0, from);
}

static void copy_folder(const char *from, const char *to) {
    DIR *names = opendir(from);
    must(names && mkdir(to, 0700) == 0, from);
    const struct dirent *entry;
    while ((entry = readdir(names))) {
        char old[300], new[300];
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(old, sizeof old, "%.20s/%s", from, entry->d_name);
        (void)snprintf(new, sizeof new, "%.20s/%s", to, entry->d_name);
        (entry->d_type == DT_DIR ? copy_folder : copy_file)(old, new);
    }
    (void)closedir(names);
}

static int remove_one(const char *name, const struct stat *facts, int type, struct FTW *walk) {
    (void)facts, (void)type, (void)walk;
    return remove(name);
}

static void remove_folder(const char *name) {
    (void)nftw(name, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- Contents */

static uint32_t log_shards;
static uint64_t snapshot_bytes; /* of each of its files */

static pkv *open_store(const char *where, pkv_choice create) {
    pkv *store = NULL;
    pkv_config config = {.create = create,
                         .keys = PKV_KEYS_FIXED,
                         .key_type = PKV_I64,
                         .wal_shards = log_shards,
                         .snapshot_threads = 1,
                         .snapshot_shard_bytes = snapshot_bytes,
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

/* A snapshot, backups, a log that was not closed, what is left of a snapshot, and of a rotation;
 * several files of each kind. */
static void leave_dead_process(void) {
    log_shards = 2;
    snapshot_bytes = 600;
    pkv *store = open_store("store", PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    for (int value = 0; value <= 3; value++) {
        set_all(store, value);
        if (value < 3) must(pkv_snapshot(store) == PKV_OK, "snapshot");
    }
    run("cp -r store original");
    run("head -c 700000 /dev/zero >> original/snapshot_7_0-of-2_diff.bin"); /* room for more */
    run("echo rubbish > original/snapshot_8_0-of-1_pending.bin");
    run("head -c 5000 /dev/zero > original/snapshot_9_0-of-1_diff.bin");
    must(pkv_close(store) == PKV_OK, "close");
}

/* Of two logs, the first has lost its last record: the last key is odd. */
static void leave_hole(void) {
    log_shards = 1;
    snapshot_bytes = 0;
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
    log_shards = 2;
    snapshot_bytes = 600;
    pkv *store = open_store("store", PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    set_all(store, 1);
    must(pkv_snapshot(store) == PKV_OK, "snapshot");
    set_all(store, 3);
    must(pkv_close(store) == PKV_OK, "close");
    run("cp -r store original && rm original/manifest original/lockfile");
    run("echo rubbish > original/snapshot_8_0-of-1_pending.bin");
}

/* A repair in place that has moved some of the old files. */
static void leave_interrupted(void) {
    leave_dead_process();
    remove_folder("store");
    run("mv original store");
    fail_from("renameat", EIO, 5, 1);
    pkv_repair_report report;
    pkv_repair_options options = {.in_place = 1};
    must(pkv_repair(path, &options, NULL, NULL, &report) == PKV_IO, "a repair that fails");
    heal();
    run("cp -r store original");
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

static void hear_finding(void *context, const pkv_finding *finding) {
    (void)context;
    hear(finding->message);
}

static pkv_check_report checked; /* by the last check, if it found a sound store */

static pkv_status check_it(void) {
    return pkv_check(path, hear_finding, NULL, &checked);
}

static pkv_status prune_it(void) {
    uint64_t removed;
    return pkv_prune_backups(path, 0, &removed);
}

static pkv_status delete_pending_of_it(void) {
    uint64_t removed;
    return pkv_delete_failed_pending_snapshots(path, &removed);
}

static pkv_repair_options repair_options(void) {
    return (pkv_repair_options){.keys = PKV_KEYS_FIXED, .key_type = PKV_I64};
}

static bool lossless; /* as the last repair says */

static pkv_status repair(const pkv_repair_options *options) {
    pkv_repair_report report;
    pkv_status status = pkv_repair(path, options, hear_finding, NULL, &report);
    lossless = !status && report.missing + report.skipped == 0;
    return status;
}

static pkv_status repair_it(void) {
    pkv_repair_options options = repair_options();
    options.with_backups = 1;
    return repair(&options);
}

static pkv_status repair_it_in_place(void) {
    pkv_repair_options options = repair_options();
    options.in_place = 1;
    return repair(&options);
}

/* ---- What must be there then */

typedef struct scene {
    const char *name;
    void (*leave)(void);
    int odd;      /* so many keys have another value than 3 */
    int repaired; /* what all have once it is repaired, which also takes what is behind a hole */
} scene;

#define INTERRUPTED "an interrupted repair"

static const scene scenes[] = {{"a process that died", leave_dead_process, 0, 3},
                               {"a log that lost its end", leave_hole, 1, 4},
                               {"files without a manifest", leave_foreign, 0, 3},
                               {INTERRUPTED, leave_interrupted, KEYS, 3}};

/* NULL, or what is wrong with the store. So many keys, at least, must have the value. */
static const char *judge(const char *where, int value, int count) {
    uint64_t removed;
    if (pkv_prune_backups(where, KEYS, &removed)) return "it is open still, or not to be opened";
    pkv *store = open_store(where, PKV_NO);
    if (!store) return "it does not open any more";
    bool whole = count_of(store, value) >= count;
    set_all(store, 5);
    if (pkv_close(store)) return "it does not close";
    return whole ? NULL : "something is lost";
}

static const char *judge_opened(const scene *s, pkv_status status) {
    (void)status;
    return judge(path, 3, KEYS - s->odd);
}

/* What could not be read is lost, and told. */
static const char *judge_repaired(const scene *s, pkv_status status) {
    char output[sizeof path + 16];
    (void)snprintf(output, sizeof output, "%s.repaired", path);
    pkv *store = open_store(output, PKV_NO);
    bool whole = store && count_of(store, s->repaired) == KEYS;
    if (store && pkv_close(store)) return "the repaired store does not close";
    remove_folder("store.repaired");
    if (!status && !store) return "the repaired store does not open";
    if (!whole && (status ? store != NULL : lossless)) return "the repaired store is not whole";
    return judge_opened(s, status);
}

/* What was interrupted is ended by another repair. */
static const char *judge_repaired_in_place(const scene *s, pkv_status status) {
    bool told = !status && !lossless;
    if (told) return judge(path, s->repaired, 0);
    if (!status) return judge(path, s->repaired, KEYS);
    pkv *store = open_store(path, PKV_NO);
    bool repaired = store && count_of(store, s->repaired) == KEYS;
    if (store && pkv_close(store)) return "it does not close";
    if (store) return judge(path, repaired ? s->repaired : 3, repaired ? KEYS : KEYS - s->odd);
    if (repair_it_in_place()) return "a second repair fails";
    return judge(path, s->repaired, KEYS);
}

/* A check that calls a store sound has read all of it. */
static const char *judge_checked(const scene *s, pkv_status status) {
    pkv_check_report before = checked;
    if (!status && check_it()) return "it is not sound any more";
    bool whole = before.files == checked.files && before.records == checked.records &&
                 before.bytes == checked.bytes;
    if (!status && !whole) return "it is said to be sound, and was not read";
    return judge_opened(s, status);
}

typedef struct action {
    const char *name;
    pkv_status (*act)(void);
    const char *(*judge)(const scene *s, pkv_status status);
} action;

static const action actions[] = {{"open", open_it, judge_opened},
                                 {"use", use_it, judge_opened},
                                 {"check", check_it, judge_checked},
                                 {"prune", prune_it, judge_opened},
                                 {"delete pending", delete_pending_of_it, judge_opened},
                                 {"repair", repair_it, judge_repaired},
                                 {"repair in place", repair_it_in_place, judge_repaired_in_place}};

/* True if there was such a call. */
static bool run_once(const scene *s, const action *a, const fault *f, unsigned call) {
    (void)snprintf(doing, sizeof doing, "%s, %s, %s %d, call %u", s->name, a->name, f->call,
                   f->error, call);
    remove_folder("store");
    copy_folder("original", "store");
    fail_from(f->call, f->error, call, 1);
    pkv_status status = a->act();
    bool met = probe_met() > 0;
    heal();
    check(met || !status, "it fails though no call does");
    const char *wrong = a->judge(s, status);
    check(!wrong, wrong ? wrong : "");
    return met;
}

static void run_scene(const scene *s) {
    s->leave();
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        /* Nothing else can be done with it. */
        if (strcmp(s->name, INTERRUPTED) == 0 && actions[i].act != repair_it_in_place) continue;
        for (size_t f = 0; f < sizeof faults / sizeof *faults; f++) {
            for (unsigned call = 1; run_once(s, &actions[i], &faults[f], call); call += CALL_STEP) {
            }
        }
    }
    remove_folder("store");
    remove_folder("original");
}

/* A close that cannot take back what a failed snapshot has listed: the manifest stays true. */
static void close_fails(void) {
    (void)snprintf(doing, sizeof doing, "a close behind a snapshot, both of which fail");
    log_shards = 2;
    pkv *store = open_store(path, PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    set_all(store, 1);
    fail_from("fallocate", ENOSPC, 1, PROBE_EVER);
    check(pkv_snapshot(store) == PKV_NO_SPACE, "no room for a log, which is listed");
    fail_from("renameat", EIO, 1, PROBE_EVER);
    check(pkv_close(store) == PKV_IO, "nor can it be taken off the list");
    heal();
    store = open_store(path, PKV_NO);
    must(store != NULL, "open");
    check(count_of(store, 1) == KEYS, "a reopen finds everything");
    check(pkv_snapshot(store) == PKV_OK && pkv_close(store) == PKV_OK, "goes on");
    remove_folder("store");
}

/* More than a buffer holds: the new file's disk fails while old files are read, which are sound. */
static void output_fails(void) {
    static char bytes[1 << 20];
    const char *output = "store.repaired";
    (void)snprintf(doing, sizeof doing, "a repair whose output cannot be written");
    pkv *store = open_store("store", PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    for (int64_t key = 1; key <= 2; key++) {
        pkv_bytes name = {&key, sizeof key}, value = {bytes, sizeof bytes};
        check(pkv_set(store, name, value) == PKV_OK, "a large value");
    }
    check(pkv_close(store) == PKV_OK, "close");
    pkv_repair_options options = repair_options();
    pkv_repair_report report;
    fail_from("pwrite", EIO, 1, PROBE_EVER);
    check(pkv_repair(path, &options, NULL, NULL, &report) == PKV_IO, "is told");
    check(report.missing == 0 && report.skipped == 0, "nothing is said to be lost");
    heal();
    remove_folder(output);
    check(repair(&options) == PKV_OK && lossless, "nothing is lost when it can");
    store = open_store(output, PKV_NO);
    uint64_t count = 0;
    must(store != NULL, "open");
    check(pkv_count(store, &count) == PKV_OK && count == 2, "both are there");
    check(pkv_close(store) == PKV_OK, "close");
    remove_folder("store");
    remove_folder(output);
}

/* Another program removes a snapshot's file, or cuts it, before it is read back. */
static bool cuts;

static void meddle(const char *call) {
    char name[200];
    if (strncmp(call, "sync snapshot_", 14) != 0 || !strstr(call, "pending")) return;
    (void)snprintf(name, sizeof name, "store/%s", call + 5);
    if (cuts ? truncate(name, 20) : remove(name)) abort();
}

static void snapshot_is_lost(void) {
    (void)snprintf(doing, sizeof doing, "a snapshot's file is lost while it is written");
    pkv *store = open_store(path, PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    set_all(store, 1);
    for (int i = 0; i < 2; i++) {
        cuts = i;
        probe_on_call(meddle);
        check(pkv_snapshot(store) == PKV_IO, "that is told");
        probe_on_call(NULL);
    }
    check(pkv_close(store) == PKV_OK, "close");
    store = open_store(path, PKV_NO);
    must(store != NULL, "open");
    check(count_of(store, 1) == KEYS && pkv_close(store) == PKV_OK, "nothing is lost");
    remove_folder("store");
}

/* A protobuf message has no memory to be packed in, or to be read into, which is told. */
static void messages_need_memory(void) {
    static char large[5000];
    ProtobufCMessage *got;
    Pkv__Manifest message = PKV__MANIFEST__INIT;
    unsigned char bytes[8];
    (void)snprintf(doing, sizeof doing, "protobuf messages");
    pkv *store = open_store(path, PKV_CHOICE_DEFAULT);
    must(store != NULL, "open");
    pkv_bytes key = key_bytes(bytes, 1), value = {large, sizeof large};
    check(pkv_set(store, key, value) == PKV_OK, "set");
    fail_from("memory", ENOMEM, 1, 1);
    pkv_status set = pkv_set_message(store, key, &message.base);
    bool met = probe_met() > 0; /* sanitizers have an allocator of their own */
    fail_from("memory", ENOMEM, 1, 1);
    pkv_status status = pkv_get_message(store, key, &pkv__manifest__descriptor, NULL, &got);
    heal();
    if (!status) protobuf_c_message_free_unpacked(got, NULL);
    check(!met || (set == PKV_NO_MEMORY && status == PKV_NO_MEMORY), "that is told");
    check(pkv_close(store) == PKV_OK, "close");
    remove_folder("store");
}

int main(void) {
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(folder, sizeof folder, "%s/pkv-fault-XXXXXX", parent);
    if (!mkdtemp(folder)) return 1;
    listen_for_messages("spec/messages/fault_folder_check.txt", folder);
    if (chdir(folder) != 0) return 1;
    (void)snprintf(path, sizeof path, "%s/store", folder);
    close_fails();
    output_fails();
    snapshot_is_lost();
    messages_need_memory();
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) run_scene(&scenes[i]);
    failed += wrong_messages(CALL_STEP == 1);
    (void)rmdir(folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
