#include "space.h"
#include <string.h>
#include "../os/os.h"

/* The commit step of an area grows with it, from a chunk up to this. */
#define COMMIT_STEP_MAX ((uint64_t)1 << 20)
/* A fit is looked for among so many runs of about the wanted length, then a longer one is cut. */
#define RUNS_LOOKED_AT 16u

static uint64_t round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

static unsigned class_of(uint32_t count) {
    return 31u - (unsigned)__builtin_clz(count);
}

/* ---- Areas */

static bool area_commit(space *s, area *a, uint64_t end) {
    uint8_t *base = (uint8_t *)s;
    if (os_commit(base + a->committed, (size_t)(end - a->committed)) != 0) return false;
    a->committed = end;
    return true;
}

/* Commits up to `needed` at least; a step more where there is memory for it. */
static bool area_reach(space *s, area *a, uint64_t needed) {
    if (needed <= a->committed) return true;
    if (needed > a->limit) return false;

    uint64_t page = os_page_size();
    uint64_t step = a->committed - a->start;
    if (step < CHUNK_BYTES) step = CHUNK_BYTES;
    if (step > COMMIT_STEP_MAX) step = COMMIT_STEP_MAX;
    uint64_t generous = round_up(a->committed + step, page);
    uint64_t exact = round_up(needed, page);
    if (generous < exact) generous = exact;
    if (generous > a->limit) generous = a->limit;
    return area_commit(s, a, generous) || (generous > exact && area_commit(s, a, exact));
}

static area area_between(uint64_t start, uint64_t limit) {
    return (area){.start = start, .committed = start, .limit = limit};
}

/* ---- Layout */

static uint64_t directory_limit(uint64_t head, uint64_t zone_bytes) {
    return round_up(head + zone_bytes / CHUNK_BYTES * sizeof(uint64_t), os_page_size());
}

static uint64_t infos_bytes(uint64_t chunks) {
    return round_up(chunks * sizeof(chunk_info), os_page_size());
}

static uint64_t infos_limit(uint64_t head, uint64_t zone_bytes) {
    uint64_t chunks = RUNS_FROM + zone_bytes / CHUNK_BYTES;
    uint64_t unit = os_page_size() > CHUNK_BYTES ? os_page_size() : CHUNK_BYTES;
    return round_up(directory_limit(head, zone_bytes) + infos_bytes(chunks), unit);
}

uint64_t space_span(uint64_t head, uint64_t zone_bytes) {
    return infos_limit(head, zone_bytes) + zone_bytes;
}

void space_create(space *s, uint64_t head, uint64_t zone_bytes, rows *r, uint32_t index) {
    uint32_t chunks = (uint32_t)(zone_bytes / CHUNK_BYTES);
    uint64_t directory = directory_limit(head, zone_bytes);
    uint64_t run_infos = directory + (uint64_t)RUNS_FROM * sizeof(chunk_info);
    uint64_t run_chunks = infos_limit(head, zone_bytes);

    s->directory = area_between(head, directory);
    s->directory.committed = round_up(head, os_page_size());
    s->infos = area_between(directory, directory + infos_bytes(chunks));
    s->run_infos = area_between(run_infos, run_infos + infos_bytes(chunks));
    s->run_chunks = area_between(run_chunks, run_chunks + zone_bytes);
    s->singles = (zone){.first = 1, .top = 1, .limit = chunks};
    s->runs = (zone){.first = RUNS_FROM, .top = RUNS_FROM, .limit = RUNS_FROM + chunks};
    s->rows = (uint64_t)((uintptr_t)r - (uintptr_t)s);
    s->single = (uint64_t)((uintptr_t)rows_first(r) - (uintptr_t)s) + (uint64_t)index * CHUNK_BYTES;
    s->single_gap = (uint64_t)(r->shards - 1) * CHUNK_BYTES;
}

static rows *rows_of(space *s) {
    return (rows *)(uintptr_t)((uintptr_t)s + s->rows);
}

bool space_grow_directory(space *s, uint32_t count) {
    return area_reach(s, &s->directory, s->directory.start + (uint64_t)count * sizeof(uint64_t));
}

/* ---- Free runs */

/* All chunks of the run are of CHUNK_FREE already. */
static void run_link(space *s, zone *z, uint32_t chunk, uint32_t count) {
    unsigned class = class_of(count);
    uint32_t head = z->runs[class];
    chunk_info free = {.size = count, .next = head, .kind = CHUNK_FREE};
    *space_info(s, chunk + count - 1) = free;
    *space_info(s, chunk) = free;
    if (head != 0) space_info(s, head)->previous = chunk;
    z->runs[class] = chunk;
    z->run_bits |= (uint32_t)1 << class;
}

static void run_unlink(space *s, zone *z, uint32_t chunk) {
    chunk_info *info = space_info(s, chunk);
    unsigned class = class_of(info->size);
    if (info->next != 0) space_info(s, info->next)->previous = info->previous;
    if (info->previous != 0) {
        space_info(s, info->previous)->next = info->next;
    } else {
        z->runs[class] = info->next;
        if (info->next == 0) z->run_bits &= ~((uint32_t)1 << class);
    }
}

/* The shortest of the first few runs that are long enough, 0 if none of them is. */
static uint32_t run_of_class(const space *s, const zone *z, unsigned class, uint32_t count) {
    uint32_t best = 0, best_size = UINT32_MAX;
    uint32_t run = z->runs[class];
    for (unsigned i = 0; i < RUNS_LOOKED_AT && run != 0; i++) {
        const chunk_info *info = space_info(s, run);
        if (info->size >= count && info->size < best_size) {
            best = run;
            best_size = info->size;
        }
        run = info->next;
    }
    return best;
}

static uint32_t run_find(const space *s, const zone *z, uint32_t count) {
    unsigned class = class_of(count);
    for (uint32_t bits = z->run_bits >> class << class; bits != 0; bits &= bits - 1) {
        uint32_t run = run_of_class(s, z, (unsigned)__builtin_ctz(bits), count);
        if (run != 0) return run;
    }
    return 0;
}

static uint32_t take_run(space *s, zone *z, uint32_t run, uint32_t count) {
    uint32_t size = space_info(s, run)->size;
    run_unlink(s, z, run);
    if (size > count) run_link(s, z, run + count, size - count);
    return run;
}

static bool reach_single(space *s, uint32_t chunk) {
    if (!rows_reach(rows_of(s), chunk)) return false;
    if (!area_reach(s, &s->infos, s->infos.start + (chunk + UINT64_C(1)) * sizeof(chunk_info))) {
        return false;
    }
    rows_count(rows_of(s), 1);
    return true;
}

static bool reach_run(space *s, uint32_t end) {
    uint64_t chunks = end - RUNS_FROM;
    return area_reach(s, &s->run_chunks, s->run_chunks.start + chunks * CHUNK_BYTES) &&
           area_reach(s, &s->run_infos, s->run_infos.start + chunks * sizeof(chunk_info));
}

/* Moves `top` up. */
static uint32_t take_fresh(space *s, zone *z, uint32_t count) {
    if (z->limit - z->top < count) return 0;
    uint32_t chunk = z->top, end = chunk + count;
    if (!(z == &s->singles ? reach_single(s, chunk) : reach_run(s, end))) return 0;
    z->top = end;
    return chunk;
}

uint32_t space_take(space *s, uint32_t count) {
    zone *z = count == 1 ? &s->singles : &s->runs;
    uint32_t run = run_find(s, z, count);
    return run != 0 ? take_run(s, z, run, count) : take_fresh(s, z, count);
}

void space_mark(space *s, uint32_t chunk, uint32_t count, chunk_kind kind) {
    chunk_info info = {.size = count, .kind = (uint8_t)kind};
    for (uint32_t i = 0; i < count; i++) *space_info(s, chunk + i) = info;
}

/* The whole pages of chunks that lie behind each other. */
static void discard(space *s, uint32_t chunk, uint32_t count) {
    uint64_t page = os_page_size();
    uint64_t start = (uintptr_t)space_at(s, chunk_start(chunk));
    uint64_t end = (start + (uint64_t)count * CHUNK_BYTES) / page * page;
    start = round_up(start, page);
    if (start < end) os_discard((uint8_t *)(uintptr_t)start, (size_t)(end - start));
}

static void lower_top(space *s, zone *z, uint32_t to) {
    if (z == &s->singles) rows_count(rows_of(s), -(int64_t)(z->top - to));
    z->top = to;
}

void space_give(space *s, uint32_t chunk, uint32_t count) {
    zone *z = chunk < RUNS_FROM ? &s->singles : &s->runs;
    discard(s, chunk, count);
    space_mark(s, chunk, count, CHUNK_FREE);

    uint32_t after = chunk + count;
    if (after < z->top && space_info(s, after)->kind == CHUNK_FREE) {
        count += space_info(s, after)->size;
        run_unlink(s, z, after);
    }
    if (chunk > z->first && space_info(s, chunk - 1)->kind == CHUNK_FREE) {
        uint32_t size = space_info(s, chunk - 1)->size;
        chunk -= size;
        count += size;
        run_unlink(s, z, chunk);
    }
    if (chunk + count == z->top) {
        lower_top(s, z, chunk);
    } else {
        run_link(s, z, chunk, count);
    }
}

static void zone_clear(space *s, zone *z) {
    lower_top(s, z, z->first);
    z->run_bits = 0;
    memset(z->runs, 0, sizeof z->runs);
}

void space_clear(space *s) {
    for (uint32_t chunk = s->singles.first; chunk < s->singles.top; chunk++) discard(s, chunk, 1);
    discard(s, s->runs.first, s->runs.top - s->runs.first);
    zone_clear(s, &s->singles);
    zone_clear(s, &s->runs);
}
