/* Commands by client/speak.h, replies by client/reply.h; here is only where a template's pieces
 * stand, and what a load wants to know of a reply.
 *
 * Payloads go out in binary as bytes, which the server need not look into. Numbers in a template
 * have as many bytes whatever they are, so that they can be patched: in binary, ids of publishes
 * lie where an int has four. */
#include "bench/codec.h"
#include "client/reply.h"
#include "client/speak.h"
#include "wire/binary_int.h"

#include <stdio.h>

#define CONNECT_ID   1u
#define SUBSCRIBE_ID 2u
#define ID_BYTES     4u

static_assert(BENCH_ID_FIRST >= 1u << 14 && BENCH_ID_END <= UINT64_C(1) << 30,
              "an id of a publish has four bytes");

/* ---- out ----------------------------------------------------------------------------------- */

enum rc bench_codec_connect(const struct bench_codec *codec, struct buf *to, bool cumulative)
{
    const struct speak_connect say = {.id = CONNECT_ID, .cumulative = cumulative};
    return speak_connect(codec->wire, to, &say);
}

enum rc bench_codec_subscribe(const struct bench_codec *codec, struct buf *to, const char *channel,
                              uint64_t from)
{
    const struct speak_subscribe say = {
        .id = SUBSCRIBE_ID,
        .channel = bytes_of_text(channel),
        .from = from == BENCH_FROM_LATEST     ? WIRE_FROM_LATEST
                : from == BENCH_FROM_EARLIEST ? WIRE_FROM_EARLIEST
                                              : WIRE_FROM_SEQ,
        .seq = from,
    };
    return speak_subscribe(codec->wire, to, &say);
}

/* Where `text` begins in what was said from `begin` on; it is there. */
static size_t find(const struct buf *said, size_t begin, struct bytes text)
{
    const uint8_t *at = memmem(said->data + begin, said->size - begin, text.data, text.size);
    ASSERT(at != NULL);
    return (size_t)(at - said->data);
}

static size_t find_id(enum wire_codec codec, const struct buf *said, size_t begin)
{
    if (codec == WIRE_JSON) {
        const struct bytes name = BYTES_LITERAL("\"id\":");
        return find(said, begin, name) + name.size;
    }
    struct bytes rest = bytes_of(said->data + begin, said->size - begin);
    uint64_t size;
    const bool good = binary_int_take(&rest, &size);
    ASSERT(good && size == rest.size);
    return (size_t)(rest.data - said->data) + 2; /* behind type and flags */
}

static void add_items(enum wire_codec codec, const struct wire_item *item,
                      struct bench_template *made)
{
    struct buf *to = &made->frame;
    const bool batch = made->count > 1;
    const size_t behind = codec == WIRE_JSON && batch ? 1 : 0; /* a bracket */
    for (size_t i = 0; i < made->count; i++) {
        speak_item(codec, to, item, i == 0, batch);
        const size_t at = to->size - behind - item->data.size;
        made->payload_at = i == 0 ? at : made->payload_at;
        made->payload_stride = i == 1 ? at - made->payload_at : made->payload_stride;
    }
    speak_publish_end(codec, to, batch);
}

enum rc bench_codec_publish(const struct bench_codec *codec, struct bench_template *made,
                            const char *prefix, struct bytes payload, size_t count, bool ack)
{
    char name[BENCH_NAME_SIZE + BENCH_CHANNEL_DIGITS + 2];
    const int size = snprintf(name, sizeof(name), "%s-%0*d", prefix, (int)BENCH_CHANNEL_DIGITS, 0);
    ASSERT(size > 0 && (size_t)size < sizeof(name));
    const struct bytes channel = bytes_of(name, (size_t)size);
    const struct wire_item item = {.data = payload, .is_bytes = codec->wire == WIRE_BINARY};
    const struct speak_publish say = {
        .id = ack ? BENCH_ID_FIRST : 0,
        .quiet = !ack,
        .channel = channel,
        .count = (uint32_t)count,
        .size = count * speak_item_size(codec->wire, &item),
    };
    const size_t begin = made->frame.size;
    const enum rc rc = speak_publish(codec->wire, &made->frame, &say);
    if (rc == RC_OK) {
        made->count = count;
        add_items(codec->wire, &item, made);
        made->channel_at = find(&made->frame, begin, channel) + channel.size - BENCH_CHANNEL_DIGITS;
        made->id_at = ack ? find_id(codec->wire, &made->frame, begin) : 0;
    }
    return rc;
}

/* ---- in ------------------------------------------------------------------------------------ */

/* What is whole but cannot be used is told with its text. */
static void refuse(struct bytes text, struct bench_event *event)
{
    *event = (struct bench_event){.type = BENCH_EVENT_FAILED, .text = text};
}

static void take(const struct reply *reply, struct bytes text, struct bench_event *event)
{
    switch (reply->type) {
    case CLIENT_MESSAGE:
        event->type = BENCH_EVENT_MESSAGE;
        event->seq = reply->message.seq;
        event->payload = reply->message.data;
        break;
    case CLIENT_PUBLISHED:
        event->type = BENCH_EVENT_PUBLISHED;
        event->id = reply->id;
        event->seq = reply->has_seq ? reply->seq : 0;
        event->count = reply->count;
        event->more = reply->publishes - 1;
        break;
    case CLIENT_SUBSCRIBED:
        event->type = BENCH_EVENT_SUBSCRIBED;
        event->id = reply->id;
        event->next = reply->next;
        break;
    case CLIENT_CONNECTED:
        event->type = BENCH_EVENT_READY;
        event->id = reply->id;
        event->text = reply->object.text;
        break;
    case CLIENT_ERROR:
    case CLIENT_GOAWAY: refuse(reply->object.text, event); break;
    case CLIENT_UNSUBSCRIBED:
    case CLIENT_GAP:
    case CLIENT_RESET:
    case CLIENT_HISTORY:
    case CLIENT_DIGEST: refuse(text, event); break;
    case CLIENT_OTHER: break; /* pong, and what is to come */
    }
}

static void parse_json(struct bytes *rest, struct bench_event *ret_event)
{
    const struct bytes text = *rest;
    struct reply_room room;
    struct reply reply;
    room.data = (struct buf){0};
    *ret_event = (struct bench_event){.type = BENCH_EVENT_OTHER};
    if (reply_take(WIRE_JSON, rest, &room, &reply) != RC_OK) {
        refuse(text, ret_event);
    } else {
        take(&reply, text, ret_event);
    }
    if (room.data.data != NULL) { /* bytes: of none that a load has sent */
        buf_deinit(&room.data);
        refuse(text, ret_event);
    }
}

static void parse_binary(struct bytes *rest, struct bench_event *ret_event)
{
    struct reply reply;
    *ret_event = (struct bench_event){.type = BENCH_EVENT_OTHER};
    if (reply_take_unit(rest, &reply) != RC_OK) {
        *rest = (struct bytes){0};
        refuse(BYTES_LITERAL("a unit that no server may send"), ret_event);
    } else {
        take(&reply, BYTES_LITERAL("the server ends a subscription, or leaves messages out"),
             ret_event);
    }
}

/* ---- the two of them ----------------------------------------------------------------------- */

static void json_patch_id(uint8_t *at, uint64_t id)
{
    for (size_t i = BENCH_ID_DIGITS; i > 0; i--) {
        at[i - 1] = (uint8_t)('0' + id % 10);
        id /= 10;
    }
}

const struct bench_codec bench_codec_json = {
    .name = "json",
    .protocol = "seriatim.v1.json",
    .wire = WIRE_JSON,
    .patch_id = json_patch_id,
    .parse = parse_json,
};

static void binary_patch_id(uint8_t *at, uint64_t id)
{
    ASSERT_HOT(binary_int_size(id) == ID_BYTES);
    uint8_t room[BINARY_INT_SIZE_MAX];
    bytes_copy(at, room, (size_t)(binary_int_put(room, id) - room));
}

const struct bench_codec bench_codec_binary = {
    .name = "binary",
    .protocol = "seriatim.v1.binary",
    .wire = WIRE_BINARY,
    .patch_id = binary_patch_id,
    .parse = parse_binary,
};

const struct bench_codec *bench_codec_find(const char *name)
{
    static const struct bench_codec *const codecs[] = {&bench_codec_json, &bench_codec_binary};
    for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
        if (strcmp(codecs[i]->name, name) == 0) {
            return codecs[i];
        }
    }
    return NULL;
}
