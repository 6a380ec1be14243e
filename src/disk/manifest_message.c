/* manifest_message.c - a manifest as bytes, and back, by protobuf-c (manifest.proto).
 *
 * The last five bytes are the checksum field: the tag 7d and the CRC-32C, begun with 0, of all
 * bytes before it. It is written and checked here, since it is about bytes and not about fields.
 *
 * Few bytes can announce much: to protobuf-c a field of 2 bytes is a note of 32 at least, an empty
 * shard 120 in all. So it gets no more memory than UNPACK_BYTES, which is enough for 120 bytes for
 * each of MANIFEST_PARTS_MAX; and more is not written either.
 *
 * Invariant: what manifest_pack lets through, manifest_unpack accepts; both ask fault_of. */
#include <stdlib.h>
#include <string.h>
#include "../bytes/checksum.h"
#include "../bytes/limits.h"
#include "../bytes/planted.h"
#include "../bytes/varint.h"
#include "../os/error.h"
#include "fileset.h"
#include "manifest_message.h"
#include "manifest.pb-c.h"

#define CHECKSUM_TAG   0x7du /* field 15, fixed32 */
#define CHECKSUM_BYTES 5u

/* What protobuf-c may allocate to unpack a manifest of `size` bytes. */
#define UNPACK_BYTES(size) (2 * (size) + ((size_t)12 << 20))

/* Sizes and offsets of files, as off_t holds them. */
#define FILE_BYTES_MAX ((uint64_t)INT64_MAX)

/* ---- What a manifest must be */

static const char *fault_of_list(const manifest_list *list, uint64_t last_ordinal) {
    uint64_t previous = 0;
    for (size_t i = 0; i < list->count; i++) {
        const manifest_group *group = &list->groups[i];
        if (PLANTED(believe_any_group)) continue;
        if (group->ordinal <= previous) return "its ordinals do not ascend from 1";
        if (group->ordinal > last_ordinal) return "it has an ordinal beyond the last one";
        if (group->shard_count == 0) return "it has files of no shards";
        if (group->shard_count > FILE_SHARDS_MAX) return "it has files of too many shards";
        for (uint32_t shard = 0; shard < group->shard_count; shard++) {
            if (group->shards[shard].size > FILE_BYTES_MAX) return "it has an impossible file size";
        }
        previous = group->ordinal;
    }
    return NULL;
}

static size_t count_parts(const manifest_list *list) {
    size_t count = list->count;
    for (size_t i = 0; i < list->count; i++) count += list->groups[i].shard_count;
    return count;
}

static const char *fault_of_both(const manifest_list *snapshots, const manifest_list *logs) {
    size_t s = 0, l = 0;
    if (count_parts(snapshots) + count_parts(logs) > MANIFEST_PARTS_MAX) {
        return "it has too many snapshots, logs and shards";
    }
    while (s < snapshots->count && l < logs->count) {
        uint64_t snapshot = snapshots->groups[s].ordinal, log = logs->groups[l].ordinal;
        if (snapshot == log) return "an ordinal is both a snapshot and a log";
        if (snapshot < log) {
            s++;
        } else {
            l++;
        }
    }
    return NULL;
}

static bool known_values(uint32_t values) {
    return values <= PKV_VALUES_MESSAGE ||
           (values > PKV_VALUES_INTEGER && values <= (uint32_t)PKV_VALUES_INTEGER + PKV_I8);
}

/* Why the manifest cannot be one, or NULL. */
static const char *fault_of(const manifest *m) {
    if (m->keys > PKV_KEYS_FIXED) return "its kind of keys is unknown";
    if (m->key_type > PKV_I8) return "its integer type of keys is unknown";
    if (!known_values(m->values)) return "its kind of values is unknown";
    if (m->last_ordinal > ORDINAL_MAX) return "its last ordinal is out of range";
    const char *fault = fault_of_list(&m->snapshots, m->last_ordinal);
    if (!fault) fault = fault_of_list(&m->logs, m->last_ordinal);
    return fault ? fault : fault_of_both(&m->snapshots, &m->logs);
}

/* ---- Packing */

/* The messages that stand for a manifest while it is packed; room for all groups and shards. */
typedef struct messages {
    Pkv__Manifest root;
    Pkv__Group *groups, **group_pointers;
    Pkv__Shard *shards, **shard_pointers;
    size_t group_count, shard_count; /* in use */
} messages;

static void messages_release(messages *m) {
    free(m->groups);
    free(m->group_pointers);
    free(m->shards);
    free(m->shard_pointers);
}

static size_t count_shards(const manifest_list *list) {
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) count += list->groups[i].shard_count;
    return count;
}

/* Always asks for one more, so that NULL means that there is no memory. */
static bool messages_make_room(messages *m, size_t groups, size_t shards) {
    m->groups = (Pkv__Group *)calloc(groups + 1, sizeof *m->groups);
    m->group_pointers = (Pkv__Group **)calloc(groups + 1, sizeof *m->group_pointers);
    m->shards = (Pkv__Shard *)calloc(shards + 1, sizeof *m->shards);
    m->shard_pointers = (Pkv__Shard **)calloc(shards + 1, sizeof *m->shard_pointers);
    return m->groups && m->group_pointers && m->shards && m->shard_pointers;
}

static void add_shards(messages *m, const manifest_group *from, Pkv__Group *to) {
    to->shards = m->shard_pointers + m->shard_count;
    to->n_shards = from->shard_count;
    for (uint32_t i = 0; i < from->shard_count; i++) {
        Pkv__Shard *shard = &m->shards[m->shard_count];
        pkv__shard__init(shard);
        shard->size = from->shards[i].size;
        shard->entries = from->shards[i].entries;
        shard->checksum = from->shards[i].checksum;
        m->shard_pointers[m->shard_count++] = shard;
    }
}

static Pkv__Group **add_groups(messages *m, const manifest_list *list) {
    Pkv__Group **first = m->group_pointers + m->group_count;
    for (size_t i = 0; i < list->count; i++) {
        Pkv__Group *group = &m->groups[m->group_count];
        pkv__group__init(group);
        group->ordinal = list->groups[i].ordinal;
        group->foreign = list->groups[i].foreign;
        add_shards(m, &list->groups[i], group);
        m->group_pointers[m->group_count++] = group;
    }
    return first;
}

static void fill_root(messages *m, const manifest *in) {
    Pkv__Manifest *root = &m->root;
    pkv__manifest__init(root);
    root->format = MANIFEST_FORMAT;
    root->keys = in->keys;
    root->key_type = in->key_type;
    root->values = in->values;
    root->last_ordinal = in->last_ordinal;
    root->clean = in->clean;
    root->hash_seed = in->hash_seed;
    root->hash_check = in->hash_check;
    root->salt = in->salt;
    root->n_snapshots = in->snapshots.count;
    root->snapshots = add_groups(m, &in->snapshots);
    root->n_logs = in->logs.count;
    root->logs = add_groups(m, &in->logs);
}

static pkv_status pack_root(const Pkv__Manifest *root, uint8_t **bytes, size_t *size) {
    size_t fields = pkv__manifest__get_packed_size(root);
    if (fields + CHECKSUM_BYTES > MANIFEST_BYTES_MAX) {
        return fail(PKV_TOO_LARGE, MANIFEST_NAME, NO_OFFSET, 0,
                    "%s would take %zu bytes: too many snapshots, logs and shards", MANIFEST_NAME,
                    fields + CHECKSUM_BYTES);
    }
    uint8_t *out = (uint8_t *)malloc(fields + CHECKSUM_BYTES);
    if (!out) return fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for the manifest");
    (void)pkv__manifest__pack(root, out);
    out[fields] = CHECKSUM_TAG;
    store_u32(out + fields + 1, checksum(0, out, fields));
    *bytes = out;
    *size = fields + CHECKSUM_BYTES;
    return PKV_OK;
}

pkv_status manifest_pack(const manifest *in, uint8_t **bytes, size_t *size) {
    const char *fault = fault_of(in);
    if (fault) {
        return fail(PKV_USAGE, MANIFEST_NAME, NO_OFFSET, 0, "%s is not written: %s", MANIFEST_NAME,
                    fault);
    }
    messages m;
    memset(&m, 0, sizeof m);
    pkv_status status;
    if (messages_make_room(&m, in->snapshots.count + in->logs.count,
                           count_shards(&in->snapshots) + count_shards(&in->logs))) {
        fill_root(&m, in);
        status = pack_root(&m.root, bytes, size);
    } else {
        status = fail(PKV_NO_MEMORY, NULL, NO_OFFSET, 0, "no memory for the manifest");
    }
    messages_release(&m);
    return status;
}

/* ---- Unpacking */

static pkv_status fail_corrupt(const char *fault) {
    return fail(
        PKV_CORRUPT, MANIFEST_NAME, NO_OFFSET, 0,
        "%s cannot be believed: %s; restore the folder from a backup, or salvage what can be "
        "read with `pkv repair`",
        MANIFEST_NAME, fault);
}

static pkv_status fail_memory(void) {
    return fail(PKV_NO_MEMORY, MANIFEST_NAME, NO_OFFSET, 0, "no memory to read %s", MANIFEST_NAME);
}

static bool checksum_holds(const uint8_t *bytes, size_t size) {
    if (size < CHECKSUM_BYTES) return false;
    if (PLANTED(skip_manifest_checksum)) return true;
    size_t fields = size - CHECKSUM_BYTES;
    return bytes[fields] == CHECKSUM_TAG &&
           load_u32(bytes + fields + 1) == checksum(0, bytes, fields);
}

static bool unpack_group(const Pkv__Group *from, manifest_group *to) {
    to->shards = (shard_facts *)calloc(from->n_shards + 1, sizeof *to->shards);
    if (!to->shards) return false;
    to->ordinal = from->ordinal;
    to->shard_count = (uint32_t)from->n_shards; /* less than MANIFEST_BYTES_MAX */
    to->foreign = from->foreign;
    for (uint32_t i = 0; i < to->shard_count; i++) {
        const Pkv__Shard *shard = from->shards[i];
        to->shards[i] = (shard_facts){shard->size, shard->entries, shard->checksum};
    }
    return true;
}

static bool unpack_list(Pkv__Group **groups, size_t count, manifest_list *to) {
    to->groups = (manifest_group *)calloc(count + 1, sizeof *to->groups);
    if (!to->groups) return false;
    for (size_t i = 0; i < count; i++) {
        if (!unpack_group(groups[i], &to->groups[i])) return false;
        to->count++;
    }
    return true;
}

static pkv_status unpack_root(const Pkv__Manifest *root, manifest *out) {
    if (root->format > MANIFEST_FORMAT) {
        return fail(PKV_USAGE, MANIFEST_NAME, NO_OFFSET, 0,
                    "%s is of format %lu, and this version of the library knows formats up to %lu; "
                    "open the store with the newer version that wrote it",
                    MANIFEST_NAME, (unsigned long)root->format, (unsigned long)MANIFEST_FORMAT);
    }
    if (root->format == 0) return fail_corrupt("it names no format");
    out->keys = root->keys;
    out->key_type = root->key_type;
    out->values = root->values;
    out->last_ordinal = root->last_ordinal;
    out->clean = root->clean;
    out->hash_seed = root->hash_seed;
    out->hash_check = root->hash_check;
    out->salt = root->salt;
    if (!unpack_list(root->snapshots, root->n_snapshots, &out->snapshots) ||
        !unpack_list(root->logs, root->n_logs, &out->logs)) {
        return fail_memory();
    }
    const char *fault = fault_of(out);
    return fault ? fail_corrupt(fault) : PKV_OK;
}

/* protobuf-c answers NULL to bad bytes and to a lack of memory alike; this tells them apart. */
typedef struct allowance {
    size_t left;
    bool exceeded, lacking;
} allowance;

static void *allocate(void *context, size_t size) {
    allowance *a = (allowance *)context;
    a->exceeded = a->exceeded || size > a->left;
    if (a->exceeded) return NULL;
    a->left -= size;
    void *memory = malloc(size);
    if (!memory && size) a->lacking = true;
    return memory;
}

static void release(void *context, void *memory) {
    (void)context;
    free(memory);
}

static pkv_status fail_unpack(const allowance *a) {
    if (a->lacking) return fail_memory();
    return fail_corrupt(a->exceeded ? "it has too many fields" : "it is no manifest message");
}

pkv_status manifest_unpack(const uint8_t *bytes, size_t size, manifest *out) {
    memset(out, 0, sizeof *out);
    if (size == 0) return fail_corrupt("it is empty");
    if (!checksum_holds(bytes, size)) return fail_corrupt("its checksum is wrong");

    allowance memory = {UNPACK_BYTES(size), false, false};
    ProtobufCAllocator allocator = {allocate, release, &memory};
    Pkv__Manifest *root = pkv__manifest__unpack(&allocator, size, bytes);
    if (!root) return fail_unpack(&memory);
    /* The last five bytes may be the inside of another field. */
    pkv_status status = root->checksum == load_u32(bytes + size - 4)
                            ? unpack_root(root, out)
                            : fail_corrupt("its checksum is not its last field");
    pkv__manifest__free_unpacked(root, &allocator);
    if (status) manifest_release(out);
    return status;
}
