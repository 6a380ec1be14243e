/* publish.c - the life of a snapshot. s and w are ordinals, s < w:
 *
 *  1. create the log files w, make them durable by name, list them in the manifest, make room;
 *  2. switch shard after shard of the log to w, holding nothing but the shard's append lock;
 *     then wait for each writer that had appended to the old log to have applied its change;
 *  3. flush, cut and close the old log files;
 *  4. walk the table and write the pending files s, in parallel. Writes go on, so the walk is
 *     fuzzy; replaying w over it makes it exact;
 *  5. flush the pending files, and w as far as it stands: else a power loss could keep a change
 *     that the walk saw and lose an older one that it did not;
 *  6. read the pending files back;
 *  7. publish: the manifest names s, and w as the log to replay;
 *  8. rename to full, delete the logs before s and the snapshots beyond keep_backups.
 *
 * A failure before 2 leaves things as they were; where w is listed already, it waits for the next
 * attempt, and is dropped at the close. A failure from 2 to 6 leaves the snapshot
 * unfinished: the previous one and all logs since are in force, and the next attempt starts at the
 * waiting of step 2, with the same s and w; replaying w makes a later walk just as exact.
 *
 * Where replacing the manifest leaves it in doubt which one is in force, the log is broken: nothing
 * that either names is touched, and a reopen finds out.
 *
 * Step 1 lists the files while they are still empty and makes room afterwards: so a file that is
 * not listed is empty, and can be told from one that another program has written.
 */
#include "disk.h"

#include <stdlib.h>
#include <string.h>
#include "../bytes/limits.h"
#include "../bytes/planted.h"
#include "../os/error.h"

/* Changes a copy of the manifest by `change`, writes it, and only then makes it the one in force.
 */
static pkv_status replace_manifest(disk *d, pkv_status (*change)(manifest *m, const void *what),
                                   const void *what) {
    manifest next = {0}, old = d->m;
    pkv_status status = manifest_copy(&d->m, &next);
    if (!status) status = change(&next, what);
    if (!status) status = manifest_write(&d->folder, &next);
    if (status) {
        if (status == PKV_READ_ONLY && !PLANTED(go_on_in_doubt)) wal_break(d->log);
        manifest_release(&next);
        return status;
    }
    os_lock(&d->lock);
    d->m = next;
    os_unlock(&d->lock);
    manifest_release(&old);
    return PKV_OK;
}

/* ---- Steps 1 to 3: the log */

typedef struct new_log {
    uint64_t ordinal;
    uint32_t shard_count;
} new_log;

static pkv_status list_log(manifest *m, const void *what) {
    const new_log *log = what;
    m->last_ordinal = log->ordinal;
    return manifest_add(&m->logs, log->ordinal, log->shard_count);
}

/* Creates and lists the files of w, unless an attempt that failed has left them listed: they are
 * empty, and wait for the next. */
static pkv_status list_next_log(disk *d) {
    if (d->listed) return PKV_OK;
    new_log w = {d->m.last_ordinal + 2, manifest_find(&d->m.logs, d->current)->shard_count};
    pkv_status status = wal_create_files(&d->folder, w.ordinal, w.shard_count);
    if (status) return status;
    status = replace_manifest(d, list_log, &w);
    if (!status) d->listed = w.ordinal;
    if (status && status != PKV_READ_ONLY) {
        wal_remove_files(&d->folder, w.ordinal, w.shard_count);
    }
    return status;
}

static pkv_status rotate(disk *d) {
    pkv_status status = list_next_log(d);
    if (!status) status = wal_prepare(d->log, d->listed);
    if (!status) status = wal_rotate(d->log);
    if (status) return status;
    os_lock(&d->lock);
    d->retired = d->current;
    d->current = d->listed;
    os_unlock(&d->lock);
    d->listed = 0;
    d->unfinished = d->current - 1;
    return PKV_OK;
}

/* The sizes of the retired log, once it has been flushed: they are what it must have later. */
pkv_status disk_retire_log(disk *d) {
    manifest_group *old = manifest_find(&d->m.logs, d->retired);
    uint64_t sizes[WAL_SHARDS_MAX];
    pkv_status status = wal_retire(d->log, sizes);
    if (status) return status;
    os_lock(&d->lock);
    for (uint32_t i = 0; i < old->shard_count; i++) old->shards[i].size = sizes[i];
    os_unlock(&d->lock);
    return PKV_OK;
}

/* ---- Steps 7 and 8: the manifest */

typedef struct publication {
    const manifest_group *snapshot;
    uint32_t keep_backups;
} publication;

static pkv_status list_snapshot(manifest *m, const void *what) {
    const publication *p = what;
    pkv_status status = manifest_add(&m->snapshots, p->snapshot->ordinal, p->snapshot->shard_count);
    if (status) return status;
    manifest_group *added = manifest_find(&m->snapshots, p->snapshot->ordinal);
    memcpy(added->shards, p->snapshot->shards, added->shard_count * sizeof *added->shards);
    while (m->snapshots.count > (size_t)p->keep_backups + 1) {
        manifest_remove(&m->snapshots, m->snapshots.groups[0].ordinal);
    }
    while (m->logs.groups[0].ordinal < p->snapshot->ordinal) {
        manifest_remove(&m->logs, m->logs.groups[0].ordinal);
    }
    return PKV_OK;
}

static pkv_status publish(disk *d, const manifest_group *snapshot, uint32_t keep_backups) {
    publication p = {snapshot, keep_backups};
    if (PLANTED(delete_before_publish)) wal_remove_files(&d->folder, d->retired, 1);
    pkv_status status = replace_manifest(d, list_snapshot, &p);
    if (status) return status;
    d->unfinished = 0;
    /* It is published. What fails from here on is finished by the next open or snapshot. */
    (void)snapshot_rename(&d->folder, snapshot);
    disk_remove_leftovers(d);
    (void)os_folder_sync(&d->folder);
    return PKV_OK;
}

/* ---- All of it */

static pkv_status write_and_publish(disk *d, const disk_snapshot_plan *plan,
                                    manifest_group *snapshot) {
    pkv_status status =
        snapshot_write(&d->folder, snapshot, d->m.salt, plan->threads, &plan->source);
    if (!status && !PLANTED(skip_new_log_flush)) status = wal_sync(d->log);
    if (!status) status = snapshot_check(&d->folder, snapshot, d->m.salt, plan->threads);
    if (!status) status = publish(d, snapshot, plan->keep_backups);
    if (status && status != PKV_READ_ONLY) {
        pkv_error error = *pkv_error_detail();
        snapshot_remove_pending(&d->folder, snapshot); /* room, should the disk be full */
        return fail_with(&error);
    }
    return status;
}

pkv_status disk_snapshot(disk *d, const disk_snapshot_plan *plan, disk_snapshot_result *result) {
    pkv_status status = wal_check(d->log); /* before any file is touched */
    if (!status && (!d->unfinished || PLANTED(rotate_again))) status = rotate(d);
    if (status) return status;
    if (!PLANTED(skip_settle)) plan->settle(plan->source.context);
    status = disk_retire_log(d);
    if (status) return status;
    manifest_group snapshot = {.ordinal = d->unfinished, .shard_count = plan->shard_count};
    snapshot.shards = calloc(plan->shard_count, sizeof *snapshot.shards);
    if (!snapshot.shards)
        return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for a snapshot");
    status = write_and_publish(d, plan, &snapshot);
    memset(result, 0, sizeof *result);
    result->ordinal = snapshot.ordinal;
    for (uint32_t i = 0; i < snapshot.shard_count; i++) {
        result->entries += snapshot.shards[i].entries;
        result->bytes += snapshot.shards[i].size;
    }
    free(snapshot.shards);
    return status;
}
