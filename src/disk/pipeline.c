/* pipeline.c - see pipeline.h. */
#include "pipeline.h"

#include <stdlib.h>
#include <string.h>
#include "judge.h"
#include "../bytes/planted.h"
#include "../os/error.h"

/* Records that are all of different keys have more bytes than this. */
#define RECORD_BYTES_LEAST 16u

struct sorted_batch {
    sorted_batch *next; /* of the idle ones */
    slice read;
    uint64_t expected; /* see sink_batch */
    bool is_sorted;    /* all but admitted */
    bool is_large;     /* nothing else is read until it has been applied */
    pkv_status status; /* of reading and sorting it */
    pkv_error error;
    sink_item found[SLICE_RECORDS];    /* in the order of the file */
    sink_item items[SLICE_RECORDS];    /* by part */
    size_t starts[SINK_PARTS_MAX + 1]; /* of the parts */
};

/* ---- Life. p->lock is held where nothing else is said. */

int pipeline_init(pipeline *p) {
    memset(p, 0, sizeof *p);
    int error = os_mutex_init(&p->lock);
    if (error) return error;
    error = os_cond_init(&p->moved);
    if (error) os_mutex_destroy(&p->lock);
    return error;
}

void pipeline_rest(pipeline *p) {
    while (p->idle) {
        sorted_batch *batch = p->idle;
        p->idle = batch->next;
        free(batch->read.buffer);
        free(batch);
        p->made--;
    }
}

void pipeline_destroy(pipeline *p) {
    pipeline_rest(p);
    os_cond_destroy(&p->moved);
    os_mutex_destroy(&p->lock);
}

/* A batch is made when it is needed, so that a small file takes little memory. Without memory for
 * more, those that there are will do. */
static sorted_batch *take_idle(pipeline *p) {
    sorted_batch *batch = p->idle;
    if (batch) {
        p->idle = batch->next;
        return batch;
    }
    batch = calloc(1, sizeof *batch);
    if (batch) {
        p->made++;
    } else {
        p->most = p->made;
    }
    return batch;
}

static void make_idle(pipeline *p, sorted_batch *batch) {
    batch->next = p->idle;
    p->idle = batch;
}

static void wait_for_move(pipeline *p) {
    p->waiting++;
    os_wait(&p->moved, &p->lock);
    p->waiting--;
}

static void tell_move(pipeline *p) {
    if (p->waiting > 0) os_wake_all(&p->moved);
}

static void fail_file(pipeline *p, const pkv_error *error) {
    p->error = *error;
    p->failed = p->is_over = true;
}

/* ---- Sorting. Not locked. */

static pkv_status fail_at(const pipeline *p, const slice *from, const record *entry) {
    uint64_t offset = slice_offset_of(from, &p->in, (size_t)(entry - from->entries));
    (void)fail_context("%s, record at offset %llu", p->in.name, (unsigned long long)offset);
    pkv_error error = *pkv_error_detail();
    memcpy(error.file, p->in.name, sizeof p->in.name);
    error.offset = offset;
    return fail_with(&error);
}

static unsigned part_of(const restore_sink *sink, uint64_t hash) {
    return sink->part_bits == 0 ? 0 : (unsigned)(hash >> (64 - sink->part_bits));
}

/* Counting sort: records of one part stay in their order. */
static pkv_status sort(const pipeline *p, sorted_batch *batch) {
    const restore_sink *sink = p->sink;
    sink_item *found = batch->found;
    size_t count = 0, at[SINK_PARTS_MAX] = {0};
    for (size_t i = 0; i < batch->read.count; i++) {
        sink_item *item = &found[count];
        item->entry = &batch->read.entries[i];
        pkv_status status = sink->hash(sink->context, item->entry, p->in.origin, &item->hash);
        if (status == PKV_NOT_FOUND) continue;
        if (status) return fail_at(p, &batch->read, item->entry);
        at[part_of(sink, item->hash)]++;
        count++;
    }
    size_t parts = (size_t)1 << sink->part_bits, sum = 0;
    for (size_t part = 0; part < parts; part++) {
        batch->starts[part] = sum;
        sum += at[part];
        at[part] = batch->starts[part];
    }
    batch->starts[parts] = sum;
    for (size_t i = 0; i < count; i++) {
        const sink_item *item = PLANTED(reverse_batches) ? &found[count - 1 - i] : &found[i];
        batch->items[at[part_of(sink, item->hash)]++] = *item;
    }
    return PKV_OK;
}

/* ---- Admitting */

/* As if what is left were like what has passed. No claim of a file is believed. */
static uint64_t expect(const pipeline *p, const slice *read) {
    uint64_t bytes = read->offset + read->size, most = p->facts.group_bytes / RECORD_BYTES_LEAST;
    if (bytes == 0) return p->facts.entries_before;
    double entries = (double)p->entries * ((double)p->facts.group_bytes / (double)bytes);
    return p->facts.entries_before + (entries < (double)most ? (uint64_t)entries : most);
}

/* Records that a lost end of the log before makes worthless begin by saying so. */
static bool is_orphan(const pipeline *p, const slice *read) {
    return p->admitted == 0 && read->count > 0 &&
           judge_is_orphan(&read->entries[0], p->facts.previous_end);
}

static void admit(pipeline *p, sorted_batch *batch) {
    const slice *read = &batch->read;
    if (batch->status) {
        fail_file(p, &batch->error);
    } else if (is_orphan(p, read)) {
        p->is_orphan = p->is_over = true;
    } else {
        p->entries += read->count;
        p->ended = read->ended;
        p->is_over = read->ended != RECORD_OK;
        batch->expected = expect(p, read);
        p->admitted++;
    }
}

static void admit_sorted(pipeline *p) {
    while (p->admitted < p->next && !p->is_over) {
        sorted_batch *batch = p->on_way[p->admitted % BATCHES_MAX];
        if (!batch->is_sorted) return;
        admit(p, batch);
    }
}

/* ---- Reading */

static bool can_read(const pipeline *p) {
    return !p->is_reading && !p->is_exhausted && !p->is_over && (p->idle || p->made < p->most);
}

static void read_next(pipeline *p) {
    sorted_batch *batch = take_idle(p);
    if (!batch) {
        if (p->made > 0) return;
        (void)reader_fail_memory(&p->in, sizeof *batch);
        fail_file(p, pkv_error_detail());
        return;
    }
    batch->is_sorted = false;
    p->on_way[p->next++ % BATCHES_MAX] = batch;
    p->is_reading = true;
    os_unlock(&p->lock);
    batch->status = slice_read(&batch->read, &p->in);
    os_lock(&p->lock);
    p->is_exhausted = batch->status || batch->read.ended != RECORD_OK;
    batch->is_large =
        !batch->status && batch->read.capacity > READER_LARGE && !PLANTED(read_beside_large);
    p->is_reading = batch->is_large;
    tell_move(p);
    os_unlock(&p->lock);
    if (!batch->status) {
        slice_decode(&batch->read, &p->in);
        batch->status = sort(p, batch);
    }
    if (batch->status) batch->error = *pkv_error_detail();
    os_lock(&p->lock);
    batch->is_sorted = true;
    admit_sorted(p);
    tell_move(p);
}

/* ---- Applying */

/* Takes back the batches that all parts have had. The one that has ended the file stays: the reader
 * is put behind it at last. */
static void retire(pipeline *p) {
    uint64_t first = p->admitted;
    for (unsigned part = 0; part < 1u << p->sink->part_bits; part++) {
        if (p->applied[part] < first) first = p->applied[part];
    }
    for (; p->first < first; p->first++) {
        sorted_batch *batch = p->on_way[p->first % BATCHES_MAX];
        if (batch->read.ended != RECORD_OK) return;
        if (batch->is_large) {
            slice_reclaim(&batch->read, &p->in);
            p->is_reading = false;
        }
        make_idle(p, batch);
    }
}

/* Not locked. */
static pkv_status apply_batch(const pipeline *p, const sorted_batch *from, unsigned part) {
    size_t applied = 0;
    sink_batch batch = {.part = part,
                        .items = from->items + from->starts[part],
                        .count = from->starts[part + 1] - from->starts[part],
                        .expected = from->expected};
    if (batch.count == 0) return PKV_OK;
    pkv_status status = p->sink->apply(p->sink->context, &batch, &applied);
    return status ? fail_at(p, &from->read, batch.items[applied].entry) : PKV_OK;
}

static void apply_part(pipeline *p, unsigned part) {
    uint64_t number = p->applied[part], end = p->admitted;
    pkv_status status = PKV_OK;
    p->is_busy[part] = true;
    os_unlock(&p->lock);
    for (; number < end && !status; number++) {
        status = apply_batch(p, p->on_way[number % BATCHES_MAX], part);
    }
    os_lock(&p->lock);
    p->is_busy[part] = false;
    p->applied[part] = number;
    if (status) fail_file(p, pkv_error_detail());
    retire(p);
    tell_move(p);
}

/* The part that most batches wait for, of those that nobody works at; *backlog is their number. */
static unsigned longest_wait(const pipeline *p, uint64_t *backlog) {
    unsigned best = 0;
    *backlog = 0;
    for (unsigned part = 0; part < 1u << p->sink->part_bits; part++) {
        if (p->is_busy[part] || p->admitted - p->applied[part] <= *backlog) continue;
        *backlog = p->admitted - p->applied[part];
        best = part;
    }
    return best;
}

/* ---- All of it */

/* Does one thing that is to be done. False if nothing is left that others are not at. Many records
 * of one part at once are better than few, so parts wait until half of the batches that there may
 * be are full. */
static bool work(pipeline *p) {
    uint64_t backlog;
    unsigned part = longest_wait(p, &backlog);
    if (p->failed) return false;
    if (backlog * 2 >= p->most || (backlog > 0 && !can_read(p))) {
        apply_part(p, part);
    } else if (can_read(p)) {
        read_next(p);
    } else if (p->is_over) {
        return false;
    } else {
        wait_for_move(p);
    }
    return true;
}

/* Locked on entry and on return. */
static void run(pipeline *p) {
    p->threads++;
    p->most = p->threads * BATCHES_PER_THREAD;
    while (work(p)) continue;
    p->threads--;
    tell_move(p);
}

void pipeline_begin(pipeline *p, const restore_sink *sink, const pipeline_facts *facts) {
    p->sink = sink;
    p->facts = *facts;
    p->first = p->admitted = p->next = p->entries = 0;
    memset(p->applied, 0, sizeof p->applied);
    p->is_reading = p->is_exhausted = p->is_over = p->is_orphan = p->failed = false;
    p->ended = RECORD_OK;
    p->is_open = true;
}

void pipeline_run(pipeline *p) {
    os_lock(&p->lock);
    run(p);
    os_unlock(&p->lock);
}

void pipeline_help(pipeline *p) {
    os_lock(&p->lock);
    if (p->is_open && !p->is_over) run(p);
    os_unlock(&p->lock);
}

/* Puts the reader behind the last record, and makes all batches idle. */
static void put_back(pipeline *p) {
    for (uint64_t number = p->next; number-- > p->first;) {
        sorted_batch *batch = p->on_way[number % BATCHES_MAX];
        bool is_last = !p->failed && !p->is_orphan && number + 1 == p->admitted;
        if (is_last && !PLANTED(keep_what_was_read_ahead)) slice_return(&batch->read, &p->in);
        slice_reclaim(&batch->read, &p->in);
        make_idle(p, batch);
    }
}

pkv_status pipeline_end(pipeline *p) {
    os_lock(&p->lock);
    while (p->threads > 0) wait_for_move(p);
    p->is_open = false;
    put_back(p);
    os_unlock(&p->lock);
    return p->failed ? fail_with(&p->error) : PKV_OK;
}
