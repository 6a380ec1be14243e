/* session.c - opening, closing, complaining. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "cli.h"

int complain(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("pkv: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    return code;
}

typedef struct remedy {
    pkv_status status;
    int code;
    const char *advice;
} remedy;

static const remedy remedies[] = {
    {PKV_NOT_FOUND, EXIT_NOT_FOUND, "Check the path; `pkv set` creates a store."},
    {PKV_LOCKED, EXIT_LOCKED, "End the process that has the store open, or ask it instead."},
    {PKV_CORRUPT, EXIT_CORRUPT,
     "Nothing was changed. `pkv check` says what is damaged, `pkv repair` salvages the rest."},
    {PKV_KEY_MODE, EXIT_WRONG_USE, "Leave --keys off, or say what the store was written with."},
    {PKV_VALUE_TYPE, EXIT_WRONG_USE, "Give a value of the store's kind."},
    {PKV_TOO_LARGE, EXIT_WRONG_USE, NULL},
    {PKV_USAGE, EXIT_WRONG_USE, NULL},
    {PKV_NO_SPACE, EXIT_FAILED, "Make room on the disk and try again; nothing was changed."},
    {PKV_IO, EXIT_FAILED, "Check the folder's permissions, and the disk."},
    {PKV_NO_MEMORY, EXIT_FAILED, "The store's entries must fit in memory."},
};

int complain_status(pkv_status status, const char *path) {
    const char *reason = pkv_error_detail()->message;
    const char *advice = NULL;
    int code = EXIT_FAILED;
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++) {
        if (remedies[i].status != status) continue;
        code = remedies[i].code;
        advice = remedies[i].advice;
    }
    if (strstr(reason, path)) {
        (void)complain(code, "%s", reason);
    } else {
        (void)complain(code, "%s: %s", path, reason);
    }
    if (advice) (void)fprintf(stderr, "     %s\n", advice);
    return code;
}

int session_open(const options *chosen, const char *path, pkv_choice create, session *out) {
    pkv_config config;
    pkv_config_init(&config);
    config.keys = chosen->keys;
    config.key_type = chosen->key_type;
    config.create = create;
    *out = (session){0};
    pkv_status status = pkv_open(path, &config, &out->store);
    if (status != PKV_OK) return complain_status(status, path);
    (void)pkv_stats_get(out->store, &out->stats); /* fails for a store that is not open, only */
    return EXIT_DONE;
}

int session_close(session *in, int code) {
    pkv_status status = pkv_close(in->store);
    in->store = NULL;
    if (status == PKV_OK || code > EXIT_NOT_FOUND) return code;
    return complain_status(status, "closing");
}

int finish_output(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    return complain(EXIT_FAILED, "writing the output: %s", strerror(errno));
}
