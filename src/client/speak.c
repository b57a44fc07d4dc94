#include "client/speak.h"

#include "client/reply.h"
#include "wire/base64.h"
#include "wire/binary_codec.h"
#include "wire/binary_int.h"
#include "wire/json_codec.h"
#include "wire/utf8.h"

#include <inttypes.h>

#define U64_BYTES 8u
/* What json_encode_string() wants to have beside the string, and the end of a publish. */
#define JSON_ROOM 2048u

/* ---- binary -------------------------------------------------------------------------------- */

static size_t text_size(struct bytes text)
{
    ASSERT(text.size <= UINT8_MAX);
    return 1 + text.size;
}

static void put_int(struct buf *to, uint64_t value)
{
    uint8_t room[BINARY_INT_SIZE_MAX];
    buf_put(to, room, (size_t)(binary_int_put(room, value) - room));
}

static void put_text(struct buf *to, struct bytes text)
{
    buf_put_u8(to, (uint8_t)text.size);
    buf_put(to, text.data, text.size);
}

/* Takes the room, and writes size, type, flags and id; `size` is that of the fields. */
static enum rc begin(struct buf *to, enum binary_type type, unsigned flags, uint64_t id,
                     size_t size)
{
    const size_t content = 2 + binary_int_size(id) + size;
    const enum rc rc = buf_reserve(to, BINARY_INT_SIZE_MAX + content);
    if (rc == RC_OK) {
        put_int(to, content);
        buf_put_u8(to, (uint8_t)type);
        buf_put_u8(to, (uint8_t)flags);
        put_int(to, id);
    }
    return rc;
}

static enum rc binary_connect(struct buf *to, const struct speak_connect *c)
{
    const bool producer = c->producer.size > 0;
    const bool token = c->token.size > 0;
    const unsigned flags = (producer ? BINARY_CONNECT_PRODUCER : 0u) |
                           (token ? BINARY_CONNECT_TOKEN : 0u) |
                           (c->cumulative ? BINARY_CONNECT_CUMULATIVE : 0u);
    size_t size = producer ? text_size(c->producer) + binary_int_size(c->producer_epoch) : 0;
    size += token ? binary_int_size(c->token.size) + c->token.size : 0;
    const enum rc rc = begin(to, BINARY_CONNECT, flags, c->id, size);
    if (rc != RC_OK) {
        return rc;
    }
    if (producer) {
        put_text(to, c->producer);
        put_int(to, c->producer_epoch);
    }
    if (token) {
        put_int(to, c->token.size);
        buf_put(to, c->token.data, c->token.size);
    }
    return RC_OK;
}

static size_t from_size(const struct speak_subscribe *s)
{
    switch (s->from) {
    case WIRE_FROM_LATEST:
    case WIRE_FROM_EARLIEST: return 1;
    case WIRE_FROM_SEQ: return 1 + binary_int_size(s->seq);
    case WIRE_FROM_EPOCH_SEQ: return 1 + U64_BYTES + binary_int_size(s->seq);
    case WIRE_FROM_TIME: return 1 + binary_int_size(s->time_ms);
    }
    UNREACHABLE();
}

static enum rc binary_subscribe(struct buf *to, const struct speak_subscribe *s)
{
    const bool slow = s->when_slow != WIRE_CATCH_UP;
    const unsigned flags = (s->on_gap_reset ? BINARY_SUBSCRIBE_RESET : 0u) |
                           (s->window > 0 ? BINARY_SUBSCRIBE_WINDOW : 0u) |
                           (slow ? BINARY_SUBSCRIBE_SLOW : 0u);
    const size_t size = text_size(s->channel) + from_size(s) +
                        (s->window > 0 ? binary_int_size(s->window) : 0) + (slow ? 1 : 0);
    const enum rc rc = begin(to, BINARY_SUBSCRIBE, flags, s->id, size);
    if (rc != RC_OK) {
        return rc;
    }
    put_text(to, s->channel);
    buf_put_u8(to, (uint8_t)s->from);
    if (s->from == WIRE_FROM_EPOCH_SEQ) {
        uint64_t epoch = 0;
        const bool good = wire_epoch_parse(bytes_of_text(s->epoch), &epoch);
        ASSERT(good);
        buf_put_u64(to, epoch);
    }
    if (s->from == WIRE_FROM_SEQ || s->from == WIRE_FROM_EPOCH_SEQ) {
        put_int(to, s->seq);
    } else if (s->from == WIRE_FROM_TIME) {
        put_int(to, s->time_ms);
    }
    if (s->window > 0) {
        put_int(to, s->window);
    }
    if (slow) {
        buf_put_u8(to, s->when_slow == WIRE_SKIP ? 1 : 2);
    }
    return RC_OK;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static enum rc json_connect(struct buf *to, const struct speak_connect *c)
{
    enum rc rc = buf_append_format(to, "{\"type\":\"connect\",\"id\":%" PRIu64, c->id);
    if (rc == RC_OK && c->producer.size > 0) {
        rc = buf_append_format(to, ",\"producer\":{\"id\":");
        if (rc == RC_OK) {
            rc = json_encode_string(to, c->producer);
        }
        if (rc == RC_OK) {
            rc = buf_append_format(to, ",\"epoch\":%" PRIu64 "}", c->producer_epoch);
        }
    }
    if (rc == RC_OK && c->token.size > 0) {
        rc = buf_append_format(to, ",\"token\":");
        if (rc == RC_OK) {
            rc = json_encode_string(to, c->token);
        }
    }
    return rc == RC_OK ? buf_append_format(to, "}") : rc;
}

/* `{"type":"…","id":…,"channel":"…"`; id 0: none. */
static enum rc json_begin(struct buf *to, const char *type, uint64_t id, struct bytes channel)
{
    enum rc rc = buf_append_format(to, "{\"type\":\"%s\"", type);
    if (rc == RC_OK && id > 0) {
        rc = buf_append_format(to, ",\"id\":%" PRIu64, id);
    }
    if (rc == RC_OK) {
        rc = buf_append_format(to, ",\"channel\":");
    }
    return rc == RC_OK ? json_encode_string(to, channel) : rc;
}

static enum rc json_from(struct buf *to, const struct speak_subscribe *s)
{
    enum rc rc;
    switch (s->from) {
    case WIRE_FROM_LATEST: return buf_append_format(to, ",\"from\":\"latest\"");
    case WIRE_FROM_EARLIEST: return buf_append_format(to, ",\"from\":\"earliest\"");
    case WIRE_FROM_SEQ: return buf_append_format(to, ",\"from\":{\"seq\":%" PRIu64 "}", s->seq);
    case WIRE_FROM_EPOCH_SEQ:
        rc = buf_append_format(to, ",\"from\":{\"epoch\":");
        if (rc == RC_OK) {
            rc = json_encode_string(to, bytes_of_text(s->epoch));
        }
        return rc == RC_OK ? buf_append_format(to, ",\"seq\":%" PRIu64 "}", s->seq) : rc;
    case WIRE_FROM_TIME:
        return buf_append_format(to, ",\"from\":{\"time\":%" PRIu64 "}", s->time_ms);
    }
    UNREACHABLE();
}

static enum rc json_subscribe(struct buf *to, const struct speak_subscribe *s)
{
    enum rc rc = json_begin(to, "subscribe", s->id, s->channel);
    if (rc == RC_OK) {
        rc = json_from(to, s);
    }
    if (rc == RC_OK && s->on_gap_reset) {
        rc = buf_append_format(to, ",\"on_gap\":\"reset\"");
    }
    if (rc == RC_OK && s->when_slow != WIRE_CATCH_UP) {
        rc = buf_append_format(to, ",\"when_slow\":\"%s\"",
                               s->when_slow == WIRE_SKIP ? "skip" : "conflate");
    }
    if (rc == RC_OK && s->window > 0) {
        rc = buf_append_format(to, ",\"window\":%" PRIu32, s->window);
    }
    return rc == RC_OK ? buf_append_format(to, "}") : rc;
}

/* ---- either -------------------------------------------------------------------------------- */

/* A command that could not be said whole is not said at all. */
static enum rc whole(struct buf *to, size_t before, enum rc rc)
{
    if (rc != RC_OK) {
        to->size = before;
    }
    return rc;
}

bool speak_epoch_valid(enum wire_codec codec, const char *epoch)
{
    uint64_t number;
    const struct bytes text = epoch == NULL ? (struct bytes){0} : bytes_of_text(epoch);
    if (text.size == 0 || text.size >= REPLY_EPOCH_SIZE || !utf8_valid(text)) {
        return false;
    }
    return codec == WIRE_JSON || wire_epoch_parse(text, &number);
}

enum rc speak_connect(enum wire_codec codec, struct buf *to, const struct speak_connect *connect)
{
    return whole(to, to->size,
                 codec == WIRE_BINARY ? binary_connect(to, connect) : json_connect(to, connect));
}

enum rc speak_subscribe(enum wire_codec codec, struct buf *to,
                        const struct speak_subscribe *subscribe)
{
    return whole(to, to->size,
                 codec == WIRE_BINARY ? binary_subscribe(to, subscribe)
                                      : json_subscribe(to, subscribe));
}

enum rc speak_ack(enum wire_codec codec, struct buf *to, struct bytes channel, uint64_t seq)
{
    const size_t before = to->size;
    if (codec == WIRE_BINARY) {
        const enum rc rc = begin(to, BINARY_ACK, 0, 0, text_size(channel) + binary_int_size(seq));
        if (rc == RC_OK) {
            put_text(to, channel);
            put_int(to, seq);
        }
        return rc;
    }
    enum rc rc = json_begin(to, "ack", 0, channel);
    if (rc == RC_OK) {
        rc = buf_append_format(to, ",\"seq\":%" PRIu64 "}", seq);
    }
    return whole(to, before, rc);
}

enum rc speak_unsubscribe(enum wire_codec codec, struct buf *to, uint64_t id, struct bytes channel)
{
    const size_t before = to->size;
    if (codec == WIRE_BINARY) {
        const enum rc rc = begin(to, BINARY_UNSUBSCRIBE, 0, id, text_size(channel));
        if (rc == RC_OK) {
            put_text(to, channel);
        }
        return rc;
    }
    enum rc rc = json_begin(to, "unsubscribe", id, channel);
    if (rc == RC_OK) {
        rc = buf_append_format(to, "}");
    }
    return whole(to, before, rc);
}

enum rc speak_history(enum wire_codec codec, struct buf *to, uint64_t id, struct bytes channel,
                      uint64_t from, uint32_t limit)
{
    const size_t before = to->size;
    if (codec == WIRE_BINARY) {
        const enum rc rc =
            begin(to, BINARY_HISTORY, BINARY_HISTORY_FROM | BINARY_HISTORY_LIMIT, id,
                  text_size(channel) + binary_int_size(from) + binary_int_size(limit));
        if (rc == RC_OK) {
            put_text(to, channel);
            put_int(to, from);
            put_int(to, limit);
        }
        return rc;
    }
    enum rc rc = json_begin(to, "history", id, channel);
    if (rc == RC_OK) {
        rc = buf_append_format(to, ",\"from\":%" PRIu64 ",\"limit\":%" PRIu32 "}", from, limit);
    }
    return whole(to, before, rc);
}

enum rc speak_digest(enum wire_codec codec, struct buf *to, uint64_t id, struct bytes channel,
                     bool has_seq, uint64_t seq)
{
    const size_t before = to->size;
    if (codec == WIRE_BINARY) {
        const enum rc rc = begin(to, BINARY_DIGEST, has_seq ? BINARY_DIGEST_SEQ : 0, id,
                                 text_size(channel) + (has_seq ? binary_int_size(seq) : 0));
        if (rc == RC_OK) {
            put_text(to, channel);
        }
        if (rc == RC_OK && has_seq) {
            put_int(to, seq);
        }
        return rc;
    }
    enum rc rc = json_begin(to, "digest", id, channel);
    if (rc == RC_OK && has_seq) {
        rc = buf_append_format(to, ",\"seq\":%" PRIu64, seq);
    }
    if (rc == RC_OK) {
        rc = buf_append_format(to, "}");
    }
    return whole(to, before, rc);
}

/* ---- publish ------------------------------------------------------------------------------- */

/* A byte of a name may become six: \u00XX. */
#define ESCAPED_MAX 6u
/* `{"key":"","data_base64":""},` and what is like it. */
#define ITEM_FRAME 40u

size_t speak_item_size(enum wire_codec codec, const struct wire_item *item)
{
    const size_t key = item->has_key ? item->key.size : 0;
    if (codec == WIRE_JSON) {
        return ITEM_FRAME + ESCAPED_MAX * key +
               (item->is_bytes ? base64_encoded_size(item->data.size) : item->data.size);
    }
    return 1 + (item->has_key ? text_size(item->key) : 0) + binary_int_size(item->data.size) +
           item->data.size;
}

enum rc speak_publish(enum wire_codec codec, struct buf *to, const struct speak_publish *publish)
{
    ASSERT(publish->count > 0 && publish->count <= BATCH_MESSAGES_MAX);
    ASSERT(publish->quiet == (publish->id == 0));
    const bool batch = publish->count > 1;
    const size_t before = to->size;
    if (codec == WIRE_BINARY) {
        const bool numbered = publish->number > 0;
        const unsigned flags = (numbered ? BINARY_PUBLISH_NUMBERED : 0u) |
                               (publish->quiet ? BINARY_PUBLISH_QUIET : 0u) |
                               (batch ? BINARY_PUBLISH_BATCH : 0u);
        const size_t size = text_size(publish->channel) +
                            (numbered ? binary_int_size(publish->number) : 0) +
                            (batch ? binary_int_size(publish->count) : 0) + publish->size;
        const enum rc rc = begin(to, BINARY_PUBLISH, flags, publish->id, size);
        if (rc == RC_OK) {
            put_text(to, publish->channel);
        }
        if (rc == RC_OK && numbered) {
            put_int(to, publish->number);
        }
        if (rc == RC_OK && batch) {
            put_int(to, publish->count);
        }
        return rc;
    }
    enum rc rc = json_begin(to, "publish", publish->id, publish->channel);
    if (rc == RC_OK && publish->quiet) {
        rc = buf_append_format(to, ",\"quiet\":true");
    }
    if (rc == RC_OK && publish->number > 0) {
        rc = buf_append_format(to, ",\"producer_seq\":%" PRIu64, publish->number);
    }
    if (rc == RC_OK) {
        rc = buf_append_format(to, batch ? ",\"batch\":[" : ",");
    }
    if (rc == RC_OK) {
        rc = buf_reserve(to, publish->size + JSON_ROOM);
    }
    return whole(to, before, rc);
}

static void json_item(struct buf *to, const struct wire_item *item)
{
    if (item->has_key) {
        const size_t room = to->capacity;
        buf_put(to, "\"key\":", 6);
        const enum rc rc = json_encode_string(to, item->key);
        ASSERT(rc == RC_OK && to->capacity == room); /* the head has taken the room */
        buf_put_u8(to, ',');
    }
    if (!item->is_bytes) {
        buf_put(to, "\"data\":", 7);
        buf_put(to, item->data.data, item->data.size);
        return;
    }
    buf_put(to, "\"data_base64\":\"", 15);
    base64_encode(to->data + to->size, item->data);
    to->size += base64_encoded_size(item->data.size);
    buf_put_u8(to, '"');
}

void speak_item(enum wire_codec codec, struct buf *to, const struct wire_item *item, bool first,
                bool batch)
{
    if (codec == WIRE_BINARY) {
        buf_put_u8(to, (uint8_t)((item->has_key ? BINARY_ITEM_KEY : 0u) |
                                 (item->is_bytes ? BINARY_ITEM_BYTES : 0u)));
        if (item->has_key) {
            put_text(to, item->key);
        }
        put_int(to, item->data.size);
        buf_put(to, item->data.data, item->data.size);
        return;
    }
    if (!first) {
        buf_put_u8(to, ',');
    }
    if (batch) {
        buf_put_u8(to, '{');
    }
    json_item(to, item);
    if (batch) {
        buf_put_u8(to, '}');
    }
}

void speak_publish_end(enum wire_codec codec, struct buf *to, bool batch)
{
    if (codec == WIRE_JSON) {
        buf_put(to, batch ? "]}" : "}", batch ? 2 : 1);
    }
}
