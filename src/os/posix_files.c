/* posix_files.c - os.h on POSIX systems: folders, files, and maps of files. The rest is in posix.c,
 * so that the tests can put a simulated disk in this file's place. Where a system other than Linux
 * lacks a call, the portable way is taken and what it does not promise is said beside it. */
#define _GNU_SOURCE
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif
#include "../bytes/planted.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* ---- Folders */

/* The descriptor, or -1. */
static int open_at(int folder, const char *name, int flags) {
    for (;;) {
        int fd = openat(folder, name, flags | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EINTR) return fd;
    }
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

/* The name of a folder is durable once its parent is flushed. */
static int flush_parent(const char *path) {
    if (PLANTED(skip_parent_flush)) return 0;
    char *parent = strdup(path);
    if (!parent) return ENOMEM;
    char *slash = strrchr(parent, '/');
    if (slash) slash[slash == parent ? 1 : 0] = '\0';
    int fd = open_at(AT_FDCWD, slash ? parent : ".", O_RDONLY | O_DIRECTORY);
    free(parent);
    if (fd < 0) return errno;
    int error = sync_fd(fd, false);
    close(fd);
    return error;
}

/* One that is there already may have been made a moment ago, by whoever died before the flush, or
 * never flushes. But its parent need not be ours to read, nor of a kind that can be flushed. */
static int folder_create_one(const char *path) {
    if (mkdir(path, 0700) == 0) return flush_parent(path);
    if (errno != EEXIST) return errno;
    int error = flush_parent(path);
    return error == EACCES || error == EPERM || error == EINVAL ? 0 : error;
}

int os_folder_create(const char *path) {
    char *copy = strdup(path);
    if (!copy) return ENOMEM;
    size_t size = strlen(copy);
    while (size > 1 && copy[size - 1] == '/') copy[--size] = '\0';
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
    int fd = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
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
    int fd = open_at(folder->fd, ".", O_RDONLY | O_DIRECTORY);
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

int os_folder_sync(const os_folder *folder) {
    return sync_fd(folder->fd, false);
}

/* ---- Files */

static int open_regular(const os_folder *folder, const char *name, int flags, int *out) {
    /* O_NONBLOCK: a pipe planted under the name must not hang the open. */
    int fd = open_at(folder->fd, name, flags | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (PLANTED(follow_links) && fd < 0) fd = open_at(folder->fd, name, flags);
    if (fd < 0) return errno;
    struct stat facts;
    int error = 0;
    if (fstat(fd, &facts) != 0) {
        error = errno;
    } else if (!S_ISREG(facts.st_mode)) {
        error = EINVAL;
    } else if ((flags & O_EXCL) &&
               fchmod(fd, PLANTED(open_to_all) ? 0644 : 0600) != 0) { /* whatever the umask */
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

/* Where it is interrupted the descriptor is gone, and may be another file's by now. */
int os_file_close(int fd) {
    return close(fd) == 0 || errno == EINTR ? 0 : errno;
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

#ifdef __linux__
static int facts_of(int fd, struct statfs *facts) {
    while (fstatfs(fd, facts) != 0) {
        if (errno != EINTR) return errno;
    }
    return 0;
}
#endif

int os_file_reserve(int fd, uint64_t offset, uint64_t size) {
#ifdef __linux__
    enum { PLENTY = 8 };
    struct statfs facts;
    int error = facts_of(fd, &facts);
    if (error) return error;
    if ((uint64_t)facts.f_bavail * (uint64_t)facts.f_bsize / PLENTY < size) return ENOSPC;
    while (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) != 0) {
        if (errno != EINTR) return errno;
    }
    return 0;
#else
    (void)fd, (void)offset, (void)size;
    return EOPNOTSUPP;
#endif
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
    if (PLANTED(skip_owner_lock)) return 0;
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
    if (facts_of(fd, &facts) != 0) return false;
    return facts.f_type == EXT4 || facts.f_type == XFS || facts.f_type == TMPFS;
#else
    (void)fd;
    return false;
#endif
}

/* ---- Maps of files */

/* Not PROT_READ, though Linux lets what can be written be read: a leak checker looks through all
 * that can be both, and each page behind the file's end is a signal to it. */
void *os_map_file(int fd, uint64_t offset, size_t size) {
    void *base = mmap(NULL, size, PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    return base == MAP_FAILED ? NULL : base;
}

void os_unmap_file(void *base, size_t size) {
    (void)munmap(base, size);
}

int os_map_populate(void *base, size_t size) {
    for (;;) {
        if (madvise(base, size, MADV_POPULATE_WRITE) == 0) return 0;
        if (errno != EINTR && errno != EAGAIN) break;
    }
    /* EFAULT stands for the SIGBUS that a store into the page would have raised. */
    return errno == EFAULT ? ENOSPC : errno;
}

void os_map_forget(void *base, size_t size) {
    (void)madvise(base, size, MADV_DONTNEED);
}
