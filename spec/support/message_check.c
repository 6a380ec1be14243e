/* message_check.c - what the C API says where it is misused: the whole text, each time. What it
 * says where calls fail is in spec/messages; what Lua reaches is in message_spec. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../src/disk/manifest.pb-c.h"
#include "../../src/pkv.h"
#include "../../src/pkv_protobuf.h"

static int passed, failed;
static char folder[] = "/tmp/pkv-message-XXXXXX", path[64];

static void check(bool ok, const char *what) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s: %s\n", what, pkv_error_detail()->message);
}

/* The call has failed, and this is what is said of it. In `text`, FOLDER is the one above. */
static void says(pkv_status status, const char *text) {
    char said[1024] = "";
    size_t size = 0;
    for (const char *name, *at = text; *at; at = name + strlen("FOLDER")) {
        name = strstr(at, "FOLDER");
        int more = (int)(name ? (size_t)(name - at) : strlen(at));
        size += (size_t)snprintf(said + size, sizeof said - size, "%.*s%s", more, at,
                                 name ? folder : "");
        if (!name) break;
    }
    const pkv_error *error = pkv_error_detail();
    check(status && error->status == status && strcmp(error->message, said) == 0, text);
}

static pkv_bytes bytes(const char *text) {
    return (pkv_bytes){text, strlen(text)};
}

static pkv *open_store(const pkv_config *config) {
    pkv *store = NULL;
    check(pkv_open(path, config, &store) == PKV_OK, "open");
    return store;
}

/* ---- Options */

static pkv_status open_with(pkv_config config) {
    pkv *store;
    return pkv_open(path, &config, &store);
}

/* So that each text stands whole in this file: spec/message_spec.lua. */
#define REFUSED(text) "cannot open store FOLDER/store: " text

static void check_options(void) {
    pkv *store;
    says(pkv_open(NULL, NULL, &store), "pkv_open wants a path and a place for the store");
    says(pkv_open("", NULL, &store), "pkv_open wants a path and a place for the store");
    says(open_with((pkv_config){.keys = 99}), REFUSED("option keys must be a pkv_keys"));
    says(open_with((pkv_config){.key_type = 99}), REFUSED("option key_type must be a pkv_integer"));
    says(open_with((pkv_config){.values = 99}), REFUSED("option values must be a pkv_values"));
    says(open_with((pkv_config){.sync = 99}), REFUSED("option sync must be a pkv_sync_mode"));
    says(open_with((pkv_config){.sync_seconds = -1}),
         REFUSED("option sync_seconds must be from 0 (default) to 86400"));
    says(open_with((pkv_config){.memory_shards = 3}),
         REFUSED("option memory_shards must be a power of two up to 1024"));
    says(open_with((pkv_config){.wal_shards = 65}),
         REFUSED("option wal_shards must be at most 64"));
    says(open_with((pkv_config){.snapshot_threads = 65}),
         REFUSED("option snapshot_threads must be at most 64"));
    says(open_with((pkv_config){.wal_io = 99}), REFUSED("option wal_io must be a pkv_wal_io"));
    says(open_with((pkv_config){.create = PKV_NO}),
         "cannot open store FOLDER/store: there is no store in FOLDER/store: no such folder");
}

static void check_contradictions(void) {
    const pkv_config config = {
        .keys = PKV_KEYS_FIXED, .key_type = PKV_I32, .values = PKV_VALUES_ANY};
    pkv *store = open_store(&config);
    says(open_with((pkv_config){.keys = PKV_KEYS_VARIABLE}),
         REFUSED("this process has the store open already, with i32 keys"));
    says(open_with((pkv_config){.values = PKV_VALUES_STRING}),
         REFUSED("this process has the store open already, with values of type \"any\", not "
                 "\"string\""));
    says(open_with((pkv_config){.wal_shards = 7}),
         REFUSED("this process has the store open already, with another value of option "
                 "wal_shards: leave the option out, or close the store first"));
    check(pkv_close(store) == PKV_OK, "close");
    says(open_with((pkv_config){.keys = PKV_KEYS_VARIABLE}),
         "cannot open store FOLDER/store: store FOLDER/store has i32 keys, not string keys");
    says(open_with((pkv_config){.values = PKV_VALUES_STRING}),
         "cannot open store FOLDER/store: store FOLDER/store has values of type \"any\", not "
         "\"string\"");
}

/* ---- Keys and values */

static void check_integers(pkv *store) {
    unsigned char key[8], wide[8] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    int64_t value;
    size_t size;
    says(pkv_set(store, bytes("7 bytes"), bytes("")),
         "a key of 7 bytes: keys of this store are i32, 8 bytes");
    says(pkv_set(store, (pkv_bytes){wide, 8}, bytes("")),
         "a key that is no i32, the type of this store's keys");
    says(pkv_integer_key(PKV_I8, 300, key), "key 300 does not fit i8: it must be from -128 to 127");
    says(pkv_integer_value(PKV_U8, -1, key, &size),
         "value -1 does not fit u8: it must be from 0 to 255");
    says(pkv_value_integer(PKV_U32, bytes("123"), &value),
         "a value of 3 bytes is no u32, which has 4");
}

static void check_sizes(pkv *store) {
    pkv_bytes key = {"", PKV_KEY_MAX + 1}, value = {"", PKV_VALUE_MAX + 1};
    says(pkv_set(store, key, bytes("")),
         "a key of 16777217 bytes: keys may have 16777216 bytes at most");
    says(pkv_set(store, bytes("k"), value),
         "a value of 1073741825 bytes: values may have 1073741824 bytes at most");
    says(pkv_set_typed(store, bytes("k"), bytes(""), (pkv_type)99), "99 is no pkv_type");
}

static void check_messages(pkv *store) {
    ProtobufCMessage *message;
    const ProtobufCMessageDescriptor *descriptor = &pkv__manifest__descriptor;
    says(pkv_set_message(NULL, bytes("k"), NULL), "the store is closed");
    says(pkv_set_message(store, bytes("k"), NULL), "pkv_set_message: no message given");
    says(pkv_get_message(store, bytes("k"), NULL, NULL, &message),
         "pkv_get_message: no descriptor or no message");
    check(pkv_set(store, bytes("a\nb"), bytes("\xff")) == PKV_OK, "set");
    says(pkv_get_message(store, bytes("a\nb"), descriptor, NULL, &message),
         "the value of key \"a\\x0ab\" (1 bytes) is not a message of type pkv.Manifest");
    check(pkv_unset(store, bytes("a\nb")) == PKV_OK, "unset");
    /* Its size is told before anything of it is looked at. */
    static const uint8_t none[1];
    ProtobufCMessageUnknownField field = {.tag = 99,
                                          .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                          .len = PKV_VALUE_MAX,
                                          .data = (uint8_t *)(uintptr_t)none};
    Pkv__Manifest huge = PKV__MANIFEST__INIT;
    huge.base.n_unknown_fields = 1;
    huge.base.unknown_fields = &field;
    says(pkv_set_message(store, bytes("k"), &huge.base),
         "a message of 1073741826 bytes: values may have 1073741824 bytes at most");
}

/* ---- Handles */

static void check_handles(void) {
    pkv *store = open_store(NULL), *again = open_store(NULL);
    pkv_cursor *cursor;
    pkv_entry entry;
    says(pkv_drain(store, &cursor),
         "store FOLDER/store cannot be drained: it is open elsewhere in this process");
    check(pkv_close(again) == PKV_OK && pkv_cursor_open(store, &cursor) == PKV_OK, "a cursor");
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        failed = 0;
        says(pkv_set(store, bytes("k"), bytes("v")),
             "store FOLDER/store was opened before fork, by the parent process; open it anew");
        says(pkv_cursor_next(cursor, &entry),
             "this cursor was opened before fork, by the parent process; open one anew");
        (void)fflush(stdout);
        _exit(failed);
    }
    int how = 0;
    check(waitpid(child, &how, 0) == child && how == 0, "a child is told of the fork");
    pkv_cursor_close(cursor);
    check(pkv_close(store) == PKV_OK, "close");
    says(pkv_set(NULL, bytes("k"), bytes("v")), "the store is closed");
    says(pkv_close(NULL), "the store is closed already");
    says(pkv_cursor_next(NULL, &entry), "the cursor is closed");
}

static void check_administration(void) {
    pkv_check_report checked;
    pkv_repair_report repaired;
    uint64_t removed;
    const pkv_repair_options both = {.in_place = 1, .output = "elsewhere"};
    const pkv_repair_options other = {.keys = PKV_KEYS_VARIABLE};
    const pkv_repair_options over = {.output = folder};
    says(pkv_check(NULL, NULL, NULL, &checked),
         "pkv_check wants a path and a place for its result");
    says(pkv_repair(path, NULL, NULL, NULL, NULL),
         "pkv_repair wants a path and a place for its result");
    says(pkv_prune_backups(NULL, 0, &removed),
         "pkv_prune_backups wants a path and a place for its result");
    says(pkv_delete_failed_pending_snapshots(path, NULL),
         "pkv_delete_failed_pending_snapshots wants a path and a place for its result");
    says(pkv_repair(path, &both, NULL, NULL, &repaired),
         "store FOLDER/store: options in_place and output exclude each other: give one of them");
    says(pkv_repair(path, &other, NULL, NULL, &repaired),
         "store FOLDER/store has integer keys, as its manifest tells: leave out the option keys");
    says(pkv_repair(path, &over, NULL, NULL, &repaired),
         "store FOLDER/store: FOLDER is there already: name a folder that is not, with the option "
         "output");
    static char long_path[5000];
    memset(long_path, 'x', sizeof long_path - 1);
    const pkv_repair_options long_output = {.output = long_path};
    says(pkv_repair(path, &long_output, NULL, NULL, &repaired),
         "store FOLDER/store: the path of the new store is too long: 4095 bytes at most");
}

/* ---- Where nothing is said: a sentence for each status */

static void check_statuses(void) {
    static const char *const texts[] = {
        [PKV_OK] = "all is well",
        [PKV_NOT_FOUND] = "there is no such key, or no such store",
        [PKV_LOCKED] = "another process has the store open",
        [PKV_CORRUPT] = "a file of the store does not hold what was written to it",
        [PKV_KEY_MODE] = "the store holds another kind of keys",
        [PKV_VALUE_TYPE] = "the store, or the entry, holds another kind of values",
        [PKV_IO] = "the operating system reported an error",
        [PKV_NO_SPACE] = "the disk is full",
        [PKV_NO_MEMORY] = "memory, or the address space of a shard, is exhausted",
        [PKV_TOO_LARGE] = "a key or value is over the limit",
        [PKV_READ_ONLY] = ("an earlier flush failed: nothing can be written until the store is "
                           "reopened"),
        [PKV_CLOSED] = "the store is closed",
        [PKV_FORKED] = "the store was opened by the parent process: open it anew",
        [PKV_USAGE] = "the arguments are wrong, or contradict how the store is open already",
        [PKV_USAGE + 1] = "unknown status",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check(strcmp(pkv_status_text((pkv_status)i), texts[i]) == 0, texts[i]);
    }
}

int main(void) {
    if (!mkdtemp(folder)) return 1;
    (void)snprintf(path, sizeof path, "%s/store", folder);
    check_options();
    check_contradictions();
    pkv *store = open_store(NULL);
    check_integers(store);
    check(pkv_close(store) == PKV_OK, "close");
    check_handles();
    check_administration();
    (void)snprintf(path, sizeof path, "%s/strings", folder);
    store = open_store(NULL);
    check_sizes(store);
    check_messages(store);
    check(pkv_close(store) == PKV_OK, "close");
    check_statuses();
    char command[80];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    check(system(command) == 0, "clean");
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
