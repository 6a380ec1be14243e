/* rows_check - rows of chunks are there when a shard has reached them, whoever else reaches for
 * more; large pages are taken where shards grow alike, ahead of who needs them, and nowhere else;
 * where memory is refused nothing changes. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "effort.h"
#include "process_bytes.h"
#include "../../src/memory/rows.h"

#define SHARDS      4u
#define THREADS     4u
#define LIMIT       (32 * (uint64_t)OS_LARGE_PAGE)
#define ROWS(bytes) ((uint32_t)((bytes) / (SHARDS * CHUNK_BYTES)))

static unsigned passed, failed;

#define CHECK(condition) check((condition), #condition, __LINE__)

static bool check(bool holds, const char *what, int line) {
    *(holds ? &passed : &failed) += 1;
    if (!holds) printf("FAILED: line %d: %s\n", line, what);
    return holds;
}

/* ---- Rows by themselves, with large pages from the first on */

typedef struct plot {
    uint8_t *reserved;
    size_t size;
    rows *r;
} plot;

static plot plot_open(uint32_t shards) {
    plot p = {.size = LIMIT + 2 * OS_LARGE_PAGE};
    p.reserved = os_reserve(p.size);
    if (p.reserved == NULL) exit(2);
    uint8_t *start = p.reserved + (OS_LARGE_PAGE - (uintptr_t)p.reserved % OS_LARGE_PAGE);
    p.r = (rows *)(void *)(start + LIMIT);
    if (os_commit(p.r, os_page_size()) != 0) exit(2);
    rows_create(p.r, shards, LIMIT);
    p.r->large_from = 0;
    return p;
}

static void plot_close(plot *p) {
    os_unreserve(p->reserved, p->size);
}

/* Takes the chunks of these rows for all shards. */
static bool take(rows *r, uint32_t from, uint32_t to) {
    for (uint32_t number = from; number < to; number++) {
        if (!rows_reach(r, number)) return false;
        if (number > 0) rows_count(r, r->shards);
    }
    return true;
}

/* Whether there is memory at an offset, committed but never touched here. */
static bool is_present(const rows *r, uint64_t offset) {
    unsigned char present = 0;
    uint8_t *at = rows_first(r) + offset;
    return mincore(at, 1, &present) == 0 && (present & 1) != 0;
}

/* ---- */

static void rows_are_there_when_reached(void) {
    plot p = plot_open(SHARDS);
    uint32_t last = ROWS(LIMIT) - 1;
    CHECK(take(p.r, 0, last + 1));
    memset(rows_first(p.r), 1, LIMIT);
    CHECK(!rows_reach(p.r, last + 1));
    CHECK(!rows_reach(p.r, UINT32_MAX));
    CHECK(atomic_load(&p.r->committed) == LIMIT);
    plot_close(&p);
}

static void large_pages_are_for_what_grows_alike(void) {
    plot p = plot_open(SHARDS);
    CHECK(take(p.r, 0, 1));
    CHECK(is_present(p.r, 0));
    CHECK(atomic_load(&p.r->committed) == OS_LARGE_PAGE);

    CHECK(rows_reach(p.r, 4 * ROWS(OS_LARGE_PAGE))); /* of one shard alone */
    rows_count(p.r, 1);
    uint64_t committed = atomic_load(&p.r->committed);
    CHECK(committed == 5 * OS_LARGE_PAGE);
    CHECK(rows_reach(p.r, 6 * ROWS(OS_LARGE_PAGE)));
    CHECK(!is_present(p.r, committed));

    rows_count(p.r, (int64_t)(7 * OS_LARGE_PAGE / CHUNK_BYTES)); /* the others have come */
    committed = atomic_load(&p.r->committed);
    CHECK(rows_reach(p.r, ROWS(committed)));
    CHECK(is_present(p.r, committed));
    plot_close(&p);
}

static void rows_larger_than_a_page_have_none(void) {
    plot p = plot_open(2 * (uint32_t)(OS_LARGE_PAGE / CHUNK_BYTES));
    CHECK(take(p.r, 0, 2));
    CHECK(!is_present(p.r, 0));
    plot_close(&p);
}

static void large_pages_come_ahead(void) {
    plot p = plot_open(SHARDS);
    p.r->large_from = 2 * OS_LARGE_PAGE;
    rows_commit_ahead(p.r);
    CHECK(atomic_load(&p.r->committed) == 0);
    CHECK(take(p.r, 0, 2 * ROWS(OS_LARGE_PAGE)));
    for (uint64_t pages = 4; pages < 6; pages++) {
        for (int again = 0; again < 3; again++) rows_commit_ahead(p.r);
        CHECK(atomic_load(&p.r->committed) == pages * OS_LARGE_PAGE);
        CHECK(is_present(p.r, (pages - 1) * OS_LARGE_PAGE));
        CHECK(take(p.r, ROWS((pages - 2) * OS_LARGE_PAGE), ROWS((pages - 1) * OS_LARGE_PAGE)));
    }
    rows_count(p.r, -(int64_t)(2 * OS_LARGE_PAGE / CHUNK_BYTES)); /* uneven now */
    rows_commit_ahead(p.r);
    CHECK(atomic_load(&p.r->committed) == 5 * OS_LARGE_PAGE);
    plot_close(&p);
}

/* Where somebody commits ahead, what he has not done in time is done in small pages. */
static void who_needs_a_row_waits_for_no_large_page(void) {
    plot p = plot_open(SHARDS);
    p.r->large_from = 2 * OS_LARGE_PAGE;
    CHECK(take(p.r, 0, 2 * ROWS(OS_LARGE_PAGE)));
    rows_commit_ahead(p.r); /* comes late: the first one small, the second large */
    CHECK(atomic_load(&p.r->committed) == 4 * OS_LARGE_PAGE);
    CHECK(!is_present(p.r, 2 * OS_LARGE_PAGE));
    CHECK(is_present(p.r, 3 * OS_LARGE_PAGE));
    CHECK(take(p.r, 2 * ROWS(OS_LARGE_PAGE), 4 * ROWS(OS_LARGE_PAGE)));
    CHECK(take(p.r, 4 * ROWS(OS_LARGE_PAGE), 4 * ROWS(OS_LARGE_PAGE) + 1));
    CHECK(!is_present(p.r, 4 * OS_LARGE_PAGE));
    plot_close(&p);
}

static void refused_memory_changes_nothing(void) {
    struct rlimit before, limit;
    if (SANITIZED || process_bytes(PROCESS_PRIVATE) == 0) return;
    if (getrlimit(RLIMIT_DATA, &before) != 0) return;
    plot p = plot_open(SHARDS);
    limit = before;
    limit.rlim_cur = (rlim_t)(process_bytes(PROCESS_PRIVATE) + OS_LARGE_PAGE / 2);
    if (CHECK(setrlimit(RLIMIT_DATA, &limit) == 0)) {
        uint32_t number = 0;
        while (number < ROWS(LIMIT) && take(p.r, number, number + 1)) number++;
        CHECK(number > 0 && number < ROWS(OS_LARGE_PAGE)); /* what there was has been used */
        memset(rows_first(p.r), 1, (size_t)number * SHARDS * CHUNK_BYTES);
        CHECK(!rows_reach(p.r, number));
        (void)setrlimit(RLIMIT_DATA, &before);
        CHECK(take(p.r, number, ROWS(LIMIT)));
        memset(rows_first(p.r), 1, LIMIT);
    }
    plot_close(&p);
}

/* ---- Threads: each a shard, and one that is ahead */

static atomic_bool done;

typedef struct grower {
    rows *r;
    uint32_t shard;
    unsigned wrong;
} grower;

static void *grow(void *context) {
    grower *g = context;
    for (uint32_t number = 1; number < ROWS(LIMIT); number++) {
        if (!rows_reach(g->r, number)) g->wrong++;
        rows_count(g->r, 1);
        uint8_t *chunk = rows_first(g->r) + ((size_t)number * SHARDS + g->shard) * CHUNK_BYTES;
        g->wrong += chunk[0] != 0 || chunk[CHUNK_BYTES - 1] != 0;
        chunk[0] = chunk[CHUNK_BYTES - 1] = 1;
    }
    return NULL;
}

static void *go_ahead(void *r) {
    while (!atomic_load(&done)) rows_commit_ahead(r);
    return NULL;
}

static void threads_share_rows(void) {
    plot p = plot_open(SHARDS);
    pthread_t threads[THREADS], ahead;
    grower growers[THREADS];
    atomic_store(&done, false);
    CHECK(pthread_create(&ahead, NULL, go_ahead, p.r) == 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        growers[i] = (grower){.r = p.r, .shard = i};
        CHECK(pthread_create(&threads[i], NULL, grow, &growers[i]) == 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(growers[i].wrong == 0);
    }
    atomic_store(&done, true);
    pthread_join(ahead, NULL);
    CHECK(atomic_load(&p.r->taken) == (uint64_t)SHARDS * ROWS(LIMIT));
    plot_close(&p);
}

int main(void) {
    rows_are_there_when_reached();
    large_pages_are_for_what_grows_alike();
    rows_larger_than_a_page_have_none();
    large_pages_come_ahead();
    who_needs_a_row_waits_for_no_large_page();
    refused_memory_changes_nothing();
    threads_share_rows();
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
