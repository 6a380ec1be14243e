/* errors.c - statuses as Lua sees them, and the wording of messages. */
#include <stdio.h>
#include <string.h>

#include "binding.h"

/* Of a string in a message, so many bytes are shown. */
#define SHOWN_BYTES 40

static const char *const codes[] = {
    [PKV_OK] = "ok",
    [PKV_NOT_FOUND] = "not_found",
    [PKV_LOCKED] = "locked",
    [PKV_CORRUPT] = "corrupt",
    [PKV_KEY_MODE] = "key_mode",
    [PKV_VALUE_TYPE] = "value_type",
    [PKV_IO] = "io",
    [PKV_NO_SPACE] = "no_space",
    [PKV_NO_MEMORY] = "no_memory",
    [PKV_TOO_LARGE] = "too_large",
    [PKV_READ_ONLY] = "read_only",
    [PKV_CLOSED] = "closed",
    [PKV_FORKED] = "forked",
    [PKV_USAGE] = "usage",
};

const char *lpkv_code(pkv_status status) {
    size_t at = (size_t)status;
    return at < sizeof codes / sizeof codes[0] ? codes[at] : "unknown";
}

int lpkv_failure(lua_State *L, pkv_status status) {
    lua_pushnil(L);
    lua_insert(L, -2);
    lua_pushstring(L, lpkv_code(status));
    return 3;
}

pkv_status lpkv_push_detail(lua_State *L, pkv_status status) {
    /* A copy, since a finalizer that runs now may make a call that fails. */
    pkv_error detail = *pkv_error_detail();
    bool told = detail.status == status && detail.message[0] != '\0';
    lua_pushstring(L, told ? detail.message : pkv_status_text(status));
    return status;
}

/* A metamethod may be called by a function of Lua's own, pairs for instance, which has no line:
 * then it is that one's caller who is told. */
static int level_of_caller(lua_State *L) {
    lua_Debug caller;
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    if (!name || strncmp(name, "__", 2) != 0 || !lua_getstack(L, 1, &caller)) return 1;
    lua_getinfo(L, "l", &caller);
    return caller.currentline < 0 ? 2 : 1;
}

int lpkv_raise(lua_State *L) {
    luaL_where(L, level_of_caller(L));
    lua_insert(L, -2);
    lua_concat(L, 2);
    return lua_error(L);
}

int lpkv_argument_error(lua_State *L, int index, const char *problem) {
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    lua_pushfstring(L, "bad argument #%d to '%s' (%s)", index, name ? name : "?", problem);
    return lpkv_raise(L);
}

int lpkv_type_error(lua_State *L, int index, const char *expected) {
    lua_pushfstring(L, "%s expected, got %s", expected, luaL_typename(L, index));
    return lpkv_argument_error(L, index, lua_tostring(L, -1));
}

void lpkv_set_functions(lua_State *L, const char *prefix, const luaL_Reg *functions) {
    for (; functions->name; functions++) {
        lua_pushfstring(L, "%s%s", prefix, functions->name);
        lua_pushcclosure(L, functions->func, 1);
        lua_setfield(L, -2, functions->name);
    }
}

void lpkv_push_quoted(lua_State *L, const char *text, size_t size) {
    char out[4 * SHOWN_BYTES + 8];
    size_t shown = size < SHOWN_BYTES ? size : SHOWN_BYTES, at = 0;
    out[at++] = '"';
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\') out[at++] = '\\';
        if (byte >= ' ' && byte < 0x7f)
            out[at++] = (char)byte;
        else
            at += (size_t)snprintf(out + at, 5, "\\%03u", (unsigned)byte);
    }
    out[at++] = '"';
    lua_pushlstring(L, out, at);
    if (shown == size) return;
    lua_pushliteral(L, "...");
    lua_concat(L, 2);
}

void lpkv_push_description(lua_State *L, int index) {
    size_t size;
    const char *text;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &size);
        lua_pushliteral(L, "string ");
        lpkv_push_quoted(L, text, size);
        lua_concat(L, 2);
        return;
    case LUA_TNUMBER:
        /* A copy, since making a string of a number changes it in place. */
        lua_pushliteral(L, "number ");
        lua_pushvalue(L, index);
        lua_concat(L, 2);
        return;
    case LUA_TBOOLEAN:
        lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
        return;
    default:
        lua_pushstring(L, luaL_typename(L, index));
    }
}
