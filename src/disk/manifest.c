/* manifest.c - the file that says which files are in force.
 *
 * Invariant on disk: the name `manifest` always stands for a whole, flushed manifest, the old one
 * or the new one. What a crash leaves under `manifest.new` means nothing and is overwritten.
 *
 * Invariant in memory: the groups of a list ascend by ordinal, and each owns its shards. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../bytes/limits.h"
#include "../os/error.h"
#include "fileset.h"
#include "manifest.h"
#include "manifest_message.h"

/* ---- The file */

static pkv_status fail_open(int error) {
    if (error == ELOOP || error == EINVAL) {
        return fail(PKV_IO, MANIFEST_NAME, NO_OFFSET, error,
                    "%s is a link or no regular file, and is not followed; put the manifest itself "
                    "in its place",
                    MANIFEST_NAME);
    }
    return fail_os(MANIFEST_NAME, NO_OFFSET, error, "%s cannot be opened", MANIFEST_NAME);
}

static pkv_status read_bytes(int fd, uint8_t **bytes, size_t *size) {
    uint64_t whole;
    int error = os_file_size(fd, &whole);
    if (error) return fail_os(MANIFEST_NAME, 0, error, "%s cannot be read", MANIFEST_NAME);
    if (whole > MANIFEST_BYTES_MAX) {
        return fail(PKV_CORRUPT, MANIFEST_NAME, NO_OFFSET, 0,
                    "%s cannot be believed: it is larger than any manifest; restore the folder "
                    "from a backup, or salvage what can be read with `pkv repair`",
                    MANIFEST_NAME);
    }
    uint8_t *buffer = (uint8_t *)malloc((size_t)whole + 1);
    if (!buffer) {
        return fail(PKV_NO_MEMORY, MANIFEST_NAME, 0, 0, "no memory to read %s", MANIFEST_NAME);
    }
    error = os_file_read(fd, buffer, (size_t)whole, 0, size);
    if (error) {
        free(buffer);
        return fail_os(MANIFEST_NAME, 0, error, "%s cannot be read", MANIFEST_NAME);
    }
    *bytes = buffer;
    return PKV_OK;
}

pkv_status manifest_read(const os_folder *folder, manifest *out, bool *found) {
    memset(out, 0, sizeof *out);
    *found = false;
    int fd;
    int error = os_file_open(folder, MANIFEST_NAME, OS_READ, &fd);
    if (error == ENOENT) return PKV_OK;
    if (error) return fail_open(error);

    uint8_t *bytes = NULL;
    size_t size = 0;
    pkv_status status = read_bytes(fd, &bytes, &size);
    (void)os_file_close(fd);
    if (status) return status;
    status = manifest_unpack(bytes, size, out);
    free(bytes);
    *found = status == PKV_OK;
    return status;
}

static int write_and_flush(int fd, const uint8_t *bytes, size_t size) {
    int error = os_file_write(fd, bytes, size, 0);
    if (!error) error = os_file_sync(fd);
    int close_error = os_file_close(fd);
    return error ? error : close_error;
}

static pkv_status write_new(const os_folder *folder, const uint8_t *bytes, size_t size) {
    /* Created anew, so that what a crash, or somebody else, left under the name is not written
     * through. */
    (void)os_unlink(folder, MANIFEST_NEW_NAME);
    int fd;
    int error = os_file_open(folder, MANIFEST_NEW_NAME, OS_CREATE_NEW, &fd);
    if (error) {
        return fail_os(MANIFEST_NEW_NAME, NO_OFFSET, error, "%s cannot be created",
                       MANIFEST_NEW_NAME);
    }
    error = write_and_flush(fd, bytes, size);
    if (!error) return PKV_OK;
    (void)os_unlink(folder, MANIFEST_NEW_NAME);
    return fail_os(MANIFEST_NEW_NAME, NO_OFFSET, error,
                   "%s cannot be written; the old manifest stays in force", MANIFEST_NEW_NAME);
}

static pkv_status put_in_force(const os_folder *folder) {
    int error = os_rename(folder, MANIFEST_NEW_NAME, MANIFEST_NAME);
    if (error) {
        (void)os_unlink(folder, MANIFEST_NEW_NAME);
        return fail_os(MANIFEST_NAME, NO_OFFSET, error,
                       "%s cannot be replaced; the old one stays in force", MANIFEST_NAME);
    }
    error = os_folder_sync(folder);
    if (!error) return PKV_OK;
    return fail(PKV_READ_ONLY, MANIFEST_NAME, NO_OFFSET, error,
                "%s is replaced, but the folder cannot be flushed: a power loss may bring the old "
                "one back",
                MANIFEST_NAME);
}

pkv_status manifest_write(const os_folder *folder, const manifest *in) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    pkv_status status = manifest_pack(in, &bytes, &size);
    if (status) return status;
    status = write_new(folder, bytes, size);
    free(bytes);
    return status ? status : put_in_force(folder);
}

/* ---- Lists of groups */

static void release_list(manifest_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->groups[i].shards);
    free(list->groups);
    *list = (manifest_list){NULL, 0};
}

void manifest_release(manifest *m) {
    release_list(&m->snapshots);
    release_list(&m->logs);
    memset(m, 0, sizeof *m);
}

static uint64_t last_of(const manifest_list *list) {
    return list->count ? list->groups[list->count - 1].ordinal : 0;
}

pkv_status manifest_add(manifest_list *list, uint64_t ordinal, uint32_t shard_count) {
    if (ordinal <= last_of(list) || shard_count == 0 || shard_count > FILE_SHARDS_MAX) {
        return fail(PKV_USAGE, MANIFEST_NAME, NO_OFFSET, 0,
                    "ordinal %llu with %lu shards cannot be added to the manifest",
                    (unsigned long long)ordinal, (unsigned long)shard_count);
    }
    shard_facts *shards = (shard_facts *)calloc(shard_count, sizeof *shards);
    manifest_group *groups =
        (manifest_group *)realloc(list->groups, (list->count + 1) * sizeof *groups);
    if (groups) list->groups = groups;
    if (!shards || !groups) {
        free(shards);
        return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for the manifest");
    }
    groups[list->count++] =
        (manifest_group){.ordinal = ordinal, .shard_count = shard_count, .shards = shards};
    return PKV_OK;
}

static pkv_status copy_list(const manifest_list *from, manifest_list *to) {
    for (size_t i = 0; i < from->count; i++) {
        const manifest_group *group = &from->groups[i];
        pkv_status status = manifest_add(to, group->ordinal, group->shard_count);
        if (status) return status;
        to->groups[i].foreign = group->foreign;
        memcpy(to->groups[i].shards, group->shards, group->shard_count * sizeof *group->shards);
    }
    return PKV_OK;
}

pkv_status manifest_copy(const manifest *from, manifest *to) {
    *to = *from;
    to->snapshots = to->logs = (manifest_list){NULL, 0};
    pkv_status status = copy_list(&from->snapshots, &to->snapshots);
    if (!status) status = copy_list(&from->logs, &to->logs);
    if (status) manifest_release(to);
    return status;
}

manifest_group *manifest_find(const manifest_list *list, uint64_t ordinal) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->groups[i].ordinal == ordinal) return &list->groups[i];
    }
    return NULL;
}

void manifest_remove(manifest_list *list, uint64_t ordinal) {
    manifest_group *group = manifest_find(list, ordinal);
    if (!group) return;
    free(group->shards);
    manifest_group *end = list->groups + list->count--;
    memmove(group, group + 1, (size_t)(end - (group + 1)) * sizeof *group);
}

manifest_group *manifest_snapshot(const manifest *m) {
    return m->snapshots.count ? &m->snapshots.groups[m->snapshots.count - 1] : NULL;
}
