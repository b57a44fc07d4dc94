/* Goal: each command gets the reply that [P 3] gives it, each bad one the named error, and the
 * first command decides whether there is a conversation at all.
 * Method: stories over the world of memory; texts in, texts out of the socket. */
#include "world_owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct world w;

static int begin(void **state)
{
    (void)state;
    const struct world_limits limits = {
        .subscriptions_max = 3, .inflight_max = 3, .inflight_bytes_max = 400};
    world_init(&w, &limits);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_deinit(&w);
    return 0;
}

static struct world_client *connected(unsigned nth)
{
    struct world_client *client = world_connect(&w, nth);
    world_expect(client, "{\"type\":\"connected\",\"id\":1,\"namespace\":\"default\",\"node\":1,"
                         "\"durability\":\"fsync\",\"ping_ms\":25000,\"time\":1780000000000}");
    return client;
}

/* ---- connect ----------------------------------------------------------------------------------
 */

static void any_first_command_but_connect_closes_with_4401(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"type\":\"publish\",\"id\":5,\"channel\":\"a\",\"data\":1}",
        "{\"type\":\"subscribe\",\"id\":5,\"channel\":\"a\"}",
        "{\"type\":\"unsubscribe\",\"id\":5,\"channel\":\"a\"}",
        "{\"type\":\"ack\",\"id\":5,\"channel\":\"a\",\"seq\":1}",
        "{\"type\":\"history\",\"id\":5,\"channel\":\"a\"}",
        "{\"type\":\"digest\",\"id\":5,\"channel\":\"a\"}",
        "{\"type\":\"ping\",\"id\":5}",
    };
    for (size_t i = 0; i < LENGTH(texts); i++) {
        world_open(&w, 0);
        struct world_client *client = &w.clients[0];
        assert_int_equal(world_text(client, texts[i]), RC_OK);
        assert_int_equal(client->close_code, WS_CLOSE_UNAUTHORIZED);
        world_expect(client, "{\"type\":\"error\",\"id\":5,\"code\":\"unauthorized\"}");
        world_expect_nothing(client);
        world_close(&w, 0);
    }
    assert_int_equal(w.channel_count, 0); /* nobody was asked anything */
}

static void a_bad_first_command_closes_with_4401_too(void **state)
{
    (void)state;
    world_open(&w, 0);
    struct world_client *client = &w.clients[0];
    (void)world_text(client, "{\"type\":\"connect\",\"id\":4,\"producer\":7}");
    assert_int_equal(client->close_code, WS_CLOSE_UNAUTHORIZED);
    world_expect(client, "{\"type\":\"error\",\"id\":4,\"code\":\"bad_request\"}");
}

static void what_is_no_object_closes_with_4400(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "7", "{", "{\"type\":\"ping\"} x", "null"};
    for (size_t i = 0; i < 2 * LENGTH(texts); i++) {
        struct world_client *client = &w.clients[0];
        if (i % 2 == 0) {
            world_open(&w, 0);
        } else {
            (void)connected(0);
        }
        assert_int_equal(world_text(client, texts[i / 2]), RC_OK);
        assert_int_equal(client->close_code, WS_CLOSE_BAD_REQUEST);
        world_expect(client, "{\"type\":\"error\",\"code\":\"bad_request\"}");
        world_expect_nothing(client);
        world_close(&w, 0);
    }
}

static void a_text_that_is_not_utf8_is_answered_and_closes_with_1007(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    session_on_bad_text(client->session);
    assert_false(session_can_take(client->session));
    world_check(client, RC_OK);
    assert_int_equal(client->close_code, WS_CLOSE_UTF8);
    world_expect(client, "{\"type\":\"error\",\"code\":\"bad_request\"}");
    world_expect_nothing(client);
}

static void a_second_connect_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    (void)world_text(client,
                     "{\"type\":\"connect\",\"id\":2,\"producer\":{\"id\":\"p\",\"epoch\":1}}");
    world_expect(client, "{\"type\":\"error\",\"id\":2,\"code\":\"bad_request\"}");
    (void)world_text(client, "{\"type\":\"publish\",\"id\":3,\"channel\":\"a\",\"data\":1,"
                             "\"producer_seq\":1}");
    world_expect(client, "{\"type\":\"error\",\"id\":3,\"code\":\"bad_request\"}");
    assert_int_equal(client->close_code, 0);
}

static void no_connect_in_time_closes_with_4401_and_later_the_timer_is_harmless(void **state)
{
    (void)state;
    world_open(&w, 0);
    session_on_connect_timeout(w.clients[0].session);
    assert_false(session_ready(w.clients[0].session));
    world_check(&w.clients[0], RC_OK);
    assert_int_equal(w.clients[0].close_code, WS_CLOSE_UNAUTHORIZED);
    world_expect_nothing(&w.clients[0]);

    struct world_client *client = connected(1);
    session_on_connect_timeout(client->session);
    world_check(client, RC_OK);
    assert_non_null(client->session);
}

static void a_closing_session_takes_and_sends_nothing_more(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\"}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":2,\"next\":1}");
    session_on_bad_text(client->session);
    const size_t size = client->out.size;
    struct bytes texts[] = {BYTES_LITERAL("[]"), BYTES_LITERAL("{\"type\":\"ping\"}")};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(session_on_message(client->session, &texts[i], 1), RC_OK);
        assert_int_equal(texts[i].size, 0);
    }
    world_publish(&w, 0, 3, 3);
    world_owners_run(&w);
    struct session_slice slices[4];
    struct bytes pieces[4];
    assert_int_equal(session_gather(client->session, slices, pieces, 4, SIZE_MAX), 0);
    assert_int_equal(client->out.size, size);
    session_on_bad_text(client->session); /* the first code stands */
    uint16_t code = 0;
    const char *text = NULL;
    assert_true(session_closing(client->session, &code, &text));
    assert_int_equal(code, WS_CLOSE_UTF8);
}

/* ---- replies and errors -----------------------------------------------------------------------
 */

static void a_bad_command_is_answered_and_the_conversation_goes_on(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reply;
    } table[] = {
        {"{\"type\":\"dance\",\"id\":7}", "{\"id\":7,\"code\":\"bad_request\"}"},
        {"{\"id\":7}", "{\"id\":7,\"code\":\"bad_request\"}"},
        {"{\"type\":\"subscribe\",\"id\":7}", "{\"id\":7,\"code\":\"bad_request\"}"},
        {"{\"type\":\"ack\",\"id\":7,\"channel\":\"a\",\"seq\":0}",
         "{\"id\":7,\"code\":\"bad_request\"}"},
        {"{\"type\":\"ack\",\"channel\":\"a\",\"seq\":1}", "{\"code\":\"not_subscribed\"}"},
        {"{\"type\":\"unsubscribe\",\"id\":7,\"channel\":\"a\"}",
         "{\"id\":7,\"code\":\"not_subscribed\"}"},
        {"{\"type\":\"publish\",\"id\":7,\"channel\":\"a\",\"data\":1,\"producer_seq\":1}",
         "{\"id\":7,\"code\":\"bad_request\"}"},
        {"{\"type\":\"ping\",\"id\":7}", "{\"type\":\"pong\",\"id\":7}"},
        {"{\"type\":\"ping\"}", "{\"type\":\"pong\"}"},
    };
    struct world_client *client = connected(0);
    for (size_t i = 0; i < LENGTH(table); i++) {
        assert_int_equal(world_text(client, table[i].text), RC_OK);
        world_expect(client, table[i].reply);
        world_expect_nothing(client);
    }
    assert_int_equal(client->close_code, 0);
}

static void each_verdict_on_a_publish_has_its_reply(void **state)
{
    (void)state;
    static const struct {
        struct publish_result verdict;
        const char *reply;
    } table[] = {
        {{.verdict = PUBLISH_ACCEPTED}, "{\"type\":\"published\",\"id\":7,\"seq\":1}"},
        {{.verdict = PUBLISH_DUPLICATE, .has_seq = true, .seq = 4},
         "{\"type\":\"published\",\"id\":7,\"seq\":4,\"duplicate\":true}"},
        {{.verdict = PUBLISH_DUPLICATE}, "{\"type\":\"published\",\"id\":7,\"duplicate\":true}"},
        {{.verdict = PUBLISH_OUT_OF_SEQUENCE, .expected = 41, .producer_seq = 44},
         "{\"type\":\"error\",\"id\":7,\"code\":\"out_of_sequence\","
         "\"message\":\"expected producer_seq 41, got 44\",\"expected\":41}"},
        {{.verdict = PUBLISH_PRODUCER_UNKNOWN}, "{\"id\":7,\"code\":\"producer_unknown\"}"},
        {{.verdict = PUBLISH_PRODUCER_FENCED}, "{\"id\":7,\"code\":\"producer_fenced\"}"},
        {{.verdict = PUBLISH_UNAVAILABLE},
         "{\"id\":7,\"code\":\"unavailable\",\"retry_after_ms\":1000}"},
        {{.verdict = PUBLISH_LIMIT}, "{\"id\":7,\"code\":\"limit_exceeded\"}"},
    };
    struct world_client *client = connected(0);
    for (size_t i = 0; i < LENGTH(table); i++) {
        w.verdict = table[i].verdict;
        (void)world_text(client, "{\"type\":\"publish\",\"id\":7,\"channel\":\"a\",\"data\":1}");
        assert_int_equal(session_inflight(client->session), 1);
        world_expect(client, table[i].reply);
        assert_int_equal(session_inflight(client->session), 0);
        world_expect_nothing(client);
    }
}

static void a_batch_is_answered_with_its_first_seq_and_count(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    (void)world_text(client, "{\"type\":\"publish\",\"id\":2,\"channel\":\"a\",\"batch\":"
                             "[{\"data\":1},{\"data\":2},{\"data\":3}]}");
    world_expect(client, "{\"type\":\"published\",\"id\":2,\"seq\":1,\"count\":3}");
    (void)world_text(client, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}");
    world_expect(client, "{\"type\":\"published\",\"seq\":4}"); /* without an id: still told */
}

static void publishes_in_flight_are_bounded_by_count_and_by_bytes(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(session_can_take(client->session));
        (void)world_text(client, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}");
    }
    assert_false(session_can_take(client->session));
    assert_int_equal(session_inflight(client->session), 3);
    (void)world_request(&w, 0);
    (void)world_deliver(&w, 0);
    assert_true(session_can_take(client->session)); /* one answer makes room for one */
    world_run(&w);

    char text[500];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"publish\",\"channel\":\"a\",\"data\":\"%0400d\"}", 0);
    (void)world_text(client, text);
    assert_int_equal(session_inflight(client->session), 1);
    assert_false(session_can_take(client->session)); /* its bytes alone fill the bound */
    world_run(&w);
    assert_true(session_can_take(client->session));
}

static void subscribes_in_flight_are_bounded_whether_anybody_still_wants_them_or_not(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(session_can_take(client->session));
        (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\"}");
        (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
        assert_int_equal(session_inflight(client->session), i + 1);
    }
    assert_false(session_can_take(client->session)); /* the owner has three of them still */
    world_run(&w);
    assert_int_equal(session_inflight(client->session), 0);
    assert_true(session_can_take(client->session));
    for (unsigned i = 0; i < 3; i++) {
        world_expect(client, "{\"type\":\"error\",\"id\":2,\"code\":\"not_subscribed\"}");
        world_expect(client, "{\"type\":\"unsubscribed\",\"id\":3,\"channel\":\"a\"}");
    }
    world_expect_nothing(client);
}

static void a_publish_that_finds_no_room_is_given_back_and_counts_for_nothing(void **state)
{
    (void)state;
    static const char text[] = "{\"type\":\"publish\",\"id\":2,\"channel\":\"a\",\"data\":1}";
    struct world_client *client = connected(0);
    w.publish_full = true;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(world_text(client, text), RC_FULL);
        assert_int_equal(session_inflight(client->session), 0);
        assert_true(session_can_take(client->session));
    }
    world_expect_nothing(client);
    w.publish_full = false;
    assert_int_equal(world_text(client, text), RC_OK);
    world_expect(client, "{\"type\":\"published\",\"id\":2,\"seq\":1}");
    world_expect_nothing(client);
}

static void the_answer_to_a_publish_may_come_after_the_session(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    (void)world_text(client, "{\"type\":\"publish\",\"id\":2,\"channel\":\"a\",\"data\":1}");
    world_close(&w, 0);
    client = connected(0);
    world_run(&w);
    assert_int_equal(w.marks.late, 1);
    world_expect_nothing(client); /* the next connection hears nothing of it */
}

/* [I12] A reply is small, the read for it need not be. */
static void only_a_few_dozen_digests_of_one_session_are_under_way(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    world_publish(&w, world_channel(&w, "a"), 5, 5);
    w.env.inflight_max = 4096;
    w.env.inflight_bytes_max = 8 * MIB;
    for (unsigned round = 0; round < 2; round++) {
        unsigned asked = 0;
        while (asked < 4096 && session_can_take(client->session)) {
            (void)world_text(client, "{\"type\":\"digest\",\"channel\":\"a\",\"seq\":3}");
            asked++;
        }
        assert_int_equal(asked, 32);
        for (unsigned i = 0; i < asked; i++) {
            world_expect(client, "{\"type\":\"digest\",\"seq\":3}");
        }
    }
    world_expect_nothing(client);
}

static void history_gives_elements_bounds_and_more(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    const unsigned a = world_channel(&w, "a");
    world_publish(&w, a, 5, 5);
    world_trim(&w, a, 2);
    (void)world_text(client, "{\"type\":\"history\",\"id\":2,\"channel\":\"a\",\"limit\":2}");
    world_run(&w);
    json_t *messages = json_object_get(json_array_get(client->inbox, 0), "messages");
    assert_int_equal(json_array_size(messages), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(messages, 0), "seq")), 2);
    assert_null(json_object_get(json_array_get(messages, 0), "channel"));
    world_expect(client, "{\"type\":\"history\",\"id\":2,\"channel\":\"a\",\"earliest\":2,"
                         "\"latest\":5,\"more\":true}");
    w.fail_reads = true;
    (void)world_text(client, "{\"type\":\"history\",\"id\":3,\"channel\":\"a\"}");
    world_expect(client, "{\"type\":\"error\",\"id\":3,\"code\":\"unavailable\"}");
}

static void history_tells_what_is_damaged(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    (void)world_text(client, "{\"type\":\"history\",\"id\":9,\"channel\":\"a\"}");
    const struct wire_range damaged[] = {{2, 3}, {7, 7}};
    const struct session_history history = {
        .id = 9,
        .channel = BYTES_LITERAL("a"),
        .position = {.epoch = WORLD_EPOCH, .earliest = 1, .latest = 8},
        .damaged = damaged,
        .damaged_count = 2,
    };
    assert_int_equal(session_on_history(client->session, &history), RC_OK);
    world_owners_clear(&w); /* the owner's own answer is not for this test */
    world_expect(client, "{\"type\":\"history\",\"id\":9,\"messages\":[],"
                         "\"damaged\":[{\"from\":2,\"to\":3},{\"from\":7,\"to\":7}]}");
}

static void a_digest_is_told_for_every_message_that_is_kept(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    const unsigned a = world_channel(&w, "a");
    (void)world_text(client, "{\"type\":\"digest\",\"id\":2,\"channel\":\"a\"}");
    assert_int_equal(session_inflight(client->session), 1);
    world_expect(client, "{\"type\":\"digest\",\"id\":2,\"channel\":\"a\",\"seq\":0,"
                         "\"digest\":\"1000000000000000\"}");
    assert_int_equal(session_inflight(client->session), 0);
    world_publish(&w, a, 5, 5);
    world_trim(&w, a, 3);
    (void)world_text(client, "{\"type\":\"digest\",\"id\":3,\"channel\":\"a\",\"seq\":2}");
    world_expect(client, "{\"type\":\"digest\",\"id\":3,\"seq\":2,"
                         "\"digest\":\"1000000000000002\"}");
    (void)world_text(client, "{\"type\":\"digest\",\"id\":4,\"channel\":\"a\"}");
    world_expect(client, "{\"type\":\"digest\",\"id\":4,\"seq\":5,"
                         "\"digest\":\"1000000000000005\"}");
    (void)world_text(client, "{\"type\":\"digest\",\"id\":5,\"channel\":\"a\",\"seq\":1}");
    world_expect(client, "{\"type\":\"error\",\"id\":5,\"code\":\"gap\",\"earliest\":3,"
                         "\"latest\":5,\"reason\":\"trimmed\"}");
    (void)world_text(client, "{\"type\":\"digest\",\"id\":6,\"channel\":\"a\",\"seq\":6}");
    world_expect(client, "{\"type\":\"error\",\"id\":6,\"code\":\"gap\",\"earliest\":3,"
                         "\"latest\":5,\"reason\":\"ahead\"}");
    w.fail_reads = true;
    (void)world_text(client, "{\"type\":\"digest\",\"id\":7,\"channel\":\"a\",\"seq\":4}");
    world_expect(client, "{\"type\":\"error\",\"id\":7,\"code\":\"unavailable\"}");
}

static void goaway_says_why_and_when_to_come_again(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    assert_int_equal(session_goaway(client->session, "draining", 3120), RC_OK);
    world_expect(client,
                 "{\"type\":\"goaway\",\"reason\":\"draining\",\"reconnect_after_ms\":3120}");
    assert_true(session_ready(client->session)); /* what is in flight is still answered */
}

/* ---- subscribing ------------------------------------------------------------------------------
 */

static void a_subscription_too_many_or_twice_is_refused(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":3,\"channel\":\"a\"}"); /* attaching */
    world_expect(client, "{\"type\":\"error\",\"id\":3,\"code\":\"already_subscribed\"}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":2,\"next\":1}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":4,\"channel\":\"a\"}"); /* standing */
    world_expect(client, "{\"type\":\"error\",\"id\":4,\"code\":\"already_subscribed\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":5,\"channel\":\"b\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":6,\"channel\":\"c\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":7,\"channel\":\"d\"}");
    world_expect(client, "{\"type\":\"error\",\"id\":7,\"code\":\"limit_exceeded\"}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":5}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":6}");
    (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":8,\"channel\":\"b\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":9,\"channel\":\"d\"}");
    world_expect(client, "{\"type\":\"unsubscribed\",\"id\":8,\"channel\":\"b\"}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":9,\"channel\":\"d\"}");
}

static void every_position_has_its_answer(void **state)
{
    (void)state;
    /* The channel holds 4 … 9; "vv" is no epoch of it, and "not one" none that a server gives. */
    static const struct {
        const char *from;
        const char *error; /* with on_gap error; NULL: subscribed */
        const char *reset; /* with on_gap reset */
        unsigned next;
    } table[] = {
        {"\"latest\"", NULL, NULL, 10},
        {"\"earliest\"", NULL, NULL, 4},
        {"{\"seq\":4}", NULL, NULL, 4},
        {"{\"seq\":7}", NULL, NULL, 7},
        {"{\"seq\":10}", NULL, NULL, 10},
        {"{\"seq\":3}", "trimmed", "trimmed", 4},
        {"{\"seq\":11}", "ahead", "ahead", 10},
        {"{\"epoch\":\"vv\",\"seq\":7}", "epoch", "epoch", 4},
        {"{\"epoch\":\"not one\",\"seq\":7}", "epoch", "epoch", 4},
        {"{\"time\":1055}", NULL, NULL, 6},
        {"{\"time\":0}", NULL, NULL, 4},
        {"{\"time\":99999}", NULL, NULL, 10},
    };
    const unsigned a = world_channel(&w, "a");
    world_publish(&w, a, 9, 9);
    world_trim(&w, a, 4);
    for (unsigned i = 0; i < 2 * LENGTH(table); i++) {
        struct world_client *client = connected(0);
        const bool reset = i % 2 == 1;
        const unsigned row = i / 2;
        char reply[200];
        (void)world_textf(client,
                          "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\",\"from\":%s%s}",
                          table[row].from, reset ? ",\"on_gap\":\"reset\"" : "");
        if (table[row].error != NULL && !reset) {
            world_expect(client, "{\"type\":\"error\",\"id\":2,\"code\":\"gap\",\"earliest\":4,"
                                 "\"latest\":9}");
            world_expect_nothing(client);
            assert_false(w.channels[a].watched); /* nothing is left of it, at the owner either */
        } else {
            (void)snprintf(reply, sizeof(reply),
                           "{\"type\":\"subscribed\",\"id\":2,\"next\":%u,\"earliest\":4,"
                           "\"latest\":9%s%s%s}",
                           table[row].next, table[row].reset ? ",\"reset\":{\"reason\":\"" : "",
                           table[row].reset ? table[row].reset : "", table[row].reset ? "\"}" : "");
            world_expect(client, reply);
            world_expect_messages(client, a, table[row].next, 10);
            world_expect_nothing(client);
        }
        world_close(&w, 0);
        world_run(&w);
    }
}

static void a_time_that_cannot_be_searched_is_unavailable(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    world_publish(&w, world_channel(&w, "a"), 3, 3);
    w.fail_reads = true;
    (void)world_text(client,
                     "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\",\"from\":{\"time\":5}}");
    world_expect(client, "{\"type\":\"error\",\"id\":2,\"code\":\"unavailable\"}");
    (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
    world_expect(client, "{\"type\":\"error\",\"id\":3,\"code\":\"not_subscribed\"}");
    w.fail_reads = false;
    (void)world_text(client,
                     "{\"type\":\"subscribe\",\"id\":4,\"channel\":\"a\",\"from\":{\"time\":5}}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":4,\"next\":1}");
}

static void an_unsubscribe_answers_the_subscribe_that_it_overtakes(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    world_publish(&w, world_channel(&w, "a"), 3, 3);
    (void)world_text(client,
                     "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\",\"from\":\"earliest\"}");
    (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
    world_expect(client, "{\"type\":\"error\",\"id\":2,\"code\":\"not_subscribed\"}");
    world_expect(client, "{\"type\":\"unsubscribed\",\"id\":3,\"channel\":\"a\"}");
    world_expect_nothing(client);
    assert_int_equal(w.detach_count, 1);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        STORY(any_first_command_but_connect_closes_with_4401),
        STORY(a_bad_first_command_closes_with_4401_too),
        STORY(what_is_no_object_closes_with_4400),
        STORY(a_text_that_is_not_utf8_is_answered_and_closes_with_1007),
        STORY(a_second_connect_is_refused_and_changes_nothing),
        STORY(no_connect_in_time_closes_with_4401_and_later_the_timer_is_harmless),
        STORY(a_closing_session_takes_and_sends_nothing_more),
        STORY(a_bad_command_is_answered_and_the_conversation_goes_on),
        STORY(each_verdict_on_a_publish_has_its_reply),
        STORY(a_batch_is_answered_with_its_first_seq_and_count),
        STORY(publishes_in_flight_are_bounded_by_count_and_by_bytes),
        STORY(subscribes_in_flight_are_bounded_whether_anybody_still_wants_them_or_not),
        STORY(a_publish_that_finds_no_room_is_given_back_and_counts_for_nothing),
        STORY(the_answer_to_a_publish_may_come_after_the_session),
        STORY(only_a_few_dozen_digests_of_one_session_are_under_way),
        STORY(history_gives_elements_bounds_and_more),
        STORY(history_tells_what_is_damaged),
        STORY(a_digest_is_told_for_every_message_that_is_kept),
        STORY(goaway_says_why_and_when_to_come_again),
        STORY(a_subscription_too_many_or_twice_is_refused),
        STORY(every_position_has_its_answer),
        STORY(a_time_that_cannot_be_searched_is_unavailable),
        STORY(an_unsubscribe_answers_the_subscribe_that_it_overtakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
