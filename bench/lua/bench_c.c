/* bench_c.c - what the Lua benchmark needs in C: a clock, and a store that does nothing, whose cost
 * is the least that any binding has. */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int luaopen_bench_c(lua_State *L);

/* Seconds of the monotonic clock. */
static int now(lua_State *L) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
    return 1;
}

typedef struct empty {
    size_t size;
    char bytes[];
} empty;

/* Pushes as many bytes as a value has. */
static int empty_index(lua_State *L) {
    const empty *e = lua_touserdata(L, 1);
    lua_pushlstring(L, e->bytes, e->size);
    return 1;
}

static int empty_newindex(lua_State *L) {
    (void)L;
    return 0;
}

/* empty(size): an object that can be indexed and assigned to. */
static int make_empty(lua_State *L) {
    size_t size = (size_t)luaL_checkinteger(L, 1);
    empty *e = lua_newuserdatauv(L, sizeof *e + size, 0);
    e->size = size;
    memset(e->bytes, 'x', size);
    lua_newtable(L);
    lua_pushcfunction(L, empty_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, empty_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    return 1;
}

int luaopen_bench_c(lua_State *L) {
    static const luaL_Reg functions[] = {{"now", now}, {"empty", make_empty}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
