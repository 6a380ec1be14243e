/* micro.c - what each operation of the store alone costs: in nanoseconds, by one thread, with
 * entries of 16 + 100 bytes, few enough for the caches and too many for them.
 *
 *     micro [ENTRIES [OPERATION [SECONDS]]]
 *
 * With an operation, only that is repeated for so many seconds, for a profiler to look at. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../src/pkv.h"
#include "driver/system.h"
#include "driver/workload.h"

#define IN_CACHE     1000
#define OUT_OF_CACHE 1000000
#define BATCH        64
#define VALUE_SIZE   100

typedef struct micro {
    pkv *store;
    workload work;
    permutation visit;
    uint64_t missing; /* next of the keys that are not there */
} micro;

static void check(pkv_status status) {
    if (status != PKV_OK) die("%s", pkv_error_detail()->message);
}

/* ---- Each does `count` operations, at most as many as there are entries */

static pkv_bytes key_of(const micro *m, uint64_t entry, unsigned char key[KEY_MAX]) {
    bench_bytes made = make_key(&m->work, entry, key);
    return (pkv_bytes){made.data, made.size};
}

static void set_one(micro *m, uint64_t entry) {
    unsigned char key[KEY_MAX];
    bench_bytes value = make_value(&m->work, entry);
    check(pkv_set(m->store, key_of(m, entry, key), (pkv_bytes){value.data, value.size}));
}

static void set_known(micro *m, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) set_one(m, next_permuted(&m->visit));
}

/* Into a store that has been emptied. */
static void set_new(micro *m, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) set_one(m, i);
}

static void unset_all(micro *m, uint64_t count) {
    unsigned char key[KEY_MAX];
    for (uint64_t i = 0; i < count; i++)
        check(pkv_unset(m->store, key_of(m, next_permuted(&m->visit), key)));
}

static void get_hit(micro *m, uint64_t count) {
    unsigned char key[KEY_MAX], value[VALUE_SIZE];
    size_t size;
    for (uint64_t i = 0; i < count; i++)
        check(pkv_get(m->store, key_of(m, next_permuted(&m->visit), key), value, sizeof value,
                      &size));
}

static void get_miss(micro *m, uint64_t count) {
    unsigned char key[KEY_MAX], value[VALUE_SIZE];
    size_t size;
    for (uint64_t i = 0; i < count; i++)
        if (pkv_get(m->store, key_of(m, m->missing++, key), value, sizeof value, &size) !=
            PKV_NOT_FOUND)
            die("a key that was never set is there");
}

static void get_many(micro *m, uint64_t count) {
    unsigned char keys[BATCH][KEY_MAX], buffers[BATCH][VALUE_SIZE];
    pkv_bytes wanted[BATCH];
    pkv_value values[BATCH];
    for (int i = 0; i < BATCH; i++)
        values[i] = (pkv_value){.buffer = buffers[i], .capacity = VALUE_SIZE};
    for (uint64_t done = 0; done < count; done += BATCH) {
        for (int i = 0; i < BATCH; i++) wanted[i] = key_of(m, next_permuted(&m->visit), keys[i]);
        check(pkv_get_many(m->store, BATCH, wanted, values));
    }
}

static void iterate(micro *m, uint64_t count) {
    pkv_cursor *cursor;
    pkv_entry entry;
    check(pkv_cursor_open(m->store, &cursor));
    for (uint64_t i = 0; i < count; i++) check(pkv_cursor_next(cursor, &entry));
    pkv_cursor_close(cursor);
}

static const struct {
    const char *name;
    void (*run)(micro *, uint64_t count);
    int empties, fills; /* what it does to the entries */
} operations[] = {{"set_known", set_known, 0, 0}, {"get_hit", get_hit, 0, 0},
                  {"get_miss", get_miss, 0, 0},   {"get_many", get_many, 0, 0},
                  {"iterate", iterate, 0, 0},     {"unset", unset_all, 1, 0},
                  {"set_new", set_new, 0, 1}};

#define OPERATIONS (sizeof operations / sizeof *operations)

/* ---- Measuring */

static int is_full(const micro *m) {
    uint64_t count;
    check(pkv_count(m->store, &count));
    return count == m->work.entries;
}

/* Repeats an operation over all entries for so long; filling and emptying in between is not
 * counted. */
static void measure(micro *m, size_t operation, double seconds) {
    uint64_t spent = 0, done = 0, entries = m->work.entries;
    do {
        if (operations[operation].fills && is_full(m)) unset_all(m, entries);
        if (!operations[operation].fills && !is_full(m)) set_new(m, entries);
        uint64_t start = now();
        operations[operation].run(m, entries);
        spent += now() - start;
        done += entries;
    } while ((double)spent < seconds * 1e9);
    printf("%9.1f", (double)spent / (double)done);
    fflush(stdout);
}

static pkv *open_in(char folder[]) {
    pkv *store;
    if (!mkdtemp(folder)) die("cannot make a folder in the current one");
    check(pkv_open(folder, NULL, &store));
    return store;
}

static void run(uint64_t entries, const char *only, double seconds) {
    char folder[] = "micro-XXXXXX", command[64];
    micro m = {.store = open_in(folder), .work = {entries, 16, VALUE_SIZE, 0, 0}};
    m.visit = permutation_from(entries, 0);
    m.missing = entries;
    printf("%8llu", (unsigned long long)entries);
    for (size_t i = 0; i < OPERATIONS; i++)
        if (!only || strcmp(only, operations[i].name) == 0) measure(&m, i, seconds);
    printf("\n");
    check(pkv_close(m.store));
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command) != 0) die("cannot remove %s", folder);
}

int main(int argc, char **argv) {
    const char *only = argc > 2 ? argv[2] : NULL;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 0.5;
    uint64_t entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (argc > 1 && (entries == 0 || entries % STRIDE == 0))
        die("this number of entries does not do");
    workload_make_pool();
    printf("%8s", "entries");
    for (size_t i = 0; i < OPERATIONS; i++)
        if (!only || strcmp(only, operations[i].name) == 0)
            printf("%*s", 9 + (i > 0), operations[i].name);
    printf("   ns per operation\n");
    if (entries) return run(entries, only, seconds), 0;
    run(IN_CACHE, only, seconds);
    run(OUT_OF_CACHE, only, seconds);
    return 0;
}
