/* Between observer.c, which judges messages, and observer_wire.c, which knows how they come.
 *
 * Thread: the owner's.  Memory: the observer's. */
#ifndef CLIENT_OBSERVER_PRIVATE_H
#define CLIENT_OBSERVER_PRIVATE_H

#include "client/observer.h"

/* No subscribe waits. */
#define OBSERVER_NEVER UINT64_MAX

/* Judges one message. Its data is either known to be right (`data_right`), or still to be compared.
 */
void observer_message(struct observer *observer, const struct pushed *pushed, bool data_right,
                      uint64_t load_ns);
/* The server has said that from … to (that one too) will not come; then `to` + 1 is next. */
void observer_gap(struct observer *observer, uint64_t from, uint64_t to, const char *reason);
/* Whether `rest`, which begins with a message's data, begins with what must be there. The size of
 * it, 0: it is not. */
size_t observer_data_matches(struct observer *observer, const struct pushed *pushed,
                             struct bytes rest);

#endif
