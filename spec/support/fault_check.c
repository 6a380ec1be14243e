/* fault_check.c - what a failing call does, and does not do, on the real platform layer. A flush
 * that fails makes the store read-only for good and is told to everybody. Whatever else fails, and
 * whenever, while a store is created, written to, snapshot, closed and opened: nothing acknowledged
 * is lost, nothing else comes back, nothing breaks. What is interrupted, or served in part, is done
 * all the same, as if nothing had happened.
 *
 * Each call that the layer makes fails in turn: the k-th of its name, for every k, once and from
 * then on (probe.h). In the end every place that makes a call must have seen it fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../src/os/os.h"
#include "effort.h"
#include "fault_messages.h"
#include "fault_store.h"
#include "failing_calls.h"
#include "probe.h"

#define CALL_STEP EFFORT(1u, 1u, 1u, 3u, 7u)

/* ---- What can go wrong */

typedef struct fault {
    const char *call;
    probe_fault kind;
    int error;
    bool harmless; /* the store must not show it */
} fault;

static const fault faults[] = {
    {"fdatasync", PROBE_ERROR, EIO, false},
    {"fsync", PROBE_ERROR, EIO, false},
    {"fallocate", PROBE_ERROR, ENOSPC, false},
    {"fallocate", PROBE_ERROR, EOPNOTSUPP, true}, /* files are made longer then */
    {"ftruncate", PROBE_ERROR, EIO, false},
    {"renameat", PROBE_ERROR, EIO, false},
    {"unlinkat", PROBE_ERROR, EIO, false},
    {"mkdir", PROBE_ERROR, ENOSPC, false},
    {"openat", PROBE_ERROR, EMFILE, false},
    {"close", PROBE_ERROR, EIO, false},
    {"pread", PROBE_ERROR, EIO, false},
    {"pwrite", PROBE_ERROR, ENOSPC, false},
    {"pwrite", PROBE_ERROR, EIO, false},
    {"fstat", PROBE_ERROR, EIO, false},
    {"fstatfs", PROBE_ERROR, EIO, true}, /* files are not mapped then */
    {"fchmod", PROBE_ERROR, EPERM, false},
    {"fdopendir", PROBE_ERROR, ENOMEM, false},
    {"readdir", PROBE_ERROR, EIO, false},
    {"flock", PROBE_ERROR, ENOLCK, false},
    {"posix_fadvise", PROBE_ERROR, EINVAL, true},
    {"mmap", PROBE_ERROR, ENOMEM, false},
    {"munmap", PROBE_ERROR, ENOMEM, true},
    {"MADV_POPULATE_WRITE", PROBE_ERROR, EFAULT, false}, /* a full disk, for a mapping */
    {"MADV_POPULATE_WRITE", PROBE_ERROR, EINVAL, true},  /* an older kernel */
    {"MADV_NOHUGEPAGE", PROBE_ERROR, EINVAL, true},      /* a kernel without large pages */
    {"mprotect", PROBE_ERROR, ENOMEM, false},
    {"strdup", PROBE_ERROR, ENOMEM, false},
    {"getrandom", PROBE_ERROR, ENOSYS, true},
    {"pthread_create", PROBE_ERROR, EAGAIN, false},
    {"pthread_sigmask", PROBE_ERROR, EINVAL, false},
    {"pthread_mutex_init", PROBE_ERROR, ENOMEM, false},
    {"pthread_cond_init", PROBE_ERROR, ENOMEM, false},
    {"pthread_condattr_init", PROBE_ERROR, ENOMEM, false},
    {"pthread_condattr_setclock", PROBE_ERROR, EINVAL, false},
    {"pthread_rwlock_init", PROBE_ERROR, ENOMEM, false},
    {"pthread_rwlockattr_init", PROBE_ERROR, ENOMEM, false},
    {"pthread_rwlockattr_setkind_np", PROBE_ERROR, EINVAL, false},
    {"memory", PROBE_ERROR, ENOMEM, false},
    /* Some calls in a row are interrupted, or the lock is held for a moment. */
    {"openat", PROBE_ERROR, EINTR, true},
    {"close", PROBE_ERROR, EINTR, true},
    {"pread", PROBE_ERROR, EINTR, true},
    {"pwrite", PROBE_ERROR, EINTR, true},
    {"fdatasync", PROBE_ERROR, EINTR, true},
    {"fsync", PROBE_ERROR, EINTR, true},
    {"ftruncate", PROBE_ERROR, EINTR, true},
    {"fallocate", PROBE_ERROR, EINTR, true},
    {"fstatfs", PROBE_ERROR, EINTR, true},
    {"flock", PROBE_ERROR, EINTR, true},
    {"flock", PROBE_ERROR, EWOULDBLOCK, true},
    {"MADV_POPULATE_WRITE", PROBE_ERROR, EINTR, true},
    {"MADV_POPULATE_WRITE", PROBE_ERROR, EAGAIN, true},
    {"pread", PROBE_ONE_BYTE, 0, true},
    {"pread", PROBE_HALF, 0, true},
    {"pwrite", PROBE_ONE_BYTE, 0, true},
    {"pwrite", PROBE_HALF, 0, true},
};

/* Does it end by itself, for who tries again? */
static bool is_passing(const fault *f) {
    return f->harmless && (f->error == EINTR || f->error == EAGAIN || f->error == EWOULDBLOCK);
}

#define PASSING 3

static pkv_wal_io usual_io; /* what comes of wal_io where nothing fails */

/* The call-th call fails, or some from there on, or all. */
static void begin_fault(const fault *f, unsigned call, bool ever) {
    unsigned count = ever ? PROBE_EVER : is_passing(f) ? PASSING : 1;
    probe_plan plan = {f->call, f->kind, f->error, call, count};
    (void)snprintf(doing, sizeof doing, "%s %d, errno %d, call %u%s, io %d", f->call, (int)f->kind,
                   f->error, call, ever ? " and all after it" : "", (int)wal_io);
    probe_fail(&plan, 1);
}

/* As if the process had died: neither the log nor the manifest is as a close leaves them. */
static void leave_open(pkv *store) {
    probe_plan plan = {"ftruncate", PROBE_ERROR, EIO, 1, PROBE_EVER};
    probe_fail(&plan, 1);
    check(pkv_close(store) != PKV_OK, "a close that fails is told");
    heal();
}

/* ---- A life of a store, in three parts; each is false where there are not so many calls. */

/* It is created, written to and closed. */
static bool fails_while_created(const fault *f, unsigned call, bool ever) {
    pkv *store;
    int acknowledged = 0, changed = 0;
    begin_fault(f, call, ever);
    pkv_status status = try_open(PKV_SYNC_OS, &store), closed = PKV_OK;
    if (!status && is_passing(f)) check(io_of(store) == usual_io, "files are mapped as ever");
    for (int i = 0; i < KEYS && !status; i++) {
        bool good = set(store, i, 1) == PKV_OK;
        acknowledged += good;
        changed += is_there(store, i) != good;
    }
    check(changed == 0, "a set that fails changes nothing, another one does");
    if (!status) closed = pkv_close(store);
    bool met = probe_met() > 0;
    heal();
    bool untouched = !status && !closed && acknowledged == KEYS;
    check(untouched || (met && !f->harmless), "all is well where nothing fails");
    store = open_store(PKV_SYNC_OS);
    int good = 0, there = 0;
    for (int i = 0; i < KEYS; i++) {
        good += holds(store, i, 1);
        there += is_there(store, i);
    }
    check(good == acknowledged && there == good, "what was acknowledged is there, nothing else");
    check(set(store, 7, 7) == PKV_OK && holds(store, 7, 7), "and can be written to");
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
    return met;
}

/* It has a snapshot and a log that was not closed, and is opened: whole, or not at all. */
static bool fails_while_opened(const fault *f, unsigned call, bool ever) {
    pkv *store = open_store(PKV_SYNC_OS);
    set_all(store, 1);
    check(pkv_snapshot(store) == PKV_OK, "a snapshot");
    set_all(store, 2);
    leave_open(store);
    begin_fault(f, call, ever);
    pkv_status status = try_open(PKV_SYNC_OS, &store), written = PKV_OK, closed = PKV_OK;
    if (!status) {
        check_all(store, 2, "it is open, and whole");
        written = set(store, KEYS, 5);
        closed = pkv_close(store);
    }
    bool met = probe_met() > 0;
    heal();
    check((!status && !written && !closed) || (met && !f->harmless), "nothing fails by itself");
    store = open_store(PKV_SYNC_OS);
    check_all(store, 2, "the next open finds everything");
    if (!status) check(holds(store, KEYS, 5) == !written, "and what was set, if it was");
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
    return met;
}

/* A second snapshot is written. */
static bool fails_while_snapshot(const fault *f, unsigned call, bool ever) {
    pkv *store = open_store(PKV_SYNC_OS);
    set_all(store, 1);
    check(pkv_snapshot(store) == PKV_OK, "a first snapshot");
    set_all(store, 2);
    begin_fault(f, call, ever);
    pkv_status status = pkv_snapshot(store);
    check_all(store, 2, "memory holds everything");
    unsigned before = probe_met();
    pkv_status written = set(store, KEYS, 5);
    bool met = before > 0, met_later = probe_met() > before;
    check(status == PKV_OK || (met && !f->harmless), "a snapshot fails only where a call does");
    check(written == PKV_OK || ((status || met_later) && !f->harmless), "and so does a set");
    heal();
    if (!ever && status && !written) {
        check(pkv_snapshot(store) == PKV_OK, "the next snapshot succeeds");
    }
    pkv_stats stats;
    if (pkv_stats_get(store, &stats) == PKV_OK && stats.read_only) {
        check(!f->harmless, "it is not read-only for nothing");
        check(pkv_snapshot(store) != PKV_OK, "no snapshot after a failed flush");
        bool flushed = strcmp(f->call, "fdatasync") != 0; /* the log, the manifest is in doubt */
        check(flushed || pkv_sync(store) != PKV_OK, "no flush after a failed flush");
    }
    (void)pkv_close(store); /* it tells where a flush failed */
    store = open_store(PKV_SYNC_OS);
    check_all(store, 2, "a reopen finds everything");
    check(holds(store, KEYS, 5) == !written, "also what was set after the failure, if it was");
    check(pkv_snapshot(store) == PKV_OK, "a snapshot");
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
    return met;
}

static void run_fault(const fault *f) {
    pkv *store = open_store(PKV_SYNC_OS);
    usual_io = io_of(store);
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
    bool (*const parts[])(const fault *f, unsigned call, bool ever) = {
        fails_while_created, fails_while_opened, fails_while_snapshot};
    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++) {
        for (int ever = 0; ever < (is_passing(f) ? 1 : 2); ever++) {
            unsigned call = 1;
            while (parts[part](f, call, ever) && failed < 100) call += CALL_STEP;
        }
    }
}

/* ---- Some failures in particular */

static void flush_fails(void) {
    (void)snprintf(doing, sizeof doing, "a failing flush");
    pkv *store = open_store(PKV_SYNC_ALWAYS);
    set_all(store, 1);
    probe_plan plan = {"fdatasync", PROBE_ERROR, EIO, 1, 1}; /* those after it would succeed */
    probe_fail(&plan, 1);
    check(set(store, 0, 2) == PKV_IO, "a set whose flush fails is told");
    check(strstr(pkv_error_detail()->message, "snapshot_") != NULL, "names the file");
    check(pkv_error_detail()->os_error == EIO, "names the error");
    check(set(store, 1, 2) == PKV_READ_ONLY, "nothing can be written from then on");
    check(pkv_sync(store) == PKV_IO, "a later flush is not said to have succeeded");
    check(pkv_snapshot(store) != PKV_OK, "nor a snapshot");
    check(pkv_snapshot(store) != PKV_OK, "nor another one");
    check(pkv_sync(store) == PKV_IO, "nor a flush after these");
    check(holds(store, 1, 1), "reading goes on");
    pkv_stats stats;
    check(pkv_stats_get(store, &stats) == PKV_OK && stats.read_only, "stats tell");
    check(pkv_close(store) == PKV_READ_ONLY, "closing tells");
    heal();
    store = open_store(PKV_SYNC_ALWAYS);
    check(holds(store, 1, 1) && (holds(store, 0, 1) || holds(store, 0, 2)), "a reopen recovers");
    check(set(store, 0, 3) == PKV_OK && holds(store, 0, 3), "and can be written to");
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
}

/* The first open of the process: it must not go on without knowing of forks. */
static void fork_handlers_fail(void) {
    pkv *store;
    probe_plan plan = {"pthread_atfork", PROBE_ERROR, ENOMEM, 1, 1};
    (void)snprintf(doing, sizeof doing, "no fork handlers");
    probe_fail(&plan, 1);
    check(try_open(PKV_SYNC_OS, &store) == PKV_NO_MEMORY, "an open without fork handlers fails");
    heal();
    store = open_store(PKV_SYNC_OS);
    pid_t child = fork();
    if (child == 0) _exit(set(store, 1, 1) == PKV_FORKED ? 0 : 1);
    int how = 0;
    check(waitpid(child, &how, 0) == child && how == 0, "the next one makes them");
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
}

static void lock_is_held(void) {
    pkv *store = open_store(PKV_SYNC_OS);
    check(pkv_close(store) == PKV_OK, "close");
    char name[sizeof path + 16];
    (void)snprintf(name, sizeof name, "%s/lockfile", path);
    int fd = open(name, O_RDWR);
    check(fd >= 0 && flock(fd, LOCK_EX) == 0, "lock");
    probe_plan plan = {"nanosleep", PROBE_ERROR, EINTR, 1, PROBE_EVER};
    (void)snprintf(doing, sizeof doing, "a lock that is held, and sleep interrupted");
    probe_fail(&plan, 1);
    check(try_open(PKV_SYNC_OS, &store) == PKV_LOCKED, "the store is locked");
    os_back_off(1000); /* sleeps, too, and minds no more */
    heal();
    (void)close(fd);
    store = open_store(PKV_SYNC_OS);
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
}

/* What is done about a failure fails, too. */
static void two_fail(void) {
    static const fault pairs[][2] = {
        {{"fstat", PROBE_ERROR, EIO, false}, {"close", PROBE_ERROR, EIO, false}},
        {{"fdopendir", PROBE_ERROR, ENOMEM, false}, {"close", PROBE_ERROR, EIO, false}},
        {{"fchmod", PROBE_ERROR, EPERM, false}, {"unlinkat", PROBE_ERROR, EIO, false}}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        for (unsigned call = 1; call <= 16; call++) {
            const fault *one = &pairs[i][0], *two = &pairs[i][1];
            probe_plan plans[] = {{one->call, one->kind, one->error, call, 1},
                                  {two->call, two->kind, two->error, 1, PROBE_EVER}};
            (void)snprintf(doing, sizeof doing, "%s and %s, call %u", one->call, two->call, call);
            probe_fail(plans, 2);
            pkv *store;
            bool written = false;
            if (try_open(PKV_SYNC_OS, &store) == PKV_OK) {
                written = set(store, 1, 1) == PKV_OK;
                (void)pkv_close(store);
            }
            heal();
            store = open_store(PKV_SYNC_OS);
            check(holds(store, 1, 1) == written, "what was acknowledged is there");
            check(pkv_close(store) == PKV_OK, "close");
            remove_store();
        }
    }
}

/* ---- The names of new folders: durable before there is anything in them */

static char calls[128][128];
static size_t call_count;

static void note_call(const char *line) {
    size_t limit = sizeof calls / sizeof *calls;
    if (call_count < limit) (void)snprintf(calls[call_count++], sizeof *calls, "%s", line);
}

/* The number of the first such call from `from` on; call_count where there is none. */
static size_t find_call(size_t from, const char *what, const char *name) {
    char line[sizeof *calls];
    (void)snprintf(line, sizeof line, "%s %s", what, name);
    while (from < call_count && strcmp(calls[from], line) != 0) from++;
    return from;
}

/* A flush fails first, so that a folder is there when it is opened again, and its name may not be.
 */
static void names_are_durable(unsigned flush_that_fails) {
    char name[sizeof path], parent[sizeof path];
    pkv *store;
    (void)snprintf(doing, sizeof doing, "new folders, flush %u fails", flush_that_fails);
    probe_plan plan = {"fsync", PROBE_ERROR, EIO, flush_that_fails, 1};
    probe_fail(&plan, flush_that_fails > 0);
    if (flush_that_fails) check(try_open(PKV_SYNC_OS, &store) == PKV_IO, "that is told");
    heal();
    call_count = 0;
    probe_on_call(note_call);
    store = open_store(PKV_SYNC_OS);
    probe_on_call(NULL);
    size_t used = find_call(0, "create", "lockfile");
    check(used < call_count, "the lock file is made");
    memcpy(name, path, sizeof name);
    while (strcmp(name, folder) != 0) {
        memcpy(parent, name, sizeof parent);
        *strrchr(parent, '/') = '\0';
        size_t made = find_call(0, "folder", name);
        check(find_call(made < call_count ? made : 0, "sync", parent) < used,
              "a folder's name is flushed before the folder is used");
        memcpy(name, parent, sizeof name);
    }
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
}

/* The close that ends the writing of a manifest. */
static void close_of_manifest_fails(void) {
    pkv *store;
    unsigned closes = 0;
    call_count = 0;
    probe_on_call(note_call);
    store = open_store(PKV_SYNC_OS);
    probe_on_call(NULL);
    size_t last = find_call(0, "close", "manifest.new");
    for (size_t i = 0; i <= last && i < call_count; i++) {
        closes += strncmp(calls[i], "close ", 6) == 0;
    }
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
    probe_plan plan = {"close", PROBE_ERROR, EIO, closes, 1};
    (void)snprintf(doing, sizeof doing, "the close of a manifest");
    probe_fail(&plan, 1);
    check(try_open(PKV_SYNC_OS, &store) == PKV_IO, "is told where it fails");
    heal();
    remove_store();
}

/* No room: told before anything is changed. */
static void disk_is_full(void) {
    static char bytes[300000];
    for (wal_io = PKV_WAL_IO_MMAP; wal_io <= PKV_WAL_IO_PWRITE; wal_io++) {
        pkv *store = open_store(PKV_SYNC_OS);
        set_all(store, 1);
        probe_plan plan = {"fallocate", PROBE_ERROR, ENOSPC, 1, PROBE_EVER};
        (void)snprintf(doing, sizeof doing, "a full disk, io %d", (int)wal_io);
        probe_fail(&plan, 1);
        pkv_bytes large = {bytes, sizeof bytes}, key = {"large", 5};
        size_t size = 0;
        check(pkv_set(store, key, large) == PKV_NO_SPACE, "is told");
        check(pkv_get(store, key, NULL, 0, &size) == PKV_NOT_FOUND, "and nothing is changed");
        check_all(store, 1, "of the rest neither");
        heal();
        check(pkv_set(store, key, large) == PKV_OK, "until there is room again");
        check(pkv_close(store) == PKV_OK, "close");
        remove_store();
    }
    wal_io = PKV_WAL_IO_MMAP;
}

/* Sets new keys, which give nothing back, until the log's thread has. */
static bool log_is_forgotten(pkv *store) {
    enum { SIZE = 500, AT_ONCE = 20 };
    static const char bytes[SIZE];
    unsigned before = probe_met();
    for (int i = 0; i < 10000 && probe_met() == before; i++) {
        for (int j = 0; j < AT_ONCE; j++) {
            char k[16];
            pkv_bytes key = number(k, 1000 + i * AT_ONCE + j);
            if (pkv_set(store, key, (pkv_bytes){bytes, SIZE}) != PKV_OK) return false;
        }
        os_back_off(1000); /* he has his turn when he gets a processor */
    }
    return probe_met() > before;
}

/* Memory cannot be given back, be it a large value's or that of the log's mapping. */
static void memory_is_kept(void) {
    enum { SIZE = 100000, VALUES = 40, ROUNDS = 10 };
    static char bytes[SIZE], got[SIZE];
    pkv *store = open_store(PKV_SYNC_OS);
    probe_plan plan = {"MADV_DONTNEED", PROBE_ERROR, EINVAL, 1, PROBE_EVER};
    (void)snprintf(doing, sizeof doing, "memory that cannot be given back");
    probe_fail(&plan, 1);
    int bad = 0;
    for (int i = 0; i < VALUES * ROUNDS; i++) {
        char k[16];
        pkv_bytes key = number(k, i % VALUES);
        size_t size = 0;
        memset(bytes, 'a' + i % 26, SIZE);
        bad += pkv_set(store, key, (pkv_bytes){bytes, SIZE}) != PKV_OK;
        bad += pkv_get(store, key, got, SIZE, &size) != PKV_OK || memcmp(got, bytes, SIZE) != 0;
        if (i % 3 == 0) bad += pkv_unset(store, key) != PKV_OK;
    }
    check(bad == 0 && probe_met() > 0, "all goes on");
    check(log_is_forgotten(store), "the log's mapping is given back, or asked to be");
    size_t page = os_page_size();
    char *block = os_reserve(page);
    check(block && os_commit(block, page) == 0, "memory");
    block[0] = 'x';
    os_discard(block, page);
    check(block[0] == 0, "what is kept is zeroed");
    os_unreserve(block, page);
    heal();
    check(pkv_close(store) == PKV_OK, "close");
    remove_store();
}

/* There are no large pages: small ones are as good. */
static void large_pages_are_refused(const char *advice) {
    char *reserved = os_reserve(2 * OS_LARGE_PAGE);
    char *page = reserved + (OS_LARGE_PAGE - (uintptr_t)reserved % OS_LARGE_PAGE);
    probe_plan plan = {advice, PROBE_ERROR, EINVAL, 1, PROBE_EVER};
    (void)snprintf(doing, sizeof doing, "%s fails", advice);
    probe_fail(&plan, 1);
    check(os_commit_large(page, OS_LARGE_PAGE) == 0 && probe_met() > 0, "memory");
    heal();
    page[OS_LARGE_PAGE - 1] = 'x';
    os_unreserve(reserved, 2 * OS_LARGE_PAGE);
}

/* ---- Restoring: two threads, many batches (pipeline.h) */

enum { MANY = 7000 };

static bool has_many(pkv *store) {
    char k[16], value[60], got[60];
    uint64_t count = 0;
    bool ok = pkv_count(store, &count) == PKV_OK && count == MANY;
    for (int i = 0; i < MANY && ok; i++) {
        size_t size = 0;
        memset(value, i % 256, sizeof value);
        ok = pkv_get(store, number(k, i), got, sizeof got, &size) == PKV_OK &&
             size == sizeof value && memcmp(got, value, size) == 0;
    }
    return ok;
}

/* With so many calls failing, from every one on. */
static void restore_with(const char *call, int error, pkv_status wanted, unsigned count) {
    bool reached = true;
    (void)snprintf(doing, sizeof doing, "restore, %s fails %u times", call, count);
    for (unsigned first = 1; reached; first++) {
        pkv *store;
        probe_plan plan = {call, PROBE_ERROR, error, first, count};
        probe_fail(&plan, 1);
        pkv_status status = try_open(PKV_SYNC_OS, &store);
        reached = probe_met() > 0;
        heal();
        check(status == PKV_OK || status == wanted, "it fails as the call does");
        if (status) continue;
        check(has_many(store), "it is whole");
        check(pkv_close(store) == PKV_OK, "close");
    }
    pkv *store = open_store(PKV_SYNC_OS);
    check(has_many(store) && pkv_close(store) == PKV_OK, "nothing has changed");
}

/* No read error is taken for an end, nor for damage, behind damage either. */
static void check_fails(void) {
    char log[120];
    bool reached = true;
    (void)snprintf(doing, sizeof doing, "check of a damaged log, pread fails");
    (void)snprintf(log, sizeof log, "%s/snapshot_1_0-of-1_diff.bin", path);
    int file = open(log, O_RDWR);
    check(pwrite(file, "????", 4, 200000) == 4 && close(file) == 0, "damage");
    for (unsigned first = 1; reached; first++) {
        pkv_check_report report = {0};
        probe_plan plan = {"pread", PROBE_ERROR, EIO, first, 1};
        probe_fail(&plan, 1);
        pkv_status status = pkv_check(path, NULL, NULL, &report);
        reached = probe_met() > 0;
        heal();
        check(status == PKV_CORRUPT || (status == PKV_IO && reached), "it is not sound");
        check(status == PKV_IO || report.damaged == 1u + reached, "damage is told, and the error");
    }
}

static void restores(void) {
    char k[16], value[60];
    bool ok = true;
    pkv *store = open_store(PKV_SYNC_OS);
    for (int i = 0; i < MANY; i++) {
        memset(value, i % 256, sizeof value);
        ok = pkv_set(store, number(k, i), (pkv_bytes){value, sizeof value}) == PKV_OK && ok;
    }
    check(ok && pkv_close(store) == PKV_OK, "write");
    restore_with("memory", ENOMEM, PKV_NO_MEMORY, 1);
    restore_with("memory", ENOMEM, PKV_NO_MEMORY, PROBE_EVER);
    restore_with("pread", EIO, PKV_IO, 1);
    restore_with("pthread_create", EAGAIN, PKV_IO, 1);
    check_fails();
    remove_store();
}

/* ---- Were all of them reached? */

static void check_sites(void) {
    size_t count;
    const probe_site *sites = probe_sites(&count);
    for (size_t i = 0; i < count; i++) {
        const char *file = strrchr(sites[i].file, '/');
        (void)snprintf(doing, sizeof doing, "%s at %s:%d (called %u times)", sites[i].call,
                       file ? file + 1 : sites[i].file, sites[i].line,
                       atomic_load(&sites[i].calls));
        check(atomic_load(&sites[i].failures) > 0, "it has failed");
    }
    printf("%zu places that make a call\n", count);
}

int main(void) {
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(folder, sizeof folder, "%s/pkv-fault-XXXXXX", parent);
    if (!mkdtemp(folder)) return 1;
    listen_for_messages("spec/messages/fault_check.txt", folder);
    (void)snprintf(path, sizeof path, "%s/a/store", folder);
    wal_io = PKV_WAL_IO_MMAP;
    fork_handlers_fail();
    flush_fails();
    lock_is_held();
    two_fail();
    memory_is_kept();
    large_pages_are_refused("MADV_HUGEPAGE");
    large_pages_are_refused("MADV_NOHUGEPAGE");
    restores();
    disk_is_full();
    close_of_manifest_fails();
    for (unsigned flush = 0; flush <= 2; flush++) names_are_durable(flush);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        /* The default asks what file system it is. */
        bool asks = strcmp(faults[i].call, "fstatfs") == 0;
        wal_io = asks ? PKV_WAL_IO_DEFAULT : PKV_WAL_IO_MMAP;
        run_fault(&faults[i]);
        wal_io = PKV_WAL_IO_PWRITE;
        if (!asks) run_fault(&faults[i]);
    }
    if (CALL_STEP == 1) check_sites();
    failed += wrong_messages(CALL_STEP == 1);
    (void)rmdir(folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
