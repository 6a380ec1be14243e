/* prefetch.h - cache lines, and asking for one that is about to be written. Any address will do. */
#ifndef PKV_PREFETCH_H
#define PKV_PREFETCH_H

#include "../os/visibility.h"

#define CACHE_LINE 64u

static inline void prefetch_to_write(const void *at) {
#ifdef __x86_64__
    /* For __builtin_prefetch(at, 1) compilers ask to read, unless told that the processor has this
     * instruction. Those of 64 bits that have not do nothing for it. */
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)at));
#else
    __builtin_prefetch(at, 1);
#endif
}

#include "../os/visibility_end.h"
#endif
