/* The machine's clocks behind base/clock.h.
 *
 * Thread: any.  Memory: none. */
#ifndef IO_CLOCK_H
#define IO_CLOCK_H

#include "base/clock.h"

extern const struct clock clock_real;

#endif
