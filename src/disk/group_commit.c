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

static bool is_durable(const group_commit *g, uint64_t position) {
    return atomic_load_explicit(&g->durable, memory_order_acquire) >= position;
}

/* Takes the role if nobody has it, else waits for a flush to end. Holds the lock before, and in the
 * first case after it. */
static bool take_or_wait(group_commit *g) {
    if (!g->flushing) {
        g->flushing = true;
        return true;
    }
    uint32_t turn = os_gate_turn(&g->ended);
    os_unlock(&g->lock);
    os_gate_wait(&g->ended, turn);
    return false;
}

group_turn group_wait(group_commit *g, uint64_t position, const atomic_int *broken) {
    /* Whom a flush has served goes on without the lock. */
    for (bool counted = false; !is_durable(g, position); counted = true) {
        os_lock(&g->lock);
        if (is_durable(g, position) || atomic_load_explicit(broken, memory_order_acquire)) {
            os_unlock(&g->lock);
            return is_durable(g, position) ? GROUP_DURABLE : GROUP_BROKEN;
        }
        if (!counted) g->waiting++;
        if (take_or_wait(g)) {
            os_unlock(&g->lock);
            gather(g);
            return GROUP_FLUSHER;
        }
    }
    return GROUP_DURABLE;
}

void group_begin(group_commit *g) {
    do {
        os_lock(&g->lock);
    } while (!take_or_wait(g));
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
    if (!is_durable(g, durable)) {
        atomic_store_explicit(&g->durable, durable, memory_order_release);
    }
    os_unlock(&g->lock);
    os_gate_open(&g->ended);
}

int group_init(group_commit *g, uint64_t durable) {
    *g = (group_commit){.durable = durable};
    int error = os_mutex_init(&g->lock);
    return error ? error : os_gate_init(&g->ended);
}

void group_destroy(group_commit *g) {
    os_mutex_destroy(&g->lock);
    os_gate_destroy(&g->ended);
}
