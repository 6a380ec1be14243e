/* probe.h - the platform layer with a probe on each call that it makes to the system: the call can
 * be made to fail, and it is told of.
 *
 * probe.c compiles src/os/posix.c and posix_files.c themselves, with their calls renamed. A program
 * that links it leaves these two out.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* A place in the source where a call is made. */
typedef struct probe_site {
    const char *call, *file; /* the call's name; of madvise, the advice's */
    int line;
    atomic_uint calls, failures;
} probe_site;

probe_site *probe_sites(size_t *count);

typedef enum probe_fault {
    PROBE_ERROR,    /* the call has failed; a write has written half of its bytes nonetheless */
    PROBE_ONE_BYTE, /* a read or write stops after one byte */
    PROBE_HALF      /* or after half of its bytes */
} probe_fault;

typedef struct probe_plan {
    const char *call;
    probe_fault fault;
    int error;
    unsigned first, count; /* the first-th such call from now on, and so many in all */
} probe_plan;

#define PROBE_PLANS 2
#define PROBE_EVER  1000000000u

/* From now on calls fail as these plans say, PROBE_PLANS of them at most. */
void probe_fail(const probe_plan *plans, size_t count);
/* How many calls the first plan has met since. */
unsigned probe_met(void);

/* For calls that a program itself replaces: true, and errno set, if this one is to fail. */
bool probe_fails(probe_site *site);

/* `told` gets a line for each call that has read or changed a file or a name, in their order:
 *
 *     folder PATH                made                    sync NAME or PATH
 *     create NAME                                        rename NAME NAME
 *     open NAME                  close NAME              unlink NAME
 *     read NAME OFFSET SIZE      truncate NAME SIZE      lock NAME
 *     write NAME OFFSET SIZE     allocate NAME OFFSET SIZE
 *     map NAME OFFSET SIZE       reserve NAME OFFSET SIZE
 *     forget NAME                list PATH
 */
void probe_on_call(void (*told)(const char *line));

#endif
