/* fileset.c - file names, and which files make a whole.
 *
 * Invariant: a name that was parsed formats back to the same text, so that what a scan found can be
 * opened. Hence numbers are read as they are written: without leading zeros. A fileset is sorted by
 * ordinal, shard, kind, count; so a group is a run of names, and a shard that is there twice has
 * its two files beside each other. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../bytes/limits.h"
#include "../bytes/planted.h"
#include "../os/error.h"
#include "fileset.h"

static const char *const kind_text[] = {"diff", "pending", "full"};

/* ---- Names */

/* Both consume steps return the rest of the text, or NULL; NULL in is NULL out. */
static const char *take_text(const char *at, const char *text) {
    size_t size = strlen(text);
    return at && strncmp(at, text, size) == 0 ? at + size : NULL;
}

static const char *take_number(const char *at, uint64_t limit, uint64_t *number) {
    if (!at || *at < '0' || *at > '9') return NULL;
    if (at[0] == '0' && at[1] >= '0' && at[1] <= '9') return NULL;
    if (PLANTED(skip_number_bound)) limit = UINT64_MAX;
    uint64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (limit - digit) / 10) return NULL;
        value = value * 10 + digit;
    }
    *number = value;
    return at;
}

static bool parse_kind(const char *text, file_kind *kind) {
    for (int i = FILE_DIFF; i <= FILE_FULL; i++) {
        const char *rest = take_text(text, kind_text[i]);
        if (!rest || strcmp(rest, ".bin") != 0) continue;
        *kind = (file_kind)i;
        return true;
    }
    return false;
}

bool file_name_parse(const char *text, file_name *name) {
    uint64_t ordinal = 0, shard = 0, count = 0;
    file_kind kind;
    const char *at = take_text(text, "snapshot_");
    at = take_number(at, ORDINAL_MAX, &ordinal);
    at = take_number(take_text(at, "_"), FILE_SHARDS_MAX, &shard);
    at = take_number(take_text(at, "-of-"), FILE_SHARDS_MAX, &count);
    at = take_text(at, "_");
    if (!at || shard >= count || !parse_kind(at, &kind)) return false;
    *name = (file_name){ordinal, (uint32_t)shard, (uint32_t)count, kind};
    return true;
}

void file_name_format(const file_name *name, char text[FILE_NAME_BYTES]) {
    (void)snprintf(text, FILE_NAME_BYTES, "snapshot_%" PRIu64 "_%" PRIu32 "-of-%" PRIu32 "_%s.bin",
                   name->ordinal, name->shard, name->shard_count, kind_text[name->kind]);
}

/* ---- Scanning */

typedef struct scan {
    fileset files;
    size_t capacity;
} scan;

static int visit(void *context, const char *text) {
    scan *s = (scan *)context;
    file_name name;
    if (!file_name_parse(text, &name)) return 0;
    if (s->files.count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 16;
        file_name *names = (file_name *)realloc(s->files.names, capacity * sizeof *names);
        if (!names) return ENOMEM;
        s->files.names = names;
        s->capacity = capacity;
    }
    s->files.names[s->files.count++] = name;
    return 0;
}

static int order(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

static int compare_names(const void *left, const void *right) {
    const file_name *a = (const file_name *)left, *b = (const file_name *)right;
    if (a->ordinal != b->ordinal) return order(a->ordinal, b->ordinal);
    if (a->shard != b->shard) return order(a->shard, b->shard);
    if (a->kind != b->kind) return order(a->kind, b->kind);
    return order(a->shard_count, b->shard_count);
}

pkv_status fileset_scan(const os_folder *folder, fileset *files) {
    scan s = {{NULL, 0}, 0};
    *files = s.files;
    int error = os_folder_list(folder, visit, &s);
    if (error) {
        fileset_release(&s.files);
        return fail_os(NULL, NO_OFFSET, error, "cannot list the store's folder");
    }
    if (s.files.count) qsort(s.files.names, s.files.count, sizeof *s.files.names, compare_names);
    *files = s.files;
    return PKV_OK;
}

void fileset_release(fileset *files) {
    free(files->names);
    *files = (fileset){NULL, 0};
}

uint64_t fileset_last_ordinal(const fileset *files) {
    return files->count ? files->names[files->count - 1].ordinal : 0;
}

/* ---- Groups */

bool fileset_next_group(const fileset *files, file_group *group) {
    size_t first = group->first + group->count;
    if (first >= files->count) return false;
    const file_name *names = files->names;
    size_t end = first + 1;
    while (end < files->count && names[end].ordinal == names[first].ordinal) end++;
    *group = (file_group){.ordinal = names[first].ordinal,
                          .shard_count = names[first].shard_count,
                          .kind = names[first].kind,
                          .first = first,
                          .count = end - first};
    return true;
}

static pkv_status fail_pair(const char *what, const file_name *a, const file_name *b) {
    char first[FILE_NAME_BYTES], second[FILE_NAME_BYTES];
    file_name_format(a, first);
    file_name_format(b, second);
    return fail(PKV_CORRUPT, second, NO_OFFSET, 0,
                "%s: %s and %s cannot both belong to the store; move the one that does not out of "
                "the folder, or restore the folder from a backup",
                what, first, second);
}

static pkv_status fail_missing(const file_name *like, uint32_t shard) {
    file_name missing = *like;
    missing.shard = shard;
    char text[FILE_NAME_BYTES];
    file_name_format(&missing, text);
    return fail(PKV_CORRUPT, text, NO_OFFSET, 0,
                "Missing snapshot shard: %s is not there, though other shards of ordinal %" PRIu64
                " are; restore the file, or the folder, from a backup",
                text, missing.ordinal);
}

static bool all_pending(const file_name *names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (names[i].kind != FILE_PENDING) return false;
    }
    return true;
}

static pkv_status check_duplicates(const file_name *names, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (names[i].shard == names[i - 1].shard) {
            return fail_pair("Duplicate snapshot shard", &names[i - 1], &names[i]);
        }
    }
    return PKV_OK;
}

static pkv_status check_consistent(const file_name *names, size_t count) {
    for (size_t i = 1; i < count; i++) {
        bool same_family = (names[i].kind == FILE_DIFF) == (names[0].kind == FILE_DIFF);
        if (names[i].shard_count != names[0].shard_count || !same_family) {
            return fail_pair("Inconsistent snapshot shard count or type", &names[0], &names[i]);
        }
    }
    return PKV_OK;
}

/* Of names without duplicates, each shard below the common count: all are there if the number is
 * right, else the first that is not in its place tells which one is missing. */
static pkv_status check_complete(const file_name *names, size_t count, file_kind kind) {
    if (PLANTED(skip_missing_shard)) return PKV_OK;
    if (count == names[0].shard_count) return PKV_OK;
    uint32_t shard = 0;
    while (shard < count && names[shard].shard == shard) shard++;
    file_name like = names[0];
    like.kind = kind;
    return fail_missing(&like, shard);
}

pkv_status fileset_check_group(const fileset *files, file_group *group) {
    const file_name *names = files->names + group->first;
    if (all_pending(names, group->count)) return PKV_OK;
    pkv_status status = check_duplicates(names, group->count);
    if (status) return status;
    status = check_consistent(names, group->count);
    if (status) return status;
    if (group->kind == FILE_PENDING) group->kind = FILE_FULL; /* others are full */
    status = check_complete(names, group->count, group->kind);
    group->partial = status != PKV_OK;
    return status;
}

pkv_status fileset_check_shard(const fileset *files, const file_group *group, uint32_t shard) {
    const file_name *names = files->names + group->first;
    for (size_t i = 0; i < group->count; i++) {
        if (names[i].shard == shard) return PKV_OK;
    }
    file_name like = names[0];
    like.kind = group->kind;
    return fail_missing(&like, shard);
}
