/* store.h - the hall, private: an open store, where memory meets disk.
 *
 *     store.c       open, close, the registry of open stores, fork
 *     restoring.c   what the disk reads, memory takes
 *     operations.c  set, get, unset, sync, count
 *     cursor.c      iteration and drain
 *     background.c  the snapshot thread, when a snapshot is due, events, statistics
 *     integers.c    integer keys and values as bytes
 */
#ifndef PKV_STORE_H
#define PKV_STORE_H

#include <stdatomic.h>
#include "pkv.h"
#include "bytes/planted.h"
#include "disk/disk.h"
#include "memory/memory.h"
#include "os/error.h"
#include "os/os.h"
#include "os/visibility.h"

#define EVENTS_KEPT 64

typedef struct event_ring {
    os_mutex lock;
    atomic_uint_fast64_t count; /* events ever; event number n lies at (n - 1) % EVENTS_KEPT */
    pkv_event events[EVENTS_KEPT];
} event_ring;

/* The snapshot thread's desk. */
typedef struct snapshot_desk {
    os_mutex lock;
    os_cond wake, done;
    os_thread thread;
    bool has_locks, running; /* the thread */
    bool stop, due;
    uint64_t asked, begun, finished; /* tickets of those who wait */
    pkv_error error;                 /* of the latest attempt; status PKV_OK if it succeeded */
    double retry_at, retry_seconds;
    bool at_work;
    /* figures */
    uint64_t published, failures;
    double seconds;
    char last_failure[256];
} snapshot_desk;

struct pkv {
    pkv *next; /* in the registry */
    uint64_t device, inode;
    unsigned references;
    bool busy; /* being opened or closed: wait */
    unsigned fork_generation;

    pkv_config config;            /* what is in effect: nothing left at its default */
    unsigned snapshot_writers;    /* threads: where nobody has chosen, one less than there are */
    size_t key_least, key_spread; /* keys of key_least to key_least + key_spread bytes will do */
    memory memory;
    disk disk;
    snapshot_desk desk;
    event_ring events;
    atomic_uint_fast64_t writes; /* counted where snapshot_interval wants it */
    restore_result restored;
    double restore_seconds;
};

/* PKV_CLOSED or PKV_FORKED where the store must not be touched. */
static inline pkv_status store_usable(const pkv *store) {
    if (!store) return fail(PKV_CLOSED, NULL, NO_OFFSET, 0, "the store is closed");
    if (store->fork_generation == os_fork_generation()) return PKV_OK;
    if (PLANTED(forget_fork)) return PKV_OK;
    return fail(PKV_FORKED, NULL, NO_OFFSET, 0,
                "store %s was opened before fork, by the parent process; open it anew",
                store->disk.path);
}

/* store.c: the status; where it is a failure, its message names the store. For what touches files:
 * their names alone are the same in every store. */
pkv_status store_named(pkv_status status, const char *path);

/* store.c, the steps of closing. Marks the store as being closed, if there is one reference left.
 */
bool store_begin_close(pkv *store);
pkv_status store_stop(pkv *store); /* ends thread and disk; the memory stays */
void store_unlist(pkv *store);     /* lets opens of the same folder go on */
void store_free(pkv *store);

/* restoring.c: fills the memory from the disk. */
pkv_status store_restore(pkv *store);

/* operations.c: once the configuration is known. */
void store_set_key_sizes(pkv *store);
/* Why the store cannot have this key, if it cannot. */
pkv_status store_judge_key(const pkv *store, pkv_bytes key);

static inline bool store_takes_size(const pkv *store, size_t size) {
    return size - store->key_least <= store->key_spread;
}

static inline pkv_status store_check_key(const pkv *store, pkv_bytes key) {
    return store_takes_size(store, key.size) ? PKV_OK : store_judge_key(store, key);
}

/* The same of the store, which may be NULL, and of the key. */
__attribute__((noinline, cold)) pkv_status store_judge(const pkv *store, pkv_bytes key);

static inline pkv_status store_check(const pkv *store, pkv_bytes key) {
    bool good = store && store->fork_generation == os_fork_generation() &&
                store_takes_size(store, key.size);
    return __builtin_expect(good, 1) ? PKV_OK : store_judge(store, key);
}

/* background.c */
pkv_status background_start(pkv *store);
void background_stop(pkv *store); /* finishes the snapshot that is running or due */
void background_free(pkv *store); /* once the log, which may call in, is closed too */
void background_count_write(pkv *store);
void background_log_grown(void *store);
int events_init(event_ring *ring);
void events_add(event_ring *ring, const pkv_event *event);

#include "os/visibility_end.h"
#endif
