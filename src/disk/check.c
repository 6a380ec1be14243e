/* check.c - reads all that a folder has in force, and its backups, and tells what is wrong where.
 *
 * It is an open that goes on: the same code that opens a store decides what is damage (disk.c,
 * judge.c), so a folder is sound for a check exactly if it would open. Nothing is written. */
#include "disk.h"

#include <string.h>
#include "examine.h"
#include "../os/error.h"

typedef struct check {
    const disk *d;
    findings *to;
} check;

/* What an open finds when it puts the records into memory. */
static pkv_status check_record(void *context, const record *entry, record_origin origin) {
    const check *c = context;
    const disk *d = c->d;
    if (!record_is_hole(entry, d->keys, origin) && !record_fits(entry, d->keys, d->key_type)) {
        return fail(PKV_CORRUPT, NULL, NO_OFFSET, 0, "a key that is no %s, the type of the store's",
                    pkv_integer_name(d->key_type));
    }
    c->to->report.records++;
    return PKV_OK;
}

/* ---- What an open would remove, or nobody needs */

static void tell_file(disk *d, const char *text) {
    uint64_t size = 0;
    int fd, error = os_file_open(&d->folder, text, OS_READ, &fd);
    if (!error) {
        error = os_file_size(fd, &size);
        (void)os_file_close(fd);
    }
    if (error) {
        (void)findings_take(d->findings,
                            fail_os(text, NO_OFFSET, error, "cannot tell how large %s is", text));
    }
    findings_leftover(d->findings, text, size);
}

/* Without a manifest, a group that could not be taken is no leftover: nothing can be removed. */
static void tell_leftover(disk *d, const file_name *name, const char *text) {
    bool is_listed = manifest_find(&d->m.logs, name->ordinal) != NULL;
    if (!d->had_manifest && name->kind != FILE_PENDING && !is_listed) return;
    tell_file(d, text);
}

static int find_others(void *context, const char *text) {
    disk *d = context;
    bool is_repaired = strcmp(text, REPAIRED_NAME) == 0;
    if (is_repaired && disk_repair_interrupted(d)) {
        (void)findings_take(d->findings, fail(PKV_CORRUPT, text, NO_OFFSET, 0,
                                              "a repair in place was interrupted: another one ends "
                                              "it, and the store can be opened again"));
    } else if (is_repaired) {
        findings_leftover(d->findings, text, 0);
    } else if (strcmp(text, MANIFEST_NEW_NAME) == 0) {
        tell_file(d, text);
    }
    return 0;
}

static pkv_status find_leftovers(disk *d) {
    pkv_status status = disk_each_leftover(d, tell_leftover);
    if (status) return status;
    int error = os_folder_list(&d->folder, find_others, d);
    return error ? fail_os(NULL, NO_OFFSET, error, "cannot list folder %s", d->path) : PKV_OK;
}

/* ---- All of it */

static pkv_status examine(disk *d, findings *to) {
    disk_wants wants = {0};
    d->findings = to;
    pkv_status status = disk_open(d, &wants);
    if (status) return findings_take(to, status); /* without a manifest nothing can be judged */
    check c = {d, to};
    examine_sink sink = {check_record, &c};
    status = examine_run(&d->folder, &d->m, &sink, to);
    if (!status) status = find_leftovers(d);
    findings_end(to);
    (void)disk_close(d);
    return status;
}

pkv_status disk_check(const char *path, pkv_on_finding call, void *context,
                      pkv_check_report *report) {
    findings to = {.call = call, .context = context};
    os_folder folder;
    disk d = {.lock_fd = -1};
    pkv_status status = disk_open_folder(path, false, &folder);
    if (!status) status = disk_begin(path, folder, &d);
    if (!status) status = examine(&d, &to);
    if (!status) {
        *report = to.report;
        status = findings_verdict(&to, path);
    }
    return status;
}
