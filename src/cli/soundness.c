/* soundness.c - the commands that judge and salvage files: check. */
#include <inttypes.h>
#include <stdio.h>
#include "cli.h"

static const char *kind_name(pkv_finding_kind kind) {
    switch (kind) {
    case PKV_FINDING_DAMAGE:
        return "damaged";
    case PKV_FINDING_UNREADABLE:
        return "unreadable";
    case PKV_FINDING_TORN:
        return "torn";
    }
    return "unknown";
}

/* KIND FILE OFFSET: SENTENCE, with a dash for an offset that has no meaning. */
static void print_finding(void *context, const pkv_finding *finding) {
    (void)context;
    printf("%s %s ", kind_name(finding->kind), finding->file);
    if (finding->offset == UINT64_MAX) {
        printf("-: %s\n", finding->message);
    } else {
        printf("%" PRIu64 ": %s\n", finding->offset, finding->message);
    }
}

int command_check(const options *chosen, char **arguments) {
    (void)chosen;
    pkv_check_report report = {0};
    pkv_status status = pkv_check(arguments[0], print_finding, NULL, &report);
    if (status != PKV_OK && report.damaged == 0) return complain_status(status, arguments[0]);
    printf("%s: %" PRIu64 " files, %" PRIu64 " records, %" PRIu64 " bytes\n",
           status == PKV_OK ? "sound" : "not sound", report.files, report.records, report.bytes);
    if (status == PKV_OK) return EXIT_DONE;
    return status == PKV_CORRUPT ? EXIT_CORRUPT : EXIT_FAILED;
}
