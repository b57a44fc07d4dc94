/* Where threads wait until one thread has moved on: a number that only rises, and sleepers for whom
 * the one who raises it pays only where there are any.
 *
 * Thread: gate_wait() any; gate_raise() one thread.  Memory: gate_deinit(), with nobody waiting. */
#ifndef RING_GATE_H
#define RING_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gate {
    _Atomic uint64_t reached_;
    _Atomic uint32_t waiting_;
    pthread_mutex_t mutex_;
    pthread_cond_t moved_;
};

/* False: the system has no room for it. */
bool gate_init(struct gate *gate);
void gate_deinit(struct gate *gate);

/* Sets the number, at least as high as it was, and wakes whoever waits. */
void gate_raise(struct gate *gate, uint64_t reached);
uint64_t gate_reached(const struct gate *gate);
/* Waits until `ready` says so, which is asked now and after each gate_raise(). False: it has not
 * within `timeout_ms` (UINT64_MAX: for ever). */
bool gate_wait(struct gate *gate, bool (*ready)(void *ctx), void *ctx, uint64_t timeout_ms);

#endif
