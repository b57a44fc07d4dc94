#include "ring/gate.h"

#include "base/assert.h"

#include <errno.h>
#include <time.h>

bool gate_init(struct gate *gate)
{
    atomic_init(&gate->reached_, 0);
    atomic_init(&gate->waiting_, 0);
    pthread_condattr_t attributes;
    if (pthread_mutex_init(&gate->mutex_, NULL) != 0) {
        return false;
    }
    bool made = pthread_condattr_init(&attributes) == 0;
    if (made) {
        made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
               pthread_cond_init(&gate->moved_, &attributes) == 0;
        (void)pthread_condattr_destroy(&attributes);
    }
    if (!made) {
        (void)pthread_mutex_destroy(&gate->mutex_);
    }
    return made;
}

void gate_deinit(struct gate *gate)
{
    (void)pthread_cond_destroy(&gate->moved_);
    (void)pthread_mutex_destroy(&gate->mutex_);
}

void gate_raise(struct gate *gate, uint64_t reached)
{
    /* G1: release, pairs with G2: what was done before is seen by who sees the number. */
    atomic_store_explicit(&gate->reached_, reached, memory_order_release);
    /* G3: full fence, pairs with G4: our number before our look at who waits. */
    atomic_thread_fence(memory_order_seq_cst);
    /* relaxed: the fence above orders it. */
    if (atomic_load_explicit(&gate->waiting_, memory_order_relaxed) != 0) {
        (void)pthread_mutex_lock(&gate->mutex_);
        (void)pthread_cond_broadcast(&gate->moved_);
        (void)pthread_mutex_unlock(&gate->mutex_);
    }
}

uint64_t gate_reached(const struct gate *gate)
{
    /* G2: acquire, pairs with G1. */
    return atomic_load_explicit(&gate->reached_, memory_order_acquire);
}

static struct timespec end_of(uint64_t timeout_ms)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)(timeout_ms / 1000u);
    end.tv_nsec += (long)(timeout_ms % 1000u) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    return end;
}

bool gate_wait(struct gate *gate, bool (*ready)(void *ctx), void *ctx, uint64_t timeout_ms)
{
    const bool for_ever = timeout_ms > UINT64_MAX / 2;
    const struct timespec end = end_of(for_ever ? 0 : timeout_ms);
    (void)pthread_mutex_lock(&gate->mutex_);
    /* relaxed: the fence below orders it. */
    (void)atomic_fetch_add_explicit(&gate->waiting_, 1, memory_order_relaxed);
    bool over = false;
    bool is_ready;
    for (;;) {
        /* G4: full fence, pairs with G3: we are counted before we look. */
        atomic_thread_fence(memory_order_seq_cst);
        is_ready = ready(ctx);
        if (is_ready || over) {
            break;
        }
        const int error = for_ever ? pthread_cond_wait(&gate->moved_, &gate->mutex_)
                                   : pthread_cond_timedwait(&gate->moved_, &gate->mutex_, &end);
        ASSERT(error == 0 || error == ETIMEDOUT);
        over = error == ETIMEDOUT;
    }
    /* relaxed: who still counts us only wakes nobody. */
    (void)atomic_fetch_sub_explicit(&gate->waiting_, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&gate->mutex_);
    return is_ready;
}
