#include "arena.h"
#include <string.h>
#include "../bytes/varint.h"
#include "block.h"
#include "words.h"

#define MIN_GRANULES (ARENA_BLOCK_MIN / GRANULE)
/* A chunk that has become empty is given back at once if it has no more free blocks than this. */
#define UNLINKED_AT_ONCE 32u
/* A list of several sizes is searched this far. */
#define BLOCKS_LOOKED_AT 8u

/* A free block, as 32-bit words. */
enum { FREE_HEAD, FREE_NEXT, FREE_PREVIOUS };

static uint32_t granules_of(size_t bytes) {
    if (bytes < ARENA_BLOCK_MIN) return MIN_GRANULES;
    return (uint32_t)((bytes + GRANULE - 1) / GRANULE);
}

/* Of a block that is not large. */
static uint8_t *block_at(const arena *a, uint32_t granule) {
    return space_single_at(&a->space, granule);
}

static uint32_t *words(const arena *a, uint32_t granule) {
    return (uint32_t *)(void *)block_at(a, granule);
}

static chunk_info *info_of(const arena *a, uint32_t granule) {
    return space_info(&a->space, chunk_of(granule));
}

/* ---- Free lists */

static unsigned list_of(uint32_t size) {
    if (size < LIST_EXACT) return size;
    unsigned power = 31u - (unsigned)__builtin_clz(size);
    return LIST_EXACT + (power - 8) * 8 + ((size >> (power - 3)) & 7);
}

/* The first list all of whose blocks have at least `size`. */
static unsigned list_from(uint32_t size) {
    if (size < LIST_EXACT) return size;
    unsigned power = 31u - (unsigned)__builtin_clz(size);
    uint32_t step = (uint32_t)1 << (power - 3);
    return list_of(size + step - 1);
}

static void write_head(arena *a, uint32_t granule, unsigned head, uint32_t size) {
    uint8_t bytes[4];
    store_u32(bytes, head | size << 8);
    words_set(block_at(a, granule), bytes, sizeof bytes);
}

static uint32_t head_size(const arena *a, uint32_t granule) {
    return load_u32(block_at(a, granule)) >> 8;
}

static void list_push(arena *a, uint32_t granule, uint32_t size) {
    unsigned list = list_of(size);
    uint32_t head = a->lists[list];
    write_head(a, granule, BLOCK_FREE, size);
    word_set(&words(a, granule)[FREE_NEXT], head);
    word_set(&words(a, granule)[FREE_PREVIOUS], 0);
    if (head != 0) word_set(&words(a, head)[FREE_PREVIOUS], granule);
    a->lists[list] = granule;
    a->list_bits[list / 64] |= (uint64_t)1 << list % 64;
}

static void list_remove(arena *a, uint32_t granule, uint32_t size) {
    uint32_t next = words(a, granule)[FREE_NEXT];
    uint32_t previous = words(a, granule)[FREE_PREVIOUS];
    if (next != 0) word_set(&words(a, next)[FREE_PREVIOUS], previous);
    if (previous != 0) {
        word_set(&words(a, previous)[FREE_NEXT], next);
        return;
    }
    unsigned list = list_of(size);
    a->lists[list] = next;
    if (next == 0) a->list_bits[list / 64] &= ~((uint64_t)1 << list % 64);
}

/* What lies between two blocks becomes a free block, or a dead one if it is too small. */
static void leave_free(arena *a, uint32_t granule, uint32_t size) {
    if (size >= MIN_GRANULES) {
        list_push(a, granule, size);
    } else if (size > 0) {
        write_head(a, granule, BLOCK_DEAD, size);
    }
}

static bool leaves_no_scrap(uint32_t size, uint32_t wanted) {
    return size == wanted || size >= wanted + MIN_GRANULES;
}

/* The first list at or after `list` that is not empty; LISTS if there is none. */
static inline unsigned list_next(const arena *a, unsigned list) {
    for (unsigned word = list / 64; word < LIST_WORDS; word++) {
        uint64_t bits = a->list_bits[word];
        if (word == list / 64) bits = bits >> list % 64 << list % 64;
        if (bits != 0) return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return LISTS;
}

/* A block of about the wanted size, from a list that holds several. */
static uint32_t find_alike(const arena *a, uint32_t size) {
    uint32_t granule = a->lists[list_of(size)];
    for (unsigned i = 0; i < BLOCKS_LOOKED_AT && granule != 0; i++) {
        if (leaves_no_scrap(head_size(a, granule), size)) return granule;
        granule = words(a, granule)[FREE_NEXT];
    }
    return 0;
}

/* One that leaves no scrap, or, where there is none, a slightly larger one, the rest of which will
 * be dead. */
static inline uint32_t find_larger(const arena *a, uint32_t size) {
    unsigned list = list_next(a, list_of(size) + 1);
    if (list == LISTS) return 0;
    unsigned enough = list_from(size + MIN_GRANULES);
    unsigned larger = list < enough ? list_next(a, enough) : list;
    if (larger < LISTS) return a->lists[larger];
    return list < LIST_EXACT ? a->lists[list] : 0;
}

static inline uint32_t find_free(const arena *a, uint32_t size) {
    uint32_t granule = size < LIST_EXACT ? a->lists[size] : find_alike(a, size);
    return granule != 0 ? granule : find_larger(a, size);
}

/* ---- Taking */

static void count_live(arena *a, uint32_t granule, uint32_t size) {
    info_of(a, granule)->size += size * GRANULE;
    counter_add(&a->live_bytes, (uint64_t)size * GRANULE);
}

static void take_listed(arena *a, uint32_t granule, uint32_t size) {
    uint32_t found = head_size(a, granule);
    list_remove(a, granule, found);
    leave_free(a, granule + size, found - size);
}

static uint32_t take_free(arena *a, uint32_t size) {
    uint32_t granule = find_free(a, size);
    if (granule != 0) take_listed(a, granule, size);
    return granule;
}

/* Goes on with a new chunk; what is unused in the old one becomes a free block. */
static bool bump_renew(arena *a) {
    uint32_t chunk = space_take(&a->space, 1);
    if (chunk == 0) return false;
    space_mark(&a->space, chunk, 1, CHUNK_BLOCKS);
    space_info(&a->space, chunk)->size = 0;

    uint32_t rest = a->bump_end - a->bump;
    leave_free(a, a->bump, rest);
    counter_add(&a->used_bytes, (uint64_t)rest * GRANULE);
    a->bump_chunk = chunk;
    a->bump = chunk_start(chunk);
    a->bump_end = chunk_start(chunk + 1);
    return true;
}

static bool has_unused(arena *a, uint32_t size) {
    return a->bump_end - a->bump >= size || bump_renew(a);
}

static uint32_t take_unused(arena *a, uint32_t size) {
    if (!has_unused(a, size)) return 0;
    uint32_t granule = a->bump;
    a->bump += size;
    counter_add(&a->used_bytes, (uint64_t)size * GRANULE);
    return granule;
}

static uint32_t chunks_for(size_t bytes) {
    return (uint32_t)((bytes + CHUNK_BYTES - 1) / CHUNK_BYTES);
}

static uint64_t pages_for(size_t bytes) {
    return ((uint64_t)bytes + PAGE_COUNTED - 1) / PAGE_COUNTED * PAGE_COUNTED;
}

static uint32_t take_large(arena *a, size_t bytes) {
    uint32_t count = chunks_for(bytes);
    uint32_t chunk = space_take(&a->space, count);
    if (chunk == 0) return 0;
    space_mark(&a->space, chunk, count, CHUNK_LARGE);
    counter_add(&a->large_bytes, pages_for(bytes));
    return chunk_start(chunk);
}

uint32_t arena_take(arena *a, size_t bytes) {
    if (bytes > ARENA_LARGE) return take_large(a, bytes);
    uint32_t size = granules_of(bytes);
    uint32_t granule = take_free(a, size);
    if (granule == 0) granule = take_unused(a, size);
    if (granule != 0) count_live(a, granule, size);
    return granule;
}

uint32_t arena_find(arena *a, size_t bytes) {
    uint32_t size = granules_of(bytes);
    uint32_t granule = find_free(a, size);
    if (granule == 0 && has_unused(a, size)) granule = a->bump;
    return granule;
}

void arena_occupy(arena *a, uint32_t granule, size_t bytes) {
    uint32_t size = granules_of(bytes);
    if (granule == a->bump && a->bump < a->bump_end) { /* else the next chunk begins there */
        (void)take_unused(a, size);
    } else {
        take_listed(a, granule, size);
    }
    count_live(a, granule, size);
}

/* ---- Giving back */

uint32_t arena_block_size(const arena *a, uint32_t granule) {
    const uint8_t *at = block_at(a, granule);
    if (*at == BLOCK_FREE || *at == BLOCK_DEAD) return head_size(a, granule);
    return granules_of(block_bytes_of(at, a->fixed_keys));
}

/* Joins a block with the free ones behind it, and returns where they end. */
static uint32_t swallow(arena *a, uint32_t next, uint32_t end) {
    while (next < end) {
        unsigned head = *block_at(a, next);
        if (head != BLOCK_FREE && head != BLOCK_DEAD) break;
        uint32_t size = head_size(a, next);
        if (head == BLOCK_FREE) list_remove(a, next, size);
        next += size;
    }
    return next;
}

bool arena_drop_free(arena *a, uint32_t *granule, unsigned limit) {
    uint32_t end = arena_chunk_end(a, chunk_of(*granule));
    for (; *granule < end && limit > 0; limit--) {
        uint32_t size = arena_block_size(a, *granule);
        if (*block_at(a, *granule) == BLOCK_FREE) {
            list_remove(a, *granule, size);
            write_head(a, *granule, BLOCK_DEAD, size);
        }
        *granule += size;
    }
    return *granule == end;
}

bool arena_release(arena *a, uint32_t chunk) {
    const chunk_info *info = space_info(&a->space, chunk);
    if (info->size > 0) return false;
    if (info->leaving != CHUNK_STAYS) a->leaving--;
    counter_subtract(&a->used_bytes, CHUNK_BYTES);
    space_give(&a->space, chunk, 1);
    return true;
}

/* Gives an empty chunk back, unless that is too much work for now. */
static void release_empty(arena *a, uint32_t chunk) {
    uint32_t granule = chunk_start(chunk), end = chunk_start(chunk + 1);
    for (unsigned i = 0; i < UNLINKED_AT_ONCE && granule < end; i++) {
        granule += head_size(a, granule);
    }
    if (granule < end) return;
    granule = chunk_start(chunk);
    (void)arena_drop_free(a, &granule, UNLINKED_AT_ONCE);
    (void)arena_release(a, chunk);
}

/* Back into the unused space. */
static void bump_back(arena *a, uint32_t granule) {
    counter_subtract(&a->used_bytes, (uint64_t)(a->bump - granule) * GRANULE);
    a->bump = granule;
}

static void give_block(arena *a, uint32_t granule, uint32_t size) {
    uint32_t chunk = chunk_of(granule);
    chunk_info *info = space_info(&a->space, chunk);
    info->size -= size * GRANULE;
    counter_subtract(&a->live_bytes, (uint64_t)size * GRANULE);
    if (info->leaving != CHUNK_STAYS) {
        write_head(a, granule, BLOCK_DEAD, size);
        if (info->leaving == CHUNK_UNLISTED) (void)arena_release(a, chunk);
        return;
    }
    uint32_t end = arena_chunk_end(a, chunk);
    uint32_t next = swallow(a, granule + size, end);
    if (chunk == a->bump_chunk && next == end) {
        bump_back(a, granule);
        return;
    }
    list_push(a, granule, next - granule);
    if (info->size == 0 && chunk != a->bump_chunk) release_empty(a, chunk);
}

static void give_large(arena *a, uint32_t granule, size_t bytes) {
    counter_subtract(&a->large_bytes, pages_for(bytes));
    space_give(&a->space, chunk_of(granule), chunks_for(bytes));
}

void arena_give(arena *a, uint32_t granule, size_t bytes) {
    if (bytes > ARENA_LARGE) {
        give_large(a, granule, bytes);
    } else {
        give_block(a, granule, granules_of(bytes));
    }
}

void arena_clear(arena *a) {
    a->bump_chunk = a->bump = a->bump_end = 0;
    a->leaving = 0;
    memset(a->list_bits, 0, sizeof a->list_bits);
    memset(a->lists, 0, sizeof a->lists);
    counter_set(&a->used_bytes, 0);
    counter_set(&a->live_bytes, 0);
    counter_set(&a->large_bytes, 0);
}
