#include "client/message.h"

static const char *const field_names[CLIENT_FIELD_COUNT] = {
#define X(name, text) [CLIENT_FIELD_##name] = text,
    CLIENT_FIELD_LIST(X)
#undef X
};
static_assert(CLIENT_FIELD_COUNT <= 64, "one bit each in `seen`");

static const char *const type_names[] = {
#define X(name, text) [CLIENT_##name] = text,
    CLIENT_TYPE_LIST(X)
#undef X
};

/* CLIENT_FIELD_COUNT: a member that this client has no use for. */
static enum client_field field_of(const struct json_value *name)
{
    const struct bytes text = json_string_inner(name);
    enum client_field field = 0;
    while (field < CLIENT_FIELD_COUNT && !bytes_equal(text, bytes_of_text(field_names[field]))) {
        field++;
    }
    return field;
}

static enum client_type type_of(const struct client_message *message)
{
    enum client_type type = 0;
    while (type < CLIENT_OTHER &&
           !client_message_is(message, CLIENT_FIELD_TYPE, bytes_of_text(type_names[type]))) {
        type++;
    }
    return type;
}

/* Everything but the type. */
static enum rc parse_object(struct bytes text, struct client_message *ret_message)
{
    struct client_message message = {.text = text, .type = CLIENT_OTHER};
    struct json_scan scan;
    json_scan_init(&scan, text);
    if (json_scan_open(&scan, '{') != RC_OK) {
        return RC_BAD;
    }
    for (bool first = true;; first = false) {
        struct json_value name;
        struct json_value value;
        const enum rc rc = json_scan_member(&scan, first, &name);
        if (rc == RC_END) {
            break;
        }
        if (rc != RC_OK || json_scan_value(&scan, &value) != RC_OK) {
            return RC_BAD;
        }
        const enum client_field field = field_of(&name);
        if (field == CLIENT_FIELD_COUNT) {
            continue;
        }
        if (client_message_has(&message, field)) {
            return RC_BAD; /* [P 2] repeated */
        }
        message.seen |= UINT64_C(1) << field;
        message.fields[field] = value;
    }
    if (json_scan_end(&scan) != RC_OK) {
        return RC_BAD;
    }
    *ret_message = message;
    return RC_OK;
}

enum rc client_message_parse(struct bytes text, struct client_message *ret_message)
{
    struct client_message message;
    if (parse_object(text, &message) != RC_OK || !client_message_has(&message, CLIENT_FIELD_TYPE)) {
        return RC_BAD;
    }
    message.type = type_of(&message);
    *ret_message = message;
    return RC_OK;
}

enum rc client_message_parse_element(struct bytes text, struct client_message *ret_message)
{
    return parse_object(text, ret_message);
}

bool client_message_has(const struct client_message *message, enum client_field field)
{
    return (message->seen & (UINT64_C(1) << field)) != 0;
}

bool client_message_integer(const struct client_message *message, enum client_field field,
                            uint64_t *ret_value)
{
    return client_message_has(message, field) &&
           json_scan_integer(&message->fields[field], ret_value);
}

uint64_t client_message_integer_or_0(const struct client_message *message, enum client_field field)
{
    uint64_t value = 0;
    return client_message_integer(message, field, &value) ? value : 0;
}

bool client_message_true(const struct client_message *message, enum client_field field)
{
    return client_message_has(message, field) && message->fields[field].kind == JSON_KIND_TRUE;
}

#define COMPARED_BYTES_MAX 2048u

static bool stands_for(const struct json_value *value, struct bytes text)
{
    if (value->kind != JSON_KIND_STRING) {
        return false;
    }
    if (!value->escaped) {
        return bytes_equal(json_string_inner(value), text);
    }
    /* Channel names, codes and types are short, also with each byte escaped. */
    uint8_t plain[COMPARED_BYTES_MAX];
    size_t size = 0;
    return value->raw.size <= sizeof(plain) && json_unescape(value, plain, &size) &&
           bytes_equal(bytes_of(plain, size), text);
}

bool client_message_is(const struct client_message *message, enum client_field field,
                       struct bytes text)
{
    return client_message_has(message, field) && stands_for(&message->fields[field], text);
}

bool client_message_lists(const struct client_message *message, enum client_field field,
                          struct bytes text)
{
    const struct json_value *list = &message->fields[field];
    struct json_scan scan;
    if (!client_message_has(message, field) || list->too_deep) {
        return false;
    }
    json_scan_init(&scan, list->raw);
    if (json_scan_open(&scan, '[') != RC_OK) {
        return false;
    }
    for (bool first = true; json_scan_element(&scan, first) == RC_OK; first = false) {
        struct json_value value;
        const enum rc rc = json_scan_value(&scan, &value);
        ASSERT(rc == RC_OK); /* it was scanned as a whole before */
        if (stands_for(&value, text)) {
            return true;
        }
    }
    return false;
}

void client_message_show(const struct client_message *message, enum client_field field, char *to,
                         size_t size)
{
    ASSERT(size > 0);
    size_t count = 0;
    const struct json_value *value = &message->fields[field];
    if (client_message_has(message, field) && value->kind == JSON_KIND_STRING) {
        const struct bytes text = json_string_inner(value);
        for (; count < text.size && count + 1 < size; count++) {
            const uint8_t c = text.data[count];
            to[count] = c < 0x20 || c == 0x7F ? '?' : (char)c;
        }
    }
    to[count] = '\0';
}
