/* store.c - see store.h: opening and closing, and who has what open.
 *
 * The registry lists the stores that this process has open, by the device and inode of their
 * folder, so that every path to a folder leads to the same store. While a store is being opened or
 * closed it is listed as busy, and whoever wants the same folder waits: the lock file only tells
 * processes apart.
 */
#include "store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bytes/limits.h"
#include "bytes/planted.h"

static os_mutex registry_lock = PTHREAD_MUTEX_INITIALIZER;
static os_cond registry_changed = PTHREAD_COND_INITIALIZER;
static pkv *registry;

/* ---- Fork: the child starts with an empty registry, and lets go of the parent's locks */

static void before_fork(void) {
    os_lock(&registry_lock);
}

static void after_fork_in_parent(void) {
    os_unlock(&registry_lock);
}

static void after_fork_in_child(void) {
    for (pkv *store = registry; store; store = store->next) disk_forget_lock(&store->disk);
    registry = NULL;
    os_unlock(&registry_lock);
}

/* Once per process, and before it has a store: a child must know whose the store is. */
static pkv_status prepare_process(void) {
    static bool prepared;
    os_lock(&registry_lock);
    int error = 0;
    if (!prepared) {
        os_stay_loaded();
        error = os_fork_handlers(before_fork, after_fork_in_parent, after_fork_in_child);
        prepared = error == 0;
    }
    os_unlock(&registry_lock);
    return error ? fail_os(NULL, NO_OFFSET, error, "cannot prepare for fork") : PKV_OK;
}

pkv_status store_named(pkv_status status, const char *path) {
    if (!status || strstr(pkv_error_detail()->message, path)) return status;
    return fail_context("store %s", path);
}

/* ---- Options */

void pkv_config_init(pkv_config *config) {
    memset(config, 0, sizeof *config);
}

static pkv_status fail_option(const char *option, const char *allowed) {
    return fail(PKV_USAGE, NULL, NO_OFFSET, 0, "option %s must be %s", option, allowed);
}

static pkv_status check_config(const pkv_config *c) {
    if ((unsigned)c->keys > PKV_KEYS_FIXED) return fail_option("keys", "a pkv_keys");
    if ((unsigned)c->key_type > PKV_I8) return fail_option("key_type", "a pkv_integer");
    if ((unsigned)c->sync > PKV_SYNC_INTERVAL) return fail_option("sync", "a pkv_sync_mode");
    if (!(c->sync_seconds >= 0) || !(c->sync_seconds <= 86400)) {
        return fail_option("sync_seconds", "from 0 (default) to 86400");
    }
    if (c->memory_shards > MEMORY_SHARDS_MAX || (c->memory_shards & (c->memory_shards - 1))) {
        return fail_option("memory_shards", "a power of two up to 1024");
    }
    if (c->wal_shards > WAL_SHARDS_MAX) return fail_option("wal_shards", "at most 64");
    if (c->snapshot_threads > SNAPSHOT_THREADS_MAX) {
        return fail_option("snapshot_threads", "at most 64");
    }
    if ((unsigned)c->wal_io > PKV_WAL_IO_PWRITE) return fail_option("wal_io", "a pkv_wal_io");
    if ((unsigned)c->values > PKV_VALUES_INTEGER + PKV_I8)
        return fail_option("values", "a pkv_values");
    return PKV_OK;
}

/* A snapshot leaves a processor to the program, unless told otherwise. */
static void fill_defaults(pkv *store) {
    pkv_config *c = &store->config;
    unsigned processors = os_processors() < 8 ? os_processors() : 8;
    store->snapshot_writers = c->snapshot_threads;
    if (!store->snapshot_writers) store->snapshot_writers = processors > 1 ? processors - 1 : 1;
    if (!c->sync) c->sync = PKV_SYNC_OS;
    if (c->sync_seconds <= 0) c->sync_seconds = 1;
    if (!c->memory_shards) c->memory_shards = MEMORY_SHARDS_DEFAULT;
    if (!c->wal_shards) c->wal_shards = WAL_SHARDS_DEFAULT;
    if (!c->snapshot_threads) c->snapshot_threads = processors;
    if (!c->snapshot_shard_bytes) c->snapshot_shard_bytes = SNAPSHOT_SHARD_BYTES_DEFAULT;
    if (!c->keep_backups) c->keep_backups = KEEP_BACKUPS_DEFAULT;
}

static pkv_status fail_contradiction(const char *option) {
    return fail(PKV_USAGE, NULL, NO_OFFSET, 0,
                "this process has the store open already, with another value of option %s: leave "
                "the option out, or close the store first",
                option);
}

/* An open store may be opened again with anything that does not contradict how it is open. */
static pkv_status check_contradictions(const pkv_config *now, const pkv_config *c) {
    bool other_keys = c->keys && c->keys != now->keys;
    bool other_type = c->keys == PKV_KEYS_FIXED && c->key_type && c->key_type != now->key_type;
    if (other_keys || other_type) {
        return fail(PKV_KEY_MODE, NULL, NO_OFFSET, 0,
                    "this process has the store open already, with %s keys",
                    now->keys == PKV_KEYS_VARIABLE ? "string" : pkv_integer_name(now->key_type));
    }
    if (c->values && c->values != now->values) {
        return fail(PKV_VALUE_TYPE, NULL, NO_OFFSET, 0,
                    "this process has the store open already, with values of type \"%s\", not "
                    "\"%s\"",
                    pkv_values_name(now->values), pkv_values_name(c->values));
    }
    if (c->sync && c->sync != now->sync) return fail_contradiction("sync");
    bool timed = c->sync == PKV_SYNC_INTERVAL && c->sync_seconds > 0;
    if (timed && fabs(c->sync_seconds - now->sync_seconds) > 0) return fail_contradiction("sync");
    if (c->snapshot_interval && c->snapshot_interval != now->snapshot_interval) {
        return fail_contradiction("snapshot_interval");
    }
    if (c->memory_shards && c->memory_shards != now->memory_shards) {
        return fail_contradiction("memory_shards");
    }
    if (c->wal_shards && c->wal_shards != now->wal_shards) return fail_contradiction("wal_shards");
    if (c->snapshot_threads && c->snapshot_threads != now->snapshot_threads) {
        return fail_contradiction("snapshot_threads");
    }
    if (c->snapshot_shard_bytes && c->snapshot_shard_bytes != now->snapshot_shard_bytes) {
        return fail_contradiction("snapshot_shard_bytes");
    }
    if (c->keep_backups && c->keep_backups != now->keep_backups) {
        return fail_contradiction("keep_backups");
    }
    if (c->wal_io && c->wal_io != now->wal_io) return fail_contradiction("wal_io");
    return PKV_OK;
}

/* ---- Opening */

static void report_restored(pkv *store) {
    pkv_event event = {.kind = PKV_EVENT_RESTORED,
                       .entries = store->restored.entries,
                       .cut_bytes = store->restored.cut_bytes,
                       .seconds = store->restore_seconds};
    (void)disk_snapshot_bytes(&store->disk, &event.ordinal);
    if (store->restored.cut_bytes > 0) {
        (void)snprintf(event.message, sizeof event.message,
                       "cut %llu bytes that were not written whole, of %s from offset %llu on",
                       (unsigned long long)store->restored.cut_bytes, store->restored.cut_file,
                       (unsigned long long)store->restored.cut_offset);
    }
    events_add(&store->events, &event);
}

static pkv_status open_wings(pkv *store) {
    pkv_config *c = &store->config;
    double start = os_now();
    disk_wants wants = {c->keys, c->key_type, c->values, c->create != PKV_NO};
    pkv_status status = disk_open(&store->disk, &wants);
    if (status) {
        store->disk = (disk){.lock_fd = -1, .folder.fd = -1};
        return status;
    }
    c->keys = store->disk.keys;
    c->key_type = store->disk.key_type;
    c->values = store->disk.values;
    store_set_key_sizes(store);
    fill_defaults(store);
    status = memory_create(&store->memory, c->memory_shards, c->keys == PKV_KEYS_FIXED,
                           store->disk.m.hash_seed);
    if (status) return status;
    status = store_restore(store);
    if (status) return status;
    wal_options log = {.shard_count = c->wal_shards,
                       .sync = c->sync,
                       .sync_seconds = c->sync_seconds,
                       .io = c->wal_io,
                       .salt = store->disk.m.salt,
                       .grown = background_log_grown,
                       .context = store};
    status = disk_start(&store->disk, &log);
    if (status) return status;
    if (!c->wal_io)
        c->wal_io = wal_is_mapped(store->disk.log) ? PKV_WAL_IO_MMAP : PKV_WAL_IO_PWRITE;
    store->restore_seconds = os_now() - start;
    report_restored(store);
    status = background_start(store);
    if (!status) background_log_grown(store); /* it may be large already */
    return status;
}

/* The store with the folder, once nobody is opening or closing it; NULL if there is none. Called
 * with the registry locked. */
static pkv *find_open(const os_folder *folder) {
    if (PLANTED(skip_registry)) return NULL;
    pkv *store = registry;
    while (store) {
        if (store->device == folder->device && store->inode == folder->inode) {
            if (!store->busy) return store;
            os_wait(&registry_changed, &registry_lock);
            store = registry;
            continue;
        }
        store = store->next;
    }
    return NULL;
}

static pkv *list_new(const os_folder *folder, const pkv_config *config) {
    pkv *store = calloc(1, sizeof *store);
    if (!store) return NULL;
    if (events_init(&store->events) != 0) {
        free(store);
        return NULL;
    }
    store->disk.lock_fd = store->disk.folder.fd = -1;
    store->config = *config;
    store->device = folder->device;
    store->inode = folder->inode;
    store->references = 1;
    store->busy = true;
    store->fork_generation = os_fork_generation();
    store->next = registry;
    registry = store;
    return store;
}

static pkv_status open_again(pkv *store, const pkv_config *config) {
    pkv_status status = check_contradictions(&store->config, config);
    if (!status) store->references++;
    return status;
}

/* A store that is not open yet, with its lock file; listed even if that fails. `folder` belongs to
 * it. Called with the registry locked, so that no fork comes between. */
static pkv_status begin_store(const char *path, os_folder folder, const pkv_config *config,
                              pkv **store) {
    *store = list_new(&folder, config);
    if (*store) return disk_begin(path, folder, &(*store)->disk);
    os_folder_close(&folder);
    return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory to open a store");
}

static void end_opening(pkv *store) {
    os_lock(&registry_lock);
    store->busy = false;
    os_wake_all(&registry_changed);
    os_unlock(&registry_lock);
}

static pkv_status open_store(const char *path, const pkv_config *config, pkv **store) {
    pkv_status status = check_config(config);
    if (status) return status;
    os_folder folder;
    status = disk_open_folder(path, config->create != PKV_NO, &folder);
    if (status) return status;
    os_lock(&registry_lock);
    *store = find_open(&folder);
    if (*store) {
        status = open_again(*store, config);
        os_unlock(&registry_lock);
        os_folder_close(&folder);
        return status;
    }
    status = begin_store(path, folder, config, store);
    os_unlock(&registry_lock);
    if (!*store) return status;
    if (!status) status = open_wings(*store);
    if (status) {
        pkv_error error = *pkv_error_detail();
        (void)store_stop(*store);
        store_unlist(*store);
        store_free(*store);
        return fail_with(&error);
    }
    end_opening(*store);
    return PKV_OK;
}

pkv_status pkv_open(const char *path, const pkv_config *config, pkv **store) {
    static const pkv_config defaults;
    if (!path || !*path || !store) {
        return fail(PKV_USAGE, NULL, NO_OFFSET, 0,
                    "pkv_open wants a path and a place for the store");
    }
    pkv *opened = NULL;
    pkv_status status = prepare_process();
    if (!status) status = open_store(path, config ? config : &defaults, &opened);
    if (status) return fail_context("cannot open store %s", path);
    *store = opened;
    return PKV_OK;
}

/* ---- Closing */

bool store_begin_close(pkv *store) {
    os_lock(&registry_lock);
    bool last = store->references == 1;
    store->busy = last;
    os_unlock(&registry_lock);
    return last;
}

pkv_status store_stop(pkv *store) {
    background_stop(store);
    if (store->disk.folder.fd < 0) return PKV_OK; /* it never came to be open */
    pkv_status status = disk_close(&store->disk);
    store->disk.folder.fd = -1;
    return store_named(status, store->disk.path);
}

void store_unlist(pkv *store) {
    os_lock(&registry_lock);
    pkv **at = &registry;
    while (*at != store) at = &(*at)->next;
    *at = store->next;
    os_wake_all(&registry_changed);
    os_unlock(&registry_lock);
}

void store_free(pkv *store) {
    memory_destroy(&store->memory, true);
    background_free(store);
    os_mutex_destroy(&store->events.lock);
    free(store);
}

/* In a forked child: no lock, thread or file is touched; they are the parent's. */
static pkv_status forget(pkv *store) {
    if (--store->references > 0) return PKV_OK;
    memory_destroy(&store->memory, false);
    disk_forget(&store->disk);
    free(store);
    return PKV_OK;
}

pkv_status pkv_close(pkv *store) {
    if (!store) return fail(PKV_CLOSED, NULL, NO_OFFSET, 0, "the store is closed already");
    if (store->fork_generation != os_fork_generation()) return forget(store);
    os_lock(&registry_lock);
    bool last = --store->references == 0;
    store->busy = last;
    os_unlock(&registry_lock);
    if (!last) return PKV_OK;
    pkv_status status = store_stop(store);
    store_unlist(store);
    store_free(store);
    return status;
}

static pkv_status fail_no_place(const char *function) {
    return fail(PKV_USAGE, NULL, NO_OFFSET, 0, "%s wants a path and a place for its result",
                function);
}

pkv_status pkv_prune_backups(const char *path, uint32_t keep, uint64_t *removed) {
    if (!path || !removed) return fail_no_place("pkv_prune_backups");
    return store_named(disk_prune_backups(path, keep, removed), path);
}

pkv_status pkv_check(const char *path, pkv_on_finding on_finding, void *context,
                     pkv_check_report *report) {
    if (!path || !report) return fail_no_place("pkv_check");
    return store_named(disk_check(path, on_finding, context, report), path);
}

pkv_status pkv_repair(const char *path, const pkv_repair_options *options,
                      pkv_on_finding on_finding, void *context, pkv_repair_report *report) {
    if (!path || !report) return fail_no_place("pkv_repair");
    return store_named(disk_repair(path, options, on_finding, context, report), path);
}

pkv_status pkv_delete_failed_pending_snapshots(const char *path, uint64_t *removed) {
    if (!path || !removed) return fail_no_place("pkv_delete_failed_pending_snapshots");
    return store_named(disk_delete_pending(path, removed), path);
}
