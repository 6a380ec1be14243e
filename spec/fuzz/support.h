/* support.h - what the fuzz targets share.
 *
 * A target is one function that libFuzzer calls with bytes that nobody has thought of. It says what
 * must hold whatever they are; where it does not, must() stops the process and libFuzzer keeps the
 * input. AddressSanitizer and UBSan watch every access meanwhile, memory_watch every allocation.
 *
 *   record_fuzz    one file's records, decoded as ours and as the crate's
 *   manifest_fuzz  the manifest's bytes, unpacked and packed again
 *   names_fuzz     file names, parsed and formatted
 *   folder_fuzz    whole folders, opened, read, written to, closed and opened again
 *   msgpack_fuzz   values that are Lua tables, read and written by the Lua module
 *
 * Random bytes never have a right checksum, and would test nothing but the checksums. So the first
 * byte of an input says, among other things, whether the target is to make them right: then the
 * checks behind them are on their own.
 *
 * The corpus begins with what seeds.lua makes of real stores and of the crate's; an input that once
 * found something stays in it for ever.
 */
#ifndef FUZZ_SUPPORT_H
#define FUZZ_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Stops the process unless `holds`. */
#define must(holds) must_hold((holds), #holds, __FILE__, __LINE__)
void must_hold(bool holds, const char *what, const char *file, int line);

/* What a hostile file of `size` bytes may cost in memory. */
#define MEMORY_ALLOWED(size) (4 * (uint64_t)(size) + ((uint64_t)16 << 20))

/* Stops the process should the heap grow by more than `allowed` bytes until memory_unwatch. */
void memory_watch(uint64_t allowed);
void memory_unwatch(void);

#endif
