/* open.c - pkv.open and its options.
 *
 * An option that does not exist, or that has a value of the wrong kind, raises an error that names
 * the option and says what it may be. Numbers beyond what the store can do, and options that
 * contradict how the store is open already, are left to pkv_open: nil, message, "usage". */
#include <string.h>

#include "binding.h"

typedef struct option {
    const char *name;
    const char *expected; /* what it may be, for messages */
    /* Takes the value, which is at the top of the stack. */
    bool (*take)(lua_State *L, const struct option *option, pkv_config *config);
    size_t field; /* of the config, for plain numbers */
} option;

const char *lpkv_sync_name(pkv_sync_mode mode) {
    switch (mode) {
    case PKV_SYNC_ALWAYS:
        return "always";
    case PKV_SYNC_BUFFERED:
        return "buffered";
    case PKV_SYNC_INTERVAL:
        return "interval";
    default:
        return "os";
    }
}

const char *lpkv_wal_io_name(pkv_wal_io wal_io) {
    return wal_io == PKV_WAL_IO_PWRITE ? "pwrite" : "mmap";
}

/* Is the value a string, and this one? */
static bool is(lua_State *L, const char *word) {
    return lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), word) == 0;
}

static pkv_integer integer_type(lua_State *L) {
    return lua_type(L, -1) == LUA_TSTRING ? pkv_integer_parse(lua_tostring(L, -1))
                                          : PKV_INTEGER_NONE;
}

/* Is the value a whole number from `least` on? */
static bool whole_number(lua_State *L, uint64_t least, uint64_t most, uint64_t *number) {
    int64_t whole;
    if (!lpkv_whole_number(L, -1, PKV_I64, &whole) || whole < 0) return false;
    *number = (uint64_t)whole;
    return *number >= least && *number <= most;
}

static bool take_keys(lua_State *L, const option *o, pkv_config *config) {
    (void)o;
    if (is(L, "string")) return true; /* as it is already */
    config->keys = PKV_KEYS_FIXED;
    config->key_type = integer_type(L);
    return config->key_type != PKV_INTEGER_NONE;
}

/* A codec has its two functions, and nothing that somebody thinks has an effect. */
static bool is_codec(lua_State *L) {
    int functions = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        bool known = strcmp(name, "encode") == 0 || strcmp(name, "decode") == 0;
        if (!known || !lua_isfunction(L, -1)) {
            lua_pop(L, 2);
            return false;
        }
        functions++;
    }
    return functions == 2;
}

static bool take_values(lua_State *L, const option *o, pkv_config *config) {
    (void)o;
    if (is(L, "any")) return true; /* as it is already */
    if (is(L, "string")) {
        config->values = PKV_VALUES_STRING;
        return true;
    }
    if (lua_istable(L, -1)) {
        config->values = PKV_VALUES_CODED;
        return is_codec(L);
    }
    pkv_integer type = integer_type(L);
    config->values = (pkv_values)((int)PKV_VALUES_INTEGER + (int)type);
    return type != PKV_INTEGER_NONE;
}

static bool take_sync(lua_State *L, const option *o, pkv_config *config) {
    (void)o;
    if (is(L, "os"))
        config->sync = PKV_SYNC_OS;
    else if (is(L, "always"))
        config->sync = PKV_SYNC_ALWAYS;
    else if (is(L, "buffered"))
        config->sync = PKV_SYNC_BUFFERED;
    else if (lua_type(L, -1) == LUA_TNUMBER)
        config->sync = PKV_SYNC_INTERVAL;
    else
        return false;
    if (config->sync != PKV_SYNC_INTERVAL) return true;
    config->sync_seconds = (double)lua_tonumber(L, -1);
    return config->sync_seconds > 0 && config->sync_seconds <= 1e9;
}

static bool take_snapshot_interval(lua_State *L, const option *o, pkv_config *config) {
    (void)o;
    if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
        config->snapshot_interval = PKV_SNAPSHOT_NEVER;
        return true;
    }
    return whole_number(L, 1, INT64_MAX, &config->snapshot_interval);
}

static bool take_count(lua_State *L, const option *o, pkv_config *config) {
    uint64_t number;
    if (!whole_number(L, 1, UINT32_MAX, &number)) return false;
    uint32_t count = (uint32_t)number;
    memcpy((char *)config + o->field, &count, sizeof count);
    return true;
}

static bool take_shard_bytes(lua_State *L, const option *o, pkv_config *config) {
    (void)o;
    return whole_number(L, 1, INT64_MAX, &config->snapshot_shard_bytes);
}

static bool take_keep_backups(lua_State *L, const option *o, pkv_config *config) {
    (void)o;
    uint64_t number;
    if (!whole_number(L, 0, INT32_MAX, &number)) return false;
    config->keep_backups = number == 0 ? PKV_KEEP_NONE : (int32_t)number;
    return true;
}

static bool take_wal_io(lua_State *L, const option *o, pkv_config *config) {
    (void)o;
    config->wal_io = is(L, "mmap") ? PKV_WAL_IO_MMAP : PKV_WAL_IO_PWRITE;
    return is(L, "mmap") || is(L, "pwrite");
}

static bool take_create(lua_State *L, const option *o, pkv_config *config) {
    (void)o;
    config->create = lua_toboolean(L, -1) ? PKV_YES : PKV_NO;
    return lua_isboolean(L, -1);
}

/* It is Lua's alone: lpkv_open keeps it with the store. */
static bool take_on_event(lua_State *L, const option *o, pkv_config *config) {
    (void)o;
    (void)config;
    return lua_isfunction(L, -1);
}

#define COUNT(name)                                                                                \
    { #name, "a whole number from 1 on", take_count, offsetof(pkv_config, name) }

static const option options[] = {
    {"keys",
     "\"string\", \"i64\", \"u64\", \"i32\", \"u32\", \"i16\", \"u16\", \"i8\", \"u8\" or "
     "\"integer\"",
     take_keys, 0},
    {"values",
     "\"any\", \"string\", an integer type such as \"i64\", or a table of two functions, encode "
     "and decode",
     take_values, 0},
    {"sync", "\"os\", \"always\", \"buffered\" or a number of seconds above 0", take_sync, 0},
    {"snapshot_interval", "a whole number of writes from 1 on, or false for never",
     take_snapshot_interval, 0},
    COUNT(memory_shards),
    COUNT(wal_shards),
    COUNT(snapshot_threads),
    {"snapshot_shard_bytes", "a whole number from 1 on", take_shard_bytes, 0},
    {"keep_backups", "a whole number from 0 on", take_keep_backups, 0},
    {"wal_io", "\"mmap\" or \"pwrite\"", take_wal_io, 0},
    {"create", "true or false", take_create, 0},
    {"on_event", "a function", take_on_event, 0},
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

static void raise_unknown_option(lua_State *L, int key) {
    luaL_Buffer names;
    lpkv_push_description(L, key);
    const char *given = lua_tostring(L, -1);
    luaL_buffinit(L, &names);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (i > 0) luaL_addstring(&names, ", ");
        luaL_addstring(&names, options[i].name);
    }
    luaL_pushresult(&names);
    lpkv_argument_error(
        L, 2,
        lua_pushfstring(L, "unknown option %s; the options are %s", given, lua_tostring(L, -1)));
}

static void take_option(lua_State *L, pkv_config *config) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(name, options[i].name) != 0) continue;
        if (options[i].take(L, &options[i], config)) return;
        lpkv_push_description(L, lua_gettop(L));
        lpkv_argument_error(L, 2,
                            lua_pushfstring(L, "option '%s' must be %s, got %s", name,
                                            options[i].expected, lua_tostring(L, -1)));
    }
    raise_unknown_option(L, lua_gettop(L) - 1);
}

static void take_options(lua_State *L, pkv_config *config) {
    pkv_config_init(config);
    config->keys = PKV_KEYS_VARIABLE;
    config->values = PKV_VALUES_ANY;
    if (lua_isnoneornil(L, 2)) return;
    if (!lua_istable(L, 2)) lpkv_type_error(L, 2, "table");
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) take_option(L, config);
}

/* Copies a field of the table on the top to a slot of the table below it. */
static void keep_field(lua_State *L, const char *name, int slot) {
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    lua_rawseti(L, -3, slot);
}

/* Gives the store on the top its user value: the functions among the options at index 2. */
static void keep_functions(lua_State *L, lpkv_store *store) {
    if (lua_isnoneornil(L, 2)) return;
    lua_createtable(L, 3, 0);
    lua_pushvalue(L, 2);
    keep_field(L, "on_event", LPKV_ON_EVENT);
    lua_pushliteral(L, "values");
    lua_rawget(L, -2);
    if (lua_istable(L, -1)) {
        lua_remove(L, -2);
        keep_field(L, "encode", LPKV_ENCODE);
        keep_field(L, "decode", LPKV_DECODE);
    } else {
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_rawgeti(L, -1, LPKV_ON_EVENT);
    store->has_events = !lua_isnil(L, -1);
    lua_pop(L, 1);
    lua_setuservalue(L, -2);
}

const char *lpkv_check_path(lua_State *L, int index) {
    size_t size;
    const char *path = lua_tolstring(L, index, &size);
    if (!path)
        lpkv_type_error(L, index, "string");
    else if (size == 0)
        lpkv_argument_error(L, index, "the path is empty");
    else if (strlen(path) != size)
        lpkv_argument_error(L, index, "the path contains a zero byte");
    return path;
}

int lpkv_open(lua_State *L) {
    pkv_config config;
    const char *path = lpkv_check_path(L, 1);
    lua_settop(L, 2); /* so that index 2 is the options, or nil, from here on */
    take_options(L, &config);
    lpkv_store *store = lpkv_new_store(L, path);
    keep_functions(L, store);
    store->key_type = config.keys == PKV_KEYS_FIXED ? config.key_type : PKV_INTEGER_NONE;
    store->values = config.values;

    pkv_status status = pkv_open(path, &config, &store->handle);
    if (status) {
        store->handle = NULL;
        lpkv_push_detail(L, status);
        return lpkv_failure(L, status);
    }
    lua_replace(L, 1);
    lua_settop(L, 1);
    /* Nobody could close a store that an error keeps from being returned. */
    if (store->has_events && !lpkv_run_events(L, store)) {
        pkv *handle = store->handle;
        store->handle = NULL;
        if (handle) pkv_close(handle);
        return lua_error(L);
    }
    lpkv_wrap(L, 1);
    return 1;
}
