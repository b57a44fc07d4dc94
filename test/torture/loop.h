/* What the loops have in common: jobs shared out to processes, counts, and the command that replays
 * the case that failed.
 *
 * A job runs in a process of its own among `processes` of them; what they have in common stands in
 * shared memory. A process that ends in any way but the good one (a check, an assertion of the
 * code under test, a signal, a sanitizer) is a violation: the others are ended, and the command for
 * the case it was at is printed.
 *
 * Thread: one in each process.  Memory: until the program ends. */
#ifndef TEST_TORTURE_LOOP_H
#define TEST_TORTURE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define TORTURE_COUNTERS_MAX 1024u

/* `program` as the user calls it. */
void torture_init(const char *program);
/* Names the case under way by the options that replay it. */
void torture_case(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The case is a violation; does not return. */
_Noreturn void torture_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define TORTURE_CHECK(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            torture_fail("%s:%d: %s", __FILE__, __LINE__, #condition);                             \
        }                                                                                          \
    } while (0)

/* Counters, summed over the processes. */
void torture_add(unsigned counter, uint64_t count);
uint64_t torture_total(unsigned counter);
/* Whether no process has come with this key before. */
bool torture_first_time(uint64_t key);
/* Runs jobs 0 … count-1. False: there was a violation, and it has been told. */
bool torture_run(unsigned count, unsigned processes, void (*run)(unsigned job));
/* Seconds since torture_init(). */
double torture_seconds(void);
/* An option's number. */
uint64_t torture_number(const char *text);

#endif
