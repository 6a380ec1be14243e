/* internals_manifest.c - manifests for specs.
 *
 * A manifest is a table { keys, key_type, values, last_ordinal, clean, hash_seed, hash_check,
 * salt, snapshots, logs }; the last two list groups { ordinal, foreign, shards }, and these list
 * { size, entries, checksum }. */
#include <string.h>
#include "../../src/disk/manifest.h"
#include "../../src/os/error.h"
#include "internals.h"

/* ---- From Lua. The fields are those of the table on top of the stack. */

static uint64_t top_integer(lua_State *L, const char *name) {
    lua_getfield(L, -1, name);
    uint64_t value = (uint64_t)luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    return value;
}

static bool top_boolean(lua_State *L, const char *name) {
    lua_getfield(L, -1, name);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static void get_shards(lua_State *L, manifest_group *group) {
    for (uint32_t i = 0; i < group->shard_count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        group->shards[i] = (shard_facts){top_integer(L, "size"), top_integer(L, "entries"),
                                         (uint32_t)top_integer(L, "checksum")};
        lua_pop(L, 1);
    }
}

static pkv_status get_group(lua_State *L, manifest_list *list) {
    uint64_t ordinal = top_integer(L, "ordinal");
    lua_getfield(L, -1, "shards");
    pkv_status status = manifest_add(list, ordinal, (uint32_t)lua_rawlen(L, -1));
    if (!status) get_shards(L, manifest_find(list, ordinal));
    lua_pop(L, 1);
    if (!status) manifest_find(list, ordinal)->foreign = top_boolean(L, "foreign");
    return status;
}

static pkv_status get_list(lua_State *L, const char *name, manifest_list *list) {
    pkv_status status = PKV_OK;
    lua_getfield(L, -1, name);
    size_t count = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    for (size_t i = 0; i < count && !status; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        status = get_group(L, list);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return status;
}

static pkv_status get_manifest(lua_State *L, int index, manifest *m) {
    memset(m, 0, sizeof *m);
    lua_pushvalue(L, index);
    m->keys = (uint32_t)top_integer(L, "keys");
    m->key_type = (uint32_t)top_integer(L, "key_type");
    m->values = (uint32_t)top_integer(L, "values");
    m->last_ordinal = top_integer(L, "last_ordinal");
    m->clean = top_boolean(L, "clean");
    m->hash_seed = top_integer(L, "hash_seed");
    m->hash_check = top_integer(L, "hash_check");
    m->salt = top_integer(L, "salt");
    pkv_status status = get_list(L, "snapshots", &m->snapshots);
    if (!status) status = get_list(L, "logs", &m->logs);
    lua_pop(L, 1);
    if (status) manifest_release(m);
    return status;
}

/* ---- To Lua */

static void set_integer(lua_State *L, const char *name, uint64_t value) {
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static void set_boolean(lua_State *L, const char *name, bool value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

static void push_group(lua_State *L, const manifest_group *group) {
    lua_newtable(L);
    set_integer(L, "ordinal", group->ordinal);
    set_boolean(L, "foreign", group->foreign);
    lua_newtable(L);
    for (uint32_t i = 0; i < group->shard_count; i++) {
        lua_newtable(L);
        set_integer(L, "size", group->shards[i].size);
        set_integer(L, "entries", group->shards[i].entries);
        set_integer(L, "checksum", group->shards[i].checksum);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "shards");
}

static void set_list(lua_State *L, const char *name, const manifest_list *list) {
    lua_newtable(L);
    for (size_t i = 0; i < list->count; i++) {
        push_group(L, &list->groups[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, name);
}

static void push_manifest(lua_State *L, const manifest *m) {
    lua_newtable(L);
    set_integer(L, "keys", m->keys);
    set_integer(L, "key_type", m->key_type);
    set_integer(L, "values", m->values);
    set_integer(L, "last_ordinal", m->last_ordinal);
    set_boolean(L, "clean", m->clean);
    set_integer(L, "hash_seed", m->hash_seed);
    set_integer(L, "hash_check", m->hash_check);
    set_integer(L, "salt", m->salt);
    set_list(L, "snapshots", &m->snapshots);
    set_list(L, "logs", &m->logs);
}

/* ---- Functions */

static bool open_folder(const char *path, os_folder *folder) {
    int error = os_folder_open(path, folder);
    if (error) (void)fail_os(NULL, NO_OFFSET, error, "%s cannot be opened", path);
    return error == 0;
}

static int l_manifest_write(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    os_folder folder;
    manifest m;
    if (get_manifest(L, 2, &m)) return push_failure(L);
    pkv_status status = PKV_IO;
    if (open_folder(path, &folder)) {
        status = manifest_write(&folder, &m);
        os_folder_close(&folder);
    }
    manifest_release(&m);
    if (status) return push_failure(L);
    lua_pushboolean(L, 1);
    return 1;
}

/* manifest_read(path): the manifest, or false where there is none. */
static int l_manifest_read(lua_State *L) {
    os_folder folder;
    if (!open_folder(luaL_checkstring(L, 1), &folder)) return push_failure(L);
    manifest m;
    bool found = true;
    pkv_status status = manifest_read(&folder, &m, &found);
    os_folder_close(&folder);
    if (status) return push_failure(L);
    if (found) {
        push_manifest(L, &m);
    } else {
        lua_pushboolean(L, 0);
    }
    manifest_release(&m);
    manifest_release(&m); /* again: must be harmless */
    return 1;
}

/* The copy is changed after the original is gone, so that a sanitizer sees what they share. */
static int l_manifest_copy(lua_State *L) {
    manifest m, copy;
    if (get_manifest(L, 1, &m)) return push_failure(L);
    pkv_status status = manifest_copy(&m, &copy);
    manifest_release(&m);
    if (status) return push_failure(L);
    push_manifest(L, &copy);
    manifest_release(&copy);
    return 1;
}

/* manifest_without(m, ordinal): m without the snapshot and the log of that ordinal. */
static int l_manifest_without(lua_State *L) {
    manifest m;
    uint64_t ordinal = (uint64_t)luaL_checkinteger(L, 2);
    if (get_manifest(L, 1, &m)) return push_failure(L);
    manifest_remove(&m.snapshots, ordinal);
    manifest_remove(&m.logs, ordinal);
    push_manifest(L, &m);
    manifest_release(&m);
    return 1;
}

/* manifest_snapshot(m): the ordinal of the snapshot in force, or nothing. */
static int l_manifest_snapshot(lua_State *L) {
    manifest m;
    if (get_manifest(L, 1, &m)) return push_failure(L);
    const manifest_group *group = manifest_snapshot(&m);
    if (group) lua_pushinteger(L, (lua_Integer)group->ordinal);
    manifest_release(&m);
    return group != NULL;
}

const luaL_Reg internals_of_manifests[] = {
    {"manifest_write", l_manifest_write},       {"manifest_read", l_manifest_read},
    {"manifest_copy", l_manifest_copy},         {"manifest_without", l_manifest_without},
    {"manifest_snapshot", l_manifest_snapshot}, {NULL, NULL}};
