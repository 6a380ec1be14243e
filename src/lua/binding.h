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
 *   integers.c      64-bit integers, in any Lua
 *   values.c        Lua values to bytes and back
 *   buffer.c        memory for values on their way
 *   msgpack_write.c, msgpack_read.c  tables as MessagePack
 *   errors.c        statuses and messages
 *   compat.h        what differs between versions of Lua
 *   ffi.c           for LuaJIT: functions that compiled code calls, see lua/pkv/ffi.lua
 *
 * Conventions
 *  1. Whoever works on a store has it at stack index 1, and the key at index 2.
 *  2. A Lua error may leave any of these functions at any Lua call that allocates, so memory of the
 *     C heap always has an owner that is a userdata: scratch buffers and handles.
 *  3. Any Lua call that allocates may also run a finalizer, which may use or close the same store.
 *     What was read from a store or a userdata before such a call is read again after it.
 *  4. A function that fails without raising leaves a message on the top of the stack.
 */
#ifndef LUA_BINDING_H
#define LUA_BINDING_H

#include <stdbool.h>

#include "../pkv.h"
#include "compat.h"

#define LPKV_STORE  "pkv.store"
#define LPKV_CURSOR "pkv.cursor"
#define LPKV_BUFFER "pkv.buffer"

/* Tables may be nested this deep in a value. */
#define LPKV_DEPTH_MAX 128
/* Values up to this size are read by way of the C stack, longer ones by way of the scratch. */
#define LPKV_SMALL_VALUE 1024
/* A scratch buffer that has grown beyond this is given back after use. */
#define LPKV_SCRATCH_KEEP ((size_t)1 << 20)

/* Slots of the table that is the user value of a store which has any of these functions. */
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
    lpkv_buffer *scratch; /* where the bytes are, or NULL; to be given back */
} lpkv_value;

/* errors.c */

/* Pushes nil, the message on the top of the stack and the code: the results of a failed call. */
int lpkv_failure(lua_State *L, pkv_status status);
/* Pushes what the failed call of this thread had to say. Returns the status. */
pkv_status lpkv_push_detail(lua_State *L, pkv_status status);
/* Raises the message on the top of the stack, with the place of the caller before it. */
int lpkv_raise(lua_State *L);
/* The same for an argument of the running function: bad argument #index to 'pkv.get' (problem). */
int lpkv_argument_error(lua_State *L, int index, const char *problem);
/* The same: bad argument #index to 'pkv.get' (expected expected, got number). */
int lpkv_type_error(lua_State *L, int index, const char *expected);
/* Puts C functions into the table on the top. Their upvalue is their name, for messages. */
void lpkv_set_functions(lua_State *L, const char *prefix, const luaL_Reg *functions);
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
/* Pushes the key, or fails with PKV_VALUE_TYPE. */
pkv_status lpkv_key_push(lua_State *L, const lpkv_store *store, pkv_bytes key);

/* integers.c */

/* Has the double no fraction, and do 64 bits hold it? */
bool lpkv_whole_double(double value, pkv_integer type, int64_t *number);
/* Does it count as an integer in a Lua that has doubles only? */
bool lpkv_integer_double(double value, int64_t *number);
/* Is there a double that is the same as the integer? */
bool lpkv_exact_double(int64_t number, bool is_unsigned, double *value);
/* Is the value at index a number without a fraction that 64 bits can hold? Of PKV_U64 and numbers
 * from 2^63 on, these are the bits. */
bool lpkv_whole_number(lua_State *L, int index, pkv_integer type, int64_t *number);
/* Does the number at index count as an integer? */
bool lpkv_is_integer(lua_State *L, int index, int64_t *number);
/* Is the value at index an integer of LuaJIT's FFI library? */
bool lpkv_cdata_integer(lua_State *L, int index, int64_t *number, bool *is_unsigned);
/* Pushes the integer, or nothing if this Lua has no value that is the same. */
bool lpkv_push_integer(lua_State *L, int64_t number, bool is_unsigned);
/* Pushes "the integer 9007199254740993, which ...": what to say then. */
void lpkv_push_inexact(lua_State *L, int64_t number, bool is_unsigned);
/* Pushes a number that something was counted to. */
void lpkv_push_count(lua_State *L, uint64_t number);

/* values.c */

/* Is a string stored as its bytes, and bytes a string? */
static inline bool lpkv_keeps_strings(const lpkv_store *store) {
    return store->values == PKV_VALUES_ANY || store->values == PKV_VALUES_STRING;
}

/* Makes a value of the lowest bytes of a word. */
void lpkv_value_fixed(lpkv_value *value, pkv_type type, uint64_t word, size_t size);
/* The eight bytes of an integer or a float. */
uint64_t lpkv_value_word(const void *bytes);

/* Makes bytes of the value at index, which stay valid until the next Lua call that allocates.
 * Raises what cannot be stored; PKV_NO_MEMORY or PKV_TOO_LARGE otherwise. May leave values on the
 * stack. */
pkv_status lpkv_value_write(lua_State *L, lpkv_store *store, int index, lpkv_value *value);
/* Pushes the value that `bytes` stands for, or fails with PKV_CORRUPT or PKV_VALUE_TYPE. Where
 * Lua does not collect early, `bytes` may lie in memory that a finalizer can free. */
pkv_status lpkv_value_push(lua_State *L, lpkv_store *store, pkv_bytes bytes, pkv_type type);

/* buffer.c */

/* The store's scratch buffer, empty. Where Lua collects early, it is moved to a userdata on the top
 * of the stack, so that no finalizer finds it. Is given back if no error comes in between. */
lpkv_buffer *lpkv_scratch_take(lua_State *L, lpkv_store *store);
void lpkv_scratch_give_back(lpkv_store *store, lpkv_buffer *scratch);
/* Makes room for `extra` bytes after buffer->size. */
pkv_status lpkv_buffer_reserve(lpkv_buffer *buffer, size_t extra);
void lpkv_buffer_free(lpkv_buffer *buffer);
void lpkv_register_buffer(lua_State *L);

/* msgpack_write.c, msgpack_read.c */

/* Appends the table at index to out. Raises, with a path, what cannot be stored. */
pkv_status lpkv_msgpack_write(lua_State *L, int index, lpkv_buffer *out);
/* Pushes the table that `bytes` stands for, which no finalizer may free; else a message. */
pkv_status lpkv_msgpack_read(lua_State *L, pkv_bytes bytes);

/* store_object.c */

/* The store at index, which is its userdata afterwards, or NULL if that is something else. */
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

int lpkv_index_store(lua_State *L);
int lpkv_get(lua_State *L);
int lpkv_set(lua_State *L);
int lpkv_unset(lua_State *L);
int lpkv_sync(lua_State *L);
int lpkv_snapshot(lua_State *L);
int lpkv_close(lua_State *L);
int lpkv_is_store(lua_State *L);

/* cursor.c */

typedef struct lpkv_cursor {
    pkv_cursor *handle; /* NULL: not open yet, or at its end */
    lpkv_store *store;
    pkv_entry entry; /* the latest; valid until the next step */
    bool drains;     /* the store is closed, and the cursor all that is left of it */
    uint32_t steps;  /* tells whether somebody else stepped or closed it meanwhile */
    double ticket;   /* of ffi.c, where the last step was made there; else 0 */
} lpkv_cursor;

/* Goes on to the next entry; PKV_NOT_FOUND, and the cursor is closed, after the last. PKV_CLOSED if
 * the store is. */
pkv_status lpkv_cursor_step(lpkv_cursor *c);
/* Pushes key and value of the entry; the store is all that is on the stack. */
int lpkv_push_entry(lua_State *L, lpkv_cursor *c);
void lpkv_check_step(lua_State *L, bool is_same);
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
void lpkv_register_findings(lua_State *L);

/* ffi.c: what lua/pkv/ffi.lua does for the module where there is LuaJIT with its FFI library. */

/* Functions that are called from C, by the names that they have in the registry. */
#define LPKV_MAKE_INTEGER  "pkv.make_integer"  /* (high half, low half, is_unsigned): a cdata */
#define LPKV_TAKE_INTEGER  "pkv.take_integer"  /* (cdata): these three, or nil */
#define LPKV_WRAP_STORE    "pkv.wrap_store"    /* (userdata): the cdata that the program gets */
#define LPKV_UNWRAP_STORE  "pkv.unwrap_store"  /* (cdata): its userdata, or itself */
#define LPKV_WRAP_ITERATOR "pkv.wrap_iterator" /* (function, cursor): a cdata */

/* Pushes the function, or nothing if there is none. */
bool lpkv_push_hook(lua_State *L, const char *name);
/* Puts the cdata of a store in the place of its userdata at index, and the other way round, if
 * there are cdata. */
void lpkv_wrap(lua_State *L, int index);
void lpkv_unwrap(lua_State *L, int index);
/* Lets it have the module, which is on the top. */
void lpkv_use_ffi(lua_State *L);

#endif
