/* Of a span of messages, which are the newest of their keys: what a subscription gets that has
 * fallen behind and asked for no more.
 *
 * A span is looked at message by message, from its first one on, for the keys alone. Then each
 * message in it is kept or not: one with a key if no later one in the span has that key, one
 * without a key always. So the last message of a span is kept, and somebody who gets what is kept,
 * in order, and is told of the rest, stands right behind the span in the end.
 *
 * Thread: one at a time.  Memory: a small object for each key, tune.conflate_key_bytes in all;
 * conflate_deinit() frees. */
#ifndef SERVER_CONFLATE_H
#define SERVER_CONFLATE_H

#include "base/map.h"
#include "wire/command.h"

struct conflate {
    struct map by_key_;
    uint32_t count_; /* messages looked at … */
    uint32_t count_max_;
    size_t bytes_; /* … and the bytes of their payloads */
    size_t key_bytes_;
    uint64_t next_;
    bool full_;
};

/* No allocation. `from`: the first seq; `wanted`: as many as will be taken of what is kept, at
 * least 1: who takes few at a time is not worth a look at many. */
void conflate_init(struct conflate *conflate, uint64_t hash_seed, uint64_t from, uint32_t wanted);
/* Looks at the next message. Nothing more may be looked at once one has been refused.
 * RC_END    the span ends before it: it is as long as it may be, or memory is short */
MUST_USE enum rc conflate_look(struct conflate *conflate, const struct wire_message *message);
/* Whether that message of the span is kept. */
bool conflate_keeps(const struct conflate *conflate, const struct wire_message *message);
/* The seq behind what was looked at. */
static inline uint64_t conflate_next(const struct conflate *conflate)
{
    return conflate->next_;
}
/* Whether a message was refused. */
static inline bool conflate_full(const struct conflate *conflate)
{
    return conflate->full_;
}
/* May be called again, and for one that is all zero. */
void conflate_deinit(struct conflate *conflate);

#endif
