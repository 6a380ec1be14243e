/* buffer.c - memory for values on their way, which belongs to the store.
 *
 * Where Lua collects early, pushing a string may run a finalizer that uses the same store before
 * the string is copied. There whoever needs the buffer takes it away from the store meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

pkv_status lpkv_buffer_reserve(lpkv_buffer *buffer, size_t extra) {
    if (extra > PKV_VALUE_MAX || buffer->size > PKV_VALUE_MAX - extra) return PKV_TOO_LARGE;
    size_t wanted = buffer->size + extra;
    if (wanted <= buffer->capacity) return PKV_OK;
    size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
    while (capacity < wanted) capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (!data) return PKV_NO_MEMORY;
    buffer->data = data;
    buffer->capacity = capacity;
    return PKV_OK;
}

void lpkv_buffer_free(lpkv_buffer *buffer) {
    free(buffer->data);
    memset(buffer, 0, sizeof *buffer);
}

#if LPKV_COLLECTS_EARLY

lpkv_buffer *lpkv_scratch_take(lua_State *L, lpkv_store *store) {
    lpkv_buffer *scratch = lua_newuserdata(L, sizeof *scratch);
    memset(scratch, 0, sizeof *scratch);
    luaL_setmetatable(L, LPKV_BUFFER);
    *scratch = store->scratch;
    memset(&store->scratch, 0, sizeof store->scratch);
    scratch->size = 0;
    return scratch;
}

void lpkv_scratch_give_back(lpkv_store *store, lpkv_buffer *scratch) {
    /* A finalizer may have closed the store, or made it have another one. */
    if (!store->handle || store->scratch.data || scratch->capacity > LPKV_SCRATCH_KEEP) {
        lpkv_buffer_free(scratch);
        return;
    }
    store->scratch = *scratch;
    memset(scratch, 0, sizeof *scratch);
}

static int collect(lua_State *L) {
    lpkv_buffer *buffer = luaL_testudata(L, 1, LPKV_BUFFER);
    if (buffer) lpkv_buffer_free(buffer);
    return 0;
}

void lpkv_register_buffer(lua_State *L) {
    static const luaL_Reg metamethods[] = {{"__gc", collect}, {NULL, NULL}};
    luaL_newmetatable(L, LPKV_BUFFER);
    lpkv_set_functions(L, "", metamethods);
    lua_pop(L, 1);
}

#else

lpkv_buffer *lpkv_scratch_take(lua_State *L, lpkv_store *store) {
    (void)L;
    store->scratch.size = 0;
    return &store->scratch;
}

void lpkv_scratch_give_back(lpkv_store *store, lpkv_buffer *scratch) {
    (void)store;
    if (scratch->capacity > LPKV_SCRATCH_KEEP) lpkv_buffer_free(scratch);
}

void lpkv_register_buffer(lua_State *L) {
    (void)L;
}

#endif
