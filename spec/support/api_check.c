/* api_check.c - the C API keeps the contract of pkv.h where Lua does not reach it: many keys at
 * once, buffers too small, closed stores, references, drain, options, integers, error details. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../src/pkv.h"

static int passed, failed;

static void check(bool ok, const char *what) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s: %s\n", what, pkv_error_detail()->message);
}

static pkv_bytes bytes(const char *text) {
    return (pkv_bytes){text, strlen(text)};
}

static void check_many(pkv *store) {
    char buffers[4][8];
    const char *names[4] = {"one", "absent", "long", ""};
    pkv_bytes keys[4];
    pkv_value values[4];
    for (int i = 0; i < 4; i++) {
        keys[i] = bytes(names[i]);
        values[i] = (pkv_value){.buffer = buffers[i], .capacity = sizeof buffers[i]};
    }
    check(pkv_set(store, bytes("one"), bytes("1")) == PKV_OK, "set");
    check(pkv_set(store, bytes("long"), bytes("longer than the buffer")) == PKV_OK, "set");
    check(pkv_set_typed(store, bytes(""), (pkv_bytes){"\1", 1}, PKV_BOOLEAN) == PKV_OK, "set");
    check(pkv_get_many(store, 4, keys, values) == PKV_OK, "many keys at once");
    check(values[0].status == PKV_OK && values[0].size == 1 && buffers[0][0] == '1', "one of many");
    check(values[1].status == PKV_NOT_FOUND, "an absent one of many");
    check(values[2].size == 22 && memcmp(buffers[2], "longer t", 8) == 0,
          "a buffer too small holds the beginning, the size is the whole one");
    check(values[3].type == PKV_BOOLEAN, "many keys: the type");
    check(pkv_get_many(store, 0, NULL, NULL) == PKV_OK, "no keys at once");
}

static void check_sizes(pkv *store) {
    size_t size = 0;
    pkv_type type;
    check(pkv_get(store, bytes("one"), NULL, 0, &size) == PKV_OK && size == 1, "size alone");
    check(pkv_get_typed(store, bytes(""), NULL, 0, &size, &type) == PKV_OK && type == PKV_BOOLEAN,
          "type alone");
    check(pkv_get(store, bytes("absent"), NULL, 0, &size) == PKV_NOT_FOUND, "absent");
    check(pkv_unset(store, bytes("absent")) == PKV_NOT_FOUND, "unset what is absent");
    pkv_bytes huge = {"", PKV_KEY_MAX + 1};
    check(pkv_set(store, huge, bytes("")) == PKV_TOO_LARGE, "a key over the limit");
    check(strstr(pkv_error_detail()->message, "16777216") != NULL, "names the limit of keys");
    huge.size = PKV_VALUE_MAX + 1;
    check(pkv_set(store, bytes("never"), huge) == PKV_TOO_LARGE, "a value over the limit");
    check(strstr(pkv_error_detail()->message, "1073741824") != NULL, "names the limit of values");
    check(pkv_set_typed(store, bytes("never"), bytes(""), (pkv_type)9) == PKV_USAGE,
          "no such type");
    check(pkv_get(store, bytes("never"), NULL, 0, &size) == PKV_NOT_FOUND, "nothing was set");
}

static void check_closed(void) {
    size_t size;
    uint64_t seen = 0, count;
    pkv_cursor *cursor = NULL;
    pkv_entry entry;
    pkv_event event;
    pkv_stats stats;
    check(pkv_set(NULL, bytes("k"), bytes("v")) == PKV_CLOSED, "set on no store");
    check(pkv_get(NULL, bytes("k"), NULL, 0, &size) == PKV_CLOSED, "get on no store");
    check(pkv_unset(NULL, bytes("k")) == PKV_CLOSED, "unset on no store");
    check(pkv_count(NULL, &count) == PKV_CLOSED, "count on no store");
    check(pkv_sync(NULL) == PKV_CLOSED, "sync on no store");
    check(pkv_snapshot(NULL) == PKV_CLOSED, "snapshot on no store");
    check(pkv_stats_get(NULL, &stats) == PKV_CLOSED, "stats of no store");
    check(pkv_next_event(NULL, &seen, &event) == PKV_CLOSED, "events of no store");
    check(pkv_cursor_open(NULL, &cursor) == PKV_CLOSED, "cursor on no store");
    check(pkv_cursor_next(NULL, &entry) == PKV_CLOSED, "step of no cursor");
    check(pkv_drain(NULL, &cursor) == PKV_CLOSED, "drain of no store");
    check(pkv_close(NULL) == PKV_CLOSED, "close of no store");
    pkv_cursor_close(NULL);
}

static void check_options(const char *path) {
    pkv *store = NULL;
    pkv_config bad[] = {{.memory_shards = 3},
                        {.memory_shards = 2048},
                        {.wal_shards = 65},
                        {.snapshot_threads = 65},
                        {.sync_seconds = -1},
                        {.sync = (pkv_sync_mode)9},
                        {.keys = (pkv_keys)9},
                        {.wal_io = (pkv_wal_io)9},
                        {.sync_seconds = 1e6},
                        {.key_type = (pkv_integer)(PKV_I8 + 1)},
                        {.values = (pkv_values)(PKV_VALUES_INTEGER + PKV_I8 + 1)}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check(pkv_open(path, &bad[i], &store) == PKV_USAGE && !store, "a bad option");
        check(strstr(pkv_error_detail()->message, "option") != NULL, "names the option");
    }
    check(pkv_open("", NULL, &store) == PKV_USAGE, "no path");
    check(pkv_open(NULL, NULL, &store) == PKV_USAGE, "NULL for a path");
    check(pkv_open(path, NULL, NULL) == PKV_USAGE, "no place for the store");
    pkv_config existing = {.create = PKV_NO};
    check(pkv_open(path, &existing, &store) == PKV_NOT_FOUND, "nothing there, create is no");
    check(access(path, F_OK) != 0, "and nothing was created");
}

/* Two references to one store: options may say nothing, or the same, but nothing else. */
static void check_references(const char *path) {
    pkv *store = NULL, *again = NULL;
    pkv_config config = {.sync = PKV_SYNC_INTERVAL,
                         .sync_seconds = 3,
                         .memory_shards = 8,
                         .wal_shards = 3,
                         .snapshot_interval = PKV_SNAPSHOT_NEVER,
                         .snapshot_threads = 2,
                         .snapshot_shard_bytes = 1 << 20,
                         .keep_backups = 2,
                         .wal_io = PKV_WAL_IO_PWRITE};
    check(pkv_open(path, &config, &store) == PKV_OK, "open");
    check(pkv_open(path, NULL, &again) == PKV_OK && again == store, "the same store again");
    check(pkv_close(again) == PKV_OK, "close that");
    check(pkv_open(path, &config, &again) == PKV_OK && again == store, "again, as it is open");
    pkv_config other[] = {
        {.sync = PKV_SYNC_ALWAYS},  {.sync = PKV_SYNC_INTERVAL, .sync_seconds = 4},
        {.memory_shards = 16},      {.wal_shards = 2},
        {.snapshot_interval = 5},   {.keep_backups = 7},
        {.snapshot_threads = 63},   {.snapshot_shard_bytes = 5},
        {.wal_io = PKV_WAL_IO_MMAP}};
    pkv *none = NULL;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        check(pkv_open(path, &other[i], &none) == PKV_USAGE && !none, "a contradicting option");
    }
    pkv_config untimed = {.sync = PKV_SYNC_INTERVAL};
    pkv *third = NULL;
    check(pkv_open(path, &untimed, &third) == PKV_OK && pkv_close(third) == PKV_OK, "any interval");
    pkv_config fixed = {.keys = PKV_KEYS_FIXED};
    check(pkv_open(path, &fixed, &none) == PKV_KEY_MODE, "contradicting keys");
    pkv_config values = {.values = PKV_VALUES_STRING};
    check(pkv_open(path, &values, &none) == PKV_VALUE_TYPE, "contradicting values");
    pkv_cursor *cursor = NULL;
    check(pkv_drain(store, &cursor) == PKV_USAGE && !cursor, "no drain while open elsewhere");
    uint64_t removed;
    check(pkv_prune_backups(path, 0, &removed) == PKV_LOCKED, "no admin while open");
    check(pkv_close(again) == PKV_OK, "close one");
    check(pkv_set(store, bytes("k"), bytes("v")) == PKV_OK, "the other is open still");
    check_many(store);
    check_sizes(store);
    check(pkv_close(store) == PKV_OK, "close the other");
}

static void check_drain(const char *path) {
    pkv *store = NULL, *again = NULL;
    pkv_cursor *cursor = NULL;
    pkv_entry entry;
    uint64_t count = 0, seen = 0;
    check(pkv_open(path, NULL, &store) == PKV_OK, "open to drain");
    check(pkv_count(store, &count) == PKV_OK && count == 4, "count");
    check(pkv_drain(store, &cursor) == PKV_OK, "drain");
    check(pkv_open(path, NULL, &again) == PKV_OK, "the folder is free while its memory is drained");
    while (pkv_cursor_next(cursor, &entry) == PKV_OK) seen++;
    check(seen == count, "a drain sees every entry once");
    check(pkv_cursor_next(cursor, &entry) == PKV_NOT_FOUND, "and ends");
    pkv_cursor_close(cursor);
    check(pkv_count(again, &count) == PKV_OK && count == 4, "the files stay");
    check(pkv_close(again) == PKV_OK, "close");
    check(pkv_open(path, NULL, &store) == PKV_OK && pkv_drain(store, &cursor) == PKV_OK, "again");
    pkv_cursor_close(cursor); /* before its end */
}

static void check_integers(void) {
    unsigned char key[8];
    int64_t value;
    size_t size;
    check(pkv_integer_key(PKV_I8, 300, key) == PKV_USAGE, "300 is no i8");
    check(strstr(pkv_error_detail()->message, "from -128 to 127") != NULL, "names the range");
    check(pkv_integer_key(PKV_U8, -1, key) == PKV_USAGE, "-1 is no u8");
    check(pkv_integer_key(PKV_I16, -2, key) == PKV_OK &&
              memcmp(key, "\xfe\xff\0\0\0\0\0\0", 8) == 0,
          "a negative key is padded with zeros");
    check(pkv_key_integer(PKV_I16, key) == -2, "and read back");
    check(pkv_key_integer(PKV_U16, key) == 65534, "by its type");
    check(pkv_integer_value(PKV_U32, 7, key, &size) == PKV_OK && size == 4, "an integer value");
    check(pkv_value_integer(PKV_U32, (pkv_bytes){key, 4}, &value) == PKV_OK && value == 7, "back");
    check(pkv_value_integer(PKV_U32, (pkv_bytes){key, 3}, &value) == PKV_VALUE_TYPE, "its width");
    check(pkv_integer_parse("integer") == PKV_I64 && pkv_integer_parse("u9") == PKV_INTEGER_NONE,
          "names of integer types");
    for (int status = PKV_OK; status <= PKV_USAGE; status++) {
        check(strlen(pkv_status_text((pkv_status)status)) > 8, "every code has a sentence");
    }
    check(pkv_status_text((pkv_status)99) != NULL, "also one that does not exist");
    check(strcmp(pkv_finding_name(PKV_FINDING_MORE), "more") == 0, "every finding has a name");
    check(strcmp(pkv_finding_name((pkv_finding_kind)99), "unknown") == 0, "others have none");
}

static void check_fixed(const char *path) {
    pkv *store = NULL;
    pkv_config config = {.keys = PKV_KEYS_FIXED, .key_type = PKV_I32};
    unsigned char key[8];
    check(pkv_open(path, &config, &store) == PKV_OK, "open with fixed keys");
    check(pkv_integer_key(PKV_I32, -5, key) == PKV_OK, "a key");
    check(pkv_set(store, (pkv_bytes){key, 8}, bytes("v")) == PKV_OK, "8 bytes");
    check(pkv_set(store, bytes("7 bytes"), bytes("v")) == PKV_KEY_MODE, "no 7 bytes");
    unsigned char wide[8] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    check(pkv_set(store, (pkv_bytes){wide, 8}, bytes("v")) == PKV_KEY_MODE, "no i64 as an i32");
    check(strstr(pkv_error_detail()->message, "i32") != NULL, "names the mode");
    check(pkv_close(store) == PKV_OK, "close");
    config.key_type = PKV_I64;
    check(pkv_open(path, &config, &store) == PKV_KEY_MODE, "not as another type");
    check(pkv_open(path, NULL, &store) == PKV_OK, "as it was written");
    pkv_stats stats;
    check(pkv_stats_get(store, &stats) == PKV_OK && stats.key_type == PKV_I32 &&
              stats.keys == PKV_KEYS_FIXED && stats.entries == 1,
          "stats tell the mode");
    check(pkv_close(store) == PKV_OK, "close");
}

/* Fixed-length keys of which nothing else is said hold u64. */
static void check_undecided(const char *path, const char *strings) {
    pkv *store = NULL, *again = NULL;
    pkv_stats stats;
    pkv_config config = {.keys = PKV_KEYS_FIXED}, typed = {.keys = PKV_KEYS_FIXED, PKV_I64};
    for (int round = 0; round < 2; round++) {
        check(pkv_open(path, &config, &store) == PKV_OK, "open with fixed keys of any type");
        check(pkv_open(path, &config, &again) == PKV_OK && again == store, "twice");
        check(pkv_stats_get(store, &stats) == PKV_OK && stats.key_type == PKV_U64, "they are u64");
        check(pkv_close(store) == PKV_OK && pkv_close(again) == PKV_OK, "close");
    }
    check(pkv_open(path, &typed, &store) == PKV_KEY_MODE, "so they are no i64");
    char manifest[80];
    pkv_repair_report repaired;
    pkv_repair_options options = {.keys = PKV_KEYS_FIXED, .in_place = 1};
    (void)snprintf(manifest, sizeof manifest, "%s/manifest", path);
    check(remove(manifest) == 0, "without a manifest");
    check(pkv_repair(path, &options, NULL, NULL, &repaired) == PKV_OK, "a repair");
    check(pkv_open(path, &typed, &store) == PKV_KEY_MODE, "takes them for u64, too");
    check(pkv_open(strings, &config, &store) == PKV_KEY_MODE, "strings are no fixed keys");
    check(strstr(pkv_error_detail()->message, "not fixed-length keys") != NULL, "names them");
}

static void count_finding(void *context, const pkv_finding *finding) {
    if (finding->message[0] && finding->file[0]) ++*(unsigned *)context;
}

/* The store that check_fixed left: one entry. */
static void check_soundness(const char *path, const char *output) {
    pkv_check_report found = {0};
    pkv_repair_report repaired = {0};
    pkv_repair_options options = {.output = output};
    unsigned findings = 0;
    check(pkv_check(path, count_finding, &findings, &found) == PKV_OK, "a sound store");
    check(findings == 0 && found.records == 1 && found.damaged == 0, "nothing found");
    check(pkv_check(path, NULL, NULL, &found) == PKV_OK, "nobody to tell");
    check(pkv_check(path, NULL, NULL, NULL) == PKV_USAGE, "a report is wanted");
    check(pkv_check(NULL, NULL, NULL, &found) == PKV_USAGE, "a path, too");
    check(pkv_repair(path, &options, NULL, NULL, NULL) == PKV_USAGE, "by repair as well");
    check(pkv_repair(NULL, &options, NULL, NULL, &repaired) == PKV_USAGE, "both");
    check(pkv_repair(path, &options, count_finding, &findings, &repaired) == PKV_OK, "repair");
    check(findings == repaired.files && repaired.records == 1, "each file is told of");
    check(repaired.skipped + repaired.missing == 0, "nothing lost");
    check(strcmp(repaired.output, output) == 0, "where the store is");
    check(pkv_check(output, NULL, NULL, &found) == PKV_OK && found.records == 1, "it is sound");
    check(pkv_repair(path, &options, NULL, NULL, &repaired) == PKV_USAGE, "not over another one");
    options.in_place = 1;
    check(pkv_repair(path, &options, NULL, NULL, &repaired) == PKV_USAGE, "not to two places");
    char beside[80];
    (void)snprintf(beside, sizeof beside, "%s.repaired", path);
    check(pkv_repair(path, NULL, NULL, NULL, &repaired) == PKV_OK, "by default, beside the store");
    check(strcmp(repaired.output, beside) == 0, "in a folder of that name");
}

/* `more` times "/." behind the folder's path lead to the same folder. */
static void check_long_paths(const char *path) {
    static char longer[8192];
    pkv_repair_report repaired = {0};
    pkv_repair_options options = {.output = longer};
    check(pkv_repair(path, &options, NULL, NULL, &repaired) == PKV_IO, "a folder without a name");
    memset(longer, 'x', 5000);
    check(pkv_repair(path, &options, NULL, NULL, &repaired) == PKV_USAGE, "too long a path");
    size_t size =
        (size_t)snprintf(longer, sizeof longer, "%s%s", path, strlen(path) % 2 ? "/" : "");
    while (size < 4094) size += (size_t)snprintf(longer + size, 3, "/.");
    pkv_check_report found;
    check(pkv_check(longer, NULL, NULL, &found) == PKV_OK, "the longest path that there is");
    check(pkv_repair(longer, NULL, NULL, NULL, &repaired) == PKV_USAGE, "but not with more behind");
    options = (pkv_repair_options){.in_place = 1};
    check(pkv_repair(longer, &options, NULL, NULL, &repaired) == PKV_USAGE, "nor within");
    longer[4086] = '\0';
    check(pkv_repair(longer, &options, NULL, NULL, &repaired) == PKV_USAGE, "nor with much more");
    check(pkv_check(path, NULL, NULL, &found) == PKV_OK && found.records == 1, "it is as it was");
}

int main(void) {
    char folder[] = "/tmp/pkv-api-XXXXXX";
    if (!mkdtemp(folder)) return 1;
    char path[64], other[64], command[64];
    (void)snprintf(path, sizeof path, "%s/a/b", folder);
    (void)snprintf(other, sizeof other, "%s/fixed", folder);
    check_closed();
    check_options(path);
    check_references(path);
    check_drain(path);
    check_integers();
    check_fixed(other);
    char undecided[64];
    (void)snprintf(undecided, sizeof undecided, "%s/undecided", folder);
    check_undecided(undecided, path);
    char repaired[64];
    (void)snprintf(repaired, sizeof repaired, "%s/repaired", folder);
    check_soundness(other, repaired);
    check_long_paths(other);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) printf("cannot remove %s\n", folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
