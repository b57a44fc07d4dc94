#include "client/pushed.h"

#include "base/limits.h"

static bool take_literal(struct bytes text, size_t *at, struct bytes literal)
{
    if (text.size - *at < literal.size ||
        memcmp(text.data + *at, literal.data, literal.size) != 0) {
        return false;
    }
    *at += literal.size;
    return true;
}

/* Digits as JSON has them: no zero in front, and no more than the wire allows ([P 2]). */
static bool take_digits(struct bytes text, size_t *at, uint64_t *ret_number)
{
    const size_t begin = *at;
    size_t end = begin;
    uint64_t number = 0;
    while (end < text.size && text.data[end] >= '0' && text.data[end] <= '9' && end - begin < 17) {
        number = number * 10 + (uint64_t)(text.data[end] - '0');
        end++;
    }
    const bool more = end < text.size && text.data[end] >= '0' && text.data[end] <= '9';
    if (end == begin || more || number > WIRE_INTEGER_MAX ||
        (text.data[begin] == '0' && end - begin > 1)) {
        return false;
    }
    /* What follows must end the number: a fraction or an exponent is for the strict way. */
    if (end == text.size || (text.data[end] != ',' && text.data[end] != '}')) {
        return false;
    }
    *at = end;
    *ret_number = number;
    return true;
}

bool pushed_take_number(struct bytes text, size_t *at, struct bytes name, uint64_t *ret_number)
{
    size_t here = *at;
    if (!take_literal(text, &here, name) || !take_digits(text, &here, ret_number)) {
        return false;
    }
    *at = here;
    return true;
}

/* A string's inside; it is short and plain, or it is for the strict way. */
static bool take_plain(struct bytes text, size_t *at, struct bytes *ret_text)
{
    size_t end = *at;
    while (end < text.size && text.data[end] != '"') {
        if (text.data[end] == '\\' || text.data[end] < 0x20 || end - *at >= PUSHED_NAME_SIZE) {
            return false;
        }
        end++;
    }
    if (end == text.size) {
        return false;
    }
    *ret_text = bytes_of(text.data + *at, end - *at);
    *at = end + 1;
    return true;
}

bool pushed_take_plain(struct bytes text, size_t *at, struct bytes name, struct bytes *ret_text)
{
    size_t here = *at;
    if (!take_literal(text, &here, name) || !take_literal(text, &here, BYTES_LITERAL("\"")) ||
        !take_plain(text, &here, ret_text)) {
        return false;
    }
    *at = here;
    return true;
}

bool pushed_quick(struct bytes text, struct bytes head, struct pushed *ret_pushed)
{
    struct pushed pushed = {0};
    size_t at = 0;
    if (!take_literal(text, &at, head) || !take_digits(text, &at, &pushed.seq) || pushed.seq == 0 ||
        !pushed_take_plain(text, &at, BYTES_LITERAL(",\"message_id\":"), &pushed.message_id) ||
        !pushed_take_number(text, &at, BYTES_LITERAL(",\"time\":"), &pushed.time)) {
        return false;
    }
    pushed.has_key = pushed_take_plain(text, &at, BYTES_LITERAL(",\"key\":"), &pushed.key);
    if (!pushed_take_plain(text, &at, BYTES_LITERAL(",\"producer\":"), &pushed.producer) ||
        !pushed_take_number(text, &at, BYTES_LITERAL(",\"producer_seq\":"), &pushed.producer_seq) ||
        !take_literal(text, &at, BYTES_LITERAL(",\"data\":"))) {
        return false;
    }
    pushed.data = bytes_of(text.data + at, text.size - at);
    *ret_pushed = pushed;
    return true;
}

/* A string member, unescaped. False: it is no string, or not one of ours. */
static bool take_string(const struct client_message *message, enum client_field field,
                        uint8_t room[static PUSHED_NAME_SIZE], struct bytes *ret_text)
{
    const struct json_value *value = &message->fields[field];
    if (value->kind != JSON_KIND_STRING) {
        return false;
    }
    if (!value->escaped) {
        *ret_text = json_string_inner(value);
        return true;
    }
    size_t size = 0;
    if (value->raw.size > PUSHED_NAME_SIZE || !json_unescape(value, room, &size)) {
        return false;
    }
    *ret_text = bytes_of(room, size);
    return true;
}

bool pushed_from(const struct client_message *message, struct pushed_room *room,
                 struct pushed *ret_pushed)
{
    struct pushed pushed = {0};
    if (!client_message_integer(message, CLIENT_FIELD_SEQ, &pushed.seq) || pushed.seq == 0 ||
        !client_message_integer(message, CLIENT_FIELD_TIME, &pushed.time) ||
        !client_message_has(message, CLIENT_FIELD_MESSAGE_ID) ||
        !take_string(message, CLIENT_FIELD_MESSAGE_ID, room->message_id, &pushed.message_id) ||
        !client_message_has(message, CLIENT_FIELD_DATA) ||
        client_message_has(message, CLIENT_FIELD_DATA_BASE64)) {
        return false;
    }
    pushed.data = message->fields[CLIENT_FIELD_DATA].raw;
    if (client_message_has(message, CLIENT_FIELD_PRODUCER) &&
        !take_string(message, CLIENT_FIELD_PRODUCER, room->producer, &pushed.producer)) {
        return false;
    }
    if (client_message_has(message, CLIENT_FIELD_PRODUCER_SEQ) &&
        !client_message_integer(message, CLIENT_FIELD_PRODUCER_SEQ, &pushed.producer_seq)) {
        return false;
    }
    pushed.has_key = client_message_has(message, CLIENT_FIELD_KEY);
    if (pushed.has_key && !take_string(message, CLIENT_FIELD_KEY, room->key, &pushed.key)) {
        return false;
    }
    *ret_pushed = pushed;
    return true;
}
