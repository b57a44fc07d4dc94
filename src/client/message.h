/* What a server says, taken apart.
 *
 * [P 2] Unknown members are ignored; a repeated one that is known is refused, as is any text that
 * is not one JSON object. The scanner of wire/json.h is used and no JSON library, since payloads
 * must come out byte for byte; each member known is kept as the span that it is.
 *
 * Thread: the owner's.  Memory: everything borrows from the text. */
#ifndef CLIENT_MESSAGE_H
#define CLIENT_MESSAGE_H

#include "wire/json.h"

/* X(NAME, "type on the wire") */
#define CLIENT_TYPE_LIST(X)                                                                        \
    X(CONNECTED, "connected")                                                                      \
    X(PUBLISHED, "published")                                                                      \
    X(SUBSCRIBED, "subscribed")                                                                    \
    X(UNSUBSCRIBED, "unsubscribed")                                                                \
    X(MESSAGE, "message")                                                                          \
    X(GAP, "gap")                                                                                  \
    X(RESET, "reset")                                                                              \
    X(HISTORY, "history")                                                                          \
    X(DIGEST, "digest")                                                                            \
    X(GOAWAY, "goaway")                                                                            \
    X(ERROR, "error")                                                                              \
    X(OTHER, "")

enum client_type {
#define X(name, text) CLIENT_##name,
    CLIENT_TYPE_LIST(X)
#undef X
};

/* X(NAME, "member") */
#define CLIENT_FIELD_LIST(X)                                                                       \
    X(TYPE, "type")                                                                                \
    X(ID, "id")                                                                                    \
    X(CHANNEL, "channel")                                                                          \
    X(SEQ, "seq")                                                                                  \
    X(EPOCH, "epoch")                                                                              \
    X(NEXT, "next")                                                                                \
    X(EARLIEST, "earliest")                                                                        \
    X(LATEST, "latest")                                                                            \
    X(FROM, "from")                                                                                \
    X(TO, "to")                                                                                    \
    X(REASON, "reason")                                                                            \
    X(RESET, "reset")                                                                              \
    X(DUPLICATE, "duplicate")                                                                      \
    X(CODE, "code")                                                                                \
    X(TEXT, "message")                                                                             \
    X(EXPECTED, "expected")                                                                        \
    X(RETRY_AFTER_MS, "retry_after_ms")                                                            \
    X(RECONNECT_AFTER_MS, "reconnect_after_ms")                                                    \
    X(PING_MS, "ping_ms")                                                                          \
    X(DATA, "data")                                                                                \
    X(DATA_BASE64, "data_base64")                                                                  \
    X(KEY, "key")                                                                                  \
    X(PRODUCER, "producer")                                                                        \
    X(PRODUCER_SEQ, "producer_seq")                                                                \
    X(MESSAGE_ID, "message_id")                                                                    \
    X(TIME, "time")                                                                                \
    X(MESSAGE_COUNT, "count")                                                                      \
    X(MESSAGES, "messages")                                                                        \
    X(MORE, "more")                                                                                \
    X(DIGEST, "digest")                                                                            \
    X(DAMAGED, "damaged")                                                                          \
    X(FEATURES, "features")                                                                        \
    X(LIMITS, "limits")                                                                            \
    X(FRAME_BYTES, "frame_bytes")

enum client_field {
#define X(name, text) CLIENT_FIELD_##name,
    CLIENT_FIELD_LIST(X)
#undef X
        CLIENT_FIELD_COUNT
};

struct client_message {
    enum client_type type;
    struct bytes text; /* the whole object */
    uint64_t seen;     /* bit per enum client_field */
    struct json_value fields[CLIENT_FIELD_COUNT];
};

/* RC_BAD  not such an object */
MUST_USE enum rc client_message_parse(struct bytes text, struct client_message *ret_message);
/* As above for an element of a history's `messages`, which has no `type`; it is CLIENT_OTHER. */
MUST_USE enum rc client_message_parse_element(struct bytes text,
                                              struct client_message *ret_message);

bool client_message_has(const struct client_message *message, enum client_field field);
/* False: not there, or no integer of the wire. */
bool client_message_integer(const struct client_message *message, enum client_field field,
                            uint64_t *ret_value);
/* As above, with 0 for what is not there. */
uint64_t client_message_integer_or_0(const struct client_message *message, enum client_field field);
bool client_message_true(const struct client_message *message, enum client_field field);
/* Whether a string member stands for exactly that text. */
bool client_message_is(const struct client_message *message, enum client_field field,
                       struct bytes text);
/* Whether a member is an array in which exactly that text stands. */
bool client_message_lists(const struct client_message *message, enum client_field field,
                          struct bytes text);
/* A string member for people: cut to the room, control characters as '?'; "" if it is not there. */
void client_message_show(const struct client_message *message, enum client_field field, char *to,
                         size_t size);

#endif
