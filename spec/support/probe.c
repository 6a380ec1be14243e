/* probe.c - see probe.h.
 *
 * Each call of the layer is a macro that puts a probe_site into a section of its own, so the table
 * of sites holds those that are never reached, too. A macro is not expanded within itself: there
 * its name means the C library's function.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include "../../src/os/os.h"

/* ---- The table of sites */

extern probe_site __start_sites[], __stop_sites[];

probe_site *probe_sites(size_t *count) {
    *count = (size_t)(__stop_sites - __start_sites);
    return __start_sites;
}

#define SITE(call)                                                                                 \
    ({                                                                                             \
        static probe_site here                                                                     \
            __attribute__((used, section("sites"))) = {call, __FILE__, __LINE__, 0, 0};            \
        &here;                                                                                     \
    })

/* ---- Failing */

static pthread_mutex_t planning = PTHREAD_MUTEX_INITIALIZER;
static struct {
    probe_plan plan;
    unsigned calls, met;
} plans[PROBE_PLANS];
static size_t plan_count;

void probe_fail(const probe_plan *next, size_t count) {
    if (count > PROBE_PLANS) abort();
    (void)pthread_mutex_lock(&planning);
    for (size_t i = 0; i < count; i++) {
        plans[i].plan = next[i];
        plans[i].calls = plans[i].met = 0;
    }
    plan_count = count;
    (void)pthread_mutex_unlock(&planning);
}

unsigned probe_met(void) {
    (void)pthread_mutex_lock(&planning);
    unsigned met = plans[0].met;
    (void)pthread_mutex_unlock(&planning);
    return met;
}

/* Takes the plan that wants this call, if there is one. */
static bool is_planned(const char *call, probe_plan *plan) {
    bool planned = false;
    (void)pthread_mutex_lock(&planning);
    for (size_t i = 0; i < plan_count && !planned; i++) {
        if (strcmp(plans[i].plan.call, call) != 0) continue;
        const probe_plan *one = &plans[i].plan;
        unsigned number = ++plans[i].calls;
        planned = number >= one->first && number - one->first < one->count;
        plans[i].met += planned;
        if (planned) *plan = *one;
    }
    (void)pthread_mutex_unlock(&planning);
    return planned;
}

static bool fail_by(const probe_plan *plan, probe_site *site) {
    if (plan->fault != PROBE_ERROR) return false;
    atomic_fetch_add(&site->failures, 1);
    errno = plan->error;
    return true;
}

bool probe_fails(probe_site *site) {
    probe_plan plan;
    atomic_fetch_add(&site->calls, 1);
    return is_planned(site->call, &plan) && fail_by(&plan, site);
}

/* For a read or write: *size becomes what is served of it. */
static probe_plan cut(probe_site *site, size_t *size) {
    probe_plan plan = {.fault = PROBE_HALF};
    atomic_fetch_add(&site->calls, 1);
    if (!is_planned(site->call, &plan)) return plan;
    if (*size > 1) *size = plan.fault == PROBE_ONE_BYTE ? 1 : *size / 2;
    return plan;
}

/* ---- Telling */

#define FDS 1024

static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;
static void (*on_call)(const char *line);
static char names[FDS][256];

void probe_on_call(void (*told)(const char *line)) {
    (void)pthread_mutex_lock(&telling);
    on_call = told;
    (void)pthread_mutex_unlock(&telling);
}

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...) {
    int error = errno;
    char line[sizeof names[0] + 64];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    (void)pthread_mutex_lock(&telling);
    if (on_call) on_call(line);
    (void)pthread_mutex_unlock(&telling);
    errno = error;
}

static void remember(int fd, const char *name) {
    if (fd >= 0 && fd < FDS) (void)snprintf(names[fd], sizeof names[fd], "%s", name);
}

static const char *name_of(int fd) {
    return fd >= 0 && fd < FDS ? names[fd] : "?";
}

/* ---- Calls that are told */

static int probed_openat(probe_site *site, int folder, const char *name, int flags, ...) {
    if (probe_fails(site)) return -1;
    bool again = folder != AT_FDCWD && strcmp(name, ".") == 0; /* to be listed */
    int fd = openat(folder, name, flags, 0600);
    remember(fd, again ? name_of(folder) : name);
    if (fd >= 0 && !again) tell("%s %s", flags & O_CREAT ? "create" : "open", name);
    return fd;
}

static DIR *probed_fdopendir(probe_site *site, int fd) {
    DIR *listing = probe_fails(site) ? NULL : fdopendir(fd);
    if (listing) tell("list %s", name_of(fd));
    return listing;
}

/* The descriptor is gone, whatever is said. */
static int probed_close(probe_site *site, int fd) {
    tell("close %s", name_of(fd));
    int result = close(fd);
    return probe_fails(site) ? -1 : result;
}

static ssize_t probed_pread(probe_site *site, int fd, void *buffer, size_t size, off_t offset) {
    probe_plan plan = cut(site, &size);
    if (fail_by(&plan, site)) return -1;
    ssize_t got = pread(fd, buffer, size, offset);
    if (got > 0) tell("read %s %lld %zd", name_of(fd), (long long)offset, got);
    return got;
}

static ssize_t probed_pwrite(probe_site *site, int fd, const void *data, size_t size,
                             off_t offset) {
    probe_plan plan = cut(site, &size);
    ssize_t written = pwrite(fd, data, size, offset);
    if (fail_by(&plan, site) || written <= 0) return -1;
    tell("write %s %lld %zd", name_of(fd), (long long)offset, written);
    return written;
}

static int probed_fdatasync(probe_site *site, int fd) {
    if (probe_fails(site) || fdatasync(fd) != 0) return -1;
    tell("sync %s", name_of(fd));
    return 0;
}

static int probed_fsync(probe_site *site, int fd) {
    if (probe_fails(site) || fsync(fd) != 0) return -1;
    tell("sync %s", name_of(fd));
    return 0;
}

static int probed_ftruncate(probe_site *site, int fd, off_t size) {
    if (probe_fails(site) || ftruncate(fd, size) != 0) return -1;
    tell("truncate %s %lld", name_of(fd), (long long)size);
    return 0;
}

static int probed_fallocate(probe_site *site, int fd, int mode, off_t offset, off_t size) {
    if (probe_fails(site) || fallocate(fd, mode, offset, size) != 0) return -1;
    const char *what = mode == FALLOC_FL_KEEP_SIZE ? "reserve" : "allocate";
    tell("%s %s %lld %lld", what, name_of(fd), (long long)offset, (long long)size);
    return 0;
}

static int probed_renameat(probe_site *site, int from_fd, const char *from, int to_fd,
                           const char *to) {
    if (probe_fails(site) || renameat(from_fd, from, to_fd, to) != 0) return -1;
    tell("rename %s %s", from, to);
    return 0;
}

static int probed_unlinkat(probe_site *site, int fd, const char *name, int flags) {
    if (probe_fails(site) || unlinkat(fd, name, flags) != 0) return -1;
    tell("unlink %s", name);
    return 0;
}

static int probed_mkdir(probe_site *site, const char *path, mode_t mode) {
    if (probe_fails(site) || mkdir(path, mode) != 0) return -1;
    tell("folder %s", path);
    return 0;
}

static int probed_flock(probe_site *site, int fd, int operation) {
    if (probe_fails(site) || flock(fd, operation) != 0) return -1;
    tell("lock %s", name_of(fd));
    return 0;
}

static int probed_fadvise(probe_site *site, int fd, off_t offset, off_t size, int advice) {
    if (probe_fails(site)) return errno;
    int error = posix_fadvise(fd, offset, size, advice);
    if (!error) tell("forget %s", name_of(fd));
    return error;
}

/* Of each open file: a file is mapped once, and told of when its pages are there. */
static struct {
    char *base;
    size_t size;
    off_t offset;
} maps[FDS];

static void *probed_mmap(probe_site *site, void *base, size_t size, int protection, int flags,
                         int fd, off_t offset) {
    void *at = probe_fails(site) ? MAP_FAILED : mmap(base, size, protection, flags, fd, offset);
    if (fd < 0 || fd >= FDS || at == MAP_FAILED) return at;
    (void)pthread_mutex_lock(&telling);
    maps[fd].base = at;
    maps[fd].size = size;
    maps[fd].offset = offset;
    (void)pthread_mutex_unlock(&telling);
    return at;
}

static int probed_munmap(probe_site *site, void *base, size_t size) {
    if (probe_fails(site)) return -1;
    (void)pthread_mutex_lock(&telling);
    for (int fd = 0; fd < FDS; fd++) {
        if (maps[fd].base == base) maps[fd].base = NULL;
    }
    (void)pthread_mutex_unlock(&telling);
    return munmap(base, size);
}

static void tell_populated(const char *base, size_t size) {
    int fd = 0;
    (void)pthread_mutex_lock(&telling);
    while (fd < FDS &&
           (!maps[fd].base || base < maps[fd].base || base >= maps[fd].base + maps[fd].size)) {
        fd++;
    }
    off_t at = fd < FDS ? maps[fd].offset + (base - maps[fd].base) : 0;
    (void)pthread_mutex_unlock(&telling);
    if (fd < FDS) tell("map %s %lld %zu", name_of(fd), (long long)at, size);
}

static int probed_madvise(probe_site *site, void *base, size_t size, int advice) {
    if (probe_fails(site) || madvise(base, size, advice) != 0) return -1;
    if (advice == MADV_POPULATE_WRITE) tell_populated(base, size);
    return 0;
}

/* ---- The layer itself */

#define openat(...)                 probed_openat(SITE("openat"), __VA_ARGS__)
#define fdopendir(fd)               probed_fdopendir(SITE("fdopendir"), fd)
#define close(fd)                   probed_close(SITE("close"), fd)
#define pread(...)                  probed_pread(SITE("pread"), __VA_ARGS__)
#define pwrite(...)                 probed_pwrite(SITE("pwrite"), __VA_ARGS__)
#define fdatasync(fd)               probed_fdatasync(SITE("fdatasync"), fd)
#define fsync(fd)                   probed_fsync(SITE("fsync"), fd)
#define ftruncate(...)              probed_ftruncate(SITE("ftruncate"), __VA_ARGS__)
#define fallocate(...)              probed_fallocate(SITE("fallocate"), __VA_ARGS__)
#define renameat(...)               probed_renameat(SITE("renameat"), __VA_ARGS__)
#define unlinkat(...)               probed_unlinkat(SITE("unlinkat"), __VA_ARGS__)
#define mkdir(...)                  probed_mkdir(SITE("mkdir"), __VA_ARGS__)
#define flock(...)                  probed_flock(SITE("flock"), __VA_ARGS__)
#define posix_fadvise(...)          probed_fadvise(SITE("posix_fadvise"), __VA_ARGS__)
#define mmap(...)                   probed_mmap(SITE("mmap"), __VA_ARGS__)
#define munmap(...)                 probed_munmap(SITE("munmap"), __VA_ARGS__)
#define madvise(base, size, advice) probed_madvise(SITE(#advice), base, size, advice)

#define readdir(listing) (probe_fails(SITE("readdir")) ? NULL : readdir(listing))
#define strdup(text)     (probe_fails(SITE("strdup")) ? NULL : strdup(text))
#define fstat(...)       (probe_fails(SITE("fstat")) ? -1 : fstat(__VA_ARGS__))
#define fstatfs(...)     (probe_fails(SITE("fstatfs")) ? -1 : fstatfs(__VA_ARGS__))
#define fchmod(...)      (probe_fails(SITE("fchmod")) ? -1 : fchmod(__VA_ARGS__))
#define nanosleep(...)   (probe_fails(SITE("nanosleep")) ? -1 : nanosleep(__VA_ARGS__))
#define mprotect(...)    (probe_fails(SITE("mprotect")) ? -1 : mprotect(__VA_ARGS__))
#define getrandom(...)   (probe_fails(SITE("getrandom")) ? -1 : getrandom(__VA_ARGS__))

/* These return the error itself. */
#define RETURNS_ERROR(call, ...)           (probe_fails(SITE(#call)) ? errno : (call)(__VA_ARGS__))
#define pthread_create(...)                RETURNS_ERROR(pthread_create, __VA_ARGS__)
#define pthread_atfork(...)                RETURNS_ERROR(pthread_atfork, __VA_ARGS__)
#define pthread_sigmask(...)               RETURNS_ERROR(pthread_sigmask, __VA_ARGS__)
#define pthread_mutex_init(...)            RETURNS_ERROR(pthread_mutex_init, __VA_ARGS__)
#define pthread_cond_init(...)             RETURNS_ERROR(pthread_cond_init, __VA_ARGS__)
#define pthread_condattr_init(...)         RETURNS_ERROR(pthread_condattr_init, __VA_ARGS__)
#define pthread_rwlock_init(...)           RETURNS_ERROR(pthread_rwlock_init, __VA_ARGS__)
#define pthread_rwlockattr_init(...)       RETURNS_ERROR(pthread_rwlockattr_init, __VA_ARGS__)
#define pthread_condattr_setclock(...)     RETURNS_ERROR(pthread_condattr_setclock, __VA_ARGS__)
#define pthread_rwlockattr_setkind_np(...) RETURNS_ERROR(pthread_rwlockattr_setkind_np, __VA_ARGS__)

#include "../../src/os/posix.c"
#include "../../src/os/posix_files.c"
