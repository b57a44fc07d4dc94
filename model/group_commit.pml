/* Group commit: publishers, the batch that fills and the one under way, the committer, crashes.
 *
 * What it stands for: src/core/partition.c (filling and committing batch, partition_flush(),
 * partition_commit_done(), partition_fail(), partition_resume()), src/server/host.c (commit_run(),
 * commit_done()), src/log/commit.c (append(), take_back(), file_log_reopen()) and the end of
 * src/log/recover.c (the last batch is written again and synced before anybody is let in).
 *
 * What goes wrong: the process ends at any point (the page cache stays), the machine does (any
 * prefix of what is not synced is lost), a write fails in the middle, a sync fails (the pages count
 * as clean from then on, and may or may not be on the disk), taking back fails too, a connection
 * breaks and its publisher sends everything again that was not acknowledged.
 *
 * What must hold, whatever happens:
 *   - who was shown a message sees the same message at the same seq for ever (seen, then lost: no)
 *   - what was acknowledged stands where the acknowledgement said (acked, then lost: no)
 *   - each number of a producer is stored at most once, in order
 *   - in the end everything is stored, acknowledged and seen
 *
 * Broken twins: ACK_BEFORE_SYNC, NO_SETTLE (a start shows what no sync covers), SETTLE_BY_SYNC (it
 * syncs, but does not write again: no use behind a failed sync), FORGET_PRODUCERS (recovery loses
 * the numbers, and any start will do), RETRY_SYNC (a failed sync is tried again, and succeeds, having done nothing).
 *
 * A record is its producer's message, 1 … PRODUCERS * EACH; 0: none. */
#define PRODUCERS 2
#define EACH      2
#define MESSAGES  (PRODUCERS * EACH)
#define LOG_MAX   9

#define MESSAGE(p, n) ((p) * EACH + (n))

mtype = { DOWN, SETTLING, RUNNING, STOPPED, DEAD }
mtype = { IDLE, WRITE, SYNC, DONE }

mtype phase = RUNNING;
mtype commit = IDLE;
byte log[LOG_MAX];  /* by position: what has been appended, on disk or not */
byte next_pos;      /* the end of the filling batch */
byte batch_end;     /* the end of the batch that is lent to the committer */
byte applied;       /* the end of what has been applied */
byte written;       /* the end of what is in the page cache */
byte durable;       /* the end of what is surely on the disk */
bool dirty;         /* the kernel knows that it has to write what lies between the two */

/* The state that apply keeps. */
byte latest;
byte history[MESSAGES + 1];   /* by seq */
byte last[PRODUCERS];         /* the producer's highest number */
byte seq_of[MESSAGES + 1];    /* by message */

/* What the world outside knows. */
byte sent[PRODUCERS];         /* highest number sent on this connection */
byte acked[PRODUCERS];        /* highest number acknowledged */
byte acked_seq[MESSAGES + 1]; /* by message */
byte seen_count;
byte seen[MESSAGES + 1];      /* by seq */

byte kills = 1;
byte cuts = 1;
byte faults = 1;
byte breaks = 1;

/* Each fault makes publishers send again: only where the log has room for it. */
#define ROOM (next_pos + MESSAGES < LOG_MAX)

inline take_ack(p, n)
{
    if
    :: acked_seq[MESSAGE(p, n)] == 0 -> acked_seq[MESSAGE(p, n)] = seq_of[MESSAGE(p, n)]
    :: else -> assert(acked_seq[MESSAGE(p, n)] == seq_of[MESSAGE(p, n)]) /* a retry: as before */
    fi;
    if
    :: n > acked[p] -> acked[p] = n
    :: else
    fi;
    if
    :: sent[p] < acked[p] -> sent[p] = acked[p]
    :: else
    fi
}

/* apply() of one record: accepted, or a duplicate; never a hole in a producer's numbers. */
inline apply(p, n)
{
    if
#ifdef FORGET_PRODUCERS
    :: n == last[p] + 1 || last[p] == 0 ->
#else
    :: n == last[p] + 1 ->
#endif
        latest++;
        assert(latest <= MESSAGES); /* no number twice */
        history[latest] = MESSAGE(p, n);
        seq_of[MESSAGE(p, n)] = latest;
        last[p] = n
    :: n <= last[p] && last[p] != 0 -> skip
    :: else -> assert(false) /* publishers send in order: nothing is ahead */
    fi
}

inline apply_at(pos)
{
    p = (log[pos] - 1) / EACH;
    n = (log[pos] - 1) % EACH + 1;
    apply(p, n)
}

/* A sync of clean pages does nothing. */
inline sync()
{
    if
    :: dirty -> durable = written; dirty = false
    :: else
    fi
}

/* What a publisher does when it hears `unavailable` or nothing: send again. */
inline resend_all()
{
    p = 0;
    do
    :: p < PRODUCERS -> sent[p] = acked[p]; p++
    :: else -> break
    od;
    p = 0
}

/* Cells that hold nothing are zero: the same state looks the same. */
inline forget_from(pos)
{
    n = pos;
    do
    :: n < LOG_MAX -> log[n] = 0; n++
    :: else -> break
    od;
    n = 0
}

/* partition_fail(): both batches are lost; what was written of the one is taken back, if the disk
 * lets us. */
inline fail(next_phase)
{
    if
    :: written = applied; durable = applied; dirty = false
    :: skip
    fi;
    next_pos = applied;
    batch_end = 0;
    if
    :: written > applied -> forget_from(written)
    :: else -> forget_from(applied)
    fi;
    commit = IDLE;
    phase = next_phase;
    resend_all()
}

proctype publisher(byte p)
{
end:
    do
    :: atomic { phase == RUNNING && sent[p] < EACH && next_pos < LOG_MAX ->
        sent[p]++;
        log[next_pos] = MESSAGE(p, sent[p]);
        next_pos++
       }
    od
}

/* The reactor that owns the partition, and its committer. */
proctype owner()
{
    byte p = 0;
    byte n = 0;
end:
    do
    :: atomic { phase == RUNNING && commit == IDLE && next_pos > applied ->
        batch_end = next_pos;
        commit = WRITE
       }
    :: atomic { commit == WRITE -> written = batch_end; dirty = true;
#ifdef ACK_BEFORE_SYNC
        commit = DONE
#else
        commit = SYNC
#endif
       }
    :: atomic { commit == WRITE && faults > 0 && ROOM ->
        faults--;
        dirty = true;
        do
        :: written + 1 < batch_end -> written++
        :: break
        od;
        fail(STOPPED)
       }
    :: atomic { commit == SYNC -> sync(); commit = DONE }
    :: atomic { commit == SYNC && faults > 0 && ROOM ->
        faults--;
        dirty = false;
#ifndef RETRY_SYNC
        fail(DEAD)
#endif
       }
    :: atomic { commit == DONE ->
        /* Replies and tails leave when all is applied; an answer may never arrive. */
        do
        :: applied < batch_end ->
            apply_at(applied);
            applied++;
            if
            :: take_ack(p, n)
            :: breaks > 0 && ROOM -> breaks--; sent[p] = acked[p]
            fi
        :: else -> break
        od;
        p = 0;
        n = 0;
        batch_end = 0;
        commit = IDLE
       }
    :: atomic { phase == STOPPED -> /* file_log_reopen(): zeroed and synced */
        written = applied;
        durable = applied;
        dirty = false;
        forget_from(applied);
        phase = RUNNING
       }
    od
}

proctype subscriber()
{
end:
    do
    :: atomic { phase == RUNNING && seen_count < latest ->
        seen_count++;
        seen[seen_count] = history[seen_count]
       }
    od
}

inline crash()
{
    next_pos = written;
    batch_end = 0;
    forget_from(written);
    commit = IDLE;
    phase = DOWN;
    resend_all();
    /* Memory is gone. */
    applied = 0;
    latest = 0;
    n = 0;
    do
    :: n <= MESSAGES -> history[n] = 0; seq_of[n] = 0; n++
    :: else -> break
    od;
    n = 0;
    do
    :: n < PRODUCERS -> last[n] = 0; n++
    :: else -> break
    od;
    n = 0
}

inline recover()
{
    do
    :: applied < written -> apply_at(applied); applied++
    :: else -> break
    od;
#ifdef FORGET_PRODUCERS
    last[0] = 0;
    last[1] = 0;
#endif
    n = 1;
    do
    :: n <= seen_count ->
        assert(n <= latest && history[n] == seen[n]); /* seen, then lost: never */
        n++
    :: else -> break
    od;
    n = 1;
    do
    :: n <= MESSAGES ->
        assert(acked_seq[n] == 0 || seq_of[n] == acked_seq[n]); /* acked, then lost: never */
        n++
    :: else -> break
    od;
    p = 0;
    n = 0
}

proctype machine()
{
    byte p = 0;
    byte n = 0;
end:
    do
    :: atomic { kills > 0 && phase != DOWN && ROOM -> kills--; crash() }
    :: atomic { phase == DEAD -> crash() } /* somebody starts it again */
    :: atomic { cuts > 0 && ROOM ->
        cuts--;
        do
        :: written > durable -> written--
        :: break
        od;
        durable = written;
        dirty = false;
        crash()
       }
    :: atomic { phase == DOWN ->
        recover();
#ifdef NO_SETTLE
        phase = RUNNING
#else
#ifndef SETTLE_BY_SYNC
        dirty = true; /* the last batch is written again */
#endif
        phase = SETTLING
#endif
       }
    :: atomic { phase == SETTLING ->
        sync();
        phase = RUNNING
       }
    od
}

proctype monitor()
{
    timeout;
    assert(acked[0] == EACH && acked[1] == EACH);
    assert(latest == MESSAGES && seen_count == MESSAGES)
}

init
{
    atomic {
        run publisher(0);
        run publisher(1);
        run owner();
        run subscriber();
        run machine();
        run monitor()
    }
}
