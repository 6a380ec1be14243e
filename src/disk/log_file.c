/* log_file.c - see log_file.h. */
#include "log_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../bytes/checksum.h"
#include "../bytes/limits.h"
#include "../bytes/planted.h"
#include "../bytes/prefetch.h"
#include "../os/error.h"

#define BUFFER_START ((size_t)4 << 10)
#define ZEROS_BYTES  ((size_t)128 << 10)
/* Cache lines that a small record takes. */
#define LINES_AHEAD 2u
/* The view is dropped in steps of this size, since each drop interrupts all processors and has them
 * forget the page tables. */
#define FORGET_STEP (WAL_SEGMENT_MAX / 2)
/* Of a file that grows as much as half its size is reserved on the disk at once, and up to this. */
#define RESERVE_STEP ((uint64_t)4 << 20)

static uint64_t page_floor(uint64_t offset) {
    return offset - offset % os_page_size();
}

static uint64_t page_ceil(uint64_t offset) {
    return page_floor(offset + os_page_size() - 1);
}

/* Maps as much as there is address space for, far beyond the end of the file: a map made piece by
 * piece has to wait, for each piece, while the kernel writes the file out. No map at all means
 * positioned writes. */
static void map(log_file *file) {
    for (uint64_t size = WAL_MAP_BYTES; size >= WAL_SEGMENT_MAX; size /= 2) {
        file->base = os_map_file(file->fd, file->map_start, (size_t)size);
        if (!file->base) continue;
        file->map_bytes = size;
        atomic_store_explicit(&file->mapped, true, memory_order_relaxed);
        return;
    }
}

pkv_status log_file_open(const os_folder *folder, const file_name *name, uint64_t salt,
                         uint64_t tail, log_file_way way, log_file **out) {
    log_file *file = calloc(1, sizeof *file);
    if (!file) return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory to open a log file");
    file->fd = -1;
    file_name_format(name, file->name);
    int error = os_mutex_init(&file->extending);
    if (error) {
        free(file);
        return fail_os(NULL, NO_OFFSET, error, "cannot make a lock for a log file");
    }
    file->ordinal = name->ordinal;
    file->seed = checksum_seed(name->ordinal, salt);
    file->tail = file->opened_at = tail;
    file->piece = way == LOG_FILE_MAPPED_BY_PAGE ? os_page_size() : ZEROS_BYTES;
    file->map_start = file->forgotten = page_floor(tail);
    atomic_store_explicit(&file->ready, file->map_start, memory_order_relaxed);
    error = os_file_open(folder, file->name, OS_WRITE, &file->fd);
    if (error) {
        pkv_status status =
            fail_os(file->name, NO_OFFSET, error, "cannot open log file %s", file->name);
        log_file_close(file);
        return status;
    }
    if (way != LOG_FILE_WRITTEN) map(file);
    *out = file;
    return PKV_OK;
}

/* Has [start, start + size) present in the map, or gives up on mapping where the kernel or the
 * address space cannot: only a full disk is an error. */
static int populate(log_file *file, uint64_t start, uint64_t size) {
    uint64_t at = start - file->map_start;
    int error = EINVAL;
    if (at + size <= file->map_bytes) error = os_map_populate(file->base + at, (size_t)size);
    if (error == ENOSPC) return error;
    if (error) atomic_store_explicit(&file->mapped, false, memory_order_relaxed);
    return 0;
}

/* So that the page cache has the room, and in as large pieces as are wanted: mapping it then takes
 * a quarter of the time. A record makes all of its piece dirty, so that a flush writes all of it:
 * where each record is flushed, pieces are pages. */
static int write_zeros(const log_file *file, uint64_t from, uint64_t to) {
    static uint8_t zeros[ZEROS_BYTES]; /* not const: that would lie in the library's file */
    int error = 0;
    if (from < file->opened_at && !PLANTED(zero_from_page)) from = file->opened_at;
    for (uint64_t end; from < to && !error; from = end) {
        end = from + file->piece - from % file->piece;
        if (end > to) end = to;
        error = os_file_write(file->fd, zeros, (size_t)(end - from), from);
    }
    return error;
}

/* Called with `extending` locked. */
static void reserve(log_file *file, uint64_t start, uint64_t size) {
    if (start + size <= file->reserved) return;
    if (os_file_reserve(file->fd, start, size) == 0) file->reserved = start + size;
}

void log_file_reserve(log_file *file, uint64_t upto) {
    os_lock(&file->extending);
    uint64_t start = atomic_load_explicit(&file->ready, memory_order_relaxed);
    if (start < upto && atomic_load_explicit(&file->mapped, memory_order_relaxed)) {
        reserve(file, start, upto - start);
    }
    os_unlock(&file->extending);
}

/* Room on the disk. What is not mapped is made longer, too: zeros do that otherwise. */
static int allocate(log_file *file, uint64_t start, uint64_t size) {
    if (!atomic_load_explicit(&file->mapped, memory_order_relaxed)) {
        return os_file_allocate(file->fd, start, size);
    }
    if (start + size <= file->reserved) return 0;
    uint64_t ahead = start / 2 < RESERVE_STEP ? page_floor(start / 2) : RESERVE_STEP;
    if (ahead > size) reserve(file, start, ahead);
    return start + size <= file->reserved ? 0 : os_file_allocate(file->fd, start, size);
}

pkv_status log_file_make_room(log_file *file, uint64_t upto) {
    os_lock(&file->extending);
    uint64_t start = atomic_load_explicit(&file->ready, memory_order_relaxed);
    int error = 0;
    if (start < upto) {
        uint64_t size = page_ceil(upto - start);
        error = allocate(file, start, size);
        if (!error && atomic_load_explicit(&file->mapped, memory_order_relaxed)) {
            error = write_zeros(file, start, start + size);
            if (!error) error = populate(file, start, size);
        }
        if (!error) atomic_store_explicit(&file->ready, start + size, memory_order_release);
    }
    os_unlock(&file->extending);
    if (!error) return PKV_OK;
    return fail_os(file->name, start, error, "cannot make room in log file %s at offset %llu",
                   file->name, (unsigned long long)start);
}

static pkv_status buffer_reserve(log_file *file, size_t size) {
    if (file->buffered + size <= file->buffer_capacity) return PKV_OK;
    size_t capacity = file->buffer_capacity ? file->buffer_capacity : BUFFER_START;
    while (capacity < file->buffered + size) capacity *= 2;
    uint8_t *grown = realloc(file->buffer, capacity);
    if (!grown) {
        return fail(PKV_NO_MEMORY, file->name, NO_OFFSET, 0, "no memory for a record of %zu bytes",
                    size);
    }
    file->buffer = grown;
    file->buffer_capacity = capacity;
    return PKV_OK;
}

pkv_status log_file_write_out(log_file *file) {
    if (PLANTED(skip_buffer_write)) return PKV_OK;
    if (file->buffered == 0) return PKV_OK;
    uint64_t offset = file->tail - file->buffered;
    int error = os_file_write(file->fd, file->buffer, file->buffered, offset);
    if (error) {
        return fail_os(file->name, offset, error, "cannot write to log file %s at offset %llu",
                       file->name, (unsigned long long)offset);
    }
    file->buffered = 0;
    if (file->buffer_capacity > 4 * FILE_BUFFER_BYTES) { /* grown for one huge value */
        free(file->buffer);
        file->buffer = NULL;
        file->buffer_capacity = 0;
    }
    return PKV_OK;
}

static size_t encoded_size(const log_file *file, const record *entry, const early_record *early) {
    return early_record_serves(early, entry, file->seed) ? early->size : record_size(entry);
}

/* The lines of the next records or two. The keeper has written them, so they are in another core's
 * cache, if in any. */
static void prefetch_room(const uint8_t *at) {
    for (unsigned i = LINES_AHEAD; i < 3 * LINES_AHEAD; i++) prefetch_to_write(at + i * CACHE_LINE);
}

static void write_record(const log_file *file, const record *entry, const early_record *early,
                         uint8_t *out) {
    if (early_record_serves(early, entry, file->seed)) {
        memcpy(out, early->bytes, early->size);
    } else {
        record_encode(entry, file->seed, out);
    }
}

/* Takes the record back that could not be written: what part of it lies in the file must not be
 * read as a record after a crash. */
static void take_back(log_file *file, size_t size, bool *broken) {
    file->buffered -= size;
    file->tail -= size;
    uint64_t kept = file->tail - file->buffered;
    if (os_file_truncate(file->fd, kept) != 0) *broken = true;
    atomic_store_explicit(&file->ready, page_floor(kept), memory_order_relaxed);
}

static pkv_status append_buffered(log_file *file, const record *entry, const early_record *early,
                                  bool keep, bool *broken) {
    pkv_status status = PKV_OK;
    size_t size = encoded_size(file, entry, early);
    if (file->buffered > 0 && file->buffered + size > FILE_BUFFER_BYTES) {
        status = log_file_write_out(file);
    }
    if (!status) status = buffer_reserve(file, size);
    if (status) return status;
    write_record(file, entry, early, file->buffer + file->buffered);
    file->buffered += size;
    file->tail += size;
    if (keep && file->buffered < FILE_BUFFER_BYTES) return PKV_OK;
    status = log_file_write_out(file);
    if (status) {
        os_lock(&file->extending); /* truncating, against room being made */
        take_back(file, size, broken);
        os_unlock(&file->extending);
    }
    return status;
}

pkv_status log_file_append(log_file *file, const record *entry, const early_record *early,
                           bool keep, bool *broken) {
    size_t size = encoded_size(file, entry, early);
    while (file->tail + size > atomic_load_explicit(&file->ready, memory_order_acquire)) {
        pkv_status status = log_file_make_room(file, file->tail + size + WAL_SEGMENT_MIN);
        if (status) return status;
    }
    if (!atomic_load_explicit(&file->mapped, memory_order_relaxed)) {
        return append_buffered(file, entry, early, keep, broken);
    }
    log_file_fill(file, file->base + (file->tail - file->map_start), entry, early);
    file->tail += size;
    return PKV_OK;
}

void log_file_fill(const log_file *file, uint8_t *at, const record *entry,
                   const early_record *early) {
    prefetch_room(at);
    write_record(file, entry, early, at);
}

pkv_status log_file_sync(log_file *file) {
    if (PLANTED(skip_log_flush)) return PKV_OK;
    int error = os_file_sync(file->fd);
    if (!error) return PKV_OK;
    /* Whatever the reason, a full disk included: PKV_IO alone says that what was not flushed may be
     * there nonetheless. */
    return fail(PKV_IO, file->name, NO_OFFSET, error, "cannot flush log file %s", file->name);
}

static void unmap(log_file *file) {
    if (file->base) os_unmap_file(file->base, (size_t)file->map_bytes);
    file->base = NULL;
    atomic_store_explicit(&file->mapped, false, memory_order_relaxed);
}

pkv_status log_file_seal(log_file *file) {
    pkv_status status = log_file_write_out(file);
    if (status) return status;
    os_lock(&file->extending);
    unmap(file);
    int error = os_file_truncate(file->fd, file->tail);
    atomic_store_explicit(&file->ready, page_floor(file->tail), memory_order_relaxed);
    os_unlock(&file->extending);
    if (!error) return PKV_OK;
    return fail_os(file->name, file->tail, error, "cannot cut log file %s to its last record",
                   file->name);
}

void log_file_forget(log_file *file, uint64_t upto) {
    uint64_t end = page_floor(upto);
    os_lock(&file->extending);
    if (file->base && end >= file->forgotten + FORGET_STEP &&
        end - file->map_start <= file->map_bytes) {
        os_map_forget(file->base + (file->forgotten - file->map_start),
                      (size_t)(end - file->forgotten));
        file->forgotten = end;
    }
    os_unlock(&file->extending);
}

void log_file_abandon(log_file *file) {
    if (!file) return;
    unmap(file);
    if (file->fd >= 0) (void)os_file_close(file->fd);
    free(file->buffer);
    free(file);
}

void log_file_close(log_file *file) {
    if (!file) return;
    os_mutex_destroy(&file->extending);
    log_file_abandon(file);
}
