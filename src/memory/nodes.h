/* nodes.h - the overflow nodes of a table: blocks of NODE_BYTES, in chunks of their own.
 *
 * Together they are a hundredth of what a shard holds, so apart from the entries they stay in the
 * caches, and their pages in the processor's table of pages. Free ones are in a list, linked as in
 * a chain. The chunks are given back when no node is in use, but for the first.
 */
#ifndef PKV_NODES_H
#define PKV_NODES_H

#include <stdbool.h>
#include <stdint.h>
#include "../bytes/limits.h"
#include "../os/visibility.h"

typedef struct shard shard;

#define NODE_BYTES      32u
#define NODES_PER_CHUNK (CHUNK_BYTES / NODE_BYTES)

typedef struct nodes {
    uint32_t chunk; /* the latest; each one's info has the one before it as `previous`; 0: none */
    uint32_t free;  /* granule of the first free node; 0: none */
    uint32_t fresh; /* nodes of the latest chunk that have been in use */
    uint32_t made;  /* nodes of all chunks that have been in use; read at any time */
    uint32_t live;  /* nodes in use; likewise */
} nodes;

/* Where a node says which one is next in its chain or list. */
uint32_t *node_link(const shard *s, uint32_t node);
/* Makes sure that the next node can be had. */
bool nodes_reserve(shard *s);
/* The granule of an empty node; 0 if there is no memory. */
uint32_t nodes_take(shard *s);
/* A list of them, linked; 0 for none. */
void nodes_give(shard *s, uint32_t node);
/* Forgets all nodes. The space is cleared by others. */
void nodes_clear(nodes *n);

#include "../os/visibility_end.h"
#endif
