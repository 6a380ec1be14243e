/* folder_fuzz.c - whole folders: opened with every kind of keys, read, written to, closed and
 * opened again.
 *
 * Whatever lies in the folder: an open answers with a store or an error, a refused folder is as it
 * was, memory stays in proportion to the files, every entry that is iterated can be got, and what
 * was there at a close is there after the reopen, all of it and nothing else.
 *
 *     flags 0: 1 checksums made right, 2 positioned writes, 4 two shards of the log,
 *              8 a snapshot before the close, 16 and 32 the kind of keys that is tried first
 *     flags 1: the name of the next key that is set
 *     sections, see folder.h
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../src/bytes/hash.h"
#include "../../src/pkv.h"
#include "folder.h"
#include "support.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* In memory, so that a flush costs nothing. */
static char path[64];

static void remove_folder(void) {
    if (path[0]) (void)rmdir(path);
}

static void make_folder(void) {
    if (path[0]) return;
    strcpy(path, access("/dev/shm", W_OK) == 0 ? "/dev/shm/pkv-fuzz-XXXXXX" : "/tmp/pkv-XXXXXX");
    must(mkdtemp(path) != NULL);
    must(atexit(remove_folder) == 0);
}

/* ---- The files */

static int remove_one(void *context, const char *name) {
    return unlinkat(((os_folder *)context)->fd, name, 0) == 0 ? 0 : 1;
}

static void empty_folder(void) {
    os_folder folder;
    must(os_folder_open(path, &folder) == 0);
    must(os_folder_list(&folder, remove_one, &folder) == 0);
    os_folder_close(&folder);
}

static uint64_t write_files(const sections *all) {
    uint64_t sum = 0;
    for (size_t i = 0; i < all->count; i++) {
        char name[FILE_NAME_BYTES], file[sizeof path + FILE_NAME_BYTES + 1];
        const uint8_t *data;
        size_t size;
        if (!section_file(&all->list[i], name, &data, &size)) continue;
        (void)snprintf(file, sizeof file, "%s/%s", path, name);
        int fd = open(file, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0) continue; /* a name that the file system does not take */
        must(write(fd, data, size) == (ssize_t)size);
        must(close(fd) == 0);
        sum += size;
    }
    return sum;
}

/* A sum over names and contents of all files but the lock file. */
static int add_file(void *context, const char *name) {
    uint64_t *sum = context;
    char file[sizeof path + 256 + 1];
    if (strcmp(name, LOCK_NAME) == 0) return 0;
    (void)snprintf(file, sizeof file, "%s/%s", path, name);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    must(fd >= 0);
    uint8_t buffer[4096];
    uint64_t hash = hash_bytes(name, strlen(name), 1);
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        hash = hash_bytes(buffer, (size_t)got, hash);
    }
    must(close(fd) == 0);
    *sum += hash;
    return 0;
}

static uint64_t sum_of_files(void) {
    os_folder folder;
    uint64_t sum = 0;
    must(os_folder_open(path, &folder) == 0);
    must(os_folder_list(&folder, add_file, &sum) == 0);
    os_folder_close(&folder);
    return sum;
}

/* ---- The store */

static void check_got(pkv *store, const pkv_entry *entry) {
    size_t size = 0;
    pkv_type type;
    char *buffer = malloc(entry->value.size + 1);
    must(buffer);
    pkv_status status =
        pkv_get_typed(store, entry->key, buffer, entry->value.size + 1, &size, &type);
    must(status == PKV_OK && size == entry->value.size && type == entry->type);
    must(size == 0 || memcmp(buffer, entry->value.data, size) == 0);
    free(buffer);
}

/* A sum over all entries. */
static uint64_t sum_of_entries(pkv *store) {
    pkv_cursor *cursor;
    pkv_entry entry;
    pkv_status status;
    uint64_t sum = 0, count = 0, expected = 0;
    must(pkv_cursor_open(store, &cursor) == PKV_OK);
    while ((status = pkv_cursor_next(cursor, &entry)) == PKV_OK) {
        check_got(store, &entry);
        uint64_t hash = hash_bytes(entry.key.data, entry.key.size, (uint64_t)entry.type + 1);
        sum += hash_bytes(entry.value.data, entry.value.size, hash);
        count++;
    }
    must(status == PKV_NOT_FOUND);
    pkv_cursor_close(cursor);
    must(pkv_count(store, &expected) == PKV_OK && count == expected);
    return sum;
}

static void check_memory(pkv *store, uint64_t files) {
    pkv_stats stats;
    must(pkv_stats_get(store, &stats) == PKV_OK);
    must(stats.memory_bytes <= MEMORY_ALLOWED(files));
}

static void write_to(pkv *store, uint8_t name) {
    pkv_stats stats;
    must(pkv_stats_get(store, &stats) == PKV_OK);
    uint8_t key[8] = {name};
    pkv_bytes bytes = {key, sizeof key};
    must(pkv_set(store, bytes, (pkv_bytes){"value", 5}) == PKV_OK);
    pkv_entry entry = {bytes, {"value", 5}, PKV_BYTES};
    check_got(store, &entry);
    key[0]++;
    pkv_status status = pkv_unset(store, bytes);
    must(status == PKV_OK || status == PKV_NOT_FOUND);
    status = pkv_get(store, bytes, NULL, 0, &bytes.size);
    must(status == PKV_NOT_FOUND);
}

/* Opens with each kind of keys in turn, until one is right. */
static pkv_status open_any(pkv_config *config, unsigned first, pkv **store) {
    pkv_status status = PKV_KEY_MODE;
    uint64_t before = sum_of_files();
    for (unsigned i = 0; i < 3 && status == PKV_KEY_MODE; i++) {
        config->keys = (pkv_keys)((first + i) % 3);
        status = pkv_open(path, config, store);
        if (!status) return PKV_OK;
        must(status != PKV_LOCKED && pkv_error_detail()->message[0]);
        if (status == PKV_CORRUPT || status == PKV_KEY_MODE || status == PKV_VALUE_TYPE) {
            must(sum_of_files() == before);
        }
    }
    return status;
}

static void use_folder(unsigned flags, uint8_t name, uint64_t files) {
    pkv_config config;
    pkv *store;
    pkv_config_init(&config);
    config.memory_shards = 2;
    config.snapshot_threads = 2;
    config.wal_shards = flags & 4 ? 2 : 1;
    config.wal_io = flags & 2 ? PKV_WAL_IO_PWRITE : PKV_WAL_IO_MMAP;
    if (open_any(&config, flags >> 4 & 3, &store)) return;
    check_memory(store, files);
    (void)sum_of_entries(store);
    write_to(store, name);
    if (flags & 8) must(pkv_snapshot(store) == PKV_OK);
    uint64_t sum = sum_of_entries(store);
    must(pkv_close(store) == PKV_OK);
    config.keys = PKV_KEYS_DEFAULT;
    must(pkv_open(path, &config, &store) == PKV_OK);
    must(sum_of_entries(store) == sum);
    must(pkv_close(store) == PKV_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < FLAG_BYTES) return 0;
    make_folder();
    uint8_t *copy = malloc(size);
    must(copy);
    memcpy(copy, data, size);
    sections all;
    sections_cut(copy + FLAG_BYTES, size - FLAG_BYTES, &all);
    uint8_t *mended = copy[0] & 1 ? sections_mend(&all) : NULL;
    uint64_t files = write_files(&all);
    memory_watch(MEMORY_ALLOWED(files));
    use_folder(copy[0], copy[1], files);
    memory_unwatch();
    empty_folder();
    free(mended);
    free(copy);
    return 0;
}

/* Changes one file or its name, so that the files behind it stay what they are. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    if (size < FLAG_BYTES + HEAD_BYTES || seed % 4 == 0) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    uint8_t *copy = malloc(size), *file = malloc(max_size);
    must(copy && file);
    memcpy(copy, data, size);
    sections all;
    sections_cut(copy + FLAG_BYTES, size - FLAG_BYTES, &all);
    section *s = &all.list[seed / 4 % all.count];
    size_t room = max_size - size < 4096 ? s->size + max_size - size : s->size + 4096;
    if (s->size) memcpy(file, s->data, s->size);
    if (room > 0 && room <= max_size && seed % 16 != 1) {
        s->size = LLVMFuzzerMutate(file, s->size, room);
        s->data = file;
    } else {
        s->ordinal = (uint8_t)(seed >> 8);
        s->shard = (uint8_t)(seed >> 16 & 0x33);
    }
    size_t made = sections_join(&all, data + FLAG_BYTES, max_size - FLAG_BYTES);
    free(copy);
    free(file);
    if (made) return FLAG_BYTES + made;
    return LLVMFuzzerMutate(data, size, max_size);
}
