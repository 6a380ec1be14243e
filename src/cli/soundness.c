/* soundness.c - the commands that judge and salvage files: check, repair. */
#include <inttypes.h>
#include <stdio.h>
#include "cli.h"

/* KIND FILE OFFSET: SENTENCE, with a dash for what has no meaning. */
static void print_finding(void *context, const pkv_finding *finding) {
    (void)context;
    printf("%s %s ", pkv_finding_name(finding->kind), finding->file[0] ? finding->file : "-");
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

static void print_losses(const pkv_repair_report *report) {
    if (report->skipped + report->missing > 0) {
        printf(
            "lost: what %" PRIu64 " ranges (%" PRIu64 " bytes) and %" PRIu64
            " missing files held. A key whose newest record was lost has an older value, or none, "
            "or is back though it was removed; which keys these are cannot be known.\n",
            report->skipped, report->skipped_bytes, report->missing);
    }
    if (report->manifest_lost) {
        printf(
            "without a manifest: which files belong to the store is known from their names only, "
            "and files that are missing from the end cannot be missed.\n");
    }
}

int command_repair(const options *chosen, char **arguments) {
    pkv_repair_options wanted = {.output = chosen->output,
                                 .in_place = chosen->in_place,
                                 .with_backups = chosen->with_backups,
                                 .keys = chosen->keys,
                                 .key_type = chosen->key_type};
    pkv_repair_report report = {0};
    pkv_status status = pkv_repair(arguments[0], &wanted, print_finding, NULL, &report);
    if (status != PKV_OK) return complain_status(status, arguments[0]);
    if (report.finished) {
        printf(
            "finished: an earlier repair of %s, which was interrupted; the old files are in %s\n",
            report.output, report.originals);
        return EXIT_DONE;
    }
    print_losses(&report);
    printf("salvaged: %" PRIu64 " records of %" PRIu64 " files into %s; the old files are in %s\n",
           report.records, report.files, report.output, report.originals);
    return report.skipped + report.missing > 0 ? EXIT_CORRUPT : EXIT_DONE;
}
