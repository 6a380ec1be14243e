/* folder.h - a folder cut out of an input, for folder_fuzz.
 *
 * An input is two bytes of flags, then sections, one per file:
 *
 *     kind  ordinal  shard  size     size bytes
 *     1     1        1      2        contents
 *
 * kind: 0 to 2 a file with that file_kind, its shard number in the upper half of `shard` and the
 * count less one in the lower; 3 the manifest, 4 manifest.new, 5 the lock file, 6 a file whose name
 * is the first `shard` bytes of the contents. What is cut short is as long as the bytes that are
 * left.
 */
#ifndef FUZZ_FOLDER_H
#define FUZZ_FOLDER_H

#include "../../src/disk/fileset.h"

#define FLAG_BYTES    2
#define HEAD_BYTES    5
#define SECTIONS_MAX  24
#define KIND_MANIFEST 3
#define KINDS         7

typedef struct section {
    uint8_t kind, ordinal, shard;
    uint8_t *data; /* into the input */
    size_t size;
} section;

typedef struct sections {
    section list[SECTIONS_MAX];
    size_t count;
} sections;

/* Cuts all behind the flags. */
void sections_cut(uint8_t *data, size_t size, sections *out);
/* Writes them in a row; 0 where they do not fit. */
size_t sections_join(const sections *in, uint8_t *out, size_t capacity);

/* The file's name, if it is one of a log or a snapshot. */
bool section_file_name(const section *s, file_name *name);
/* Where the section's file name and contents are; false where there can be no such file. */
bool section_file(const section *s, char name[FILE_NAME_BYTES], const uint8_t **data, size_t *size);

/* Makes the checksums of manifest and records right, and the manifest's facts of snapshots too
 * where there is one: what is told about a file is then true. May move the manifest's section to
 * fresh memory, which the caller frees. */
uint8_t *sections_mend(sections *all);

#endif
