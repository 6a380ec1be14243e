/* admin.c - pkv.stats, and the functions that work on the folder of a store that nobody has open.
 */
#include "binding.h"

static void set_count(lua_State *L, const char *name, uint64_t number) {
    lpkv_push_count(L, number);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double number) {
    lua_pushnumber(L, (lua_Number)number);
    lua_setfield(L, -2, name);
}

static void set_boolean(lua_State *L, const char *name, int truth) {
    lua_pushboolean(L, truth);
    lua_setfield(L, -2, name);
}

static void set_string(lua_State *L, const char *name, const char *text) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void set_counters(lua_State *L, const pkv_stats *stats) {
    const struct {
        const char *name;
        uint64_t number;
    } counters[] = {
        {"entries", stats->entries},
        {"key_bytes", stats->key_bytes},
        {"value_bytes", stats->value_bytes},
        {"memory_bytes", stats->memory_bytes},
        {"memory_free_bytes", stats->memory_free_bytes},
        {"wal_bytes", stats->wal_bytes},
        {"wal_written_bytes", stats->wal_written_bytes},
        {"snapshot_bytes", stats->snapshot_bytes},
        {"snapshot_ordinal", stats->snapshot_ordinal},
        {"snapshots", stats->snapshots},
        {"snapshot_failures", stats->snapshot_failures},
        {"flushes", stats->flushes},
        {"restored_entries", stats->restored_entries},
        {"cut_bytes", stats->cut_bytes},
        {"memory_shards", stats->memory_shards},
        {"wal_shards", stats->wal_shards},
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        set_count(L, counters[i].name, counters[i].number);
}

int lpkv_stats(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    pkv_stats stats;
    pkv_status status = pkv_stats_get(store->handle, &stats);
    if (status) {
        lpkv_push_detail(L, status);
        return lpkv_failure(L, status);
    }
    lua_createtable(L, 0, 26);
    set_counters(L, &stats);
    set_number(L, "restore_seconds", stats.restore_seconds);
    set_number(L, "snapshot_seconds", stats.snapshot_seconds);
    set_string(L, "keys",
               stats.keys == PKV_KEYS_FIXED ? pkv_integer_name(stats.key_type) : "string");
    set_string(L, "values", pkv_values_name(stats.values));
    set_string(L, "sync", lpkv_sync_name(stats.sync));
    set_string(L, "wal_io", lpkv_wal_io_name(stats.wal_io));
    set_boolean(L, "read_only", stats.read_only);
    set_boolean(L, "snapshot_running", stats.snapshot_running);
    if (stats.last_failure[0] != '\0') set_string(L, "last_failure", stats.last_failure);
    lpkv_deliver_events(L, store);
    return 1;
}

static int removed_or_failure(lua_State *L, pkv_status status, uint64_t removed) {
    if (status) {
        lpkv_push_detail(L, status);
        return lpkv_failure(L, status);
    }
    lpkv_push_count(L, removed);
    return 1;
}

int lpkv_prune_backups(lua_State *L) {
    const char *path = lpkv_check_path(L, 1);
    int64_t keep;
    if (!lpkv_whole_number(L, 2, PKV_I64, &keep) || keep < 0 || keep > UINT32_MAX)
        return lpkv_argument_error(L, 2, "a number of snapshots from 0 on expected");
    uint64_t removed = 0;
    pkv_status status = pkv_prune_backups(path, (uint32_t)keep, &removed);
    return removed_or_failure(L, status, removed);
}

int lpkv_delete_failed_pending_snapshots(lua_State *L) {
    uint64_t removed = 0;
    pkv_status status = pkv_delete_failed_pending_snapshots(lpkv_check_path(L, 1), &removed);
    return removed_or_failure(L, status, removed);
}
