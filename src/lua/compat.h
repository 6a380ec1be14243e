/* compat.h - one source for Lua 5.1 to 5.5 and LuaJIT: where their C APIs differ.
 *
 * A function that an older Lua lacks gets its later name. What a module for 5.1 is built of must be
 * found in Lua 5.1 and in LuaJIT, which both load it. Where the meaning differs, and not the name
 * alone, the code asks one of these:
 *
 *   LPKV_HAS_INTEGERS     numbers are integers or floats; else all are doubles, see integers.c
 *   LPKV_COLLECTS_EARLY   lua_pushlstring and its like may collect before they copy, and so run a
 *                         finalizer that frees or changes what is to be copied */
#ifndef LUA_COMPAT_H
#define LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>

#define LPKV_HAS_INTEGERS   (LUA_VERSION_NUM >= 503)
#define LPKV_COLLECTS_EARLY (LUA_VERSION_NUM < 503)

/* The type of a value of LuaJIT's FFI library; no header has it. */
#define LPKV_TCDATA 10

/* An index for lua_rawgeti and lua_rawseti. */
#if LPKV_HAS_INTEGERS
typedef lua_Integer lpkv_index;
_Static_assert(sizeof(lua_Integer) == 8, "a Lua with integers of 32 bits is not supported");
#else
typedef int lpkv_index;
#endif
_Static_assert(sizeof(lua_Number) == 8, "a Lua with floats of 32 bits is not supported");

#if LUA_VERSION_NUM < 502

#define lua_rawlen(L, index) lua_objlen(L, index)
/* A userdata without a value of its own has the environment of the function that made it. */
#define lua_getuservalue(L, index) lua_getfenv(L, index)
#define lua_setuservalue(L, index) lua_setfenv(L, index)

/* LuaJIT's headers declare these two. */
#define luaL_setmetatable(L, name)     lpkv_set_metatable(L, name)
#define luaL_testudata(L, index, name) lpkv_test_userdata(L, index, name)

static inline void lpkv_set_metatable(lua_State *L, const char *name) {
    luaL_getmetatable(L, name);
    lua_setmetatable(L, -2);
}

static inline void *lpkv_test_userdata(lua_State *L, int index, const char *name) {
    void *block = lua_touserdata(L, index);
    if (!block || !lua_getmetatable(L, index)) return NULL;
    luaL_getmetatable(L, name);
    if (!lua_rawequal(L, -1, -2)) block = NULL;
    lua_pop(L, 2);
    return block;
}

#endif
#endif
