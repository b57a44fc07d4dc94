/* Goal: the partition says what the naive model says, whatever comes in what order, through failed
 * commits, crashes, restarts from checkpoints and lost replies; and a replay reaches the same
 * state. Method: scenarios drawn by a generator; each seed can be run alone by its number. */
#include "scenario.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

#define SEEDS 400u

static struct scenario_marks marks;

static void a_random_history_is_that_of_the_model(void **state)
{
    (void)state;
    uint8_t input[2000];
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct prng prng = {.state = seed};
        for (size_t i = 0; i < sizeof(input); i++) {
            input[i] = (uint8_t)prng_next(&prng);
        }
        (void)fprintf(stderr, "\rseed %llu", (unsigned long long)seed);
        scenario_run(bytes_of(input, sizeof(input)), &marks);
    }
    (void)fprintf(stderr, "\n");
}

static void the_odd_branches_have_run(void **state)
{
    (void)state;
    for (unsigned v = 0; v <= 4; v++) {
        assert_true(marks.verdicts[v] > SEEDS);
    }
    assert_true(marks.failed_commits > SEEDS);
    assert_true(marks.restarts > SEEDS);
    assert_true(marks.restarts_from_checkpoint > SEEDS / 2);
    assert_true(marks.lost_replies > SEEDS / 4);
    assert_true(marks.epochs > SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_history_is_that_of_the_model),
        cmocka_unit_test(the_odd_branches_have_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
