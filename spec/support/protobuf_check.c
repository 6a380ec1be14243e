/* protobuf_check.c - pkv_set_message and pkv_get_message, with the manifest's own message as the
 * example: what was set comes back, after a reopen too, and what is no message is an error. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/pkv_protobuf.h"
#include "../../src/disk/manifest.pb-c.h"

static int passed, failed;

static void check(int ok, const char *what) {
    if (ok) {
        passed++;
        return;
    }
    failed++;
    printf("FAILED: %s (last error: %s)\n", what, pkv_error_detail()->message);
}

static pkv_bytes text(const char *s) {
    return (pkv_bytes){s, strlen(s)};
}

/* An allocator that counts what is out, and can run dry. */
typedef struct counting {
    ProtobufCAllocator base;
    int out, left;
} counting;

static void *counting_alloc(void *data, size_t size) {
    counting *c = data;
    if (c->left == 0) return NULL;
    c->left--;
    c->out++;
    return malloc(size);
}

static void counting_free(void *data, void *pointer) {
    counting *c = data;
    if (pointer) c->out--;
    free(pointer);
}

static counting counting_allocator(int left) {
    counting c = {{counting_alloc, counting_free, NULL}, 0, left};
    return c;
}

/* A manifest with `groups` snapshots: some hundred bytes each. */
static pkv_status set_manifest(pkv *store, const char *key, size_t groups) {
    Pkv__Manifest manifest = PKV__MANIFEST__INIT;
    Pkv__Group *list = calloc(groups, sizeof *list);
    Pkv__Group **pointers = calloc(groups + 1, sizeof *pointers);
    if (!list || !pointers) abort();
    for (size_t i = 0; i < groups; i++) {
        pkv__group__init(&list[i]);
        list[i].ordinal = i + 1;
        pointers[i] = &list[i];
    }
    manifest.format = 7;
    manifest.last_ordinal = UINT64_MAX;
    manifest.n_snapshots = groups;
    manifest.snapshots = pointers;
    pkv_status status = pkv_set_message(store, text(key), &manifest.base);
    free(pointers);
    free(list);
    return status;
}

static int same_manifest(const ProtobufCMessage *message, size_t groups) {
    const Pkv__Manifest *m = (const Pkv__Manifest *)message;
    return m->format == 7 && m->last_ordinal == UINT64_MAX && m->n_snapshots == groups &&
           (groups == 0 || m->snapshots[groups - 1]->ordinal == groups);
}

static pkv_status get(pkv *store, const char *key, counting *c, ProtobufCMessage **message) {
    return pkv_get_message(store, text(key), &pkv__manifest__descriptor, c ? &c->base : NULL,
                           message);
}

static void check_value(pkv *store, const char *key, size_t groups) {
    ProtobufCMessage *message = NULL;
    counting c = counting_allocator(1 << 20);
    c.base.allocator_data = &c;
    check(get(store, key, &c, &message) == PKV_OK, "a message is read");
    check(message && same_manifest(message, groups), "it is what was set");
    protobuf_c_message_free_unpacked(message, &c.base);
    check(c.out == 0, "all its memory came from the allocator, and went back");
}

static void check_errors(pkv *store) {
    ProtobufCMessage *const untouched = (ProtobufCMessage *)&failed;
    ProtobufCMessage *message = untouched;
    check(get(store, "nobody", NULL, &message) == PKV_NOT_FOUND, "absent is PKV_NOT_FOUND");
    check(pkv_set(store, (pkv_bytes){"bad\0key", 7}, text("\xff\xff\xff")) == PKV_OK, "set");
    check(pkv_get_message(store, (pkv_bytes){"bad\0key", 7}, &pkv__manifest__descriptor, NULL,
                          &message) == PKV_CORRUPT,
          "what is no message is PKV_CORRUPT");
    const char *detail = pkv_error_detail()->message;
    check(strstr(detail, "bad\\x00key") && strstr(detail, "pkv.Manifest"),
          "the error names the key and the type");
    counting dry = counting_allocator(3);
    dry.base.allocator_data = &dry;
    check(get(store, "large", &dry, &message) == PKV_CORRUPT && dry.out == 0,
          "an allocator that runs dry is an error and loses nothing");
    check(message == untouched, "errors leave *message alone");
    check(pkv_set_message(store, text("k"), NULL) == PKV_USAGE, "no message is PKV_USAGE");
    check(pkv_get_message(store, text("k"), NULL, NULL, &message) == PKV_USAGE,
          "no descriptor is PKV_USAGE");
    check(get(NULL, "k", NULL, &message) == PKV_CLOSED, "a NULL store is PKV_CLOSED");
    check(set_manifest(NULL, "k", 0) == PKV_CLOSED, "also for set");
}

static pkv *open_store(const char *path) {
    pkv_config config;
    pkv_config_init(&config);
    config.values = PKV_VALUES_MESSAGE;
    pkv *store = NULL;
    check(pkv_open(path, &config, &store) == PKV_OK, "the store opens");
    return store;
}

int main(void) {
    char folder[] = "/tmp/pkv-protobuf-XXXXXX";
    if (!mkdtemp(folder)) return 1;
    pkv *store = open_store(folder);
    check(set_manifest(store, "small", 3) == PKV_OK, "a small message is set");
    check(set_manifest(store, "large", 5000) == PKV_OK, "a large message is set");
    Pkv__Manifest nothing = PKV__MANIFEST__INIT;
    check(pkv_set_message(store, text("empty"), &nothing.base) == PKV_OK, "an empty one is set");
    check(pkv_close(store) == PKV_OK, "close");

    store = open_store(folder);
    check_value(store, "small", 3);
    check_value(store, "large", 5000);
    ProtobufCMessage *message = NULL;
    check(get(store, "empty", NULL, &message) == PKV_OK, "an empty message is read");
    protobuf_c_message_free_unpacked(message, NULL);
    check_errors(store);
    check(pkv_close(store) == PKV_OK, "close");

    char command[64];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    check(system(command) == 0, "clean up");
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
