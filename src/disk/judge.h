/* judge.h - what is read of a file, against what the manifest and the file itself say was written:
 * is it all, has it a torn tail, or is it damaged? Those who read back are of one opinion: a
 * restore, which stops at damage (restore.h), and an examination, which goes on behind it
 * (examine.h).
 */
#ifndef PKV_JUDGE_H
#define PKV_JUDGE_H

#include "manifest.h"
#include "reader.h"
#include "../os/visibility.h"

/* A group of files that is read. */
typedef struct judge {
    const os_folder *folder;
    const manifest *m;
    const manifest_group *group;
    const manifest_group *before; /* the log before it; NULL: there is none, or it is no log */
    bool is_log;                  /* else a snapshot */
} judge;

judge judge_of_snapshot(const os_folder *folder, const manifest *m, const manifest_group *group);
judge judge_of_log(const os_folder *folder, const manifest *m, size_t log);

/* PKV_NOT_FOUND, without details, where a partial group lacks the file. */
pkv_status judge_open(const judge *j, uint32_t shard, reader *in);
/* Whether somebody else has written to a log since the store was closed. */
pkv_status judge_growth(const judge *j, uint32_t shard, const reader *in);

/* Reading has ended at in->offset. A snapshot is whole, or it is damaged. */
pkv_status judge_snapshot(const reader *in, const shard_facts *facts, uint64_t entries,
                          record_result ended);
/* A log may have a torn tail there, of *cut bytes. The reader moves. */
pkv_status judge_log(reader *in, const shard_facts *facts, record_result ended, uint64_t *cut);

/* Where the log before this one ends for the same shard; UINT64_MAX: no telling. */
uint64_t judge_previous_end(const judge *j, uint32_t shard);
/* Whether a log that begins with this record goes on from an end that was lost. */
static inline bool judge_is_orphan(const record *first, uint64_t previous_end) {
    return first->previous_size > previous_end;
}
/* Nothing of such a log may come back; all its bytes, *cut, are a torn tail unless they were
 * flushed. The reader moves. */
pkv_status judge_orphan(reader *in, const shard_facts *facts, uint64_t previous_end, uint64_t *cut);

#include "../os/visibility_end.h"
#endif
