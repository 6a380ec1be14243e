#include "block.h"
#include "words.h"

#define PIECE 512u

/* Bytes on their way into a block, which is written by granules. */
typedef struct stream {
    uint8_t *to;
    size_t filled;
    uint8_t bytes[PIECE];
} stream;

static void stream_flush(stream *s) {
    words_set(s->to, s->bytes, s->filled);
    s->to += s->filled;
    s->filled = 0;
}

static void stream_add(stream *s, pkv_bytes bytes) {
    const uint8_t *from = (const uint8_t *)bytes.data;
    for (size_t left = bytes.size; left > 0;) {
        size_t part = left < PIECE - s->filled ? left : PIECE - s->filled;
        memcpy(s->bytes + s->filled, from, part);
        s->filled += part;
        from += part;
        left -= part;
        if (s->filled == PIECE) stream_flush(s);
    }
}

static void stream_end(stream *s) {
    while (s->filled % 4 != 0) s->bytes[s->filled++] = 0;
    stream_flush(s);
}

void block_write(uint8_t *at, bool fixed_keys, pkv_bytes key, pkv_bytes value, pkv_type type) {
    stream s;
    s.to = at;
    uint8_t *head = s.bytes;
    unsigned code = block_size_code(value.size);
    *head++ = (uint8_t)((unsigned)type | code << BLOCK_SIZE_SHIFT);
    if (!fixed_keys) head = varint_write(head, key.size);
    if (code == 0) head = varint_write(head, value.size);
    s.filled = (size_t)(head - s.bytes);
    stream_add(&s, key);
    stream_add(&s, value);
    stream_end(&s);
}
