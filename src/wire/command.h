/* Commands and replies as both codecs know them: what a session speaks, whatever the encoding.
 *
 * Decoding borrows: every range points into the frame that was decoded or into the decoder's
 * scratch memory, and is valid until the next decode with the same scratch.
 *
 * Thread: the owner's.  Memory: wire_scratch_deinit() frees. */
#ifndef WIRE_COMMAND_H
#define WIRE_COMMAND_H

#include "base/bytes.h"
#include "base/limits.h"

/* How a connection spells its commands and replies: its subprotocol. */
enum wire_codec {
    WIRE_JSON,   /* seriatim.v1.json */
    WIRE_BINARY, /* seriatim.v1.binary */
    WIRE_CODEC_COUNT
};

enum wire_type {
    WIRE_CONNECT,
    WIRE_PUBLISH,
    WIRE_SUBSCRIBE,
    WIRE_ACK,
    WIRE_UNSUBSCRIBE,
    WIRE_HISTORY,
    WIRE_DIGEST,
    WIRE_PING,
};

/* [P 3] error: X(NAME, "code on the wire", HTTP status) */
#define WIRE_ERROR_LIST(X)                                                                         \
    X(BAD_REQUEST, "bad_request", 400)                                                             \
    X(UNAUTHORIZED, "unauthorized", 401)                                                           \
    X(FORBIDDEN, "forbidden", 403)                                                                 \
    X(GAP, "gap", 410)                                                                             \
    X(ALREADY_SUBSCRIBED, "already_subscribed", 409)                                               \
    X(NOT_SUBSCRIBED, "not_subscribed", 409)                                                       \
    X(OUT_OF_SEQUENCE, "out_of_sequence", 409)                                                     \
    X(PRODUCER_UNKNOWN, "producer_unknown", 409)                                                   \
    X(PRODUCER_FENCED, "producer_fenced", 403)                                                     \
    X(TOO_LARGE, "too_large", 413)                                                                 \
    X(RATE_LIMITED, "rate_limited", 429)                                                           \
    X(LIMIT_EXCEEDED, "limit_exceeded", 429)                                                       \
    X(UNAVAILABLE, "unavailable", 503)                                                             \
    X(INTERNAL, "internal", 500)

enum wire_error_code {
#define X(name, text, status) WIRE_ERROR_##name,
    WIRE_ERROR_LIST(X)
#undef X
        WIRE_ERROR_COUNT
};

const char *wire_error_text(enum wire_error_code code);
unsigned wire_error_status(enum wire_error_code code);

#define WIRE_ERROR_MESSAGE_SIZE 200

struct wire_error {
    enum wire_error_code code;
    uint64_t id;       /* 0: none */
    bool has_expected; /* out_of_sequence */
    uint64_t expected;
    bool has_bounds; /* gap: epoch, earliest, latest, reason */
    uint64_t epoch;
    uint64_t earliest;
    uint64_t latest;
    const char *reason;                    /* gap: "trimmed", "epoch", "ahead"; or NULL */
    uint64_t retry_after_ms;               /* 0: none */
    char message[WIRE_ERROR_MESSAGE_SIZE]; /* a sentence for a developer; no payload in it */
};

/* One message of a publish. */
struct wire_item {
    struct bytes data; /* JSON text byte for byte, or decoded bytes */
    struct bytes key;
    bool has_key;
    bool is_bytes; /* data came as data_base64 */
};

struct wire_producer {
    struct bytes id; /* size 0: none given */
    uint64_t epoch;  /* >= 1 */
};

enum wire_from {
    WIRE_FROM_LATEST,
    WIRE_FROM_EARLIEST,
    WIRE_FROM_SEQ,
    WIRE_FROM_EPOCH_SEQ,
    WIRE_FROM_TIME,
};

/* What becomes of a subscription that has fallen behind the live tail. */
enum wire_when_slow {
    WIRE_CATCH_UP, /* it reads everything from the log */
    WIRE_SKIP,     /* it goes on with the newest message */
    WIRE_CONFLATE, /* of what it has missed it gets the newest message of each key */
};

struct wire_command {
    enum wire_type type;
    uint64_t id;          /* 0: none */
    struct bytes channel; /* publish, subscribe, ack, unsubscribe, history, digest */

    struct wire_producer producer; /* connect; HTTP publish */
    struct bytes token;            /* connect */
    bool cumulative;               /* connect, binary: one `published` may answer a run */

    const struct wire_item *items; /* publish */
    uint32_t item_count;           /* 1 … BATCH_MESSAGES_MAX */
    bool is_batch;
    bool has_producer_seq;
    uint64_t producer_seq;
    bool quiet; /* only an error is answered */

    enum wire_from from;   /* subscribe */
    struct bytes epoch;    /* WIRE_FROM_EPOCH_SEQ, JSON: text, as the client sent it */
    uint64_t epoch_number; /* WIRE_FROM_EPOCH_SEQ, binary */
    uint64_t seq;          /* subscribe, ack, digest */
    uint64_t time_ms;      /* WIRE_FROM_TIME */
    bool on_gap_reset;     /* "on_gap":"reset" */
    uint32_t window;       /* 0: none */
    enum wire_when_slow when_slow;

    bool has_history_from; /* history */
    uint64_t history_from;
    uint32_t limit; /* 1 … HISTORY_MESSAGES_MAX; default 100 */
    bool reverse;

    bool has_seq; /* digest */
};

/* Memory that decoding needs beside the frame: unescaped names, batch items, base64. */
struct wire_scratch {
    struct buf arena_;
    struct wire_item *items_;
    size_t items_capacity_;
};

void wire_scratch_init(struct wire_scratch *scratch);
void wire_scratch_deinit(struct wire_scratch *scratch);
/* Room for `count` items (1 … BATCH_MESSAGES_MAX); those that are there stay. RC_NOMEM */
MUST_USE enum rc wire_scratch_items(struct wire_scratch *scratch, size_t count);

struct wire_limits {
    size_t message_bytes; /* one message's data, too_large above */
};

/* What a message push, a history reply or a subscriber's line is made of. */
struct wire_message {
    struct bytes channel;
    uint64_t seq;
    uint64_t message_id;
    uint64_t time_ms;
    struct bytes key; /* has_key */
    bool has_key;
    struct bytes producer; /* size 0: none */
    uint64_t producer_seq; /* 0: none */
    struct bytes data;
    bool is_bytes;
};

struct wire_connected {
    uint64_t id;
    uint64_t connection;
    const char *namespace_name;
    unsigned node;
    uint32_t ping_ms;
    const char *durability;
    uint64_t message_bytes; /* limits */
    uint64_t frame_bytes;
    uint32_t batch_messages;
    uint32_t subscriptions;
    uint64_t time_ms;
};

struct wire_published {
    uint64_t id;
    struct bytes channel;
    bool has_seq; /* false: a duplicate whose seq is no longer known */
    uint64_t seq;
    bool is_batch; /* then `count` is told */
    uint32_t count;
    uint64_t message_id; /* 0: not told */
    uint64_t epoch;
    bool duplicate;
    uint32_t publishes; /* binary: of a run, 2 or more, `count` messages together; 0: no run */
};

struct wire_subscribed {
    uint64_t id;
    struct bytes channel;
    uint64_t epoch;
    uint64_t next;
    uint64_t earliest;
    uint64_t latest;
    const char *reset_reason; /* NULL: none */
};

/* gap: from, to; unsubscribed: reason or NULL; reset: epoch, next. */
struct wire_notice {
    uint64_t id; /* unsubscribed as a reply; 0: none */
    struct bytes channel;
    const char *reason;
    bool has_range; /* from, to */
    uint64_t from;
    uint64_t to;
    uint64_t epoch;
    uint64_t next;
    uint64_t earliest; /* with has_range on unsubscribed reason gap */
    uint64_t latest;
};

struct wire_digest {
    uint64_t id;
    struct bytes channel;
    uint64_t epoch;
    uint64_t seq;
    uint64_t digest;
};

/* Messages from … to, both included. */
struct wire_range {
    uint64_t from;
    uint64_t to;
};

struct wire_history {
    uint64_t id;
    struct bytes channel;
    uint64_t epoch;
    uint64_t earliest;
    uint64_t latest;
    struct bytes elements;            /* encoded, one after another as the codec wants them */
    const struct wire_range *damaged; /* what had to be left out */
    size_t damaged_count;
    bool more;
};

/* Whether a text is made of printable ASCII only, as most names are: then it is UTF-8 without
 * control characters. Some instructions for eight bytes. */
bool wire_is_plain(struct bytes text);
/* Whether a text that is UTF-8 has control characters (C0, DEL, C1). */
bool wire_has_control(struct bytes text);
/* [P 2] 1 to 255 bytes of UTF-8 without control characters; for names that come from elsewhere than
 * a command (a path). */
bool wire_channel_name_valid(struct bytes name);

/* The text form of an epoch: 1 to 13 characters of [0-9a-v], NUL-terminated (base 32). */
#define WIRE_EPOCH_TEXT_SIZE 14
void wire_epoch_text(uint64_t epoch, char text[static WIRE_EPOCH_TEXT_SIZE]);
/* False: no epoch that this server could have given (then it is simply an unknown one). */
bool wire_epoch_parse(struct bytes text, uint64_t *ret_epoch);

#endif
