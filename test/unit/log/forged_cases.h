/* The logs of test_forged.c: what is wrong with each, and what must come of it.
 *
 * Thread: one.  Memory: none. */
#ifndef TEST_LOG_FORGED_CASES_H
#define TEST_LOG_FORGED_CASES_H

#include "unit/log/forge.h"

struct forged_case {
    const char *name;
    void (*plant)(struct sim_disk *disk);
    const char *what;          /* the first damage of an ordinary start; NULL: it starts */
    const char *kept;          /* a repair's records by position, "-" for a hole; NULL: refused */
    uint64_t verified_damages; /* what verify counts */
    bool is_large;             /* takes its time */
    bool repair_only;          /* starts with the option for repairs only, also the next time */
};

extern const struct forged_case forged_cases[];
extern const size_t forged_case_count;

/* The one of that name. */
const struct forged_case *forged_case(const char *name);

#endif
