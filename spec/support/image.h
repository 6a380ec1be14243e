/* image.h - all files of a folder, in memory. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_FILES 32

typedef struct image {
    struct {
        char name[96];
        uint8_t *bytes;
        size_t size;
    } files[IMAGE_FILES]; /* by name */
    size_t count;
} image;

/* `bytes` belongs to the image from now on. */
static void add_file(image *to, const char *name, uint8_t *bytes, size_t size) {
    size_t at = to->count++;
    if (to->count > IMAGE_FILES) abort();
    for (; at > 0 && strcmp(to->files[at - 1].name, name) > 0; at--) {
        to->files[at] = to->files[at - 1];
    }
    (void)snprintf(to->files[at].name, sizeof to->files[at].name, "%s", name);
    to->files[at].bytes = bytes;
    to->files[at].size = size;
}

static void release_image(image *i) {
    for (size_t n = 0; n < i->count; n++) free(i->files[n].bytes);
    i->count = 0;
}

#endif
