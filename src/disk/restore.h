/* restore.h - what a stopped store left, read back: the published snapshot, then every later log.
 *
 * Shards of one ordinal hold different keys, so they are read in parallel, and several threads can
 * be at each (pipeline.h); ordinals follow each other. Nothing depends on how many shards there
 * were or will be, nor on the number of threads.
 *
 * What comes back of each log shard is a prefix of its history:
 *  - An invalid record ends a log. Behind everything known to have been flushed it is a torn tail:
 *    what was written when the power failed, or the process died. Before, it is corruption.
 *  - What is known to have been flushed: the sizes in the manifest, and the marks within the log.
 *  - The first record of a log tells where the log before it ends. Where that end was lost, all
 *    later logs of the shard are dropped too: no hole.
 * Reading changes no file. restore_repair does, once everything has been read.
 */
#ifndef PKV_RESTORE_H
#define PKV_RESTORE_H

#include "manifest.h"
#include "pipeline.h"
#include "../os/visibility.h"

typedef struct restore_result {
    uint64_t entries;   /* records applied */
    uint64_t cut_bytes; /* of torn tails, dropped logs included */
    char cut_file[96];  /* one of the files concerned, or "" */
    uint64_t cut_offset;
} restore_result;

/* Reads all that the manifest says is in force, and sets the sizes of its logs to where they end.
 */
pkv_status restore_run(const os_folder *folder, manifest *m, unsigned threads,
                       const restore_sink *sink, restore_result *result);

/* Cuts the logs to the manifest's sizes and flushes them. */
pkv_status restore_repair(const os_folder *folder, const manifest *m);

#include "../os/visibility_end.h"
#endif
