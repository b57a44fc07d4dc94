#include "client/histogram.h"

#include "base/assert.h"

/* Values below HISTOGRAM_STEPS have a slot each; above, the highest bit names the doubling and the
 * HISTOGRAM_STEP_BITS below it the step. */
static unsigned slot_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (unsigned)value;
    }
    const unsigned high = 63u - (unsigned)__builtin_clzll(value);
    const unsigned shift = high - HISTOGRAM_STEP_BITS;
    const unsigned step = (unsigned)(value >> shift) - HISTOGRAM_STEPS;
    return (shift + 1) * HISTOGRAM_STEPS + step;
}

/* The largest value of a slot. */
static uint64_t slot_last(unsigned slot)
{
    if (slot < HISTOGRAM_STEPS) {
        return slot;
    }
    const unsigned shift = slot / HISTOGRAM_STEPS - 1;
    const uint64_t step = HISTOGRAM_STEPS + slot % HISTOGRAM_STEPS;
    return (step << shift) + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    const unsigned slot = slot_of(value);
    ASSERT(slot < HISTOGRAM_SLOTS);
    histogram->slots[slot]++;
    histogram->count++;
    histogram->max = value > histogram->max ? value : histogram->max;
}

uint64_t histogram_at(const struct histogram *histogram, unsigned permyriad)
{
    ASSERT(permyriad <= 10000);
    /* Rounded up: the median of three is the second. */
    const uint64_t wanted = (histogram->count / 10000) * permyriad +
                            ((histogram->count % 10000) * permyriad + 9999) / 10000;
    uint64_t passed = 0;
    for (unsigned slot = 0; slot < HISTOGRAM_SLOTS && wanted > 0; slot++) {
        passed += histogram->slots[slot];
        if (passed >= wanted) {
            const uint64_t last = slot_last(slot);
            return last < histogram->max ? last : histogram->max;
        }
    }
    return 0;
}
