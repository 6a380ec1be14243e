/* error.c - the details of a thread's last failure.
 *
 * One pkv_error per thread, replaced as a whole: a new one is put together beside it first, since
 * the arguments may well point into the old one. */
#if !defined(_GNU_SOURCE)
#define _POSIX_C_SOURCE 200809L /* strerror_r */
#endif
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "error.h"

static _Thread_local pkv_error last = {.offset = NO_OFFSET};

#define MESSAGE_BYTES sizeof(((pkv_error *)0)->message)

/* strerror_r answers in two ways: glibc's own returns the text, the standard's writes it. */
static inline const char *text_returned(const char *returned, const char *written) {
    (void)written;
    return returned;
}
static inline const char *text_written(int failed, const char *written) {
    return failed ? "unknown error" : written;
}

static void append(char message[MESSAGE_BYTES], const char *text) {
    size_t size = strlen(message), more = strlen(text);
    if (more > MESSAGE_BYTES - 1 - size) more = MESSAGE_BYTES - 1 - size;
    memcpy(message + size, text, more);
    message[size + more] = 0;
}

static void append_os_words(char message[MESSAGE_BYTES], int os_error) {
    char buffer[128] = "";
    const char *words =
        _Generic(strerror_r(0, buffer, sizeof buffer), int
                 : text_written, default
                 : text_returned)(strerror_r(os_error, buffer, sizeof buffer), buffer);
    append(message, ": ");
    append(message, words);
}

static pkv_status record_failure(pkv_status status, const char *file, uint64_t offset, int os_error,
                                 const char *format, va_list arguments)
    __attribute__((format(printf, 5, 0)));

static pkv_status record_failure(pkv_status status, const char *file, uint64_t offset, int os_error,
                                 const char *format, va_list arguments) {
    pkv_error error = {.status = status, .os_error = os_error, .offset = offset};
    if (file) (void)snprintf(error.file, sizeof error.file, "%s", file);
    (void)vsnprintf(error.message, sizeof error.message, format, arguments);
    if (os_error) append_os_words(error.message, os_error);
    last = error;
    return status;
}

pkv_status fail(pkv_status status, const char *file, uint64_t offset, int os_error,
                const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)record_failure(status, file, offset, os_error, format, arguments);
    va_end(arguments);
    return status;
}

static pkv_status status_of_os_error(int os_error) {
    switch (os_error) {
    case ENOSPC:
    case EDQUOT:
        return PKV_NO_SPACE;
    case ENOMEM:
        return PKV_NO_MEMORY;
    default:
        return PKV_IO;
    }
}

pkv_status fail_os(const char *file, uint64_t offset, int os_error, const char *format, ...) {
    pkv_status status = status_of_os_error(os_error);
    va_list arguments;
    va_start(arguments, format);
    (void)record_failure(status, file, offset, os_error, format, arguments);
    va_end(arguments);
    return status;
}

pkv_status fail_context(const char *format, ...) {
    char message[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    append(message, ": ");
    append(message, last.message);
    memcpy(last.message, message, sizeof message);
    return last.status;
}

pkv_status fail_with(const pkv_error *error) {
    if (error != &last) last = *error;
    return last.status;
}

const pkv_error *pkv_error_detail(void) {
    return &last;
}

const char *pkv_status_text(pkv_status status) {
    switch (status) {
    case PKV_OK:
        return "all is well";
    case PKV_NOT_FOUND:
        return "there is no such key, or no such store";
    case PKV_LOCKED:
        return "another process has the store open";
    case PKV_CORRUPT:
        return "a file of the store does not hold what was written to it";
    case PKV_KEY_MODE:
        return "the store holds another kind of keys";
    case PKV_VALUE_TYPE:
        return "the store, or the entry, holds another kind of values";
    case PKV_IO:
        return "the operating system reported an error";
    case PKV_NO_SPACE:
        return "the disk is full";
    case PKV_NO_MEMORY:
        return "memory, or the address space of a shard, is exhausted";
    case PKV_TOO_LARGE:
        return "a key or value is over the limit";
    case PKV_READ_ONLY:
        return "an earlier flush failed: nothing can be written until the store is reopened";
    case PKV_CLOSED:
        return "the store is closed";
    case PKV_FORKED:
        return "the store was opened by the parent process: open it anew";
    case PKV_USAGE:
        return "the arguments are wrong, or contradict how the store is open already";
    }
    return "unknown status";
}
