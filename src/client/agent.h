/* All that a client has to say and to hear over one link: its outbox and its subscriptions. Sans
 * I/O: frames in, frames out, the time passed in.
 *
 *   subscription   WAITING --subscribe said--> ASKED --subscribed--> LIVE
 *                     ^                          |                     |
 *                     +---- lost, not now -------+---------------------+
 *                     any: ENDED (refused for good), CLOSED (by the caller)
 *
 * A subscription is a cursor, kept through connections. Its messages are handed on densely or with
 * the gap before them named. What comes early is kept and the hole filled from history
 * (client/receive.h). An ack is said when half of the window was handled.
 *
 * Callbacks may call any function here but agent_take(), agent_next() and agent_deinit().
 *
 * Thread: the owner's.  Memory: agent_deinit() frees. */
#ifndef CLIENT_AGENT_H
#define CLIENT_AGENT_H

#include "client/ask.h"
#include "client/outbox.h"
#include "client/receive.h"

#define AGENT_WINDOW_DEFAULT 1024u /* of what comes early, where the caller names no window */
#define AGENT_FRAME_BYTES    (128u * 1024u)

enum agent_sub_state {
    AGENT_SUB_WAITING,
    AGENT_SUB_ASKED,
    AGENT_SUB_LIVE,
    AGENT_SUB_ENDED,
    AGENT_SUB_CLOSED,
    AGENT_SUB_STATE_COUNT,
};

struct agent_sub {
    struct list due_;  /* in agent.due_: has something to say */
    struct list wait_; /* in agent.waits_, until retry_at_ms_ */
    struct receive receive;
    char epoch[REPLY_EPOCH_SIZE];
    union {
        uint64_t from_value_; /* before it has a cursor */
        uint64_t acked_;      /* then */
    };
    uint64_t heard_; /* the highest seq that was pushed, or told in a gap: no ack goes beyond it */
    uint64_t retry_at_ms_;
    uint64_t asked_; /* the id of the subscribe or history under way, 0: none */
    void *user;      /* the owner's */
    uint32_t window_;
    uint8_t from_;
    uint8_t when_slow_;
    uint8_t state;
    uint8_t refusals_;
    uint8_t fills_; /* history asked for in a row without anything coming of it */
    uint8_t name_size_;
    bool on_gap_reset_;
    bool has_cursor;
    bool say_ack_;
    bool say_history_;
    bool held_;      /* ENDED or WAITING by ourselves: the server has it still, and is to be told */
    uint8_t name_[]; /* and a NUL */
};

struct agent_gap {
    enum reply_reason reason;
    uint64_t from; /* the first one that does not come */
    uint64_t to;   /* the last one; below `from` where only the history has changed */
    uint64_t next; /* where it goes on */
};

struct agent_news {
    enum agent_sub_state state;
    char code[40]; /* ENDED: of the server's error; WAITING after one */
    char text[240];
    uint64_t earliest; /* code gap */
    uint64_t latest;
    bool broken; /* ENDED: the server broke its word */
};

struct agent_ops {
    void (*message)(void *ctx, struct agent_sub *sub, const struct reply_message *message);
    void (*gap)(void *ctx, struct agent_sub *sub, const struct agent_gap *gap);
    void (*state)(void *ctx, struct agent_sub *sub, const struct agent_news *news);
    void (*goaway)(void *ctx, uint64_t reconnect_after_ms);
};

struct agent_options {
    enum wire_codec codec;
    uint64_t publish_window; /* messages in flight */
    uint32_t batch_max;      /* messages in a publish */
    uint64_t seed;
    const struct agent_ops *ops;
    const struct outbox_ops *outbox_ops;
    const struct asks_ops *asks_ops; /* NULL: nothing is ever asked */
    void *ctx;                       /* of all */
};

struct agent {
    struct agent_options options_;
    struct outbox outbox;
    struct asks asks;
    const struct client_tap *tap_;
    struct map subs_;
    struct list due_;
    struct list waits_;
    struct agent_sub *last_; /* that a message was for */
    struct reply_room room_;
    struct reply reply_;
    uint64_t next_id_; /* of what is no publish */
    size_t frame_max_;
    bool ready_;
    bool left_; /* on this connection the server has ended a subscription by itself */
    char why_[320];
};

/* RC_NOMEM */
MUST_USE enum rc agent_init(struct agent *agent, const struct agent_options *options);
void agent_deinit(struct agent *agent);

/* From now on it is told all that goes over the connection. NULL: nobody is; borrowed. */
static inline void agent_set_tap(struct agent *agent, const struct client_tap *tap)
{
    agent->tap_ = tap;
    agent->outbox.tap = tap;
}

/* A new connection. `frame_bytes`: what the server takes at once, 0: not known. */
void agent_on_ready(struct agent *agent, uint64_t frame_bytes);
/* The connection is lost. */
void agent_on_lost(struct agent *agent);
/* Takes a WebSocket message. RC_PROTOCOL: no server may say this; agent_why(). RC_NOMEM */
MUST_USE enum rc agent_take(struct agent *agent, struct bytes frame, uint64_t now_ms);
/* Appends the next WebSocket message to send. RC_END: nothing; RC_NOMEM */
MUST_USE enum rc agent_next(struct agent *agent, uint64_t now_ms, struct buf *to);
/* Does what is due, and when that will be so without anything having come. */
void agent_step(struct agent *agent, uint64_t now_ms);
uint64_t agent_deadline_ms(const struct agent *agent);
const char *agent_why(const struct agent *agent);

struct agent_subscribe {
    struct bytes channel;
    enum wire_from from;
    const char *epoch; /* WIRE_FROM_EPOCH_SEQ; see speak_epoch_valid() */
    uint64_t seq;
    uint64_t time_ms;
    uint32_t window;
    bool on_gap_reset;
    enum wire_when_slow when_slow;
    void *user;
};
/* RC_EXISTS  there is one of that channel; RC_NOMEM */
MUST_USE enum rc agent_subscribe(struct agent *agent, const struct agent_subscribe *subscribe,
                                 struct agent_sub **ret_sub);
/* No callback follows. The memory is the agent's. */
void agent_unsubscribe(struct agent *agent, struct agent_sub *sub);
static inline struct bytes agent_sub_name(const struct agent_sub *sub)
{
    return bytes_of(sub->name_, sub->name_size_);
}
/* The seq that is next, or was asked for; 0: nothing definite. */
uint64_t agent_sub_next(const struct agent_sub *sub);
/* Each subscription that is not closed, in any order: start with *at = 0; NULL at the end. */
struct agent_sub *agent_next_sub(const struct agent *agent, size_t *at);

#endif
