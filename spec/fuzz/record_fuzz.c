/* record_fuzz.c - records: nothing outside the given bytes is read or pointed to, what is decoded
 * encodes to a record that decodes to the same, and protobuf-c agrees about what a message says.
 *
 *     flags: 1 checksums made right | the bytes of a file
 */
#include <stdlib.h>
#include <string.h>
#include "../../src/bytes/checksum.h"
#include "../../src/bytes/varint.h"
#include "../../src/disk/record.h"
#include "../support/record.pb-c.h"
#include "support.h"

#define SEED           0x1234567u
#define CHECKSUM_BYTES 5

static bool inside(pkv_bytes bytes, const uint8_t *data, size_t size) {
    const uint8_t *at = bytes.data;
    return at >= data && bytes.size <= size && (size_t)(at - data) <= size - bytes.size;
}

static bool same_bytes(pkv_bytes a, pkv_bytes b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_record(const record *a, const record *b) {
    return same_bytes(a->key, b->key) && a->unset == b->unset &&
           (a->unset || same_bytes(a->value, b->value)) && a->type == b->type &&
           a->flushed == b->flushed && a->previous_size == b->previous_size;
}

static void check_round_trip(const record *entry) {
    size_t size = record_size(entry), got;
    uint8_t *bytes = malloc(size), *again = malloc(size);
    must(bytes && again);
    record_encode(entry, SEED, bytes);
    record copy;
    must(record_decode(bytes, size, SEED, RECORD_OURS, &copy, &got) == RECORD_OK && got == size);
    must(same_record(entry, &copy));
    must(record_size(&copy) == size);
    record_encode(&copy, SEED, again);
    must(memcmp(bytes, again, size) == 0);
    must(record_decode(bytes, size, SEED + 1, RECORD_OURS, &copy, &got) == RECORD_BAD);
    for (size_t cut = 1; cut < size && cut < 64; cut++) {
        record_result result = record_decode(bytes, cut, SEED, RECORD_OURS, &copy, &got);
        must(result == RECORD_SHORT);
    }
    free(bytes);
    free(again);
}

/* protobuf-c refuses a little more and a little less; what both take means the same. */
static void compare_with_protobuf(const uint8_t *data, size_t size, const record *entry) {
    uint64_t length;
    const uint8_t *message = varint_read(data, data + size, &length);
    Pkv__Entry *other = pkv__entry__unpack(NULL, (size_t)length, message);
    if (!other) return;
    must(same_bytes(entry->key, (pkv_bytes){other->key.data, other->key.len}));
    must(entry->unset == !other->has_value);
    must(entry->unset ||
         same_bytes(entry->value, (pkv_bytes){other->value.data, other->value.len}));
    pkv__entry__free_unpacked(other, NULL);
}

static void decode_all(const uint8_t *data, size_t size, record_origin origin) {
    size_t at = 0, got;
    record entry;
    while (record_decode(data + at, size - at, SEED, origin, &entry, &got) == RECORD_OK) {
        must(got > 0 && got <= size - at);
        must(inside(entry.key, data + at, got));
        must(entry.unset || inside(entry.value, data + at, got));
        must((unsigned)entry.type <= PKV_TABLE);
        compare_with_protobuf(data + at, got, &entry);
        check_round_trip(&entry);
        at += got;
    }
}

/* Gives what looks like a record by its length the checksum that it should end with. */
static void mend(uint8_t *data, size_t size) {
    size_t at = 0;
    uint64_t length;
    while (at < size) {
        const uint8_t *message = varint_read(data + at, data + size, &length);
        if (!message || length < CHECKSUM_BYTES) return;
        size_t begin = (size_t)(message - data);
        if (length > size - begin) return;
        size_t end = begin + (size_t)length, field = end - CHECKSUM_BYTES;
        data[field] = 0x7d;
        store_u32(data + field + 1, checksum(SEED, data + at, field - at));
        at = end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    uint8_t *copy = malloc(size - 1); /* exactly as long, so that a byte too far is seen */
    must(copy);
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 1) mend(copy, size - 1);
    memory_watch(MEMORY_ALLOWED(size));
    decode_all(copy, size - 1, RECORD_OURS);
    decode_all(copy, size - 1, RECORD_FOREIGN);
    memory_unwatch();
    free(copy);
    return 0;
}
