/* snapshot.c - see snapshot.h. */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fileset.h"
#include "reader.h"
#include "../bytes/checksum.h"
#include "../bytes/limits.h"
#include "../bytes/planted.h"
#include "../os/error.h"
#include "../os/parallel.h"

/* Batches of records that are read back, after which the thread yields. */
#define BATCHES_A_TURN 32u

struct snapshot_writer {
    int fd;
    char name[FILE_NAME_BYTES];
    uint32_t seed;
    uint8_t *buffer; /* FILE_BUFFER_BYTES, more for a larger record */
    size_t buffered, capacity;
    shard_facts facts; /* of what has been put; size counts the buffered bytes too */
};

typedef struct snapshot_job {
    const os_folder *folder;
    const manifest_group *group;
    uint64_t salt;
    const snapshot_source *source;
} snapshot_job;

static void shard_name(const manifest_group *group, uint32_t shard, file_kind kind,
                       char text[FILE_NAME_BYTES]) {
    file_name name = {group->ordinal, shard, group->shard_count, kind};
    file_name_format(&name, text);
}

/* ---- Writing */

static pkv_status write_out(snapshot_writer *out) {
    uint64_t offset = out->facts.size - out->buffered;
    int error = os_file_write(out->fd, out->buffer, out->buffered, offset);
    if (error && !PLANTED(ignore_failed_write)) {
        return fail_os(out->name, offset, error, "cannot write snapshot file %s at offset %llu",
                       out->name, (unsigned long long)offset);
    }
    out->facts.checksum = checksum(out->facts.checksum, out->buffer, out->buffered);
    out->buffered = 0;
    return PKV_OK;
}

static pkv_status reserve(snapshot_writer *out, size_t size) {
    size_t capacity = size > FILE_BUFFER_BYTES ? size : FILE_BUFFER_BYTES;
    if (capacity <= out->capacity) return PKV_OK;
    uint8_t *buffer = realloc(out->buffer, capacity);
    if (!buffer) {
        return fail(PKV_NO_MEMORY, out->name, NO_OFFSET, 0, "no memory to write %s (%zu bytes)",
                    out->name, capacity);
    }
    out->buffer = buffer;
    out->capacity = capacity;
    return PKV_OK;
}

pkv_status snapshot_put(snapshot_writer *out, pkv_bytes key, pkv_bytes value, pkv_type type) {
    record entry = {.key = key, .value = value, .type = type};
    return snapshot_put_record(out, &entry);
}

pkv_status snapshot_put_record(snapshot_writer *out, const record *entry) {
    size_t size = record_size(entry);
    pkv_status status = PKV_OK;
    if (out->buffered + size > out->capacity) {
        if (out->buffered > 0) status = write_out(out);
        if (!status) status = reserve(out, size);
        if (status) return status;
    }
    record_encode(entry, out->seed, out->buffer + out->buffered);
    out->buffered += size;
    out->facts.size += size;
    out->facts.entries++;
    return PKV_OK;
}

static pkv_status create(const snapshot_job *job, snapshot_writer *out) {
    (void)os_unlink(job->folder, out->name); /* of an attempt that failed */
    int error = os_file_open(job->folder, out->name, OS_CREATE_NEW, &out->fd);
    if (!error) return PKV_OK;
    return fail_os(out->name, NO_OFFSET, error, "cannot create snapshot file %s", out->name);
}

static pkv_status finish(snapshot_writer *out) {
    pkv_status status = out->buffered ? write_out(out) : PKV_OK;
    if (status) return status;
    if (PLANTED(skip_snapshot_flush)) return PKV_OK;
    int error = os_file_sync(out->fd);
    if (!error) return PKV_OK;
    return fail_os(out->name, NO_OFFSET, error, "cannot flush snapshot file %s", out->name);
}

static pkv_status write_shard(void *context, size_t shard) {
    const snapshot_job *job = context;
    const manifest_group *group = job->group;
    snapshot_writer out = {.fd = -1, .seed = checksum_seed(group->ordinal, job->salt)};
    shard_name(group, (uint32_t)shard, FILE_PENDING, out.name);
    pkv_status status = create(job, &out);
    if (status) return status;
    status = job->source->walk(job->source->context, (uint32_t)shard, group->shard_count, &out);
    if (!status) status = finish(&out);
    (void)os_file_close(out.fd);
    free(out.buffer);
    if (!status) group->shards[shard] = out.facts;
    return status;
}

pkv_status snapshot_write(const os_folder *folder, manifest_group *group, uint64_t salt,
                          unsigned threads, const snapshot_source *source) {
    snapshot_job job = {folder, group, salt, source};
    pkv_status status =
        parallel_run(threads, group->shard_count, PARALLEL_BEHIND, write_shard, &job);
    if (status) return status;
    if (PLANTED(skip_snapshot_folder_flush)) return PKV_OK;
    int error = os_folder_sync(folder);
    return error ? fail_os(NULL, NO_OFFSET, error, "cannot flush the store's folder") : PKV_OK;
}

/* ---- Reading back */

static pkv_status check_shard(void *context, size_t shard) {
    const snapshot_job *job = context;
    const shard_facts *facts = &job->group->shards[shard];
    file_name name = {job->group->ordinal, (uint32_t)shard, job->group->shard_count, FILE_PENDING};
    reader in;
    pkv_status status = reader_open(&in, job->folder, &name, RECORD_OURS, job->salt);
    if (status == PKV_NOT_FOUND) {
        return fail(PKV_IO, in.name, NO_OFFSET, 0, "snapshot file %s has gone while it was written",
                    in.name);
    }
    if (status) return status;
    os_file_drop_cache(in.fd);
    uint64_t entries = 0;
    reader_batch batch = {.ended = RECORD_OK};
    for (unsigned turn = 1; !status && batch.ended == RECORD_OK; turn++) {
        status = reader_next(&in, &batch);
        entries += batch.count;
        if (turn % BATCHES_A_TURN == 0) os_yield();
    }
    if (!status && (in.offset != in.size || in.size != facts->size || entries != facts->entries ||
                    in.checksum != facts->checksum)) {
        status = fail(PKV_IO, in.name, in.offset, 0,
                      "snapshot file %s does not read back as it was written, from offset %llu on",
                      in.name, (unsigned long long)in.offset);
    }
    reader_close(&in);
    return status;
}

pkv_status snapshot_check(const os_folder *folder, const manifest_group *group, uint64_t salt,
                          unsigned threads) {
    if (PLANTED(skip_read_back)) return PKV_OK;
    snapshot_job job = {folder, group, salt, NULL};
    return parallel_run(threads, group->shard_count, PARALLEL_BEHIND, check_shard, &job);
}

/* ---- Names */

pkv_status snapshot_rename(const os_folder *folder, const manifest_group *group) {
    for (uint32_t shard = 0; shard < group->shard_count; shard++) {
        char from[FILE_NAME_BYTES], to[FILE_NAME_BYTES];
        shard_name(group, shard, FILE_PENDING, from);
        shard_name(group, shard, FILE_FULL, to);
        int error = os_rename(folder, from, to);
        if (error && error != ENOENT) {
            return fail_os(from, NO_OFFSET, error, "cannot rename %s to %s", from, to);
        }
    }
    return PKV_OK;
}

void snapshot_remove_pending(const os_folder *folder, const manifest_group *group) {
    for (uint32_t shard = 0; shard < group->shard_count; shard++) {
        char text[FILE_NAME_BYTES];
        shard_name(group, shard, FILE_PENDING, text);
        (void)os_unlink(folder, text);
    }
}
