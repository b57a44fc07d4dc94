/* ring/spsc: order and bounds on one thread, through the wrap of the counters, then a race.
 * Method: items are small integers cast to pointers; the model is a counter at either end. */
#include "ring/spsc.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/prng.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void *item_of(uintptr_t number)
{
    return (void *)(number + 1); /* NULL is no item */
}

static void a_new_ring_is_empty_and_takes_as_many_as_it_has_slots(void **state)
{
    (void)state;
    struct spsc ring;
    assert_int_equal(spsc_init(&ring, 4), RC_OK);
    assert_true(spsc_empty(&ring));
    assert_null(spsc_pop(&ring));
    for (uintptr_t i = 0; i < 4; i++) {
        assert_false(spsc_full(&ring));
        assert_true(spsc_push(&ring, item_of(i)));
    }
    assert_true(spsc_full(&ring));
    assert_false(spsc_push(&ring, item_of(99)));
    for (uintptr_t i = 0; i < 4; i++) {
        assert_ptr_equal(spsc_pop(&ring), item_of(i));
    }
    assert_true(spsc_empty(&ring));
    assert_false(spsc_full(&ring));
    spsc_deinit(&ring);
}

static void order_and_bounds_hold_through_the_wrap_of_the_counters(void **state)
{
    (void)state;
    for (uint32_t slots = 2; slots <= 64; slots *= 2) {
        /* Each start lets the counters pass UINT32_MAX at another fill of the ring. */
        for (uint32_t before = 0; before < 2 * slots; before++) {
            struct spsc ring;
            assert_int_equal(spsc_init_at(&ring, slots, UINT32_MAX - before), RC_OK);
            struct prng prng = {.state = before};
            uintptr_t pushed = 0;
            uintptr_t popped = 0;
            while (popped < 6 * (uintptr_t)slots) {
                if (prng_below(&prng, 2) == 0) {
                    const bool room = pushed - popped < slots;
                    assert_int_equal(spsc_full(&ring), !room);
                    assert_int_equal(spsc_push(&ring, item_of(pushed)), room);
                    pushed += room ? 1 : 0;
                } else {
                    const bool any = pushed > popped;
                    assert_int_equal(spsc_empty(&ring), !any);
                    assert_ptr_equal(spsc_pop(&ring), any ? item_of(popped) : NULL);
                    popped += any ? 1 : 0;
                }
            }
            spsc_deinit(&ring);
        }
    }
}

static void many_at_once_keep_order_and_bounds_through_the_wrap(void **state)
{
    (void)state;
    for (uint32_t slots = 2; slots <= 64; slots *= 2) {
        for (uint32_t before = 0; before < 2 * slots; before++) {
            struct spsc ring;
            assert_int_equal(spsc_init_at(&ring, slots, UINT32_MAX - before), RC_OK);
            struct prng prng = {.state = before};
            uint32_t pushed = 0;
            uint32_t popped = 0;
            while (popped < 20 * slots) {
                void *items[100];
                const uint32_t count = (uint32_t)prng_below(&prng, 100);
                if (prng_below(&prng, 2) == 0) {
                    for (uint32_t i = 0; i < count; i++) {
                        items[i] = item_of(pushed + i);
                    }
                    const uint32_t free_slots = slots - (pushed - popped);
                    const uint32_t taken = count < free_slots ? count : free_slots;
                    assert_int_equal(spsc_room(&ring, count), taken);
                    assert_int_equal(spsc_push_many(&ring, items, count), taken);
                    pushed += taken;
                } else {
                    const uint32_t held = pushed - popped;
                    const uint32_t taken = count < held ? count : held;
                    assert_int_equal(spsc_pop_many(&ring, items, count), taken);
                    for (uint32_t i = 0; i < taken; i++) {
                        assert_ptr_equal(items[i], item_of(popped + i));
                    }
                    popped += taken;
                }
                /* One at a time sees the same ring. */
                assert_int_equal(spsc_full(&ring), pushed - popped == slots);
                assert_int_equal(spsc_empty(&ring), pushed == popped);
            }
            spsc_deinit(&ring);
        }
    }
}

static void a_ring_without_memory_is_refused(void **state)
{
    (void)state;
    struct spsc ring = {0};
    mem_fault_set(1, 0);
    const enum rc rc = spsc_init(&ring, 8);
    mem_fault_set(0, 0);
    assert_int_equal(rc, RC_NOMEM);
}

#define RACE_ITEMS 300000u
#define RACE_MANY  48u

struct payload {
    uint32_t number;
    uint32_t check; /* ~number: written without atomics, so that only the ring orders it */
};

static struct payload payloads[RACE_ITEMS];

/* How a side of the race goes about it: one at a time, or up to RACE_MANY. */
struct race {
    struct spsc ring;
    bool push_many;
    bool pop_many;
};

static uint32_t race_push(struct race *race, uint32_t from)
{
    if (!race->push_many) {
        return spsc_push(&race->ring, &payloads[from]) ? 1 : 0;
    }
    void *items[RACE_MANY];
    const uint32_t most = 1 + from % RACE_MANY;
    const uint32_t count = most < RACE_ITEMS - from ? most : RACE_ITEMS - from;
    for (uint32_t i = 0; i < count; i++) {
        items[i] = &payloads[from + i];
    }
    return spsc_push_many(&race->ring, items, count);
}

static void *race_producer(void *arg)
{
    struct race *race = arg;
    uint32_t written = 0;
    for (uint32_t i = 0; i < RACE_ITEMS;) {
        for (; written < RACE_ITEMS && written < i + RACE_MANY; written++) {
            payloads[written] = (struct payload){.number = written, .check = ~written};
        }
        const uint32_t pushed = race_push(race, i);
        i += pushed;
        if (pushed == 0) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static uint32_t race_pop(struct race *race, void *items[RACE_MANY], uint32_t from)
{
    if (!race->pop_many) {
        items[0] = spsc_pop(&race->ring);
        return items[0] == NULL ? 0 : 1;
    }
    return spsc_pop_many(&race->ring, items, 1 + from % RACE_MANY);
}

static void race_consume(struct race *race)
{
    for (uint32_t i = 0; i < RACE_ITEMS;) {
        void *items[RACE_MANY];
        const uint32_t popped = race_pop(race, items, i);
        for (uint32_t k = 0; k < popped; k++, i++) {
            const struct payload *payload = items[k];
            assert_true(payload->number == i);
            assert_true(payload->check == ~i);
        }
        if (popped == 0) {
            (void)sched_yield();
        }
    }
}

/* The counters wrap in mid-race, and the plain writes before a push must be seen after its pop;
 * each way of pushing against each way of popping. */
static void two_threads_pass_items_in_order_with_their_bytes(void **state)
{
    (void)state;
    const uint32_t slot_counts[] = {2, 16, 1024};
    for (size_t k = 0; k < 4 * sizeof(slot_counts) / sizeof(slot_counts[0]); k++) {
        struct race race = {.push_many = k % 2 == 1, .pop_many = k % 4 >= 2};
        pthread_t producer;
        const uint32_t start = UINT32_MAX - RACE_ITEMS / 2;
        bytes_zero(payloads, sizeof(payloads));
        assert_int_equal(spsc_init_at(&race.ring, slot_counts[k / 4], start), RC_OK);
        assert_int_equal(pthread_create(&producer, NULL, race_producer, &race), 0);
        race_consume(&race);
        assert_int_equal(pthread_join(producer, NULL), 0);
        assert_true(spsc_empty(&race.ring));
        spsc_deinit(&race.ring);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_ring_is_empty_and_takes_as_many_as_it_has_slots),
        cmocka_unit_test(order_and_bounds_hold_through_the_wrap_of_the_counters),
        cmocka_unit_test(many_at_once_keep_order_and_bounds_through_the_wrap),
        cmocka_unit_test(a_ring_without_memory_is_refused),
        cmocka_unit_test(two_threads_pass_items_in_order_with_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
