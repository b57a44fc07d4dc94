#include "io/timer.h"

#include "base/assert.h"

static struct list *slot_of(struct timer_wheel *wheel, uint64_t slot)
{
    return &wheel->slots_[slot % TIMER_SLOTS];
}

/* A timer is looked at when its slot is wholly in the past: late by a slot, never early. */
static uint64_t slot_number(uint64_t ms)
{
    return ms / TIMER_SLOT_MS;
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    for (unsigned i = 0; i < TIMER_SLOTS; i++) {
        list_init(&wheel->slots_[i]);
    }
    wheel->slot_next_ = slot_number(now_ms);
    wheel->count_ = 0;
}

void timer_init(struct timer *timer)
{
    list_init(&timer->link_);
    timer->due_ms = 0;
}

void timer_disarm(struct timer_wheel *wheel, struct timer *timer)
{
    if (timer->due_ms != 0) {
        list_remove(&timer->link_);
        timer->due_ms = 0;
        wheel->count_--;
    }
}

void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms)
{
    ASSERT(due_ms > 0);
    timer_disarm(wheel, timer);
    timer->due_ms = due_ms;
    /* What is overdue goes into the slot that is expired next. */
    const uint64_t due = slot_number(due_ms);
    const uint64_t slot = due > wheel->slot_next_ ? due : wheel->slot_next_;
    list_push_back(slot_of(wheel, slot), &timer->link_);
    wheel->count_++;
}

static struct timer *slot_take_due(struct list *slot, uint64_t now_ms)
{
    for (struct list *at = slot->next; at != slot; at = at->next) {
        struct timer *timer = CONTAINER_OF(at, struct timer, link_);
        if (timer->due_ms <= now_ms) {
            return timer;
        }
    }
    return NULL;
}

struct timer *timer_expire(struct timer_wheel *wheel, uint64_t now_ms)
{
    const uint64_t end = slot_number(now_ms); /* the slot under way is not over yet */
    if (end > wheel->slot_next_ + TIMER_SLOTS) {
        wheel->slot_next_ = end - TIMER_SLOTS; /* a long sleep: each slot once is enough */
    }
    while (wheel->slot_next_ < end) {
        struct timer *timer = slot_take_due(slot_of(wheel, wheel->slot_next_), now_ms);
        if (timer != NULL) {
            timer_disarm(wheel, timer);
            return timer;
        }
        wheel->slot_next_++;
    }
    return NULL;
}

int timer_wait_ms(const struct timer_wheel *wheel, uint64_t now_ms, int max_ms)
{
    if (wheel->count_ == 0) {
        return max_ms;
    }
    const uint64_t turn_max = (uint64_t)max_ms / TIMER_SLOT_MS + 1;
    for (uint64_t ahead = 0; ahead < turn_max && ahead < TIMER_SLOTS; ahead++) {
        if (!list_empty(&wheel->slots_[(wheel->slot_next_ + ahead) % TIMER_SLOTS])) {
            const uint64_t due_ms = (wheel->slot_next_ + 1 + ahead) * TIMER_SLOT_MS;
            const uint64_t wait = due_ms > now_ms ? due_ms - now_ms : 0;
            return wait > (uint64_t)max_ms ? max_ms : (int)wait;
        }
    }
    return max_ms;
}
