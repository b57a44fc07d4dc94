/* What happened in a run, one readable line an event: kept as the last lines and as a hash.
 *
 * The hash is what makes two runs of one seed comparable; so no line may hold an address, a real
 * time or anything else that differs from run to run.
 *
 * Thread: one.  Memory: fixed. */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#define TRACE_REPLAY_BYTES 2000u
#define TRACE_ENDLESS      "P24 it does not end" /* a promise, by name */

void trace_begin(uint64_t seed, bool verbose);
/* From now on a signal, or a world that takes a minute of the processor, is a broken promise. */
void trace_watch(void);
/* So many seconds instead of a minute, for the worlds to come. */
void trace_patience(unsigned seconds);
/* An option that belongs to the command that replays. */
void trace_replay(const char *option, const char *value);
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t trace_hash(void);
/* Who wants to know of a broken promise instead of printing it. */
struct failure {
    bool failed;
    char invariant[60];
    char what[400];
};
void trace_fail_to(struct failure *failure);
/* A promise was broken: prints seed, invariant, the last lines and the command; ends with 1. */
_Noreturn void trace_fail(const char *invariant, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- time, as everybody in the simulated world sees it -------------------------------------- */

extern uint64_t sim_now_us;      /* since the world began; never goes back */
extern int64_t sim_wall_skew_ms; /* of the wall clock, may jump */
uint64_t sim_wall_ms(void);

/* ---- chance, all of it from the seed ----------------------------------------------------------
 */

uint64_t sim_below(uint64_t bound);
/* from … to, both included */
uint64_t sim_between(uint64_t from, uint64_t to);
/* True `percent` times of a hundred. */
bool sim_chance(unsigned percent);

#endif
