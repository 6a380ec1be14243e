/* os.h - the whole contract with the operating system: folders, files, maps, locks, threads, clock.
 *
 * One implementation per platform (posix.c and posix_files.c; a simulated disk in tests). Functions
 * that can fail return 0 or an errno value; nothing here knows what a store is. Interrupted calls
 * are retried, short reads and writes continued. Needs POSIX names beside C11: build with
 * -std=gnu11.
 */
#ifndef PKV_OS_H
#define PKV_OS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "visibility.h"

/* ---- Folders: everything is named relative to an open folder, so that renaming it, or a symlink
 * on the way, cannot move a store between two calls. */

typedef struct os_folder {
    int fd;
    uint64_t device, inode;
} os_folder;

/* Creates `path` and its parents (mode 0700) where missing, and makes the names of all of them
 * durable. */
int os_folder_create(const char *path);
int os_folder_open(const char *path, os_folder *folder);
void os_folder_close(os_folder *folder);
/* Calls `visit` with each name but "." and ".."; a visit that returns non-zero ends it. */
int os_folder_list(const os_folder *folder, int (*visit)(void *context, const char *name),
                   void *context);
int os_folder_sync(const os_folder *folder);

/* ---- Files. Never follows a symlink as the last part of a name; creates with mode 0600. */

typedef enum os_open_mode {
    OS_READ,       /* must exist */
    OS_WRITE,      /* read and write; must exist */
    OS_CREATE,     /* read and write; created where missing */
    OS_CREATE_NEW, /* read and write; EEXIST where there */
} os_open_mode;

int os_file_open(const os_folder *folder, const char *name, os_open_mode mode, int *fd);
int os_file_close(int fd);
int os_file_size(int fd, uint64_t *size);
/* Reads up to `size` bytes at `offset`; *got is less only at the end of the file. */
int os_file_read(int fd, void *buffer, size_t size, uint64_t offset, size_t *got);
int os_file_write(int fd, const void *data, size_t size, uint64_t offset);
int os_file_truncate(int fd, uint64_t size);
/* Makes sure that [offset, offset + size) has room on the disk; extends the file with zeros. */
int os_file_allocate(int fd, uint64_t offset, uint64_t size);
/* Sets room on the disk aside for it, and leaves the file's size. Only a hint, so not where that
 * would be more than an eighth of what is free: ENOSPC. */
int os_file_reserve(int fd, uint64_t offset, uint64_t size);
/* Flushes data and what is needed to read it back. */
int os_file_sync(int fd);
/* Asks the kernel to forget its copy, so that the next read comes from the disk. A hint. */
void os_file_drop_cache(int fd);
int os_rename(const os_folder *folder, const char *from, const char *to);
int os_unlink(const os_folder *folder, const char *name);

/* Exclusive lock of an open file, shared with the crate (flock): EWOULDBLOCK where it is held, and
 * still is after a moment. */
int os_file_lock(int fd);
/* True where stores through a shared mapping are as safe as write() on this file's file system,
 * and a populated page of an allocated range never raises SIGBUS. */
bool os_file_maps_safely(int fd);

/* ---- Memory */

/* Of x86-64, and of aarch64 with pages of 4 KiB; elsewhere there is no page of this size. */
#define OS_LARGE_PAGE ((size_t)2 << 20)

size_t os_page_size(void);
/* Reserves address space without memory behind it; NULL if there is none. Pages in it will be small
 * ones, but for those of os_commit_large. */
void *os_reserve(size_t size);
void os_unreserve(void *base, size_t size);
/* Makes part of a reservation readable, writable memory, zeroed. */
int os_commit(void *base, size_t size);
/* The same for OS_LARGE_PAGE bytes on a multiple of it, in one page of that size where the system
 * has one; that page is there, and counts as used, from now on. */
int os_commit_large(void *base, size_t size);
/* Gives the memory behind a committed part back; it stays committed, and zeroed when next used. */
void os_discard(void *base, size_t size);
/* Maps [offset, offset + size) of a file, shared, to be written to and read back; NULL if that
 * cannot be. The file may end before: a page is there once it has been populated, not before. */
void *os_map_file(int fd, uint64_t offset, size_t size);
void os_unmap_file(void *base, size_t size);
/* Has every page of this part present and writable on return; the file must be as long. An error
 * (ENOSPC, EINVAL on old kernels) raises no signal. */
int os_map_populate(void *base, size_t size);
/* Drops the process's view of mapped file pages; the kernel keeps the data. A hint. */
void os_map_forget(void *base, size_t size);

/* ---- Threads */

typedef pthread_mutex_t os_mutex;
typedef pthread_cond_t os_cond;
typedef pthread_rwlock_t os_rwlock;
typedef pthread_t os_thread;

int os_mutex_init(os_mutex *mutex);
void os_mutex_destroy(os_mutex *mutex);
static inline void os_lock(os_mutex *mutex) {
    (void)pthread_mutex_lock(mutex);
}
static inline void os_unlock(os_mutex *mutex) {
    (void)pthread_mutex_unlock(mutex);
}

/* A lock for what is often done and short. All zeros is a free one. Whoever finds it taken tries
 * again for some microseconds, then lets others run, and sleeps at last, for a moment each time:
 * nobody is woken. So a plain store releases it, for which the processor need not wait. */
typedef struct os_latch {
    _Atomic uint32_t taken;
} os_latch;

static inline bool os_latch_try(os_latch *latch) {
    return atomic_exchange_explicit(&latch->taken, 1, memory_order_acquire) == 0;
}
void os_latch_contended(os_latch *latch);
static inline void os_latch_take(os_latch *latch) {
    if (!os_latch_try(latch)) os_latch_contended(latch);
}
static inline void os_latch_release(os_latch *latch) {
    atomic_store_explicit(&latch->taken, 0, memory_order_release);
}

/* Waits until a number that only grows has come to `value`, and for all that was written before it
 * did; in the manner of a latch, since it is for waits as short. The second gives up, and answers
 * false, where others would have to be let run. */
void os_await_longer(const _Atomic uint64_t *number, uint64_t value);
bool os_await_briefly_longer(const _Atomic uint64_t *number, uint64_t value);
static inline bool os_has_come(const _Atomic uint64_t *number, uint64_t value) {
    return atomic_load_explicit(number, memory_order_acquire) >= value;
}
static inline void os_await(const _Atomic uint64_t *number, uint64_t value) {
    if (!os_has_come(number, value)) os_await_longer(number, value);
}
static inline bool os_await_briefly(const _Atomic uint64_t *number, uint64_t value) {
    return os_has_come(number, value) || os_await_briefly_longer(number, value);
}

/* Condition variables wait on the monotonic clock. */
int os_cond_init(os_cond *cond);
void os_cond_destroy(os_cond *cond);
static inline void os_wait(os_cond *cond, os_mutex *mutex) {
    (void)pthread_cond_wait(cond, mutex);
}
/* Waits until `deadline` of os_now at the latest. */
void os_wait_until(os_cond *cond, os_mutex *mutex, double deadline);
static inline void os_wake_all(os_cond *cond) {
    (void)pthread_cond_broadcast(cond);
}

/* A turn that threads wait for the end of, each without a lock when it goes on, so that many who
 * are woken at once do not queue up again: Linux's futex (Franke, Russell, Kirkwood 2002). */
typedef struct os_gate {
    _Atomic uint32_t turn;
#ifndef __linux__
    os_mutex lock;
    os_cond opened;
#endif
} os_gate;

int os_gate_init(os_gate *gate);
void os_gate_destroy(os_gate *gate);
static inline uint32_t os_gate_turn(const os_gate *gate) {
    return atomic_load_explicit(&gate->turn, memory_order_acquire);
}
/* Returns once os_gate_open has ended that turn, or sooner. */
void os_gate_wait(os_gate *gate, uint32_t turn);
/* Begins the next turn, and wakes all who wait. */
void os_gate_open(os_gate *gate);

/* Writers are not starved by readers. */
int os_rwlock_init(os_rwlock *lock);
void os_rwlock_destroy(os_rwlock *lock);
static inline void os_lock_shared(os_rwlock *lock) {
    (void)pthread_rwlock_rdlock(lock);
}
static inline void os_lock_exclusive(os_rwlock *lock) {
    (void)pthread_rwlock_wrlock(lock);
}
static inline void os_rw_unlock(os_rwlock *lock) {
    (void)pthread_rwlock_unlock(lock);
}

/* Lets another thread run that waits for this processor, if there is one. Long work does so every
 * tenth of a millisecond or two: the kernel itself would let the other wait for a tick (1 to 10
 * ms). */
void os_yield(void);
/* The same for a loop with turn = 0, 1, 2 ... that waits for something short. Sleeps from some turn
 * on, so that a thread of less priority gets its turn too. */
void os_back_off(unsigned turn);

/* A thread with all signals blocked. */
int os_thread_start(os_thread *thread, void *(*body)(void *context), void *context);
void os_thread_join(os_thread thread);
/* From now on the calling thread lets those of the program go first: it gets less of a processor
 * that they want, and gives it back sooner. A hint. */
void os_thread_step_back(void);

/* How many times this process is a fork of the one that started: changes in the child only. */
extern atomic_uint os_forks;
static inline unsigned os_fork_generation(void) {
    return atomic_load_explicit(&os_forks, memory_order_relaxed);
}
/* Registers handlers once: `prepare` runs in the parent before fork, `parent` and `child` after. */
int os_fork_handlers(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* Keeps the library's code in memory until the process ends, also where a program that has loaded
 * it as a plug-in unloads it: threads may be running in it. */
void os_stay_loaded(void);

/* ---- The rest */

/* Seconds on a monotonic clock. */
double os_now(void);
unsigned os_processors(void);
uint64_t os_memory_size(void);
/* Unpredictable bits; falls back to the clock and addresses where the system has none. */
uint64_t os_random(void);

#include "visibility_end.h"
#endif
