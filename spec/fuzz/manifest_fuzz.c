/* manifest_fuzz.c - manifests: what is unpacked can be packed, and comes back the same; memory
 * stays in proportion however many shards a few bytes announce.
 *
 *     flags: 1 checksum made right | fields, without the checksum field
 *     flags: 2 the fields are repeated up to LARGE bytes: small inputs, large manifests
 */
#include <stdlib.h>
#include <string.h>
#include "../../src/bytes/checksum.h"
#include "../../src/bytes/varint.h"
#include "../../src/disk/manifest_message.h"
#include "support.h"

#define LARGE          ((size_t)1 << 20)
#define CHECKSUM_BYTES 5

static void check_manifest(const uint8_t *bytes, size_t size) {
    manifest m, copy;
    memory_watch(MEMORY_ALLOWED(size) - size); /* whoever read the bytes has paid for them */
    pkv_status status = manifest_unpack(bytes, size, &m);
    memory_unwatch();
    if (status) return;
    uint8_t *packed = NULL, *again = NULL;
    size_t packed_size = 0, again_size = 0;
    must(manifest_pack(&m, &packed, &packed_size) == PKV_OK);
    manifest_release(&m);
    must(manifest_unpack(packed, packed_size, &m) == PKV_OK);
    must(manifest_copy(&m, &copy) == PKV_OK);
    manifest_release(&m);
    must(manifest_pack(&copy, &again, &again_size) == PKV_OK);
    must(packed_size == again_size && memcmp(packed, again, packed_size) == 0);
    manifest_release(&copy);
    free(packed);
    free(again);
}

static void mend(uint8_t *bytes, size_t fields) {
    bytes[fields] = 0x7d;
    store_u32(bytes + fields + 1, checksum(0, bytes, fields));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    unsigned flags = data[0];
    size_t once = size - 1, times = flags & 2 ? 1 + LARGE / once : 1, fields = once * times;
    uint8_t *bytes = malloc(fields + CHECKSUM_BYTES);
    must(bytes);
    for (size_t i = 0; i < times; i++) memcpy(bytes + i * once, data + 1, once);
    size_t whole = fields;
    if (flags & 1) {
        mend(bytes, fields);
        whole += CHECKSUM_BYTES;
    }
    check_manifest(bytes, whole);
    free(bytes);
    return 0;
}
