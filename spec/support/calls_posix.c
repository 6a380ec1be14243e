/* calls_posix.c - see calls.h: on the real platform layer, in a new folder. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "calls.h"
#include "probe.h"

static void (*on_call)(const char *line);

/* The simulated disk has one folder only, which is there. */
static void leave_out_parent(const char *line) {
    size_t size = strlen(line);
    if (size > 1 && strcmp(line + size - 2, " .") == 0) return;
    on_call(line);
}

static void layer_on_call(void (*told)(const char *line)) {
    if (told) on_call = told;
    probe_on_call(told ? leave_out_parent : NULL);
}

static void must(bool ok) {
    if (ok) return;
    perror("calls_posix");
    exit(1);
}

static void layer_read(image *to) {
    DIR *names = opendir("folder");
    must(names != NULL);
    for (const struct dirent *entry; (entry = readdir(names));) {
        struct stat facts;
        if (entry->d_name[0] == '.') continue;
        int fd = openat(dirfd(names), entry->d_name, O_RDONLY);
        must(fd >= 0 && fstat(fd, &facts) == 0);
        size_t size = (size_t)facts.st_size;
        uint8_t *bytes = malloc(size + 1);
        must(bytes && pread(fd, bytes, size, 0) == (ssize_t)size);
        must(close(fd) == 0);
        add_file(to, entry->d_name, bytes, size);
    }
    (void)closedir(names);
}

static void remove_files(void) {
    DIR *names = opendir("folder");
    must(names != NULL);
    for (const struct dirent *entry; (entry = readdir(names));) {
        if (entry->d_name[0] != '.') must(unlinkat(dirfd(names), entry->d_name, 0) == 0);
    }
    (void)closedir(names);
}

static void layer_write(const image *from) {
    remove_files();
    for (size_t i = 0; i < from->count; i++) {
        char path[120];
        (void)snprintf(path, sizeof path, "folder/%s", from->files[i].name);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        must(fd >= 0);
        must(write(fd, from->files[i].bytes, from->files[i].size) == (ssize_t)from->files[i].size);
        must(close(fd) == 0);
    }
}

int main(void) {
    char place[64];
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(place, sizeof place, "%s/pkv-calls-XXXXXX", parent);
    must(mkdtemp(place) && chdir(place) == 0 && mkdir("folder", 0700) == 0);
    run_all();
    remove_files();
    must(rmdir("folder") == 0 && chdir("/") == 0 && rmdir(place) == 0);
    return 0;
}
