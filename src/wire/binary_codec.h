/* The binary codec ("seriatim.v1.binary"): commands in, replies and pushes out. Byte by byte in
 * docs/PROTOCOL.md, section 15.
 *
 * A WebSocket message is one or more units back to back; a unit is its size and its content. Each
 * unit stands for itself (it names its channel), so one encoding serves every subscriber.
 *
 * The encode functions append one whole unit. All of them return RC_NOMEM and leave `to` as it was
 * when memory is short.
 *
 * Thread: the owner's.  Memory: see wire/command.h. */
#ifndef WIRE_BINARY_CODEC_H
#define WIRE_BINARY_CODEC_H

#include "wire/command.h"

enum binary_type {
    BINARY_CONNECT = 0x01,
    BINARY_PUBLISH = 0x02,
    BINARY_SUBSCRIBE = 0x03,
    BINARY_ACK = 0x04,
    BINARY_UNSUBSCRIBE = 0x05,
    BINARY_HISTORY = 0x06,
    BINARY_DIGEST = 0x07,
    BINARY_PING = 0x08,

    BINARY_ERROR = 0x80, /* replies: as the command, and 0x80 */
    BINARY_CONNECTED = 0x81,
    BINARY_PUBLISHED = 0x82,
    BINARY_SUBSCRIBED = 0x83,
    BINARY_UNSUBSCRIBED = 0x85,
    BINARY_HISTORY_REPLY = 0x86,
    BINARY_DIGEST_REPLY = 0x87,
    BINARY_PONG = 0x88,

    BINARY_MESSAGE = 0x90, /* pushes, without an id */
    BINARY_GAP = 0x91,
    BINARY_RESET = 0x92,
    BINARY_GOAWAY = 0x93,
};

/* The flags of each type. */
enum {
    BINARY_CONNECT_PRODUCER = 1,
    BINARY_CONNECT_TOKEN = 2,
    BINARY_CONNECT_CUMULATIVE = 4,

    BINARY_PUBLISH_NUMBERED = 1,
    BINARY_PUBLISH_BATCH = 2,
    BINARY_PUBLISH_QUIET = 4,

    BINARY_ITEM_KEY = 1,
    BINARY_ITEM_BYTES = 2,

    BINARY_SUBSCRIBE_RESET = 1,
    BINARY_SUBSCRIBE_WINDOW = 2,
    BINARY_SUBSCRIBE_SLOW = 4,

    BINARY_HISTORY_FROM = 1,
    BINARY_HISTORY_LIMIT = 2,
    BINARY_HISTORY_REVERSE = 4,

    BINARY_DIGEST_SEQ = 1,

    BINARY_PUBLISHED_SEQ = 1,
    BINARY_PUBLISHED_MESSAGE_ID = 2,
    BINARY_PUBLISHED_COUNT = 4,
    BINARY_PUBLISHED_DUPLICATE = 8,
    BINARY_PUBLISHED_RUN = 16,

    BINARY_SUBSCRIBED_RESET = 1,

    BINARY_UNSUBSCRIBED_REASON = 1,
    BINARY_UNSUBSCRIBED_GAP = 2,

    BINARY_HISTORY_MORE = 1,
    BINARY_HISTORY_DAMAGED = 2,

    BINARY_MESSAGE_KEY = 1,
    BINARY_MESSAGE_BYTES = 2,
    BINARY_MESSAGE_PRODUCER = 4,
    BINARY_MESSAGE_NUMBERED = 8,
};

/* X(number, "as in JSON"): why something is not, or no longer, so. */
#define BINARY_REASON_LIST(X)                                                                      \
    X(1, "trimmed")                                                                                \
    X(2, "epoch")                                                                                  \
    X(3, "ahead")                                                                                  \
    X(4, "damaged")                                                                                \
    X(5, "gap")                                                                                    \
    X(6, "unavailable")                                                                            \
    X(7, "slow")                                                                                   \
    X(8, "conflated")

/* Takes the next command off the front of `*rest`, the rest of a WebSocket message.
 * RC_BAD        there is no whole unit: answer *ret_error and close with 4400
 * RC_PROTOCOL   a unit, taken off, but a bad command: answer *ret_error (its id is set where there
 *               was a valid one) and go on; codes bad_request and too_large
 * RC_NOMEM      nothing was taken off */
MUST_USE enum rc binary_command_decode(struct bytes *rest, const struct wire_limits *limits,
                                       struct wire_scratch *scratch,
                                       struct wire_command *ret_command,
                                       struct wire_error *ret_error);

MUST_USE enum rc binary_encode_error(struct buf *to, const struct wire_error *error);
MUST_USE enum rc binary_encode_connected(struct buf *to, const struct wire_connected *connected);
MUST_USE enum rc binary_encode_published(struct buf *to, const struct wire_published *published);
MUST_USE enum rc binary_encode_subscribed(struct buf *to, const struct wire_subscribed *subscribed);
MUST_USE enum rc binary_encode_unsubscribed(struct buf *to, const struct wire_notice *notice);
MUST_USE enum rc binary_encode_gap(struct buf *to, const struct wire_notice *notice);
MUST_USE enum rc binary_encode_reset(struct buf *to, const struct wire_notice *notice);
MUST_USE enum rc binary_encode_pong(struct buf *to, uint64_t id);
MUST_USE enum rc binary_encode_goaway(struct buf *to, const char *reason, uint64_t reconnect_ms);
MUST_USE enum rc binary_encode_digest(struct buf *to, const struct wire_digest *digest);
MUST_USE enum rc binary_encode_history(struct buf *to, const struct wire_history *history);
/* An element of a history, for wire_history.elements. */
MUST_USE enum rc binary_encode_element(struct buf *to, const struct wire_message *message);
/* The unit that pushes a message, as a WebSocket frame of its own: header and unit in one go, since
 * this runs once a message for all who follow. */
MUST_USE enum rc binary_encode_message_frame(struct buf *to, const struct wire_message *message);

#endif
