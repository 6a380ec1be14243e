/* cursor.c - pairs(store), pkv.each and pkv.drain.
 *
 * An iterator is a C closure over a userdata with the cursor of the C library, and over the store,
 * which it keeps alive; a cursor is never stepped once its store is closed. It is closed at the end
 * of the loop, when the loop is left (`for` closes its fourth value from Lua 5.4 on, which pairs
 * does not hand on), or when it is collected. */
#include <string.h>

#include "binding.h"

static void close_cursor(lpkv_cursor *c) {
    pkv_cursor *handle = c->handle;
    c->handle = NULL;
    c->steps++;
    c->ticket = 0;
    if (handle) pkv_cursor_close(handle);
}

void lpkv_check_step(lua_State *L, bool is_same) {
    if (!is_same) luaL_error(L, "the iterator was used by a finalizer");
}

/* Where pushing the key may run a finalizer before it is copied: makes the entry one that no
 * finalizer can take away, in `small` or in the scratch buffer, which is returned. */
static lpkv_buffer *keep_entry(lua_State *L, lpkv_cursor *c, pkv_entry *entry, char small[]) {
    size_t key_size = entry->key.size, value_size = entry->value.size;
    lpkv_buffer *scratch = NULL;
    char *copy = small;
    if (key_size + value_size > LPKV_SMALL_VALUE) {
        uint32_t steps = c->steps;
        scratch = lpkv_scratch_take(L, c->store);
        lpkv_check_step(L, c->steps == steps);
        if (lpkv_buffer_reserve(scratch, key_size) ||
            (scratch->size = key_size, lpkv_buffer_reserve(scratch, value_size)))
            luaL_error(L, "not enough memory for an entry of %d bytes",
                       (int)(key_size + value_size));
        copy = scratch->data;
    }
    if (key_size > 0) memcpy(copy, entry->key.data, key_size);
    if (value_size > 0) memcpy(copy + key_size, entry->value.data, value_size);
    entry->key.data = copy;
    entry->value.data = copy + key_size;
    return scratch;
}

int lpkv_push_entry(lua_State *L, lpkv_cursor *c) {
    char small[LPKV_COLLECTS_EARLY ? LPKV_SMALL_VALUE : 1];
    pkv_entry entry = c->entry;
    lpkv_buffer *scratch = LPKV_COLLECTS_EARLY ? keep_entry(L, c, &entry, small) : NULL;
    uint32_t steps = c->steps;
    if (lpkv_key_push(L, c->store, entry.key)) return lpkv_raise(L);
    lpkv_check_step(L, c->steps == steps);
    lua_insert(L, 2); /* before the scratch buffer, if that is there */
    if (lpkv_value_push(L, c->store, entry.value, entry.type)) return lpkv_raise(L);
    lua_pushvalue(L, 2);
    lua_insert(L, -2);
    if (scratch) lpkv_scratch_give_back(c->store, scratch);
    return 2;
}

pkv_status lpkv_cursor_step(lpkv_cursor *c) {
    if (!c->handle) return PKV_NOT_FOUND;
    if (!c->drains && !c->store->handle) return PKV_CLOSED;
    c->steps++;
    c->ticket = 0;
    pkv_status status = pkv_cursor_next(c->handle, &c->entry);
    if (status == PKV_NOT_FOUND) close_cursor(c);
    return status;
}

static int step(lua_State *L) {
    lpkv_cursor *c = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(2));
    pkv_status status = lpkv_cursor_step(c);
    if (!status) return lpkv_push_entry(L, c);
    if (status == PKV_CLOSED) return lpkv_raise_closed(L, c->store);
    if (status != PKV_NOT_FOUND) {
        lpkv_push_detail(L, status);
        return lpkv_raise(L);
    }
    lua_pushnil(L);
    return 1;
}

/* Pushes a cursor of the store at index 1, not open yet. */
static lpkv_cursor *new_cursor(lua_State *L, lpkv_store *store) {
    lpkv_cursor *c = lua_newuserdata(L, sizeof *c);
    memset(c, 0, sizeof *c);
    c->store = store;
    luaL_setmetatable(L, LPKV_CURSOR);
    return c;
}

/* Makes the results of pairs of the cursor on the top and the store at index 1: iterator, nil, nil,
 * what `for` closes. */
static int push_iterator(lua_State *L) {
    lua_pushvalue(L, -1);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, step, 2);
    if (lpkv_push_hook(L, LPKV_WRAP_ITERATOR)) {
        lua_insert(L, -2);
        lua_pushvalue(L, -3);
        lua_call(L, 2, 1);
    }
    lua_insert(L, -2);
    lua_pushnil(L);
    lua_insert(L, -2);
    lua_pushnil(L);
    lua_insert(L, -2);
    return 4;
}

static pkv_status open_cursor(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    lpkv_cursor *c = new_cursor(L, store);
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
    lpkv_cursor *c = new_cursor(L, store);
    c->drains = true;
    lpkv_deliver_events(L, store);
    if (!store->handle) lpkv_raise_closed(L, store); /* by a finalizer, or by on_event */
    pkv_status status = pkv_drain(store->handle, &c->handle);
    if (status != PKV_USAGE) { /* elsewise others hold it, and it stays open */
        store->handle = NULL;
        lpkv_buffer_free(&store->scratch);
    }
    if (status) {
        lpkv_push_detail(L, status);
        return lpkv_failure(L, status);
    }
    return push_iterator(L);
}

static int collect(lua_State *L) {
    lpkv_cursor *c = luaL_testudata(L, 1, LPKV_CURSOR);
    if (c) close_cursor(c);
    return 0;
}

static const luaL_Reg metamethods[] = {{"__gc", collect}, {"__close", collect}, {NULL, NULL}};

void lpkv_register_cursor(lua_State *L) {
    luaL_newmetatable(L, LPKV_CURSOR);
    lpkv_set_functions(L, "", metamethods);
    lua_pushliteral(L, "pkv cursor");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
