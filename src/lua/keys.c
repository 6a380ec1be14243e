/* keys.c - Lua keys to the bytes of a key, and back.
 *
 * A store has strings for keys or integers of one type, and 1 is never taken for "1": the other
 * kind is an error that says which kind the store has. A float without a fraction counts as the
 * integer, as it does in a Lua table. */
#include "binding.h"

static void raise_key(lua_State *L, const lpkv_store *store, int index) {
    bool fixed = store->key_type != PKV_INTEGER_NONE;
    lpkv_push_description(L, index);
    lua_pushfstring(L, "key must be %s (the store has keys = \"%s\"), got %s",
                    fixed ? "an integer" : "a string",
                    fixed ? pkv_integer_name(store->key_type) : "string", lua_tostring(L, -1));
    lpkv_raise(L);
}

void lpkv_key_read(lua_State *L, const lpkv_store *store, int index, lpkv_key *key) {
    if (store->key_type == PKV_INTEGER_NONE) {
        if (lua_type(L, index) != LUA_TSTRING) raise_key(L, store, index);
        key->bytes.data = lua_tolstring(L, index, &key->bytes.size);
        return;
    }
    int64_t number;
    if (!lpkv_whole_number(L, index, store->key_type, &number)) raise_key(L, store, index);
    pkv_status status = pkv_integer_key(store->key_type, number, key->fixed);
    if (status) {
        lpkv_push_detail(L, status);
        lpkv_raise(L);
    }
    key->bytes.data = key->fixed;
    key->bytes.size = sizeof key->fixed;
}

pkv_status lpkv_key_push(lua_State *L, const lpkv_store *store, pkv_bytes key) {
    if (store->key_type == PKV_INTEGER_NONE) {
        lua_pushlstring(L, key.data, key.size);
        return PKV_OK;
    }
    int64_t number = pkv_key_integer(store->key_type, key.data);
    bool is_unsigned = store->key_type == PKV_U64;
    if (lpkv_push_integer(L, number, is_unsigned)) return PKV_OK;
    lpkv_push_inexact(L, number, is_unsigned);
    lua_pushfstring(L, "a key is %s", lua_tostring(L, -1));
    return PKV_VALUE_TYPE;
}
