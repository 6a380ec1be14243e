/* entries.c - the commands that deal with entries: get, set, unset, list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

static int complain_no_key(const char *path, const char *key) {
    return complain(EXIT_NOT_FOUND, "%s: no such key: %s", path, key);
}

/* Reads a value of any size. */
static pkv_status read_value(pkv *store, pkv_bytes key, buffer *value, pkv_type *type) {
    size_t size = 0;
    buffer_reserve(value, 4096);
    for (;;) {
        pkv_status status = pkv_get_typed(store, key, value->data, value->capacity, &size, type);
        if (status != PKV_OK) return status;
        value->size = size;
        if (size <= value->capacity) return PKV_OK;
        value->size = 0;
        buffer_reserve(value, size);
    }
}

static void write_value(const session *in, const options *chosen, const buffer *value,
                        pkv_type type) {
    if (chosen->raw || value_is_string(in, type)) {
        (void)fwrite(value->data, 1, value->size, stdout);
        return;
    }
    print_value(in, buffer_bytes(value), type);
    (void)putchar('\n');
}

static int get_entry(const session *in, const options *chosen, char **arguments) {
    buffer key = {0}, value = {0};
    pkv_type type = PKV_BYTES;
    int code = EXIT_WRONG_USE;
    if (parse_key(in, chosen, arguments[1], &key)) {
        pkv_status status = read_value(in->store, buffer_bytes(&key), &value, &type);
        code = EXIT_DONE;
        if (status == PKV_OK) {
            write_value(in, chosen, &value, type);
        } else if (status == PKV_NOT_FOUND) {
            code = complain_no_key(arguments[0], arguments[1]);
        } else {
            code = complain_status(status, arguments[0]);
        }
    }
    buffer_release(&value);
    buffer_release(&key);
    return code;
}

int command_get(const options *chosen, char **arguments) {
    session s;
    int code = session_open(chosen, arguments[0], PKV_NO, &s);
    return code == EXIT_DONE ? session_close(&s, get_entry(&s, chosen, arguments)) : code;
}

/* The bytes that the command line, or stdin, gives for VALUE. An exit code. */
static int value_text(const options *chosen, const char *argument, buffer *text) {
    if (strcmp(argument, "-") == 0) {
        if (buffer_read(text, stdin)) return EXIT_DONE;
        return complain(EXIT_FAILED, "reading the value from stdin: %s", strerror(errno));
    }
    if (chosen->escaped) {
        if (parse_escaped(argument, text)) return EXIT_DONE;
        return complain(EXIT_WRONG_USE, "--escaped: in VALUE a backslash must begin \\xHH");
    }
    size_t size = strlen(argument);
    buffer_reserve(text, size);
    memcpy(text->data, argument, size);
    text->size = size;
    return EXIT_DONE;
}

static void set_bits(buffer *value, uint64_t bits, size_t size) {
    buffer_reserve(value, 8);
    for (size_t i = 0; i < size; i++) value->data[i] = (unsigned char)(bits >> (8 * i));
    value->size = size;
}

/* Turns the text in `value` into the stored bytes of an integer of the store's own width. */
static bool encode_store_integer(pkv_integer type, buffer *value) {
    int64_t number;
    const char *text = (const char *)value->data;
    if (!parse_integer(text, type == PKV_U64, &number)) {
        (void)complain(EXIT_WRONG_USE, "the store's values are %s, and '%s' is none",
                       pkv_integer_name(type), text);
        return false;
    }
    unsigned char bytes[8];
    size_t size;
    if (pkv_integer_value(type, number, bytes, &size) != PKV_OK) {
        (void)complain(EXIT_WRONG_USE, "%s", pkv_error_detail()->message);
        return false;
    }
    memcpy(value->data, bytes, size);
    value->size = size;
    return true;
}

static bool encode_number(pkv_type type, buffer *value) {
    const char *text = (const char *)value->data;
    int64_t integer;
    double number;
    uint64_t bits;
    if (type == PKV_INTEGER && parse_integer(text, false, &integer)) {
        set_bits(value, (uint64_t)integer, 8);
    } else if (type == PKV_FLOAT && parse_float(text, &number)) {
        memcpy(&bits, &number, sizeof bits);
        set_bits(value, bits, 8);
    } else if (type == PKV_BOOLEAN && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        set_bits(value, *text == 't', 1);
    } else {
        (void)complain(EXIT_WRONG_USE, "'%s' is not %s %s", text, type == PKV_INTEGER ? "an" : "a",
                       type_name(type));
        return false;
    }
    return true;
}

/* Numbers are parsed as C strings, of at least 8 bytes of room, which their encoding needs. A line
 * from stdin may bring its end along. */
static bool encode_value(const session *in, pkv_type type, buffer *value) {
    bool store_integers = in->stats.values > PKV_VALUES_INTEGER;
    if (!store_integers && type == PKV_BYTES) return true;
    buffer_reserve(value, value->size + 9);
    if (value->size > 0 && value->data[value->size - 1] == '\n') value->size--;
    value->data[value->size] = '\0';
    if (strlen((const char *)value->data) != value->size) {
        (void)complain(EXIT_WRONG_USE, "a zero byte is part of no number");
        return false;
    }
    if (!store_integers) return encode_number(type, value);
    return encode_store_integer((pkv_integer)(in->stats.values - PKV_VALUES_INTEGER), value);
}

static int set_entry(const session *in, const options *chosen, char **arguments) {
    buffer key = {0}, value = {0};
    int code = EXIT_WRONG_USE;
    if (parse_key(in, chosen, arguments[1], &key)) code = value_text(chosen, arguments[2], &value);
    if (code == EXIT_DONE && !encode_value(in, chosen->type, &value)) code = EXIT_WRONG_USE;
    if (code == EXIT_DONE) {
        pkv_status status =
            pkv_set_typed(in->store, buffer_bytes(&key), buffer_bytes(&value), chosen->type);
        code = status == PKV_OK ? EXIT_DONE : complain_status(status, arguments[0]);
    }
    buffer_release(&value);
    buffer_release(&key);
    return code;
}

int command_set(const options *chosen, char **arguments) {
    session s;
    int code = session_open(chosen, arguments[0], PKV_YES, &s);
    return code == EXIT_DONE ? session_close(&s, set_entry(&s, chosen, arguments)) : code;
}

static int unset_entry(const session *in, const options *chosen, char **arguments) {
    buffer key = {0};
    int code = EXIT_WRONG_USE;
    if (parse_key(in, chosen, arguments[1], &key)) {
        pkv_status status = pkv_unset(in->store, buffer_bytes(&key));
        code = EXIT_DONE;
        if (status == PKV_NOT_FOUND) {
            code = complain_no_key(arguments[0], arguments[1]);
        } else if (status != PKV_OK) {
            code = complain_status(status, arguments[0]);
        }
    }
    buffer_release(&key);
    return code;
}

int command_unset(const options *chosen, char **arguments) {
    session s;
    int code = session_open(chosen, arguments[0], PKV_NO, &s);
    return code == EXIT_DONE ? session_close(&s, unset_entry(&s, chosen, arguments)) : code;
}

static void print_entry(const session *in, const options *chosen, const pkv_entry *entry) {
    if (chosen->hex) {
        print_hex(entry->key);
        if (!chosen->names) {
            (void)putchar(' ');
            print_hex(entry->value);
        }
    } else {
        print_key(in, entry->key);
        if (!chosen->names) {
            if (chosen->types) printf("\t%s", type_name(entry->type));
            (void)putchar('\t');
            print_value(in, entry->value, entry->type);
        }
    }
    (void)putchar('\n');
}

static int list_entries(const session *in, const options *chosen, const char *path) {
    pkv_cursor *cursor;
    pkv_status status = pkv_cursor_open(in->store, &cursor);
    if (status != PKV_OK) return complain_status(status, path);
    pkv_entry entry;
    while ((status = pkv_cursor_next(cursor, &entry)) == PKV_OK && !ferror(stdout))
        print_entry(in, chosen, &entry);
    pkv_cursor_close(cursor);
    return status == PKV_OK || status == PKV_NOT_FOUND ? EXIT_DONE : complain_status(status, path);
}

int command_list(const options *chosen, char **arguments) {
    session s;
    int code = session_open(chosen, arguments[0], PKV_NO, &s);
    return code == EXIT_DONE ? session_close(&s, list_entries(&s, chosen, arguments[0])) : code;
}
