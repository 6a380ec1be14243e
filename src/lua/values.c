/* values.c - Lua values to the bytes of a value, and back, as the store's `values` option says.
 *
 *   "any"           the pkv_type beside the bytes tells what they are; tables are MessagePack
 *   "string"        the bytes are the string
 *   "u64" ... "i8"  a little-endian integer of that width
 *   {encode=, decode=}  a string that the program's functions make and read */
#include <string.h>

#include "binding.h"

static void put_word(unsigned char *bytes, uint64_t word) {
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(word >> (8 * i));
}

uint64_t lpkv_value_word(const void *data) {
    const unsigned char *bytes = data;
    uint64_t word = 0;
    for (int i = 7; i >= 0; i--) word = word << 8 | bytes[i];
    return word;
}

static bool is_integer_kind(pkv_values values) {
    return values > PKV_VALUES_INTEGER;
}

static pkv_integer integer_of(pkv_values values) {
    return (pkv_integer)((int)values - (int)PKV_VALUES_INTEGER);
}

/* Writing */

static void raise_value(lua_State *L, const lpkv_store *store, int index) {
    bool integers = is_integer_kind(store->values);
    lpkv_push_description(L, index);
    lua_pushfstring(L, "value must be %s (the store has values = \"%s\"), got %s",
                    integers ? "an integer" : "a string", pkv_values_name(store->values),
                    lua_tostring(L, -1));
    lpkv_raise(L);
}

static void use_string(lua_State *L, int index, lpkv_value *value) {
    value->type = PKV_BYTES;
    value->bytes.data = lua_tolstring(L, index, &value->bytes.size);
}

void lpkv_value_fixed(lpkv_value *value, pkv_type type, uint64_t word, size_t size) {
    put_word(value->fixed, word);
    value->type = type;
    value->bytes.data = value->fixed;
    value->bytes.size = size;
}

static void use_number(lua_State *L, int index, lpkv_value *value) {
    int64_t integer;
    if (lpkv_is_integer(L, index, &integer)) {
        lpkv_value_fixed(value, PKV_INTEGER, (uint64_t)integer, 8);
        return;
    }
    double number = (double)lua_tonumber(L, index);
    uint64_t word;
    memcpy(&word, &number, sizeof word);
    lpkv_value_fixed(value, PKV_FLOAT, word, 8);
}

static pkv_status use_table(lua_State *L, lpkv_store *store, int index, lpkv_value *value) {
    lpkv_buffer *scratch = lpkv_scratch_take(L, store);
    pkv_status status = lpkv_msgpack_write(L, index, scratch);
    if (status) lua_pushstring(L, pkv_status_text(status));
    value->type = PKV_TABLE;
    value->bytes.data = scratch->data;
    value->bytes.size = scratch->size;
    value->scratch = scratch;
    return status;
}

/* What is none of Lua's own types: an integer of LuaJIT's FFI library, or what cannot be stored. */
static void use_other(lua_State *L, int index, lpkv_value *value) {
    int64_t integer;
    bool is_unsigned = false;
    if (!lpkv_cdata_integer(L, index, &integer, &is_unsigned)) {
        lua_pushfstring(L, "value is a %s, which cannot be stored", luaL_typename(L, index));
        lpkv_raise(L);
    }
    if (is_unsigned && integer < 0) {
        lua_pushliteral(L, "value is a uint64_t from 2^63 on, which takes values = \"u64\"");
        lpkv_raise(L);
    }
    lpkv_value_fixed(value, PKV_INTEGER, (uint64_t)integer, 8);
}

static pkv_status write_any(lua_State *L, lpkv_store *store, int index, lpkv_value *value) {
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        use_string(L, index, value);
        return PKV_OK;
    case LUA_TNUMBER:
        use_number(L, index, value);
        return PKV_OK;
    case LUA_TBOOLEAN:
        lpkv_value_fixed(value, PKV_BOOLEAN, (uint64_t)lua_toboolean(L, index), 1);
        return PKV_OK;
    case LUA_TTABLE:
        return use_table(L, store, index, value);
    default:
        use_other(L, index, value);
        return PKV_OK;
    }
}

static pkv_status write_integer(lua_State *L, lpkv_store *store, int index, lpkv_value *value) {
    pkv_integer type = integer_of(store->values);
    int64_t number;
    if (!lpkv_whole_number(L, index, type, &number)) raise_value(L, store, index);
    pkv_status status = pkv_integer_value(type, number, value->fixed, &value->bytes.size);
    if (status) {
        lpkv_push_detail(L, status);
        lpkv_raise(L);
    }
    value->type = PKV_BYTES;
    value->bytes.data = value->fixed;
    return PKV_OK;
}

/* Leaves the encoded string in the value's place on the stack, where it stays alive. */
static pkv_status write_coded(lua_State *L, lpkv_store *store, int index, lpkv_value *value) {
    lpkv_push_slot(L, LPKV_ENCODE);
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    if (lua_type(L, -1) != LUA_TSTRING) {
        lua_pushfstring(L, "values.encode must return a string, got %s", luaL_typename(L, -1));
        lpkv_raise(L);
    }
    lua_replace(L, index);
    use_string(L, index, value);
    if (!store->handle) lpkv_raise_closed(L, store); /* by the encoder, of all */
    return PKV_OK;
}

pkv_status lpkv_value_write(lua_State *L, lpkv_store *store, int index, lpkv_value *value) {
    value->scratch = NULL;
    if (store->values == PKV_VALUES_ANY) return write_any(L, store, index, value);
    if (store->values == PKV_VALUES_CODED) return write_coded(L, store, index, value);
    if (is_integer_kind(store->values)) return write_integer(L, store, index, value);
    if (lua_type(L, index) != LUA_TSTRING) raise_value(L, store, index);
    use_string(L, index, value);
    return PKV_OK;
}

/* Reading. The key is at index 2 and named in every error. */

static pkv_status damaged(lua_State *L, const char *what) {
    lpkv_push_description(L, 2);
    lua_pushfstring(L, "the value of key %s is damaged: %s", lua_tostring(L, -1), what);
    lua_remove(L, -2);
    return PKV_CORRUPT;
}

static const char *type_name(pkv_type type) {
    switch (type) {
    case PKV_BYTES:
        return "a string";
    case PKV_INTEGER:
        return "an integer";
    case PKV_FLOAT:
        return "a float";
    case PKV_BOOLEAN:
        return "a boolean";
    case PKV_TABLE:
        return "a table";
    }
    return "of a type that this version does not know";
}

static pkv_status unexpected(lua_State *L, const lpkv_store *store, pkv_type type) {
    lpkv_push_description(L, 2);
    lua_pushfstring(L, "the value of key %s is %s (the store was opened with values = \"%s\")",
                    lua_tostring(L, -1), type_name(type), pkv_values_name(store->values));
    lua_remove(L, -2);
    return PKV_VALUE_TYPE;
}

static pkv_status inexact(lua_State *L, int64_t number, bool is_unsigned) {
    lpkv_push_description(L, 2);
    lpkv_push_inexact(L, number, is_unsigned);
    lua_pushfstring(L, "the value of key %s is %s", lua_tostring(L, -2), lua_tostring(L, -1));
    return PKV_VALUE_TYPE;
}

static pkv_status push_table(lua_State *L, pkv_bytes bytes) {
    /* Building the table may run a finalizer, and that may free `bytes`. */
    char copy[LPKV_SMALL_VALUE];
    int top = lua_gettop(L);
    if (bytes.size <= sizeof copy) {
        if (bytes.size > 0) memcpy(copy, bytes.data, bytes.size);
        bytes.data = copy;
    } else {
        lua_pushlstring(L, bytes.data, bytes.size);
        bytes.data = lua_tostring(L, -1);
    }
    pkv_status status = lpkv_msgpack_read(L, bytes);
    if (status == PKV_VALUE_TYPE) {
        lpkv_push_description(L, 2);
        lua_pushfstring(L, "the value of key %s contains %s", lua_tostring(L, -1),
                        lua_tostring(L, -2));
        return status;
    }
    if (status) return damaged(L, lua_tostring(L, -1));
    lua_insert(L, top + 1);
    lua_settop(L, top + 1); /* without the string, if there is one */
    return PKV_OK;
}

static pkv_status push_any(lua_State *L, lpkv_store *store, pkv_bytes bytes, pkv_type type) {
    const unsigned char *data = bytes.data;
    double number;
    uint64_t word;
    switch (type) {
    case PKV_BYTES:
        lua_pushlstring(L, bytes.data, bytes.size);
        return PKV_OK;
    case PKV_INTEGER:
        if (bytes.size != 8) return damaged(L, "an integer that is not 8 bytes long");
        word = lpkv_value_word(data);
        return lpkv_push_integer(L, (int64_t)word, false) ? PKV_OK
                                                          : inexact(L, (int64_t)word, false);
    case PKV_FLOAT:
        if (bytes.size != 8) return damaged(L, "a float that is not 8 bytes long");
        word = lpkv_value_word(data);
        memcpy(&number, &word, sizeof number);
        lua_pushnumber(L, number);
        return PKV_OK;
    case PKV_BOOLEAN:
        if (bytes.size != 1 || data[0] > 1) return damaged(L, "a boolean that is not 0 or 1");
        lua_pushboolean(L, data[0]);
        return PKV_OK;
    case PKV_TABLE:
        return push_table(L, bytes);
    }
    return unexpected(L, store, type);
}

static pkv_status push_integer(lua_State *L, lpkv_store *store, pkv_bytes bytes) {
    int64_t number;
    pkv_status status = pkv_value_integer(integer_of(store->values), bytes, &number);
    if (status) {
        lua_pushfstring(L, "%d bytes where %s was expected", (int)bytes.size,
                        pkv_integer_name(integer_of(store->values)));
        return damaged(L, lua_tostring(L, -1));
    }
    bool is_unsigned = integer_of(store->values) == PKV_U64;
    return lpkv_push_integer(L, number, is_unsigned) ? PKV_OK : inexact(L, number, is_unsigned);
}

pkv_status lpkv_value_push(lua_State *L, lpkv_store *store, pkv_bytes bytes, pkv_type type) {
    if (store->values == PKV_VALUES_ANY) return push_any(L, store, bytes, type);
    if (type != PKV_BYTES) return unexpected(L, store, type);
    if (is_integer_kind(store->values)) return push_integer(L, store, bytes);
    if (store->values == PKV_VALUES_CODED) {
        lua_pushlstring(L, bytes.data, bytes.size);
        lpkv_push_slot(L, LPKV_DECODE);
        lua_insert(L, -2);
        lua_call(L, 1, 1);
        return PKV_OK;
    }
    lua_pushlstring(L, bytes.data, bytes.size);
    return PKV_OK;
}
