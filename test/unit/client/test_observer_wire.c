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

/* ---- answers of every shape ---------------------------------------------------------------- */

/* A new observer that has asked, and then hears `text`: so many violations, all of that name. */
static void heard(const char *text, bool subscribed_before, enum violation violation,
                  uint64_t count)
{
    struct world w;
    open_world(&w, false);
    if (!subscribed_before) {
        observer_on_ready(&w.one, 0);
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
        "{\"type\":\"published\",\"id\":1,\"seq\":1}",
        "{\"type\":\"digest\",\"id\":1}",
        "{\"type\":\"history\",\"id\":1}",
        "{\"type\":\"goaway\"}",
        "{\"type\":\"news\"}",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        heard(others[i], true, VIOLATION_PROTOCOL, 0);
    }
}

static void an_unsubscribed_is_followed_by_a_subscribe_of_the_same_position(void **state)
{
    (void)state;
    struct world w;
    struct buf to = {0};
    open_world(&w, false);
    say_right(&w, &w.one, 1, 3);
    feed(&w, &w.one, "{\"type\":\"unsubscribed\",\"channel\":\"w-c0\",\"reason\":\"unavailable\"}");
    assert_false(w.one.active);
    assert_int_equal(observer_command(&w.one, 0, &to), RC_END); /* not at once */
    assert_in_range(w.one.retry_at_ms, 50, 100);
    assert_int_equal(observer_command(&w.one, w.one.retry_at_ms, &to), RC_OK);
    assert_non_null(memmem(to.data, to.size, "\"seq\":4}", 8));
    assert_int_equal(w.violations.total, 0);
    buf_deinit(&to);
    close_world(&w);
}

/* Says that error to one who has asked; when it asks again, 0: never. */
static uint64_t asks_again_at(const char *members, const char *why)
{
    struct world w;
    char text[300];
    open_world(&w, false);
    observer_on_ready(&w.one, 0);
    w.one.retry_at_ms = UINT64_MAX; /* it has asked */
    (void)snprintf(text, sizeof(text), "{\"type\":\"error\",\"id\":2,\"message\":\"so it is\",%s}",
                   members);
    feed(&w, &w.one, text);
    assert_int_equal(w.violations.total, 0);
    assert_true((w.one.why[0] == '\0') == (why == NULL));
    assert_true(why == NULL || strstr(w.one.why, why) != NULL);
    const uint64_t at = w.one.retry_at_ms;
    close_world(&w);
    return at;
}

static void what_waiting_cures_is_asked_again_and_the_rest_is_final(void **state)
{
    (void)state;
    assert_in_range(asks_again_at("\"code\":\"unavailable\"", NULL), 50, 100);
    assert_in_range(asks_again_at("\"code\":\"internal\"", NULL), 50, 100);
    assert_in_range(asks_again_at("\"code\":\"rate_limited\"", NULL), 50, 100);
    assert_int_equal(asks_again_at("\"code\":\"limit_exceeded\",\"retry_after_ms\":700", NULL),
                     700);
    assert_int_equal(asks_again_at("\"code\":\"unavailable\",\"retry_after_ms\":70000000", NULL),
                     60000);
    assert_true(asks_again_at("\"code\":\"limit_exceeded\"",
                              "one, channel 0: refused (limit_exceeded): so it is") == UINT64_MAX);
    assert_true(asks_again_at("\"code\":7", "refused (): so it is") == UINT64_MAX);
}

/* ---- histories of every shape -------------------------------------------------------------- */

#define HISTORY(members) "{\"type\":\"history\",\"id\":4,\"channel\":\"w-c0\"," members "}"

/* A reader that knows nothing yet is given that. */
static void read_back(struct world *w, const char *text, bool *ret_more)
{
    struct client_message message;
    assert_int_equal(client_message_parse(bytes_of_text(text), &message), RC_OK);
    observer_take_history(&w->one, &message, ret_more);
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
    assert_non_null(strstr(w.violations.examples[0].text, "cannot read [{\"from\":4,\"to\":9}]"));
    close_world(&w);

    char text[600];
    open_world(&w, false);
    (void)snprintf(text, sizeof(text),
                   HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"latest\":9,\"messages\":[],"
                           "\"damaged\":[1%0299d]"),
                   0);
    read_back(&w, text, &more);
    assert_int_equal(w.violations.counts[VIOLATION_GAP_ANNOUNCED], 1);
    close_world(&w);

    open_world(&w, false);
    read_back(&w,
              HISTORY("\"epoch\":\"e1\",\"earliest\":1,\"latest\":0,\"messages\":[],\"damaged\":5"),
              &more);
    assert_int_equal(w.violations.total, 0); /* no list: nothing is said by it */
    close_world(&w);
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
        cmocka_unit_test(a_subscribed_that_lacks_a_member_is_told),
        cmocka_unit_test(gaps_and_resets_that_lack_a_member_or_come_too_early_are_told),
        cmocka_unit_test(what_names_no_channel_is_told_where_it_should),
        cmocka_unit_test(an_unsubscribed_is_followed_by_a_subscribe_of_the_same_position),
        cmocka_unit_test(what_waiting_cures_is_asked_again_and_the_rest_is_final),
        cmocka_unit_test(a_history_that_lacks_a_member_is_told),
        cmocka_unit_test(white_space_in_a_history_changes_nothing),
        cmocka_unit_test(an_element_with_more_behind_its_data_is_taken_strictly),
        cmocka_unit_test(what_a_history_says_is_damaged_or_trimmed_is_an_announced_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
