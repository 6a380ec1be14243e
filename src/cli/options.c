/* options.c - the options of a command, by getopt_long, and their help, from one table. */
#define _GNU_SOURCE
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "cli.h"

typedef struct known_option {
    const char *name, *argument, *help;
    char letter;
} known_option;

static const known_option known[] = {
    {"keys", "MODE",
     "what keys are: string, or an integer type (u64 i64 u32 i32 u16 i16 u8 i8,\n"
     "                      integer for i64); by default as the store says",
     'k'},
    {"escaped", NULL, "KEY, and VALUE, are written as list writes them: \\xHH is a byte", 'e'},
    {"raw", NULL, "the stored bytes, whatever their type", 'r'},
    {"type", "TYPE", "what VALUE is: string (default), integer, float or boolean", 't'},
    {"hex", NULL, "lines of the form KEY VALUE, the stored bytes of both in hexadecimal", 'x'},
    {"types", NULL, "lines of the form KEY, tab, type of value, tab, VALUE", 'T'},
    {"names", NULL, "keys only", 'n'},
    {"output", "DIR", "the folder of the salvaged store, which must not be there yet", 'o'},
    {"in-place", NULL, "put the salvaged store in place of the old files, which are moved", 'i'},
    {"with-backups", NULL, "read backups too: may bring back what was changed or removed", 'b'},
    {"help", NULL, "this text", 'h'},
};

#define KNOWN_COUNT (sizeof known / sizeof known[0])

static bool is_taken(const command *by, char letter) {
    return letter == 'h' || strchr(by->options, letter);
}

void print_command_help(const command *chosen) {
    printf("usage: pkv %s [OPTIONS] %s\n\n%s\n\noptions:\n", chosen->name, chosen->arguments,
           chosen->summary);
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (!is_taken(chosen, known[i].letter)) continue;
        char left[32];
        (void)snprintf(left, sizeof left, "--%s %s", known[i].name,
                       known[i].argument ? known[i].argument : "");
        printf("  -%c, %-15s %s\n", known[i].letter, left, known[i].help);
    }
    printf("%s%s", *chosen->details ? "\n" : "", chosen->details);
}

static bool parse_keys(const char *text, options *out) {
    out->key_type = pkv_integer_parse(text);
    out->keys = out->key_type == PKV_INTEGER_NONE ? PKV_KEYS_VARIABLE : PKV_KEYS_FIXED;
    if (out->keys == PKV_KEYS_FIXED || strcmp(text, "string") == 0) return true;
    (void)complain(EXIT_WRONG_USE, "--keys: '%s' is neither string nor an integer type", text);
    return false;
}

static bool take(char letter, const char *argument, options *out) {
    switch (letter) {
    case 'k':
        return parse_keys(argument, out);
    case 'e':
        out->escaped = true;
        return true;
    case 'r':
        out->raw = true;
        return true;
    case 'x':
        out->hex = true;
        return true;
    case 'T':
        out->types = true;
        return true;
    case 'n':
        out->names = true;
        return true;
    case 'o':
        out->output = argument;
        return true;
    case 'i':
        out->in_place = true;
        return true;
    case 'b':
        out->with_backups = true;
        return true;
    case 't':
        if (parse_type(argument, &out->type) && out->type != PKV_TABLE) return true;
        (void)complain(EXIT_WRONG_USE, "--type: '%s' is none of string, integer, float, boolean",
                       argument);
        return false;
    default:
        return false; /* getopt_long has complained */
    }
}

/* What getopt_long wants to know, for the options that a command takes. '+': the first argument
 * ends the options, so that a key or value may begin with a dash. */
static void describe(const command *chosen, char letters[2 * KNOWN_COUNT + 2],
                     struct option longs[KNOWN_COUNT + 1]) {
    *letters++ = '+';
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (!is_taken(chosen, known[i].letter)) continue;
        *letters++ = known[i].letter;
        if (known[i].argument) *letters++ = ':';
        *longs++ = (struct option){known[i].name, known[i].argument != NULL, NULL, known[i].letter};
    }
    *letters = '\0';
    *longs = (struct option){NULL, 0, NULL, 0};
}

int options_parse(const command *chosen, int count, char **words, options *out, int *code) {
    char letters[2 * KNOWN_COUNT + 2];
    struct option longs[KNOWN_COUNT + 1];
    describe(chosen, letters, longs);
    *out = (options){0};
    static char program[] = "pkv";
    words[0] = program; /* what getopt_long's complaints begin with */
    int letter;
    while ((letter = getopt_long(count, words, letters, longs, NULL)) != -1) {
        if (letter == 'h') {
            print_command_help(chosen);
            *code = EXIT_DONE;
            return -1;
        }
        if (!take((char)letter, optarg, out)) {
            *code = EXIT_WRONG_USE;
            return -1;
        }
    }
    return optind;
}
