/* internals_files.c - file names, file sets and readers for specs.
 *
 * A file name is a table { ordinal, shard, shard_count, kind }. */
#include <string.h>
#include "../../src/disk/fileset.h"
#include "../../src/disk/reader.h"
#include "../../src/os/error.h"
#include "internals.h"

static const char *const kinds[] = {"diff", "pending", "full", NULL};

static void set_integer(lua_State *L, const char *name, uint64_t value) {
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static void set_kind(lua_State *L, file_kind kind) {
    lua_pushstring(L, kinds[kind]);
    lua_setfield(L, -2, "kind");
}

static int l_file_name_parse(lua_State *L) {
    file_name name;
    if (!file_name_parse(luaL_checkstring(L, 1), &name)) return 0;
    lua_createtable(L, 0, 4);
    set_integer(L, "ordinal", name.ordinal);
    set_integer(L, "shard", name.shard);
    set_integer(L, "shard_count", name.shard_count);
    set_kind(L, name.kind);
    return 1;
}

static void push_name(lua_State *L, const file_name *name) {
    char text[FILE_NAME_BYTES];
    file_name_format(name, text);
    lua_pushstring(L, text);
}

static int l_file_name_format(lua_State *L) {
    file_name name = {.ordinal = (uint64_t)integer_field(L, "ordinal", 0),
                      .shard = (uint32_t)integer_field(L, "shard", 0),
                      .shard_count = (uint32_t)integer_field(L, "shard_count", 0)};
    lua_getfield(L, 1, "kind");
    name.kind = (file_kind)luaL_checkoption(L, -1, NULL, kinds);
    push_name(L, &name);
    return 1;
}

static void push_names(lua_State *L, const fileset *files, size_t first, size_t count) {
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        push_name(L, &files->names[first + i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* { ordinal, shard_count, kind, names }, and error, code and file where the group is no whole. */
static void push_group(lua_State *L, const fileset *files, file_group *group) {
    pkv_status status = fileset_check_group(files, group);
    lua_newtable(L);
    set_integer(L, "ordinal", group->ordinal);
    set_integer(L, "shard_count", group->shard_count);
    set_kind(L, group->kind);
    push_names(L, files, group->first, group->count);
    lua_setfield(L, -2, "names");
    if (!status) return;
    (void)push_failure(L);
    lua_pop(L, 1);
    lua_setfield(L, -5, "file");
    lua_setfield(L, -4, "code");
    lua_setfield(L, -3, "error");
    lua_pop(L, 1);
}

/* fileset(path): the groups, checked; the highest ordinal. */
static int l_fileset(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    os_folder folder;
    int error = os_folder_open(path, &folder);
    if (error) {
        (void)fail_os(NULL, NO_OFFSET, error, "%s cannot be opened", path);
        return push_failure(L);
    }
    fileset files;
    pkv_status status = fileset_scan(&folder, &files);
    os_folder_close(&folder);
    if (status) return push_failure(L);

    lua_newtable(L);
    file_group group;
    memset(&group, 0, sizeof group);
    for (lua_Integer i = 1; fileset_next_group(&files, &group); i++) {
        push_group(L, &files, &group);
        lua_rawseti(L, -2, i);
    }
    lua_pushinteger(L, (lua_Integer)fileset_last_ordinal(&files));
    fileset_release(&files);
    fileset_release(&files); /* again: must be harmless */
    return 2;
}

/* examine_rest(path, name, salt, origin): of a file, from its beginning on, where the rest ends, its
 * highest mark, and how many bytes it took to know that. */
static int l_examine_rest(lua_State *L) {
    static const char *const origins[] = {"ours", "foreign", NULL};
    const char *path = luaL_checkstring(L, 1);
    file_name name;
    luaL_argcheck(L, file_name_parse(luaL_checkstring(L, 2), &name), 2, "no name of a file");
    record_origin origin = luaL_checkoption(L, 4, "ours", origins) ? RECORD_FOREIGN : RECORD_OURS;
    os_folder folder;
    int error = os_folder_open(path, &folder);
    if (error) {
        (void)fail_os(NULL, NO_OFFSET, error, "%s cannot be opened", path);
        return push_failure(L);
    }
    reader in;
    reader_rest rest;
    pkv_status status = reader_open(&in, &folder, &name, origin, (uint64_t)luaL_checkinteger(L, 3));
    if (!status) status = reader_examine_rest(&in, &rest);
    os_folder_close(&folder);
    uint64_t examined = in.examined;
    reader_close(&in);
    if (status) return push_failure(L);
    lua_pushinteger(L, (lua_Integer)rest.end);
    lua_pushinteger(L, (lua_Integer)rest.mark);
    lua_pushinteger(L, (lua_Integer)examined);
    return 3;
}

const luaL_Reg internals_of_files[] = {{"file_name_parse", l_file_name_parse},
                                       {"file_name_format", l_file_name_format},
                                       {"fileset", l_fileset},
                                       {"examine_rest", l_examine_rest},
                                       {NULL, NULL}};
