/* examine.c - see examine.h. */
#include "examine.h"

#include <stdio.h>
#include <string.h>
#include "judge.h"
#include "sweep.h"
#include "../os/error.h"

typedef struct examination {
    judge judge; /* of the group that is being read */
    const examine_sink *sink;
    findings *to;
} examination;

/* Takes the batch's records from *next on; *next becomes that of the one that fails. */
static pkv_status take_from(const examination *x, const reader *in, const reader_batch *batch,
                            size_t *next) {
    pkv_status status = PKV_OK;
    for (; *next < batch->count; ++*next) {
        status = x->sink->take(x->sink->context, &batch->entries[*next], in->origin);
        if (status) break;
    }
    if (!status) return PKV_OK;
    (void)fail_context("%s, record at offset %llu", in->name,
                       (unsigned long long)batch->offsets[*next]);
    pkv_error error = *pkv_error_detail();
    memcpy(error.file, in->name, sizeof in->name);
    error.offset = batch->offsets[*next];
    return fail_with(&error);
}

static pkv_status take_all(const examination *x, const reader *in, const reader_batch *batch) {
    size_t next = 0;
    return take_from(x, in, batch, &next);
}

/* ---- Behind damage */

typedef struct survey {
    examination *x;
    pkv_error first; /* what reading ended with; told with the range that begins there */
    bool told;
    uint64_t promised; /* what begins behind may be torn, and nobody would miss it; up to `end` */
    uint64_t end;
} survey;

static void tell_first(survey *s, uint64_t bytes) {
    s->told = true;
    (void)findings_take_range(s->x->to, fail_with(&s->first), bytes);
}

/* The first range begins where reading ended. */
static void tell_range(survey *s, pkv_status status, uint64_t bytes) {
    if (s->told) {
        (void)findings_take_range(s->x->to, status, bytes);
    } else {
        tell_first(s, bytes);
    }
}

static pkv_status survey_records(void *context, const reader *in, const reader_batch *batch) {
    survey *s = context;
    for (size_t i = 0; i < batch->count; i++) {
        pkv_status status = take_from(s->x, in, batch, &i);
        if (!status) return PKV_OK;
        uint64_t next = i + 1 < batch->count ? batch->offsets[i + 1] : in->offset;
        tell_range(s, status, next - batch->offsets[i]);
    }
    return PKV_OK;
}

static bool survey_range(void *context, const sweep_range *range) {
    survey *s = context;
    const char *file = s->first.file;
    if (range->from >= s->promised) {
        findings_torn(s->x->to, file, range->from, s->end - range->from);
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
 * may be torn. */
static pkv_status survey_rest(examination *x, reader *in, uint64_t size, bool whole) {
    survey s = {.x = x, .first = *pkv_error_detail(), .promised = UINT64_MAX};
    sweep all = {survey_records, survey_range, &s};
    if (s.first.status != PKV_CORRUPT) return s.first.status;
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

/* ---- Snapshots */

static pkv_status read_snapshot(const examination *x, reader *in, const shard_facts *facts) {
    uint64_t entries = 0;
    reader_batch batch = {.ended = RECORD_OK};
    while (batch.ended == RECORD_OK) {
        pkv_status status = reader_next(in, &batch);
        if (!status) status = take_all(x, in, &batch);
        if (status) return status;
        entries += batch.count;
    }
    return judge_snapshot(in, facts, entries, batch.ended);
}

static pkv_status examine_snapshot(examination *x, reader *in, uint32_t shard) {
    const shard_facts *facts = &x->judge.group->shards[shard];
    if (!read_snapshot(x, in, facts)) return PKV_OK;
    return survey_rest(x, in, in->size > facts->size ? in->size : facts->size, true);
}

/* ---- Logs */

static void tell_torn(const examination *x, const reader *in, uint64_t from, uint64_t cut) {
    if (cut > 0) findings_torn(x->to, in->name, from, cut);
}

/* Takes the records from the reader's place on; *end is where it stops being a log. */
static pkv_status read_log(examination *x, reader *in, uint32_t shard, uint64_t *end) {
    const shard_facts *facts = &x->judge.group->shards[shard];
    uint64_t entries = 0, cut = 0, before = judge_previous_end(&x->judge, shard);
    reader_batch batch = {.ended = RECORD_OK};
    pkv_status status = PKV_OK;
    while (batch.ended == RECORD_OK) {
        status = reader_next(in, &batch);
        if (status) return status;
        if (entries == 0 && batch.count > 0 && judge_is_orphan(&batch.entries[0], before)) {
            *end = 0;
            status = judge_orphan(in, facts, before, &cut);
            if (!status) tell_torn(x, in, 0, cut);
            return status;
        }
        status = take_all(x, in, &batch);
        if (status) return status;
        entries += batch.count;
    }
    *end = in->offset;
    status = judge_log(in, facts, batch.ended, &cut);
    if (!status) tell_torn(x, in, *end, cut);
    return status;
}

static pkv_status examine_log(examination *x, reader *in, uint32_t shard) {
    const manifest_group *g = x->judge.group;
    shard_facts *facts = &g->shards[shard];
    uint64_t end = 0;
    pkv_status status = judge_growth(&x->judge, shard, in);
    if (status) {
        (void)findings_take_range(x->to, status, in->size - facts->size);
        in->size = facts->size;
    }
    status = read_log(x, in, shard, &end);
    if (status) {
        status = survey_rest(x, in, g->foreign ? in->size : facts->size, g->foreign);
        end = UINT64_MAX; /* the log after it is not to blame */
    }
    if (!status) facts->size = end;
    return status;
}

/* ---- All files */

static pkv_status examine_file(examination *x, uint32_t shard) {
    reader in = {0};
    bool is_log = x->judge.is_log;
    pkv_status status = judge_open(&x->judge, shard, &in);
    if (status == PKV_NOT_FOUND) return PKV_OK; /* of a partial group */
    if (!status) {
        status = is_log ? examine_log(x, &in, shard) : examine_snapshot(x, &in, shard);
        findings_count_file(x->to, in.size);
    }
    reader_close(&in);
    if (!status) return PKV_OK;
    status = findings_take(x->to, status);
    if (is_log) x->judge.group->shards[shard].size = UINT64_MAX;
    return status;
}

static pkv_status examine_group(examination *x, judge group) {
    pkv_status status = PKV_OK;
    x->judge = group;
    for (uint32_t shard = 0; shard < group.group->shard_count && !status; shard++) {
        status = examine_file(x, shard);
    }
    return status;
}

pkv_status examine_run(const os_folder *folder, manifest *m, const examine_sink *sink,
                       findings *to) {
    examination x = {.sink = sink, .to = to};
    const manifest_group *snapshot = manifest_snapshot(m);
    pkv_status status = PKV_OK;
    if (snapshot) status = examine_group(&x, judge_of_snapshot(folder, m, snapshot));
    for (size_t i = 0; i < m->logs.count && !status; i++) {
        if (snapshot && m->logs.groups[i].ordinal < snapshot->ordinal) continue;
        status = examine_group(&x, judge_of_log(folder, m, i));
    }
    for (size_t i = 0; i + 1 < m->snapshots.count && !status; i++) {
        status = examine_group(&x, judge_of_snapshot(folder, m, &m->snapshots.groups[i]));
    }
    return status;
}
