/* reader_check.c - reading a file that is damaged, hostile, cut while it is read, or on a disk that
 * fails: which records are found, and that no read error is taken for an end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../src/bytes/checksum.h"
#include "../../src/bytes/limits.h"
#include "../../src/bytes/varint.h"
#include "../../src/disk/reader.h"
#include "../../src/os/error.h"
#include "failing_calls.h"

#define SALT 7

static int passed, failed;
static char path[80];
static os_folder folder;
static const file_name name = {3, 0, 1, FILE_DIFF};

static void check(bool ok, const char *what, int detail) {
    ok ? passed++ : failed++;
    if (!ok) printf("not ok: %s (%d): %s\n", what, detail, pkv_error_detail()->message);
}

/* ---- The file: records have a letter for a key, and values of so many bytes */

static uint8_t bytes[4 << 20];
static size_t size;

static void put(const void *data, size_t count) {
    memcpy(bytes + size, data, count);
    size += count;
}

static void put_again(const char *data, size_t count, size_t times) {
    for (size_t i = 0; i < times; i++) put(data, count);
}

static void put_varint(uint64_t value) {
    size = (size_t)(varint_write(bytes + size, value) - bytes);
}

static record entry_of(const char *key, size_t value_size) {
    static uint8_t value[1 << 20];
    memset(value, 'v', sizeof value);
    return (record){.key = {key, 1}, .value = {value, value_size}};
}

static void put_ours(const char *key, size_t value_size) {
    record entry = entry_of(key, value_size);
    record_encode(&entry, checksum_seed(name.ordinal, SALT), bytes + size);
    size += record_size(&entry);
}

static void put_foreign(const char *key, size_t value_size) {
    record entry = entry_of(key, value_size);
    size_t value_field = 1 + varint_size(value_size) + value_size;
    put_varint(3 + value_field);
    put("\x0a\x01", 2);
    put(key, 1);
    put("\x12", 1);
    put_varint(value_size);
    put(entry.value.data, value_size);
}

/* What a record of `length` bytes begins with whose key has one, and its value `value_size`. */
static void put_head(uint64_t length, uint64_t value_size) {
    put_varint(length);
    put("\x0a\x01k\x12", 4);
    put_varint(value_size);
}

static void write_file(void) {
    char text[FILE_NAME_BYTES];
    int fd;
    file_name_format(&name, text);
    check(os_file_open(&folder, text, OS_CREATE, &fd) == 0, "open", 0);
    check(os_file_truncate(fd, 0) == 0 && os_file_write(fd, bytes, size, 0) == 0, "write", 0);
    (void)os_file_close(fd);
}

static void truncate_file(uint64_t to) {
    char text[FILE_NAME_BYTES];
    int fd;
    file_name_format(&name, text);
    check(os_file_open(&folder, text, OS_WRITE, &fd) == 0, "open", 0);
    check(os_file_truncate(fd, to) == 0, "cut", 0);
    (void)os_file_close(fd);
}

/* ---- Reading as a salvage does: the keys of all records that are found, in order */

typedef struct found {
    char keys[200];
    size_t count;
    pkv_status status;
} found;

static void take(found *f, const reader_batch *batch) {
    for (size_t i = 0; i < batch->count && f->count + 1 < sizeof f->keys; i++) {
        f->keys[f->count++] = *(const char *)batch->entries[i].key.data;
    }
}

static pkv_status read_on(reader *in, found *f) {
    reader_batch batch;
    for (;;) {
        pkv_status status = reader_next(in, &batch);
        if (status) return status;
        take(f, &batch);
        if (batch.ended == RECORD_OK) continue;
        if (batch.ended == RECORD_END && in->offset == in->size) return PKV_OK;
        reader_rest rest;
        bool more = false;
        status = reader_resync(in, &rest, &more);
        if (status) return status;
        check(more || in->offset == in->size, "a search ends at a record, or at the end", 0);
        check(rest.end <= in->size, "what is skipped is in the file", 0);
        if (!more) return PKV_OK;
    }
}

static found read_all(record_origin origin) {
    found f = {.count = 0};
    reader in;
    f.status = reader_open(&in, &folder, &name, origin, SALT);
    if (f.status) return f;
    f.status = read_on(&in, &f);
    reader_close(&in);
    return f;
}

static void finds(const char *keys, record_origin origin, const char *what) {
    write_file();
    found f = read_all(origin);
    check(f.status == PKV_OK && strcmp(f.keys, keys) == 0, what, (int)f.count);
    size = 0;
}

/* ---- What is found */

static void check_ours(void) {
    put_ours("a", 10);
    put("garbage", 7);
    put_ours("b", 10);
    put_again("\0", 1, 5000);
    put_ours("c", 600000);
    finds("abc", RECORD_OURS, "what is between records is skipped");
    put_ours("a", 700000);
    bytes[100] ^= 1;
    put_ours("b", 700000);
    put_ours("c", 1);
    finds("bc", RECORD_OURS, "a large record that is damaged");
    put_ours("a", 1);
    put_ours("b", 700000);
    bytes[size - 710000 + 10100] ^= 1;
    size -= 5;
    finds("a", RECORD_OURS, "one that is damaged and torn");
}

static void check_foreign(void) {
    put_foreign("a", 10);
    put("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    put_foreign("b", 10);
    finds("ab", RECORD_FOREIGN, "a record of the crate's that ends with the file");
    put("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    for (const char *key = "abc"; *key; key++) put_foreign(key, 10);
    put("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    finds("abc", RECORD_FOREIGN, "three of them in a row");
    put("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    for (const char *key = "ab"; *key; key++) put_foreign(key, 10);
    put("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    finds("", RECORD_FOREIGN, "but not two");
}

/* Each looks like a large record at first sight, and has a flaw; what is behind is found. */
static void check_large_lies(void) {
    static const uint64_t large = 300000;
    enum { FLAWS = 10 };
    for (int flaw = 0; flaw < FLAWS; flaw++) {
        put("\xff\xff", 2);
        if (flaw == 0) put_head(large, large - 8); /* none but the checksum */
        if (flaw == 1) put_head(large, large + 1);
        if (flaw == 2) put_head(large, large - 2);
        if (flaw == 3) put_head(large, 1000);
        if (flaw == 4) put_head(2 << 20, large);
        if (flaw > 4) put_varint(large);
        if (flaw == 5) put("\x0b\x01k\x12", 4);
        if (flaw == 6) put("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11);
        if (flaw == 7) put("\x0a\xff\xff\xff\x7f", 5);
        if (flaw == 8) put("\x0a\x01k\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 14);
        if (flaw == 9) put("\x0a\x01k\x13", 4);
        put_again("v", 1, 400000);
        put_ours("b", 10);
        put_ours("c", 400000);
        finds("bc", RECORD_OURS, "behind what looks like a large record");
    }
    put("\xff\xff", 2);
    put_head(large, large - 20);
    put_again("v", 1, 200000);
    finds("", RECORD_OURS, "a large record that the file cannot hold");
}

/* So many lies, and large records are looked for no longer; small ones are. */
static void check_many_lies(void) {
    put("\xff\xff", 2);
    for (int i = 0; i < 80; i++) put_head(500000, 499990);
    put_again("v", 1, 600000);
    put_ours("b", 400000);
    put_ours("c", 10);
    finds("c", RECORD_OURS, "behind many lies");
}

/* What makes work, in a file of so many bytes: a length of 200,000 and a key that cannot be; the
 * bytes in it pass for smaller ones. */
#define LIE_WORK (200000 + 1562 + 12)
#define LIES     4200

static void put_lies(size_t work) {
    put_again("\xff", 1, 10);
    put_again("\xc0\x9a\x0c\x0a\xff", 5, work / LIE_WORK);
    while (size < LIES) put("\0", 1);
}

static size_t times_decoded(size_t times, size_t file_size) {
    return times * ((size_t)(4 << 20) + file_size);
}

/* The search is given up once it has decoded the file often enough, but not by what it then finds:
 * the record that is the last straw is believed, and what follows on it; no other is looked for. */
static void check_last_straw(void) {
    static const char *const expected[] = {"bcdefg", "bcd", ""};
    enum { RECORD = 250000, SMALL = 7, TAIL = 5 * SMALL + 10 };
    size_t file_size = LIES + RECORD + TAIL;
    for (size_t more = 0; more < 3; more++) {
        put_lies(times_decoded(16, file_size) + 2 * more * LIE_WORK - 2 * (size_t)LIE_WORK);
        put_foreign("b", RECORD - 10);
        for (const char *key = "cd"; *key; key++) put_foreign(key, 1);
        put_again("\xff", 1, 10);
        for (const char *key = "efg"; *key; key++) put_foreign(key, 1);
        check(size == file_size, "the size that was reckoned with", (int)size);
        finds(expected[more], RECORD_FOREIGN, "the last straw");
    }
}

/* Half of the way there, large records are looked for no more; small ones are. */
static void check_half_way(void) {
    for (size_t times = 7; times <= 9; times += 2) {
        put_lies(times_decoded(times, LIES + 300000));
        put_foreign("a", 300000 - 30);
        for (const char *key = "bcd"; *key; key++) put_foreign(key, 1);
        finds(times < 8 ? "abcd" : "bcd", RECORD_FOREIGN, "half way");
    }
}

/* ---- A file that is cut meanwhile, or was never read */

static void check_cut(void) {
    reader in;
    reader_rest rest;
    reader_batch batch;
    bool more = true;
    put_ours("a", 10);
    put_ours("b", 600000);
    write_file();
    check(reader_open(&in, &folder, &name, RECORD_OURS, SALT) == PKV_OK, "open", 0);
    truncate_file(300000);
    check(reader_next(&in, &batch) == PKV_OK && batch.count == 1, "the record before the cut", 0);
    check(reader_next(&in, &batch) == PKV_OK && batch.count == 0, "no other", 0);
    check(batch.ended == RECORD_SHORT && in.size == 300000, "the file ends where it was cut", 0);
    truncate_file(0);
    check(reader_resync(&in, &rest, &more) == PKV_OK && !more, "nothing behind it", 0);
    reader_close(&in);
    check(reader_open(&in, &folder, &name, RECORD_OURS, SALT) == PKV_OK, "open", 0);
    in.size = 600000;
    check(reader_examine_rest(&in, &rest) == PKV_OK && rest.end == 0 && rest.mark == 0, "none", 0);
    reader_close(&in);
    check(reader_open(&in, &folder, &name, RECORD_OURS, SALT) == PKV_OK, "open", 0);
    in.size = 600000;
    check(reader_resync(&in, &rest, &more) == PKV_OK && !more, "nothing", 0);
    reader_close(&in);
    write_file();
    check(reader_open(&in, &folder, &name, RECORD_OURS, SALT) == PKV_OK, "open", 0);
    check(reader_resync(&in, &rest, &more) == PKV_OK && more, "the second record", 0);
    check(reader_next(&in, &batch) == PKV_OK && batch.count == 1, "is found at once", 0);
    check(*(const char *)batch.entries[0].key.data == 'b', "and no other", 0);
    reader_close(&in);
    reader never = {0};
    reader_close(&never);
    check(fcntl(0, F_GETFD) >= 0 || errno == EBADF, "closing what was not opened does no harm", 0);
    size = 0;
}

/* ---- A disk that fails */

/* Whichever read fails: it is told, and what was found before is a beginning of what there is. */
static void check_failing(record_origin origin, const char *name_of_call, int error) {
    pkv_status expected = error == ENOMEM ? PKV_NO_MEMORY : PKV_IO;
    write_file();
    found whole = read_all(origin);
    check(whole.status == PKV_OK && whole.count > 0, "without a failing call", 0);
    for (unsigned call = 1;; call++) {
        fail_from(name_of_call, error, call, 1);
        found f = read_all(origin);
        bool met = probe_met() > 0;
        heal();
        check(f.status == (met ? expected : PKV_OK), "a failing call is told", (int)call);
        check(memcmp(f.keys, whole.keys, f.count) == 0, "nothing else is found", (int)call);
        if (!met) break;
    }
}

static void check_all_failing(void) {
    put_ours("a", 10);
    put_ours("b", 700000);
    bytes[5000] ^= 1;
    put("\xff\xff", 2);
    put_head(300000, 299990);
    put_again("v", 1, 400000);
    put_ours("c", 700000);
    put_ours("d", 10);
    check_failing(RECORD_OURS, "pread", EIO);
    check_failing(RECORD_OURS, "memory", ENOMEM);
    size = 0;
    put_foreign("a", 700000);
    bytes[700] = 0xff;
    put_again("\xff", 1, 600000);
    for (const char *key = "bcde"; *key; key++) put_foreign(key, 300000);
    check_failing(RECORD_FOREIGN, "pread", EIO);
    check_failing(RECORD_FOREIGN, "memory", ENOMEM);
    size = 0;
}

int main(void) {
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(path, sizeof path, "%s/pkv-reader-XXXXXX", parent);
    if (!mkdtemp(path) || os_folder_open(path, &folder) != 0) return 1;
    check_ours();
    check_foreign();
    check_large_lies();
    check_many_lies();
    check_last_straw();
    check_half_way();
    check_cut();
    check_all_failing();
    char text[FILE_NAME_BYTES];
    file_name_format(&name, text);
    check(os_unlink(&folder, text) == 0 && rmdir(path) == 0, "nothing is left", 0);
    os_folder_close(&folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
