/* The subscriptions of one session, by channel name: a list as long as they are few
 * (tune.subs_listed), which is all that most sessions ever have and costs nothing but the link in
 * each; then a map.
 *
 * Thread: the owning reactor.  Memory: subs_deinit() frees the map, never the subscriptions. */
#ifndef SESSION_SUBS_H
#define SESSION_SUBS_H

#include "session/feed.h"

struct subs {
    union {
        struct subscription *first; /* struct subscription.next, newest first */
        struct map *map;            /* owned */
    } by_;
    uint32_t count_;
    bool mapped_; /* until the last one has gone */
};

/* All zero is a valid empty one. It must be empty. */
void subs_deinit(struct subs *subs);
static inline uint32_t subs_count(const struct subs *subs)
{
    return subs->count_;
}
/* The one to that channel, or NULL. */
struct subscription *subs_find(const struct subs *subs, struct bytes channel);
/* Any of them, or NULL. */
struct subscription *subs_any(const struct subs *subs);
/* Adds one whose channel is not there yet. RC_NOMEM: unchanged */
MUST_USE enum rc subs_insert(struct subs *subs, struct subscription *sub);
/* Takes one out that is there. */
void subs_remove(struct subs *subs, struct subscription *sub);

#endif
