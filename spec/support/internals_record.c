/* internals_record.c - records for specs: by hand, and by protobuf-c to compare with.
 *
 * A record is a table { key, value, type, flushed, previous_size }; without a value it is unset. */
#include <stdlib.h>
#include <string.h>
#include "../../src/bytes/checksum.h"
#include "../../src/bytes/varint.h"
#include "../../src/disk/record.h"
#include "internals.h"
#include "record.pb-c.h"

#define CANARY       0x5a
#define CANARY_BYTES 16u

static record check_record(lua_State *L) {
    bool found;
    luaL_checktype(L, 1, LUA_TTABLE);
    record r = {.key = bytes_field(L, "key", &found)};
    r.value = bytes_field(L, "value", &found);
    r.unset = !found;
    r.type = (pkv_type)integer_field(L, "type", 0);
    r.flushed = (uint64_t)integer_field(L, "flushed", 0);
    r.previous_size = (uint64_t)integer_field(L, "previous_size", 0);
    return r;
}

static int l_record_encode(lua_State *L) {
    record r = check_record(L);
    uint32_t seed = (uint32_t)luaL_checkinteger(L, 2);
    size_t size = record_size(&r);
    uint8_t *out = (uint8_t *)lua_newuserdatauv(L, size + CANARY_BYTES, 0);
    memset(out, CANARY, size + CANARY_BYTES);
    record_encode(&r, seed, out);
    for (size_t i = 0; i < CANARY_BYTES; i++) {
        if (out[size + i] != CANARY) return luaL_error(L, "record_encode wrote too much");
    }
    lua_pushlstring(L, (const char *)out, size);
    return 1;
}

static void push_record(lua_State *L, const record *r) {
    lua_createtable(L, 0, 5);
    lua_pushlstring(L, (const char *)r->key.data, r->key.size);
    lua_setfield(L, -2, "key");
    if (!r->unset) {
        lua_pushlstring(L, (const char *)r->value.data, r->value.size);
        lua_setfield(L, -2, "value");
    }
    lua_pushinteger(L, (lua_Integer)r->type);
    lua_setfield(L, -2, "type");
    lua_pushinteger(L, (lua_Integer)r->flushed);
    lua_setfield(L, -2, "flushed");
    lua_pushinteger(L, (lua_Integer)r->previous_size);
    lua_setfield(L, -2, "previous_size");
}

/* record_decode(bytes, seed, "ours" or "foreign"): "ok" | "end" | "short" | "bad", size, record.
 * The bytes lie at the end of a heap block, so that a sanitizer sees a read behind them. */
static int l_record_decode(lua_State *L) {
    static const char *const origins[] = {"ours", "foreign", NULL};
    static const char *const results[] = {"ok", "end", "short", "bad"};
    size_t available, size = 0;
    const char *data = luaL_checklstring(L, 1, &available);
    uint32_t seed = (uint32_t)luaL_checkinteger(L, 2);
    record_origin origin = luaL_checkoption(L, 3, "ours", origins) ? RECORD_FOREIGN : RECORD_OURS;
    uint8_t *bytes = (uint8_t *)malloc(available);
    if (available && !bytes) return luaL_error(L, "no memory");
    if (available) memcpy(bytes, data, available);
    record r;
    record_result result = record_decode(bytes, available, seed, origin, &r, &size);
    lua_pushstring(L, results[result]);
    lua_pushinteger(L, (lua_Integer)size);
    if (result == RECORD_OK) push_record(L, &r);
    free(bytes);
    return result == RECORD_OK ? 3 : 2;
}

/* ---- By protobuf-c */

static ProtobufCBinaryData binary(pkv_bytes bytes) {
    return (ProtobufCBinaryData){bytes.size, (uint8_t *)(uintptr_t)bytes.data};
}

static int l_record_pack(lua_State *L) {
    record r = check_record(L);
    uint32_t seed = (uint32_t)luaL_checkinteger(L, 2);
    Pkv__Entry entry = PKV__ENTRY__INIT;
    entry.has_key = r.key.size != 0;
    entry.key = binary(r.key);
    entry.has_value = !r.unset;
    entry.value = binary(r.value);
    entry.has_type = r.type != PKV_BYTES;
    entry.type = (Pkv__ValueType)r.type;
    entry.has_flushed = r.flushed != 0;
    entry.flushed = r.flushed;
    entry.has_previous_size = r.previous_size != 0;
    entry.previous_size = r.previous_size;
    entry.has_checksum = 1;

    size_t message = pkv__entry__get_packed_size(&entry);
    size_t length = varint_size(message), size = length + message;
    uint8_t *out = (uint8_t *)lua_newuserdatauv(L, size, 0);
    (void)varint_write(out, message);
    (void)pkv__entry__pack(&entry, out + length);
    entry.checksum = checksum_portable(seed, out, size - 5); /* it is the last field */
    (void)pkv__entry__pack(&entry, out + length);
    lua_pushlstring(L, (const char *)out, size);
    return 1;
}

/* record_unpack(message): the record, or nil where protobuf-c takes it for none. */
static int l_record_unpack(lua_State *L) {
    size_t size;
    const char *message = luaL_checklstring(L, 1, &size);
    Pkv__Entry *entry = pkv__entry__unpack(NULL, size, (const uint8_t *)message);
    if (!entry) return 0;
    record r = {.key = {entry->key.data, entry->key.len},
                .unset = !entry->has_value,
                .type = (pkv_type)entry->type,
                .flushed = entry->flushed,
                .previous_size = entry->previous_size};
    if (!r.unset) r.value = (pkv_bytes){entry->value.data, entry->value.len};
    push_record(L, &r);
    pkv__entry__free_unpacked(entry, NULL);
    return 1;
}

const luaL_Reg internals_of_records[] = {{"record_encode", l_record_encode},
                                         {"record_decode", l_record_decode},
                                         {"record_pack", l_record_pack},
                                         {"record_unpack", l_record_unpack},
                                         {NULL, NULL}};
