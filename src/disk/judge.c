/* judge.c - see judge.h. */
#include "judge.h"

#include "../bytes/planted.h"
#include "../os/error.h"

judge judge_of_snapshot(const os_folder *folder, const manifest *m, const manifest_group *group) {
    return (judge){.folder = folder, .m = m, .group = group};
}

judge judge_of_log(const os_folder *folder, const manifest *m, size_t log) {
    const manifest_group *groups = m->logs.groups;
    return (judge){.folder = folder,
                   .m = m,
                   .group = &groups[log],
                   .before = log > 0 ? &groups[log - 1] : NULL,
                   .is_log = true};
}

/* ---- Opening */

static pkv_status open_as(const judge *j, const file_name *name, reader *in) {
    record_origin origin = j->group->foreign ? RECORD_FOREIGN : RECORD_OURS;
    return reader_open(in, j->folder, name, origin, j->m->salt);
}

static pkv_status fail_missing(const judge *j, const file_name *name) {
    char text[FILE_NAME_BYTES];
    if (j->group->partial) return PKV_NOT_FOUND;
    file_name_format(name, text);
    if (!j->is_log) {
        return fail(PKV_CORRUPT, text, NO_OFFSET, 0,
                    "Missing snapshot shard: the manifest lists %s, which is not there", text);
    }
    if (PLANTED(accept_missing_log)) return PKV_NOT_FOUND;
    return fail(PKV_CORRUPT, text, NO_OFFSET, 0,
                "Missing snapshot shard: log file %s is listed in the manifest, but not there",
                text);
}

/* A published shard is still called pending where the renaming was interrupted. */
pkv_status judge_open(const judge *j, uint32_t shard, reader *in) {
    const manifest_group *g = j->group;
    file_name name = {g->ordinal, shard, g->shard_count, j->is_log ? FILE_DIFF : FILE_FULL};
    file_name pending = {g->ordinal, shard, g->shard_count, FILE_PENDING};
    pkv_status status = open_as(j, &name, in);
    if (status == PKV_NOT_FOUND && !j->is_log) status = open_as(j, &pending, in);
    return status == PKV_NOT_FOUND ? fail_missing(j, &name) : status;
}

pkv_status judge_growth(const judge *j, uint32_t shard, const reader *in) {
    uint64_t size = j->group->shards[shard].size;
    if (!j->is_log || !j->m->clean || j->group->foreign || in->size <= size) return PKV_OK;
    if (PLANTED(accept_grown_log)) return PKV_OK;
    return fail(PKV_CORRUPT, in->name, size, 0,
                "log file %s has grown from %llu to %llu bytes since the store was closed: "
                "another program has written to it. To take over what it wrote, remove the "
                "file \"manifest\" and open the store again with its key mode",
                in->name, (unsigned long long)size, (unsigned long long)in->size);
}

/* ---- Snapshots */

static pkv_status fail_snapshot(const reader *in, const char *what) {
    return fail(PKV_CORRUPT, in->name, in->offset, 0,
                "snapshot file %s is damaged at offset %llu: %s", in->name,
                (unsigned long long)in->offset, what);
}

pkv_status judge_snapshot(const reader *in, const shard_facts *facts, uint64_t entries,
                          record_result ended) {
    if (ended == RECORD_SHORT) return fail_snapshot(in, "it ends inside a record");
    if (ended == RECORD_BAD) return fail_snapshot(in, "there is no valid record");
    if (in->offset != in->size) return fail_snapshot(in, "there are zeros in place of a record");
    if (in->origin == RECORD_FOREIGN) return PKV_OK;
    if (PLANTED(skip_snapshot_facts)) return PKV_OK;
    if (in->size != facts->size)
        return fail_snapshot(in, "it has not the size it was written with");
    if (entries != facts->entries) return fail_snapshot(in, "records are missing");
    if (PLANTED(skip_snapshot_checksum)) return PKV_OK;
    if (in->checksum != facts->checksum) return fail_snapshot(in, "its checksum is wrong");
    return PKV_OK;
}

/* ---- Logs */

static pkv_status fail_log(const reader *in, uint64_t end, uint64_t mark) {
    return fail(PKV_CORRUPT, in->name, end, 0,
                "log file %s is damaged at offset %llu: there is no valid record, though the file "
                "had been flushed up to offset %llu",
                in->name, (unsigned long long)end, (unsigned long long)mark);
}

pkv_status judge_log(reader *in, const shard_facts *facts, record_result ended, uint64_t *cut) {
    uint64_t end = in->offset;
    if (end < facts->size && !PLANTED(ignore_flushed_size)) return fail_log(in, end, facts->size);
    if (in->origin == RECORD_FOREIGN && ended == RECORD_BAD) {
        return fail(PKV_CORRUPT, in->name, end, 0,
                    "log file %s is damaged at offset %llu: there is no valid record", in->name,
                    (unsigned long long)end);
    }
    reader_rest rest;
    pkv_status status = reader_examine_rest(in, &rest);
    if (status) return status;
    if (rest.mark > end && !PLANTED(ignore_marks)) return fail_log(in, end, rest.mark);
    *cut = rest.end - end;
    return PKV_OK;
}

uint64_t judge_previous_end(const judge *j, uint32_t shard) {
    const manifest_group *before = j->before;
    if (!before || PLANTED(ignore_previous_size)) return UINT64_MAX;
    if (before->foreign || before->shard_count != j->group->shard_count) return UINT64_MAX;
    return before->shards[shard].size;
}

pkv_status judge_orphan(reader *in, const shard_facts *facts, uint64_t previous_end,
                        uint64_t *cut) {
    if (facts->size > 0) {
        return fail(PKV_CORRUPT, in->name, 0, 0,
                    "log file %s was flushed up to offset %llu, but the log before it has lost "
                    "what followed its offset %llu",
                    in->name, (unsigned long long)facts->size, (unsigned long long)previous_end);
    }
    reader_rest rest;
    reader_go(in, 0);
    pkv_status status = reader_examine_rest(in, &rest);
    if (status) return status;
    if (rest.mark > 0) return fail_log(in, 0, rest.mark);
    *cut = rest.end;
    return PKV_OK;
}
