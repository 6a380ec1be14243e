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

bool space_create(space *s, uint64_t head, uint64_t span) {
    uint64_t page = os_page_size();
    uint64_t chunks = span / CHUNK_BYTES;
    uint64_t table = round_up(head + chunks * sizeof(uint32_t), page);
    uint64_t unit = page > CHUNK_BYTES ? page : CHUNK_BYTES;
    uint64_t first = round_up(table + chunks * sizeof(chunk_info), unit);
    if (first >= span) return false;

    s->directory = area_between(head, table);
    s->directory.committed = round_up(head, page);
    s->table = area_between(table, first);
    s->chunks = area_between(first, span);
    s->first = s->top = (uint32_t)(first / CHUNK_BYTES);
    return true;
}

bool space_grow_directory(space *s, uint32_t count) {
    return area_reach(s, &s->directory, s->directory.start + (uint64_t)count * sizeof(uint32_t));
}

/* ---- Free runs */

/* All chunks of the run are of CHUNK_FREE already. */
static void run_link(space *s, uint32_t chunk, uint32_t count) {
    unsigned class = class_of(count);
    uint32_t head = s->runs[class];
    chunk_info free = {.size = count, .next = head, .kind = CHUNK_FREE};
    *space_info(s, chunk + count - 1) = free;
    *space_info(s, chunk) = free;
    if (head != 0) space_info(s, head)->previous = chunk;
    s->runs[class] = chunk;
    s->run_bits |= (uint32_t)1 << class;
}

static void run_unlink(space *s, uint32_t chunk) {
    chunk_info *info = space_info(s, chunk);
    unsigned class = class_of(info->size);
    if (info->next != 0) space_info(s, info->next)->previous = info->previous;
    if (info->previous != 0) {
        space_info(s, info->previous)->next = info->next;
    } else {
        s->runs[class] = info->next;
        if (info->next == 0) s->run_bits &= ~((uint32_t)1 << class);
    }
}

/* The shortest of the first few runs that are long enough, 0 if none of them is. */
static uint32_t run_of_class(const space *s, unsigned class, uint32_t count) {
    uint32_t best = 0, best_size = UINT32_MAX;
    uint32_t run = s->runs[class];
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

static uint32_t run_find(const space *s, uint32_t count) {
    unsigned class = class_of(count);
    for (uint32_t bits = s->run_bits >> class << class; bits != 0; bits &= bits - 1) {
        uint32_t run = run_of_class(s, (unsigned)__builtin_ctz(bits), count);
        if (run != 0) return run;
    }
    return 0;
}

static uint32_t take_run(space *s, uint32_t run, uint32_t count) {
    uint32_t size = space_info(s, run)->size;
    run_unlink(s, run);
    if (size > count) run_link(s, run + count, size - count);
    return run;
}

/* Moves `top` up. */
static uint32_t take_fresh(space *s, uint32_t count) {
    uint64_t end = (uint64_t)s->top + count;
    if (!area_reach(s, &s->chunks, end * CHUNK_BYTES)) return 0;
    if (!area_reach(s, &s->table, s->table.start + end * sizeof(chunk_info))) return 0;
    uint32_t chunk = s->top;
    s->top = (uint32_t)end;
    return chunk;
}

uint32_t space_take(space *s, uint32_t count) {
    uint32_t run = run_find(s, count);
    return run != 0 ? take_run(s, run, count) : take_fresh(s, count);
}

void space_mark(space *s, uint32_t chunk, uint32_t count, chunk_kind kind) {
    chunk_info info = {.size = count, .kind = (uint8_t)kind};
    for (uint32_t i = 0; i < count; i++) *space_info(s, chunk + i) = info;
}

static void discard(space *s, uint64_t start, uint64_t end) {
    uint64_t page = os_page_size();
    start = round_up(start, page);
    end = end / page * page;
    if (start < end) os_discard((uint8_t *)s + start, (size_t)(end - start));
}

void space_give(space *s, uint32_t chunk, uint32_t count) {
    uint64_t start = (uint64_t)chunk * CHUNK_BYTES;
    discard(s, start, start + (uint64_t)count * CHUNK_BYTES);
    space_mark(s, chunk, count, CHUNK_FREE);

    uint32_t after = chunk + count;
    if (after < s->top && space_info(s, after)->kind == CHUNK_FREE) {
        count += space_info(s, after)->size;
        run_unlink(s, after);
    }
    if (chunk > s->first && space_info(s, chunk - 1)->kind == CHUNK_FREE) {
        uint32_t size = space_info(s, chunk - 1)->size;
        chunk -= size;
        count += size;
        run_unlink(s, chunk);
    }
    if (chunk + count == s->top) {
        s->top = chunk;
    } else {
        run_link(s, chunk, count);
    }
}

void space_clear(space *s) {
    discard(s, s->chunks.start, (uint64_t)s->top * CHUNK_BYTES);
    s->top = s->first;
    s->run_bits = 0;
    memset(s->runs, 0, sizeof s->runs);
}
