/* Room that threads share: so many units, taken and given back by any thread without a lock.
 *
 * Thread: any.  Memory: none. */
#ifndef RING_BUDGET_H
#define RING_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct budget {
    _Atomic uint64_t used_;
    uint64_t max_; /* constant */
};

void budget_init(struct budget *budget, uint64_t max);
/* False: there is not so much left; nothing was taken. */
bool budget_take(struct budget *budget, uint64_t units);
/* Takes it also where it is more than there is: for what cannot be refused. */
void budget_force(struct budget *budget, uint64_t units);
void budget_give(struct budget *budget, uint64_t units);
uint64_t budget_used(const struct budget *budget);

#endif
