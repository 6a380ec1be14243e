/* msgpack_fuzz.c - MessagePack, as the Lua module reads it: any bytes give a table or a message,
 * with the stack as deep as promised; a table that was read can be written, and read again. */
#include <lualib.h>
#include <stdlib.h>
#include "../../src/lua/binding.h"
#include "support.h"

/* A byte of input is an empty table at worst, and a table has a head, a slot and its allocation. */
#define LUA_MEMORY_ALLOWED(size) (160 * (uint64_t)(size) + ((uint64_t)16 << 20))

static int read_and_write(lua_State *L) {
    pkv_bytes bytes = *(const pkv_bytes *)lua_touserdata(L, 1);
    lpkv_buffer *out = lua_touserdata(L, 2);
    bool ok = lpkv_msgpack_read(L, bytes) == PKV_OK;
    must(ok ? lua_istable(L, -1) : lua_type(L, -1) == LUA_TSTRING);
    if (!ok) return 0;
    must(lua_gettop(L) == 3);
    if (lpkv_msgpack_write(L, 3, out) != PKV_OK) return 0;
    ok = lpkv_msgpack_read(L, (pkv_bytes){out->data, out->size}) == PKV_OK;
    must(ok && lua_istable(L, -1));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lua_State *L = luaL_newstate();
    must(L != NULL);
    pkv_bytes bytes = {data, size};
    lpkv_buffer out = {NULL, 0, 0};
    lua_pushcfunction(L, read_and_write);
    lua_pushlightuserdata(L, &bytes);
    lua_pushlightuserdata(L, &out);
    memory_watch(LUA_MEMORY_ALLOWED(size));
    (void)lua_pcall(L, 2, 0, 0); /* what cannot be written is raised */
    memory_unwatch();
    lua_close(L);
    free(out.data);
    return 0;
}
