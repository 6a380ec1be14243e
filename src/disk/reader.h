/* reader.h - the records of one file, in order, through a buffer that grows no further than the
 * file can fill. */
#ifndef PKV_READER_H
#define PKV_READER_H

#include <stdbool.h>
#include "fileset.h"
#include "record.h"
#include "../os/visibility.h"

typedef struct reader {
    int fd;
    char name[FILE_NAME_BYTES];
    record_origin origin;
    uint32_t seed;
    uint64_t size;     /* of the file */
    uint64_t offset;   /* of the next record */
    uint32_t checksum; /* of all that was read in order */
    uint64_t work;     /* bytes that were decoded in vain */
    uint64_t examined; /* bytes that were summed up or decoded to examine the rest */

    uint8_t *buffer;
    size_t capacity, begin, end; /* buffer[begin .. end) holds the file from `offset` on */
    uint32_t *sums;              /* of the buffer's beginnings */
    bool summed;                 /* they are those of what is in the buffer */
} reader;

/* PKV_NOT_FOUND, without details, where there is no such file. */
pkv_status reader_open(reader *in, const os_folder *folder, const file_name *name,
                       record_origin origin, uint64_t salt);
void reader_close(reader *in); /* safe on a zeroed one */

/* Some records that follow each other. */
#define READER_BATCH 32

typedef struct reader_batch {
    record entries[READER_BATCH];
    uint64_t offsets[READER_BATCH];
    size_t count;
    record_result ended; /* RECORD_OK: there may be more */
} reader_batch;

/* Decodes the next records, as many as lie in the buffer; their bytes are valid until the next
 * call. A batch that has ended with something other than RECORD_OK leaves the reader behind its
 * last record: RECORD_END at a zero length or the end of the file, RECORD_SHORT where the file ends
 * inside a record. A read error is a failure, never an end. */
pkv_status reader_next(reader *in, reader_batch *batch);

/* Has at least `wanted` bytes of the file in the buffer, or all that are left; some more where it
 * is not known how many are wanted (0). The buffer's bytes may move. */
pkv_status reader_fill(reader *in, size_t wanted);
/* Bytes of the file behind those in the buffer. */
uint64_t reader_unread(const reader *in);
pkv_status reader_fail_memory(const reader *in, size_t size);

/* Goes to any place of the file. */
void reader_go(reader *in, uint64_t offset);

/* What lies behind the place where reading ended. */
typedef struct reader_rest {
    uint64_t end; /* behind all records and bytes that are not zero; the offset if there are none */
    uint64_t mark; /* highest `flushed` of any sound record found there, 0 if there is none */
} reader_rest;

/* Looks for a record at every place, but not again and again at the same bytes, whatever they are
 * made to look like: what bears a right checksum is passed over whole, and what does not is known
 * for it in constant time. */
pkv_status reader_examine_rest(reader *in, reader_rest *rest);

/* Goes on from where reading ended to the next sound record behind it, byte by byte; *found is
 * false, and the reader at the end of the file, where there is none. rest->end is set as above, of
 * the part without sound records.
 *
 * Foreign records have no checksum: there some must follow each other, or one end with the file, to
 * be believed. Not found are records of more than MARKED_RECORD_MAX bytes with a key as large, and
 * those behind too many places that look like a large record and are none. A file is given up once
 * it has been decoded in vain many times over: one of foreign records that is made to look like a
 * record at every byte, or one where too many places claim to be a large record. */
pkv_status reader_resync(reader *in, reader_rest *rest, bool *found);

#include "../os/visibility_end.h"
#endif
