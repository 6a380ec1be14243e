/* planted.h - faults for the tests to find. In a test build (-DPKV_PLANT) PLANTED(name) holds where
 * the environment variable PKV_PLANT is `name`; in every other build it is the constant false, and
 * nothing is left of what depends on it. spec/planted/faults tells what each fault is. */
#ifndef PKV_PLANTED_H
#define PKV_PLANTED_H

#include <stdbool.h>

#ifdef PKV_PLANT
#include <stdlib.h>
#include <string.h>

static inline bool planted_is(const char *name) {
    static _Atomic(const char *) chosen;
    const char *fault = chosen;
    if (!fault) {
        fault = getenv("PKV_PLANT");
        if (!fault) fault = "";
        chosen = fault;
    }
    return strcmp(fault, name) == 0;
}

#define PLANTED(name) planted_is(#name)
#else
#define PLANTED(name) false
#endif

#endif
