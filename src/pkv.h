/* pkv.h - persistent-kv, a hash map that keeps its contents.
 *
 * The whole public C API. Compiles as C99 and as C++.
 *
 * Conventions
 *  1. A store is opened with pkv_open and given back with pkv_close. Opening a folder that this
 *     process already has open returns the same store with one more reference; every open wants
 *     its own close. A NULL store is answered with PKV_CLOSED.
 *  2. Every function that can fail returns a pkv_status; PKV_OK is 0. Out-parameters come last and
 *     are written on success only, unless said otherwise. pkv_status_text gives a sentence for a
 *     code, pkv_error_detail what went wrong in this thread's last failing call; an absent key is
 *     no failure and leaves no detail.
 *  3. All functions may be called from any thread at any time, but for pkv_close, pkv_drain and
 *     the functions of one pkv_cursor, each of which wants its object for itself.
 *  4. Bytes handed in are copied before the call returns; bytes handed out are copies in the
 *     caller's memory, or belong to the cursor until its next step.
 *  5. Sizes are in bytes, times in seconds, unless a name says otherwise.
 *  6. Nothing here prints, exits, aborts or raises a signal.
 *  7. After fork, a child's stores and cursors answer PKV_FORKED; the child may close them, and
 *     then sees what any other process would see: the store is locked by its parent.
 *  8. In a config, 0 means "the default", so a zeroed pkv_config is a valid one.
 */
#ifndef PKV_H
#define PKV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define PKV_API __declspec(dllexport)
#elif defined(__GNUC__)
#define PKV_API __attribute__((visibility("default")))
#else
#define PKV_API
#endif

#define PKV_VERSION "1.0.0-dev"

/* Largest key and value, in bytes. A longer one is PKV_TOO_LARGE. */
#define PKV_KEY_MAX   ((size_t)16 << 20)
#define PKV_VALUE_MAX ((size_t)1 << 30)

typedef struct pkv pkv;
typedef struct pkv_cursor pkv_cursor;

typedef struct pkv_bytes {
    const void *data;
    size_t size;
} pkv_bytes;

typedef enum pkv_status {
    PKV_OK = 0,
    PKV_NOT_FOUND,  /* no such key; with create = PKV_NO, no such store */
    PKV_LOCKED,     /* another process has the store open */
    PKV_CORRUPT,    /* a file does not hold what was written to it */
    PKV_KEY_MODE,   /* the store holds another kind of keys */
    PKV_VALUE_TYPE, /* the store, or the entry, holds another kind of values */
    PKV_IO,         /* the operating system reported an error */
    PKV_NO_SPACE,   /* the disk is full */
    PKV_NO_MEMORY,  /* memory, or a shard's address space, is exhausted */
    PKV_TOO_LARGE,  /* a key or value is over the limit */
    PKV_READ_ONLY, /* an earlier flush failed: nothing can be written until the store is reopened */
    PKV_CLOSED,    /* the store is closed */
    PKV_FORKED,    /* the store was opened by the parent process */
    PKV_USAGE      /* the arguments are wrong, or contradict how the store is open already */
} pkv_status;

/* What a key is. A fixed-length key is 8 bytes: a little-endian integer, padded with zeros. */
typedef enum pkv_keys {
    PKV_KEYS_DEFAULT = 0, /* as the store was written; variable for a new one */
    PKV_KEYS_VARIABLE,    /* any bytes, none included */
    PKV_KEYS_FIXED        /* 8 bytes; see pkv_config.key_type */
} pkv_keys;

/* The integer types of fixed-length keys and of integer values. */
typedef enum pkv_integer {
    PKV_INTEGER_NONE = 0, /* as the store was written; u64 for new fixed keys */
    PKV_U64,
    PKV_I64,
    PKV_U32,
    PKV_I32,
    PKV_U16,
    PKV_I16,
    PKV_U8,
    PKV_I8
} pkv_integer;

/* What the values of a store are. The store keeps bytes and a pkv_type per entry whatever this
 * says; it is recorded so that nobody opens the store with another codec by mistake. */
typedef enum pkv_values {
    PKV_VALUES_DEFAULT = 0, /* as the store was written; any for a new one */
    PKV_VALUES_ANY,         /* each entry has its own pkv_type */
    PKV_VALUES_STRING,      /* bytes */
    PKV_VALUES_CODED,       /* bytes made by the program's own encoder */
    PKV_VALUES_MESSAGE,     /* protobuf messages, see pkv_protobuf.h */
    PKV_VALUES_INTEGER = 16 /* PKV_VALUES_INTEGER + a pkv_integer: little-endian, of its width */
} pkv_values;

/* The type that stands beside a value. Never changes how the store treats it. */
typedef enum pkv_type {
    PKV_BYTES = 0, /* a string */
    PKV_INTEGER,   /* 8 bytes, little-endian, signed */
    PKV_FLOAT,     /* 8 bytes, little-endian IEEE 754 */
    PKV_BOOLEAN,   /* 1 byte, 0 or 1 */
    PKV_TABLE      /* a MessagePack map or array */
} pkv_type;

/* When a write is acknowledged. */
typedef enum pkv_sync_mode {
    PKV_SYNC_DEFAULT = 0, /* PKV_SYNC_OS */
    PKV_SYNC_OS,          /* handed to the kernel: survives the death of the process */
    PKV_SYNC_ALWAYS,      /* flushed to the disk: survives power loss too */
    PKV_SYNC_BUFFERED,    /* may wait in the process: survives a clean close */
    PKV_SYNC_INTERVAL     /* as OS, and flushed every sync_seconds */
} pkv_sync_mode;

typedef enum pkv_wal_io {
    PKV_WAL_IO_DEFAULT = 0, /* a mapping where the file system is known to keep its promise */
    PKV_WAL_IO_MMAP,
    PKV_WAL_IO_PWRITE
} pkv_wal_io;

typedef enum pkv_choice { PKV_CHOICE_DEFAULT = 0, PKV_YES, PKV_NO } pkv_choice;

#define PKV_SNAPSHOT_NEVER UINT64_MAX    /* for snapshot_interval */
#define PKV_KEEP_NONE      ((int32_t)-1) /* for keep_backups */

typedef struct pkv_config {
    pkv_keys keys;
    pkv_integer key_type; /* of PKV_KEYS_FIXED */
    pkv_values values;
    pkv_sync_mode sync;
    double sync_seconds;           /* of PKV_SYNC_INTERVAL; default 1 */
    uint64_t snapshot_interval;    /* writes between snapshots; default: when the log has grown to
                                      twice the data, and 64 MiB at least */
    uint32_t memory_shards;        /* a power of two, at most 1024; default 16 */
    uint32_t wal_shards;           /* at most 64; default 1 */
    uint32_t snapshot_threads;     /* at most 64; default: the processors, at most 8, for opening;
                                      one less, if there are several, for snapshots */
    uint64_t snapshot_shard_bytes; /* aimed-at size of a snapshot file; default 1 GiB */
    int32_t keep_backups;          /* old snapshots kept beside the newest; default 1 */
    pkv_wal_io wal_io;
    pkv_choice create; /* PKV_NO: a folder without a store is PKV_NOT_FOUND; default yes */
} pkv_config;

/* Fills in the defaults: all zeros. */
PKV_API void pkv_config_init(pkv_config *config);

/* Opens the store in folder `path`, creating it and its parents, and restores it before returning.
 * config may be NULL. A second open in the process must not contradict the first (PKV_USAGE); its
 * defaults contradict nothing. PKV_LOCKED, PKV_CORRUPT, PKV_KEY_MODE and PKV_VALUE_TYPE leave the
 * folder's data untouched. */
PKV_API pkv_status pkv_open(const char *path, const pkv_config *config, pkv **store);

/* Gives one reference back. The last one waits for a running snapshot, flushes, cuts the log files
 * to their last record and releases the lock. The store is gone whatever is returned; an error
 * says that the last flush failed. */
PKV_API pkv_status pkv_close(pkv *store);

/* Sets key to value. On error nothing has changed, except that after a failing flush in
 * PKV_SYNC_ALWAYS (PKV_IO) the store is read-only and a reopen tells which state the disk holds. */
PKV_API pkv_status pkv_set(pkv *store, pkv_bytes key, pkv_bytes value);
PKV_API pkv_status pkv_set_typed(pkv *store, pkv_bytes key, pkv_bytes value, pkv_type type);

/* Copies at most `capacity` bytes of the value into `buffer` and sets *size to its whole size. */
PKV_API pkv_status pkv_get(pkv *store, pkv_bytes key, void *buffer, size_t capacity, size_t *size);
PKV_API pkv_status pkv_get_typed(pkv *store, pkv_bytes key, void *buffer, size_t capacity,
                                 size_t *size, pkv_type *type);

/* One answer of pkv_get_many: the caller sets buffer and capacity, the call sets the rest. */
typedef struct pkv_value {
    void *buffer;
    size_t capacity;
    size_t size;
    pkv_type type;
    pkv_status status; /* PKV_OK or PKV_NOT_FOUND */
} pkv_value;

/* Gets `count` keys, each as pkv_get does. Returns PKV_OK even where keys are absent. */
PKV_API pkv_status pkv_get_many(pkv *store, size_t count, const pkv_bytes *keys, pkv_value *values);

/* Removes key. PKV_NOT_FOUND if it was not there. */
PKV_API pkv_status pkv_unset(pkv *store, pkv_bytes key);

/* Number of entries. */
PKV_API pkv_status pkv_count(pkv *store, uint64_t *count);

/* Iteration. The store may change meanwhile; every entry that is there from the first step to the
 * last is seen exactly once. A cursor never outlives its store's last reference by a step, but may
 * be closed after it. */
PKV_API pkv_status pkv_cursor_open(pkv *store, pkv_cursor **cursor);

typedef struct pkv_entry {
    pkv_bytes key, value; /* valid until the cursor's next step */
    pkv_type type;
} pkv_entry;

/* The next entry, or PKV_NOT_FOUND after the last. */
PKV_API pkv_status pkv_cursor_next(pkv_cursor *cursor, pkv_entry *entry);
PKV_API void pkv_cursor_close(pkv_cursor *cursor);

/* Closes the store as pkv_close does, but hands out a cursor over what was in it, which gives
 * memory back as it goes. The files stay. PKV_USAGE, and nothing happens, while the process holds
 * other references, likewise PKV_FORKED; after any other error the store is gone. */
PKV_API pkv_status pkv_drain(pkv *store, pkv_cursor **cursor);

/* Returns once everything acknowledged so far would survive a power loss. */
PKV_API pkv_status pkv_sync(pkv *store);

/* Writes a snapshot and returns once it is published. */
PKV_API pkv_status pkv_snapshot(pkv *store);

typedef struct pkv_stats {
    uint64_t entries;
    uint64_t key_bytes, value_bytes;          /* payload */
    uint64_t memory_bytes;                    /* table memory in use, index and waste included */
    uint64_t memory_free_bytes;               /* of these, free for reuse */
    uint64_t wal_bytes;                       /* logs that a restart would replay */
    uint64_t wal_written_bytes;               /* appended since open */
    uint64_t snapshot_bytes;                  /* newest published snapshot */
    uint64_t snapshot_ordinal;                /* 0: none yet */
    uint64_t snapshots;                       /* published since open */
    uint64_t snapshot_failures;               /* since open */
    uint64_t flushes;                         /* of the log, since open */
    uint64_t restored_entries;                /* records read at open */
    uint64_t cut_bytes;                       /* torn tail cut off at open */
    double restore_seconds, snapshot_seconds; /* the latter of the latest */
    uint32_t memory_shards, wal_shards;
    pkv_keys keys;
    pkv_integer key_type;
    pkv_values values;
    pkv_sync_mode sync;
    pkv_wal_io wal_io; /* what is in use */
    int read_only, snapshot_running;
    char last_failure[256]; /* of the latest failing snapshot or flush, or "" */
} pkv_stats;

PKV_API pkv_status pkv_stats_get(pkv *store, pkv_stats *stats);

typedef enum pkv_event_kind {
    PKV_EVENT_RESTORED = 1, /* open has read the files */
    PKV_EVENT_PUBLISHED,    /* a snapshot is in force */
    PKV_EVENT_FAILED        /* a snapshot failed; it will be tried again */
} pkv_event_kind;

typedef struct pkv_event {
    pkv_event_kind kind;
    uint64_t ordinal;   /* of the snapshot */
    uint64_t entries;   /* restored or written */
    uint64_t cut_bytes; /* restored: torn tail cut off */
    double seconds;
    char message[256];
} pkv_event;

/* Takes the oldest event after number *seen and advances *seen to it; PKV_NOT_FOUND if there is
 * none. Start with *seen = 0. The latest 64 events are kept. Costs one load where nothing is new.
 */
PKV_API pkv_status pkv_next_event(pkv *store, uint64_t *seen, pkv_event *event);

/* Administration of a folder that nobody has open (PKV_LOCKED otherwise, also where this process
 * has it). `removed` gets the number of files removed. */
PKV_API pkv_status pkv_prune_backups(const char *path, uint32_t keep, uint64_t *removed);
PKV_API pkv_status pkv_delete_failed_pending_snapshots(const char *path, uint64_t *removed);

/* What pkv_check and pkv_repair have to say about one file. */
typedef enum pkv_finding_kind {
    PKV_FINDING_DAMAGE = 1, /* it does not hold what was written to it, or is missing, or foreign;
                               `bytes` from `offset` on, if it is a part of it that is damaged */
    PKV_FINDING_UNREADABLE, /* the operating system does not let it be read */
    PKV_FINDING_TORN,       /* no damage: `bytes` from `offset` on would be cut off at open, since
                               nothing of them had been promised */
    PKV_FINDING_SKIPPED,    /* repair: `bytes` from `offset` on hold no record that can be read */
    PKV_FINDING_READ,       /* repair: `records` were read from a file, the last about it */
    PKV_FINDING_LEFTOVER,   /* check: no damage: a file that means nothing any more. A snapshot or a
                               repair that was interrupted has left it; an open removes the former */
    PKV_FINDING_MORE        /* `records` more findings, with `bytes`, are not told one by one: they
                               are about this file, or, without a file, about all that follow */
} pkv_finding_kind;

/* "damaged", "unreadable", "torn", "skipped", "read", "leftover" or "more"; "unknown" for others.
 */
PKV_API const char *pkv_finding_name(pkv_finding_kind kind);

typedef struct pkv_finding {
    pkv_finding_kind kind;
    uint64_t offset; /* in file; UINT64_MAX if it has no meaning */
    uint64_t bytes, records;
    char file[256];    /* in the store's folder */
    char message[512]; /* the whole story in a sentence, file and offset included */
} pkv_finding;

/* Called from the thread that called pkv_check or pkv_repair; must not call either itself. */
typedef void (*pkv_on_finding)(void *context, const pkv_finding *finding);

typedef struct pkv_check_report {
    uint64_t files, records, bytes; /* of logs and snapshots that were read, backups included */
    uint64_t damaged, torn;         /* findings, told or not: the first two kinds, the third */
    uint64_t leftovers;             /* files */
} pkv_check_report;

/* Reads all that is in force in a folder that nobody has open (PKV_LOCKED otherwise), and its
 * backups, with the rules of pkv_open, but goes on after each finding: behind a damaged range of a
 * file with the next record that can be read. Tells 100 findings about a file at most, 1,000 in
 * all, and then how many more there are. Changes nothing; a lock file is made where there is none.
 * PKV_CORRUPT if any file is damaged, else PKV_IO if any cannot be read; the report is written then
 * too. `on_finding` may be NULL. */
PKV_API pkv_status pkv_check(const char *path, pkv_on_finding on_finding, void *context,
                             pkv_check_report *report);

typedef struct pkv_repair_options {
    const char *output; /* a folder that is not there yet; NULL: `path` + ".repaired" */
    int in_place;       /* instead: the folder itself; see pkv_repair */
    int with_backups;   /* read backups first: more comes back, and older and removed things too */
    pkv_keys keys;      /* where the manifest does not tell: a damaged one, the crate's folders */
    pkv_integer key_type; /* of PKV_KEYS_FIXED */
} pkv_repair_options;

typedef struct pkv_repair_report {
    uint64_t files,
        records; /* that were read; records in the order of their files make the store */
    uint64_t skipped, skipped_bytes; /* ranges of files */
    uint64_t missing;                /* files that cannot be read at all */
    int manifest_lost;               /* which files were in force is known from their names only */
    int finished; /* in place: an earlier repair was interrupted, and is ended now; nothing was read
                   */
    char output[4096];    /* where the salvaged store is */
    char originals[4096]; /* where the old files are */
} pkv_repair_report;

/* Salvages every record that can be read from a folder that nobody has open (PKV_LOCKED otherwise)
 * into a sound store of its own, and touches nothing in the folder. If anything was skipped or
 * missing, a key whose newest record was lost has an older value, or none, or is back though it was
 * removed; which keys these are cannot be known. PKV_OK if the new store is written, whatever was
 * lost; PKV_USAGE if the options do not do. In place, the old files are moved to the first free
 * folder `path`/damaged-1, -2, ..., and the new ones put in their place. Should that be
 * interrupted, another repair in place ends it: doc/c.md tells more. `options` and `on_finding` may
 * be NULL. */
PKV_API pkv_status pkv_repair(const char *path, const pkv_repair_options *options,
                              pkv_on_finding on_finding, void *context, pkv_repair_report *report);

/* Integer keys. pkv_integer_key range-checks `value` (PKV_USAGE names the range) and writes the 8
 * bytes of the key; for PKV_U64 all values are taken as the bits of a uint64_t. */
PKV_API pkv_status pkv_integer_key(pkv_integer type, int64_t value, unsigned char key[8]);
PKV_API int64_t pkv_key_integer(pkv_integer type, const unsigned char key[8]);
/* Integer values, encoded in `*size` bytes as the type is wide; decoding wants that size. */
PKV_API pkv_status pkv_integer_value(pkv_integer type, int64_t value, unsigned char bytes[8],
                                     size_t *size);
PKV_API pkv_status pkv_value_integer(pkv_integer type, pkv_bytes bytes, int64_t *value);
/* "u64" ... "i8", "integer" for i64; PKV_INTEGER_NONE and "none" where there is none. */
PKV_API pkv_integer pkv_integer_parse(const char *name);
PKV_API const char *pkv_integer_name(pkv_integer type);
/* "any", "string", "coded", "message" or an integer type's name; "any" for the default. */
PKV_API const char *pkv_values_name(pkv_values values);

/* A sentence for the code; never NULL. */
PKV_API const char *pkv_status_text(pkv_status status);

typedef struct pkv_error {
    pkv_status status;
    int os_error;      /* errno, or 0 */
    uint64_t offset;   /* in file; UINT64_MAX if it has no meaning */
    char file[256];    /* or "" */
    char message[512]; /* the whole story in a sentence, file and offset included */
} pkv_error;

/* What the last call of this thread that failed had to say. Valid until the next failing call. */
PKV_API const pkv_error *pkv_error_detail(void);

#ifdef __cplusplus
}
#endif
#endif
