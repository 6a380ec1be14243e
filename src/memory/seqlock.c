#include "seqlock.h"

int seqlock_init(seqlock *s) {
    atomic_init(&s->version, 0);
    atomic_init(&s->readers, 0);
    return os_rwlock_init(&s->lock);
}

void seqlock_destroy(seqlock *s) {
    os_rwlock_destroy(&s->lock);
}

void seqlock_lock_shared(seqlock *s) {
    atomic_fetch_add_explicit(&s->readers, 1, memory_order_seq_cst);
    seqlock_fence(memory_order_seq_cst);
    /* A writer who has not seen us is done soon. Those that come later, or step back for us, take
     * the lock. */
    for (unsigned turn = 0; seqlock_version(s) & 1; turn++) os_back_off(turn);
    os_lock_shared(&s->lock);
}

bool seqlock_begin_write_among_readers(seqlock *s) {
    /* Even while he waits: whoever is about to lock must not wait for him meanwhile. */
    uint32_t version = atomic_load_explicit(&s->version, memory_order_relaxed);
    atomic_store_explicit(&s->version, version + 1, memory_order_release);
    os_lock_exclusive(&s->lock);
    atomic_store_explicit(&s->version, version + 2, memory_order_relaxed);
    seqlock_fence(memory_order_release);
    return true;
}
