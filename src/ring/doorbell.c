#include "ring/doorbell.h"

void doorbell_init(struct doorbell *bell)
{
    atomic_init(&bell->armed_, 0);
}

void doorbell_arm(struct doorbell *bell)
{
    /* relaxed: the fence below orders it. */
    atomic_store_explicit(&bell->armed_, 1, memory_order_relaxed);
    /* D1: full fence, pairs with D2: our store before our second look at the rings. */
    atomic_thread_fence(memory_order_seq_cst);
}

void doorbell_disarm(struct doorbell *bell)
{
    /* relaxed: a ringer that still sees 1 only wakes us once too often. */
    atomic_store_explicit(&bell->armed_, 0, memory_order_relaxed);
}

bool doorbell_ring(struct doorbell *bell)
{
    /* D2: full fence, pairs with D1: our push before our look at the bell. */
    atomic_thread_fence(memory_order_seq_cst);
    /* relaxed: the fence above orders it. */
    if (atomic_load_explicit(&bell->armed_, memory_order_relaxed) == 0) {
        return false;
    }
    /* relaxed: of several ringers exactly one gets the 1. */
    return atomic_exchange_explicit(&bell->armed_, 0, memory_order_relaxed) == 1;
}
