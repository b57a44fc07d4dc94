/* A counter that hands out ranges, each number once, to any thread without a lock.
 *
 * The node's message ids come from one of these: a range is at least as high as the caller's
 * floor (the clock) and higher than every range before it, so ids rise through clock steps back.
 *
 * Thread: any.  Memory: none. */
#ifndef RING_TICKET_H
#define RING_TICKET_H

#include <stdatomic.h>
#include <stdint.h>

struct ticket {
    _Atomic uint64_t next_;
};

void ticket_init(struct ticket *ticket, uint64_t next);
/* Takes `count` consecutive numbers, the first at least `floor`; returns the first. */
uint64_t ticket_take(struct ticket *ticket, uint64_t floor, uint64_t count);

#endif
