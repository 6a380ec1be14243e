/* record.h - one entry as bytes: a varint length, then the protobuf message pkv.Entry
 * (record.proto), its checksum last. doc/format.md has a worked example.
 *
 * The checksum is CRC-32C over the length and everything of the message before the checksum field,
 * begun with checksum_seed(ordinal of the file): a record that lies in a recycled file, or in the
 * wrong one, does not count. */
#ifndef PKV_RECORD_H
#define PKV_RECORD_H

#include <stdbool.h>
#include "../pkv.h"
#include "../os/visibility.h"

typedef struct record {
    pkv_bytes key, value;
    bool unset; /* value means nothing */
    pkv_type type;
    uint64_t flushed;       /* 0: says nothing */
    uint64_t previous_size; /* 0: says nothing */
} record;

/* Whole size of the encoded record. */
size_t record_size(const record *entry);
/* Writes record_size(entry) bytes. */
void record_encode(const record *entry, uint32_t seed, uint8_t *out);

/* A record that is encoded before it is known for certain which file it will lie in, and what there
 * will be to say with it (flushed, previous_size). */
#define EARLY_RECORD_MAX 512u
typedef struct early_record {
    size_t size;  /* without anything to say */
    bool encoded; /* else it is too long */
    uint32_t seed;
    uint8_t bytes[EARLY_RECORD_MAX];
} early_record;

void early_record_encode(early_record *early, const record *entry, uint32_t seed);
/* Whether it is what record_encode would write now. */
bool early_record_serves(const early_record *early, const record *entry, uint32_t seed);

typedef enum record_result {
    RECORD_OK,
    RECORD_END,   /* no bytes, or a zero length: nothing was written here */
    RECORD_SHORT, /* the record goes on behind the bytes given */
    RECORD_BAD    /* no record, or its checksum is wrong */
} record_result;

/* Whose records a file may hold. */
typedef enum record_origin {
    RECORD_OURS,   /* every record has a checksum */
    RECORD_FOREIGN /* the crate's: no checksum is asked for, a zero length unsets the empty key */
} record_origin;

/* Finds out how large the record at `data` is, by its length alone. *size is the whole size, also
 * for RECORD_SHORT where the length itself could be read (else 0). */
record_result record_frame(const uint8_t *data, size_t available, record_origin origin,
                           size_t *size);

/* Decodes the record at `data`; key and value point into it. *size is as record_frame has it. */
record_result record_decode(const uint8_t *data, size_t available, uint32_t seed,
                            record_origin origin, record *entry, size_t *size);

/* Whether the record may stand in a store of such keys: integer keys are 8 bytes, with zeros behind
 * the integer's own. */
bool record_fits(const record *entry, pkv_keys keys, pkv_integer key_type);

/* Zeros that the crate's positioned writes have left in a store of integer keys. */
bool record_is_hole(const record *entry, pkv_keys keys, record_origin origin);

#include "../os/visibility_end.h"
#endif
