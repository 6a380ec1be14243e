/* group_commit.h - one flush for all that wait for one (DeWitt et al. 1984), and who does it.
 *
 * Somebody who waits is told that his position is durable, or becomes the flusher, of whom there is
 * one at a time. Those whom a flush has served tend to come again at once, one after the other;
 * were the first of them to flush alone, the others would wait for his flush and for one more. So a
 * new flusher waits until as many are there as were served by the last flush or came during it, but
 * no longer than a part of what that took, and a millisecond (a group commit timer, as in Helland
 * et al. 1987), and seldom, where that was in vain. Whoever is alone never waits.
 */
#ifndef PKV_GROUP_COMMIT_H
#define PKV_GROUP_COMMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "../os/os.h"
#include "../os/visibility.h"

typedef struct group_commit {
    os_mutex lock; /* of what is no atomic */
    os_gate ended; /* a flush */
    bool flushing;
    _Atomic uint64_t durable; /* position; grows, under the lock */
    /* Only an estimate, by which no more than time is lost. */
    unsigned waiting;      /* have come since the last flush began */
    unsigned served;       /* had come when it began */
    unsigned expected;     /* are likely to come before the next one */
    unsigned discouraged;  /* flushes to go before any are waited for */
    double began, seconds; /* on os_now's clock; what the last one took */
} group_commit;

typedef enum group_turn {
    GROUP_DURABLE, /* the position is */
    GROUP_BROKEN,  /* nothing more will be */
    GROUP_FLUSHER  /* the caller has the role, and is to end it */
} group_turn;

/* Waits for one of these. What was durable before the log broke is durable. */
group_turn group_wait(group_commit *g, uint64_t position, const atomic_int *broken);
/* Waits for the role alone: for those who want to keep everybody else from flushing. */
void group_begin(group_commit *g);
/* Gives the role back. All up to `durable` is; 0 where nothing new is. */
void group_end(group_commit *g, uint64_t durable);

/* 0 or an errno value. */
int group_init(group_commit *g, uint64_t durable);
void group_destroy(group_commit *g);

#include "../os/visibility_end.h"
#endif
