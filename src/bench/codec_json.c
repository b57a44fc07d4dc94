/* "seriatim.v1.json" */
#include "bench/codec.h"
#include "client/message.h"
#include "client/reply_quick.h"

#include <inttypes.h>

#define PUT(to, text) buf_append((to), BYTES_LITERAL(text))

/* ---- out ----------------------------------------------------------------------------------- */

static enum rc json_connect(struct buf *to, bool cumulative)
{
    (void)cumulative; /* the options were checked */
    return PUT(to, "{\"type\":\"connect\",\"id\":1}");
}

static enum rc json_subscribe(struct buf *to, const char *channel, uint64_t from)
{
    if (from == BENCH_FROM_LATEST || from == BENCH_FROM_EARLIEST) {
        return buf_append_format(
            to, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"%s\",\"from\":\"%s\"}", channel,
            from == BENCH_FROM_LATEST ? "latest" : "earliest");
    }
    return buf_append_format(
        to, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"%s\",\"from\":{\"seq\":%" PRIu64 "}}",
        channel, from);
}

static enum rc add_items(struct bench_template *made, struct bytes payload, size_t count)
{
    struct buf *to = &made->frame;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        rc = i == 0 ? PUT(to, ",\"batch\":[{\"data\":") : PUT(to, ",{\"data\":");
        if (rc == RC_OK) {
            made->payload_at = i == 0 ? to->size : made->payload_at;
            made->payload_stride = i == 1 ? to->size - made->payload_at : made->payload_stride;
            rc = buf_append(to, payload);
        }
        if (rc == RC_OK) {
            rc = PUT(to, "}");
        }
    }
    return rc == RC_OK ? PUT(to, "]}") : rc;
}

static enum rc json_publish(struct bench_template *made, const char *prefix, struct bytes payload,
                            size_t count, bool ack)
{
    struct buf *to = &made->frame;
    enum rc rc = PUT(to, "{\"type\":\"publish\"");
    if (rc == RC_OK && !ack) {
        rc = PUT(to, ",\"quiet\":true");
    }
    if (rc == RC_OK && ack) {
        rc = PUT(to, ",\"id\":");
        made->id_at = to->size;
        if (rc == RC_OK) {
            rc = buf_append_format(to, "%" PRIu64, BENCH_ID_FIRST);
        }
    }
    if (rc == RC_OK) {
        rc = buf_append_format(to, ",\"channel\":\"%s-", prefix);
    }
    made->channel_at = to->size;
    if (rc == RC_OK) {
        rc = PUT(to, "000000\"");
    }
    if (rc != RC_OK || count > 1) {
        return rc == RC_OK ? add_items(made, payload, count) : rc;
    }
    rc = PUT(to, ",\"data\":");
    made->payload_at = to->size;
    if (rc == RC_OK) {
        rc = buf_append(to, payload);
    }
    return rc == RC_OK ? PUT(to, "}") : rc;
}

static void json_patch_id(uint8_t *at, uint64_t id)
{
    for (size_t i = BENCH_ID_DIGITS; i > 0; i--) {
        at[i - 1] = (uint8_t)('0' + id % 10);
        id /= 10;
    }
}

/* ---- in ------------------------------------------------------------------------------------ */

static bool begins(struct bytes text, struct bytes with)
{
    return text.size >= with.size && memcmp(text.data, with.data, with.size) == 0;
}

/* Moves *at behind the channel's name, if a plain one stands there. */
static bool skip_channel(struct bytes text, size_t *at)
{
    struct bytes name;
    return quick_text(text, at, BYTES_LITERAL(",\"channel\":"), &name);
}

#define MESSAGE_HEAD   BYTES_LITERAL("{\"type\":\"message\"")
#define PUBLISHED_HEAD BYTES_LITERAL("{\"type\":\"published\"")

/* The payload is what stands behind "data", which comes last. */
static bool quick_message(struct bytes text, struct bench_event *event)
{
    static const char data_name[] = ",\"data\":";
    size_t at = MESSAGE_HEAD.size;
    uint64_t time;
    struct bytes skipped;
    if (!skip_channel(text, &at) ||
        !quick_number(text, &at, BYTES_LITERAL(",\"seq\":"), &event->seq) ||
        !quick_text(text, &at, BYTES_LITERAL(",\"message_id\":"), &skipped) ||
        !quick_number(text, &at, BYTES_LITERAL(",\"time\":"), &time) ||
        !begins(bytes_of(text.data + at, text.size - at),
                bytes_of(data_name, sizeof(data_name) - 1))) {
        return false;
    }
    at += sizeof(data_name) - 1;
    if (at >= text.size) {
        return false;
    }
    event->type = BENCH_EVENT_MESSAGE;
    event->payload = bytes_of(text.data + at, text.size - at - 1);
    return true;
}

static bool quick_published(struct bytes text, struct bench_event *event)
{
    size_t at = PUBLISHED_HEAD.size;
    if (!quick_number(text, &at, BYTES_LITERAL(",\"id\":"), &event->id) ||
        !skip_channel(text, &at) ||
        !quick_number(text, &at, BYTES_LITERAL(",\"seq\":"), &event->seq)) {
        return false;
    }
    /* `count`, where there is one, stands behind; one message is the rule. */
    event->count = 1;
    const struct bytes rest = bytes_of(text.data + at, text.size - at);
    if (memmem(rest.data, rest.size, "\"count\"", 7) != NULL ||
        memmem(rest.data, rest.size, "\"duplicate\"", 11) != NULL) {
        return false;
    }
    event->type = BENCH_EVENT_PUBLISHED;
    return true;
}

/* What is whole but cannot be used is told with its text. */
static void refuse(struct bytes text, struct bench_event *event)
{
    *event = (struct bench_event){.type = BENCH_EVENT_FAILED, .text = text};
}

static void slow(struct bytes text, struct bench_event *event)
{
    struct client_message m;
    *event = (struct bench_event){.type = BENCH_EVENT_OTHER};
    if (client_message_parse(text, &m) != RC_OK) {
        refuse(text, event);
        return;
    }
    event->id = client_message_integer_or_0(&m, CLIENT_FIELD_ID);
    event->seq = client_message_integer_or_0(&m, CLIENT_FIELD_SEQ);
    event->next = client_message_integer_or_0(&m, CLIENT_FIELD_NEXT);
    switch (m.type) {
    case CLIENT_CONNECTED:
        event->type = BENCH_EVENT_READY;
        event->text = text;
        break;
    case CLIENT_SUBSCRIBED: event->type = BENCH_EVENT_SUBSCRIBED; break;
    case CLIENT_PUBLISHED:
        event->type = BENCH_EVENT_PUBLISHED;
        event->count = client_message_has(&m, CLIENT_FIELD_MESSAGE_COUNT)
                           ? client_message_integer_or_0(&m, CLIENT_FIELD_MESSAGE_COUNT)
                           : 1;
        break;
    case CLIENT_MESSAGE:
        event->type = BENCH_EVENT_MESSAGE;
        event->payload = m.fields[CLIENT_FIELD_DATA].raw; /* none: an empty one */
        break;
    case CLIENT_OTHER: break; /* pong, and what is to come */
    case CLIENT_UNSUBSCRIBED:
    case CLIENT_GAP:
    case CLIENT_RESET:
    case CLIENT_HISTORY:
    case CLIENT_DIGEST:
    case CLIENT_GOAWAY:
    case CLIENT_ERROR: refuse(text, event); break;
    }
}

static void json_parse(struct bytes *rest, struct bench_event *ret_event)
{
    const struct bytes text = *rest;
    *rest = (struct bytes){0};
    *ret_event = (struct bench_event){0};
    const bool quick = begins(text, MESSAGE_HEAD)     ? quick_message(text, ret_event)
                       : begins(text, PUBLISHED_HEAD) ? quick_published(text, ret_event)
                                                      : false;
    if (!quick) {
        slow(text, ret_event);
    }
}

const struct bench_codec bench_codec_json = {
    .name = "json",
    .protocol = "seriatim.v1.json",
    .opcode = WS_TEXT,
    .connect = json_connect,
    .subscribe = json_subscribe,
    .publish = json_publish,
    .patch_id = json_patch_id,
    .parse = json_parse,
};
