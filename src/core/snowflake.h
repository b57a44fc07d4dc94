/* Message ids: 64 bits, 1 sign bit 0, 41 bits of milliseconds since the custom epoch, 10 bits of
 * node, 12 bits of counter.
 *
 * Milliseconds and counter together are a `tick` of 53 bits: ticks of a node rise strictly, also
 * when the clock steps back or more than 4096 ids fall into one millisecond (then they run ahead
 * of the clock). The node's ticket counter hands them out (ring/ticket.h).
 *
 * Thread: any.  Memory: none. */
#ifndef CORE_SNOWFLAKE_H
#define CORE_SNOWFLAKE_H

#include "base/assert.h"

#include <stdint.h>

#define SNOWFLAKE_EPOCH_MS     1767225600000u /* 2026-01-01T00:00:00Z */
#define SNOWFLAKE_NODE_MAX     1023u
#define SNOWFLAKE_COUNTER_BITS 12
#define SNOWFLAKE_NODE_BITS    10
#define SNOWFLAKE_TICK_BITS    53

/* The lowest tick of that time; times before the custom epoch give 0. */
static inline uint64_t snowflake_tick_of(uint64_t wall_ms)
{
    return wall_ms <= SNOWFLAKE_EPOCH_MS ? 0
                                         : (wall_ms - SNOWFLAKE_EPOCH_MS) << SNOWFLAKE_COUNTER_BITS;
}

static inline uint64_t snowflake_id(uint64_t tick, unsigned node)
{
    ASSERT(tick >> SNOWFLAKE_TICK_BITS == 0);
    ASSERT(node <= SNOWFLAKE_NODE_MAX);
    const uint64_t ms = tick >> SNOWFLAKE_COUNTER_BITS;
    ASSERT_HOT(ms >> (SNOWFLAKE_TICK_BITS - SNOWFLAKE_COUNTER_BITS) == 0);
    const uint64_t counter = tick & ((1u << SNOWFLAKE_COUNTER_BITS) - 1);
    return ms << (SNOWFLAKE_NODE_BITS + SNOWFLAKE_COUNTER_BITS) |
           (uint64_t)node << SNOWFLAKE_COUNTER_BITS | counter;
}

#endif
