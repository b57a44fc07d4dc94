/* The time, as a thing that is passed in: the heart reads no clock of its own.
 *
 * Thread: as the implementation says; the server's real clock may be read by any.
 * Memory: none. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*mono_ns)(void *ctx); /* nanoseconds since some start; never goes back */
    uint64_t (*wall_ms)(void *ctx); /* milliseconds since 1970; may jump either way */
    void *ctx;
};

static inline uint64_t clock_mono_ns(const struct clock *clock)
{
    return clock->mono_ns(clock->ctx);
}

static inline uint64_t clock_wall_ms(const struct clock *clock)
{
    return clock->wall_ms(clock->ctx);
}

#endif
