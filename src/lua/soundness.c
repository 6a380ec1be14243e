/* soundness.c - pkv.check and pkv.repair: what they find, as tables.
 *
 * Findings come while the folder is locked and files are open, when no Lua error may be raised:
 * they are collected in C memory that a userdata owns, and made into tables afterwards. */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

#define LPKV_FINDINGS "pkv.findings"

typedef struct findings {
    pkv_finding *items;
    size_t count, capacity;
    bool out_of_memory;
} findings;

static void collect(void *context, const pkv_finding *finding) {
    findings *f = context;
    if (f->count == f->capacity) {
        size_t capacity = f->capacity ? f->capacity * 2 : 16;
        pkv_finding *items = realloc(f->items, capacity * sizeof *items);
        if (!items) {
            f->out_of_memory = true;
            return;
        }
        f->items = items;
        f->capacity = capacity;
    }
    f->items[f->count++] = *finding;
}

static void free_items(findings *f) {
    free(f->items);
    memset(f, 0, sizeof *f);
}

static int free_findings(lua_State *L) {
    findings *f = luaL_testudata(L, 1, LPKV_FINDINGS);
    if (f) free_items(f);
    return 0;
}

static findings *new_findings(lua_State *L) {
    findings *f = lua_newuserdata(L, sizeof *f);
    memset(f, 0, sizeof *f);
    luaL_setmetatable(L, LPKV_FINDINGS);
    return f;
}

void lpkv_register_findings(lua_State *L) {
    static const luaL_Reg metamethods[] = {{"__gc", free_findings}, {NULL, NULL}};
    luaL_newmetatable(L, LPKV_FINDINGS);
    lpkv_set_functions(L, "", metamethods);
    lua_pop(L, 1);
}

/* ---- Tables */

static void set_count(lua_State *L, const char *name, uint64_t number) {
    lua_pushinteger(L, (lua_Integer)number);
    lua_setfield(L, -2, name);
}

static void set_boolean(lua_State *L, const char *name, bool truth) {
    lua_pushboolean(L, truth);
    lua_setfield(L, -2, name);
}

static void set_string(lua_State *L, const char *name, const char *text) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void push_finding(lua_State *L, const pkv_finding *finding) {
    bool counts = finding->kind == PKV_FINDING_READ || finding->kind == PKV_FINDING_MORE;
    lua_createtable(L, 0, 6);
    set_string(L, "kind", pkv_finding_name(finding->kind));
    set_string(L, "message", finding->message);
    if (finding->file[0]) set_string(L, "file", finding->file);
    if (finding->offset != UINT64_MAX) set_count(L, "offset", finding->offset);
    if (finding->bytes > 0) set_count(L, "bytes", finding->bytes);
    if (counts) set_count(L, "records", finding->records);
}

/* Sets the field `findings` of the table on the top, and frees them: the collector does not see how
 * much they hold, and no longer comes to them where a finalizer at the end of the state is calling.
 */
static void set_findings(lua_State *L, findings *f) {
    lua_createtable(L, (int)f->count, 0);
    for (size_t i = 0; i < f->count; i++) {
        push_finding(L, &f->items[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "findings");
    free_items(f);
}

static int failure(lua_State *L, pkv_status status) {
    lpkv_push_detail(L, status);
    return lpkv_failure(L, status);
}

static int out_of_memory(lua_State *L) {
    lua_pushstring(L, pkv_status_text(PKV_NO_MEMORY));
    return lpkv_failure(L, PKV_NO_MEMORY);
}

/* ---- pkv.check */

int lpkv_check(lua_State *L) {
    const char *path = lpkv_check_path(L, 1);
    findings *f = new_findings(L);
    pkv_check_report report = {0};
    pkv_status status = pkv_check(path, collect, f, &report);
    if (status && report.damaged == 0) return failure(L, status);
    if (f->out_of_memory) return out_of_memory(L);
    lua_createtable(L, 0, 8);
    set_boolean(L, "sound", status == PKV_OK);
    set_count(L, "files", report.files);
    set_count(L, "records", report.records);
    set_count(L, "bytes", report.bytes);
    set_count(L, "damaged", report.damaged);
    set_count(L, "torn", report.torn);
    set_count(L, "leftovers", report.leftovers);
    set_findings(L, f);
    return 1;
}

/* ---- pkv.repair */

/* Each takes the value on the top of the stack; false where it is of the wrong kind. */

static bool take_output(lua_State *L, pkv_repair_options *options) {
    size_t size;
    if (lua_type(L, -1) != LUA_TSTRING) return false;
    options->output = lua_tolstring(L, -1, &size);
    return size > 0 && strlen(options->output) == size;
}

static bool take_in_place(lua_State *L, pkv_repair_options *options) {
    options->in_place = lua_toboolean(L, -1);
    return lua_isboolean(L, -1);
}

static bool take_with_backups(lua_State *L, pkv_repair_options *options) {
    options->with_backups = lua_toboolean(L, -1);
    return lua_isboolean(L, -1);
}

static bool take_keys(lua_State *L, pkv_repair_options *options) {
    if (lua_type(L, -1) != LUA_TSTRING) return false;
    const char *name = lua_tostring(L, -1);
    bool strings = strcmp(name, "string") == 0;
    options->keys = strings ? PKV_KEYS_VARIABLE : PKV_KEYS_FIXED;
    options->key_type = strings ? PKV_INTEGER_NONE : pkv_integer_parse(name);
    return strings || options->key_type != PKV_INTEGER_NONE;
}

static const struct {
    const char *name, *expected;
    bool (*take)(lua_State *L, pkv_repair_options *options);
} options_of_repair[] = {
    {"output", "the path of a folder that is not there yet", take_output},
    {"in_place", "true or false", take_in_place},
    {"with_backups", "true or false", take_with_backups},
    {"keys",
     "\"string\", \"i64\", \"u64\", \"i32\", \"u32\", \"i16\", \"u16\", \"i8\", \"u8\" or "
     "\"integer\"",
     take_keys},
};

#define OPTION_COUNT (sizeof options_of_repair / sizeof options_of_repair[0])

static size_t find_option(const char *name) {
    size_t i = 0;
    while (i < OPTION_COUNT && strcmp(options_of_repair[i].name, name) != 0) i++;
    return i;
}

static void refuse_unknown_options(lua_State *L) {
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (find_option(name) < OPTION_COUNT) continue;
        lpkv_push_description(L, lua_gettop(L) - 1);
        lpkv_argument_error(L, 2,
                            lua_pushfstring(L,
                                            "unknown option %s; the options are output, in_place, "
                                            "with_backups, keys",
                                            lua_tostring(L, -1)));
    }
}

/* The values stay on the stack, where strings stay alive. */
static void take_options(lua_State *L, pkv_repair_options *options) {
    memset(options, 0, sizeof *options);
    if (lua_isnil(L, 2)) return;
    if (!lua_istable(L, 2)) lpkv_type_error(L, 2, "table");
    refuse_unknown_options(L);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        lua_pushstring(L, options_of_repair[i].name);
        lua_rawget(L, 2);
        if (lua_isnil(L, -1) || options_of_repair[i].take(L, options)) continue;
        lpkv_push_description(L, lua_gettop(L));
        lpkv_argument_error(L, 2,
                            lua_pushfstring(L, "option '%s' must be %s, got %s",
                                            options_of_repair[i].name,
                                            options_of_repair[i].expected, lua_tostring(L, -1)));
    }
}

int lpkv_repair(lua_State *L) {
    const char *path = lpkv_check_path(L, 1);
    pkv_repair_options options;
    pkv_repair_report report;
    lua_settop(L, 2);
    take_options(L, &options);
    findings *f = new_findings(L);
    pkv_status status = pkv_repair(path, &options, collect, f, &report);
    if (status) return failure(L, status);
    if (f->out_of_memory) return out_of_memory(L);
    lua_createtable(L, 0, 10);
    set_count(L, "files", report.files);
    set_count(L, "records", report.records);
    set_count(L, "skipped", report.skipped);
    set_count(L, "skipped_bytes", report.skipped_bytes);
    set_count(L, "missing", report.missing);
    set_boolean(L, "manifest_lost", report.manifest_lost != 0);
    set_boolean(L, "finished", report.finished != 0);
    set_string(L, "output", report.output);
    set_string(L, "originals", report.originals);
    set_findings(L, f);
    return 1;
}
