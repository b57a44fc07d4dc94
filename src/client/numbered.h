/* One producer of a load: which of its messages is due next, and every answer to what a client of
 * the library has said of them checked. Sans I/O.
 *
 *         head              cursor         handed             end
 *          |                  |              |                 |
 *   ... ---+-- not all is ----+-- again, to --+-- not due yet --+
 *              answered          a new client
 *
 * Messages go in commands (client/workload.h), which are handed to the library when their last one
 * is due, a window of them at a time. What the library says of them over its connections, and what
 * the server answers, comes by the tap (client/tap.h): each publish is a *flight* until it is
 * answered, and each message of the window has a byte of state.
 *
 * Thread: the owner's.  Memory: numbered_deinit() frees. */
#ifndef CLIENT_NUMBERED_H
#define CLIENT_NUMBERED_H

#include "client/histogram.h"
#include "client/ledger.h"
#include "client/tap.h"

#define NUMBERED_WHY_SIZE 320u

struct numbered_flight;  /* private */
struct numbered_channel; /* private */

/* A message to hand to the library. */
struct numbered_message {
    uint32_t channel;
    uint64_t number;
    bool begins; /* the first one of its channel that this client gets: its number is to be told */
};

struct numbered {
    struct ledger *ledger;
    struct histogram *latency_us;
    uint32_t producer;
    /* private */
    uint64_t window_; /* commands */
    uint64_t head_;
    uint64_t cursor_; /* what is handed next: command and message of it */
    uint32_t cursor_index_;
    uint64_t handed_; /* commands of which anything was handed */
    uint64_t end_;
    uint64_t in_flight_; /* messages said on this connection and not answered */
    uint8_t *states_;    /* by message, modulo the window */
    uint32_t *left_;     /* by command, modulo the window: messages not answered */
    struct numbered_flight *flights_;
    struct numbered_channel *channels_;
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

/* ---- towards the library ------------------------------------------------------------------- */

/* The message to hand on now, until numbered_handed(). False: there is none. */
bool numbered_next(const struct numbered *numbered, uint64_t load_ns,
                   struct numbered_message *ret_message);
void numbered_handed(struct numbered *numbered);
/* A new client in place of the one before: what is not answered is handed on once more. */
void numbered_new_client(struct numbered *numbered);
/* When the next message is to be handed on, on the clock of the load; UINT64_MAX: none is now. */
uint64_t numbered_due_ns(const struct numbered *numbered);

/* ---- from the tap -------------------------------------------------------------------------- */

/* A new connection: nothing that was said before will be answered. */
void numbered_on_ready(struct numbered *numbered);
void numbered_said(struct numbered *numbered, const struct client_said *said);
void numbered_heard(struct numbered *numbered, const struct reply *reply, uint64_t load_ns);

/* Nothing new any more. */
void numbered_stop(struct numbered *numbered);
/* The server will never take it. */
void numbered_give_up(struct numbered *numbered, const char *code, const char *text);
/* Whether all that is to be sent has been acknowledged. */
bool numbered_done(const struct numbered *numbered);
/* The end, of one that has waited long enough and is connected: what is still open though later
 * ones, or all, were acknowledged was left without its answer. */
void numbered_finish(struct numbered *numbered);
uint64_t numbered_in_flight(const struct numbered *numbered);

#endif
