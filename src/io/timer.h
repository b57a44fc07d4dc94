/* Deadlines by the hundred thousand: a hashed wheel with coarse slots.
 *
 * Arming, moving and disarming cost a list operation; expiry is late by at most one slot
 * (TIMER_SLOT_MS) and never early. Deadlines further away than one turn stay in their slot for
 * more turns.
 *
 * Thread: the owning reactor.  Memory: none; nodes are embedded. */
#ifndef IO_TIMER_H
#define IO_TIMER_H

#include "base/list.h"

#include <stdint.h>

#define TIMER_SLOT_MS 16u
#define TIMER_SLOTS   1024u /* one turn is 16.4 s */

struct timer {
    struct list link_;
    uint64_t due_ms; /* 0: not armed */
};

struct timer_wheel {
    struct list slots_[TIMER_SLOTS];
    uint64_t slot_next_; /* number of the slot that is expired next */
    uint64_t count_;
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);
void timer_init(struct timer *timer);
/* Arms or moves; `due_ms` on the caller's monotonic scale, > 0. */
void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms);
/* Allowed when not armed. */
void timer_disarm(struct timer_wheel *wheel, struct timer *timer);
/* Takes one timer that is due off the wheel, or NULL. Call until NULL. */
struct timer *timer_expire(struct timer_wheel *wheel, uint64_t now_ms);
/* Milliseconds until something may be due, at most `max_ms`; `max_ms` where nothing is armed. */
int timer_wait_ms(const struct timer_wheel *wheel, uint64_t now_ms, int max_ms);

#endif
