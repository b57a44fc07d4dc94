#include "ring/ticket.h"

void ticket_init(struct ticket *ticket, uint64_t next)
{
    atomic_init(&ticket->next_, next);
}

uint64_t ticket_take(struct ticket *ticket, uint64_t floor, uint64_t count)
{
    /* relaxed throughout: only the number's own uniqueness matters, it guards no other memory. */
    uint64_t next = atomic_load_explicit(&ticket->next_, memory_order_relaxed);
    for (;;) {
        const uint64_t first = next > floor ? next : floor;
        /* relaxed: as above; a lost race reloads `next` and tries again. */
        if (atomic_compare_exchange_weak_explicit(&ticket->next_, &next, first + count,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return first;
        }
    }
}
