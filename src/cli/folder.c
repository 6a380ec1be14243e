/* folder.c - the commands that deal with a store as a whole: stat, snapshot, and its files. */
#include <inttypes.h>
#include <stdio.h>
#include "cli.h"

static void print_figure(const char *name, uint64_t figure) {
    printf("%s %" PRIu64 "\n", name, figure);
}

static void print_stats(const pkv_stats *s) {
    printf("keys %s\n", s->keys == PKV_KEYS_FIXED ? pkv_integer_name(s->key_type) : "string");
    printf("values %s\n", pkv_values_name(s->values));
    print_figure("entries", s->entries);
    print_figure("key_bytes", s->key_bytes);
    print_figure("value_bytes", s->value_bytes);
    print_figure("memory_bytes", s->memory_bytes);
    print_figure("memory_free_bytes", s->memory_free_bytes);
    print_figure("wal_bytes", s->wal_bytes);
    print_figure("wal_shards", s->wal_shards);
    print_figure("snapshot_bytes", s->snapshot_bytes);
    print_figure("snapshot_ordinal", s->snapshot_ordinal);
    print_figure("restored_entries", s->restored_entries);
    print_figure("cut_bytes", s->cut_bytes);
    printf("restore_seconds %.6f\n", s->restore_seconds);
}

int command_stat(const options *chosen, char **arguments) {
    session s;
    int code = session_open(chosen, arguments[0], PKV_NO, &s);
    if (code != EXIT_DONE) return code;
    print_stats(&s.stats);
    return session_close(&s, EXIT_DONE);
}

int command_snapshot(const options *chosen, char **arguments) {
    session s;
    int code = session_open(chosen, arguments[0], PKV_NO, &s);
    if (code != EXIT_DONE) return code;
    pkv_status status = pkv_snapshot(s.store);
    if (status != PKV_OK) code = complain_status(status, arguments[0]);
    return session_close(&s, code);
}

static int print_removed(pkv_status status, const char *path, uint64_t removed) {
    if (status != PKV_OK) return complain_status(status, path);
    printf("%" PRIu64 "\n", removed);
    return EXIT_DONE;
}

int command_prune_backups(const options *chosen, char **arguments) {
    (void)chosen;
    int64_t keep;
    if (!parse_integer(arguments[1], false, &keep) || keep < 0 || keep > UINT32_MAX)
        return complain(EXIT_WRONG_USE, "KEEP: '%s' is not a number of snapshots", arguments[1]);
    uint64_t removed = 0;
    pkv_status status = pkv_prune_backups(arguments[0], (uint32_t)keep, &removed);
    return print_removed(status, arguments[0], removed);
}

int command_delete_pending(const options *chosen, char **arguments) {
    (void)chosen;
    uint64_t removed = 0;
    pkv_status status = pkv_delete_failed_pending_snapshots(arguments[0], &removed);
    return print_removed(status, arguments[0], removed);
}
