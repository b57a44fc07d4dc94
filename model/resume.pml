/* Resuming: a cursor between log, feed, retention, broken connections and epochs.
 *
 * What it stands for: one channel with one subscriber. At the owner: src/core/state.c
 * (state_position_judge()), src/server/host_read.c (read_prepare(), read_done(), read_again()). At
 * the reactor: src/session/feed.c (feed_on_chunk(), make_room(), feed_table_trim()), deliver.c
 * (source(), read_begin(), catch_up_done(), tell_gap(), session_stalled()) and subscribe.c. The
 * client keeps the epoch and the next seq it wants, and resumes with them. Mail between owner and
 * reactor arrives in the order sent; attach.pml has what else can happen to it.
 *
 * What goes wrong: the feed is bounded and forgets, retention passes by the cursor, segments go
 * while they are read, a socket stalls, the connection breaks and what was under way in it is lost,
 * a machine that had not synced loses the log's end and the channel gets a new epoch.
 *
 * What must hold: the client gets the next seq, or is told by name which ones it will not get; no
 * gap is told of what is still there; after a resume without a reset everything it has seen is what
 * the channel's history holds; a reset comes only to who may have seen what is lost; and in the
 * end it has everything.
 *
 * Broken twins: HAND_OVER_OFF (from a read to the feed, one too early), SILENT_TRIM (a read below
 * the earliest message begins with the earliest), IGNORE_EPOCH, GOOD_END_OFF (an earlier epoch is
 * taken to be good for one seq more), ATTACH_OFF (the feed begins one too low), STALL_SKIPS (what a
 * stalled socket lets go of is not read again), READ_ONCE (behind a read the
 * cursor goes to the feed's end, wherever it stands).
 *
 * A message is the epoch under which it was written: 1, 2; 0: none. */
#ifdef LOSS /* a machine loses the log's end */
#define SEQ_MAX 3
#define LOSSES  1
#define STALLS  0
#define TRIMS   1
#else
#define SEQ_MAX 4
#define LOSSES  0
#define STALLS  1
#define TRIMS   2
#endif
#define BREAKS   1
#define FEED_MAX 1 /* messages that a feed holds, beside what it must */
#define READ_MAX 2

mtype = { ASK, READ, ANSWER, TAIL, READ_DONE, TRIMMED, MESSAGE, GAP, SUBSCRIBED, RESET }
mtype = { NONE, ATTACHING, FOLLOWING, BEHIND, READING, CATCHING_UP }

/* kind; sub id, a, b, c. ASK: epoch (0: from the earliest), seq. READ: from. ANSWER: next, latest,
 * reset. TAIL: seq. READ_DONE: from, end. TRIMMED: earliest. */
chan to_owner = [3] of { mtype, byte, byte, byte };
chan to_reactor = [8] of { mtype, byte, byte, byte, byte };
/* kind; a, b. MESSAGE: seq, content. GAP: from, to. SUBSCRIBED, RESET: next, epoch */
chan wire = [2] of { mtype, byte, byte };

/* The owner. */
byte epoch = 1;
byte good_end; /* the first seq for which epoch 1 is not good */
byte earliest = 1;
byte latest;
byte removed = 1; /* the first seq that is still in a file */
byte history[SEQ_MAX + 1];
byte publishes = SEQ_MAX;
bool watched;
byte read_id;   /* the reader is at work; 0: it is not */
byte read_from;
byte read_latest;

/* The reactor. */
mtype state = NONE;
byte sub; /* its id; never used again */
byte feed_front;
byte feed_next;
byte cursor;
byte tail_seq;
byte chunk_end;

/* The client. */
bool connected;
byte want_epoch; /* 0: it begins */
byte want;
byte begin; /* the first seq that it has seen, or was told of, since the last reset */
byte got[SEQ_MAX + 1];

byte breaks = BREAKS;
byte losses = LOSSES;
byte stalls = STALLS;
byte trims = TRIMS;

#define IN_FEED (cursor == feed_next || cursor >= feed_front)

/* ---- the owner ------------------------------------------------------------------------------ */

/* state_position_judge(), and host_read.c's answer_seq(). */
inline answer(id, asked_epoch, asked)
{
    watched = true;
    if
    :: asked_epoch == 0 -> to_reactor!ANSWER, id, earliest, latest, 0
    :: else ->
        if
#ifdef IGNORE_EPOCH
        :: false -> skip
#else
#ifdef GOOD_END_OFF
        :: asked_epoch != epoch && asked > good_end + 1 ->
#else
        :: asked_epoch != epoch && asked > good_end ->
#endif
            to_reactor!ANSWER, id, earliest, latest, 1
#endif
        :: else ->
            if
            :: asked < earliest -> to_reactor!ANSWER, id, earliest, latest, 1
            :: asked > latest + 1 -> to_reactor!ANSWER, id, latest + 1, latest, 1
            :: else -> to_reactor!ANSWER, id, asked, latest, 0
            fi
        fi
    fi
}

/* read_prepare(): where to begin, or that the cursor has been overtaken. */
inline read_prepare(id, from)
{
    if
#ifdef SILENT_TRIM
    :: from < earliest && earliest <= latest ->
        read_id = id; read_from = earliest; read_latest = latest
    :: from < earliest && earliest > latest ->
#else
    :: from < earliest ->
#endif
        to_reactor!TRIMMED, id, earliest, 0, 0
    :: else ->
        assert(from <= latest); /* a cursor asks for what it was told to be there */
        read_id = id;
        read_from = from;
        read_latest = latest
    fi
}

proctype owner()
{
    mtype kind;
    byte id = 0;
    byte a = 0;
    byte b = 0;
end:
    do
    :: atomic { nempty(to_owner) && (read_id == 0 || to_owner?[ASK, _, _, _]) ->
        to_owner?kind, id, a, b;
        if
        :: kind == ASK -> answer(id, a, b)
        :: kind == READ -> read_prepare(id, a)
        fi;
        id = 0;
        a = 0;
        b = 0
       }
    :: atomic { publishes > 0 && latest < SEQ_MAX -> /* a commit */
        publishes--;
        latest++;
        history[latest] = epoch;
        if
        :: watched -> to_reactor!TAIL, 0, latest, 0, 0
        :: else
        fi
       }
    :: atomic { trims > 0 && earliest <= latest ->
        trims--;
        earliest++;
        do
        :: earliest <= latest -> earliest++
        :: break
        od
       }
    :: trims > 0 -> trims = 0
    :: removed < earliest -> removed = earliest
    /* The reader. */
    :: atomic { read_id != 0 && read_from < removed -> /* retention was faster: judged anew */
        id = read_id;
        a = read_from;
        read_id = 0;
        read_from = 0;
        read_latest = 0;
        read_prepare(id, a);
        id = 0;
        a = 0
       }
    :: atomic { read_id != 0 && read_from >= removed ->
        a = read_from + 1;
        do
        :: a <= read_latest && a < read_from + READ_MAX -> a++
        :: break
        od;
        to_reactor!READ_DONE, read_id, read_from, a, 0;
        read_id = 0;
        read_from = 0;
        read_latest = 0;
        a = 0
       }
    od
}

/* ---- the reactor ---------------------------------------------------------------------------- */

inline make_room()
{
    if
    :: feed_next > FEED_MAX && feed_front < feed_next - FEED_MAX ->
        feed_front = feed_next - FEED_MAX
    :: else
    fi
}

inline catch_up_done()
{
    assert(cursor <= feed_next);
    chunk_end = 0;
    tail_seq = 0;
    if
#ifdef HAND_OVER_OFF
    :: cursor + 1 == feed_front -> cursor++; state = FOLLOWING
#endif
#ifdef READ_ONCE
    :: true -> state = FOLLOWING; cursor = (IN_FEED -> cursor : feed_next)
#else
    :: IN_FEED -> state = FOLLOWING
    :: else -> state = BEHIND
#endif
    fi
}

/* The subscription ends, and so does the feed, with its only one. */
inline forget()
{
    state = NONE;
    sub = 0;
    feed_front = 0;
    feed_next = 0;
    cursor = 0;
    tail_seq = 0;
    chunk_end = 0
}

inline on_answer(next, last, reset)
{
    assert(state == ATTACHING);
    state = FOLLOWING;
    cursor = next;
#ifdef ATTACH_OFF
    feed_next = last;
#else
    feed_next = last + 1;
#endif
    feed_front = feed_next;
    assert(cursor <= last + 1);
    wire!(reset -> RESET : SUBSCRIBED), next, epoch
}

proctype reactor()
{
    mtype kind;
    byte id = 0;
    byte a = 0;
    byte b = 0;
    byte c = 0;
end:
    do
    :: atomic { nfull(wire) && nempty(to_reactor) ->
        to_reactor?kind, id, a, b, c;
        if
        :: kind == ANSWER ->
            if
            :: id == sub && state != NONE -> on_answer(a, b, c)
            :: else
            fi
        :: kind == TAIL ->
            if
            :: state == NONE || state == ATTACHING
            :: else ->
                assert(a == feed_next); /* the tail has no hole */
                feed_next++;
                make_room()
            fi
        :: kind == READ_DONE ->
            if
            :: id == sub ->
                assert(state == READING && a == cursor); /* on_chunk_read() */
                if
                :: chunk_end = b; state = CATCHING_UP
                :: stalls > 0 -> stalls--; tail_seq = 0;
#ifdef STALL_SKIPS
                    cursor = b;
                    state = (IN_FEED -> FOLLOWING : BEHIND)
#else
                    state = BEHIND
#endif
                fi
            :: else
            fi
        :: kind == TRIMMED ->
            if
            :: id == sub ->
                assert(state == READING && a > cursor && a <= feed_next); /* tell_gap() */
                wire!GAP, cursor, a - 1;
                cursor = a;
                tail_seq = 0;
                state = (IN_FEED -> FOLLOWING : BEHIND)
            :: else
            fi
        fi;
        id = 0;
        a = 0;
        b = 0;
        c = 0
       }
    :: atomic { state == FOLLOWING && cursor < feed_next && cursor < feed_front -> state = BEHIND }
    :: atomic { state == FOLLOWING && cursor < feed_next && cursor >= feed_front && nfull(wire) ->
        wire!MESSAGE, cursor, history[cursor];
        cursor++
       }
    :: atomic { state == BEHIND ->
        to_owner!READ, sub, cursor, 0;
        tail_seq = feed_next;
        state = READING
       }
    :: atomic { state == CATCHING_UP && nfull(wire) ->
        wire!MESSAGE, cursor, history[cursor];
        cursor++;
        if
        :: cursor == chunk_end -> catch_up_done()
        :: else
        fi
       }
    :: atomic { state == CATCHING_UP && stalls > 0 -> /* session_stalled() */
        stalls--;
#ifdef STALL_SKIPS
        cursor = chunk_end;
        state = (IN_FEED -> FOLLOWING : BEHIND);
#else
        state = BEHIND;
#endif
        chunk_end = 0;
        tail_seq = 0
       }
    :: atomic { state == FOLLOWING && feed_front < cursor -> feed_front = cursor } /* trim */
    :: atomic { (state == READING || state == CATCHING_UP) && feed_front < tail_seq ->
        feed_front = tail_seq
       }
    od
}

/* ---- the client ----------------------------------------------------------------------------- */

/* What it has seen is what the channel's history holds. */
inline check_seen()
{
    i = begin;
    do
    :: i < want ->
        assert(got[i] == 0 || (i <= latest && got[i] == history[i]));
        i++
    :: else -> break
    od;
    i = 0
}

inline forget_seen()
{
    i = 0;
    do
    :: i <= SEQ_MAX -> got[i] = 0; i++
    :: else -> break
    od;
    i = 0
}

inline disconnect()
{
    connected = false;
    forget();
    do
    :: wire?_, _, _
    :: empty(wire) -> break
    od
}

proctype client()
{
    mtype kind;
    byte a = 0;
    byte b = 0;
    byte i = 0;
    byte last_id = 0;
end:
    do
    :: atomic { !connected && nfull(to_owner) ->
        connected = true;
        last_id++;
        sub = last_id;
        state = ATTACHING;
        to_owner!ASK, sub, want_epoch, want
       }
    :: atomic { wire?kind, a, b ->
        if
        :: kind == SUBSCRIBED ->
            if
            :: want_epoch == 0 -> begin = a; want = a
            :: else -> assert(a == want); check_seen()
            fi;
            want_epoch = b
        :: kind == RESET -> /* it begins anew, and knows that */
            assert(want_epoch != 0);
            if
            :: want_epoch == b -> assert(a > want) /* trimmed */
            :: want_epoch != b -> assert(want > good_end || a > want)
            fi;
            forget_seen();
            begin = a;
            want = a;
            want_epoch = b
        :: kind == GAP ->
            assert(a == want && b >= a && b < earliest);
            want = b + 1
        :: kind == MESSAGE ->
            assert(a == want); /* dense */
            got[a] = b;
            want = a + 1
        fi;
        a = 0;
        b = 0
       }
    :: atomic { breaks > 0 && connected -> breaks--; disconnect() }
    :: breaks > 0 -> breaks = 0
    /* The machine goes down: any end of the log may be lost, also what was seen. */
    :: atomic { losses > 0 ->
        losses--;
        do
        :: latest >= earliest && latest > 0 -> history[latest] = 0; latest--; publishes++
        :: break
        od;
        epoch++;
        good_end = latest + 1;
        watched = false;
        read_id = 0;
        read_from = 0;
        read_latest = 0;
        do
        :: to_owner?_, _, _, _
        :: to_reactor?_, _, _, _, _
        :: empty(to_owner) && empty(to_reactor) -> break
        od;
        disconnect()
       }
    :: losses > 0 -> losses = 0
    od
}

proctype monitor()
{
    timeout;
    assert(latest == SEQ_MAX && state == FOLLOWING && want == latest + 1)
}

init
{
    atomic {
        run owner();
        run reactor();
        run client();
        run monitor()
    }
}
