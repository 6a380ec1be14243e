/* leveldb.c - LevelDB: a log-structured merge tree. */
#include "../driver/adapter.h"

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>

#define CACHE_BYTES  ((size_t)1 << 30)
#define BUFFER_BYTES ((size_t)64 << 20)

typedef struct store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *reading;
    leveldb_writeoptions_t *writing;
} store;

static void check(const char *error) {
    if (!error) return;
    fprintf(stderr, "leveldb: %s\n", error);
    exit(1);
}

static void *level_open(const bench_options *options) {
    store *s = malloc(sizeof *s);
    char *error = NULL;
    if (!s) abort();
    s->options = leveldb_options_create();
    s->cache = leveldb_cache_create_lru(CACHE_BYTES);
    s->filter = leveldb_filterpolicy_create_bloom(10);
    leveldb_options_set_create_if_missing(s->options, 1);
    leveldb_options_set_compression(s->options, leveldb_no_compression);
    leveldb_options_set_cache(s->options, s->cache);
    leveldb_options_set_filter_policy(s->options, s->filter);
    leveldb_options_set_write_buffer_size(s->options, BUFFER_BYTES);
    s->reading = leveldb_readoptions_create();
    s->writing = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(s->writing, options->durability == D2);
    s->db = leveldb_open(s->options, options->folder, &error);
    check(error);
    return s;
}

static void level_close(void *handle) {
    store *s = handle;
    leveldb_close(s->db);
    leveldb_options_destroy(s->options);
    leveldb_cache_destroy(s->cache);
    leveldb_filterpolicy_destroy(s->filter);
    leveldb_readoptions_destroy(s->reading);
    leveldb_writeoptions_destroy(s->writing);
    free(s);
}

static void level_set(void *handle, bench_bytes key, bench_bytes value) {
    store *s = handle;
    char *error = NULL;
    leveldb_put(s->db, s->writing, key.data, key.size, value.data, value.size, &error);
    check(error);
}

static void level_get(void *handle, bench_bytes key, bench_answer *answer) {
    store *s = handle;
    char *error = NULL;
    size_t size;
    char *value = leveldb_get(s->db, s->reading, key.data, key.size, &size, &error);
    check(error);
    if (value)
        bench_answer_with(answer, value, size);
    else
        answer->size = ABSENT;
    leveldb_free(value);
}

static void level_remove(void *handle, bench_bytes key) {
    store *s = handle;
    char *error = NULL;
    leveldb_delete(s->db, s->writing, key.data, key.size, &error);
    check(error);
}

static uint64_t level_scan(void *handle) {
    store *s = handle;
    size_t size;
    uint64_t count = 0;
    leveldb_iterator_t *at = leveldb_create_iterator(s->db, s->reading);
    for (leveldb_iter_seek_to_first(at); leveldb_iter_valid(at); leveldb_iter_next(at))
        count +=
            bench_touch(leveldb_iter_key(at, &size)) + bench_touch(leveldb_iter_value(at, &size));
    leveldb_iter_destroy(at);
    return count / 2;
}

static void level_compact(void *handle) {
    leveldb_compact_range(((store *)handle)->db, NULL, 0, NULL, 0);
}

int main(int argc, char **argv) {
#define COMMON ", no compression, cache 1 GiB, bloom filter of 10 bits, write buffer 64 MiB"
    static const adapter level = {
        .name = "LevelDB",
        .settings = {[D1] = "sync = false" COMMON, [D2] = "sync = true" COMMON},
        .open = level_open,
        .close = level_close,
        .set = level_set,
        .get = level_get,
        .remove = level_remove,
        .scan = level_scan,
        .snapshot = level_compact,
    };
    return bench_main(argc, argv, &level);
}
