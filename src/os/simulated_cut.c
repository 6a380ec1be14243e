/* simulated_cut.c - see simulated.h: what a power cut leaves, built from a journal.
 *
 *     file      bytes and size as flushed | changes since, in order
 *     folder    names as flushed          | changes since, in order
 *
 * Invariant: a flush applies all changes that wait for it, in order; a cut applies some of them, in
 * order, to a copy. What is chosen follows from the seed, the file and the page alone, so that the
 * same cut of the same replay leaves the same disk.
 */
#include "simulated.h"

#include <stdlib.h>
#include <string.h>
#include "../bytes/hash.h"

#define FILES_MAX   512u
#define NAMES_MAX   256u
#define PAGES_MAX   2048u /* of a file */
#define PENDING_MAX 512u  /* changes of names */

typedef struct replay_file {
    uint8_t *bytes;
    uint64_t size, capacity;
    const sim_event **pending;
    size_t count, room;
    uint64_t hash; /* of the bytes, as flushed; 0: not known */
} replay_file;

typedef struct replay_name {
    const char *text;
    uint32_t file;
} replay_name;

typedef struct folder_image {
    replay_name names[NAMES_MAX];
    size_t count;
} folder_image;

struct sim_replay {
    const sim_journal *journal;
    size_t at;
    replay_file files[FILES_MAX];
    uint32_t file_count;
    folder_image folder;
    const sim_event *pending[PENDING_MAX];
    bool flushed[PENDING_MAX][2]; /* the folders of each one's names */
    size_t count;
    replay_file scratch; /* a file as the cut leaves it */
};

static void *must(void *memory) {
    if (!memory) abort();
    return memory;
}

static uint64_t mix(uint64_t seed, uint64_t a, uint64_t b) {
    uint64_t x = seed + 0x9E3779B97F4A7C15u * (a + 1) + 0xD1B54A32D192ED03u * (b + 1);
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* ---- Changes */

static void apply_size(replay_file *file, uint64_t size) {
    if (size > file->capacity) {
        file->capacity = size + size / 2;
        file->bytes = must(realloc(file->bytes, (size_t)file->capacity));
    }
    if (size > file->size) memset(file->bytes + file->size, 0, (size_t)(size - file->size));
    file->size = size;
}

/* Bytes [begin, end) of the page, as far as the file reaches. */
static void apply_page(replay_file *file, const sim_event *event, uint64_t begin, uint64_t end) {
    uint64_t at = event->number * SIM_PAGE;
    if (at >= file->size) return;
    if (end > file->size - at) end = file->size - at;
    if (begin < end) memcpy(file->bytes + at + begin, event->page + begin, (size_t)(end - begin));
}

static void apply(replay_file *file, const sim_event *event) {
    if (event->kind == SIM_SIZE_CHANGED) {
        apply_size(file, event->number);
    } else {
        apply_page(file, event, 0, SIM_PAGE);
    }
}

static replay_name *find(folder_image *folder, const char *text) {
    for (size_t i = 0; i < folder->count; i++) {
        if (strcmp(folder->names[i].text, text) == 0) return &folder->names[i];
    }
    return NULL;
}

static void remove_name(folder_image *folder, const char *text) {
    replay_name *name = find(folder, text);
    if (name) *name = folder->names[--folder->count];
}

static void apply_name(folder_image *folder, const sim_event *event) {
    if (event->kind == SIM_CREATE) {
        if (folder->count == NAMES_MAX) abort();
        folder->names[folder->count++] = (replay_name){event->name, event->file};
    } else if (event->kind == SIM_UNLINK) {
        remove_name(folder, event->name);
    } else {
        remove_name(folder, event->to);
        replay_name *name = find(folder, event->name);
        if (name) name->text = event->to;
    }
}

/* ---- Playing */

sim_replay *sim_replay_new(const sim_journal *journal) {
    sim_replay *replay = must(calloc(1, sizeof *replay));
    replay->journal = journal;
    return replay;
}

void sim_replay_free(sim_replay *replay) {
    for (uint32_t i = 0; i < replay->file_count; i++) {
        free(replay->files[i].bytes);
        free(replay->files[i].pending);
    }
    free(replay->scratch.bytes);
    free(replay);
}

static void wait_for_flush(replay_file *file, const sim_event *event) {
    if (file->count == file->room) {
        file->room = file->room ? 2 * file->room : 32;
        file->pending = must(realloc(file->pending, file->room * sizeof(sim_event *)));
    }
    file->pending[file->count++] = event;
}

static bool touches(const sim_event *a, const char *name) {
    return name[0] && (strcmp(a->name, name) == 0 || strcmp(a->to, name) == 0);
}

/* "" lies in no folder, and so is always flushed. */
static bool lies_in(const char *name, const char *folder) {
    size_t size = strlen(folder);
    if (!name[0]) return true;
    if (strncmp(name, folder, size) != 0) return false;
    const char *slash = strchr(name + size, '/');
    return !slash || !slash[1];
}

/* Changes are durable once the folders of all their names were flushed, and all before them that
 * have to do with the same names are. */
static void flush_folder(sim_replay *replay, const sim_event *flush) {
    size_t kept = 0;
    for (size_t i = 0; i < replay->count; i++) {
        const sim_event *event = replay->pending[i];
        bool from = replay->flushed[i][0] || flush->number || lies_in(event->name, flush->name);
        bool to = replay->flushed[i][1] || flush->number || lies_in(event->to, flush->name);
        bool waits = !from || !to;
        for (size_t j = 0; j < kept; j++) {
            const sim_event *before = replay->pending[j];
            waits = waits || touches(before, event->name) || touches(before, event->to);
        }
        if (!waits) {
            apply_name(&replay->folder, event);
            continue;
        }
        replay->pending[kept] = event;
        replay->flushed[kept][0] = from;
        replay->flushed[kept++][1] = to;
    }
    replay->count = kept;
}

static void play(sim_replay *replay, const sim_event *event) {
    replay_file *file = &replay->files[event->file];
    switch (event->kind) {
    case SIM_PAGE_CHANGED:
    case SIM_SIZE_CHANGED:
        wait_for_flush(file, event);
        break;
    case SIM_FILE_SYNC:
        for (size_t i = 0; i < file->count; i++) apply(file, file->pending[i]);
        file->count = 0;
        file->hash = 0;
        break;
    case SIM_FOLDER_SYNC:
        flush_folder(replay, event);
        break;
    default:
        if (event->kind == SIM_CREATE) replay->file_count = event->file + 1;
        if (replay->count == PENDING_MAX) abort();
        replay->flushed[replay->count][0] = replay->flushed[replay->count][1] = false;
        replay->pending[replay->count++] = event;
    }
}

void sim_replay_to(sim_replay *replay, size_t events) {
    while (replay->at < events) play(replay, &replay->journal->events[replay->at++]);
}

bool sim_replay_pending(const sim_replay *replay) {
    if (replay->count > 0) return true;
    for (uint32_t i = 0; i < replay->file_count; i++) {
        if (replay->files[i].count > 0) return true;
    }
    return false;
}

/* ---- Choosing: how many of the changes stay, of the first so many */

static bool is_newest(const sim_replay *replay, uint32_t file) {
    for (uint32_t i = file + 1; i < replay->file_count; i++) {
        if (replay->files[i].count > 0) return false;
    }
    return true;
}

static size_t point(size_t count, uint64_t random) {
    return (size_t)(random % (count + 1));
}

/* Changes of size before this one of the file's changes stay. */
static size_t size_point(const sim_replay *replay, uint32_t number, const sim_cut *cut) {
    size_t count = replay->files[number].count;
    uint64_t random = mix(cut->seed, number, UINT64_MAX);
    switch (cut->sizes) {
    case SIM_NONE:
        return 0;
    case SIM_ODD:
        return number % 2 == 1 ? count : 0;
    case SIM_EVEN:
        return number % 2 == 0 ? count : 0;
    case SIM_LATE:
        return is_newest(replay, number) ? count : 0;
    case SIM_RANDOM:
        return random % 4 < 2 ? count : point(count, random / 4);
    default:
        return count;
    }
}

static uint64_t last_page(const replay_file *file) {
    uint64_t last = 0;
    for (size_t i = 0; i < file->count; i++) {
        const sim_event *event = file->pending[i];
        if (event->kind == SIM_PAGE_CHANGED && event->number > last) last = event->number;
    }
    return last;
}

static size_t random_page_point(size_t count, uint32_t number, uint64_t page, uint64_t seed) {
    switch (mix(seed, number, UINT64_MAX - 1) % 5) { /* files are often kept or lost as a whole */
    case 0:
        return count;
    case 1:
        return 0;
    case 2:
        return mix(seed, number, page) % 2 ? count : 0;
    default:
        return point(count, mix(seed, number, page));
    }
}

/* Changes of the page before this one of the file's changes stay. */
static size_t page_point(const sim_replay *replay, uint32_t number, uint64_t page,
                         const sim_cut *cut) {
    const replay_file *file = &replay->files[number];
    bool all;
    switch (cut->pages) {
    case SIM_NONE:
        return 0;
    case SIM_ODD:
        all = page % 2 == 1;
        break;
    case SIM_EVEN:
        all = page % 2 == 0;
        break;
    case SIM_LATE:
        all = is_newest(replay, number);
        break;
    case SIM_LAST:
        all = page == last_page(file);
        break;
    case SIM_RANDOM:
        return random_page_point(file->count, number, page, cut->seed);
    default:
        all = true;
    }
    return all ? file->count : 0;
}

/* ---- Cutting */

/* The next state of a page, of which some sectors came to the disk. */
static void tear(replay_file *file, const sim_event *event, uint64_t random) {
    uint64_t middle = random / 8 % (SIM_PAGE / SIM_SECTOR + 1) * SIM_SECTOR;
    if (random % 8 < 2) {
        apply_page(file, event, 0, middle);
    } else if (random % 8 == 2) {
        apply_page(file, event, middle, SIM_PAGE);
    }
}

static void cut_file(sim_replay *replay, uint32_t number, const sim_cut *cut) {
    const replay_file *from = &replay->files[number];
    replay_file *to = &replay->scratch;
    bool torn[PAGES_MAX] = {false};
    to->size = 0;
    apply_size(to, from->size);
    if (from->size) memcpy(to->bytes, from->bytes, (size_t)from->size);
    size_t sizes = size_point(replay, number, cut);
    for (size_t i = 0; i < from->count; i++) {
        const sim_event *event = from->pending[i];
        if (event->kind == SIM_SIZE_CHANGED) {
            if (i < sizes) apply_size(to, event->number);
            continue;
        }
        if (i < page_point(replay, number, event->number, cut)) {
            apply_page(to, event, 0, SIM_PAGE);
        } else if (cut->pages == SIM_RANDOM && !torn[event->number]) {
            torn[event->number] = true;
            tear(to, event, mix(cut->seed, number, event->number + PAGES_MAX));
        }
    }
}

static uint64_t hash_of(const replay_file *file) {
    return hash_bytes(file->bytes, (size_t)file->size, 1) | 1;
}

/* bundles[i] is the same number for changes that have to do with each other; numbers count from 0
 * in the order of the first changes. Returns how many there are. */
static size_t bundle_names(const sim_replay *replay, size_t bundles[PENDING_MAX]) {
    size_t first[PENDING_MAX], count = 0;
    for (size_t i = 0; i < replay->count; i++) {
        const sim_event *event = replay->pending[i];
        first[i] = i;
        for (size_t j = 0; j < i; j++) {
            if (!touches(replay->pending[j], event->name) &&
                !touches(replay->pending[j], event->to)) {
                continue;
            }
            size_t joined = first[j] > first[i] ? first[j] : first[i];
            size_t to = first[j] < first[i] ? first[j] : first[i];
            for (size_t k = 0; k <= i; k++) {
                if (first[k] == joined) first[k] = to;
            }
        }
    }
    for (size_t i = 0; i < replay->count; i++)
        bundles[i] = first[i] == i ? count++ : bundles[first[i]];
    return count;
}

size_t sim_replay_names(const sim_replay *replay, size_t *bundles) {
    size_t numbers[PENDING_MAX];
    *bundles = bundle_names(replay, numbers);
    return replay->count;
}

/* Changes of names before this one stay. */
static size_t name_point(const sim_replay *replay, size_t bundle, const sim_cut *cut) {
    size_t count = replay->count;
    switch (cut->names) {
    case SIM_NONE:
        return 0;
    case SIM_RANDOM:
        return point(count, mix(cut->seed, 1, 0));
    case SIM_BY_NAME:
        return point(count, mix(cut->seed, 2, bundle));
    case SIM_FIRST:
        return cut->seed < count ? (size_t)cut->seed : count;
    case SIM_CHOSEN:
        return bundle < 64 && cut->seed >> bundle & 1 ? count : 0;
    default:
        return count;
    }
}

static void cut_folder(const sim_replay *replay, const sim_cut *cut, folder_image *folder) {
    size_t bundles[PENDING_MAX];
    *folder = replay->folder;
    (void)bundle_names(replay, bundles);
    for (size_t i = 0; i < replay->count; i++) {
        if (i < name_point(replay, bundles[i], cut)) apply_name(folder, replay->pending[i]);
    }
}

void sim_replay_cut(sim_replay *replay, sim_cut cut, bool record) {
    folder_image folder;
    cut_folder(replay, &cut, &folder);
    sim_begin(record);
    for (size_t i = 0; i < folder.count; i++) {
        cut_file(replay, folder.names[i].file, &cut);
        uint32_t file = sim_put_file(folder.names[i].text);
        sim_put_bytes(file, replay->scratch.bytes, replay->scratch.size);
    }
}

uint64_t sim_replay_hash(sim_replay *replay, sim_cut cut) {
    folder_image folder;
    uint64_t sum = 0;
    cut_folder(replay, &cut, &folder);
    for (size_t i = 0; i < folder.count; i++) {
        const replay_name *name = &folder.names[i];
        replay_file *file = &replay->files[name->file];
        uint64_t hash = file->hash;
        if (file->count > 0) {
            cut_file(replay, name->file, &cut);
            hash = hash_of(&replay->scratch);
        } else if (!hash) {
            hash = file->hash = hash_of(file);
        }
        sum += mix(hash, hash_bytes(name->text, strlen(name->text), 1),
                   file->count ? replay->scratch.size : file->size);
    }
    return sum;
}
