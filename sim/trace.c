#include "sim/trace.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/prng.h"
#include "sim/heap.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define LINES      70u
#define LINE_BYTES 240u

/* Of the processor's time, for one world. */
static unsigned patience_s = 60;

#define WALL_START_MS 1780000000000u

uint64_t sim_now_us;
int64_t sim_wall_skew_ms;

static struct {
    uint64_t seed;
    uint64_t hash;
    uint64_t count;
    bool verbose;
    char replay[TRACE_REPLAY_BYTES]; /* what goes with the seed in the command */
    struct prng prng;
    char lines[LINES][LINE_BYTES];
} state;

static struct failure *failure_to;

void trace_begin(uint64_t seed, bool verbose)
{
    state.seed = seed;
    state.hash = 0;
    state.count = 0;
    state.verbose = verbose;
    state.prng.state = seed * 0x9E3779B97F4A7C15u + 1;
    sim_now_us = 1000000;
    sim_wall_skew_ms = 0;
    const struct itimerval patience = {.it_value = {.tv_sec = (time_t)patience_s}};
    (void)setitimer(ITIMER_VIRTUAL, &patience, NULL);
}

uint64_t sim_wall_ms(void)
{
    return (uint64_t)((int64_t)(WALL_START_MS + sim_now_us / 1000) + sim_wall_skew_ms);
}

uint64_t sim_below(uint64_t bound)
{
    return prng_below(&state.prng, bound);
}

uint64_t sim_between(uint64_t from, uint64_t to)
{
    return from + sim_below(to - from + 1);
}

bool sim_chance(unsigned percent)
{
    return sim_below(100) < percent;
}

void trace(const char *format, ...)
{
    char *line = state.lines[state.count++ % LINES];
    int size = snprintf(line, LINE_BYTES, "%5llu.%03llu ", (unsigned long long)sim_now_us / 1000,
                        (unsigned long long)sim_now_us % 1000);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line + size, LINE_BYTES - (size_t)size, format, args);
    va_end(args);
    state.hash = hash_bytes(bytes_of_text(line), state.hash);
    if (state.verbose) {
        (void)printf("%s\n", line);
    }
}

uint64_t trace_hash(void)
{
    return state.hash;
}

void trace_patience(unsigned seconds)
{
    patience_s = seconds;
}

void trace_fail_to(struct failure *failure)
{
    failure_to = failure;
}

static void print_last(void)
{
    const uint64_t first = state.count > LINES ? state.count - LINES : 0;
    for (uint64_t i = first; i < state.count && !state.verbose; i++) {
        (void)printf("  %s\n", state.lines[i % LINES]);
    }
}

void trace_fail(const char *invariant, const char *format, ...)
{
    char what[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    if (failure_to != NULL) {
        failure_to->failed = true;
        (void)snprintf(failure_to->invariant, sizeof(failure_to->invariant), "%s", invariant);
        (void)snprintf(failure_to->what, sizeof(failure_to->what), "%s", what);
        _Exit(1);
    }
    (void)printf("seed %llu: the last events (ms):\n", (unsigned long long)state.seed);
    print_last();
    (void)printf("FAILED seed %llu: %s: %s\nreplay: build/seriatim-sim --seed %llu%s --verbose\n",
                 (unsigned long long)state.seed, invariant, what, (unsigned long long)state.seed,
                 state.replay);
    (void)fflush(stdout);
    _Exit(1);
}

void trace_replay(const char *option, const char *value)
{
    const size_t used = strlen(state.replay);
    (void)snprintf(state.replay + used, sizeof(state.replay) - used, " %s %s", option, value);
}

static void on_signal(int number)
{
    const bool server = heap_owner_set(HEAP_WORLD) == HEAP_SERVER;
    trace_fail(!server               ? "simulator"
               : number == SIGVTALRM ? TRACE_ENDLESS
                                     : "P24 the server crashes",
               "signal %d", number);
}

void trace_watch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGVTALRM, &action, NULL);
#ifndef HEAP_SANITIZED /* a sanitizer tells more */
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        (void)sigaction(signals[i], &action, NULL);
    }
#endif
}

/* In place of base/assert.c. */
void assert_failed(const char *file, int line, const char *what)
{
    trace_fail("assertion", "%s:%d: %s", file, line, what);
}
