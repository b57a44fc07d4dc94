/* client/numbered: commands go in order, once, again with the same numbers after a loss; answers
 * that cannot be right are told by name.
 * Method: scripts of answers, written as the server writes them and in another way; the commands
 * that come out are read back. */
#include "client/numbered.h"

#include "base/mem.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define LATE UINT64_MAX

/* One producer, two channels: commands 0, 2, 4 … go to channel 0, the others to channel 1. */
struct world {
    bool strict;
    struct workload workload;
    struct violations violations;
    struct ledger ledger;
    struct numbered n;
    uint64_t load_ns;
    uint64_t now_ms;
};

static void open_world(struct world *w, bool strict, uint32_t batch, uint64_t window)
{
    const struct workload_options options = {.prefix = "w",
                                             .seed = 3,
                                             .messages = 100,
                                             .channels = 2,
                                             .producers = 1,
                                             .batch = batch,
                                             .size = 64,
                                             .rate = 1000};
    *w = (struct world){.strict = strict, .load_ns = LATE};
    assert_int_equal(workload_init(&w->workload, &options), RC_OK);
    assert_int_equal(ledger_init(&w->ledger, &w->workload, &w->violations), RC_OK);
    assert_int_equal(numbered_init(&w->n, &w->ledger, 0, window), RC_OK);
    numbered_on_ready(&w->n);
}

static void close_world(struct world *w)
{
    numbered_deinit(&w->n);
    ledger_deinit(&w->ledger);
    workload_deinit(&w->workload);
}

/* The id of the next command, 0: there is none. */
static uint64_t next_id(struct world *w)
{
    struct buf to = {0};
    struct client_message message;
    uint64_t id = 0;
    uint64_t first = 0;
    if (numbered_command(&w->n, w->load_ns, w->now_ms, &to) == RC_OK) {
        assert_int_equal(client_message_parse(buf_bytes(&to), &message), RC_OK);
        assert_true(client_message_integer(&message, CLIENT_FIELD_ID, &id));
        assert_true(client_message_integer(&message, CLIENT_FIELD_PRODUCER_SEQ, &first));
        assert_int_equal(first, (id - 1) / 2 * w->workload.options.batch + 1);
    }
    buf_deinit(&to);
    return id;
}

static void expect_ids(struct world *w, uint64_t from, uint64_t to)
{
    for (uint64_t id = from; id <= to; id++) {
        assert_int_equal(next_id(w), id);
    }
    assert_int_equal(next_id(w), 0);
}

static void feed(struct world *w, const char *text)
{
    struct client_message message;
    if (numbered_take_quick(&w->n, bytes_of_text(text), w->load_ns)) {
        assert_false(w->strict);
        return;
    }
    assert_int_equal(client_message_parse(bytes_of_text(text), &message), RC_OK);
    numbered_take(&w->n, &message, w->load_ns, w->now_ms);
}

static void published(struct world *w, uint64_t id, uint64_t seq, const char *more)
{
    char text[300];
    (void)snprintf(text, sizeof(text),
                   "{%s\"type\":\"published\",\"id\":%" PRIu64 ",\"channel\":\"w-c%" PRIu64
                   "\",\"seq\":%" PRIu64 ",\"message_id\":\"m%" PRIu64 "\",\"epoch\":\"e\"%s}",
                   w->strict ? " " : "", id, (id - 1) % 2, seq, id, more);
    feed(w, text);
}

static void refused(struct world *w, uint64_t id, const char *code, const char *more)
{
    char text[300];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"error\",\"id\":%" PRIu64 ",\"code\":\"%s\",\"message\":\"no\"%s}",
                   id, code, more);
    feed(w, text);
}

static uint64_t count_of(const struct world *w, enum violation violation)
{
    /* And nothing else. */
    assert_int_equal(w->violations.total, w->violations.counts[violation]);
    return w->violations.counts[violation];
}

/* ---- what is right ------------------------------------------------------------------------- */

static void commands_go_in_order_and_no_more_than_the_window_holds(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct world w;
        open_world(&w, strict == 1, 1, 4);
        expect_ids(&w, 1, 4);
        published(&w, 1, 1, "");
        published(&w, 2, 1, "");
        expect_ids(&w, 5, 6);
        for (uint64_t id = 3; id <= 100; id++) {
            published(&w, id, (id + 1) / 2, "");
            (void)next_id(&w);
        }
        assert_true(numbered_done(&w.n));
        assert_int_equal(w.n.sent_count, 100);
        assert_int_equal(w.n.acked_count, 100);
        assert_int_equal(w.violations.total, 0);
        assert_int_equal(w.ledger.acked[ledger_stream(&w.ledger, 1, 0)], 50);
        assert_int_equal(w.ledger.channels[1].acked_last, 50);
        close_world(&w);
    }
}

static void nothing_goes_before_it_is_due(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 10, 100);
    w.load_ns = 8999999;
    assert_int_equal(next_id(&w), 0); /* the tenth message is due after nine milliseconds */
    assert_int_equal(numbered_due_ns(&w.n), 9000000);
    w.load_ns = 9000000;
    expect_ids(&w, 1, 1);
    w.load_ns = 30000000;
    expect_ids(&w, 2, 3);
    close_world(&w);
}

static void latency_counts_from_when_each_message_was_due(void **state)
{
    (void)state;
    static struct histogram histogram;
    struct world w;
    open_world(&w, false, 2, 100);
    histogram = (struct histogram){0};
    w.n.latency_us = &histogram;
    w.load_ns = 1000000;
    expect_ids(&w, 1, 1);
    w.load_ns = 5000000;
    published(&w, 1, 1, ",\"count\":2");
    assert_int_equal(histogram.count, 2);
    assert_int_equal(histogram.max, 5000); /* the first one was due at 0 */
    close_world(&w);
}

static void after_a_loss_all_that_is_open_goes_again_in_order(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct world w;
        open_world(&w, strict == 1, 1, 4);
        expect_ids(&w, 1, 4);
        published(&w, 2, 1, "");
        numbered_on_ready(&w.n);
        assert_int_equal(next_id(&w), 1);
        assert_int_equal(next_id(&w), 3);
        assert_int_equal(next_id(&w), 4);
        assert_int_equal(next_id(&w), 0);
        published(&w, 1, 1, ",\"duplicate\":true");
        published(&w, 3, 2, ",\"duplicate\":true");
        published(&w, 4, 2, "");
        assert_int_equal(w.n.indeterminate_count, 3);
        assert_int_equal(w.n.found_stored_count, 2);
        assert_int_equal(w.n.found_absent_count, 1);
        assert_int_equal(w.n.duplicate_count, 2);
        assert_int_equal(w.n.resent_count, 3);
        assert_int_equal(w.violations.total, 0);
        close_world(&w);
    }
}

static void what_was_lost_twice_is_indeterminate_once(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 2);
    expect_ids(&w, 1, 2);
    numbered_on_ready(&w.n);
    expect_ids(&w, 1, 2);
    numbered_on_ready(&w.n);
    assert_int_equal(w.n.indeterminate_count, 2);
    close_world(&w);
}

/* [P 3] not now: wait, then all again; what follows in the same channel is out of sequence. */
static void a_refusal_for_a_time_is_waited_out(void **state)
{
    (void)state;
    struct world w;
    uint64_t retry_ms = 0;
    open_world(&w, false, 1, 4);
    expect_ids(&w, 1, 4);
    refused(&w, 1, "unavailable", ",\"retry_after_ms\":500");
    assert_false(numbered_retry_ms(&w.n, &retry_ms)); /* answers are under way */
    published(&w, 2, 1, "");
    refused(&w, 3, "out_of_sequence", ",\"expected\":1");
    assert_int_equal(next_id(&w), 0);
    published(&w, 4, 2, "");
    assert_true(numbered_retry_ms(&w.n, &retry_ms));
    assert_int_equal(retry_ms, 500);
    assert_int_equal(next_id(&w), 0);
    w.now_ms = 500;
    assert_int_equal(next_id(&w), 1);
    assert_int_equal(next_id(&w), 3);
    published(&w, 1, 1, "");
    published(&w, 3, 2, "");
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(w.n.refused_count, 1);
    close_world(&w);
}

/* ---- what is wrong ------------------------------------------------------------------------- */

static void the_own_next_number_refused_is_told(void **state)
{
    (void)state;
    const char *const codes[] = {"out_of_sequence", "producer_unknown", "producer_fenced"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        open_world(&w, false, 1, 4);
        expect_ids(&w, 1, 4);
        published(&w, 1, 1, "");
        refused(&w, 3, codes[i], "");
        assert_int_equal(count_of(&w, VIOLATION_NUMBERING_REFUSED), 1);
        assert_true(w.n.why[0] != '\0');
        assert_int_equal(next_id(&w), 0);
        close_world(&w);
    }
}

static void a_duplicate_of_what_was_sent_once_is_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 4);
    expect_ids(&w, 1, 4);
    published(&w, 1, 1, ",\"duplicate\":true");
    assert_int_equal(count_of(&w, VIOLATION_NUMBERING_REFUSED), 1);
    close_world(&w);
}

static void answers_to_nothing_are_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 4);
    expect_ids(&w, 1, 4);
    published(&w, 1, 1, "");
    published(&w, 1, 1, "");                                   /* again */
    published(&w, 9, 1, "");                                   /* not sent */
    refused(&w, 77, "unavailable", "");                        /* not sent */
    feed(&w, "{\"type\":\"published\",\"channel\":\"w-c0\"}"); /* no id */
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 4);
    close_world(&w);
}

static void a_published_that_does_not_fit_is_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 2, 4);
    expect_ids(&w, 1, 4);
    published(&w, 1, 1, ",\"count\":3");
    feed(&w, "{\"type\":\"published\",\"id\":2,\"channel\":\"w-c0\",\"seq\":1,"
             "\"message_id\":\"m\",\"epoch\":\"e\",\"count\":2}");
    feed(&w, "{\"type\":\"published\",\"id\":3,\"channel\":\"w-c0\",\"epoch\":\"e\"}");
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 3);
    close_world(&w);
}

static void seqs_that_do_not_rise_with_the_numbers_are_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 6);
    expect_ids(&w, 1, 6);
    published(&w, 1, 2, "");
    published(&w, 3, 1, "");
    assert_int_equal(count_of(&w, VIOLATION_PRODUCER_ORDER), 1);
    close_world(&w);
}

static void what_waiting_does_not_cure_ends_the_producer(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 4);
    expect_ids(&w, 1, 4);
    refused(&w, 1, "forbidden", "");
    assert_true(strstr(w.n.why, "forbidden") != NULL);
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(next_id(&w), 0);
    close_world(&w);
}

static void a_stopped_one_only_finishes_what_it_began(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 2);
    expect_ids(&w, 1, 2);
    numbered_stop(&w.n);
    published(&w, 1, 1, "");
    assert_int_equal(next_id(&w), 0);
    assert_false(numbered_done(&w.n));
    published(&w, 2, 1, "");
    assert_true(numbered_done(&w.n));
    close_world(&w);
}

/* ---- answers of every shape ---------------------------------------------------------------- */

/* Four commands are under way, of two channels in turn; a `published` for the first one, as it
 * should not be. Counts as `violation`, so often. */
static void published_wrongly(const char *text, enum violation violation, uint64_t count,
                              uint64_t acked)
{
    struct world w;
    open_world(&w, false, 1, 4);
    expect_ids(&w, 1, 4);
    feed(&w, text);
    if (w.violations.counts[violation] != count || w.violations.total != count) {
        print_error("%s\n", text);
        fail();
    }
    assert_int_equal(w.n.acked_count, acked);
    close_world(&w);
}

static void members_that_are_missing_or_something_else_are_told(void **state)
{
    (void)state;
#define P "{\"type\":\"published\",\"id\":1,"
    published_wrongly(P "\"seq\":1,\"epoch\":\"e\"}", VIOLATION_PROTOCOL, 1, 1); /* no channel */
    published_wrongly(P "\"channel\":1,\"seq\":1}", VIOLATION_PROTOCOL, 1, 1);
    published_wrongly(P "\"channel\":\"w-c1\",\"seq\":1,\"message_id\":\"m\",\"epoch\":\"e\"}",
                      VIOLATION_PROTOCOL, 1, 1);
    published_wrongly(P "\"channel\":\"w-\\u00631\",\"seq\":1,\"message_id\":\"m\"}",
                      VIOLATION_PROTOCOL, 1, 1); /* w-c1 as well */
    published_wrongly(P "\"channel\":\"w-c0\",\"seq\":0,\"message_id\":\"m\",\"epoch\":\"e\"}",
                      VIOLATION_PROTOCOL, 1, 1);
    published_wrongly("{\"type\":\"published\",\"id\":0,\"channel\":\"w-c0\",\"seq\":1,"
                      "\"message_id\":\"m\",\"epoch\":\"e\"}",
                      VIOLATION_PROTOCOL, 1, 0);
    published_wrongly("{\"type\":\"error\",\"id\":0,\"code\":\"unavailable\",\"message\":\"\"}",
                      VIOLATION_PROTOCOL, 1, 0);
    /* What may be there or not, and however it is written, is no violation. */
    published_wrongly(P "\"channel\":\"w-\\u00630\",\"seq\":1,\"message_id\":\"\\u006d\","
                        "\"epoch\":\"e\"}",
                      VIOLATION_PROTOCOL, 0, 1);
    published_wrongly(P "\"channel\":\"w-c0\",\"seq\":1,\"message_id\":5,\"epoch\":5}",
                      VIOLATION_PROTOCOL, 0, 1);
    published_wrongly(P "\"channel\":\"w-c0\",\"seq\":1}", VIOLATION_PROTOCOL, 0, 1);
    published_wrongly(P "\"channel\":\"w-c0\",\"seq\":1,\"message_id\":\"m\",\"epoch\":\"e\","
                        "\"more\":1}",
                      VIOLATION_PROTOCOL, 0, 1);
    published_wrongly("{\"type\":\"news\",\"id\":1}", VIOLATION_PROTOCOL, 0, 0);
#undef P
}

static void an_epoch_that_nobody_can_keep_is_told(void **state)
{
    (void)state;
    struct world w;
    char more[300];
    open_world(&w, true, 1, 4);
    expect_ids(&w, 1, 4);
    (void)snprintf(more, sizeof(more),
                   "{\"type\":\"published\",\"id\":1,\"channel\":\"w-c0\",\"seq\":1,"
                   "\"epoch\":\"%0127d\"}",
                   0);
    feed(&w, more);
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 1);
    close_world(&w);
}

/* [P 3] the seq of what was stored long ago may not be known any more. */
static void a_duplicate_may_lack_its_seq(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 4);
    expect_ids(&w, 1, 4);
    numbered_on_ready(&w.n);
    expect_ids(&w, 1, 4);
    feed(&w, "{\"type\":\"published\",\"id\":1,\"channel\":\"w-c0\",\"duplicate\":true}");
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(w.n.found_stored_count, 1);
    close_world(&w);
}

/* Answers to one channel may only come in order; an older command's later answer must still fit. */
static void an_older_answer_that_comes_later_must_have_a_lower_seq(void **state)
{
    (void)state;
    for (uint64_t seq = 4; seq <= 6; seq += 2) {
        struct world w;
        open_world(&w, false, 1, 6);
        expect_ids(&w, 1, 6);
        published(&w, 3, 5, "");
        published(&w, 1, seq, "");
        assert_int_equal(count_of(&w, VIOLATION_PRODUCER_ORDER), seq < 5 ? 0 : 1);
        close_world(&w);
    }
}

static void in_another_epoch_seqs_may_be_any(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 6);
    w.violations.tolerated[VIOLATION_HISTORY_CHANGED] = true;
    expect_ids(&w, 1, 6);
    published(&w, 1, 5, "");
    feed(&w, "{\"type\":\"published\",\"id\":3,\"channel\":\"w-c0\",\"seq\":2,"
             "\"message_id\":\"m\",\"epoch\":\"f\"}");
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(w.violations.counts[VIOLATION_HISTORY_CHANGED], 1);
    close_world(&w);
}

static void an_answer_before_a_message_was_due_took_no_time(void **state)
{
    (void)state;
    static struct histogram histogram;
    struct world w;
    open_world(&w, false, 2, 100);
    histogram = (struct histogram){0};
    w.n.latency_us = &histogram;
    w.load_ns = 1000000;
    expect_ids(&w, 1, 1);
    w.load_ns = 500000; /* the second one is due at 1 ms */
    published(&w, 1, 1, ",\"count\":2");
    assert_int_equal(histogram.count, 2);
    assert_int_equal(histogram.slots[0], 1);
    assert_int_equal(histogram.max, 500);
    close_world(&w);
}

/* ---- refusals of every shape --------------------------------------------------------------- */

/* [P 10] of a fault of the server's nobody knows what it left; anything else stored nothing. */
static void what_waiting_cures_is_sent_again_in_order(void **state)
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
        uint64_t retry_ms = 0;
        open_world(&w, false, 1, 2);
        expect_ids(&w, 1, 2);
        assert_false(numbered_retry_ms(&w.n, &retry_ms));
        refused(&w, 1, cases[i].code, cases[i].more);
        refused(&w, 2, cases[i].code, cases[i].more);
        assert_true(numbered_due_ns(&w.n) == UINT64_MAX); /* nothing new before it */
        assert_true(numbered_retry_ms(&w.n, &retry_ms));
        assert_in_range(retry_ms, 50, 500);
        w.now_ms = retry_ms;
        expect_ids(&w, 1, 2);
        refused(&w, 1, cases[i].code, ",\"retry_after_ms\":1");
        published(&w, 2, 1, "");
        w.now_ms += 1;
        assert_int_equal(next_id(&w), 1);
        published(&w, 1, 1, cases[i].indeterminate > 0 ? ",\"duplicate\":true" : "");
        assert_int_equal(w.n.indeterminate_count, 2 * cases[i].indeterminate);
        assert_int_equal(w.n.refused_count, 3);
        assert_int_equal(w.violations.total, 0);
        close_world(&w);
    }
}

static void a_wait_is_a_minute_at_most_and_the_longest_counts(void **state)
{
    (void)state;
    struct world w;
    uint64_t retry_ms = 0;
    open_world(&w, false, 1, 2);
    expect_ids(&w, 1, 2);
    refused(&w, 1, "unavailable", ",\"retry_after_ms\":9007199254740991");
    refused(&w, 2, "unavailable", ",\"retry_after_ms\":5");
    assert_true(numbered_retry_ms(&w.n, &retry_ms));
    assert_int_equal(retry_ms, 60000);
    close_world(&w);
}

static void a_new_connection_sends_what_is_open_at_once(void **state)
{
    (void)state;
    struct world w;
    uint64_t retry_ms = 77;
    open_world(&w, false, 1, 2);
    expect_ids(&w, 1, 2);
    refused(&w, 1, "unavailable", ",\"retry_after_ms\":5000");
    numbered_on_ready(&w.n);
    assert_true(numbered_retry_ms(&w.n, &retry_ms));
    assert_int_equal(retry_ms, 0);
    expect_ids(&w, 1, 2);
    close_world(&w);
}

static void out_of_sequence_behind_an_open_one_of_the_channel_is_its_consequence(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 6);
    expect_ids(&w, 1, 6);
    published(&w, 3, 2, ""); /* 1 is still open, two before 5 */
    refused(&w, 5, "out_of_sequence", ",\"expected\":1");
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(w.n.why[0], '\0');
    close_world(&w);
}

static void a_complaint_without_an_id_ends_the_producer(void **state)
{
    (void)state;
    struct world w;
    uint64_t retry_ms;
    open_world(&w, false, 1, 4);
    expect_ids(&w, 1, 4);
    feed(&w, "{\"type\":\"error\",\"code\":\"bad_request\",\"message\":\"not JSON\"}");
    assert_true(strstr(w.n.why, "not JSON") != NULL);
    assert_true(numbered_due_ns(&w.n) == UINT64_MAX);
    assert_false(numbered_retry_ms(&w.n, &retry_ms));
    assert_int_equal(w.violations.total, 0);
    close_world(&w);
}

static void a_refusal_of_what_was_answered_is_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false, 1, 4);
    expect_ids(&w, 1, 4);
    published(&w, 2, 1, "");
    refused(&w, 2, "unavailable", "");
    published(&w, 1, 1, "");
    refused(&w, 1, "unavailable", "");
    assert_int_equal(count_of(&w, VIOLATION_PROTOCOL), 2);
    close_world(&w);
}

/* ---- memory -------------------------------------------------------------------------------- */

static void every_allocation_may_fail(void **state)
{
    (void)state;
    enum rc rc = RC_NOMEM;
    for (uint64_t fault = 1; rc != RC_OK; fault++) {
        struct world w;
        struct numbered n;
        struct buf to = {0};
        open_world(&w, false, 10, 4);
        mem_fault_set(fault, 0);
        rc = numbered_init(&n, &w.ledger, 0, 4);
        if (rc == RC_OK) {
            numbered_on_ready(&n);
            rc = numbered_command(&n, LATE, 0, &to);
            mem_fault_set(0, 0);
            assert_int_equal(n.sent_count, rc == RC_OK ? 10 : 0);
            /* What could not be made is not on its way, and is the next one. */
            if (rc != RC_OK) {
                buf_clear(&to);
                assert_int_equal(numbered_command(&n, LATE, 0, &to), RC_OK);
                assert_non_null(memmem(to.data, to.size, "\"id\":1,", 7));
            }
            numbered_deinit(&n);
        }
        mem_fault_set(0, 0);
        assert_true(rc == RC_NOMEM || (rc == RC_OK && fault > 4));
        buf_deinit(&to);
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_go_in_order_and_no_more_than_the_window_holds),
        cmocka_unit_test(nothing_goes_before_it_is_due),
        cmocka_unit_test(latency_counts_from_when_each_message_was_due),
        cmocka_unit_test(after_a_loss_all_that_is_open_goes_again_in_order),
        cmocka_unit_test(what_was_lost_twice_is_indeterminate_once),
        cmocka_unit_test(a_refusal_for_a_time_is_waited_out),
        cmocka_unit_test(the_own_next_number_refused_is_told),
        cmocka_unit_test(a_duplicate_of_what_was_sent_once_is_told),
        cmocka_unit_test(answers_to_nothing_are_told),
        cmocka_unit_test(a_published_that_does_not_fit_is_told),
        cmocka_unit_test(seqs_that_do_not_rise_with_the_numbers_are_told),
        cmocka_unit_test(what_waiting_does_not_cure_ends_the_producer),
        cmocka_unit_test(a_stopped_one_only_finishes_what_it_began),
        cmocka_unit_test(members_that_are_missing_or_something_else_are_told),
        cmocka_unit_test(an_epoch_that_nobody_can_keep_is_told),
        cmocka_unit_test(a_duplicate_may_lack_its_seq),
        cmocka_unit_test(an_older_answer_that_comes_later_must_have_a_lower_seq),
        cmocka_unit_test(in_another_epoch_seqs_may_be_any),
        cmocka_unit_test(an_answer_before_a_message_was_due_took_no_time),
        cmocka_unit_test(what_waiting_cures_is_sent_again_in_order),
        cmocka_unit_test(a_wait_is_a_minute_at_most_and_the_longest_counts),
        cmocka_unit_test(a_new_connection_sends_what_is_open_at_once),
        cmocka_unit_test(out_of_sequence_behind_an_open_one_of_the_channel_is_its_consequence),
        cmocka_unit_test(a_complaint_without_an_id_ends_the_producer),
        cmocka_unit_test(a_refusal_of_what_was_answered_is_told),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
