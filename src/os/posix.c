/* posix.c - os.h on POSIX systems: all but files, which are in posix_files.c. Linux is the one that
 * is measured; where another system lacks a call, the portable way is taken and what it does not
 * promise is said beside it. */
#define _GNU_SOURCE
#include "os.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <limits.h>
#include <linux/futex.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#endif

/* ---- Memory */

size_t os_page_size(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

void *os_reserve(size_t size) {
    void *base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return NULL;
#ifdef MADV_NOHUGEPAGE
    (void)madvise(base, size, MADV_NOHUGEPAGE);
#endif
    return base;
}

void os_unreserve(void *base, size_t size) {
    (void)munmap(base, size);
}

int os_commit(void *base, size_t size) {
    return mprotect(base, size, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
}

/* The advice is taken back after the first touch: else the kernel would, in its own time, fill such
 * pages up again of which parts have been given back. */
int os_commit_large(void *base, size_t size) {
    int error = os_commit(base, size);
    if (error) return error;
#ifdef MADV_HUGEPAGE
    (void)madvise(base, size, MADV_HUGEPAGE);
#endif
    *(volatile uint8_t *)base = 0;
#ifdef MADV_NOHUGEPAGE
    (void)madvise(base, size, MADV_NOHUGEPAGE);
#endif
    return 0;
}

void os_discard(void *base, size_t size) {
    if (madvise(base, size, MADV_DONTNEED) != 0) memset(base, 0, size);
}

/* ---- Threads */

int os_mutex_init(os_mutex *mutex) {
    return pthread_mutex_init(mutex, NULL);
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

#ifdef __linux__
int os_gate_init(os_gate *gate) {
    atomic_init(&gate->turn, 0);
    return 0;
}

void os_gate_destroy(os_gate *gate) {
    (void)gate;
}

void os_gate_wait(os_gate *gate, uint32_t turn) {
    (void)syscall(SYS_futex, &gate->turn, FUTEX_WAIT_PRIVATE, turn, NULL, NULL, 0);
}

void os_gate_open(os_gate *gate) {
    atomic_fetch_add_explicit(&gate->turn, 1, memory_order_release);
    (void)syscall(SYS_futex, &gate->turn, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
#else
int os_gate_init(os_gate *gate) {
    atomic_init(&gate->turn, 0);
    int error = os_mutex_init(&gate->lock);
    if (error) return error;
    error = os_cond_init(&gate->opened);
    if (error) os_mutex_destroy(&gate->lock);
    return error;
}

void os_gate_destroy(os_gate *gate) {
    os_cond_destroy(&gate->opened);
    os_mutex_destroy(&gate->lock);
}

void os_gate_wait(os_gate *gate, uint32_t turn) {
    os_lock(&gate->lock);
    if (os_gate_turn(gate) == turn) os_wait(&gate->opened, &gate->lock);
    os_unlock(&gate->lock);
}

void os_gate_open(os_gate *gate) {
    os_lock(&gate->lock);
    atomic_fetch_add_explicit(&gate->turn, 1, memory_order_release);
    os_unlock(&gate->lock);
    os_wake_all(&gate->opened);
}
#endif

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

void os_yield(void) {
    (void)sched_yield();
}

void os_back_off(unsigned turn) {
    const struct timespec moment = {.tv_nsec = 50000};
    if (turn < 100) {
        os_yield();
    } else {
        (void)nanosleep(&moment, NULL);
    }
}

/* The longest wait between two tries for a latch, in pauses; all together take some 10
 * microseconds. */
#define PAUSES_MAX 128u

/* Tells the processor that the thread waits for another one. */
static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* A wait between two looks, longer from one to the next (Anderson 1990). Zero it before the first.
 */
typedef struct backoff {
    unsigned pauses, turn;
} backoff;

static void wait_a_little(backoff *b) {
    if (b->pauses > PAUSES_MAX) {
        os_back_off(b->turn++);
        return;
    }
    for (unsigned i = 0; i < b->pauses; i++) pause_briefly();
    b->pauses = b->pauses ? 2 * b->pauses : 1;
}

/* Each try takes the latch's cache line away from its holder, so they are made only where it looks
 * free, and grow rare (test-and-test-and-set, exponential backoff). */
void os_latch_contended(os_latch *latch) {
    backoff b = {0, 0};
    do {
        wait_a_little(&b);
    } while (atomic_load_explicit(&latch->taken, memory_order_relaxed) || !os_latch_try(latch));
}

void os_await_longer(const _Atomic uint64_t *number, uint64_t value) {
    backoff b = {0, 0};
    do {
        wait_a_little(&b);
    } while (!os_has_come(number, value));
}

bool os_await_briefly_longer(const _Atomic uint64_t *number, uint64_t value) {
    backoff b = {0, 0};
    while (b.pauses <= PAUSES_MAX) {
        wait_a_little(&b);
        if (os_has_come(number, value)) return true;
    }
    return false;
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

/* How much nicer, and the longest turn. Linux 6.12 and later honour the turn. */
#define BACKGROUND_NICE    10
#define BACKGROUND_TURN_NS 100000

void os_thread_step_back(void) {
#ifdef SYS_sched_setattr
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {.size = sizeof attributes, .runtime = BACKGROUND_TURN_NS};
    int nice = getpriority(PRIO_PROCESS, 0) + BACKGROUND_NICE; /* of the thread, on Linux */
    attributes.nice = nice < 19 ? nice : 19;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
#endif
}

atomic_uint os_forks;
static void (*user_child)(void);

static void after_fork_in_child(void) {
    atomic_fetch_add_explicit(&os_forks, 1, memory_order_relaxed);
    user_child();
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
