/* parallel.c - see parallel.h. */
#include "parallel.h"

#include <stdatomic.h>
#include <stdlib.h>
#include "error.h"
#include "os.h"

typedef struct parallel {
    parallel_job job;
    void *context;
    size_t count;
    atomic_size_t next;
    os_mutex lock;
    pkv_status status; /* of the first failure */
    pkv_error error;
} parallel;

static void report(parallel *p, pkv_status status) {
    os_lock(&p->lock);
    if (!p->status) {
        p->status = status;
        p->error = *pkv_error_detail();
    }
    os_unlock(&p->lock);
    atomic_store(&p->next, p->count);
}

static void *work(void *context) {
    parallel *p = context;
    for (;;) {
        size_t index = atomic_load(&p->next);
        do {
            if (index >= p->count) return NULL;
        } while (!atomic_compare_exchange_weak(&p->next, &index, index + 1));
        pkv_status status = p->job(p->context, index);
        if (status) report(p, status);
    }
}

static void *work_behind(void *context) {
    os_thread_step_back();
    return work(context);
}

pkv_status parallel_run(unsigned threads, size_t count, parallel_manner manner, parallel_job job,
                        void *context) {
    parallel p = {.job = job, .context = context, .count = count};
    void *(*body)(void *) = manner == PARALLEL_BEHIND ? work_behind : work;
    int error = os_mutex_init(&p.lock);
    if (error) return fail_os(NULL, NO_OFFSET, error, "cannot make a lock");
    size_t helpers = threads < count ? threads : count, running = 0;
    if (manner == PARALLEL_WITH_CALLER && helpers > 0) helpers--;
    os_thread *started = helpers > 0 ? calloc(helpers, sizeof *started) : NULL;
    while (started && running < helpers && os_thread_start(&started[running], body, &p) == 0) {
        running++;
    }
    if (manner == PARALLEL_WITH_CALLER || running == 0) (void)work(&p);
    for (size_t i = 0; i < running; i++) os_thread_join(started[i]);
    free(started);
    os_mutex_destroy(&p.lock);
    return p.status ? fail_with(&p.error) : PKV_OK;
}
