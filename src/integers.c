/* integers.c - see store.h: integer keys and values as bytes, the crate's way: little-endian, a key
 * padded with zeros to 8 bytes (also a negative one), a value as wide as its type. */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include "bytes/varint.h"
#include "os/error.h"
#include "pkv.h"

typedef struct integer_type {
    const char *name;
    unsigned bits;
    int64_t min, max;
} integer_type;

static const integer_type types[] = {
    {"none", 64, INT64_MIN, INT64_MAX}, {"u64", 64, INT64_MIN, INT64_MAX}, /* as bits */
    {"i64", 64, INT64_MIN, INT64_MAX},  {"u32", 32, 0, UINT32_MAX},
    {"i32", 32, INT32_MIN, INT32_MAX},  {"u16", 16, 0, UINT16_MAX},
    {"i16", 16, INT16_MIN, INT16_MAX},  {"u8", 8, 0, UINT8_MAX},
    {"i8", 8, INT8_MIN, INT8_MAX},
};

static const integer_type *type_of(pkv_integer type) {
    return &types[(unsigned)type <= PKV_I8 ? (unsigned)type : 0];
}

static size_t width(const integer_type *type) {
    return type->bits / 8;
}

static pkv_status encode(pkv_integer type, int64_t value, const char *what,
                         unsigned char bytes[8]) {
    const integer_type *t = type_of(type);
    if (value < t->min || value > t->max) {
        return fail(PKV_USAGE, NULL, NO_OFFSET, 0,
                    "%s %" PRId64 " does not fit %s: it must be from %" PRId64 " to %" PRId64, what,
                    value, t->name, t->min, t->max);
    }
    unsigned char all[8];
    store_u64(all, (uint64_t)value);
    memset(bytes, 0, 8);
    memcpy(bytes, all, width(t));
    return PKV_OK;
}

static int64_t decode(pkv_integer type, const unsigned char *bytes) {
    const integer_type *t = type_of(type);
    unsigned char all[8];
    bool negative = t->min < 0 && (bytes[width(t) - 1] & 0x80);
    memset(all, negative ? 0xff : 0, sizeof all);
    memcpy(all, bytes, width(t));
    return (int64_t)load_u64(all);
}

pkv_status pkv_integer_key(pkv_integer type, int64_t value, unsigned char key[8]) {
    return encode(type, value, "key", key);
}

int64_t pkv_key_integer(pkv_integer type, const unsigned char key[8]) {
    return decode(type, key);
}

pkv_status pkv_integer_value(pkv_integer type, int64_t value, unsigned char bytes[8],
                             size_t *size) {
    *size = width(type_of(type));
    return encode(type, value, "value", bytes);
}

pkv_status pkv_value_integer(pkv_integer type, pkv_bytes bytes, int64_t *value) {
    const integer_type *t = type_of(type);
    if (bytes.size != width(t)) {
        return fail(PKV_VALUE_TYPE, NULL, NO_OFFSET, 0,
                    "a value of %zu bytes is no %s, which has %zu", bytes.size, t->name, width(t));
    }
    *value = decode(type, bytes.data);
    return PKV_OK;
}

pkv_integer pkv_integer_parse(const char *name) {
    if (strcmp(name, "integer") == 0) return PKV_I64;
    for (unsigned i = PKV_U64; i <= PKV_I8; i++) {
        if (strcmp(name, types[i].name) == 0) return (pkv_integer)i;
    }
    return PKV_INTEGER_NONE;
}

const char *pkv_integer_name(pkv_integer type) {
    return type_of(type)->name;
}

const char *pkv_values_name(pkv_values values) {
    static const char *const names[] = {"any", "any", "string", "coded", "message"};
    if (values > PKV_VALUES_INTEGER) {
        return pkv_integer_name((pkv_integer)((int)values - (int)PKV_VALUES_INTEGER));
    }
    return (size_t)values < sizeof names / sizeof *names ? names[values] : "unknown";
}
