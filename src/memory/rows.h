/* rows.h - the chunks that shards take one at a time: those of the same number side by side.
 *
 *     row 0   │ not used                                                  │
 *     row 1   │ chunk 1 of shard 0 │ chunk 1 of shard 1 │ ... of the last │
 *     row 2   │ chunk 2 of shard 0 │ chunk 2 of shard 1 │ ...             │
 *
 * Keys are spread over the shards by a hash, so these grow alike, and a row is soon full once it
 * is begun. So from some size on rows can lie in large pages of the system, which save the
 * processor most of its walks through the page tables, and only the last few of these are in part
 * unused; if each shard's chunks were by themselves, each would have such a page.
 *
 * Rows are committed from the first one on, by whoever is first to need one; but large pages,
 * which take the system a while to clear, ahead of that, as soon as somebody does so: whoever needs
 * a row before it is ready has it in small ones. Large pages are for rows that begin when
 * those before are nearly all taken: where entries are so large that shards grow unevenly, they
 * would hold more memory than is used.
 *
 * The struct lies behind the last row, so that its address is theirs.
 */
#ifndef PKV_ROWS_H
#define PKV_ROWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "../bytes/limits.h"
#include "../os/os.h"
#include "../os/visibility.h"

typedef struct rows {
    os_latch latch;             /* of whoever commits */
    _Atomic uint64_t committed; /* bytes */
    _Atomic uint64_t reached;   /* bytes: about how far rows are in use */
    _Atomic uint64_t taken;     /* chunks below a shard's top */
    _Atomic bool attended;      /* somebody commits ahead */
    uint64_t limit, large_from; /* bytes; multiples of OS_LARGE_PAGE */
    uint32_t shards;
} rows;

/* For `shards` shards, in zeroed memory that has `limit` bytes of reserved ones before it. */
void rows_create(rows *r, uint32_t shards, uint64_t limit);

/* Has the row of this number committed; any thread. False if there is no memory, or no such row. */
bool rows_reach(rows *r, uint32_t number);

/* Commits large pages ahead of those in use; a thread that nobody waits for. */
void rows_commit_ahead(rows *r);

static inline uint8_t *rows_first(const rows *r) {
    return (uint8_t *)(uintptr_t)r - r->limit;
}

/* A shard has taken chunks from fresh rows, or given back its last ones. */
static inline void rows_count(rows *r, int64_t chunks) {
    (void)atomic_fetch_add_explicit(&r->taken, (uint64_t)chunks, memory_order_relaxed);
}

#include "../os/visibility_end.h"
#endif
