/* pipeline.h - the records of one file on their way to a sink, by any number of threads.
 *
 *     read ─> decode, sort ─> admit ─┬─> part 0
 *                                    ├─> part 1
 *                                    └─> ...
 *
 * Batches of records (slice.h) are read one after the other, and numbered. They are decoded, and
 * sorted by what part of the sink their records belong to, side by side. Then they are admitted in
 * order; each part takes the records of those admitted in order, by one thread at a time. So the
 * records of one part reach the sink in the order of the file, while several parts are worked at.
 * There are no roles: a thread does whatever is to be done next.
 *
 * What ends a file, or fails, counts when it is to be admitted. So it is the first such place in
 * the file that counts, however far other threads have read on.
 */
#ifndef PKV_PIPELINE_H
#define PKV_PIPELINE_H

#include "slice.h"
#include "../os/visibility.h"

#define SINK_PARTS_MAX 64u

/* A record that is to be applied, with the hash that the sink gave it. */
typedef struct sink_item {
    const record *entry;
    uint64_t hash;
} sink_item;

/* Some records of one part, in order. */
typedef struct sink_batch {
    unsigned part;
    const sink_item *items;
    size_t count;
    uint64_t expected; /* records of all parts in all files so far and to come, as a guess */
} sink_batch;

/* Called from several threads. The records' bytes are valid only during the call. */
typedef struct restore_sink {
    unsigned part_bits; /* 2^part_bits parts, SINK_PARTS_MAX at most: the hash's highest bits */
    /* PKV_NOT_FOUND: nothing is to be done about this record. */
    pkv_status (*hash)(void *context, const record *entry, record_origin origin, uint64_t *hash);
    /* Applies the records; *applied tells how many, also on failure. Different files may come to
     * one part at the same time; they have no key in common. */
    pkv_status (*apply)(void *context, const sink_batch *batch, size_t *applied);
    void *context;
} restore_sink;

/* What is known of the files that a pipeline's one belongs to. */
typedef struct pipeline_facts {
    uint64_t previous_end;   /* where the log before this one ends; UINT64_MAX: no telling */
    uint64_t entries_before; /* in the files read before */
    uint64_t group_bytes;    /* of the file and those that are read beside it */
} pipeline_facts;

/* Batches that there may be for each thread that is at the file, and for all. */
#define BATCHES_PER_THREAD 8u
#define BATCHES_MAX        (SNAPSHOT_THREADS_MAX * BATCHES_PER_THREAD)

typedef struct sorted_batch sorted_batch;

typedef struct pipeline {
    reader in;
    const restore_sink *sink;
    pipeline_facts facts;

    os_mutex lock; /* of what follows, and of the reader where nobody is reading */
    os_cond moved;
    unsigned waiting; /* threads, for it */
    unsigned threads; /* that are at this file */
    bool is_open;

    sorted_batch *idle;
    unsigned made, most;               /* batches there are, and may be */
    sorted_batch *on_way[BATCHES_MAX]; /* by number; from `first` up to `next` */
    uint64_t first, admitted, next;    /* numbers: < admitted: can be applied */
    uint64_t applied[SINK_PARTS_MAX];  /* by the part: all of a lower number */
    bool is_busy[SINK_PARTS_MAX];      /* somebody works at the part */
    bool is_reading;                   /* somebody reads */
    bool is_exhausted;                 /* there is no more to read */
    bool is_over;                      /* no more is admitted */

    uint64_t entries;    /* admitted */
    record_result ended; /* how */
    bool is_orphan;      /* the first record says that the log before has lost its end */
    bool failed;
    pkv_error error; /* of the last one */
} pipeline;

int pipeline_init(pipeline *p); /* an errno value */
void pipeline_destroy(pipeline *p);

/* One thread opens the file, p->in, holding p->lock, says so by pipeline_begin, runs, and takes the
 * outcome; others may help meanwhile. Once it has taken the outcome p can be used again; the reader
 * is behind the last record of the file, and open still. */
void pipeline_begin(pipeline *p, const restore_sink *sink, const pipeline_facts *facts);
void pipeline_run(pipeline *p);
void pipeline_help(pipeline *p);
pkv_status pipeline_end(pipeline *p);
/* Gives memory back between two files. */
void pipeline_rest(pipeline *p);

#include "../os/visibility_end.h"
#endif
