/* sweep.h - all records of a file that may be damaged, and the ranges between them that hold none:
 * what a check tells of, and a repair leaves out. */
#ifndef PKV_SWEEP_H
#define PKV_SWEEP_H

#include "reader.h"
#include "../os/visibility.h"

typedef struct sweep_range {
    uint64_t from, upto;
    record_result ended; /* why there is no record at `from`; RECORD_OK: the file ends there */
    bool more;           /* records follow */
} sweep_range;

typedef struct sweep {
    /* Takes records; a failure ends the sweep. */
    pkv_status (*take)(void *context, const reader *in, const reader_batch *batch);
    /* Takes a range without records; false ends the sweep. */
    bool (*skip)(void *context, const sweep_range *range);
    void *context;
} sweep;

/* From the reader's place on. The file once had `size` bytes at least; what is missing of them is a
 * range, too. Fails where reading fails, or `take` does. */
pkv_status sweep_run(reader *in, uint64_t size, const sweep *s);

#include "../os/visibility_end.h"
#endif
