/* main.c - chooses the command. */
#include <stdio.h>
#include <string.h>
#include "cli.h"

static const command commands[] = {
    {"get", "PATH KEY", "print a value",
     "A string is written to stdout byte for byte. An integer, float or boolean is written as a "
     "line\n"
     "of text, a table as a line of JSON-like text; with --raw their stored bytes are written.\n",
     "ker", 2, command_get},
    {"set", "PATH KEY VALUE", "set a key to a value",
     "Creates the store where there is none. VALUE is taken as it is; `-` reads it from stdin, to "
     "the\n"
     "end of the file.\n",
     "ket", 3, command_set},
    {"unset", "PATH KEY", "remove a key", "Exit code 1 if it was not there.\n", "ke", 2,
     command_unset},
    {"list", "PATH", "print all entries, in no particular order",
     "A line is KEY, a tab, VALUE. Bytes other than printable ASCII, and the backslash, are "
     "written\n"
     "as \\xHH (tab, newline and zero included), so that no value can look like anything else; "
     "what\n"
     "list prints, --escaped reads.\n",
     "kxTn", 1, command_list},
    {"stat", "PATH", "print figures about the store", "A line is NAME, a space, VALUE.\n", "k", 1,
     command_stat},
    {"snapshot", "PATH", "write a snapshot, which shortens the next start", "", "k", 1,
     command_snapshot},
    {"prune-backups", "PATH KEEP", "remove all but the newest KEEP old snapshots",
     "The snapshot in force is never removed. Prints the number of files removed.\n", "", 2,
     command_prune_backups},
    {"delete-failed-pending-snapshots", "PATH", "remove snapshots that were never finished",
     "Prints the number of files removed.\n", "", 1, command_delete_pending},
    {"check", "PATH", "read all files and say what is wrong where",
     "Changes nothing. A line is KIND FILE OFFSET: SENTENCE. KIND is `damaged`; `unreadable`, "
     "where "
     "the\n"
     "operating system reported an error; or `torn`, which is no damage: what a process that died\n"
     "had not written whole, and the next open cuts off. The last line has the verdict, and how\n"
     "much was read. Exit code 0 if the store is sound, 5 if it is damaged.\n",
     "", 1, command_check},
    {"repair", "PATH", "salvage what can be read into a sound store",
     "The new store is PATH.repaired, or DIR; PATH itself is not touched. With --in-place the old "
     "files\n"
     "are moved to PATH/damaged-1, or the first such folder that is free. --keys is needed where "
     "no\n"
     "manifest tells what keys are. Lines are as those of check, with `skipped` for bytes that "
     "hold\n"
     "no readable record and `read` for what was read of a file. Exit code 5 if anything was "
     "lost.\n",
     "koib", 1, command_repair},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(void) {
    printf("pkv reads and changes the stores of persistent-kv.\n"
           "\n"
           "usage: pkv COMMAND [OPTIONS] PATH [ARGUMENTS]\n"
           "\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        printf("  %s %s\n        %s\n", commands[i].name, commands[i].arguments,
               commands[i].summary);
    }
    printf("\n"
           "  pkv COMMAND --help   all about a command\n"
           "  pkv --version        the version\n"
           "\n"
           "PATH is the store's folder. A store that another process has open cannot be opened.\n"
           "Options stand before PATH: all that follows it is data, whatever it looks like.\n"
           "\n"
           "exit codes:\n"
           "  0  done\n"
           "  1  no such key, or no such store\n"
           "  2  wrong usage, or the store holds another kind of keys or values\n"
           "  3  failed: the operating system, the disk or memory said no\n"
           "  4  locked by another process\n"
           "  5  corrupt: a file does not hold what was written to it\n");
}

static const command *find_command(const char *name) {
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    }
    return NULL;
}

static int run_command(const command *chosen, int count, char **words) {
    options read;
    int code = EXIT_DONE;
    int first = options_parse(chosen, count, words, &read, &code);
    if (first < 0) return finish_output(code);
    if (count - first != chosen->argument_count) {
        return complain(EXIT_WRONG_USE, "usage: pkv %s [OPTIONS] %s (see pkv %s --help)",
                        chosen->name, chosen->arguments, chosen->name);
    }
    return finish_output(chosen->run(&read, words + first));
}

int main(int count, char **words) {
    const char *first = count > 1 ? words[1] : "";
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        print_help();
        return finish_output(EXIT_DONE);
    }
    if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0) {
        printf("pkv %s\n", PKV_VERSION);
        return finish_output(EXIT_DONE);
    }
    const command *chosen = find_command(first);
    if (chosen) return run_command(chosen, count - 1, words + 1);
    if (*first) return complain(EXIT_WRONG_USE, "no command '%s' (see pkv --help)", first);
    return complain(EXIT_WRONG_USE, "usage: pkv COMMAND [OPTIONS] PATH ... (see pkv --help)");
}
