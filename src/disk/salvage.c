/* salvage.c - reads the files of a plan, skipping what cannot be read: see salvage.h. */
#include "salvage.h"

#include <stdio.h>
#include <string.h>
#include "../os/error.h"

typedef struct file_salvage {
    salvage *s;
    snapshot_writer *out;
    reader in;
    uint64_t records, ranges;
} file_salvage;

static void tell(const salvage *s, const pkv_finding *finding) {
    if (s->to.call) s->to.call(s->to.context, finding);
}

static void skip_range(file_salvage *f, uint64_t from, uint64_t upto, const char *why) {
    pkv_finding finding = {.kind = PKV_FINDING_SKIPPED, .offset = from, .bytes = upto - from};
    (void)snprintf(finding.file, sizeof finding.file, "%s", f->in.name);
    (void)snprintf(finding.message, sizeof finding.message,
                   "skipped %llu bytes of %s from offset %llu: %s",
                   (unsigned long long)finding.bytes, f->in.name, (unsigned long long)from, why);
    f->ranges++;
    f->s->report->skipped++;
    f->s->report->skipped_bytes += finding.bytes;
    tell(f->s, &finding);
}

static pkv_status put_batch(file_salvage *f, const reader_batch *batch) {
    const salvage *s = f->s;
    for (size_t i = 0; i < batch->count; i++) {
        const record *entry = &batch->entries[i];
        if (record_is_hole(entry, s->keys, f->in.origin)) continue;
        if (!record_fits(entry, s->keys, s->key_type)) {
            uint64_t next = i + 1 < batch->count ? batch->offsets[i + 1] : f->in.offset;
            skip_range(f, batch->offsets[i], next, "the key is none of the store's");
            continue;
        }
        record plain = *entry;
        plain.flushed = plain.previous_size = 0; /* of the old file */
        pkv_status status = snapshot_put_record(f->out, &plain);
        if (status) return status;
        f->records++;
    }
    return PKV_OK;
}

/* Puts what can be read of a file that is open. Only a failing writer is a failure of another kind
 * than PKV_IO with the file's own name, so *reading tells them apart. */
static pkv_status read_file(file_salvage *f, const salvage_file *file, bool *reading) {
    reader *in = &f->in;
    reader_batch batch;
    for (;;) {
        *reading = true;
        pkv_status status = reader_next(in, &batch);
        *reading = false;
        if (!status) status = put_batch(f, &batch);
        if (status) return status;
        if (batch.ended == RECORD_OK) continue;
        uint64_t at = in->offset;
        if (batch.ended == RECORD_END && at == in->size) break;
        reader_rest rest;
        bool found;
        *reading = true;
        status = reader_resync(in, &rest, &found);
        if (status) return status;
        if (!found) {
            uint64_t end = rest.end > file->size ? rest.end : file->size;
            if (end > at) skip_range(f, at, end, "no record can be read, nor any behind it");
            return PKV_OK;
        }
        skip_range(f, at, in->offset, "no record can be read");
    }
    if (file->size > in->size) {
        skip_range(f, in->size, file->size, "the file ends before what was written to it");
    }
    return PKV_OK;
}

static pkv_status open_file(const salvage *s, const salvage_file *file, reader *in) {
    record_origin origin = file->foreign ? RECORD_FOREIGN : RECORD_OURS;
    file_name name = file->name;
    pkv_status status = reader_open(in, s->folder, &name, origin, s->salt);
    if (status == PKV_NOT_FOUND && name.kind == FILE_FULL) {
        name.kind = FILE_PENDING;
        status = reader_open(in, s->folder, &name, origin, s->salt);
    }
    if (status != PKV_NOT_FOUND) return status;
    char text[FILE_NAME_BYTES];
    file_name_format(&file->name, text);
    return fail(PKV_CORRUPT, text, NO_OFFSET, 0, "%s is not there: all its records are lost", text);
}

static void tell_read(const file_salvage *f) {
    pkv_finding finding = {
        .kind = PKV_FINDING_READ, .offset = UINT64_MAX, .bytes = f->in.size, .records = f->records};
    (void)snprintf(finding.file, sizeof finding.file, "%s", f->in.name);
    (void)snprintf(finding.message, sizeof finding.message,
                   "%llu records read of %s, %llu ranges skipped", (unsigned long long)f->records,
                   f->in.name, (unsigned long long)f->ranges);
    tell(f->s, &finding);
}

static pkv_status salvage_one(salvage *s, const salvage_file *file, snapshot_writer *out) {
    file_salvage f = {.s = s, .out = out};
    pkv_status status = open_file(s, file, &f.in);
    if (status) {
        status = findings_take(&s->to, status);
        if (!status) s->report->missing++;
        return status;
    }
    bool reading = false;
    status = read_file(&f, file, &reading);
    if (status == PKV_IO && reading) {
        status = findings_take(&s->to, status);
        s->report->missing++; /* the rest of it */
    }
    if (!status) {
        s->report->files++;
        s->report->records += f.records;
        tell_read(&f);
    }
    reader_close(&f.in);
    return status;
}

pkv_status salvage_run(salvage *s, snapshot_writer *out) {
    pkv_status status = PKV_OK;
    for (size_t i = 0; i < s->count && !status; i++) status = salvage_one(s, &s->files[i], out);
    return status;
}
