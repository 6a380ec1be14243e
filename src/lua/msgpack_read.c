/* msgpack_read.c - MessagePack to a Lua table.
 *
 * The bytes may come from anywhere: other programs write them, and disks lose them. Every length is
 * checked against what is left before it is used, nesting is limited, and a container's announced
 * count is believed only as far as the bytes that remain could hold it: `owed` is the number of
 * values that the containers around still lack, each of which takes a byte at least. So the tables
 * made are never larger than the input justifies. */
#include <string.h>

#include "binding.h"

typedef struct reader {
    lua_State *L;
    const unsigned char *at, *end;
    uint64_t owed;
    int depth;
    const char *problem; /* NULL: the integer `number` has no value in this Lua */
    int64_t number;
} reader;

static bool read_value(reader *r);

static bool fail(reader *r, const char *problem) {
    r->problem = problem;
    return false;
}

static size_t left(const reader *r) {
    return (size_t)(r->end - r->at);
}

/* A number of `size` bytes, the highest first. */
static bool read_number(reader *r, unsigned size, uint64_t *number) {
    if (left(r) < size) return fail(r, "it ends too early");
    *number = 0;
    for (unsigned i = 0; i < size; i++) *number = *number << 8 | *r->at++;
    return true;
}

static bool read_string(reader *r, unsigned size_bytes, uint64_t size) {
    if (size_bytes > 0 && !read_number(r, size_bytes, &size)) return false;
    if (left(r) < size) return fail(r, "a string is longer than what is left");
    lua_pushlstring(r->L, (const char *)r->at, (size_t)size);
    r->at += size;
    return true;
}

static bool push_integer(reader *r, int64_t number) {
    if (lpkv_push_integer(r->L, number, false)) return true;
    r->number = number;
    return fail(r, NULL);
}

/* From 2^63 on the nearest float, as in Lua's own numerals. */
static bool read_unsigned(reader *r, unsigned size) {
    uint64_t number;
    if (!read_number(r, size, &number)) return false;
    if (number <= INT64_MAX) return push_integer(r, (int64_t)number);
    if (LPKV_HAS_INTEGERS || !lpkv_push_integer(r->L, (int64_t)number, true))
        lua_pushnumber(r->L, (lua_Number)number);
    return true;
}

static bool read_signed(reader *r, unsigned size) {
    uint64_t number;
    if (!read_number(r, size, &number)) return false;
    unsigned unused = 64 - 8 * size;
    return push_integer(r, (int64_t)(number << unused) >> unused);
}

static bool read_float32(reader *r) {
    uint64_t number;
    if (!read_number(r, 4, &number)) return false;
    uint32_t bits = (uint32_t)number;
    float value;
    memcpy(&value, &bits, sizeof value);
    lua_pushnumber(r->L, (lua_Number)value);
    return true;
}

static bool read_float64(reader *r) {
    uint64_t bits;
    if (!read_number(r, 8, &bits)) return false;
    double value;
    memcpy(&value, &bits, sizeof value);
    lua_pushnumber(r->L, value);
    return true;
}

/* Promises `values` more values, if there is room for them. */
static bool owe(reader *r, uint64_t values) {
    if (values > left(r) || r->owed > left(r) - values)
        return fail(r, "a table has more entries than what is left can hold");
    if (r->depth == LPKV_DEPTH_MAX) return fail(r, "it is nested too deep");
    luaL_checkstack(r->L, 8, "no room for a nested table");
    r->owed += values;
    return true;
}

static bool read_owed(reader *r) {
    r->owed--;
    return read_value(r);
}

static bool read_array(reader *r, unsigned size_bytes, uint64_t count) {
    if (size_bytes > 0 && !read_number(r, size_bytes, &count)) return false;
    if (!owe(r, count)) return false;
    lua_createtable(r->L, (int)count, 0);
    r->depth++;
    for (uint64_t i = 1; i <= count; i++) {
        if (!read_owed(r)) return false;
        lua_rawseti(r->L, -2, (lpkv_index)i);
    }
    r->depth--;
    return true;
}

/* What Lua accepts as a key, and would raise an error for otherwise. */
static bool is_key(lua_State *L) {
    int type = lua_type(L, -1);
    if (type == LPKV_TCDATA) return true; /* an integer */
    if (type == LUA_TNUMBER) {
        lua_Number number = lua_tonumber(L, -1);
        return number == number; /* not a NaN */
    }
    return type == LUA_TSTRING || type == LUA_TBOOLEAN;
}

static bool read_map(reader *r, unsigned size_bytes, uint64_t count) {
    if (size_bytes > 0 && !read_number(r, size_bytes, &count)) return false;
    if (!owe(r, 2 * count)) return false;
    lua_createtable(r->L, 0, (int)count);
    r->depth++;
    for (uint64_t i = 0; i < count; i++) {
        if (!read_owed(r)) return false;
        if (!is_key(r->L)) return fail(r, "a key of a table is neither string, number nor boolean");
        if (!read_owed(r)) return false;
        lua_rawset(r->L, -3);
    }
    r->depth--;
    return true;
}

static bool read_tagged(reader *r, unsigned tag) {
    switch (tag) {
    case 0xc0:
        lua_pushnil(r->L);
        return true;
    case 0xc2:
        lua_pushboolean(r->L, false);
        return true;
    case 0xc3:
        lua_pushboolean(r->L, true);
        return true;
    case 0xc4:
        return read_string(r, 1, 0);
    case 0xc5:
        return read_string(r, 2, 0);
    case 0xc6:
        return read_string(r, 4, 0);
    case 0xca:
        return read_float32(r);
    case 0xcb:
        return read_float64(r);
    case 0xcc:
        return read_unsigned(r, 1);
    case 0xcd:
        return read_unsigned(r, 2);
    case 0xce:
        return read_unsigned(r, 4);
    case 0xcf:
        return read_unsigned(r, 8);
    case 0xd0:
        return read_signed(r, 1);
    case 0xd1:
        return read_signed(r, 2);
    case 0xd2:
        return read_signed(r, 4);
    case 0xd3:
        return read_signed(r, 8);
    case 0xd9:
        return read_string(r, 1, 0);
    case 0xda:
        return read_string(r, 2, 0);
    case 0xdb:
        return read_string(r, 4, 0);
    case 0xdc:
        return read_array(r, 2, 0);
    case 0xdd:
        return read_array(r, 4, 0);
    case 0xde:
        return read_map(r, 2, 0);
    case 0xdf:
        return read_map(r, 4, 0);
    case 0xc1:
        return fail(r, "a byte that MessagePack does not use");
    default:
        return fail(r, "a MessagePack extension type");
    }
}

static bool read_value(reader *r) {
    if (r->at == r->end) return fail(r, "it ends too early");
    unsigned tag = *r->at++;
    if (tag < 0x80) {
        lua_pushinteger(r->L, (lua_Integer)tag);
        return true;
    }
    if (tag >= 0xe0) {
        lua_pushinteger(r->L, (lua_Integer)tag - 0x100);
        return true;
    }
    if (tag < 0x90) return read_map(r, 0, tag & 0x0f);
    if (tag < 0xa0) return read_array(r, 0, tag & 0x0f);
    if (tag < 0xc0) return read_string(r, 0, tag & 0x1f);
    return read_tagged(r, tag);
}

pkv_status lpkv_msgpack_read(lua_State *L, pkv_bytes bytes) {
    const unsigned char *start = bytes.data;
    reader r = {.L = L, .at = start, .end = start + bytes.size};
    bool ok = read_value(&r);
    if (ok && !lua_istable(L, -1)) ok = fail(&r, "it is not a table");
    if (ok && r.at < r.end) ok = fail(&r, "bytes follow its end");
    if (ok) return PKV_OK;
    if (!r.problem) {
        lpkv_push_inexact(L, r.number, false);
        return PKV_VALUE_TYPE;
    }
    lua_pushfstring(L, "no valid MessagePack at byte %d: %s", (int)(r.at - start), r.problem);
    return PKV_CORRUPT;
}
