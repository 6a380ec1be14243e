/* error.h - the details of a thread's last failure, behind pkv_error_detail.
 *
 * Whoever meets an error first says all it knows, in one call that returns the status:
 *
 *     return fail(PKV_CORRUPT, name, offset, 0, "record at offset %llu of %s is ...", ...);
 */
#ifndef PKV_OS_ERROR_H
#define PKV_OS_ERROR_H

#include "../pkv.h"
#include "visibility.h"

#define NO_OFFSET UINT64_MAX

/* Records the failure for this thread and returns `status`. `file` may be NULL. Where os_error is
 * not 0, the operating system's own words for it are added to the message. */
pkv_status fail(pkv_status status, const char *file, uint64_t offset, int os_error,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* fail, with the status that fits os_error: PKV_NO_SPACE, PKV_NO_MEMORY or PKV_IO. */
pkv_status fail_os(const char *file, uint64_t offset, int os_error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts a sentence in front of this thread's message and keeps all else. Returns its status. */
pkv_status fail_context(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Makes `error` this thread's last failure: for errors met by another thread. */
pkv_status fail_with(const pkv_error *error);

#include "visibility_end.h"
#endif
