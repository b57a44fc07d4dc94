/* The doorbell: how a thread sleeps until another has work for it, and never oversleeps.
 *
 * What it stands for: src/ring/spsc.c (the item is stored, then the tail), src/ring/doorbell.c, and
 * its two sleepers: a worker (io/worker.c: worker_sleep(), a read of the eventfd that blocks) and a
 * reactor (server/reactor.c: sleep_or_poll(), epoll on the eventfd, which is drained in the middle
 * of the next turn). A reactor's timers would hide a lost wake-up for up to a second; here it has
 * none. The ringers are workers and other reactors: push, ring, and a wake if the bell was armed.
 *
 * Memory is that of x86 (total store order): a thread's stores go through a buffer of its own, and
 * reach memory at any later time, in order; a fence waits until the buffer is empty, and so does
 * an exchange. Nobody here loads what it has in its own buffer, so forwarding is left out. A system
 * call is not taken for a fence.
 *
 * What must hold: an item that can be seen has been written, and every item is taken in the end:
 * nobody sleeps with work in its ring. Without -DREACTOR the sleeper is a worker; with -DMANY a
 * ringer pushes all that it has at once (spsc_push_many()).
 *
 * Broken twins: NO_RINGER_FENCE, NO_SLEEPER_FENCE, NO_SECOND_LOOK, RING_BEFORE_PUSH, ITEM_LAST (the
 * tail is stored before the item), DRAIN_LATE (a reactor drains the eventfd after its last look). */
#define RINGERS 2
#define ITEMS   2

#define ARMED         0
#define TAIL(r)       (1 + (r))
#define ITEM(r, i)    (1 + RINGERS + (r) * ITEMS + (i))
#define WORDS         (1 + RINGERS + RINGERS * ITEMS)
#define SLEEPER       RINGERS

byte memory[WORDS];
chan buffer[RINGERS + 1] = [3] of { byte, byte };
byte eventfd; /* 1: more than 0 */
byte head[RINGERS];
byte taken;

#define FENCE(t)              empty(buffer[t])
#define STORE(t, word, value) buffer[t]!word, value
#define WORK                  (head[0] != memory[TAIL(0)] || head[1] != memory[TAIL(1)])

/* What is in a buffer gets to memory at some time. */
proctype store_buffer(byte t)
{
    byte word = 0;
    byte value = 0;
end:
    do
    :: atomic { buffer[t]?word, value -> memory[word] = value; word = 0; value = 0 }
    od
}

/* doorbell_ring(), and the wake. */
inline ring(r)
{
#ifndef NO_RINGER_FENCE
    FENCE(r);
#endif
    if
    :: memory[ARMED] == 0
    :: memory[ARMED] != 0 ->
        atomic { FENCE(r) -> won = memory[ARMED]; memory[ARMED] = 0 }
        if
        :: won == 1 -> eventfd = 1
        :: else
        fi;
        won = 0
    fi
}

proctype ringer(byte r)
{
    byte i = 0;
    byte won = 0;
#ifdef MANY
    /* spsc_push_many(): all of its items, one store of the tail, one look at the bell. */
#ifdef ITEM_LAST
    STORE(r, TAIL(r), ITEMS);
#endif
    do
    :: i < ITEMS ->
        STORE(r, ITEM(r, i), 1);
        i++
    :: else -> break
    od;
#ifndef ITEM_LAST
    STORE(r, TAIL(r), ITEMS);
#endif
    ring(r)
#else
    do
    :: i < ITEMS ->
#ifdef RING_BEFORE_PUSH
        ring(r);
#endif
#ifdef ITEM_LAST
        STORE(r, TAIL(r), i + 1);
        STORE(r, ITEM(r, i), 1);
#else
        STORE(r, ITEM(r, i), 1);
        STORE(r, TAIL(r), i + 1);
#endif
#ifndef RING_BEFORE_PUSH
        ring(r);
#endif
        i++
    :: else -> break
    od
#endif
}

inline take(r)
{
    do
    :: head[r] != memory[TAIL(r)] ->
        atomic {
            assert(memory[ITEM(r, head[r])] == 1);
            head[r]++;
            taken++
        }
    :: head[r] == memory[TAIL(r)] -> break
    od
}

proctype sleeper()
{
    bool woken = false;
    do
    :: true ->
        take(0);
        take(1);
#ifdef REACTOR
#ifndef DRAIN_LATE
        if
        :: woken -> eventfd = 0
        :: else
        fi;
#endif
#endif
        STORE(SLEEPER, ARMED, 1);
#ifndef NO_SLEEPER_FENCE
        FENCE(SLEEPER);
#endif
        /* The second look: one ring after the other. */
#ifdef NO_SECOND_LOOK
        if
        :: true ->
#else
        if
        :: head[0] != memory[TAIL(0)] -> woken = (eventfd == 1)
        :: head[0] == memory[TAIL(0)] ->
            if
            :: head[1] != memory[TAIL(1)] -> woken = (eventfd == 1)
            :: head[1] == memory[TAIL(1)] ->
#endif
#ifdef REACTOR
#ifdef DRAIN_LATE
                eventfd = 0;
#endif
end_asleep:     eventfd == 1;
                woken = true
#else
end_asleep:     atomic { eventfd == 1 -> eventfd = 0 }
#endif
#ifndef NO_SECOND_LOOK
            fi
#endif
        fi;
        STORE(SLEEPER, ARMED, 0)
    od
}

proctype monitor()
{
    timeout;
    assert(taken == RINGERS * ITEMS) /* nobody sleeps with work in its ring */
}

init
{
    atomic {
        run store_buffer(0);
        run store_buffer(1);
        run store_buffer(SLEEPER);
        run ringer(0);
        run ringer(1);
        run sleeper();
        run monitor()
    }
}
