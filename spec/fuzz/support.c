/* support.c - see support.h. */
#include "support.h"

#include <sanitizer/allocator_interface.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

void must_hold(bool holds, const char *what, const char *file, int line) {
    if (holds) return;
    (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

/* Bytes allocated since memory_watch; negative where older memory has been freed. */
static atomic_llong grown;
static atomic_llong limit;
static atomic_bool watching;

static void count_malloc(const volatile void *memory, size_t size) {
    (void)memory;
    if (!atomic_load(&watching)) return;
    long long now = atomic_fetch_add(&grown, (long long)size) + (long long)size;
    if (now <= atomic_load(&limit)) return;
    atomic_store(&watching, false); /* what reports this allocates too */
    (void)fprintf(stderr, "the heap has grown by %lld bytes, %lld are allowed\n", now,
                  atomic_load(&limit));
    abort();
}

static void count_free(const volatile void *memory) {
    if (!memory || !atomic_load(&watching)) return;
    size_t size = __sanitizer_get_allocated_size((const void *)(uintptr_t)memory);
    (void)atomic_fetch_sub(&grown, (long long)size);
}

void memory_watch(uint64_t allowed) {
    static bool installed;
    if (!installed) {
        installed = __sanitizer_install_malloc_and_free_hooks(count_malloc, count_free) > 0;
        must(installed);
    }
    atomic_store(&grown, 0);
    atomic_store(&limit, (long long)allowed);
    atomic_store(&watching, true);
}

void memory_unwatch(void) {
    atomic_store(&watching, false);
}
