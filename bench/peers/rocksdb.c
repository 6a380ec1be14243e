/* rocksdb.c - RocksDB: a log-structured merge tree. Its documentation has a preset for those who
 * only get and put, optimize_for_point_lookup (a hash index in the blocks, bloom filters, a cache).
 */
#include "../driver/adapter.h"

#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CACHE_MEGABYTES 1024
#define MANY_MAX        256

typedef struct store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_readoptions_t *reading;
    rocksdb_writeoptions_t *writing;
} store;

static void check(const char *error) {
    if (!error) return;
    fprintf(stderr, "rocksdb: %s\n", error);
    exit(1);
}

static void *rocks_open(const bench_options *options) {
    store *s = malloc(sizeof *s);
    char *error = NULL;
    if (!s) abort();
    s->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(s->options, 1);
    rocksdb_options_optimize_for_point_lookup(s->options, CACHE_MEGABYTES);
    rocksdb_options_increase_parallelism(s->options, (int)sysconf(_SC_NPROCESSORS_ONLN));
    rocksdb_options_set_compression(s->options, rocksdb_no_compression);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(s->options, 1);
    rocksdb_options_set_bytes_per_sync(s->options, 1 << 20);
    s->reading = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(s->reading, 0);
    s->writing = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(s->writing, options->durability == D2);
    rocksdb_writeoptions_disable_WAL(s->writing, options->durability == D0);
    s->db = rocksdb_open(s->options, options->folder, &error);
    check(error);
    return s;
}

static void rocks_close(void *handle) {
    store *s = handle;
    rocksdb_close(s->db);
    rocksdb_options_destroy(s->options);
    rocksdb_readoptions_destroy(s->reading);
    rocksdb_writeoptions_destroy(s->writing);
    free(s);
}

static void rocks_set(void *handle, bench_bytes key, bench_bytes value) {
    store *s = handle;
    char *error = NULL;
    rocksdb_put(s->db, s->writing, key.data, key.size, value.data, value.size, &error);
    check(error);
}

static void rocks_get(void *handle, bench_bytes key, bench_answer *answer) {
    store *s = handle;
    char *error = NULL;
    size_t size;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(s->db, s->reading, key.data, key.size, &error);
    check(error);
    const char *value = rocksdb_pinnableslice_value(slice, &size);
    if (slice)
        bench_answer_with(answer, value, size);
    else
        answer->size = ABSENT;
    rocksdb_pinnableslice_destroy(slice);
}

static void rocks_get_many(void *handle, size_t count, const bench_bytes *keys,
                           bench_answer *answers) {
    store *s = handle;
    const char *names[MANY_MAX];
    char *values[MANY_MAX], *errors[MANY_MAX];
    size_t lengths[MANY_MAX], sizes[MANY_MAX];
    if (count == 0 || count > MANY_MAX) abort();
    for (size_t i = 0; i < count; i++) {
        names[i] = keys[i].data;
        lengths[i] = keys[i].size;
    }
    rocksdb_multi_get(s->db, s->reading, count, names, lengths, values, sizes, errors);
    for (size_t i = 0; i < count; i++) {
        check(errors[i]);
        if (values[i])
            bench_answer_with(&answers[i], values[i], sizes[i]);
        else
            answers[i].size = ABSENT;
        rocksdb_free(values[i]);
    }
}

static void rocks_remove(void *handle, bench_bytes key) {
    store *s = handle;
    char *error = NULL;
    rocksdb_delete(s->db, s->writing, key.data, key.size, &error);
    check(error);
}

static uint64_t rocks_scan(void *handle) {
    store *s = handle;
    size_t size;
    uint64_t count = 0;
    rocksdb_iterator_t *at = rocksdb_create_iterator(s->db, s->reading);
    for (rocksdb_iter_seek_to_first(at); rocksdb_iter_valid(at); rocksdb_iter_next(at))
        count +=
            bench_touch(rocksdb_iter_key(at, &size)) + bench_touch(rocksdb_iter_value(at, &size));
    rocksdb_iter_destroy(at);
    return count / 2;
}

static void rocks_sync(void *handle) {
    char *error = NULL;
    rocksdb_flush_wal(((store *)handle)->db, 1, &error);
    check(error);
}

static void rocks_compact(void *handle) {
    rocksdb_compact_range(((store *)handle)->db, NULL, 0, NULL, 0);
}

int main(int argc, char **argv) {
#define COMMON                                                                                     \
    ", optimize_for_point_lookup with a cache of 1 GiB, increase_parallelism, no compression, "    \
    "dynamic level bytes, bytes_per_sync 1 MiB, reads without checksums"
    static const adapter rocks = {
        .name = "RocksDB",
        .settings = {"disableWAL" COMMON, "sync = false" COMMON, "sync = true" COMMON},
        .open = rocks_open,
        .close = rocks_close,
        .set = rocks_set,
        .get = rocks_get,
        .get_many = rocks_get_many,
        .remove = rocks_remove,
        .scan = rocks_scan,
        .sync = rocks_sync,
        .snapshot = rocks_compact,
    };
    return bench_main(argc, argv, &rocks);
}
