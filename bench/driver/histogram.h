/* histogram.h - counts nanoseconds, to within 3 %, in 5 KB; the longest exactly. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PARTS 32 /* of each power of two */
#define HISTOGRAM_SLOTS (HISTOGRAM_PARTS * 40)

typedef struct histogram {
    uint64_t longest, count;
    uint32_t counts[HISTOGRAM_SLOTS];
} histogram;

static inline uint64_t histogram_slot(uint64_t ns) {
    if (ns < HISTOGRAM_PARTS) return ns;
    uint64_t shift = 58 - (uint64_t)__builtin_clzll(ns);
    uint64_t slot = shift * HISTOGRAM_PARTS + (ns >> shift);
    return slot < HISTOGRAM_SLOTS ? slot : HISTOGRAM_SLOTS - 1;
}

static inline void histogram_add(histogram *h, uint64_t ns) {
    h->counts[histogram_slot(ns)]++;
    h->count++;
    if (ns > h->longest) h->longest = ns;
}

static inline void histogram_merge(histogram *to, const histogram *from) {
    for (int i = 0; i < HISTOGRAM_SLOTS; i++) to->counts[i] += from->counts[i];
    to->count += from->count;
    if (from->longest > to->longest) to->longest = from->longest;
}

/* The most that a share of the times, such as 0.99, did not exceed. */
static inline uint64_t histogram_quantile(const histogram *h, double share) {
    uint64_t seen = 0, wanted = (uint64_t)((double)h->count * share);
    for (uint64_t slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        seen += h->counts[slot];
        if (seen <= wanted) continue;
        uint64_t shift = slot < 2 * HISTOGRAM_PARTS ? 0 : slot / HISTOGRAM_PARTS - 1;
        uint64_t end = ((slot - shift * HISTOGRAM_PARTS) + 1) << shift;
        return end - 1 < h->longest ? end - 1 : h->longest;
    }
    return h->longest;
}

#endif
