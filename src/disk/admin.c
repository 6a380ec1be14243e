/* admin.c - what may be done to a folder that nobody has open. */
#include "disk.h"

#include <string.h>
#include "../os/error.h"

static pkv_status open_folder(const char *path, disk *d) {
    os_folder folder;
    pkv_status status = disk_open_folder(path, false, &folder);
    if (status) return status;
    disk_wants wants = {0};
    *d = (disk){.lock_fd = -1};
    status = disk_begin(path, folder, d);
    return status ? status : disk_open(d, &wants);
}

static pkv_status remove_file(disk *d, const file_name *name, uint64_t *removed) {
    char text[FILE_NAME_BYTES];
    file_name_format(name, text);
    int error = os_unlink(&d->folder, text);
    if (error) return fail_os(text, NO_OFFSET, error, "cannot remove %s", text);
    (*removed)++;
    return PKV_OK;
}

/* Removes the folder's files of a kind and ordinal. */
static pkv_status remove_files(disk *d, const fileset *files, file_kind kind, uint64_t ordinal,
                               uint64_t *removed) {
    for (size_t i = 0; i < files->count; i++) {
        const file_name *name = &files->names[i];
        if (name->kind != kind || name->ordinal != ordinal) continue;
        pkv_status status = remove_file(d, name, removed);
        if (status) return status;
    }
    return PKV_OK;
}

static pkv_status prune(disk *d, const fileset *files, uint32_t keep, uint64_t *removed) {
    pkv_status status = PKV_OK;
    while (d->m.snapshots.count > (size_t)keep + 1 && !status) {
        uint64_t ordinal = d->m.snapshots.groups[0].ordinal;
        manifest_remove(&d->m.snapshots, ordinal);
        if (d->had_manifest) status = manifest_write(&d->folder, &d->m);
        if (!status) status = remove_files(d, files, FILE_FULL, ordinal, removed);
    }
    return status;
}

static pkv_status delete_pending(disk *d, const fileset *files, uint32_t keep, uint64_t *removed) {
    (void)keep;
    for (size_t i = 0; i < files->count; i++) {
        const file_name *name = &files->names[i];
        /* A published one is still called pending where its renaming was interrupted. */
        bool published = manifest_find(&d->m.snapshots, name->ordinal) != NULL;
        if (name->kind != FILE_PENDING || published) continue;
        pkv_status status = remove_file(d, name, removed);
        if (status) return status;
    }
    return PKV_OK;
}

typedef pkv_status (*admin_task)(disk *d, const fileset *files, uint32_t keep, uint64_t *removed);

static pkv_status administer(const char *path, admin_task task, uint32_t keep, uint64_t *removed) {
    disk d;
    *removed = 0;
    pkv_status status = open_folder(path, &d);
    if (status) return status;
    fileset files = {0};
    status = fileset_scan(&d.folder, &files);
    if (!status) status = task(&d, &files, keep, removed);
    fileset_release(&files);
    (void)disk_close(&d);
    return status;
}

pkv_status disk_prune_backups(const char *path, uint32_t keep, uint64_t *removed) {
    return administer(path, prune, keep, removed);
}

pkv_status disk_delete_pending(const char *path, uint64_t *removed) {
    return administer(path, delete_pending, 0, removed);
}
