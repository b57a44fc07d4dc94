/* client/observer and client/ledger: the checker is checked.
 *
 * Goal: every way in which a server can break its word is found, and called by its right name; what
 * is right is never accused.
 * Method: a world of two producers and one channel. A test plays what a server says, with one thing
 * planted, and names all violations that must be counted, with their counts; any other is a fault.
 * Everything is played twice: written as the server writes it (the quick way), and with members in
 * another order, white space and escapes (the strict way). At the end, random histories are
 * compared with a naive model. */
#include "observer_world.h"

#include "base/mem.h"
#include "base/prng.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- what is right ------------------------------------------------------------------------- */

static void play_right(struct world *w)
{
    say_right(w, &w->one, 1, MESSAGES);
    ack_all(w, MESSAGES);
    say_right(w, &w->two, 1, 7);
    subscribed(w, &w->two, "e1", 8, "");
    say_right(w, &w->two, 8, MESSAGES);
    finish_both(w);
    assert_int_equal(w->one.distinct, MESSAGES);
    assert_int_equal(w->two.received, MESSAGES);
    assert_true(w->one.digest_whole && w->two.digest_whole);
    assert_true(w->one.digest == w->two.digest);
}

static void a_right_history_is_not_accused(void **state)
{
    (void)state;
    twice(play_right, NOTHING);
}

/* ---- the stream of one subscriber ---------------------------------------------------------- */

static void play_swap(struct world *w)
{
    say_right(w, &w->one, 1, 4);
    say(w, &w->one, right(6));
    say(w, &w->one, right(5));
    say_right(w, &w->one, 7, 10);
    observer_finish(&w->one, true);
}

static void two_that_changed_places_are_out_of_order(void **state)
{
    (void)state;
    twice(play_swap, EXPECT({VIOLATION_OUT_OF_ORDER, 1}));
}

static void play_duplicate(struct world *w)
{
    say_right(w, &w->one, 1, 5);
    say(w, &w->one, right(5));
    say(w, &w->one, right(2));
    say_right(w, &w->one, 6, 10);
    observer_finish(&w->one, true);
}

static void what_comes_again_is_duplicated(void **state)
{
    (void)state;
    twice(play_duplicate, EXPECT({VIOLATION_DUPLICATED, 2}));
}

static void play_gap(struct world *w)
{
    ack_all(w, 10);
    say_right(w, &w->one, 1, 4);
    say_right(w, &w->one, 8, 10);
    assert_int_equal(w->violations.suspects, 3);
    observer_finish(&w->one, true);
}

static void seqs_skipped_without_a_word_are_a_gap_and_what_was_acknowledged_is_lost(void **state)
{
    (void)state;
    twice(play_gap, EXPECT({VIOLATION_GAP_UNANNOUNCED, 3}, {VIOLATION_LOST_MIDDLE, 3}));
}

static void play_resume_too_late(struct world *w)
{
    say_right(w, &w->one, 1, 4);
    subscribed(w, &w->one, "e1", 6, "");
    say_right(w, &w->one, 6, 8);
    observer_finish(&w->one, true);
}

static void a_resume_elsewhere_than_asked_is_told(void **state)
{
    (void)state;
    twice(play_resume_too_late, EXPECT({VIOLATION_PROTOCOL, 1}, {VIOLATION_GAP_UNANNOUNCED, 1}));
}

static void play_announced_gap(struct world *w)
{
    ack_all(w, 10);
    say_right(w, &w->one, 1, 4);
    feed(w, &w->one,
         "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":5,\"to\":7,\"reason\":\"trimmed\"}");
    say_right(w, &w->one, 8, 10);
    observer_finish(&w->one, true);
}

static void an_announced_gap_is_that_and_no_loss(void **state)
{
    (void)state;
    twice(play_announced_gap, EXPECT({VIOLATION_GAP_ANNOUNCED, 3}));
}

static void play_announced_reset(struct world *w)
{
    ack_all(w, 10);
    say_right(w, &w->one, 1, 4);
    subscribed(w, &w->one, "e1", 8, ",\"reset\":{\"reason\":\"trimmed\"}");
    say_right(w, &w->one, 8, 10);
    observer_finish(&w->one, true);
}

static void a_reset_at_a_resume_is_an_announced_gap(void **state)
{
    (void)state;
    twice(play_announced_reset, EXPECT({VIOLATION_GAP_ANNOUNCED, 3}));
}

/* The server has lost something, and says so: from the earliest on all comes anew. What it was
 * before is not called stored twice; what really is, behind that, is. */
static void play_reset_to_another_epoch(struct world *w)
{
    say_right(w, &w->one, 1, 6);
    subscribed(w, &w->one, "e2", 1, ",\"reset\":{\"reason\":\"epoch\"}");
    say_right(w, &w->one, 1, 10);
    say(w, &w->one, (struct said){.seq = 11, .producer = 1, .number = 2});
}

static void what_comes_anew_with_another_epoch_is_not_stored_twice(void **state)
{
    (void)state;
    twice(play_reset_to_another_epoch,
          EXPECT({VIOLATION_HISTORY_CHANGED, 1}, {VIOLATION_GAP_ANNOUNCED, 1},
                 {VIOLATION_STORED_TWICE, 1}));
}

static void play_wrong_gap(struct world *w)
{
    say_right(w, &w->one, 1, 4);
    feed(w, &w->one,
         "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":7,\"to\":8,\"reason\":\"trimmed\"}");
    say_right(w, &w->one, 5, 8);
    observer_finish(&w->one, true);
}

static void a_gap_that_does_not_fit_is_no_gap(void **state)
{
    (void)state;
    twice(play_wrong_gap, EXPECT({VIOLATION_PROTOCOL, 1}));
}

static void tolerated_kinds_are_counted_and_no_violations(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    w.violations.tolerated[VIOLATION_GAP_ANNOUNCED] = true;
    play_announced_gap(&w);
    assert_int_equal(w.violations.counts[VIOLATION_GAP_ANNOUNCED], 3);
    assert_int_equal(w.violations.total, 0);
    assert_int_equal(w.violations.example_count, 0);
    close_world(&w);
}

/* ---- what is lost -------------------------------------------------------------------------- */

static void play_lost_postfix(struct world *w)
{
    ack_all(w, 10);
    say_right(w, &w->one, 1, 7);
    observer_finish(&w->one, true);
}

static void acknowledged_and_never_seen_at_the_end_is_a_lost_postfix(void **state)
{
    (void)state;
    twice(play_lost_postfix, EXPECT({VIOLATION_LOST_POSTFIX, 3}));
}

static void play_cut_short(struct world *w)
{
    ack_all(w, 10);
    say_right(w, &w->one, 1, 7);
    observer_finish(&w->one, false);
}

static void who_had_no_time_to_get_the_rest_has_not_lost_it(void **state)
{
    (void)state;
    twice(play_cut_short, NOTHING);
}

/* The server forgot what it had acknowledged, and gave the seqs to what came next. */
static void play_lost_prefix(struct world *w)
{
    ledger_acked(&w->ledger, 0, 0, 0, 1, BYTES_LITERAL(""));
    ledger_acked(&w->ledger, 0, 0, 0, 6, BYTES_LITERAL(""));
    for (uint64_t seq = 1; seq <= 4; seq++) {
        say(w, &w->one, (struct said){.seq = seq, .producer = 0, .number = seq + 2});
    }
    observer_finish(&w->one, true);
}

static void numbers_lost_before_the_first_seen_are_a_lost_prefix(void **state)
{
    (void)state;
    twice(play_lost_prefix, EXPECT({VIOLATION_LOST_PREFIX, 2}, {VIOLATION_PRODUCER_ORDER, 1}));
}

/* Both miss it: one loss. */
static void play_lost_by_both(struct world *w)
{
    ack_all(w, 10);
    say_right(w, &w->one, 1, 9);
    say_right(w, &w->two, 1, 8);
    finish_both(w);
}

static void what_several_miss_is_lost_once(void **state)
{
    (void)state;
    twice(play_lost_by_both, EXPECT({VIOLATION_LOST_POSTFIX, 2}));
}

/* ---- what observers agree on --------------------------------------------------------------- */

static void play_disagreement(struct world *w)
{
    say_right(w, &w->one, 1, 6);
    say_right(w, &w->two, 1, 4);
    say(w, &w->two, (struct said){.seq = 5, .producer = 1, .number = 3}); /* one saw 0's third */
    say(w, &w->two, (struct said){.seq = 6, .producer = 0, .number = 3});
}

static void two_messages_at_one_seq_are_inconsistent(void **state)
{
    (void)state;
    twice(play_disagreement, EXPECT({VIOLATION_INCONSISTENT, 2}));
}

static void play_other_time(struct world *w)
{
    say_right(w, &w->one, 1, 3);
    say_right(w, &w->two, 1, 2);
    struct said m = right(3);
    m.time = 77;
    say(w, &w->two, m);
}

static void two_times_of_one_message_are_inconsistent(void **state)
{
    (void)state;
    twice(play_other_time, EXPECT({VIOLATION_INCONSISTENT, 1}));
}

static void play_other_id(struct world *w)
{
    say_right(w, &w->one, 1, 3);
    say_right(w, &w->two, 1, 2);
    struct said m = right(3);
    m.id = "m4";
    say(w, &w->two, m);
}

static void two_ids_of_one_message_are_inconsistent(void **state)
{
    (void)state;
    twice(play_other_id, EXPECT({VIOLATION_INCONSISTENT, 1}));
}

static void play_ack_elsewhere(struct world *w)
{
    say_right(w, &w->one, 1, 3);
    const struct said m = right(3);
    ledger_acked(&w->ledger, 0, 2, m.producer, m.number, BYTES_LITERAL("m2")); /* seen before */
    ledger_acked(&w->ledger, 0, 4, m.producer, m.number, BYTES_LITERAL("m4")); /* seen after */
    say(w, &w->one, right(4));
}

static void a_published_with_another_seq_than_the_message_has_is_told(void **state)
{
    (void)state;
    twice(play_ack_elsewhere, EXPECT({VIOLATION_ACK_MISMATCH, 2}));
}

static void play_ack_id(struct world *w)
{
    const struct said m = right(1);
    ledger_acked(&w->ledger, 0, 1, m.producer, m.number, BYTES_LITERAL("m9"));
    say_right(w, &w->one, 1, 3);
}

static void a_published_with_another_id_than_the_message_has_is_told(void **state)
{
    (void)state;
    twice(play_ack_id, EXPECT({VIOLATION_INCONSISTENT, 1}));
}

static void play_two_acks(struct world *w)
{
    ledger_acked(&w->ledger, 0, 5, 0, 3, BYTES_LITERAL("m5"));
    ledger_acked(&w->ledger, 0, 5, 1, 3, BYTES_LITERAL("m5"));
}

static void one_seq_acknowledged_for_two_messages_is_told(void **state)
{
    (void)state;
    twice(play_two_acks, EXPECT({VIOLATION_ACK_MISMATCH, 1}));
}

static void play_data(struct world *w)
{
    struct said m = right(1);
    m.data = "{\"c\":0,\"p\":0,\"n\":1,\"f\":\"something else\"}";
    say(w, &w->one, m);
    m = right(2);
    m.key = 1;
    say(w, &w->one, m);
    say_right(w, &w->one, 3, 14);
    m = right(15); /* has a key */
    m.key = 1;
    say(w, &w->one, m);
    m = right(16);
    m.key = 2;
    say(w, &w->one, m);
}

static void changed_data_and_keys_are_told(void **state)
{
    (void)state;
    twice(play_data, EXPECT({VIOLATION_PAYLOAD_CHANGED, 4}));
}

static void play_one_byte(struct world *w)
{
    struct buf data = {0};
    assert_int_equal(workload_data(&w->workload, 0, 0, 1, &data), RC_OK);
    assert_int_equal(buf_append(&data, bytes_of("", 1)), RC_OK);
    data.data[data.size - 4] ^= 1;
    struct said m = right(1);
    m.data = (const char *)data.data;
    say(w, &w->one, m);
    buf_deinit(&data);
}

static void one_bit_of_data_is_enough(void **state)
{
    (void)state;
    twice(play_one_byte, EXPECT({VIOLATION_PAYLOAD_CHANGED, 1}));
}

/* ---- producers ----------------------------------------------------------------------------- */

static void play_stored_twice(struct world *w)
{
    say_right(w, &w->one, 1, 4);
    say(w, &w->one, (struct said){.seq = 5, .producer = 1, .number = 2});
}

static void one_number_at_two_seqs_is_stored_twice(void **state)
{
    (void)state;
    twice(play_stored_twice, EXPECT({VIOLATION_STORED_TWICE, 1}));
}

static void play_producer_order(struct world *w)
{
    say(w, &w->one, (struct said){.seq = 1, .producer = 0, .number = 2});
    say(w, &w->one, (struct said){.seq = 2, .producer = 0, .number = 1});
    say(w, &w->one, (struct said){.seq = 3, .producer = 0, .number = 3});
}

static void numbers_that_stand_in_another_order_are_told(void **state)
{
    (void)state;
    twice(play_producer_order, EXPECT({VIOLATION_PRODUCER_ORDER, 2}));
}

static void play_strangers(struct world *w)
{
    struct said m = right(1);
    m.sender = "w-p7";
    say(w, &w->one, m);
    say(w, &w->one, (struct said){.seq = 2, .producer = 0, .number = MESSAGES / PRODUCERS + 1});
    say(w, &w->one, (struct said){.seq = 3, .producer = 0, .number = 0});
}

static void what_nobody_sent_is_unexpected(void **state)
{
    (void)state;
    twice(play_strangers, EXPECT({VIOLATION_UNEXPECTED, 3}));
}

static void play_far(struct world *w)
{
    struct said m = right(1);
    m.seq = 1000000;
    w->one.next = 1000000;
    say(w, &w->one, m);
    ledger_acked(&w->ledger, 0, 2000000, 0, 1, BYTES_LITERAL("m"));
}

static void a_seq_beyond_all_that_was_sent_is_unexpected(void **state)
{
    (void)state;
    twice(play_far, EXPECT({VIOLATION_UNEXPECTED, 2}));
}

/* ---- random histories against a naive model ------------------------------------------------ */

/* What the stream of seqs alone says, slowly. */
struct model {
    bool got[MESSAGES + 2];
    uint64_t highest;
    uint64_t duplicated;
    uint64_t late;
};

static void model_take(struct model *m, uint64_t seq)
{
    m->duplicated += m->got[seq] ? 1 : 0;
    m->late += !m->got[seq] && seq < m->highest ? 1 : 0;
    m->highest = seq > m->highest ? seq : m->highest;
    m->got[seq] = true;
}

static void random_streams_are_judged_as_by_a_naive_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct prng prng = {.state = seed};
        struct model model = {0};
        struct world w;
        open_world(&w, seed % 8 == 0);
        const uint64_t badness = prng_below(&prng, 4);
        for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
            uint64_t said = seq;
            if (prng_below(&prng, 10) < badness) {
                said = 1 + prng_below(&prng, MESSAGES);
            }
            say(&w, &w.one, right(said));
            model_take(&model, said);
        }
        uint64_t missing = 0;
        for (uint64_t seq = 1; seq <= model.highest; seq++) {
            missing += model.got[seq] ? 0 : 1;
        }
        observer_finish(&w.one, true);
        assert_int_equal(w.violations.counts[VIOLATION_DUPLICATED], model.duplicated);
        assert_int_equal(w.violations.counts[VIOLATION_OUT_OF_ORDER], model.late);
        assert_int_equal(w.violations.counts[VIOLATION_GAP_UNANNOUNCED], missing);
        assert_int_equal(w.violations.total, model.duplicated + model.late + missing);
        close_world(&w);
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    for (uint64_t k = 1;; k++) {
        struct observer o;
        mem_fault_set(k, 0);
        const enum rc rc = observer_init(&o, &w.ledger, 0, "o", &w.scratch);
        mem_fault_set(0, 0);
        if (rc == RC_OK) {
            assert_true(k > 2);
            observer_deinit(&o);
            break;
        }
        assert_int_equal(rc, RC_NOMEM);
    }
    for (uint64_t k = 1;; k++) {
        struct ledger l;
        mem_fault_set(k, 0);
        const enum rc rc = ledger_init(&l, &w.workload, &w.violations);
        mem_fault_set(0, 0);
        if (rc == RC_OK) {
            assert_true(k > 5);
            ledger_deinit(&l);
            break;
        }
        assert_int_equal(rc, RC_NOMEM);
    }
    close_world(&w);
}

/* ---- gaps of which nobody knows what was in them --------------------------------------------- */

/* Seqs 3 and 4 are gone for all, and were acknowledged as duplicates, whose seq was not told. */
static void play_unknown_gap(struct world *w)
{
    for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
        const struct said m = right(seq);
        ledger_acked(&w->ledger, 0, seq == 3 || seq == 4 ? 0 : seq, m.producer, m.number,
                     (struct bytes){0});
    }
    struct observer *const both[] = {&w->one, &w->two};
    for (size_t i = 0; i < 2; i++) {
        say_right(w, both[i], 1, 2);
        feed(w, both[i],
             "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":3,\"to\":4,\"reason\":\"trimmed\"}");
        say_right(w, both[i], 5, MESSAGES);
    }
    finish_both(w);
}

static void as_many_as_an_announced_gap_held_are_no_loss(void **state)
{
    (void)state;
    twice(play_unknown_gap, EXPECT({VIOLATION_GAP_ANNOUNCED, 4}));
}

/* One gap more than can be remembered; most of them are beyond all that was sent. */
static void play_many_gaps(struct world *w)
{
    char text[200];
    ack_all(w, MESSAGES);
    w->violations.tolerated[VIOLATION_GAP_ANNOUNCED] = true;
    for (uint64_t seq = 1; seq <= OBSERVER_GAPS_MAX + 1; seq++) {
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":%" PRIu64 ",\"to\":%" PRIu64
                       ",\"reason\":\"trimmed\"}",
                       seq, seq);
        feed(w, &w->one, text);
    }
    assert_int_equal(w->one.gap_count, OBSERVER_GAPS_MAX);
    observer_finish(&w->one, true);
}

static void who_cannot_remember_all_gaps_accuses_nobody_of_a_loss(void **state)
{
    (void)state;
    twice(play_many_gaps, EXPECT({VIOLATION_GAP_ANNOUNCED, OBSERVER_GAPS_MAX + 1}));
    struct world w;
    open_world(&w, false);
    ack_all(&w, MESSAGES);
    mem_fault_set(1, 0);
    feed(&w, &w.one,
         "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":1,\"to\":4,\"reason\":\"trimmed\"}");
    mem_fault_set(0, 0);
    observer_finish(&w.one, true);
    expect(&w, EXPECT({VIOLATION_GAP_ANNOUNCED, 4}));
    close_world(&w);
}

static void a_second_gap_is_remembered_beside_the_first(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    ack_all(&w, MESSAGES);
    feed(&w, &w.one,
         "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":1,\"to\":4,\"reason\":\"trimmed\"}");
    say_right(&w, &w.one, 5, 9);
    feed(&w, &w.one,
         "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":10,\"to\":12,\"reason\":\"damaged\"}");
    say_right(&w, &w.one, 13, MESSAGES);
    observer_finish(&w.one, true);
    expect(&w, EXPECT({VIOLATION_GAP_ANNOUNCED, 7}));
    close_world(&w);
}

static void without_memory_a_loss_counts_for_each_who_suffers_it(void **state)
{
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        struct world w;
        open_world(&w, false);
        ack_all(&w, 3);
        mem_fault_set(fails == 0 ? 0 : 1, 1);
        finish_both(&w);
        mem_fault_set(0, 0);
        expect(&w, EXPECT({VIOLATION_LOST_POSTFIX, fails == 0 ? 3 : 6}));
        close_world(&w);
    }
}

static void who_has_no_memory_any_more_accuses_nobody_of_a_change(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct world w;
        char text[1000];
        open_world(&w, strict == 1);
        const struct said m = right(1);
        write_message(&w, &m, false, text, sizeof(text));
        mem_fault_set(1, 1);
        feed(&w, &w.one, text);
        mem_fault_set(0, 0);
        assert_int_equal(w.one.distinct, 1);
        expect(&w, NOTHING);
        close_world(&w);
    }
}

/* ---- what else a message may be ------------------------------------------------------------ */

static void a_message_with_longer_names_than_any_ends_the_digest(void **state)
{
    (void)state;
    static const char *const members[] = {"message_id", "key", "producer"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        char text[1000];
        open_world(&w, false);
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"message\",\"channel\":\"w-c0\",\"seq\":1,%s\"%s\":\"%0256d\","
                       "\"time\":5,\"data\":1}",
                       i == 0 ? "" : "\"message_id\":\"m\",", members[i], 0);
        feed(&w, &w.one, text);
        assert_false(w.one.digest_whole);
        assert_int_equal(w.violations.counts[VIOLATION_UNEXPECTED], 1);
        close_world(&w);
    }
}

static void what_nobody_sent_moves_the_position_only_ahead(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    say_right(&w, &w.one, 1, 5);
    say(&w, &w.one, (struct said){.seq = 3, .producer = 0, .number = 1, .sender = "somebody"});
    assert_int_equal(w.one.next, 6);
    say(&w, &w.one, (struct said){.seq = 6, .producer = 0, .number = 1, .sender = "somebody"});
    assert_int_equal(w.one.next, 7);
    expect(&w, EXPECT({VIOLATION_UNEXPECTED, 2}));
    close_world(&w);
}

static void who_came_before_it_was_due_has_no_latency(void **state)
{
    (void)state;
    static struct histogram histogram;
    struct world w;
    char text[1000];
    open_world(&w, false);
    histogram = (struct histogram){0};
    w.one.latency_us = &histogram;
    for (uint64_t seq = 1; seq <= 2; seq++) {
        const struct said m = right(seq);
        struct reply reply = {0};
        write_message(&w, &m, false, text, sizeof(text));
        struct bytes rest = bytes_of_text(text);
        assert_int_equal(reply_take(WIRE_JSON, &rest, &w.room, &reply), RC_OK);
        observer_heard(&w.one, &reply, 300000); /* one is due at 0 */
    }
    assert_int_equal(histogram.count, 1);
    assert_int_equal(histogram.max, 300);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_history_is_not_accused),
        cmocka_unit_test(two_that_changed_places_are_out_of_order),
        cmocka_unit_test(what_comes_again_is_duplicated),
        cmocka_unit_test(seqs_skipped_without_a_word_are_a_gap_and_what_was_acknowledged_is_lost),
        cmocka_unit_test(a_resume_elsewhere_than_asked_is_told),
        cmocka_unit_test(an_announced_gap_is_that_and_no_loss),
        cmocka_unit_test(a_reset_at_a_resume_is_an_announced_gap),
        cmocka_unit_test(what_comes_anew_with_another_epoch_is_not_stored_twice),
        cmocka_unit_test(a_gap_that_does_not_fit_is_no_gap),
        cmocka_unit_test(tolerated_kinds_are_counted_and_no_violations),
        cmocka_unit_test(acknowledged_and_never_seen_at_the_end_is_a_lost_postfix),
        cmocka_unit_test(who_had_no_time_to_get_the_rest_has_not_lost_it),
        cmocka_unit_test(numbers_lost_before_the_first_seen_are_a_lost_prefix),
        cmocka_unit_test(what_several_miss_is_lost_once),
        cmocka_unit_test(two_messages_at_one_seq_are_inconsistent),
        cmocka_unit_test(two_times_of_one_message_are_inconsistent),
        cmocka_unit_test(two_ids_of_one_message_are_inconsistent),
        cmocka_unit_test(a_published_with_another_seq_than_the_message_has_is_told),
        cmocka_unit_test(a_published_with_another_id_than_the_message_has_is_told),
        cmocka_unit_test(one_seq_acknowledged_for_two_messages_is_told),
        cmocka_unit_test(changed_data_and_keys_are_told),
        cmocka_unit_test(one_bit_of_data_is_enough),
        cmocka_unit_test(one_number_at_two_seqs_is_stored_twice),
        cmocka_unit_test(numbers_that_stand_in_another_order_are_told),
        cmocka_unit_test(what_nobody_sent_is_unexpected),
        cmocka_unit_test(a_seq_beyond_all_that_was_sent_is_unexpected),
        cmocka_unit_test(random_streams_are_judged_as_by_a_naive_model),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(as_many_as_an_announced_gap_held_are_no_loss),
        cmocka_unit_test(who_cannot_remember_all_gaps_accuses_nobody_of_a_loss),
        cmocka_unit_test(a_second_gap_is_remembered_beside_the_first),
        cmocka_unit_test(without_memory_a_loss_counts_for_each_who_suffers_it),
        cmocka_unit_test(who_has_no_memory_any_more_accuses_nobody_of_a_change),
        cmocka_unit_test(a_message_with_longer_names_than_any_ends_the_digest),
        cmocka_unit_test(what_nobody_sent_moves_the_position_only_ahead),
        cmocka_unit_test(who_came_before_it_was_due_has_no_latency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
