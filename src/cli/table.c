/* table.c - a table, which is stored as MessagePack, as JSON-like text on one line.
 *
 * Where JSON has no words, Lua's are used: keys that are not strings stand bare or, if tables, in
 * their own braces; inf and nan. In strings, bytes that are neither printable ASCII nor part of a
 * JSON escape are \xHH. Nothing is printed before the whole value has been seen to hold together:
 * the same walk runs twice, the first time silently. */
#include <string.h>
#include "cli.h"

#define DEPTH_MAX 512

typedef struct reader {
    const unsigned char *at, *end;
    bool silent;
    unsigned depth;
} reader;

static void say(const reader *r, const char *text) {
    if (!r->silent) (void)fputs(text, stdout);
}

/* Big-endian, as MessagePack has it. */
static bool read_number(reader *r, size_t size, uint64_t *number) {
    if ((size_t)(r->end - r->at) < size) return false;
    *number = 0;
    while (size-- > 0) *number = *number << 8 | *r->at++;
    return true;
}

static void say_string_byte(unsigned char byte) {
    if (byte == '"' || byte == '\\') {
        printf("\\%c", byte);
    } else if (byte == '\n') {
        printf("\\n");
    } else if (byte >= 0x20 && byte < 0x7f) {
        (void)putchar(byte);
    } else {
        printf("\\x%02x", byte);
    }
}

static bool read_string(reader *r, uint64_t size) {
    if ((uint64_t)(r->end - r->at) < size) return false;
    say(r, "\"");
    for (uint64_t i = 0; i < size; i++) {
        if (!r->silent) say_string_byte(r->at[i]);
    }
    r->at += size;
    say(r, "\"");
    return true;
}

static bool read_value(reader *r);

static bool read_array(reader *r, uint64_t count) {
    say(r, "[");
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0) say(r, ", ");
        if (!read_value(r)) return false;
    }
    say(r, "]");
    return true;
}

static bool read_map(reader *r, uint64_t count) {
    say(r, "{");
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0) say(r, ", ");
        if (!read_value(r)) return false;
        say(r, ": ");
        if (!read_value(r)) return false;
    }
    say(r, "}");
    return true;
}

static bool read_unsigned(reader *r, size_t size) {
    uint64_t number;
    if (!read_number(r, size, &number)) return false;
    if (!r->silent) printf("%llu", (unsigned long long)number);
    return true;
}

static bool read_signed(reader *r, size_t size) {
    uint64_t number;
    if (!read_number(r, size, &number)) return false;
    uint64_t sign = (uint64_t)1 << (8 * size - 1);
    if (!r->silent) printf("%lld", (long long)((number ^ sign) - sign));
    return true;
}

static bool read_float(reader *r, size_t size) {
    uint64_t bits;
    if (!read_number(r, size, &bits)) return false;
    double number;
    if (size == 4) {
        uint32_t half = (uint32_t)bits;
        float single;
        memcpy(&single, &half, sizeof single);
        number = (double)single;
    } else {
        memcpy(&number, &bits, sizeof number);
    }
    if (!r->silent) print_float(number);
    return true;
}

/* What follows a size of `size` bytes, by the reader for it. */
static bool read_sized(reader *r, size_t size, bool (*rest)(reader *, uint64_t)) {
    uint64_t count;
    return read_number(r, size, &count) && rest(r, count);
}

/* Types 0xc0 to 0xdf: one byte says all. */
static bool read_marked(reader *r, unsigned char mark) {
    switch (mark) {
    case 0xc0:
        say(r, "null");
        return true;
    case 0xc2:
        say(r, "false");
        return true;
    case 0xc3:
        say(r, "true");
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return read_sized(r, (size_t)1 << (mark - 0xc4), read_string);
    case 0xca:
        return read_float(r, 4);
    case 0xcb:
        return read_float(r, 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return read_unsigned(r, (size_t)1 << (mark - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return read_signed(r, (size_t)1 << (mark - 0xd0));
    case 0xd9:
    case 0xda:
    case 0xdb:
        return read_sized(r, (size_t)1 << (mark - 0xd9), read_string);
    case 0xdc:
    case 0xdd:
        return read_sized(r, (size_t)2 << (mark - 0xdc), read_array);
    case 0xde:
    case 0xdf:
        return read_sized(r, (size_t)2 << (mark - 0xde), read_map);
    default:
        return false; /* extensions are not ours */
    }
}

static bool read_value(reader *r) {
    if (r->at == r->end || r->depth == DEPTH_MAX) return false;
    r->depth++;
    unsigned char mark = *r->at++;
    bool whole = true;
    if (mark < 0x80 || mark >= 0xe0) {
        if (!r->silent) printf("%d", (signed char)mark);
    } else if (mark < 0x90) {
        whole = read_map(r, mark & 0x0f);
    } else if (mark < 0xa0) {
        whole = read_array(r, mark & 0x0f);
    } else if (mark < 0xc0) {
        whole = read_string(r, mark & 0x1f);
    } else {
        whole = read_marked(r, mark);
    }
    r->depth--;
    return whole;
}

bool print_table(pkv_bytes packed) {
    const unsigned char *data = packed.data;
    reader r = {data, data + packed.size, true, 0};
    if (!read_value(&r) || r.at != r.end) return false;
    r = (reader){data, data + packed.size, false, 0};
    return read_value(&r);
}
