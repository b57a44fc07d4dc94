/* What is to be published, in any number of channels, each message kept until the server has
 * answered for it. Sans I/O.
 *
 *   channel    head            sent                 tail
 *               |               |                    |
 *   ... --------+- unanswered --+- waits to be sent -+
 *                        |
 *                      fresh: from here on nothing was ever sent
 *
 * The messages of a channel bear the numbers head … tail-1 as producer_seq, so that a retry is
 * harmless ([P 5]). A publish is a *flight* until it is answered; each has an id of its own.
 *
 *   new connection           everything from head on is sent again
 *   no answer within 1 s     the head is sent again, after 2, 4 … s once more, up to every 30 s
 *   not now (unavailable …)  the channel waits for what is in flight, then as long as it was told
 *                            or longer each time, and sends again from head
 *   out of sequence          the same without a wait: one before it was refused, and tells why
 *   refused for good         the message ends with the server's reason; its number goes to the
 *                            one behind it, once nothing of the channel is in flight
 *   producer unknown, fenced, or numbers that the server has and we have not: the channel ends.
 *                            Whether its messages were stored cannot be known; they are told so
 *
 * Only what was never sent goes out in batches: a batch of which only a part is known would be
 * refused as a whole. One that is refused is sent again one by one, so that a refusal hits none but
 * its own message.
 *
 * Thread: the owner's.  Memory: outbox_deinit() frees, with what is left in it. */
#ifndef CLIENT_OUTBOX_H
#define CLIENT_OUTBOX_H

#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "client/reply.h"
#include "client/speak.h"
#include "client/tap.h"

#define OUTBOX_RESEND_FIRST_MS 1000u
#define OUTBOX_RESEND_LAST_MS  30000u
/* Publishes without an answer; a server takes 4096 ([P 12] limits.inflight). */
#define OUTBOX_FLIGHTS_MAX 4096u
#define OUTBOX_BATCH_BYTES (128u * 1024u)

struct outbox_message {
    struct outbox_message *next_;
    void *user;      /* the owner's */
    uint64_t charge; /* the owner's */
    uint32_t data_size;
    uint8_t key_size;
    bool has_key;
    bool is_bytes;
    bool recovered;  /* the owner's */
    uint8_t bytes[]; /* key, data */
};

struct outbox_channel {
    struct list due_; /* in outbox.due_ or .paused_ */
    struct list busy_;
    struct outbox_message *first_; /* of the unanswered ones: number head */
    struct outbox_message *next_;  /* number sent; NULL: none */
    struct outbox_message *last_;
    uint64_t head_;
    uint64_t sent_;
    uint64_t fresh_;
    uint64_t tail_;
    uint64_t pause_until_ms_;
    uint64_t moved_ms_;            /* while flights_ > 0: the last progress, or resend */
    uint64_t wait_ms_;             /* until the next resend */
    char epoch_[REPLY_EPOCH_SIZE]; /* of last_seq_ */
    uint64_t last_seq_;
    uint32_t flights_;
    uint16_t refusals_; /* in a row */
    uint16_t resends_;  /* of this head */
    bool rewind_;
    bool again_; /* the head is to be sent once more */
    bool ended_;
    uint8_t name_size_;
    uint32_t number; /* the owner's; 0 at first */
    uint8_t name_[]; /* and a NUL */
};

enum outbox_end {
    OUTBOX_PUBLISHED,
    OUTBOX_REFUSED, /* by the server, for good: not stored */
    OUTBOX_UNKNOWN, /* the server does not know the producer any more: stored or not */
    OUTBOX_FENCED,  /* a higher epoch of the producer is at work */
};

struct outbox_result {
    enum outbox_end end;
    bool duplicate; /* it was there already */
    uint64_t seq;   /* 0: not known (any more) */
    char epoch[REPLY_EPOCH_SIZE];
    char code[40];
    char text[200];
};

struct outbox_ops {
    /* A message has left; it is the callee's. The channel's head is behind it already. */
    void (*done)(void *ctx, struct outbox_channel *channel, struct outbox_message *message,
                 const struct outbox_result *result);
    /* Messages were answered: outbox_channel_head() is new. */
    void (*moved)(void *ctx, struct outbox_channel *channel);
    /* The head was refused, and its number is the next one's: nothing may be sent before that is as
     * durable as the messages are. */
    void (*dropped)(void *ctx, struct outbox_channel *channel);
};

struct outbox_flight {
    struct outbox_channel *channel; /* NULL: answered */
    uint64_t first;
    uint32_t count;
};

struct outbox {
    const struct client_tap *tap; /* is told of each publish that is said; NULL: nobody is */
    const struct outbox_ops *ops_;
    void *ctx_;
    struct map channels_;
    struct list due_;    /* has something to send now */
    struct list paused_; /* will have, at pause_until_ms_ */
    struct list busy_;   /* has flights, by moved_ms_ */
    struct prng prng_;
    uint64_t step_ms_; /* when outbox_step() has something to look at */
    struct outbox_flight *flights_;
    uint64_t flight_first_; /* ids */
    uint64_t flight_end_;
    uint64_t window_;    /* messages that may be in flight */
    uint32_t batch_max_; /* messages in one publish */
    uint64_t in_flight_; /* messages */
    uint64_t count_;
    char why_[200];
};

/* `window`: how many messages may be in flight; `batch_max`: in one publish. RC_NOMEM */
MUST_USE enum rc outbox_init(struct outbox *outbox, const struct outbox_ops *ops, void *ctx,
                             uint64_t window, uint32_t batch_max, uint64_t seed);
void outbox_deinit(struct outbox *outbox);

/* A message of its own memory; copies key and data. NULL: no memory */
struct outbox_message *outbox_message_make(const struct wire_item *item);
void outbox_message_free(struct outbox_message *message);
struct wire_item outbox_message_item(const struct outbox_message *message);

/* The channel of that name, made if there is none. RC_NOMEM */
MUST_USE enum rc outbox_channel(struct outbox *outbox, struct bytes name,
                                struct outbox_channel **ret_channel);
/* Sets the number of the next message; only while there is none. False: there are some. */
bool outbox_channel_begin(struct outbox_channel *channel, uint64_t number);
struct bytes outbox_channel_name(const struct outbox_channel *channel);
uint64_t outbox_channel_head(const struct outbox_channel *channel);
uint64_t outbox_channel_tail(const struct outbox_channel *channel);
/* Every channel, in any order: start with *at = 0; NULL at the end. */
struct outbox_channel *outbox_next_channel(const struct outbox *outbox, size_t *at);
/* The messages of a channel in order: NULL first; NULL at the end. */
const struct outbox_message *outbox_next_message(const struct outbox_channel *channel,
                                                 const struct outbox_message *message);

/* Takes the message, as the channel's last. `sent_before`: it may have been sent already, by
 * another run. A channel that has ended gives it back at once. */
void outbox_add(struct outbox *outbox, struct outbox_channel *channel,
                struct outbox_message *message, bool sent_before);
/* Takes the head out without a word, before anything was sent; `keeps_number`: its number is the
 * next one's. NULL: there is none. */
struct outbox_message *outbox_forget(struct outbox *outbox, struct outbox_channel *channel,
                                     bool keeps_number);
/* Messages that are not answered. */
uint64_t outbox_count(const struct outbox *outbox);

/* A new connection: nothing that was sent before will be answered. Ids begin with `first_id`. */
void outbox_on_ready(struct outbox *outbox, uint64_t first_id);
/* Appends the next command. `frame_max`: bytes that a WebSocket message may have; `room`: what is
 * left of this one.
 * RC_END  nothing to send now, or nothing that has room; RC_NOMEM */
MUST_USE enum rc outbox_next(struct outbox *outbox, enum wire_codec codec, size_t frame_max,
                             size_t room, uint64_t now_ms, struct buf *to);
/* Whether that id is, or was, a publish of this connection. */
bool outbox_owns(const struct outbox *outbox, uint64_t id);
/* Takes `published` or an error whose id it owns. RC_PROTOCOL: it cannot be right; outbox_why() */
MUST_USE enum rc outbox_take(struct outbox *outbox, const struct reply *reply, uint64_t now_ms);
/* Does what is due, and when outbox_next() or this may have something without a reply. */
void outbox_step(struct outbox *outbox, uint64_t now_ms);
uint64_t outbox_deadline_ms(const struct outbox *outbox);
const char *outbox_why(const struct outbox *outbox);

#endif
