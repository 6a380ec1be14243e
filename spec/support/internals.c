/* internals.c - the test-only Lua module pkv_internals: private functions of the library, as near
 * to their C form as Lua allows. A call that fails answers nil, message, code, file, errno. */
#include <string.h>
#include "../../src/bytes/checksum.h"
#include "../../src/bytes/hash.h"
#include "../../src/os/error.h"
#include "internals.h"

#define STATUS_COUNT (PKV_USAGE + 1)

static const char *const status_names[STATUS_COUNT] = {
    "ok",       "not_found", "locked",    "corrupt",   "key_mode", "value_type", "io",
    "no_space", "no_memory", "too_large", "read_only", "closed",   "forked",     "usage"};

/* ---- For the other files */

int push_failure(lua_State *L) {
    const pkv_error *error = pkv_error_detail();
    lua_pushnil(L);
    lua_pushstring(L, error->message);
    lua_pushstring(L, status_names[error->status]);
    lua_pushstring(L, error->file);
    lua_pushinteger(L, error->os_error);
    return 5;
}

lua_Integer integer_field(lua_State *L, const char *name, lua_Integer absent) {
    lua_getfield(L, 1, name);
    lua_Integer value = lua_isnil(L, -1) ? absent : luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return value;
}

pkv_bytes bytes_field(lua_State *L, const char *name, bool *found) {
    pkv_bytes bytes = {NULL, 0};
    *found = lua_getfield(L, 1, name) != LUA_TNIL;
    if (*found) bytes.data = luaL_checklstring(L, -1, &bytes.size);
    lua_pop(L, 1);
    return bytes;
}

/* ---- bytes/ */

static int l_checksum(lua_State *L) {
    size_t size;
    const char *data = luaL_checklstring(L, 2, &size);
    lua_pushinteger(L, checksum((uint32_t)luaL_checkinteger(L, 1), data, size));
    return 1;
}

static int l_checksum_portable(lua_State *L) {
    size_t size;
    const char *data = luaL_checklstring(L, 2, &size);
    lua_pushinteger(L, checksum_portable((uint32_t)luaL_checkinteger(L, 1), data, size));
    return 1;
}

static int l_checksum_over(lua_State *L) {
    size_t size = (size_t)luaL_checkinteger(L, 2);
    lua_pushinteger(L, checksum_over((uint32_t)luaL_checkinteger(L, 1), size));
    return 1;
}

static int l_checksum_seed(lua_State *L) {
    uint64_t salt = (uint64_t)luaL_optinteger(L, 2, 0);
    lua_pushinteger(L, checksum_seed((uint64_t)luaL_checkinteger(L, 1), salt));
    return 1;
}

static int l_hash(lua_State *L) {
    size_t size;
    const char *data = luaL_checklstring(L, 1, &size);
    uint64_t hash = hash_bytes(data, size, (uint64_t)luaL_checkinteger(L, 2));
    lua_pushinteger(L, (lua_Integer)hash);
    return 1;
}

/* ---- os/error.h. The message may hold anything: it is an argument, never the format. */

static pkv_status check_status(lua_State *L, int index) {
    return (pkv_status)luaL_checkoption(L, index, NULL, status_names);
}

static int l_fail(lua_State *L) {
    pkv_status status = check_status(L, 1);
    const char *file = luaL_optstring(L, 2, NULL);
    uint64_t offset = (uint64_t)luaL_optinteger(L, 3, -1);
    int os_error = (int)luaL_optinteger(L, 4, 0);
    (void)fail(status, file, offset, os_error, "%s", luaL_checkstring(L, 5));
    return push_failure(L);
}

static int l_fail_os(lua_State *L) {
    int os_error = (int)luaL_checkinteger(L, 1);
    (void)fail_os(NULL, NO_OFFSET, os_error, "%s", luaL_checkstring(L, 2));
    return push_failure(L);
}

static int l_fail_context(lua_State *L) {
    (void)fail_context("%s", luaL_checkstring(L, 1));
    return push_failure(L);
}

/* The last failure becomes its own detail: the arguments point into what is replaced. */
static int l_fail_again(lua_State *L) {
    const pkv_error *error = pkv_error_detail();
    (void)fail(error->status, error->file, error->offset, error->os_error, "again, %s",
               error->message);
    return push_failure(L);
}

static int l_status_text(lua_State *L) {
    pkv_status status = lua_isinteger(L, 1) ? (pkv_status)lua_tointeger(L, 1) : check_status(L, 1);
    lua_pushstring(L, pkv_status_text(status));
    return 1;
}

static int l_status_names(lua_State *L) {
    lua_createtable(L, STATUS_COUNT, 0);
    for (int i = 0; i < STATUS_COUNT; i++) {
        lua_pushstring(L, status_names[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static const luaL_Reg functions[] = {{"checksum", l_checksum},
                                     {"checksum_portable", l_checksum_portable},
                                     {"checksum_over", l_checksum_over},
                                     {"checksum_seed", l_checksum_seed},
                                     {"hash", l_hash},
                                     {"fail", l_fail},
                                     {"fail_os", l_fail_os},
                                     {"fail_context", l_fail_context},
                                     {"fail_again", l_fail_again},
                                     {"status_text", l_status_text},
                                     {"status_names", l_status_names},
                                     {NULL, NULL}};

LUAMOD_API int luaopen_pkv_internals(lua_State *L);

LUAMOD_API int luaopen_pkv_internals(lua_State *L) {
    luaL_newlib(L, functions);
    luaL_setfuncs(L, internals_of_records, 0);
    luaL_setfuncs(L, internals_of_files, 0);
    luaL_setfuncs(L, internals_of_manifests, 0);
    return 1;
}
