/* The loads that can be put on a server, and what they have in common.
 *
 * Thread: one.  Memory: none beside what each run frees itself. */
#ifndef BENCH_SCENARIO_H
#define BENCH_SCENARIO_H

#include "bench/bench.h"
#include "bench/publisher.h"
#include "bench/subscriber.h"

struct bench_scenario {
    const char *name;
    const char *summary;
    uint32_t takes; /* bit per enum bench_number: options that say something to it */
    bool takes_lockstep;
    bool takes_no_ack;
    bool takes_cumulative;
    bool restarts;                 /* needs a server of our own */
    struct bench_options defaults; /* of the numbers; a rate of 0: as fast as it goes */
    void (*run)(struct bench *bench);
};

extern const struct bench_scenario bench_scenario_publish;
extern const struct bench_scenario bench_scenario_fanout;
extern const struct bench_scenario bench_scenario_pairs;
extern const struct bench_scenario bench_scenario_lone;
extern const struct bench_scenario bench_scenario_idle;
extern const struct bench_scenario bench_scenario_resume;
extern const struct bench_scenario bench_scenario_replay;
extern const struct bench_scenario bench_scenario_channels;
extern const struct bench_scenario bench_scenario_stall;

#define BENCH_SCENARIO_COUNT 9u
extern const struct bench_scenario *const bench_scenarios[BENCH_SCENARIO_COUNT];

/* NULL: there is none of that name. */
const struct bench_scenario *bench_scenario_find(const char *name);
/* Fills in what was not given. */
void bench_options_complete(struct bench_options *options, const struct bench_scenario *scenario);
/* Runs it and tells. 0: done, no violation; 1: a violation, or it failed (told on standard
 * error). */
int bench_run(const struct bench_options *options, const struct bench_adapter *adapter,
              const struct bench_scenario *scenario);

/* ---- for scenarios ------------------------------------------------------------------------- */

/* Sends what may be sent now; says how long may be waited for something to come. */
typedef uint64_t bench_turn(void *ctx);

/* Turns and steps until `ns` are over, or the run has failed. */
void bench_run_for(struct bench *bench, uint64_t ns, bench_turn *turn, void *ctx);
/* The warm-up, then the time that is measured. */
void bench_measure(struct bench *bench, bench_turn *turn, void *ctx);
/* Steps until `done`, or nothing has moved for BENCH_PATIENCE_NS (which is no failure: what is
 * missing shows), or the run has failed. */
void bench_drain(struct bench *bench, bool (*done)(const void *ctx), const void *ctx);

/* An open loop: message number n is due at n / rate after the start, whatever the server does. */
struct bench_pace {
    uint64_t rate;
    uint64_t began_ns;
    uint64_t sent;
};
/* Whether the next one is due by `now_ns`; *ret_due_ns is when. */
bool bench_pace_due(const struct bench_pace *pace, uint64_t now_ns, uint64_t *ret_due_ns);
/* How long to wait for the next one: no shorter than pays, no longer than helps. */
uint64_t bench_pace_wait_ns(const struct bench_pace *pace);

/* What the server says it holds in so many channels of ours, all together. */
uint64_t bench_audit(struct bench *bench, uint32_t channel_count);

#define BENCH_TAKES(name) (1u << BENCH_##name)

#endif
