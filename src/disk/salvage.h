/* salvage.h - every record that can still be read of files that may be damaged.
 *
 * A plan is a list of files in the order in which their records must be applied: snapshot before
 * logs, logs by ordinal. It follows the manifest, or, where there is none, the files' names. Within
 * a file, what holds no sound record is skipped, and told of.
 *
 * Without a manifest the salt of the checksums is lost, but not out of reach: a record's checksum
 * and its bytes tell what the checksum began with, and from that follows a salt that does as well
 * as the lost one. So our files are still checked; only the crate's are taken as they are. */
#ifndef PKV_SALVAGE_H
#define PKV_SALVAGE_H

#include "findings.h"
#include "manifest.h"
#include "reader.h"
#include "snapshot.h"
#include "../os/visibility.h"

typedef struct salvage_file {
    file_name name; /* FILE_FULL also stands for a published one that is still called pending */
    bool foreign;
    bool lost;     /* it cannot be read, which has been told */
    uint64_t size; /* that it had at least; 0 if unknown */
} salvage_file;

typedef struct salvage {
    const os_folder *folder;
    uint64_t salt;
    pkv_keys keys;
    pkv_integer key_type;
    salvage_file *files;
    size_t count, capacity;
    findings to;
    pkv_repair_report *report;
} salvage;

pkv_status salvage_plan_by_manifest(salvage *s, const manifest *m, bool with_backups);
/* Sets the salt too. */
pkv_status salvage_plan_by_names(salvage *s, const fileset *files, bool with_backups);

/* Puts all records of the plan's files into `out`. What is wrong with the files is no failure. */
pkv_status salvage_run(salvage *s, snapshot_writer *out);

/* The first bytes of a file of the plan; none if it is lost, which is told then. */
pkv_status salvage_peek(salvage *s, salvage_file *file, uint8_t *bytes, size_t capacity,
                        size_t *size);

void salvage_release(salvage *s); /* safe on a zeroed one */

#include "../os/visibility_end.h"
#endif
