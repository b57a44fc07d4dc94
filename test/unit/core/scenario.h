/* A run of commands, commits, failures, crashes and restarts, drawn from bytes: from a generator in
 * the unit test, from the fuzzer in the fuzz target. Everything the partition says is compared with
 * the naive model; the first difference ends the program (ASSERT). */
#ifndef TEST_CORE_SCENARIO_H
#define TEST_CORE_SCENARIO_H

#include "base/bytes.h"

/* What a run has met: proof that the odd branches ran. */
struct scenario_marks {
    uint64_t verdicts[16];
    uint64_t failed_commits;
    uint64_t restarts;
    uint64_t restarts_from_checkpoint;
    uint64_t lost_replies; /* committed, then a crash before the reply */
    uint64_t epochs;
};

void scenario_run(struct bytes input, struct scenario_marks *marks);

#endif
