/* protocol.pml - how the log, snapshots and recovery work together, for spin to walk through every
 * order in which things can happen, with the power cut or the process killed after any of them.
 *
 * What there is: SHARDS shards of a log, two keys in each, each key with a writer of its own (keys
 * of one log shard may lie in different memory shards, so their changes may be applied in another
 * order than that of the log); ORDINALS logs, and a snapshot between each two; a flusher per shard.
 *
 * A record is its number in its shard's history, 1 to RECORDS; what a key holds is the number of
 * the record that set it, 0 for none. Its room in the log is claimed, then it is filled, beside
 * others; it counts as appended once all before it do. Everything that can happen is one guarded
 * step of one process, so the disk's state between any two steps is a place to crash in.
 *
 * A power cut keeps of every file of the log any beginning that is not shorter than what was flushed,
 * whatever it keeps of the others: a new log may survive where the end of the old one does not. Of
 * a manifest whose folder was not flushed it keeps the old or the new one, and of a snapshot that
 * was not flushed nothing that could be relied on. The death of the process keeps everything.
 *
 * What must hold whenever a store is opened:
 *   - all files that the manifest names are there, and its snapshot is whole;
 *   - what comes back of each shard is a beginning of its history: no hole;
 *   - it is not older than what was acknowledged as durable; after the death of the process, it has
 *     everything that was appended.
 *
 * Each -DFAULT_... leaves one step out, or does it too early; spin has to find that something does
 * not hold (spec/model/run).
 */
#ifndef SHARDS
#define SHARDS 2
#endif
#ifndef ORDINALS
#define ORDINALS 3
#endif
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef IN_ALL
#define IN_ALL (SHARDS * RECORDS) /* records of all shards together */
#endif
#define KEYS 2

#if SHARDS > 1
#define MAY_CLAIM(sh) (claimed[sh] < RECORDS && claimed[0] + claimed[1] < IN_ALL)
#else
#define MAY_CLAIM(sh) (claimed[sh] < RECORDS)
#endif

#define LESSER(a, b) ((a) < (b) -> (a) : (b))

#define AT_KEY(s, k) ((s) * KEYS + (k))
#define AT_LOG(s, o) ((s) * ORDINALS + (o) - 1)
#define AT_SNAP(o, s, k) (((o) - 2) * SHARDS * KEYS + AT_KEY(s, k))

/* ---- The history, which only the assertions know */

byte claimed[SHARDS];               /* records so far */
byte appended[SHARDS];              /* of these, the first so many are whole */
byte key_of[SHARDS * (RECORDS + 1)]; /* key_of[s * (RECORDS + 1) + i]: the key of record i */
byte acknowledged[SHARDS];          /* as durable */

/* ---- Memory */

byte value[SHARDS * KEYS];   /* applied */
byte pending[SHARDS * KEYS]; /* claimed by the key's writer, not yet applied; 0: none */
bit whole[SHARDS * KEYS];    /* that has been filled */

/* ---- The log. A file holds the records after `base` up to `end`; up to `flushed` they are safe. */

byte base[SHARDS * ORDINALS], end[SHARDS * ORDINALS], flushed[SHARDS * ORDINALS];
bit tells_base[SHARDS * ORDINALS]; /* its first record has previous_size */
bit missing[ORDINALS + 1];         /* deleted */
byte current[SHARDS] = 1, retired[SHARDS];

/* A flush on its way has its target. It is looked at before it has flushed anything and after it
 * has flushed all: between, no more can be lost than before. */
bit flushing[SHARDS];
byte flush_target[SHARDS], flush_whole[SHARDS], flush_file[SHARDS], flush_retired[SHARDS];

/* ---- Snapshots. The one between the logs o - 1 and o is at AT_SNAP(o, ...). */

byte snapshot[(ORDINALS - 1) * SHARDS * KEYS];
bit snapshot_safe[ORDINALS + 1]; /* its files are flushed */
mtype = { IDLE, ROTATE, SETTLE, RETIRE, WALK, FLUSH_FILES, FLUSH_LOG, WAIT_LOG, PUBLISH,
          FLUSH_FOLDER, DELETE };
mtype doing = IDLE;
byte at, wanted; /* shard or key that a step has come to; position that a flush must reach */

/* ---- The manifest: the logs from `first` to `last` are in force, and the snapshot before `first`
 * if that is not 1. After a rename that is not flushed the old one may come back. */

byte first = 1, last = 1, old_first = 1;

mtype = { RUNNING, REPAIRING, SYNCING, STARTING, OVER };
mtype mode = RUNNING;
byte crashes, repaired;
bit killed; /* the last crash was the death of the process only */

/* Scratch, 0 between steps. */
byte s, o, k, i, top, latest, from, upto;
byte found[KEYS];
bit drop;

/* ---- Writers */

inline claim(sh, key) {
    claimed[sh]++;
    key_of[sh * (RECORDS + 1) + claimed[sh]] = key;
    end[AT_LOG(sh, current[sh])] = claimed[sh];
    pending[AT_KEY(sh, key)] = claimed[sh]
}

inline fill(sh, key) {
    whole[AT_KEY(sh, key)] = 1;
    appended[sh] = pending[AT_KEY(sh, key)]
}

inline apply(sh, key) {
    value[AT_KEY(sh, key)] = pending[AT_KEY(sh, key)];
    pending[AT_KEY(sh, key)] = 0;
    whole[AT_KEY(sh, key)] = 0
}

#ifdef FAULT_FILL_OUT_OF_TURN
#define MAY_FILL(sh, key) !whole[AT_KEY(sh, key)]
#else
#define MAY_FILL(sh, key) (!whole[AT_KEY(sh, key)] && pending[AT_KEY(sh, key)] == appended[sh] + 1)
#endif

/* What flushes a log, or leaves it for another, keeps others from claiming and waits for all that
 * is being filled. */
#define ALL_FILLED(sh) (claimed[sh] == appended[sh])

/* ---- Flushers */

inline flush_begin(sh) {
    flushing[sh] = 1;
    flush_target[sh] = claimed[sh];
    flush_whole[sh] = appended[sh];
    flush_file[sh] = current[sh];
    flush_retired[sh] = retired[sh];
#ifdef FAULT_ACKNOWLEDGE_EARLY
    acknowledged[sh] = appended[sh]
#endif
}

inline flush_end(sh) {
#ifndef FAULT_FLUSH_WITHOUT_RETIRED
    if
    :: flush_retired[sh] != 0 ->
        flushed[AT_LOG(sh, flush_retired[sh])] =
            LESSER(end[AT_LOG(sh, flush_retired[sh])], flush_whole[sh])
    :: else
    fi;
#endif
    if
    :: flushed[AT_LOG(sh, flush_file[sh])] < flush_whole[sh] ->
        flushed[AT_LOG(sh, flush_file[sh])] = flush_whole[sh]
    :: else
    fi;
    if
    :: acknowledged[sh] < flush_target[sh] -> acknowledged[sh] = flush_target[sh]
    :: else
    fi;
    flushing[sh] = 0; flush_target[sh] = 0; flush_whole[sh] = 0; flush_file[sh] = 0;
    flush_retired[sh] = 0
}

/* ---- The snapshot thread; publish.c has the same steps */

inline rotate(sh) {
    retired[sh] = current[sh];
    current[sh] = last;
    base[AT_LOG(sh, last)] = claimed[sh];
    end[AT_LOG(sh, last)] = claimed[sh];
    flushed[AT_LOG(sh, last)] = claimed[sh];
    tells_base[AT_LOG(sh, last)] = (claimed[sh] > base[AT_LOG(sh, last - 1)])
}

inline retire(sh) {
    flushed[AT_LOG(sh, retired[sh])] = LESSER(end[AT_LOG(sh, retired[sh])], appended[sh]);
    retired[sh] = 0
}

inline next(limit, step) {
    at++;
    if
    :: at == limit -> at = 0; doing = step
    :: else
    fi
}

inline delete_logs(before) {
    o = 1;
    do
    :: o < before ->
        missing[o] = 1;
        s = 0;
        do
        :: s < SHARDS ->
            base[AT_LOG(s, o)] = 0; end[AT_LOG(s, o)] = 0; flushed[AT_LOG(s, o)] = 0;
            tells_base[AT_LOG(s, o)] = 0;
            s++
        :: else -> break
        od;
        o++
    :: else -> break
    od;
    s = 0; o = 0
}

/* ---- Crashes */

/* A file's records end where the first is that is not whole. */
inline cut_off(sh, key) {
    if
    :: pending[AT_KEY(sh, key)] != 0 && !whole[AT_KEY(sh, key)] -> i = first;
        do
        :: i <= last ->
            if
            :: end[AT_LOG(sh, i)] >= pending[AT_KEY(sh, key)] &&
               base[AT_LOG(sh, i)] < pending[AT_KEY(sh, key)] ->
                end[AT_LOG(sh, i)] = pending[AT_KEY(sh, key)] - 1
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    :: else
    fi
}

inline crash() {
    crashes++;
    s = 0;
    do
    :: s < SHARDS ->
        k = 0;
        do
        :: k < KEYS -> cut_off(s, k); k++
        :: else -> break
        od;
        s++
    :: else -> break
    od;
    s = 0;
    do
    :: s < SHARDS ->
        flushing[s] = 0; flush_target[s] = 0; flush_whole[s] = 0; flush_file[s] = 0;
        flush_retired[s] = 0;
        current[s] = 0; retired[s] = 0;
        k = 0;
        do
        :: k < KEYS ->
            value[AT_KEY(s, k)] = 0; pending[AT_KEY(s, k)] = 0; whole[AT_KEY(s, k)] = 0; k++
        :: else -> break
        od;
        s++
    :: else -> break
    od;
    doing = IDLE; at = 0; wanted = 0; repaired = 0; s = 0; k = 0
}

/* What is lost of a shard, and what comes back, has nothing to do with the other shards; so where
 * nothing follows, a look at any one of them is a look at all. */
inline look_at() {
    if
    :: crashes < CRASHES -> from = 0; upto = SHARDS
    :: else ->
        if
        :: from = 0; upto = 1
#if SHARDS > 1
        :: from = 1; upto = 2
#endif
        fi
    fi
}

/* Which of its un-flushed bytes each file keeps is up to chance. */
inline lose() {
    if
    :: old_first != first -> first = old_first
    :: true
    fi;
    old_first = first;
    i = from * ORDINALS;
    do
    :: i < upto * ORDINALS ->
        do
        :: end[i] > flushed[i] -> end[i]--
        :: break
        od;
        flushed[i] = end[i];
        i++
    :: else -> break
    od;
    i = 0
}

/* ---- Recovery: restore.c */

inline read_snapshot(sh) {
    found[0] = 0;
    found[1] = 0;
    if
    :: first > 1 ->
        assert(snapshot_safe[first] || killed); /* no published snapshot is partial */
        found[0] = snapshot[AT_SNAP(first, sh, 0)];
        found[1] = snapshot[AT_SNAP(first, sh, 1)]
    :: else
    fi
}

inline replay(sh) {
    o = first;
    do
    :: o <= last ->
        assert(!missing[o]);
        drop = 0;
#ifndef FAULT_IGNORE_PREVIOUS_SIZE
        if
        :: o > first && end[AT_LOG(sh, o)] > base[AT_LOG(sh, o)] && tells_base[AT_LOG(sh, o)] &&
           top < base[AT_LOG(sh, o)] -> drop = 1
        :: else
        fi;
#endif
        if
        :: drop -> top = base[AT_LOG(sh, o)]
        :: else ->
            i = base[AT_LOG(sh, o)] + 1;
            do
            :: i <= end[AT_LOG(sh, o)] -> found[key_of[sh * (RECORDS + 1) + i]] = i; i++
            :: else -> break
            od;
            i = 0;
            top = end[AT_LOG(sh, o)]
        fi;
        drop = 0;
        o++
    :: else -> break
    od
}

/* Is what was found a beginning of the history? Its end is the highest number in it. */
inline judge(sh) {
    top = (found[0] > found[1] -> found[0] : found[1]);
    k = 0;
    do
    :: k < KEYS ->
        latest = 0;
        i = 1;
        do
        :: i <= top ->
            if
            :: key_of[sh * (RECORDS + 1) + i] == k -> latest = i
            :: else
            fi;
            i++
        :: else -> break
        od;
        assert(found[k] == latest); /* no hole */
        value[AT_KEY(sh, k)] = found[k];
        k++
    :: else -> break
    od;
    assert(top >= acknowledged[sh]);
    assert(!killed || top >= appended[sh]);
    k = 0; i = 0; latest = 0
}

inline forget_lost(sh) {
    i = appended[sh] + 1;
    do
    :: i <= RECORDS -> key_of[sh * (RECORDS + 1) + i] = 0; i++
    :: else -> break
    od;
    i = 0
}

/* Makes all ends the same state. */
inline finish() {
    mode = OVER; killed = 0; first = 0; old_first = 0; last = 0;
    i = 0;
    do
    :: i < SHARDS * ORDINALS -> base[i] = 0; end[i] = 0; flushed[i] = 0; tells_base[i] = 0; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < SHARDS * (RECORDS + 1) -> key_of[i] = 0; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < SHARDS * KEYS -> value[i] = 0; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < SHARDS -> claimed[i] = 0; appended[i] = 0; acknowledged[i] = 0; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < (ORDINALS - 1) * SHARDS * KEYS -> snapshot[i] = 0; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i <= ORDINALS -> missing[i] = 0; snapshot_safe[i] = 0; i++
    :: else -> break
    od;
    i = 0
}

inline recover() {
    s = from;
    do
    :: s < upto ->
        read_snapshot(s);
        top = (first > 1 -> base[AT_LOG(s, first)] : 0);
        replay(s);
        judge(s);
        claimed[s] = top; appended[s] = top;
        found[0] = 0; found[1] = 0; top = 0;
        s++
    :: else -> break
    od;
    s = 0; o = 0; from = 0; upto = 0;
    if
    :: crashes < CRASHES -> mode = REPAIRING
    :: else -> finish() /* nothing that is still to come would be looked at */
    fi
}

/* Cuts one file to where its records end, and flushes it; ordinal by ordinal. */
inline repair() {
    o = first + repaired / SHARDS;
    s = repaired % SHARDS;
    if
    :: o < last -> skip
    :: else -> /* it may have been dropped, or be empty; it is gone on with, and tells nothing then */
        if
        :: base[AT_LOG(s, o)] >= appended[s] || base[AT_LOG(s, o)] == end[AT_LOG(s, o)] ->
            base[AT_LOG(s, o)] = appended[s];
            end[AT_LOG(s, o)] = appended[s];
            tells_base[AT_LOG(s, o)] = 0
        :: else
        fi
    fi;
    flushed[AT_LOG(s, o)] = end[AT_LOG(s, o)];
    repaired++;
    s = 0; o = 0
}

/* The manifest that was read may be one whose rename was never flushed. */
inline start() {
    s = 0;
    do
    :: s < SHARDS ->
        current[s] = last;
        acknowledged[s] = appended[s]; /* readers see it */
        forget_lost(s);
        s++
    :: else -> break
    od;
    s = 0; repaired = 0; killed = 0;
    mode = RUNNING
}

/* ---- All that can happen */

#define IN_WALK_S (at / KEYS)
#define IN_WALK_K (at % KEYS)

#define WRITER(sh, key) \
    :: d_step { mode == RUNNING && pending[AT_KEY(sh, key)] == 0 && MAY_CLAIM(sh) -> \
                claim(sh, key) } \
    :: d_step { mode == RUNNING && pending[AT_KEY(sh, key)] != 0 && MAY_FILL(sh, key) -> \
                fill(sh, key) } \
    :: d_step { mode == RUNNING && whole[AT_KEY(sh, key)] -> apply(sh, key) }

#define FLUSHER(sh) \
    :: d_step { mode == RUNNING && !flushing[sh] && acknowledged[sh] < claimed[sh] && \
                MAY_FLUSH(sh) -> flush_begin(sh) } \
    :: d_step { mode == RUNNING && flushing[sh] -> flush_end(sh) }

#ifdef FAULT_FLUSH_UNFILLED
#define MAY_FLUSH(sh) true
#else
#define MAY_FLUSH(sh) ALL_FILLED(sh)
#endif

#ifdef FAULT_SKIP_SETTLE
#define SETTLED(sh, key) true
#else
#define SETTLED(sh, key) pending[AT_KEY(sh, key)] == 0
#endif

#ifdef FAULT_SKIP_RETIRE
#define RETIRE_SHARD retired[at] = 0
#else
#define RETIRE_SHARD retire(at)
#endif

#if defined(FAULT_PUBLISH_BEFORE_FLUSH)
#define AFTER_WALK PUBLISH
#elif defined(FAULT_SKIP_FLUSH_OF_LOG)
#define AFTER_WALK FLUSH_FILES
#define AFTER_FILES PUBLISH
#else
#define AFTER_WALK FLUSH_FILES
#endif
#ifndef AFTER_FILES
#define AFTER_FILES FLUSH_LOG
#endif

active proctype everything() {
end_of_work: /* nothing left to do is no failure */
    do
    WRITER(0, 0)
    WRITER(0, 1)
    FLUSHER(0)
#if SHARDS > 1
    WRITER(1, 0)
    WRITER(1, 1)
    FLUSHER(1)
#endif
    /* 1, 2: the files of the next log exist and are listed before anything lies in them. */
    :: d_step { mode == RUNNING && doing == IDLE && last < ORDINALS -> last++; doing = ROTATE }
    :: d_step { mode == RUNNING && doing == ROTATE && ALL_FILLED(at) ->
                rotate(at); next(SHARDS, SETTLE) }
    :: d_step { mode == RUNNING && doing == SETTLE && SETTLED(IN_WALK_S, IN_WALK_K) ->
                next(SHARDS * KEYS, RETIRE) }
    /* 3 */
    :: d_step { mode == RUNNING && doing == RETIRE && retired[at] == 0 -> next(SHARDS, WALK) }
    :: d_step { mode == RUNNING && doing == RETIRE && retired[at] != 0 && !flushing[at] ->
                RETIRE_SHARD; next(SHARDS, WALK) }
    /* 4 */
    :: d_step { mode == RUNNING && doing == WALK ->
                snapshot[AT_SNAP(last, IN_WALK_S, IN_WALK_K)] = value[at];
                next(SHARDS * KEYS, AFTER_WALK) }
    /* 5. Any failure so far, and it begins again at the settling. */
    :: d_step { mode == RUNNING && doing == FLUSH_FILES && !snapshot_safe[last] ->
                snapshot_safe[last] = 1;
                doing = AFTER_FILES }
    :: d_step { mode == RUNNING && (doing == FLUSH_FILES || doing == PUBLISH) && first != last ->
                i = 0;
                do
                :: i < SHARDS * KEYS ->
                    snapshot[AT_SNAP(last, i / KEYS, i % KEYS)] = 0; i++
                :: else -> break
                od;
                i = 0; snapshot_safe[last] = 0; doing = SETTLE }
    :: d_step { mode == RUNNING && doing == FLUSH_LOG -> wanted = claimed[at]; doing = WAIT_LOG }
    :: d_step { mode == RUNNING && doing == WAIT_LOG && acknowledged[at] >= wanted ->
                wanted = 0;
                doing = FLUSH_LOG;
                next(SHARDS, PUBLISH) }
    /* 7 */
#ifdef FAULT_DELETE_BEFORE_PUBLISH
    :: d_step { mode == RUNNING && doing == PUBLISH && !missing[last - 1] -> delete_logs(last) }
#endif
    :: d_step { mode == RUNNING && doing == PUBLISH -> first = last; doing = FLUSH_FOLDER }
    :: d_step { mode == RUNNING && doing == FLUSH_FOLDER -> old_first = first; doing = DELETE }
    /* 8 */
    :: d_step { mode == RUNNING && doing == DELETE ->
                delete_logs(last); doing = IDLE }

    :: atomic { d_step { mode != OVER -> crash(); killed = 1 }; look_at(); d_step { recover() } }
    :: atomic { d_step { mode != OVER -> crash(); killed = 0 }; look_at(); lose();
                d_step { recover() } }
    :: d_step { mode == REPAIRING && repaired < (last - first + 1) * SHARDS -> repair() }
    :: d_step { mode == REPAIRING && repaired == (last - first + 1) * SHARDS -> mode = SYNCING }
#ifdef FAULT_START_WITHOUT_FLUSH
    :: d_step { mode == SYNCING -> delete_logs(first); mode = STARTING }
    :: d_step { mode == STARTING -> old_first = first; start() }
#else
    :: d_step { mode == SYNCING -> old_first = first; mode = STARTING }
    :: d_step { mode == STARTING -> delete_logs(first); start() }
#endif
    od
}
