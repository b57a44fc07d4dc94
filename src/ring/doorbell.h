/* How a thread sleeps until another has work for it, without a wake-up for work it would have
 * seen anyway.
 *
 * The consumer: arm, look once more at its rings, sleep only if they are all empty, disarm. The
 * producer: push, then ring. ring_doorbell_ring() tells whether the sleeper must really be woken
 * (the caller then writes the eventfd or signals as it likes).
 *
 * The two sequentially consistent fences make the classic lost wake-up impossible: either the
 * producer sees the bell armed, or the consumer's second look sees the item.
 *
 * Thread: one sleeper, any number of ringers.  Memory: none. */
#ifndef RING_DOORBELL_H
#define RING_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct doorbell {
    _Atomic uint32_t armed_;
};

void doorbell_init(struct doorbell *bell);
/* Sleeper: before the last look at the rings. */
void doorbell_arm(struct doorbell *bell);
/* Sleeper: after waking, or when the last look found work. */
void doorbell_disarm(struct doorbell *bell);
/* Ringer: after its push. True once per sleep: the caller must wake the sleeper. */
bool doorbell_ring(struct doorbell *bell);

#endif
