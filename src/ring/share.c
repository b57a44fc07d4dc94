#include "ring/share.h"

#include "base/assert.h"

void share_init(struct share *share)
{
    atomic_init(&share->count_, 1);
}

void share_ref(struct share *share)
{
    /* relaxed: the caller's own reference keeps the object alive, and whatever passes the new
     * one to another thread (a ring) orders the object's bytes. */
    const uint32_t before = atomic_fetch_add_explicit(&share->count_, 1, memory_order_relaxed);
    ASSERT(before > 0);
    ASSERT(before < UINT32_MAX);
}

bool share_unref(struct share *share)
{
    /* R1: release and acquire, pairs with itself: all reads through the other references come
     * before the free that follows the last. */
    const uint32_t before = atomic_fetch_sub_explicit(&share->count_, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    return before == 1;
}

void share_flag_set(struct share_flag *flag)
{
    /* F1: release, pairs with F2: what was written before is seen by who sees the flag. */
    atomic_store_explicit(&flag->set_, true, memory_order_release);
}

bool share_flag_get(const struct share_flag *flag)
{
    /* F2: acquire, pairs with F1. */
    return atomic_load_explicit(&flag->set_, memory_order_acquire);
}
