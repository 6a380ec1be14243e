/* cli.h - the pkv command: main.c chooses a command, options.c reads its options and prints help,
 * entries.c, folder.c and soundness.c are the commands, text.c and table.c are how bytes look. */
#ifndef PKV_CLI_H
#define PKV_CLI_H

#include <stdbool.h>
#include <stdio.h>
#include "../pkv.h"

/* Exit codes; --help lists them. */
enum {
    EXIT_DONE = 0,
    EXIT_NOT_FOUND = 1,
    EXIT_WRONG_USE = 2,
    EXIT_FAILED = 3,
    EXIT_LOCKED = 4,
    EXIT_CORRUPT = 5
};

typedef struct options {
    pkv_keys keys;
    pkv_integer key_type;
    pkv_type type;
    bool escaped, raw, hex, types, names, in_place, with_backups;
    const char *output;
} options;

typedef struct command {
    const char *name;
    const char *arguments; /* as help shows them */
    const char *summary;
    const char *details;
    const char *options; /* short letters of those that it takes */
    int argument_count;
    /* Arguments as on the command line, the store's folder first. Returns an exit code. */
    int (*run)(const options *chosen, char **arguments);
} command;

/* ---- options.c */

/* Reads a command's options; returns the index of the first argument, or -1 with *code set where
 * there is nothing left to run. */
int options_parse(const command *chosen, int count, char **words, options *out, int *code);
void print_command_help(const command *chosen);

/* ---- entries.c, folder.c, soundness.c: the commands */

int command_get(const options *chosen, char **arguments);
int command_set(const options *chosen, char **arguments);
int command_unset(const options *chosen, char **arguments);
int command_list(const options *chosen, char **arguments);
int command_stat(const options *chosen, char **arguments);
int command_snapshot(const options *chosen, char **arguments);
int command_prune_backups(const options *chosen, char **arguments);
int command_delete_pending(const options *chosen, char **arguments);
int command_check(const options *chosen, char **arguments);
int command_repair(const options *chosen, char **arguments);

/* ---- session.c: what all commands do */

/* An open store and what it says of itself. */
typedef struct session {
    pkv *store;
    pkv_stats stats;
} session;

/* Opens the store in `path`; reports an error and returns its exit code. */
int session_open(const options *chosen, const char *path, pkv_choice create, session *out);
/* Closes it, and returns `code`, or what the closing came to if that is worse. */
int session_close(session *in, int code);

/* "pkv: ..." on stderr, and the exit code that it was given. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reports what the library said about its last failure, and what to do about it. */
int complain_status(pkv_status status, const char *path);
/* Flushes stdout: a full disk or a closed pipe must not look like success. */
int finish_output(int code);

/* ---- text.c: bytes as text */

/* Bytes of its own; zeroed when empty. Running out of memory ends the program. */
typedef struct buffer {
    unsigned char *data;
    size_t size, capacity;
} buffer;

void buffer_reserve(buffer *b, size_t capacity);
void buffer_release(buffer *b);
pkv_bytes buffer_bytes(const buffer *b);
/* All that is left in `file`; false on a read error. */
bool buffer_read(buffer *b, FILE *file);

/* Printable ASCII as it is; other bytes and the backslash as \xHH. */
void print_escaped(pkv_bytes bytes);
/* The reverse; false where a backslash begins anything else. */
bool parse_escaped(const char *text, buffer *out);
void print_hex(pkv_bytes bytes);

/* A key from the command line, in the store's kind of keys. False and a complaint if it is none. */
bool parse_key(const session *in, const options *chosen, const char *text, buffer *key);
void print_key(const session *in, pkv_bytes key);

/* A value's text, its type and the store's kind of values considered; strings escaped. */
void print_value(const session *in, pkv_bytes value, pkv_type type);
/* Whether a value is a plain string, whose text is the bytes themselves. */
bool value_is_string(const session *in, pkv_type type);
const char *type_name(pkv_type type);
bool parse_type(const char *name, pkv_type *type);
/* A number as text, in full; false if it is none, or out of range. */
bool parse_integer(const char *text, bool is_unsigned, int64_t *value);
bool parse_float(const char *text, double *value);
/* So that reading it again gives the same float, and an integer is not taken for one. */
void print_float(double value);

/* ---- table.c */

/* A MessagePack value as JSON-like text; false where it does not hold together. */
bool print_table(pkv_bytes packed);

#endif
