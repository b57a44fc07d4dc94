/* One subscriber's (or reader's) view of one channel of a load, checked message by message. Sans
 * I/O.
 *
 * It listens at a client of the library (client/tap.h) to what the server sends, and judges that,
 * whatever the client then makes of it: what the client drops, keeps or fills from history was sent
 * wrongly all the same. It does not end at the first thing that is wrong: it names and counts it
 * and goes on, so that the account at the end says what happened and how often.
 *
 *   seq is next                     taken
 *   seq is higher                   what lies between is missing; if it does not turn up until the
 *                                   end, it is a gap that nobody announced ([I7])
 *   seq is lower, number is new     out of order ([I1]); it is missing no more
 *   seq is lower, number is known   delivered again ([I1])
 *   number known at a new seq       stored twice ([I5])
 *   a producer's numbers, next to   rise one by one ([I6]); after a gap anything higher will do
 *
 * A client that has not got all that was seen here (it fills a hole) resumes from where it stands:
 * from there to `next` what was judged before comes again, and only has to be the same.
 *
 * Thread: the owner's.  Memory: observer_deinit() frees. */
#ifndef CLIENT_OBSERVER_H
#define CLIENT_OBSERVER_H

#include "base/digest.h"
#include "client/histogram.h"
#include "client/ledger.h"
#include "client/tap.h"

#define OBSERVER_NAME_SIZE 32u
#define OBSERVER_GAPS_MAX  4096u
#define OBSERVER_ANSWERED  16u

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
    char channel_name[WORKLOAD_NAME_SIZE];
    size_t channel_name_size;
    /* where it stands */
    bool begun;                           /* has a position */
    bool active;                          /* subscribed on this connection */
    bool left;                            /* the server has ended the subscription by itself */
    bool ended;                           /* so it was, at least once on this connection */
    uint64_t asked_id;                    /* of the `subscribe` that is not answered, 0: none */
    uint64_t answered[OBSERVER_ANSWERED]; /* ids, the last ones on this connection */
    uint32_t answered_next;
    uint64_t next;
    uint64_t again;  /* 0: nothing comes again; else the next that does, below `next` */
    uint64_t behind; /* below it messages were seen before the server went back; 0: it has not */
    uint64_t asked;  /* where the client has asked to begin, 0: with the earliest */
    char epoch[REPLY_EPOCH_SIZE]; /* of the history that `next` belongs to */
    uint64_t latest_told;         /* the server's, at the last `subscribed` or `history` */
    uint64_t acked;               /* on this connection; at first all before it, and what is gone */
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
    struct buf *scratch;
    struct digest_id id;
};

/* `name` is for people; `scratch` may be shared by observers, who need its memory as long as they
 * live. RC_NOMEM */
MUST_USE enum rc observer_init(struct observer *observer, struct ledger *ledger, uint32_t channel,
                               const char *name, struct buf *scratch);
void observer_deinit(struct observer *observer);

/* ---- as a subscription --------------------------------------------------------------------- */

/* A new connection. */
void observer_on_ready(struct observer *observer);
void observer_said(struct observer *observer, const struct client_said *said);
/* [P 2] Whether no answer with its id was heard before on this connection; that is told. Of those
 * that observer_heard() gets it sees to that itself. */
bool observer_is_first_answer(struct observer *observer, const struct reply *reply);
/* `load_ns` is the time since the load began. */
void observer_heard(struct observer *observer, const struct reply *reply, uint64_t load_ns);

/* ---- as a reader of history ---------------------------------------------------------------- */

/* Takes a `history` that was asked for from where it stands (seq 1 at first); *ret_more: there is
 * more to ask for. */
void observer_history(struct observer *observer, enum wire_codec codec, const struct reply *reply,
                      struct reply_room *room, bool *ret_more);

/* ---- the end ------------------------------------------------------------------------------- */

/* Says what is missing for good. `complete`: it had time to get everything, so what was
 * acknowledged behind its last message is lost too. Once. */
void observer_finish(struct observer *observer, bool complete);
/* Whether the message of that number came. */
bool observer_has(const struct observer *observer, uint32_t producer, uint64_t number);

#endif
