/* Replies and pushes in either codec: who answers need not know which.
 *
 * The encode functions append a JSON object, or a binary unit, without a frame header. All of them
 * return RC_NOMEM and leave `to` as it was when memory is short.
 *
 * Thread: the owner's.  Memory: see wire/command.h. */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include "wire/command.h"
#include "wire/ws.h"

/* What its messages go in: text or binary frames. */
enum ws_opcode codec_opcode(enum wire_codec codec);

/* Takes the next command off the front of `*rest`: in JSON a message is one, in binary maybe many.
 * RC_BAD        no command at all: answer *ret_error and close with 4400
 * RC_PROTOCOL   a bad command, taken off: answer *ret_error and go on
 * RC_NOMEM      nothing was taken off */
MUST_USE enum rc codec_command_decode(enum wire_codec codec, struct bytes *rest,
                                      const struct wire_limits *limits,
                                      struct wire_scratch *scratch,
                                      struct wire_command *ret_command,
                                      struct wire_error *ret_error);

MUST_USE enum rc codec_encode_error(enum wire_codec codec, struct buf *to,
                                    const struct wire_error *error);
MUST_USE enum rc codec_encode_connected(enum wire_codec codec, struct buf *to,
                                        const struct wire_connected *connected);
MUST_USE enum rc codec_encode_published(enum wire_codec codec, struct buf *to,
                                        const struct wire_published *published);
MUST_USE enum rc codec_encode_subscribed(enum wire_codec codec, struct buf *to,
                                         const struct wire_subscribed *subscribed);
MUST_USE enum rc codec_encode_unsubscribed(enum wire_codec codec, struct buf *to,
                                           const struct wire_notice *notice);
MUST_USE enum rc codec_encode_gap(enum wire_codec codec, struct buf *to,
                                  const struct wire_notice *notice);
MUST_USE enum rc codec_encode_pong(enum wire_codec codec, struct buf *to, uint64_t id);
MUST_USE enum rc codec_encode_goaway(enum wire_codec codec, struct buf *to, const char *reason,
                                     uint64_t reconnect_ms);
MUST_USE enum rc codec_encode_history(enum wire_codec codec, struct buf *to,
                                      const struct wire_history *history);
MUST_USE enum rc codec_encode_digest(enum wire_codec codec, struct buf *to,
                                     const struct wire_digest *digest);

/* The push of a message, framed. `scratch` is empty before and after. */
MUST_USE enum rc codec_encode_message_frame(enum wire_codec codec, struct buf *to,
                                            const struct wire_message *message,
                                            struct buf *scratch);

#endif
