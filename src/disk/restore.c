/* restore.c - see restore.h. */
#include "restore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fileset.h"
#include "reader.h"
#include "sweep.h"
#include "../os/error.h"
#include "../os/parallel.h"

typedef struct restore {
    const os_folder *folder;
    const restore_sink *sink;
    manifest *m;
    size_t log;               /* index of the log being read */
    const manifest_group *at; /* the snapshot or log being read */
    os_mutex lock;            /* of the result */
    restore_result *result;
    findings *findings; /* of an examination, else NULL */
} restore;

static record_origin origin_of(const manifest_group *group) {
    return group->foreign ? RECORD_FOREIGN : RECORD_OURS;
}

/* Applies the batch's records from *next on; *next becomes that of the one that fails. */
static pkv_status apply_from(const restore *r, const reader *in, const reader_batch *batch,
                             size_t *next) {
    size_t applied = 0;
    pkv_status status = r->sink->apply(r->sink->context, batch->entries + *next,
                                       batch->count - *next, in->origin, &applied);
    *next += applied;
    if (!status) return PKV_OK;
    (void)fail_context("%s, record at offset %llu", in->name,
                       (unsigned long long)batch->offsets[*next]);
    pkv_error error = *pkv_error_detail();
    memcpy(error.file, in->name, sizeof in->name);
    error.offset = batch->offsets[*next];
    return fail_with(&error);
}

static pkv_status apply(const restore *r, const reader *in, const reader_batch *batch) {
    size_t next = 0;
    return apply_from(r, in, batch, &next);
}

static void count(restore *r, uint64_t entries, const reader *in, uint64_t cut_at, uint64_t cut) {
    os_lock(&r->lock);
    r->result->entries += entries;
    if (cut > 0) {
        r->result->cut_bytes += cut;
        r->result->cut_offset = cut_at;
        memcpy(r->result->cut_file, in->name, sizeof r->result->cut_file);
        findings_torn(r->findings, in->name, cut_at, cut);
    }
    os_unlock(&r->lock);
}

/* ---- An examination goes on behind damage */

typedef struct survey {
    restore *r;
    pkv_error
        first; /* what reading ended with; told with the range that begins where it happened */
    bool told;
    uint64_t promised; /* what begins behind may be torn, and nobody would miss it; up to `end` */
    uint64_t end;
} survey;

static void tell_first(survey *s, uint64_t bytes) {
    s->told = true;
    (void)findings_take_range(s->r->findings, fail_with(&s->first), bytes);
}

static void tell_range(survey *s, pkv_status status, uint64_t bytes) {
    bool is_first = !s->told && pkv_error_detail()->offset == s->first.offset;
    pkv_error error = *pkv_error_detail();
    if (!s->told) tell_first(s, is_first ? bytes : 0);
    if (is_first) return;
    (void)fail_with(&error);
    (void)findings_take_range(s->r->findings, status, bytes);
}

static pkv_status survey_records(void *context, const reader *in, const reader_batch *batch) {
    survey *s = context;
    for (size_t i = 0; i < batch->count; i++) {
        pkv_status status = apply_from(s->r, in, batch, &i);
        if (!status) return PKV_OK;
        if (status != PKV_CORRUPT) return status;
        uint64_t next = i + 1 < batch->count ? batch->offsets[i + 1] : in->offset;
        tell_range(s, status, next - batch->offsets[i]);
    }
    return PKV_OK;
}

static bool survey_range(void *context, const sweep_range *range) {
    survey *s = context;
    const char *file = s->first.file;
    if (range->from >= s->promised) {
        if (!s->told) tell_first(s, 0);
        findings_torn(s->r->findings, file, range->from, s->end - range->from);
        return false;
    }
    const char *why = range->ended == RECORD_OK ? "the file ends before what was written to it"
                                                : "there is no valid record";
    tell_range(s,
               fail(PKV_CORRUPT, file, range->from, 0, "%s is damaged at offset %llu, too: %s",
                    file, (unsigned long long)range->from, why),
               range->upto - range->from);
    return true;
}

/* Reading has ended with this thread's last failure, which is told, and so is all that is wrong
 * with the rest of the file. It had `size` bytes at least; unless it is whole or damaged, its end
 * may be torn. Without findings, just the failure. */
static pkv_status survey_rest(restore *r, reader *in, uint64_t size, bool whole) {
    survey s = {.r = r, .first = *pkv_error_detail(), .promised = UINT64_MAX};
    sweep all = {survey_records, survey_range, &s};
    if (!r->findings || s.first.status != PKV_CORRUPT) return s.first.status;
    pkv_status status = PKV_OK;
    reader_go(in, s.first.offset);
    if (!whole) {
        reader_rest rest;
        status = reader_examine_rest(in, &rest);
        s.promised = rest.mark > size ? rest.mark : size;
        s.end = rest.end;
        reader_go(in, s.first.offset);
    }
    if (!status) status = sweep_run(in, whole ? size : s.promised, &all);
    pkv_error error = *pkv_error_detail();
    if (!s.told) tell_first(&s, 0);
    return status ? fail_with(&error) : PKV_OK;
}

/* ---- Snapshots: whole or not at all */

/* A published shard is still called pending where the renaming was interrupted. */
static pkv_status open_snapshot(const restore *r, uint32_t shard, reader *in) {
    const manifest_group *g = r->at;
    file_name name = {g->ordinal, shard, g->shard_count, FILE_FULL};
    pkv_status status = reader_open(in, r->folder, &name, origin_of(g), r->m->salt);
    if (status != PKV_NOT_FOUND) return status;
    name.kind = FILE_PENDING;
    status = reader_open(in, r->folder, &name, origin_of(g), r->m->salt);
    if (status != PKV_NOT_FOUND || g->partial) return status;
    name.kind = FILE_FULL;
    char text[FILE_NAME_BYTES];
    file_name_format(&name, text);
    return fail(PKV_CORRUPT, text, NO_OFFSET, 0,
                "Missing snapshot shard: the manifest lists %s, which is not there", text);
}

static pkv_status fail_snapshot(const reader *in, const char *what) {
    return fail(PKV_CORRUPT, in->name, in->offset, 0,
                "snapshot file %s is damaged at offset %llu: %s", in->name,
                (unsigned long long)in->offset, what);
}

static pkv_status check_snapshot(const reader *in, const shard_facts *facts, uint64_t entries,
                                 record_result ended) {
    if (ended == RECORD_SHORT) return fail_snapshot(in, "it ends inside a record");
    if (ended == RECORD_BAD) return fail_snapshot(in, "there is no valid record");
    if (in->offset != in->size) return fail_snapshot(in, "there are zeros in place of a record");
    if (in->origin == RECORD_FOREIGN) return PKV_OK;
    if (in->size != facts->size)
        return fail_snapshot(in, "it has not the size it was written with");
    if (entries != facts->entries) return fail_snapshot(in, "records are missing");
    if (in->checksum != facts->checksum) return fail_snapshot(in, "its checksum is wrong");
    return PKV_OK;
}

static pkv_status restore_snapshot_shard(restore *r, size_t shard) {
    reader in = {0};
    pkv_status status = open_snapshot(r, (uint32_t)shard, &in);
    if (status == PKV_NOT_FOUND) return PKV_OK; /* of a partial group */
    if (status) return status;
    uint64_t entries = 0;
    reader_batch batch = {.ended = RECORD_OK};
    while (!status && batch.ended == RECORD_OK) {
        status = reader_next(&in, &batch);
        if (!status) status = apply(r, &in, &batch);
        entries += batch.count;
    }
    const shard_facts *facts = &r->at->shards[shard];
    if (!status) status = check_snapshot(&in, facts, entries, batch.ended);
    if (!status) count(r, entries, &in, 0, 0);
    if (status) status = survey_rest(r, &in, in.size > facts->size ? in.size : facts->size, true);
    findings_count_file(r->findings, in.size);
    reader_close(&in);
    return status;
}

static pkv_status read_snapshot_shard(void *context, size_t shard) {
    restore *r = context;
    return findings_take(r->findings, restore_snapshot_shard(r, shard));
}

/* ---- Logs */

/* Where the log before this one ends for the same shard; UINT64_MAX where there is no telling. */
static uint64_t previous_end(const restore *r, size_t shard) {
    if (r->log == 0) return UINT64_MAX;
    const manifest_group *before = &r->m->logs.groups[r->log - 1];
    if (before->foreign || before->shard_count != r->at->shard_count) return UINT64_MAX;
    return before->shards[shard].size;
}

static pkv_status fail_log(const reader *in, uint64_t end, uint64_t mark) {
    return fail(PKV_CORRUPT, in->name, end, 0,
                "log file %s is damaged at offset %llu: there is no valid record, though the file "
                "had been flushed up to offset %llu",
                in->name, (unsigned long long)end, (unsigned long long)mark);
}

/* Reading has ended at in->offset: was that all, a torn tail, or damage? */
static pkv_status judge_end(restore *r, reader *in, const shard_facts *facts, record_result ended,
                            uint64_t entries) {
    uint64_t end = in->offset;
    if (end < facts->size) return fail_log(in, end, facts->size);
    if (in->origin == RECORD_FOREIGN && ended == RECORD_BAD) {
        return fail(PKV_CORRUPT, in->name, end, 0,
                    "log file %s is damaged at offset %llu: there is no valid record", in->name,
                    (unsigned long long)end);
    }
    reader_rest rest;
    pkv_status status = reader_examine_rest(in, &rest);
    if (status) return status;
    if (rest.mark > end) return fail_log(in, end, rest.mark);
    count(r, entries, in, end, rest.end - end);
    return PKV_OK;
}

/* The log before has lost its end: nothing of this one may come back. */
static pkv_status drop_log(restore *r, reader *in, const shard_facts *facts, uint64_t lost) {
    if (facts->size > 0) {
        return fail(PKV_CORRUPT, in->name, 0, 0,
                    "log file %s was flushed up to offset %llu, but the log before it has lost "
                    "what followed its offset %llu",
                    in->name, (unsigned long long)facts->size, (unsigned long long)lost);
    }
    reader_rest rest;
    reader_go(in, 0);
    pkv_status status = reader_examine_rest(in, &rest);
    if (status) return status;
    if (rest.mark > 0) return fail_log(in, 0, rest.mark);
    count(r, 0, in, 0, rest.end);
    return PKV_OK;
}

/* Applies the records from the reader's place on; *end is where it stops being a log. */
static pkv_status replay(restore *r, reader *in, size_t shard, uint64_t *end) {
    const shard_facts *facts = &r->at->shards[shard];
    uint64_t entries = 0, before = previous_end(r, shard);
    reader_batch batch = {.ended = RECORD_OK};
    while (batch.ended == RECORD_OK) {
        pkv_status status = reader_next(in, &batch);
        if (status) return status;
        if (entries == 0 && batch.count > 0 && batch.entries[0].previous_size > before) {
            *end = 0;
            status = drop_log(r, in, facts, before);
            if (!status || findings_take(r->findings, status)) return status;
            before = UINT64_MAX;
            batch.ended = RECORD_OK;
            reader_go(in, 0);
            continue;
        }
        status = apply(r, in, &batch);
        if (status) return status;
        entries += batch.count;
    }
    *end = in->offset;
    return judge_end(r, in, facts, batch.ended, entries);
}

static pkv_status restore_log_shard(restore *r, size_t shard) {
    const manifest_group *g = r->at;
    shard_facts *facts = &g->shards[shard];
    file_name name = {g->ordinal, (uint32_t)shard, g->shard_count, FILE_DIFF};
    reader in = {0};
    pkv_status status = reader_open(&in, r->folder, &name, origin_of(g), r->m->salt);
    if (status == PKV_NOT_FOUND && g->partial) return PKV_OK;
    if (status == PKV_NOT_FOUND) {
        char text[FILE_NAME_BYTES];
        file_name_format(&name, text);
        return fail(PKV_CORRUPT, text, NO_OFFSET, 0,
                    "Missing snapshot shard: log file %s is listed in the manifest, but not there",
                    text);
    }
    if (status) return status;
    if (r->m->clean && !g->foreign && in.size > facts->size) {
        status = fail(PKV_CORRUPT, in.name, facts->size, 0,
                      "log file %s has grown from %llu to %llu bytes since the store was closed: "
                      "another program has written to it. To take over what it wrote, remove the "
                      "file \"manifest\" and open the store again with its key mode",
                      in.name, (unsigned long long)facts->size, (unsigned long long)in.size);
        status = findings_take_range(r->findings, status, in.size - facts->size);
        in.size = facts->size;
    }
    uint64_t end = 0;
    if (!status) status = replay(r, &in, shard, &end);
    if (status) {
        status = survey_rest(r, &in, g->foreign ? in.size : facts->size, g->foreign);
        end = UINT64_MAX; /* the log after it is not to blame */
    }
    if (!status) facts->size = end;
    findings_count_file(r->findings, in.size);
    reader_close(&in);
    return status;
}

static pkv_status read_log_shard(void *context, size_t shard) {
    restore *r = context;
    pkv_status status = restore_log_shard(r, shard);
    if (!status || findings_take(r->findings, status)) return status;
    r->at->shards[shard].size = UINT64_MAX; /* the log after it is not to blame */
    return PKV_OK;
}

static pkv_status read_snapshot(restore *r, const manifest_group *snapshot, unsigned threads) {
    r->at = snapshot;
    return parallel_run(threads, snapshot->shard_count, read_snapshot_shard, r);
}

static pkv_status read_in_force(restore *r, unsigned threads) {
    const manifest_group *snapshot = manifest_snapshot(r->m);
    pkv_status status = snapshot ? read_snapshot(r, snapshot, threads) : PKV_OK;
    for (r->log = 0; r->log < r->m->logs.count && !status; r->log++) {
        r->at = &r->m->logs.groups[r->log];
        if (snapshot && r->at->ordinal < snapshot->ordinal) continue;
        status = parallel_run(threads, r->at->shard_count, read_log_shard, r);
    }
    return status;
}

pkv_status restore_run(const os_folder *folder, manifest *m, unsigned threads,
                       const restore_sink *sink, restore_result *result) {
    memset(result, 0, sizeof *result);
    restore r = {.folder = folder, .sink = sink, .m = m, .result = result};
    int error = os_mutex_init(&r.lock);
    if (error) return fail_os(NULL, NO_OFFSET, error, "cannot make a lock");
    pkv_status status = read_in_force(&r, threads);
    os_mutex_destroy(&r.lock);
    return status;
}

pkv_status restore_examine(const os_folder *folder, manifest *m, const restore_sink *sink,
                           findings *to) {
    restore_result result = {0};
    restore r = {.folder = folder, .sink = sink, .m = m, .result = &result, .findings = to};
    int error = os_mutex_init(&r.lock);
    if (error) return fail_os(NULL, NO_OFFSET, error, "cannot make a lock");
    pkv_status status = read_in_force(&r, 1); /* so that findings come one at a time */
    for (size_t i = 0; i + 1 < m->snapshots.count && !status; i++) {
        status = read_snapshot(&r, &m->snapshots.groups[i], 1);
    }
    os_mutex_destroy(&r.lock);
    return status;
}

/* ---- Repair */

static pkv_status repair_shard(const os_folder *folder, const manifest_group *g, uint32_t shard) {
    file_name name = {g->ordinal, shard, g->shard_count, FILE_DIFF};
    char text[FILE_NAME_BYTES];
    file_name_format(&name, text);
    int fd;
    int error = os_file_open(folder, text, OS_WRITE, &fd);
    if (error) return fail_os(text, NO_OFFSET, error, "cannot open log file %s", text);
    uint64_t size = 0, end = g->shards[shard].size;
    error = os_file_size(fd, &size);
    if (!error && size > end) error = os_file_truncate(fd, end);
    if (!error) error = os_file_sync(fd);
    (void)os_file_close(fd);
    if (!error) return PKV_OK;
    return fail_os(text, end, error, "cannot cut log file %s to %llu bytes", text,
                   (unsigned long long)end);
}

pkv_status restore_repair(const os_folder *folder, const manifest *m) {
    const manifest_group *snapshot = manifest_snapshot(m);
    uint64_t covered = snapshot ? snapshot->ordinal : 0;
    for (size_t i = 0; i < m->logs.count; i++) {
        const manifest_group *g = &m->logs.groups[i];
        for (uint32_t shard = 0; g->ordinal > covered && shard < g->shard_count; shard++) {
            pkv_status status = repair_shard(folder, g, shard);
            if (status) return status;
        }
    }
    return PKV_OK;
}
