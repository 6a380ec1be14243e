/* disk_check.c - parts of src/disk by themselves, where the store as a whole comes by too seldom: a
 * log whose calls fail while records wait to be written, a log that outgrows its mapping, a writer
 * who is held up half-way, pending snapshot files that do not read back. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../src/bytes/limits.h"
#include "../../src/disk/log_file.h"
#include "../../src/disk/reader.h"
#include "../../src/disk/snapshot.h"
#include "../../src/disk/wal.h"
#include "../../src/os/error.h"
#include "failing_calls.h"

#define SALT 7

static int passed, failed;
static char path[80];
static os_folder folder;

static void check(bool ok, const char *what) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s: %s\n", what, pkv_error_detail()->message);
}

static bool says(const char *text) {
    return strstr(pkv_error_detail()->message, text) != NULL;
}

/* ---- Records: key `i` has `size` bytes */

static record record_of(uint32_t *key, size_t size) {
    static const uint8_t value[1 << 20];
    return (record){.key = {key, sizeof *key}, .value = {value, size}};
}

/* How many records the file has, up to the first that is none, or not in its place. */
static uint32_t count_records(uint64_t ordinal, uint32_t shard, uint32_t shards) {
    file_name name = {ordinal, shard, shards, FILE_DIFF};
    reader in;
    reader_batch batch = {.ended = RECORD_OK};
    uint32_t count = 0;
    if (reader_open(&in, &folder, &name, RECORD_OURS, SALT)) return UINT32_MAX;
    while (batch.ended == RECORD_OK && reader_next(&in, &batch) == PKV_OK) {
        for (size_t i = 0; i < batch.count; i++) {
            uint32_t key;
            memcpy(&key, batch.entries[i].key.data, sizeof key);
            if (key == count) count++;
        }
    }
    reader_close(&in);
    return count;
}

/* ---- Logs */

static void ignore_growth(void *context) {
    (void)context;
}

static wal *open_log(uint32_t shards, pkv_sync_mode sync, pkv_wal_io io) {
    static const uint64_t tails[2];
    wal *log = NULL;
    wal_options options = {
        .shard_count = shards, .sync = sync, .io = io, .salt = SALT, .grown = ignore_growth};
    check(wal_create_files(&folder, 1, shards) == PKV_OK, "create a log");
    check(wal_open(&folder, &options, 1, tails, &log) == PKV_OK, "open it");
    return log;
}

static pkv_status append(wal *log, uint32_t key, size_t size) {
    uint64_t position;
    record entry = record_of(&key, size);
    return wal_append(log, 0, &entry, &position);
}

/* A full disk meets what waits in a buffer: it is told, nothing is lost, and room puts it right. */
static void check_full_disk(void) {
    uint64_t size;
    wal *log = open_log(1, PKV_SYNC_BUFFERED, PKV_WAL_IO_PWRITE);
    check(append(log, 0, 100) == PKV_OK, "append");
    fail_from("pwrite", ENOSPC, 1, PROBE_EVER);
    check(wal_sync(log) == PKV_NO_SPACE, "a flush is told of the full disk");
    check(!wal_broken(log), "that breaks nothing");
    uint32_t count = 1;
    while (append(log, count, 10000) == PKV_OK) count++;
    check(pkv_error_detail()->status == PKV_NO_SPACE, "an append that has no room in the buffer");
    check(!wal_broken(log), "nor does that");
    heal();
    check(append(log, count++, 10000) == PKV_OK, "an append once there is room");
    check(wal_sync(log) == PKV_OK && count_records(1, 0, 1) == count, "all is in the file, once");
    check(append(log, count, 100) == PKV_OK, "append");
    fail_from("pwrite", ENOSPC, 1, PROBE_EVER);
    check(wal_close(log, &size) == PKV_NO_SPACE, "a close is told of the full disk");
    heal();
    check(count_records(1, 0, 1) == count, "and has cut nothing off");
    wal_remove_files(&folder, 1, 1);
}

/* What a rotation retired, and could not be written, must not be followed by what is durable. */
static void check_retired(void) {
    uint64_t sizes[1];
    wal *log = open_log(1, PKV_SYNC_BUFFERED, PKV_WAL_IO_PWRITE);
    check(append(log, 0, 100) == PKV_OK, "append");
    check(wal_create_files(&folder, 2, 1) == PKV_OK && wal_prepare(log, 2) == PKV_OK, "prepare");
    check(wal_rotate(log) == PKV_OK && append(log, 0, 100) == PKV_OK, "rotate");
    fail_from("pwrite", ENOSPC, 2, 1); /* first comes the new file's buffer */
    check(wal_sync(log) == PKV_NO_SPACE, "the retired file cannot be written");
    heal();
    check(wal_broken(log) != NULL, "that breaks the log");
    check(append(log, 1, 100) == PKV_READ_ONLY, "nothing is appended any more");
    check(wal_retire(log, sizes) == PKV_READ_ONLY, "nothing retired");
    check(wal_close(log, sizes) == PKV_READ_ONLY, "closing tells");
    wal_remove_files(&folder, 1, 1);
    wal_remove_files(&folder, 2, 1);
}

static void check_broken(void) {
    uint64_t sizes[2];
    wal *log = open_log(2, PKV_SYNC_OS, PKV_WAL_IO_DEFAULT);
    check(wal_create_files(&folder, 2, 2) == PKV_OK && wal_prepare(log, 2) == PKV_OK, "prepare");
    (void)fail(PKV_IO, "one", NO_OFFSET, EIO, "the first error");
    wal_break(log);
    (void)fail(PKV_IO, "two", NO_OFFSET, EIO, "the second error");
    wal_break(log);
    check(strcmp(wal_broken(log)->file, "one") == 0, "the first error is the one");
    check(wal_rotate(log) == PKV_READ_ONLY && says("the first error"), "no rotation any more");
    check(wal_close(log, sizes) == PKV_READ_ONLY, "closing tells");
    wal_remove_files(&folder, 1, 2);
    wal_remove_files(&folder, 2, 2);
}

static uint64_t size_on_disk(uint64_t ordinal) {
    file_name name = {ordinal, 0, 1, FILE_DIFF};
    char text[FILE_NAME_BYTES];
    uint64_t size = 0;
    int fd;
    file_name_format(&name, text);
    if (os_file_open(&folder, text, OS_READ, &fd)) return 0;
    (void)os_file_size(fd, &size);
    (void)os_file_close(fd);
    return size;
}

/* After a rotation as before it, more room is made long before all is used up: a writer who
 * overtakes the keeper waits for him. */
static void check_room_after_rotation(void) {
    uint64_t sizes[1], written = 0;
    wal *log = open_log(1, PKV_SYNC_OS, PKV_WAL_IO_DEFAULT);
    for (; written < 4 * WAL_SEGMENT_MAX; written += 1 << 20) (void)append(log, 0, 1 << 20);
    check(wal_create_files(&folder, 2, 1) == PKV_OK && wal_prepare(log, 2) == PKV_OK, "prepare");
    uint64_t room = size_on_disk(2), step = WAL_SEGMENT_MAX / 64;
    check(room >= WAL_SEGMENT_MAX, "as much room as the old file had");
    check(wal_rotate(log) == PKV_OK && wal_retire(log, sizes) == PKV_OK, "rotate");
    (void)usleep(20000); /* the keeper looks, and has nothing to do */
    for (written = 0; written < room / 8 * 5; written += step) (void)append(log, 0, step);
    for (unsigned i = 0; i < 2000 && size_on_disk(2) == room; i++) (void)usleep(1000);
    check(size_on_disk(2) > room, "the keeper makes more in time");
    check(wal_close(log, sizes) == PKV_OK, "close");
    wal_remove_files(&folder, 1, 1);
    wal_remove_files(&folder, 2, 1);
}

/* ---- A writer who is held up: the second page of his value is not to be read at first, and
 * whoever tries waits in a signal handler until he may go on. */

static uint8_t *held_page;
static int he_waits[2], go_on[2]; /* pipes */

static void hold_up(int signal, siginfo_t *info, void *context) {
    char byte = 0;
    (void)context;
    if ((uint8_t *)info->si_addr < held_page ||
        (uint8_t *)info->si_addr >= held_page + os_page_size()) {
        struct sigaction usual = {.sa_handler = SIG_DFL};
        (void)sigaction(signal, &usual, NULL);
        return; /* and meets it again */
    }
    if (write(he_waits[1], &byte, 1) != 1 || read(go_on[0], &byte, 1) != 1 ||
        mprotect(held_page, os_page_size(), PROT_READ) != 0) {
        _exit(1);
    }
}

static void *write_held(void *log) {
    uint32_t key = 0;
    uint64_t position;
    record entry = {.key = {&key, sizeof key},
                    .value = {held_page - os_page_size(), 2 * os_page_size()}};
    return wal_append(log, 0, &entry, &position) == PKV_OK ? log : NULL;
}

static void *append_one(void *log) {
    return append(log, 1, 100) == PKV_OK ? log : NULL;
}

static void *flush_all(void *log) {
    return wal_sync(log) == PKV_OK ? log : NULL;
}

static void *rotate(void *log) {
    return wal_rotate(log) == PKV_OK ? log : NULL;
}

typedef struct other {
    void *(*act)(void *log);
    wal *log;
    atomic_bool done;
} other;

static void *be_other(void *context) {
    other *o = context;
    void *result = o->act(o->log);
    atomic_store(&o->done, true);
    return result;
}

/* Nobody's record counts before the one in front of it is whole, nor is a log flushed or left
 * behind with such a one. */
static void check_held_up(void *(*act)(void *log), const char *what) {
    pthread_t writer, another;
    void *written = NULL, *acted = NULL;
    uint64_t size;
    char byte = 0;
    wal *log = open_log(1, PKV_SYNC_OS, PKV_WAL_IO_MMAP);
    if (wal_is_mapped(log)) { /* not on an old kernel */
        other o = {act, log, false};
        check(wal_create_files(&folder, 2, 1) == PKV_OK && wal_prepare(log, 2) == PKV_OK,
              "prepare");
        check(mprotect(held_page, os_page_size(), PROT_NONE) == 0, "mprotect");
        check(pthread_create(&writer, NULL, write_held, log) == 0, "a writer");
        check(read(he_waits[0], &byte, 1) == 1, "is held up");
        check(pthread_create(&another, NULL, be_other, &o) == 0, "and another thread");
        (void)usleep(50000);
        check(!atomic_load(&o.done), what);
        check(write(go_on[1], &byte, 1) == 1, "the writer goes on");
        check(pthread_join(writer, &written) == 0 && written, "his record is appended");
        check(pthread_join(another, &acted) == 0 && acted, "and then it is the other's turn");
        check(count_records(1, 0, 1) == (act == append_one ? 2 : 1), "the log is whole");
    }
    check(wal_close(log, &size) == PKV_OK, "close");
    wal_remove_files(&folder, 1, 1);
    wal_remove_files(&folder, 2, 1);
}

static void check_all_held_up(void) {
    struct sigaction held = {.sa_sigaction = hold_up, .sa_flags = SA_SIGINFO}, before;
    uint8_t *value =
        mmap(NULL, 2 * os_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (value == MAP_FAILED || pipe(he_waits) != 0 || pipe(go_on) != 0) exit(1);
    held_page = value + os_page_size();
    (void)sigemptyset(&held.sa_mask);
    check(sigaction(SIGSEGV, &held, &before) == 0, "sigaction");
    check_held_up(append_one, "what is appended meanwhile does not count yet");
    check_held_up(flush_all, "nor is the log flushed");
    check_held_up(rotate, "nor gone on with in another file");
    check(sigaction(SIGSEGV, &before, NULL) == 0, "sigaction");
    for (unsigned i = 0; i < 2; i++) {
        (void)close(he_waits[i]);
        (void)close(go_on[i]);
    }
    (void)munmap(value, 2 * os_page_size());
}

/* A disk that is full before a rotation has back what was taken for it. */
static void check_prepared_in_vain(void) {
    uint64_t size, written = 0;
    struct stat facts = {.st_blocks = -1};
    wal *log = open_log(1, PKV_SYNC_OS, PKV_WAL_IO_DEFAULT);
    for (; written < 2 * WAL_SEGMENT_MAX; written += 1 << 20) (void)append(log, 0, 1 << 20);
    check(wal_create_files(&folder, 2, 1) == PKV_OK, "create the next log");
    if (wal_is_mapped(log)) { /* else there is nothing that could fail half-way */
        fail_from("pwrite", ENOSPC, 1, PROBE_EVER);
        check(wal_prepare(log, 2) == PKV_NO_SPACE, "no room in it");
        heal();
        check(fstatat(folder.fd, "snapshot_2_0-of-1_diff.bin", &facts, 0) == 0, "fstatat");
        check(facts.st_size == 0 && facts.st_blocks == 0, "nothing is kept for it");
    }
    check(wal_close(log, &size) == PKV_OK, "close");
    wal_remove_files(&folder, 1, 1);
    wal_remove_files(&folder, 2, 1);
}

/* Names of a log whose files cannot all be made do not stay, but for what was there. */
static void check_names(void) {
    fileset files;
    int fd;
    check(wal_create_files(&folder, 1, 2) == PKV_OK, "create");
    check(wal_create_files(&folder, 1, 2) == PKV_IO && says("snapshot_1_0-of-2_diff"), "not twice");
    check(os_unlink(&folder, "snapshot_1_0-of-2_diff.bin") == 0, "one of two");
    check(wal_create_files(&folder, 1, 2) == PKV_IO && says("snapshot_1_1-of-2_diff"), "the other");
    check(os_file_open(&folder, "snapshot_1_1-of-2_diff.bin", OS_READ, &fd) == 0, "is there still");
    (void)os_file_close(fd);
    wal_remove_files(&folder, 1, 2);
    fail_from("close", EIO, 1, 1);
    check(wal_create_files(&folder, 1, 2) == PKV_IO, "a file that cannot be closed");
    heal();
    check(fileset_scan(&folder, &files) == PKV_OK && files.count == 0, "nothing is left");
    fileset_release(&files);
}

/* Lets reservations of more address space than that fail. */
static void fail_reserving(uint64_t longest) {
    unsigned tries = 0;
    for (uint64_t size = WAL_MAP_BYTES; size > longest; size /= 2) tries++;
    fail_from("mmap", ENOMEM, 1, tries);
}

/* Where the address space ends, or there is none, the log goes on without a mapping. */
static void check_short_of_addresses(uint64_t longest, uint64_t mapped) {
    enum { RECORDS = 20 };
    uint64_t size;
    fail_reserving(longest);
    wal *log = open_log(1, PKV_SYNC_OS, PKV_WAL_IO_MMAP);
    heal();
    check(wal_is_mapped(log) == (mapped > 0), "is it mapped?");
    uint32_t key = 0;
    for (; key < RECORDS; key++) {
        check(append(log, key, 1000000) == PKV_OK, "append");
        check(wal_bytes(log) > mapped / 2 || wal_is_mapped(log), "room is mapped ahead");
    }
    check(!wal_is_mapped(log), "and not beyond");
    check(wal_sync(log) == PKV_OK && count_records(1, 0, 1) == RECORDS, "all is in the file");
    check(wal_close(log, &size) == PKV_OK && count_records(1, 0, 1) == RECORDS, "and stays");
    wal_remove_files(&folder, 1, 1);
}

static uint64_t size_of(const log_file *file) {
    uint64_t size = 0;
    check(os_file_size(file->fd, &size) == 0, "size");
    return size;
}

static pkv_status append_to(log_file *file, const record *entry, uint32_t seed) {
    early_record early;
    bool broken = false;
    record unmarked = {.key = entry->key, .value = entry->value};
    early_record_encode(&early, &unmarked, seed);
    return log_file_append(file, entry, &early, false, &broken);
}

/* What has been encoded for another file, or when nothing was to be said with it, is not written.
 */
static void check_early(log_file_way way) {
    static const file_name name = {1, 0, 1, FILE_DIFF};
    log_file *file = NULL;
    check(wal_create_files(&folder, 1, 1) == PKV_OK, "create");
    check(log_file_open(&folder, &name, SALT, 0, way, &file) == PKV_OK, "open");
    record entry = {0};
    uint64_t size = 0;
    for (uint32_t key = 0; key < 8; key++) {
        entry = record_of(&key, 100);
        entry.flushed = key & 1 ? file->tail : 0;
        entry.previous_size = key & 2 ? 1000 : 0;
        size += record_size(&entry);
        check(append_to(file, &entry, file->seed + (key >> 2)) == PKV_OK, "append");
        check(file->tail == size, "with all that it is to say");
    }
    check(log_file_seal(file) == PKV_OK && size_of(file) == size, "seal");
    log_file_close(file);
    check(count_records(1, 0, 1) == 8, "for this file");
    wal_remove_files(&folder, 1, 1);
}

static void check_room(void) {
    static const file_name name = {1, 0, 1, FILE_DIFF};
    log_file *file = NULL;
    check(wal_create_files(&folder, 1, 1) == PKV_OK, "create");
    fail_reserving(WAL_SEGMENT_MAX);
    check(log_file_open(&folder, &name, SALT, 0, LOG_FILE_MAPPED, &file) == PKV_OK, "open");
    heal();
    check(log_file_make_room(file, 100000) == PKV_OK && size_of(file) >= 100000, "room");
    uint64_t size = size_of(file);
    fail_from("fallocate", ENOSPC, 1, PROBE_EVER);
    check(log_file_make_room(file, 5000) == PKV_OK, "room that is there needs none to be made");
    check(log_file_make_room(file, size + 1) == PKV_NO_SPACE, "but more does");
    heal();
    check(size_of(file) == size, "which fails");
    if (atomic_load(&file->mapped)) {
        fail_from("pwrite", ENOSPC, 1, PROBE_EVER);
        check(log_file_make_room(file, size + (1u << 20)) == PKV_NO_SPACE, "or its zeros do");
        heal();
        check(atomic_load(&file->ready) == size, "and then there is none");
    }
    for (uint32_t key = 0; file->tail < 2 * WAL_SEGMENT_MAX; key++) {
        record entry = record_of(&key, 100000);
        check(append_to(file, &entry, file->seed) == PKV_OK, "append");
    }
    log_file_forget(file, WAL_SEGMENT_MAX / 2);
    check(file->forgotten == WAL_SEGMENT_MAX / 2, "a view that is dropped");
    log_file_forget(file, WAL_SEGMENT_MAX / 4);
    check(file->forgotten == WAL_SEGMENT_MAX / 2, "does not come back");
    log_file_forget(file, WAL_SEGMENT_MAX + WAL_SEGMENT_MAX / 2);
    check(file->forgotten == WAL_SEGMENT_MAX / 2, "nor is there one beyond the mapping");
    log_file_close(file);
    wal_remove_files(&folder, 1, 1);
}

/* Room is no reason to change the process's map of addresses: that waits for whoever does the same,
 * and for the kernel while it writes the file out. */
static void check_mapped_once(void) {
    static const file_name name = {1, 0, 1, FILE_DIFF};
    log_file *file = NULL;
    check(wal_create_files(&folder, 1, 1) == PKV_OK, "create");
    check(log_file_open(&folder, &name, SALT, 0, LOG_FILE_MAPPED, &file) == PKV_OK, "open");
    check(log_file_make_room(file, 100000) == PKV_OK, "room");
    bool mapped = atomic_load(&file->mapped); /* not on an old kernel */
    fail_from("mmap", ENOMEM, 1, PROBE_EVER);
    for (uint64_t upto = 0; upto < WAL_SEGMENT_MAX; upto += WAL_SEGMENT_MIN) {
        check(log_file_make_room(file, upto) == PKV_OK, "more of it");
    }
    check(probe_met() == 0 && atomic_load(&file->mapped) == mapped, "in the map that there is");
    heal();
    log_file_close(file);
    wal_remove_files(&folder, 1, 1);
}

/* Room that was reserved on the disk is made without asking the file system for any; that is given
 * back in the end, and where it cannot be had, room is made as ever. */
static void check_reserved(bool possible) {
    static const file_name name = {1, 0, 1, FILE_DIFF};
    const uint64_t reserved = WAL_SEGMENT_MAX / 2;
    log_file *file = NULL;
    struct stat facts = {0};
    check(wal_create_files(&folder, 1, 1) == PKV_OK, "create");
    check(log_file_open(&folder, &name, SALT, 0, LOG_FILE_MAPPED, &file) == PKV_OK, "open");
    check(log_file_make_room(file, WAL_SEGMENT_MIN) == PKV_OK, "room");
    if (!possible) fail_from("fallocate", ENOSPC, 1, 1);
    log_file_reserve(file, reserved);
    heal();
    check(size_of(file) == WAL_SEGMENT_MIN, "the file is no longer for that");
    if (atomic_load(&file->mapped)) { /* not on an old kernel */
        check(fstat(file->fd, &facts) == 0, "fstat");
        check(((uint64_t)facts.st_blocks * 512 >= reserved) == possible, "on the disk it is");
        fail_from("fallocate", ENOSPC, 1, PROBE_EVER);
        pkv_status status = log_file_make_room(file, reserved);
        heal();
        check(status == (possible ? PKV_OK : PKV_NO_SPACE), "no more of the disk is needed");
        check(log_file_make_room(file, reserved + 1) == PKV_OK, "but behind it");
        check(size_of(file) > reserved, "where room is made as ever");
    }
    log_file_reserve(file, 2 * reserved);
    check(log_file_seal(file) == PKV_OK && fstat(file->fd, &facts) == 0, "seal");
    check(facts.st_blocks == 0, "all of it is given back");
    log_file_close(file);
    wal_remove_files(&folder, 1, 1);
}

/* Whether room for 64 KiB takes more than one write of zeros: an ill third one tells. */
static bool is_made_by_pieces(log_file_way way) {
    static const file_name name = {1, 0, 1, FILE_DIFF};
    log_file *file = NULL;
    check(wal_create_files(&folder, 1, 1) == PKV_OK, "create");
    check(log_file_open(&folder, &name, SALT, 0, way, &file) == PKV_OK, "open");
    fail_from("pwrite", ENOSPC, 3, PROBE_EVER);
    pkv_status status = log_file_make_room(file, 64u << 10);
    heal();
    check(status == PKV_OK || status == PKV_NO_SPACE, "room, or none");
    log_file_close(file);
    wal_remove_files(&folder, 1, 1);
    return status == PKV_NO_SPACE;
}

/* A flush writes all of a piece of the page cache that a record is in. */
static void check_pieces(void) {
    if (os_page_size() > 16u << 10) return;
    check(!is_made_by_pieces(LOG_FILE_WRITTEN), "positioned writes need no zeros");
    check(!is_made_by_pieces(LOG_FILE_MAPPED), "large pieces");
    check(is_made_by_pieces(LOG_FILE_MAPPED_BY_PAGE), "a page each where each record is flushed");
}

/* ---- Snapshots */

static pkv_status put_records(void *context, uint32_t part, uint32_t parts, snapshot_writer *out) {
    const size_t *size = context;
    pkv_status status = PKV_OK;
    for (uint32_t key = part; key < 10 && !status; key += parts) {
        record entry = record_of(&key, *size);
        status = snapshot_put_record(out, &entry);
    }
    return status;
}

static void check_pending(void) {
    size_t size = 100;
    shard_facts shards[2] = {{0}};
    manifest_group group = {.ordinal = 1, .shard_count = 2, .shards = shards};
    snapshot_source source = {put_records, &size};
    check(snapshot_write(&folder, &group, SALT, 1, &source) == PKV_OK, "write");
    check(snapshot_check(&folder, &group, SALT, 2) == PKV_OK, "it reads back");
    check(shards[0].entries + shards[1].entries == 10, "with all its records");
    check(snapshot_check(&folder, &group, SALT + 1, 1) == PKV_IO, "but not with another salt");
    shards[1].entries++;
    check(snapshot_check(&folder, &group, SALT, 1) == PKV_IO, "nor with other entries");
    shards[1].entries--;
    shards[1].size--;
    check(snapshot_check(&folder, &group, SALT, 1) == PKV_IO, "nor with another size");
    shards[1].size++;
    shards[1].checksum++;
    check(snapshot_check(&folder, &group, SALT, 1) == PKV_IO, "nor with another checksum");
    check(says("snapshot_1_1-of-2_pending"), "and the file is named");
    shards[1].checksum--;
    check(snapshot_check(&folder, &group, SALT, 1) == PKV_OK, "it still does");
    check(os_unlink(&folder, "snapshot_1_1-of-2_pending.bin") == 0, "unlink");
    check(snapshot_check(&folder, &group, SALT, 1) == PKV_IO && says("has gone"), "but for a file");
    size = FILE_BUFFER_BYTES / 3;
    fail_from("pwrite", ENOSPC, 1, 1);
    check(snapshot_write(&folder, &group, SALT, 1, &source) == PKV_NO_SPACE, "no room");
    heal();
    snapshot_remove_pending(&folder, &group);
}

int main(void) {
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(path, sizeof path, "%s/pkv-disk-XXXXXX", parent);
    if (!mkdtemp(path) || os_folder_open(path, &folder) != 0) return 1;
    check_broken();
    check_full_disk();
    check_retired();
    check_all_held_up();
    check_names();
    check_short_of_addresses(0, 0);
    check_short_of_addresses(WAL_SEGMENT_MAX, WAL_SEGMENT_MAX);
    check_room();
    check_mapped_once();
    check_reserved(true);
    check_reserved(false);
    check_pieces();
    check_room_after_rotation();
    check_prepared_in_vain();
    check_early(LOG_FILE_WRITTEN);
    check_early(LOG_FILE_MAPPED);
    check_early(LOG_FILE_MAPPED_BY_PAGE);
    check_pending();
    os_folder_close(&folder);
    check(rmdir(path) == 0, "nothing is left");
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
