/* One subscriber's (or reader's) view of one channel of a load, checked message by message. Sans
 * I/O.
 *
 * Unlike client/subscriber.h it does not end at the first thing that is wrong: it names and counts
 * it and goes on, so that the account at the end says what happened and how often.
 *
 *   seq is next                     taken
 *   seq is higher                   what lies between is missing; if it does not turn up until the
 *                                   end, it is a gap that nobody announced ([I7])
 *   seq is lower, number is new     out of order ([I1]); it is missing no more
 *   seq is lower, number is known   delivered again ([I1])
 *   number known at a new seq       stored twice ([I5])
 *   a producer's numbers, next to   rise one by one ([I6]); after a gap anything higher will do
 *
 * Thread: the owner's.  Memory: observer_deinit() frees. */
#ifndef CLIENT_OBSERVER_H
#define CLIENT_OBSERVER_H

#include "client/histogram.h"
#include "client/ledger.h"
#include "client/message.h"
#include "client/pushed.h"

#define OBSERVER_NAME_SIZE 32u
#define OBSERVER_GAPS_MAX  4096u
#define OBSERVER_WHY_SIZE  320u

struct observer_gap {
    uint64_t from;
    uint64_t to; /* the last one */
};

struct observer {
    struct ledger *ledger;
    struct histogram *latency_us; /* of first deliveries, NULL: not measured */
    uint32_t channel;
    uint64_t window; /* 0: none */
    char name[OBSERVER_NAME_SIZE];
    /* where it stands */
    bool begun;  /* has a position */
    bool active; /* subscribed on this connection */
    uint64_t next;
    size_t epoch_size; /* of the history that `next` belongs to */
    uint8_t epoch[LEDGER_EPOCH_SIZE];
    uint64_t latest_told; /* the server's, at the last `subscribed` or `history` */
    uint64_t taken_last;  /* on this connection, 0: none */
    uint64_t acked;       /* on this connection; at first all before it, and what is gone */
    uint64_t retry_at_ms; /* UINT64_MAX: no subscribe waits */
    unsigned refusals;
    char why[OBSERVER_WHY_SIZE]; /* not empty: the server will never let us */
    /* what it counted */
    uint64_t received;
    uint64_t distinct;
    uint64_t missing;
    uint64_t missing_first; /* the first seq that ever was */
    uint64_t digest; /* of all messages before `next`, if every one of them was seen in turn */
    bool digest_whole;
    bool forgot_gaps; /* more than it can remember */
    uint32_t gap_count;
    struct observer_gap *gaps; /* announced */
    uint8_t *delivered;        /* bit per number, ledger_bit() */
    uint32_t *last_numbers;    /* by producer; LAST_UNKNOWN behind a gap */
    struct buf head;           /* how a push of this channel begins, where it is written as usual */
    struct buf *scratch;
    struct pushed_room room;
};

/* `name` is for people; `scratch` may be shared by observers, who need its memory as long as they
 * live. RC_NOMEM */
MUST_USE enum rc observer_init(struct observer *observer, struct ledger *ledger, uint32_t channel,
                               const char *name, struct buf *scratch);
void observer_deinit(struct observer *observer);

/* ---- as a subscription --------------------------------------------------------------------- */

/* A new connection: a subscribe is to be sent. */
void observer_on_ready(struct observer *observer, uint64_t now_ms);
/* Appends the command that is due: subscribe, or an ack. RC_END: none; RC_NOMEM */
MUST_USE enum rc observer_command(struct observer *observer, uint64_t now_ms, struct buf *to);
/* Takes what the server said, if it is a message that is as it should be; `load_ns` is the time
 * since the load began. False: it must be parsed. */
bool observer_take_quick(struct observer *observer, struct bytes text, uint64_t load_ns);
/* Takes anything. */
void observer_take(struct observer *observer, const struct client_message *message,
                   uint64_t load_ns, uint64_t now_ms);

/* ---- as a reader of history ---------------------------------------------------------------- */

/* Appends `history` from where it stands (seq 1 at first). RC_NOMEM */
MUST_USE enum rc observer_history_command(struct observer *observer, uint64_t id, struct buf *to);
/* Takes a `history` reply; *ret_more: there is more to ask for. */
void observer_take_history(struct observer *observer, const struct client_message *message,
                           bool *ret_more);

/* ---- the end ------------------------------------------------------------------------------- */

/* Says what is missing for good. `complete`: it had time to get everything, so what was
 * acknowledged behind its last message is lost too. Once. */
void observer_finish(struct observer *observer, bool complete);
/* Whether the message of that number came. */
bool observer_has(const struct observer *observer, uint32_t producer, uint64_t number);

#endif
