/* msgpack_write.c - a Lua table as MessagePack (https://github.com/msgpack/msgpack).
 *
 *   table with the keys 1 to n    array        any other, {} too    map
 *   integer                       the shortest int or uint
 *   float                         float 64, also where it has no fraction: 2.0 comes back as 2.0
 *   string                        str if it is UTF-8, else bin
 *   boolean                       as such
 *
 * Metatables are ignored, so no Lua code runs in here and the table cannot change meanwhile. One
 * exception: where LuaJIT's integers are asked what they are, a finalizer may run; if that adds to
 * the table or takes from it, an error says so.
 *
 * The tables on the way from the value to where the writer is are kept as frames: they find cycles
 * and say where the culprit is. A frame's key lies on the Lua stack (maps) or is `index` (arrays).
 */
#include <limits.h>
#include <string.h>

#include "binding.h"

/* A path in a message shows so many steps from its start and from its end. */
#define PATH_STEPS 8

typedef struct frame {
    const void *table;
    int key; /* stack index; 0: array */
    int index;
} frame;

typedef struct writer {
    lua_State *L;
    lpkv_buffer *out;
    pkv_status status; /* the first failure; nothing is written after it */
    int depth;
    frame frames[LPKV_DEPTH_MAX];
} writer;

static bool write_value(writer *w, int index);

/* Messages */

/* Is the string at index a name, so that it can stand after a dot? */
static bool is_name(const char *text, size_t size) {
    if (size == 0 || size > 40 || (text[0] >= '0' && text[0] <= '9')) return false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(c >= '0' && c <= '9')) return false;
    }
    return true;
}

static void push_string_step(lua_State *L, int key) {
    size_t size;
    const char *text = lua_tolstring(L, key, &size);
    if (is_name(text, size)) {
        lua_pushfstring(L, ".%s", text);
        return;
    }
    lua_pushliteral(L, "[");
    lpkv_push_quoted(L, text, size);
    lua_pushliteral(L, "]");
    lua_concat(L, 3);
}

static void push_step(lua_State *L, const frame *f) {
    if (f->key == 0) {
        lua_pushfstring(L, "[%d]", f->index);
    } else if (lua_type(L, f->key) == LUA_TSTRING) {
        push_string_step(L, f->key);
    } else if (lua_type(L, f->key) == LUA_TBOOLEAN) {
        lua_pushstring(L, lua_toboolean(L, f->key) ? "[true]" : "[false]");
    } else {
        lua_pushliteral(L, "[");
        lua_pushvalue(L, f->key); /* lua_concat must not change the key itself */
        lua_pushliteral(L, "]");
        lua_concat(L, 3);
    }
}

/* Pushes "value.pos[2]": the way through the outermost `depth` tables. */
static void push_path(writer *w, int depth) {
    lua_State *L = w->L;
    int pieces = 1;
    luaL_checkstack(L, 2 * PATH_STEPS + 8, "no room for a message");
    lua_pushliteral(L, "value");
    for (int i = 0; i < depth; i++) {
        bool shown = i < PATH_STEPS || i >= depth - PATH_STEPS;
        if (i == PATH_STEPS && !shown) lua_pushliteral(L, "..."), pieces++;
        if (shown) push_step(L, &w->frames[i]), pieces++;
    }
    lua_concat(L, pieces);
}

/* Raises "<path> <what>". Nothing is lost: the buffer belongs to the store. */
static bool refuse(writer *w, const char *what) {
    push_path(w, w->depth);
    lua_pushfstring(w->L, "%s %s", lua_tostring(w->L, -1), what);
    return lpkv_raise(w->L) != 0;
}

static bool refuse_type(writer *w, const char *what, int index) {
    return refuse(w, lua_pushfstring(w->L, "%s %s, which cannot be stored", what,
                                     luaL_typename(w->L, index)));
}

static bool refuse_cycle(writer *w, int again) {
    push_path(w, again);
    return refuse(
        w, lua_pushfstring(w->L, "is %s again: a cycle cannot be stored", lua_tostring(w->L, -1)));
}

/* Of the table that is being written. */
static bool refuse_change(writer *w) {
    w->depth--; /* the path is the table's, not the entry's */
    return refuse(w, "was changed while it was stored");
}

/* Bytes */

/* Fails beyond PKV_VALUE_MAX, so what does not fit the 32 bits of MessagePack's lengths fails. */
static bool put(writer *w, const void *data, size_t size) {
    w->status = lpkv_buffer_reserve(w->out, size);
    if (w->status) return false;
    if (size > 0) memcpy(w->out->data + w->out->size, data, size);
    w->out->size += size;
    return true;
}

/* A tag, and `size` bytes of number, the highest first. */
static bool put_tagged(writer *w, unsigned tag, uint64_t number, unsigned size) {
    unsigned char bytes[9];
    bytes[0] = (unsigned char)tag;
    for (unsigned i = 0; i < size; i++) bytes[size - i] = (unsigned char)(number >> (8 * i));
    return put(w, bytes, size + 1);
}

static bool write_integer(writer *w, int64_t number) {
    uint64_t bits = (uint64_t)number;
    if (number >= -32 && number < 128) return put_tagged(w, (unsigned)(bits & 0xff), 0, 0);
    if (number >= 0) {
        if (number <= UINT8_MAX) return put_tagged(w, 0xcc, bits, 1);
        if (number <= UINT16_MAX) return put_tagged(w, 0xcd, bits, 2);
        if (number <= UINT32_MAX) return put_tagged(w, 0xce, bits, 4);
        return put_tagged(w, 0xcf, bits, 8);
    }
    if (number >= INT8_MIN) return put_tagged(w, 0xd0, bits, 1);
    if (number >= INT16_MIN) return put_tagged(w, 0xd1, bits, 2);
    if (number >= INT32_MIN) return put_tagged(w, 0xd2, bits, 4);
    return put_tagged(w, 0xd3, bits, 8);
}

static bool write_number(writer *w, int index) {
    int64_t integer;
    if (lpkv_is_integer(w->L, index, &integer)) return write_integer(w, integer);
    double number = (double)lua_tonumber(w->L, index);
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return put_tagged(w, 0xcb, bits, 8);
}

/* An integer of LuaJIT's FFI library; false, and nothing is written, if the value is none. */
static bool write_cdata(writer *w, int index, bool *ok) {
    int64_t integer;
    bool is_unsigned = false;
    if (!lpkv_cdata_integer(w->L, index, &integer, &is_unsigned)) return false;
    *ok = is_unsigned && integer < 0 ? put_tagged(w, 0xcf, (uint64_t)integer, 8)
                                     : write_integer(w, integer);
    return true;
}

/* Bytes that the character starting at p takes, or 0 if it is not UTF-8. */
static size_t utf8_length(const unsigned char *p, size_t left) {
    size_t length = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length == 0 || length > left) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    /* Too long a form, a half of a surrogate pair, or beyond U+10FFFF. */
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0;
    if (p[0] == 0xed && p[1] >= 0xa0) return 0;
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (p[0] == 0xf4 && p[1] >= 0x90) return 0;
    return length;
}

static bool is_utf8(const char *text, size_t size) {
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    while (p < end) {
        size_t length = *p < 0x80 ? 1 : utf8_length(p, (size_t)(end - p));
        if (length == 0) return false;
        p += length;
    }
    return true;
}

static bool write_string(writer *w, int index) {
    size_t size;
    const char *text = lua_tolstring(w->L, index, &size);
    bool utf8 = is_utf8(text, size), ok;
    if (utf8 && size < 32)
        ok = put_tagged(w, 0xa0 | (unsigned)size, 0, 0);
    else if (size <= UINT8_MAX)
        ok = put_tagged(w, utf8 ? 0xd9 : 0xc4, size, 1);
    else if (size <= UINT16_MAX)
        ok = put_tagged(w, utf8 ? 0xda : 0xc5, size, 2);
    else
        ok = put_tagged(w, utf8 ? 0xdb : 0xc6, size, 4);
    return ok && put(w, text, size);
}

/* Tables */

/* Counts the entries, and tells whether their keys are 1 to count. */
static bool is_sequence(lua_State *L, int index, uint64_t *count) {
    int64_t border = (int64_t)lua_rawlen(L, index), entries = 0, key;
    bool sequence = true;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        entries++;
        if (!sequence) continue;
        sequence = lua_type(L, -2) == LUA_TNUMBER && lpkv_is_integer(L, -2, &key) && key >= 1 &&
                   key <= border;
    }
    *count = (uint64_t)entries;
    return sequence && entries == border && entries > 0;
}

static bool write_sequence(writer *w, int index, uint64_t count, frame *f) {
    bool ok = count < 16            ? put_tagged(w, 0x90 | (unsigned)count, 0, 0)
              : count <= UINT16_MAX ? put_tagged(w, 0xdc, count, 2)
                                    : put_tagged(w, 0xdd, count, 4);
    f->key = 0;
    for (uint64_t i = 1; ok && i <= count; i++) {
        f->index = (int)i;
        lua_rawgeti(w->L, index, (lpkv_index)i);
        ok = write_value(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
    }
    return ok;
}

static bool write_key(writer *w, int key) {
    bool ok;
    switch (lua_type(w->L, key)) {
    case LUA_TSTRING:
        return write_string(w, key);
    case LUA_TNUMBER:
        return write_number(w, key);
    case LUA_TBOOLEAN:
        return put_tagged(w, lua_toboolean(w->L, key) ? 0xc3 : 0xc2, 0, 0);
    default:
        if (write_cdata(w, key, &ok)) return ok;
        w->depth--; /* the path is the table's, not the key's */
        return refuse_type(w, "has a key that is a", key);
    }
}

static bool write_map(writer *w, int index, uint64_t count, frame *f) {
    bool ok = count < 16            ? put_tagged(w, 0x80 | (unsigned)count, 0, 0)
              : count <= UINT16_MAX ? put_tagged(w, 0xde, count, 2)
                                    : put_tagged(w, 0xdf, count, 4);
    lua_State *L = w->L;
    lua_pushnil(L);
    f->key = lua_gettop(L);
    for (; ok && lua_next(L, index); count--) {
        ok = write_key(w, f->key) && write_value(w, f->key + 1);
        lua_pop(L, 1);
    }
    /* after a failure the key stays on the stack, which nobody minds */
    return ok && (count == 0 || refuse_change(w));
}

static bool write_table(writer *w, int index) {
    const void *table = lua_topointer(w->L, index);
    for (int i = 0; i < w->depth; i++)
        if (w->frames[i].table == table) return refuse_cycle(w, i);
    if (w->depth == LPKV_DEPTH_MAX)
        return refuse(w, lua_pushfstring(w->L, "is nested deeper than %d tables", LPKV_DEPTH_MAX));
    luaL_checkstack(w->L, 12, "no room for a nested table");

    uint64_t count;
    bool sequence = is_sequence(w->L, index, &count);
    frame *f = &w->frames[w->depth++];
    f->table = table;
    bool ok = sequence ? write_sequence(w, index, count, f) : write_map(w, index, count, f);
    w->depth--;
    return ok;
}

static bool write_value(writer *w, int index) {
    bool ok;
    switch (lua_type(w->L, index)) {
    case LUA_TSTRING:
        return write_string(w, index);
    case LUA_TNUMBER:
        return write_number(w, index);
    case LUA_TBOOLEAN:
        return put_tagged(w, lua_toboolean(w->L, index) ? 0xc3 : 0xc2, 0, 0);
    case LUA_TTABLE:
        return write_table(w, index);
    default:
        if (write_cdata(w, index, &ok)) return ok;
        return refuse_type(w, "is a", index);
    }
}

pkv_status lpkv_msgpack_write(lua_State *L, int index, lpkv_buffer *out) {
    writer w;
    w.L = L;
    w.out = out;
    w.status = PKV_OK;
    w.depth = 0;
    int top = lua_gettop(L);
    write_value(&w, index);
    lua_settop(L, top);
    return w.status;
}
