/* slice.h - a part of a file that several threads read: some records that follow each other, and
 * the bytes that they lie in. Reading comes in two steps, so that slices of one file can be decoded
 * side by side:
 *
 *     reader ── slice_read ─> slice ── slice_decode ─> entries
 */
#ifndef PKV_SLICE_H
#define PKV_SLICE_H

#include "reader.h"
#include "../bytes/limits.h"
#include "../os/visibility.h"

typedef struct slice {
    record entries[SLICE_RECORDS];
    size_t count;
    record_result ended; /* RECORD_OK: there may be more */
    uint64_t offset;     /* of the first one */
    size_t size;         /* of all of them */

    uint8_t *buffer;             /* allocated; the owner of the slice frees it */
    size_t capacity, begin, end; /* buffer[begin .. end) holds the file from `offset` on */
} slice;

/* Takes the next records from the reader, as many as lie in its buffer, and looks at their lengths
 * only. A slice that has ended with something other than RECORD_OK is the last one: RECORD_END at a
 * zero length or the end of the file, RECORD_SHORT where the file ends inside a record, RECORD_BAD
 * at a length that none can have. A read error is a failure, never an end. */
pkv_status slice_read(slice *s, reader *in);
/* Fills in the entries. They are valid until the slice is used again. A record that is none ends
 * the slice before it, with RECORD_BAD; what was read behind it counts for nothing. */
void slice_decode(slice *s, const reader *in);
/* Puts the reader behind the slice's last record, whatever it has read since. The slice's bytes are
 * gone. */
void slice_return(slice *s, reader *in);
/* Gives the reader the slice's buffer back, if it is larger than READER_LARGE. Before this nobody
 * else may read. The slice's bytes are gone. */
void slice_reclaim(slice *s, reader *in);

/* The offset in the file of one of its records. */
uint64_t slice_offset_of(const slice *s, const reader *in, size_t index);

#include "../os/visibility_end.h"
#endif
