/* memory_check - random operations on a memory against a simple model of it, and what else
 * src/memory/ promises. Prints its seed; memory_check <seed> repeats a run.
 *
 * A key stands for an id, a value for an id and a size, so that a thread that knows nothing of the
 * others can tell a right value from a wrong one. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include "effort.h"
#include "memory_inspect.h"
#include "process_bytes.h"

#define IDS            4000u
#define STEPS          (SANITIZED ? 10000u : 60000u)
#define LARGEST        (5 * CHUNK_BYTES)
#define LARGEST_OF_ALL (80 * CHUNK_BYTES)
#define KEY_BYTES      400u
#define ABSENT         UINT32_MAX

static unsigned passed, failed; /* tests */
static unsigned wrong;          /* checks of the current test that did not hold */

#define CHECK(condition) check((condition), #condition, __func__, __LINE__)

static bool check(bool holds, const char *what, const char *where, int line) {
    if (!holds && wrong++ < 20) {
        printf("FAILED: %s, line %d: %s\n", where, line, what);
    }
    return holds;
}

/* ---- Random numbers: xorshift64* (Vigna 2016) */

static uint64_t seed;
static uint64_t random_state;

static uint64_t random_next(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static uint32_t random_below(uint32_t limit) {
    return (uint32_t)(random_next(&random_state) >> 32) % limit;
}

/* Mostly small, now and then larger than a chunk. */
static uint32_t random_size(void) {
    switch (random_below(32)) {
    case 0:
        return random_below(LARGEST);
    case 1:
        return random_below(CHUNK_BYTES);
    case 2:
        return random_below(CHUNK_BYTES / 4);
    case 3:
    case 4:
        return 0;
    default:
        return random_below(random_below(2) ? 40 : 300);
    }
}

/* ---- Keys and values */

typedef struct key_buffer {
    uint8_t bytes[KEY_BYTES];
    size_t size;
} key_buffer;

/* Variable keys have 0 bytes (one of them), 4 to 43, or many. */
static key_buffer key_of(const memory *m, uint32_t id) {
    key_buffer key = {.size = 8};
    memset(key.bytes, (int)(id & 0x7f), sizeof key.bytes);
    memcpy(key.bytes, &id, sizeof id);
    if (m->fixed_keys) {
        memset(key.bytes + 4, 0, 4);
    } else {
        key.size = id == 0 ? 0 : id % 50 == 1 ? 130 + id % 270 : 4 + id % 40;
    }
    return key;
}

static uint32_t id_of(const uint8_t *key, size_t size) {
    uint32_t id = 0;
    if (size >= 4) memcpy(&id, key, sizeof id);
    return id;
}

/* Random bytes; a value is a part of them. */
static uint8_t pattern[LARGEST_OF_ALL + 256];

static void pattern_fill(void) {
    for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (uint8_t)random_below(256);
}

static const uint8_t *value_of(uint32_t id, size_t size) {
    return pattern + (id * 31 + size * 7) % 256;
}

static bool value_is_right(const uint8_t *value, uint32_t id, size_t size, size_t copied) {
    return copied == 0 || memcmp(value, value_of(id, size), copied) == 0;
}

static pkv_type type_of(size_t size) {
    return (pkv_type)(size % 5);
}

/* ---- Operations */

static pkv_status set(memory *m, uint32_t id, size_t size) {
    key_buffer bytes = key_of(m, id);
    memory_key key = memory_key_of(m, (pkv_bytes){bytes.bytes, bytes.size});
    memory_change change;
    memory_begin(m, key.shard);
    pkv_bytes value = {value_of(id, size), size};
    pkv_status status = memory_prepare_set(m, &key, value, type_of(size), &change);
    if (status == PKV_OK) memory_apply(m, &change);
    memory_end(m, key.shard);
    return status;
}

static pkv_status unset(memory *m, uint32_t id) {
    key_buffer bytes = key_of(m, id);
    memory_key key = memory_key_of(m, (pkv_bytes){bytes.bytes, bytes.size});
    memory_change change;
    memory_begin(m, key.shard);
    pkv_status status = memory_prepare_unset(m, &key, &change);
    if (status == PKV_OK) memory_apply(m, &change);
    memory_end(m, key.shard);
    return status;
}

/* The size of a right value; ABSENT where there is none, ABSENT - 1 where it is wrong. */
static uint32_t get(memory *m, uint32_t id, uint8_t *buffer, size_t capacity) {
    key_buffer bytes = key_of(m, id);
    memory_key key = memory_key_of(m, (pkv_bytes){bytes.bytes, bytes.size});
    size_t size;
    pkv_type type;
    if (memory_get(m, &key, buffer, capacity, &size, &type) != PKV_OK) return ABSENT;
    size_t copied = size < capacity ? size : capacity;
    bool right = type == type_of(size) && value_is_right(buffer, id, size, copied);
    return right ? (uint32_t)size : ABSENT - 1;
}

static memory_stats count(memory *m) {
    memory_stats stats = {0};
    for (uint32_t i = 0; i < m->shard_count; i++) memory_count(m, i, &stats);
    return stats;
}

static void inspect(memory *m) {
    for (uint32_t i = 0; i < m->shard_count; i++) {
        const char *flaw = memory_inspect(m, i);
        if (flaw != NULL) printf("shard %u: %s\n", (unsigned)i, flaw);
        CHECK(flaw == NULL);
    }
}

/* ---- The model: sizes by id */

typedef struct model {
    memory m;
    uint32_t sizes[IDS];
    uint8_t buffer[LARGEST];
} model;

static model *model_open(uint32_t shards, bool fixed_keys) {
    model *it = calloc(1, sizeof *it);
    if (it == NULL || memory_create(&it->m, shards, fixed_keys, seed) != PKV_OK) {
        printf("out of memory\n");
        exit(2);
    }
    if (seed >> 20 & 1) it->m.region.rows->large_from = 0; /* else small ones */
    for (uint32_t i = 0; i < IDS; i++) it->sizes[i] = ABSENT;
    return it;
}

static void model_close(model *it) {
    memory_destroy(&it->m, true);
    free(it);
}

static void model_set(model *it, uint32_t id, uint32_t size) {
    if (CHECK(set(&it->m, id, size) == PKV_OK)) it->sizes[id] = size;
}

static void model_unset(model *it, uint32_t id) {
    CHECK(unset(&it->m, id) == (it->sizes[id] == ABSENT ? PKV_NOT_FOUND : PKV_OK));
    it->sizes[id] = ABSENT;
}

static void model_check(model *it, uint32_t id) {
    size_t capacity = random_below(4) ? LARGEST : random_below(50);
    CHECK(get(&it->m, id, it->buffer, capacity) == it->sizes[id]);
}

static void model_abandon(model *it, uint32_t id, uint32_t size) {
    key_buffer bytes = key_of(&it->m, id);
    memory_key key = memory_key_of(&it->m, (pkv_bytes){bytes.bytes, bytes.size});
    memory_change change;
    memory_begin(&it->m, key.shard);
    pkv_status status = memory_prepare_unset(&it->m, &key, &change);
    if (status == PKV_OK) memory_abandon(&it->m, &change);
    CHECK(status == (it->sizes[id] == ABSENT ? PKV_NOT_FOUND : PKV_OK));
    status = memory_prepare_set(&it->m, &key, (pkv_bytes){pattern, size}, PKV_BYTES, &change);
    if (CHECK(status == PKV_OK)) memory_abandon(&it->m, &change);
    memory_end(&it->m, key.shard);
}

static void model_counts(model *it) {
    memory_stats stats = count(&it->m), expected = {0};
    for (uint32_t id = 0; id < IDS; id++) {
        if (it->sizes[id] == ABSENT) continue;
        expected.entries++;
        expected.key_bytes += key_of(&it->m, id).size;
        expected.value_bytes += it->sizes[id];
    }
    CHECK(stats.entries == expected.entries);
    CHECK(stats.key_bytes == expected.key_bytes);
    CHECK(stats.value_bytes == expected.value_bytes);
    CHECK(stats.used_bytes >= stats.value_bytes + stats.free_bytes);
}

/* An entry of a walk: the right key, and the right value unless it is to be fetched. */
static uint32_t walked(const memory *m, const walk_step *step, size_t index) {
    const walk_entry *entry = &step->entries[index];
    uint32_t id = id_of(step->bytes + entry->key, entry->key_size);
    if (!CHECK(id < IDS)) return 0;
    key_buffer key = key_of(m, id);
    CHECK(entry->key_size == key.size);
    CHECK(memcmp(step->bytes + entry->key, key.bytes, key.size) == 0);
    CHECK(entry->type == type_of(entry->value_size));
    CHECK(entry->fetch == (entry->value_size > WALK_VALUE_MAX));
    size_t copied = entry->fetch ? 0 : entry->value_size;
    CHECK(value_is_right(step->bytes + entry->value, id, entry->value_size, copied));
    return id;
}

static void model_walk(model *it) {
    static uint8_t seen[IDS];
    memset(seen, 0, sizeof seen);
    walk_step step = {0};
    for (uint32_t n = 0; n < it->m.shard_count; n++) {
        uint64_t position = 0;
        while (memory_walk(&it->m, n, &position, &step) == PKV_OK) {
            for (size_t i = 0; i < step.count; i++) {
                uint32_t id = walked(&it->m, &step, i);
                CHECK(it->sizes[id] == step.entries[i].value_size);
                seen[id]++;
            }
        }
        CHECK(memory_walk(&it->m, n, &position, &step) == PKV_NOT_FOUND);
    }
    for (uint32_t id = 0; id < IDS; id++) CHECK(seen[id] == (it->sizes[id] != ABSENT));
    walk_step_release(&step);
}

/* ---- What is promised */

/* Phases of growth, churn and decline, so that buckets split and merge. */
static void operations_match_the_model(bool fixed_keys, uint32_t shards) {
    static const uint32_t unset_of_8[] = {1, 4, 7, 3, 6, 1};
    model *it = model_open(shards, fixed_keys);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t id = random_below(IDS);
        if (random_below(16) == 0) model_abandon(it, id, random_size());
        if (random_below(8) < unset_of_8[i / (STEPS / 6) % 6]) {
            model_unset(it, id);
        } else {
            model_set(it, id, random_size());
        }
        model_check(it, id);
        model_check(it, random_below(IDS));
        if (i % (STEPS / 40) == 0) inspect(&it->m);
        if (i % (STEPS / 10) == 0) model_walk(it);
        if (i % (STEPS / 10) == 0) model_counts(it);
    }
    inspect(&it->m);
    model_walk(it);
    for (uint32_t id = 0; id < IDS; id++) model_unset(it, id);
    model_counts(it);
    inspect(&it->m);
    model_close(it);
}

/* Ids below a quarter stay; the others come and go between the steps, all at once now and then. */
static void change_between_steps(model *it) {
    uint32_t changes = random_below(8) ? random_below(20) : random_below(IDS);
    bool decline = random_below(2);
    for (uint32_t i = 0; i < changes; i++) {
        uint32_t id = IDS / 4 + random_below(IDS - IDS / 4);
        if (random_below(8) ? decline : !decline) {
            model_unset(it, id);
        } else {
            model_set(it, id, random_below(100));
        }
    }
    for (uint32_t i = 0; i < changes / 8; i++)
        model_set(it, random_below(IDS / 4), random_below(100));
}

static void walks_see_what_stays_once(bool fixed_keys) {
    static uint8_t seen[IDS];
    model *it = model_open(1, fixed_keys);
    walk_step step = {0};
    for (uint32_t id = 0; id < IDS / 4; id++) model_set(it, id, random_below(100));
    for (int round = 0; round < (SANITIZED ? 3 : 12); round++) {
        memset(seen, 0, sizeof seen);
        uint64_t position = 0;
        while (memory_walk(&it->m, 0, &position, &step) == PKV_OK) {
            for (size_t i = 0; i < step.count; i++) seen[walked(&it->m, &step, i)]++;
            if (random_below(4) == 0) change_between_steps(it);
        }
        for (uint32_t id = 0; id < IDS; id++) CHECK(id < IDS / 4 ? seen[id] == 1 : seen[id] <= 1);
        inspect(&it->m);
    }
    walk_step_release(&step);
    model_close(it);
}

static void abandoned_changes_leave_no_trace(bool fixed_keys) {
    model *it = model_open(1, fixed_keys);
    for (uint32_t id = 0; id < IDS; id += 2) model_set(it, id, random_below(200));
    for (uint32_t i = 0; i < 100; i++) model_abandon(it, random_below(IDS), random_size());
    memory_stats before = count(&it->m);
    for (uint32_t i = 0; i < STEPS / 4; i++) model_abandon(it, random_below(IDS), random_size());
    memory_stats after = count(&it->m);
    CHECK(after.entries == before.entries);
    CHECK(after.used_bytes <= before.used_bytes + CHUNK_BYTES);
    model_counts(it);
    model_walk(it);
    inspect(&it->m);
    model_close(it);
}

/* A value of the same size is written over, whatever was expected. */
static void values_are_overwritten(bool fixed_keys) {
    model *it = model_open(1, fixed_keys);
    for (uint32_t id = 0; id < IDS / 2; id++) model_set(it, id, 97 + id % 4);
    for (uint32_t i = 0; i < STEPS / 2; i++) {
        uint32_t id = random_below(IDS / 2), size = 97 + random_below(4);
        model_set(it, id, i < STEPS / 4 ? it->sizes[id] : size);
        if (random_below(8) == 0) model_abandon(it, random_below(IDS), random_below(200));
        if (random_below(8) == 0) model_set(it, IDS / 2 + random_below(IDS / 2), 100);
        if (random_below(8) == 0) model_unset(it, IDS / 2 + random_below(IDS / 2));
        model_check(it, id);
    }
    model_counts(it);
    model_walk(it);
    inspect(&it->m);
    model_close(it);
}

/* Random sizes, half of the entries going and coming: waste stays a part of the whole. */
static void memory_is_bounded_under_churn(bool fixed_keys) {
    model *it = model_open(1, fixed_keys);
    for (uint32_t i = 0; i < 3 * STEPS; i++) {
        uint32_t id = random_below(IDS);
        uint32_t size = i / STEPS % 2 ? 20 + random_below(40) : random_below(400);
        if (random_below(3) == 0) {
            model_unset(it, id);
        } else {
            model_set(it, id, size);
        }
    }
    memory_stats stats = count(&it->m);
    uint64_t payload = stats.key_bytes + stats.value_bytes + 24 * stats.entries;
    CHECK(stats.free_bytes <= payload / 8 + 6 * CHUNK_BYTES);
    CHECK(stats.used_bytes <= payload + payload / 8 + 8 * CHUNK_BYTES);

    for (uint32_t id = 0; id < IDS; id++) model_unset(it, id);
    stats = count(&it->m);
    CHECK(stats.entries == 0 && stats.key_bytes == 0 && stats.value_bytes == 0);
    CHECK(stats.used_bytes <= 8 * CHUNK_BYTES + 16384);
    inspect(&it->m);
    memory_clear(&it->m, 0);
    CHECK(count(&it->m).used_bytes <= 3 * PAGE_COUNTED);
    CHECK(count(&it->m).free_bytes == 0);
    inspect(&it->m);
    model_set(it, 7, 70);
    model_check(it, 7);
    model_close(it);
}

/* What remains of many entries after most have gone is brought together, by the changes that
 * follow. */
static void sparse_chunks_are_evacuated(bool fixed_keys) {
    model *it = model_open(1, fixed_keys);
    uint32_t size = CHUNK_BYTES / 64;
    for (uint32_t id = 0; id < IDS; id++) model_set(it, id, size);
    for (uint32_t i = 0; i < 4 * IDS; i++) {
        uint32_t id = random_below(IDS);
        if (id % 4 != 0) model_unset(it, id);
    }
    for (uint32_t i = 0; i < IDS; i++) model_set(it, random_below(IDS / 4) * 4, size);
    memory_stats stats = count(&it->m);
    CHECK(stats.free_bytes <= stats.used_bytes / 16 + 3 * CHUNK_BYTES);
    inspect(&it->m);
    model_walk(it);
    model_close(it);
}

/* A few values of many chunks, overwritten with other sizes: address space is reused as well. */
static void large_values_are_reused(void) {
    enum { VALUES = 6 };
    uint32_t largest = LARGEST_OF_ALL;
    memory m;
    uint8_t *buffer = malloc(largest);
    uint32_t sizes[VALUES] = {0};
    if (!CHECK(buffer != NULL && memory_create(&m, 1, false, seed) == PKV_OK)) return;
    uint32_t first = shard_of(&m, 0)->arena.space.runs.first;
    uint64_t resident = process_bytes(PROCESS_RESIDENT);
    for (int i = 0; i < (SANITIZED ? 100 : 300); i++) {
        uint32_t id = random_below(VALUES);
        sizes[id] = largest / 2 + random_below(largest / 2);
        CHECK(set(&m, id, sizes[id]) == PKV_OK);
        id = random_below(VALUES);
        CHECK(get(&m, id, buffer, largest) == sizes[id] || sizes[id] == 0);
        CHECK(shard_of(&m, 0)->arena.space.runs.top - first <= 3 * VALUES * 80);
        inspect(&m);
    }
    for (uint32_t id = 0; id < VALUES; id++) (void)unset(&m, id);
    CHECK(count(&m).used_bytes <= 2 * CHUNK_BYTES + 16384);
    CHECK(SANITIZED || process_bytes(PROCESS_RESIDENT) <= resident + largest + largest / 2);
    inspect(&m);
    memory_destroy(&m, true);
    free(buffer);
}

/* ---- No memory: the kernel refuses to make more of the reservation writable */

static void fill_until_refused(model *it) {
    unsigned refused = 0;
    for (uint32_t i = 0; i < 40 * IDS; i++) {
        uint32_t id = random_below(IDS), size = random_size();
        if (random_below(4) == 0) {
            model_unset(it, id);
        } else {
            pkv_status status = set(&it->m, id, size);
            if (status == PKV_OK) it->sizes[id] = size;
            CHECK(status == PKV_OK || status == PKV_NO_MEMORY);
            refused += status != PKV_OK;
        }
        model_check(it, id);
        if (i % (4 * IDS) == 0) inspect(&it->m);
    }
    CHECK(refused > 0);
}

static void a_refused_change_changes_nothing(bool fixed_keys) {
    struct rlimit before, limit;
    uint64_t used = process_bytes(PROCESS_PRIVATE);
    if (SANITIZED || used == 0 || getrlimit(RLIMIT_DATA, &before) != 0) return;
    model *it = model_open(2, fixed_keys);
    for (uint32_t id = 0; id < IDS / 2; id++) model_set(it, id, random_below(100));

    limit = before;
    limit.rlim_cur = (rlim_t)(process_bytes(PROCESS_PRIVATE) + 24 * (uint64_t)CHUNK_BYTES);
    if (CHECK(setrlimit(RLIMIT_DATA, &limit) == 0)) fill_until_refused(it);
    memory other;
    limit.rlim_cur = os_page_size(); /* 0 would stand for something else */
    (void)setrlimit(RLIMIT_DATA, &limit);
    CHECK(memory_create(&other, 4, fixed_keys, seed) == PKV_NO_MEMORY);
    CHECK(other.region.reserved == NULL);
    (void)setrlimit(RLIMIT_DATA, &before);

    inspect(&it->m);
    model_counts(it);
    model_walk(it);
    for (uint32_t id = 0; id < IDS; id++) model_set(it, id, random_below(200));
    inspect(&it->m);
    model_walk(it);
    model_close(it);
}

/* ---- Threads: they check what they see by itself, the rest is checked when they have ended */

typedef struct worker {
    memory *m;
    uint64_t random;
    uint32_t number;
    unsigned wrong;
} worker;

static atomic_bool writers_done;

static void *write_own_ids(void *context) {
    worker *w = context;
    for (uint32_t i = 0; i < STEPS; i++) {
        uint64_t random = random_next(&w->random);
        uint32_t id = (uint32_t)(random >> 40) % (IDS / 2) * 2 + w->number;
        uint32_t size = random % 64 == 0 ? 2 * CHUNK_BYTES - 1 : (uint32_t)(random >> 20) % 200;
        if ((random >> 8) % 8 < (i / (STEPS / 4) % 2 ? 5u : 2u)) {
            (void)unset(w->m, id);
        } else {
            w->wrong += set(w->m, id, size) != PKV_OK;
        }
    }
    return NULL;
}

static void *read_all_ids(void *context) {
    worker *w = context;
    uint8_t *buffer = malloc(2 * CHUNK_BYTES);
    memory_stats stats = {0};
    while (buffer != NULL && !atomic_load(&writers_done)) {
        uint32_t id = (uint32_t)(random_next(&w->random) >> 32) % IDS;
        w->wrong += get(w->m, id, buffer, 2 * CHUNK_BYTES) == ABSENT - 1;
        memory_count(w->m, id % w->m->shard_count, &stats);
    }
    free(buffer);
    return NULL;
}

static void *walk_all_shards(void *context) {
    worker *w = context;
    walk_step step = {0};
    while (!atomic_load(&writers_done)) {
        uint32_t n = (uint32_t)(random_next(&w->random) >> 32) % w->m->shard_count;
        uint64_t position = 0;
        while (memory_walk(w->m, n, &position, &step) == PKV_OK) {
            for (size_t i = 0; i < step.count; i++) {
                const walk_entry *entry = &step.entries[i];
                uint32_t id = id_of(step.bytes + entry->key, entry->key_size);
                const uint8_t *value = step.bytes + entry->value;
                size_t size = entry->value_size;
                w->wrong += !value_is_right(value, id, size, entry->fetch ? 0 : size);
            }
        }
    }
    walk_step_release(&step);
    return NULL;
}

static void threads_see_whole_entries(bool fixed_keys) {
    static void *(*const bodies[])(void *) = {write_own_ids, write_own_ids, read_all_ids,
                                              read_all_ids, walk_all_shards};
    enum { WORKERS = sizeof bodies / sizeof *bodies };
    memory m;
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    if (!CHECK(memory_create(&m, 2, fixed_keys, seed) == PKV_OK)) return;
    atomic_store(&writers_done, false);
    for (uint32_t i = 0; i < WORKERS; i++) {
        uint64_t state = random_next(&random_state);
        workers[i] = (worker){.m = &m, .random = state ? state : 1, .number = i};
        CHECK(pthread_create(&threads[i], NULL, bodies[i], &workers[i]) == 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (i == 2) atomic_store(&writers_done, true);
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(workers[i].wrong == 0);
    }
    inspect(&m);
    memory_destroy(&m, true);
}

static void limits_are_kept(void) {
    memory m = {0};
    memory_destroy(&m, true);
    if (!CHECK(memory_create(&m, 1, false, seed) == PKV_OK)) return;
    memory_key key = memory_key_of(&m, (pkv_bytes){"key", 3});
    memory_change change;
    memory_begin(&m, 0);
    pkv_bytes value = {"", PKV_VALUE_MAX + 1};
    CHECK(memory_prepare_set(&m, &key, value, PKV_BYTES, &change) == PKV_TOO_LARGE);
    key.bytes.size = PKV_KEY_MAX + 1;
    value.size = 0;
    CHECK(memory_prepare_set(&m, &key, value, PKV_BYTES, &change) == PKV_TOO_LARGE);
    memory_end(&m, 0);
    inspect(&m);
    memory_destroy(&m, false);
}

#define TEST(call) (wrong = 0, (call), *(wrong == 0 ? &passed : &failed) += 1)

int main(int argc, char **argv) {
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : os_random();
    random_state = seed | 1;
    printf("seed %llu\n", (unsigned long long)seed);
    pattern_fill();
    for (int fixed_keys = 0; fixed_keys < 2; fixed_keys++) {
        TEST(operations_match_the_model(fixed_keys, 1));
        TEST(operations_match_the_model(fixed_keys, 4));
        TEST(walks_see_what_stays_once(fixed_keys));
        TEST(abandoned_changes_leave_no_trace(fixed_keys));
        TEST(values_are_overwritten(fixed_keys));
        TEST(memory_is_bounded_under_churn(fixed_keys));
        TEST(sparse_chunks_are_evacuated(fixed_keys));
        TEST(a_refused_change_changes_nothing(fixed_keys));
        TEST(threads_see_whole_entries(fixed_keys));
    }
    TEST(large_values_are_reused());
    TEST(limits_are_kept());
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
