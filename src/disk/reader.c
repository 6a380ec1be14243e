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
    free(in->sums);
    memset(in, 0, sizeof *in);
    in->fd = -1;
}

pkv_status reader_fail_memory(const reader *in, size_t size) {
    return fail(PKV_NO_MEMORY, in->name, in->offset, 0, "no memory to read %s (%zu bytes)",
                in->name, size);
}

static pkv_status resize(reader *in, size_t size) {
    uint8_t *buffer = realloc(in->buffer, size);
    if (!buffer) return reader_fail_memory(in, size);
    in->buffer = buffer;
    in->capacity = size;
    return PKV_OK;
}

uint64_t reader_unread(const reader *in) {
    return in->size - in->offset - (in->end - in->begin);
}

/* A large buffer is let go once it is known that what is wanted does not need it. */
pkv_status reader_fill(reader *in, size_t wanted) {
    size_t have = in->end - in->begin;
    if ((wanted > 0 && have >= wanted) || reader_unread(in) == 0) return PKV_OK;
    if (have > 0 && in->begin > 0) memmove(in->buffer, in->buffer + in->begin, have);
    in->begin = 0;
    in->end = have;
    in->summed = false;
    uint64_t left = in->size - in->offset;
    size_t capacity = wanted > READER_BUFFER ? wanted : READER_BUFFER;
    if (capacity > left) capacity = (size_t)left;
    bool is_idle = in->capacity > READER_LARGE && wanted > 0 && capacity <= READER_LARGE;
    pkv_status status = capacity > in->capacity || is_idle ? resize(in, capacity) : PKV_OK;
    if (status) return status;
    size_t got = 0;
    int error = os_file_read(in->fd, in->buffer + have, capacity - have, in->offset + have, &got);
    if (error && !PLANTED(take_read_error_for_end)) return fail_read(in, error);
    in->end += got;
    if (got < capacity - have) in->size = in->offset + in->end; /* it was cut meanwhile */
    return PKV_OK;
}

/* Where in the file buffer[i] lies. */
static uint64_t offset_of(const reader *in, size_t i) {
    return in->offset - in->begin + i;
}

void reader_go(reader *in, uint64_t offset) {
    uint64_t first = offset_of(in, 0);
    bool buffered = offset >= first && offset - first <= in->end;
    in->begin = buffered ? (size_t)(offset - first) : 0;
    if (!buffered) in->end = 0;
    in->offset = offset;
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
        if (batch->ended == RECORD_BAD) in->work += size;
        if (batch->ended != RECORD_SHORT) return PKV_OK;
        if (in->offset == in->size) {
            batch->ended = RECORD_END;
            return PKV_OK;
        }
        /* No memory for a length that the file cannot fill. */
        if (reader_unread(in) == 0 || size > in->size - in->offset) return PKV_OK;
        if (batch->count > 0) { /* filling would move their bytes */
            batch->ended = RECORD_OK;
            return PKV_OK;
        }
        pkv_status status = reader_fill(in, size);
        if (status) return status;
    }
}

/* ---- Examining what lies behind the last record */

/* Sums are kept of every beginning of the buffer whose size is a multiple of this. */
#define SUM_STEP 16u

static pkv_status sum_up(reader *in) {
    if (in->summed) return PKV_OK;
    size_t count = in->end / SUM_STEP + 1;
    uint32_t *sums = realloc(in->sums, count * sizeof *sums);
    if (!sums) {
        return fail(PKV_NO_MEMORY, in->name, in->offset, 0, "no memory to examine %s", in->name);
    }
    sums[0] = 0;
    for (size_t i = 1; i < count; i++) {
        sums[i] = checksum(sums[i - 1], in->buffer + (i - 1) * SUM_STEP, SUM_STEP);
    }
    in->sums = sums;
    in->summed = true;
    in->examined += in->end;
    return PKV_OK;
}

/* The checksum of buffer[0 .. size). */
static uint32_t sum_of(reader *in, size_t size) {
    size_t rest = size % SUM_STEP;
    in->examined += rest;
    return checksum(in->sums[size / SUM_STEP], in->buffer + size - rest, rest);
}

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

/* The size of what begins at buffer[i], is no larger than a record with a mark, and bears the right
 * checksum; 0 if there is no such thing. */
static size_t sealed_size(reader *in, size_t i) {
    uint64_t length;
    size_t available = in->end - i;
    if (available > MARKED_RECORD_MAX) available = MARKED_RECORD_MAX;
    const uint8_t *at = in->buffer + i;
    const uint8_t *message = varint_read(at, at + available, &length);
    if (!message || length < CHECKSUM_FIELD_SIZE) return 0;
    if (length > available - (size_t)(message - at)) return 0;
    /* What a record begins and ends with. */
    const uint8_t *field = message + length - CHECKSUM_FIELD_SIZE;
    if (!begins_record(message[0]) || field[0] != CHECKSUM_TAG) return 0;
    size_t size = (size_t)(field - at);
    uint32_t sum = checksum_over(in->seed ^ sum_of(in, i), size) ^ sum_of(in, i + size);
    return load_u32(field + 1) == sum ? size + CHECKSUM_FIELD_SIZE : 0;
}

static bool decode_sealed(reader *in, size_t i, size_t size, record *entry) {
    in->examined += size;
    return record_decode(in->buffer + i, size, in->seed, in->origin, entry, &size) == RECORD_OK;
}

/* Examines what begins in the next `count` bytes, and passes it. */
static void examine(reader *in, size_t count, reader_rest *rest) {
    size_t i = in->begin, end = in->begin + count;
    while (i < end) {
        size_t size = in->buffer[i] && in->summed ? sealed_size(in, i) : 0;
        record entry;
        if (size > 0 && decode_sealed(in, i, size, &entry) && entry.flushed > rest->mark) {
            rest->mark = entry.flushed;
        }
        if (size == 0) size = 1;
        if (in->buffer[i]) rest->end = offset_of(in, i) + size;
        i += size;
    }
    reader_go(in, offset_of(in, i));
}

static bool is_blank(const uint8_t *bytes, size_t size) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Has bytes to examine in the buffer, and behind them what it takes to do so: *count of them, 0 at
 * the end of the file. */
static pkv_status fill_to_examine(reader *in, size_t *count) {
    bool enough = in->end - in->begin > MARKED_RECORD_MAX && in->origin == RECORD_OURS;
    pkv_status status = enough ? PKV_OK : reader_fill(in, 2 * MARKED_RECORD_MAX);
    if (status) return status;
    *count = in->end - in->begin;
    if (reader_unread(in) > 0) *count -= MARKED_RECORD_MAX;
    return PKV_OK;
}

pkv_status reader_examine_rest(reader *in, reader_rest *rest) {
    rest->end = in->offset;
    rest->mark = 0;
    while (in->offset < in->size) {
        size_t count;
        pkv_status status = fill_to_examine(in, &count);
        if (status || count == 0) return status;
        if (is_blank(in->buffer + in->begin, count)) {
            reader_go(in, in->offset + count);
            continue;
        }
        if (in->origin == RECORD_OURS) status = sum_up(in);
        if (status) return status;
        examine(in, count, rest);
    }
    return PKV_OK;
}

/* ---- Finding records again behind damage */

/* So many foreign records in a row are no chance. */
#define FOREIGN_CHAIN 3
/* Bytes of a record beside key and value, at most. */
#define OTHER_FIELDS_MAX 64
#define LARGE_TRIES      64
/* A file is decoded so many times in vain, before large records are looked for no more, and before
 * it is given up. Random bytes take less than their own size. */
#define LARGE_WORK_FACTOR  8u
#define RESYNC_WORK_FACTOR 16u
#define RESYNC_WORK_MIN    ((uint64_t)4 << 20)

static bool has_worked(const reader *in, unsigned factor) {
    return in->work / factor > in->size + RESYNC_WORK_MIN;
}

static bool is_record(reader *in, const uint8_t *at, size_t available, size_t *size) {
    uint64_t length;
    record entry;
    const uint8_t *message = varint_read(at, at + available, &length);
    if (!message || length == 0 || length > available - (size_t)(message - at)) return false;
    if (!begins_record(message[0])) return false;
    in->work += length;
    return record_decode(at, available, in->seed, in->origin, &entry, size) == RECORD_OK;
}

/* Whether a record to go on with begins at buffer[i], of a size up to `limit`. */
static bool can_go_on_at(reader *in, size_t i, size_t limit) {
    size_t size = 0, available = in->end - i;
    if (available > limit) available = limit;
    if (!is_record(in, in->buffer + i, available, &size)) return false;
    if (in->origin == RECORD_OURS) return true;
    for (int chain = 1; chain < FOREIGN_CHAIN; chain++) {
        i += size;
        if (offset_of(in, i) == in->size) return true;
        if (!is_record(in, in->buffer + i, in->end - i, &size)) return false;
    }
    return true;
}

/* Whether there is a record at `offset`, whatever its size; then the reader is there. */
static pkv_status try_at(reader *in, uint64_t offset, bool *found) {
    size_t size = 0, more = in->origin == RECORD_OURS ? 0 : 2 * MARKED_RECORD_MAX;
    record entry;
    reader_go(in, offset);
    pkv_status status = reader_fill(in, OTHER_FIELDS_MAX + more);
    if (status) return status;
    if (record_decode(in->buffer + in->begin, in->end - in->begin, in->seed, in->origin, &entry,
                      &size) == RECORD_SHORT &&
        size <= in->size - offset) {
        status = reader_fill(in, size + more);
    }
    *found = !status && can_go_on_at(in, in->begin, in->end - in->begin);
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
    if (length > in->size - offset_of(in, i)) return false;
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

/* Is there a record to go on with at buffer[i]? Else *size is what to pass over. */
static bool find_at(reader *in, size_t i, size_t *size) {
    record entry;
    *size = 1;
    if (in->buffer[i] == 0) return false;
    if (in->origin == RECORD_FOREIGN) return can_go_on_at(in, i, MARKED_RECORD_MAX);
    size_t sealed = sealed_size(in, i);
    if (sealed == 0) return false;
    *size = sealed;
    return decode_sealed(in, i, sealed, &entry);
}

/* Examines the next `count` bytes and moves the reader to what it found, or behind them. True: what
 * looks like a large record begins there. */
static bool search_buffer(reader *in, size_t count, resync *to) {
    bool large = false;
    size_t i = in->begin, end = in->begin + count, size;
    while (i < end && (in->origin == RECORD_OURS || !has_worked(in, RESYNC_WORK_FACTOR))) {
        *to->found = find_at(in, i, &size);
        if (*to->found) break;
        if (in->buffer[i]) to->rest->end = offset_of(in, i) + size;
        large = to->large_tries > 0 && looks_large(in, i) && !has_worked(in, LARGE_WORK_FACTOR);
        if (large) break;
        i += size;
    }
    reader_go(in, offset_of(in, i));
    return large;
}

static void give_up(reader *in, resync *to) {
    to->rest->end = in->size;
    reader_go(in, in->size);
}

/* Searches [in->offset, end), which the reader passes. */
static pkv_status search(reader *in, uint64_t end, resync *to) {
    while (in->offset < end && in->offset < in->size && !*to->found) {
        size_t count;
        pkv_status status = fill_to_examine(in, &count);
        if (status || count == 0) return status;
        if (in->origin == RECORD_OURS) status = sum_up(in);
        if (status) return status;
        if (count > end - in->offset) count = (size_t)(end - in->offset);
        bool large = search_buffer(in, count, to);
        if (in->origin == RECORD_FOREIGN && has_worked(in, RESYNC_WORK_FACTOR) && !*to->found) {
            give_up(in, to);
        }
        if (!large) continue;
        uint64_t at = in->offset;
        to->large_tries--;
        status = try_at(in, at, to->found);
        if (status) return status;
        if (!*to->found) reader_go(in, at + 1);
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
    if (has_worked(in, RESYNC_WORK_FACTOR)) {
        give_up(in, &to);
        return PKV_OK;
    }
    if (behind && in->origin == RECORD_OURS) {
        reader_go(in, start + 1);
        status = search(in, behind, &to);
    }
    if (behind && !status && !*found) status = try_at(in, behind, found);
    if (status || *found) return status;
    if (in->origin == RECORD_FOREIGN || !behind) reader_go(in, start + 1);
    return search(in, UINT64_MAX, &to);
}
