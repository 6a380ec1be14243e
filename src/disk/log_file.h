/* log_file.h - one file of the log: bytes appended at its tail, through a mapping or by positioned
 * writes.
 *
 *     0            forgotten        tail        ready
 *     |  records       |   records    |   zeros   |
 *                      '- mapped -----'-----------'
 *
 * Invariant: [tail, ready) is allocated on the disk and, where the file is mapped, present and
 * writable in the mapping; so an append of that size meets no full disk, no fault and no signal.
 * Making room is the work of a background thread, ahead of the writer; a writer who overtakes it
 * does a small piece of it himself. Past the end of its address space, or where the kernel cannot
 * populate a mapping, the file goes on with positioned writes: both see the same page cache.
 */
#ifndef PKV_LOG_FILE_H
#define PKV_LOG_FILE_H

#include <stdatomic.h>
#include "fileset.h"
#include "record.h"
#include "../os/visibility.h"

typedef enum log_file_way {
    LOG_FILE_WRITTEN,       /* by positioned writes */
    LOG_FILE_MAPPED,        /* through a mapping */
    LOG_FILE_MAPPED_BY_PAGE /* the same, and each page can be flushed without its neighbours */
} log_file_way;

typedef struct log_file {
    int fd;
    char name[FILE_NAME_BYTES];
    uint64_t ordinal;
    uint32_t seed;

    uint64_t tail;      /* behind the last record, buffered ones included */
    uint64_t opened_at; /* what it was then: all room is behind it */
    size_t piece;       /* of room that the page cache takes at once, and flushes at once */
    uint64_t start;     /* of the file in its shard's history, over all files: see wal.c */

    atomic_bool mapped;
    uint64_t reserved; /* on the disk, behind the end of the file too */
    uint8_t *base;     /* shows the file from map_start on, and far beyond its end */
    uint64_t map_start, map_bytes, forgotten;
    _Atomic uint64_t ready;
    os_mutex extending; /* held while room is made */

    uint8_t *buffer; /* encoded, not yet written: only without a mapping */
    size_t buffered, buffer_capacity;
} log_file;

/* Opens the existing file for appending at `tail`. */
pkv_status log_file_open(const os_folder *folder, const file_name *name, uint64_t salt,
                         uint64_t tail, log_file_way way, log_file **out);

/* Makes room up to `upto`, an offset in the file. */
pkv_status log_file_make_room(log_file *file, uint64_t upto);

/* Sets room on the disk aside up to `upto`, where there is plenty, so that making room need not
 * wait for the file system to find some. */
void log_file_reserve(log_file *file, uint64_t upto);

/* Appends the record, which may have been encoded early. `keep` leaves it in the buffer where there
 * is one. On error the file holds what it held; should even that be in doubt, *broken is set. */
pkv_status log_file_append(log_file *file, const record *entry, const early_record *early,
                           bool keep, bool *broken);

/* The same in two steps, where the file is mapped and has room: where `size` bytes at `offset` come
 * to lie, else NULL; and the record written there, whoever else writes elsewhere. The tail is left
 * to the caller. */
static inline uint8_t *log_file_room(const log_file *file, uint64_t offset, size_t size) {
    bool mapped = atomic_load_explicit(&file->mapped, memory_order_relaxed);
    bool there = offset + size <= atomic_load_explicit(&file->ready, memory_order_acquire);
    return mapped && there ? file->base + (offset - file->map_start) : NULL;
}
void log_file_fill(const log_file *file, uint8_t *at, const record *entry,
                   const early_record *early);

/* Writes the buffer to the file. */
pkv_status log_file_write_out(log_file *file);

/* Flushes all that has been written. Only one thread at a time. */
pkv_status log_file_sync(log_file *file);

/* Unmaps the file and cuts it to its tail: the end of appending. */
pkv_status log_file_seal(log_file *file);

/* Drops the process's view of pages behind the tail, once there are many. */
void log_file_forget(log_file *file, uint64_t upto);

/* Closes without writing anything; frees. NULL is allowed. log_file_abandon touches no lock, for a
 * forked child. */
void log_file_close(log_file *file);
void log_file_abandon(log_file *file);

#include "../os/visibility_end.h"
#endif
