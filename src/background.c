/* background.c - see store.h: the snapshot thread, events, statistics.
 *
 * The thread sleeps until a snapshot is due (enough writes, a log that has outgrown the data, an
 * earlier attempt that failed) or somebody waits for one. What comes while it works is merged into
 * one more snapshot. Making room in the log and flushing it now and then is the work of the log's
 * own thread (disk/wal.c), which a long snapshot must not hold up.
 */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bytes/limits.h"

/* ---- Events */

int events_init(event_ring *ring) {
    return os_mutex_init(&ring->lock);
}

void events_add(event_ring *ring, const pkv_event *event) {
    os_lock(&ring->lock);
    uint64_t count = atomic_load_explicit(&ring->count, memory_order_relaxed);
    ring->events[count % EVENTS_KEPT] = *event;
    atomic_store_explicit(&ring->count, count + 1, memory_order_release);
    os_unlock(&ring->lock);
}

pkv_status pkv_next_event(pkv *store, uint64_t *seen, pkv_event *event) {
    pkv_status status = store_usable(store);
    if (status) return status;
    event_ring *ring = &store->events;
    if (atomic_load_explicit(&ring->count, memory_order_acquire) == *seen) return PKV_NOT_FOUND;
    os_lock(&ring->lock);
    uint64_t count = atomic_load_explicit(&ring->count, memory_order_relaxed);
    if (count - *seen > EVENTS_KEPT) *seen = count - EVENTS_KEPT;
    *event = ring->events[*seen % EVENTS_KEPT];
    (*seen)++;
    os_unlock(&ring->lock);
    return PKV_OK;
}

/* ---- What a snapshot is made of */

static memory_stats count_memory(pkv *store) {
    memory_stats stats = {0};
    for (uint32_t i = 0; i < store->memory.shard_count; i++) {
        memory_count(&store->memory, i, &stats);
    }
    return stats;
}

/* Puts one walked entry; a large value is fetched into *buffer first. */
static pkv_status put_entry(pkv *store, const walk_step *step, const walk_entry *e,
                            walk_step *large, snapshot_writer *out) {
    pkv_bytes key = {step->bytes + e->key, e->key_size};
    if (!e->fetch) {
        pkv_bytes value = {step->bytes + e->value, e->value_size};
        return snapshot_put(out, key, value, e->type);
    }
    memory_key at = memory_key_of(&store->memory, key);
    size_t size = e->value_size;
    pkv_type type;
    do {
        if (size > large->bytes_capacity) {
            walk_step_release(large);
            large->bytes = malloc(size);
            if (!large->bytes) {
                return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for a value of %zu bytes",
                            size);
            }
            large->bytes_capacity = size;
        }
        pkv_status status =
            memory_get(&store->memory, &at, large->bytes, large->bytes_capacity, &size, &type);
        if (status) return status == PKV_NOT_FOUND ? PKV_OK : status;
    } while (size > large->bytes_capacity);
    return snapshot_put(out, key, (pkv_bytes){large->bytes, size}, type);
}

/* Steps of a walk, of a dozen entries each, after which the thread yields. */
#define STEPS_A_TURN 64u

static pkv_status put_shard(pkv *store, uint32_t shard, walk_step *step, walk_step *large,
                            snapshot_writer *out) {
    uint64_t position = 0;
    for (unsigned turn = 1;; turn++) {
        if (turn % STEPS_A_TURN == 0) os_yield();
        pkv_status status = memory_walk(&store->memory, shard, &position, step);
        if (status) return status == PKV_NOT_FOUND ? PKV_OK : status;
        for (size_t i = 0; i < step->count; i++) {
            status = put_entry(store, step, &step->entries[i], large, out);
            if (status) return status;
        }
    }
}

/* Part `part` of `parts`: a range of memory shards. */
static pkv_status walk_part(void *context, uint32_t part, uint32_t parts, snapshot_writer *out) {
    pkv *store = context;
    uint64_t shards = store->memory.shard_count;
    uint32_t end = (uint32_t)(shards * (part + 1) / parts);
    walk_step step = {0}, large = {0};
    pkv_status status = PKV_OK;
    for (uint32_t i = (uint32_t)(shards * part / parts); i < end && !status; i++) {
        status = put_shard(store, i, &step, &large, out);
    }
    walk_step_release(&step);
    walk_step_release(&large);
    return status;
}

/* A writer holds his shard's lock from before he appends until his change is applied. */
static void settle_writers(void *context) {
    pkv *store = context;
    for (uint32_t i = 0; i < store->memory.shard_count; i++) {
        if (PLANTED(settle_first_shard) && i > 0) return;
        memory_begin(&store->memory, i);
        memory_end(&store->memory, i);
    }
}

static disk_snapshot_plan make_plan(pkv *store) {
    const pkv_config *c = &store->config;
    memory_stats stats = count_memory(store);
    uint64_t bytes = stats.key_bytes + stats.value_bytes + stats.entries * 12;
    uint64_t parts = bytes / c->snapshot_shard_bytes + 1;
    if (bytes >= SNAPSHOT_PARALLEL_BYTES && parts < c->snapshot_threads) {
        parts = c->snapshot_threads;
    }
    if (parts > c->memory_shards) parts = c->memory_shards;
    disk_snapshot_plan plan = {.shard_count = (uint32_t)parts,
                               .threads = store->snapshot_writers,
                               .keep_backups = c->keep_backups > 0 ? (uint32_t)c->keep_backups : 0,
                               .source = {walk_part, store},
                               .settle = settle_writers};
    return plan;
}

/* ---- The thread */

static void report_snapshot(pkv *store, pkv_status status, const disk_snapshot_result *result,
                            double seconds) {
    pkv_event event = {.seconds = seconds, .kind = PKV_EVENT_PUBLISHED};
    if (status) {
        event.kind = PKV_EVENT_FAILED;
        (void)snprintf(event.message, sizeof event.message, "%.255s", pkv_error_detail()->message);
    } else {
        event.ordinal = result->ordinal;
        event.entries = result->entries;
    }
    events_add(&store->events, &event);
}

/* Called, and returns, with the desk locked. */
static void note_outcome(snapshot_desk *desk, pkv_status status, double seconds) {
    if (status) {
        desk->error = *pkv_error_detail();
        desk->failures++;
        (void)snprintf(desk->last_failure, sizeof desk->last_failure, "%.255s",
                       desk->error.message);
        double wait = desk->retry_seconds * 2;
        if (wait < SNAPSHOT_RETRY_SECONDS) wait = SNAPSHOT_RETRY_SECONDS;
        if (wait > SNAPSHOT_RETRY_SECONDS_MAX) wait = SNAPSHOT_RETRY_SECONDS_MAX;
        desk->retry_seconds = wait;
        desk->retry_at = os_now() + wait;
        return;
    }
    desk->error.status = PKV_OK;
    desk->published++;
    desk->seconds = seconds;
    desk->retry_seconds = desk->retry_at = 0;
}

static void take_snapshot(pkv *store) {
    snapshot_desk *desk = &store->desk;
    desk->due = false;
    desk->begun = desk->asked;
    desk->at_work = true;
    os_unlock(&desk->lock);
    double start = os_now();
    disk_snapshot_plan plan = make_plan(store);
    disk_snapshot_result result;
    pkv_status status = disk_snapshot(&store->disk, &plan, &result);
    double seconds = os_now() - start;
    report_snapshot(store, status, &result, seconds);
    os_lock(&desk->lock);
    note_outcome(desk, status, seconds);
    desk->at_work = false;
    desk->finished = desk->begun;
    os_wake_all(&desk->done);
}

/* A log that cannot be written to any more cannot be rotated either. */
static bool may_retry(pkv *store) {
    return store->desk.retry_at > 0 && !wal_broken(store->disk.log);
}

static void *snapshot_body(void *context) {
    pkv *store = context;
    snapshot_desk *desk = &store->desk;
    os_lock(&desk->lock);
    while (!desk->stop || desk->due) {
        bool retry = may_retry(store) && os_now() >= desk->retry_at;
        if (desk->due || desk->asked > desk->begun || retry) {
            take_snapshot(store);
        } else if (may_retry(store)) {
            os_wait_until(&desk->wake, &desk->lock, desk->retry_at);
        } else {
            os_wait(&desk->wake, &desk->lock);
        }
    }
    os_unlock(&desk->lock);
    return NULL;
}

pkv_status background_start(pkv *store) {
    snapshot_desk *desk = &store->desk;
    int error = os_mutex_init(&desk->lock);
    if (!error) error = os_cond_init(&desk->wake);
    if (!error) error = os_cond_init(&desk->done);
    desk->has_locks = error == 0;
    if (!error) error = os_thread_start(&desk->thread, snapshot_body, store);
    if (error) return fail_os(NULL, NO_OFFSET, error, "cannot start the snapshot thread");
    desk->running = true;
    return PKV_OK;
}

void background_stop(pkv *store) {
    snapshot_desk *desk = &store->desk;
    if (!desk->running) return;
    os_lock(&desk->lock);
    desk->stop = true;
    os_wake_all(&desk->wake);
    os_unlock(&desk->lock);
    os_thread_join(desk->thread);
    desk->running = false;
}

void background_free(pkv *store) {
    snapshot_desk *desk = &store->desk;
    if (!desk->has_locks) return;
    os_mutex_destroy(&desk->lock);
    os_cond_destroy(&desk->wake);
    os_cond_destroy(&desk->done);
}

static void make_due(snapshot_desk *desk) {
    os_lock(&desk->lock);
    if (!desk->due && desk->retry_at == 0) { /* else its time will come */
        desk->due = true;
        os_wake_all(&desk->wake);
    }
    os_unlock(&desk->lock);
}

void background_count_write(pkv *store) {
    uint64_t interval = store->config.snapshot_interval;
    if (interval == PKV_SNAPSHOT_NEVER) return;
    uint64_t writes = atomic_fetch_add_explicit(&store->writes, 1, memory_order_relaxed) + 1;
    if (writes % interval == 0) make_due(&store->desk);
}

void background_log_grown(void *context) {
    pkv *store = context;
    memory_commit_ahead(&store->memory); /* it grows no faster than the log does */
    if (store->config.snapshot_interval) return;
    uint64_t log = disk_log_bytes(&store->disk);
    if (log < SNAPSHOT_LOG_MIN) return;
    memory_stats stats = count_memory(store);
    if (log < SNAPSHOT_LOG_FACTOR * (stats.key_bytes + stats.value_bytes)) return;
    make_due(&store->desk);
}

pkv_status pkv_snapshot(pkv *store) {
    pkv_status status = store_usable(store);
    if (status) return status;
    snapshot_desk *desk = &store->desk;
    os_lock(&desk->lock);
    uint64_t ticket = ++desk->asked;
    os_wake_all(&desk->wake);
    while (desk->finished < ticket) os_wait(&desk->done, &desk->lock);
    pkv_error error = desk->error;
    os_unlock(&desk->lock);
    return error.status ? store_named(fail_with(&error), store->disk.path) : PKV_OK;
}

/* ---- Statistics */

pkv_status pkv_count(pkv *store, uint64_t *count) {
    pkv_status status = store_usable(store);
    if (status) return status;
    *count = count_memory(store).entries;
    return PKV_OK;
}

static void fill_desk_stats(snapshot_desk *desk, pkv_stats *stats) {
    os_lock(&desk->lock);
    stats->snapshots = desk->published;
    stats->snapshot_failures = desk->failures;
    stats->snapshot_seconds = desk->seconds;
    stats->snapshot_running = desk->at_work;
    memcpy(stats->last_failure, desk->last_failure, sizeof stats->last_failure);
    os_unlock(&desk->lock);
}

pkv_status pkv_stats_get(pkv *store, pkv_stats *stats) {
    pkv_status status = store_usable(store);
    if (status) return status;
    memset(stats, 0, sizeof *stats);
    memory_stats counted = count_memory(store);
    stats->entries = counted.entries;
    stats->key_bytes = counted.key_bytes;
    stats->value_bytes = counted.value_bytes;
    stats->memory_bytes = counted.used_bytes;
    stats->memory_free_bytes = counted.free_bytes;
    wal *log = store->disk.log;
    stats->wal_bytes = disk_log_bytes(&store->disk);
    stats->wal_written_bytes = wal_written(log);
    stats->flushes = wal_flushes(log);
    stats->snapshot_bytes = disk_snapshot_bytes(&store->disk, &stats->snapshot_ordinal);
    stats->restored_entries = store->restored.entries;
    stats->cut_bytes = store->restored.cut_bytes;
    stats->restore_seconds = store->restore_seconds;
    fill_desk_stats(&store->desk, stats);
    const pkv_error *broken = wal_broken(log);
    stats->read_only = broken != NULL;
    if (broken) {
        (void)snprintf(stats->last_failure, sizeof stats->last_failure, "%.255s", broken->message);
    }
    const pkv_config *c = &store->config;
    stats->memory_shards = c->memory_shards;
    stats->wal_shards = c->wal_shards;
    stats->keys = c->keys;
    stats->key_type = c->key_type;
    stats->values = c->values;
    stats->sync = c->sync;
    stats->wal_io = wal_is_mapped(log) ? PKV_WAL_IO_MMAP : PKV_WAL_IO_PWRITE;
    return PKV_OK;
}
