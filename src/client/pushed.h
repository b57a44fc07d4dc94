/* A message as a server hands it out, taken apart: by `message` or as an element of `history`.
 *
 * There are two ways to the same result. The quick one knows the order in which members usually
 * stand and stops at the first byte that is otherwise; it leaves the data to its caller, who knows
 * what it must be. The other one is the strict scanner, and decides where the quick one does not
 * match: no message is judged by what the quick way fails to read.
 *
 * Thread: the owner's.  Memory: spans borrow from the text, or from `room` where a name was
 * escaped. */
#ifndef CLIENT_PUSHED_H
#define CLIENT_PUSHED_H

#include "client/message.h"

struct pushed {
    uint64_t seq;
    uint64_t time;
    uint64_t producer_seq; /* 0: none */
    struct bytes message_id;
    struct bytes producer; /* empty: none */
    struct bytes key;
    bool has_key;
    struct bytes data; /* a JSON value, as it was written */
};

#define PUSHED_NAME_SIZE 256u

/* Where an escaped name is kept unescaped. */
struct pushed_room {
    uint8_t message_id[PUSHED_NAME_SIZE];
    uint8_t producer[PUSHED_NAME_SIZE];
    uint8_t key[PUSHED_NAME_SIZE];
};

/* `text` begins with a message; `head` is what must stand before the seq, such as
 * `{"type":"message","channel":"c","seq":`. *ret_pushed->data is everything behind `"data":`, to
 * the end of `text`, and is not looked at. False: it is not written that way. */
bool pushed_quick(struct bytes text, struct bytes head, struct pushed *ret_pushed);
/* From a message that was parsed. False: a member is missing, or is not what it must be. */
bool pushed_from(const struct client_message *message, struct pushed_room *room,
                 struct pushed *ret_pushed);

/* Reads `"name":123` at *at and moves it behind; false: something else is there. */
bool pushed_take_number(struct bytes text, size_t *at, struct bytes name, uint64_t *ret_number);
/* As above for a string without escapes. */
bool pushed_take_plain(struct bytes text, size_t *at, struct bytes name, struct bytes *ret_text);

#endif
