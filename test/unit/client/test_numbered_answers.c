/* client/numbered: [P 2, P 3] each publish has one answer, and that is true.
 * Goal: an answer left out, or a refusal of what was stored, is told; a server that is only slow,
 * or refuses what was pipelined, is not accused. Method: see test_numbered.c. */
#include "numbered_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* [P 2] exactly one answer to each, and `published` of a channel come in order. */
static void an_answer_left_out_is_told_with_the_next_of_its_channel(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 8);
    say_all(&w, 8);
    published(&w, 2, 0, 1, "");
    published(&w, 6, 0, 3, "");
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 1); /* of 4; 3 is another channel's */
    assert_non_null(strstr(w.violations.examples[0].text, "publish 4: not answered"));
    published(&w, 8, 0, 4, "");
    published(&w, 3, 1, 1, "");
    published(&w, 4, 0, 2, "");
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 1); /* once */
    close_world(&w);
}

static void so_is_the_first_answer_to_what_was_said_twice_and_stored(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 2);
    say_all(&w, 2);
    const uint64_t again = say(&w, 0, 1, 1);
    published(&w, again, 0, 1, DUPLICATE);
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 1);
    numbered_finish(&w.n);
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 1);
    close_world(&w);
}

/* An error may be overtaken: what may have been refused is judged by what comes, or by the end. */
static void what_may_have_been_refused_is_judged_later(void **state)
{
    (void)state;
    for (int then = 0; then < 4; then++) {
        struct world w;
        open_world(&w, 1, 2);
        say_all(&w, 2);
        if (then == 3) { /* stored before, as it may be: then a duplicate tells nothing of it */
            ready(&w);
            assert_int_equal(say(&w, 0, 1, 1), 2);
        }
        const uint64_t again = say(&w, 0, 1, 1);
        published(&w, again, 0, 1, then == 3 ? DUPLICATE : "");
        assert_int_equal(w.violations.total, 0);
        if (then == 0 || then == 3) {
            refused(&w, 2, "unavailable", "");
        } else if (then == 1) {
            published(&w, 2, 0, 1, DUPLICATE);
        }
        numbered_finish(&w.n);
        assert_int_equal(w.violations.counts[VIOLATION_PROTOCOL], then == 1 || then == 2 ? 1 : 0);
        close_world(&w);
    }
}

static void at_the_end_only_what_was_passed_over_should_have_been_answered(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 2);
    numbered_stop(&w.n);
    w.n.end_ = 1;
    assert_int_not_equal(say_next(&w), 0);
    (void)say(&w, 0, 1, 1);
    numbered_finish(&w.n); /* a server that is silent */
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(numbered_in_flight(&w.n), 0);
    const uint64_t one = say(&w, 0, 1, 1);
    (void)say(&w, 0, 1, 1);
    published(&w, one, 0, 1, DUPLICATE);
    assert_true(numbered_done(&w.n));
    numbered_finish(&w.n);
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 1);
    close_world(&w);
}

/* [P 3] of what was refused nothing is stored: it is no duplicate when it is said again. */
static void what_was_refused_and_stored_all_the_same_is_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 2);
    say_all(&w, 2);
    refused(&w, 2, "unavailable", "");
    published(&w, say(&w, 0, 1, 1), 0, 1, DUPLICATE);
    assert_int_equal(count_of(&w, VIOLATION_NUMBERING_REFUSED), 1);
    assert_int_equal(w.n.resent_count, 1);
    close_world(&w);
}

static void a_refusal_takes_nothing_from_another_copy(void **state)
{
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        struct world w;
        open_world(&w, 1, 2);
        say_all(&w, 2);
        published(&w, 3, 1, 1, "");
        const uint64_t second = say(&w, 0, 1, 1);
        refused(&w, 2, "unavailable", "");
        if (lost == 1) {
            ready(&w);
            assert_int_equal(w.n.indeterminate_count, 1);
        } else {
            const uint64_t third = say(&w, 0, 1, 1);
            published(&w, second, 0, 1, "");
            published(&w, third, 0, 1, DUPLICATE);
        }
        assert_int_equal(w.violations.total, 0);
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_left_out_is_told_with_the_next_of_its_channel),
        cmocka_unit_test(so_is_the_first_answer_to_what_was_said_twice_and_stored),
        cmocka_unit_test(what_may_have_been_refused_is_judged_later),
        cmocka_unit_test(at_the_end_only_what_was_passed_over_should_have_been_answered),
        cmocka_unit_test(what_was_refused_and_stored_all_the_same_is_told),
        cmocka_unit_test(a_refusal_takes_nothing_from_another_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
