/* One producer of a load: its commands in order, each kept in a window until it is answered, sent
 * again after a lost connection with the same numbers; every answer checked. Sans I/O.
 *
 *         head            cursor        sent              end
 *          |                |             |                |
 *   ... ---+-- under way ---+- to be sent +-- not due yet --+
 *                             once more
 *
 * Nothing is stored but a state for each command in the window: what a command says follows from
 * its index (client/workload.h). A command that the server cannot take now makes it wait until
 * every answer under way has come; then everything open is sent again in order.
 *
 * Thread: the owner's.  Memory: numbered_deinit() frees. */
#ifndef CLIENT_NUMBERED_H
#define CLIENT_NUMBERED_H

#include "client/histogram.h"
#include "client/ledger.h"
#include "client/message.h"

#define NUMBERED_WHY_SIZE 320u

struct numbered_slot;    /* private */
struct numbered_channel; /* private */

struct numbered {
    struct ledger *ledger;
    struct histogram *latency_us;
    uint32_t producer;
    /* private */
    uint64_t window_;
    uint64_t head_;
    uint64_t cursor_;
    uint64_t sent_;
    uint64_t end_;
    uint64_t in_flight_; /* sent on this connection and not answered */
    bool rewind_;
    unsigned refusals_;
    uint64_t pause_until_ms_;
    struct numbered_slot *slots_;       /* by index, modulo the window */
    struct numbered_channel *channels_; /* the last answer in each */
    /* what it counted, in messages */
    uint64_t sent_count;
    uint64_t acked_count;
    uint64_t resent_count;
    uint64_t duplicate_count;     /* answers that say "known already" */
    uint64_t refused_count;       /* answers that say "not now" */
    uint64_t indeterminate_count; /* the connection was lost before the answer; each counts once */
    uint64_t found_stored_count;  /* of these: known when sent again */
    uint64_t found_absent_count;  /* of these: stored when sent again */
    bool accused;                 /* `why` is a violation, and counted as one */
    char why[NUMBERED_WHY_SIZE];  /* not empty: the server will never take it */
};

/* `window` commands may be unanswered at a time. RC_NOMEM */
MUST_USE enum rc numbered_init(struct numbered *numbered, struct ledger *ledger, uint32_t producer,
                               uint64_t window);
void numbered_deinit(struct numbered *numbered);

/* A new connection: nothing that was sent before will be answered. */
void numbered_on_ready(struct numbered *numbered);
/* Appends the next command. RC_END: nothing to send now; RC_NOMEM */
MUST_USE enum rc numbered_command(struct numbered *numbered, uint64_t load_ns, uint64_t now_ms,
                                  struct buf *to);
/* Takes a `published`, if it is written in the usual order; false: it must be parsed. */
bool numbered_take_quick(struct numbered *numbered, struct bytes text, uint64_t load_ns);
/* Takes anything. */
void numbered_take(struct numbered *numbered, const struct client_message *message,
                   uint64_t load_ns, uint64_t now_ms);

/* When the next command is due, on the clock of the load; UINT64_MAX: no new one can be sent now.
 */
uint64_t numbered_due_ns(const struct numbered *numbered);
/* Whether something is to be sent again, and from when on. */
bool numbered_retry_ms(const struct numbered *numbered, uint64_t *ret_ms);
/* Nothing new any more. */
void numbered_stop(struct numbered *numbered);
/* Whether all that is to be sent has been acknowledged. */
bool numbered_done(const struct numbered *numbered);
uint64_t numbered_in_flight(const struct numbered *numbered);

#endif
