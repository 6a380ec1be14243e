/* protobuf.c - protobuf-c messages as values: pack, set; get, unpack. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include "pkv_protobuf.h"
#include "os/error.h"

/* Messages up to this size are read without allocating. */
#define SMALL_MESSAGE 1024

#define SHOWN_KEY_BYTES 64

/* The key as it may stand in an error message: printable, and not endless. */
static void show_key(pkv_bytes key, char text[SHOWN_KEY_BYTES * 4 + 4]) {
    const unsigned char *bytes = key.data;
    size_t shown = key.size < SHOWN_KEY_BYTES ? key.size : SHOWN_KEY_BYTES;
    for (size_t i = 0; i < shown; i++) {
        bool plain = bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\\';
        text += sprintf(text, plain ? "%c" : "\\x%02x", bytes[i]);
    }
    (void)sprintf(text, "%s", shown < key.size ? "..." : "");
}

pkv_status pkv_set_message(pkv *store, pkv_bytes key, const ProtobufCMessage *message) {
    if (!store) return fail(PKV_CLOSED, NULL, NO_OFFSET, 0, "the store is closed");
    if (!message) return fail(PKV_USAGE, NULL, NO_OFFSET, 0, "pkv_set_message: no message given");
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size > PKV_VALUE_MAX)
        return fail(PKV_TOO_LARGE, NULL, NO_OFFSET, 0,
                    "a message of %zu bytes: values may have %zu bytes at most", size,
                    PKV_VALUE_MAX);
    uint8_t *packed = malloc(size ? size : 1);
    if (!packed)
        return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for a message of %zu bytes",
                    size);
    size = protobuf_c_message_pack(message, packed);
    pkv_status status = pkv_set(store, key, (pkv_bytes){packed, size});
    free(packed);
    return status;
}

static pkv_status unpack(pkv_bytes key, pkv_bytes packed,
                         const ProtobufCMessageDescriptor *descriptor,
                         ProtobufCAllocator *allocator, ProtobufCMessage **message) {
    ProtobufCMessage *unpacked =
        protobuf_c_message_unpack(descriptor, allocator, packed.size, packed.data);
    if (unpacked) {
        *message = unpacked;
        return PKV_OK;
    }
    char shown[SHOWN_KEY_BYTES * 4 + 4];
    show_key(key, shown);
    return fail(PKV_CORRUPT, NULL, NO_OFFSET, 0,
                "the value of key \"%s\" (%zu bytes) is not a message of type %s", shown,
                packed.size, descriptor->name);
}

pkv_status pkv_get_message(pkv *store, pkv_bytes key, const ProtobufCMessageDescriptor *descriptor,
                           ProtobufCAllocator *allocator, ProtobufCMessage **message) {
    if (!store) return fail(PKV_CLOSED, NULL, NO_OFFSET, 0, "the store is closed");
    if (!descriptor || !message)
        return fail(PKV_USAGE, NULL, NO_OFFSET, 0, "pkv_get_message: no descriptor or no message");
    uint8_t small[SMALL_MESSAGE];
    uint8_t *large = NULL;
    size_t capacity = sizeof small, size = 0;
    pkv_status status = pkv_get(store, key, small, capacity, &size);
    /* Another thread may set a larger value between asking for the size and reading. */
    while (status == PKV_OK && size > capacity) {
        free(large);
        capacity = size;
        large = malloc(capacity);
        if (!large)
            return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for a message of %zu bytes",
                        size);
        status = pkv_get(store, key, large, capacity, &size);
    }
    if (status == PKV_OK)
        status =
            unpack(key, (pkv_bytes){large ? large : small, size}, descriptor, allocator, message);
    free(large);
    return status;
}
