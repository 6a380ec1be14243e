/* load_check - what memory_load and memory_trim promise: many changes at once leave what the same
 * changes one by one leave, whatever was expected of them; an index that has grown too far is given
 * back. Prints its seed; load_check <seed> repeats a run.
 *
 * A key stands for an id, a value for an id and a size. */
#include <sys/resource.h>
#include "effort.h"
#include "memory_inspect.h"
#include "process_bytes.h"

#define IDS       3000u
#define BATCH     64u
#define BATCHES   300u
#define VALUE_MAX (2 * CHUNK_BYTES)
#define ABSENT    UINT32_MAX

static unsigned passed, failed; /* tests */
static unsigned wrong;          /* checks of the current test that did not hold */

#define CHECK(condition) check((condition), #condition, __func__, __LINE__)

static bool check(bool holds, const char *what, const char *where, int line) {
    if (!holds && wrong++ < 20) printf("FAILED: %s, line %d: %s\n", where, line, what);
    return holds;
}

static uint64_t seed, random_state;

static uint32_t random_below(uint32_t limit) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * UINT64_C(2685821657736338717) >> 32) % limit;
}

static uint32_t random_size(void) {
    if (random_below(100) == 0) return random_below(VALUE_MAX);
    return random_below(random_below(4) ? 120 : 1000);
}

typedef struct model {
    memory m;
    uint32_t sizes[IDS];
    uint64_t keys[IDS]; /* their bytes */
    uint64_t made;
} model;

static uint8_t pattern[VALUE_MAX + 256];

static pkv_bytes value_of(uint32_t id, uint32_t size) {
    return (pkv_bytes){pattern + (id * 31 + size * 7) % 256, size};
}

static memory_key key_of(const model *it, uint32_t id) {
    return memory_key_of(&it->m, (pkv_bytes){&it->keys[id], sizeof it->keys[id]});
}

static model *model_open(uint32_t shards, bool fixed_keys) {
    model *it = calloc(1, sizeof *it);
    if (it == NULL || memory_create(&it->m, shards, fixed_keys, seed) != PKV_OK) {
        printf("out of memory\n");
        exit(2);
    }
    if (seed >> 20 & 1) it->m.region.rows->large_from = 0; /* else small ones */
    for (uint32_t id = 0; id < IDS; id++) {
        it->sizes[id] = ABSENT;
        it->keys[id] = (uint64_t)id << 20 | 1;
    }
    return it;
}

static void model_close(model *it) {
    memory_destroy(&it->m, true);
    free(it);
}

/* Ids below `limit`; some of them several times. */
static void random_items(const model *it, uint32_t limit, unsigned unset_of_8,
                         memory_item items[BATCH], uint32_t ids[BATCH]) {
    for (uint32_t i = 0; i < BATCH; i++) {
        ids[i] = i > 0 && random_below(4) == 0 ? ids[random_below(i)] : random_below(limit);
        uint32_t size = random_size();
        items[i] = (memory_item){.key = key_of(it, ids[i]),
                                 .value = value_of(ids[i], size),
                                 .type = (pkv_type)(size % 5),
                                 .unset = random_below(8) < unset_of_8};
    }
}

static pkv_status load(model *it, const memory_item items[BATCH], const uint32_t ids[BATCH],
                       uint64_t expected) {
    size_t done = 0;
    memory_progress progress = {it->made / it->m.shard_count, expected / it->m.shard_count};
    it->made += BATCH;
    for (uint32_t i = 0; i < it->m.shard_count; i++) memory_begin(&it->m, i);
    pkv_status status = memory_load(&it->m, items, BATCH, progress, &done);
    for (uint32_t i = 0; i < it->m.shard_count; i++) memory_end(&it->m, i);
    CHECK(status == PKV_OK ? done == BATCH : done < BATCH);
    for (size_t i = 0; i < done; i++) {
        it->sizes[ids[i]] = items[i].unset ? ABSENT : (uint32_t)items[i].value.size;
    }
    return status;
}

static void compare(model *it) {
    static uint8_t buffer[VALUE_MAX];
    memory_stats stats = {0};
    uint64_t entries = 0, bytes = 0;
    for (uint32_t id = 0; id < IDS; id++) {
        memory_key key = key_of(it, id);
        size_t size = 0;
        pkv_type type = PKV_BYTES;
        pkv_status status = memory_get(&it->m, &key, buffer, sizeof buffer, &size, &type);
        if (it->sizes[id] == ABSENT) {
            CHECK(status == PKV_NOT_FOUND);
            continue;
        }
        entries++;
        bytes += it->sizes[id];
        if (!CHECK(status == PKV_OK && size == it->sizes[id])) continue;
        CHECK(type == (pkv_type)(size % 5));
        CHECK(memcmp(buffer, value_of(id, it->sizes[id]).data, size) == 0);
    }
    for (uint32_t i = 0; i < it->m.shard_count; i++) {
        memory_count(&it->m, i, &stats);
        const char *flaw = memory_inspect(&it->m, i);
        if (flaw != NULL) printf("shard %u: %s\n", (unsigned)i, flaw);
        CHECK(flaw == NULL);
    }
    CHECK(stats.entries == entries && stats.key_bytes == 8 * entries && stats.value_bytes == bytes);
}

static uint32_t buckets_of(const model *it) {
    uint32_t buckets = 0;
    for (uint32_t i = 0; i < it->m.shard_count; i++)
        buckets += table_buckets(&shard_of(&it->m, i)->table);
    return buckets;
}

/* The buckets that changes one by one make of the entries, most of them set but once: none is
 * merged while entries only come. */
static uint32_t buckets_wanted(const model *it) {
    memory m;
    memory_change change;
    if (!CHECK(memory_create(&m, it->m.shard_count, it->m.fixed_keys, seed) == PKV_OK)) return 0;
    for (uint32_t id = 0; id < IDS; id++) {
        if (it->sizes[id] == ABSENT) continue;
        memory_key key = key_of(it, id);
        const table *t = &shard_of(&m, key.shard)->table;
        uint32_t before = table_buckets(t);
        memory_begin(&m, key.shard);
        if (CHECK(memory_prepare_set(&m, &key, value_of(id, 0), PKV_BYTES, &change) == PKV_OK)) {
            memory_apply(&m, &change);
        }
        memory_end(&m, key.shard);
        CHECK(table_buckets(t) >= before);
    }
    uint32_t buckets = 0;
    for (uint32_t i = 0; i < m.shard_count; i++) buckets += table_buckets(&shard_of(&m, i)->table);
    memory_destroy(&m, true);
    return buckets;
}

static void trim(model *it) {
    for (uint32_t i = 0; i < it->m.shard_count; i++) memory_trim(&it->m, i);
    CHECK(buckets_of(it) == buckets_wanted(it));
    compare(it);
}

/* Growth, churn, decline; with too low, right and far too high a guess of what will come. */
static void loads_match_the_model(bool fixed_keys, uint32_t shards, uint64_t expected) {
    static const unsigned unset_of_8[] = {0, 2, 4, 7, 1};
    static memory_item items[BATCH];
    uint32_t ids[BATCH];
    model *it = model_open(shards, fixed_keys);
    for (uint32_t i = 0; i < BATCHES; i++) {
        random_items(it, IDS, unset_of_8[i / (BATCHES / 5)], items, ids);
        CHECK(load(it, items, ids, expected) == PKV_OK);
        if (i % 50 == 49) compare(it);
    }
    trim(it);
    for (uint32_t i = 0; i < 20; i++) {
        random_items(it, IDS, 8, items, ids);
        CHECK(load(it, items, ids, expected) == PKV_OK);
    }
    trim(it);
    model_close(it);
}

/* Once a shard has to grow, all that it will need is made at once. */
static void the_index_grows_ahead(bool fixed_keys) {
    static memory_item items[BATCH];
    uint32_t ids[BATCH], grown = 0, steps = 0;
    model *it = model_open(1, fixed_keys);
    for (uint32_t id = 0; id + BATCH <= IDS; id += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            ids[i] = id + i;
            items[i] = (memory_item){.key = key_of(it, ids[i]), .value = value_of(ids[i], 10)};
        }
        CHECK(load(it, items, ids, IDS) == PKV_OK);
        steps += buckets_of(it) != grown;
        grown = buckets_of(it);
    }
    CHECK(steps == 1);
    CHECK(buckets_of(it) >= buckets_wanted(it));
    trim(it);
    model_close(it);
}

/* What was expected and has not come is given back. */
static void the_index_is_trimmed(bool fixed_keys) {
    static memory_item items[BATCH];
    uint32_t ids[BATCH];
    model *it = model_open(2, fixed_keys);
    for (uint32_t i = 0; i < 4; i++) {
        random_items(it, 100, 0, items, ids);
        CHECK(load(it, items, ids, 40 * IDS) == PKV_OK);
    }
    CHECK(buckets_of(it) > 8 * buckets_wanted(it));
    compare(it);
    trim(it);
    model_close(it);
}

/* Without memory a load ends at an item, and all before it are there. */
static void a_refused_load_tells_how_far_it_came(bool fixed_keys) {
    static memory_item items[BATCH];
    uint32_t ids[BATCH], refused = 0;
    struct rlimit before, limit;
    uint64_t used = process_bytes(PROCESS_PRIVATE);
    if (SANITIZED || used == 0 || getrlimit(RLIMIT_DATA, &before) != 0) return;
    model *it = model_open(2, fixed_keys);
    limit = before;
    limit.rlim_cur = (rlim_t)(process_bytes(PROCESS_PRIVATE) + 20 * (uint64_t)CHUNK_BYTES);
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
    for (uint32_t i = 0; i < BATCHES && wrong == 0; i++) {
        random_items(it, IDS, 1, items, ids);
        pkv_status status = load(it, items, ids, 10 * IDS);
        CHECK(status == PKV_OK || status == PKV_NO_MEMORY);
        refused += status != PKV_OK;
    }
    (void)setrlimit(RLIMIT_DATA, &before);
    CHECK(refused > 0);
    compare(it);
    trim(it);
    model_close(it);
}

#define TEST(call) (wrong = 0, (call), *(wrong == 0 ? &passed : &failed) += 1)

int main(int argc, char **argv) {
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : os_random();
    random_state = seed | 1;
    printf("seed %llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (uint8_t)random_below(256);
    for (int fixed_keys = 0; fixed_keys < 2; fixed_keys++) {
        TEST(loads_match_the_model(fixed_keys, 1, 0));
        TEST(loads_match_the_model(fixed_keys, 4, (uint64_t)BATCH * BATCHES));
        TEST(loads_match_the_model(fixed_keys, 32, 200 * (uint64_t)IDS));
        TEST(the_index_grows_ahead(fixed_keys));
        TEST(the_index_is_trimmed(fixed_keys));
        TEST(a_refused_load_tells_how_far_it_came(fixed_keys));
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
