/* sim_values.h - what stores on the simulated disk are filled with: shared by the sim_*_check
 * programs.
 *
 * Changes are numbered, and each value begins with the number of the change that set it. So what is
 * found in a store tells which change each key had last.
 */
#ifndef SIM_VALUES_H
#define SIM_VALUES_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/pkv.h"

#define KEYS      24u
#define VALUE_MAX ((size_t)300 << 10)

typedef struct check {
    uint64_t seed; /* of the random numbers */
    pkv_config config;
    unsigned writers;
    size_t states, nested, bad;
    char doing[160]; /* for messages */
} check;

static uint8_t value_buffer[VALUE_MAX];
static uint8_t filler[VALUE_MAX];

static uint64_t scramble(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static pkv_bytes key_bytes(char text[16], uint32_t key) {
    return (pkv_bytes){text, (size_t)snprintf(text, 16, "key %u", key)};
}

static void make_filler(void) {
    for (size_t i = 0; i < VALUE_MAX; i++) filler[i] = (uint8_t)(i % 251);
}

static size_t value_size(uint32_t change) {
    uint64_t bits = scramble(change);
    if (bits % 200 == 0) return 270000 + bits / 256 % 20000; /* over MARKED_RECORD_MAX */
    if (bits % 40 == 1) return 20000 + bits / 256 % 60000;
    if (bits % 10 == 2) return 2000 + bits / 256 % 7000;
    return sizeof change + bits / 256 % 200;
}

/* The number of the change, and then bytes that differ between changes. */
static void make_value(uint32_t change, uint8_t *bytes) {
    memcpy(bytes, filler + change % 251, value_size(change));
    memcpy(bytes, &change, sizeof change);
}

static void complain(check *c, const char *what) {
    c->bad++;
    if (c->bad > 5) return;
    printf("not ok: %s: %s: %s\n", c->doing, what, pkv_error_detail()->message);
}

/* The change that each key had last, as its value tells. */
static bool read_all(check *c, pkv *store, uint32_t got[KEYS]) {
    static uint8_t expected[VALUE_MAX];
    uint64_t count = 0, there = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        char text[16];
        size_t size = 0;
        pkv_status status =
            pkv_get(store, key_bytes(text, key), value_buffer, sizeof value_buffer, &size);
        got[key] = 0;
        if (status == PKV_NOT_FOUND) continue;
        there++;
        if (!status && size >= sizeof *got) memcpy(&got[key], value_buffer, sizeof *got);
        bool good = size == value_size(got[key]);
        if (good) make_value(got[key], expected);
        if (good && memcmp(value_buffer, expected, size) == 0) continue;
        complain(c, "a value is no value that was set");
        return false;
    }
    if (pkv_count(store, &count) == PKV_OK && count == there) return true;
    complain(c, "there are entries that were never set");
    return false;
}

#endif
