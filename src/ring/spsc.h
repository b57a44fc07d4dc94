/* A bounded ring between one producer thread and one consumer thread.
 *
 * Pointers pass in order; a pushed item belongs to the consumer. A full ring is an answer, never a
 * drop. The ring itself wakes nobody: see ring/doorbell.h.
 *
 * Whoever has several items at once pushes them together: one store tells of them all, so the cache
 * line with the counter changes hands once and not with each item (docs/LOCKS.md has both).
 *
 * Thread: pushes one thread, pops one thread, for life.  Memory: spsc_deinit(). */
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
/* Producer. Pushes the first of `count` items, as many as there is room for; returns how many. The
 * consumer sees all of them at once. */
uint32_t spsc_push_many(struct spsc *ring, void *const items[], uint32_t count);
/* Producer. How many of `count` items a push would take now; that many it will take. */
uint32_t spsc_room(struct spsc *ring, uint32_t count);
/* Producer. Whether a push would fail now; a false answer stays false until the next push. */
bool spsc_full(struct spsc *ring);
/* Consumer. NULL: empty. */
void *spsc_pop(struct spsc *ring);
/* Consumer. Pops at most `count` items into items[]; returns how many, 0: empty. */
uint32_t spsc_pop_many(struct spsc *ring, void *items[], uint32_t count);
/* Consumer. Whether a pop would give NULL now. */
bool spsc_empty(struct spsc *ring);

#endif
