/* A log-linear histogram: 1024 steps for each doubling, so a value is known to 0.1 %, three
 * digits, and the largest one exactly. A fixed size whatever is added: 440 KiB, of which only what
 * is used is touched.
 *
 * Thread: the owner's.  Memory: none beside itself; all zero is a valid empty one. */
#ifndef CLIENT_HISTOGRAM_H
#define CLIENT_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 10u
#define HISTOGRAM_STEPS     (1u << HISTOGRAM_STEP_BITS)
#define HISTOGRAM_SLOTS     ((64u - HISTOGRAM_STEP_BITS + 1u) * HISTOGRAM_STEPS)

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t slots[HISTOGRAM_SLOTS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value that `permyriad` ten-thousandths of all are at or below: 5000 is the median. Never
 * too small, and at most 0.1 % too large; 0 if there is none. */
uint64_t histogram_at(const struct histogram *histogram, unsigned permyriad);

#endif
