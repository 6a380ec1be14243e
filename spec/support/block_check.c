/* block_check - blocks of every kind are read as they were written, and fixed keys that have most
 * of their bytes in common are told apart: their first byte is in no block, but behind a slot's
 * tag. */
#include <stdio.h>
#include "../../src/memory/block.h"
#include "memory_inspect.h"

#define LARGEST      300u
#define BLOCK_LENGTH (ARENA_BLOCK_MIN + 2 * LARGEST + 16)
#define KEYS         1000u

static unsigned passed, failed;

static void check(bool holds, const char *what, size_t number, size_t of) {
    *(holds ? &passed : &failed) += 1;
    if (!holds) printf("FAILED: %s (%zu, %zu)\n", what, number, of);
}

static bool is_head_of_another(uint8_t head) {
    return head == BLOCK_FREE || head == BLOCK_DEAD;
}

/* ---- Blocks */

/* A look from outside, which may find that it is another key's block. */
static bool is_seen(const uint8_t *start, bool fixed_keys, const block *head, size_t head_bytes) {
    const uint8_t *at = start + 1, *shorter = at, *longer = at;
    if (!fixed_keys) {
        if (!block_key_has(&at, head->key_size)) return false;
        if (block_key_has(&longer, head->key_size + 1)) return false;
        if (head->key_size > 0 && block_key_has(&shorter, head->key_size - 1)) return false;
    }
    return block_value_peek(*start, &at) == head->value_size && at == start + head_bytes;
}

/* Lengths of two bytes and more, which no block here has. */
static void long_values_are_told(void) {
    uint32_t words[4];
    for (size_t size = 128; size < 1u << 22; size += size / 2) {
        uint8_t *start = (uint8_t *)words;
        const uint8_t *at = start;
        varint_write(start, size);
        size_t seen = block_value_peek(0, &at);
        check(size <= BLOCK_PEEK_MAX ? seen == size : seen > BLOCK_PEEK_MAX, "a length is told",
              size, seen);
    }
}

static bool comes_back(bool fixed_keys, pkv_bytes key, pkv_bytes value, pkv_type type) {
    uint32_t words[BLOCK_LENGTH / 4];
    uint8_t *at = (uint8_t *)words;
    block_write(at, fixed_keys, key, value, type);
    block b = block_read(at, fixed_keys), head;
    size_t bytes = block_bytes(fixed_keys, key.size, value.size);
    size_t head_bytes = block_head(at, fixed_keys, &head);
    return b.type == type && b.key_size == key.size && b.value_size == value.size &&
           memcmp(b.key, key.data, key.size) == 0 && memcmp(b.value, value.data, value.size) == 0 &&
           !is_head_of_another(*at) && is_seen(at, fixed_keys, &head, head_bytes) &&
           block_bytes_of(at, fixed_keys) == bytes && head_bytes <= ARENA_BLOCK_MIN &&
           head_bytes + key.size + value.size == bytes;
}

static void blocks_come_back(bool fixed_keys) {
    uint8_t data[2 * LARGEST];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 167 + 13);
    for (size_t size = 0; size <= LARGEST; size++) {
        size_t wrong = 0, first = fixed_keys ? BLOCK_KEY_FIXED : 0;
        size_t last = fixed_keys ? BLOCK_KEY_FIXED : LARGEST;
        for (size_t key_size = first; key_size <= last; key_size++) {
            pkv_type type = (pkv_type)((size + key_size) % (PKV_TABLE + 1));
            pkv_bytes key = {data + LARGEST, key_size}, value = {data, size};
            wrong += !comes_back(fixed_keys, key, value, type);
        }
        check(wrong == 0, "a block comes back", size, wrong);
    }
}

/* Granules are what counts. */
static void small_entries_have_no_byte_too_many(void) {
    check(block_bytes(true, BLOCK_KEY_FIXED, 8) == 16, "8 + 8", 0, 0);
    check(block_bytes(true, BLOCK_KEY_FIXED, 32) == 40, "8 + 32", 0, 0);
    check(block_bytes(true, BLOCK_KEY_FIXED, 0) == 9, "8 + 0", 0, 0);
    check(block_bytes(false, 16, 100) == 119, "16 + 100", 0, 0);
}

/* ---- Fixed keys */

/* The number-th of keys that differ in the bytes from `byte` on. */
static uint64_t key_of(unsigned byte, uint64_t number) {
    return number << (8 * byte) | (byte > 0 ? 0x2a : 0);
}

static bool set(memory *m, uint64_t number) {
    memory_key key = memory_key_of(m, (pkv_bytes){&number, sizeof number});
    memory_change change;
    memory_begin(m, key.shard);
    pkv_bytes value = {&number, number % (sizeof number + 1)};
    bool done = memory_prepare_set(m, &key, value, PKV_INTEGER, &change) == PKV_OK;
    if (done) memory_apply(m, &change);
    memory_end(m, key.shard);
    return done;
}

static bool is_there(memory *m, uint64_t number) {
    memory_key key = memory_key_of(m, (pkv_bytes){&number, sizeof number});
    uint64_t value = 0;
    size_t size;
    return memory_get(m, &key, &value, sizeof value, &size, NULL) == PKV_OK &&
           size == number % (sizeof number + 1) && memcmp(&value, &number, size) == 0;
}

/* How many keys a walk gives; each has to be one that was set, of which the value tells. */
static size_t walked(memory *m) {
    walk_step step = {0};
    uint64_t position = 0;
    size_t count = 0;
    while (memory_walk(m, 0, &position, &step) == PKV_OK) {
        for (size_t i = 0; i < step.count; i++) {
            const walk_entry *e = &step.entries[i];
            uint64_t number;
            if (e->key_size != sizeof number) continue;
            memcpy(&number, step.bytes + e->key, sizeof number);
            count += e->value_size == number % (sizeof number + 1) &&
                     memcmp(step.bytes + e->value, &number, e->value_size) == 0;
        }
    }
    walk_step_release(&step);
    return count;
}

static void keys_are_told_apart(unsigned byte, uint64_t seed) {
    memory m;
    if (memory_create(&m, 1, true, seed) != PKV_OK) {
        check(false, "a memory", byte, 0);
        return;
    }
    size_t limit = byte == 7 ? 256 : KEYS, wrong = 0, found = 0;
    for (uint64_t i = 0; i < limit; i += 2) wrong += !set(&m, key_of(byte, i));
    for (uint64_t i = 0; i < limit; i += 2) wrong += !is_there(&m, key_of(byte, i));
    for (uint64_t i = 1; i < limit; i += 2) found += is_there(&m, key_of(byte, i));
    check(wrong == 0, "keys that were set are there", byte, wrong);
    check(found == 0, "keys that were not set are not there", byte, found);
    check(walked(&m) == limit / 2, "a walk gives every key", byte, walked(&m));
    const char *flaw = memory_inspect(&m, 0);
    if (flaw != NULL) printf("%s\n", flaw);
    check(flaw == NULL, "the memory is sound", byte, 0);
    memory_destroy(&m, true);
}

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : os_random();
    printf("seed %llu\n", (unsigned long long)seed);
    blocks_come_back(false);
    blocks_come_back(true);
    small_entries_have_no_byte_too_many();
    long_values_are_told();
    for (unsigned byte = 0; byte < 8; byte++) keys_are_told_apart(byte, seed);
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
