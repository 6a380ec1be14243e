/* posix.c - os.h on POSIX systems. Linux is the one that is measured; where another system lacks a
 * call, the portable way is taken and what it does not promise is said beside it. */
#define _GNU_SOURCE
#include "os.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/random.h>
#include <sys/vfs.h>
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* ---- Folders */

static int folder_create_one(const char *path) {
    if (mkdir(path, 0700) == 0) return 0;
    return errno == EEXIST ? 0 : errno;
}

int os_folder_create(const char *path) {
    char *copy = strdup(path);
    if (!copy) return ENOMEM;
    int error = 0;
    for (char *at = copy + 1; !error && *copy && *at; at++) {
        if (*at != '/') continue;
        *at = '\0';
        error = folder_create_one(copy);
        *at = '/';
    }
    if (!error) error = folder_create_one(copy);
    free(copy);
    return error;
}

int os_folder_open(const char *path, os_folder *folder) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        int error = errno;
        close(fd);
        return error;
    }
    folder->fd = fd;
    folder->device = (uint64_t)facts.st_dev;
    folder->inode = (uint64_t)facts.st_ino;
    return 0;
}

void os_folder_close(os_folder *folder) {
    close(folder->fd);
    folder->fd = -1;
}

int os_folder_list(const os_folder *folder, int (*visit)(void *context, const char *name),
                   void *context) {
    /* Opened anew: a duplicate would share its place in the listing with every other one. */
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    DIR *listing = fdopendir(fd);
    if (!listing) {
        int error = errno;
        close(fd);
        return error;
    }
    int result = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(listing);
        if (!entry) {
            result = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        result = visit(context, entry->d_name);
        if (result) break;
    }
    closedir(listing);
    return result;
}

static int sync_fd(int fd, bool data_only) {
    for (;;) {
#if defined(__APPLE__)
        (void)data_only;
        int result = fcntl(fd, F_FULLFSYNC);
#else
        int result = data_only ? fdatasync(fd) : fsync(fd);
#endif
        if (result == 0) return 0;
        if (errno != EINTR) return errno;
    }
}

int os_folder_sync(const os_folder *folder) {
    return sync_fd(folder->fd, false);
}

/* ---- Files */

static int open_regular(const os_folder *folder, const char *name, int flags, int *out) {
    /* O_NONBLOCK: a pipe planted under the name must not hang the open. */
    int fd = openat(folder->fd, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0) return errno;
    struct stat facts;
    int error = 0;
    if (fstat(fd, &facts) != 0) {
        error = errno;
    } else if (!S_ISREG(facts.st_mode)) {
        error = EINVAL;
    } else if ((flags & O_EXCL) && fchmod(fd, 0600) != 0) { /* whatever the umask */
        error = errno;
    }
    if (error) {
        close(fd);
        if (flags & O_EXCL) (void)unlinkat(folder->fd, name, 0);
        return error;
    }
    *out = fd;
    return 0;
}

int os_file_open(const os_folder *folder, const char *name, os_open_mode mode, int *fd) {
    if (mode == OS_READ) return open_regular(folder, name, O_RDONLY, fd);
    if (mode == OS_WRITE) return open_regular(folder, name, O_RDWR, fd);
    int error = open_regular(folder, name, O_RDWR | O_CREAT | O_EXCL, fd);
    if (error == EEXIST && mode == OS_CREATE) return open_regular(folder, name, O_RDWR, fd);
    return error;
}

int os_file_close(int fd) {
    return close(fd) == 0 ? 0 : errno;
}

int os_file_size(int fd, uint64_t *size) {
    struct stat facts;
    if (fstat(fd, &facts) != 0) return errno;
    *size = (uint64_t)facts.st_size;
    return 0;
}

int os_file_read(int fd, void *buffer, size_t size, uint64_t offset, size_t *got) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (n == 0) break;
        if (n > 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    *got = done;
    return 0;
}

int os_file_write(int fd, const void *data, size_t size, uint64_t offset) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            return EIO;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int os_file_truncate(int fd, uint64_t size) {
    while (ftruncate(fd, (off_t)size) != 0) {
        if (errno != EINTR) return errno;
    }
    return 0;
}

/* Where the file system cannot reserve room, the file is only made longer: a full disk is then met
 * by the write itself. */
static int extend(int fd, uint64_t size) {
    uint64_t now;
    int error = os_file_size(fd, &now);
    if (error || now >= size) return error;
    return os_file_truncate(fd, size);
}

int os_file_allocate(int fd, uint64_t offset, uint64_t size) {
#ifdef __linux__
    for (;;) {
        if (fallocate(fd, 0, (off_t)offset, (off_t)size) == 0) return 0;
        if (errno == EOPNOTSUPP) break;
        if (errno != EINTR) return errno;
    }
#endif
    return extend(fd, offset + size);
}

int os_file_sync(int fd) {
    return sync_fd(fd, true);
}

void os_file_drop_cache(int fd) {
#ifdef POSIX_FADV_DONTNEED
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
#else
    (void)fd;
#endif
}

int os_rename(const os_folder *folder, const char *from, const char *to) {
    return renameat(folder->fd, from, folder->fd, to) == 0 ? 0 : errno;
}

int os_unlink(const os_folder *folder, const char *name) {
    return unlinkat(folder->fd, name, 0) == 0 ? 0 : errno;
}

/* What another thread forks or spawns holds our locks too, for the moment until it lets go of them:
 * a store that was closed meanwhile would seem to be locked. So it takes several tries to know. */
int os_file_lock(int fd) {
    enum { TRIES = 7 };
    for (int i = 0;; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK || i >= TRIES) return errno;
        struct timespec pause = {0, 1000000L << i};
        (void)nanosleep(&pause, NULL);
    }
}

bool os_file_maps_safely(int fd) {
#ifdef __linux__
    enum { EXT4 = 0xEF53, XFS = 0x58465342, TMPFS = 0x01021994 };
    struct statfs facts;
    if (fstatfs(fd, &facts) != 0) return false;
    return facts.f_type == EXT4 || facts.f_type == XFS || facts.f_type == TMPFS;
#else
    (void)fd;
    return false;
#endif
}

/* ---- Memory */

size_t os_page_size(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

void *os_reserve(size_t size) {
    void *base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

void os_unreserve(void *base, size_t size) {
    (void)munmap(base, size);
}

int os_commit(void *base, size_t size) {
    return mprotect(base, size, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
}

void os_discard(void *base, size_t size) {
    if (madvise(base, size, MADV_DONTNEED) != 0) memset(base, 0, size);
}

static int populate(void *base, size_t size) {
    for (;;) {
        if (madvise(base, size, MADV_POPULATE_WRITE) == 0) return 0;
        if (errno != EINTR && errno != EAGAIN) break;
    }
    /* EFAULT stands for the SIGBUS that a store into the page would have raised. */
    return errno == EFAULT ? ENOSPC : errno;
}

int os_map_file(void *base, size_t size, int fd, uint64_t offset) {
    void *at = mmap(base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
    if (at == MAP_FAILED) return errno;
    int error = populate(base, size);
    if (!error) return 0;
    (void)mmap(base, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
               0);
    return error;
}

void os_map_forget(void *base, size_t size) {
    (void)madvise(base, size, MADV_DONTNEED);
}

/* ---- Threads */

int os_mutex_init(os_mutex *mutex) {
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
    /* Most are held for less time than it takes to fall asleep. */
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error) return error;
    error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    if (!error) error = pthread_mutex_init(mutex, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return error;
#else
    return pthread_mutex_init(mutex, NULL);
#endif
}

void os_mutex_destroy(os_mutex *mutex) {
    (void)pthread_mutex_destroy(mutex);
}

int os_cond_init(os_cond *cond) {
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error) return error;
#ifndef __APPLE__
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    if (!error) error = pthread_cond_init(cond, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return error;
}

void os_cond_destroy(os_cond *cond) {
    (void)pthread_cond_destroy(cond);
}

void os_wait_until(os_cond *cond, os_mutex *mutex, double deadline) {
#ifdef __APPLE__
    double left = deadline - os_now();
    if (left < 0) left = 0;
    struct timespec time = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    (void)pthread_cond_timedwait_relative_np(cond, mutex, &time);
#else
    time_t whole = (time_t)deadline;
    struct timespec time = {whole, (long)((deadline - (double)whole) * 1e9)};
    (void)pthread_cond_timedwait(cond, mutex, &time);
#endif
}

int os_rwlock_init(os_rwlock *lock) {
    pthread_rwlockattr_t attributes;
    int error = pthread_rwlockattr_init(&attributes);
    if (error) return error;
#ifdef __GLIBC__
    error =
        pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    if (!error) error = pthread_rwlock_init(lock, &attributes);
    (void)pthread_rwlockattr_destroy(&attributes);
    return error;
}

void os_rwlock_destroy(os_rwlock *lock) {
    (void)pthread_rwlock_destroy(lock);
}

int os_thread_start(os_thread *thread, void *(*body)(void *context), void *context) {
    /* A program's signal handlers run in its own threads, never in ours. */
    sigset_t all, before;
    sigfillset(&all);
    int error = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (error) return error;
    error = pthread_create(thread, NULL, body, context);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

void os_thread_join(os_thread thread) {
    (void)pthread_join(thread, NULL);
}

static atomic_uint fork_generation;
static void (*user_child)(void);

static void after_fork_in_child(void) {
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
    user_child();
}

unsigned os_fork_generation(void) {
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

int os_fork_handlers(void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
    user_child = child;
    return pthread_atfork(prepare, parent, after_fork_in_child);
}

void os_stay_loaded(void) {
#ifdef RTLD_NODELETE
    static const char here;
    Dl_info facts;
    if (dladdr(&here, &facts) != 0 && facts.dli_fname) {
        (void)dlopen(facts.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
#endif
}

/* ---- The rest */

double os_now(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

unsigned os_processors(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}

uint64_t os_memory_size(void) {
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages * os_page_size() : (uint64_t)1 << 30;
}

uint64_t os_random(void) {
    uint64_t bits = 0;
#ifdef __linux__
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits) return bits;
#endif
    struct timespec time;
    (void)clock_gettime(CLOCK_REALTIME, &time);
    bits = (uint64_t)time.tv_nsec * 0x9E3779B97F4A7C15u ^ (uint64_t)(uintptr_t)&bits;
    return bits ^ (uint64_t)getpid() << 32;
}
