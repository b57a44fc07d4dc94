/* Between observer.c, which judges messages, and observer_wire.c, which knows how they come.
 *
 * Thread: the owner's.  Memory: the observer's. */
#ifndef CLIENT_OBSERVER_PRIVATE_H
#define CLIENT_OBSERVER_PRIVATE_H

#include "client/observer.h"

/* Judges one message. */
void observer_message(struct observer *observer, const struct reply_message *message,
                      uint64_t load_ns);
/* The server has said that from … to (that one too) will not come; then `to` + 1 is next. */
void observer_gap(struct observer *observer, uint64_t from, uint64_t to, const char *reason);
/* The message_id as a text; size 0: it has none. Good until the next call. */
struct bytes observer_id(struct observer *observer, const struct reply_message *message);

#endif
