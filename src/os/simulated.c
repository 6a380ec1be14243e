/* simulated.c - see simulated.h: the files, folders and maps of os.h, in memory.
 *
 *     live      | file 0 | file 1 | ...     one shared memory file, so that a mapping, a read and
 *     shadow    | file 0 | file 1 | ...     a write see the same bytes; the shadow is the contents
 *                                           as the journal has them
 *
 * Invariant, under the one lock, whenever it is released: replaying the whole journal gives the
 * shadow, the sizes and the names. live differs from shadow only by what was stored through
 * mappings since the last call. Bytes behind a file's end are 0 in both.
 */
#define _GNU_SOURCE
#include "simulated.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "os.h"

#define FILES      512u
#define FILE_BYTES ((size_t)8 << 20)
#define HANDLES    256
#define FIRST_FD   1000 /* so that nothing real is ever meant */
#define NAMES      256u
#define FOLDERS    16u

typedef struct sim_file {
    uint64_t size;
    uint64_t used; /* nothing was ever stored behind */
    bool locked;
} sim_file;

typedef struct sim_name {
    char text[SIM_NAME_BYTES];
    uint32_t file;
} sim_name;

typedef struct sim_handle {
    bool open, locks;
    char name[SIM_NAME_BYTES]; /* it was opened by */
    uint32_t file;
    uint8_t *map; /* NULL: there is none */
    size_t map_size;
    uint64_t map_begin, map_end; /* of what has been populated */
} sim_handle;

static struct {
    os_mutex lock;
    int memory;
    uint8_t *live, *shadow;
    sim_file files[FILES];
    uint32_t file_count;
    sim_name names[NAMES];
    size_t name_count;
    char folders[FOLDERS][SIM_NAME_BYTES]; /* that were opened; the first is "", the store's */
    size_t folder_count;
    sim_handle handles[HANDLES];
    bool recording;
    sim_journal journal;
    atomic_bool slow;
    unsigned fail_in, failures;
    int fail_error;
    bool fail_ever;
    void (*told)(const char *line);
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- The journal */

static void *must(void *memory) {
    if (!memory || memory == MAP_FAILED) abort();
    return memory;
}

static sim_event *add_event(sim_kind kind, uint32_t file) {
    static sim_event ignored;
    if (!disk.recording) return &ignored;
    sim_journal *j = &disk.journal;
    if (j->count == j->capacity) {
        j->capacity = j->capacity ? 2 * j->capacity : 256;
        j->events = must(realloc(j->events, j->capacity * sizeof *j->events));
    }
    sim_event *event = &j->events[j->count++];
    *event = (sim_event){.kind = kind, .file = file};
    return event;
}

static char *copy_name(char to[SIM_NAME_BYTES], const char *from) {
    size_t size = strlen(from) + 1;
    if (size > SIM_NAME_BYTES) abort();
    return memcpy(to, from, size);
}

void sim_journal_release(sim_journal *journal) {
    for (size_t i = 0; i < journal->count; i++) free(journal->events[i].page);
    free(journal->events);
    *journal = (sim_journal){NULL, 0, 0};
}

static uint8_t *live_of(uint32_t file) {
    return disk.live + file * FILE_BYTES;
}

/* Tells the journal which pages of [begin, end) have changed. */
static void capture(uint32_t file, uint64_t begin, uint64_t end) {
    if (!disk.recording) return;
    for (uint64_t at = begin - begin % SIM_PAGE; at < end; at += SIM_PAGE) {
        const uint8_t *now = live_of(file) + at;
        uint8_t *known = disk.shadow + file * FILE_BYTES + at;
        if (memcmp(now, known, SIM_PAGE) == 0) continue;
        memcpy(known, now, SIM_PAGE); /* once: a mapping may be written to meanwhile */
        sim_event *event = add_event(SIM_PAGE_CHANGED, file);
        event->number = at / SIM_PAGE;
        event->page = must(malloc(SIM_PAGE));
        memcpy(event->page, known, SIM_PAGE);
    }
}

static void capture_mapped(void) {
    for (int i = 0; i < HANDLES; i++) {
        sim_handle *h = &disk.handles[i];
        if (h->open && h->map_end > h->map_begin) capture(h->file, h->map_begin, h->map_end);
    }
}

static void lock(void) {
    os_lock(&disk.lock);
}

/* Each call that changes something, flushes or makes room begins here; an error is its result, and
 * the lock is not held then. */
static int begin(void) {
    lock();
    capture_mapped();
    if (disk.fail_in == 0) return 0;
    if (disk.fail_in > 1) {
        disk.fail_in--;
        return 0;
    }
    disk.failures++;
    if (!disk.fail_ever) disk.fail_in = 0;
    int error = disk.fail_error;
    os_unlock(&disk.lock);
    return error;
}

static int end(int error) {
    os_unlock(&disk.lock);
    return error;
}

void sim_fail(unsigned call, int error, bool ever) {
    lock();
    disk.fail_in = call;
    disk.fail_error = error;
    disk.fail_ever = ever;
    disk.failures = 0;
    os_unlock(&disk.lock);
}

/* ---- Telling: called with the lock held */

void sim_on_call(void (*told)(const char *line)) {
    lock();
    disk.told = told;
    os_unlock(&disk.lock);
}

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...) {
    char line[2 * SIM_NAME_BYTES + 64];
    va_list arguments;
    if (!disk.told) return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    disk.told(line);
}

/* ---- Failing, and being slow */

void sim_slow(bool slow) {
    atomic_store(&disk.slow, slow);
}

static void take_time(void) {
    if (!atomic_load(&disk.slow)) return;
    struct timespec pause = {0, 200000};
    (void)nanosleep(&pause, NULL);
}

unsigned sim_failures(void) {
    lock();
    unsigned failures = disk.failures;
    os_unlock(&disk.lock);
    return failures;
}

/* ---- The disk as a whole */

static void make_disk(void) {
    size_t size = FILES * FILE_BYTES;
    disk.memory = memfd_create("pkv-simulated", MFD_CLOEXEC);
    if (disk.memory < 0 || ftruncate(disk.memory, (off_t)size) != 0) abort();
    disk.live = must(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, disk.memory, 0));
    disk.shadow = must(mmap(NULL, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}

static void stored(sim_file *file, uint64_t upto) {
    if (file->used < upto) file->used = upto;
}

void sim_begin(bool record) {
    lock();
    if (!disk.live) make_disk();
    for (uint32_t i = 0; i < disk.file_count; i++) {
        memset(live_of(i), 0, disk.files[i].used);
        memset(disk.shadow + i * FILE_BYTES, 0, disk.files[i].used);
    }
    memset(disk.files, 0, sizeof disk.files);
    memset(disk.handles, 0, sizeof disk.handles);
    disk.file_count = 0;
    disk.name_count = 0;
    disk.folder_count = 0;
    disk.fail_in = 0;
    sim_journal_release(&disk.journal);
    disk.recording = record;
    os_unlock(&disk.lock);
}

size_t sim_now(void) {
    lock();
    capture_mapped();
    size_t count = disk.journal.count;
    os_unlock(&disk.lock);
    return count;
}

sim_journal sim_end(void) {
    lock();
    sim_journal journal = disk.journal;
    disk.journal = (sim_journal){NULL, 0, 0};
    disk.recording = false;
    os_unlock(&disk.lock);
    return journal;
}

/* ---- Names */

static sim_name *find(const char *text) {
    for (size_t i = 0; i < disk.name_count; i++) {
        if (strcmp(disk.names[i].text, text) == 0) return &disk.names[i];
    }
    return NULL;
}

static uint32_t create(const char *text) {
    if (disk.file_count == FILES || disk.name_count == NAMES) abort();
    sim_name *name = &disk.names[disk.name_count++];
    copy_name(name->text, text);
    name->file = disk.file_count++;
    copy_name(add_event(SIM_CREATE, name->file)->name, text);
    return name->file;
}

static void drop_name(sim_name *name) {
    *name = disk.names[--disk.name_count];
}

/* ---- Folders. What comes before the first slash of a path is the store's. */

/* "a/b//" is "b/", "a" is "". */
static void folder_name(const char *path, char name[SIM_NAME_BYTES]) {
    const char *slash = strchr(path, '/');
    copy_name(name, slash ? slash + 1 : "");
    size_t size = strlen(name);
    while (size > 0 && name[size - 1] == '/') size--;
    name[size] = '\0';
    if (size > 0) strcat(name, "/");
}

/* A test that has opened none means the store's. */
static const char *name_of(const os_folder *folder) {
    return folder->inode > 0 ? disk.folders[folder->inode - 1] : "";
}

static void whole_name(const os_folder *folder, const char *text, char name[SIM_NAME_BYTES]) {
    const char *of = name_of(folder);
    if (strlen(of) + strlen(text) >= SIM_NAME_BYTES) abort();
    (void)strcat(strcpy(name, of), text);
}

int os_folder_create(const char *path) {
    char name[SIM_NAME_BYTES];
    folder_name(path, name);
    if (!name[0]) return 0;
    int error = begin();
    if (error) return error;
    if (find(name)) return end(0);
    if (strchr(name, '/') != name + strlen(name) - 1) abort(); /* its parent is not the store's */
    (void)create(name);
    (void)add_event(SIM_FOLDER_SYNC, 0);
    return end(0);
}

int os_folder_open(const char *path, os_folder *folder) {
    char name[SIM_NAME_BYTES];
    folder_name(path, name);
    lock();
    if (name[0] && !find(name)) return end(ENOENT);
    if (disk.folder_count == 0) disk.folders[disk.folder_count++][0] = '\0';
    size_t i = 0;
    while (i < disk.folder_count && strcmp(disk.folders[i], name) != 0) i++;
    if (i == FOLDERS) abort();
    if (i == disk.folder_count) copy_name(disk.folders[disk.folder_count++], name);
    *folder = (os_folder){.fd = FIRST_FD - 1, .device = 1, .inode = i + 1};
    tell("open folder");
    return end(0);
}

void os_folder_close(os_folder *folder) {
    folder->fd = -1;
    lock();
    tell("close folder");
    (void)end(0);
}

int os_folder_list(const os_folder *folder, int (*visit)(void *context, const char *name),
                   void *context) {
    static _Thread_local sim_name names[NAMES];
    lock();
    const char *of = name_of(folder);
    size_t count = 0, size = strlen(of);
    for (size_t i = 0; i < disk.name_count; i++) {
        const char *text = disk.names[i].text;
        if (strncmp(text, of, size) != 0 || !text[size]) continue;
        char *slash = strchr(copy_name(names[count].text, text + size), '/');
        if (slash && slash[1]) continue; /* in a folder in it */
        if (slash) *slash = '\0';
        count++;
    }
    tell("list folder");
    (void)end(0);
    int result = 0;
    for (size_t i = 0; i < count && !result; i++) result = visit(context, names[i].text);
    return result;
}

int os_folder_sync(const os_folder *folder) {
    take_time();
    int error = begin();
    if (error) return error;
    copy_name(add_event(SIM_FOLDER_SYNC, 0)->name, name_of(folder));
    tell("sync folder");
    return end(0);
}

/* A folder that is renamed has nothing in it. */
int os_rename(const os_folder *folder, const char *from, const char *to) {
    char old[SIM_NAME_BYTES], new[SIM_NAME_BYTES];
    int error = begin();
    if (error) return error;
    whole_name(folder, from, old);
    whole_name(folder, to, new);
    if (!find(old)) {
        (void)strcat(old, "/");
        (void)strcat(new, "/");
    }
    if (!find(old)) return end(ENOENT);
    sim_name *replaced = find(new);
    if (replaced) drop_name(replaced);
    copy_name(find(old)->text, new);
    sim_event *event = add_event(SIM_RENAME, 0);
    copy_name(event->name, old);
    copy_name(event->to, new);
    tell("rename %s %s", from, to);
    return end(0);
}

int os_unlink(const os_folder *folder, const char *text) {
    char whole[SIM_NAME_BYTES];
    int error = begin();
    if (error) return error;
    whole_name(folder, text, whole);
    sim_name *name = find(whole);
    if (!name) return end(ENOENT);
    drop_name(name);
    copy_name(add_event(SIM_UNLINK, 0)->name, whole);
    tell("unlink %s", text);
    return end(0);
}

/* ---- Files */

int os_file_open(const os_folder *folder, const char *text, os_open_mode mode, int *fd) {
    char whole[SIM_NAME_BYTES];
    int error = begin();
    if (error) return error;
    whole_name(folder, text, whole);
    sim_name *name = find(whole);
    if (name && mode == OS_CREATE_NEW) return end(EEXIST);
    if (!name && (mode == OS_READ || mode == OS_WRITE)) return end(ENOENT);
    int i = 0;
    while (i < HANDLES && disk.handles[i].open) i++;
    if (i == HANDLES) return end(EMFILE);
    sim_handle *h = &disk.handles[i];
    *h = (sim_handle){.open = true, .file = name ? name->file : create(whole)};
    copy_name(h->name, text);
    tell("%s %s", name ? "open" : "create", text);
    *fd = FIRST_FD + i;
    return end(0);
}

static sim_handle *handle_of(int fd) {
    sim_handle *h = &disk.handles[fd - FIRST_FD];
    if (fd < FIRST_FD || fd >= FIRST_FD + HANDLES || !h->open) abort(); /* a closed one is a bug */
    return h;
}

static sim_file *file_of(int fd) {
    return &disk.files[handle_of(fd)->file];
}

int os_file_close(int fd) {
    lock();
    capture_mapped();
    sim_handle *h = handle_of(fd);
    if (h->locks) disk.files[h->file].locked = false;
    h->open = false;
    tell("close %s", h->name);
    return end(0);
}

int os_file_size(int fd, uint64_t *size) {
    lock();
    *size = file_of(fd)->size;
    return end(0);
}

int os_file_read(int fd, void *buffer, size_t size, uint64_t offset, size_t *got) {
    lock();
    uint64_t whole = file_of(fd)->size;
    *got = offset >= whole ? 0 : whole - offset < size ? (size_t)(whole - offset) : size;
    memcpy(buffer, live_of(handle_of(fd)->file) + offset, *got);
    if (*got) tell("read %s %" PRIu64 " %zu", handle_of(fd)->name, offset, *got);
    return end(0);
}

static void resize(uint32_t number, uint64_t size) {
    sim_file *file = &disk.files[number];
    if (size < file->size) {
        memset(live_of(number) + size, 0, (size_t)(file->size - size));
        memset(disk.shadow + number * FILE_BYTES + size, 0, (size_t)(file->size - size));
    }
    if (size == file->size) return;
    file->size = size;
    add_event(SIM_SIZE_CHANGED, number)->number = size;
}

int os_file_write(int fd, const void *data, size_t size, uint64_t offset) {
    int error = begin();
    if (error) return error;
    uint32_t number = handle_of(fd)->file;
    if (offset + size > FILE_BYTES) return end(ENOSPC);
    if (disk.files[number].size < offset + size) resize(number, offset + size);
    memcpy(live_of(number) + offset, data, size);
    stored(&disk.files[number], offset + size);
    capture(number, offset, offset + size);
    tell("write %s %" PRIu64 " %zu", handle_of(fd)->name, offset, size);
    return end(0);
}

int os_file_truncate(int fd, uint64_t size) {
    take_time();
    int error = begin();
    if (error) return error;
    resize(handle_of(fd)->file, size);
    tell("truncate %s %" PRIu64, handle_of(fd)->name, size);
    return end(0);
}

int os_file_allocate(int fd, uint64_t offset, uint64_t size) {
    int error = begin();
    if (error) return error;
    if (offset + size > FILE_BYTES) return end(ENOSPC);
    if (file_of(fd)->size < offset + size) resize(handle_of(fd)->file, offset + size);
    tell("allocate %s %" PRIu64 " %" PRIu64, handle_of(fd)->name, offset, size);
    return end(0);
}

int os_file_reserve(int fd, uint64_t offset, uint64_t size) {
    int error = begin();
    if (error) return error;
    if (offset + size > FILE_BYTES) return end(ENOSPC);
    tell("reserve %s %" PRIu64 " %" PRIu64, handle_of(fd)->name, offset, size);
    return end(0);
}

int os_file_sync(int fd) {
    take_time();
    int error = begin();
    if (error) return error;
    (void)add_event(SIM_FILE_SYNC, handle_of(fd)->file);
    tell("sync %s", handle_of(fd)->name);
    return end(0);
}

void os_file_drop_cache(int fd) {
    lock();
    tell("forget %s", handle_of(fd)->name);
    (void)end(0);
}

int os_file_lock(int fd) {
    lock();
    if (file_of(fd)->locked) return end(EWOULDBLOCK);
    file_of(fd)->locked = true;
    handle_of(fd)->locks = true;
    tell("lock %s", handle_of(fd)->name);
    return end(0);
}

bool os_file_maps_safely(int fd) {
    (void)fd;
    return true;
}

/* ---- Maps */

/* What has been populated is one piece that grows at its end; a store behind it is a fault. */
void *os_map_file(int fd, uint64_t offset, size_t size) {
    if (begin()) return NULL;
    sim_handle *h = handle_of(fd);
    h->map = must(mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    h->map_size = size;
    h->map_begin = h->map_end = offset;
    (void)end(0);
    return h->map;
}

static sim_handle *handle_mapped_at(const uint8_t *base) {
    for (sim_handle *h = disk.handles; h < disk.handles + HANDLES; h++) {
        if (h->open && h->map && base >= h->map && base < h->map + h->map_size) return h;
    }
    abort();
}

void os_unmap_file(void *base, size_t size) {
    lock();
    sim_handle *h = handle_mapped_at(base);
    if (base != h->map || size != h->map_size) abort();
    h->map = NULL;
    (void)end(munmap(base, size));
}

int os_map_populate(void *base, size_t size) {
    int error = begin();
    if (error) return error;
    sim_handle *h = handle_mapped_at(base);
    uint64_t offset = h->map_begin + (uint64_t)((uint8_t *)base - h->map);
    if (offset + size > disk.files[h->file].size) abort(); /* it would raise SIGBUS */
    (void)must(mmap(base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, disk.memory,
                    (off_t)(h->file * FILE_BYTES + offset)));
    h->map_end = offset + size;
    stored(&disk.files[h->file], h->map_end);
    tell("map %s %" PRIu64 " %zu", h->name, offset, size);
    return end(0);
}

void os_map_forget(void *base, size_t size) {
    (void)base;
    (void)size;
}

/* ---- Images */

uint32_t sim_put_file(const char *name) {
    lock();
    uint32_t file = create(name);
    os_unlock(&disk.lock);
    return file;
}

void sim_put_bytes(uint32_t file, const uint8_t *bytes, uint64_t size) {
    lock();
    resize(file, size);
    if (size) memcpy(live_of(file), bytes, (size_t)size);
    stored(&disk.files[file], size);
    capture(file, 0, size);
    (void)add_event(SIM_FILE_SYNC, file);
    add_event(SIM_FOLDER_SYNC, 0)->number = 1;
    os_unlock(&disk.lock);
}
