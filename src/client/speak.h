/* A client's commands, in either codec: docs/PROTOCOL.md, sections 4 to 8 and 15.
 *
 * Each function appends one command: a JSON object, or a binary unit, of which a WebSocket message
 * may hold many. What is said was checked before: names by wire_channel_name_valid(), JSON payloads
 * by the scanner. All of them return RC_NOMEM and leave `to` as it was when memory is short.
 *
 * Thread: any.  Memory: the caller's buffer. */
#ifndef CLIENT_SPEAK_H
#define CLIENT_SPEAK_H

#include "wire/command.h"

/* Whether a text may be said as an epoch in that codec. */
bool speak_epoch_valid(enum wire_codec codec, const char *epoch);

struct speak_connect {
    uint64_t id;
    struct bytes producer; /* size 0: none */
    uint64_t producer_epoch;
    struct bytes token; /* size 0: none */
    bool cumulative;    /* binary only */
};
MUST_USE enum rc speak_connect(enum wire_codec codec, struct buf *to,
                               const struct speak_connect *connect);

struct speak_subscribe {
    uint64_t id;
    struct bytes channel;
    enum wire_from from;
    const char *epoch; /* WIRE_FROM_EPOCH_SEQ; binary: the text of a number (wire_epoch_parse) */
    uint64_t seq;
    uint64_t time_ms;
    uint32_t window; /* 0: none */
    bool on_gap_reset;
    enum wire_when_slow when_slow;
};
MUST_USE enum rc speak_subscribe(enum wire_codec codec, struct buf *to,
                                 const struct speak_subscribe *subscribe);

MUST_USE enum rc speak_ack(enum wire_codec codec, struct buf *to, struct bytes channel,
                           uint64_t seq);
MUST_USE enum rc speak_unsubscribe(enum wire_codec codec, struct buf *to, uint64_t id,
                                   struct bytes channel);
MUST_USE enum rc speak_history(enum wire_codec codec, struct buf *to, uint64_t id,
                               struct bytes channel, uint64_t from, uint32_t limit);
/* `has_seq` false: of the newest message. */
MUST_USE enum rc speak_digest(enum wire_codec codec, struct buf *to, uint64_t id,
                              struct bytes channel, bool has_seq, uint64_t seq);

/* A publish is said in pieces: its head, then as many messages as that names. `size` of the head
 * is the sum of speak_item_size() of them. The room is taken by the head; what follows cannot fail.
 */
struct speak_publish {
    uint64_t id; /* 0 if quiet */
    bool quiet;  /* no answer is wanted */
    struct bytes channel;
    uint64_t number; /* of the first message; 0: they have none */
    uint32_t count;  /* 1 … BATCH_MESSAGES_MAX */
    size_t size;
};
size_t speak_item_size(enum wire_codec codec, const struct wire_item *item);
MUST_USE enum rc speak_publish(enum wire_codec codec, struct buf *to,
                               const struct speak_publish *publish);
void speak_item(enum wire_codec codec, struct buf *to, const struct wire_item *item, bool first,
                bool batch);
void speak_publish_end(enum wire_codec codec, struct buf *to, bool batch);

#endif
