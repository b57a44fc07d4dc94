/* client/endpoints: which address of a service is tried next. */
#include "client/endpoints.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Fails `count` times at the one that is picked, a second apart. */
static void fail_at(struct endpoints *e, size_t which, unsigned count, uint64_t *now_ms)
{
    while (count > 0) {
        if (endpoints_pick(e, *now_ms) == which) {
            count--;
            endpoints_lost(e, *now_ms);
            *now_ms += 1000;
        } else {
            endpoints_ready(e, *now_ms);
            *now_ms += 0;
            e->list_[e->current_].failures = 0; /* this one is not the subject */
            endpoints_lost(e, *now_ms);
            e->list_[(e->current_ + e->count_ - 1) % e->count_].failures = 0;
        }
    }
}

static bool is_picked(struct endpoints *e, size_t which, uint64_t now_ms)
{
    for (size_t i = 0; i < e->count_; i++) {
        if (endpoints_pick(e, now_ms) == which) {
            return true;
        }
        e->current_ = (e->current_ + 1) % e->count_;
    }
    return false;
}

static void they_are_tried_in_turn(void **state)
{
    (void)state;
    struct endpoints e;
    endpoints_init(&e, 3, 4);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(endpoints_pick(&e, 1000 * i), (1 + i) % 3);
        assert_int_equal(endpoints_pick(&e, 1000 * i), (1 + i) % 3); /* until it is lost */
        endpoints_lost(&e, 1000 * i);
    }
}

static void three_failures_in_a_row_put_one_out_longer_each_time(void **state)
{
    (void)state;
    struct endpoints e;
    uint64_t now = 1000000;
    uint64_t out = ENDPOINTS_OUT_FIRST_MS;
    endpoints_init(&e, 2, 0);
    for (unsigned round = 0; round < 6; round++) {
        fail_at(&e, 0, 2, &now);
        assert_true(is_picked(&e, 0, now));
        fail_at(&e, 0, 1, &now);
        const uint64_t until = now - 1000 + out;
        assert_false(is_picked(&e, 0, until - 1));
        assert_int_equal(endpoints_in(&e, until - 1), 1);
        assert_true(is_picked(&e, 0, until));
        out = 2 * out < ENDPOINTS_OUT_LAST_MS ? 2 * out : ENDPOINTS_OUT_LAST_MS;
        now = until;
    }
}

static void failures_far_apart_put_nobody_out(void **state)
{
    (void)state;
    struct endpoints e;
    uint64_t now = 1000000;
    endpoints_init(&e, 2, 0);
    for (unsigned i = 0; i < 10; i++) {
        fail_at(&e, 0, 1, &now);
        now += ENDPOINTS_WITHIN_MS / 2;
        assert_true(is_picked(&e, 0, now));
    }
}

static void a_connection_that_held_makes_good(void **state)
{
    (void)state;
    struct endpoints e;
    uint64_t now = 1000000;
    endpoints_init(&e, 2, 0);
    fail_at(&e, 0, 2, &now);
    assert_true(is_picked(&e, 0, now));
    endpoints_ready(&e, now);
    endpoints_lost(&e, now + ENDPOINTS_WITHIN_MS); /* the third, if it counted */
    assert_true(is_picked(&e, 0, now + ENDPOINTS_WITHIN_MS));
    now += 40000;
    fail_at(&e, 0, 2, &now);
    assert_true(is_picked(&e, 0, now));
    endpoints_ready(&e, now);
    endpoints_lost(&e, now + 10); /* it broke at once: a failure like any other */
    assert_false(is_picked(&e, 0, now + 20));
}

static void never_all_of_them(void **state)
{
    (void)state;
    struct endpoints e;
    uint64_t now = 1000000;
    endpoints_init(&e, 3, 0);
    for (unsigned i = 0; i < 100; i++) {
        (void)endpoints_pick(&e, now);
        endpoints_lost(&e, now);
        assert_true(endpoints_in(&e, now) >= 1);
        now += 500;
    }
    assert_int_equal(endpoints_in(&e, now), 1);
    endpoints_init(&e, 1, 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(endpoints_pick(&e, now), 0);
        endpoints_lost(&e, now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_tried_in_turn),
        cmocka_unit_test(three_failures_in_a_row_put_one_out_longer_each_time),
        cmocka_unit_test(failures_far_apart_put_nobody_out),
        cmocka_unit_test(a_connection_that_held_makes_good),
        cmocka_unit_test(never_all_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
