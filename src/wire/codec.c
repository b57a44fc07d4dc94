#include "wire/codec.h"

#include "wire/binary_codec.h"
#include "wire/json_codec.h"

/* Apart: an assertion adds branches to its line in some builds and not in others (tools/coverage).
 */
static bool is_binary(enum wire_codec codec)
{
    ASSERT_HOT(codec < WIRE_CODEC_COUNT);
    return codec == WIRE_BINARY;
}

#define EITHER(codec, json, binary) (is_binary(codec) ? (binary) : (json))

enum ws_opcode codec_opcode(enum wire_codec codec)
{
    return EITHER(codec, WS_TEXT, WS_BINARY);
}

enum rc codec_command_decode(enum wire_codec codec, struct bytes *rest,
                             const struct wire_limits *limits, struct wire_scratch *scratch,
                             struct wire_command *ret_command, struct wire_error *ret_error)
{
    ASSERT_HOT(codec < WIRE_CODEC_COUNT);
    ASSERT_HOT(rest->size == 0 || rest->data != NULL);
    if (is_binary(codec)) {
        return binary_command_decode(rest, limits, scratch, ret_command, ret_error);
    }
    const enum rc rc = json_command_decode(*rest, limits, scratch, ret_command, ret_error);
    if (rc == RC_OK || rc == RC_PROTOCOL) {
        *rest = (struct bytes){0};
    }
    return rc;
}

enum rc codec_encode_error(enum wire_codec codec, struct buf *to, const struct wire_error *error)
{
    ASSERT(error->message[0] != '\0');
    return EITHER(codec, json_encode_error(to, error, true), binary_encode_error(to, error));
}

enum rc codec_encode_connected(enum wire_codec codec, struct buf *to,
                               const struct wire_connected *connected)
{
    ASSERT(connected->durability != NULL);
    return EITHER(codec, json_encode_connected(to, connected),
                  binary_encode_connected(to, connected));
}

enum rc codec_encode_published(enum wire_codec codec, struct buf *to,
                               const struct wire_published *published)
{
    ASSERT_HOT(codec == WIRE_BINARY || published->publishes == 0);
    return EITHER(codec, json_encode_published(to, published, true),
                  binary_encode_published(to, published));
}

enum rc codec_encode_subscribed(enum wire_codec codec, struct buf *to,
                                const struct wire_subscribed *subscribed)
{
    ASSERT(subscribed->next >= 1);
    return EITHER(codec, json_encode_subscribed(to, subscribed),
                  binary_encode_subscribed(to, subscribed));
}

enum rc codec_encode_unsubscribed(enum wire_codec codec, struct buf *to,
                                  const struct wire_notice *notice)
{
    ASSERT(notice->channel.size > 0);
    return EITHER(codec, json_encode_unsubscribed(to, notice),
                  binary_encode_unsubscribed(to, notice));
}

enum rc codec_encode_gap(enum wire_codec codec, struct buf *to, const struct wire_notice *notice)
{
    ASSERT(notice->has_range);
    return EITHER(codec, json_encode_gap(to, notice), binary_encode_gap(to, notice));
}

enum rc codec_encode_pong(enum wire_codec codec, struct buf *to, uint64_t id)
{
    ASSERT_HOT(id <= WIRE_INTEGER_MAX);
    return EITHER(codec, json_encode_pong(to, id), binary_encode_pong(to, id));
}

enum rc codec_encode_goaway(enum wire_codec codec, struct buf *to, const char *reason,
                            uint64_t reconnect_ms)
{
    ASSERT(reason[0] != '\0');
    return EITHER(codec, json_encode_goaway(to, reason, reconnect_ms),
                  binary_encode_goaway(to, reason, reconnect_ms));
}

static enum rc json_history(struct buf *to, const struct wire_history *history)
{
    ASSERT(history->channel.size > 0);
    ASSERT(history->earliest <= history->latest + 1);
    const size_t before = to->size;
    enum rc rc = json_encode_history_head(to, history->id, history->channel, history->epoch,
                                          history->earliest, history->latest, true);
    if (rc == RC_OK) {
        rc = buf_append(to, history->elements);
    }
    if (rc == RC_OK) {
        rc = json_encode_history_tail_damaged(to, history->damaged, history->damaged_count,
                                              history->more);
    }
    to->size = rc == RC_OK ? to->size : before;
    return rc;
}

enum rc codec_encode_history(enum wire_codec codec, struct buf *to,
                             const struct wire_history *history)
{
    ASSERT(history->damaged_count == 0 || history->damaged != NULL);
    return EITHER(codec, json_history(to, history), binary_encode_history(to, history));
}

enum rc codec_encode_digest(enum wire_codec codec, struct buf *to, const struct wire_digest *digest)
{
    ASSERT(digest->channel.size > 0);
    return EITHER(codec, json_encode_digest(to, digest, true), binary_encode_digest(to, digest));
}

enum rc codec_encode_message_frame(enum wire_codec codec, struct buf *to,
                                   const struct wire_message *message, struct buf *scratch)
{
    ASSERT_HOT(codec < WIRE_CODEC_COUNT);
    ASSERT_HOT(scratch->size == 0);
    if (is_binary(codec)) {
        return binary_encode_message_frame(to, message);
    }
    enum rc rc = json_encode_message(scratch, message, true);
    if (rc == RC_OK) {
        rc = ws_frame_append(to, WS_TEXT, buf_bytes(scratch));
    }
    buf_clear(scratch);
    return rc;
}
