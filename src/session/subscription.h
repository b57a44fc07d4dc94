/* What happens to one cursor; between the files of this module only.
 *
 * Thread: the owning reactor.  Memory: a subscription belongs to its session. */
#ifndef SESSION_SUBSCRIPTION_H
#define SESSION_SUBSCRIPTION_H

#include "session/feed.h"

/* The feed has grown: the session may have something to send. */
void subscription_on_tail(struct subscription *sub);
/* Puts it among the session's ready ones and wakes the session. */
void subscription_wake(struct subscription *sub);
void subscription_move(struct subscription *sub, enum subscription_state next);
/* Lets go of what was read from the log. */
void subscription_drop_chunk(struct subscription *sub);
/* Ends it: out of feed and session, freed. */
void subscription_end(struct subscription *sub);

#endif
