/* text.c - bytes as text, and text as bytes. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

/* ---- Buffers */

void buffer_reserve(buffer *b, size_t capacity) {
    if (capacity <= b->capacity && b->data) return;
    if (capacity < 64) capacity = 64;
    unsigned char *data = realloc(b->data, capacity);
    if (!data) exit(complain(EXIT_FAILED, "no memory for %zu bytes", capacity));
    b->data = data;
    b->capacity = capacity;
}

void buffer_release(buffer *b) {
    free(b->data);
    *b = (buffer){0};
}

pkv_bytes buffer_bytes(const buffer *b) {
    return (pkv_bytes){b->data, b->size};
}

bool buffer_read(buffer *b, FILE *file) {
    size_t got;
    do {
        buffer_reserve(b, b->size + b->size / 2 + 65536);
        got = fread(b->data + b->size, 1, b->capacity - b->size, file);
        b->size += got;
    } while (got > 0);
    return !ferror(file);
}

/* ---- Escapes */

void print_escaped(pkv_bytes bytes) {
    const unsigned char *data = bytes.data;
    for (size_t i = 0; i < bytes.size; i++) {
        if (data[i] >= 0x20 && data[i] < 0x7f && data[i] != '\\') {
            (void)putchar(data[i]);
        } else {
            printf("\\x%02x", data[i]);
        }
    }
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool parse_escaped(const char *text, buffer *out) {
    buffer_reserve(out, strlen(text));
    while (*text) {
        unsigned char byte = (unsigned char)*text++;
        if (byte == '\\') {
            int high = text[0] == 'x' ? hex_digit(text[1]) : -1;
            int low = high >= 0 ? hex_digit(text[2]) : -1;
            if (low < 0) return false;
            byte = (unsigned char)(high * 16 + low);
            text += 3;
        }
        out->data[out->size++] = byte;
    }
    return true;
}

void print_hex(pkv_bytes bytes) {
    const unsigned char *data = bytes.data;
    for (size_t i = 0; i < bytes.size; i++) printf("%02x", data[i]);
}

/* ---- Numbers */

bool parse_integer(const char *text, bool is_unsigned, int64_t *value) {
    char *end;
    errno = 0;
    if (is_unsigned) {
        if (strchr(text, '-')) return false; /* strtoull wraps it around */
        *value = (int64_t)strtoull(text, &end, 10);
    } else {
        *value = strtoll(text, &end, 10);
    }
    return errno == 0 && end != text && *end == '\0';
}

bool parse_float(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

void print_float(double value) {
    char text[40];
    int digits = 15;
    do {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
    } while (++digits <= 17 && strtod(text, NULL) != value);
    bool looks_integer = !strpbrk(text, ".en"); /* n: inf, nan */
    printf("%s%s", text, looks_integer ? ".0" : "");
}

static void print_integer(pkv_integer type, int64_t value) {
    if (type == PKV_U64) {
        printf("%" PRIu64, (uint64_t)value);
    } else {
        printf("%" PRId64, value);
    }
}

/* ---- Keys */

static bool parse_integer_key(pkv_integer type, const char *text, buffer *key) {
    int64_t number;
    if (!parse_integer(text, type == PKV_U64, &number)) {
        (void)complain(EXIT_WRONG_USE, "the store's keys are %s, and '%s' is none",
                       pkv_integer_name(type), text);
        return false;
    }
    buffer_reserve(key, 8);
    if (pkv_integer_key(type, number, key->data) != PKV_OK) {
        (void)complain(EXIT_WRONG_USE, "%s", pkv_error_detail()->message);
        return false;
    }
    key->size = 8;
    return true;
}

bool parse_key(const session *in, const options *chosen, const char *text, buffer *key) {
    if (in->stats.keys == PKV_KEYS_FIXED) return parse_integer_key(in->stats.key_type, text, key);
    if (chosen->escaped) {
        if (parse_escaped(text, key)) return true;
        (void)complain(EXIT_WRONG_USE, "--escaped: in KEY a backslash must begin \\xHH");
        return false;
    }
    size_t size = strlen(text);
    buffer_reserve(key, size);
    memcpy(key->data, text, size);
    key->size = size;
    return true;
}

void print_key(const session *in, pkv_bytes key) {
    if (in->stats.keys == PKV_KEYS_FIXED) {
        print_integer(in->stats.key_type, pkv_key_integer(in->stats.key_type, key.data));
    } else {
        print_escaped(key);
    }
}

/* ---- Values */

static const char *const type_names[] = {"string", "integer", "float", "boolean", "table"};

#define TYPE_COUNT (sizeof type_names / sizeof type_names[0])

const char *type_name(pkv_type type) {
    return type_names[type];
}

bool parse_type(const char *name, pkv_type *type) {
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (strcmp(type_names[i], name) != 0) continue;
        *type = (pkv_type)i;
        return true;
    }
    return false;
}

bool value_is_string(const session *in, pkv_type type) {
    return type == PKV_BYTES && in->stats.values <= PKV_VALUES_INTEGER;
}

static uint64_t value_bits(pkv_bytes value) {
    const unsigned char *data = value.data;
    uint64_t bits = 0;
    for (size_t i = 0; i < 8; i++) bits |= (uint64_t)data[i] << (8 * i);
    return bits;
}

/* False where the bytes are no value of that type, which is then shown as what it is: bytes. */
static bool print_typed(const session *in, pkv_bytes value, pkv_type type) {
    int64_t integer;
    double number;
    if (type == PKV_BYTES && in->stats.values > PKV_VALUES_INTEGER) {
        pkv_integer width = (pkv_integer)(in->stats.values - PKV_VALUES_INTEGER);
        if (pkv_value_integer(width, value, &integer) != PKV_OK) return false;
        print_integer(width, integer);
    } else if (type == PKV_INTEGER && value.size == 8) {
        print_integer(PKV_I64, (int64_t)value_bits(value));
    } else if (type == PKV_FLOAT && value.size == 8) {
        uint64_t bits = value_bits(value);
        memcpy(&number, &bits, sizeof number);
        print_float(number);
    } else if (type == PKV_BOOLEAN && value.size == 1) {
        printf("%s", *(const unsigned char *)value.data ? "true" : "false");
    } else {
        return type == PKV_TABLE && print_table(value);
    }
    return true;
}

void print_value(const session *in, pkv_bytes value, pkv_type type) {
    if (!print_typed(in, value, type)) print_escaped(value);
}
