/* bench_check.c - the benchmark measures what it says: its keys, values and distributions are what
 * they should be, and its driver notices a store that loses, mixes up or keeps what it should not.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../bench/driver/histogram.h"
#include "../../bench/driver/workload.h"

static int passed, failed;
static char folder[] = "/tmp/pkv-bench-XXXXXX";

static void check(bool ok, const char *what) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s\n", what);
}

/* ---- Keys and values */

static void check_keys(void) {
    workload w = {.entries = 1000, .key_size = 16};
    unsigned char key[KEY_MAX];
    bool digits = true, bytes = true;
    for (uint64_t entry = 0; entry < 1000; entry++) {
        uint64_t bits = mix(entry);
        bench_bytes made = make_key(&w, entry, key);
        digits &= made.size == 16;
        for (int i = 0; i < 16; i++) digits &= key[i] == "0123456789abcdef"[bits >> 4 * i & 15];
    }
    w.key_size = 8;
    for (uint64_t entry = 0; entry < 1000; entry++) {
        uint64_t bits = mix(entry);
        bytes &= make_key(&w, entry, key).size == 8 && memcmp(key, &bits, 8) == 0;
    }
    check(digits, "a key of 16 bytes is the entry's number, mixed, in hexadecimal digits");
    check(bytes, "a key of 8 bytes is the same as it is");
}

static void check_values(void) {
    workload w = {.entries = 10000, .key_size = 16, .value_size = 100};
    bool own = true, recent = true, sizes = true;
    uint64_t mistaken = 0, sum = 0;
    for (w.round = 0; w.round < ROUNDS; w.round++)
        for (uint64_t entry = 0; entry < w.entries; entry++) {
            w.varying = 1;
            bench_bytes made = make_value(&w, entry);
            own &= is_value(&w, entry, made.data, made.size) == 1;
            recent &= is_recent(&w, made.data) == 1;
            sizes &= made.size >= 50 && made.size <= 150;
            sum += made.size;
            mistaken += (uint64_t)is_value(&w, entry + 1, made.data, made.size);
            w.round++;
            recent &= is_recent(&w, made.data) == 0;
            w.round--;
        }
    check(own, "a value is taken for its entry's");
    check(recent, "a value tells its round from the next");
    check(sizes, "values that vary have from half to one and a half of the size");
    check(fabs((double)sum / (double)(w.entries * ROUNDS) - 100) < 1, "and that size on average");
    check(mistaken < w.entries * ROUNDS / 100, "hardly a value is taken for another entry's");
    bench_bytes made = make_value(&w, 1);
    check(!is_value(&w, 1, made.data, made.size + 1), "nor one that is too long for its own");
    check(!is_value(&w, 1, made.data, made.size - 1), "nor one that is too short");
}

/* ---- Which entry is next */

static void check_permutation(uint64_t entries, uint64_t threads) {
    unsigned char *seen = calloc(entries, 1);
    bool once = seen != NULL;
    for (uint64_t t = 0; once && t < threads; t++) {
        permutation p = permutation_from(entries, entries / threads * t);
        uint64_t share = entries / threads + (t == threads - 1 ? entries % threads : 0);
        for (uint64_t i = 0; i < share; i++) {
            uint64_t entry = next_permuted(&p);
            once &= entry < entries && seen[entry]++ == 0;
        }
    }
    check(once, "a permutation visits all entries once, in shares that do not overlap");
    free(seen);
}

/* The share of draws that should be below `ranks`. */
static double zipf_share(uint64_t ranks, uint64_t entries) {
    double sum = 0, part = 0;
    for (uint64_t i = 1; i <= entries; i++) {
        sum += pow((double)i, -0.99);
        if (i == ranks) part = sum;
    }
    return part / sum;
}

static void check_zipf(uint64_t entries) {
    enum { DRAWS = 4000000, CUTS = 7 };
    static zipf z;
    const uint64_t cuts[CUTS] = {1, 2, 10, 100, entries / 100, entries / 2, entries};
    uint64_t below_cut[CUTS] = {0}, random = 1;
    zipf_make(&z, entries);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t rank = zipf_rank(&z, &random);
        for (int k = 0; k < CUTS; k++) below_cut[k] += rank < cuts[k];
    }
    bool close = below_cut[CUTS - 1] == DRAWS;
    for (int k = 0; k < CUTS; k++) {
        double wanted = zipf_share(cuts[k], entries), seen = (double)below_cut[k] / DRAWS;
        close &= fabs(seen / wanted - 1) < 0.01;
    }
    check(close, "ranks are drawn as Zipf's distribution has it");
}

static void check_histogram(void) {
    static histogram h, other;
    bool close = true, ordered = true;
    for (uint64_t ns = 1; ns <= 100000; ns++) histogram_add(ns % 2 ? &h : &other, ns);
    histogram_merge(&h, &other);
    for (int percent = 1; percent < 100; percent++) {
        double wanted = percent * 1000.0;
        close &= fabs((double)histogram_quantile(&h, percent / 100.0) / wanted - 1) < 0.035;
    }
    for (uint64_t ns = 1; ns < 3000000; ns++)
        ordered &= histogram_slot(ns) >= histogram_slot(ns - 1);
    check(close && h.count == 100000 && h.longest == 100000, "a histogram knows its quantiles");
    check(ordered && histogram_slot(UINT64_MAX) < HISTOGRAM_SLOTS, "and has a slot for any time");
}

/* ---- A store in an array, that lies if told to */

enum lie { HONEST, LOSES, KEEPS_OLD, MIXES_UP, KEEPS_REMOVED, SHORTENS, MISCOUNTS };

enum { ROOM = 1 << 14 };

typedef struct slot {
    unsigned char key[16], value[256];
    size_t size;
    bool used, removed;
} slot;

static slot slots[ROOM];
static enum lie lie;
static uint64_t sets;

static slot *find(bench_bytes key) {
    uint64_t at = 0;
    memcpy(&at, key.data, 8);
    for (at = mix(at) % ROOM; slots[at].used; at = (at + 1) % ROOM)
        if (memcmp(slots[at].key, key.data, key.size) == 0) break;
    return &slots[at];
}

static void *toy_open(const bench_options *options) {
    (void)options;
    return slots;
}

static void toy_close(void *store) {
    (void)store;
}

static void toy_set(void *store, bench_bytes key, bench_bytes value) {
    (void)store;
    slot *s = find(key);
    sets++;
    if (lie == LOSES && sets % 1000 == 0) return;
    if (lie == KEEPS_OLD && s->used && !s->removed && sets % 10 == 0) return;
    memcpy(s->key, key.data, key.size);
    memcpy(s->value, value.data, value.size);
    s->size = value.size - (lie == SHORTENS && sets % 1000 == 0);
    if (lie == MIXES_UP && sets % 1000 == 0) s->value[value.size - 1] ^= 1;
    s->used = true;
    s->removed = false;
}

static void toy_get(void *store, bench_bytes key, bench_answer *answer) {
    (void)store;
    const slot *s = find(key);
    if (s->used && !s->removed)
        bench_answer_with(answer, s->value, s->size);
    else
        answer->size = ABSENT;
}

static void toy_remove(void *store, bench_bytes key) {
    (void)store;
    if (lie != KEEPS_REMOVED) find(key)->removed = true;
}

static uint64_t toy_scan(void *store) {
    (void)store;
    uint64_t count = 0;
    for (size_t i = 0; i < ROOM; i++) count += slots[i].used && !slots[i].removed;
    return count + (lie == MISCOUNTS);
}

/* What the driver says of the store by its exit code: 0 or 1; it writes to its arguments. */
static int judge(enum lie told) {
    /* The time is up at once: a load, though, is never cut short. */
    char options[4][40] = {"", "class=D0", "entries=5000", "seconds=0"};
    (void)snprintf(options[0], sizeof options[0], "folder=%s", folder);
    if (told != HONEST) (void)snprintf(options[3], sizeof options[3], "seconds=900");
    char *words[] = {"toy",    options[0], options[1], options[2], options[3], "load", "check",
                     "update", "a:zipf",   "d:zipf",   "refill",   "scan",     NULL};
    const adapter toy = {.name = "toy",
                         .settings = {"none"},
                         .open = toy_open,
                         .close = toy_close,
                         .set = toy_set,
                         .get = toy_get,
                         .remove = toy_remove,
                         .scan = toy_scan};
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(2);
        lie = told;
        _exit(bench_main(sizeof words / sizeof *words - 1, words, &toy));
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_driver(void) {
    check(judge(HONEST) == 0, "an honest store satisfies the driver");
    check(judge(LOSES) == 1, "one that loses a set does not");
    check(judge(KEEPS_OLD) == 1, "nor one that keeps an older value");
    check(judge(MIXES_UP) == 1, "nor one that changes a byte");
    check(judge(SHORTENS) == 1, "nor one that cuts a byte off");
    check(judge(KEEPS_REMOVED) == 1, "nor one that keeps what was removed");
    check(judge(MISCOUNTS) == 1, "nor one that shows an entry too much in a scan");
}

int main(void) {
    if (!mkdtemp(folder)) return 1;
    workload_make_pool();
    check_keys();
    check_values();
    check_permutation(1, 1);
    check_permutation(7, 2);
    check_permutation(100000, 8);
    check_zipf(1000);
    check_zipf(1000000);
    check_histogram();
    check_driver();
    rmdir(folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
