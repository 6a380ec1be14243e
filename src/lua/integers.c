/* integers.c - 64-bit integers in Luas that have them, and in those that have doubles only.
 *
 * Lua 5.3 and later have integers of 64 bits. In Lua 5.1, 5.2 and LuaJIT a number is a double, and
 *
 *   written  a number without a fraction, from -2^53 to 2^53, counts as an integer; -0.0 does not
 *   read     an integer that a double holds exactly is a number. Another one is an int64_t or
 *            uint64_t of LuaJIT's FFI library, where that is at hand; elsewhere it is an error,
 *            since a number that is almost right is worse than none */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "binding.h"

#define TWO_TO_53 9007199254740992.0
#define TWO_TO_63 9223372036854775808.0
#define TWO_TO_64 18446744073709551616.0

bool lpkv_whole_double(double value, pkv_integer type, int64_t *number) {
    if (value >= TWO_TO_63 && value < TWO_TO_64 && type == PKV_U64) {
        *number = (int64_t)(uint64_t)value; /* doubles of that size have no fraction */
        return true;
    }
    if (!(value >= -TWO_TO_63 && value < TWO_TO_63) || value != floor(value)) return false;
    *number = (int64_t)value;
    return true;
}

bool lpkv_integer_double(double value, int64_t *number) {
    if (!(value >= -TWO_TO_53 && value <= TWO_TO_53) || value != floor(value)) return false;
    if (value == 0 && signbit(value)) return false;
    *number = (int64_t)value;
    return true;
}

bool lpkv_exact_double(int64_t number, bool is_unsigned, double *value) {
    if (is_unsigned) {
        *value = (double)(uint64_t)number;
        return *value < TWO_TO_64 && (uint64_t)*value == (uint64_t)number;
    }
    *value = (double)number;
    return *value < TWO_TO_63 && (int64_t)*value == number;
}

#if LPKV_HAS_INTEGERS

bool lpkv_is_integer(lua_State *L, int index, int64_t *number) {
    if (!lua_isinteger(L, index)) return false;
    *number = lua_tointeger(L, index);
    return true;
}

bool lpkv_cdata_integer(lua_State *L, int index, int64_t *number, bool *is_unsigned) {
    (void)L, (void)index, (void)number, (void)is_unsigned;
    return false;
}

bool lpkv_push_integer(lua_State *L, int64_t number, bool is_unsigned) {
    (void)is_unsigned;
    lua_pushinteger(L, number);
    return true;
}

void lpkv_push_count(lua_State *L, uint64_t number) {
    lua_pushinteger(L, (lua_Integer)number);
}

#else

bool lpkv_is_integer(lua_State *L, int index, int64_t *number) {
    return lpkv_integer_double(lua_tonumber(L, index), number);
}

bool lpkv_cdata_integer(lua_State *L, int index, int64_t *number, bool *is_unsigned) {
    if (lua_type(L, index) != LPKV_TCDATA) return false;
    lua_pushvalue(L, index);
    if (!lpkv_push_hook(L, LPKV_TAKE_INTEGER)) {
        lua_pop(L, 1);
        return false;
    }
    lua_insert(L, -2);
    lua_call(L, 1, 3);
    bool is = !lua_isnil(L, -3);
    if (is) {
        *number = (int64_t)((uint64_t)lua_tonumber(L, -3) << 32 | (uint64_t)lua_tonumber(L, -2));
        *is_unsigned = lua_toboolean(L, -1);
    }
    lua_pop(L, 3);
    return is;
}

bool lpkv_push_integer(lua_State *L, int64_t number, bool is_unsigned) {
    double value;
    if (lpkv_exact_double(number, is_unsigned, &value)) {
        lua_pushnumber(L, value);
        return true;
    }
    if (!lpkv_push_hook(L, LPKV_MAKE_INTEGER)) return false;
    lua_pushnumber(L, (double)((uint64_t)number >> 32));
    lua_pushnumber(L, (double)((uint64_t)number & UINT32_MAX));
    lua_pushboolean(L, is_unsigned);
    lua_call(L, 3, 1);
    return true;
}

void lpkv_push_count(lua_State *L, uint64_t number) {
    lua_pushnumber(L, (double)number);
}

#endif

bool lpkv_whole_number(lua_State *L, int index, pkv_integer type, int64_t *number) {
    bool is_unsigned = false;
    if (lpkv_cdata_integer(L, index, number, &is_unsigned))
        return !is_unsigned || type == PKV_U64 || *number >= 0;
    if (lua_type(L, index) != LUA_TNUMBER) return false;
    if (LPKV_HAS_INTEGERS && lpkv_is_integer(L, index, number)) return true;
    return lpkv_whole_double(lua_tonumber(L, index), type, number);
}

void lpkv_push_inexact(lua_State *L, int64_t number, bool is_unsigned) {
    char text[24];
    if (is_unsigned)
        (void)snprintf(text, sizeof text, "%" PRIu64, (uint64_t)number);
    else
        (void)snprintf(text, sizeof text, "%" PRId64, number);
    lua_pushfstring(L, "the integer %s, which the numbers of this Lua cannot hold exactly", text);
}
