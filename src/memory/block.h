/* block.h - an entry as bytes in an arena.
 *
 *     variable keys    head │ key length, varint │ [value length, varint] │ key │ value
 *     fixed keys       head │ [value length, varint] │ 7 bytes of the key │ value
 *
 * The low 4 bits of the head are the value's pkv_type, below BLOCK_FREE; bit 4 is reserved for
 * "an expiry follows". The upper 3 bits are n where the value has 2^(n-1) bytes, else 0, and its
 * length follows. So a block says its own size. Of a fixed key the table has the first byte
 * (table.h). Other heads: what an arena keeps in free blocks, and the overflow nodes of the table.
 */
#ifndef PKV_BLOCK_H
#define PKV_BLOCK_H

#include <stdbool.h>
#include <string.h>
#include "../bytes/varint.h"
#include "../pkv.h"
#include "words.h"
#include "../os/visibility.h"

#define BLOCK_TYPE       0x0fu
#define BLOCK_SIZE_SHIFT 5
#define BLOCK_KEY_FIXED  7u    /* bytes of a fixed key */
#define BLOCK_FREE       0x0fu /* in a free list; 3 bytes size in granules follow */
#define BLOCK_DEAD       0x1fu /* free, in no list; the same size follows */

typedef struct block {
    pkv_type type;
    const uint8_t *key; /* of a fixed one, what is here */
    const uint8_t *value;
    size_t key_size, value_size;
} block;

static inline const uint8_t *block_length(const uint8_t *at, size_t *length) {
    size_t result = *at & 0x7fu;
    for (unsigned shift = 7; *at++ >= 0x80; shift += 7) result |= (size_t)(*at & 0x7fu) << shift;
    *length = result;
    return at;
}

/* What comes before key and value: ARENA_BLOCK_MIN bytes at most. Returns its size; sets no
 * pointer. */
static inline size_t block_head(const uint8_t *at, bool fixed_keys, block *b) {
    const uint8_t *start = at;
    uint8_t head = *at++;
    *b = (block){.type = (pkv_type)(head & BLOCK_TYPE), .key_size = BLOCK_KEY_FIXED};
    if (!fixed_keys) at = block_length(at, &b->key_size);
    if (head >> BLOCK_SIZE_SHIFT != 0) {
        b->value_size = (size_t)1 << ((head >> BLOCK_SIZE_SHIFT) - 1);
    } else {
        at = block_length(at, &b->value_size);
    }
    return (size_t)(at - start);
}

static inline block block_read(const uint8_t *at, bool fixed_keys) {
    block b;
    at += block_head(at, fixed_keys, &b);
    b.key = at;
    b.value = at + b.key_size;
    return b;
}

/* What the head says of a value's length; 0 if it does not. */
static inline unsigned block_size_code(size_t value_size) {
    bool fits = value_size > 0 && value_size <= 64 && (value_size & (value_size - 1)) == 0;
    return fits ? (unsigned)__builtin_ctzll(value_size) + 1 : 0;
}

/* `key_size`: of what is here, as in the two below. */
static inline size_t block_bytes(bool fixed_keys, size_t key_size, size_t value_size) {
    size_t bytes = 1 + key_size + value_size;
    if (!fixed_keys) bytes += varint_size(key_size);
    return block_size_code(value_size) != 0 ? bytes : bytes + varint_size(value_size);
}

static inline size_t block_bytes_of(const uint8_t *at, bool fixed_keys) {
    block b = block_read(at, fixed_keys);
    return (size_t)(b.value - at) + b.value_size;
}

/* Writes a new block, by words.h. */
void block_write(uint8_t *at, bool fixed_keys, pkv_bytes key, pkv_bytes value, pkv_type type);

static inline void block_set_type(uint8_t *at, pkv_type type) {
    byte_set(at, (uint8_t)((*at & ~BLOCK_TYPE) | (unsigned)type));
}

/* ---- For who looks at a block while it may change: nothing is computed from what is read where
 * it can be compared and branched on, since a branch is guessed and a number is waited for. */

#define BLOCK_PEEK_MAX 0x3fffu /* lengths of two bytes at most */

/* Moves *at behind the length of the key, and tells whether it is `size`, BLOCK_PEEK_MAX at most.
 */
static inline bool block_key_has(const uint8_t **at, size_t size) {
    if (size < 0x80) return byte_get((*at)++) == size;
    *at += 2;
    return byte_get(*at - 2) == (0x80 | (size & 0x7f)) && byte_get(*at - 1) == size >> 7;
}

/* The value's length by the head, or at *at, which is moved behind it; more than BLOCK_PEEK_MAX
 * if it is longer. */
static inline size_t block_value_peek(unsigned head, const uint8_t **at) {
    if (head >> BLOCK_SIZE_SHIFT != 0) return (size_t)1 << (head >> BLOCK_SIZE_SHIFT) >> 1;
    size_t low = byte_get((*at)++);
    return low < 0x80 ? low : (low & 0x7f) | (size_t)byte_get((*at)++) << 7;
}

#include "../os/visibility_end.h"
#endif
