/* fault_messages.h - what the library says while calls fail, compared with a list of what it is to
 * say: spec/messages/NAME.txt. To be included by one file of a program, behind pkv.h; all calls of
 * the library behind it are listened to.
 *
 * Both must be the same: what is said and not in the list is a failure, and so is what is in the
 * list and is not said, where the program tries all. In a list "%" stands for numbers, "FOLDER" for
 * the program's own, "ERROR" for the system's words. PKV_MESSAGES=write in the environment makes
 * the list anew. spec/message_spec.lua demands that the lists, and the specs, have all that the
 * sources can say.
 */
#ifndef FAULT_MESSAGES_H
#define FAULT_MESSAGES_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/pkv.h"

#define MESSAGES_MAX 300

typedef struct message_line {
    char text[600];
    bool said, listed;
} message_line;

static message_line message_lines[MESSAGES_MAX];
static size_t message_count;
static pthread_mutex_t messages_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *message_folder; /* what is FOLDER */
static char message_list[4096];    /* the list's path */

/* Replaces each `from` in a text. */
static void replace_words(char text[600], const char *from, const char *to) {
    size_t size = strlen(from), more = strlen(to);
    for (char *at = text; size > 0 && (at = strstr(at, from));) {
        if (strlen(text) - size + more >= 600) abort();
        memmove(at + more, at + size, strlen(at + size) + 1);
        memcpy(at, to, more);
        at += more;
    }
}

static void replace_numbers(char *text) {
    char *to = text;
    for (const char *from = text; *from;) {
        bool digit = *from >= '0' && *from <= '9';
        *to++ = digit ? '%' : *from;
        do from++;
        while (digit && *from >= '0' && *from <= '9');
    }
    *to = '\0';
}

static message_line *message_line_of(const char *text) {
    size_t i = 0;
    while (i < message_count && strcmp(message_lines[i].text, text) != 0) i++;
    if (i == MESSAGES_MAX || strlen(text) >= sizeof message_lines[i].text) abort();
    if (i == message_count) (void)strcpy(message_lines[message_count++].text, text);
    return &message_lines[i];
}

static void hear(const char *message) {
    static const int errors[] = {EAGAIN, EFAULT, EINTR,  EINVAL, EIO,        EMFILE,
                                 ENOLCK, ENOMEM, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM};
    char text[600];
    (void)snprintf(text, sizeof text, "%s", message);
    if (message_folder) replace_words(text, message_folder, "FOLDER");
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        replace_words(text, strerror(errors[i]), "ERROR");
    }
    replace_numbers(text);
    (void)pthread_mutex_lock(&messages_lock);
    message_line_of(text)->said = true;
    (void)pthread_mutex_unlock(&messages_lock);
}

static pkv_status heard(pkv_status status) {
    const pkv_error *error = pkv_error_detail();
    if (status && error->status == status && status != PKV_NOT_FOUND) hear(error->message);
    return status;
}

/* Reads the list, which is found from the repository's root. */
static void listen_for_messages(const char *list, const char *own_folder) {
    char line[600];
    message_folder = own_folder;
    FILE *file = realpath(list, message_list) ? fopen(message_list, "r") : NULL;
    if (!file) {
        printf("no list of messages: %s\n", list);
        exit(1);
    }
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] && line[0] != '#') message_line_of(line)->listed = true;
    }
    (void)fclose(file);
}

static int compare_lines(const void *one, const void *other) {
    return strcmp(((const message_line *)one)->text, ((const message_line *)other)->text);
}

static void write_messages(void) {
    FILE *file = fopen(message_list, "w");
    for (size_t i = 0; file && i < message_count; i++) {
        if (message_lines[i].said) (void)fprintf(file, "%s\n", message_lines[i].text);
    }
    if (file) (void)fclose(file);
}

/* How many messages are wrong, each of which is printed. `all`: the program has tried all. */
static int wrong_messages(bool all) {
    int wrong = 0;
    qsort(message_lines, message_count, sizeof *message_lines, compare_lines);
    const char *wish = getenv("PKV_MESSAGES");
    if (wish && strcmp(wish, "write") == 0) write_messages();
    for (size_t i = 0; i < message_count; i++) {
        const message_line *line = &message_lines[i];
        if (line->said == line->listed || (line->listed && !all)) continue;
        printf("not ok: %s: %s\n", line->said ? "not in the list" : "never said", line->text);
        wrong++;
    }
    return wrong;
}

/* A macro is not expanded within itself. */
#define pkv_open(...)          heard(pkv_open(__VA_ARGS__))
#define pkv_close(...)         heard(pkv_close(__VA_ARGS__))
#define pkv_set(...)           heard(pkv_set(__VA_ARGS__))
#define pkv_sync(...)          heard(pkv_sync(__VA_ARGS__))
#define pkv_snapshot(...)      heard(pkv_snapshot(__VA_ARGS__))
#define pkv_set_message(...)   heard(pkv_set_message(__VA_ARGS__))
#define pkv_get_message(...)   heard(pkv_get_message(__VA_ARGS__))
#define pkv_check(...)         heard(pkv_check(__VA_ARGS__))
#define pkv_repair(...)        heard(pkv_repair(__VA_ARGS__))
#define pkv_drain(...)         heard(pkv_drain(__VA_ARGS__))
#define pkv_cursor_open(...)   heard(pkv_cursor_open(__VA_ARGS__))
#define pkv_cursor_next(...)   heard(pkv_cursor_next(__VA_ARGS__))
#define pkv_prune_backups(...) heard(pkv_prune_backups(__VA_ARGS__))
#define pkv_delete_failed_pending_snapshots(...)                                                   \
    heard(pkv_delete_failed_pending_snapshots(__VA_ARGS__))

#endif
