/* One seed: a world is drawn, runs with its faults, then without, must converge, and ends.
 *
 * Thread: one.  Memory: everything is freed at the end. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "lib/sim_disk.h"
#include "sim/faults.h"

#include <stdbool.h>
#include <stdint.h>

struct world_result {
    uint64_t hash; /* of the trace */
    uint64_t faults;
    uint64_t crashes;
    uint64_t messages;
    uint64_t steps;
    uint64_t kinds[FAULT_COUNT_MAX]; /* of faults, how often each */
};

/* Ends the process where a promise is broken. */
void world_run(uint64_t seed, bool verbose, struct world_result *ret_result);

/* The server dies, and is started again after a while. It must be up. */
void world_crash(enum sim_loss loss);

#endif
