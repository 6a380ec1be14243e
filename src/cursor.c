/* cursor.c - see store.h: iteration, and the drain that ends a store.
 *
 * A walk copies a bucket's entries at a time; the cursor then fetches each of them anew, so that
 * what it hands out is what the store holds at that step: an entry that was removed since is
 * skipped, a value that was replaced is the new one.
 */
#include "store.h"

#include <stdlib.h>
#include <string.h>

struct pkv_cursor {
    pkv *store;
    unsigned fork_generation;
    bool drains; /* the store, which is closed, is ours */
    uint32_t shard;
    uint64_t position;
    walk_step step;
    size_t index; /* of the next entry of the step */
    uint8_t *value;
    size_t capacity;
};

static pkv_status fail_cursor(void) {
    return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for a cursor");
}

static pkv_cursor *make_cursor(pkv *store) {
    pkv_cursor *cursor = calloc(1, sizeof *cursor);
    if (!cursor) return NULL;
    cursor->store = store;
    cursor->fork_generation = store->fork_generation;
    return cursor;
}

pkv_status pkv_cursor_open(pkv *store, pkv_cursor **cursor) {
    pkv_status status = store_usable(store);
    if (status) return status;
    pkv_cursor *made = make_cursor(store);
    if (!made) return fail_cursor();
    *cursor = made;
    return PKV_OK;
}

static pkv_status grow_value(pkv_cursor *cursor, size_t size) {
    size_t capacity = size < 256 ? 256 : size + size / 4;
    uint8_t *grown = realloc(cursor->value, capacity);
    if (!grown) {
        return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for a value of %zu bytes", size);
    }
    cursor->value = grown;
    cursor->capacity = capacity;
    return PKV_OK;
}

/* PKV_NOT_FOUND where the entry has gone. */
static pkv_status fetch(pkv_cursor *cursor, pkv_bytes key, pkv_entry *entry) {
    memory *m = &cursor->store->memory;
    memory_key at = memory_key_of(m, key);
    size_t size = 0;
    for (;;) {
        pkv_status status =
            memory_get(m, &at, cursor->value, cursor->capacity, &size, &entry->type);
        if (status) return status;
        if (size <= cursor->capacity) break;
        status = grow_value(cursor, size);
        if (status) return status;
    }
    entry->key = key;
    entry->value = (pkv_bytes){cursor->value, size};
    return PKV_OK;
}

/* The next bucket's entries; PKV_NOT_FOUND after the last of the last shard. */
static pkv_status next_step(pkv_cursor *cursor) {
    memory *m = &cursor->store->memory;
    cursor->index = 0;
    cursor->step.count = 0;
    while (cursor->shard < m->shard_count) {
        pkv_status status = memory_walk(m, cursor->shard, &cursor->position, &cursor->step);
        if (status != PKV_NOT_FOUND) return status;
        if (cursor->drains) memory_clear(m, cursor->shard);
        cursor->shard++;
        cursor->position = 0;
        cursor->step.count = 0;
    }
    return PKV_NOT_FOUND;
}

pkv_status pkv_cursor_next(pkv_cursor *cursor, pkv_entry *entry) {
    if (!cursor) return fail(PKV_CLOSED, NULL, NO_OFFSET, 0, "the cursor is closed");
    if (cursor->fork_generation != os_fork_generation()) {
        return fail(PKV_FORKED, NULL, NO_OFFSET, 0,
                    "this cursor was opened before fork, by the parent process; open one anew");
    }
    for (;;) {
        while (cursor->index < cursor->step.count) {
            const walk_entry *e = &cursor->step.entries[cursor->index++];
            pkv_bytes key = {cursor->step.bytes + e->key, e->key_size};
            pkv_status status = fetch(cursor, key, entry);
            if (status != PKV_NOT_FOUND) return status;
        }
        pkv_status status = next_step(cursor);
        if (status) return status;
    }
}

void pkv_cursor_close(pkv_cursor *cursor) {
    if (!cursor) return;
    if (cursor->drains && cursor->fork_generation == os_fork_generation()) {
        store_free(cursor->store);
    }
    walk_step_release(&cursor->step);
    free(cursor->value);
    free(cursor);
}

pkv_status pkv_drain(pkv *store, pkv_cursor **cursor) {
    pkv_status status = store_usable(store);
    if (status) return status;
    if (!store_begin_close(store)) {
        return fail(PKV_USAGE, NULL, NO_OFFSET, 0,
                    "store %s cannot be drained: it is open elsewhere in this process",
                    store->disk.path);
    }
    pkv_cursor *made = make_cursor(store);
    status = store_stop(store);
    store_unlist(store);
    if (!status && !made) status = fail_cursor();
    if (status) {
        store_free(store);
        free(made);
        return status;
    }
    made->drains = true;
    *cursor = made;
    return PKV_OK;
}
