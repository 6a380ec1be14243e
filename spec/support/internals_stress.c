/* internals_stress.c - the test-only Lua module pkv_internals.stress: allocators that fail, or
 * make Lua collect, and Lua in another thread. */
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int luaopen_pkv_internals_stress(lua_State *L);

/* ---- Allocators, in the place of the state's own while a function is called */

typedef struct allocator {
    lua_State *L;
    lua_Alloc allocate;
    void *context;
    lua_Integer left; /* allocations until one fails; < 0: none does */
    bool once, exhausted;
    bool collects, refused;
    void *block; /* of the allocation that was refused last, and how it was to grow */
    size_t old_size, size;
} allocator;

/* Lua 5.2 and later ask once more for what was refused, after a collection. */
static bool is_again(const allocator *a, const void *block, size_t old_size, size_t size) {
    return LUA_VERSION_NUM >= 502 && a->refused && a->block == block && a->old_size == old_size &&
           a->size == size;
}

static void *refuse(allocator *a, void *block, size_t old_size, size_t size) {
    a->refused = true;
    a->block = block;
    a->old_size = old_size;
    a->size = size;
    return NULL;
}

/* Would it be asked again? It would for an object, which has its type for an old size, but not in a
 * finalizer. */
static bool can_collect(const allocator *a, const void *block, size_t old_size) {
#if LUA_VERSION_NUM >= 502
    return a->collects && !block && old_size > 0 && lua_gc(a->L, LUA_GCISRUNNING, 0);
#else
    (void)a, (void)block, (void)old_size;
    return false;
#endif
}

static void *allocate(void *context, void *block, size_t old_size, size_t size) {
    allocator *a = context;
    /* Lua relies on it that others succeed. */
    bool grows = size > 0 && (!block || size > old_size);
    if (!grows) return a->allocate(a->context, block, old_size, size);
    bool again = is_again(a, block, old_size, size);
    a->refused = false;
    if (!again && can_collect(a, block, old_size)) return refuse(a, block, old_size, size);
    if (a->once && a->exhausted && again) return NULL;
    if (a->left == 0) {
        a->exhausted = true;
        if (a->once) a->left = -1;
        return refuse(a, block, old_size, size);
    }
    if (a->left > 0) a->left--;
    return a->allocate(a->context, block, old_size, size);
}

/* Calls what is on the stack from `first` on: true, and the results there, or false and an error.
 */
static bool call_with(lua_State *L, allocator *a, int first) {
    luaL_checktype(L, first, LUA_TFUNCTION);
    luaL_checkstack(L, 20, NULL);
    a->L = L;
    a->allocate = lua_getallocf(L, &a->context);
    lua_setallocf(L, allocate, a);
    int failed = lua_pcall(L, lua_gettop(L) - first, LUA_MULTRET, 0);
    lua_setallocf(L, a->allocate, a->context);
    return !failed;
}

/* fail_allocations(count, once, f, ...): calls f; after `count` allocations the next one fails, or
 * all do. Returns whether there was an allocation too many, and what pcall would. */
static int fail_allocations(lua_State *L) {
    allocator a = {.left = luaL_checkinteger(L, 1), .once = lua_toboolean(L, 2)};
    bool done = call_with(L, &a, 3);
    lua_pushboolean(L, a.exhausted);
    lua_replace(L, 1);
    lua_pushboolean(L, done);
    lua_replace(L, 2);
    return lua_gettop(L);
}

#if LUA_VERSION_NUM >= 505
#define SET_PAUSE(L, value) lua_gc(L, LUA_GCPARAM, LUA_GCPPAUSE, value)
#define SET_SPEED(L, value) lua_gc(L, LUA_GCPARAM, LUA_GCPSTEPMUL, value)
#else
#define SET_PAUSE(L, value) lua_gc(L, LUA_GCSETPAUSE, value)
#define SET_SPEED(L, value) lua_gc(L, LUA_GCSETSTEPMUL, value)
#endif

/* collect_always(f, ...): calls f; wherever Lua may collect, it collects all garbage and runs all
 * finalizers, and from Lua 5.2 on it also collects before it makes an object, without finalizers.
 * What pcall returns. */
static int collect_always(lua_State *L) {
    allocator a = {.left = -1, .collects = true};
    int pause = SET_PAUSE(L, 0);
    int speed = SET_SPEED(L, LUA_VERSION_NUM >= 502 ? 1000 : 0); /* of 5.1, 0 is no limit */
    (void)lua_gc(L, LUA_GCCOLLECT, 0); /* ends with the pause, which is then none */
    lua_pushboolean(L, call_with(L, &a, 1));
    lua_insert(L, 1);
    (void)SET_PAUSE(L, pause);
    (void)SET_SPEED(L, speed);
    return lua_gettop(L);
}

/* ---- Another thread */

typedef struct job {
    char *code, *argument;
    char problem[400];
} job;

static void *work(void *context) {
    job *j = context;
    lua_State *L = luaL_newstate();
    if (!L) {
        (void)snprintf(j->problem, sizeof j->problem, "no memory for a state");
        return NULL;
    }
    luaL_openlibs(L);
    int failed = luaL_loadstring(L, j->code);
    lua_pushstring(L, j->argument);
    if (!failed) failed = lua_pcall(L, 1, 0, 0);
    if (failed) {
        const char *what = lua_tostring(L, failed == LUA_ERRSYNTAX ? -2 : -1);
        (void)snprintf(j->problem, sizeof j->problem, "%s", what ? what : "an error");
    }
    lua_close(L);
    return NULL;
}

/* run_in_thread(code, argument, seconds): runs the code in a state and thread of its own. True, or
 * nil and why not: an error, or that it is still running. */
static int run_in_thread(lua_State *L) {
    const char *code = luaL_checkstring(L, 1), *argument = luaL_checkstring(L, 2);
    struct timespec deadline;
    pthread_t thread;
    job *j = calloc(1, sizeof *j);
    if (!j || !(j->code = strdup(code)) || !(j->argument = strdup(argument)) ||
        pthread_create(&thread, NULL, work, j)) {
        return luaL_error(L, "cannot start a thread");
    }
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += (time_t)luaL_checkinteger(L, 3);
    if (pthread_timedjoin_np(thread, NULL, &deadline)) {
        lua_pushnil(L);
        lua_pushliteral(L, "it hangs");
        return 2; /* and keeps what it needs */
    }
    lua_pushboolean(L, 1);
    if (j->problem[0]) {
        lua_pushnil(L);
        lua_pushstring(L, j->problem);
    }
    free(j->code);
    free(j->argument);
    int results = j->problem[0] ? 2 : 1;
    free(j);
    return results;
}

static const luaL_Reg functions[] = {
    {"fail_allocations", fail_allocations},
    {"collect_always", collect_always},
    {"run_in_thread", run_in_thread},
};

int luaopen_pkv_internals_stress(lua_State *L) {
    lua_newtable(L);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        lua_pushcfunction(L, functions[i].func);
        lua_setfield(L, -2, functions[i].name);
    }
    return 1;
}
