#include "client/reply_quick.h"

#include "base/limits.h"

/* A longer text is for the strict way. */
#define QUICK_NAME_SIZE 256u

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

/* Reads `"name":123` at *at and moves it behind; false: something else is there. */
static bool quick_number(struct bytes text, size_t *at, struct bytes name, uint64_t *ret_number)
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
    const uint8_t *begin = text.data + *at;
    const size_t left = text.size - *at;
    const uint8_t *end = memchr(begin, '"', left < QUICK_NAME_SIZE ? left : QUICK_NAME_SIZE);
    if (end == NULL) {
        return false;
    }
    unsigned odd = 0; /* all of it, without a branch: it rarely is */
    for (const uint8_t *c = begin; c < end; c++) {
        odd |= (unsigned)(*c == '\\') | (unsigned)(*c < 0x20);
    }
    if (odd != 0) {
        return false;
    }
    *ret_text = bytes_of(begin, (size_t)(end - begin));
    *at += ret_text->size + 1;
    return true;
}

/* As above for a string without escapes. */
static bool quick_text(struct bytes text, size_t *at, struct bytes name, struct bytes *ret_text)
{
    size_t here = *at;
    if (!take_literal(text, &here, name) || !take_literal(text, &here, BYTES_LITERAL("\"")) ||
        !take_plain(text, &here, ret_text)) {
        return false;
    }
    *at = here;
    return true;
}

/* From the seq on, up to the data: as a push and an element of a history have it. */
static bool take_members(struct bytes text, size_t *at, struct reply_message *m)
{
    if (!quick_number(text, at, BYTES_LITERAL("\"seq\":"), &m->seq) || m->seq == 0 ||
        !quick_text(text, at, BYTES_LITERAL(",\"message_id\":"), &m->id_text) ||
        !quick_number(text, at, BYTES_LITERAL(",\"time\":"), &m->time_ms)) {
        return false;
    }
    m->has_key = quick_text(text, at, BYTES_LITERAL(",\"key\":"), &m->key);
    if (quick_text(text, at, BYTES_LITERAL(",\"producer\":"), &m->producer) &&
        !quick_number(text, at, BYTES_LITERAL(",\"producer_seq\":"), &m->producer_seq)) {
        return false;
    }
    m->message_id = reply_message_id(m->id_text);
    return take_literal(text, at, BYTES_LITERAL(",\"data\":"));
}

/* `"epoch":"…"` */
static bool take_epoch(struct bytes text, size_t *at, char to[static REPLY_EPOCH_SIZE])
{
    struct bytes epoch;
    if (!quick_text(text, at, BYTES_LITERAL(",\"epoch\":"), &epoch) || epoch.size == 0 ||
        epoch.size >= REPLY_EPOCH_SIZE) {
        return false;
    }
    bytes_copy((uint8_t *)to, epoch.data, epoch.size);
    to[epoch.size] = '\0';
    return true;
}

static bool quick_published(struct bytes text, struct reply *ret_reply)
{
    struct bytes channel;
    struct bytes id_text;
    char epoch[REPLY_EPOCH_SIZE];
    uint64_t id;
    uint64_t seq;
    uint64_t count = 1;
    size_t at = 0;
    if (!quick_number(text, &at, BYTES_LITERAL("{\"type\":\"published\",\"id\":"), &id) ||
        !quick_text(text, &at, BYTES_LITERAL(",\"channel\":"), &channel) ||
        !quick_number(text, &at, BYTES_LITERAL(",\"seq\":"), &seq) ||
        !quick_text(text, &at, BYTES_LITERAL(",\"message_id\":"), &id_text) ||
        !take_epoch(text, &at, epoch)) {
        return false;
    }
    const bool has_count = quick_number(text, &at, BYTES_LITERAL(",\"count\":"), &count);
    if (count == 0) {
        return false;
    }
    const bool duplicate = take_literal(text, &at, BYTES_LITERAL(",\"duplicate\":true"));
    if (!take_literal(text, &at, BYTES_LITERAL("}")) || at != text.size) {
        return false;
    }
    ret_reply->type = CLIENT_PUBLISHED;
    ret_reply->id = id;
    ret_reply->channel = channel;
    ret_reply->has_seq = true;
    ret_reply->seq = seq;
    ret_reply->id_text = id_text;
    ret_reply->message_id = reply_message_id(id_text);
    bytes_copy((uint8_t *)ret_reply->epoch, (const uint8_t *)epoch, sizeof(epoch));
    ret_reply->has_count = has_count;
    ret_reply->count = count;
    ret_reply->publishes = 1;
    ret_reply->duplicate = duplicate;
    return true;
}

bool reply_quick(struct bytes text, struct reply *ret_reply)
{
    static const char published[] = "{\"type\":\"p";
    if (text.size > sizeof(published) && memcmp(text.data, published, sizeof(published) - 1) == 0) {
        return quick_published(text, ret_reply);
    }
    struct reply_message m = {0};
    struct json_value data;
    size_t at = 0;
    if (!quick_text(text, &at, BYTES_LITERAL("{\"type\":\"message\",\"channel\":"), &m.channel) ||
        !take_literal(text, &at, BYTES_LITERAL(",")) || !take_members(text, &at, &m) ||
        text.size - at < 2 || text.data[text.size - 1] != '}' ||
        json_scan_text(bytes_of(text.data + at, text.size - 1 - at), &data) != RC_OK ||
        data.too_deep) {
        return false;
    }
    m.data = data.raw;
    ret_reply->type = CLIENT_MESSAGE;
    ret_reply->id = 0;
    ret_reply->channel = m.channel;
    ret_reply->message = m;
    return true;
}

bool reply_quick_element(struct bytes *elements, struct reply_message *ret_message)
{
    const struct bytes text = *elements;
    struct reply_message m = {0};
    struct json_scan scan;
    struct json_value data;
    size_t at = 1; /* a bracket, or a comma */
    if (text.size == 0 || !take_literal(text, &at, BYTES_LITERAL("{")) ||
        !take_members(text, &at, &m)) {
        return false;
    }
    json_scan_init(&scan, bytes_of(text.data + at, text.size - at));
    if (json_scan_value(&scan, &data) != RC_OK || data.too_deep) {
        return false;
    }
    at += json_scan_offset(&scan);
    if (!take_literal(text, &at, BYTES_LITERAL("}")) || at >= text.size ||
        (text.data[at] != ',' && text.data[at] != ']')) {
        return false;
    }
    m.data = data.raw;
    *ret_message = m;
    *elements = text.data[at] == ']' ? (struct bytes){0} : bytes_of(text.data + at, text.size - at);
    return true;
}
