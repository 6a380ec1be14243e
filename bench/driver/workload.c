/* workload.c - what is made once: the pool of values, the tables of Zipf's distribution. */
#include "workload.h"

#include <math.h>

unsigned char workload_pool[POOL_SLOTS * ROUNDS + VALUE_MAX];

void workload_make_pool(void) {
    for (size_t i = 0; i < sizeof workload_pool; i++)
        workload_pool[i] = (unsigned char)(mix(i) / ROUNDS * ROUNDS + i % ROUNDS);
}

permutation permutation_from(uint64_t entries, uint64_t skip) {
    uint64_t step = STRIDE % entries;
    uint64_t at = (uint64_t)((unsigned __int128)step * skip % entries);
    return (permutation){entries, step, at};
}

/* ---- Zipf's distribution */

#define EXPONENT 0.99

/* The weight of ranks from `first` (counted from 0) to before `end`. */
static double weight(uint64_t first, uint64_t end) {
    if (end - first == 1) return pow((double)end, -EXPONENT);
    double from = (double)first + 0.5, to = (double)end + 0.5;
    return (pow(to, 1 - EXPONENT) - pow(from, 1 - EXPONENT)) / (1 - EXPONENT);
}

/* Cuts the ranks into ranges and returns the weight of all. */
static double cut(zipf *z, uint64_t entries, double *weights) {
    double sum = 0;
    z->count = 0;
    for (uint64_t first = 0; first < entries; z->count++) {
        uint64_t ranks = first < ZIPF_SINGLE ? 1 : first / ZIPF_GROWTH;
        if (ranks > entries - first) ranks = entries - first;
        z->ranges[z->count].first = (uint32_t)first;
        z->ranges[z->count].ranks = (uint32_t)ranks;
        weights[z->count] = weight(first, first + ranks);
        sum += weights[z->count];
        first += ranks;
    }
    return sum;
}

void zipf_make(zipf *z, uint64_t entries) {
    double weights[ZIPF_RANGES];
    uint64_t small[ZIPF_RANGES], large[ZIPF_RANGES], smalls = 0, larges = 0;
    double sum = cut(z, entries, weights);
    for (uint64_t i = 0; i < z->count; i++) {
        weights[i] *= (double)z->count / sum;
        z->ranges[i].threshold = UINT32_MAX;
        z->ranges[i].alias = (uint32_t)i;
        if (weights[i] < 1)
            small[smalls++] = i;
        else
            large[larges++] = i;
    }
    while (smalls > 0 && larges > 0) {
        uint64_t less = small[--smalls], more = large[larges - 1];
        z->ranges[less].threshold = (uint32_t)(weights[less] * 4294967295.0);
        z->ranges[less].alias = (uint32_t)more;
        weights[more] -= 1 - weights[less];
        if (weights[more] < 1) small[smalls++] = large[--larges];
    }
}
