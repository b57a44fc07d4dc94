/* A producer's outbox: what is to be published to one channel, numbered, each message kept until
 * the server has said `published`. Sans I/O.
 *
 *         head            sent                 tail
 *          |               |                    |
 *   ... ---+- unanswered --+- waits to be sent -+
 *
 * Messages bear head … tail-1 as producer_seq. They are sent in order, many without waiting. On a
 * new connection everything from `head` on is sent again: the numbers make that harmless ([P 4]).
 * When the server cannot take a message now, or has lost the thread (out_of_sequence), nothing more
 * is sent until every answer under way has come and the wait is over; then again from `head`.
 * Answers that cannot be right end it: an answer out of order, a number that the server has never
 * seen although it acknowledged it, a seq that does not rise.
 *
 * Thread: the owner's.  Memory: publisher_deinit() frees. */
#ifndef CLIENT_PUBLISHER_H
#define CLIENT_PUBLISHER_H

#include "base/bytes.h"
#include "client/message.h"

#define PUBLISHER_WHY_SIZE   400u
#define PUBLISHER_EPOCH_SIZE 128u

struct publisher {
    /* private */
    struct buf names_;  /* "channel":…[,"key":…] */
    struct buf *slots_; /* `window_` of them; producer_seq % window_ */
    uint64_t window_;
    uint64_t head_;
    uint64_t sent_;
    uint64_t tail_;
    uint64_t in_flight_; /* commands sent on this connection and not answered */
    bool rewind_;        /* send again from head_ once nothing is in flight */
    uint64_t pause_until_ms_;
    unsigned refusals_; /* in a row, for the backoff */
    uint64_t first_;
    uint64_t duplicates_;
    uint64_t last_seq_; /* of the channel, in epoch_ */
    size_t epoch_size_;
    uint8_t epoch_[PUBLISHER_EPOCH_SIZE];
    char why_[PUBLISHER_WHY_SIZE];
};

/* `key` may be empty (none); `first` is the first message's number; `window` > 0. RC_NOMEM */
MUST_USE enum rc publisher_init(struct publisher *publisher, struct bytes channel, struct bytes key,
                                uint64_t first, uint64_t window);
void publisher_deinit(struct publisher *publisher);

bool publisher_full(const struct publisher *publisher);
/* Whether everything that was added has been acknowledged. */
bool publisher_idle(const struct publisher *publisher);
/* Copies a member made by payload_encode(); not when full. RC_NOMEM */
MUST_USE enum rc publisher_add(struct publisher *publisher, struct bytes member);

/* A new connection: nothing that was sent before will be answered. */
void publisher_on_ready(struct publisher *publisher);
/* Takes a reply.
 * RC_OK
 * RC_DENIED    the server refuses for good; publisher_why()
 * RC_PROTOCOL  the server broke its word; publisher_why() */
MUST_USE enum rc publisher_on_message(struct publisher *publisher,
                                      const struct client_message *message, uint64_t now_ms);
/* Appends the next command to send. RC_END: nothing to send now; RC_NOMEM */
MUST_USE enum rc publisher_next(struct publisher *publisher, uint64_t now_ms, struct buf *to);
/* When publisher_next() may have more without anything having come; UINT64_MAX: never. */
uint64_t publisher_deadline_ms(const struct publisher *publisher);

uint64_t publisher_acked(const struct publisher *publisher);
uint64_t publisher_duplicates(const struct publisher *publisher);
/* The number of the message that waits for its answer the longest. */
uint64_t publisher_head(const struct publisher *publisher);
const char *publisher_why(const struct publisher *publisher);

#endif
