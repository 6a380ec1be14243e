/* findings.c - see findings.h. */
#include "findings.h"

#include <stdio.h>
#include <string.h>
#include "../os/error.h"

pkv_status findings_take(findings *to, pkv_status status) {
    if (!to || (status != PKV_CORRUPT && status != PKV_IO)) return status;
    const pkv_error *error = pkv_error_detail();
    pkv_finding finding = {.kind = PKV_FINDING_DAMAGE, .offset = error->offset};
    if (status == PKV_IO) {
        finding.kind = PKV_FINDING_UNREADABLE;
        to->unreadable++;
    }
    memcpy(finding.file, error->file, sizeof finding.file);
    memcpy(finding.message, error->message, sizeof finding.message);
    to->report.damaged++;
    if (to->call) to->call(to->context, &finding);
    return PKV_OK;
}

void findings_torn(findings *to, const char *file, uint64_t offset, uint64_t bytes) {
    if (!to) return;
    pkv_finding finding = {.kind = PKV_FINDING_TORN, .offset = offset, .bytes = bytes};
    (void)snprintf(finding.file, sizeof finding.file, "%s", file);
    (void)snprintf(finding.message, sizeof finding.message,
                   "would be cut at open: %llu bytes of %s from offset %llu",
                   (unsigned long long)bytes, file, (unsigned long long)offset);
    to->report.torn++;
    if (to->call) to->call(to->context, &finding);
}

void findings_count_file(findings *to, uint64_t bytes) {
    if (!to) return;
    to->report.files++;
    to->report.bytes += bytes;
}

pkv_status findings_verdict(const findings *of, const char *path) {
    uint64_t damaged = of->report.damaged;
    if (damaged == 0) return PKV_OK;
    return fail(damaged > of->unreadable ? PKV_CORRUPT : PKV_IO, NULL, NO_OFFSET, 0,
                "store %s is not sound: %llu findings", path, (unsigned long long)damaged);
}
