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
} findings;

/* Tells of this thread's last failure and returns PKV_OK, if `status` is PKV_CORRUPT or PKV_IO and
 * `to` is not NULL. Returns `status` otherwise. */
pkv_status findings_take(findings *to, pkv_status status);

/* Tells of a torn tail; nothing where `to` is NULL. */
void findings_torn(findings *to, const char *file, uint64_t offset, uint64_t bytes);

/* Counts a file that has been read; nothing where `to` is NULL. */
void findings_count_file(findings *to, uint64_t bytes);

/* PKV_CORRUPT, PKV_IO or PKV_OK, in this order, with a detail that sums it up. */
pkv_status findings_verdict(const findings *of, const char *path);

#include "../os/visibility_end.h"
#endif
