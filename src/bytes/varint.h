/* varint.h - protobuf's base-128 variable-length integers and little-endian words. */
#ifndef PKV_VARINT_H
#define PKV_VARINT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VARINT_MAX 10

static inline size_t varint_size(uint64_t value) {
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

/* Writes `value` and returns the byte after it. */
static inline uint8_t *varint_write(uint8_t *out, uint64_t value) {
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/* Reads from [at, end) and returns the byte after the varint; NULL where it is cut short, or does
 * not fit 64 bits. */
static inline const uint8_t *varint_read(const uint8_t *at, const uint8_t *end, uint64_t *value) {
    uint64_t result = 0;
    for (unsigned shift = 0;; shift += 7) {
        if (at == end) return NULL;
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1) return NULL;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return at;
        }
    }
}

static inline uint32_t load_u32(const void *at) {
    const uint8_t *b = (const uint8_t *)at;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline void store_u32(void *at, uint32_t value) {
    uint8_t *b = (uint8_t *)at;
    b[0] = (uint8_t)value;
    b[1] = (uint8_t)(value >> 8);
    b[2] = (uint8_t)(value >> 16);
    b[3] = (uint8_t)(value >> 24);
}

static inline uint64_t load_u64(const void *at) {
    return load_u32(at) | (uint64_t)load_u32((const uint8_t *)at + 4) << 32;
}

static inline void store_u64(void *at, uint64_t value) {
    store_u32(at, (uint32_t)value);
    store_u32((uint8_t *)at + 4, (uint32_t)(value >> 32));
}

#endif
