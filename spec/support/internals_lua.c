/* internals_lua.c - the test-only Lua module pkv_internals.lua: what the specs of the Lua binding
 * need and Lua cannot do. */
#include <lualib.h>
#include <stdbool.h>
#include <stdlib.h>

#include "../../src/lua/compat.h"
#include "../../src/pkv.h"

int luaopen_pkv_internals_lua(lua_State *L);

/* set_typed(path, entries): writes {key, bytes, type} after {key, bytes, type}, whatever the bytes
 * are, into a store with string keys and whatever values it has. */
static int set_typed(lua_State *L) {
    pkv_config config;
    pkv *store;
    luaL_checktype(L, 2, LUA_TTABLE);
    pkv_config_init(&config);
    config.keys = PKV_KEYS_VARIABLE;
    pkv_status status = pkv_open(luaL_checkstring(L, 1), &config, &store);
    if (status) return luaL_error(L, "%s", pkv_error_detail()->message);
    for (lpkv_index i = 1; !status; i++) {
        pkv_bytes key, value;
        lua_rawgeti(L, 2, i);
        if (!lua_istable(L, -1)) break;
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        lua_rawgeti(L, -3, 3);
        key.data = lua_tolstring(L, -3, &key.size);
        value.data = lua_tolstring(L, -2, &value.size);
        status = pkv_set_typed(store, key, value, (pkv_type)lua_tointeger(L, -1));
        lua_settop(L, 2);
    }
    pkv_status closed = pkv_close(store);
    if (status || closed) return luaL_error(L, "%s", pkv_error_detail()->message);
    return 0;
}

/* An allocator that fails once it has allocated so many times. */
typedef struct allowance {
    int64_t left;
    bool exhausted;
    size_t live; /* blocks not freed yet */
} allowance;

static void *allocate(void *context, void *block, size_t old_size, size_t size) {
    allowance *a = context;
    if (size == 0) {
        if (block) a->live--;
        free(block);
        return NULL;
    }
    bool shrinks = block && size <= old_size; /* Lua relies on it that this succeeds */
    if (!shrinks && a->left-- <= 0) {
        a->exhausted = true;
        return NULL;
    }
    void *moved = realloc(block, size);
    if (!block && moved) a->live++;
    return moved;
}

/* NULL where this Lua, such as LuaJIT for 64 bits, does not take an allocator. */
static lua_State *new_state(allowance *a) {
#if LUA_VERSION_NUM >= 505
    return lua_newstate(allocate, a, 0);
#else
    return lua_newstate(allocate, a);
#endif
}

/* Protected: opens the libraries and runs the code at index 1, with the path at index 2. */
static int run(lua_State *L) {
    allowance *a = lua_touserdata(L, 3);
    int64_t left = a->left;
    a->left = INT64_MAX;
    luaL_openlibs(L);
    lua_settop(L, 2);
    if (luaL_loadstring(L, lua_tostring(L, 1))) return lua_error(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "pkv");
    lua_call(L, 1, 1);
    lua_pushvalue(L, 2);
    lua_pushlightuserdata(L, a);
    a->left = left;
    lua_call(L, 3, 0);
    return 0;
}

/* run_with_allocations(code, path, count): runs the code as a function of (pkv, path) in a state of
 * its own, in which memory is exhausted after `count` allocations, and closes the state. Returns
 * whether memory was exhausted, the error if there was one, and the number of blocks not freed. */
static int run_with_allocations(lua_State *L) {
    const char *code = luaL_checkstring(L, 1), *path = luaL_checkstring(L, 2);
    allowance a = {.left = INT64_MAX};
    int64_t count = luaL_checkinteger(L, 3);
    lua_State *child = new_state(&a);
    if (!child) return luaL_error(L, "no memory for a state");
    lua_pushcfunction(child, run);
    lua_pushstring(child, code);
    lua_pushstring(child, path);
    lua_pushlightuserdata(child, &a);
    a.left = count;
    int failed = lua_pcall(child, 3, 0, 0);
    a.left = INT64_MAX;
    lua_pushboolean(L, a.exhausted);
    const char *problem = lua_tostring(child, -1);
    if (failed)
        lua_pushstring(L, problem ? problem : luaL_typename(child, -1));
    else
        lua_pushnil(L);
    lua_close(child);
    lua_pushinteger(L, (lua_Integer)a.live);
    return 3;
}

static const luaL_Reg functions[] = {
    {"set_typed", set_typed},
    {"run_with_allocations", run_with_allocations},
    {NULL, NULL},
};

int luaopen_pkv_internals_lua(lua_State *L) {
    lua_newtable(L);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    return 1;
}
