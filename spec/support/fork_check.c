/* fork_check.c - after fork the parent goes on as if nothing had happened; the child has nothing of
 * the parent's but may close it, and open stores of its own; the lock dies with the parent.
 *
 * A check in a child is told by its exit code: the number of those that failed. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../src/pkv.h"
#include "coverage.h"

static int passed, failed;
static char folder[] = "/tmp/pkv-fork-XXXXXX", path[64];

#define TAKES_LONG 600 /* seconds: what has not ended by then hangs */

static const pkv_bytes a = {"a", 1}, b = {"b", 1}, one = {"1", 1};

/* A sanitizer's own locks and threads do not survive a fork from among threads. */
#if defined(__SANITIZE_ADDRESS__)
enum { MAY_START_THREADS = 0, MAY_USE_HEAP = 0 };
#elif defined(__SANITIZE_THREAD__)
enum { MAY_START_THREADS = 0, MAY_USE_HEAP = 1 };
#else
enum { MAY_START_THREADS = 1, MAY_USE_HEAP = 1 };
#endif

static void check(bool ok, const char *what) {
    ok ? passed++ : failed++;
    if (ok) return;
    printf("not ok: %s: %s\n", what, pkv_error_detail()->message);
    (void)fflush(stdout);
}

static bool has(pkv *store, pkv_bytes key) {
    char value[4];
    size_t size;
    return pkv_get(store, key, value, sizeof value, &size) == PKV_OK && size == 1;
}

static void check_exit(pid_t child, const char *what) {
    int how = 0;
    bool ended = waitpid(child, &how, 0) == child;
    check(ended && WIFEXITED(how) && WEXITSTATUS(how) == 0, what);
}

/* A child that hangs must not hang the test. */
static pid_t fork_child(void) {
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        failed = 0;
        alarm(TAKES_LONG);
    }
    return child;
}

/* ---- In the child */

/* Without the leaks that a sanitizer sees where only one thread is left. */
static _Noreturn void leave(void) {
    (void)fflush(stdout);
    coverage_dump();
    syscall(SYS_exit_group, failed);
    _exit(failed);
}

static void check_forked(pkv *store, pkv_cursor *cursor) {
    char buffer[4];
    size_t size;
    uint64_t number = 0;
    pkv_cursor *other;
    pkv_entry entry;
    pkv_stats stats;
    pkv_event event;
    pkv_value value = {buffer, sizeof buffer, 0, PKV_BYTES, PKV_OK};
    check(pkv_get(store, a, buffer, sizeof buffer, &size) == PKV_FORKED, "get");
    check(pkv_get_many(store, 1, &a, &value) == PKV_FORKED, "get_many");
    check(pkv_set(store, a, one) == PKV_FORKED, "set");
    check(pkv_unset(store, a) == PKV_FORKED, "unset");
    check(pkv_count(store, &number) == PKV_FORKED, "count");
    if (failed > 0) leave(); /* what follows would wait for threads that are not there */
    check(pkv_sync(store) == PKV_FORKED, "sync");
    check(pkv_snapshot(store) == PKV_FORKED, "snapshot");
    check(pkv_stats_get(store, &stats) == PKV_FORKED, "stats");
    check(pkv_next_event(store, &number, &event) == PKV_FORKED, "next_event");
    check(pkv_cursor_open(store, &other) == PKV_FORKED, "cursor_open");
    check(pkv_cursor_next(cursor, &entry) == PKV_FORKED, "cursor_next");
    check(pkv_drain(store, &other) == PKV_FORKED, "drain");
}

static void check_locked(void) {
    pkv *again;
    uint64_t removed;
    check(pkv_open(path, NULL, &again) == PKV_LOCKED, "the parent has the store");
    check(pkv_prune_backups(path, 0, &removed) == PKV_LOCKED, "also against pruning");
}

static void use_own(const char *name) {
    char own[80];
    pkv *store;
    if (!MAY_START_THREADS) return;
    (void)snprintf(own, sizeof own, "%s-%s", path, name);
    for (int round = 0; round < 2; round++) {
        check(pkv_open(own, NULL, &store) == PKV_OK, "a child opens a store of its own");
        check(round == 0 || has(store, b), "and finds what it wrote");
        check(pkv_set(store, b, one) == PKV_OK, "writes");
        check(pkv_snapshot(store) == PKV_OK, "snapshots");
        check(pkv_close(store) == PKV_OK, "and closes");
    }
}

/* ---- One thread */

static void check_child(void) {
    pkv *store, *second;
    pkv_cursor *cursor;
    check(pkv_open(path, NULL, &store) == PKV_OK, "opens");
    check(pkv_open(path, NULL, &second) == PKV_OK && second == store, "opens again");
    check(pkv_set(store, a, one) == PKV_OK, "sets");
    check(pkv_cursor_open(store, &cursor) == PKV_OK, "a cursor");
    pid_t child = fork_child();
    if (child == 0) {
        check_forked(store, cursor);
        check_locked();
        pkv_cursor_close(cursor);
        check(pkv_close(store) == PKV_OK && pkv_close(second) == PKV_OK, "closes what it has not");
        check_locked();
        use_own("child");
        leave();
    }
    check_exit(child, "the child has nothing of the parent's");
    child = fork_child();
    if (child == 0) leave(); /* closes nothing */
    check_exit(child, "the child may just exit");
    pkv_entry entry;
    check(pkv_cursor_next(cursor, &entry) == PKV_OK, "the parent's cursor goes on");
    pkv_cursor_close(cursor);
    check(has(store, a) && pkv_set(store, b, one) == PKV_OK, "the parent goes on");
    check(pkv_snapshot(store) == PKV_OK && pkv_unset(store, a) == PKV_OK, "and snapshots");
    check(pkv_close(second) == PKV_OK && pkv_close(store) == PKV_OK, "and closes");
    check(pkv_open(path, NULL, &store) == PKV_OK, "and opens");
    check(has(store, b) && !has(store, a), "what it wrote is there");
    check(pkv_close(store) == PKV_OK, "closes");
}

/* A store that is being drained is the parent's too. */
static void check_drain(void) {
    pkv *store;
    pkv_cursor *cursor;
    pkv_entry entry;
    check(pkv_open(path, NULL, &store) == PKV_OK, "opens");
    check(pkv_set(store, a, one) == PKV_OK && pkv_set(store, b, one) == PKV_OK, "sets");
    check(pkv_drain(store, &cursor) == PKV_OK, "drains");
    check(pkv_cursor_next(cursor, &entry) == PKV_OK, "the first entry");
    pid_t child = fork_child();
    if (child == 0) {
        check(pkv_cursor_next(cursor, &entry) == PKV_FORKED, "the child has no other");
        pkv_cursor_close(cursor);
        leave();
    }
    check_exit(child, "the child of a parent that drains");
    check(pkv_cursor_next(cursor, &entry) == PKV_OK, "the parent has");
    pkv_cursor_close(cursor);
}

/* A grandchild is a child of both. */
static void check_grandchild(void) {
    pkv *store;
    check(pkv_open(path, NULL, &store) == PKV_OK, "opens");
    pid_t child = fork_child();
    if (child == 0) {
        char own[80];
        pkv *mine;
        (void)snprintf(own, sizeof own, "%s-mine", path);
        check(pkv_open(own, NULL, &mine) == PKV_OK, "the child opens");
        pid_t grandchild = fork_child();
        if (grandchild == 0) {
            uint64_t count;
            check(pkv_count(store, &count) == PKV_FORKED, "not the grandchild's");
            check(pkv_count(mine, &count) == PKV_FORKED, "nor this");
            check(pkv_close(mine) == PKV_OK && pkv_close(store) == PKV_OK, "both are closed");
            check_locked();
            leave();
        }
        check_exit(grandchild, "the grandchild");
        check(pkv_set(mine, b, one) == PKV_OK && pkv_close(mine) == PKV_OK, "the child goes on");
        leave();
    }
    check_exit(child, "the child");
    check(pkv_close(store) == PKV_OK, "closes");
}

/* ---- The parent dies, the child lives on */

static void check_dead_parent(bool closes) {
    int ready[2];
    if (pipe(ready)) return;
    pid_t parent = fork_child();
    if (parent == 0) {
        pkv *store;
        if (pkv_open(path, NULL, &store) || pkv_set(store, a, one)) _exit(1);
        pid_t child = fork();
        if (child == 0) {
            alarm(TAKES_LONG);
            if (closes) (void)pkv_close(store);
            pid_t me = getpid();
            if (write(ready[1], &me, sizeof me) != sizeof me) _exit(1);
        }
        for (;;) pause();
    }
    pid_t child = 0;
    check(read(ready[0], &child, sizeof child) == sizeof child, "the child lives");
    pkv *store;
    check(pkv_open(path, NULL, &store) == PKV_LOCKED, "and so does its parent");
    kill(parent, SIGKILL);
    check(waitpid(parent, NULL, 0) == parent, "the parent is dead");
    check(kill(child, 0) == 0, "the child is not");
    check(pkv_open(path, NULL, &store) == PKV_OK, "the store can be opened");
    check(has(store, a), "what was acknowledged is there");
    check(pkv_unset(store, a) == PKV_OK && pkv_close(store) == PKV_OK, "closes");
    kill(child, SIGKILL);
    close(ready[0]);
    close(ready[1]);
}

/* ---- Many threads */

static atomic_bool stop;

static void *write_on(void *store) {
    char key[32];
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        int size = snprintf(key, sizeof key, "key %u", i % 1000);
        if (pkv_set(store, (pkv_bytes){key, (size_t)size}, one)) return "a write failed";
    }
    return NULL;
}

static void *open_and_close(void *context) {
    (void)context;
    char other[80];
    (void)snprintf(other, sizeof other, "%s-other", path);
    for (bool last = false; !last;) {
        last = atomic_load(&stop); /* all children have ended */
        pkv *store;
        pkv_status status = pkv_open(other, NULL, &store);
        /* By a child that has not come to run yet, for longer than an open waits. */
        if (status == PKV_LOCKED && !last) continue;
        if (status || pkv_set(store, a, one) || pkv_close(store)) return "opening failed";
    }
    return NULL;
}

static void check_busy_parent(void) {
    pkv_config config = {
        .snapshot_interval = 200, .sync = PKV_SYNC_INTERVAL, .sync_seconds = 0.001};
    pkv *store;
    pthread_t threads[3];
    check(pkv_open(path, &config, &store) == PKV_OK, "opens");
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, write_on, store);
    pthread_create(&threads[2], NULL, open_and_close, NULL);
    for (int i = 0; i < 40; i++) {
        pid_t child = fork_child();
        if (child == 0) {
            uint64_t count;
            check(pkv_count(store, &count) == PKV_FORKED, "not the child's");
            if (i % 2) check(pkv_close(store) == PKV_OK, "closes what it has not");
            if (i % 4 == 0) use_own("busy");
            leave();
        }
        check_exit(child, "a child of a busy parent");
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        check(wrong == NULL, wrong ? wrong : "threads go on");
    }
    uint64_t count = 0;
    check(pkv_count(store, &count) == PKV_OK && pkv_close(store) == PKV_OK, "closes");
    check(pkv_open(path, NULL, &store) == PKV_OK, "opens again");
    uint64_t again = 0;
    check(pkv_count(store, &again) == PKV_OK && again == count, "all is there");
    check(pkv_close(store) == PKV_OK, "closes again");
}

int main(void) {
    if (!mkdtemp(folder)) return 1;
    (void)snprintf(path, sizeof path, "%s/store", folder);
    check_child();
    check_drain();
    if (MAY_START_THREADS) check_grandchild();
    check_dead_parent(false);
    check_dead_parent(true);
    if (MAY_USE_HEAP && failed == 0) check_busy_parent();
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command)) printf("cannot remove %s\n", folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
