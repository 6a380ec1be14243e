/* wal_files.c - see wal.h: the files of an ordinal, before and after they are used. */
#include "fileset.h"
#include "wal.h"
#include "../bytes/planted.h"
#include "../os/error.h"

static void remove_first(const os_folder *folder, uint64_t ordinal, uint32_t shard_count,
                         uint32_t upto) {
    for (uint32_t i = 0; i < upto; i++) {
        file_name name = {ordinal, i, shard_count, FILE_DIFF};
        char text[FILE_NAME_BYTES];
        file_name_format(&name, text);
        (void)os_unlink(folder, text);
    }
}

pkv_status wal_create_files(const os_folder *folder, uint64_t ordinal, uint32_t shard_count) {
    int error = 0;
    char text[FILE_NAME_BYTES] = "";
    uint32_t created = 0;
    while (created < shard_count && !error) {
        file_name name = {ordinal, created, shard_count, FILE_DIFF};
        file_name_format(&name, text);
        int fd;
        error = os_file_open(folder, text, OS_CREATE_NEW, &fd);
        if (error) break;
        created++;
        error = os_file_close(fd);
    }
    if (!error && !PLANTED(skip_creation_folder_flush)) error = os_folder_sync(folder);
    if (!error) return PKV_OK;
    pkv_status status = fail_os(text, NO_OFFSET, error, "cannot create log file %s", text);
    remove_first(folder, ordinal, shard_count, created); /* not what somebody else has there */
    return status;
}

void wal_remove_files(const os_folder *folder, uint64_t ordinal, uint32_t shard_count) {
    remove_first(folder, ordinal, shard_count, shard_count);
}
