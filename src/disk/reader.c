/* reader.c - see reader.h. */
#include "reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../bytes/checksum.h"
#include "../bytes/limits.h"
#include "../bytes/planted.h"
#include "../bytes/varint.h"
#include "../os/error.h"

#define KEY_TAG             0x0a
#define VALUE_TAG           0x12
#define CHECKSUM_TAG        0x7d
#define CHECKSUM_FIELD_SIZE 5

static pkv_status fail_read(const reader *in, int error) {
    return fail_os(in->name, in->offset, error, "cannot read %s at offset %llu", in->name,
                   (unsigned long long)in->offset);
}

pkv_status reader_open(reader *in, const os_folder *folder, const file_name *name,
                       record_origin origin, uint64_t salt) {
    memset(in, 0, sizeof *in);
    in->fd = -1;
    in->origin = origin;
    in->seed = checksum_seed(name->ordinal, salt);
    file_name_format(name, in->name);
    int error = os_file_open(folder, in->name, OS_READ, &in->fd);
    if (error == ENOENT) return PKV_NOT_FOUND;
    if (!error) error = os_file_size(in->fd, &in->size);
    if (!error) return PKV_OK;
    pkv_status status = fail_os(in->name, NO_OFFSET, error, "cannot open %s", in->name);
    reader_close(in);
    return status;
}

void reader_close(reader *in) {
    if (in->fd >= 0 && in->name[0]) (void)os_file_close(in->fd);
    free(in->buffer);
    memset(in, 0, sizeof *in);
    in->fd = -1;
}

static pkv_status reserve(reader *in, size_t size) {
    if (size <= in->capacity) return PKV_OK;
    uint8_t *grown = realloc(in->buffer, size);
    if (!grown) {
        return fail(PKV_NO_MEMORY, in->name, in->offset, 0, "no memory to read %s (%zu bytes)",
                    in->name, size);
    }
    in->buffer = grown;
    in->capacity = size;
    return PKV_OK;
}

static uint64_t unread(const reader *in) {
    return in->size - in->offset - (in->end - in->begin);
}

/* Has at least `wanted` bytes of the file in the buffer, or all that are left. */
static pkv_status fill(reader *in, size_t wanted) {
    size_t have = in->end - in->begin;
    if (have > 0 && in->begin > 0) memmove(in->buffer, in->buffer + in->begin, have);
    in->begin = 0;
    in->end = have;
    uint64_t left = in->size - in->offset;
    size_t capacity = wanted > FILE_BUFFER_BYTES ? wanted : FILE_BUFFER_BYTES;
    if (capacity > left) capacity = (size_t)left;
    if (capacity <= have) return PKV_OK; /* of a larger record that turned out to be none */
    pkv_status status = reserve(in, capacity);
    if (status) return status;
    size_t got = 0;
    int error = os_file_read(in->fd, in->buffer + have, capacity - have, in->offset + have, &got);
    if (error && !PLANTED(take_read_error_for_end)) return fail_read(in, error);
    in->end += got;
    if (got < capacity - have) in->size = in->offset + in->end; /* it was cut meanwhile */
    return PKV_OK;
}

/* Decodes what lies whole in the buffer; *size is that of a record that does not, 0 if unknown. */
static void decode_buffered(reader *in, reader_batch *batch, size_t *size) {
    while (batch->count < READER_BATCH) {
        size_t have = in->end - in->begin;
        *size = 0;
        batch->ended = RECORD_SHORT;
        if (have == 0) return; /* there may be no buffer yet */
        const uint8_t *at = in->buffer + in->begin;
        batch->ended =
            record_decode(at, have, in->seed, in->origin, &batch->entries[batch->count], size);
        if (batch->ended != RECORD_OK) return;
        batch->offsets[batch->count++] = in->offset;
        in->checksum = checksum(in->checksum, at, *size);
        in->begin += *size;
        in->offset += *size;
    }
}

pkv_status reader_next(reader *in, reader_batch *batch) {
    batch->count = 0;
    for (;;) {
        size_t size;
        decode_buffered(in, batch, &size);
        if (batch->ended != RECORD_SHORT) return PKV_OK;
        if (in->offset == in->size) {
            batch->ended = RECORD_END;
            return PKV_OK;
        }
        /* No memory for a length that the file cannot fill. */
        if (unread(in) == 0 || size > in->size - in->offset) return PKV_OK;
        if (batch->count > 0) { /* filling would move their bytes */
            batch->ended = RECORD_OK;
            return PKV_OK;
        }
        pkv_status status = fill(in, size);
        if (status) return status;
    }
}

/* The mark of a sound record at `at`, or 0. */
static uint64_t mark_at(const reader *in, const uint8_t *at, size_t available) {
    uint64_t length;
    const uint8_t *message = varint_read(at, at + (available < 4 ? available : 4), &length);
    if (!message || length < CHECKSUM_FIELD_SIZE) return 0;
    if (length > available - (size_t)(message - at)) return 0;
    /* What a record begins and ends with, before its bytes are summed up. */
    if (message[0] != KEY_TAG) return 0;
    if (message[length - CHECKSUM_FIELD_SIZE] != CHECKSUM_TAG) return 0;
    record entry;
    size_t size;
    record_result result = record_decode(at, available, in->seed, in->origin, &entry, &size);
    return result == RECORD_OK ? entry.flushed : 0;
}

/* Examines the records that begin in buffer[0 .. count). */
static void examine(const reader *in, size_t count, reader_rest *rest) {
    for (size_t i = 0; i < count; i++) {
        if (in->buffer[i] == 0) continue;
        rest->end = in->offset + i + 1;
        if (in->origin == RECORD_FOREIGN) continue;
        size_t available = in->end - i;
        if (available > MARKED_RECORD_MAX) available = MARKED_RECORD_MAX;
        uint64_t mark = mark_at(in, in->buffer + i, available);
        if (mark > rest->mark) rest->mark = mark;
    }
}

pkv_status reader_examine_rest(reader *in, reader_rest *rest) {
    rest->end = in->offset;
    rest->mark = 0;
    while (in->offset < in->size) {
        pkv_status status = fill(in, 2 * MARKED_RECORD_MAX);
        if (status) return status;
        size_t count = in->end;
        if (count == 0) return PKV_OK;
        if (unread(in) > 0 && count > MARKED_RECORD_MAX) count -= MARKED_RECORD_MAX;
        examine(in, count, rest);
        in->begin = count;
        in->offset += count;
    }
    return PKV_OK;
}

/* ---- Finding records again behind damage */

/* So many foreign records in a row are no chance. */
#define FOREIGN_CHAIN 3
/* Bytes of a record beside key and value, at most. */
#define OTHER_FIELDS_MAX 64
#define LARGE_TRIES      64
/* Random bytes take less than their own size. */
#define RESYNC_WORK_FACTOR 16u
#define RESYNC_WORK_MIN    ((uint64_t)4 << 20)

static bool begins_record(uint8_t tag) {
    switch (tag) {
    case KEY_TAG: /* and then the fields that may come first where the key is empty */
    case VALUE_TAG:
    case 0x18:
    case 0x30:
    case 0x38:
    case CHECKSUM_TAG:
        return true;
    default:
        return false;
    }
}

/* One of ours: what it begins and ends with before its bytes are summed up. */
static bool is_record(reader *in, const uint8_t *at, size_t available, size_t *size) {
    uint64_t length;
    record entry;
    const uint8_t *message = varint_read(at, at + available, &length);
    if (!message || length == 0 || length > available - (size_t)(message - at)) return false;
    if (!begins_record(message[0])) return false;
    if (in->origin == RECORD_OURS) {
        if (length < CHECKSUM_FIELD_SIZE) return false;
        if (message[length - CHECKSUM_FIELD_SIZE] != CHECKSUM_TAG) return false;
    }
    in->work += length;
    return record_decode(at, available, in->seed, in->origin, &entry, size) == RECORD_OK;
}

static bool has_worked_enough(const reader *in) {
    return in->work / RESYNC_WORK_FACTOR > in->size + RESYNC_WORK_MIN;
}

/* Whether a record to go on with begins in the buffer at `i`, of a size up to `limit`. */
static bool can_go_on_at(reader *in, size_t i, size_t limit) {
    size_t size = 0, available = in->end - i;
    if (available > limit) available = limit;
    if (!is_record(in, in->buffer + i, available, &size)) return false;
    if (in->origin == RECORD_OURS) return true;
    for (int chain = 1; chain < FOREIGN_CHAIN; chain++) {
        i += size;
        if (in->offset + i == in->size) return true;
        if (!is_record(in, in->buffer + i, in->end - i, &size)) return false;
    }
    return true;
}

static void move_to(reader *in, uint64_t offset) {
    in->offset = offset;
    in->begin = in->end = 0;
}

/* Whether there is a record at `offset`, whatever its size; then the reader is there. */
static pkv_status try_at(reader *in, uint64_t offset, bool *found) {
    size_t size = 0;
    record entry;
    move_to(in, offset);
    pkv_status status = fill(in, 2 * MARKED_RECORD_MAX);
    if (status) return status;
    if (record_decode(in->buffer, in->end, in->seed, in->origin, &entry, &size) == RECORD_SHORT &&
        size <= in->size - offset) {
        status = fill(in, size + 2 * MARKED_RECORD_MAX);
    }
    *found = !status && can_go_on_at(in, 0, in->end);
    return status;
}

/* Where the invalid record at the reader's place ends, should its length be sound; else 0. */
static uint64_t behind_invalid(const reader *in) {
    size_t size = 0, have = in->end - in->begin;
    record entry;
    if (have == 0) return 0;
    const uint8_t *at = in->buffer + in->begin;
    if (record_decode(at, have, in->seed, in->origin, &entry, &size) != RECORD_BAD) return 0;
    return size > 1 && size < in->size - in->offset ? in->offset + size : 0;
}

/* Whether at buffer[i] there could be a record too large for the buffer: its lengths fit each
 * other.
 */
static bool looks_large(const reader *in, size_t i) {
    const uint8_t *at = in->buffer + i, *end = in->buffer + in->end;
    uint64_t length, key, value;
    const uint8_t *message = varint_read(at, end, &length);
    if (!message || length <= MARKED_RECORD_MAX || message == end || *message != KEY_TAG) {
        return false;
    }
    if (length > in->size - in->offset - i) return false;
    at = varint_read(message + 1, end, &key);
    if (!at || key >= (uint64_t)(end - at) || at[key] != VALUE_TAG) return false;
    at = varint_read(at + key + 1, end, &value);
    if (!at || value > length) return false;
    uint64_t whole = (uint64_t)(at - message) + value;
    return whole <= length && length - whole <= OTHER_FIELDS_MAX;
}

typedef struct resync {
    reader_rest *rest;
    unsigned large_tries; /* left: each may read a whole large record */
    bool *found;
} resync;

/* Examines buffer[0 .. count) and moves the reader to what it found, or behind it. True: what looks
 * like a large record begins there. */
static bool search_buffer(reader *in, size_t count, resync *to) {
    bool large = false;
    size_t i = 0;
    for (; i < count && !has_worked_enough(in); i++) {
        if (in->buffer[i] == 0) continue;
        *to->found = can_go_on_at(in, i, MARKED_RECORD_MAX);
        if (*to->found) break;
        to->rest->end = in->offset + i + 1;
        large = to->large_tries > 0 && looks_large(in, i);
        if (large) break;
    }
    in->begin = i;
    in->offset += i;
    return large;
}

/* Searches [in->offset, end), which the reader passes. */
static pkv_status search(reader *in, uint64_t end, resync *to) {
    while (in->offset < end && in->offset < in->size && !*to->found) {
        pkv_status status = fill(in, 2 * MARKED_RECORD_MAX);
        if (status) return status;
        size_t count = in->end;
        if (count == 0) break;
        if (unread(in) > 0 && count > MARKED_RECORD_MAX) count -= MARKED_RECORD_MAX;
        if (count > end - in->offset) count = (size_t)(end - in->offset);
        bool large = search_buffer(in, count, to);
        if (has_worked_enough(in) && !*to->found) {
            to->rest->end = in->size;
            move_to(in, in->size);
        }
        if (!large || in->offset == in->size) continue;
        uint64_t at = in->offset;
        to->large_tries--;
        status = try_at(in, at, to->found);
        if (status) return status;
        if (!*to->found) move_to(in, at + 1);
    }
    return PKV_OK;
}

/* The nearest record is the right one where checksums tell. Where they do not, what looks like a
 * record may be part of a value, so the invalid record's length is believed first. */
pkv_status reader_resync(reader *in, reader_rest *rest, bool *found) {
    uint64_t start = in->offset, behind = behind_invalid(in);
    bool blank = in->begin == in->end || in->buffer[in->begin] == 0;
    pkv_status status = PKV_OK;
    *rest = (reader_rest){.end = blank ? start : start + 1};
    *found = false;
    resync to = {rest, LARGE_TRIES, found};
    if (behind && in->origin == RECORD_OURS) {
        move_to(in, start + 1);
        status = search(in, behind, &to);
    }
    if (behind && !status && !*found) status = try_at(in, behind, found);
    if (status || *found) return status;
    if (in->origin == RECORD_FOREIGN || !behind) move_to(in, start + 1);
    return search(in, UINT64_MAX, &to);
}
