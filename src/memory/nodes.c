#include "nodes.h"
#include "shard.h"
#include "words.h"

uint32_t *node_link(const shard *s, uint32_t node) {
    return table_node_slots(s, node).link;
}

static bool add_chunk(shard *s) {
    nodes *n = &s->table.nodes;
    uint32_t chunk = space_take(&s->arena.space, 1);
    if (chunk == 0) return false;
    space_mark(&s->arena.space, chunk, 1, CHUNK_NODES);
    space_info(&s->arena.space, chunk)->previous = n->chunk;
    n->chunk = chunk;
    n->fresh = 0;
    return true;
}

bool nodes_reserve(shard *s) {
    const nodes *n = &s->table.nodes;
    if (n->free != 0 || (n->chunk != 0 && n->fresh < NODES_PER_CHUNK)) return true;
    return add_chunk(s);
}

uint32_t nodes_take(shard *s) {
    nodes *n = &s->table.nodes;
    if (!nodes_reserve(s)) return 0;
    uint32_t node = n->free;
    if (node != 0) {
        n->free = *node_link(s, node);
    } else {
        node = chunk_start(n->chunk) + n->fresh++ * (NODE_BYTES / GRANULE);
        word_set(&n->made, n->made + 1);
    }
    word_set(&n->live, n->live + 1);
    words_clear(shard_single_at(s, node), NODE_BYTES);
    return node;
}

/* Goes back to the first chunk, all of which is as good as never used. */
static void start_again(shard *s) {
    nodes *n = &s->table.nodes;
    for (uint32_t before; (before = space_info(&s->arena.space, n->chunk)->previous) != 0;) {
        space_give(&s->arena.space, n->chunk, 1);
        n->chunk = before;
    }
    n->free = n->fresh = 0;
    word_set(&n->made, 0);
}

void nodes_give(shard *s, uint32_t node) {
    nodes *n = &s->table.nodes;
    while (node != 0) {
        uint32_t next = *node_link(s, node);
        word_set(node_link(s, node), n->free);
        n->free = node;
        word_set(&n->live, n->live - 1);
        node = next;
    }
    if (n->live == 0 && n->made > NODES_PER_CHUNK) start_again(s);
}

void nodes_clear(nodes *n) {
    n->chunk = n->free = n->fresh = 0;
    word_set(&n->made, 0);
    word_set(&n->live, 0);
}
