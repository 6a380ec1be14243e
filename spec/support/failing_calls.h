/* failing_calls.h - the calls of one name fail, from some on: what most programs want of probe.h,
 * and the allocations, whose name is "memory". To be included by one file of a program. */
#ifndef FAILING_CALLS_H
#define FAILING_CALLS_H

#include <stddef.h>
#include "probe.h"

/* The call-th call from now on fails with `error`, and so many in all. */
static inline void fail_from(const char *name, int error, unsigned call, unsigned count) {
    probe_plan plan = {name, PROBE_ERROR, error, call, count};
    probe_fail(&plan, 1);
}

static inline void heal(void) {
    probe_fail(NULL, 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* Sanitizers have their own. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

static probe_site memory_site = {.call = "memory"};

void *malloc(size_t size) {
    return probe_fails(&memory_site) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return probe_fails(&memory_site) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    return probe_fails(&memory_site) ? NULL : __libc_realloc(block, size);
}
#endif

#endif
