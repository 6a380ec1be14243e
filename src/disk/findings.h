/* findings.h - what an examination of a folder has found, told as it goes on.
 *
 * Who reads files hands each file's outcome to findings_take. Without findings (NULL) that is the
 * end of it, as an open wants it. With findings, a file's failure is told, and reading goes on. */
#ifndef PKV_FINDINGS_H
#define PKV_FINDINGS_H

#include "../pkv.h"
#include "../os/visibility.h"

typedef struct findings {
    pkv_on_finding call; /* or NULL */
    void *context;
    pkv_check_report report;
    uint64_t unreadable; /* of the report's damaged */

    char file[256];                /* that the latest finding is about */
    uint64_t told, of_file;        /* in all, and of this file */
    uint64_t untold, untold_bytes; /* since more than enough was told */
} findings;

/* Hands a finding on, unless the file has had FINDINGS_OF_FILE already, or all FINDINGS_TOLD: of
 * those that are left out, a last one tells the number. */
#define FINDINGS_OF_FILE 100
#define FINDINGS_TOLD    1000
void findings_tell(findings *to, const pkv_finding *finding);
void findings_end(findings *to);

/* Tells of this thread's last failure and returns PKV_OK, if `status` is PKV_CORRUPT or PKV_IO and
 * `to` is not NULL. Returns `status` otherwise. */
pkv_status findings_take(findings *to, pkv_status status);
/* The same of a failure that is about so many bytes, from its offset on. */
pkv_status findings_take_range(findings *to, pkv_status status, uint64_t bytes);

/* Tells of a torn tail; nothing where `to` is NULL. */
void findings_torn(findings *to, const char *file, uint64_t offset, uint64_t bytes);

/* Tells of a file that means nothing any more. */
void findings_leftover(findings *to, const char *file, uint64_t bytes);

/* Counts a file that has been read; nothing where `to` is NULL. */
void findings_count_file(findings *to, uint64_t bytes);

/* PKV_CORRUPT, PKV_IO or PKV_OK, in this order, with a detail that sums it up. */
pkv_status findings_verdict(const findings *of, const char *path);

#include "../os/visibility_end.h"
#endif
