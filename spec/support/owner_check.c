/* owner_check.c - a store has one owner. Processes race for a folder, by its path or a link to it,
 * over whatever a lock file holds, and after the last owner was killed: each time exactly one wins,
 * all others are told that it is locked. Threads that race get one and the same store.
 *
 *     owner_check [races in a group]
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../src/pkv.h"
#include "effort.h"

#define GROUPS  16 /* a loser takes its time to be sure: so they race side by side */
#define RACERS  3
#define RACES   EFFORT(63, 63, 20, 20, 20)
#define THREADS 8

static int passed, failed;

static void check(bool ok, const char *what) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s: %s\n", what, pkv_error_detail()->message);
}

/* ---- Processes */

/* Says how opening went, then waits to be killed. */
static _Noreturn void racer(const char *path, int start, int results) {
    char byte;
    pkv *store;
    if (read(start, &byte, 1) < 0) _exit(1);
    unsigned char status = (unsigned char)pkv_open(path, NULL, &store);
    if (status == PKV_OK && pkv_set(store, (pkv_bytes){"k", 1}, (pkv_bytes){"v", 1})) status = 99;
    if (write(results, &status, 1) != 1) _exit(1);
    for (;;) pause();
}

/* One race: true where one has won and the others were told that the store is locked. */
static bool race(const char *path, const char *link) {
    int start[2], results[2], winners = 0, locked = 0;
    pid_t pids[RACERS];
    if (pipe(start) != 0 || pipe(results) != 0) return false;
    for (int i = 0; i < RACERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            close(start[1]); /* the start is its closing by the parent */
            racer(i % 2 ? link : path, start[0], results[1]);
        }
    }
    close(start[1]);
    for (int i = 0; i < RACERS; i++) {
        unsigned char status = 98;
        if (read(results[0], &status, 1) != 1) break;
        winners += status == PKV_OK;
        locked += status == PKV_LOCKED;
    }
    for (int i = 0; i < RACERS; i++) kill(pids[i], SIGKILL);
    for (int i = 0; i < RACERS; i++) waitpid(pids[i], NULL, 0);
    close(start[0]);
    close(results[0]);
    close(results[1]);
    return winners == 1 && locked == RACERS - 1;
}

static void scribble(const char *path, int round) {
    char name[128];
    (void)snprintf(name, sizeof name, "%s/lockfile", path);
    FILE *file = fopen(name, "wb");
    if (!file) return;
    for (int i = 0; i < round % 50; i++) (void)fputc(rand(), file);
    (void)fclose(file);
}

static _Noreturn void run_group(const char *folder, int group, int races) {
    char path[64], link[72];
    int wrong = 0;
    (void)snprintf(path, sizeof path, "%s/%d", folder, group);
    (void)snprintf(link, sizeof link, "%s-link", path);
    if (symlink(path, link) != 0) _exit(1);
    pkv *store; /* made first: a link to nothing is no folder */
    if (pkv_open(path, NULL, &store) || pkv_close(store)) _exit(1);
    for (int i = 0; i < races; i++) {
        scribble(path, i);
        wrong += !race(path, link);
    }
    _exit(wrong ? 2 : 0);
}

static void processes_race(const char *folder, int races) {
    pid_t pids[GROUPS];
    for (int i = 0; i < GROUPS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) run_group(folder, i, races);
    }
    for (int i = 0; i < GROUPS; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "one owner in every race of a group");
    }
}

/* ---- Threads */

typedef struct entrant {
    const char *path;
    pthread_barrier_t *barrier;
    pkv *store;
    bool closed;
} entrant;

static void *enter(void *context) {
    entrant *e = context;
    (void)pthread_barrier_wait(e->barrier);
    if (pkv_open(e->path, NULL, &e->store)) return NULL;
    (void)pthread_barrier_wait(e->barrier); /* all have it open */
    e->closed = pkv_close(e->store) == PKV_OK;
    return NULL;
}

static void threads_race(const char *folder) {
    char path[64];
    (void)snprintf(path, sizeof path, "%s/threads", folder);
    int wrong = 0;
    for (int round = 0; round < 100; round++) {
        pthread_t threads[THREADS];
        entrant entrants[THREADS];
        pthread_barrier_t barrier;
        (void)pthread_barrier_init(&barrier, NULL, THREADS);
        for (int i = 0; i < THREADS; i++) {
            entrants[i] = (entrant){path, &barrier, NULL, false};
            pthread_create(&threads[i], NULL, enter, &entrants[i]);
        }
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        for (int i = 0; i < THREADS; i++) {
            wrong += !entrants[i].closed || entrants[i].store != entrants[0].store;
        }
        (void)pthread_barrier_destroy(&barrier);
    }
    check(wrong == 0, "threads that race get the same store");
}

int main(int argc, char **argv) {
    int races = argc > 1 ? atoi(argv[1]) : RACES;
    char folder[] = "/tmp/pkv-owner-XXXXXX";
    if (!mkdtemp(folder)) return 1;
    processes_race(folder, races);
    printf("%d races of processes\n", races * GROUPS);
    threads_race(folder);
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) printf("cannot remove %s\n", folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
