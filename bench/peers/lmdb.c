/* lmdb.c - LMDB: a tree in a mapped file. Each set is a transaction of its own, and so is each get,
 * with a transaction that is renewed, as its documentation advises. */
#include "../driver/adapter.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct store {
    MDB_env *env;
    MDB_dbi table;
} store;

typedef struct session {
    store *store;
    MDB_txn *reader; /* reset between gets */
} session;

static void check(int code) {
    if (code == 0) return;
    fprintf(stderr, "lmdb: %s\n", mdb_strerror(code));
    exit(1);
}

static MDB_val value_of(bench_bytes bytes) {
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static void *lmdb_open(const bench_options *options) {
    store *s = malloc(sizeof *s);
    MDB_txn *txn;
    unsigned flags = options->durability == D2 ? 0 : MDB_WRITEMAP | MDB_NOSYNC;
    size_t data = options->entries * (options->key_size + options->value_size + 64);
    if (!s) abort();
    check(mdb_env_create(&s->env));
    check(mdb_env_set_mapsize(s->env, ((data * 4 >> 20) + 1024) << 20));
    check(mdb_env_set_maxreaders(s->env, 128));
    check(mdb_env_open(s->env, options->folder, flags | MDB_NOTLS, 0600));
    check(mdb_txn_begin(s->env, NULL, 0, &txn));
    unsigned kind = options->key_size == 8 ? MDB_INTEGERKEY : 0;
    check(mdb_dbi_open(txn, NULL, MDB_CREATE | kind, &s->table));
    check(mdb_txn_commit(txn));
    return s;
}

static void lmdb_close(void *handle) {
    store *s = handle;
    check(mdb_env_sync(s->env, 1));
    mdb_env_close(s->env);
    free(s);
}

static void *lmdb_session(void *handle) {
    session *s = malloc(sizeof *s);
    if (!s) abort();
    s->store = handle;
    check(mdb_txn_begin(s->store->env, NULL, MDB_RDONLY, &s->reader));
    mdb_txn_reset(s->reader);
    return s;
}

static void lmdb_end_session(void *handle) {
    session *s = handle;
    mdb_txn_abort(s->reader);
    free(s);
}

static void lmdb_set(void *handle, bench_bytes key, bench_bytes value) {
    session *s = handle;
    MDB_val k = value_of(key), v = value_of(value);
    MDB_txn *txn;
    check(mdb_txn_begin(s->store->env, NULL, 0, &txn));
    check(mdb_put(txn, s->store->table, &k, &v, 0));
    check(mdb_txn_commit(txn));
}

static void get_in(session *s, bench_bytes key, bench_answer *answer) {
    MDB_val k = value_of(key), v;
    int code = mdb_get(s->reader, s->store->table, &k, &v);
    if (code == MDB_NOTFOUND) {
        answer->size = ABSENT;
    } else {
        check(code);
        bench_answer_with(answer, v.mv_data, v.mv_size);
    }
}

static void lmdb_get(void *handle, bench_bytes key, bench_answer *answer) {
    session *s = handle;
    check(mdb_txn_renew(s->reader));
    get_in(s, key, answer);
    mdb_txn_reset(s->reader);
}

static void lmdb_get_many(void *handle, size_t count, const bench_bytes *keys,
                          bench_answer *answers) {
    session *s = handle;
    check(mdb_txn_renew(s->reader));
    for (size_t i = 0; i < count; i++) get_in(s, keys[i], &answers[i]);
    mdb_txn_reset(s->reader);
}

static void lmdb_remove(void *handle, bench_bytes key) {
    session *s = handle;
    MDB_val k = value_of(key);
    MDB_txn *txn;
    check(mdb_txn_begin(s->store->env, NULL, 0, &txn));
    check(mdb_del(txn, s->store->table, &k, NULL));
    check(mdb_txn_commit(txn));
}

static uint64_t lmdb_scan(void *handle) {
    session *s = handle;
    MDB_cursor *cursor;
    MDB_val k, v;
    uint64_t count = 0;
    int code;
    check(mdb_txn_renew(s->reader));
    check(mdb_cursor_open(s->reader, s->store->table, &cursor));
    while ((code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0)
        count += bench_touch(k.mv_data) + bench_touch(v.mv_data);
    mdb_cursor_close(cursor);
    mdb_txn_reset(s->reader);
    if (code != MDB_NOTFOUND) check(code);
    return count / 2;
}

static void lmdb_sync(void *handle) {
    check(mdb_env_sync(((store *)handle)->env, 1));
}

int main(int argc, char **argv) {
    static const adapter lmdb = {
        .name = "LMDB",
        .settings = {[D1] = "MDB_WRITEMAP, MDB_NOSYNC; a transaction a set, renewed ones for gets",
                     [D2] = "default flags; a transaction a set, renewed ones for gets"},
        .open = lmdb_open,
        .close = lmdb_close,
        .session = lmdb_session,
        .end_session = lmdb_end_session,
        .set = lmdb_set,
        .get = lmdb_get,
        .get_many = lmdb_get_many,
        .remove = lmdb_remove,
        .scan = lmdb_scan,
        .sync = lmdb_sync,
    };
    return bench_main(argc, argv, &lmdb);
}
