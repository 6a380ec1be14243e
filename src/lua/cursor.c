/* cursor.c - pairs(store), pkv.each and pkv.drain.
 *
 * An iterator is a C closure over a userdata with the cursor of the C library. The userdata's user
 * value is the store, which it keeps alive; a cursor is never stepped once its store is closed. It
 * is closed at the end of the loop, when the loop is left (`for` closes its fourth value, which
 * pairs does not hand on), or when it is collected. */
#include <string.h>

#include "binding.h"

typedef struct cursor {
    pkv_cursor *handle; /* NULL: not open yet, or at its end */
    lpkv_store *store;
    bool drains;    /* the store is closed, and the cursor all that is left of it */
    uint64_t steps; /* tells whether somebody else stepped or closed it meanwhile */
} cursor;

static void close_cursor(cursor *c) {
    pkv_cursor *handle = c->handle;
    c->handle = NULL;
    c->steps++;
    if (handle) pkv_cursor_close(handle);
}

static int step(lua_State *L) {
    cursor *c = lua_touserdata(L, lua_upvalueindex(1));
    pkv_entry entry;
    if (!c->handle) {
        lua_pushnil(L);
        return 1;
    }
    lua_settop(L, 0);
    lua_getuservalue(L, lua_upvalueindex(1));
    if (!c->drains && !c->store->handle) return lpkv_raise_closed(L, c->store);

    uint64_t steps = ++c->steps;
    pkv_status status = pkv_cursor_next(c->handle, &entry);
    if (status == PKV_NOT_FOUND) {
        close_cursor(c);
        lua_pushnil(L);
        return 1;
    }
    if (status) {
        lpkv_push_detail(L, status);
        return lpkv_raise(L);
    }
    lpkv_key_push(L, c->store, entry.key);
    /* The push may have run a finalizer, and that may have taken the entry away. */
    if (c->steps != steps) return luaL_error(L, "the iterator was used by a finalizer");
    if (lpkv_value_push(L, c->store, entry.value, entry.type)) return lpkv_raise(L);
    lua_pushvalue(L, 2);
    lua_insert(L, -2);
    return 2;
}

/* Pushes a cursor of the store at index 1, not open yet. */
static cursor *new_cursor(lua_State *L, lpkv_store *store) {
    cursor *c = lua_newuserdata(L, sizeof *c);
    memset(c, 0, sizeof *c);
    c->store = store;
    luaL_setmetatable(L, LPKV_CURSOR);
    lua_pushvalue(L, 1);
    lua_setuservalue(L, -2);
    return c;
}

/* Makes the results of pairs of the cursor on the top: iterator, nil, nil, what `for` closes. */
static int push_iterator(lua_State *L) {
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, step, 1);
    lua_insert(L, -2);
    lua_pushnil(L);
    lua_insert(L, -2);
    lua_pushnil(L);
    lua_insert(L, -2);
    return 4;
}

static pkv_status open_cursor(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    cursor *c = new_cursor(L, store);
    if (!store->handle) lpkv_raise_closed(L, store); /* by a finalizer */
    pkv_status status = pkv_cursor_open(store->handle, &c->handle);
    if (status) return lpkv_push_detail(L, status);
    lpkv_deliver_events(L, store);
    return PKV_OK;
}

int lpkv_pairs(lua_State *L) {
    if (open_cursor(L)) return lpkv_raise(L);
    return push_iterator(L);
}

int lpkv_each(lua_State *L) {
    pkv_status status = open_cursor(L);
    if (status) return lpkv_failure(L, status);
    return push_iterator(L);
}

int lpkv_drain(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    cursor *c = new_cursor(L, store);
    c->drains = true;
    lpkv_deliver_events(L, store);
    if (!store->handle) lpkv_raise_closed(L, store); /* by a finalizer, or by on_event */
    pkv_status status = pkv_drain(store->handle, &c->handle);
    if (status != PKV_USAGE) store->handle = NULL; /* elsewise others hold it, and it stays open */
    if (status) {
        lpkv_push_detail(L, status);
        return lpkv_failure(L, status);
    }
    return push_iterator(L);
}

static int collect(lua_State *L) {
    cursor *c = luaL_testudata(L, 1, LPKV_CURSOR);
    if (c) close_cursor(c);
    return 0;
}

static const luaL_Reg metamethods[] = {{"__gc", collect}, {"__close", collect}, {NULL, NULL}};

void lpkv_register_cursor(lua_State *L) {
    luaL_newmetatable(L, LPKV_CURSOR);
    luaL_setfuncs(L, metamethods, 0);
    lua_pushliteral(L, "pkv cursor");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
