#include "table.h"
#include <string.h>
#include "../bytes/hash.h"
#include "block.h"
#include "find.h"
#include "shard.h"
#include "words.h"

/* Entries per bucket beyond which a bucket is split. Index bytes per entry, and lines and nodes
 * touched to find one, over a doubling of the table:
 *     10: 7.4, 1.12     11: 7.1, 1.16     12: 6.9, 1.21     14: 6.6, 1.34
 * where full lines and nothing else would be 5.3. Nodes are few and dense, so a node costs less
 * than a line. */
#define LOAD 12u
/* Two buckets are merged once there are no more entries than 3/4 of what one bucket less holds. */
#define MERGE_LOAD(full) ((full) / 4 * 3)
/* Nodes that joining a full line to a chain can ask for. */
#define MERGE_NODES 3u

/* Slots of a chain that are hashed before a split takes the lock. Longer chains are unheard of,
 * unless splits had to be skipped for want of memory. */
#define CHOSEN_MAX 256u

/* ---- Buckets, lines, nodes */

unsigned table_bucket_bits(uint32_t buckets, uint32_t bucket) {
    uint32_t half = half_of(buckets);
    unsigned k = (unsigned)__builtin_ctz(half);
    return bucket >= half || bucket + half < buckets ? k + 1 : k;
}

slots table_line_at(void *line) {
    uint8_t *at = line;
    uint32_t *link = (uint32_t *)(void *)(at + LINE_SLOTS);
    return (slots){.tags = at, .offsets = link + 1, .link = link, .capacity = LINE_SLOTS};
}

slots table_node_at(void *node) {
    uint8_t *at = node;
    uint32_t *link = (uint32_t *)(void *)(at + 8);
    return (slots){.tags = at, .offsets = link + 1, .link = link, .capacity = NODE_SLOTS};
}

slots table_node_slots(const shard *s, uint32_t node) {
    return table_node_at(shard_single_at(s, node));
}

static void note_chunk(space *sp, uint32_t number, uint32_t chunk) {
    uint64_t distance = space_chunk_distance(sp, chunk);
    __atomic_store_n(&space_directory(sp)[number], distance, __ATOMIC_RELAXED);
}

static void set_buckets(table *t, uint32_t buckets) {
    uint64_t extent = (uint64_t)table_mask(buckets) << 32 | buckets;
    __atomic_store_n(&t->extent, extent, __ATOMIC_RELAXED);
}

bool table_create(shard *s) {
    space *sp = &s->arena.space;
    uint32_t chunk = space_take(sp, 1);
    if (chunk == 0) return false;
    if (!space_grow_directory(sp, 1)) {
        space_give(sp, chunk, 1);
        return false;
    }
    space_mark(sp, chunk, 1, CHUNK_INDEX);
    note_chunk(sp, 0, chunk);
    s->table.spare = 0;
    nodes_clear(&s->table.nodes);
    set_buckets(&s->table, 1);
    words_clear(table_line(s, 0), LINE_BYTES);
    return true;
}

/* ---- Slots */

slot table_slot(const slots *at, unsigned index) {
    return (slot){.offset = at->offsets[index], .tag = at->tags[index]};
}

static void slot_write(slots *at, unsigned index, const slot *entry) {
    word_set(&at->offsets[index], entry->offset);
    __atomic_store_n(&at->tags[index], entry->tag, __ATOMIC_RELAXED);
}

uint64_t table_slot_hash(const shard *s, const slot *entry) {
    block b = block_read(shard_at(s, entry->offset), s->fixed_keys);
    if (!s->fixed_keys) return hash_with(&s->secret, b.key, b.key_size);
    uint8_t key[1 + BLOCK_KEY_FIXED] = {table_first_byte(s, entry->tag, b.key)};
    memcpy(key + 1, b.key, BLOCK_KEY_FIXED);
    return hash_with(&s->secret, key, sizeof key);
}

/* Number of slots in use. */
static unsigned slots_filled(const slots *at) {
    unsigned filled = 0;
    if (at->capacity == LINE_SLOTS) {
        for (unsigned i = 0; i < LINE_SLOTS; i++) filled += at->offsets[i] != 0;
    } else {
        for (unsigned i = 0; i < NODE_SLOTS; i++) filled += at->offsets[i] != 0;
    }
    return filled;
}

/* ---- Finding */

static bool key_equals(const shard *s, uint32_t offset, const table_key *key) {
    const uint8_t *entry = shard_at(s, offset);
    prefetch_block(entry, 1); /* to its end: if it is replaced, what comes behind it is looked at */
    block b = block_read(entry, s->fixed_keys);
    return b.key_size == key->size && bytes_equal(b.key, key->data, key->size);
}

bool table_find(const shard *s, const table_key *key, place *at) {
    *at = (place){.line = table_line_of(s, key->hash)};
    glance here = glance_line(at->line, key->tag);
    for (;;) {
        for (; here.found != 0; here.found &= here.found - 1) {
            at->index = glance_slot(&here);
            at->offset = here.offsets[at->index];
            if (at->offset == 0) break; /* and so are those behind it */
            if (key_equals(s, at->offset, key)) return true;
        }
        at->offset = 0;
        if (glance_next(&here) == 0) return false;
        at->node = glance_next(&here);
        here = glance_node(s, at->node, key->tag);
    }
}

/* ---- Changing a chain */

/* What the place is in. */
static slots slots_of(const shard *s, const place *at) {
    return at->node != 0 ? table_node_slots(s, at->node) : table_line_at(at->line);
}

void table_prepare_insert(shard *s, const place *at) {
    slots last = slots_of(s, at);
    if (last.offsets[last.capacity - 1] != 0) s->table.spare = nodes_take(s);
}

void table_insert(shard *s, const place *at, const slot *entry) {
    slots last = slots_of(s, at);
    unsigned index = slots_filled(&last);
    if (index == last.capacity) {
        word_set(last.link, s->table.spare);
        last = table_node_slots(s, s->table.spare);
        s->table.spare = 0;
        index = 0;
    }
    slot_write(&last, index, entry);
}

void table_replace(shard *s, const place *at, uint32_t offset) {
    word_set(&slots_of(s, at).offsets[at->index], offset);
}

/* The chain's last slot fills the hole. */
void table_remove(shard *s, const place *at) {
    slots hole = slots_of(s, at);

    uint32_t *link = NULL;
    slots last = table_line_at(at->line);
    while (*last.link != 0) {
        link = last.link;
        last = table_node_slots(s, *link);
    }
    unsigned end = slots_filled(&last) - 1;
    slot moved = table_slot(&last, end);
    slot_write(&hole, at->index, &moved);
    slot_write(&last, end, &(slot){0});
    if (end == 0 && link != NULL) {
        uint32_t node = *link;
        word_set(link, 0);
        nodes_give(s, node);
    }
}

/* ---- Splitting and merging: chains are poured out, slot by slot, into one or two new ones. */

typedef struct pouring {
    shard *s;
    slots ends[2]; /* where each new chain ends */
    unsigned filled[2];
    uint64_t bit;                     /* of the hash: chooses the chain; 0: the first */
    uint32_t nodes;                   /* emptied, to be used again; linked */
    unsigned count;                   /* of slots poured */
    uint64_t chosen[CHOSEN_MAX / 64]; /* the bit of each slot of the chain, found beforehand */
} pouring;

static bool belongs_to_second(const pouring *p, const slot *entry) {
    if (p->bit == 0) return false;
    if (p->count < CHOSEN_MAX) return p->chosen[p->count / 64] >> p->count % 64 & 1;
    return (table_slot_hash(p->s, entry) & p->bit) != 0;
}

static void pour_begin(pouring *p, unsigned chain, uint8_t *line) {
    p->ends[chain] = table_line_at(line);
    p->filled[chain] = 0;
}

static void pour_slot(pouring *p, const slot *entry) {
    unsigned chain = belongs_to_second(p, entry);
    p->count++;
    slots *end = &p->ends[chain];
    if (p->filled[chain] == end->capacity) {
        uint32_t node = p->nodes;
        p->nodes = *node_link(p->s, node);
        word_set(node_link(p->s, node), 0);
        word_set(end->link, node);
        *end = table_node_slots(p->s, node);
        p->filled[chain] = 0;
    }
    slot_write(end, p->filled[chain]++, entry);
}

/* Empties a line or node first, since it may be where its slots are poured to. */
static void pour_slots(pouring *p, slots *from, uint32_t node) {
    slot held[LINE_SLOTS];
    unsigned count = slots_filled(from);
    for (unsigned i = 0; i < count; i++) {
        held[i] = table_slot(from, i);
        slot_write(from, i, &(slot){0});
    }
    word_set(from->link, node != 0 ? p->nodes : 0);
    if (node != 0) {
        p->nodes = node;
    }
    for (unsigned i = 0; i < count; i++) pour_slot(p, &held[i]);
}

/* Never short of a node: what has been poured fills at most as many as have been emptied. (If both
 * new chains have nodes, they hold two full lines, the old one held but one: that makes up for the
 * slots that the last two nodes leave empty.) */
static void pour_chain(pouring *p, uint8_t *line) {
    slots from = table_line_at(line);
    uint32_t next = *from.link;
    pour_slots(p, &from, 0);
    while (next != 0) {
        uint32_t node = next;
        from = table_node_slots(p->s, node);
        next = *from.link;
        pour_slots(p, &from, node);
    }
}

/* ---- What a split will read is asked for by the inserts before it, a little by each: first the
 * line, then a node behind it, then its blocks, so that no insert takes long. (Where there are no
 * inserts before it, since a shard is loaded, all are asked for at once.) */
#define ASKED_AT_ONCE 2u
#define ASKED_SLOTS   (LINE_SLOTS + NODE_SLOTS)
#define SPLIT_AHEAD   (2 + (ASKED_SLOTS + ASKED_AT_ONCE - 1) / ASKED_AT_ONCE)
/* From a block's start to the end of a short key. */
#define KEY_AHEAD 24u

/* The offset in a slot of a line or the first node behind it; 0 where there is none. */
static uint32_t offset_in(const shard *s, const slots *line, unsigned index) {
    if (index < LINE_SLOTS) return line->offsets[index];
    if (index >= ASKED_SLOTS || *line->link == 0) return 0;
    return table_node_slots(s, *line->link).offsets[index - LINE_SLOTS];
}

static void prefetch_keys(const shard *s, const slots *line, unsigned first, unsigned count) {
    for (unsigned i = first; i < first + count; i++) {
        uint32_t offset = offset_in(s, line, i);
        if (offset == 0) return;
        const uint8_t *entry = shard_single_at(s, offset);
        prefetch_to_read(entry);
        prefetch_to_read(entry + KEY_AHEAD);
    }
}

/* The line of the bucket that will be split next. */
static slots next_source(const shard *s) {
    uint32_t bucket = table_buckets(&s->table);
    return table_line_at(table_line(s, bucket - half_of(bucket)));
}

/* `step`: from 0 to before SPLIT_AHEAD. */
static void prefetch_split(const shard *s, unsigned step) {
    slots line = next_source(s);
    if (step == 0) {
        prefetch_to_read(line.tags);
    } else if (step == 1) {
        if (*line.link != 0) prefetch_to_read(shard_single_at(s, *line.link));
    } else {
        prefetch_keys(s, &line, (step - 2) * ASKED_AT_ONCE, ASKED_AT_ONCE);
    }
}

/* Hashes the keys of a chain, while readers still read. */
static void choose(pouring *p, uint8_t *line) {
    unsigned count = 0;
    slots at = table_line_at(line);
    for (;;) {
        for (unsigned i = 0; i < at.capacity && at.offsets[i] != 0; i++, count++) {
            if (count == CHOSEN_MAX) return;
            slot entry = table_slot(&at, i);
            uint64_t second = (table_slot_hash(p->s, &entry) & p->bit) != 0;
            p->chosen[count / 64] |= second << count % 64;
        }
        if (*at.link == 0) return;
        at = table_node_slots(p->s, *at.link);
    }
}

/* The line of a bucket that is about to be; NULL if there is no memory. */
static uint8_t *line_take(shard *s, uint32_t bucket) {
    space *sp = &s->arena.space;
    if (bucket % LINES_PER_CHUNK == 0) {
        uint32_t number = bucket / LINES_PER_CHUNK;
        if (!space_grow_directory(sp, number + 1)) return NULL;
        uint32_t chunk = space_take(sp, 1);
        if (chunk == 0) return NULL;
        space_mark(sp, chunk, 1, CHUNK_INDEX);
        note_chunk(sp, number, chunk);
    }
    uint8_t *line = table_line(s, bucket);
    words_clear(line, LINE_BYTES);
    return line;
}

static void split(shard *s) {
    table *t = &s->table;
    uint32_t bucket = table_buckets(t);
    if (bucket == TABLE_BUCKETS_MAX) return;
    uint8_t *source = table_line(s, bucket - half_of(bucket));
    uint8_t *line = line_take(s, bucket);
    if (line == NULL) return;

    pouring p = {.s = s, .bit = half_of(bucket)};
    choose(&p, source);

    bool locked = seqlock_begin_write(&s->lock);
    pour_begin(&p, 0, source);
    pour_begin(&p, 1, line);
    pour_chain(&p, source);
    set_buckets(t, bucket + 1);
    seqlock_end_write(&s->lock, locked);
    nodes_give(s, p.nodes);
}

static bool take_merge_nodes(shard *s, uint32_t *taken) {
    *taken = 0;
    for (unsigned i = 0; i < MERGE_NODES; i++) {
        uint32_t node = nodes_take(s);
        if (node == 0) {
            nodes_give(s, *taken);
            return false;
        }
        word_set(node_link(s, node), *taken);
        *taken = node;
    }
    return true;
}

static void merge(shard *s) {
    table *t = &s->table;
    uint32_t bucket = table_buckets(t) - 1;
    uint32_t into = bucket - half_of(bucket);
    pouring p = {.s = s};
    if (!take_merge_nodes(s, &p.nodes)) return;

    bool locked = seqlock_begin_write(&s->lock);
    pour_begin(&p, 0, table_line(s, into));
    pour_chain(&p, table_line(s, into));
    pour_chain(&p, table_line(s, bucket));
    set_buckets(t, bucket);
    seqlock_end_write(&s->lock, locked);

    nodes_give(s, p.nodes);
    if (bucket % LINES_PER_CHUNK == 0) {
        space *sp = &s->arena.space;
        space_give(sp, space_chunk_of(sp, space_directory(sp)[bucket / LINES_PER_CHUNK]), 1);
    }
}

/* Entries that so many buckets hold before one is split. */
static uint64_t entries_for(uint32_t buckets) {
    return (uint64_t)buckets * LOAD;
}

void table_balance(shard *s) {
    uint64_t entries = counter_get(&s->entries);
    uint32_t buckets = table_buckets(&s->table);
    uint64_t full = entries_for(buckets);
    if (entries > full) {
        split(s);
    } else if (full - entries < SPLIT_AHEAD) {
        prefetch_split(s, (unsigned)(SPLIT_AHEAD - 1 - (full - entries)));
    } else if (buckets > 1 && entries <= MERGE_LOAD(entries_for(buckets - 1))) {
        merge(s);
    }
}

bool table_is_full(const shard *s) {
    return counter_get(&s->entries) > entries_for(table_buckets(&s->table));
}

void table_grow(shard *s, uint64_t entries) {
    uint32_t before;
    do {
        before = table_buckets(&s->table);
        slots line = next_source(s);
        prefetch_keys(s, &line, 0, ASKED_SLOTS);
        split(s);
    } while (table_buckets(&s->table) > before && entries > entries_for(table_buckets(&s->table)));
}

void table_trim(shard *s) {
    uint64_t entries = counter_get(&s->entries);
    uint32_t before = 0;
    while (table_buckets(&s->table) != before && table_buckets(&s->table) > 1 &&
           entries <= entries_for(table_buckets(&s->table) - 1)) {
        before = table_buckets(&s->table);
        merge(s);
    }
}
