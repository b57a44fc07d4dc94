/* What a server says, in either codec, as one struct. docs/PROTOCOL.md, sections 4 to 10 and 15.
 *
 * Only the members that belong to the type have a meaning; who reads looks at the type first.
 *
 * Thread: the owner's.  Memory: reply_room_deinit(); everything else borrows from the text or from
 * the room, until the next reply is taken. */
#ifndef CLIENT_REPLY_H
#define CLIENT_REPLY_H

#include "client/message.h"
#include "wire/command.h"

enum reply_reason {
    REPLY_REASON_NONE,
    REPLY_TRIMMED, /* the numbers are those of binary */
    REPLY_EPOCH,
    REPLY_AHEAD,
    REPLY_DAMAGED,
    REPLY_GAP,
    REPLY_UNAVAILABLE,
    REPLY_SLOW,
    REPLY_CONFLATED,
    REPLY_REASON_OTHER,
};

/* A `message`, or an element of a `history`, which has no channel. */
struct reply_message {
    struct bytes channel;
    uint64_t seq;
    uint64_t message_id;
    struct bytes id_text; /* JSON: message_id as it was said; size 0 in binary, or not said */
    uint64_t time_ms;
    struct bytes key;
    struct bytes producer; /* size 0: none */
    uint64_t producer_seq; /* 0: none */
    struct bytes data;
    bool has_key;
    bool is_bytes;
};

/* The text of an epoch, with its NUL. [P 2] It is kept, compared and said again, not looked into;
 * one of our server's has 13 characters. */
#define REPLY_EPOCH_SIZE 16u

struct reply {
    enum client_type type;
    enum reply_reason reason; /* subscribed: of a reset; unsubscribed, gap, reset, error gap */
    uint64_t id;              /* 0: none */
    struct bytes channel;     /* all but error and goaway */
    /* published, subscribed, history, digest, unsubscribed, reset, error gap */
    char epoch[REPLY_EPOCH_SIZE];
    uint64_t seq;         /* published: of the first; has_seq. digest: of which message */
    uint64_t message_id;  /* published: of the first, 0: not told */
    struct bytes id_text; /* as in a message */
    uint64_t digest;      /* digest: has_digest */
    uint64_t count;       /* published: messages; 1 without has_count */
    uint64_t publishes;   /* published: how many publishes it answers */
    uint64_t next;        /* subscribed, reset */
    uint64_t earliest;    /* subscribed, unsubscribed, history, error gap */
    uint64_t latest;
    uint64_t from; /* gap; unsubscribed with has_range */
    uint64_t to;
    bool has_seq;
    bool has_count;
    bool has_earliest; /* subscribed, history: JSON may lack them */
    bool has_latest;
    bool has_range;
    bool has_digest;
    bool duplicate;
    bool more;                    /* history */
    struct bytes damaged;         /* history; see reply_next_damaged() */
    struct bytes elements;        /* history; see reply_next_element() */
    struct reply_message message; /* message */
    /* connected, error, goaway: the JSON object; code, text, expected … */
    struct client_message object;
};

#define REPLY_NAME_SIZE 1536u /* a name of 255 bytes, each written as an escape */

/* What a reply is made of beside the text: escaped names, decoded base64. */
struct reply_room {
    uint8_t channel[REPLY_NAME_SIZE];
    uint8_t key[REPLY_NAME_SIZE];
    uint8_t producer[REPLY_NAME_SIZE];
    uint8_t message_id[REPLY_NAME_SIZE];
    struct buf data;
};
void reply_room_deinit(struct reply_room *room);

/* Takes the next reply off the front of what is left of a WebSocket message. Types that are not
 * known are CLIENT_OTHER.
 * RC_BAD  no server may send this
 * RC_NOMEM */
MUST_USE enum rc reply_take(enum wire_codec codec, struct bytes *rest, struct reply_room *room,
                            struct reply *ret_reply);

/* The next message of a history, taken off the front of reply->elements; its channel is empty.
 * RC_END  none is left; RC_BAD; RC_NOMEM */
MUST_USE enum rc reply_next_element(enum wire_codec codec, struct reply *reply,
                                    struct reply_room *room, struct reply_message *ret_message);
/* The next range that a history leaves out. RC_END, RC_BAD */
MUST_USE enum rc reply_next_damaged(enum wire_codec codec, struct reply *reply,
                                    struct wire_range *ret_range);

const char *reply_reason_text(enum reply_reason reason);
/* The number that a message_id's digits say; 0: it is something else, as it may be. */
uint64_t reply_message_id(struct bytes text);

/* The binary half, of reply_binary.c. */
MUST_USE enum rc reply_take_unit(struct bytes *rest, struct reply *ret_reply);
MUST_USE enum rc reply_next_element_binary(struct reply *reply, struct reply_message *ret_message);
MUST_USE enum rc reply_next_damaged_binary(struct reply *reply, struct wire_range *ret_range);

#endif
