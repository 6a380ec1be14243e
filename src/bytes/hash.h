/* hash.h - a seeded 64-bit hash of byte strings (wyhash's construction, Wang Yi 2019: 64-bit
 * multiplications folded by xor), all of whose bits are good. The log's shards are chosen by it, so
 * the manifest keeps its seed, and a check by which another function would be known. */
#ifndef PKV_HASH_H
#define PKV_HASH_H

#include <stddef.h>
#include <stdint.h>
#include "../os/visibility.h"

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);

#include "../os/visibility_end.h"
#endif
