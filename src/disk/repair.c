/* repair.c - salvages a folder into a sound store: see salvage.h for what is read, and how.
 *
 * The new store is a log of one shard that holds all records that were read, in order, and a
 * manifest that lists it. The log is written as a pending file, which means nothing to anybody,
 * and gets its name last: a crash leaves a folder that is no store, or one that an open refuses.
 *
 * In place, with the lock held all the time:
 *
 *   1. the new store is written to PATH/repaired, and flushed
 *   2. PATH/damaged-<n> is created and gets a copy of the manifest
 *   3. the new manifest is moved over the old one: from now on the folder lists a log that is not
 *      there, so nobody can open it, nor take it for another program's
 *   4. all old files are moved to damaged-<n>
 *   5. the new log is moved in, which makes the store whole; PATH/repaired, empty, is moved away
 *
 * Before 3 nothing has changed. From 3 to 5 each old file is in PATH or in damaged-<n>, and the new
 * log is in PATH/repaired: a repair in place that finds it so does 4 and 5, and nothing else. */
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "salvage.h"
#include "../bytes/limits.h"
#include "../os/error.h"

typedef struct repair {
    disk d;        /* the damaged folder; its manifest, if it could be read */
    fileset files; /* all that are there */
    salvage s;
    const pkv_repair_options *options;
    manifest made;           /* of the new store */
    os_folder work, damaged; /* in place: PATH/repaired, PATH/damaged-<n> */
    char damaged_name[32];
} repair;

/* ---- What is there */

static pkv_status decide_keys(repair *r) {
    const manifest *m = &r->d.m;
    const pkv_repair_options *o = r->options;
    if (m->keys && o->keys && m->keys != (uint32_t)o->keys) {
        return fail(PKV_KEY_MODE, MANIFEST_NAME, NO_OFFSET, 0,
                    "store %s has %s keys, as its manifest tells: leave out the option keys",
                    r->d.path, m->keys == PKV_KEYS_FIXED ? "integer" : "string");
    }
    if (!m->keys && !o->keys) {
        return fail(PKV_USAGE, MANIFEST_NAME, NO_OFFSET, 0,
                    "no manifest tells what kind of keys store %s has: say it with the option keys",
                    r->d.path);
    }
    r->s.keys = m->keys ? (pkv_keys)m->keys : o->keys;
    if (r->s.keys != PKV_KEYS_FIXED) return PKV_OK;
    r->s.key_type = m->key_type ? (pkv_integer)m->key_type : o->key_type;
    if (!r->s.key_type) r->s.key_type = PKV_U64;
    return PKV_OK;
}

static pkv_status plan(repair *r) {
    bool found = false, with_backups = r->options->with_backups != 0;
    pkv_status status = manifest_read(&r->d.folder, &r->d.m, &found);
    status = findings_take(&r->s.to, status);
    if (!status) status = fileset_scan(&r->d.folder, &r->files);
    if (!status) status = decide_keys(r);
    if (status) return status;
    r->s.folder = &r->d.folder;
    r->s.report->manifest_lost = !found;
    if (found) return salvage_plan_by_manifest(&r->s, &r->d.m, with_backups);
    return salvage_plan_by_names(&r->s, &r->files, with_backups);
}

/* ---- The new store */

static pkv_status walk(void *context, uint32_t part, uint32_t parts, snapshot_writer *out) {
    (void)part, (void)parts;
    repair *r = context;
    return salvage_run(&r->s, out);
}

static pkv_status describe(repair *r) {
    manifest *m = &r->made;
    uint64_t last = fileset_last_ordinal(&r->files);
    if (last < r->d.m.last_ordinal) last = r->d.m.last_ordinal;
    m->last_ordinal = last < ORDINAL_MAX ? last + 1 : 1; /* a file's name may claim anything */
    m->keys = r->s.keys;
    m->key_type = r->s.key_type;
    m->values = r->d.m.values;
    m->salt = os_random() | 1;
    m->clean = true;
    return manifest_add(&m->logs, m->last_ordinal, 1);
}

static void log_names(uint64_t ordinal, char pending[FILE_NAME_BYTES], char log[FILE_NAME_BYTES]) {
    file_name name = {ordinal, 0, 1, FILE_PENDING};
    file_name_format(&name, pending);
    name.kind = FILE_DIFF;
    file_name_format(&name, log);
}

/* Records and manifest, flushed and read back, but for the log's name. */
static pkv_status write_store(repair *r, const os_folder *to) {
    pkv_status status = describe(r);
    if (status) return status;
    manifest_group *group = &r->made.logs.groups[0];
    snapshot_source source = {walk, r};
    status = snapshot_write(to, group, r->made.salt, 1, &source);
    if (!status) status = snapshot_check(to, group, r->made.salt, 1);
    group->shards[0] = (shard_facts){.size = group->shards[0].size}; /* a log's facts */
    if (!status) status = manifest_write(to, &r->made);
    if (!status) return PKV_OK;
    pkv_error error = *pkv_error_detail();
    snapshot_remove_pending(to, group);
    return fail_with(&error);
}

static pkv_status move(const os_folder *folder, const char *from, const char *to) {
    int error = os_rename(folder, from, to);
    return error ? fail_os(from, NO_OFFSET, error, "cannot move %s to %s", from, to) : PKV_OK;
}

static pkv_status flush(const os_folder *folder, const char *name) {
    int error = os_folder_sync(folder);
    return error ? fail_os(name, NO_OFFSET, error, "cannot flush folder %s", name) : PKV_OK;
}

/* ---- Folders */

static bool is_there(const char *path) {
    os_folder folder;
    int error = os_folder_open(path, &folder);
    if (error == 0) os_folder_close(&folder);
    return error != ENOENT;
}

static pkv_status make_folder(const char *path, os_folder *folder) {
    int error = os_folder_create(path);
    if (!error) error = os_folder_open(path, folder);
    return error ? fail_os(path, NO_OFFSET, error, "cannot create folder %s", path) : PKV_OK;
}

/* `path` without slashes at its end, and what follows. */
static pkv_status join(const char *path, const char *more, char out[4096]) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    int wanted = snprintf(out, 4096, "%.*s%s", size < 4096 ? (int)size : 4095, path, more);
    if (wanted < 4096 && size < 4096) return PKV_OK;
    return fail(PKV_USAGE, NULL, NO_OFFSET, 0,
                "the path of the new store is too long: %d bytes at most", 4095);
}

/* ---- Beside the old folder */

static pkv_status repair_beside(repair *r, const char *output) {
    char pending[FILE_NAME_BYTES], log[FILE_NAME_BYTES];
    if (is_there(output)) {
        return fail(PKV_USAGE, output, NO_OFFSET, 0,
                    "%s is there already: name a folder that is not, with the option output",
                    output);
    }
    os_folder to;
    pkv_status status = make_folder(output, &to);
    if (status) return status;
    status = write_store(r, &to);
    log_names(r->made.last_ordinal, pending, log);
    if (!status) status = move(&to, pending, log);
    if (!status) status = flush(&to, output);
    os_folder_close(&to);
    return status;
}

/* ---- In place */

static pkv_status copy_bytes(int from, int to) {
    static const char *const name = MANIFEST_NAME;
    uint8_t bytes[4096];
    uint64_t offset = 0;
    size_t got = sizeof bytes;
    int error = 0;
    while (!error && got == sizeof bytes) {
        error = os_file_read(from, bytes, sizeof bytes, offset, &got);
        if (!error) error = os_file_write(to, bytes, got, offset);
        offset += got;
    }
    if (!error) error = os_file_sync(to);
    return error ? fail_os(name, NO_OFFSET, error, "cannot copy %s", name) : PKV_OK;
}

/* What cannot be opened as a file, a link for instance, is moved instead. */
static pkv_status keep_manifest(const repair *r, const os_folder *damaged, const char *moved) {
    int from, to;
    int error = os_file_open(&r->d.folder, MANIFEST_NAME, OS_READ, &from);
    if (error == ENOENT) return PKV_OK;
    if (error) return move(&r->d.folder, MANIFEST_NAME, moved);
    pkv_status status = PKV_OK;
    error = os_file_open(damaged, MANIFEST_NAME, OS_CREATE_NEW, &to);
    if (error) {
        status = fail_os(MANIFEST_NAME, NO_OFFSET, error, "cannot copy %s", MANIFEST_NAME);
    } else {
        status = copy_bytes(from, to);
        (void)os_file_close(to);
    }
    (void)os_file_close(from);
    return status ? status : flush(damaged, r->damaged_name);
}

static pkv_status move_files(const repair *r, const char *to) {
    pkv_status status = PKV_OK;
    for (size_t i = 0; i < r->files.count && !status; i++) {
        char name[FILE_NAME_BYTES], moved[2 * FILE_NAME_BYTES];
        file_name_format(&r->files.names[i], name);
        (void)snprintf(moved, sizeof moved, "%s/%s", to, name);
        status = move(&r->d.folder, name, moved);
    }
    return status;
}

/* From the folder for the new store; durable on return. */
static pkv_status move_durably(const repair *r, const char *from, const char *to) {
    pkv_status status = move(&r->d.folder, from, to);
    if (!status) status = flush(&r->d.folder, r->d.path);
    return status ? status : flush(&r->work, REPAIRED_NAME);
}

/* Steps 4 and 5. */
static pkv_status exchange(const repair *r, uint64_t ordinal) {
    char pending[FILE_NAME_BYTES], log[FILE_NAME_BYTES], name[2 * FILE_NAME_BYTES];
    log_names(ordinal, pending, log);
    const os_folder *folder = &r->d.folder;
    pkv_status status = move_files(r, r->damaged_name);
    if (!status) status = flush(&r->damaged, r->damaged_name);
    if (!status) status = flush(folder, r->d.path);
    (void)snprintf(name, sizeof name, REPAIRED_NAME "/%s", pending);
    if (!status) status = move_durably(r, name, log);
    (void)snprintf(name, sizeof name, "%s/" REPAIRED_NAME, r->damaged_name);
    if (!status) (void)os_rename(folder, REPAIRED_NAME, name);
    return status;
}

/* Steps 2 to 5. */
static pkv_status set_aside(const repair *r) {
    char moved[64];
    (void)snprintf(moved, sizeof moved, "%s/" MANIFEST_NAME, r->damaged_name);
    pkv_status status = flush(&r->d.folder, r->d.path);
    if (!status) status = keep_manifest(r, &r->damaged, moved);
    if (!status) {
        status = move_durably(r, REPAIRED_NAME "/" MANIFEST_NAME, MANIFEST_NAME);
    }
    return status ? status : exchange(r, r->made.last_ordinal);
}

static bool has_file(const os_folder *folder, const char *name) {
    int fd;
    if (os_file_open(folder, name, OS_READ, &fd) != 0) return false;
    (void)os_file_close(fd);
    return true;
}

/* Between 3 and 5 the manifest's only log is a pending file in the folder for the new store. What
 * is in there otherwise comes from a repair that changed nothing, and is overwritten. */
bool disk_repair_interrupted(const disk *d) {
    char pending[FILE_NAME_BYTES], log[FILE_NAME_BYTES], made[2 * FILE_NAME_BYTES];
    if (d->m.logs.count != 1) return false;
    log_names(d->m.logs.groups[0].ordinal, pending, log);
    (void)snprintf(made, sizeof made, REPAIRED_NAME "/%s", pending);
    return !has_file(&d->folder, log) && has_file(&d->folder, made);
}

/* Ends what an earlier repair began, whose step 3 may not be durable. */
static pkv_status finish(const repair *r) {
    r->s.report->finished = 1;
    pkv_status status = flush(&r->d.folder, r->d.path);
    if (!status) status = flush(&r->work, REPAIRED_NAME);
    return status ? status : exchange(r, r->d.m.logs.groups[0].ordinal);
}

static pkv_status name_damaged(repair *r, const char *path, unsigned n) {
    char name[40];
    (void)snprintf(r->damaged_name, sizeof r->damaged_name, "damaged-%u", n);
    (void)snprintf(name, sizeof name, "/%s", r->damaged_name);
    return join(path, name, r->s.report->originals);
}

/* Makes the first folder for damaged files that is not there; or opens the last that is, which the
 * repair that was interrupted has made. */
static pkv_status open_damaged(repair *r, const char *path, bool interrupted) {
    const char *originals = r->s.report->originals;
    unsigned n = 1;
    pkv_status status = name_damaged(r, path, n);
    while (!status && is_there(originals)) status = name_damaged(r, path, ++n);
    if (!status && interrupted && n > 1) status = name_damaged(r, path, n - 1);
    return status ? status : make_folder(originals, &r->damaged);
}

static pkv_status open_work(repair *r, const char *path) {
    char work[4096];
    pkv_status status = join(path, "/" REPAIRED_NAME, work);
    return status ? status : make_folder(work, &r->work);
}

static pkv_status repair_in_place(repair *r, const char *path) {
    bool interrupted = disk_repair_interrupted(&r->d);
    pkv_status status = open_work(r, path);
    if (status) return status;
    if (!interrupted) status = write_store(r, &r->work);
    if (!status) status = open_damaged(r, path, interrupted);
    if (!status) {
        status = interrupted ? finish(r) : set_aside(r);
        os_folder_close(&r->damaged);
    }
    os_folder_close(&r->work);
    return status;
}

/* ---- All of it */

static pkv_status run(repair *r, const char *path) {
    pkv_repair_report *report = r->s.report;
    pkv_status status = plan(r);
    if (status) return status;
    /* It is open, so it cannot be too long. */
    (void)join(path, "", r->options->in_place ? report->output : report->originals);
    if (r->options->in_place) return repair_in_place(r, path);
    if (disk_repair_interrupted(&r->d)) {
        return fail(
            PKV_USAGE, REPAIRED_NAME, NO_OFFSET, 0,
            "an earlier repair of store %s in place was interrupted: another one in place ends it",
            r->d.path);
    }
    status = r->options->output ? join(r->options->output, "", report->output)
                                : join(path, ".repaired", report->output);
    return status ? status : repair_beside(r, report->output);
}

pkv_status disk_repair(const char *path, const pkv_repair_options *options, pkv_on_finding call,
                       void *context, pkv_repair_report *report) {
    static const pkv_repair_options defaults;
    repair r = {.d = {.lock_fd = -1}, .options = options ? options : &defaults};
    r.s.report = report;
    r.s.to = (findings){.call = call, .context = context};
    memset(report, 0, sizeof *report);
    if (r.options->in_place && r.options->output) {
        return fail(PKV_USAGE, NULL, NO_OFFSET, 0,
                    "options in_place and output exclude each other: give one of them");
    }
    os_folder folder;
    pkv_status status = disk_open_folder(path, false, &folder);
    if (!status) status = disk_begin(path, folder, &r.d);
    if (status) return status;
    status = disk_lock(&r.d);
    if (!status) status = run(&r, path);
    findings_end(&r.s.to);
    salvage_release(&r.s);
    fileset_release(&r.files);
    manifest_release(&r.made);
    (void)disk_close(&r.d);
    return status;
}
