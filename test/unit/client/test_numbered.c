/* client/numbered: messages are handed on in order, once, and again to a new client; answers that
 * cannot be right are told by name.
 * Method: what a client would say is said by hand, and so are the server's answers, as JSON. */
#include "numbered_world.h"

#include "base/mem.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- what is right ------------------------------------------------------------------------- */

static void commands_go_in_order_and_no_more_than_the_window_holds(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 4);
    say_all(&w, 4); /* ids 2 to 5 */
    assert_int_equal(numbered_in_flight(&w.n), 4);
    published(&w, 2, 0, 1, "");
    published(&w, 3, 1, 1, "");
    say_all(&w, 2);
    for (uint64_t k = 2; k < 100; k++) {
        published(&w, k + 2, (uint32_t)(k % 2), k / 2 + 1, "");
        (void)say_next(&w);
    }
    assert_true(numbered_done(&w.n));
    assert_int_equal(w.n.sent_count, 100);
    assert_int_equal(w.n.acked_count, 100);
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(numbered_in_flight(&w.n), 0);
    assert_int_equal(w.ledger.acked[ledger_stream(&w.ledger, 1, 0)], 50);
    assert_int_equal(w.ledger.channels[1].acked_last, 50);
    close_world(&w);
}

static void nothing_goes_before_it_is_due(void **state)
{
    (void)state;
    struct world w;
    struct numbered_message m;
    open_world(&w, 10, 100);
    w.load_ns = 8999999;
    assert_false(numbered_next(&w.n, w.load_ns, &m)); /* the tenth is due after nine milliseconds */
    assert_int_equal(numbered_due_ns(&w.n), 9000000);
    w.load_ns = 9000000;
    assert_true(numbered_next(&w.n, w.load_ns, &m));
    numbered_handed(&w.n);
    assert_int_equal(numbered_due_ns(&w.n), 0); /* the rest of what was begun */
    for (int i = 1; i < 10; i++) {
        assert_true(numbered_next(&w.n, w.load_ns, &m));
        assert_int_equal(m.number, i + 1);
        numbered_handed(&w.n);
    }
    assert_false(numbered_next(&w.n, w.load_ns, &m));
    w.load_ns = 30000000;
    say_all(&w, 2);
    close_world(&w);
}

static void latency_counts_from_when_each_message_was_due(void **state)
{
    (void)state;
    static struct histogram histogram;
    struct world w;
    open_world(&w, 2, 100);
    histogram = (struct histogram){0};
    w.n.latency_us = &histogram;
    w.load_ns = 1000000;
    say_all(&w, 1);
    w.load_ns = 5000000;
    published(&w, 2, 0, 1, ",\"count\":2");
    assert_int_equal(histogram.count, 2);
    assert_int_equal(histogram.max, 5000); /* the first one was due at 0 */
    close_world(&w);
}

static void an_answer_before_a_message_was_due_took_no_time(void **state)
{
    (void)state;
    static struct histogram histogram;
    struct world w;
    open_world(&w, 2, 100);
    histogram = (struct histogram){0};
    w.n.latency_us = &histogram;
    w.load_ns = 1000000;
    say_all(&w, 1);
    w.load_ns = 500000; /* the second one is due at 1 ms */
    published(&w, 2, 0, 1, ",\"count\":2");
    assert_int_equal(histogram.count, 2);
    assert_int_equal(histogram.slots[0], 1);
    assert_int_equal(histogram.max, 500);
    close_world(&w);
}

static void what_was_lost_is_indeterminate_until_its_next_answer_tells(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 4);
    say_all(&w, 4);
    published(&w, 3, 1, 1, "");
    ready(&w);
    assert_int_equal(say(&w, 0, 1, 1), 2);
    assert_int_equal(say(&w, 0, 2, 1), 3);
    assert_int_equal(say(&w, 1, 2, 1), 4);
    published(&w, 2, 0, 1, DUPLICATE);
    published(&w, 3, 0, 2, DUPLICATE);
    published(&w, 4, 1, 2, "");
    assert_int_equal(w.n.indeterminate_count, 3);
    assert_int_equal(w.n.found_stored_count, 2);
    assert_int_equal(w.n.found_absent_count, 1);
    assert_int_equal(w.n.duplicate_count, 2);
    assert_int_equal(w.n.resent_count, 3);
    assert_int_equal(w.n.sent_count, 4);
    assert_int_equal(w.n.acked_count, 4);
    assert_int_equal(w.violations.total, 0);
    close_world(&w);
}

static void what_was_lost_twice_is_indeterminate_once(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 2);
    say_all(&w, 2);
    for (int i = 0; i < 2; i++) {
        ready(&w);
        (void)say(&w, 0, 1, 1);
        (void)say(&w, 1, 1, 1);
    }
    ready(&w);
    assert_int_equal(w.n.indeterminate_count, 2);
    close_world(&w);
}

/* A client that has waited too long says it once more; both are answered. */
static void what_was_said_twice_may_be_answered_twice(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 4);
    say_all(&w, 4);
    const uint64_t again = say(&w, 0, 1, 1);
    published(&w, 2, 0, 1, "");
    published(&w, again, 0, 1, DUPLICATE);
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(w.n.resent_count, 1);
    assert_int_equal(w.n.duplicate_count, 1);
    assert_int_equal(w.n.acked_count, 1);
    assert_int_equal(w.n.indeterminate_count, 0);
    close_world(&w);
}

/* [P 15] one answer for a run of publishes. */
static void a_run_answers_each_of_its_publishes(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2, 8);
    say_all(&w, 8); /* channel 0: ids 2, 4, 6, 8 */
    const uint64_t first = say(&w, 0, 1, 2);
    (void)say(&w, 0, 3, 2);
    struct reply reply = {.type = CLIENT_PUBLISHED,
                          .id = first,
                          .channel = BYTES_LITERAL("w-c0"),
                          .epoch = "e",
                          .has_seq = true,
                          .seq = 7,
                          .message_id = 12,
                          .count = 4,
                          .publishes = 2};
    numbered_heard(&w.n, &reply, 0);
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(w.n.acked_count, 4);
    assert_int_equal(w.ledger.channels[0].acked_last, 10);
    assert_true(ledger_is_acked(&w.ledger, 0, 9, 0, 3));
    ledger_seen(&w.ledger, 0, 7, 0, 1, 5, BYTES_LITERAL("12"));
    assert_int_equal(w.violations.total, 0);
    ledger_seen(&w.ledger, 0, 7, 0, 1, 5, BYTES_LITERAL("13"));
    assert_int_equal(count_of(&w, VIOLATION_INCONSISTENT), 1);
    close_world(&w);
}

/* [P 3] what stands behind one that was refused for a time is out of sequence. */
static void a_refusal_for_a_time_is_no_violation(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        const char *more;
        uint64_t indeterminate;
    } cases[] = {
        {"unavailable", "", 0},
        {"rate_limited", "", 0},
        {"limit_exceeded", ",\"retry_after_ms\":60", 0},
        {"internal", "", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        open_world(&w, 1, 4);
        say_all(&w, 4);
        refused(&w, 2, cases[i].code, cases[i].more);
        published(&w, 3, 1, 1, "");
        refused(&w, 4, "out_of_sequence", ",\"expected\":1");
        published(&w, 5, 1, 2, "");
        assert_int_equal(w.violations.total, 0);
        assert_int_equal(w.n.refused_count, 1);
        assert_int_equal(w.n.indeterminate_count, cases[i].indeterminate);
        const uint64_t one = say(&w, 0, 1, 1);
        const uint64_t two = say(&w, 0, 2, 1);
        published(&w, one, 0, 1, cases[i].indeterminate > 0 ? DUPLICATE : "");
        published(&w, two, 0, 2, "");
        assert_int_equal(w.n.found_stored_count, cases[i].indeterminate);
        assert_int_equal(w.violations.total, 0);
        ready(&w); /* what was refused or answered is not lost with the connection */
        assert_int_equal(w.n.indeterminate_count, cases[i].indeterminate);
        close_world(&w);
    }
}

static void a_stopped_one_only_finishes_what_it_began(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 2);
    say_all(&w, 2);
    numbered_stop(&w.n);
    published(&w, 2, 0, 1, "");
    assert_int_equal(say_next(&w), 0);
    assert_false(numbered_done(&w.n));
    published(&w, 3, 1, 1, "");
    assert_true(numbered_done(&w.n));
    close_world(&w);
}

static void a_new_client_gets_all_that_is_not_answered_with_its_numbers(void **state)
{
    (void)state;
    struct world w;
    struct numbered_message m;
    open_world(&w, 1, 6);
    say_all(&w, 6);
    published(&w, 2, 0, 1, "");
    published(&w, 3, 1, 1, "");
    published(&w, 5, 1, 2, ""); /* behind one that is open */
    numbered_new_client(&w.n);
    static const struct numbered_message wanted[] = {
        {0, 2, true}, {1, 2, true}, {0, 3, false}, {1, 3, false}};
    for (size_t i = 0; i < 4; i++) {
        assert_true(numbered_next(&w.n, LATE, &m));
        assert_int_equal(m.channel, wanted[i].channel);
        assert_int_equal(m.number, wanted[i].number);
        assert_int_equal(m.begins, wanted[i].begins);
        numbered_handed(&w.n);
    }
    ready(&w);
    (void)say(&w, 0, 2, 2);
    (void)say(&w, 1, 2, 2);
    feed(&w, "{\"type\":\"published\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"e\",\"seq\":2,"
             "\"count\":2,\"duplicate\":true}");
    feed(&w, "{\"type\":\"published\",\"id\":3,\"channel\":\"w-c1\",\"epoch\":\"e\",\"seq\":2,"
             "\"count\":2,\"duplicate\":true}");
    assert_int_equal(w.n.acked_count, 6);
    assert_int_equal(w.violations.total, 0);
    assert_true(numbered_next(&w.n, LATE, &m)); /* and then what is new */
    assert_int_equal(m.number, 4);
    close_world(&w);
}

/* ---- what is wrong ------------------------------------------------------------------------- */

static void the_own_next_number_refused_is_told(void **state)
{
    (void)state;
    const char *const codes[] = {"out_of_sequence", "producer_unknown", "producer_fenced"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        open_world(&w, 1, 4);
        say_all(&w, 4);
        published(&w, 2, 0, 1, "");
        refused(&w, 4, codes[i], "");
        assert_int_equal(count_of(&w, VIOLATION_NUMBERING_REFUSED), 1);
        assert_true(w.n.why[0] != '\0' && w.n.accused);
        assert_int_equal(say_next(&w), 0);
        close_world(&w);
    }
}

static void out_of_sequence_behind_an_open_one_of_the_channel_is_its_consequence(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 6);
    say_all(&w, 6);
    published(&w, 4, 0, 2, ""); /* number 1 is still open, two before number 3 */
    refused(&w, 6, "out_of_sequence", ",\"expected\":1");
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 1); /* of the open one, and no more */
    assert_int_equal(w.n.why[0], '\0');
    close_world(&w);
}

static void so_it_is_within_a_batch_that_was_said_in_parts(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 4, 2);
    say_all(&w, 2);
    ready(&w);
    (void)say(&w, 0, 1, 1);
    (void)say(&w, 0, 2, 1);
    refused(&w, 3, "out_of_sequence", ",\"expected\":1");
    assert_int_equal(w.violations.total, 0);
    published(&w, 2, 0, 1, "");
    const uint64_t id = say(&w, 0, 2, 1);
    refused(&w, id, "out_of_sequence", ",\"expected\":1");
    assert_int_equal(count_of(&w, VIOLATION_NUMBERING_REFUSED), 1);
    close_world(&w);
}

static void a_duplicate_of_what_was_sent_once_is_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 4);
    say_all(&w, 4);
    const uint64_t again = say(&w, 0, 1, 1);
    published(&w, 2, 0, 1, DUPLICATE); /* the first of the two cannot be one */
    assert_int_equal(count_of(&w, VIOLATION_NUMBERING_REFUSED), 1);
    published(&w, again, 0, 1, DUPLICATE);
    assert_int_equal(count_of(&w, VIOLATION_NUMBERING_REFUSED), 1);
    close_world(&w);
}

static void a_duplicate_with_another_seq_is_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 6);
    say_all(&w, 6);
    published(&w, 2, 0, 1, "");
    published(&w, 4, 0, 3, "");
    uint64_t again = say(&w, 0, 1, 1);
    published(&w, again, 0, 1, DUPLICATE);
    assert_int_equal(w.violations.total, 0);
    again = say(&w, 0, 1, 1);
    published(&w, again, 0, 2, DUPLICATE);
    assert_int_equal(count_of(&w, VIOLATION_ACK_MISMATCH), 1);
    close_world(&w);
}

/* [P 5] the seq of what was stored long ago may not be known any more, or be known again. */
static void a_duplicate_may_lack_its_seq(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 4);
    say_all(&w, 4);
    ready(&w);
    (void)say(&w, 0, 1, 1);
    feed(&w, "{\"type\":\"published\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"e\","
             "\"duplicate\":true}");
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(w.n.found_stored_count, 1);
    const uint64_t again = say(&w, 0, 1, 1);
    published(&w, again, 0, 1, DUPLICATE);
    assert_int_equal(w.violations.total, 0);
    close_world(&w);
}

static void answers_to_nothing_are_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 4);
    say_all(&w, 4);
    published(&w, 2, 0, 1, "");
    published(&w, 2, 0, 1, "");         /* again */
    published(&w, 9, 0, 1, "");         /* not sent */
    published(&w, 2 + 4096, 0, 1, "");  /* where the first one was */
    refused(&w, 77, "unavailable", ""); /* not sent */
    published(&w, 3, 1, 1, "");
    refused(&w, 3, "unavailable", "");                                         /* again */
    feed(&w, "{\"type\":\"published\",\"channel\":\"w-c0\",\"epoch\":\"e\"}"); /* no id */
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 6);
    ready(&w);
    published(&w, 4, 0, 2, ""); /* said on the connection before */
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 7);
    close_world(&w);
}

static void a_published_that_does_not_fit_is_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2, 4);
    say_all(&w, 4);
    published(&w, 2, 0, 1, ",\"count\":3");
    published(&w, 3, 0, 1, ",\"count\":2"); /* another channel */
    published(&w, 5, 1, 3, ",\"count\":1"); /* of two */
    feed(&w, "{\"type\":\"published\",\"id\":4,\"channel\":\"w-c0\",\"epoch\":\"e\"}"); /* no seq */
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 4);
    close_world(&w);
}

static void seqs_that_do_not_rise_with_the_numbers_are_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 6);
    say_all(&w, 6);
    published(&w, 2, 0, 2, "");
    published(&w, 4, 0, 1, "");
    assert_int_equal(count_of(&w, VIOLATION_PRODUCER_ORDER), 1);
    close_world(&w);
}

static void an_older_answer_that_comes_later_must_have_a_lower_seq(void **state)
{
    (void)state;
    for (uint64_t seq = 4; seq <= 6; seq += 2) {
        struct world w;
        open_world(&w, 1, 6);
        say_all(&w, 6);
        published(&w, 4, 0, 5, "");
        published(&w, 2, 0, seq, "");
        assert_int_equal(w.violations.counts[VIOLATION_PRODUCER_ORDER], seq < 5 ? 0 : 1);
        assert_int_equal(w.violations.counts[VIOLATION_PROTOCOL], 1); /* later it should not be */
        assert_int_equal(w.violations.total, seq < 5 ? 1 : 2);
        close_world(&w);
    }
}

static void in_another_epoch_seqs_may_be_any(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 6);
    w.violations.tolerated[VIOLATION_HISTORY_CHANGED] = true;
    say_all(&w, 6);
    published(&w, 2, 0, 5, "");
    feed(&w, "{\"type\":\"published\",\"id\":4,\"channel\":\"w-c0\",\"seq\":2,"
             "\"message_id\":\"m\",\"epoch\":\"f\"}");
    const uint64_t again = say(&w, 0, 1, 1);
    feed(&w, "{\"type\":\"published\",\"id\":8,\"channel\":\"w-c0\",\"seq\":1,"
             "\"message_id\":\"m\",\"epoch\":\"f\",\"duplicate\":true}");
    assert_int_equal(again, 8);
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(w.violations.counts[VIOLATION_HISTORY_CHANGED], 1);
    close_world(&w);
}

static void what_waiting_does_not_cure_ends_the_producer(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 4);
    say_all(&w, 4);
    refused(&w, 2, "forbidden", "");
    assert_true(strstr(w.n.why, "forbidden") != NULL);
    assert_false(w.n.accused);
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(say_next(&w), 0);
    assert_true(numbered_due_ns(&w.n) == UINT64_MAX);
    close_world(&w);
}

static void a_complaint_without_an_id_ends_the_producer(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 4);
    say_all(&w, 4);
    feed(&w, "{\"type\":\"error\",\"code\":\"bad_request\",\"message\":\"not JSON\"}");
    assert_true(strstr(w.n.why, "not JSON") != NULL);
    assert_int_equal(w.violations.total, 0);
    close_world(&w);
}

static void what_is_no_answer_to_a_publish_is_passed_over(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, 4);
    const struct client_said ack = {
        .what = CLIENT_SAID_ACK, .channel = BYTES_LITERAL("w-c0"), .number = 7};
    const struct client_said strange = {.what = CLIENT_SAID_PUBLISH,
                                        .channel = BYTES_LITERAL("x"),
                                        .id = 2,
                                        .number = 1,
                                        .count = 1};
    numbered_said(&w.n, &ack);
    numbered_said(&w.n, &strange);
    feed(&w, "{\"type\":\"news\",\"id\":1}");
    assert_int_equal(w.n.sent_count, 0);
    assert_int_equal(w.violations.total, 0);
    close_world(&w);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void a_producer_of_a_small_load_may_have_nothing_to_do(void **state)
{
    (void)state;
    const struct workload_options options = {.prefix = "w",
                                             .messages = 3,
                                             .channels = 1,
                                             .producers = 2,
                                             .batch = 3,
                                             .size = 64,
                                             .rate = 1000};
    struct world w = {0};
    struct numbered_message m;
    assert_int_equal(workload_init(&w.workload, &options), RC_OK);
    assert_int_equal(ledger_init(&w.ledger, &w.workload, &w.violations), RC_OK);
    assert_int_equal(numbered_init(&w.n, &w.ledger, 1, 1000000), RC_OK);
    assert_true(numbered_done(&w.n));
    assert_false(numbered_next(&w.n, LATE, &m));
    close_world(&w);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 10, 4);
    enum rc rc = RC_NOMEM;
    uint64_t fault = 0;
    while (rc != RC_OK) {
        struct numbered n;
        mem_fault_set(++fault, 0);
        rc = numbered_init(&n, &w.ledger, 0, 4);
        mem_fault_set(0, 0);
        if (rc == RC_OK) {
            numbered_deinit(&n);
        }
    }
    assert_int_equal(fault, 5);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_go_in_order_and_no_more_than_the_window_holds),
        cmocka_unit_test(nothing_goes_before_it_is_due),
        cmocka_unit_test(latency_counts_from_when_each_message_was_due),
        cmocka_unit_test(an_answer_before_a_message_was_due_took_no_time),
        cmocka_unit_test(what_was_lost_is_indeterminate_until_its_next_answer_tells),
        cmocka_unit_test(what_was_lost_twice_is_indeterminate_once),
        cmocka_unit_test(what_was_said_twice_may_be_answered_twice),
        cmocka_unit_test(a_run_answers_each_of_its_publishes),
        cmocka_unit_test(a_refusal_for_a_time_is_no_violation),
        cmocka_unit_test(a_stopped_one_only_finishes_what_it_began),
        cmocka_unit_test(a_new_client_gets_all_that_is_not_answered_with_its_numbers),
        cmocka_unit_test(the_own_next_number_refused_is_told),
        cmocka_unit_test(out_of_sequence_behind_an_open_one_of_the_channel_is_its_consequence),
        cmocka_unit_test(so_it_is_within_a_batch_that_was_said_in_parts),
        cmocka_unit_test(a_duplicate_of_what_was_sent_once_is_told),
        cmocka_unit_test(a_duplicate_with_another_seq_is_told),
        cmocka_unit_test(a_duplicate_may_lack_its_seq),
        cmocka_unit_test(answers_to_nothing_are_told),
        cmocka_unit_test(a_published_that_does_not_fit_is_told),
        cmocka_unit_test(seqs_that_do_not_rise_with_the_numbers_are_told),
        cmocka_unit_test(an_older_answer_that_comes_later_must_have_a_lower_seq),
        cmocka_unit_test(in_another_epoch_seqs_may_be_any),
        cmocka_unit_test(what_waiting_does_not_cure_ends_the_producer),
        cmocka_unit_test(a_complaint_without_an_id_ends_the_producer),
        cmocka_unit_test(what_is_no_answer_to_a_publish_is_passed_over),
        cmocka_unit_test(a_producer_of_a_small_load_may_have_nothing_to_do),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
