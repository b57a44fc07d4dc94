/* Counters and flags that one thread sets and any may look at: for health, limits and metrics,
 * never for order between threads.
 *
 * Thread: any.  Memory: none. */
#ifndef BASE_STATS_H
#define BASE_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct stats_flag {
    _Atomic bool value_;
};

struct stats_counter {
    _Atomic uint64_t value_;
};

static inline void stats_flag_set(struct stats_flag *flag, bool value)
{
    /* relaxed: says how things stand, guards no other memory. */
    atomic_store_explicit(&flag->value_, value, memory_order_relaxed);
}

static inline bool stats_flag_get(const struct stats_flag *flag)
{
    /* relaxed: as above. */
    return atomic_load_explicit(&flag->value_, memory_order_relaxed);
}

/* Adds (wrapping, so a negative change is fine) and gives the new value. */
static inline uint64_t stats_counter_add(struct stats_counter *counter, uint64_t change)
{
    /* relaxed: only the number itself matters. */
    return atomic_fetch_add_explicit(&counter->value_, change, memory_order_relaxed) + change;
}

static inline uint64_t stats_counter_get(const struct stats_counter *counter)
{
    /* relaxed: as above. */
    return atomic_load_explicit(&counter->value_, memory_order_relaxed);
}

#endif
