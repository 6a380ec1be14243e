/* system.c - see system.h. All of it is read from /proc. */
#define _GNU_SOURCE
#include "system.h"

#include <ctype.h>
#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROCESSES_MAX 64

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void sleep_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* ---- Processes */

typedef struct process {
    int id, parent;
    char state;
    uint64_t ticks; /* on a processor */
} process;

/* Fills in a process or a thread from its "stat"; 0 if it is gone. */
static int read_stat(const char *path, process *result) {
    char text[1024];
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    uint64_t user, system;
    /* The name, in parentheses, may contain anything. */
    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                        &result->state, &result->parent, &user, &system) != 4)
        return 0;
    result->id = atoi(text);
    result->ticks = user + system;
    return 1;
}

/* This process first, then its descendants. */
static size_t find_processes(process found[PROCESSES_MAX]) {
    static process all[4096];
    size_t count = 0, members = 1;
    char path[64];
    DIR *directory = opendir("/proc");
    if (!directory || !read_stat("/proc/self/stat", &found[0])) die("cannot read /proc");
    for (struct dirent *entry; (entry = readdir(directory)) && count < 4096;) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        snprintf(path, sizeof path, "/proc/%.16s/stat", entry->d_name);
        count += (size_t)read_stat(path, &all[count]);
    }
    closedir(directory);
    for (size_t i = 0; i < members; i++)
        for (size_t k = 0; k < count && members < PROCESSES_MAX; k++)
            if (all[k].parent == found[i].id) found[members++] = all[k];
    return members;
}

/* ---- Memory and files */

static uint64_t process_memory(int id, const char *folder, const char *mapped_log) {
    char path[64], line[8192];
    snprintf(path, sizeof path, "/proc/%d/smaps", id);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int counts = 1;
    uint64_t kilobytes = 0, pss;
    unsigned long from, to;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            const char *name = strstr(line, folder);
            counts = !name || !mapped_log || !strstr(name + strlen(folder), mapped_log);
        } else if (counts && sscanf(line, "Pss: %" SCNu64, &pss) == 1) {
            kilobytes += pss;
        }
    }
    fclose(file);
    return kilobytes * 1024;
}

uint64_t processes_memory(const char *folder, const char *mapped_log) {
    process found[PROCESSES_MAX];
    size_t count = find_processes(found);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += process_memory(found[i].id, folder, mapped_log);
    return sum;
}

uint64_t processes_written(void) {
    process found[PROCESSES_MAX];
    size_t count = find_processes(found);
    uint64_t sum = 0, bytes;
    char path[64], line[256];
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/proc/%d/io", found[i].id);
        FILE *file = fopen(path, "r");
        while (file && fgets(line, sizeof line, file))
            if (sscanf(line, "write_bytes: %" SCNu64, &bytes) == 1) sum += bytes;
        if (file) fclose(file);
    }
    return sum;
}

static uint64_t blocks;

static int add_blocks(const char *path, const struct stat *status, int type, struct FTW *where) {
    (void)path;
    (void)where;
    if (type == FTW_F) blocks += (uint64_t)status->st_blocks;
    return 0;
}

uint64_t folder_blocks(const char *folder) {
    blocks = 0;
    if (nftw(folder, add_blocks, 16, FTW_PHYS) != 0) die("cannot list %s", folder);
    return blocks * 512;
}

/* ---- Coming to rest */

/* Time on processors in ticks; raises *busy if a thread other than this one waits for the disk, or
 * runs, or would if there were a processor. */
static uint64_t process_activity(int id, int *busy) {
    char path[96];
    process task;
    uint64_t ticks = 0;
    snprintf(path, sizeof path, "/proc/%d/task", id);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/stat", id, entry->d_name);
        if (entry->d_name[0] == '.' || !read_stat(path, &task)) continue;
        ticks += task.ticks;
        if (task.state == 'D' || (task.state == 'R' && task.id != gettid())) *busy = 1;
    }
    if (directory) closedir(directory);
    return ticks;
}

static uint64_t processes_activity(int *busy) {
    process found[PROCESSES_MAX];
    size_t count = find_processes(found);
    uint64_t ticks = 0;
    for (size_t i = 0; i < count; i++) ticks += process_activity(found[i].id, busy);
    return ticks;
}

double processes_settle(void) {
    uint64_t start = now(), ticks = 0;
    for (int quiet = 0, tries = 0; quiet < 5 && tries < 1200; tries++) {
        int busy = 0;
        uint64_t seen = processes_activity(&busy);
        /* A tick is 10 ms; looking itself takes less than one in a hundred. */
        quiet = busy || seen > ticks + 1 ? 0 : quiet + 1;
        ticks = seen;
        sleep_ms(100);
    }
    return (double)(now() - start) / 1e9;
}
