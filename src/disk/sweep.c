/* sweep.c - see sweep.h. */
#include "sweep.h"

/* The reader is where no record is; it goes on to the next. False: there is none, or the sweep has
 * ended. */
static pkv_status pass_range(reader *in, record_result ended, uint64_t size, const sweep *s,
                             bool *more) {
    reader_rest rest;
    sweep_range range = {.from = in->offset, .ended = ended};
    pkv_status status = reader_resync(in, &rest, more);
    if (status) return status;
    range.more = *more;
    range.upto = rest.end > size ? rest.end : size;
    if (*more) range.upto = in->offset;
    if (range.upto > range.from) *more = s->skip(s->context, &range) && *more;
    return PKV_OK;
}

pkv_status sweep_run(reader *in, uint64_t size, const sweep *s) {
    bool more = true;
    while (more) {
        reader_batch batch;
        pkv_status status = reader_next(in, &batch);
        if (!status) status = s->take(s->context, in, &batch);
        if (status) return status;
        if (batch.ended == RECORD_OK) continue;
        if (batch.ended == RECORD_END && in->offset == in->size) break;
        status = pass_range(in, batch.ended, size, s, &more);
        if (status) return status;
    }
    sweep_range missing = {.from = in->size, .upto = size, .ended = RECORD_OK};
    if (more && size > in->size) (void)s->skip(s->context, &missing);
    return PKV_OK;
}
