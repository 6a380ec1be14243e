/* findings.c - see findings.h. */
#include "findings.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "../os/error.h"

const char *pkv_finding_name(pkv_finding_kind kind) {
    static const char *const names[] = {"unknown", "damaged", "unreadable", "torn",
                                        "skipped", "read",    "leftover",   "more"};
    return names[(size_t)kind < sizeof names / sizeof *names ? kind : 0];
}

static void hand_on(const findings *to, const pkv_finding *finding) {
    if (to->call) to->call(to->context, finding);
}

static void tell_untold(findings *to) {
    pkv_finding finding = {.kind = PKV_FINDING_MORE,
                           .offset = NO_OFFSET,
                           .bytes = to->untold_bytes,
                           .records = to->untold};
    bool of_file = to->told < FINDINGS_TOLD;
    if (to->untold == 0) return;
    if (of_file) memcpy(finding.file, to->file, sizeof finding.file);
    (void)snprintf(finding.message, sizeof finding.message, "and %llu more%s%s (%llu bytes)",
                   (unsigned long long)to->untold, of_file ? " of " : "", finding.file,
                   (unsigned long long)to->untold_bytes);
    to->untold = to->untold_bytes = 0;
    hand_on(to, &finding);
}

void findings_tell(findings *to, const pkv_finding *finding) {
    bool sums_up = finding->kind == PKV_FINDING_READ; /* and so is always told, once a file */
    bool other = strcmp(to->file, finding->file) != 0;
    if ((other || sums_up) && to->told < FINDINGS_TOLD) tell_untold(to);
    if (sums_up) {
        hand_on(to, finding);
        return;
    }
    if (other) {
        memcpy(to->file, finding->file, sizeof to->file);
        to->of_file = 0;
    }
    if (to->of_file < FINDINGS_OF_FILE && to->told < FINDINGS_TOLD) {
        to->of_file++;
        to->told++;
        hand_on(to, finding);
    } else {
        to->untold++;
        to->untold_bytes += finding->bytes;
    }
}

void findings_end(findings *to) {
    tell_untold(to);
}

pkv_status findings_take_range(findings *to, pkv_status status, uint64_t bytes) {
    if (!to || (status != PKV_CORRUPT && status != PKV_IO)) return status;
    const pkv_error *error = pkv_error_detail();
    pkv_finding finding = {.kind = PKV_FINDING_DAMAGE, .offset = error->offset, .bytes = bytes};
    if (status == PKV_IO) {
        finding.kind = PKV_FINDING_UNREADABLE;
        to->unreadable++;
    }
    memcpy(finding.file, error->file, sizeof finding.file);
    memcpy(finding.message, error->message, sizeof finding.message);
    size_t size = strlen(finding.message);
    if (bytes > 0) {
        (void)snprintf(finding.message + size, sizeof finding.message - size, " (%llu bytes)",
                       (unsigned long long)bytes);
    }
    to->report.damaged++;
    findings_tell(to, &finding);
    return PKV_OK;
}

pkv_status findings_take(findings *to, pkv_status status) {
    return findings_take_range(to, status, 0);
}

void findings_torn(findings *to, const char *file, uint64_t offset, uint64_t bytes) {
    pkv_finding finding = {.kind = PKV_FINDING_TORN, .offset = offset, .bytes = bytes};
    (void)snprintf(finding.file, sizeof finding.file, "%s", file);
    (void)snprintf(finding.message, sizeof finding.message,
                   "would be cut at open: %llu bytes of %s from offset %llu",
                   (unsigned long long)bytes, file, (unsigned long long)offset);
    to->report.torn++;
    findings_tell(to, &finding);
}

void findings_leftover(findings *to, const char *file, uint64_t bytes) {
    pkv_finding finding = {.kind = PKV_FINDING_LEFTOVER, .offset = NO_OFFSET, .bytes = bytes};
    (void)snprintf(finding.file, sizeof finding.file, "%s", file);
    (void)snprintf(finding.message, sizeof finding.message,
                   "%s means nothing any more (%llu bytes): what left it was interrupted", file,
                   (unsigned long long)bytes);
    to->report.leftovers++;
    findings_tell(to, &finding);
}

void findings_count_file(findings *to, uint64_t bytes) {
    to->report.files++;
    to->report.bytes += bytes;
}

pkv_status findings_verdict(const findings *of, const char *path) {
    uint64_t damaged = of->report.damaged;
    if (damaged == 0) return PKV_OK;
    return fail(damaged > of->unreadable ? PKV_CORRUPT : PKV_IO, NULL, NO_OFFSET, 0,
                "store %s is not sound: %llu findings", path, (unsigned long long)damaged);
}
