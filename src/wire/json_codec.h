/* The JSON codec ("seriatim.v1.json"): commands in, replies and pushes out.
 *
 * [P 2] One object a frame; unknown members are ignored; a repeated member that the command knows,
 * an ill-typed or a missing one is bad_request. Payloads pass byte for byte.
 *
 * The encode functions append one JSON object to `to` and never a frame header.
 * All of them return RC_NOMEM and leave `to` as it was when memory is short.
 *
 * Thread: the owner's.  Memory: see wire/command.h. */
#ifndef WIRE_JSON_CODEC_H
#define WIRE_JSON_CODEC_H

#include "wire/command.h"

/* Decodes a command. `text` is UTF-8 already checked by the frame decoder.
 * RC_BAD        not a JSON object at all ([P 3]: the caller answers *ret_error, which says where,
 *               and closes with 4400)
 * RC_PROTOCOL   an object, but a bad command: answer *ret_error (its id is set where there was a
 *               valid one) and go on; codes bad_request and too_large
 * RC_NOMEM */
MUST_USE enum rc json_command_decode(struct bytes text, const struct wire_limits *limits,
                                     struct wire_scratch *scratch, struct wire_command *ret_command,
                                     struct wire_error *ret_error);
/* As above for an HTTP body: the object has no `type` (ignored if there) and may have `producer`.
 */
MUST_USE enum rc json_publish_decode(struct bytes text, const struct wire_limits *limits,
                                     struct wire_scratch *scratch, struct wire_command *ret_command,
                                     struct wire_error *ret_error);

/* `with_type` false: the HTTP form of the same object. */
MUST_USE enum rc json_encode_error(struct buf *to, const struct wire_error *error, bool with_type);
MUST_USE enum rc json_encode_connected(struct buf *to, const struct wire_connected *connected);
MUST_USE enum rc json_encode_published(struct buf *to, const struct wire_published *published,
                                       bool with_type);
MUST_USE enum rc json_encode_subscribed(struct buf *to, const struct wire_subscribed *subscribed);
MUST_USE enum rc json_encode_unsubscribed(struct buf *to, const struct wire_notice *notice);
MUST_USE enum rc json_encode_gap(struct buf *to, const struct wire_notice *notice);
MUST_USE enum rc json_encode_reset(struct buf *to, const struct wire_notice *notice);
MUST_USE enum rc json_encode_pong(struct buf *to, uint64_t id);
MUST_USE enum rc json_encode_goaway(struct buf *to, const char *reason, uint64_t reconnect_ms);
/* A push; `with_type` false and no channel: an element of a history reply's `messages`. */
MUST_USE enum rc json_encode_message(struct buf *to, const struct wire_message *message,
                                     bool with_type);
/* A history reply in pieces: head, then the elements with `json_encode_message(.., false)` and a
 * comma between them, then tail. */
MUST_USE enum rc json_encode_history_head(struct buf *to, uint64_t id, struct bytes channel,
                                          uint64_t epoch, uint64_t earliest, uint64_t latest,
                                          bool with_type);
MUST_USE enum rc json_encode_history_tail(struct buf *to, bool more);
/* As above, for a reply that had to leave out messages whose bytes cannot be read. */
MUST_USE enum rc json_encode_history_tail_damaged(struct buf *to, const struct wire_range *ranges,
                                                  size_t count, bool more);

MUST_USE enum rc json_encode_digest(struct buf *to, const struct wire_digest *digest,
                                    bool with_type);

/* A JSON string with quotes and escapes. */
MUST_USE enum rc json_encode_string(struct buf *to, struct bytes text);

#endif
