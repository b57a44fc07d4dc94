/* A small deterministic generator (splitmix64): the same seed gives the same numbers for ever.
 *
 * For spreads, jitter, tests and the simulator; not for secrets.
 *
 * Thread: the owner's.  Memory: none. */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include "base/assert.h"

#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline uint64_t prng_next(struct prng *prng)
{
    uint64_t z = (prng->state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* A number in 0 … bound-1; `bound` > 0. The bias is below 2^-32 for bounds below 2^32. */
static inline uint64_t prng_below(struct prng *prng, uint64_t bound)
{
    ASSERT(bound > 0);
    return prng_next(prng) % bound;
}

#endif
