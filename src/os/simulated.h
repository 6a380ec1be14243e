/* simulated.h - a disk in memory, in the place of posix_files.c, and the power cuts it can take.
 * Compiled for tests only.
 *
 * The disk writes a journal: every change of a page, a size or a name, and every flush, in the
 * order in which they came to be. A page is 4 KiB of a file as the page cache holds it; stores
 * through a mapping are found by comparing pages at the next call. What a power cut leaves is built
 * from the journal alone, for any number of its events:
 *
 *     page          of the states since the file's last flush any one; or, torn, the sectors
 *                   before or behind some point of the next state
 *     size          the changes since the file's last flush up to some point, in order
 *     name          the changes since the folder's last flush up to some point, in order
 *
 * Invariant: what a flush covered is there after every later cut. Nothing else is promised: not
 * that a file's flush makes its name durable, nor any order between files, or names and contents.
 */
#ifndef PKV_SIMULATED_H
#define PKV_SIMULATED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PAGE       4096u
#define SIM_SECTOR     512u
#define SIM_NAME_BYTES 96u

typedef enum sim_kind {
    SIM_PAGE_CHANGED, /* file, number of the page, its bytes */
    SIM_SIZE_CHANGED, /* file, size */
    SIM_FILE_SYNC,    /* file */
    SIM_CREATE,       /* file, name */
    SIM_RENAME,       /* name, to */
    SIM_UNLINK,       /* name */
    SIM_FOLDER_SYNC
} sim_kind;

typedef struct sim_event {
    sim_kind kind;
    uint32_t file;
    uint64_t number; /* of the page; the size */
    uint8_t *page;
    char name[SIM_NAME_BYTES], to[SIM_NAME_BYTES];
} sim_event;

typedef struct sim_journal {
    sim_event *events;
    size_t count, capacity;
} sim_journal;

void sim_journal_release(sim_journal *journal); /* safe on a zeroed one */

/* Empties the disk and starts a journal, or none. Nobody may have files open. */
void sim_begin(bool record);
/* Number of events so far, stores through mappings included. */
size_t sim_now(void);
/* Hands out the journal, which ends. */
sim_journal sim_end(void);

/* Flushes and truncations take a moment, as on a real disk, so that other threads come between. */
void sim_slow(bool slow);

/* The call-th call from now on that changes, flushes or makes room fails with `error`; all after it
 * too if `ever`. 0 calls: none does. */
void sim_fail(unsigned call, int error, bool ever);
/* How many calls have failed since. */
unsigned sim_failures(void);

/* `told` gets a line for each call that has read or changed a file or a name, as the probed
 * platform layer tells them (spec/support/probe.h). It must not call the disk. */
void sim_on_call(void (*told)(const char *line));

/* ---- For the builder of images (simulated_cut.c): files are put on the disk as if flushed. */
uint32_t sim_put_file(const char *name);
void sim_put_bytes(uint32_t file, const uint8_t *bytes, uint64_t size);

/* ---- Power cuts */

/* A journal played up to some event: what is durable, and what is still in the cache. */
typedef struct sim_replay sim_replay;

sim_replay *sim_replay_new(const sim_journal *journal);
void sim_replay_free(sim_replay *replay);
/* Plays on, to `events` of them; never back. */
void sim_replay_to(sim_replay *replay, size_t events);
/* Is anything not durable? */
bool sim_replay_pending(const sim_replay *replay);
/* How many changes of names are not durable, and how many bundles have names in common. */
size_t sim_replay_names(const sim_replay *replay, size_t *bundles);

typedef enum sim_share {
    SIM_NONE,
    SIM_ALL,
    SIM_ODD,    /* pages with odd numbers; of sizes: of the files with odd numbers */
    SIM_EVEN,   /* the others */
    SIM_LATE,   /* what belongs to the newest file that has anything in the cache */
    SIM_LAST,   /* the last page of each file, no other */
    SIM_RANDOM, /* up to a point chosen for each page, file, or the folder */
    /* Of names only: */
    SIM_BY_NAME, /* up to a point chosen for each bundle of changes that have names in common */
    SIM_FIRST,   /* the first so many, as the seed says */
    SIM_CHOSEN   /* all of those bundles whose bits are set in the seed, none of the others */
} sim_share;

typedef struct sim_cut {
    sim_share names, sizes, pages; /* how much of what is not durable stays */
    uint64_t seed;
} sim_cut;

/* Empties the disk and puts on it what the power cut leaves; starts a journal if wanted, which
 * begins with what is there. Nobody may have files open. */
void sim_replay_cut(sim_replay *replay, sim_cut cut, bool record);
/* The same for cuts that leave the same names and bytes. */
uint64_t sim_replay_hash(sim_replay *replay, sim_cut cut);

#endif
