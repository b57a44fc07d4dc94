/* client/ledger: what was acknowledged and what was seen at a seq are one message, for everybody.
 * Method: one channel of two producers; entries as they come, right ones and wrong ones, and the
 * count of what is told. What observers make of it: test_observer.c. */
#include "client/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ID(text) BYTES_LITERAL(text)

struct world {
    struct workload workload;
    struct violations violations;
    struct ledger ledger;
};

static void open_world(struct world *w)
{
    const struct workload_options options = {.prefix = "w",
                                             .seed = 3,
                                             .messages = 40,
                                             .channels = 1,
                                             .producers = 2,
                                             .batch = 1,
                                             .size = 64,
                                             .rate = 1000};
    *w = (struct world){0};
    assert_int_equal(workload_init(&w->workload, &options), RC_OK);
    assert_int_equal(ledger_init(&w->ledger, &w->workload, &w->violations), RC_OK);
}

/* Nothing but that was told. */
static void close_world(struct world *w, enum violation violation, uint64_t count)
{
    assert_int_equal(w->violations.counts[violation], count);
    assert_int_equal(w->violations.total, count);
    ledger_deinit(&w->ledger);
    workload_deinit(&w->workload);
}

static void what_is_told_alike_from_all_sides_is_right(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    ledger_acked(&w.ledger, 0, 1, 0, 1, ID("m1"));
    ledger_acked(&w.ledger, 0, 1, 0, 1, ID("m1"));
    ledger_acked(&w.ledger, 0, 1, 0, 1, ID("")); /* in the midst of a batch no id is told */
    ledger_seen(&w.ledger, 0, 1, 0, 1, 500, ID("m1"));
    ledger_seen(&w.ledger, 0, 1, 0, 1, 500, ID("m1"));
    ledger_seen(&w.ledger, 0, 2, 1, 1, 501, ID("m2"));
    ledger_acked(&w.ledger, 0, 2, 1, 1, ID("m2"));
    ledger_acked(&w.ledger, 0, 0, 1, 2, ID("")); /* a duplicate whose seq is not known any more */
    assert_int_equal(w.ledger.channels[0].acked_last, 2);
    assert_int_equal(w.ledger.channels[0].seen_last, 2);
    assert_int_equal(w.ledger.seen_count, 2);
    assert_int_equal(w.ledger.acked[ledger_stream(&w.ledger, 0, 1)], 2);
    close_world(&w, VIOLATION_PROTOCOL, 0);
}

static void the_highest_number_counts_whatever_comes_behind_it(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    ledger_sent(&w.ledger, 0, 1, 9);
    ledger_sent(&w.ledger, 0, 1, 3);
    ledger_acked(&w.ledger, 0, 8, 1, 7, ID("a"));
    ledger_acked(&w.ledger, 0, 4, 1, 3, ID("b"));
    ledger_seen(&w.ledger, 0, 8, 1, 7, 5, ID("a"));
    ledger_seen(&w.ledger, 0, 4, 1, 3, 5, ID("b"));
    assert_int_equal(w.ledger.sent[ledger_stream(&w.ledger, 0, 1)], 9);
    assert_int_equal(w.ledger.acked[ledger_stream(&w.ledger, 0, 1)], 7);
    assert_int_equal(w.ledger.channels[0].acked_last, 8);
    assert_int_equal(w.ledger.channels[0].seen_last, 8);
    close_world(&w, VIOLATION_PROTOCOL, 0);
}

static void one_seq_for_two_numbers_or_two_producers_is_told(void **state)
{
    (void)state;
    for (uint32_t producer = 0; producer < 2; producer++) {
        struct world w;
        open_world(&w);
        ledger_acked(&w.ledger, 0, 5, 0, 2, ID("m"));
        ledger_acked(&w.ledger, 0, 5, producer, producer == 0 ? 3 : 2, ID("m"));
        close_world(&w, VIOLATION_ACK_MISMATCH, 1);
    }
}

static void another_message_seen_than_acknowledged_is_told_by_whoever_comes_second(void **state)
{
    (void)state;
    for (uint32_t producer = 0; producer < 2; producer++) {
        struct world w;
        open_world(&w);
        ledger_acked(&w.ledger, 0, 5, 0, 2, ID("m"));
        ledger_seen(&w.ledger, 0, 5, producer, producer == 0 ? 3 : 2, 9, ID("other"));
        /* What is seen counts from here on. */
        ledger_seen(&w.ledger, 0, 5, producer, producer == 0 ? 3 : 2, 9, ID("other"));
        close_world(&w, VIOLATION_ACK_MISMATCH, 1);
        open_world(&w);
        ledger_seen(&w.ledger, 0, 5, producer, producer == 0 ? 3 : 2, 9, ID("other"));
        ledger_acked(&w.ledger, 0, 5, 0, 2, ID("m"));
        close_world(&w, VIOLATION_ACK_MISMATCH, 1);
    }
}

static void two_sights_that_differ_are_inconsistent(void **state)
{
    (void)state;
    static const struct {
        uint32_t producer;
        uint64_t number;
        uint64_t time;
        struct bytes id;
    } second[] = {{1, 2, 9, ID("m")}, {0, 3, 9, ID("m")}, {0, 2, 10, ID("m")}, {0, 2, 9, ID("n")}};
    for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
        struct world w;
        open_world(&w);
        ledger_seen(&w.ledger, 0, 5, 0, 2, 9, ID("m"));
        ledger_seen(&w.ledger, 0, 5, second[i].producer, second[i].number, second[i].time,
                    second[i].id);
        close_world(&w, VIOLATION_INCONSISTENT, 1);
    }
}

static void a_seq_beyond_all_that_was_sent_is_unexpected(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    const uint64_t last = w.ledger.channels[0].capacity;
    assert_true(last > 40);
    ledger_seen(&w.ledger, 0, last, 0, 1, 9, ID("m"));
    ledger_seen(&w.ledger, 0, last + 1, 0, 2, 9, ID("m"));
    ledger_acked(&w.ledger, 0, UINT64_MAX / 4, 0, 1, ID("m"));
    close_world(&w, VIOLATION_UNEXPECTED, 2);
}

/* [P 1] a change of the epoch is told once, and nobody is accused of what the change explains. */
static void another_epoch_is_told_and_its_seqs_are_not_compared(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    ledger_epoch(&w.ledger, 0, BYTES_LITERAL("\"e\""));
    ledger_epoch(&w.ledger, 0, BYTES_LITERAL("\"e\""));
    ledger_acked(&w.ledger, 0, 5, 0, 2, ID("m"));
    ledger_seen(&w.ledger, 0, 5, 0, 2, 9, ID("m"));
    ledger_epoch(&w.ledger, 0, BYTES_LITERAL("\"f\""));
    ledger_epoch(&w.ledger, 0, BYTES_LITERAL("\"f\""));
    ledger_acked(&w.ledger, 0, 5, 1, 7, ID("n"));
    ledger_seen(&w.ledger, 0, 5, 1, 7, 10, ID("n"));
    assert_int_equal(w.ledger.epoch_changes, 1);
    close_world(&w, VIOLATION_HISTORY_CHANGED, 1);
}

static void an_epoch_that_is_empty_or_too_long_to_keep_is_told(void **state)
{
    (void)state;
    struct world w;
    char text[LEDGER_EPOCH_SIZE + 2];
    (void)snprintf(text, sizeof(text), "%0*d", (int)LEDGER_EPOCH_SIZE + 1, 0);
    open_world(&w);
    ledger_epoch(&w.ledger, 0, bytes_of(text, LEDGER_EPOCH_SIZE));
    ledger_epoch(&w.ledger, 0, bytes_of(text, LEDGER_EPOCH_SIZE + 1));
    ledger_epoch(&w.ledger, 0, (struct bytes){0});
    assert_int_equal(w.ledger.epoch_changes, 0);
    close_world(&w, VIOLATION_PROTOCOL, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told_alike_from_all_sides_is_right),
        cmocka_unit_test(the_highest_number_counts_whatever_comes_behind_it),
        cmocka_unit_test(one_seq_for_two_numbers_or_two_producers_is_told),
        cmocka_unit_test(another_message_seen_than_acknowledged_is_told_by_whoever_comes_second),
        cmocka_unit_test(two_sights_that_differ_are_inconsistent),
        cmocka_unit_test(a_seq_beyond_all_that_was_sent_is_unexpected),
        cmocka_unit_test(another_epoch_is_told_and_its_seqs_are_not_compared),
        cmocka_unit_test(an_epoch_that_is_empty_or_too_long_to_keep_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
