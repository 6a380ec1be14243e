/* store_object.c - the store as Lua sees it: a userdata whose metamethods are C functions.
 *
 * store[k] always means data, so nothing but data is ever found by indexing: what can be done with
 * a store are functions of the module. A userdata is born closed, then opened; closing is
 * idempotent. It holds one reference to the store of the C library, which other userdata may share.
 *
 * Metamethods raise what goes wrong; functions return nil, message, code. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

static const char store_magic = 's'; /* its address is what matters */

lpkv_store *lpkv_to_store(lua_State *L, int index) {
    if (LUA_VERSION_NUM == 501) lpkv_unwrap(L, index); /* what LuaJIT is, too */
    lpkv_store *store = lua_touserdata(L, index);
    if (!store || lua_rawlen(L, index) <= sizeof *store) return NULL; /* light ones have 0 */
    return store->magic == &store_magic ? store : NULL;
}

lpkv_store *lpkv_check_store(lua_State *L) {
    lpkv_store *store = lpkv_to_store(L, 1);
    if (store) return store;
    lpkv_type_error(L, 1, "pkv store");
    return NULL;
}

int lpkv_raise_closed(lua_State *L, const lpkv_store *store) {
    lua_pushfstring(L, "the store is closed: %s", store->path);
    return lpkv_raise(L);
}

lpkv_store *lpkv_check_open(lua_State *L) {
    lpkv_store *store = lpkv_check_store(L);
    if (!store->handle) lpkv_raise_closed(L, store);
    return store;
}

lpkv_store *lpkv_new_store(lua_State *L, const char *path) {
    size_t size = strlen(path) + 1;
    lpkv_store *store = lua_newuserdata(L, sizeof *store + size);
    memset(store, 0, sizeof *store);
    store->magic = &store_magic;
    memcpy(store->path, path, size);
    luaL_setmetatable(L, LPKV_STORE);
    return store;
}

void lpkv_push_slot(lua_State *L, int slot) {
    lua_getuservalue(L, 1);
    lua_rawgeti(L, -1, slot);
    lua_remove(L, -2);
}

/* Reading */

/* Reads a value that does not fit the C stack. Its size may change from one try to the next. */
static pkv_status read_large(lpkv_store *store, lpkv_buffer *scratch, const lpkv_key *key,
                             size_t *size, pkv_type *type) {
    for (;;) {
        pkv_status status = lpkv_buffer_reserve(scratch, *size);
        if (status) return status;
        status =
            pkv_get_typed(store->handle, key->bytes, scratch->data, scratch->capacity, size, type);
        if (status || *size <= scratch->capacity) return status;
    }
}

/* Pushes the value that was read; PKV_NOT_FOUND, with nothing pushed, or a failure. */
static pkv_status push(lua_State *L, lpkv_store *store, pkv_status status, pkv_bytes bytes,
                       pkv_type type) {
    if (!status) return lpkv_value_push(L, store, bytes, type);
    return status == PKV_NOT_FOUND ? status : lpkv_push_detail(L, status);
}

static pkv_status fetch_large(lua_State *L, lpkv_store *store, const lpkv_key *key, size_t size) {
    int top = lua_gettop(L);
    pkv_type type = PKV_BYTES;
    lpkv_buffer *scratch = lpkv_scratch_take(L, store);
    pkv_status status = read_large(store, scratch, key, &size, &type);
    status = push(L, store, status, (pkv_bytes){scratch->data, size}, type);
    lpkv_scratch_give_back(store, scratch);
    if (status == PKV_NOT_FOUND) lua_settop(L, top);
    return status;
}

/* Pushes the value of the key at index 2; PKV_NOT_FOUND, with nothing pushed, or a failure. */
static pkv_status fetch(lua_State *L, lpkv_store *store) {
    char small[LPKV_SMALL_VALUE];
    lpkv_key key;
    size_t size = 0;
    pkv_type type = PKV_BYTES;
    lpkv_key_read(L, store, 2, &key);
    pkv_status status = pkv_get_typed(store->handle, key.bytes, small, sizeof small, &size, &type);
    if (!status && size > sizeof small) return fetch_large(L, store, &key, size);
    if (!status && type == PKV_BYTES && lpkv_keeps_strings(store)) {
        lua_pushlstring(L, small, size); /* what is most common, by the shortest way */
        return PKV_OK;
    }
    return push(L, store, status, (pkv_bytes){small, size}, type);
}

int lpkv_index_store(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    pkv_status status = fetch(L, store);
    if (status == PKV_NOT_FOUND)
        lua_pushnil(L);
    else if (status)
        return lpkv_raise(L);
    lpkv_deliver_events(L, store);
    return 1;
}

int lpkv_get(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    lua_settop(L, 3); /* the default, or nil */
    pkv_status status = fetch(L, store);
    if (status && status != PKV_NOT_FOUND) return lpkv_failure(L, status);
    lpkv_deliver_events(L, store); /* not found: the default is on the top */
    return 1;
}

/* Writing */

static pkv_status unset(lua_State *L, lpkv_store *store) {
    lpkv_key key;
    lpkv_key_read(L, store, 2, &key);
    pkv_status status = pkv_unset(store->handle, key.bytes);
    if (status && status != PKV_NOT_FOUND) lpkv_push_detail(L, status);
    return status;
}

/* Sets the key at index 2 to the value at index 3. */
static pkv_status put(lua_State *L, lpkv_store *store) {
    if (lua_isnil(L, 3)) {
        pkv_status gone = unset(L, store);
        return gone == PKV_NOT_FOUND ? PKV_OK : gone;
    }
    lpkv_key key;
    lpkv_value value;
    lpkv_key_read(L, store, 2, &key);
    pkv_status status = lpkv_value_write(L, store, 3, &value);
    if (!status) {
        status = pkv_set_typed(store->handle, key.bytes, value.bytes, value.type);
        if (status) lpkv_push_detail(L, status);
    }
    if (value.scratch) lpkv_scratch_give_back(store, value.scratch);
    return status;
}

static int newindex_store(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    if (put(L, store)) return lpkv_raise(L);
    lpkv_deliver_events(L, store);
    return 0;
}

int lpkv_set(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    if (lua_isnone(L, 3)) return lpkv_argument_error(L, 3, "value expected");
    lua_settop(L, 3);
    pkv_status status = put(L, store);
    if (status) return lpkv_failure(L, status);
    lpkv_deliver_events(L, store);
    lua_pushboolean(L, true);
    return 1;
}

int lpkv_unset(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    pkv_status status = unset(L, store);
    if (status && status != PKV_NOT_FOUND) return lpkv_failure(L, status);
    lpkv_deliver_events(L, store);
    lua_pushboolean(L, status == PKV_OK);
    return 1;
}

/* The whole store */

static int length_of_store(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    uint64_t count;
    pkv_status status = pkv_count(store->handle, &count);
    if (status) {
        lpkv_push_detail(L, status);
        return lpkv_raise(L);
    }
    lpkv_push_count(L, count);
    return 1;
}

/* "45 KiB", with one decimal below ten. */
static void size_text(char text[32], uint64_t bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    while (size >= 1024 && unit + 1 < sizeof units / sizeof units[0]) size /= 1024, unit++;
    bool decimal = unit > 0 && size < 10;
    uint64_t tenths = (uint64_t)(size * (decimal ? 10 : 1) + 0.5);
    if (decimal)
        (void)snprintf(text, 32, "%" PRIu64 ".%u %s", tenths / 10, (unsigned)(tenths % 10),
                       units[unit]);
    else
        (void)snprintf(text, 32, "%" PRIu64 " %s", tenths, units[unit]);
}

static int store_to_string(lua_State *L) {
    lpkv_store *store = lpkv_check_store(L);
    pkv_stats stats;
    pkv_status status = store->handle ? pkv_stats_get(store->handle, &stats) : PKV_CLOSED;
    if (status) {
        lua_pushfstring(L, "pkv store: %s (%s)", store->path, lpkv_code(status));
        return 1;
    }
    char size[32], entries[32];
    size_text(size, stats.key_bytes + stats.value_bytes);
    (void)snprintf(entries, sizeof entries, "%" PRIu64 " %s", stats.entries,
                   stats.entries == 1 ? "entry" : "entries");
    lua_pushfstring(L, "pkv store: %s (%s, %s)", store->path, entries, size);
    return 1;
}

static int finish(lua_State *L, lpkv_store *store, pkv_status status) {
    if (status) {
        lpkv_push_detail(L, status);
        return lpkv_failure(L, status);
    }
    lpkv_deliver_events(L, store);
    lua_pushboolean(L, true);
    return 1;
}

int lpkv_sync(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    return finish(L, store, pkv_sync(store->handle));
}

int lpkv_snapshot(lua_State *L) {
    lpkv_store *store = lpkv_check_open(L);
    return finish(L, store, pkv_snapshot(store->handle));
}

/* Closing */

static pkv_status close_store(lpkv_store *store) {
    pkv *handle = store->handle;
    store->handle = NULL;
    lpkv_buffer_free(&store->scratch);
    return handle ? pkv_close(handle) : PKV_OK;
}

/* Events that are still waiting are delivered first; an error in on_event comes after the close. */
int lpkv_close(lua_State *L) {
    lpkv_store *store = lpkv_check_store(L);
    bool delivered = !store->handle || !store->has_events || lpkv_run_events(L, store);
    pkv_status status = close_store(store);
    if (!delivered) return lua_error(L);
    if (status) {
        lpkv_push_detail(L, status);
        return lpkv_failure(L, status);
    }
    lua_pushboolean(L, true);
    return 1;
}

/* __close(store, error): a failing last flush is raised, but never hides an error on its way. */
static int close_variable(lua_State *L) {
    lpkv_store *store = lpkv_check_store(L);
    pkv_status status = close_store(store);
    if (!status || !lua_isnoneornil(L, 2)) return 0;
    lpkv_push_detail(L, status);
    return lpkv_raise(L);
}

static int collect(lua_State *L) {
    lpkv_store *store = lpkv_to_store(L, 1);
    if (store) close_store(store);
    return 0;
}

int lpkv_is_store(lua_State *L) {
    if (lua_isnone(L, 1)) return lpkv_argument_error(L, 1, "value expected");
    lua_pushboolean(L, lpkv_to_store(L, 1) != NULL);
    return 1;
}

static const luaL_Reg metamethods[] = {
    {"__index", lpkv_index_store},
    {"__newindex", newindex_store},
    {"__len", length_of_store},
    {"__pairs", lpkv_pairs},
    {"__tostring", store_to_string},
    {"__close", close_variable},
    {"__gc", collect},
    {NULL, NULL},
};

void lpkv_register_store(lua_State *L) {
    luaL_newmetatable(L, LPKV_STORE);
    lpkv_set_functions(L, "", metamethods);
    lua_pushliteral(L, "pkv store"); /* all that getmetatable gives away */
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
