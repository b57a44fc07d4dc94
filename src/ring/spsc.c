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

/* Producer only: how many slots are free, at least `wanted` if there are so many; looks again at
 * the consumer's counter only if the last look does not say so. */
static uint32_t room_at(struct spsc *ring, uint32_t tail, uint32_t wanted)
{
    /* Both counters run freely and wrap; only their difference means anything. */
    const uint32_t seen = ring->mask_ + 1 - (tail - ring->head_seen_);
    if (seen >= wanted) {
        return seen;
    }
    /* S4: acquire, pairs with S3 in spsc_pop() and spsc_pop_many(). */
    ring->head_seen_ = atomic_load_explicit(&ring->head_, memory_order_acquire);
    ASSERT(tail - ring->head_seen_ <= ring->mask_ + 1);
    return ring->mask_ + 1 - (tail - ring->head_seen_);
}

uint32_t spsc_room(struct spsc *ring, uint32_t count)
{
    /* relaxed: no other thread writes tail_. */
    const uint32_t tail = atomic_load_explicit(&ring->tail_, memory_order_relaxed);
    const uint32_t room = room_at(ring, tail, count);
    return count < room ? count : room;
}

bool spsc_full(struct spsc *ring)
{
    return spsc_room(ring, 1) == 0;
}

bool spsc_push(struct spsc *ring, void *item)
{
    ASSERT(item != NULL);
    /* relaxed: no other thread writes tail_. */
    const uint32_t tail = atomic_load_explicit(&ring->tail_, memory_order_relaxed);
    if (room_at(ring, tail, 1) == 0) {
        return false;
    }
    ring->slots_[tail & ring->mask_] = item;
    /* S1: release, pairs with S2 in held_at(). */
    atomic_store_explicit(&ring->tail_, tail + 1, memory_order_release);
    return true;
}

uint32_t spsc_push_many(struct spsc *ring, void *const items[], uint32_t count)
{
    /* relaxed: no other thread writes tail_. */
    const uint32_t tail = atomic_load_explicit(&ring->tail_, memory_order_relaxed);
    const uint32_t room = room_at(ring, tail, count);
    const uint32_t taken = count < room ? count : room;
    for (uint32_t i = 0; i < taken; i++) {
        ASSERT_HOT(items[i] != NULL);
        ring->slots_[(tail + i) & ring->mask_] = items[i];
    }
    if (taken > 0) {
        /* S1: release, pairs with S2 in held_at(): all of them before the one store. */
        atomic_store_explicit(&ring->tail_, tail + taken, memory_order_release);
    }
    return taken;
}

/* Consumer only: how many items there are; as room_at(). */
static uint32_t held_at(struct spsc *ring, uint32_t head, uint32_t wanted)
{
    const uint32_t seen = ring->tail_seen_ - head;
    if (seen >= wanted) {
        return seen;
    }
    /* S2: acquire, pairs with S1 in spsc_push() and spsc_push_many(). */
    ring->tail_seen_ = atomic_load_explicit(&ring->tail_, memory_order_acquire);
    ASSERT(ring->tail_seen_ - head <= ring->mask_ + 1);
    return ring->tail_seen_ - head;
}

bool spsc_empty(struct spsc *ring)
{
    /* relaxed: no other thread writes head_. */
    return held_at(ring, atomic_load_explicit(&ring->head_, memory_order_relaxed), 1) == 0;
}

void *spsc_pop(struct spsc *ring)
{
    /* relaxed: no other thread writes head_. */
    const uint32_t head = atomic_load_explicit(&ring->head_, memory_order_relaxed);
    if (held_at(ring, head, 1) == 0) {
        return NULL;
    }
    void *item = ring->slots_[head & ring->mask_];
    /* S3: release, pairs with S4 in room_at(). */
    atomic_store_explicit(&ring->head_, head + 1, memory_order_release);
    return item;
}

uint32_t spsc_pop_many(struct spsc *ring, void *items[], uint32_t count)
{
    /* relaxed: no other thread writes head_. */
    const uint32_t head = atomic_load_explicit(&ring->head_, memory_order_relaxed);
    const uint32_t held = held_at(ring, head, count);
    const uint32_t taken = count < held ? count : held;
    for (uint32_t i = 0; i < taken; i++) {
        items[i] = ring->slots_[(head + i) & ring->mask_];
        ASSERT_HOT(items[i] != NULL);
    }
    if (taken > 0) {
        /* S3: release, pairs with S4 in room_at(): the slots have been read. */
        atomic_store_explicit(&ring->head_, head + taken, memory_order_release);
    }
    return taken;
}
