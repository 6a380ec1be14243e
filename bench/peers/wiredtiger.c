/* wiredtiger.c - WiredTiger: a tree with a cache and a log. */
#include "../driver/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <wiredtiger.h>

typedef struct session {
    WT_SESSION *session;
    WT_CURSOR *cursor;
} session;

static void check(int code) {
    if (code == 0) return;
    fprintf(stderr, "wiredtiger: %s\n", wiredtiger_strerror(code));
    exit(1);
}

static WT_ITEM item_of(bench_bytes bytes) {
    WT_ITEM item = {.data = bytes.data, .size = bytes.size};
    return item;
}

static void *tiger_open(const bench_options *options) {
    static const char *const syncs[] = {"transaction_sync=(enabled=false)",
                                        "transaction_sync=(enabled=true,method=none)",
                                        "transaction_sync=(enabled=true,method=fsync)"};
    char config[512];
    WT_CONNECTION *connection;
    WT_SESSION *s;
    snprintf(config, sizeof config,
             "create,cache_size=4GB,session_max=128,%s,"
             "log=(enabled=true,compressor=),checkpoint=(wait=60,log_size=2GB),"
             "eviction=(threads_min=1,threads_max=4),statistics=(none)",
             syncs[options->durability]);
    check(wiredtiger_open(options->folder, NULL, config, &connection));
    check(connection->open_session(connection, NULL, NULL, &s));
    check(s->create(s, "table:entries",
                    "key_format=u,value_format=u,access_pattern_hint=random,"
                    "leaf_page_max=16KB,memory_page_max=10MB,checksum=uncompressed"));
    check(s->close(s, NULL));
    return connection;
}

static void tiger_close(void *store) {
    WT_CONNECTION *connection = store;
    check(connection->close(connection, NULL));
}

static void *tiger_session(void *store) {
    WT_CONNECTION *connection = store;
    session *s = malloc(sizeof *s);
    if (!s) abort();
    check(connection->open_session(connection, NULL, "isolation=snapshot", &s->session));
    check(s->session->open_cursor(s->session, "table:entries", NULL, "overwrite=true", &s->cursor));
    return s;
}

static void tiger_end_session(void *handle) {
    session *s = handle;
    check(s->session->close(s->session, NULL));
    free(s);
}

/* Two threads that write the same entry: one of them has to try again. */
static void tiger_set(void *handle, bench_bytes key, bench_bytes value) {
    session *s = handle;
    WT_ITEM k = item_of(key), v = item_of(value);
    int code;
    do {
        s->cursor->set_key(s->cursor, &k);
        s->cursor->set_value(s->cursor, &v);
        code = s->cursor->insert(s->cursor);
    } while (code == WT_ROLLBACK);
    check(code);
}

static void tiger_remove(void *handle, bench_bytes key) {
    session *s = handle;
    WT_ITEM k = item_of(key);
    int code;
    do {
        s->cursor->set_key(s->cursor, &k);
        code = s->cursor->remove(s->cursor);
    } while (code == WT_ROLLBACK);
    check(code);
}

static void tiger_get(void *handle, bench_bytes key, bench_answer *answer) {
    session *s = handle;
    WT_ITEM k = item_of(key), v;
    s->cursor->set_key(s->cursor, &k);
    int code = s->cursor->search(s->cursor);
    if (code == WT_NOTFOUND) {
        answer->size = ABSENT;
    } else {
        check(code);
        check(s->cursor->get_value(s->cursor, &v));
        bench_answer_with(answer, v.data, v.size);
    }
    check(s->cursor->reset(s->cursor));
}

static uint64_t tiger_scan(void *handle) {
    session *s = handle;
    WT_CURSOR *cursor;
    WT_ITEM k, v;
    uint64_t count = 0;
    int code;
    check(s->session->open_cursor(s->session, "table:entries", NULL, NULL, &cursor));
    while ((code = cursor->next(cursor)) == 0) {
        check(cursor->get_key(cursor, &k));
        check(cursor->get_value(cursor, &v));
        count += bench_touch(k.data) + bench_touch(v.data);
    }
    if (code != WT_NOTFOUND) check(code);
    check(cursor->close(cursor));
    return count / 2;
}

static void in_session(void *store, int (*call)(WT_SESSION *, const char *), const char *config) {
    WT_CONNECTION *connection = store;
    WT_SESSION *s;
    check(connection->open_session(connection, NULL, NULL, &s));
    check(call(s, config));
    check(s->close(s, NULL));
}

static int checkpoint(WT_SESSION *s, const char *config) {
    return s->checkpoint(s, config);
}

static int flush(WT_SESSION *s, const char *config) {
    return s->log_flush(s, config);
}

static void tiger_checkpoint(void *store) {
    in_session(store, checkpoint, NULL);
}

static void tiger_sync(void *store) {
    in_session(store, flush, "sync=on");
}

int main(int argc, char **argv) {
#define COMMON                                                                                     \
    ", cache 4 GB, log enabled, checkpoint each 60 s or 2 GB, access_pattern_hint = random, leaf " \
    "pages of 16 KB, memory pages of 10 MB, no compression"
    static const adapter tiger = {
        .name = "WiredTiger",
        .settings = {"transaction_sync off" COMMON, "transaction_sync none" COMMON,
                     "transaction_sync fsync" COMMON},
        .open = tiger_open,
        .close = tiger_close,
        .session = tiger_session,
        .end_session = tiger_end_session,
        .set = tiger_set,
        .get = tiger_get,
        .remove = tiger_remove,
        .scan = tiger_scan,
        .sync = tiger_sync,
        .snapshot = tiger_checkpoint,
    };
    return bench_main(argc, argv, &tiger);
}
