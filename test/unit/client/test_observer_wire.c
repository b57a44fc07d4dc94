/* client/observer_wire: what an observer asks, and how it reads what comes: epochs, nonsense,
 * history. Goal and method: see test_observer.c. */
#include "observer_world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- epochs -------------------------------------------------------------------------------- */

static void play_epoch(struct world *w)
{
    ack_all(w, 6);
    say_right(w, &w->one, 1, 6);
    say_right(w, &w->two, 1, 6);
    subscribed(w, &w->one, "e2", 5, ",\"reset\":{\"reason\":\"epoch\"}");
    /* The seqs of the new history are other messages: nobody is accused of that. */
    say(w, &w->one, (struct said){.seq = 5, .producer = 0, .number = 4});
    feed(w, &w->two,
         "{\"type\":\"reset\",\"channel\":\"w-c0\",\"epoch\":\"e2\",\"reason\":\"epoch\","
         "\"next\":5}");
    say(w, &w->two, (struct said){.seq = 5, .producer = 0, .number = 4});
}

static void another_epoch_is_told_once(void **state)
{
    (void)state;
    twice(play_epoch, EXPECT({VIOLATION_HISTORY_CHANGED, 1}, {VIOLATION_GAP_ANNOUNCED, 2}));
}

/* ---- protocol ------------------------------------------------------------------------------ */

static void play_nonsense(struct world *w)
{
    feed(w, &w->one, "{\"type\":\"message\",\"channel\":\"w-c0\",\"seq\":1}");
    feed(w, &w->one, "{\"type\":\"message\",\"channel\":\"other\",\"seq\":1,\"data\":1}");
    feed(w, &w->one, "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",\"next\":1}");
    feed(w, &w->one, "{\"type\":\"reset\",\"channel\":\"w-c0\",\"epoch\":\"e1\"}");
    feed(w, &w->one, "{\"type\":\"news\",\"channel\":\"w-c0\"}"); /* [P 2] ignored */
    observer_on_ready(&w->one);
    const struct said m = right(1);
    say(w, &w->one, m); /* not asked for on this connection */
}

static void answers_that_make_no_sense_are_told(void **state)
{
    (void)state;
    twice(play_nonsense, EXPECT({VIOLATION_PROTOCOL, 5}));
}

static void acks(struct observer *o, uint64_t seq)
{
    const struct client_said said = {
        .what = CLIENT_SAID_ACK, .channel = BYTES_LITERAL("w-c0"), .number = seq};
    observer_said(o, &said);
}

static void play_window(struct world *w)
{
    ack_all(w, MESSAGES);
    w->one.window = 4;
    subscribed(w, &w->one, "e1", 1, "");
    say_right(w, &w->one, 1, 4);
    acks(&w->one, 4);
    say_right(w, &w->one, 5, 8);
    say_right(w, &w->one, 9, 10); /* which nobody has made room for */
    acks(&w->one, 10);
    acks(&w->one, 9); /* which takes nothing back */
    say_right(w, &w->one, 11, 12);
    subscribed(w, &w->one, "e1", 13, ""); /* all before where it resumes is acknowledged */
    say_right(w, &w->one, 13, 16);
}

static void more_than_the_window_is_told_message_by_message(void **state)
{
    (void)state;
    twice(play_window, EXPECT({VIOLATION_PROTOCOL, 2}));
}

static void play_window_and_gap(struct world *w)
{
    ack_all(w, MESSAGES);
    w->one.window = 4;
    say_right(w, &w->one, 1, 4);
    feed(w, &w->one,
         "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":5,\"to\":20,\"reason\":\"trimmed\"}");
    say_right(w, &w->one, 21, 24);
}

static void what_is_gone_takes_no_room_in_a_window(void **state)
{
    (void)state;
    twice(play_window_and_gap, EXPECT({VIOLATION_GAP_ANNOUNCED, 16}));
}

/* ---- history ------------------------------------------------------------------------------- */

static void give_history(struct world *w, struct observer *o, uint64_t from, uint64_t to,
                         uint64_t left_out, bool *ret_more)
{
    static char text[64000];
    char element[1000];
    int at = snprintf(text, sizeof(text),
                      "{\"type\":\"history\",\"id\":4,\"channel\":\"w-c0\",\"epoch\":\"e1\","
                      "\"earliest\":1,\"latest\":%" PRIu64 ",\"messages\":[",
                      to);
    for (uint64_t seq = from; seq <= to; seq++) {
        const struct said m = right(seq);
        if (seq == left_out) {
            continue;
        }
        write_message(w, &m, true, element, sizeof(element));
        at += snprintf(text + at, sizeof(text) - (size_t)at, "%s%s%s", seq == from ? "" : ",",
                       w->strict ? " " : "", element);
    }
    (void)snprintf(text + at, sizeof(text) - (size_t)at, "%s],\"more\":%s}", w->strict ? " " : "",
                   *ret_more ? "true" : "false");
    struct bytes rest = bytes_of_text(text);
    struct reply reply = {0};
    assert_int_equal(reply_take(WIRE_JSON, &rest, &w->room, &reply), RC_OK);
    observer_history(o, WIRE_JSON, &reply, &w->room, ret_more);
}

static void play_history(struct world *w)
{
    bool more = true;
    ack_all(w, MESSAGES);
    say_right(w, &w->two, 1, MESSAGES);
    give_history(w, &w->one, 1, 20, 0, &more);
    assert_true(more);
    more = false;
    give_history(w, &w->one, 21, MESSAGES, 0, &more);
    assert_false(more);
    finish_both(w);
    assert_true(w->one.digest == w->two.digest);
}

static void history_is_read_as_a_subscription_is(void **state)
{
    (void)state;
    twice(play_history, NOTHING);
}

static void play_history_hole(struct world *w)
{
    bool more = false;
    ack_all(w, MESSAGES);
    give_history(w, &w->one, 1, MESSAGES, 9, &more);
    observer_finish(&w->one, true);
}

static void a_hole_in_history_is_found(void **state)
{
    (void)state;
    twice(play_history_hole, EXPECT({VIOLATION_GAP_UNANNOUNCED, 1}, {VIOLATION_LOST_MIDDLE, 1}));
}

static void play_history_without_end(struct world *w)
{
    bool more = true;
    give_history(w, &w->one, 5, 4, 0, &more);
    assert_false(more);
}

static void a_history_that_goes_nowhere_is_told(void **state)
{
    (void)state;
    twice(play_history_without_end, EXPECT({VIOLATION_PROTOCOL, 1}));
}

/* ---- answers of every shape ---------------------------------------------------------------- */

/* A new observer that has asked, and then hears `text`: so many violations, all of that name. */
static void heard(const char *text, bool subscribed_before, enum violation violation,
                  uint64_t count)
{
    struct world w;
    open_world(&w, false);
    if (!subscribed_before) {
        ask(&w.one, 1);
    }
    feed(&w, &w.one, text);
    if (w.violations.counts[violation] != count || w.violations.total != count) {
        print_error("%s\n", text);
        fail();
    }
    close_world(&w);
}

#define TEN        "0123456789"
#define FIFTY      TEN TEN TEN TEN TEN
#define LONG_EPOCH "\"epoch\":\"" FIFTY FIFTY FIFTY "\",\"next\":1,\"latest\":0"

static void a_subscribed_that_lacks_a_member_is_told(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\"epoch\":\"e1\",\"next\":1",
        "\"epoch\":\"e1\",\"latest\":0",
        "\"epoch\":\"e1\",\"next\":0,\"latest\":0",
        "\"epoch\":\"e1\",\"next\":-1,\"latest\":0",
        "\"epoch\":5,\"next\":1,\"latest\":0",
        "\"next\":1,\"latest\":0",
        LONG_EPOCH,
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[400];
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",%s}", texts[i]);
        heard(text, false, VIOLATION_PROTOCOL, 1);
    }
    heard("{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":1,"
          "\"latest\":0}",
          true, VIOLATION_PROTOCOL, 1); /* a second one */
}

static void gaps_and_resets_that_lack_a_member_or_come_too_early_are_told(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"type\":\"gap\",\"channel\":\"w-c0\",\"to\":3,\"reason\":\"trimmed\"}",
        "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":1,\"reason\":\"trimmed\"}",
        "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":1,\"to\":0}",
        "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":2,\"to\":3}",
        "{\"type\":\"reset\",\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":0}",
        "{\"type\":\"reset\",\"channel\":\"w-c0\",\"next\":1}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        heard(texts[i], true, VIOLATION_PROTOCOL, 1);
    }
    heard("{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":1,\"to\":3}", false, VIOLATION_PROTOCOL,
          1);
    heard("{\"type\":\"reset\",\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":1}", false,
          VIOLATION_PROTOCOL, 1);
    heard("{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":1,\"to\":3}", true,
          VIOLATION_GAP_ANNOUNCED, 3);
}

/* [P 3] pushes name their channel; an error need not. */
static void what_names_no_channel_is_told_where_it_should(void **state)
{
    (void)state;
    static const char *const pushes[] = {
        "{\"type\":\"message\",\"seq\":1,\"data\":1}",
        "{\"type\":\"gap\",\"from\":1,\"to\":1}",
        "{\"type\":\"reset\",\"epoch\":\"e1\",\"next\":1}",
        "{\"type\":\"error\",\"channel\":\"w-c1\",\"code\":\"unavailable\"}",
        "{\"type\":\"unsubscribed\",\"channel\":7}",
    };
    for (size_t i = 0; i < sizeof(pushes) / sizeof(pushes[0]); i++) {
        heard(pushes[i], true, VIOLATION_PROTOCOL, 1);
    }
    static const char *const others[] = {
        "{\"type\":\"connected\",\"id\":1}",
        "{\"type\":\"published\",\"id\":1,\"channel\":\"w-c1\",\"seq\":1,\"epoch\":\"e\"}",
        "{\"type\":\"digest\",\"id\":1,\"channel\":\"w-c1\",\"epoch\":\"e\"}",
        "{\"type\":\"history\",\"id\":1,\"channel\":\"w-c1\",\"epoch\":\"e\",\"messages\":[]}",
        "{\"type\":\"goaway\"}",
        "{\"type\":\"news\"}",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        heard(others[i], true, VIOLATION_PROTOCOL, 0);
    }
}

static void an_unsubscribed_leaves_the_position_as_it_is(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    say_right(&w, &w.one, 1, 3);
    feed(&w, &w.one, "{\"type\":\"unsubscribed\",\"channel\":\"w-c0\",\"reason\":\"unavailable\"}");
    assert_false(w.one.active);
    assert_true(w.one.left);
    assert_int_equal(w.one.next, 4);
    assert_int_equal(w.violations.total, 0);
    const struct said m = right(4);
    say(&w, &w.one, m); /* not asked for any more */
    assert_int_equal(w.violations.counts[VIOLATION_PROTOCOL], 1);
    subscribed(&w, &w.one, "e1", 4, "");
    assert_false(w.one.left);
    close_world(&w);
}

/* ---- ids ----------------------------------------------------------------------------------- */

#define ERROR(id, code)  "{\"type\":\"error\"," id "\"code\":\"" code "\",\"message\":\"no\"}"
#define UNSUBSCRIBED(id) "{\"type\":\"unsubscribed\"," id "\"channel\":\"w-c0\"}"

static void what_was_answered_or_not_asked_has_no_answer(void **state)
{
    (void)state;
    heard(ERROR("\"id\":2,", "internal"), true, VIOLATION_PROTOCOL, 1); /* subscribed */
    heard(ERROR("\"id\":2,", "unavailable"), false, VIOLATION_PROTOCOL, 0);
    heard(UNSUBSCRIBED("\"id\":2,"), true, VIOLATION_PROTOCOL, 1);
    heard("{\"type\":\"subscribed\",\"id\":3,\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":1,"
          "\"latest\":0}",
          false, VIOLATION_PROTOCOL, 1);
    heard("{\"type\":\"subscribed\",\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":1,\"latest\":0}",
          false, VIOLATION_PROTOCOL, 1);
    struct world w;
    open_world(&w, false);
    for (int i = 0; i < 2; i++) { /* a hole's history, and an error to the same */
        feed(&w, &w.one,
             i == 0 ? "{\"type\":\"history\",\"id\":4,\"channel\":\"w-c0\",\"epoch\":\"e1\","
                      "\"messages\":[]}"
                    : ERROR("\"id\":4,", "internal"));
        assert_int_equal(w.violations.counts[VIOLATION_PROTOCOL], i);
    }
    observer_on_ready(&w.one); /* ids begin anew */
    feed(&w, &w.one, ERROR("\"id\":4,", "internal"));
    assert_int_equal(w.violations.total, 1);
    close_world(&w);
}

/* [P 6] an ack may cross the end of the subscription; otherwise there is one. */
static void not_subscribed_is_right_only_where_the_server_has_ended_it(void **state)
{
    (void)state;
    heard(ERROR("", "not_subscribed"), true, VIOLATION_PROTOCOL, 1);
    struct world w;
    open_world(&w, false);
    feed(&w, &w.one, UNSUBSCRIBED(""));
    feed(&w, &w.one, ERROR("", "not_subscribed"));
    assert_int_equal(w.violations.total, 0);
    subscribed(&w, &w.one, "e1", 1, ""); /* on another connection */
    feed(&w, &w.one, UNSUBSCRIBED("\"id\":5,"));
    assert_false(w.one.left || w.one.active); /* at our own wish */
    feed(&w, &w.one, ERROR("", "not_subscribed"));
    assert_int_equal(w.violations.counts[VIOLATION_PROTOCOL], 1);
    close_world(&w);
}

/* ---- a client that fills holes -------------------------------------------------------------- */

/* It stands before what was skipped, and gets that and what followed once more: a gap that nobody
 * announced is what it was, and nobody is accused of what comes again. */
static void play_again(struct world *w)
{
    ack_all(w, 12);
    say_right(w, &w->one, 1, 4);
    say_right(w, &w->one, 7, 9); /* 5 and 6 were skipped */
    ask(&w->one, 5);
    feed(w, &w->one,
         "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":5,"
         "\"earliest\":1,\"latest\":9}");
    say_right(w, &w->one, 5, 12);
    assert_int_equal(w->one.next, 13);
    assert_int_equal(w->one.distinct, 10);
    say_right(w, &w->two, 1, 12);
    finish_both(w);
}

static void what_a_client_gets_once_more_is_no_duplicate_and_heals_nothing(void **state)
{
    (void)state;
    twice(play_again, EXPECT({VIOLATION_GAP_UNANNOUNCED, 2}, {VIOLATION_LOST_MIDDLE, 2}));
}

static void play_other_again(struct world *w)
{
    ack_all(w, 9);
    say_right(w, &w->one, 1, 4);
    say_right(w, &w->one, 7, 9);
    ask(&w->one, 5);
    feed(w, &w->one,
         "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":5,"
         "\"earliest\":1,\"latest\":9}");
    say_right(w, &w->one, 5, 6);
    say(w, &w->one,
        (struct said){.seq = 7, .producer = 0, .number = 4, .time = 5}); /* not as before */
    say_right(w, &w->one, 8, 8);
    say_right(w, &w->one, 7, 7); /* twice on this connection */
    say_right(w, &w->two, 1, 9);
    finish_both(w);
}

static void what_comes_once_more_must_be_the_same_and_in_order(void **state)
{
    (void)state;
    twice(play_other_again, EXPECT({VIOLATION_GAP_UNANNOUNCED, 2}, {VIOLATION_LOST_MIDDLE, 2},
                                   {VIOLATION_INCONSISTENT, 1}, {VIOLATION_DUPLICATED, 1}));
}

static void play_hole_again(struct world *w)
{
    ack_all(w, 9);
    say_right(w, &w->one, 1, 4);
    say_right(w, &w->one, 7, 9);
    ask(&w->one, 5);
    feed(w, &w->one,
         "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":5,"
         "\"earliest\":1,\"latest\":9}");
    say_right(w, &w->one, 5, 6);
    feed(w, &w->one,
         "{\"type\":\"gap\",\"channel\":\"w-c0\",\"from\":7,\"to\":7,\"reason\":\"damaged\"}");
    say_right(w, &w->one, 9, 9); /* 8 is left out */
    say_right(w, &w->two, 1, 9);
    finish_both(w);
}

static void holes_in_what_comes_once_more_are_found(void **state)
{
    (void)state;
    twice(play_hole_again, EXPECT({VIOLATION_GAP_UNANNOUNCED, 3}, {VIOLATION_LOST_MIDDLE, 2},
                                  {VIOLATION_GAP_ANNOUNCED, 1}));
}

static void play_wrong_answer(struct world *w)
{
    say_right(w, &w->one, 1, 4);
    ask(&w->one, 3); /* what the client asked for counts, not where the observer stands */
    feed(w, &w->one,
         "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":5,"
         "\"earliest\":1,\"latest\":9}");
}

static void an_answer_must_be_to_what_was_asked(void **state)
{
    (void)state;
    twice(play_wrong_answer, EXPECT({VIOLATION_PROTOCOL, 1}));
}

/* A client that has heard of a gap in the history, or of more, stands behind the observer. */
static void play_ahead(struct world *w)
{
    ack_all(w, 9);
    say_right(w, &w->one, 1, 4);
    ask(&w->one, 7);
    feed(w, &w->one,
         "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":7,"
         "\"earliest\":1,\"latest\":9}");
    say_right(w, &w->one, 7, 9);
    say_right(w, &w->two, 1, 9);
    finish_both(w);
}

static void what_a_client_passed_over_was_not_sent(void **state)
{
    (void)state;
    twice(play_ahead, EXPECT({VIOLATION_GAP_UNANNOUNCED, 2}, {VIOLATION_LOST_MIDDLE, 2}));
}

/* [P 4] a message has its time and its id. */
static void a_message_that_lacks_a_member_is_told(void **state)
{
    (void)state;
    heard("{\"type\":\"message\",\"channel\":\"w-c0\",\"seq\":1,\"message_id\":\"m\",\"data\":1}",
          true, VIOLATION_PROTOCOL, 1);
    heard("{\"type\":\"message\",\"channel\":\"w-c0\",\"seq\":1,\"time\":5,\"data\":1}", true,
          VIOLATION_PROTOCOL, 1);
    heard("{\"type\":\"message\",\"channel\":\"w-c0\",\"seq\":1,\"time\":5,\"message_id\":5,"
          "\"data\":1}",
          true, VIOLATION_PROTOCOL, 1);
}

/* ---- histories of every shape -------------------------------------------------------------- */

#define HISTORY(members) "{\"type\":\"history\",\"id\":4,\"channel\":\"w-c0\"," members "}"

/* A reader that knows nothing yet is given that. */
static void read_back(struct world *w, const char *text, bool *ret_more)
{
    struct bytes rest = bytes_of_text(text);
    struct reply reply = {0};
    *ret_more = false;
    if (reply_take(WIRE_JSON, &rest, &w->room, &reply) == RC_OK) {
        observer_history(&w->one, WIRE_JSON, &reply, &w->room, ret_more);
    } else { /* which ends the connection */
        violations_add(&w->violations, VIOLATION_PROTOCOL, 1, "%s", text);
    }
}

static void a_history_that_lacks_a_member_is_told(void **state)
{
    (void)state;
    static const char *const texts[] = {
        HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"latest\":2"),
        HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"latest\":2,\"messages\":{}"),
        HISTORY("\"earliest\":1,\"latest\":2,\"messages\":[]"),
        HISTORY("\"epoch\":\"e1\",\"latest\":2,\"messages\":[]"),
        HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"messages\":[]"),
        HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"latest\":2,\"messages\":[1]"),
        HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"latest\":2,\"messages\":[{}]"),
        HISTORY(
            "\"epoch\":\"e1\",\"earliest\":1,\"latest\":2,\"messages\":[{\"seq\":1,\"seq\":2}]"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct world w;
        bool more = true;
        open_world(&w, false);
        read_back(&w, texts[i], &more);
        assert_false(more);
        assert_int_equal(w.violations.counts[VIOLATION_PROTOCOL], 1);
        assert_int_equal(w.violations.total, 1);
        close_world(&w);
    }
}

static void white_space_in_a_history_changes_nothing(void **state)
{
    (void)state;
    struct world w;
    char one[1000];
    char two[1000];
    char text[3000];
    bool more;
    open_world(&w, false);
    const struct said first = right(1);
    const struct said second = right(2);
    write_message(&w, &first, true, one, sizeof(one));
    write_message(&w, &second, true, two, sizeof(two));
    (void)snprintf(text, sizeof(text),
                   HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"latest\":2,\"messages\":"
                           "[\n\r\t %s \n,\t%s\r\n]"),
                   one, two);
    read_back(&w, text, &more);
    assert_int_equal(w.one.distinct, 2);
    assert_true(w.one.digest_whole);
    assert_int_equal(w.violations.total, 0);
    close_world(&w);
}

/* An element that is as it should be up to its data's last byte, and then goes on. */
static void an_element_with_more_behind_its_data_is_taken_strictly(void **state)
{
    (void)state;
    struct world w;
    char one[1000];
    char text[2000];
    bool more;
    open_world(&w, false);
    const struct said first = right(1);
    write_message(&w, &first, true, one, sizeof(one));
    one[strlen(one) - 1] = '\0'; /* the bracket */
    (void)snprintf(text, sizeof(text),
                   HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"latest\":1,\"messages\":"
                           "[%s,\"tags\":[]}]"),
                   one);
    read_back(&w, text, &more);
    assert_int_equal(w.one.distinct, 1);
    assert_int_equal(w.violations.total, 0);
    close_world(&w);
}

static void what_a_history_says_is_damaged_or_trimmed_is_an_announced_gap(void **state)
{
    (void)state;
    struct world w;
    bool more;
    open_world(&w, false);
    read_back(&w,
              HISTORY("\"epoch\":\"e1\",\"earliest\":4,\"latest\":9,\"messages\":[],"
                      "\"damaged\":[{\"from\":4,\"to\":9}]"),
              &more);
    assert_int_equal(w.violations.counts[VIOLATION_GAP_ANNOUNCED], 3 + 1);
    assert_int_equal(w.violations.total, 4);
    assert_int_equal(w.one.next, 4);
    assert_non_null(strstr(w.violations.examples[0].text, "cannot read seqs 4 to 9"));
    close_world(&w);

    open_world(&w, false);
    read_back(&w,
              HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"latest\":0,\"messages\":[],\"damaged\":5"),
              &more);
    assert_int_equal(w.violations.counts[VIOLATION_PROTOCOL], 1); /* no list */
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_epoch_is_told_once),
        cmocka_unit_test(answers_that_make_no_sense_are_told),
        cmocka_unit_test(more_than_the_window_is_told_message_by_message),
        cmocka_unit_test(what_is_gone_takes_no_room_in_a_window),
        cmocka_unit_test(history_is_read_as_a_subscription_is),
        cmocka_unit_test(a_hole_in_history_is_found),
        cmocka_unit_test(a_history_that_goes_nowhere_is_told),
        cmocka_unit_test(a_subscribed_that_lacks_a_member_is_told),
        cmocka_unit_test(gaps_and_resets_that_lack_a_member_or_come_too_early_are_told),
        cmocka_unit_test(what_names_no_channel_is_told_where_it_should),
        cmocka_unit_test(an_unsubscribed_leaves_the_position_as_it_is),
        cmocka_unit_test(what_was_answered_or_not_asked_has_no_answer),
        cmocka_unit_test(not_subscribed_is_right_only_where_the_server_has_ended_it),
        cmocka_unit_test(what_a_client_gets_once_more_is_no_duplicate_and_heals_nothing),
        cmocka_unit_test(what_comes_once_more_must_be_the_same_and_in_order),
        cmocka_unit_test(holes_in_what_comes_once_more_are_found),
        cmocka_unit_test(an_answer_must_be_to_what_was_asked),
        cmocka_unit_test(what_a_client_passed_over_was_not_sent),
        cmocka_unit_test(a_message_that_lacks_a_member_is_told),
        cmocka_unit_test(a_history_that_lacks_a_member_is_told),
        cmocka_unit_test(white_space_in_a_history_changes_nothing),
        cmocka_unit_test(an_element_with_more_behind_its_data_is_taken_strictly),
        cmocka_unit_test(what_a_history_says_is_damaged_or_trimmed_is_an_announced_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
