/* disk.h - the wing of a stopped store: one folder, its lock, manifest, log and snapshots, behind
 * one interface. Files by layer:
 *
 *     disk       opens, starts and closes the folder; admin, check, repair
 *      ├ publish    the life of a snapshot, step by step
 *      │  └ snapshot   its files
 *      ├ restore    reads everything back, up to damage
 *      │  └ pipeline   one file, by several threads
 *      │     └ slice      some of its records
 *      ├ examine    reads everything, and goes on behind damage
 *      ├ judge      tells damage from a torn tail, for both
 *      ├ salvage    reads what is left of damaged files
 *      ├ sweep      a damaged file's records
 *      ├ reader     one file's records
 *      ├ wal        the log
 *      │  └ log_file   one file of it
 *      ├ manifest   what is in force
 *      ├ fileset    names
 *      └ record     one entry as bytes
 *
 * Order of calls: disk_begin, disk_open, disk_restore, disk_start; then appends (disk_log) and
 * snapshots from any thread, snapshots one at a time; at last disk_close. disk_open and
 * disk_restore change nothing in the folder but for the lock file.
 */
#ifndef PKV_DISK_H
#define PKV_DISK_H

#include <stdatomic.h>
#include "fileset.h"
#include "findings.h"
#include "manifest.h"
#include "restore.h"
#include "snapshot.h"
#include "wal.h"
#include "../os/visibility.h"

typedef struct disk {
    os_folder folder;
    int lock_fd;
    char path[256]; /* for messages, cut where it is longer */

    os_mutex lock; /* of the manifest, once started; never held while a file is written */
    manifest m;    /* as published, or about to be */
    pkv_keys keys;
    pkv_integer key_type;
    pkv_values values;
    findings *findings; /* of a check, which goes on after what would fail an open; else NULL */
    bool had_manifest, was_clean;
    bool rehashed; /* keys may belong to other log shards than before: a new log is needed */
    wal *log;
    uint64_t current;    /* ordinal of the log that is appended to */
    uint64_t retired;    /* of the one before, while `unfinished` */
    uint64_t listed;     /* of one that is listed, but was never switched to; or 0 */
    uint64_t unfinished; /* of a snapshot whose log has been rotated, but that failed; or 0 */
} disk;

typedef struct disk_wants {
    pkv_keys keys;
    pkv_integer key_type;
    pkv_values values;
    bool create;
} disk_wants;

/* Opens the folder itself, created where wanted. */
pkv_status disk_open_folder(const char *path, bool create, os_folder *folder);

/* Opens the lock file. *d is zeroed but for lock_fd, which is -1; `folder` belongs to it from now
 * on, also on failure. Where a fork may come, it must not come during this call, or the child could
 * hold on to a lock file that nobody knows of. */
pkv_status disk_begin(const char *path, os_folder folder, disk *d);

/* The first part of disk_open: takes the lock. Leaves *d open on failure. */
pkv_status disk_lock(disk *d);

/* Takes the lock, learns what is there and checks it against the wants. d->keys, key_type and
 * values then say what the store is to be taken for, and d->m.hash_seed how keys are to be hashed.
 * After a failure *d is closed. */
pkv_status disk_open(disk *d, const disk_wants *wants);

pkv_status disk_restore(disk *d, unsigned threads, const restore_sink *sink,
                        restore_result *result);

/* Repairs what was torn, opens the log for appending, removes what is obsolete. */
pkv_status disk_start(disk *d, const wal_options *options);

/* Flushes and closes everything; the last thing done with *d. Before disk_start, and on a zeroed
 * disk with lock_fd -1, it just lets go. */
pkv_status disk_close(disk *d);
/* In a forked child: gives up memory and descriptors. */
void disk_forget(disk *d);
/* In a forked child, at once: lets go of the lock file, which stays the parent's. */
void disk_forget_lock(disk *d);

typedef struct disk_snapshot_plan {
    uint32_t shard_count;
    unsigned threads;
    uint32_t keep_backups;
    snapshot_source source;
    /* Returns once every writer that appended to a log before this call has applied its change. */
    void (*settle)(void *context);
} disk_snapshot_plan;

typedef struct disk_snapshot_result {
    uint64_t ordinal, entries, bytes;
} disk_snapshot_result;

/* Writes and publishes a snapshot. A failure leaves all that was in force in force; the next call
 * goes on from there. (publish.c) */
pkv_status disk_snapshot(disk *d, const disk_snapshot_plan *plan, disk_snapshot_result *result);

/* Ends what the rotation of an unfinished snapshot began: flushes and cuts the log before the
 * current one. (publish.c) */
pkv_status disk_retire_log(disk *d);

/* Bytes of log that a restart would replay; bytes and ordinal of the published snapshot, or 0. */
uint64_t disk_log_bytes(disk *d);
uint64_t disk_snapshot_bytes(disk *d, uint64_t *ordinal);

/* Calls `call` with each file that is not in force and never will be again: leftovers of an
 * interrupted clean-up, and pending files of snapshots that failed. Only while nobody else changes
 * the manifest, or writes a snapshot. */
pkv_status disk_each_leftover(disk *d,
                              void (*call)(disk *d, const file_name *name, const char *text));
/* Removes them, best effort. */
void disk_remove_leftovers(disk *d);

/* Admin: see pkv.h. */
pkv_status disk_prune_backups(const char *path, uint32_t keep, uint64_t *removed);
pkv_status disk_delete_pending(const char *path, uint64_t *removed);

/* Has a repair in place left the folder such that it can be opened only when another has ended what
 * that one began? (repair.c) */
bool disk_repair_interrupted(const disk *d);

pkv_status disk_check(const char *path, pkv_on_finding call, void *context,
                      pkv_check_report *report);
pkv_status disk_repair(const char *path, const pkv_repair_options *options, pkv_on_finding call,
                       void *context, pkv_repair_report *report);

#include "../os/visibility_end.h"
#endif
