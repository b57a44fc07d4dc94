/* A bounded ring between one producer thread and one consumer thread.
 *
 * Pointers pass in order; a pushed item belongs to the consumer. A full ring is an answer, never a
 * drop. The ring itself wakes nobody: see ring/doorbell.h.
 *
 * Thread: spsc_push() one thread, spsc_pop() one thread, for life.  Memory: spsc_deinit(). */
#ifndef RING_SPSC_H
#define RING_SPSC_H

#include "base/limits.h"
#include "base/rc.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spsc {
    alignas(CACHE_LINE) _Atomic uint32_t tail_; /* producer writes, consumer reads */
    uint32_t head_seen_;                        /* producer only */
    alignas(CACHE_LINE) _Atomic uint32_t head_; /* consumer writes, producer reads */
    uint32_t tail_seen_;                        /* consumer only */
    alignas(CACHE_LINE) uint32_t mask_;         /* constant: slot count - 1 */
    void **slots_;                              /* constant pointer, 2^k slots */
};

/* `slot_count` is a power of two, 2 … 2^31. RC_NOMEM */
MUST_USE enum rc spsc_init(struct spsc *ring, uint32_t slot_count);
/* As spsc_init(), with both counters at `start`: for the tests of wrap-around. */
MUST_USE enum rc spsc_init_at(struct spsc *ring, uint32_t slot_count, uint32_t start);
void spsc_deinit(struct spsc *ring);

/* Producer. false: full, nothing happened. */
bool spsc_push(struct spsc *ring, void *item);
/* Producer. Whether a push would fail now; a false answer stays false until the next push. */
bool spsc_full(struct spsc *ring);
/* Consumer. NULL: empty. */
void *spsc_pop(struct spsc *ring);
/* Consumer. Whether a pop would give NULL now. */
bool spsc_empty(struct spsc *ring);

#endif
