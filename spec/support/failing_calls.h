/* failing_calls.h - calls of the system that fail when told to: the program's own versions of them
 * take the place of the C library's. To be included by one file of a program, before all else. */
#ifndef FAILING_CALLS_H
#define FAILING_CALLS_H

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The calls that fail: of one kind, from some call on. */
typedef enum call_kind {
    FLUSH,
    FLUSH_FOLDER,
    ALLOCATE,
    RENAME,
    /* What sanitizers have their own of. */
    OPEN,
    OPEN_FOR_LACK_OF_MEMORY,
    READ,
    WRITE,
    TRUNCATE,
    UNLINK,
    STAT,
    LOCK,
    POPULATE,
    MAP,
    COMMIT,
    ADVISE,
    THREAD,
    LOCKS,
    MEMORY,
    CLOSE,
    FOLDER,
    LIST,
    KIND_OF_DISK,
    KINDS
} call_kind;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KINDS_HERE OPEN
#else
#define KINDS_HERE KINDS
#endif

#define EVER 1000000000

static atomic_int kind_that_fails = -1, calls_left, fail_count, failures;

static bool fails(call_kind kind, int error) {
    if (atomic_load(&kind_that_fails) != (int)kind) return false;
    int left = atomic_fetch_sub(&calls_left, 1);
    if (left > 1 || left <= 1 - atomic_load(&fail_count)) return false;
    atomic_fetch_add(&failures, 1);
    errno = error;
    return true;
}

/* The call-th call of the kind fails, and so many in all. */
static void fail_from(call_kind kind, int call, int count) {
    atomic_store(&calls_left, call);
    atomic_store(&fail_count, count);
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
/* Another function of the same name, behind this one. */
#define NEXT(name, type)                                                                           \
    union {                                                                                        \
        void *symbol;                                                                              \
        type *function;                                                                            \
    } next = {dlsym(RTLD_NEXT, name)}

int openat(int fd, const char *name, int flags, ...) {
    if (fails(OPEN, EMFILE) || fails(OPEN_FOR_LACK_OF_MEMORY, ENOMEM)) return -1;
    return (int)syscall(SYS_openat, fd, name, flags, 0600);
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
    if (advice == POPULATE_WRITE ? fails(POPULATE, EFAULT) : fails(ADVISE, EINVAL)) return -1;
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
    NEXT("pthread_create", create);
    return next.function(thread, attributes, body, context);
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    typedef int init(pthread_mutex_t *, const pthread_mutexattr_t *);
    if (fails(LOCKS, ENOMEM)) return ENOMEM;
    NEXT("pthread_mutex_init", init);
    return next.function(mutex, attributes);
}

int pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes) {
    typedef int init(pthread_cond_t *, const pthread_condattr_t *);
    if (fails(LOCKS, ENOMEM)) return ENOMEM;
    NEXT("pthread_cond_init", init);
    return next.function(cond, attributes);
}

int pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes) {
    typedef int init(pthread_rwlock_t *, const pthread_rwlockattr_t *);
    if (fails(LOCKS, ENOMEM)) return ENOMEM;
    NEXT("pthread_rwlock_init", init);
    return next.function(lock, attributes);
}

/* The file is closed all the same. */
int close(int fd) {
    bool bad = fails(CLOSE, EIO);
    int result = (int)syscall(SYS_close, fd);
    if (bad) errno = EIO;
    return bad ? -1 : result;
}

int open(const char *name, int flags, ...) {
    return fails(FOLDER, EMFILE) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name, flags, 0600);
}

int mkdir(const char *name, mode_t mode) {
    return fails(FOLDER, ENOSPC) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, name, mode);
}

DIR *fdopendir(int fd) {
    typedef DIR *list(int fd);
    if (fails(LIST, ENOMEM)) return NULL;
    NEXT("fdopendir", list);
    return next.function(fd);
}

struct dirent *readdir(DIR *listing) {
    typedef struct dirent *read_next(DIR * listing);
    if (fails(LIST, EIO)) return NULL;
    NEXT("readdir", read_next);
    return next.function(listing);
}

int fstatfs(int fd, struct statfs *facts) {
    return fails(KIND_OF_DISK, EIO) ? -1 : (int)syscall(SYS_fstatfs, fd, facts);
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

#endif
