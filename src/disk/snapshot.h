/* snapshot.h - the files of one snapshot: written in parallel as pending, flushed, read back. What
 * makes them count is the manifest (publish.c). */
#ifndef PKV_SNAPSHOT_H
#define PKV_SNAPSHOT_H

#include "manifest.h"
#include "record.h"
#include "../os/visibility.h"

typedef struct snapshot_writer snapshot_writer;

/* Where the entries come from. `walk` calls snapshot_put for each entry of part `part` of `parts`;
 * it is called from several threads, once for each part. */
typedef struct snapshot_source {
    pkv_status (*walk)(void *context, uint32_t part, uint32_t parts, snapshot_writer *out);
    void *context;
} snapshot_source;

pkv_status snapshot_put(snapshot_writer *out, pkv_bytes key, pkv_bytes value, pkv_type type);
pkv_status snapshot_put_record(snapshot_writer *out, const record *entry);

/* Writes and flushes the pending files, replacing what a failed attempt left, and makes them
 * durable by name. The group has the ordinal and the number of shards; the facts are set. The salt
 * is that of the records' checksums. */
pkv_status snapshot_write(const os_folder *folder, manifest_group *group, uint64_t salt,
                          unsigned threads, const snapshot_source *source);

/* Reads the pending files back from the disk and compares them with the facts. */
pkv_status snapshot_check(const os_folder *folder, const manifest_group *group, uint64_t salt,
                          unsigned threads);

/* Renames what is still called pending. */
pkv_status snapshot_rename(const os_folder *folder, const manifest_group *group);

/* Removes pending files, as far as they are there. */
void snapshot_remove_pending(const os_folder *folder, const manifest_group *group);

#include "../os/visibility_end.h"
#endif
