/* calls_simulated.c - see calls.h: on the simulated disk. */
#include "calls.h"
#include "../../src/os/os.h"
#include "../../src/os/simulated.h"

static void layer_on_call(void (*told)(const char *line)) {
    sim_on_call(told);
}

static int read_file(void *context, const char *name) {
    os_folder folder = {0};
    int fd;
    uint64_t size;
    size_t got;
    if (os_file_open(&folder, name, OS_READ, &fd) || os_file_size(fd, &size)) abort();
    uint8_t *bytes = malloc((size_t)size + 1);
    if (!bytes || os_file_read(fd, bytes, (size_t)size, 0, &got) || got != size) abort();
    (void)os_file_close(fd);
    add_file(context, name, bytes, got);
    return 0;
}

static void layer_read(image *to) {
    os_folder folder = {0};
    (void)os_folder_list(&folder, read_file, to);
}

static void layer_write(const image *from) {
    sim_begin(false);
    for (size_t i = 0; i < from->count; i++) {
        sim_put_bytes(sim_put_file(from->files[i].name), from->files[i].bytes, from->files[i].size);
    }
}

int main(void) {
    run_all();
    return 0;
}
