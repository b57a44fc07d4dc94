/* Makes the world in which a seed fails smaller: fewer kinds of faults, fewer clients, fewer steps.
 *
 * Thread: one; each try runs in a process of its own.  Memory: none kept. */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include <stdint.h>

/* Prints the smallest world found, the command that replays it, and its trace; the same for the
 * same seed. Ends the process with 1; returns 2 if the seed does not fail. */
int shrink(uint64_t seed);

#endif
