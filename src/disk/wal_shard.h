/* wal_shard.h - one shard of the log: the file that is appended to, and where it ends.
 *
 * A writer holds the lock `append` only while he claims the room for his record. He fills it
 * without, beside others who fill theirs, then waits until all the room before it is filled, and
 * says that his is:
 *
 *     | records       | being filled | being filled |
 *                     filled                        end
 *
 * Two at most fill at a time. Were there more, and more threads than processors, each would have to
 * be run in his turn to let the next one go on: whoever comes third waits until all is filled.
 *
 * So whatever has been appended has nothing but whole records before it, whoever is killed when.
 * Who fills waits for no lock, so whoever takes it when all is filled has the log to himself
 * (wal_shard_lock_settled): to flush it, to go on in another file, or to append what takes more
 * than a copy.
 */
#ifndef PKV_WAL_SHARD_H
#define PKV_WAL_SHARD_H

#include <stdalign.h>
#include <stdatomic.h>
#include "group_commit.h"
#include "log_file.h"
#include "../bytes/planted.h"
#include "../bytes/prefetch.h"
#include "../os/visibility.h"

typedef struct wal_shard {
    /* What every append changes or looks at is one cache line, which goes from writer to writer. */
    alignas(CACHE_LINE) os_latch append;
    log_file *file;
    uint64_t claimed;        /* position of the last claim */
    uint64_t end;            /* position behind it */
    _Atomic uint64_t filled; /* position: all records before it are whole */
    uint64_t wake_at;        /* position at which the keeper is to make room */
    uint64_t flushed;        /* to be said by a record; 0: nothing new to say */
    uint64_t previous_size;  /* likewise */

    alignas(CACHE_LINE) log_file *retired;
    log_file *next;
    _Atomic uint32_t seed; /* of `file`; read without the lock, and may be out of date then */
    uint64_t retired_size; /* of the file before; 0 where there was none */

    group_commit group;

    os_mutex keeping; /* held by the keeper while it uses `file` outside the append lock */
} wal_shard;

/* What follows in the shard's history is in this file. */
static inline void wal_shard_use(wal_shard *s, log_file *file, uint64_t start) {
    file->start = start;
    s->file = file;
    s->wake_at = start;
    atomic_store_explicit(&s->seed, file->seed, memory_order_relaxed);
}

/* The size of what lies in the current file. Called with `append` locked. */
static inline uint64_t wal_shard_tail(const wal_shard *s) {
    return s->end - s->file->start;
}

/* Takes `append` when all that was claimed is filled, and tells the file where it ends. Whoever
 * fills may have lost his processor: others are not kept from claiming for as long as that. */
static inline void wal_shard_lock_settled(wal_shard *s) {
    for (unsigned turn = 0;; os_back_off(turn++)) {
        os_latch_take(&s->append);
        if (os_await_briefly(&s->filled, s->end) || PLANTED(settle_unfilled)) break;
        os_latch_release(&s->append);
    }
    s->file->tail = wal_shard_tail(s);
}

/* All up to here is whole, and this is the end. Called with `append` locked and all settled. */
static inline void wal_shard_set_end(wal_shard *s, uint64_t end) {
    s->end = end;
    atomic_store_explicit(&s->filled, end, memory_order_release);
}

/* The room from `start` to `end` is filled: says so in its turn. */
static inline void wal_shard_note_filled(wal_shard *s, uint64_t start, uint64_t end) {
    if (!PLANTED(fill_out_of_turn)) os_await(&s->filled, start);
    if (PLANTED(fill_out_of_turn) && end < atomic_load(&s->filled)) return;
    atomic_store_explicit(&s->filled, end, memory_order_release);
}

#include "../os/visibility_end.h"
#endif
