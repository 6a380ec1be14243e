/* manifest_message.h - a manifest as bytes, and back: for manifest.c only. */
#ifndef PKV_MANIFEST_MESSAGE_H
#define PKV_MANIFEST_MESSAGE_H

#include "manifest.h"
#include "../os/visibility.h"

/* The file's contents, checksum included, in fresh memory. PKV_USAGE for a manifest that
 * manifest_unpack would refuse: it must never get to the disk. */
pkv_status manifest_pack(const manifest *in, uint8_t **bytes, size_t *size);

/* Believes nothing of `bytes`. *out owns its memory. */
pkv_status manifest_unpack(const uint8_t *bytes, size_t size, manifest *out);

#include "../os/visibility_end.h"
#endif
