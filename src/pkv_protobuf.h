/* pkv_protobuf.h - protobuf-c messages as values. Adds to pkv.h, whose conventions hold here.
 *
 * A message is stored as the bytes that protobuf_c_message_pack makes, and is therefore what any
 * other protobuf implementation, the crate's set_proto and get_proto included, reads and writes. */
#ifndef PKV_PROTOBUF_H
#define PKV_PROTOBUF_H

#include <protobuf-c/protobuf-c.h>
#include "pkv.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sets key to the packed message. */
PKV_API pkv_status pkv_set_message(pkv *store, pkv_bytes key, const ProtobufCMessage *message);

/* Unpacks the value of key as a message of type `descriptor` into memory from `allocator` (NULL:
 * malloc). The caller frees it with protobuf_c_message_free_unpacked. PKV_CORRUPT, naming the key,
 * where the value is no such message; protobuf-c reports a failing allocator in the same way. */
PKV_API pkv_status pkv_get_message(pkv *store, pkv_bytes key,
                                   const ProtobufCMessageDescriptor *descriptor,
                                   ProtobufCAllocator *allocator, ProtobufCMessage **message);

#ifdef __cplusplus
}
#endif
#endif
