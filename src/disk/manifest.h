/* manifest.h - the file that says which files are in force. Replacing it is the one step that
 * publishes anything: write manifest.new, flush, rename, flush the folder. */
#ifndef PKV_MANIFEST_H
#define PKV_MANIFEST_H

#include <stdbool.h>
#include "../pkv.h"
#include "../os/os.h"
#include "../os/visibility.h"

#define MANIFEST_FORMAT 1u

typedef struct shard_facts {
    uint64_t size; /* snapshot: whole size; log: bytes known to be flushed */
    uint64_t entries;
    uint32_t checksum;
} shard_facts;

typedef struct manifest_group {
    uint64_t ordinal;
    uint32_t shard_count;
    bool foreign;
    bool partial; /* of a check, not of the file: files are missing, which has been told */
    shard_facts *shards;
} manifest_group;

typedef struct manifest_list {
    manifest_group *groups; /* by ordinal, ascending */
    size_t count;
} manifest_list;

typedef struct manifest {
    uint32_t keys, key_type, values;
    uint64_t last_ordinal;
    bool clean;
    uint64_t hash_seed, hash_check; /* 0: none yet */
    uint64_t salt;                  /* of the records' checksums, see checksum_seed; may be 0 */
    manifest_list snapshots, logs;
} manifest;

/* Reads the folder's manifest; *found says whether there is one. PKV_CORRUPT where it does not
 * hold together, PKV_USAGE where a newer version of the library wrote it. */
pkv_status manifest_read(const os_folder *folder, manifest *out, bool *found);
/* On an error the old manifest is in force, but for PKV_READ_ONLY: then it is in doubt which one
 * is, and no file that either names may be touched any more. PKV_USAGE for what manifest_read would
 * refuse. */
pkv_status manifest_write(const os_folder *folder, const manifest *in);
void manifest_release(manifest *m); /* safe on a zeroed one */

pkv_status manifest_copy(const manifest *from, manifest *to);

/* Adds a zeroed group, which must have the highest ordinal of its list so far. */
pkv_status manifest_add(manifest_list *list, uint64_t ordinal, uint32_t shard_count);
manifest_group *manifest_find(const manifest_list *list, uint64_t ordinal); /* or NULL */
void manifest_remove(manifest_list *list, uint64_t ordinal);
/* The published snapshot in force, or NULL. */
manifest_group *manifest_snapshot(const manifest *m);

#include "../os/visibility_end.h"
#endif
