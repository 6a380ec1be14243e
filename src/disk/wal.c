/* wal.c - see wal.h.
 *
 * Of a shard, the lock `append` guards where the current file ends and what the next record is to
 * say; what is durable, and who flushes, is the group commit's. File systems are only called
 * without `append`, except where a writer must make room or writes by positioned writes.
 */
#include "wal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "wal_shard.h"
#include "../bytes/limits.h"
#include "../bytes/planted.h"
#include "../os/error.h"

#define WAKE_NEVER UINT64_MAX
/* Room is made in pieces of this size, so that a writer never waits long for one. */
#define ROOM_STEP ((uint64_t)256 << 10)
/* The keeper is woken when so much of the room has been used: often, so that he is done soon. He
 * may have to share a processor with a writer. */
#define REFILL ((uint64_t)512 << 10)
/* So much room on the disk is set aside for a new file at most. */
#define RESERVE_MAX ((uint64_t)256 << 20)
/* How far behind the tail the process keeps its view of the file. */
#define FORGET_LAG ((uint64_t)1 << 20)

struct wal {
    const os_folder *folder;
    wal_options options;
    wal_shard *shards;
    uint64_t start; /* sum of the positions at open */
    atomic_uint_fast64_t flushes;

    atomic_int broken;
    os_mutex error_lock;
    pkv_error error; /* set before `broken`, never again */

    os_mutex keeper_lock;
    os_cond keeper_wake;
    os_thread keeper;
    bool keeper_asked, keeper_stop;
};

/* ---- Breaking */

void wal_break(wal *log) {
    os_lock(&log->error_lock);
    if (!atomic_load_explicit(&log->broken, memory_order_relaxed)) {
        log->error = *pkv_error_detail();
        atomic_store_explicit(&log->broken, 1, memory_order_release);
    }
    os_unlock(&log->error_lock);
}

const pkv_error *wal_broken(wal *log) {
    return atomic_load_explicit(&log->broken, memory_order_acquire) ? &log->error : NULL;
}

static pkv_status fail_read_only(wal *log) {
    pkv_error error = log->error;
    fail_with(&error);
    return fail(PKV_READ_ONLY, error.file, error.offset, 0,
                "the store is read-only since writing its log failed; close and reopen it to "
                "recover (%s)",
                error.message);
}

pkv_status wal_check(wal *log) {
    return wal_broken(log) ? fail_read_only(log) : PKV_OK;
}

/* ---- Files */

static log_file_way way_of(const wal_options *options) {
    if (options->io == PKV_WAL_IO_PWRITE) return LOG_FILE_WRITTEN;
    return options->sync == PKV_SYNC_ALWAYS ? LOG_FILE_MAPPED_BY_PAGE : LOG_FILE_MAPPED;
}

static pkv_status open_file(wal *log, uint64_t ordinal, uint32_t shard, uint64_t tail,
                            log_file **out) {
    file_name name = {ordinal, shard, log->options.shard_count, FILE_DIFF};
    uint64_t salt = log->options.salt;
    log_file_way way = way_of(&log->options);
    pkv_status status = log_file_open(log->folder, &name, salt, tail, way, out);
    if (status) return status;
    if (way != LOG_FILE_WRITTEN && log->options.io == PKV_WAL_IO_DEFAULT &&
        !os_file_maps_safely((*out)->fd)) {
        log_file_close(*out);
        *out = NULL;
        return log_file_open(log->folder, &name, salt, tail, LOG_FILE_WRITTEN, out);
    }
    return PKV_OK;
}

/* Room that is kept ahead of a file's tail: half of what the file has or the one before it had,
 * since the disk is busy with a snapshot while a file is young. */
static uint64_t window_of(const wal_shard *s, uint64_t half) {
    if (half < s->retired_size / 2) half = s->retired_size / 2;
    if (half < WAL_SEGMENT_MIN) return WAL_SEGMENT_MIN;
    return half < WAL_SEGMENT_MAX ? half : WAL_SEGMENT_MAX;
}

/* The tail for which what is ready, that and half as much again, is just enough. */
static uint64_t tail_for(const wal_shard *s, uint64_t ready) {
    uint64_t window = window_of(s, ready / 3);
    return ready > window ? ready - window : 0;
}

/* ---- Appending */

static void wake_keeper(wal *log) {
    os_lock(&log->keeper_lock);
    log->keeper_asked = true;
    os_wake_all(&log->keeper_wake);
    os_unlock(&log->keeper_lock);
}

/* Called only where there is something: a line that nobody writes to stays in all caches. */
static void note_said(wal_shard *s, const record *entry, uint64_t size) {
    if (size <= MARKED_RECORD_MAX && entry->key.size > 0) s->flushed = 0;
    s->previous_size = 0;
}

static bool takes_no_more(const wal *log) {
    bool broken = atomic_load_explicit(&log->broken, memory_order_acquire);
    return broken && !PLANTED(append_to_broken);
}

/* Appends a record that cannot be written beside others. Called with `append` locked and all
 * settled. */
static pkv_status append_settled(wal *log, wal_shard *s, record *entry, const early_record *early) {
    if (takes_no_more(log)) return fail_read_only(log);
    bool keep = log->options.sync == PKV_SYNC_BUFFERED, broken = false;
    log_file *file = s->file;
    uint64_t tail = file->tail;
    entry->flushed = s->flushed;
    entry->previous_size = s->previous_size;
    pkv_status status = log_file_append(file, entry, early, keep, &broken);
    if (broken) wal_break(log);
    if (status) return status;
    if (entry->flushed | entry->previous_size) note_said(s, entry, file->tail - tail);
    wal_shard_set_end(s, file->start + file->tail);
    return PKV_OK;
}

/* Whether the keeper is to be woken, which is said once. Called with `append` locked. */
static bool wants_room(wal_shard *s) {
    if (s->end <= s->wake_at) return false;
    s->wake_at = WAKE_NEVER;
    return true;
}

/* Room in a map for the next record; NULL where there is something to say with it, no room, or two
 * are being written. Called with `append` locked. */
static uint8_t *claim(wal *log, wal_shard *s, size_t size) {
    if (takes_no_more(log) || (s->flushed | s->previous_size) != 0) return NULL;
    if (!os_has_come(&s->filled, s->claimed)) return NULL;
    uint8_t *room = log_file_room(s->file, wal_shard_tail(s), size);
    if (!room) return NULL;
    s->claimed = s->end;
    s->end += size;
    return room;
}

pkv_status wal_append(wal *log, uint32_t shard, record *entry, uint64_t *position) {
    wal_shard *s = &log->shards[shard];
    pkv_status status = PKV_OK;
    early_record early;
    entry->flushed = entry->previous_size = 0;
    early_record_encode(&early, entry, atomic_load_explicit(&s->seed, memory_order_relaxed));
    os_latch_take(&s->append);
    const log_file *file = s->file;
    uint64_t start = s->end;
    uint8_t *room = claim(log, s, early.size);
    if (!room) {
        os_latch_release(&s->append);
        wal_shard_lock_settled(s);
        status = append_settled(log, s, entry, &early);
    }
    uint64_t end = *position = s->end;
    bool wake = wants_room(s);
    os_latch_release(&s->append);
    if (room) {
        log_file_fill(file, room, entry, &early);
        wal_shard_note_filled(s, start, end);
    }
    if (wake) wake_keeper(log);
    return status;
}

/* ---- Flushing */

typedef struct flush_target {
    log_file *file, *retired;
    uint64_t position, tail;
} flush_target;

static pkv_status flush_files(wal *log, wal_shard *s, flush_target *target) {
    wal_shard_lock_settled(s);
    target->file = s->file;
    target->retired = s->retired;
    target->position = s->end;
    target->tail = s->file->tail;
    pkv_status status = log_file_write_out(s->file);
    os_latch_release(&s->append);
    if (status) return status; /* a full disk, say: nothing is lost, it may be tried again */
    if (target->retired) status = log_file_write_out(target->retired);
    if (PLANTED(flush_without_retired)) target->retired = NULL;
    if (target->retired && !status) status = log_file_sync(target->retired);
    if (!status) status = log_file_sync(target->file);
    atomic_fetch_add_explicit(&log->flushes, 1, memory_order_relaxed);
    if (status && !PLANTED(forgive_failed_flush)) wal_break(log);
    return status;
}

/* Flushes what is there. The caller is the flusher. */
static pkv_status flush_shard(wal *log, wal_shard *s) {
    flush_target target;
    pkv_status status = flush_files(log, s, &target);
    if (!status) {
        os_latch_take(&s->append);
        if (s->file == target.file && !PLANTED(forget_marks)) s->flushed = target.tail;
        if (PLANTED(count_late_appends)) target.position = s->end;
        os_latch_release(&s->append);
    }
    group_end(&s->group, status ? 0 : target.position);
    return status;
}

pkv_status wal_wait(wal *log, uint32_t shard, uint64_t position) {
    wal_shard *s = &log->shards[shard];
    if (PLANTED(acknowledge_early)) return PKV_OK;
    for (;;) {
        group_turn turn = group_wait(&s->group, position, &log->broken);
        if (turn == GROUP_DURABLE) return PKV_OK;
        if (turn == GROUP_BROKEN) {
            pkv_error error = log->error;
            return PLANTED(tell_flusher_only) ? PKV_OK : fail_with(&error);
        }
        pkv_status status = flush_shard(log, s);
        if (status) return status;
    }
}

static uint64_t position_of(wal_shard *s) {
    os_latch_take(&s->append);
    uint64_t position = s->end;
    os_latch_release(&s->append);
    return position;
}

pkv_status wal_sync(wal *log) {
    for (uint32_t i = 0; i < log->options.shard_count; i++) {
        pkv_status status = wal_wait(log, i, position_of(&log->shards[i]));
        if (status) return status;
    }
    return PKV_OK;
}

/* ---- Rotating */

/* As much room as the old file has, and on the disk as much as that has become: the disk will be
 * busy with the snapshot after the switch. */
static pkv_status make_first_room(wal_shard *s) {
    pkv_status status = PKV_OK;
    uint64_t upto = 0;
    os_latch_take(&s->append);
    uint64_t tail = wal_shard_tail(s), wanted = window_of(s, tail / 2);
    os_latch_release(&s->append);
    log_file_reserve(s->next, tail < RESERVE_MAX ? tail : RESERVE_MAX);
    while (upto < wanted && !status) {
        upto += wanted - upto < ROOM_STEP ? wanted - upto : ROOM_STEP;
        status = log_file_make_room(s->next, upto);
        os_yield();
    }
    return status;
}

/* Gives back what the next files have been given. */
static void abandon(wal *log) {
    for (uint32_t i = 0; i < log->options.shard_count; i++) {
        wal_shard *s = &log->shards[i];
        if (s->next) (void)log_file_seal(s->next);
        log_file_close(s->next);
        s->next = NULL;
    }
}

pkv_status wal_prepare(wal *log, uint64_t ordinal) {
    pkv_status status = PKV_OK;
    for (uint32_t i = 0; i < log->options.shard_count && !status; i++) {
        wal_shard *s = &log->shards[i];
        status = open_file(log, ordinal, i, 0, &s->next);
        if (!status) status = make_first_room(s);
    }
    if (status) abandon(log);
    return status;
}

pkv_status wal_rotate(wal *log) {
    if (wal_broken(log)) {
        abandon(log);
        return fail_read_only(log);
    }
    for (uint32_t i = 0; i < log->options.shard_count; i++) {
        wal_shard *s = &log->shards[i];
        wal_shard_lock_settled(s);
        s->previous_size = s->retired_size = s->file->tail;
        if (PLANTED(forget_previous_size)) s->previous_size = 0;
        if (PLANTED(restart_positions)) wal_shard_set_end(s, 0);
        s->flushed = 0;
        s->retired = s->file;
        wal_shard_use(s, s->next, s->end);
        s->next = NULL;
        os_latch_release(&s->append);
    }
    wake_keeper(log);
    return PKV_OK;
}

/* Flushes, cuts and takes away the shard's retired file. The caller is the flusher. */
static pkv_status retire_shard(wal *log, wal_shard *s) {
    log_file *old = s->retired; /* written by this thread and the rotation only, both the same */
    pkv_status status = log_file_seal(old);
    if (!status && !PLANTED(skip_retire_flush)) {
        status = log_file_sync(old);
        if (status) wal_break(log);
    }
    if (status) {
        group_end(&s->group, 0);
        return status;
    }
    os_latch_take(&s->append);
    s->retired = NULL;
    os_latch_release(&s->append);
    group_end(&s->group, old->start + old->tail);
    log_file_close(old);
    return PKV_OK;
}

pkv_status wal_retire(wal *log, uint64_t *sizes) {
    if (wal_broken(log)) return fail_read_only(log); /* no second try for a failed flush */
    for (uint32_t i = 0; i < log->options.shard_count; i++) {
        wal_shard *s = &log->shards[i];
        if (s->retired) {
            os_lock(&s->keeping); /* a step of the keeper that began before the rotation */
            os_unlock(&s->keeping);
            group_begin(&s->group);
            pkv_status status = retire_shard(log, s);
            if (status) return status;
        }
        if (sizes) sizes[i] = s->retired_size;
    }
    return PKV_OK;
}

/* ---- The keeper: makes room ahead of the writers, flushes now and then */

/* One piece of room for the shard. False where there is enough, or no more to be had. */
static bool keep_step(wal_shard *s) {
    os_latch_take(&s->append);
    log_file *file = s->file;
    uint64_t tail = wal_shard_tail(s), window = window_of(s, tail / 2);
    uint64_t ready = atomic_load_explicit(&file->ready, memory_order_relaxed);
    bool enough = ready >= tail + window;
    /* Should there be no more to be had, the writer will meet it, and say so: it is tried again
     * when he has come further. */
    uint64_t used = window / 2 < REFILL ? window / 2 : REFILL;
    s->wake_at = file->start + (enough ? tail_for(s, ready) + used : tail + WAL_SEGMENT_MIN / 2);
    os_latch_release(&s->append);
    if (tail > FORGET_LAG) log_file_forget(file, tail - FORGET_LAG);
    if (enough) return false;
    uint64_t piece = window < ROOM_STEP ? window : ROOM_STEP;
    return log_file_make_room(file, ready + piece) == PKV_OK;
}

static void keep_shard(wal_shard *s) {
    bool more = true;
    while (more) {
        os_lock(&s->keeping);
        more = keep_step(s);
        os_unlock(&s->keeping);
    }
}

/* Waits for work. False when the log closes. */
static bool keeper_wait(wal *log, double deadline, bool *asked) {
    os_lock(&log->keeper_lock);
    while (!log->keeper_stop && !log->keeper_asked) {
        if (log->options.sync != PKV_SYNC_INTERVAL) {
            os_wait(&log->keeper_wake, &log->keeper_lock);
        } else {
            os_wait_until(&log->keeper_wake, &log->keeper_lock, deadline);
            if (os_now() >= deadline) break;
        }
    }
    *asked = log->keeper_asked;
    log->keeper_asked = false;
    bool go_on = !log->keeper_stop;
    os_unlock(&log->keeper_lock);
    return go_on;
}

static void *keeper_body(void *context) {
    wal *log = context;
    double interval = log->options.sync_seconds, deadline = os_now() + interval;
    bool asked;
    while (keeper_wait(log, deadline, &asked)) {
        for (uint32_t i = 0; asked && i < log->options.shard_count; i++) {
            keep_shard(&log->shards[i]);
        }
        if (asked) log->options.grown(log->options.context);
        if (log->options.sync == PKV_SYNC_INTERVAL && os_now() >= deadline) {
            (void)wal_sync(log); /* a failure breaks the log: the next write tells */
            deadline = os_now() + interval;
        }
    }
    return NULL;
}

static void stop_keeper(wal *log) {
    os_lock(&log->keeper_lock);
    log->keeper_stop = true;
    os_wake_all(&log->keeper_wake);
    os_unlock(&log->keeper_lock);
    os_thread_join(log->keeper);
}

/* ---- Opening and closing */

static int init_shard(wal_shard *s, uint64_t durable) {
    int error = os_mutex_init(&s->keeping);
    if (!error) error = group_init(&s->group, durable);
    return error;
}

static void free_log(wal *log, void (*close)(log_file *file)) {
    for (uint32_t i = 0; i < log->options.shard_count; i++) {
        close(log->shards[i].file);
        close(log->shards[i].retired);
        close(log->shards[i].next);
    }
    free(log->shards);
    free(log);
}

static void destroy_locks(wal *log) {
    for (uint32_t i = 0; i < log->options.shard_count; i++) {
        wal_shard *s = &log->shards[i];
        os_mutex_destroy(&s->keeping);
        group_destroy(&s->group);
    }
    os_mutex_destroy(&log->error_lock);
    os_mutex_destroy(&log->keeper_lock);
    os_cond_destroy(&log->keeper_wake);
}

static pkv_status make_log(const os_folder *folder, const wal_options *options,
                           const uint64_t *tails, wal **out) {
    wal *log = calloc(1, sizeof *log);
    size_t size = options->shard_count * sizeof *log->shards;
    if (log) log->shards = aligned_alloc(CACHE_LINE, size);
    if (!log || !log->shards) {
        free(log);
        return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for the log");
    }
    memset(log->shards, 0, size);
    log->folder = folder;
    log->options = *options;
    int error = os_mutex_init(&log->error_lock);
    if (!error) error = os_mutex_init(&log->keeper_lock);
    if (!error) error = os_cond_init(&log->keeper_wake);
    for (uint32_t i = 0; i < options->shard_count && !error; i++) {
        error = init_shard(&log->shards[i], tails[i]);
    }
    if (error) {
        free_log(log, log_file_close);
        return fail_os(NULL, NO_OFFSET, error, "cannot make the locks of the log");
    }
    *out = log;
    return PKV_OK;
}

pkv_status wal_open(const os_folder *folder, const wal_options *options, uint64_t ordinal,
                    const uint64_t *tails, wal **out) {
    wal *log = NULL;
    pkv_status status = make_log(folder, options, tails, &log);
    if (status) return status;
    for (uint32_t i = 0; i < options->shard_count && !status; i++) {
        wal_shard *s = &log->shards[i];
        log_file *file = NULL;
        status = open_file(log, ordinal, i, tails[i], &file);
        if (file) wal_shard_use(s, file, 0);
        wal_shard_set_end(s, tails[i]);
        if (!status) status = log_file_make_room(file, tails[i] + WAL_SEGMENT_MIN / 2);
        s->flushed = tails[i];
        log->start += tails[i];
    }
    if (!status) {
        int error = os_thread_start(&log->keeper, keeper_body, log);
        if (error) status = fail_os(NULL, NO_OFFSET, error, "cannot start the log's thread");
    }
    if (status) {
        free_log(log, log_file_close);
        return status;
    }
    *out = log;
    return PKV_OK;
}

static pkv_status close_shard(wal *log, wal_shard *s, uint64_t *size) {
    wal_shard_lock_settled(s); /* nobody appends any more */
    os_latch_release(&s->append);
    pkv_status status = log_file_seal(s->file);
    if (!status && !PLANTED(skip_close_flush)) status = log_file_sync(s->file);
    if (status) wal_break(log);
    *size = s->file->tail;
    return status;
}

pkv_status wal_close(wal *log, uint64_t *sizes) {
    stop_keeper(log);
    pkv_status status = PKV_OK;
    if (wal_broken(log)) {
        status = fail_read_only(log);
    } else {
        status = wal_retire(log, NULL);
    }
    for (uint32_t i = 0; i < log->options.shard_count && !status; i++) {
        status = close_shard(log, &log->shards[i], &sizes[i]);
    }
    destroy_locks(log);
    free_log(log, log_file_close);
    return status;
}

void wal_forget(wal *log) {
    free_log(log, log_file_abandon);
}

/* ---- Figures */

uint64_t wal_bytes(wal *log) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < log->options.shard_count; i++) {
        wal_shard *s = &log->shards[i];
        os_latch_take(&s->append);
        bytes += wal_shard_tail(s) + (s->retired ? s->retired->tail : 0);
        os_latch_release(&s->append);
    }
    return bytes;
}

uint64_t wal_written(wal *log) {
    uint64_t end = 0;
    for (uint32_t i = 0; i < log->options.shard_count; i++) end += position_of(&log->shards[i]);
    return end - log->start;
}

uint64_t wal_flushes(wal *log) {
    return atomic_load_explicit(&log->flushes, memory_order_relaxed);
}

bool wal_is_mapped(wal *log) {
    wal_shard *s = &log->shards[0];
    os_latch_take(&s->append);
    bool mapped = atomic_load_explicit(&s->file->mapped, memory_order_relaxed);
    os_latch_release(&s->append);
    return mapped;
}
