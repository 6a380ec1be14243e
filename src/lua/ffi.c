/* ffi.c - the store for the compiled code of LuaJIT, with lua/pkv/ffi.lua as its other half.
 *
 * There a store is a cdata, and getting, setting and stepping call the functions below through the
 * FFI library, which compiled code can. They take and give numbers and bytes, do what is common,
 * and answer AGAIN where something else is to be done: ffi.lua then calls the function of the
 * module for Lua's own API, with the same arguments. So whatever is rare, and every error, is made
 * in one place. A store's userdata is still what owns it.
 *
 * What a call takes and gives lies in an `exchange`, one for a Lua state. A finalizer may use it at
 * any time, before the call and after: so each use has a ticket, and counts only while that is the
 * last one. */
#include <string.h>

#include "binding.h"

bool lpkv_push_hook(lua_State *L, const char *name) {
    lua_getfield(L, LUA_REGISTRYINDEX, name);
    if (lua_isfunction(L, -1)) return true;
    lua_pop(L, 1);
    return false;
}

/* Puts what the function makes of the value at index in its place. */
static void replace_by(lua_State *L, int index, const char *hook) {
    if (!lpkv_push_hook(L, hook)) return;
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    lua_replace(L, index);
}

void lpkv_wrap(lua_State *L, int index) {
    replace_by(L, index, LPKV_WRAP_STORE);
}

void lpkv_unwrap(lua_State *L, int index) {
    if (lua_type(L, index) == LPKV_TCDATA) replace_by(L, index, LPKV_UNWRAP_STORE);
}

#if LUA_VERSION_NUM != 501

void lpkv_use_ffi(lua_State *L) {
    (void)L;
}

#else

/* Where the registry has the functions of ffi.lua. */
#define LPKV_FFI_FUNCTIONS "pkv.ffi_functions"

/* Kept in step with ffi.lua: struct exchange, struct interface, and the kinds. */

#define KEY_BYTES   4096
#define VALUE_BYTES 32768

/* Of a key or value: the length of a string, or one of these. */
enum {
    KIND_ABSENT = -1,
    KIND_NUMBER = -2,
    KIND_INT64 = -3,
    KIND_UINT64 = -4,
    KIND_TRUE = -5,
    KIND_FALSE = -6,
    KIND_ENCODED = -7, /* bytes of which decode() makes the value */
    KIND_ENTRY = -8,   /* stepped to an entry that push_entry() makes values of */
    KIND_AGAIN = -9,   /* nothing was done */
    KIND_FAILED = -10  /* less the status */
};

typedef struct exchange {
    double ticket; /* the last one that was taken */
    double key_number, number;
    int64_t key_integer, integer;
    int32_t key_kind, type, size;
    char key[KEY_BYTES], value[VALUE_BYTES];
} exchange;

/* The cdata of a store or an iterator; NULL once its finalizer has run. */
typedef struct store_object {
    lpkv_store *store;
} store_object;

typedef struct iterator_object {
    lpkv_cursor *cursor;
} iterator_object;

/* What there is of news is told by the function for Lua's API. */
static bool is_quiet(lpkv_store *store) {
    pkv_event event;
    uint64_t seen = store->seen;
    return !store->has_events || store->delivering ||
           pkv_next_event(store->handle, &seen, &event) != PKV_OK;
}

/* NULL too where somebody else used the exchange since the ticket was taken. */
static lpkv_store *open_store(const store_object *object, const exchange *x, double ticket) {
    lpkv_store *store = object->store;
    return x->ticket == ticket && store && store->handle && is_quiet(store) ? store : NULL;
}

static bool whole_number(int32_t kind, double number, int64_t integer, pkv_integer type,
                         int64_t *out) {
    if (kind == KIND_NUMBER) return lpkv_whole_double(number, type, out);
    *out = integer;
    return kind == KIND_INT64 || (kind == KIND_UINT64 && (integer >= 0 || type == PKV_U64));
}

static bool read_key(const lpkv_store *store, const exchange *x, const char *text, int32_t kind,
                     lpkv_key *key) {
    int64_t number;
    if (store->key_type == PKV_INTEGER_NONE) {
        key->bytes.data = text;
        key->bytes.size = (size_t)kind;
        return text != NULL;
    }
    key->bytes.data = key->fixed;
    key->bytes.size = sizeof key->fixed;
    return !text && whole_number(kind, x->key_number, x->key_integer, store->key_type, &number) &&
           !pkv_integer_key(store->key_type, number, key->fixed);
}

static int32_t give_integer(int64_t number, bool is_unsigned, double *as_number,
                            int64_t *as_integer) {
    if (lpkv_exact_double(number, is_unsigned, as_number)) return KIND_NUMBER;
    *as_integer = number;
    return is_unsigned ? KIND_UINT64 : KIND_INT64;
}

static int32_t give_any(exchange *x, pkv_bytes bytes, pkv_type type) {
    const unsigned char *data = bytes.data;
    uint64_t word;
    switch (type) {
    case PKV_BYTES:
        return x->size;
    case PKV_INTEGER:
        if (bytes.size != 8) return KIND_ENCODED;
        return give_integer((int64_t)lpkv_value_word(data), false, &x->number, &x->integer);
    case PKV_FLOAT:
        if (bytes.size != 8) return KIND_ENCODED;
        word = lpkv_value_word(data);
        memcpy(&x->number, &word, sizeof word);
        return KIND_NUMBER;
    case PKV_BOOLEAN:
        if (bytes.size != 1 || data[0] > 1) return KIND_ENCODED;
        return data[0] ? KIND_TRUE : KIND_FALSE;
    default:
        return KIND_ENCODED;
    }
}

/* The kind of the value that is in x->value. */
static int32_t give_value(const lpkv_store *store, exchange *x, size_t size, pkv_type type) {
    pkv_bytes bytes = {x->value, size};
    int64_t number;
    x->size = (int32_t)size;
    x->type = (int32_t)type;
    if (store->values == PKV_VALUES_ANY) return give_any(x, bytes, type);
    if (type != PKV_BYTES || store->values == PKV_VALUES_CODED) return KIND_ENCODED;
    if (store->values <= PKV_VALUES_INTEGER) return x->size;
    pkv_integer integer = (pkv_integer)((int)store->values - (int)PKV_VALUES_INTEGER);
    if (pkv_value_integer(integer, bytes, &number)) return KIND_ENCODED;
    return give_integer(number, integer == PKV_U64, &x->number, &x->integer);
}

static int32_t failed_with(pkv_status status) {
    return KIND_FAILED - (int32_t)status;
}

static int32_t get(const store_object *object, exchange *x, double ticket, const char *text,
                   int32_t kind) {
    lpkv_store *store = open_store(object, x, ticket);
    lpkv_key key;
    pkv_type type;
    size_t size;
    if (!store || !read_key(store, x, text, kind, &key)) return KIND_AGAIN;
    pkv_status status =
        pkv_get_typed(store->handle, key.bytes, x->value, sizeof x->value, &size, &type);
    if (status == PKV_NOT_FOUND) return KIND_ABSENT;
    if (status || size > sizeof x->value) return KIND_AGAIN;
    return give_value(store, x, size, type);
}

static bool take_any(const exchange *x, const char *text, int32_t kind, lpkv_value *value) {
    int64_t integer;
    uint64_t word;
    if (text) return true;
    if (kind == KIND_TRUE || kind == KIND_FALSE) {
        lpkv_value_fixed(value, PKV_BOOLEAN, kind == KIND_TRUE, 1);
        return true;
    }
    if (kind == KIND_NUMBER && !lpkv_integer_double(x->number, &integer)) {
        memcpy(&word, &x->number, sizeof word);
        lpkv_value_fixed(value, PKV_FLOAT, word, 8);
        return true;
    }
    if (kind != KIND_NUMBER) integer = x->integer;
    if (kind == KIND_UINT64 && integer < 0) return false;
    lpkv_value_fixed(value, PKV_INTEGER, (uint64_t)integer, 8);
    return kind == KIND_NUMBER || kind == KIND_INT64 || kind == KIND_UINT64;
}

static bool take_value(const lpkv_store *store, const exchange *x, const char *text, int32_t kind,
                       lpkv_value *value) {
    int64_t number;
    value->type = PKV_BYTES;
    value->bytes.data = text;
    value->bytes.size = text ? (size_t)kind : 0;
    if (store->values == PKV_VALUES_ANY) return take_any(x, text, kind, value);
    if (store->values == PKV_VALUES_STRING) return text != NULL;
    if (text || store->values <= PKV_VALUES_INTEGER) return false;
    pkv_integer type = (pkv_integer)((int)store->values - (int)PKV_VALUES_INTEGER);
    value->bytes.data = value->fixed;
    return whole_number(kind, x->number, x->integer, type, &number) &&
           !pkv_integer_value(type, number, value->fixed, &value->bytes.size);
}

static int32_t set(const store_object *object, exchange *x, double ticket, const char *key_text,
                   int32_t key_kind, const char *text, int32_t kind) {
    lpkv_store *store = open_store(object, x, ticket);
    lpkv_key key;
    lpkv_value value;
    if (!store || !read_key(store, x, key_text, key_kind, &key) ||
        !take_value(store, x, text, kind, &value))
        return KIND_AGAIN;
    pkv_status status = pkv_set_typed(store->handle, key.bytes, value.bytes, value.type);
    return status ? failed_with(status) : KIND_TRUE;
}

/* KIND_TRUE or KIND_FALSE: whether it was there. */
static int32_t unset(const store_object *object, exchange *x, double ticket, const char *text,
                     int32_t kind) {
    lpkv_store *store = open_store(object, x, ticket);
    lpkv_key key;
    if (!store || !read_key(store, x, text, kind, &key)) return KIND_AGAIN;
    pkv_status status = pkv_unset(store->handle, key.bytes);
    if (status == PKV_NOT_FOUND) return KIND_FALSE;
    return status ? failed_with(status) : KIND_TRUE;
}

/* The number of entries, or -1: again. */
static double count(const store_object *object) {
    uint64_t entries;
    lpkv_store *store = object->store;
    if (!store || pkv_count(store->handle, &entries)) return -1;
    return (double)entries;
}

/* The kind of the value; that of the key is in x->key_kind. */
static int32_t next(const iterator_object *object, exchange *x, double ticket) {
    lpkv_cursor *c = object->cursor;
    if (!c || x->ticket != ticket) return KIND_AGAIN;
    pkv_status status = lpkv_cursor_step(c);
    c->ticket = ticket;
    if (status == PKV_NOT_FOUND) return KIND_ABSENT;
    if (status) return KIND_AGAIN;
    const pkv_entry *entry = &c->entry;
    if (entry->value.size > sizeof x->value || entry->key.size > sizeof x->key) return KIND_ENTRY;
    pkv_integer type = c->store->key_type;
    if (type == PKV_INTEGER_NONE) {
        x->key_kind = (int32_t)entry->key.size;
        if (entry->key.size > 0) memcpy(x->key, entry->key.data, entry->key.size);
    } else {
        x->key_kind = give_integer(pkv_key_integer(type, entry->key.data), type == PKV_U64,
                                   &x->key_number, &x->key_integer);
    }
    if (entry->value.size > 0) memcpy(x->value, entry->value.data, entry->value.size);
    int32_t kind = give_value(c->store, x, entry->value.size, entry->type);
    return kind == KIND_ENCODED ? KIND_ENTRY : kind;
}

typedef struct interface {
    int32_t size; /* of this */
    int32_t (*get)(const store_object *, exchange *, double, const char *, int32_t);
    int32_t (*set)(const store_object *, exchange *, double, const char *, int32_t, const char *,
                   int32_t);
    int32_t (*unset)(const store_object *, exchange *, double, const char *, int32_t);
    double (*count)(const store_object *);
    int32_t (*next)(const iterator_object *, exchange *, double);
    exchange exchange;
} interface;

/* Functions for ffi.lua alone. Their second upvalue is the interface. */

static exchange *own_exchange(lua_State *L) {
    interface *i = lua_touserdata(L, lua_upvalueindex(2));
    return &i->exchange;
}

/* decode(store, key, ticket, raises): the value of the key, of which `get` has given the bytes. */
static int decode(lua_State *L) {
    const exchange *x = own_exchange(L);
    bool raises = lua_toboolean(L, 4);
    if (x->ticket != lua_tonumber(L, 3)) {
        lua_settop(L, 2);
        return raises ? lpkv_index_store(L) : lpkv_get(L);
    }
    pkv_type type = (pkv_type)x->type;
    char copy[VALUE_BYTES];
    pkv_bytes bytes = {copy, (size_t)x->size};
    memcpy(copy, x->value, bytes.size);
    lpkv_store *store = lpkv_check_open(L);
    pkv_status status = lpkv_value_push(L, store, bytes, type);
    if (!status) return 1;
    return raises ? lpkv_raise(L) : lpkv_failure(L, status);
}

/* entry(iterator, ticket): key and value of the entry that `next` has stepped to. */
static int entry(lua_State *L) {
    double ticket = lua_tonumber(L, 2);
    if (!lua_getupvalue(L, 1, 1) || !lua_getupvalue(L, 1, 2))
        return luaL_error(L, "not an iterator");
    lpkv_cursor *c = lua_touserdata(L, -2);
    lpkv_check_step(L, c->ticket == ticket);
    lua_replace(L, 1); /* the store */
    lua_settop(L, 1);
    return lpkv_push_entry(L, c);
}

/* failed(status): what to return after KIND_FAILED. raise(status): the same, raised. */
static int failed(lua_State *L) {
    pkv_status status = (pkv_status)lua_tonumber(L, 1);
    lpkv_push_detail(L, status);
    return lpkv_failure(L, status);
}

static int raise_failure(lua_State *L) {
    lpkv_push_detail(L, (pkv_status)lua_tonumber(L, 1));
    return lpkv_raise(L);
}

/* closed(store): a closed store of the same path, if the store has functions that it could let go
 * of; else itself. */
static int closed(lua_State *L) {
    lpkv_store *store = lpkv_check_store(L);
    lua_settop(L, 1);
    if (store->has_events || store->values == PKV_VALUES_CODED) lpkv_new_store(L, store->path);
    return 1;
}

/* hook(name, f): sets what lpkv_push_hook gives. */
static int set_hook(lua_State *L) {
    lua_settop(L, 2);
    lua_setfield(L, LUA_REGISTRYINDEX, luaL_checkstring(L, 1));
    return 0;
}

static const luaL_Reg own_functions[] = {
    {"decode", decode}, {"entry", entry},   {"failed", failed}, {"raise", raise_failure},
    {"closed", closed}, {"hook", set_hook}, {NULL, NULL},
};

/* Pushes the table of what is for ffi.lua alone. */
static void push_internals(lua_State *L) {
    lua_newtable(L);
    interface *i = lua_newuserdata(L, sizeof *i);
    memset(i, 0, sizeof *i);
    i->size = (int32_t)sizeof *i;
    i->get = get;
    i->set = set;
    i->unset = unset;
    i->count = count;
    i->next = next;
    for (const luaL_Reg *f = own_functions; f->name; f++) {
        lua_pushstring(L, f->name);
        lua_pushvalue(L, -2);
        lua_pushcclosure(L, f->func, 2);
        lua_setfield(L, -3, f->name);
    }
    lua_setfield(L, -2, "interface");
    luaL_getmetatable(L, LPKV_STORE);
    lua_setfield(L, -2, "metamethods");
    lpkv_new_store(L, "collected");
    lua_setfield(L, -2, "collected");
}

/* Of a module: the functions that pkv/ffi.lua has instead, which are kept, since a program may load
 * the module more than once, and have stores of each. */
static int load_ffi(lua_State *L) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "pkv.ffi");
    lua_call(L, 1, 1);
    lua_pushvalue(L, 1);
    push_internals(L);
    lua_call(L, 2, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, LPKV_FFI_FUNCTIONS);
    return 1;
}

/* Pushes that table; false where there is none. */
static bool push_ffi(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, LPKV_FFI_FUNCTIONS);
    if (lua_istable(L, -1)) return true;
    lua_getglobal(L, "jit");
    bool is_luajit = lua_istable(L, -1);
    lua_pop(L, 2);
    if (!is_luajit) return false;
    lua_pushcfunction(L, load_ffi);
    lua_pushvalue(L, -2);
    if (!lua_pcall(L, 1, 1, 0)) return true;
    /* A module that was installed without the file works through Lua's own API. */
    const char *problem = lua_tostring(L, -1);
    if (!problem || !strstr(problem, "module 'pkv.ffi' not found")) lua_error(L);
    lua_pop(L, 1);
    return false;
}

void lpkv_use_ffi(lua_State *L) {
    if (!push_ffi(L)) return;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -6);
    }
    lua_pop(L, 1);
}

#endif
