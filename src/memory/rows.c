#include "rows.h"

/* Rows are committed in steps that grow with them, from a row up to this. */
#define STEP_MAX ((uint64_t)16 << 20)
/* More is committed ahead when less than that is left, */
#define AHEAD (2 * OS_LARGE_PAGE)
/* and in a large page where so much is left: a machine that has given its free pages back to a host
 * takes 5 ms to have one again, and those who grow the rows are not to catch up meanwhile. */
#define NEAR OS_LARGE_PAGE
/* Large pages are used while at most this part of the rows in use is not taken, and no more bytes
 * than that. */
#define OPEN_PART 32u
#define OPEN_MAX  ((uint64_t)4 << 20)

static uint64_t round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

static uint64_t row_bytes(const rows *r) {
    return (uint64_t)r->shards * CHUNK_BYTES;
}

void rows_create(rows *r, uint32_t shards, uint64_t limit) {
    r->shards = shards;
    r->limit = limit;
    r->large_from = LARGE_PAGES_FROM;
    atomic_store_explicit(&r->committed, 0, memory_order_relaxed);
    atomic_store_explicit(&r->reached, 0, memory_order_relaxed);
    atomic_store_explicit(&r->taken, shards, memory_order_relaxed); /* row 0 */
}

/* Whether the next step is to be a large page. */
static bool wants_large_page(const rows *r, uint64_t committed) {
    if (committed < r->large_from || row_bytes(r) > OS_LARGE_PAGE) return false;
    if (committed % OS_LARGE_PAGE != 0 || r->limit - committed < OS_LARGE_PAGE) return false;
    uint64_t reached = atomic_load_explicit(&r->reached, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed) * CHUNK_BYTES;
    uint64_t open = reached / OPEN_PART < OPEN_MAX ? reached / OPEN_PART : OPEN_MAX;
    return reached - open <= taken;
}

/* Where the next step ends: not before `end`, which cannot be done without. */
static uint64_t step_end(const rows *r, uint64_t committed, uint64_t end) {
    uint64_t to = committed + (committed / 2 < STEP_MAX ? committed / 2 : STEP_MAX);
    if (committed >= r->large_from) {
        to = round_up(end, OS_LARGE_PAGE);
    } else if (to > r->large_from) {
        to = r->large_from;
    }
    if (to < end) to = end;
    to = round_up(to, os_page_size());
    return to < r->limit ? to : r->limit;
}

/* Commits a step, if it may as a large page; where there is no memory for it, no more than up to
 * `end`. */
static bool commit(rows *r, uint64_t end, bool large) {
    uint64_t committed = atomic_load_explicit(&r->committed, memory_order_relaxed);
    uint8_t *at = rows_first(r) + committed;
    uint64_t to = step_end(r, committed, end), least = round_up(end, os_page_size());
    bool done;
    if (large && wants_large_page(r, committed)) {
        to = committed + OS_LARGE_PAGE;
        done = os_commit_large(at, OS_LARGE_PAGE) == 0;
    } else {
        done = os_commit(at, (size_t)(to - committed)) == 0;
    }
    if (!done && least < to) {
        to = least;
        done = os_commit(at, (size_t)(to - committed)) == 0;
    }
    if (done) atomic_store_explicit(&r->committed, to, memory_order_release);
    return done;
}

static void note_reached(rows *r, uint64_t end) {
    uint64_t reached = atomic_load_explicit(&r->reached, memory_order_relaxed);
    if (end > reached) atomic_store_explicit(&r->reached, end, memory_order_relaxed);
}

bool rows_reach(rows *r, uint32_t number) {
    uint64_t end = ((uint64_t)number + 1) * row_bytes(r);
    if (end > r->limit) return false;
    bool done = true;
    if (end > atomic_load_explicit(&r->committed, memory_order_acquire)) {
        bool attended = atomic_load_explicit(&r->attended, memory_order_relaxed);
        os_latch_take(&r->latch);
        while (done && atomic_load_explicit(&r->committed, memory_order_relaxed) < end) {
            done = commit(r, end, !attended);
        }
        os_latch_release(&r->latch);
    }
    if (done) note_reached(r, end);
    return done;
}

/* Bytes committed and not in use. */
static uint64_t left(const rows *r) {
    uint64_t committed = atomic_load_explicit(&r->committed, memory_order_relaxed);
    uint64_t reached = atomic_load_explicit(&r->reached, memory_order_relaxed);
    return committed > reached ? committed - reached : 0;
}

static bool is_due(const rows *r) {
    uint64_t committed = atomic_load_explicit(&r->committed, memory_order_relaxed);
    return left(r) < AHEAD && wants_large_page(r, committed);
}

void rows_commit_ahead(rows *r) {
    atomic_store_explicit(&r->attended, true, memory_order_relaxed);
    if (!is_due(r)) return;
    os_latch_take(&r->latch);
    while (is_due(r)) {
        uint64_t committed = atomic_load_explicit(&r->committed, memory_order_relaxed);
        if (!commit(r, committed + OS_LARGE_PAGE, left(r) >= NEAR)) break;
    }
    os_latch_release(&r->latch);
}
