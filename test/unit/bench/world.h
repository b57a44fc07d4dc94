/* Whole runs of a load, as `seriatim bench` does them, with a clock of their own: it goes on at
 * each look, and whoever waits for what does not come has waited at once. The server is fake.h's,
 * which gets its turn where the load waits; or the program itself as a child, `world_main()`, which
 * the load starts as a server of its own.
 *
 * After each run nothing of it may be left: no descriptor, no block of the heap, no child, no file;
 * and a server that keeps its word is accused of nothing.
 *
 * Thread: one.  Memory: none. */
#ifndef TEST_BENCH_WORLD_H
#define TEST_BENCH_WORLD_H

#include "bench/scenario.h"
#include "fake.h"

/* What a run was told to do; all zero but `options` is good. */
struct world_setup {
    struct bench_options options;        /* beside what world_options() has filled in */
    const struct bench_adapter *adapter; /* NULL: Seriatim's */
    struct fake_manners manners;
    uint64_t signal_at;       /* the wait for the server in which a signal comes; 0: none */
    uint64_t signal_after_ns; /* as above, by the clock */
    uint64_t look_ns;         /* that a look at the clock takes; 0: a millisecond */
};

/* What came of it. */
struct world_told {
    int status;
    char error[4096]; /* what it said on standard error */
    char text[65536]; /* on standard output */
};

/* Serves as a server of a load's own if that is what the program was started for: then it does not
 * return. */
void world_main(int argc, char **argv);
void world_open(void);
void world_close(void);

/* A short run of that scenario: with the server of the world, or with one of its own. */
struct bench_options world_options(const struct bench_scenario *scenario);
struct bench_options world_options_own(const struct bench_scenario *scenario);
/* Runs it, and asserts that nothing is left. */
void world_run(const struct bench_scenario *scenario, const struct world_setup *setup,
               struct world_told *ret_told);
/* How many violations the table tells of. */
uint64_t world_violations(const struct world_told *told);
/* How often it has waited for the server. */
uint64_t world_waits(void);
/* Seconds on the world's clock. */
double world_seconds(void);

#endif
