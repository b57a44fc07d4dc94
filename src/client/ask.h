/* Questions about a channel that one reply answers: a page of its history, a digest. Sans I/O.
 *
 *   WAITING --said--> ASKED --answered--> gone
 *      ^                |
 *      +-- not now, connection lost
 *
 * Each is kept until it is answered: asked again on the next connection, and after as long as a
 * server that cannot answer now has asked for, or longer each time.
 *
 * Thread: the owner's.  Memory: asks_deinit() frees what is not answered. */
#ifndef CLIENT_ASK_H
#define CLIENT_ASK_H

#include "base/list.h"
#include "client/reply.h"

/* Under way at once; a server takes 8 histories ([P 12]), and subscriptions ask for some too. */
#define ASKS_UNDER_WAY_MAX 4u

enum ask_kind {
    ASK_HISTORY,
    ASK_DIGEST,
};

struct ask {
    struct list node_;
    void *user; /* the owner's */
    uint64_t seq;
    uint64_t id_; /* 0: not under way */
    uint64_t retry_at_ms_;
    uint32_t limit_;
    uint8_t kind;
    uint8_t refusals_;
    uint8_t name_size_;
    bool has_seq_;
    uint8_t name_[]; /* and a NUL */
};

struct ask_answer {
    bool refused; /* code, text */
    bool broken;  /* the reply is not what was asked for: text */
    char code[40];
    char text[240];
    char epoch[REPLY_EPOCH_SIZE];
    uint64_t earliest;
    uint64_t latest;
    bool more;       /* history */
    uint64_t seq;    /* digest */
    uint64_t digest; /* digest */
};

/* Each holds its channel's name, and the answer comes when the server likes. */
#define ASKS_OPEN_MAX 1000u

struct asks_ops {
    /* Of a history, in order. */
    void (*element)(void *ctx, struct ask *ask, const char *epoch,
                    const struct reply_message *message);
    void (*damaged)(void *ctx, struct ask *ask, const char *epoch, const struct wire_range *range);
    /* The last one: the question is gone when it returns. */
    void (*answer)(void *ctx, struct ask *ask, const struct ask_answer *answer);
};

struct asks {
    struct list waiting_;
    struct list paused_;
    struct list asked_;
    const struct asks_ops *ops_;
    void *ctx_;
    unsigned under_way_;
    unsigned open_; /* not answered, under way or not */
};

struct ask_question {
    enum ask_kind kind;
    struct bytes channel;
    bool has_seq; /* digest: false asks for that of the newest message */
    uint64_t seq;
    uint32_t limit;
    void *user;
};

void asks_init(struct asks *asks, const struct asks_ops *ops, void *ctx);
void asks_deinit(struct asks *asks);
/* RC_FULL: as many as may be are open, ASKS_OPEN_MAX; RC_NOMEM */
MUST_USE enum rc asks_add(struct asks *asks, const struct ask_question *question);
struct bytes ask_channel(const struct ask *ask);
/* Any that is not answered; NULL: there is none. For who frees what `user` points to. */
struct ask *asks_pop(struct asks *asks);
void ask_free(struct ask *ask);

/* The connection is lost. */
void asks_on_lost(struct asks *asks);
/* Whether there is something to say. */
bool asks_due(const struct asks *asks);
/* Appends the next one, with that id. RC_END: none may be asked now; RC_NOMEM */
MUST_USE enum rc asks_next(struct asks *asks, enum wire_codec codec, uint64_t id, struct buf *to);
/* Takes a history, a digest or an error. *ret_taken: it was the answer to one of these; false:
 * nothing was done. `drawn` is for the jitter.
 * RC_BAD  a history with an element that is no message
 * RC_NOMEM */
MUST_USE enum rc asks_take(struct asks *asks, enum wire_codec codec, struct reply *reply,
                           struct reply_room *room, uint64_t drawn, uint64_t now_ms,
                           bool *ret_taken);
/* Does what is due, and when that will be so. */
void asks_step(struct asks *asks, uint64_t now_ms);
uint64_t asks_deadline_ms(const struct asks *asks);

#endif
