/* wal.h - the write-ahead log: sharded, flushed in groups, rotated under the writers' feet.
 *
 * Each shard has a current file that records are appended to, under the shard's append lock. A
 * rotation switches shard after shard to the files of a higher ordinal; the old ones are retired:
 * they are flushed, cut to size and closed later, outside any lock that a writer needs.
 *
 * A record's position counts the bytes of its shard's history over all files since the log was
 * opened. Everything below the durable position has been flushed. Flushing is done by one thread
 * for all that wait (group_commit.h), the retired file first, so that what is durable has no hole.
 *
 * A flush that fails is never tried again, since the kernel may have forgotten the pages: the log
 * is broken from then on and every append and wait is told so.
 *
 * Thread rules: all functions may be called at any time from any thread, but prepare, rotate
 * and retire only from one (the snapshot's), and open and close when nobody else is there.
 */
#ifndef PKV_WAL_H
#define PKV_WAL_H

#include <stdbool.h>
#include "../pkv.h"
#include "../os/os.h"
#include "record.h"
#include "../os/visibility.h"

typedef struct wal wal;

typedef struct wal_options {
    uint32_t shard_count;
    pkv_sync_mode sync;
    double sync_seconds; /* of PKV_SYNC_INTERVAL */
    pkv_wal_io io;
    uint64_t salt; /* of the records' checksums */
    /* Called by the log's own thread when room had to be made: the log has grown. */
    void (*grown)(void *context);
    void *context;
} wal_options;

/* Creates the empty files of an ordinal and makes them durable by name. */
pkv_status wal_create_files(const os_folder *folder, uint64_t ordinal, uint32_t shard_count);
/* Removes them, as far as they are there. */
void wal_remove_files(const os_folder *folder, uint64_t ordinal, uint32_t shard_count);

/* Starts appending to the existing files of `ordinal` at `tails` (one per shard), all of which has
 * been flushed. `folder` must outlive the log. */
pkv_status wal_open(const os_folder *folder, const wal_options *options, uint64_t ordinal,
                    const uint64_t *tails, wal **out);

/* Appends the record to the shard's file. *position is behind it. On error the log is as before. */
pkv_status wal_append(wal *log, uint32_t shard, record *entry, uint64_t *position);

/* Returns once everything of the shard below `position` is durable. */
pkv_status wal_wait(wal *log, uint32_t shard, uint64_t position);
/* The same for all that has been appended to any shard. */
pkv_status wal_sync(wal *log);

/* Opens the files of `ordinal` for the next rotation and makes room in them. On error they are as
 * before. */
pkv_status wal_prepare(wal *log, uint64_t ordinal);
/* Switches all shards to the prepared files. Cannot fail half-way. */
pkv_status wal_rotate(wal *log);
/* Flushes, cuts and closes the files that the rotation retired; tells their sizes. */
pkv_status wal_retire(wal *log, uint64_t *sizes);

/* Flushes, cuts and closes all; tells the sizes. The log is gone, whatever is returned. */
pkv_status wal_close(wal *log, uint64_t *sizes);
/* In a forked child: gives memory and descriptors back, touches no lock, file or thread. */
void wal_forget(wal *log);

uint64_t wal_bytes(wal *log);   /* in current and retired files */
uint64_t wal_written(wal *log); /* appended since open */
uint64_t wal_flushes(wal *log);
bool wal_is_mapped(wal *log);
/* NULL, or the error that broke the log. */
const pkv_error *wal_broken(wal *log);
/* PKV_READ_ONLY where it is broken. */
pkv_status wal_check(wal *log);
/* Makes this thread's last error the one that broke the log. */
void wal_break(wal *log);

#include "../os/visibility_end.h"
#endif
