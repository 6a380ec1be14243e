/* record.c - one entry as bytes, and back.
 *
 *     length | 0a n key | 12 n value | 18 type | 30 flushed | 38 previous_size | 7d checksum
 *     varint   \_____________ length bytes: the protobuf message pkv.Entry _____________/
 *
 * Written by hand, since every change and every restored entry passes here; the bytes are those
 * that protobuf-c makes of record.proto. A field that holds its default (an empty key, type 0, ...)
 * is left out; value is left out only where the key is unset.
 *
 * Invariant of the reader: `at` and `end` bound what is left, and nothing is read, and no length
 * believed, before it was compared with them. */
#include <string.h>
#include "../bytes/checksum.h"
#include "../bytes/planted.h"
#include "../bytes/varint.h"
#include "record.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* wire types */

#define TAG(field, wire)  ((uint8_t)((field) << 3 | (wire)))
#define TAG_KEY           TAG(1, BYTES)
#define TAG_VALUE         TAG(2, BYTES)
#define TAG_TYPE          TAG(3, VARINT)
#define TAG_EXPIRES_AT    TAG(4, VARINT)
#define TAG_TRANSACTION   TAG(5, BYTES)
#define TAG_FLUSHED       TAG(6, VARINT)
#define TAG_PREVIOUS_SIZE TAG(7, VARINT)
#define TAG_CHECKSUM      TAG(15, FIXED32)

#define FIELD_MAX      ((1u << 29) - 1)
#define CHECKSUM_BYTES 5u /* tag and word */

/* All fields but key and value take less than 64 bytes; a longer message is none of ours. */
#define MESSAGE_MAX ((uint64_t)PKV_KEY_MAX + PKV_VALUE_MAX + 64)

/* ---- Writing */

static inline size_t bytes_field_size(size_t size) {
    return 1 + varint_size(size) + size;
}

static inline size_t number_field_size(uint64_t value) {
    return value ? 1 + varint_size(value) : 0;
}

static inline size_t message_size(const record *entry) {
    return (entry->key.size ? bytes_field_size(entry->key.size) : 0) +
           (entry->unset ? 0 : bytes_field_size(entry->value.size)) +
           number_field_size((uint64_t)entry->type) + number_field_size(entry->flushed) +
           number_field_size(entry->previous_size) + CHECKSUM_BYTES;
}

static inline uint8_t *write_bytes(uint8_t *out, uint8_t tag, pkv_bytes bytes) {
    *out++ = tag;
    out = varint_write(out, bytes.size);
    if (bytes.size) memcpy(out, bytes.data, bytes.size); /* data may be NULL where size is 0 */
    return out + bytes.size;
}

static inline uint8_t *write_number(uint8_t *out, uint8_t tag, uint64_t value) {
    if (value == 0) return out;
    *out++ = tag;
    return varint_write(out, value);
}

size_t record_size(const record *entry) {
    size_t size = message_size(entry);
    return varint_size(size) + size;
}

static inline void encode(const record *entry, size_t message, uint32_t seed, uint8_t *out) {
    uint8_t *at = varint_write(out, message);
    if (entry->key.size) at = write_bytes(at, TAG_KEY, entry->key);
    if (!entry->unset) at = write_bytes(at, TAG_VALUE, entry->value);
    at = write_number(at, TAG_TYPE, (uint64_t)entry->type);
    at = write_number(at, TAG_FLUSHED, entry->flushed);
    at = write_number(at, TAG_PREVIOUS_SIZE, entry->previous_size);
    uint32_t sum = checksum(seed, out, (size_t)(at - out));
    *at++ = TAG_CHECKSUM;
    store_u32(at, sum);
}

void record_encode(const record *entry, uint32_t seed, uint8_t *out) {
    encode(entry, message_size(entry), seed, out);
}

void early_record_encode(early_record *early, const record *entry, uint32_t seed) {
    size_t message = message_size(entry), size = varint_size(message) + message;
    early->size = size;
    early->encoded = size <= EARLY_RECORD_MAX;
    early->seed = seed;
    if (early->encoded) encode(entry, message, seed, early->bytes);
}

bool early_record_serves(const early_record *early, const record *entry, uint32_t seed) {
    if (!early->encoded) return false;
    if (early->seed != seed && !PLANTED(believe_early_seed)) return false;
    return (entry->flushed == 0 && entry->previous_size == 0) || PLANTED(omit_marks);
}

/* ---- Reading */

static inline const uint8_t *skip(const uint8_t *at, const uint8_t *end, uint64_t size) {
    return (uint64_t)(end - at) < size ? NULL : at + size;
}

static inline const uint8_t *read_bytes(const uint8_t *at, const uint8_t *end, size_t limit,
                                        pkv_bytes *bytes) {
    uint64_t size;
    at = varint_read(at, end, &size);
    if (at && PLANTED(cut_long_field) && size > (uint64_t)(end - at)) size = (uint64_t)(end - at);
    if (!at || size > limit || size > (uint64_t)(end - at)) return NULL;
    *bytes = (pkv_bytes){at, (size_t)size};
    return at + size;
}

/* The type is told apart from what the value is, so one that is unknown need not make the foreign
 * entry unreadable; in our own file it was never written. */
static const uint8_t *read_type(const uint8_t *at, const uint8_t *end, record_origin origin,
                                pkv_type *type) {
    uint64_t value;
    at = varint_read(at, end, &value);
    if (!at) return NULL;
    if (value > PKV_TABLE) {
        if (origin == RECORD_OURS) return NULL;
        value = PKV_BYTES;
    }
    *type = (pkv_type)value;
    return at;
}

static bool may_skip(uint64_t tag) {
    switch (tag >> 3) {
    case 0: /* there is no such field */
    case TAG_KEY >> 3:
    case TAG_VALUE >> 3:
    case TAG_TYPE >> 3:
    case TAG_FLUSHED >> 3:
    case TAG_PREVIOUS_SIZE >> 3:
    case TAG_CHECKSUM >> 3: /* known, but not of this wire type */
        return false;
    case TAG_EXPIRES_AT >> 3:
        return tag == TAG_EXPIRES_AT;
    case TAG_TRANSACTION >> 3:
        return tag == TAG_TRANSACTION;
    default:
        return tag >> 3 <= FIELD_MAX;
    }
}

/* Skips a field that this version does not know or use. Groups (wire types 3, 4) are none. */
static const uint8_t *skip_field(const uint8_t *at, const uint8_t *end, uint64_t tag) {
    uint64_t number;
    if (!may_skip(tag)) return NULL;
    switch (tag & 7) {
    case VARINT:
        return varint_read(at, end, &number);
    case FIXED64:
        return skip(at, end, 8);
    case BYTES:
        at = varint_read(at, end, &number);
        return at ? skip(at, end, number) : NULL;
    case FIXED32:
        return skip(at, end, 4);
    default:
        return NULL;
    }
}

static const uint8_t *read_field(const uint8_t *at, const uint8_t *end, record_origin origin,
                                 record *entry) {
    uint64_t tag;
    at = varint_read(at, end, &tag);
    if (!at) return NULL;
    switch (tag) {
    case TAG_KEY:
        return read_bytes(at, end, PKV_KEY_MAX, &entry->key);
    case TAG_VALUE:
        entry->unset = false;
        return read_bytes(at, end, PKV_VALUE_MAX, &entry->value);
    case TAG_TYPE:
        return read_type(at, end, origin, &entry->type);
    case TAG_FLUSHED:
        return varint_read(at, end, &entry->flushed);
    case TAG_PREVIOUS_SIZE:
        return varint_read(at, end, &entry->previous_size);
    case TAG_CHECKSUM:
        /* Ours lies behind `end`; a second one is not last. */
        return origin == RECORD_OURS ? NULL : skip(at, end, 4);
    default:
        return skip_field(at, end, tag);
    }
}

static bool read_message(const uint8_t *at, const uint8_t *end, record_origin origin,
                         record *entry) {
    *entry = (record){.key = {at, 0}, .value = {at, 0}, .unset = true};
    while (at != end) {
        at = read_field(at, end, origin, entry);
        if (!at) return false;
    }
    return true;
}

/* The checksum covers all before it, the length included. */
static bool checksum_holds(const uint8_t *data, const uint8_t *message, const uint8_t *end,
                           uint32_t seed) {
    if ((size_t)(end - message) < CHECKSUM_BYTES) return false;
    if (PLANTED(skip_record_checksum)) return true;
    const uint8_t *field = end - CHECKSUM_BYTES;
    return *field == TAG_CHECKSUM &&
           load_u32(field + 1) == checksum(seed, data, (size_t)(field - data));
}

/* *message is set for RECORD_OK. */
static inline record_result frame(const uint8_t *data, size_t available, record_origin origin,
                                  size_t *size, const uint8_t **message) {
    *size = 0;
    if (available == 0) return RECORD_END;

    uint64_t length;
    *message = varint_read(data, data + available, &length);
    if (!*message) return available < VARINT_MAX ? RECORD_SHORT : RECORD_BAD;
    if (length == 0 && origin == RECORD_OURS) return RECORD_END;
    if (length > MESSAGE_MAX && !PLANTED(skip_length_bound)) return RECORD_BAD;
    *size = (size_t)(*message - data) + (size_t)length;
    return *size > available ? RECORD_SHORT : RECORD_OK;
}

record_result record_frame(const uint8_t *data, size_t available, record_origin origin,
                           size_t *size) {
    const uint8_t *message;
    return frame(data, available, origin, size, &message);
}

record_result record_decode(const uint8_t *data, size_t available, uint32_t seed,
                            record_origin origin, record *entry, size_t *size) {
    const uint8_t *message;
    record_result result = frame(data, available, origin, size, &message);
    if (result != RECORD_OK) return result;

    const uint8_t *end = data + *size;
    if (origin == RECORD_OURS) {
        if (!checksum_holds(data, message, end, seed)) return RECORD_BAD;
        return read_message(message, end - CHECKSUM_BYTES, origin, entry) ? RECORD_OK : RECORD_BAD;
    }
    return read_message(message, end, origin, entry) ? RECORD_OK : RECORD_BAD;
}

/* ---- Keys */

bool record_fits(const record *entry, pkv_keys keys, pkv_integer key_type) {
    uint8_t bytes[8];
    if (keys != PKV_KEYS_FIXED) return true;
    if (entry->key.size != sizeof bytes) return false;
    int64_t integer = pkv_key_integer(key_type, entry->key.data);
    (void)pkv_integer_key(key_type, integer, bytes); /* it fits what it was read as */
    return memcmp(bytes, entry->key.data, sizeof bytes) == 0;
}

bool record_is_hole(const record *entry, pkv_keys keys, record_origin origin) {
    return keys == PKV_KEYS_FIXED && origin == RECORD_FOREIGN && entry->unset &&
           entry->key.size == 0;
}
