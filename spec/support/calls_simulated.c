/* calls_simulated.c - see calls.h: on the simulated disk. */
#include "calls.h"
#include "sim_image.h"

static void layer_on_call(void (*told)(const char *line)) {
    sim_on_call(told);
}

static void layer_read(image *to) {
    read_disk(to);
}

static void layer_write(const image *from) {
    put_disk(from);
}

int main(void) {
    run_all();
    return 0;
}
