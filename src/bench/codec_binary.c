/* "seriatim.v1.binary": docs/PROTOCOL.md, section 15.
 *
 * Payloads go out as bytes, which the server need not look into. Numbers in a template have as many
 * bytes whatever they are, so that they can be patched: ids of publishes lie where an int has four.
 *
 * What comes is read here field by field, and not by the server's own code: a unit that breaks its
 * form ends the run. */
#include "bench/codec.h"
#include "client/unit.h"
#include "wire/binary_codec.h"

#define ID_BYTES 4u

static_assert(BENCH_ID_FIRST >= 1u << 14 && BENCH_ID_END <= UINT64_C(1) << 30,
              "an id of a publish has four bytes");

/* ---- out ----------------------------------------------------------------------------------- */

static enum rc put_byte(struct buf *to, unsigned value)
{
    const uint8_t byte = (uint8_t)value;
    return buf_append(to, bytes_of(&byte, 1));
}

static enum rc put_int(struct buf *to, uint64_t value)
{
    uint8_t room[BINARY_INT_SIZE_MAX];
    const uint8_t *end = binary_int_put(room, value);
    return buf_append(to, bytes_of(room, (size_t)(end - room)));
}

static enum rc put_head(struct buf *to, enum binary_type type, unsigned flags, uint64_t id)
{
    enum rc rc = put_byte(to, type);
    if (rc == RC_OK) {
        rc = put_byte(to, flags);
    }
    return rc == RC_OK ? put_int(to, id) : rc;
}

/* Appends the unit of which `content` is the inside, and frees that. */
static enum rc put_unit(struct buf *to, enum rc rc, struct buf *content)
{
    if (rc == RC_OK) {
        rc = put_int(to, content->size);
    }
    if (rc == RC_OK) {
        rc = buf_append(to, buf_bytes(content));
    }
    buf_deinit(content);
    return rc;
}

static enum rc binary_connect(struct buf *to, bool cumulative)
{
    struct buf content = {0};
    const unsigned flags = cumulative ? BINARY_CONNECT_CUMULATIVE : 0;
    const enum rc rc = put_head(&content, BINARY_CONNECT, flags, 1);
    return put_unit(to, rc, &content);
}

static enum rc binary_subscribe(struct buf *to, const char *channel, uint64_t from)
{
    struct buf content = {0};
    const size_t size = strlen(channel);
    const enum wire_from kind = from == BENCH_FROM_LATEST     ? WIRE_FROM_LATEST
                                : from == BENCH_FROM_EARLIEST ? WIRE_FROM_EARLIEST
                                                              : WIRE_FROM_SEQ;
    ASSERT(size <= UINT8_MAX);
    enum rc rc = put_head(&content, BINARY_SUBSCRIBE, 0, 2);
    if (rc == RC_OK) {
        rc = put_byte(&content, (unsigned)size);
    }
    if (rc == RC_OK) {
        rc = buf_append(&content, bytes_of(channel, size));
    }
    if (rc == RC_OK) {
        rc = put_byte(&content, kind);
    }
    if (rc == RC_OK && kind == WIRE_FROM_SEQ) {
        rc = put_int(&content, from);
    }
    return put_unit(to, rc, &content);
}

/* A name whose last BENCH_CHANNEL_DIGITS digits are patched, which begin at *ret_at. */
static enum rc put_channel(struct buf *to, const char *prefix, size_t *ret_at)
{
    const size_t size = strlen(prefix) + 1;
    ASSERT(size + BENCH_CHANNEL_DIGITS <= UINT8_MAX);
    enum rc rc = put_byte(to, (unsigned)(size + BENCH_CHANNEL_DIGITS));
    if (rc == RC_OK) {
        rc = buf_append(to, bytes_of(prefix, size - 1));
    }
    if (rc == RC_OK) {
        rc = put_byte(to, '-');
    }
    *ret_at = to->size;
    for (size_t i = 0; i < BENCH_CHANNEL_DIGITS && rc == RC_OK; i++) {
        rc = put_byte(to, '0');
    }
    return rc;
}

static enum rc put_items(struct buf *to, struct bytes payload, size_t count,
                         struct bench_template *made)
{
    enum rc rc = count > 1 ? put_int(to, count) : RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        rc = put_byte(to, BINARY_ITEM_BYTES);
        if (rc == RC_OK) {
            rc = put_int(to, payload.size);
        }
        made->payload_at = i == 0 ? to->size : made->payload_at;
        made->payload_stride = i == 1 ? to->size - made->payload_at : made->payload_stride;
        if (rc == RC_OK) {
            rc = buf_append(to, payload);
        }
    }
    return rc;
}

static enum rc binary_publish(struct bench_template *made, const char *prefix, struct bytes payload,
                              size_t count, bool ack)
{
    struct buf content = {0};
    const unsigned flags =
        (count > 1 ? BINARY_PUBLISH_BATCH : 0u) | (ack ? 0u : BINARY_PUBLISH_QUIET);
    enum rc rc = put_head(&content, BINARY_PUBLISH, flags, ack ? BENCH_ID_FIRST : 0);
    if (rc == RC_OK) {
        rc = put_channel(&content, prefix, &made->channel_at);
    }
    if (rc == RC_OK) {
        rc = put_items(&content, payload, count, made);
    }
    const size_t before = made->frame.size + binary_int_size(content.size);
    made->id_at = ack ? before + 2 : 0; /* behind type and flags */
    made->channel_at += before;
    made->payload_at += before;
    return put_unit(&made->frame, rc, &content);
}

static void binary_patch_id(uint8_t *at, uint64_t id)
{
    ASSERT_HOT(binary_int_size(id) == ID_BYTES);
    uint8_t room[BINARY_INT_SIZE_MAX];
    bytes_copy(at, room, (size_t)(binary_int_put(room, id) - room));
}

/* ---- in ------------------------------------------------------------------------------------ */

static void on_published(struct unit *u, unsigned flags, struct bench_event *event)
{
    event->type = BENCH_EVENT_PUBLISHED;
    event->id = unit_take_int(u);
    (void)unit_take_text(u); /* the id says which channel */
    (void)unit_take(u, UNIT_U64_BYTES);
    event->seq = (flags & BINARY_PUBLISHED_SEQ) != 0 ? unit_take_int(u) : 0;
    (void)unit_take(u, (flags & BINARY_PUBLISHED_MESSAGE_ID) != 0 ? UNIT_U64_BYTES : 0);
    event->count = (flags & BINARY_PUBLISHED_COUNT) != 0 ? unit_take_int(u) : 1;
    if ((flags & BINARY_PUBLISHED_RUN) != 0) {
        const uint64_t publishes = unit_take_int(u);
        u->bad = u->bad || publishes < 2;
        event->more = u->bad ? 0 : publishes - 1;
    }
    u->bad = u->bad || u->rest.size > 0;
}

static void on_subscribed(struct unit *u, unsigned flags, struct bench_event *event)
{
    (void)flags;
    event->type = BENCH_EVENT_SUBSCRIBED;
    event->id = unit_take_int(u);
    (void)unit_take_text(u);
    (void)unit_take(u, UNIT_U64_BYTES);
    event->next = unit_take_int(u);
}

static void on_message(struct unit *u, unsigned flags, struct bench_event *event)
{
    event->type = BENCH_EVENT_MESSAGE;
    (void)unit_take_text(u);
    event->seq = unit_take_int(u);
    (void)unit_take(u, UNIT_U64_BYTES); /* message_id */
    (void)unit_take_int(u);             /* time */
    if ((flags & BINARY_MESSAGE_KEY) != 0) {
        (void)unit_take_text(u);
    }
    if ((flags & BINARY_MESSAGE_PRODUCER) != 0) {
        (void)unit_take_text(u);
    }
    if ((flags & BINARY_MESSAGE_NUMBERED) != 0) {
        (void)unit_take_int(u);
    }
    event->payload = u->rest;
}

/* The object behind the id. */
static void on_connected(struct unit *u, unsigned flags, struct bench_event *event)
{
    (void)flags;
    event->type = BENCH_EVENT_READY;
    event->id = unit_take_int(u);
    event->text = u->rest;
}

static void refuse(struct bytes text, struct bench_event *event)
{
    *event = (struct bench_event){.type = BENCH_EVENT_FAILED, .text = text};
}

static void on_error(struct unit *u, unsigned flags, struct bench_event *event)
{
    (void)flags;
    (void)unit_take_int(u);
    refuse(u->rest, event);
}

static void on_goaway(struct unit *u, unsigned flags, struct bench_event *event)
{
    (void)flags;
    refuse(u->rest, event);
}

static void on_unsubscribed(struct unit *u, unsigned flags, struct bench_event *event)
{
    (void)u;
    (void)flags;
    refuse(BYTES_LITERAL("the server ends a subscription"), event);
}

static void on_gap(struct unit *u, unsigned flags, struct bench_event *event)
{
    (void)u;
    (void)flags;
    refuse(BYTES_LITERAL("the server tells a gap"), event);
}

static void on_reset(struct unit *u, unsigned flags, struct bench_event *event)
{
    (void)u;
    (void)flags;
    refuse(BYTES_LITERAL("the server resets a subscription"), event);
}

typedef void reader(struct unit *u, unsigned flags, struct bench_event *event);

/* By type; the others (pong, and what is to come) say nothing to a load. */
static reader *const readers[UINT8_MAX + 1] = {
    [BINARY_ERROR] = on_error,
    [BINARY_CONNECTED] = on_connected,
    [BINARY_PUBLISHED] = on_published,
    [BINARY_SUBSCRIBED] = on_subscribed,
    [BINARY_UNSUBSCRIBED] = on_unsubscribed,
    [BINARY_MESSAGE] = on_message,
    [BINARY_GAP] = on_gap,
    [BINARY_RESET] = on_reset,
    [BINARY_GOAWAY] = on_goaway,
};

static void binary_parse(struct bytes *rest, struct bench_event *ret_event)
{
    *ret_event = (struct bench_event){.type = BENCH_EVENT_OTHER};
    struct unit message = {.rest = *rest};
    struct unit u = {.rest = unit_take(&message, unit_take_int(&message))};
    u.bad = message.bad;
    const unsigned type = unit_take_byte(&u);
    const unsigned flags = unit_take_byte(&u);
    if (readers[type] != NULL) {
        readers[type](&u, flags, ret_event);
    }
    *rest = message.rest;
    if (u.bad) {
        *rest = (struct bytes){0};
        refuse(BYTES_LITERAL("a unit that no server may send"), ret_event);
    }
}

const struct bench_codec bench_codec_binary = {
    .name = "binary",
    .protocol = "seriatim.v1.binary",
    .opcode = WS_BINARY,
    .units = true,
    .connect = binary_connect,
    .subscribe = binary_subscribe,
    .publish = binary_publish,
    .patch_id = binary_patch_id,
    .parse = binary_parse,
};
