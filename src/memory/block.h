/* block.h - an entry as bytes in an arena.
 *
 *     variable keys    head │ key length, varint │ value length, varint │ key │ value
 *     fixed keys       head │ value length, varint │ value          (the key is in the index)
 *
 * The low 4 bits of the head are the value's pkv_type, below BLOCK_NODE; bit 4 is reserved for
 * "an expiry follows". So a block says its own size. Other heads: what an arena keeps in free
 * blocks, and the overflow nodes of the table.
 */
#ifndef PKV_BLOCK_H
#define PKV_BLOCK_H

#include <stdbool.h>
#include <string.h>
#include "../bytes/varint.h"
#include "../pkv.h"
#include "../os/visibility.h"

#define BLOCK_TYPE 0x0fu
#define BLOCK_NODE 0x0eu /* a node of the table's overflow chains: */
#define NODE_BYTES 32u
#define BLOCK_FREE 0x0fu /* in a free list; 3 bytes size in granules follow */
#define BLOCK_DEAD 0x1fu /* free, in no list; the same size follows */

typedef struct block {
    pkv_type type;
    const uint8_t *key; /* fixed keys: NULL */
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
    *b = (block){.type = (pkv_type)(*at & BLOCK_TYPE)};
    at++;
    if (!fixed_keys) at = block_length(at, &b->key_size);
    at = block_length(at, &b->value_size);
    return (size_t)(at - start);
}

static inline block block_read(const uint8_t *at, bool fixed_keys) {
    block b;
    at += block_head(at, fixed_keys, &b);
    b.key = fixed_keys ? NULL : at;
    b.value = at + b.key_size;
    return b;
}

static inline size_t block_bytes(bool fixed_keys, size_t key_size, size_t value_size) {
    size_t bytes = 1 + varint_size(value_size) + value_size;
    return fixed_keys ? bytes : bytes + varint_size(key_size) + key_size;
}

static inline size_t block_bytes_of(const uint8_t *at, bool fixed_keys) {
    block b = block_read(at, fixed_keys);
    return (size_t)(b.value - at) + b.value_size;
}

/* Writes a new block, by words.h. */
void block_write(uint8_t *at, bool fixed_keys, pkv_bytes key, pkv_bytes value, pkv_type type);

#include "../os/visibility_end.h"
#endif
