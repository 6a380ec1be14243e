/* adapter.h - what a store must offer to take part in the benchmark, and what it is told.
 *
 * A store takes part by a program of its own: an adapter, and a main that hands it to bench_main.
 * The adapter may be in any language that can fill in these structures. Where something fails, it
 * says so on stderr and exits: a benchmark has no use for errors.
 */
#ifndef ADAPTER_H
#define ADAPTER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an acknowledged write survives. Figures of different classes are never compared. */
enum durability {
    D0, /* nothing that was promised: memory only, or written at leisure */
    D1, /* the death of the process, by kill -9 */
    D2, /* the loss of power: flushed before it is acknowledged */
    DURABILITY_CLASSES
};

/* Writes between two snapshots, for stores that make them by themselves. */
#define SNAPSHOTS_DEFAULT ((uint64_t)0)
#define SNAPSHOTS_NEVER   UINT64_MAX
#define SNAPSHOTS_CALLED                                                                           \
    (UINT64_MAX - 1) /* when `snapshot` is called, and else as rarely as can be */

typedef struct bench_options {
    const char *folder; /* of the store: empty, or as the same adapter left it */
    uint64_t durability;
    uint64_t snapshots; /* SNAPSHOTS_... */
    uint64_t entries;   /* that there will be, for stores that want to be told */
    uint64_t key_size;  /* 8, any bytes; or 16, printable */
    uint64_t value_size;
    uint64_t threads; /* that will use the store */
} bench_options;

typedef struct bench_bytes {
    const void *data;
    size_t size;
} bench_bytes;

/* Where a value goes: at most `capacity` bytes of it, and its whole size, or ABSENT. */
typedef struct bench_answer {
    void *buffer;
    size_t capacity, size;
} bench_answer;

#define ABSENT SIZE_MAX

/* For stores that show where a value lies. */
static inline void bench_answer_with(bench_answer *answer, const void *value, size_t size) {
    memcpy(answer->buffer, value, size < answer->capacity ? size : answer->capacity);
    answer->size = size;
}

/* Reads a byte, so that an entry that a scan is shown has to be in memory. Returns 1. */
static inline uint64_t bench_touch(const void *bytes) {
    (void)*(const volatile unsigned char *)bytes;
    return 1;
}

/* What is marked optional may be NULL. */
typedef struct adapter {
    const char *name;
    /* How the store is set up for each class, for the report; NULL: it has no such class. */
    const char *settings[DURABILITY_CLASSES];
    /* Part of the names of files that are mapped but are a log, not the store's memory. Optional.
     */
    const char *mapped_log;

    void *(*open)(const bench_options *options);
    void (*close)(void *store);
    /* What one thread at a time works with, ended before the close. Optional: the store itself. */
    void *(*session)(void *store);
    void (*end_session)(void *session);

    void (*set)(void *session, bench_bytes key, bench_bytes value);
    void (*get)(void *session, bench_bytes key, bench_answer *answer);
    /* Optional: a call for many keys at once. */
    void (*get_many)(void *session, size_t count, const bench_bytes *keys, bench_answer *answers);
    void (*remove)(void *session, bench_bytes key);
    /* Visits all entries, keys and values, and returns how many there were. */
    uint64_t (*scan)(void *session);

    /* Flushes what was written so far. Optional. */
    void (*sync)(void *store);
    /* Folds the log into what a restart reads first (a snapshot, a checkpoint, a compaction), and
     * returns once that is in force. Called beside sets and gets of other threads. Optional. */
    void (*snapshot)(void *store);
} adapter;

/* Obeys the arguments (see driver.c), prints what it measures, and returns the exit code. */
int bench_main(int argc, char **argv, const adapter *store);

#ifdef __cplusplus
}
#endif
#endif
