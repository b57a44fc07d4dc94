/* ring/intake, ring/budget, ring/gate: what publishing threads of a client share with the one that
 * turns it.
 * Method: threads push numbered records of many sizes through a small ring; the consumer knows what
 * must be in each, and that those of one thread come in order. Run under TSan too. */
#include "ring/budget.h"
#include "ring/gate.h"
#include "ring/intake.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/prng.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void push(struct intake *intake, uint8_t value, size_t size, bool fits)
{
    uint64_t end;
    uint8_t *record = intake_reserve(intake, size, &end);
    assert_int_equal(record != NULL, fits);
    if (record != NULL) {
        assert_int_equal((uintptr_t)record % 8, 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(record[i], 0); /* what the consumer gave back is clear */
            record[i] = value;
        }
        intake_commit(record, size);
    }
}

static void pop(struct intake *intake, uint8_t value, size_t size)
{
    size_t got = 0;
    const uint8_t *record = intake_next(intake, &got);
    assert_non_null(record);
    assert_int_equal(got, size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(record[i], value);
    }
}

static void records_come_in_order_and_a_full_ring_says_so(void **state)
{
    (void)state;
    struct intake intake;
    size_t size;
    assert_int_equal(intake_init(&intake, 128), RC_OK);
    assert_int_equal(intake_record_max(&intake), 56);
    assert_true(intake_empty(&intake));
    assert_null(intake_next(&intake, &size));
    for (unsigned round = 0; round < 100; round++) {
        push(&intake, 1, 40, true);
        push(&intake, 2, 17, true);
        push(&intake, 3, 56, false);
        pop(&intake, 1, 40);
        push(&intake, 3, 56, false); /* read is not given back */
        pop(&intake, 2, 17);
        assert_null(intake_next(&intake, &size));
        intake_give(&intake);
        push(&intake, 4, 1, true); /* so that the end of the ring comes in every place */
        pop(&intake, 4, 1);
        intake_give(&intake);
        assert_true(intake_empty(&intake));
    }
    intake_deinit(&intake);
}

/* Of a ring that is full to its last byte, and read, nothing is read twice. */
static void a_ring_that_is_all_read_and_not_given_back_has_no_next(void **state)
{
    (void)state;
    struct intake intake;
    size_t size;
    assert_int_equal(intake_init(&intake, 128), RC_OK);
    for (unsigned round = 0; round < 3; round++) {
        push(&intake, 1, 56, true);
        push(&intake, 2, 56, true);
        push(&intake, 3, 1, false);
        pop(&intake, 1, 56);
        pop(&intake, 2, 56);
        assert_null(intake_next(&intake, &size));
        intake_give(&intake);
        assert_true(intake_empty(&intake));
    }
    intake_deinit(&intake);
}

static void what_is_not_committed_holds_up_what_stands_behind_it(void **state)
{
    (void)state;
    struct intake intake;
    uint64_t end = 0;
    size_t size;
    assert_int_equal(intake_init(&intake, 128), RC_OK);
    uint8_t *first = intake_reserve(&intake, 8, &end);
    push(&intake, 2, 8, true);
    assert_true(intake_empty(&intake));
    assert_null(intake_next(&intake, &size));
    bytes_copy(first, "\1\1\1\1\1\1\1\1", 8);
    intake_commit(first, 8);
    pop(&intake, 1, 8);
    assert_int_equal(intake_taken(&intake), end);
    pop(&intake, 2, 8);
    intake_deinit(&intake);
}

static void no_memory_is_told(void **state)
{
    (void)state;
    struct intake intake;
    mem_fault_set(1, 0);
    assert_int_equal(intake_init(&intake, 64), RC_NOMEM);
    mem_fault_set(0, 0);
}

#define PRODUCERS 4u
#define RECORDS   20000u

struct producer {
    struct intake *intake;
    struct budget *budget;
    uint32_t number;
};

/* number, count, and as many bytes as they say */
static size_t size_of(uint32_t number, uint32_t count)
{
    return 8 + (number * 31 + count * 7) % 90;
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (uint32_t count = 0; count < RECORDS;) {
        const size_t size = size_of(p->number, count);
        uint64_t end;
        if (!budget_take(p->budget, size)) {
            (void)sched_yield();
            continue;
        }
        uint8_t *record = intake_reserve(p->intake, size, &end);
        if (record == NULL) {
            budget_give(p->budget, size);
            (void)sched_yield();
            continue;
        }
        bytes_store_u32(record, p->number);
        bytes_store_u32(record + 4, count);
        for (size_t i = 8; i < size; i++) {
            record[i] = (uint8_t)(count + i);
        }
        intake_commit(record, size);
        count++;
    }
    return NULL;
}

static void threads_lose_nothing_and_keep_their_order(void **state)
{
    (void)state;
    struct intake intake;
    struct budget budget;
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];
    uint32_t next[PRODUCERS] = {0};
    assert_int_equal(intake_init(&intake, 1024), RC_OK);
    budget_init(&budget, 700);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){&intake, &budget, i};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (uint32_t done = 0; done < PRODUCERS * RECORDS;) {
        size_t size;
        size_t sum = 0;
        const uint8_t *record;
        while ((record = intake_next(&intake, &size)) != NULL) {
            const uint32_t number = bytes_load_u32(record);
            const uint32_t count = bytes_load_u32(record + 4);
            assert_true(number < PRODUCERS);
            assert_int_equal(count, next[number]++);
            assert_int_equal(size, size_of(number, count));
            for (size_t i = 8; i < size; i++) {
                assert_int_equal(record[i], (uint8_t)(count + i));
            }
            sum += size;
            done++;
        }
        assert_true(budget_used(&budget) <= 700);
        budget_give(&budget, sum);
        intake_give(&intake);
        (void)sched_yield();
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(budget_used(&budget), 0);
    assert_true(intake_empty(&intake));
    intake_deinit(&intake);
}

static void a_budget_gives_what_it_has_and_no_more(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 10);
    assert_true(budget_take(&budget, 4));
    assert_false(budget_take(&budget, 7));
    assert_true(budget_take(&budget, 6));
    assert_false(budget_take(&budget, 1));
    assert_false(budget_take(&budget, UINT64_MAX));
    budget_force(&budget, 5);
    assert_int_equal(budget_used(&budget), 15);
    assert_false(budget_take(&budget, 0));
    budget_give(&budget, 15);
    assert_true(budget_take(&budget, 10));
}

struct wait {
    struct gate *gate;
    uint64_t until;
    uint64_t plain; /* written before the gate is raised */
};

static bool is_reached(void *ctx)
{
    const struct wait *wait = ctx;
    return gate_reached(wait->gate) >= wait->until;
}

static void *raise_gate(void *arg)
{
    struct wait *wait = arg;
    for (uint64_t i = 1; i <= 2000; i++) {
        wait->plain = i;
        gate_raise(wait->gate, i);
        if (i % 50 == 0) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void who_waits_at_a_gate_is_let_through_when_it_is_reached(void **state)
{
    (void)state;
    struct gate gate;
    pthread_t thread;
    assert_true(gate_init(&gate));
    struct wait wait = {.gate = &gate, .until = 1};
    assert_false(gate_wait(&gate, is_reached, &wait, 0));
    assert_false(gate_wait(&gate, is_reached, &wait, 5));
    assert_int_equal(pthread_create(&thread, NULL, raise_gate, &wait), 0);
    for (uint64_t i = 1; i <= 2000; i += 97) {
        struct wait mine = {.gate = &gate, .until = i};
        assert_true(gate_wait(&gate, is_reached, &mine, i % 2 == 0 ? UINT64_MAX : 60000));
    }
    struct wait last = {.gate = &gate, .until = 2000};
    assert_true(gate_wait(&gate, is_reached, &last, UINT64_MAX));
    assert_true(gate_wait(&gate, is_reached, &last, 999)); /* an end in the next second */
    assert_true(gate_wait(&gate, is_reached, &last, 500));
    assert_int_equal(wait.plain, 2000);
    assert_int_equal(pthread_join(thread, NULL), 0);
    gate_deinit(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_in_order_and_a_full_ring_says_so),
        cmocka_unit_test(a_ring_that_is_all_read_and_not_given_back_has_no_next),
        cmocka_unit_test(what_is_not_committed_holds_up_what_stands_behind_it),
        cmocka_unit_test(no_memory_is_told),
        cmocka_unit_test(threads_lose_nothing_and_keep_their_order),
        cmocka_unit_test(a_budget_gives_what_it_has_and_no_more),
        cmocka_unit_test(who_waits_at_a_gate_is_let_through_when_it_is_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
