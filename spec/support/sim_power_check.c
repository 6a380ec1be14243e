/* sim_power_check.c - the power fails after every call, and at every moment between two operations,
 * of random workloads on the simulated disk; and again while the store recovers from that, and once
 * more. Whatever of the unflushed pages, sizes and names the disk has kept, dropped or torn:
 *
 *   - the store opens;
 *   - per shard of the log, what is there is a prefix of the changes that were begun;
 *   - it holds all that was acknowledged as durable: in PKV_SYNC_ALWAYS when the change returned,
 *     in any mode when a later pkv_sync, pkv_snapshot or pkv_close did;
 *   - what a reopened store has shown is durable too;
 *   - it can be written to, closed and reopened.
 *
 *     sim_power_check [seconds]       PKV_SEED: the seed to begin with
 *
 * Threads run as they like and the store draws its own random numbers, so a seed repeats the
 * workload, not each of its interleavings. With several writers, a prefix is looked for in the
 * changes of each of them: what a shard keeps of one writer's changes is a prefix of these.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "effort.h"

#define WORKERS  3 /* processes, since opening and closing is mostly waiting for threads */
#define EPISODES EFFORT(40, 15, 15, 15, 3)
#define STRIDE   EFFORT(1u, 2u, 4u, 4u, 32u)
#define SECONDS  25.0 /* no episode begins later */

#include "sim_explore.h"

/* ---- Writing */

static void *write_some(void *context) {
    writer *w = context;
    for (uint32_t i = 0; i < w->operations; i++) {
        uint32_t what = draw(&w->seed, 100);
        struct timespec pause = {0, 100000}; /* now and then, for a snapshot to come between */
        if (draw(&w->seed, 3) == 0) (void)nanosleep(&pause, NULL);
        if (what < 8) {
            make_durable(w, pkv_sync);
        } else if (what < 11) {
            make_durable(w, pkv_snapshot);
        } else {
            uint32_t key = draw(&w->seed, KEYS / w->c->writers) * w->c->writers + w->index;
            make_change(w, key, what < 32);
        }
    }
    return NULL;
}

static void run_session(check *c, history *h, uint32_t operations) {
    begin_session(h, sim_now());
    pkv *store = NULL;
    if (pkv_open("simulated", &c->config, &store)) {
        complain(c, "open fails");
        return;
    }
    find_lanes(c, store, &h->sessions[h->session_count - 1]);
    writer writers[WRITERS];
    pthread_t threads[WRITERS];
    for (unsigned i = 0; i < c->writers; i++) {
        writers[i] = (writer){c, h, store, i, operations / c->writers, scramble(c->seed + i)};
        if (i > 0 && pthread_create(&threads[i], NULL, write_some, &writers[i])) abort();
    }
    (void)write_some(&writers[0]);
    for (unsigned i = 1; i < c->writers; i++) (void)pthread_join(threads[i], NULL);
    make_durable(&writers[0], pkv_close);
}

/* ---- Episodes */

static pkv_config choose_config(unsigned episode, uint64_t *seed) {
    static const pkv_sync_mode modes[] = {PKV_SYNC_ALWAYS, PKV_SYNC_OS, PKV_SYNC_ALWAYS,
                                          PKV_SYNC_BUFFERED, PKV_SYNC_INTERVAL};
    pkv_config c = {.sync = modes[episode % 5],
                    .wal_io = episode % 2 ? PKV_WAL_IO_PWRITE : PKV_WAL_IO_MMAP,
                    .wal_shards = episode / 2 % 2 + 1,
                    .memory_shards = 1u << draw(seed, 4),
                    .snapshot_interval = PKV_SNAPSHOT_NEVER,
                    .keep_backups = draw(seed, 2) ? 1 : PKV_KEEP_NONE};
    if (c.sync == PKV_SYNC_INTERVAL) c.sync_seconds = 0.0005;
    if (draw(seed, 4)) c.snapshot_interval = 2 + draw(seed, 12);
    if (draw(seed, 2)) c.snapshot_shard_bytes = 1000;
    if (draw(seed, 2))
        c.snapshot_threads = 1; /* one file after the other: a walk that takes time */
    return c;
}

typedef struct sum {
    size_t states, nested;
    int passed, failed;
} sum;

static void run_episode(unsigned episode, uint64_t seed, sum *all) {
    check c = {.seed = scramble(seed + episode)};
    c.config = choose_config(episode, &c.seed);
    c.writers = 1 + draw(&c.seed, 2);
    (void)snprintf(c.doing, sizeof c.doing, "seed %llu, episode %u", (unsigned long long)seed,
                   episode);
    history *h = new_history();
    sim_begin(true);
    sim_slow(true);
    for (unsigned i = 0; i < 3; i++) {
        run_session(&c, h, 8 + draw(&c.seed, 24));
        c.config.wal_shards = draw(&c.seed, 4) ? c.config.wal_shards : 3 - c.config.wal_shards;
    }
    sim_slow(false);
    sim_journal journal = sim_end();
    explore(&c, &journal, 0, NULL, h, 0);
    sim_journal_release(&journal);
    free_history(h);
    all->states += c.states;
    all->nested += c.nested;
    c.bad ? all->failed++ : all->passed++;
    if (c.bad) printf("not ok: %s: %zu bad states of %zu\n", c.doing, c.bad, c.states);
}

/* Every WORKERS-th episode. The sum goes to the pipe. */
static void work(unsigned index, uint64_t seed, double seconds, int pipe) {
    sum all = {0};
    double began = os_now();
    for (unsigned i = index; os_now() - began < seconds; i += WORKERS) {
        if (seconds <= SECONDS && i >= EPISODES) break;
        run_episode(i, seed, &all);
        (void)fflush(stdout);
    }
    if (write(pipe, &all, sizeof all) != (ssize_t)sizeof all) _exit(1);
    _exit(0);
}

/* A worker that dies has failed. */
static void add(sum *all, int pipe, pid_t child) {
    sum one;
    if (read(pipe, &one, sizeof one) != (ssize_t)sizeof one) one = (sum){.failed = 1};
    all->states += one.states;
    all->nested += one.nested;
    all->passed += one.passed;
    all->failed += one.failed;
    (void)waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : SECONDS, began = os_now();
    const char *given = getenv("PKV_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    make_filler();
    int pipes[WORKERS][2];
    pid_t children[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        if (pipe(pipes[i]) != 0) return 1;
        children[i] = fork();
        if (children[i] == 0) work(i, seed, seconds, pipes[i][1]);
        (void)close(pipes[i][1]);
    }
    sum all = {0};
    for (unsigned i = 0; i < WORKERS; i++) add(&all, pipes[i][0], children[i]);
    printf("PKV_SEED=%llu: %zu crash states, %zu of them in recoveries; %.1f s\n",
           (unsigned long long)seed, all.states, all.nested, os_now() - began);
    printf("%d passed, %d failed\n", all.passed, all.failed);
    return all.failed != 0;
}
