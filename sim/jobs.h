/* Many seeds in several processes, with the same result however many those are.
 *
 * Each process takes the next few seeds when it is done with the last ones, so those taken are
 * always the first so many. When one fails the others still finish what they have taken: so of
 * all seeds that fail the first is known, and nothing depends on who was faster.
 *
 * Thread: one a process.  Memory: shared between them, for the time of a call. */
#ifndef SIM_JOBS_H
#define SIM_JOBS_H

#include "sim/marks.h"
#include "sim/world.h"

#define JOBS_MAX 64u

struct seeds {
    const uint64_t *list; /* NULL: first, first + 1, … */
    uint64_t first;
    uint64_t count;
    uint64_t minutes; /* 0: all of them; else as many as there is time for */
};

/* The sum of many runs. */
struct tally {
    uint64_t seeds;
    struct world_result sum; /* its hash does not depend on the order of the runs */
    struct marks marks;
};

uint64_t seed_at(const struct seeds *seeds, uint64_t index);
/* Runs one of them, and every 100th twice, which must be the same; ends the process where not, as
 * world_run() does. */
void seed_run(const struct seeds *seeds, uint64_t index, bool verbose, struct tally *tally);
/* Runs them in `jobs` processes. False: a process has failed at the seed *ret_index; what it said
 * is not printed. */
bool jobs_run(const struct seeds *seeds, unsigned jobs, struct tally *ret_tally,
              uint64_t *ret_index);

#endif
