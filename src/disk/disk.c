/* disk.c - see disk.h: opening, starting and closing a folder. */
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../bytes/hash.h"
#include "../bytes/limits.h"
#include "../os/error.h"

/* ---- The folder and its lock */

static bool is_ours(const char *name) {
    file_name parsed;
    return strcmp(name, MANIFEST_NAME) == 0 || file_name_parse(name, &parsed);
}

static int find_ours(void *context, const char *name) {
    (void)context;
    return is_ours(name) ? EEXIST : 0;
}

/* What there is before the lock is taken: so asking for a store leaves no lock file behind, and
 * only a new one takes the time that its folder's name takes to be made durable. */
static pkv_status find_folder(const char *path, os_folder *folder) {
    int error = os_folder_open(path, folder);
    if (error == ENOENT) {
        return fail(PKV_NOT_FOUND, path, NO_OFFSET, 0, "there is no store in %s: no such folder",
                    path);
    }
    if (error) return fail_os(path, NO_OFFSET, error, "cannot open folder %s", path);
    error = os_folder_list(folder, find_ours, NULL);
    if (error == EEXIST) return PKV_OK;
    os_folder_close(folder);
    if (error) return fail_os(path, NO_OFFSET, error, "cannot list folder %s", path);
    return fail(PKV_NOT_FOUND, path, NO_OFFSET, 0, "there is no store in %s", path);
}

pkv_status disk_open_folder(const char *path, bool create, os_folder *folder) {
    pkv_status status = find_folder(path, folder);
    if (status != PKV_NOT_FOUND || !create) return status;
    int error = os_folder_create(path);
    if (error) return fail_os(path, NO_OFFSET, error, "cannot create folder %s", path);
    error = os_folder_open(path, folder);
    return error ? fail_os(path, NO_OFFSET, error, "cannot open folder %s", path) : PKV_OK;
}

pkv_status disk_begin(const char *path, os_folder folder, disk *d) {
    d->folder = folder;
    (void)snprintf(d->path, sizeof d->path, "%s", path);
    int error = os_mutex_init(&d->lock);
    if (error) {
        os_folder_close(&d->folder);
        return fail_os(NULL, NO_OFFSET, error, "cannot make a lock");
    }
    error = os_file_open(&d->folder, LOCK_NAME, OS_CREATE, &d->lock_fd);
    if (!error) return PKV_OK;
    pkv_status status =
        fail_os(LOCK_NAME, NO_OFFSET, error, "cannot open lock file %s/%s", d->path, LOCK_NAME);
    (void)disk_close(d);
    return status;
}

pkv_status disk_lock(disk *d) {
    int error = os_file_lock(d->lock_fd);
    if (!error) return PKV_OK;
    if (error == EWOULDBLOCK) {
        return fail(PKV_LOCKED, LOCK_NAME, NO_OFFSET, 0,
                    "store %s is locked: another process has it open", d->path);
    }
    return fail_os(LOCK_NAME, NO_OFFSET, error, "cannot lock %s/%s", d->path, LOCK_NAME);
}

/* ---- What is there */

/* Files without a manifest: the crate's. */
static pkv_status adopt(disk *d, const fileset *files) {
    file_group group = {0};
    while (fileset_next_group(files, &group)) {
        pkv_status status = fileset_check_group(files, &group);
        if (status && findings_take(d->findings, status)) return status;
        if (status || group.kind == FILE_PENDING) continue;
        manifest_list *list = group.kind == FILE_FULL ? &d->m.snapshots : &d->m.logs;
        status = manifest_add(list, group.ordinal, group.shard_count);
        if (status) return status;
        list->groups[list->count - 1].foreign = true;
    }
    d->m.last_ordinal = fileset_last_ordinal(files);
    return PKV_OK;
}

static const manifest_group *listed(const manifest *m, const file_name *name) {
    const manifest_list *list = name->kind == FILE_DIFF ? &m->logs : &m->snapshots;
    const manifest_group *group = manifest_find(list, name->ordinal);
    return group && group->shard_count == name->shard_count ? group : NULL;
}

/* Room that was made and never used, or no room yet? What cannot be read is not. */
static bool is_blank_file(const disk *d, const char *name) {
    uint8_t bytes[4096];
    uint64_t offset = 0;
    size_t got = sizeof bytes;
    int fd;
    if (os_file_open(&d->folder, name, OS_READ, &fd) != 0) return false;
    bool blank = true;
    while (blank && got == sizeof bytes) {
        if (os_file_read(fd, bytes, sizeof bytes, offset, &got) != 0) blank = false;
        for (size_t i = 0; i < got && blank; i++) blank = bytes[i] == 0;
        offset += got;
    }
    (void)os_file_close(fd);
    return blank;
}

static uint64_t last_of(const manifest_list *list) {
    return list->count ? list->groups[list->count - 1].ordinal : 0;
}

/* A file that the manifest does not list: left by a clean-up or rotation that was interrupted, or
 * written by another program? Ordinals are never given twice, so one up to the last was ours. But
 * the crate counts on from the files that it finds: what it has written after a clean close can
 * lie between the last file that is listed and the last ordinal. */
static bool is_leftover(const disk *d, const file_name *name, const char *text) {
    uint64_t last = last_of(&d->m.logs), snapshot = last_of(&d->m.snapshots);
    if (last < snapshot) last = snapshot;
    if (!d->m.clean) last = d->m.last_ordinal;
    return name->ordinal <= last || (name->kind == FILE_DIFF && is_blank_file(d, text));
}

static pkv_status check_files(const disk *d, const fileset *files) {
    for (size_t i = 0; i < files->count; i++) {
        const file_name *name = &files->names[i];
        char text[FILE_NAME_BYTES];
        file_name_format(name, text);
        if (name->kind == FILE_PENDING || listed(&d->m, name)) continue;
        if (is_leftover(d, name, text)) continue;
        pkv_status status =
            fail(PKV_CORRUPT, text, NO_OFFSET, 0,
                 "Inconsistent snapshot files: %s is not listed in the manifest, so another "
                 "program has written it. To take over what it wrote, remove the file "
                 "\"manifest\" and open the store again with its key mode",
                 text);
        if (findings_take(d->findings, status)) return status;
    }
    return PKV_OK;
}

static const char *keys_name(uint32_t keys, uint32_t type) {
    if (keys == PKV_KEYS_VARIABLE) return "string";
    return type == PKV_INTEGER_NONE ? "fixed-length" : pkv_integer_name((pkv_integer)type);
}

/* Records what is wanted where nothing is recorded yet. A folder of the crate's does not say what
 * it holds: until somebody does, it is read with the defaults, and stays undecided. */
static void settle_kinds(disk *d, const disk_wants *wants) {
    manifest *m = &d->m;
    bool is_new = m->snapshots.count + m->logs.count == 0;
    if (!m->keys) m->keys = wants->keys;
    if (!m->keys && is_new) m->keys = PKV_KEYS_VARIABLE;
    if (m->keys == PKV_KEYS_FIXED && !m->key_type) {
        m->key_type = wants->key_type ? wants->key_type : PKV_U64;
    }
    if (!m->values) m->values = wants->values;
    if (!m->values && is_new) m->values = PKV_VALUES_ANY;
    d->keys = m->keys ? (pkv_keys)m->keys : PKV_KEYS_VARIABLE;
    d->key_type = (pkv_integer)m->key_type;
    d->values = m->values ? (pkv_values)m->values : PKV_VALUES_ANY;
}

static pkv_status check_wants(disk *d, const disk_wants *wants) {
    manifest *m = &d->m;
    settle_kinds(d, wants);
    bool keys_differ = wants->keys && wants->keys != m->keys;
    bool types_differ =
        wants->keys == PKV_KEYS_FIXED && wants->key_type && wants->key_type != m->key_type;
    if (keys_differ || types_differ) {
        return fail(PKV_KEY_MODE, MANIFEST_NAME, NO_OFFSET, 0, "store %s has %s keys, not %s keys",
                    d->path, keys_name(m->keys, m->key_type),
                    keys_name(wants->keys, wants->key_type));
    }
    if (wants->values && wants->values != m->values) {
        return fail(PKV_VALUE_TYPE, MANIFEST_NAME, NO_OFFSET, 0,
                    "store %s has values of type \"%s\", not \"%s\"", d->path,
                    pkv_values_name((pkv_values)m->values), pkv_values_name(wants->values));
    }
    return PKV_OK;
}

/* Records of a key must stay in one shard of a log, or their order would be lost: the hash that
 * chooses the shard is the one it began with. */
static void choose_hash(disk *d) {
    static const char probe[] = "persistent-kv";
    manifest *m = &d->m;
    if (m->hash_seed && hash_bytes(probe, sizeof probe, m->hash_seed) == m->hash_check) return;
    d->rehashed = true;
    m->hash_seed = os_random() | 1;
    m->hash_check = hash_bytes(probe, sizeof probe, m->hash_seed);
}

static pkv_status load(disk *d, const disk_wants *wants) {
    bool found = false;
    pkv_status status = manifest_read(&d->folder, &d->m, &found);
    if (status) return status;
    fileset files = {0};
    status = fileset_scan(&d->folder, &files);
    if (!status) status = found ? check_files(d, &files) : adopt(d, &files);
    fileset_release(&files);
    if (status) return status;
    d->had_manifest = found;
    d->was_clean = found && d->m.clean;
    choose_hash(d);
    /* Unknown to those whose values are stored here, lest a value could pass for records. */
    if (!found) d->m.salt = os_random() | 1;
    return check_wants(d, wants);
}

pkv_status disk_open(disk *d, const disk_wants *wants) {
    pkv_status status = disk_lock(d);
    if (!status) status = load(d, wants);
    if (status) (void)disk_close(d);
    return status;
}

pkv_status disk_restore(disk *d, unsigned threads, const restore_sink *sink,
                        restore_result *result) {
    return restore_run(&d->folder, &d->m, threads, sink, result);
}

/* ---- Starting */

static uint64_t covered_ordinal(const manifest *m) {
    const manifest_group *snapshot = manifest_snapshot(m);
    return snapshot ? snapshot->ordinal : 0;
}

/* The log to go on with, or NULL where a new one is needed. */
static const manifest_group *last_log(const disk *d, uint32_t shard_count) {
    const manifest_list *logs = &d->m.logs;
    if (logs->count == 0 || d->rehashed) return NULL;
    const manifest_group *last = &logs->groups[logs->count - 1];
    bool fits = !last->foreign && last->shard_count == shard_count;
    return fits && last->ordinal > covered_ordinal(&d->m) ? last : NULL;
}

static void drop_obsolete_logs(manifest *m) {
    uint64_t covered = covered_ordinal(m);
    while (m->logs.count > 0 && m->logs.groups[0].ordinal < covered) {
        manifest_remove(&m->logs, m->logs.groups[0].ordinal);
    }
}

static pkv_status open_log(disk *d, const wal_options *options) {
    const manifest_group *last = &d->m.logs.groups[d->m.logs.count - 1];
    uint64_t tails[WAL_SHARDS_MAX];
    for (uint32_t i = 0; i < options->shard_count; i++) tails[i] = last->shards[i].size;
    d->current = last->ordinal;
    return wal_open(&d->folder, options, last->ordinal, tails, &d->log);
}

/* Adds an empty log behind all that is there. */
static pkv_status add_log(disk *d, uint32_t shard_count) {
    uint64_t ordinal = d->m.last_ordinal + 1;
    pkv_status status = wal_create_files(&d->folder, ordinal, shard_count);
    if (!status) status = manifest_add(&d->m.logs, ordinal, shard_count);
    if (!status) d->m.last_ordinal = ordinal;
    return status;
}

/* Should the process have died between the renaming of a manifest and the flush of the folder, the
 * manifest that was read may not be on the disk. What only the one before it names must stay until
 * it is. */
static pkv_status flush_folder(const disk *d) {
    int error = os_folder_sync(&d->folder);
    return error ? fail_os(NULL, NO_OFFSET, error, "cannot flush folder %s", d->path) : PKV_OK;
}

pkv_status disk_start(disk *d, const wal_options *options) {
    pkv_status status = d->was_clean ? PKV_OK : restore_repair(&d->folder, &d->m);
    /* From here on the folder is ours: should we die between creating files and listing them, they
     * will be known for leftovers, and not be taken for the crate's. */
    if (!status && !d->had_manifest) status = manifest_write(&d->folder, &d->m);
    if (!status) status = flush_folder(d);
    if (status) return status;
    drop_obsolete_logs(&d->m);
    disk_remove_leftovers(d);
    if (!last_log(d, options->shard_count)) status = add_log(d, options->shard_count);
    d->m.clean = false;
    if (!status) status = manifest_write(&d->folder, &d->m);
    if (!status) status = open_log(d, options);
    if (status) return status;
    const manifest_group *snapshot = manifest_snapshot(&d->m);
    return snapshot ? snapshot_rename(&d->folder, snapshot) : PKV_OK;
}

/* ---- Closing */

static pkv_status close_log(disk *d) {
    if (d->unfinished) (void)disk_retire_log(d); /* should it fail, closing the log will too */
    manifest_group *current = manifest_find(&d->m.logs, d->current);
    uint32_t shard_count = current->shard_count;
    uint64_t sizes[WAL_SHARDS_MAX];
    pkv_status status = wal_close(d->log, sizes);
    d->log = NULL;
    if (status) return status;
    for (uint32_t i = 0; i < shard_count; i++) current->shards[i].size = sizes[i];
    if (d->listed) manifest_remove(&d->m.logs, d->listed);
    d->m.clean = true;
    status = manifest_write(&d->folder, &d->m);
    if (d->listed && !status) wal_remove_files(&d->folder, d->listed, shard_count);
    return status;
}

pkv_status disk_close(disk *d) {
    pkv_status status = d->log ? close_log(d) : PKV_OK;
    manifest_release(&d->m);
    if (d->lock_fd >= 0) (void)os_file_close(d->lock_fd);
    os_folder_close(&d->folder);
    os_mutex_destroy(&d->lock);
    d->lock_fd = -1;
    return status;
}

void disk_forget(disk *d) {
    if (d->log) wal_forget(d->log);
    manifest_release(&d->m);
    disk_forget_lock(d);
    os_folder_close(&d->folder);
}

void disk_forget_lock(disk *d) {
    if (d->lock_fd >= 0) (void)os_file_close(d->lock_fd);
    d->lock_fd = -1;
}

/* ---- Figures */

uint64_t disk_log_bytes(disk *d) {
    os_lock(&d->lock);
    uint64_t bytes = wal_bytes(d->log);
    for (size_t i = 0; i < d->m.logs.count; i++) {
        const manifest_group *g = &d->m.logs.groups[i];
        if (g->ordinal == d->current) continue; /* and what is retired counts above, too */
        for (uint32_t shard = 0; shard < g->shard_count; shard++) bytes += g->shards[shard].size;
    }
    os_unlock(&d->lock);
    return bytes;
}

uint64_t disk_snapshot_bytes(disk *d, uint64_t *ordinal) {
    uint64_t bytes = 0;
    os_lock(&d->lock);
    const manifest_group *snapshot = manifest_snapshot(&d->m);
    *ordinal = snapshot ? snapshot->ordinal : 0;
    for (uint32_t i = 0; snapshot && i < snapshot->shard_count; i++) {
        bytes += snapshot->shards[i].size;
    }
    os_unlock(&d->lock);
    return bytes;
}

/* ---- Cleaning up */

void disk_remove_leftovers(disk *d) {
    fileset files = {0};
    if (fileset_scan(&d->folder, &files) != PKV_OK) return;
    for (size_t i = 0; i < files.count; i++) {
        const file_name *name = &files.names[i];
        char text[FILE_NAME_BYTES];
        file_name_format(name, text);
        if (listed(&d->m, name)) continue;
        if (name->kind == FILE_PENDING || is_leftover(d, name, text)) {
            (void)os_unlink(&d->folder, text);
        }
    }
    fileset_release(&files);
}
