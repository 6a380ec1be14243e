/* salvage.c - reads the files of a plan, skipping what cannot be read: see salvage.h. */
#include "salvage.h"

#include <stdio.h>
#include "sweep.h"
#include "../os/error.h"

typedef struct file_salvage {
    salvage *s;
    snapshot_writer *out;
    reader in;
    uint64_t records, ranges;
    bool cannot_write; /* a failure was the writer's */
} file_salvage;

static void skip_range(file_salvage *f, uint64_t from, uint64_t upto, const char *why) {
    pkv_finding finding = {.kind = PKV_FINDING_SKIPPED, .offset = from, .bytes = upto - from};
    (void)snprintf(finding.file, sizeof finding.file, "%s", f->in.name);
    (void)snprintf(finding.message, sizeof finding.message,
                   "skipped %llu bytes of %s from offset %llu: %s",
                   (unsigned long long)finding.bytes, f->in.name, (unsigned long long)from, why);
    f->ranges++;
    f->s->report->skipped++;
    f->s->report->skipped_bytes += finding.bytes;
    findings_tell(&f->s->to, &finding);
}

static pkv_status put_batch(void *context, const reader *in, const reader_batch *batch) {
    file_salvage *f = context;
    const salvage *s = f->s;
    for (size_t i = 0; i < batch->count; i++) {
        const record *entry = &batch->entries[i];
        if (record_is_hole(entry, s->keys, in->origin)) continue;
        if (!record_fits(entry, s->keys, s->key_type)) {
            uint64_t next = i + 1 < batch->count ? batch->offsets[i + 1] : in->offset;
            skip_range(f, batch->offsets[i], next, "the key is none of the store's");
            continue;
        }
        record plain = *entry;
        plain.flushed = plain.previous_size = 0; /* of the old file */
        pkv_status status = snapshot_put_record(f->out, &plain);
        f->cannot_write = status != PKV_OK;
        if (status) return status;
        f->records++;
    }
    return PKV_OK;
}

static bool leave_out(void *context, const sweep_range *range) {
    const char *why = "no record can be read, nor any behind it";
    if (range->more) why = "no record can be read";
    if (range->ended == RECORD_OK) why = "the file ends before what was written to it";
    skip_range(context, range->from, range->upto, why);
    return true;
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
    findings_tell(&f->s->to, &finding);
}

/* What cannot be read is no failure, but told. */
static pkv_status lose(salvage *s, salvage_file *file, pkv_status status) {
    status = findings_take(&s->to, status);
    if (status) return status;
    file->lost = true;
    s->report->missing++;
    return PKV_OK;
}

pkv_status salvage_peek(salvage *s, salvage_file *file, uint8_t *bytes, size_t capacity,
                        size_t *size) {
    reader in = {0};
    *size = 0;
    if (file->lost) return PKV_OK;
    pkv_status status = open_file(s, file, &in);
    if (status) return lose(s, file, status);
    int error = os_file_read(in.fd, bytes, capacity, 0, size);
    if (error) {
        *size = 0;
        status = lose(s, file, fail_os(in.name, 0, error, "cannot read %s", in.name));
    }
    reader_close(&in);
    return status;
}

static pkv_status salvage_one(salvage *s, salvage_file *file, snapshot_writer *out) {
    file_salvage f = {.s = s, .out = out};
    if (file->lost) return PKV_OK;
    pkv_status status = open_file(s, file, &f.in);
    if (status) return lose(s, file, status);
    sweep all = {put_batch, leave_out, &f};
    status = sweep_run(&f.in, file->size, &all);
    if (status == PKV_IO && !f.cannot_write) status = lose(s, file, status); /* the rest of it */
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
