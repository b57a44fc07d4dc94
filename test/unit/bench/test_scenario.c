/* bench/scenario: an open loop's schedule, and what is filled in where nothing was asked for. */
#include "bench/scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void an_open_loop_is_due_at_n_by_rate_whatever_happens(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1, 3, 50, 1000, 7919, 100000000};
    static const uint64_t numbers[] = {0, 1, 2, 99, 123456, 5000000000};
    for (size_t r = 0; r < 6; r++) {
        for (size_t n = 0; n < 6; n++) {
            const struct bench_pace pace = {.rate = rates[r], .began_ns = 1000, .sent = numbers[n]};
            uint64_t due = 0;
            (void)bench_pace_due(&pace, 0, &due);
            const unsigned __int128 exact = (unsigned __int128)numbers[n] * BENCH_NS / rates[r];
            assert_true(due == 1000 + (uint64_t)exact);
            assert_true(bench_pace_due(&pace, due, &due));
            assert_false(bench_pace_due(&pace, due - 1, &due));
        }
    }
}

static void waiting_for_what_is_due_is_bounded(void **state)
{
    (void)state;
    struct bench_pace pace = {.rate = 1, .began_ns = bench_now_ns() + 3600 * BENCH_NS};
    assert_int_equal(bench_pace_wait_ns(&pace), BENCH_NS / 10);
    pace.began_ns = 0; /* long overdue: connections had no room */
    assert_true(bench_pace_wait_ns(&pace) > 0);
    assert_true(bench_pace_wait_ns(&pace) < BENCH_NS / 1000);
}

static void what_was_given_stays_and_the_rest_is_filled_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < BENCH_SCENARIO_COUNT; i++) {
        const struct bench_scenario *scenario = bench_scenarios[i];
        assert_ptr_equal(bench_scenario_find(scenario->name), scenario);
        struct bench_options options = {.payload = 777, .given = 1u << BENCH_PAYLOAD};
        bench_options_complete(&options, scenario);
        assert_int_equal(options.payload, 777);
        assert_int_equal(options.connections, scenario->defaults.connections);
        /* What every run divides by or loops over. */
        assert_true(options.connections > 0 && options.channels > 0 && options.batch > 0);
        assert_true(options.inflight > 0 && options.seconds > 0);
        options = (struct bench_options){0};
        bench_options_complete(&options, scenario);
        assert_true(options.payload >= STAMP_SIZE_MIN);
    }
    assert_null(bench_scenario_find("nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_loop_is_due_at_n_by_rate_whatever_happens),
        cmocka_unit_test(waiting_for_what_is_due_is_bounded),
        cmocka_unit_test(what_was_given_stays_and_the_rest_is_filled_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
