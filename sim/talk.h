/* A client's WebSocket conversation: upgrade, connect, commands with ids, replies matched to them.
 *
 * Its users speak JSON in any case. About a third of the connections are seriatim.v1.binary: there
 * a text becomes a unit, several of which may go out in one message, and what comes becomes a text
 * again (test/lib/packed.h); a run of publishes becomes a `published` for each.
 *
 * Checked here for everybody: exactly one reply an id, `published` of one channel in order, and the
 * last ping of WebSocket's is answered with what it said.
 *
 * Thread: one.  Memory: talk_deinit() frees. */
#ifndef SIM_TALK_H
#define SIM_TALK_H

#include "sim/model.h"
#include "sim/net.h"
#include "sim/zipped.h"
#include "wire/ws.h"

#define TALK_ASKS_MAX 64u

enum talk_state {
    TALK_DOWN,
    TALK_UPGRADING,
    TALK_CONNECTING,
    TALK_READY,
};

enum talk_ask_kind {
    TALK_ASK_CONNECT,
    TALK_ASK_PUBLISH,
    TALK_ASK_SUBSCRIBE,
    TALK_ASK_UNSUBSCRIBE,
    TALK_ASK_HISTORY,
    TALK_ASK_DIGEST,
    TALK_ASK_PING,
    TALK_ASK_ACK, /* answered only if it is refused */
};

/* A command that has not been answered. */
struct talk_ask {
    uint64_t id; /* 0: free */
    enum talk_ask_kind kind;
    unsigned channel;
    uint64_t from; /* publish: the first number; subscribe: the seq; history: from */
    uint64_t count;
    unsigned mode;    /* the asker's own */
    unsigned history; /* subscribe: the epoch that `from` belongs to */
    uint64_t known;   /* publish: numbers below it were acknowledged when it was sent */
    struct model_mark mark;
    uint64_t sent_us;
};

struct talk;
struct talk_ops {
    void (*ready)(struct talk *talk);
    /* `ask` NULL: a push. It is free again after the call. */
    void (*object)(struct talk *talk, const char *type, const struct value *object,
                   const struct talk_ask *ask);
    void (*down)(struct talk *talk);
};

struct talk {
    struct net_client net; /* first */
    struct net_conn *conn;
    enum talk_state state;
    const struct talk_ops *ops;
    void *owner;
    unsigned number; /* for the trace */
    unsigned epoch;  /* of the producer, 0: none */
    unsigned producer;
    bool goaway;      /* the server has said that it will close */
    uint64_t pong_us; /* how long the server waits for a word, and for a connect */
    uint64_t connect_us;
    bool binary;
    bool cumulative; /* binary: it has asked for runs of published */
    struct buf held; /* binary: units that will go out together */
    struct ws_decoder decoder;
    struct zipped zipped;
    struct buf head;
    struct talk_ask asks[TALK_ASKS_MAX];
    uint64_t id_last;
    uint64_t published_id[PLAN_CHANNELS_MAX];
    uint64_t since_us; /* of the state */
    uint64_t try_us;   /* not again before */
    /* WebSocket's own pings, numbered. */
    uint64_t ping_n; /* the last one sent */
    uint64_t pong_n; /* … and answered */
    uint64_t ping_us;
    uint64_t calm_us; /* since then nothing keeps an answer back; 0: it may */
    bool half_closed;
};

void talk_init(struct talk *talk, const struct talk_ops *ops, void *owner, unsigned number);
void talk_deinit(struct talk *talk);
/* Connects if it is time to. */
void talk_open(struct talk *talk, const struct plan *plan, bool calm);
/* Ends the connection, if there is one; ops->down is called. */
void talk_close(struct talk *talk);
/* Fits of any client: it sends pings, closes in the middle, or ends its side only. */
void talk_fits(struct talk *talk);
/* No answer to a ping is due. */
bool talk_settled(const struct talk *talk);
/* A free ask with an id, or NULL: too many are out. */
struct talk_ask *talk_ask(struct talk *talk, enum talk_ask_kind kind, unsigned channel);
void talk_send(struct talk *talk, struct bytes text);
/* Gives up on a server that does not answer; sends what is held. */
void talk_check_time(struct talk *talk);
unsigned talk_asks_out(const struct talk *talk, enum talk_ask_kind kind);

/* The nature of a connection, drawn. */
struct net_nature talk_nature(const struct plan *plan, bool calm);

/* Somebody was told `unavailable`: so a call of the disk or an allocation has failed by now, the
 * disk has been full, or something on it is damaged. */
void talk_unavailable(const struct talk *talk, const char *what);

#endif
