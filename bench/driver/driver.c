/* driver.c - obeys the command line: options "name=value" and steps, which are done one after the
 * other in this process with one store. Prints a line "step measure number" for all that it
 * measures. README.md has the list of steps. */
#define _GNU_SOURCE
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Reporting */

void report(const char *name, const char *measure, double number) {
    printf("%s %s %.9g\n", name, measure, number);
}

void report_times(const char *name, const histogram *times) {
    report(name, "p50", (double)histogram_quantile(times, 0.5));
    report(name, "p99", (double)histogram_quantile(times, 0.99));
    report(name, "p99.9", (double)histogram_quantile(times, 0.999));
    report(name, "p99.99", (double)histogram_quantile(times, 0.9999));
    report(name, "max", (double)times->longest);
}

/* ---- Workers */

void *bench_session(bench *b, uint64_t index) {
    if (!b->store->session) return b->handle;
    if (!b->sessions[index]) b->sessions[index] = b->store->session(b->handle);
    return b->sessions[index];
}

worker *make_workers(bench *b, uint64_t threads, const void *plan, int timed) {
    worker *workers = calloc(threads, sizeof *workers);
    if (!workers) die("no memory");
    for (uint64_t i = 0; i < threads; i++) {
        workers[i] = (worker){.bench = b, .index = i, .plan = plan};
        workers[i].session = bench_session(b, i);
        workers[i].random = mix(b->work.round << 32 | i << 16 | 1);
        workers[i].deadline_mask = b->options.durability == D2 ? 0 : 127;
        workers[i].limit = b->operations / threads + (i < b->operations % threads);
        if (b->present > 0)
            workers[i].visit = permutation_from(b->present, b->present / threads * i);
        if (timed && !(workers[i].times = calloc(1, sizeof(histogram)))) die("no memory");
    }
    return workers;
}

void free_workers(worker *workers, uint64_t threads) {
    for (uint64_t i = 0; i < threads; i++) free(workers[i].times);
    free(workers);
}

typedef struct task {
    worker *worker;
    void (*run)(worker *);
    pthread_barrier_t *gate;
} task;

static void *run_task(void *argument) {
    const task *t = argument;
    pthread_barrier_wait(t->gate);
    t->worker->start = now();
    t->worker->deadline = t->worker->start + (uint64_t)(t->worker->bench->seconds * 1e9);
    t->run(t->worker);
    t->worker->end = now();
    return NULL;
}

uint64_t run_workers(bench *b, worker *workers, uint64_t threads, void (*run)(worker *)) {
    pthread_barrier_t gate;
    task tasks[THREADS_MAX];
    if (pthread_barrier_init(&gate, NULL, (unsigned)threads) != 0) die("no barrier");
    for (uint64_t i = 0; i < threads; i++) {
        tasks[i] = (task){&workers[i], run, &gate};
        if (pthread_create(&workers[i].thread, NULL, run_task, &tasks[i]) != 0)
            die("cannot start a thread");
    }
    uint64_t start = UINT64_MAX, end = 0;
    for (uint64_t i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].start < start) start = workers[i].start;
        if (workers[i].end > end) end = workers[i].end;
        b->user_bytes += workers[i].user_bytes;
    }
    pthread_barrier_destroy(&gate);
    return end - start;
}

void check_recent(worker *w) {
    unsigned char value[VALUE_MAX];
    uint64_t count = w->recents < RECENT ? w->recents : RECENT;
    for (uint64_t i = 0; i < count; i++) {
        get_entry(w, w->recent[i], value);
        if (!is_recent(&w->bench->work, value)) die("an entry has an older value than the last");
    }
}

/* ---- The command line */

int run_step(bench *b, const step *steps, const char *name) {
    for (; steps->name; steps++)
        if (strcmp(steps->name, name) == 0) {
            steps->run(b, name);
            return 1;
        }
    return 0;
}

static uint64_t parse_snapshots(const char *text) {
    if (strcmp(text, "default") == 0) return SNAPSHOTS_DEFAULT;
    if (strcmp(text, "never") == 0) return SNAPSHOTS_NEVER;
    if (strcmp(text, "called") == 0) return SNAPSHOTS_CALLED;
    die("snapshots: default, never or called");
}

static void parse_option(bench *b, const char *name, const char *value) {
    uint64_t number = strtoull(value, NULL, 10);
    if (strcmp(name, "folder") == 0)
        b->options.folder = realpath(value, NULL);
    else if (strcmp(name, "class") == 0)
        b->options.durability = value[0] == 'D' ? (uint64_t)(value[1] - '0') : UINT64_MAX;
    else if (strcmp(name, "snapshots") == 0)
        b->options.snapshots = parse_snapshots(value);
    else if (strcmp(name, "entries") == 0)
        b->options.entries = number;
    else if (strcmp(name, "key") == 0)
        b->options.key_size = number;
    else if (strcmp(name, "value") == 0)
        b->options.value_size = number;
    else if (strcmp(name, "threads") == 0)
        b->options.threads = number;
    else if (strcmp(name, "operations") == 0)
        b->operations = number;
    else if (strcmp(name, "seconds") == 0)
        b->seconds = strtod(value, NULL);
    else
        die("there is no option %s", name);
}

/* Takes the options and leaves the steps, whose number is returned. */
static int parse(bench *b, int argc, char **argv) {
    int steps = 0;
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value) {
            *value = '\0';
            parse_option(b, argv[i], value + 1);
        } else {
            argv[steps++] = argv[i];
        }
    }
    const bench_options *o = &b->options;
    if (!o->folder) die("there is no such folder, or no folder=");
    if (o->durability >= DURABILITY_CLASSES || !b->store->settings[o->durability])
        die("%s has no such class of durability", b->store->name);
    if (o->entries == 0 || o->entries % STRIDE == 0 || o->entries > UINT32_MAX / 2)
        die("this number of entries does not do");
    if (o->key_size != 8 && o->key_size != 16) die("a key has 8 or 16 bytes");
    if (o->value_size < 8 || o->value_size * 3 / 2 > VALUE_MAX)
        die("a value has from 8 to %zu bytes", VALUE_MAX * 2 / 3);
    if (o->threads == 0 || o->threads > THREADS_MAX) die("threads: from 1 to %d", THREADS_MAX);
    b->work = (workload){o->entries, o->key_size, o->value_size, 0, 0};
    if (b->operations == 0) b->operations = o->entries;
    return steps;
}

static void close_store(bench *b) {
    for (int i = 0; i < THREADS_MAX; i++)
        if (b->sessions[i]) b->store->end_session(b->sessions[i]);
    uint64_t start = now();
    b->store->close(b->handle);
    report("close", "seconds", (double)(now() - start) / 1e9);
    if (b->user_bytes == 0) return;
    double written = (double)(processes_written() - b->written_before);
    double payload = (double)((b->present + b->extra) * (b->work.key_size + b->work.value_size));
    report("close", "written", written / (double)b->user_bytes);
    report("close", "disk", (double)folder_blocks(b->options.folder) / payload);
}

int bench_main(int argc, char **argv, const adapter *store) {
    static bench b;
    b = (bench){.store = store, .seconds = SECONDS_MAX};
    b.options = (bench_options){.durability = D1, .key_size = 16, .value_size = 100, .threads = 1};
    int steps = parse(&b, argc, argv);
    printf("settings %s\n", store->settings[b.options.durability]);
    workload_make_pool();
    b.memory_before = processes_memory(b.options.folder, store->mapped_log);
    b.written_before = processes_written();
    uint64_t start = now();
    b.handle = store->open(&b.options);
    report("open", "seconds", (double)(now() - start) / 1e9);
    for (int i = 0; i < steps; i++) {
        b.work.round++;
        if (!operation_step(&b, argv[i]) && !lifecycle_step(&b, argv[i]) &&
            !snapshot_step(&b, argv[i]))
            die("there is no step %s", argv[i]);
    }
    close_store(&b);
    return 0;
}
