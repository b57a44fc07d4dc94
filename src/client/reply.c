#include "client/reply.h"

#include "base/digest.h"
#include "client/reply_quick.h"
#include "wire/base64.h"

static const char *const reason_texts[] = {
    [REPLY_REASON_NONE] = "",
    [REPLY_TRIMMED] = "trimmed",
    [REPLY_EPOCH] = "epoch",
    [REPLY_AHEAD] = "ahead",
    [REPLY_DAMAGED] = "damaged",
    [REPLY_GAP] = "gap",
    [REPLY_UNAVAILABLE] = "unavailable",
    [REPLY_SLOW] = "slow",
    [REPLY_CONFLATED] = "conflated",
    [REPLY_REASON_OTHER] = "other",
};

const char *reply_reason_text(enum reply_reason reason)
{
    return reason_texts[reason];
}

void reply_room_deinit(struct reply_room *room)
{
    buf_deinit(&room->data);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* A string member that is a name; false: it is none, or too long for one. */
static bool name_of(const struct client_message *message, enum client_field field, uint8_t *room,
                    struct bytes *ret_name)
{
    const struct json_value *value = &message->fields[field];
    if (value->kind != JSON_KIND_STRING || value->raw.size > REPLY_NAME_SIZE) {
        return false;
    }
    if (!value->escaped) {
        *ret_name = json_string_inner(value);
        return true;
    }
    size_t size = 0;
    if (!json_unescape(value, room, &size)) {
        return false;
    }
    *ret_name = bytes_of(room, size);
    return true;
}

static uint64_t number_of(const struct client_message *m, enum client_field field)
{
    return client_message_integer_or_0(m, field);
}

static bool epoch_of(const struct client_message *m, char to[static REPLY_EPOCH_SIZE])
{
    uint8_t room[REPLY_NAME_SIZE];
    struct bytes epoch;
    to[0] = '\0';
    if (!client_message_has(m, CLIENT_FIELD_EPOCH) ||
        !name_of(m, CLIENT_FIELD_EPOCH, room, &epoch) || epoch.size == 0 ||
        epoch.size >= REPLY_EPOCH_SIZE || memchr(epoch.data, '\0', epoch.size) != NULL) {
        return false;
    }
    bytes_copy((uint8_t *)to, epoch.data, epoch.size);
    to[epoch.size] = '\0';
    return true;
}

static enum reply_reason reason_of(const struct client_message *m)
{
    if (!client_message_has(m, CLIENT_FIELD_REASON)) {
        return REPLY_REASON_NONE;
    }
    for (enum reply_reason i = REPLY_TRIMMED; i < REPLY_REASON_OTHER; i++) {
        if (client_message_is(m, CLIENT_FIELD_REASON, bytes_of_text(reason_texts[i]))) {
            return i;
        }
    }
    return REPLY_REASON_OTHER;
}

uint64_t reply_message_id(struct bytes text)
{
    const size_t sure = text.size < 19 ? text.size : 19; /* as many have room whatever they are */
    uint64_t id = 0;
    bool good = text.size <= 20;
    for (size_t i = 0; i < sure; i++) {
        const unsigned digit = (unsigned)text.data[i] - '0';
        good &= digit <= 9;
        id = id * 10 + digit;
    }
    if (good && text.size == 20) {
        const unsigned digit = (unsigned)text.data[19] - '0';
        good = digit <= 9 && id <= (UINT64_MAX - digit) / 10;
        id = id * 10 + digit;
    }
    return good ? id : 0;
}

/* `"message_id":"7218…"`, without its quotes. */
static struct bytes id_text_of(const struct client_message *m, struct reply_room *room)
{
    struct bytes text;
    return client_message_has(m, CLIENT_FIELD_MESSAGE_ID) &&
                   name_of(m, CLIENT_FIELD_MESSAGE_ID, room->message_id, &text)
               ? text
               : (struct bytes){0};
}

static enum rc take_payload(const struct client_message *m, struct reply_room *room,
                            struct reply_message *to)
{
    const bool has_data = client_message_has(m, CLIENT_FIELD_DATA);
    if (has_data == client_message_has(m, CLIENT_FIELD_DATA_BASE64)) {
        return RC_BAD;
    }
    to->is_bytes = !has_data;
    if (has_data) {
        to->data = m->fields[CLIENT_FIELD_DATA].raw;
        return RC_OK;
    }
    const struct json_value *value = &m->fields[CLIENT_FIELD_DATA_BASE64];
    if (value->kind != JSON_KIND_STRING) {
        return RC_BAD;
    }
    const struct bytes text = json_string_inner(value);
    buf_clear(&room->data);
    const enum rc rc = buf_reserve(&room->data, base64_decoded_size(text) + 1);
    size_t size = 0;
    if (rc == RC_OK && !base64_decode(room->data.data, text, &size)) {
        return RC_BAD;
    }
    to->data = bytes_of(room->data.data, size);
    return rc;
}

static enum rc take_message(const struct client_message *m, struct reply_room *room,
                            struct reply_message *to)
{
    *to = (struct reply_message){
        .seq = number_of(m, CLIENT_FIELD_SEQ),
        .id_text = id_text_of(m, room),
        .time_ms = number_of(m, CLIENT_FIELD_TIME),
        .producer_seq = number_of(m, CLIENT_FIELD_PRODUCER_SEQ),
        .has_key = client_message_has(m, CLIENT_FIELD_KEY),
    };
    to->message_id = reply_message_id(to->id_text);
    if (to->seq == 0 || (to->has_key && !name_of(m, CLIENT_FIELD_KEY, room->key, &to->key))) {
        return RC_BAD;
    }
    if (client_message_has(m, CLIENT_FIELD_PRODUCER) &&
        !name_of(m, CLIENT_FIELD_PRODUCER, room->producer, &to->producer)) {
        return RC_BAD;
    }
    return take_payload(m, room, to);
}

static enum rc take_published(const struct client_message *m, struct reply_room *room,
                              struct reply *r)
{
    r->id_text = id_text_of(m, room);
    r->message_id = reply_message_id(r->id_text);
    r->has_seq = client_message_integer(m, CLIENT_FIELD_SEQ, &r->seq);
    r->has_count = client_message_has(m, CLIENT_FIELD_MESSAGE_COUNT);
    r->count = r->has_count ? number_of(m, CLIENT_FIELD_MESSAGE_COUNT) : 1;
    r->publishes = 1;
    r->duplicate = client_message_true(m, CLIENT_FIELD_DUPLICATE);
    return epoch_of(m, r->epoch) && r->count > 0 ? RC_OK : RC_BAD;
}

static void take_ends(const struct client_message *m, struct reply *r)
{
    r->earliest = r->latest = 0;
    r->has_earliest = client_message_integer(m, CLIENT_FIELD_EARLIEST, &r->earliest);
    r->has_latest = client_message_integer(m, CLIENT_FIELD_LATEST, &r->latest);
}

static enum rc take_subscribed(const struct client_message *m, struct reply *r)
{
    r->next = number_of(m, CLIENT_FIELD_NEXT);
    take_ends(m, r);
    r->reason = REPLY_REASON_NONE;
    struct client_message inside;
    if (client_message_has(m, CLIENT_FIELD_RESET)) {
        if (client_message_parse_element(m->fields[CLIENT_FIELD_RESET].raw, &inside) != RC_OK) {
            return RC_BAD;
        }
        r->reason = reason_of(&inside);
        r->reason = r->reason == REPLY_REASON_NONE ? REPLY_REASON_OTHER : r->reason;
    }
    return epoch_of(m, r->epoch) && r->next > 0 ? RC_OK : RC_BAD;
}

static void take_bounds(const struct client_message *m, struct reply *r)
{
    r->has_range = client_message_integer(m, CLIENT_FIELD_FROM, &r->from) &&
                   client_message_integer(m, CLIENT_FIELD_TO, &r->to);
    r->earliest = number_of(m, CLIENT_FIELD_EARLIEST);
    r->latest = number_of(m, CLIENT_FIELD_LATEST);
    r->reason = reason_of(m);
    (void)epoch_of(m, r->epoch);
}

static enum rc take_history(const struct client_message *m, struct reply *r)
{
    take_ends(m, r);
    r->more = client_message_true(m, CLIENT_FIELD_MORE);
    r->elements = client_message_has(m, CLIENT_FIELD_MESSAGES)
                      ? m->fields[CLIENT_FIELD_MESSAGES].raw
                      : (struct bytes){0};
    r->damaged = client_message_has(m, CLIENT_FIELD_DAMAGED) ? m->fields[CLIENT_FIELD_DAMAGED].raw
                                                             : (struct bytes){0};
    const bool good = r->elements.size > 0 && r->elements.data[0] == '[' &&
                      (r->damaged.size == 0 || r->damaged.data[0] == '[');
    return epoch_of(m, r->epoch) && good ? RC_OK : RC_BAD;
}

/* Without a digest it is one that says nothing: who asked is to be told. */
static enum rc take_digest(const struct client_message *m, struct reply *r)
{
    const struct json_value *value = &m->fields[CLIENT_FIELD_DIGEST];
    r->has_seq = client_message_integer(m, CLIENT_FIELD_SEQ, &r->seq);
    r->has_digest = client_message_has(m, CLIENT_FIELD_DIGEST) && value->kind == JSON_KIND_STRING &&
                    digest_parse(json_string_inner(value), &r->digest);
    return epoch_of(m, r->epoch) ? RC_OK : RC_BAD;
}

static enum rc take_by_type(const struct client_message *m, struct reply_room *room,
                            struct reply *r)
{
    switch (m->type) {
    case CLIENT_PUBLISHED: return take_published(m, room, r);
    case CLIENT_SUBSCRIBED: return take_subscribed(m, r);
    case CLIENT_MESSAGE: {
        const enum rc rc = take_message(m, room, &r->message);
        r->message.channel = r->channel;
        return rc;
    }
    case CLIENT_GAP: take_bounds(m, r); return r->has_range ? RC_OK : RC_BAD;
    case CLIENT_RESET:
        r->next = number_of(m, CLIENT_FIELD_NEXT);
        r->reason = reason_of(m);
        return epoch_of(m, r->epoch) && r->next > 0 ? RC_OK : RC_BAD;
    case CLIENT_HISTORY: return take_history(m, r);
    case CLIENT_UNSUBSCRIBED: take_bounds(m, r); return RC_OK;
    case CLIENT_CONNECTED:
    case CLIENT_ERROR:
    case CLIENT_GOAWAY: r->object = *m; return RC_OK;
    case CLIENT_DIGEST: return take_digest(m, r);
    case CLIENT_OTHER: return RC_OK;
    }
    UNREACHABLE();
}

static bool has_channel(enum client_type type)
{
    return type == CLIENT_PUBLISHED || type == CLIENT_SUBSCRIBED || type == CLIENT_UNSUBSCRIBED ||
           type == CLIENT_MESSAGE || type == CLIENT_GAP || type == CLIENT_RESET ||
           type == CLIENT_HISTORY || type == CLIENT_DIGEST;
}

static enum rc take_text(struct bytes text, struct reply_room *room, struct reply *r)
{
    struct client_message m;
    if (client_message_parse(text, &m) != RC_OK) {
        return RC_BAD;
    }
    r->type = m.type;
    r->id = number_of(&m, CLIENT_FIELD_ID);
    if (has_channel(m.type) && (!client_message_has(&m, CLIENT_FIELD_CHANNEL) ||
                                !name_of(&m, CLIENT_FIELD_CHANNEL, room->channel, &r->channel))) {
        return RC_BAD;
    }
    return take_by_type(&m, room, r);
}

/* ---- either -------------------------------------------------------------------------------- */

enum rc reply_take(enum wire_codec codec, struct bytes *rest, struct reply_room *room,
                   struct reply *ret_reply)
{
    if (codec == WIRE_BINARY) {
        return reply_take_unit(rest, ret_reply);
    }
    const struct bytes text = *rest;
    *rest = (struct bytes){0};
    if (reply_quick(text, ret_reply)) {
        return RC_OK;
    }
    return take_text(text, room, ret_reply);
}

/* Takes the first value off what is left of an array, which begins with its bracket or a comma. */
static enum rc next_in_array(struct bytes *rest, struct bytes *ret_value)
{
    struct json_scan scan;
    struct json_value value;
    if (rest->size == 0) {
        return RC_END;
    }
    /* The array was scanned as a whole: what is left of it is one again with a bracket in front. */
    json_scan_init(&scan, bytes_of(rest->data + 1, rest->size - 1));
    if (json_scan_peek(&scan) == ']') {
        return RC_END;
    }
    if (json_scan_value(&scan, &value) != RC_OK) {
        return RC_BAD;
    }
    (void)json_scan_peek(&scan);
    const size_t used = 1 + json_scan_offset(&scan);
    ASSERT(used < rest->size); /* at the least the closing bracket */
    *rest = bytes_of(rest->data + used, rest->size - used);
    if (rest->data[0] == ']') {
        *rest = (struct bytes){0};
    }
    *ret_value = value.raw;
    return RC_OK;
}

enum rc reply_next_element(enum wire_codec codec, struct reply *reply, struct reply_room *room,
                           struct reply_message *ret_message)
{
    if (codec == WIRE_BINARY) {
        return reply_next_element_binary(reply, ret_message);
    }
    if (reply_quick_element(&reply->elements, ret_message)) {
        return RC_OK;
    }
    struct bytes text;
    const enum rc rc = next_in_array(&reply->elements, &text);
    struct client_message m;
    if (rc != RC_OK) {
        return rc;
    }
    return client_message_parse_element(text, &m) == RC_OK ? take_message(&m, room, ret_message)
                                                           : RC_BAD;
}

enum rc reply_next_damaged(enum wire_codec codec, struct reply *reply, struct wire_range *ret_range)
{
    if (codec == WIRE_BINARY) {
        return reply_next_damaged_binary(reply, ret_range);
    }
    struct bytes text;
    const enum rc rc = next_in_array(&reply->damaged, &text);
    struct client_message m;
    if (rc != RC_OK) {
        return rc;
    }
    const bool good = client_message_parse_element(text, &m) == RC_OK &&
                      client_message_integer(&m, CLIENT_FIELD_FROM, &ret_range->from) &&
                      client_message_integer(&m, CLIENT_FIELD_TO, &ret_range->to);
    return good ? RC_OK : RC_BAD;
}
