/* sim_small_check.c - small worlds, all of them: each sequence of up to three operations out of
 * set, set another key, unset, sync, snapshot and reopen, with the power cut at every event of it.
 *
 *     sim_small_check [longest]       with a figure: each in both modes and both ways of writing
 */
#include "effort.h"
#include "sim_explore.h"

#define LONGEST EFFORT(3u, 1u, 2u, 2u, 1u) /* worlds too small to meet a limit */

enum { SET, SET_OTHER, UNSET, SYNC, SNAPSHOT, REOPEN, OPERATIONS };

static bool open_session(check *c, writer *w) {
    begin_session(w->h, sim_now());
    if (pkv_open("simulated", &c->config, &w->store)) {
        complain(c, "open fails");
        return false;
    }
    find_lanes(c, w->store, &w->h->sessions[w->h->session_count - 1]);
    return true;
}

static bool operate(check *c, writer *w, unsigned what) {
    switch (what) {
    case SET:
    case SET_OTHER:
        make_change(w, what, false);
        break;
    case UNSET:
        make_change(w, 0, true);
        break;
    case SYNC:
        make_durable(w, pkv_sync);
        break;
    case SNAPSHOT:
        make_durable(w, pkv_snapshot);
        break;
    default:
        make_durable(w, pkv_close);
        return open_session(c, w);
    }
    return true;
}

/* The digits of `sequence` are the operations. */
static bool run_sequence(unsigned sequence, unsigned length, pkv_config config, size_t *states) {
    check c = {.seed = scramble(sequence), .config = config, .writers = 1};
    (void)snprintf(c.doing, sizeof c.doing, "sequence %u of %u, sync %d, io %d", sequence, length,
                   (int)config.sync, (int)config.wal_io);
    history *h = new_history();
    writer w = {.c = &c, .h = h};
    sim_begin(true);
    bool open = open_session(&c, &w);
    for (unsigned i = 0; i < length && open; i++, sequence /= OPERATIONS) {
        open = operate(&c, &w, sequence % OPERATIONS);
    }
    if (open) make_durable(&w, pkv_close);
    sim_journal journal = sim_end();
    explore(&c, &journal, 0, NULL, h, DEPTH);
    sim_journal_release(&journal);
    free_history(h);
    *states += c.states;
    return c.bad == 0;
}

int main(int argc, char **argv) {
    unsigned longest = argc > 1 ? (unsigned)atoi(argv[1]) : LONGEST, count = 1, next = 0;
    int passed = 0, failed = 0;
    size_t states = 0;
    make_filler();
    for (unsigned length = 1; length <= longest; length++) {
        count *= OPERATIONS;
        for (unsigned sequence = 0; sequence < count; sequence++) {
            for (unsigned kind = 0; kind < 4; kind++) {
                if (argc <= 1 && length > 1 && length == longest && kind != next % 4) continue;
                pkv_config config = {.sync = kind % 2 ? PKV_SYNC_OS : PKV_SYNC_ALWAYS,
                                     .wal_io = kind / 2 ? PKV_WAL_IO_MMAP : PKV_WAL_IO_PWRITE,
                                     .wal_shards = 1,
                                     .memory_shards = 1,
                                     .snapshot_interval = PKV_SNAPSHOT_NEVER};
                run_sequence(sequence, length, config, &states) ? passed++ : failed++;
            }
            next++;
        }
    }
    printf("%zu crash states\n", states);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
