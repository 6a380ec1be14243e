/* examine.h - what is wrong with a stopped store's files. The same is damage as for a restore
 * (judge.h), but reading goes on behind it, file by file, and all of it is told. */
#ifndef PKV_EXAMINE_H
#define PKV_EXAMINE_H

#include "findings.h"
#include "manifest.h"
#include "record.h"
#include "../os/visibility.h"

typedef struct examine_sink {
    /* Takes each record that can be read; a failure is damage, PKV_CORRUPT, that a restore would
     * meet. */
    pkv_status (*take)(void *context, const record *entry, record_origin origin);
    void *context;
} examine_sink;

/* Reads all that the manifest says is in force, and then the backups: what would fail restore_run
 * is told as a finding, and so are torn tails. Sets the sizes of the logs as restore_run does, but
 * to UINT64_MAX where a log is damaged. */
pkv_status examine_run(const os_folder *folder, manifest *m, const examine_sink *sink,
                       findings *to);

#include "../os/visibility_end.h"
#endif
