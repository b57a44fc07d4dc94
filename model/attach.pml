/* Attaching a feed: subscribe, answer, tail and detach between a reactor and the owner of a channel.
 *
 * What it stands for: src/server/host_read.c (host_on_ask(), the barrier queue, answer(),
 * host_on_detach()), src/server/host.c (on_messages(), topic_send()), src/server/router.c
 * (on_answer(), on_tail(), detach()) and src/session/feed.c, subscribe.c (feed_open(),
 * feed_attach(), start(), subscription_end(), feed_on_chunk()). Mail of a pair of reactors arrives
 * in the order sent; asks wait at the owner until everything that was appended before them is
 * applied; one that searches by time is answered by the reader, later than others behind it. A
 * detach never waits, so it overtakes asks that do.
 *
 * What must hold: a tail never leaves a hole in an attached feed; in the end every subscription is
 * answered, what is followed has everything, and the owner sends tails exactly to who follows. With
 * -DLOST=1 one detach gets lost (no memory for the mail): then one more tail puts that right.
 *
 * Broken twins: NO_DETACH_AGAIN (nothing is said to an answer or a tail that finds no feed),
 * NO_IDS (an answer is matched by the channel's name alone), TAIL_BEHIND_ANSWER (asks are looked at
 * before the tails of what was just applied are sent), NO_REPEAT (with LOST: only answers detach
 * again). */
#ifndef LOST
#define LOST 0
#endif
#define SLOTS      2 /* subscriptions at a time */
#define SUBSCRIBES 3
#define PUBLISHES  3

mtype = { ASK, DETACH, ANSWER, FAILED, TAIL }
mtype = { NONE, ATTACHING, FOLLOWING }

/* kind; feed id, sub id, by time / feed id, sub id, latest / first, count */
chan to_owner = [8] of { mtype, byte, byte, byte };
chan to_reactor = [8] of { mtype, byte, byte, byte };

/* The owner. */
byte next_pos = 1; /* of the next message to be appended */
byte applied = 1;  /* of the next message to be applied; latest is one less */
bool watched;
chan waiting = [4] of { byte, byte, byte, byte }; /* feed id, sub id, by time, barrier */
chan searching = [4] of { byte, byte };
byte publishes = PUBLISHES;
byte failures = 1;

/* The reactor. */
byte feed; /* its id; 0: there is none */
bool attached;
byte feed_next;
byte sub_id[SLOTS];
mtype sub_state[SLOTS] = NONE;
byte last_id;
byte subscribes = SUBSCRIBES;
byte ends = SUBSCRIBES;
byte lost = LOST;

inline detach()
{
    if
    :: to_owner!DETACH, 0, 0, 0
    :: lost > 0 -> lost--
    fi
}

inline end_subscription(slot)
{
    sub_state[slot] = NONE;
    sub_id[slot] = 0;
    if
    :: sub_state[1 - (slot)] == NONE ->
        feed = 0;
        attached = false;
        feed_next = 0;
        detach()
    :: else
    fi
}

inline on_answer()
{
    if
    :: feed == 0 ->
#ifndef NO_DETACH_AGAIN
        detach()
#else
        skip
#endif
    :: else
    fi;
    slot = 0;
    do
#ifdef NO_IDS
    :: slot < SLOTS && sub_state[slot] != ATTACHING -> slot++
#else
    :: slot < SLOTS && sub_id[slot] != sub -> slot++
#endif
    :: else -> break
    od;
    if
    :: slot == SLOTS /* ended meanwhile */
    :: slot < SLOTS && kind == FAILED -> end_subscription(slot)
    :: slot < SLOTS && kind == ANSWER ->
        assert(sub_state[slot] == ATTACHING);
        if
#ifdef NO_IDS
        :: !attached -> attached = true; feed_next = value + 1
#else
        :: !attached && feed == id -> attached = true; feed_next = value + 1
#endif
        :: else
        fi;
        assert(attached && feed_next == value + 1);
        sub_state[slot] = FOLLOWING
    fi;
    slot = 0
}

inline on_tail()
{
    if
    :: feed == 0 ->
#ifdef NO_DETACH_AGAIN
        skip
#else
#ifdef NO_REPEAT
        skip
#else
        detach()
#endif
#endif
    :: feed != 0 && !attached /* at or below what the answer will tell */
    :: feed != 0 && attached ->
        assert(id == feed_next); /* no hole, nothing twice */
        feed_next = id + sub
    fi
}

proctype reactor()
{
    mtype kind;
    byte id = 0;
    byte sub = 0;
    byte value = 0;
    byte slot = 0;
end:
    do
    :: atomic { subscribes > 0 && (sub_state[0] == NONE || sub_state[1] == NONE) ->
        subscribes--;
        slot = (sub_state[0] == NONE -> 0 : 1);
        if
        :: feed == 0 -> last_id++; feed = last_id
        :: else
        fi;
        last_id++;
        sub_id[slot] = last_id;
        sub_state[slot] = ATTACHING;
        if
        :: to_owner!ASK, feed, last_id, 0
        :: to_owner!ASK, feed, last_id, 1
        fi;
        slot = 0
       }
    :: atomic { ends > 0 && sub_state[0] != NONE -> ends--; end_subscription(0) }
    :: atomic { ends > 0 && sub_state[1] != NONE -> ends--; end_subscription(1) }
    :: ends > 0 -> ends = 0 /* what is left stays */
    :: atomic { to_reactor?kind, id, sub, value ->
        if
        :: kind == TAIL -> on_tail()
        :: else -> on_answer()
        fi;
        id = 0;
        sub = 0;
        value = 0
       }
    od
}

/* answer(): from here on the tail goes to who asked. */
inline answer(id, sub)
{
    if
    :: watched = true; to_reactor!ANSWER, id, sub, applied - 1
    :: failures > 0 -> failures--; to_reactor!FAILED, id, sub, 0
    fi
}

inline run_waiting()
{
    do
    :: nempty(waiting) ->
        waiting?<id, sub, late, barrier>;
        if
        :: barrier > applied -> break
        :: else ->
            waiting?id, sub, late, barrier;
            if
            :: late == 1 -> searching!id, sub
            :: else -> answer(id, sub)
            fi
        fi
    :: empty(waiting) -> break
    od;
    id = 0;
    sub = 0;
    late = 0;
    barrier = 0
}

/* topic_send() */
inline send_tail()
{
    if
    :: watched -> to_reactor!TAIL, first, applied - first, 0
    :: else
    fi;
    first = 0
}

proctype owner()
{
    mtype kind;
    byte first = 0;
    byte id = 0;
    byte sub = 0;
    byte late = 0;
    byte barrier = 0;
end:
    do
    :: atomic { to_owner?kind, id, sub, late ->
        if
        :: kind == ASK -> waiting!id, sub, late, next_pos; run_waiting()
        :: else -> watched = false
        fi;
        id = 0;
        sub = 0;
        late = 0
       }
    :: atomic { searching?id, sub -> answer(id, sub); id = 0; sub = 0 }
    :: atomic { publishes > 0 -> publishes--; next_pos++ }
    :: atomic { applied < next_pos -> /* a commit of all that was appended, or of less */
        first = applied;
        applied++;
        do
        :: applied < next_pos -> applied++
        :: break
        od;
#ifdef TAIL_BEHIND_ANSWER
        run_waiting();
        send_tail()
#else
        send_tail();
        run_waiting()
#endif
       }
    od
}

proctype monitor()
{
    timeout;
    if
    :: LOST > 0 -> publishes = 1; timeout
    :: else
    fi;
    assert(sub_state[0] != ATTACHING && sub_state[1] != ATTACHING);
    assert(feed == 0 || (attached && feed_next == applied));
    assert(watched == (feed != 0)) /* nobody gets tails for ever who does not follow */
}

init
{
    atomic {
        run reactor();
        run owner();
        run monitor()
    }
}
