/* A cursor in one channel, kept through reconnects. Sans I/O.
 *
 * It remembers (epoch, next seq) and asks for just that after each reconnect. It trusts nothing:
 * every message must bear the seq that is next (rcv_nxt); a gap or a reset must be told, and must
 * fit; anything else is a broken promise and ends it ([P 4], I1, I7).
 *
 * Thread: the owner's.  Memory: none. */
#ifndef CLIENT_SUBSCRIBER_H
#define CLIENT_SUBSCRIBER_H

#include "base/bytes.h"
#include "client/message.h"

enum subscriber_from {
    SUBSCRIBER_FROM_LATEST,
    SUBSCRIBER_FROM_EARLIEST,
    SUBSCRIBER_FROM_SEQ,
};

struct subscriber_options {
    struct bytes channel; /* lives as long as the subscriber */
    enum subscriber_from from;
    uint64_t seq;          /* SUBSCRIBER_FROM_SEQ */
    bool on_gap_reset;     /* go on behind a gap instead of ending */
    const char *when_slow; /* as in the protocol; NULL: the server's default */
    uint64_t window;       /* 0: none */
};

#define SUBSCRIBER_TEXT_SIZE  400u
#define SUBSCRIBER_EPOCH_SIZE 128u

struct subscriber {
    /* private */
    struct subscriber_options options_;
    bool active_;     /* subscribed on this connection */
    bool has_cursor_; /* epoch_ and next_ are known */
    uint64_t next_;   /* rcv_nxt */
    uint64_t last_;   /* the last seq delivered on this connection, 0: none */
    uint64_t acked_;  /* the highest one acknowledged on it */
    uint64_t received_;
    uint64_t retry_at_ms_; /* UINT64_MAX: no subscribe is waiting */
    unsigned refusals_;
    size_t epoch_size_;
    uint8_t epoch_[SUBSCRIBER_EPOCH_SIZE]; /* as a JSON string */
    char text_[SUBSCRIBER_TEXT_SIZE];
};

enum subscriber_event {
    SUBSCRIBER_NOTHING,
    SUBSCRIBER_DELIVER, /* the message is the next one: hand it on */
    SUBSCRIBER_NOTICE,  /* subscriber_text() is for people: a gap that was skipped */
    SUBSCRIBER_FAILED,  /* subscriber_text() says why it cannot go on */
    SUBSCRIBER_BROKEN,  /* the server broke its word; subscriber_text() */
};

void subscriber_init(struct subscriber *subscriber, const struct subscriber_options *options);

/* A new connection: a subscribe is to be sent. */
void subscriber_on_ready(struct subscriber *subscriber, uint64_t now_ms);
/* Takes what the server said. */
enum subscriber_event subscriber_on_message(struct subscriber *subscriber,
                                            const struct client_message *message, uint64_t now_ms);
/* Appends the command that is due now: subscribe, or the ack of all that was delivered.
 * RC_END: none; RC_NOMEM */
MUST_USE enum rc subscriber_next(struct subscriber *subscriber, uint64_t now_ms, struct buf *to);
/* When subscriber_next() has a subscribe to try again; UINT64_MAX: none waits. */
uint64_t subscriber_deadline_ms(const struct subscriber *subscriber);

uint64_t subscriber_received(const struct subscriber *subscriber);
const char *subscriber_text(const struct subscriber *subscriber);

#endif
