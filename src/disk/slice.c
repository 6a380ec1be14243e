/* slice.c - see slice.h. */
#include "slice.h"

#include <stdlib.h>
#include <string.h>
#include "../bytes/checksum.h"
#include "../bytes/planted.h"

/* ---- Reading */

/* Counts the records that lie whole in the reader's buffer; *size is that of one that does not, 0
 * if unknown. */
static void frame_buffered(slice *s, const reader *in, size_t *size) {
    size_t have = in->end - in->begin;
    s->count = s->size = 0;
    s->ended = RECORD_OK;
    while (s->count < SLICE_RECORDS) {
        *size = 0;
        s->ended = RECORD_SHORT;
        if (s->size == have) return; /* there may be no buffer yet */
        s->ended = record_frame(in->buffer + in->begin + s->size, have - s->size, in->origin, size);
        if (s->ended != RECORD_OK) return;
        s->size += *size;
        s->count++;
    }
}

static pkv_status frame_whole(slice *s, reader *in) {
    for (;;) {
        size_t size;
        frame_buffered(s, in, &size);
        if (s->ended != RECORD_SHORT) return PKV_OK;
        uint64_t left = in->size - in->offset - s->size;
        if (left == 0) {
            s->ended = RECORD_END;
            return PKV_OK;
        }
        /* No memory for a length that the file cannot fill. */
        if (reader_unread(in) == 0 || size > left) return PKV_OK;
        if (s->count > 0) { /* filling would move their bytes */
            s->ended = RECORD_OK;
            return PKV_OK;
        }
        pkv_status status = reader_fill(in, size);
        if (status) return status;
    }
}

static void swap_buffers(slice *s, reader *in) {
    uint8_t *buffer = in->buffer;
    size_t capacity = in->capacity;
    in->buffer = s->buffer;
    in->capacity = s->capacity;
    in->summed = false;
    s->buffer = buffer;
    s->capacity = capacity;
}

/* The slice gets the buffer, the reader that of the slice, and in it what follows the records. */
static pkv_status hand_over(slice *s, reader *in) {
    size_t behind = in->begin + s->size, rest = in->end - behind;
    if (s->count == 0) return PKV_OK;
    if (s->capacity < rest) {
        free(s->buffer);
        s->buffer = malloc(rest);
        s->capacity = s->buffer ? rest : 0;
        if (!s->buffer) return reader_fail_memory(in, rest);
    }
    if (rest > 0) memcpy(s->buffer, in->buffer + behind, rest);
    in->checksum = checksum(in->checksum, in->buffer + in->begin, s->size);
    swap_buffers(s, in);
    s->begin = in->begin;
    s->end = in->end;
    in->begin = 0;
    in->end = rest;
    in->offset += s->size;
    return PKV_OK;
}

pkv_status slice_read(slice *s, reader *in) {
    s->offset = in->offset;
    pkv_status status = frame_whole(s, in);
    return status ? status : hand_over(s, in);
}

void slice_decode(slice *s, const reader *in) {
    if (s->count == 0) return; /* there may be no buffer yet */
    size_t count = s->count, left = s->size, size = 0;
    const uint8_t *at = s->buffer + s->begin;
    for (size_t i = 0; i < count; i++, at += size, left -= size) {
        if (record_decode(at, left, in->seed, in->origin, &s->entries[i], &size) == RECORD_OK) {
            continue;
        }
        if (!PLANTED(go_on_behind_damage)) s->ended = RECORD_BAD;
        s->count = i;
        s->size -= left;
        return;
    }
}

/* ---- Giving back */

void slice_return(slice *s, reader *in) {
    if (in->offset == s->offset + s->size) return;
    swap_buffers(s, in);
    in->begin = s->begin + s->size;
    in->end = s->end;
    in->offset = s->offset + s->size;
}

void slice_reclaim(slice *s, reader *in) {
    size_t rest = in->end - in->begin;
    if (s->capacity <= READER_LARGE) return;
    if (rest > 0) memcpy(s->buffer, in->buffer + in->begin, rest);
    swap_buffers(s, in);
    in->begin = 0;
    in->end = rest;
}

uint64_t slice_offset_of(const slice *s, const reader *in, size_t index) {
    size_t before = 0;
    while (index-- > 0) {
        size_t size = 0;
        (void)record_frame(s->buffer + s->begin + before, s->size - before, in->origin, &size);
        before += size;
    }
    return s->offset + before;
}
