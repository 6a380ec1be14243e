/* group_commit.c - see group_commit.h. */
#include "group_commit.h"

/* Of the last flush's time, so much at most is spent on waiting for others; in seconds, so much. */
#define PATIENCE     0.5
#define PATIENCE_MAX 0.001
/* Where nobody came, so many flushes go by before any is waited for again. */
#define DISCOURAGED 32u

/* How many have come. The caller is the flusher. */
static unsigned look(group_commit *g) {
    os_lock(&g->lock);
    unsigned waiting = g->waiting;
    os_unlock(&g->lock);
    return waiting;
}

static void wait_for_others(group_commit *g) {
    unsigned here = look(g), came = here;
    if (here >= g->expected) return;
    double start = os_now(), patience = g->seconds * PATIENCE;
    if (patience > PATIENCE_MAX) patience = PATIENCE_MAX;
    while (came < g->expected && os_now() - start < patience) {
        os_yield();
        came = look(g);
    }
    if (came == here) g->discouraged = DISCOURAGED;
}

/* Counts whom the flush will serve. The caller is the flusher. */
static void gather(group_commit *g) {
    if (g->discouraged > 0) {
        g->discouraged--;
    } else {
        wait_for_others(g);
    }
    os_lock(&g->lock);
    g->served = g->waiting;
    g->waiting = 0;
    os_unlock(&g->lock);
    g->began = os_now();
}

group_turn group_wait(group_commit *g, uint64_t position, const atomic_int *broken) {
    group_turn turn = GROUP_FLUSHER;
    os_lock(&g->lock);
    if (g->durable < position) g->waiting++;
    for (;;) {
        if (g->durable >= position) {
            turn = GROUP_DURABLE;
            break;
        }
        if (atomic_load_explicit(broken, memory_order_acquire)) {
            turn = GROUP_BROKEN;
            break;
        }
        if (!g->flushing) break;
        os_wait(&g->ended, &g->lock);
    }
    if (turn == GROUP_FLUSHER) g->flushing = true;
    os_unlock(&g->lock);
    if (turn == GROUP_FLUSHER) gather(g);
    return turn;
}

void group_begin(group_commit *g) {
    os_lock(&g->lock);
    while (g->flushing) os_wait(&g->ended, &g->lock);
    g->flushing = true;
    g->began = 0; /* says nothing of how long a flush takes */
    os_unlock(&g->lock);
}

void group_end(group_commit *g, uint64_t durable) {
    os_lock(&g->lock);
    g->flushing = false;
    if (g->began > 0) {
        g->seconds = os_now() - g->began;
        g->expected = g->served + g->waiting;
    }
    if (durable > g->durable) g->durable = durable;
    os_wake_all(&g->ended);
    os_unlock(&g->lock);
}

int group_init(group_commit *g, uint64_t durable) {
    *g = (group_commit){.durable = durable};
    int error = os_mutex_init(&g->lock);
    return error ? error : os_cond_init(&g->ended);
}

void group_destroy(group_commit *g) {
    os_mutex_destroy(&g->lock);
    os_cond_destroy(&g->ended);
}
