/* redis.c - Redis, a server on this machine behind a Unix socket: each operation is a request and
 * an answer. The server is started by the open, stopped by the close, and dies with this process.
 */
#define _GNU_SOURCE
#include "../driver/adapter.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MANY_MAX 256

typedef struct store {
    pid_t server;
    char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
} store;

static void fail(const char *what) {
    fprintf(stderr, "redis: %s\n", what);
    exit(1);
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* ---- The server */

static void run_server(const store *s, const bench_options *options) {
    static const char *const flushes[] = {"no", "no", "always"};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen("server.log", "a", stdout)) _exit(1);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", s->socket, "--dir",
           options->folder, "--daemonize", "no", "--save", "", "--appendonly",
           options->durability == D0 ? "no" : "yes", "--appendfsync", flushes[options->durability],
           "--auto-aof-rewrite-percentage", options->snapshots == SNAPSHOTS_DEFAULT ? "100" : "0",
           (char *)NULL);
    _exit(1);
}

/* NULL while nobody listens. */
static redisContext *try_connect(const store *s) {
    redisContext *c = redisConnectUnix(s->socket);
    if (c && c->err) {
        redisFree(c);
        return NULL;
    }
    return c;
}

/* The reply of a command, which must not be an error. */
static redisReply *reply_of(redisContext *c, redisReply *reply) {
    if (!reply) fail(c->errstr);
    if (reply->type == REDIS_REPLY_ERROR) fail(reply->str);
    return reply;
}

/* A server that is reading its files answers a PING with an error. */
static int is_ready(const store *s) {
    redisContext *c = try_connect(s);
    if (!c) return 0;
    redisReply *reply = redisCommand(c, "PING");
    int ready = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    redisFree(c);
    return ready;
}

static void *redis_open(const bench_options *options) {
    store *s = calloc(1, sizeof *s);
    if (!s) abort();
    int length = snprintf(s->socket, sizeof s->socket, "/tmp/bench-redis-%d", (int)getpid());
    if (length >= (int)sizeof s->socket || chdir(options->folder) != 0)
        fail("cannot use the folder");
    fflush(NULL);
    s->server = fork();
    if (s->server < 0) fail("cannot fork");
    if (s->server == 0) run_server(s, options);
    while (!is_ready(s)) {
        if (waitpid(s->server, NULL, WNOHANG) != 0) fail("the server ended, see server.log");
        sleep_ms(1);
    }
    return s;
}

static void redis_close(void *handle) {
    store *s = handle;
    redisContext *c = try_connect(s);
    if (!c) fail("the server is gone");
    freeReplyObject(redisCommand(c, "SHUTDOWN"));
    redisFree(c);
    waitpid(s->server, NULL, 0);
    unlink(s->socket);
    free(s);
}

/* ---- Requests */

static void *redis_session(void *handle) {
    redisContext *c = try_connect(handle);
    if (!c) fail("cannot connect");
    return c;
}

static void redis_end_session(void *session) {
    redisFree(session);
}

static void redis_set(void *session, bench_bytes key, bench_bytes value) {
    const char *words[] = {"SET", key.data, value.data};
    const size_t sizes[] = {3, key.size, value.size};
    freeReplyObject(reply_of(session, redisCommandArgv(session, 3, words, sizes)));
}

static void take_answer(const redisReply *reply, bench_answer *answer) {
    if (reply->type == REDIS_REPLY_NIL)
        answer->size = ABSENT;
    else
        bench_answer_with(answer, reply->str, reply->len);
}

static void redis_get(void *session, bench_bytes key, bench_answer *answer) {
    const char *words[] = {"GET", key.data};
    const size_t sizes[] = {3, key.size};
    redisReply *reply = reply_of(session, redisCommandArgv(session, 2, words, sizes));
    take_answer(reply, answer);
    freeReplyObject(reply);
}

static void redis_get_many(void *session, size_t count, const bench_bytes *keys,
                           bench_answer *answers) {
    const char *words[MANY_MAX + 1] = {"MGET"};
    size_t sizes[MANY_MAX + 1] = {4};
    if (count > MANY_MAX) abort();
    for (size_t i = 0; i < count; i++) {
        words[i + 1] = keys[i].data;
        sizes[i + 1] = keys[i].size;
    }
    redisReply *reply = reply_of(session, redisCommandArgv(session, (int)count + 1, words, sizes));
    for (size_t i = 0; i < count; i++) take_answer(reply->element[i], &answers[i]);
    freeReplyObject(reply);
}

static void redis_remove(void *session, bench_bytes key) {
    const char *words[] = {"DEL", key.data};
    const size_t sizes[] = {3, key.size};
    freeReplyObject(reply_of(session, redisCommandArgv(session, 2, words, sizes)));
}

/* The values of some keys that SCAN has given. It may give a key twice, but only while the table
 * changes its size. */
static uint64_t read_values(redisContext *c, const redisReply *keys) {
    if (keys->elements == 0) return 0;
    const char **words = malloc((keys->elements + 1) * sizeof *words);
    size_t *sizes = malloc((keys->elements + 1) * sizeof *sizes);
    if (!words || !sizes) abort();
    words[0] = "MGET";
    sizes[0] = 4;
    for (size_t i = 0; i < keys->elements; i++) {
        words[i + 1] = keys->element[i]->str;
        sizes[i + 1] = keys->element[i]->len;
    }
    redisReply *values = reply_of(c, redisCommandArgv(c, (int)keys->elements + 1, words, sizes));
    uint64_t count = 0;
    for (size_t i = 0; i < values->elements; i++) count += bench_touch(values->element[i]->str);
    freeReplyObject(values);
    free(words);
    free(sizes);
    return count;
}

static uint64_t redis_scan(void *session) {
    char cursor[32] = "0";
    uint64_t count = 0;
    do {
        redisReply *reply = reply_of(session, redisCommand(session, "SCAN %s COUNT 1000", cursor));
        snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        count += read_values(session, reply->element[1]);
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0);
    return count;
}

static int is_rewriting(redisContext *c) {
    redisReply *reply = reply_of(c, redisCommand(c, "INFO persistence"));
    int running = strstr(reply->str, "aof_rewrite_in_progress:1") != NULL ||
                  strstr(reply->str, "aof_rewrite_scheduled:1") != NULL;
    freeReplyObject(reply);
    return running;
}

static void redis_rewrite(void *handle) {
    redisContext *c = redis_session(handle);
    freeReplyObject(reply_of(c, redisCommand(c, "BGREWRITEAOF")));
    while (is_rewriting(c)) sleep_ms(2);
    redisFree(c);
}

int main(int argc, char **argv) {
#define COMMON ", Unix socket, a connection a thread, a request at a time"
    static const adapter redis = {
        .name = "Redis",
        .settings = {"no AOF, no RDB" COMMON, "AOF, appendfsync no" COMMON,
                     "AOF, appendfsync always" COMMON},
        .open = redis_open,
        .close = redis_close,
        .session = redis_session,
        .end_session = redis_end_session,
        .set = redis_set,
        .get = redis_get,
        .get_many = redis_get_many,
        .remove = redis_remove,
        .scan = redis_scan,
        .snapshot = redis_rewrite,
    };
    return bench_main(argc, argv, &redis);
}
