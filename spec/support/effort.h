/* effort.h - how much of a long test a build does: all of it where nothing else is asked for, less
 * where each step costs more, or where what makes the build different is met soon. In this order:
 * normal; with tiny limits; to count branches; under AddressSanitizer; under ThreadSanitizer. */
#ifndef EFFORT_H
#define EFFORT_H

#if defined(__SANITIZE_THREAD__)
#define EFFORT(normal, tiny, count, address, thread) thread
#elif defined(__SANITIZE_ADDRESS__)
#define EFFORT(normal, tiny, count, address, thread) address
#elif defined(PKV_COVERAGE)
#define EFFORT(normal, tiny, count, address, thread) count
#elif defined(PKV_TINY)
#define EFFORT(normal, tiny, count, address, thread) tiny
#else
#define EFFORT(normal, tiny, count, address, thread) normal
#endif

/* Sanitizers keep what is freed, so that memory says nothing. */
#define SANITIZED EFFORT(0, 0, 0, 1, 1)

#endif
