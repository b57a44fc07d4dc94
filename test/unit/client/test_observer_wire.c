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
    observer_on_ready(&w->one, 0);
    const struct said m = right(1);
    say(w, &w->one, m); /* not asked for on this connection */
}

static void answers_that_make_no_sense_are_told(void **state)
{
    (void)state;
    twice(play_nonsense, EXPECT({VIOLATION_PROTOCOL, 5}));
}

static void asks(struct observer *o, const char *command)
{
    struct buf to = {0};
    const enum rc rc = observer_command(o, 0, &to);
    assert_int_equal(rc, command == NULL ? RC_END : RC_OK);
    if (command != NULL && !bytes_equal(buf_bytes(&to), bytes_of_text(command))) {
        print_error("%.*s\n", (int)to.size, (char *)to.data);
        fail();
    }
    buf_deinit(&to);
}

static void it_asks_for_the_earliest_first_and_then_for_just_what_is_next(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    struct observer o;
    assert_int_equal(observer_init(&o, &w.ledger, 0, "o", &w.scratch), RC_OK);
    o.window = 10;
    asks(&o, NULL);
    observer_on_ready(&o, 0);
    asks(&o, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"w-c0\",\"from\":\"earliest\","
             "\"on_gap\":\"reset\",\"window\":10}");
    asks(&o, NULL);
    feed(&w, &o,
         "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"e1\",\"next\":1,"
         "\"earliest\":1,\"latest\":0}");
    asks(&o, NULL);
    say_right(&w, &o, 1, 3);
    asks(&o, "{\"type\":\"ack\",\"channel\":\"w-c0\",\"seq\":3}");
    asks(&o, NULL);
    observer_on_ready(&o, 0);
    asks(&o, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"w-c0\","
             "\"from\":{\"epoch\":\"e1\",\"seq\":4},\"on_gap\":\"reset\",\"window\":10}");
    observer_deinit(&o);
    close_world(&w);
}

static void play_window(struct world *w)
{
    ack_all(w, MESSAGES);
    w->one.window = 4;
    observer_on_ready(&w->one, 0);
    asks(&w->one,
         "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"w-c0\",\"from\":{\"epoch\":\"e1\","
         "\"seq\":1},\"on_gap\":\"reset\",\"window\":4}");
    subscribed(w, &w->one, "e1", 1, "");
    say_right(w, &w->one, 1, 4);
    asks(&w->one, "{\"type\":\"ack\",\"channel\":\"w-c0\",\"seq\":4}");
    say_right(w, &w->one, 5, 8);
    say_right(w, &w->one, 9, 10); /* which nobody has made room for */
    asks(&w->one, "{\"type\":\"ack\",\"channel\":\"w-c0\",\"seq\":10}");
    say_right(w, &w->one, 11, 12);
    observer_on_ready(&w->one, 0); /* all before where it resumes counts as acknowledged */
    asks(&w->one,
         "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"w-c0\",\"from\":{\"epoch\":\"e1\","
         "\"seq\":13},\"on_gap\":\"reset\",\"window\":4}");
    subscribed(w, &w->one, "e1", 13, "");
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
    struct client_message message;
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
    assert_int_equal(client_message_parse(bytes_of_text(text), &message), RC_OK);
    observer_take_history(o, &message, ret_more);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_epoch_is_told_once),
        cmocka_unit_test(answers_that_make_no_sense_are_told),
        cmocka_unit_test(it_asks_for_the_earliest_first_and_then_for_just_what_is_next),
        cmocka_unit_test(more_than_the_window_is_told_message_by_message),
        cmocka_unit_test(what_is_gone_takes_no_room_in_a_window),
        cmocka_unit_test(history_is_read_as_a_subscription_is),
        cmocka_unit_test(a_hole_in_history_is_found),
        cmocka_unit_test(a_history_that_goes_nowhere_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
