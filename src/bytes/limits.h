/* limits.h - every limit that is not part of the public API, in one place.
 *
 * A test build (-DPKV_TINY) shrinks them, so that rare paths are everyday paths. */
#ifndef PKV_LIMITS_H
#define PKV_LIMITS_H

#include <stdint.h>

#define MEMORY_SHARDS_DEFAULT 16u
#define MEMORY_SHARDS_MAX     1024u
#define WAL_SHARDS_DEFAULT    1u
#define WAL_SHARDS_MAX        64u
#define SNAPSHOT_THREADS_MAX  64u
#define KEEP_BACKUPS_DEFAULT  1

/* A file name's shard count beyond this is not one of ours, nor of the crate's. */
#define FILE_SHARDS_MAX 65536u
/* Nor is an ordinal beyond this; so one more than the last never overflows. */
#define ORDINAL_MAX        ((uint64_t)INT64_MAX)
#define MANIFEST_BYTES_MAX ((uint64_t)64 << 20)
/* Groups and shards of a manifest, added up; see manifest_message.c for what they cost. */
#define MANIFEST_PARTS_MAX 100000u

#define SNAPSHOT_SHARD_BYTES_DEFAULT ((uint64_t)1 << 30)
/* Smaller snapshots are written as one file by one thread. */
#define SNAPSHOT_PARALLEL_BYTES ((uint64_t)100 << 10)
/* By default a snapshot is due when the log has grown to this many times the data, */
#define SNAPSHOT_LOG_FACTOR 2u
/* and to this size at least. */
#define SNAPSHOT_LOG_MIN ((uint64_t)64 << 20)
/* A failed snapshot is tried again after so many seconds, doubling up to the second figure. */
#define SNAPSHOT_RETRY_SECONDS     1.0
#define SNAPSHOT_RETRY_SECONDS_MAX 60.0

/* Buffer of a writer. */
#define FILE_BUFFER_BYTES ((size_t)256 << 10)
/* How far the log was flushed is said again until a record up to this size, of another key than the
 * empty one, has said it: these are found behind a damaged record. */
#define MARKED_RECORD_MAX ((size_t)256 << 10)

#ifdef PKV_TINY
#define SLICE_RECORDS    16u
#define READER_BUFFER    ((size_t)1 << 10)
#define CHUNK_BYTES      ((uint32_t)4 << 10)
#define LARGE_PAGES_FROM ((uint64_t)2 << 20)
#define WAL_SEGMENT_MIN  ((uint64_t)4 << 10)
#define WAL_SEGMENT_MAX  ((uint64_t)16 << 10)
#else
/* Of a file that several threads read, so many records are read at once, and so many bytes. */
#define SLICE_RECORDS    1024u
#define READER_BUFFER    ((size_t)128 << 10)
/* Shards grow by chunks of this size. */
#define CHUNK_BYTES      ((uint32_t)64 << 10)
/* From so much memory on, for all shards, it is taken in large pages: until then the processor's
 * caches hold the page tables. */
#define LARGE_PAGES_FROM ((uint64_t)256 << 20)
/* A log is extended by half its size, within these bounds. */
#define WAL_SEGMENT_MIN  ((uint64_t)64 << 10)
#define WAL_SEGMENT_MAX  ((uint64_t)8 << 20)
#endif
/* Of buffers that are larger a file has one, however many threads read it. */
#define READER_LARGE (4 * READER_BUFFER)

/* Address space of one log file's mapping; beyond it the log goes on with positioned writes. */
#define WAL_MAP_BYTES ((uint64_t)8 << 30)
/* Address space of one memory shard for its index and blocks of up to a chunk, and as much again
 * for larger blocks: together as far as 32-bit offsets in granules reach. */
#define SHARD_BYTES_MAX ((uint64_t)8 << 30)

#endif
