/* sim_cuts.h - one fixed list of cuts for every moment, where all of them are to be tried.
 *
 * Unflushed contents are kept as a whole, lost as a whole, or kept in part, in thirteen ways. Of
 * unflushed names all are kept, none, each beginning, each bundle of related ones alone, and all
 * but each bundle; up to four bundles, each combination.
 */
#ifndef SIM_CUTS_H
#define SIM_CUTS_H

#include <stdlib.h>
#include "../../src/os/simulated.h"

#define CUTS_MAX 512u

typedef struct cut_list {
    sim_cut cuts[CUTS_MAX];
    size_t count;
} cut_list;

static void add_cut(cut_list *list, sim_share names, uint64_t seed, sim_share sizes,
                    sim_share pages) {
    if (list->count == CUTS_MAX) abort();
    list->cuts[list->count++] = (sim_cut){names, sizes, pages, seed};
}

/* Names as told, with the contents kept and lost. */
static void add_names(cut_list *list, sim_share names, uint64_t seed) {
    add_cut(list, names, seed, SIM_ALL, SIM_ALL);
    add_cut(list, names, seed, SIM_NONE, SIM_NONE);
}

static void add_contents(cut_list *list, sim_share names) {
    static const sim_share parts[][2] = {
        {SIM_ALL, SIM_NONE}, {SIM_NONE, SIM_ALL}, {SIM_ALL, SIM_ODD},
        {SIM_ALL, SIM_EVEN}, {SIM_ALL, SIM_LATE}, {SIM_LATE, SIM_LATE},
        {SIM_ALL, SIM_LAST}, {SIM_ODD, SIM_ALL},  {SIM_EVEN, SIM_ALL}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        add_cut(list, names, 0, parts[i][0], parts[i][1]);
    }
    for (uint64_t torn = 1; torn <= 4; torn++) add_cut(list, names, torn, SIM_ALL, SIM_RANDOM);
}

static void list_cuts(const sim_replay *replay, cut_list *list) {
    list->count = 0;
    add_names(list, SIM_ALL, 0);
    if (!sim_replay_pending(replay)) return;
    add_contents(list, SIM_ALL);
    size_t bundles, names = sim_replay_names(replay, &bundles);
    if (names == 0) return;
    add_names(list, SIM_NONE, 0);
    add_contents(list, SIM_NONE);
    for (size_t i = 1; i < names; i++) add_names(list, SIM_FIRST, i);
    uint64_t all = ((uint64_t)1 << bundles) - 1;
    for (uint64_t some = 1; bundles <= 4 && some < all; some++) add_names(list, SIM_CHOSEN, some);
    for (size_t i = 0; bundles > 4 && i < bundles; i++) {
        add_names(list, SIM_CHOSEN, (uint64_t)1 << i);
        add_names(list, SIM_CHOSEN, all & ~((uint64_t)1 << i));
    }
}

#endif
