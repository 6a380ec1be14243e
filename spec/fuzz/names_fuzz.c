/* names_fuzz.c - file names: what was parsed formats back to the same text, and what was formatted
 * parses back to the same name; so a scan can never hand out a name that opens another file. */
#include <stdlib.h>
#include <string.h>
#include "../../src/bytes/limits.h"
#include "../../src/disk/fileset.h"
#include "support.h"

static void check_text(const char *text) {
    file_name name;
    char again[FILE_NAME_BYTES];
    if (!file_name_parse(text, &name)) return;
    must(name.shard < name.shard_count && name.shard_count <= FILE_SHARDS_MAX);
    must(name.ordinal <= ORDINAL_MAX);
    file_name_format(&name, again);
    must(strcmp(text, again) == 0);
    must(!strchr(text, '/') && text[0] != '.');
}

/* The same bytes as the fields of a name. */
static void check_fields(const uint8_t *data, size_t size) {
    uint64_t words[3] = {0, 0, 0};
    memcpy(words, data, size < sizeof words ? size : sizeof words);
    file_name name = {words[0] & ORDINAL_MAX, 0, 1, (file_kind)(words[2] % 3)}, again;
    name.shard_count = 1 + (uint32_t)(words[1] % FILE_SHARDS_MAX);
    name.shard = (uint32_t)(words[1] >> 32) % name.shard_count;
    char text[FILE_NAME_BYTES];
    file_name_format(&name, text);
    must(strlen(text) + 1 < FILE_NAME_BYTES);
    must(file_name_parse(text, &again));
    must(again.ordinal == name.ordinal && again.shard == name.shard);
    must(again.shard_count == name.shard_count && again.kind == name.kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    must(text);
    if (size) memcpy(text, data, size);
    text[size] = 0;
    check_text(text);
    free(text);
    check_fields(data, size);
    return 0;
}
