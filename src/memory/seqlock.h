/* seqlock.h - a sequence lock: readers look, without a trace, and look again if somebody wrote
 * meanwhile (Hemminger's in Linux; its fences as in Boehm, "Can seqlocks get along with programming
 * language memory models?", MSPC 2012). A reader who has much to read, or no luck, may lock writers
 * out instead.
 *
 *     version   odd while somebody writes; every write makes it another even number
 *     readers   how many lock writers out, or are about to
 *     lock      taken shared by those, and exclusively by a writer who sees that there are any
 *
 * A writer makes the version odd and then looks at `readers`; a locking reader counts himself in
 * `readers` and then looks at the version: one of them sees the other (Dekker). So a writer takes
 * the lock only where somebody reads under it.
 *
 * There is one writer at a time, by another lock. What is read without the lock must be read by
 * words.h, must be writable only through it, and must be believed only when seqlock_unchanged has
 * said so: an offset before it is followed, a length before it is used.
 */
#ifndef PKV_SEQLOCK_H
#define PKV_SEQLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "../bytes/planted.h"
#include "../os/os.h"
#include "../os/visibility.h"

/* gcc refuses fences under ThreadSanitizer, which knows nothing of them: there a full barrier by
 * its older name. What it must see is in the loads and stores beside them. */
#ifdef __SANITIZE_THREAD__
#define seqlock_fence(order) __sync_synchronize()
#else
#define seqlock_fence(order) atomic_thread_fence(order)
#endif

/* So many looks that a writer has spoilt, and a reader takes the lock. */
#define SEQLOCK_LOOKS 4u

typedef struct seqlock {
    _Atomic uint32_t version, readers;
    os_rwlock lock;
} seqlock;

/* ---- Reading without a trace */

/* Odd: somebody is writing. */
static inline uint32_t seqlock_version(const seqlock *s) {
    return atomic_load_explicit(&s->version, memory_order_acquire);
}

static inline bool seqlock_unchanged(const seqlock *s, uint32_t version) {
    if (PLANTED(believe_any_version)) return true;
    seqlock_fence(memory_order_acquire);
    return atomic_load_explicit(&s->version, memory_order_relaxed) == version;
}

/* ---- Reading under the lock */

void seqlock_lock_shared(seqlock *s);

static inline void seqlock_unlock_shared(seqlock *s) {
    os_rw_unlock(&s->lock);
    atomic_fetch_sub_explicit(&s->readers, 1, memory_order_release);
}

/* ---- Writing */

/* True: seqlock_end_write has a lock to release. */
bool seqlock_begin_write_among_readers(seqlock *s);

static inline bool seqlock_begin_write(seqlock *s) {
    uint32_t version = atomic_load_explicit(&s->version, memory_order_relaxed);
    version += PLANTED(return_to_version) ? UINT32_MAX : 1;
    atomic_store_explicit(&s->version, version, memory_order_relaxed);
    seqlock_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&s->readers, memory_order_acquire) == 0) return false;
    if (PLANTED(overlook_readers)) return false;
    return seqlock_begin_write_among_readers(s);
}

static inline void seqlock_end_write(seqlock *s, bool locked) {
    uint32_t version = atomic_load_explicit(&s->version, memory_order_relaxed);
    atomic_store_explicit(&s->version, version + 1, memory_order_release);
    if (locked) os_rw_unlock(&s->lock);
}

/* ---- Life. 0 or an errno value. */

int seqlock_init(seqlock *s);
void seqlock_destroy(seqlock *s);

#include "../os/visibility_end.h"
#endif
