#include "block.h"
#include "words.h"

void block_write(uint8_t *at, bool fixed_keys, pkv_bytes key, pkv_bytes value, pkv_type type) {
    uint8_t head[1 + 2 * VARINT_MAX], *end = head;
    unsigned code = block_size_code(value.size);
    *end++ = (uint8_t)((unsigned)type | code << BLOCK_SIZE_SHIFT);
    if (!fixed_keys) end = varint_write(end, key.size);
    if (code == 0) end = varint_write(end, value.size);
    size_t bytes = (size_t)(end - head);
    bytes_copy(at, head, bytes);
    bytes_copy(at + bytes, key.data, key.size);
    bytes_copy(at + bytes + key.size, value.data, value.size);
}
