/* The k-th call of a kind fails, in place of sim/faults.c: no chance, no rates.
 *
 * The simulator asks at each call that can fail whether it does; here one kind is armed, and all
 * others answer no. Beside it a script of things that are no fault of the loop, such as a restart
 * after so many steps.
 *
 * Thread: one.  Memory: none. */
#ifndef TEST_TORTURE_KTH_H
#define TEST_TORTURE_KTH_H

#include "sim/faults.h"

/* FAULT_NO_MEMORY is the heap's own. `k` 0: nothing fails. */
void kth_arm(enum fault_kind kind, uint64_t k, bool forever);
/* Whether that kind is armed. */
bool kth_is(enum fault_kind kind);
/* How often the armed kind has failed in this world. */
uint64_t kth_hits(void);
/* How many calls there were that could have, as long as the world had faults. Not of
 * FAULT_NO_MEMORY.
 */
uint64_t kth_calls(void);
/* In each world from now on, that comes at its n-th opportunity. */
void kth_script(enum fault_kind kind, uint64_t n);
#define KTH_ALWAYS UINT64_MAX /* at each */
void kth_script_clear(void);

#endif
