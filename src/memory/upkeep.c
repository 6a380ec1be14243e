#include "upkeep.h"
#include "block.h"
#include "find.h"
#include "shard.h"
#include "words.h"

/* Evacuation begins when more than a 24th of the bytes in chunks, and a chunk, is wasted. */
#define WASTE_PART   24u
#define WASTE_CHUNKS 1u

/* The share of work of one step. */
#define SURVEYED_PER_STEP 128u
#define DROPPED_PER_STEP  64u
#define BUCKETS_PER_STEP  8u
#define MOVED_PER_STEP    16u
#define BYTES_PER_STEP    4096u

/* An evacuation empties so much of the chunks at most, and of the waste in them: it needs memory
 * for what it moves before it gives any back. */
#define CHUNKS_PART 8u
#define WANTED_PART 2u

/* An evacuation that gains less than this part of what it was to gain is not tried again until
 * there is more waste: blocks of a third of a chunk and a bit, say, always waste the rest. */
#define GAIN_PART 4

static bool is_candidate(const arena *a, uint32_t chunk) {
    return chunk != a->bump_chunk && space_info(&a->space, chunk)->kind == CHUNK_BLOCKS;
}

static unsigned fullness(const chunk_info *info) {
    unsigned class = info->size / (CHUNK_BYTES / FULLNESS_CLASSES);
    return class < FULLNESS_CLASSES ? class : FULLNESS_CLASSES - 1;
}

/* ---- Idle */

static void idle(shard *s) {
    upkeep *u = &s->upkeep;
    uint64_t waste = arena_waste(&s->arena);
    if (waste < u->accepted) u->accepted = waste;
    uint64_t used = counter_get(&s->arena.used_bytes);
    if (waste - u->accepted <= used / WASTE_PART + WASTE_CHUNKS * CHUNK_BYTES) return;
    *u = (upkeep){
        .phase = UPKEEP_SURVEY, .chunk = s->arena.space.singles.first, .accepted = u->accepted};
}

/* ---- Survey */

/* The sparsest chunks that have enough of the waste, but none that is nearly full. */
static void choose_sparse(upkeep *u) {
    uint64_t all = 0, sum = 0;
    for (unsigned i = 0; i < FULLNESS_CLASSES; i++) all += u->free_bytes[i];
    u->wanted = all / WANTED_PART;
    u->quota = u->quota / CHUNKS_PART + 1;
    u->sparse = 0;
    while (u->sparse < FULLNESS_CLASSES - 1 && sum < u->wanted) sum += u->free_bytes[u->sparse++];
}

static void survey(shard *s) {
    upkeep *u = &s->upkeep;
    for (unsigned i = 0; i < SURVEYED_PER_STEP && u->chunk < s->arena.space.singles.top;
         i++, u->chunk++) {
        if (!is_candidate(&s->arena, u->chunk)) continue;
        const chunk_info *info = space_info(&s->arena.space, u->chunk);
        u->free_bytes[fullness(info)] += CHUNK_BYTES - info->size;
        u->quota++;
    }
    if (u->chunk < s->arena.space.singles.top) return;
    choose_sparse(u);
    u->chunk = s->arena.space.singles.first;
    u->phase = UPKEEP_MARK;
}

/* ---- Mark */

/* Goes on with the chunk at u->granule. */
static void drop_free(shard *s) {
    upkeep *u = &s->upkeep;
    if (!arena_drop_free(&s->arena, &u->granule, DROPPED_PER_STEP)) return;
    space_info(&s->arena.space, u->chunk)->leaving = CHUNK_UNLISTED;
    (void)arena_release(&s->arena, u->chunk);
    u->granule = 0;
    u->chunk++;
}

static bool is_enough(const shard *s) {
    const upkeep *u = &s->upkeep;
    return u->chunk >= s->arena.space.singles.top || u->quota == 0 || u->expected >= u->wanted;
}

static bool is_sparse(const shard *s, uint32_t chunk) {
    return is_candidate(&s->arena, chunk) &&
           fullness(space_info(&s->arena.space, chunk)) < s->upkeep.sparse;
}

static void mark(shard *s) {
    upkeep *u = &s->upkeep;
    if (u->granule != 0) {
        drop_free(s);
        return;
    }
    for (unsigned i = 0; i < SURVEYED_PER_STEP && !is_enough(s); i++, u->chunk++) {
        if (!is_sparse(s, u->chunk)) continue;
        chunk_info *info = space_info(&s->arena.space, u->chunk);
        info->leaving = CHUNK_LEAVING;
        s->arena.leaving++;
        u->quota--;
        u->expected += CHUNK_BYTES - info->size;
        u->granule = chunk_start(u->chunk);
        return;
    }
    if (is_enough(s)) u->phase = UPKEEP_MOVE;
}

/* ---- Move */

static bool is_leaving(const shard *s, uint32_t granule) {
    return space_info(&s->arena.space, chunk_of(granule))->leaving != CHUNK_STAYS;
}

typedef struct block_move {
    uint32_t *offset; /* of the slot */
    uint32_t from, to;
    size_t bytes;
} block_move;

typedef struct block_moves {
    block_move all[MOVED_PER_STEP];
    unsigned count;
    size_t bytes;
} block_moves;

/* Copies a block to elsewhere. False if the step's share is used up, or there is no memory. */
static bool copy_block(shard *s, uint32_t *offset, block_moves *moves) {
    if (moves->count == MOVED_PER_STEP || moves->bytes >= BYTES_PER_STEP) return false;
    size_t bytes = block_bytes_of(shard_at(s, *offset), s->fixed_keys);
    uint32_t to = arena_take(&s->arena, bytes);
    if (to == 0) return false;
    words_set(shard_at(s, to), shard_at(s, *offset), round_to_granules(bytes));
    moves->all[moves->count++] = (block_move){offset, *offset, to, bytes};
    moves->bytes += bytes;
    return true;
}

static bool copy_blocks(shard *s, uint8_t *line, block_moves *moves) {
    slots at = table_line_at(line);
    for (;;) {
        for (unsigned i = 0; i < at.capacity && at.offsets[i] != 0; i++) {
            if (is_leaving(s, at.offsets[i]) && !copy_block(s, &at.offsets[i], moves)) return false;
        }
        if (*at.link == 0) return true;
        at = table_node_slots(s, *at.link);
    }
}

static void switch_blocks(shard *s, const block_moves *moves) {
    if (moves->count == 0) return;
    bool locked = seqlock_begin_write(&s->lock);
    for (unsigned i = 0; i < moves->count; i++) {
        word_set(moves->all[i].offset, moves->all[i].to);
    }
    seqlock_end_write(&s->lock, locked);
    for (unsigned i = 0; i < moves->count; i++) {
        arena_give(&s->arena, moves->all[i].from, moves->all[i].bytes);
    }
}

static void end_of_moves(shard *s) {
    upkeep *u = &s->upkeep;
    u->phase = UPKEEP_IDLE;
    bool worth_it = u->gained >= (int64_t)(u->expected / GAIN_PART);
    u->accepted = worth_it ? 0 : arena_waste(&s->arena);
}

static void move_some(shard *s) {
    upkeep *u = &s->upkeep;
    size_t bytes = 0;
    for (unsigned i = 0; i < BUCKETS_PER_STEP && u->bucket < table_buckets(&s->table); i++) {
        uint8_t *line = table_line(s, u->bucket);
        block_moves moves = {.count = 0, .bytes = bytes};
        bool all = copy_blocks(s, line, &moves);
        switch_blocks(s, &moves);
        if (!all) return;
        bytes = moves.bytes;
        u->bucket++;
    }
    if (u->bucket >= table_buckets(&s->table)) u->bucket = 0;
}

static void move(shard *s) {
    uint64_t before = counter_get(&s->arena.used_bytes);
    move_some(s);
    s->upkeep.gained += (int64_t)(before - counter_get(&s->arena.used_bytes));
    if (s->arena.leaving == 0) end_of_moves(s);
}

void upkeep_step(shard *s) {
    switch (s->upkeep.phase) {
    case UPKEEP_IDLE:
        idle(s);
        break;
    case UPKEEP_SURVEY:
        survey(s);
        break;
    case UPKEEP_MARK:
        mark(s);
        break;
    case UPKEEP_MOVE:
        move(s);
        break;
    }
}
