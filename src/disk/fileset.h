/* fileset.h - the only place that knows file names, and which files make a whole.
 *
 * Names follow the crate: snapshot_<ordinal>_<shard>-of-<count>_<diff|pending|full>.bin. Files of
 * one ordinal are a group; a group is whole when each of its shards is there exactly once. */
#ifndef PKV_FILESET_H
#define PKV_FILESET_H

#include <stdbool.h>
#include "../pkv.h"
#include "../os/os.h"
#include "../os/visibility.h"

#define LOCK_NAME         "lockfile"
#define MANIFEST_NAME     "manifest"
#define MANIFEST_NEW_NAME "manifest.new"
#define REPAIRED_NAME     "repaired" /* a folder, see repair.c */
#define FILE_NAME_BYTES   96

typedef enum file_kind { FILE_DIFF, FILE_PENDING, FILE_FULL } file_kind;

typedef struct file_name {
    uint64_t ordinal;
    uint32_t shard, shard_count;
    file_kind kind;
} file_name;

/* False where `text` is no such name, or a number in it is out of range. */
bool file_name_parse(const char *text, file_name *name);
void file_name_format(const file_name *name, char text[FILE_NAME_BYTES]);

/* All files of the folder that have such a name, sorted by ordinal, shard, kind. */
typedef struct fileset {
    file_name *names;
    size_t count;
} fileset;

pkv_status fileset_scan(const os_folder *folder, fileset *files);
void fileset_release(fileset *files); /* safe on a zeroed one */

/* The files of one ordinal: names[first .. first + count). */
typedef struct file_group {
    uint64_t ordinal;
    uint32_t shard_count;
    file_kind kind;
    size_t first, count;
    bool partial; /* once checked: shards are missing, and nothing else is wrong */
} file_group;

/* Steps through the groups: *group zeroed to begin; false after the last. Does not check them. */
bool fileset_next_group(const fileset *files, file_group *group);

/* The crate's three errors, worded with the file names (PKV_CORRUPT): a shard that is there twice,
 * shards that differ in count or kind, a missing shard. A group whose shards are partly pending
 * and partly full, each there once, is a full one whose renaming was interrupted (*group is set to
 * FILE_FULL); pending groups are never an error, whatever is missing. */
pkv_status fileset_check_group(const fileset *files, file_group *group);

/* Fails as fileset_check_group does for a missing shard, if there is no file of this one. */
pkv_status fileset_check_shard(const fileset *files, const file_group *group, uint32_t shard);

/* Highest ordinal of any file; 0 if there is none. */
uint64_t fileset_last_ordinal(const fileset *files);

#include "../os/visibility_end.h"
#endif
