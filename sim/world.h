/* One seed: a world is drawn, runs with its faults, then without, must converge, and ends.
 *
 * Thread: one.  Memory: everything is freed at the end. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

struct world_result {
    uint64_t hash; /* of the trace */
    uint64_t faults;
    uint64_t crashes;
    uint64_t messages;
    uint64_t steps;
};

/* Ends the process where a promise is broken. */
void world_run(uint64_t seed, bool verbose, struct world_result *ret_result);

#endif
