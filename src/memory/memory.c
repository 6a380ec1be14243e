#include "memory.h"
#include <string.h>
#include "../bytes/limits.h"
#include "../bytes/planted.h"
#include "../os/error.h"
#include "block.h"
#include "find.h"
#include "shard.h"
#include "words.h"

/* In a block of more bytes no value is written over: readers would have to wait too long. */
#define OVERWRITE_MAX (ARENA_LARGE < 1024u ? ARENA_LARGE : 1024u)

/* ---- Life */

/* In a span that is all reserved. */
static bool shard_create(const memory *m, uint32_t index) {
    uint8_t *base = region_span(&m->region, index);
    size_t page = os_page_size();
    if (os_commit(base, (sizeof(shard) + page - 1) / page * page) != 0) return false;

    shard *s = (shard *)(void *)base;
    s->fixed_keys = s->arena.fixed_keys = m->fixed_keys;
    s->secret = m->secret;
    space_create(&s->arena.space, sizeof(shard), m->region.zone_bytes, m->region.rows, index);
    return table_create(s) && seqlock_init(&s->lock) == 0;
}

pkv_status memory_create(memory *m, uint32_t shard_count, bool fixed_keys, uint64_t seed) {
    *m = (memory){.fixed_keys = fixed_keys, .secret = hash_secret_of(seed)};
    pkv_status status = region_create(&m->region, shard_count, sizeof(shard));
    if (status != PKV_OK) return status;
    m->shard_shift = 63;
    while ((uint32_t)1 << (63 - m->shard_shift) < shard_count) m->shard_shift--;

    /* shard_count counts those that exist, so that a failure destroys just these */
    while (m->shard_count < shard_count) {
        if (!shard_create(m, m->shard_count)) {
            memory_destroy(m, true);
            return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for %u memory shards",
                        (unsigned)shard_count);
        }
        m->shard_count++;
    }
    return PKV_OK;
}

void memory_destroy(memory *m, bool locks) {
    for (uint32_t i = 0; locks && i < m->shard_count; i++) seqlock_destroy(&shard_of(m, i)->lock);
    region_destroy(&m->region);
    *m = (memory){0};
}

void memory_clear(memory *m, uint32_t index) {
    shard *s = shard_of(m, index);
    os_latch_take(&s->writer);
    bool locked = seqlock_begin_write(&s->lock);
    arena_clear(&s->arena);
    space_clear(&s->arena.space);
    s->upkeep = (upkeep){0};
    counter_set(&s->entries, 0);
    counter_set(&s->key_bytes, 0);
    counter_set(&s->value_bytes, 0);
    (void)table_create(s); /* needs one chunk, and one was committed at the start */
    seqlock_end_write(&s->lock, locked);
    os_latch_release(&s->writer);
}

void memory_commit_ahead(memory *m) {
    rows_commit_ahead(m->region.rows);
}

/* ---- Changing */

void memory_begin(memory *m, uint32_t index) {
    os_latch_take(&shard_of(m, index)->writer);
}

void memory_end(memory *m, uint32_t index) {
    os_latch_release(&shard_of(m, index)->writer);
}

static pkv_status too_large(const char *what, size_t size, size_t most) {
    return fail(PKV_TOO_LARGE, NULL, NO_OFFSET, 0, "a %s of %zu bytes: %zu bytes at most", what,
                size, most);
}

static inline void write_block(shard *s, const table_key *key, const memory_change *change) {
    pkv_bytes stored = {key->data, key->size};
    block_write(shard_at(s, change->block), s->fixed_keys, stored, change->value, change->type);
}

/* A new entry's block is taken and written before the wait for the index. Whether the entry is new
 * is guessed: it is as the last one was. */
static bool prepare_block(shard *s, const table_key *key, memory_change *change) {
    if (s->overwriting && change->bytes <= OVERWRITE_MAX) {
        change->block = arena_find(&s->arena, change->bytes);
        return change->block != 0;
    }
    change->block = arena_take(&s->arena, change->bytes);
    change->taken = change->block != 0;
    if (change->taken) write_block(s, key, change);
    return change->taken;
}

pkv_status memory_prepare_set(memory *m, const memory_key *key, pkv_bytes value, pkv_type type,
                              memory_change *change) {
    if (key->bytes.size > PKV_KEY_MAX) return too_large("key", key->bytes.size, PKV_KEY_MAX);
    if (value.size > PKV_VALUE_MAX) return too_large("value", value.size, PKV_VALUE_MAX);

    shard *s = shard_of(m, key->shard);
    table_key wanted = table_key_of(s, key);
    size_t bytes = block_bytes(s->fixed_keys, wanted.size, value.size);
    *change = (memory_change){
        .shard = key->shard, .key = key, .value = value, .type = type, .bytes = bytes};
    if (prepare_block(s, &wanted, change) && nodes_reserve(s)) return PKV_OK;
    memory_abandon(m, change);
    return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for an entry of %zu bytes", bytes);
}

static void note_place(memory_change *change, const place *at) {
    change->line = at->line;
    change->node = at->node;
    change->slot = at->index;
    change->old = at->offset;
}

pkv_status memory_prepare_unset(memory *m, const memory_key *key, memory_change *change) {
    shard *s = shard_of(m, key->shard);
    table_key wanted = table_key_of(s, key);
    place at;
    if (!table_find(s, &wanted, &at)) return PKV_NOT_FOUND;
    *change = (memory_change){.shard = key->shard};
    note_place(change, &at);
    return PKV_OK;
}

void memory_abandon(memory *m, memory_change *change) {
    shard *s = shard_of(m, change->shard);
    if (change->taken && !PLANTED(leak_abandoned)) {
        arena_give(&s->arena, change->block, change->bytes);
    }
}

/* Counts an entry that has gone, and gives its block back. */
static void settle_old(shard *s, uint32_t offset) {
    const uint8_t *at = shard_at(s, offset);
    block b = block_read(at, s->fixed_keys);
    counter_subtract(&s->entries, 1);
    counter_subtract(&s->key_bytes, s->fixed_keys ? 8 : b.key_size);
    counter_subtract(&s->value_bytes, b.value_size);
    arena_give(&s->arena, offset, (size_t)(b.value - at) + b.value_size);
}

/* Where the old entry has a value of the same size; NULL where it has not. */
static uint8_t *same_size(const shard *s, const memory_change *change) {
    if (change->old == 0 || change->bytes > OVERWRITE_MAX) return NULL;
    uint8_t *at = shard_at(s, change->old);
    block b = block_read(at, s->fixed_keys);
    return b.value_size == change->value.size ? at + (b.value - at) : NULL;
}

static void choose_block(shard *s, const table_key *key, memory_change *change) {
    uint8_t *over = same_size(s, change);
    s->overwriting = over != NULL;
    if (change->taken) return;
    change->over = over;
    if (over != NULL) return;
    arena_occupy(&s->arena, change->block, change->bytes);
    change->taken = true;
    write_block(s, key, change);
}

static void overwrite(shard *s, const memory_change *change) {
    block_set_type(shard_at(s, change->old), change->type);
    bytes_copy(change->over, change->value.data, change->value.size);
}

void shard_locate(shard *s, memory_change *change) {
    if (change->key == NULL) return; /* to unset: that is known */
    table_key wanted = table_key_of(s, change->key);
    place at;
    if (!table_find(s, &wanted, &at)) table_prepare_insert(s, &at);
    note_place(change, &at);
    change->tag = wanted.tag;
    choose_block(s, &wanted, change);
}

void shard_publish(shard *s, const memory_change *change) {
    place at = {change->line, change->node, change->slot, change->old};
    if (change->key == NULL) {
        table_remove(s, &at);
    } else if (change->over != NULL) {
        overwrite(s, change);
    } else if (change->old != 0) {
        table_replace(s, &at, change->block);
    } else {
        slot entry = {.offset = change->block, .tag = change->tag};
        table_insert(s, &at, &entry);
    }
}

void shard_settle(shard *s, const memory_change *change) {
    if (change->over != NULL) return;
    if (change->key != NULL) {
        counter_add(&s->entries, 1);
        counter_add(&s->key_bytes, change->key->bytes.size);
        counter_add(&s->value_bytes, change->value.size);
    }
    if (change->old != 0) settle_old(s, change->old);
}

void memory_apply(memory *m, memory_change *change) {
    shard *s = shard_of(m, change->shard);
    shard_locate(s, change);
    if (PLANTED(overwrite_too_early) && change->over != NULL) overwrite(s, change);
    bool locked = seqlock_begin_write(&s->lock);
    shard_publish(s, change);
    seqlock_end_write(&s->lock, locked);
    shard_settle(s, change);
    bool replaced = change->key != NULL && change->old != 0;
    if (!replaced) table_balance(s);
    upkeep_step(s);
}

/* ---- Counting */

static uint64_t pages(uint64_t bytes) {
    return (bytes + PAGE_COUNTED - 1) / PAGE_COUNTED * PAGE_COUNTED;
}

void memory_count(memory *m, uint32_t index, memory_stats *stats) {
    shard *s = shard_of(m, index);
    uint64_t buckets = table_buckets(&s->table);
    uint64_t nodes_made = word_get(&s->table.nodes.made);
    uint64_t nodes_live = word_get(&s->table.nodes.live);
    uint64_t chunk_bytes = counter_get(&s->arena.used_bytes);
    uint64_t live = counter_get(&s->arena.live_bytes);
    uint64_t head = pages(sizeof(shard) + buckets / LINES_PER_CHUNK * sizeof(uint64_t)) +
                    pages(chunk_bytes / CHUNK_BYTES * sizeof(chunk_info) + 1);
    stats->entries += counter_get(&s->entries);
    stats->key_bytes += counter_get(&s->key_bytes);
    stats->value_bytes += counter_get(&s->value_bytes);
    stats->used_bytes += head + pages(buckets * LINE_BYTES) + pages(nodes_made * NODE_BYTES) +
                         pages(chunk_bytes) + counter_get(&s->arena.large_bytes);
    stats->free_bytes += chunk_bytes > live ? chunk_bytes - live : 0;
    if (nodes_made > nodes_live) stats->free_bytes += (nodes_made - nodes_live) * NODE_BYTES;
}
