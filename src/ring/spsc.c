/* Edges:  S1 -> S2  the item is written before the consumer can see it.
 *         S3 -> S4  the slot is read before the producer can reuse it. */
#include "ring/spsc.h"

#include "base/assert.h"
#include "base/mem.h"

enum rc spsc_init_at(struct spsc *ring, uint32_t slot_count, uint32_t start)
{
    ASSERT(slot_count >= 2);
    ASSERT((slot_count & (slot_count - 1)) == 0);
    void **slots = mem_calloc(slot_count, sizeof(*slots));
    if (slots == NULL) {
        return RC_NOMEM;
    }
    atomic_init(&ring->tail_, start);
    atomic_init(&ring->head_, start);
    ring->head_seen_ = start;
    ring->tail_seen_ = start;
    ring->mask_ = slot_count - 1;
    ring->slots_ = slots;
    return RC_OK;
}

enum rc spsc_init(struct spsc *ring, uint32_t slot_count)
{
    return spsc_init_at(ring, slot_count, 0);
}

void spsc_deinit(struct spsc *ring)
{
    mem_free(ring->slots_);
    ring->slots_ = NULL;
}

/* Producer only: looks again at the consumer's counter if the last look says full. */
static bool full_at(struct spsc *ring, uint32_t tail)
{
    /* Both counters run freely and wrap; only their difference means anything. */
    if (tail - ring->head_seen_ <= ring->mask_) {
        return false;
    }
    /* S4: acquire, pairs with S3 in spsc_pop(). */
    ring->head_seen_ = atomic_load_explicit(&ring->head_, memory_order_acquire);
    ASSERT(tail - ring->head_seen_ <= ring->mask_ + 1);
    return tail - ring->head_seen_ > ring->mask_;
}

bool spsc_full(struct spsc *ring)
{
    /* relaxed: no other thread writes tail_. */
    return full_at(ring, atomic_load_explicit(&ring->tail_, memory_order_relaxed));
}

bool spsc_push(struct spsc *ring, void *item)
{
    ASSERT(item != NULL);
    /* relaxed: no other thread writes tail_. */
    const uint32_t tail = atomic_load_explicit(&ring->tail_, memory_order_relaxed);
    if (full_at(ring, tail)) {
        return false;
    }
    ring->slots_[tail & ring->mask_] = item;
    /* S1: release, pairs with S2 in empty_at(). */
    atomic_store_explicit(&ring->tail_, tail + 1, memory_order_release);
    return true;
}

/* Consumer only. */
static bool empty_at(struct spsc *ring, uint32_t head)
{
    if (ring->tail_seen_ != head) {
        return false;
    }
    /* S2: acquire, pairs with S1 in spsc_push(). */
    ring->tail_seen_ = atomic_load_explicit(&ring->tail_, memory_order_acquire);
    ASSERT(ring->tail_seen_ - head <= ring->mask_ + 1);
    return ring->tail_seen_ == head;
}

bool spsc_empty(struct spsc *ring)
{
    /* relaxed: no other thread writes head_. */
    return empty_at(ring, atomic_load_explicit(&ring->head_, memory_order_relaxed));
}

void *spsc_pop(struct spsc *ring)
{
    /* relaxed: no other thread writes head_. */
    const uint32_t head = atomic_load_explicit(&ring->head_, memory_order_relaxed);
    if (empty_at(ring, head)) {
        return NULL;
    }
    void *item = ring->slots_[head & ring->mask_];
    /* S3: release, pairs with S4 in full_at(). */
    atomic_store_explicit(&ring->head_, head + 1, memory_order_release);
    return item;
}
