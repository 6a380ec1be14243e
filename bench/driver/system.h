/* system.h - what the operating system says about this process and its descendants (a store may be
 * a server that its adapter started). */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdint.h>
#include <time.h>

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Nanoseconds of the monotonic clock. */
static inline uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void sleep_ms(long ms);

/* Proportional set size in bytes, less files in `folder` whose names contain `mapped_log` (NULL:
 * none are left out). */
uint64_t processes_memory(const char *folder, const char *mapped_log);

/* Bytes that the processes made the kernel write, now or later: write_bytes of /proc/PID/io. */
uint64_t processes_written(void);

/* Bytes of the disk's blocks that the files in the folder take. */
uint64_t folder_blocks(const char *folder);

/* Waits until the processes have had nothing to do for half a second: no thread that runs or waits
 * for the disk, next to no time on a processor. Gives up after two minutes; returns the seconds it
 * took. */
double processes_settle(void);

#endif
