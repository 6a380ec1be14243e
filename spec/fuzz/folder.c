/* folder.c - see folder.h. */
#include "folder.h"

#include <stdlib.h>
#include <string.h>
#include "../../src/bytes/checksum.h"
#include "../../src/bytes/varint.h"
#include "../../src/disk/manifest_message.h"
#include "support.h"

#define CHECKSUM_BYTES 5

void sections_cut(uint8_t *data, size_t size, sections *out) {
    size_t at = 0;
    out->count = 0;
    while (size - at >= HEAD_BYTES && out->count < SECTIONS_MAX) {
        section s = {(uint8_t)(data[at] % KINDS), data[at + 1], data[at + 2], NULL, 0};
        s.size = (size_t)data[at + 3] | (size_t)data[at + 4] << 8;
        at += HEAD_BYTES;
        s.data = data + at;
        if (s.size > size - at) s.size = size - at;
        at += s.size;
        out->list[out->count++] = s;
    }
}

size_t sections_join(const sections *in, uint8_t *out, size_t capacity) {
    size_t at = 0;
    for (size_t i = 0; i < in->count; i++) {
        const section *s = &in->list[i];
        if (capacity - at < HEAD_BYTES + s->size || s->size > UINT16_MAX) return 0;
        uint8_t head[HEAD_BYTES] = {s->kind, s->ordinal, s->shard, (uint8_t)s->size,
                                    (uint8_t)(s->size >> 8)};
        memcpy(out + at, head, HEAD_BYTES);
        if (s->size) memcpy(out + at + HEAD_BYTES, s->data, s->size);
        at += HEAD_BYTES + s->size;
    }
    return at;
}

bool section_file_name(const section *s, file_name *name) {
    if (s->kind > FILE_FULL) return false;
    uint32_t count = (s->shard & 15u) + 1;
    *name = (file_name){s->ordinal, (uint32_t)(s->shard >> 4) % count, count, (file_kind)s->kind};
    return true;
}

bool section_file(const section *s, char name[FILE_NAME_BYTES], const uint8_t **data,
                  size_t *size) {
    static const char *const fixed[] = {MANIFEST_NAME, MANIFEST_NEW_NAME, LOCK_NAME};
    file_name parts;
    *data = s->data;
    *size = s->size;
    if (section_file_name(s, &parts)) {
        file_name_format(&parts, name);
        return true;
    }
    if (s->kind < KINDS - 1) {
        strcpy(name, fixed[s->kind - KIND_MANIFEST]);
        return true;
    }
    size_t length = s->shard;
    if (length >= FILE_NAME_BYTES || length > s->size) return false;
    memcpy(name, s->data, length);
    name[length] = 0;
    *data += length;
    *size -= length;
    return name[0] && name[0] != '.' && !strchr(name, '/');
}

/* ---- Mending */

/* Gives what looks like a record by its length the checksum that it should end with. */
static uint64_t mend_records(uint8_t *data, size_t size, uint32_t seed) {
    size_t at = 0;
    uint64_t length, records = 0;
    while (at < size) {
        const uint8_t *message = varint_read(data + at, data + size, &length);
        if (!message || length < CHECKSUM_BYTES) break;
        size_t begin = (size_t)(message - data);
        if (length > size - begin) break;
        size_t end = begin + (size_t)length, field = end - CHECKSUM_BYTES;
        data[field] = 0x7d;
        store_u32(data + field + 1, checksum(seed, data + at, field - at));
        at = end;
        records++;
    }
    return records;
}

static void mend_checksum(section *m) {
    if (m->size < CHECKSUM_BYTES) return;
    size_t fields = m->size - CHECKSUM_BYTES;
    m->data[fields] = 0x7d;
    store_u32(m->data + fields + 1, checksum(0, m->data, fields));
}

static section *find_manifest(sections *all) {
    section *found = NULL; /* the last one is what gets to the disk */
    for (size_t i = 0; i < all->count; i++) {
        if (all->list[i].kind == KIND_MANIFEST) found = &all->list[i];
    }
    return found;
}

static void mend_file(section *s, manifest *m) {
    file_name name;
    if (!section_file_name(s, &name)) return;
    manifest_list *list = name.kind == FILE_DIFF ? &m->logs : &m->snapshots;
    manifest_group *group = manifest_find(list, name.ordinal);
    if (!group || group->foreign) return;
    uint64_t entries = mend_records(s->data, s->size, checksum_seed(name.ordinal, m->salt));
    if (name.kind == FILE_DIFF || name.shard >= group->shard_count) return;
    group->shards[name.shard] = (shard_facts){s->size, entries, checksum(0, s->data, s->size)};
}

uint8_t *sections_mend(sections *all) {
    section *at = find_manifest(all);
    manifest m;
    if (!at) return NULL;
    mend_checksum(at);
    if (manifest_unpack(at->data, at->size, &m) != PKV_OK) return NULL;
    for (size_t i = 0; i < all->count; i++) mend_file(&all->list[i], &m);
    uint8_t *packed = NULL;
    size_t size = 0;
    if (manifest_pack(&m, &packed, &size) == PKV_OK) {
        at->data = packed;
        at->size = size;
    }
    manifest_release(&m);
    return packed;
}
