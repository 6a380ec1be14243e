/* check.c - reads all that a folder has in force, and its backups, and tells what is wrong where.
 *
 * It is an open that goes on: the same code that opens a store decides what is damage (disk.c,
 * restore.c), so a folder is sound for a check exactly if it would open. Nothing is written. */
#include "disk.h"

#include "../os/error.h"

typedef struct check {
    const disk *d;
    findings *to;
} check;

/* What an open finds when it puts the records into memory. */
static pkv_status check_key(const disk *d, const record *entry, record_origin origin) {
    if (record_is_hole(entry, d->keys, origin)) return PKV_OK;
    if (record_fits(entry, d->keys, d->key_type)) return PKV_OK;
    return fail(PKV_CORRUPT, NULL, NO_OFFSET, 0, "a key that is no %s, the type of the store's",
                pkv_integer_name(d->key_type));
}

static pkv_status count_entries(void *context, const record *entries, size_t count,
                                record_origin origin, size_t *applied) {
    const check *c = context;
    for (*applied = 0; *applied < count; (*applied)++) {
        pkv_status status = check_key(c->d, &entries[*applied], origin);
        if (status) return status;
        c->to->report.records++;
    }
    return PKV_OK;
}

static pkv_status examine(disk *d, findings *to) {
    disk_wants wants = {0};
    d->findings = to;
    pkv_status status = disk_open(d, &wants);
    if (status) return findings_take(to, status); /* without a manifest nothing can be judged */
    check c = {d, to};
    restore_sink sink = {count_entries, &c};
    status = restore_examine(&d->folder, &d->m, &sink, to);
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
