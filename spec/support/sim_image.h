/* sim_image.h - the simulated disk's files, read and put there. */
#ifndef SIM_IMAGE_H
#define SIM_IMAGE_H

#include "../../src/os/os.h"
#include "../../src/os/simulated.h"
#include "image.h"

static int read_file(void *context, const char *name) {
    const os_folder folder = {0};
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

static void read_disk(image *to) {
    const os_folder folder = {0};
    (void)os_folder_list(&folder, read_file, to);
}

/* Nothing else is on it then, and no journal is kept. */
static void put_disk(const image *from) {
    sim_begin(false);
    for (size_t i = 0; i < from->count; i++) {
        sim_put_bytes(sim_put_file(from->files[i].name), from->files[i].bytes, from->files[i].size);
    }
}

#endif
