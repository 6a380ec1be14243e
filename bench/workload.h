/* workload.h - what every store in the benchmark is made to do, and the little it must offer.
 *
 * A store takes part by a program of its own: an adapter, and a main that hands it to
 * workload_main. The adapter may be in any language that can fill in this structure. Where
 * something fails, it says so on stderr and exits: a benchmark has no use for errors.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stddef.h>
#include <stdint.h>

#define KEY_SIZE   16
#define VALUE_SIZE 100

/* Writes between two snapshots. */
#define INTERVAL_DEFAULT ((uint64_t)0)
#define INTERVAL_NEVER   UINT64_MAX

typedef struct activity {
    uint64_t published; /* snapshots since open */
    uint64_t running;   /* one is being written, 0 or 1 */
} activity;

typedef struct adapter {
    void *(*open)(const char *folder, uint64_t snapshot_interval);
    void (*close)(void *store);
    /* From any thread: KEY_SIZE printable bytes, VALUE_SIZE bytes. */
    void (*set)(void *store, const char *key, const unsigned char *value);
    /* Copies at most VALUE_SIZE bytes of the value and returns its size; 0 if there is none. */
    size_t (*get)(void *store, const char *key, unsigned char *value);
    /* What the store itself says it uses; 0 if it has nothing to say. */
    uint64_t (*memory)(void *store);
    void (*activity)(void *store, const char *folder, activity *result);
} adapter;

/* Obeys the arguments PHASE FOLDER ENTRIES THREADS INTERVAL (a number, "default" or "never") and
 * prints a line "measure number" for all that it measures. Returns the exit code. */
int workload_main(int argc, char **argv, const adapter *store);

#endif
