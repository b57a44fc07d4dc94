#include "ring/budget.h"

#include "base/assert.h"

void budget_init(struct budget *budget, uint64_t max)
{
    atomic_init(&budget->used_, 0);
    budget->max_ = max;
}

bool budget_take(struct budget *budget, uint64_t units)
{
    /* relaxed throughout: the number guards no other memory. */
    uint64_t used = atomic_load_explicit(&budget->used_, memory_order_relaxed);
    do {
        if (used > budget->max_ || units > budget->max_ - used) {
            return false;
        }
        /* relaxed: as above; a lost race reloads `used` and looks again. */
    } while (!atomic_compare_exchange_weak_explicit(&budget->used_, &used, used + units,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void budget_force(struct budget *budget, uint64_t units)
{
    /* relaxed: as above. */
    (void)atomic_fetch_add_explicit(&budget->used_, units, memory_order_relaxed);
}

void budget_give(struct budget *budget, uint64_t units)
{
    /* relaxed: as above. */
    const uint64_t before = atomic_fetch_sub_explicit(&budget->used_, units, memory_order_relaxed);
    ASSERT(before >= units); /* nothing is given back that was not taken */
}

uint64_t budget_used(const struct budget *budget)
{
    /* relaxed: as above. */
    return atomic_load_explicit(&budget->used_, memory_order_relaxed);
}
