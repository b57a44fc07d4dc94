#include "io/clock.h"

#include "base/assert.h"

#include <stddef.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    const int failed = clock_gettime(id, &now);
    ASSERT(failed == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t real_mono_ns(void *ctx)
{
    (void)ctx;
    return read_ns(CLOCK_MONOTONIC);
}

static uint64_t real_wall_ms(void *ctx)
{
    (void)ctx;
    return read_ns(CLOCK_REALTIME) / 1000000u;
}

const struct clock clock_real = {real_mono_ns, real_wall_ms, NULL};
