/* sqlite.c - SQLite: a table without rowid, prepared statements, a transaction a set.
 *
 * Writers share a connection and take turns, since two connections that write would meet a busy
 * database and sleep. Each reader has a connection. Where there is one thread, there is one
 * connection, which need not lock the file. */
#include "../driver/adapter.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct connection {
    sqlite3 *db;
    sqlite3_stmt *set, *get, *remove, *scan;
} connection;

typedef struct store {
    bench_options options;
    connection writer;
    pthread_mutex_t turn;
} store;

typedef struct session {
    store *store;
    connection own, *reader;
} session;

static void check(sqlite3 *db, int code) {
    if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return;
    fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(db));
    exit(1);
}

static void run(connection *c, const char *sql) {
    check(c->db, sqlite3_exec(c->db, sql, NULL, NULL, NULL));
}

static sqlite3_stmt *prepare(connection *c, const char *sql) {
    sqlite3_stmt *statement;
    check(c->db, sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL));
    return statement;
}

static void connect_to(connection *c, const bench_options *options) {
    char path[4096];
    static const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    snprintf(path, sizeof path, "%s/data.sqlite", options->folder);
    int code = sqlite3_open_v2(options->durability == D0 ? ":memory:" : path, &c->db, flags, NULL);
    check(c->db, code);
    sqlite3_busy_timeout(c->db, 60000);
    run(c,
        "PRAGMA cache_size = -1048576; PRAGMA mmap_size = 34359738368; PRAGMA temp_store = memory");
    if (options->threads == 1) run(c, "PRAGMA locking_mode = exclusive");
    if (options->durability != D0) run(c, "PRAGMA journal_mode = wal");
    run(c, options->durability == D2 ? "PRAGMA synchronous = full" : "PRAGMA synchronous = off");
    run(c,
        "CREATE TABLE IF NOT EXISTS entries (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID");
    c->set = prepare(c, "INSERT OR REPLACE INTO entries VALUES (?, ?)");
    c->get = prepare(c, "SELECT v FROM entries WHERE k = ?");
    c->remove = prepare(c, "DELETE FROM entries WHERE k = ?");
    c->scan = prepare(c, "SELECT k, v FROM entries");
}

static void disconnect(connection *c) {
    sqlite3_finalize(c->set);
    sqlite3_finalize(c->get);
    sqlite3_finalize(c->remove);
    sqlite3_finalize(c->scan);
    check(c->db, sqlite3_close(c->db));
}

static void *sql_open(const bench_options *options) {
    store *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->options = *options;
    pthread_mutex_init(&s->turn, NULL);
    connect_to(&s->writer, options);
    return s;
}

static void sql_close(void *handle) {
    store *s = handle;
    disconnect(&s->writer);
    pthread_mutex_destroy(&s->turn);
    free(s);
}

static void *sql_session(void *handle) {
    session *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->store = handle;
    if (s->store->options.threads > 1) connect_to(&s->own, &s->store->options);
    s->reader = s->own.db ? &s->own : &s->store->writer;
    return s;
}

static void sql_end_session(void *handle) {
    session *s = handle;
    if (s->own.db) disconnect(&s->own);
    free(s);
}

static void bind_bytes(sqlite3_stmt *statement, int number, bench_bytes bytes) {
    sqlite3_bind_blob(statement, number, bytes.data, (int)bytes.size, SQLITE_STATIC);
}

static void write_with(store *s, sqlite3_stmt *statement, bench_bytes key,
                       const bench_bytes *value) {
    pthread_mutex_lock(&s->turn);
    bind_bytes(statement, 1, key);
    if (value) bind_bytes(statement, 2, *value);
    check(s->writer.db, sqlite3_step(statement));
    check(s->writer.db, sqlite3_reset(statement));
    pthread_mutex_unlock(&s->turn);
}

static void sql_set(void *handle, bench_bytes key, bench_bytes value) {
    store *s = ((session *)handle)->store;
    write_with(s, s->writer.set, key, &value);
}

static void sql_remove(void *handle, bench_bytes key) {
    store *s = ((session *)handle)->store;
    write_with(s, s->writer.remove, key, NULL);
}

static void sql_get(void *handle, bench_bytes key, bench_answer *answer) {
    connection *c = ((session *)handle)->reader;
    bind_bytes(c->get, 1, key);
    int code = sqlite3_step(c->get);
    check(c->db, code);
    if (code == SQLITE_ROW)
        bench_answer_with(answer, sqlite3_column_blob(c->get, 0),
                          (size_t)sqlite3_column_bytes(c->get, 0));
    else
        answer->size = ABSENT;
    check(c->db, sqlite3_reset(c->get));
}

static uint64_t sql_scan(void *handle) {
    connection *c = ((session *)handle)->reader;
    uint64_t count = 0;
    int code;
    while ((code = sqlite3_step(c->scan)) == SQLITE_ROW)
        count += bench_touch(sqlite3_column_blob(c->scan, 0)) +
                 bench_touch(sqlite3_column_blob(c->scan, 1));
    check(c->db, code);
    check(c->db, sqlite3_reset(c->scan));
    return count / 2;
}

/* With one thread there is one connection: the caller's thread must not be using it. */
static void sql_checkpoint(void *handle) {
    store *s = handle;
    connection c;
    if (s->options.durability == D0) return;
    if (s->options.threads == 1) {
        run(&s->writer, "PRAGMA wal_checkpoint(truncate)");
    } else {
        connect_to(&c, &s->options);
        run(&c, "PRAGMA wal_checkpoint(passive)");
        disconnect(&c);
    }
}

int main(int argc, char **argv) {
#define COMMON                                                                                     \
    ", without rowid, cache_size 1 GiB, mmap_size 32 GiB, prepared statements, a transaction a "   \
    "set; one thread: locking_mode exclusive"
    static const adapter sql = {
        .name = "SQLite",
        .settings = {":memory:" COMMON, "WAL, synchronous = off" COMMON,
                     "WAL, synchronous = full" COMMON},
        .open = sql_open,
        .close = sql_close,
        .session = sql_session,
        .end_session = sql_end_session,
        .set = sql_set,
        .get = sql_get,
        .remove = sql_remove,
        .scan = sql_scan,
        .sync = sql_checkpoint,
        .snapshot = sql_checkpoint,
    };
    return bench_main(argc, argv, &sql);
}
