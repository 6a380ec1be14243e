/* fault_check.c - what a failing call does, and does not do. A flush that fails makes the store
 * read-only for good and is told to everybody. Whatever else fails, and whenever, while a store is
 * created, written to, snapshot, closed and opened: nothing acknowledged is lost, nothing else
 * comes back, nothing breaks.
 *
 * The program's own versions of the calls take the place of the C library's, and fail when told to.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../src/pkv.h"

/* The call that fails: the fail_at-th from now on, of one kind, once or for ever. */
typedef enum call_kind {
    FLUSH,
    FLUSH_FOLDER,
    ALLOCATE,
    RENAME,
    /* What sanitizers have their own of. */
    OPEN,
    READ,
    WRITE,
    TRUNCATE,
    UNLINK,
    STAT,
    LOCK,
    POPULATE,
    MAP,
    COMMIT,
    THREAD,
    MEMORY,
    KINDS
} call_kind;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KINDS_HERE OPEN
#else
#define KINDS_HERE KINDS
#endif

static atomic_int kind_that_fails = -1, calls_left, failures;
static atomic_bool for_ever;

static bool fails(call_kind kind, int error) {
    if (atomic_load(&kind_that_fails) != (int)kind) return false;
    int left = atomic_fetch_sub(&calls_left, 1);
    if (left > 1 || (left < 1 && !atomic_load(&for_ever))) return false;
    atomic_fetch_add(&failures, 1);
    errno = error;
    return true;
}

static void fail_from(call_kind kind, int call, bool ever) {
    atomic_store(&calls_left, call);
    atomic_store(&for_ever, ever);
    atomic_store(&failures, 0);
    atomic_store(&kind_that_fails, (int)kind);
}

static void heal(void) {
    atomic_store(&kind_that_fails, -1);
}

int fdatasync(int fd) {
    return fails(FLUSH, EIO) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    return fails(FLUSH_FOLDER, EIO) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
    return fails(ALLOCATE, ENOSPC) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    return fails(RENAME, EIO) ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
int openat(int fd, const char *name, int flags, ...) {
    return fails(OPEN, EMFILE) ? -1 : (int)syscall(SYS_openat, fd, name, flags, 0600);
}

ssize_t pread(int fd, void *buffer, size_t size, off_t offset) {
    return fails(READ, EIO) ? -1 : syscall(SYS_pread64, fd, buffer, size, offset);
}

/* Half of it is written all the same. */
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    bool bad = fails(WRITE, ENOSPC);
    ssize_t written = syscall(SYS_pwrite64, fd, data, bad ? size / 2 : size, offset);
    if (bad) errno = ENOSPC;
    return bad ? -1 : written;
}

int ftruncate(int fd, off_t size) {
    return fails(TRUNCATE, EIO) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int unlinkat(int fd, const char *name, int flags) {
    return fails(UNLINK, EIO) ? -1 : (int)syscall(SYS_unlinkat, fd, name, flags);
}

int fstat(int fd, struct stat *facts) {
    return fails(STAT, EIO) ? -1 : (int)syscall(SYS_newfstatat, fd, "", facts, AT_EMPTY_PATH);
}

int flock(int fd, int operation) {
    return fails(LOCK, ENOLCK) ? -1 : (int)syscall(SYS_flock, fd, operation);
}

int madvise(void *base, size_t size, int advice) {
    enum { POPULATE_WRITE = 23 };
    if (advice == POPULATE_WRITE && fails(POPULATE, EFAULT)) return -1;
    return (int)syscall(SYS_madvise, base, size, advice);
}

void *mmap(void *base, size_t size, int protection, int flags, int fd, off_t offset) {
    if (fails(MAP, ENOMEM)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, base, size, protection, flags, fd, offset);
}

int mprotect(void *base, size_t size, int protection) {
    return fails(COMMIT, ENOMEM) ? -1 : (int)syscall(SYS_mprotect, base, size, protection);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
                   void *context) {
    typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (fails(THREAD, EAGAIN)) return EAGAIN;
    union {
        void *symbol;
        create *function;
    } next = {dlsym(RTLD_NEXT, "pthread_create")};
    return next.function(thread, attributes, body, context);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

void *malloc(size_t size) {
    return fails(MEMORY, ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return fails(MEMORY, ENOMEM) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    return fails(MEMORY, ENOMEM) ? NULL : __libc_realloc(block, size);
}
#endif

static int passed, failed;
static char path[80];

static void check(bool ok, const char *what, int detail) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s (%d): %s\n", what, detail, pkv_error_detail()->message);
}

static pkv_bytes number(char text[16], int i) {
    return (pkv_bytes){text, (size_t)snprintf(text, 16, "%d", i)};
}

static pkv_status set(pkv *store, int key, int value) {
    char k[16], v[16];
    return pkv_set(store, number(k, key), number(v, value));
}

static bool holds(pkv *store, int key, int value) {
    char k[16], v[16], got[16];
    size_t size = 0;
    pkv_bytes expected = number(v, value);
    return pkv_get(store, number(k, key), got, sizeof got, &size) == PKV_OK &&
           size == expected.size && memcmp(got, v, size) == 0;
}

static pkv_wal_io wal_io;

static pkv_config config_of(pkv_sync_mode sync) {
    return (pkv_config){.sync = sync,
                        .wal_io = wal_io,
                        .memory_shards = 4,
                        .snapshot_threads = 2,
                        .snapshot_interval = PKV_SNAPSHOT_NEVER};
}

static pkv *open_store(pkv_sync_mode sync) {
    pkv *store = NULL;
    pkv_config config = config_of(sync);
    check(pkv_open(path, &config, &store) == PKV_OK, "open", 0);
    return store;
}

static void remove_store(void) {
    char command[96];
    (void)snprintf(command, sizeof command, "rm -rf %s", path);
    if (system(command) != 0) printf("cannot remove %s\n", path);
}

/* Keys 0 to 99 hold `value`. */
static void check_all(pkv *store, int value, const char *what, int detail) {
    int good = 0;
    for (int i = 0; i < 100; i++) good += holds(store, i, value);
    check(good == 100, what, detail);
}

static void set_all(pkv *store, int value) {
    for (int i = 0; i < 100; i++) {
        if (set(store, i, value)) check(false, "set", i);
    }
}

static void flush_fails(void) {
    pkv *store = open_store(PKV_SYNC_ALWAYS);
    set_all(store, 1);
    fail_from(FLUSH, 1, false); /* the calls after it would succeed */
    check(set(store, 0, 2) == PKV_IO, "a set whose flush fails is told", 0);
    check(strstr(pkv_error_detail()->message, "snapshot_") != NULL, "names the file", 0);
    check(pkv_error_detail()->os_error == EIO, "names the error", 0);
    check(set(store, 1, 2) == PKV_READ_ONLY, "nothing can be written from then on", 0);
    check(pkv_sync(store) == PKV_IO, "a later flush is not said to have succeeded", 0);
    check(pkv_snapshot(store) != PKV_OK, "nor a snapshot", 0);
    check(pkv_snapshot(store) != PKV_OK, "nor another one", 0);
    check(pkv_sync(store) == PKV_IO, "nor a flush after these", 0);
    check(holds(store, 1, 1), "reading goes on", 0);
    pkv_stats stats;
    check(pkv_stats_get(store, &stats) == PKV_OK && stats.read_only, "stats tell", 0);
    check(pkv_close(store) == PKV_READ_ONLY, "closing tells", 0);
    heal();
    store = open_store(PKV_SYNC_ALWAYS);
    check(holds(store, 1, 1) && (holds(store, 0, 1) || holds(store, 0, 2)), "a reopen recovers", 0);
    check(set(store, 0, 3) == PKV_OK && holds(store, 0, 3), "and can be written to", 0);
    check(pkv_close(store) == PKV_OK, "close", 0);
    remove_store();
}

/* The call-th call of a kind fails while a snapshot is written: once, or from then on. */
static void snapshot_fails(call_kind kind, int call, bool ever, int *last) {
    int id = (int)kind * 1000 + call * 10 + ever;
    pkv *store = open_store(PKV_SYNC_OS);
    set_all(store, 1);
    check(pkv_snapshot(store) == PKV_OK, "a first snapshot", id);
    set_all(store, 2);
    fail_from(kind, call, ever);
    pkv_status status = pkv_snapshot(store);
    if (atomic_load(&failures) == 0) *last = call; /* no such call any more */
    check_all(store, 2, "memory holds everything", id);
    int before = atomic_load(&failures);
    pkv_status written = set(store, 100, 5);
    bool met = atomic_load(&failures) > before;
    check(written == PKV_OK || status != PKV_OK || met, "a set fails only where the snapshot did",
          id);
    heal();
    if (!ever && status && written == PKV_OK) {
        check(pkv_snapshot(store) == PKV_OK, "the next snapshot succeeds", id);
    }
    pkv_stats stats;
    if (pkv_stats_get(store, &stats) == PKV_OK && stats.read_only) {
        check(pkv_snapshot(store) != PKV_OK, "no snapshot after a failed flush", id);
        bool flushed = kind != FLUSH; /* the log, though the manifest is in doubt */
        check(flushed || pkv_sync(store) != PKV_OK, "no flush after a failed flush", id);
    }
    (void)pkv_close(store); /* it tells where a flush failed */
    store = open_store(PKV_SYNC_OS);
    check_all(store, 2, "a reopen finds everything", id);
    check(written != PKV_OK || holds(store, 100, 5), "also what was set after the failure", id);
    check(pkv_snapshot(store) == PKV_OK, "a snapshot", id);
    check(pkv_close(store) == PKV_OK, "close", id);
    remove_store();
}

/* The same while a store is opened, created, written to and closed. */
static void life_fails(call_kind kind, int call, int *last) {
    int id = (int)kind * 1000 + call;
    pkv *store = NULL;
    fail_from(kind, call, false);
    pkv_config config = config_of(PKV_SYNC_OS);
    pkv_status status = pkv_open(path, &config, &store);
    int acknowledged = 0;
    for (int i = 0; i < 100 && !status; i++) acknowledged += set(store, i, 1) == PKV_OK;
    if (!status) (void)pkv_close(store);
    if (atomic_load(&failures) == 0) *last = call;
    heal();
    store = open_store(PKV_SYNC_OS);
    int good = 0;
    for (int i = 0; i < 100; i++) good += holds(store, i, 1);
    check(good == acknowledged, "what was acknowledged is there, and nothing else", id);
    check(set(store, 7, 7) == PKV_OK && holds(store, 7, 7), "and can be written to", id);
    check(pkv_close(store) == PKV_OK, "close", id);
    remove_store();
}

static void make_store(bool closed) {
    pkv *store = open_store(PKV_SYNC_OS);
    set_all(store, 1);
    check(pkv_snapshot(store) == PKV_OK, "a snapshot", closed);
    set_all(store, 2);
    if (closed) check(pkv_close(store) == PKV_OK, "close", closed);
}

/* By a process that dies. */
static void leave_store(void) {
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        make_store(false);
        _exit(failed > 0);
    }
    int how = 0;
    check(waitpid(child, &how, 0) == child && how == 0, "a process dies", how);
}

/* The same while a store with a snapshot and a log is opened, which was closed, or whose process
 * died: it opens whole, or not at all. */
static void open_fails(call_kind kind, int call, bool closed, int *last) {
    int id = (int)kind * 1000 + call * 10 + closed;
    closed ? make_store(true) : leave_store();
    pkv *store = NULL;
    pkv_config config = config_of(PKV_SYNC_OS);
    fail_from(kind, call, false);
    pkv_status status = pkv_open(path, &config, &store);
    heal();
    if (atomic_load(&failures) == 0) *last = call;
    if (!status) {
        check_all(store, 2, "it is open, and whole", id);
        (void)pkv_close(store);
    }
    store = open_store(PKV_SYNC_OS);
    check_all(store, 2, "the next open finds everything", id);
    check(pkv_close(store) == PKV_OK, "close", id);
    remove_store();
}

/* The name of a new folder is flushed, and of its parent, before the store is there. */
static void new_name_fails(int call) {
    char whole[sizeof path];
    memcpy(whole, path, sizeof path);
    (void)snprintf(path + strlen(path), sizeof path - strlen(path), "/below");
    pkv *store;
    fail_from(FLUSH_FOLDER, call, false);
    check(pkv_open(path, NULL, &store) == PKV_IO, "a name that cannot be flushed is told", call);
    check(strstr(pkv_error_detail()->message, "cannot create folder") != NULL, "whose it is", call);
    heal();
    memcpy(path, whole, sizeof path);
    remove_store();
}

static void all_fail(call_kind kind) {
    int last = 0;
    for (int call = 1; !last; call++) life_fails(kind, call, &last);
    for (int closed = 0; closed < 2; closed++) {
        last = 0;
        for (int call = 1; !last; call++) open_fails(kind, call, closed, &last);
    }
    for (int ever = 0; ever < 2; ever++) {
        last = 0;
        for (int call = 1; !last; call++) snapshot_fails(kind, call, ever, &last);
    }
}

int main(void) {
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char folder[64];
    (void)snprintf(folder, sizeof folder, "%s/pkv-fault-XXXXXX", parent);
    if (!mkdtemp(folder)) return 1;
    (void)snprintf(path, sizeof path, "%s/store", folder);
    flush_fails();
    for (int call = 1; call <= 2; call++) new_name_fails(call);
    for (wal_io = PKV_WAL_IO_MMAP; wal_io <= PKV_WAL_IO_PWRITE; wal_io++) {
        for (call_kind kind = FLUSH; kind < KINDS_HERE; kind++) all_fail(kind);
    }
    (void)rmdir(folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
