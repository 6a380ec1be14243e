/* binding.h - what the files of the Lua module share.
 *
 *   module.c        the table that require "pkv" returns
 *   open.c          pkv.open and its options
 *   store_object.c  the store as a userdata: metamethods, and the functions of the same meaning
 *   cursor.c        pairs, pkv.each, pkv.drain
 *   admin.c         pkv.stats, and what works on a folder
 *   soundness.c     pkv.check, pkv.repair
 *   events.c        on_event
 *   keys.c          Lua keys to bytes and back
 *   values.c        Lua values to bytes and back
 *   msgpack_write.c, msgpack_read.c  tables as MessagePack
 *   errors.c        statuses and messages
 *
 * Conventions
 *  1. Whoever works on a store has it at stack index 1, and the key at index 2.
 *  2. A Lua error may leave any of these functions at any Lua call that allocates, so memory of the
 *     C heap always has an owner that is a userdata: the scratch buffer and the handles.
 *  3. Any Lua call that allocates may also run a finalizer, which may use or close the same store.
 *     What was read from a store or a userdata before such a call is read again after it.
 *  4. A function that fails without raising leaves a message on the top of the stack.
 */
#ifndef LUA_BINDING_H
#define LUA_BINDING_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "../pkv.h"

#define LPKV_STORE  "pkv.store"
#define LPKV_CURSOR "pkv.cursor"

/* Tables may be nested this deep in a value. */
#define LPKV_DEPTH_MAX 128
/* Values up to this size are read by way of the C stack, longer ones by way of the scratch. */
#define LPKV_SMALL_VALUE 1024
/* A scratch buffer that has grown beyond this is given back after use. */
#define LPKV_SCRATCH_KEEP ((size_t)1 << 20)

/* Slots of the table that is a store's user value; there is none if all three are nil. */
enum { LPKV_ENCODE = 1, LPKV_DECODE, LPKV_ON_EVENT };

typedef struct lpkv_buffer {
    char *data;
    size_t size, capacity;
} lpkv_buffer;

typedef struct lpkv_store {
    const void *magic;    /* tells a store from any other userdata, cheaper than a metatable */
    pkv *handle;          /* NULL: not open yet, or closed */
    pkv_integer key_type; /* PKV_INTEGER_NONE: strings */
    pkv_values values;
    bool has_events;
    bool delivering; /* inside on_event, which is not called again meanwhile */
    uint64_t seen;   /* number of the latest event delivered */
    lpkv_buffer scratch;
    char path[]; /* as given to pkv.open */
} lpkv_store;

typedef struct lpkv_key {
    pkv_bytes bytes;
    unsigned char fixed[8];
} lpkv_key;

typedef struct lpkv_value {
    pkv_bytes bytes;
    pkv_type type;
    unsigned char fixed[8];
} lpkv_value;

/* errors.c */

/* Pushes nil, the message on the top of the stack and the code: the results of a failed call. */
int lpkv_failure(lua_State *L, pkv_status status);
/* Pushes what the failed call of this thread had to say. Returns the status. */
pkv_status lpkv_push_detail(lua_State *L, pkv_status status);
/* Raises the message on the top of the stack, with the place of the caller before it. */
int lpkv_raise(lua_State *L);
/* "no_space" and the like. */
const char *lpkv_code(pkv_status status);
/* Pushes a string in quotes, shortened and with escapes, for messages. */
void lpkv_push_quoted(lua_State *L, const char *text, size_t size);
/* Pushes 'string "abc"', 'number 2.5', 'table': what is at index, for messages. */
void lpkv_push_description(lua_State *L, int index);

/* keys.c */

/* Makes a key of what is at index; raises if this store cannot have it. The bytes stay valid as
 * long as the value is on the stack. */
void lpkv_key_read(lua_State *L, const lpkv_store *store, int index, lpkv_key *key);
void lpkv_key_push(lua_State *L, const lpkv_store *store, pkv_bytes key);
/* Is the value at index a number without a fraction that 64 bits can hold? */
bool lpkv_whole_number(lua_State *L, int index, pkv_integer type, int64_t *number);

/* values.c */

/* Makes bytes of the value at index, which stay valid until the next Lua call that allocates.
 * Raises what cannot be stored; PKV_NO_MEMORY or PKV_TOO_LARGE otherwise. */
pkv_status lpkv_value_write(lua_State *L, lpkv_store *store, int index, lpkv_value *value);
/* Pushes the value that `bytes` stands for, or fails with PKV_CORRUPT or PKV_VALUE_TYPE. `bytes`
 * may lie in memory that a finalizer can free. */
pkv_status lpkv_value_push(lua_State *L, lpkv_store *store, pkv_bytes bytes, pkv_type type);
/* Makes room for `extra` bytes after buffer->size. */
pkv_status lpkv_buffer_reserve(lpkv_buffer *buffer, size_t extra);
void lpkv_buffer_free(lpkv_buffer *buffer);
void lpkv_buffer_trim(lpkv_buffer *buffer);

/* msgpack_write.c, msgpack_read.c */

/* Appends the table at index to out. Raises, with a path, what cannot be stored. */
pkv_status lpkv_msgpack_write(lua_State *L, int index, lpkv_buffer *out);
/* Pushes the table that `bytes` stands for, which no finalizer may free; else a message. */
bool lpkv_msgpack_read(lua_State *L, pkv_bytes bytes);

/* store_object.c */

/* The store at index, or NULL if that is something else. */
lpkv_store *lpkv_to_store(lua_State *L, int index);
/* The store at index 1; raises if it is none. */
lpkv_store *lpkv_check_store(lua_State *L);
/* The same, and raises if it is closed. */
lpkv_store *lpkv_check_open(lua_State *L);
int lpkv_raise_closed(lua_State *L, const lpkv_store *store);
/* Pushes a closed store. */
lpkv_store *lpkv_new_store(lua_State *L, const char *path);
/* Pushes what is in a slot of the user value of the store at index 1. */
void lpkv_push_slot(lua_State *L, int slot);
void lpkv_register_store(lua_State *L);

int lpkv_get(lua_State *L);
int lpkv_set(lua_State *L);
int lpkv_unset(lua_State *L);
int lpkv_sync(lua_State *L);
int lpkv_snapshot(lua_State *L);
int lpkv_close(lua_State *L);
int lpkv_is_store(lua_State *L);

/* cursor.c */

int lpkv_pairs(lua_State *L);
int lpkv_each(lua_State *L);
int lpkv_drain(lua_State *L);
void lpkv_register_cursor(lua_State *L);

/* events.c */

/* Hands new events to on_event; false, and the error on the stack, if that fails. */
bool lpkv_run_events(lua_State *L, lpkv_store *store);
/* The same after an operation, raising the error. Costs next to nothing where nobody listens. */
static inline void lpkv_deliver_events(lua_State *L, lpkv_store *store) {
    if (store->has_events && !lpkv_run_events(L, store)) lua_error(L);
}

/* open.c, admin.c */

int lpkv_open(lua_State *L);
/* Raises unless the value at index can be the path of a folder. */
const char *lpkv_check_path(lua_State *L, int index);
const char *lpkv_sync_name(pkv_sync_mode mode);
const char *lpkv_wal_io_name(pkv_wal_io wal_io);

int lpkv_stats(lua_State *L);
int lpkv_prune_backups(lua_State *L);
int lpkv_delete_failed_pending_snapshots(lua_State *L);

/* soundness.c */

int lpkv_check(lua_State *L);
int lpkv_repair(lua_State *L);

#endif
