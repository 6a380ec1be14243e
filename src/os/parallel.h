/* parallel.h - the same job for many indices, on several threads. */
#ifndef PKV_PARALLEL_H
#define PKV_PARALLEL_H

#include <stddef.h>
#include "../pkv.h"
#include "visibility.h"

typedef pkv_status (*parallel_job)(void *context, size_t index);

typedef enum parallel_manner {
    PARALLEL_WITH_CALLER, /* somebody waits: the caller is one of the threads */
    PARALLEL_BEHIND       /* nobody does: threads that let those of the program go first */
} parallel_manner;

/* Calls job(context, 0 .. count - 1), each once, on up to `threads` threads; a thread that cannot
 * be started is done without. Returns when all have ended: PKV_OK, or the first failure met, whose
 * details are then this thread's. After a failure no further index is begun. */
pkv_status parallel_run(unsigned threads, size_t count, parallel_manner manner, parallel_job job,
                        void *context);

#include "visibility_end.h"
#endif
