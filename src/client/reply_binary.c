/* Replies of "seriatim.v1.binary": docs/PROTOCOL.md, section 15. Read field by field, and not by
 * the server's own code. */
#include "client/reply.h"

#include "wire/binary_codec.h"
#include "wire/binary_int.h"

#define U64_BYTES 8u

/* Latched: once something is missing, `bad` stays and everything is empty. */
struct unit {
    struct bytes rest;
    bool bad;
};

static struct bytes take(struct unit *u, uint64_t size)
{
    if (u->bad || size > u->rest.size) {
        u->bad = true;
        return (struct bytes){0};
    }
    const struct bytes piece = bytes_of(u->rest.data, (size_t)size);
    u->rest = bytes_of(u->rest.data + size, u->rest.size - (size_t)size);
    return piece;
}

static unsigned take_byte(struct unit *u)
{
    const struct bytes piece = take(u, 1);
    return u->bad ? 0 : piece.data[0];
}

static uint64_t take_int(struct unit *u)
{
    uint64_t value = 0;
    u->bad = u->bad || !binary_int_take(&u->rest, &value);
    return u->bad ? 0 : value;
}

static uint64_t take_u64(struct unit *u)
{
    const struct bytes piece = take(u, U64_BYTES);
    return u->bad ? 0 : bytes_load_u64(piece.data);
}

static struct bytes take_text(struct unit *u)
{
    return take(u, take_byte(u));
}

static enum reply_reason take_reason(struct unit *u)
{
    const unsigned number = take_byte(u);
    return number < REPLY_REASON_OTHER ? (enum reply_reason)number : REPLY_REASON_OTHER;
}

static void on_published(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_PUBLISHED;
    r->id = take_int(u);
    r->channel = take_text(u);
    r->epoch = take_u64(u);
    r->has_seq = (flags & BINARY_PUBLISHED_SEQ) != 0;
    r->seq = r->has_seq ? take_int(u) : 0;
    (void)take(u, (flags & BINARY_PUBLISHED_MESSAGE_ID) != 0 ? U64_BYTES : 0);
    r->count = (flags & BINARY_PUBLISHED_COUNT) != 0 ? take_int(u) : 1;
    r->publishes = (flags & BINARY_PUBLISHED_RUN) != 0 ? take_int(u) : 1;
    r->duplicate = (flags & BINARY_PUBLISHED_DUPLICATE) != 0;
    u->bad = u->bad || r->publishes == 0 || r->count < r->publishes;
}

static void on_subscribed(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_SUBSCRIBED;
    r->id = take_int(u);
    r->channel = take_text(u);
    r->epoch = take_u64(u);
    r->next = take_int(u);
    r->earliest = take_int(u);
    r->latest = take_int(u);
    r->reason = (flags & BINARY_SUBSCRIBED_RESET) != 0 ? take_reason(u) : REPLY_REASON_NONE;
    u->bad = u->bad || r->next == 0;
}

static void on_unsubscribed(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_UNSUBSCRIBED;
    r->id = take_int(u);
    r->channel = take_text(u);
    r->reason = (flags & BINARY_UNSUBSCRIBED_REASON) != 0 ? take_reason(u) : REPLY_REASON_NONE;
    r->has_range = (flags & BINARY_UNSUBSCRIBED_GAP) != 0;
    if (r->has_range) {
        r->from = take_int(u);
        r->to = take_int(u);
        r->epoch = take_u64(u);
        r->earliest = take_int(u);
        r->latest = take_int(u);
    }
}

/* From seq on, as a push and an element of a history have it. */
static void take_message(struct unit *u, unsigned flags, struct reply_message *m)
{
    m->seq = take_int(u);
    m->message_id = take_u64(u);
    m->time_ms = take_int(u);
    m->has_key = (flags & BINARY_MESSAGE_KEY) != 0;
    m->key = m->has_key ? take_text(u) : (struct bytes){0};
    m->producer = (flags & BINARY_MESSAGE_PRODUCER) != 0 ? take_text(u) : (struct bytes){0};
    m->producer_seq = (flags & BINARY_MESSAGE_NUMBERED) != 0 ? take_int(u) : 0;
    m->is_bytes = (flags & BINARY_MESSAGE_BYTES) != 0;
    m->data = u->rest;
    u->rest = (struct bytes){0};
    u->bad = u->bad || m->seq == 0;
}

static void on_message(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_MESSAGE;
    r->channel = take_text(u);
    take_message(u, flags, &r->message);
    r->message.channel = r->channel;
}

static void on_gap(struct unit *u, unsigned flags, struct reply *r)
{
    (void)flags;
    r->type = CLIENT_GAP;
    r->channel = take_text(u);
    r->from = take_int(u);
    r->to = take_int(u);
    r->reason = take_reason(u);
}

static void on_reset(struct unit *u, unsigned flags, struct reply *r)
{
    (void)flags;
    r->type = CLIENT_RESET;
    r->channel = take_text(u);
    r->epoch = take_u64(u);
    r->reason = take_reason(u);
    r->next = take_int(u);
    u->bad = u->bad || r->next == 0;
}

static void on_history(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_HISTORY;
    r->id = take_int(u);
    r->channel = take_text(u);
    r->epoch = take_u64(u);
    r->earliest = take_int(u);
    r->latest = take_int(u);
    r->more = (flags & BINARY_HISTORY_MORE) != 0;
    r->damaged = (struct bytes){0};
    if ((flags & BINARY_HISTORY_DAMAGED) != 0) {
        const uint64_t count = take_int(u);
        const uint8_t *from = u->rest.data;
        for (uint64_t i = 0; i < count && !u->bad; i++) {
            (void)take_int(u);
            (void)take_int(u);
        }
        r->damaged = u->bad ? (struct bytes){0} : bytes_of(from, (size_t)(u->rest.data - from));
    }
    r->elements = u->rest;
    u->rest = (struct bytes){0};
}

/* The JSON object that is the rest of the unit. */
static void take_object(struct unit *u, struct reply *r)
{
    u->bad = u->bad || client_message_parse(u->rest, &r->object) != RC_OK;
    u->rest = (struct bytes){0};
}

static void on_error(struct unit *u, unsigned flags, struct reply *r)
{
    (void)flags;
    r->type = CLIENT_ERROR;
    r->id = take_int(u);
    take_object(u, r);
}

static void on_goaway(struct unit *u, unsigned flags, struct reply *r)
{
    (void)flags;
    r->type = CLIENT_GOAWAY;
    take_object(u, r);
}

typedef void reader(struct unit *u, unsigned flags, struct reply *r);

/* By type; of the others we know nothing, nor do we ask for any. */
static reader *const readers[UINT8_MAX + 1] = {
    [BINARY_ERROR] = on_error,
    [BINARY_PUBLISHED] = on_published,
    [BINARY_SUBSCRIBED] = on_subscribed,
    [BINARY_UNSUBSCRIBED] = on_unsubscribed,
    [BINARY_HISTORY_REPLY] = on_history,
    [BINARY_MESSAGE] = on_message,
    [BINARY_GAP] = on_gap,
    [BINARY_RESET] = on_reset,
    [BINARY_GOAWAY] = on_goaway,
};

enum rc reply_take_unit(struct bytes *rest, struct reply *ret_reply)
{
    struct unit message = {.rest = *rest};
    struct unit u = {.rest = take(&message, take_int(&message))};
    u.bad = message.bad;
    const unsigned type = take_byte(&u);
    const unsigned flags = take_byte(&u);
    ret_reply->type = CLIENT_OTHER;
    if (readers[type] != NULL) {
        readers[type](&u, flags, ret_reply);
        u.bad = u.bad || u.rest.size > 0;
    }
    *rest = message.rest;
    return u.bad ? RC_BAD : RC_OK;
}

enum rc reply_next_element_binary(struct reply *reply, struct reply_message *ret_message)
{
    if (reply->elements.size == 0) {
        return RC_END;
    }
    struct unit all = {.rest = reply->elements};
    struct unit u = {.rest = take(&all, take_int(&all))};
    u.bad = all.bad;
    const unsigned flags = take_byte(&u);
    ret_message->channel = (struct bytes){0};
    take_message(&u, flags, ret_message);
    reply->elements = all.rest;
    return u.bad ? RC_BAD : RC_OK;
}

enum rc reply_next_damaged_binary(struct reply *reply, struct wire_range *ret_range)
{
    if (reply->damaged.size == 0) {
        return RC_END;
    }
    struct unit u = {.rest = reply->damaged};
    ret_range->from = take_int(&u);
    ret_range->to = take_int(&u);
    ASSERT(!u.bad); /* on_history() has read them before */
    reply->damaged = u.rest;
    return RC_OK;
}
