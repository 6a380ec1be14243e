/* process_bytes.h - how much memory this process has. */
#ifndef PROCESS_BYTES_H
#define PROCESS_BYTES_H

#include <stdint.h>
#include <stdio.h>
#include "../../src/os/os.h"

/* A figure of /proc/self/statm, 0 where there is none. */
typedef enum process_figure {
    PROCESS_RESIDENT = 1,
    PROCESS_PRIVATE = 5 /* writable */
} process_figure;

static inline uint64_t process_bytes(process_figure figure) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    for (unsigned i = 0; i <= (unsigned)figure; i++) {
        if (fscanf(file, "%lu", &pages) != 1) pages = 0;
    }
    fclose(file);
    return (uint64_t)pages * os_page_size();
}

#endif
