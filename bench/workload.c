/* workload.c - the work, the same for every store: see workload.h and README.md.
 *
 * Entry i has a key of 16 hexadecimal digits, a bijection of i that looks random, and a value out
 * of a pool of random bytes, so that making them costs next to nothing. All reads are compared.
 */
#define _GNU_SOURCE
#include "workload.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define POOL_SIZE   ((size_t)1 << 20)
#define THREADS_MAX 64
/* Reads and overwrites visit the entries in steps of a large prime. */
#define STRIDE UINT64_C(2654435761)

typedef struct workload {
    const adapter *store;
    void *handle;
    char *folder;
    uint64_t entries, threads, interval;
    uint64_t memory_before; /* of the process, without a store */
} workload;

static unsigned char pool[POOL_SIZE + VALUE_SIZE];

static void die(const char *what) {
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void report(const char *measure, double value) {
    printf("%s %.9g\n", measure, value);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* ---- Keys and values */

/* splitmix64's last steps: a bijection. */
static uint64_t mix(uint64_t x) {
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void make_pool(void) {
    for (size_t i = 0; i < sizeof pool; i++) pool[i] = (unsigned char)mix(i);
}

static void make_key(uint64_t entry, char key[KEY_SIZE]) {
    uint64_t bits = mix(entry);
    for (int i = 0; i < KEY_SIZE; i++) key[i] = "0123456789abcdef"[bits >> 4 * i & 15];
}

/* Round 0 is what is set first, round 1 what it is overwritten with. */
static const unsigned char *value_of(uint64_t entry, uint64_t round) {
    return pool + (entry * 2 + round) * UINT64_C(0x9e3779b97f4a7c15) % POOL_SIZE;
}

static uint64_t shuffled(const workload *w, uint64_t i) {
    return i * STRIDE % w->entries;
}

/* ---- What the system says */

static double number_in(const char *path, const char *name) {
    FILE *file = fopen(path, "r");
    char line[256];
    size_t length = strlen(name);
    double number = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, length) == 0) number = strtod(line + length, NULL);
    if (file) fclose(file);
    return number;
}

/* Proportional set size in bytes, without files in the store's folder: those are page cache. */
static uint64_t process_memory(const char *folder) {
    FILE *file = fopen("/proc/self/smaps", "r");
    if (!file) die("cannot read /proc/self/smaps");
    char line[8192];
    int counts = 1;
    uint64_t kilobytes = 0, pss;
    unsigned long from, to;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            counts = strstr(line, folder) == NULL;
        else if (counts && sscanf(line, "Pss: %" SCNu64, &pss) == 1)
            kilobytes += pss;
    }
    fclose(file);
    return kilobytes * 1024;
}

static uint64_t disk_usage(const char *folder) {
    DIR *directory = opendir(folder);
    if (!directory) die("cannot list the folder");
    uint64_t blocks = 0;
    struct stat status;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode))
            blocks += (uint64_t)status.st_blocks;
    closedir(directory);
    return blocks * 512;
}

/* ---- Steps */

static void open_store(workload *w) {
    w->handle = w->store->open(w->folder, w->interval);
}

static void set_one(const workload *w, uint64_t entry, uint64_t round) {
    char key[KEY_SIZE];
    make_key(entry, key);
    w->store->set(w->handle, key, value_of(entry, round));
}

/* The same, and raises *longest to what it took. */
static void set_timed(const workload *w, uint64_t entry, uint64_t round, double *longest) {
    double start = now();
    set_one(w, entry, round);
    double took = now() - start;
    if (took > *longest) *longest = took;
}

static void get_all(const workload *w, uint64_t round) {
    char key[KEY_SIZE];
    unsigned char value[VALUE_SIZE];
    for (uint64_t i = 0; i < w->entries; i++) {
        uint64_t entry = shuffled(w, i);
        make_key(entry, key);
        if (w->store->get(w->handle, key, value) != VALUE_SIZE ||
            memcmp(value, value_of(entry, round), VALUE_SIZE) != 0)
            die("an entry is not what was set");
    }
}

/* Waits until there are so many snapshots, and none has been running for a while. */
static void settle(const workload *w, uint64_t published) {
    activity seen;
    for (int quiet = 0, tries = 0; quiet < 4; tries++) {
        if (tries == 6000) die("the store does not come to rest");
        sleep_ms(50);
        w->store->activity(w->handle, w->folder, &seen);
        quiet = seen.running || seen.published < published ? 0 : quiet + 1;
    }
}

static void report_rate(const workload *w, const char *measure, double start) {
    report(measure, (double)w->entries / (now() - start));
}

/* Percent that the process has grown by, beyond the payload. */
static void report_memory(const workload *w, const char *measure) {
    double payload = (double)w->entries * (KEY_SIZE + VALUE_SIZE);
    double grown = (double)process_memory(w->folder) - (double)w->memory_before;
    report(measure, (grown / payload - 1) * 100);
    double said = (double)w->store->memory(w->handle);
    char name[64];
    snprintf(name, sizeof name, "%s_said", measure);
    if (said > 0) report(name, (said / payload - 1) * 100);
}

/* ---- Phases */

/* Set, get, overwrite; memory and disk. */
static void phase_work(workload *w) {
    double written = number_in("/proc/self/io", "write_bytes:");
    open_store(w);
    double start = now();
    for (uint64_t i = 0; i < w->entries; i++) set_one(w, i, 0);
    report_rate(w, "set", start);
    settle(w, 0);
    report_memory(w, "memory_set");

    start = now();
    get_all(w, 0);
    report_rate(w, "get", start);

    start = now();
    for (uint64_t i = 0; i < w->entries; i++) set_one(w, shuffled(w, i), 1);
    report_rate(w, "overwrite", start);
    settle(w, 0);
    report_memory(w, "memory_overwrite");
    get_all(w, 1);

    report("disk_open", (double)disk_usage(w->folder));
    w->store->close(w->handle);
    report("disk_closed", (double)disk_usage(w->folder));
    written = number_in("/proc/self/io", "write_bytes:") - written;
    report("written", written / (2.0 * (double)w->entries * (KEY_SIZE + VALUE_SIZE)));
}

typedef struct share {
    const workload *work;
    pthread_t thread;
    uint64_t first;
} share;

static void *set_share(void *argument) {
    const share *s = argument;
    for (uint64_t i = s->first; i < s->work->entries; i += s->work->threads) set_one(s->work, i, 0);
    return NULL;
}

/* Set, by several threads, each with entries of its own. */
static void phase_threads(workload *w) {
    share shares[THREADS_MAX];
    if (w->threads > THREADS_MAX) die("too many threads");
    open_store(w);
    double start = now();
    for (uint64_t i = 0; i < w->threads; i++) {
        shares[i] = (share){.work = w, .first = i};
        if (pthread_create(&shares[i].thread, NULL, set_share, &shares[i]) != 0)
            die("cannot start a thread");
    }
    for (uint64_t i = 0; i < w->threads; i++) pthread_join(shares[i].thread, NULL);
    report_rate(w, "set", start);
    get_all(w, 0);
    w->store->close(w->handle);
}

/* Set, every single one timed; leaves a folder to restore. Where the interval says so, the folder
 * ends in a snapshot. */
static void phase_fill(workload *w) {
    double longest = 0;
    open_store(w);
    for (uint64_t i = 0; i < w->entries; i++) set_timed(w, i, 0, &longest);
    report("longest", longest);
    settle(w, w->interval == w->entries);
    w->store->close(w->handle);
}

static void phase_restore(workload *w) {
    double start = now();
    open_store(w);
    report("restore", now() - start);
    settle(w, 0);
    report_memory(w, "memory_restore");
    get_all(w, 0);
    w->store->close(w->handle);
}

/* Overwrites while the first snapshot, of all entries, is written: from the write that starts it
 * until it is published and as much again as a tenth of the entries. The interval must be larger
 * than the number of entries. */
static void phase_pause(workload *w) {
    double longest = 0, ignored = 0;
    uint64_t writes = 0, end = UINT64_MAX, limit = w->entries * 1000;
    activity seen = {0, 0};
    open_store(w);
    for (; writes < w->entries; writes++) set_one(w, writes, 0);
    for (; writes < end; writes++) {
        int counts = writes + 1 >= w->interval;
        set_timed(w, shuffled(w, writes), 1, counts ? &longest : &ignored);
        if (writes % 1024 == 0) w->store->activity(w->handle, w->folder, &seen);
        if (seen.published > 0 && end == UINT64_MAX) end = writes + w->entries / 10;
        if (writes == limit) die("no snapshot is published");
    }
    report("longest", longest);
    w->store->close(w->handle);
}

/* ---- The program */

static const struct {
    const char *name;
    void (*run)(workload *);
} phases[] = {{"work", phase_work},
              {"threads", phase_threads},
              {"fill", phase_fill},
              {"restore", phase_restore},
              {"pause", phase_pause}};

static uint64_t interval_of(const char *text) {
    if (strcmp(text, "default") == 0) return INTERVAL_DEFAULT;
    if (strcmp(text, "never") == 0) return INTERVAL_NEVER;
    return strtoull(text, NULL, 10);
}

int workload_main(int argc, char **argv, const adapter *store) {
    if (argc != 6) die("usage: PHASE FOLDER ENTRIES THREADS INTERVAL");
    workload w = {.store = store,
                  .entries = strtoull(argv[3], NULL, 10),
                  .threads = strtoull(argv[4], NULL, 10),
                  .interval = interval_of(argv[5])};
    w.folder = realpath(argv[2], NULL);
    if (!w.folder) die("there is no such folder");
    if (w.entries == 0 || w.entries % STRIDE == 0) die("this number of entries does not do");
    make_pool();
    w.memory_before = process_memory(w.folder);
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (strcmp(phases[i].name, argv[1]) == 0) {
            phases[i].run(&w);
            free(w.folder);
            return 0;
        }
    die("there is no such phase");
    return 1;
}
