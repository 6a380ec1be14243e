/* checksum.h - CRC-32C (Castagnoli, polynomial 0x1EDC6F41, reflected): by the processor where it
 * can (SSE 4.2, ARMv8 CRC), by tables ("slicing by 8", Kounavis and Berry 2005) elsewhere. */
#ifndef PKV_CHECKSUM_H
#define PKV_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include "../os/visibility.h"

/* Continues `crc` (0 to begin) over `size` bytes. checksum(checksum(0, a), b) equals
 * checksum(0, a followed by b); checksum(0, "123456789", 9) is 0xE3069283. */
uint32_t checksum(uint32_t crc, const void *data, size_t size);

/* The portable one, for specs to compare with. */
uint32_t checksum_portable(uint32_t crc, const void *data, size_t size);

/* The crc that checksum(crc, data, size) turns into `after`. */
uint32_t checksum_before(uint32_t after, const void *data, size_t size);

/* What `crc` becomes over `size` bytes that are not known: checksum(crc, b) is
 * checksum_over(crc, size of b) ^ checksum(0, b). So the checksums of a buffer's beginnings give
 * that of any part of it, in a time that does not depend on the part's size. */
uint32_t checksum_over(uint32_t crc, size_t size);

/* What the checksums of records in a file of this ordinal begin with: the checksum of the ordinal
 * as 8 little-endian bytes, followed by the store's salt likewise, unless that is 0. */
uint32_t checksum_seed(uint64_t ordinal, uint64_t salt);

#include "../os/visibility_end.h"
#endif
