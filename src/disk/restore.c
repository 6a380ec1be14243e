/* restore.c - see restore.h. */
#include "restore.h"

#include <stdlib.h>
#include <string.h>
#include "fileset.h"
#include "judge.h"
#include "../bytes/planted.h"
#include "../os/error.h"
#include "../os/parallel.h"

/* More threads than this have little to do at one file: they wait for what is read. */
#define THREADS_PER_FILE 8u

typedef struct restore {
    const restore_sink *sink;
    judge judge; /* of the group that is being read */
    uint64_t group_bytes, entries_before;
    os_mutex lock; /* of the result, and */
    uint32_t next; /* shard that nobody reads yet; none after a failure */
    restore_result *result;
    pipeline *pipelines;
    unsigned made;  /* of them */
    size_t workers; /* threads that read the group; each has one */
} restore;

/* ---- One file */

static void count(restore *r, const pipeline *p, uint64_t cut_at, uint64_t cut) {
    os_lock(&r->lock);
    r->result->entries += p->entries;
    if (cut > 0) {
        r->result->cut_bytes += cut;
        r->result->cut_offset = cut_at;
        memcpy(r->result->cut_file, p->in.name, sizeof r->result->cut_file);
    }
    os_unlock(&r->lock);
}

/* Sets facts->size to where it stops being a log. */
static pkv_status end_log(restore *r, pipeline *p, shard_facts *facts) {
    uint64_t end = p->is_orphan ? 0 : p->in.offset, cut = 0;
    pkv_status status = p->is_orphan ? judge_orphan(&p->in, facts, p->facts.previous_end, &cut)
                                     : judge_log(&p->in, facts, p->ended, &cut);
    if (status) return status;
    count(r, p, end, cut);
    facts->size = end;
    return PKV_OK;
}

static pkv_status read_file(restore *r, pipeline *p, uint32_t shard) {
    shard_facts *facts = &r->judge.group->shards[shard];
    pipeline_run(p);
    pkv_status status = pipeline_end(p);
    if (status) return status;
    if (r->judge.is_log) return end_log(r, p, facts);
    status = judge_snapshot(&p->in, facts, p->entries, p->ended);
    if (!status) count(r, p, 0, 0);
    return status;
}

/* ---- A group: each file has a thread that reads it; threads that find no file left help others */

/* Opens the file of the next shard that nobody reads yet; from then on others can help. False if
 * there is none left. */
static bool begin_file(restore *r, pipeline *p, uint32_t *shard, pkv_status *status) {
    pipeline_facts facts = {.entries_before = r->entries_before, .group_bytes = r->group_bytes};
    os_lock(&p->lock);
    os_lock(&r->lock);
    bool found = r->next < r->judge.group->shard_count;
    if (found) *shard = r->next++;
    os_unlock(&r->lock);
    if (found) {
        facts.previous_end = judge_previous_end(&r->judge, *shard);
        *status = judge_open(&r->judge, *shard, &p->in);
        if (!*status) *status = judge_growth(&r->judge, *shard, &p->in);
        if (!*status) pipeline_begin(p, r->sink, &facts);
    }
    os_unlock(&p->lock);
    return found;
}

static pkv_status end_file(restore *r, pipeline *p, pkv_status status) {
    reader_close(&p->in);
    if (PLANTED(accept_missing_log) && status == PKV_NOT_FOUND) return PKV_OK;
    if (!status) return PKV_OK;
    os_lock(&r->lock);
    r->next = r->judge.group->shard_count;
    os_unlock(&r->lock);
    return status;
}

static pkv_status work(void *context, size_t index) {
    restore *r = context;
    pipeline *own = &r->pipelines[index];
    pkv_status status = PKV_OK;
    uint32_t shard = 0;
    while (begin_file(r, own, &shard, &status)) {
        if (!status) status = read_file(r, own, shard);
        status = end_file(r, own, status);
        if (status) return status;
    }
    for (size_t i = 1; i < r->workers; i++) {
        pipeline_help(&r->pipelines[(index + i) % r->workers]);
    }
    return PKV_OK;
}

/* What cannot be opened is told when it is to be read. */
static uint64_t group_bytes(const restore *r) {
    uint64_t bytes = 0;
    for (uint32_t shard = 0; shard < r->judge.group->shard_count; shard++) {
        reader in = {.fd = -1};
        if (!judge_open(&r->judge, shard, &in)) bytes += in.size;
        reader_close(&in);
    }
    return bytes;
}

/* No more than there is work for. */
static size_t count_workers(const restore *r, unsigned threads) {
    uint64_t most = (uint64_t)r->judge.group->shard_count * THREADS_PER_FILE;
    uint64_t buffers = r->group_bytes / READER_BUFFER + 1;
    if (buffers < most) most = buffers;
    return threads < most ? threads : (size_t)most;
}

static pkv_status read_group(restore *r, judge group, unsigned threads) {
    r->judge = group;
    r->group_bytes = group_bytes(r);
    r->entries_before = r->result->entries;
    r->next = 0;
    r->workers = count_workers(r, threads);
    pkv_status status = parallel_run(threads, r->workers, PARALLEL_WITH_CALLER, work, r);
    for (size_t i = 0; i < r->workers; i++) pipeline_rest(&r->pipelines[i]);
    return status;
}

/* ---- All files */

static pkv_status read_in_force(restore *r, const os_folder *folder, const manifest *m,
                                unsigned threads) {
    const manifest_group *snapshot = manifest_snapshot(m);
    pkv_status status = PKV_OK;
    if (snapshot) status = read_group(r, judge_of_snapshot(folder, m, snapshot), threads);
    for (size_t i = 0; i < m->logs.count && !status; i++) {
        if (snapshot && m->logs.groups[i].ordinal < snapshot->ordinal) continue;
        status = read_group(r, judge_of_log(folder, m, i), threads);
    }
    return status;
}

static pkv_status make_pipelines(restore *r, unsigned threads) {
    r->pipelines = calloc(threads, sizeof *r->pipelines);
    if (!r->pipelines) return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory to read records");
    for (; r->made < threads; r->made++) {
        int error = pipeline_init(&r->pipelines[r->made]);
        if (error) return fail_os(NULL, NO_OFFSET, error, "cannot make a lock");
    }
    return PKV_OK;
}

pkv_status restore_run(const os_folder *folder, manifest *m, unsigned threads,
                       const restore_sink *sink, restore_result *result) {
    memset(result, 0, sizeof *result);
    restore r = {.sink = sink, .result = result};
    int error = os_mutex_init(&r.lock);
    if (error) return fail_os(NULL, NO_OFFSET, error, "cannot make a lock");
    pkv_status status = make_pipelines(&r, threads);
    if (!status) status = read_in_force(&r, folder, m, threads);
    while (r.made > 0) pipeline_destroy(&r.pipelines[--r.made]);
    free(r.pipelines);
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
    if (!error && size > end && !PLANTED(keep_torn_tail)) error = os_file_truncate(fd, end);
    if (!error && !PLANTED(skip_repair_flush)) error = os_file_sync(fd);
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
