/* salvage_plan.c - which files are salvaged, in which order, and with which salt: see salvage.h. */
#include "salvage.h"

#include <stdlib.h>
#include "../bytes/checksum.h"
#include "../bytes/varint.h"
#include "../os/error.h"

static pkv_status add(salvage *s, const file_name *name, bool foreign, uint64_t size) {
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 16;
        salvage_file *files = realloc(s->files, capacity * sizeof *files);
        if (!files) return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for a list of files");
        s->files = files;
        s->capacity = capacity;
    }
    s->files[s->count++] = (salvage_file){.name = *name, .foreign = foreign, .size = size};
    return PKV_OK;
}

void salvage_release(salvage *s) {
    free(s->files);
    s->files = NULL;
    s->count = s->capacity = 0;
}

/* ---- By the manifest */

static pkv_status add_group(salvage *s, const manifest_group *group, file_kind kind) {
    pkv_status status = PKV_OK;
    for (uint32_t shard = 0; shard < group->shard_count && !status; shard++) {
        file_name name = {group->ordinal, shard, group->shard_count, kind};
        status = add(s, &name, group->foreign, group->shards[shard].size);
    }
    return status;
}

pkv_status salvage_plan_by_manifest(salvage *s, const manifest *m, bool with_backups) {
    const manifest_group *in_force = manifest_snapshot(m);
    uint64_t covered = in_force ? in_force->ordinal : 0;
    pkv_status status = PKV_OK;
    s->salt = m->salt;
    for (size_t i = 0; i < m->snapshots.count && !status; i++) {
        const manifest_group *group = &m->snapshots.groups[i];
        if (group == in_force || with_backups) status = add_group(s, group, FILE_FULL);
    }
    for (size_t i = 0; i < m->logs.count && !status; i++) {
        const manifest_group *group = &m->logs.groups[i];
        if (group->ordinal > covered) status = add_group(s, group, FILE_DIFF);
    }
    return status;
}

/* ---- The salt */

/* A salt whose first half is zero and with which checksums in files of this ordinal begin with
 * `seed`. What 8 bytes of salt do to a checksum is to add the same word whatever came before; so it
 * fits every other ordinal too. */
static uint64_t salt_of(uint64_t ordinal, uint32_t seed) {
    static const uint8_t zeros[4] = {0};
    uint32_t before = checksum(checksum_seed(ordinal, 0), zeros, sizeof zeros);
    uint32_t after = checksum_before(seed, zeros, sizeof zeros);
    return (uint64_t)(before ^ after) << 32;
}

/* The salt that the record at `at` has been written with, if it is one of ours. *tries counts the
 * records that were summed up backwards, which takes a while. */
static bool guess_salt(const uint8_t *at, size_t available, uint64_t ordinal, uint64_t *salt,
                       int *tries) {
    record entry;
    size_t size;
    (void)record_decode(at, available, 0, RECORD_OURS, &entry, &size);
    if (size < 6 || size > available || at[size - 5] != 0x7d) return false;
    (*tries)++;
    const uint8_t *sum = at + size - 4;
    uint32_t seed = checksum_before(load_u32(sum), at, size - 5);
    if (record_decode(at, available, seed, RECORD_OURS, &entry, &size) != RECORD_OK) return false;
    *salt = seed == checksum_seed(ordinal, 0) ? 0 : salt_of(ordinal, seed);
    return true;
}

/* How many records from `at` on, one after the other, are sound with that salt. */
static unsigned count_sound(const uint8_t *at, size_t available, uint64_t ordinal, uint64_t salt) {
    uint32_t seed = checksum_seed(ordinal, salt);
    unsigned count = 0;
    record entry;
    size_t size;
    while (record_decode(at, available, seed, RECORD_OURS, &entry, &size) == RECORD_OK) {
        at += size;
        available -= size;
        count++;
    }
    return count;
}

typedef struct salt_search {
    uint64_t salt;
    unsigned votes; /* records in a row that are sound with it */
} salt_search;

#define PROBE_BYTES ((size_t)64 << 10)

/* Tries what the beginning of a file gives. Its first record may be damaged: the search goes on at
 * every byte until records confirm each other. */
static void probe(const uint8_t *bytes, size_t size, uint64_t ordinal, salt_search *best) {
    enum { ENOUGH = 3, TRIES = 1000 };
    int tries = 0;
    for (size_t i = 0; i < size && best->votes < ENOUGH && tries < TRIES; i++) {
        uint64_t salt;
        if (bytes[i] == 0) continue;
        if (!guess_salt(bytes + i, size - i, ordinal, &salt, &tries)) continue;
        unsigned votes = count_sound(bytes + i, size - i, ordinal, salt);
        if (votes > best->votes) *best = (salt_search){salt, votes};
    }
}

/* With a salt the files are ours, but for those that begin with what only the crate writes. */
static bool looks_foreign(const uint8_t *bytes, size_t size, uint64_t ordinal, uint64_t salt) {
    record entry;
    size_t whole;
    uint64_t guess;
    int tries = 0;
    if (count_sound(bytes, size, ordinal, salt) > 0) return false;
    if (guess_salt(bytes, size, ordinal, &guess, &tries)) return false; /* damaged, and ours */
    return record_decode(bytes, size, 0, RECORD_FOREIGN, &entry, &whole) == RECORD_OK && whole > 1;
}

static bool is_blank(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i]) return false;
    }
    return true;
}

static pkv_status find_salt(salvage *s, uint8_t *bytes, salt_search *best) {
    pkv_status status = PKV_OK;
    for (size_t i = 0; i < s->count && !status; i++) {
        size_t size;
        status = salvage_peek(s, &s->files[i], bytes, PROBE_BYTES, &size);
        probe(bytes, size, s->files[i].name.ordinal, best);
    }
    return status;
}

static pkv_status tell_origins(salvage *s) {
    uint8_t *bytes = malloc(PROBE_BYTES);
    if (!bytes) return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory to read files");
    salt_search best = {0, 0};
    pkv_status status = find_salt(s, bytes, &best);
    s->salt = best.salt;
    for (size_t i = 0; i < s->count && !status; i++) {
        salvage_file *file = &s->files[i];
        size_t size;
        status = salvage_peek(s, file, bytes, PROBE_BYTES, &size);
        file->foreign = best.votes == 0 ? !is_blank(bytes, size)
                                        : looks_foreign(bytes, size, file->name.ordinal, s->salt);
    }
    free(bytes);
    return status;
}

/* ---- By the files' names */

static file_kind kind_of(const fileset *files, const file_group *group) {
    file_kind kind = FILE_PENDING;
    for (size_t i = group->first; i < group->first + group->count; i++) {
        if (files->names[i].kind == FILE_FULL) return FILE_FULL;
        if (files->names[i].kind == FILE_DIFF) kind = FILE_DIFF;
    }
    return kind;
}

static uint64_t newest_snapshot(const fileset *files) {
    uint64_t newest = 0;
    for (size_t i = 0; i < files->count; i++) {
        if (files->names[i].kind == FILE_FULL) newest = files->names[i].ordinal;
    }
    return newest;
}

static pkv_status tell_missing(salvage *s, const file_name *first, uint32_t count) {
    char text[FILE_NAME_BYTES];
    file_name_format(first, text);
    s->report->missing += count;
    pkv_status status = fail(PKV_CORRUPT, text, NO_OFFSET, 0,
                             "%s is not there, nor are %lu more of its %lu files: all their "
                             "records are lost",
                             text, (unsigned long)count - 1, (unsigned long)first->shard_count);
    return findings_take(&s->to, status);
}

static bool is_same(const file_name *a, const file_name *b) {
    return a->shard == b->shard && a->shard_count == b->shard_count && a->kind == b->kind;
}

/* A group whose files contradict each other in their counts is read as it is. */
static pkv_status add_names(salvage *s, const fileset *files, const file_group *group,
                            file_kind kind) {
    pkv_status status = PKV_OK;
    file_name missing = {group->ordinal, 0, group->shard_count, kind};
    uint32_t there = 0;
    size_t before = s->count;
    for (size_t i = group->first; i < group->first + group->count && !status; i++) {
        file_name name = files->names[i];
        if (kind == FILE_FULL && name.kind == FILE_PENDING) name.kind = FILE_FULL;
        if (s->count > before && is_same(&s->files[s->count - 1].name, &name)) continue;
        status = add(s, &name, false, 0);
        if (name.shard_count != group->shard_count || name.kind != kind) continue;
        if (name.shard == missing.shard) missing.shard++;
        there++;
    }
    if (status || there >= group->shard_count) return status;
    return tell_missing(s, &missing, group->shard_count - there);
}

pkv_status salvage_plan_by_names(salvage *s, const fileset *files, bool with_backups) {
    uint64_t newest = newest_snapshot(files);
    file_group group = {0};
    pkv_status status = PKV_OK;
    while (!status && fileset_next_group(files, &group)) {
        file_kind kind = kind_of(files, &group);
        bool wanted = kind == FILE_FULL && (group.ordinal == newest || with_backups);
        if (kind == FILE_DIFF && group.ordinal > newest) wanted = true;
        if (wanted) status = add_names(s, files, &group, kind);
    }
    return status ? status : tell_origins(s);
}
