/* prefetch.h - cache lines: what begins with one, and asking for one before it is needed. */
#ifndef PKV_PREFETCH_H
#define PKV_PREFETCH_H

#include "../os/visibility.h"

#define CACHE_LINE 64u

/* For short functions that are called often: what they take depends on where their branches lie in
 * a line of code, which each change elsewhere would move. */
#define AT_LINE_START __attribute__((aligned(CACHE_LINE)))

/* Any address will do. */
static inline void prefetch_to_read(const void *at) {
    __builtin_prefetch(at);
    __asm__ volatile(""); /* gcc leaves out calls of functions that do nothing but ask */
}

/* The same for what is about to be written. */
static inline void prefetch_to_write(const void *at) {
#ifdef __x86_64__
    /* For __builtin_prefetch(at, 1) compilers ask to read, unless told that the processor has this
     * instruction. Those of 64 bits that have not do nothing for it. */
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)at));
#else
    __builtin_prefetch(at, 1);
    __asm__ volatile("");
#endif
}

#include "../os/visibility_end.h"
#endif
