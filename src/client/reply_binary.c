/* Replies of "seriatim.v1.binary": docs/PROTOCOL.md, section 15. Read field by field, and not by
 * the server's own code. */
#include "client/reply.h"
#include "client/unit.h"
#include "wire/binary_codec.h"

/* [P 15] as in JSON */
static void take_epoch(struct unit *u, struct reply *r)
{
    static_assert(WIRE_EPOCH_TEXT_SIZE <= REPLY_EPOCH_SIZE, "any number's text");
    wire_epoch_text(unit_take_u64(u), r->epoch);
}

static enum reply_reason take_reason(struct unit *u)
{
    const unsigned number = unit_take_byte(u);
    return number < REPLY_REASON_OTHER ? (enum reply_reason)number : REPLY_REASON_OTHER;
}

static void on_published(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_PUBLISHED;
    r->id = unit_take_int(u);
    r->channel = unit_take_text(u);
    take_epoch(u, r);
    r->has_seq = (flags & BINARY_PUBLISHED_SEQ) != 0;
    r->seq = r->has_seq ? unit_take_int(u) : 0;
    r->message_id = (flags & BINARY_PUBLISHED_MESSAGE_ID) != 0 ? unit_take_u64(u) : 0;
    r->id_text = (struct bytes){0};
    r->has_count = (flags & BINARY_PUBLISHED_COUNT) != 0;
    r->count = r->has_count ? unit_take_int(u) : 1;
    r->publishes = (flags & BINARY_PUBLISHED_RUN) != 0 ? unit_take_int(u) : 1;
    r->duplicate = (flags & BINARY_PUBLISHED_DUPLICATE) != 0;
    u->bad = u->bad || r->publishes == 0 || r->count < r->publishes;
}

static void on_subscribed(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_SUBSCRIBED;
    r->id = unit_take_int(u);
    r->channel = unit_take_text(u);
    take_epoch(u, r);
    r->next = unit_take_int(u);
    r->earliest = unit_take_int(u);
    r->latest = unit_take_int(u);
    r->has_earliest = r->has_latest = true;
    r->reason = (flags & BINARY_SUBSCRIBED_RESET) != 0 ? take_reason(u) : REPLY_REASON_NONE;
    u->bad = u->bad || r->next == 0;
}

static void on_unsubscribed(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_UNSUBSCRIBED;
    r->id = unit_take_int(u);
    r->channel = unit_take_text(u);
    r->reason = (flags & BINARY_UNSUBSCRIBED_REASON) != 0 ? take_reason(u) : REPLY_REASON_NONE;
    r->has_range = (flags & BINARY_UNSUBSCRIBED_GAP) != 0;
    if (r->has_range) {
        r->from = unit_take_int(u);
        r->to = unit_take_int(u);
        take_epoch(u, r);
        r->earliest = unit_take_int(u);
        r->latest = unit_take_int(u);
    }
}

/* From seq on, as a push and an element of a history have it. */
static void take_message(struct unit *u, unsigned flags, struct reply_message *m)
{
    m->seq = unit_take_int(u);
    m->message_id = unit_take_u64(u);
    m->id_text = (struct bytes){0};
    m->time_ms = unit_take_int(u);
    m->has_key = (flags & BINARY_MESSAGE_KEY) != 0;
    m->key = m->has_key ? unit_take_text(u) : (struct bytes){0};
    m->producer = (flags & BINARY_MESSAGE_PRODUCER) != 0 ? unit_take_text(u) : (struct bytes){0};
    m->producer_seq = (flags & BINARY_MESSAGE_NUMBERED) != 0 ? unit_take_int(u) : 0;
    m->is_bytes = (flags & BINARY_MESSAGE_BYTES) != 0;
    m->data = u->rest;
    u->rest = (struct bytes){0};
    u->bad = u->bad || m->seq == 0;
}

static void on_message(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_MESSAGE;
    r->channel = unit_take_text(u);
    take_message(u, flags, &r->message);
    r->message.channel = r->channel;
}

static void on_gap(struct unit *u, unsigned flags, struct reply *r)
{
    (void)flags;
    r->type = CLIENT_GAP;
    r->channel = unit_take_text(u);
    r->from = unit_take_int(u);
    r->to = unit_take_int(u);
    r->reason = take_reason(u);
}

static void on_reset(struct unit *u, unsigned flags, struct reply *r)
{
    (void)flags;
    r->type = CLIENT_RESET;
    r->channel = unit_take_text(u);
    take_epoch(u, r);
    r->reason = take_reason(u);
    r->next = unit_take_int(u);
    u->bad = u->bad || r->next == 0;
}

static void on_history(struct unit *u, unsigned flags, struct reply *r)
{
    r->type = CLIENT_HISTORY;
    r->id = unit_take_int(u);
    r->channel = unit_take_text(u);
    take_epoch(u, r);
    r->earliest = unit_take_int(u);
    r->latest = unit_take_int(u);
    r->has_earliest = r->has_latest = true;
    r->more = (flags & BINARY_HISTORY_MORE) != 0;
    r->damaged = (struct bytes){0};
    if ((flags & BINARY_HISTORY_DAMAGED) != 0) {
        const uint64_t count = unit_take_int(u);
        const uint8_t *from = u->rest.data;
        for (uint64_t i = 0; i < count && !u->bad; i++) {
            (void)unit_take_int(u);
            (void)unit_take_int(u);
        }
        r->damaged = u->bad ? (struct bytes){0} : bytes_of(from, (size_t)(u->rest.data - from));
    }
    r->elements = u->rest;
    u->rest = (struct bytes){0};
}

static void on_digest(struct unit *u, unsigned flags, struct reply *r)
{
    (void)flags;
    r->type = CLIENT_DIGEST;
    r->id = unit_take_int(u);
    r->channel = unit_take_text(u);
    take_epoch(u, r);
    r->seq = unit_take_int(u);
    r->digest = unit_take_u64(u);
    r->has_seq = r->has_digest = true;
}

/* The JSON object that is the rest of the unit. */
static void take_object(struct unit *u, struct reply *r)
{
    u->bad = u->bad || client_message_parse(u->rest, &r->object) != RC_OK;
    u->rest = (struct bytes){0};
}

static void on_connected(struct unit *u, unsigned flags, struct reply *r)
{
    (void)flags;
    r->type = CLIENT_CONNECTED;
    r->id = unit_take_int(u);
    take_object(u, r);
}

static void on_error(struct unit *u, unsigned flags, struct reply *r)
{
    (void)flags;
    r->type = CLIENT_ERROR;
    r->id = unit_take_int(u);
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
    [BINARY_CONNECTED] = on_connected,
    [BINARY_PUBLISHED] = on_published,
    [BINARY_SUBSCRIBED] = on_subscribed,
    [BINARY_UNSUBSCRIBED] = on_unsubscribed,
    [BINARY_HISTORY_REPLY] = on_history,
    [BINARY_DIGEST_REPLY] = on_digest,
    [BINARY_MESSAGE] = on_message,
    [BINARY_GAP] = on_gap,
    [BINARY_RESET] = on_reset,
    [BINARY_GOAWAY] = on_goaway,
};

enum rc reply_take_unit(struct bytes *rest, struct reply *ret_reply)
{
    struct unit message = {.rest = *rest};
    struct unit u = {.rest = unit_take(&message, unit_take_int(&message))};
    u.bad = message.bad;
    const unsigned type = unit_take_byte(&u);
    const unsigned flags = unit_take_byte(&u);
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
    struct unit u = {.rest = unit_take(&all, unit_take_int(&all))};
    u.bad = all.bad;
    const unsigned flags = unit_take_byte(&u);
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
    ret_range->from = unit_take_int(&u);
    ret_range->to = unit_take_int(&u);
    ASSERT(!u.bad); /* on_history() has read them before */
    reply->damaged = u.rest;
    return RC_OK;
}
