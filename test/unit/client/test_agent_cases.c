/* client/agent, one thing at a time: what it says to a server's words in cases that are too rare
 * for the hostile server of test_agent.c, or that none of its runs would show.
 *
 * Method: an agent over JSON, and a server's words said by hand; what the agent has to say is
 * compared. */
#include "client/agent.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct small {
    struct agent agent;
    struct agent_sub *subs[8];
    unsigned told;
    unsigned closed;
    unsigned done;
    unsigned refused;
    uint64_t handed; /* messages, where they may come */
    bool takes;
    char ended[40]; /* the code of the last subscription that has */
};

static void small_message(void *ctx, struct agent_sub *sub, const struct reply_message *m)
{
    struct small *s = ctx;
    (void)sub;
    assert_true(s->takes);
    assert_int_equal(m->seq, ++s->handed);
}

/* Each one that is told closes another, or itself, and one comes in its place. */
static void small_state(void *ctx, struct agent_sub *sub, const struct agent_news *news)
{
    struct small *s = ctx;
    if (news->state == AGENT_SUB_ENDED) {
        (void)snprintf(s->ended, sizeof(s->ended), "%s", news->code);
    }
    if (news->state != AGENT_SUB_WAITING) {
        return;
    }
    const size_t mine = (size_t)(uintptr_t)sub->user;
    const size_t other = mine % 3 == 0 ? mine : (mine + 1) % 8;
    char name[48];
    struct agent_sub *added;
    s->told++;
    if (s->subs[other] != NULL) {
        agent_unsubscribe(&s->agent, s->subs[other]);
        s->subs[other] = NULL;
        s->closed++;
        (void)snprintf(name, sizeof(name), "new-%zu-%u", other, s->told);
        const struct agent_subscribe ask = {.channel = bytes_of_text(name), .user = (void *)100};
        assert_int_equal(agent_subscribe(&s->agent, &ask, &added), RC_OK);
    }
}

static void small_done(void *ctx, struct outbox_channel *channel, struct outbox_message *message,
                       const struct outbox_result *result)
{
    struct small *s = ctx;
    (void)channel;
    assert_true(result->end == OUTBOX_PUBLISHED || result->end == OUTBOX_REFUSED);
    s->done += result->end == OUTBOX_PUBLISHED;
    s->refused += result->end == OUTBOX_REFUSED;
    outbox_message_free(message);
}

static void on_channel(void *ctx, struct outbox_channel *channel)
{
    (void)ctx;
    (void)channel;
}

static const struct agent_ops small_ops = {.message = small_message, .state = small_state};
static void reset_gap(void *ctx, struct agent_sub *sub, const struct agent_gap *gap)
{
    (void)ctx;
    assert_int_equal(gap->next, 1);
    assert_int_equal(agent_sub_next(sub), 1);
}

static const struct agent_ops reset_ops = {
    .message = small_message, .gap = reset_gap, .state = small_state};
static const struct outbox_ops small_outbox_ops = {small_done, on_channel, on_channel};

static void open_small(struct small *s, uint64_t window)
{
    *s = (struct small){.told = 0};
    const struct agent_options options = {.codec = WIRE_JSON,
                                          .publish_window = window,
                                          .batch_max = 1,
                                          .seed = 1,
                                          .ops = &small_ops,
                                          .outbox_ops = &small_outbox_ops,
                                          .ctx = s};
    assert_int_equal(agent_init(&s->agent, &options), RC_OK);
    agent_on_ready(&s->agent, 0);
}

static void say_to(struct small *s, uint64_t now_ms, const char *text)
{
    char room[256];
    const int size = snprintf(room, sizeof(room), "%s", text);
    assert_int_equal(agent_take(&s->agent, bytes_of(room, (size_t)size), now_ms), RC_OK);
}

/* What the agent has to say at that time; "": nothing. */
static const char *heard(struct small *s, uint64_t now_ms)
{
    static char text[512];
    struct buf out = {0};
    agent_step(&s->agent, now_ms);
    const enum rc rc = agent_next(&s->agent, now_ms, &out);
    assert_true(rc == RC_OK || rc == RC_END);
    (void)snprintf(text, sizeof(text), "%.*s", (int)out.size, (const char *)out.data);
    buf_deinit(&out);
    return text;
}

static void add_small(struct small *s, const char *channel)
{
    const struct wire_item item = {.data = BYTES_LITERAL("1")};
    struct outbox_channel *found;
    assert_int_equal(outbox_channel(&s->agent.outbox, bytes_of_text(channel), &found), RC_OK);
    outbox_add(&s->agent.outbox, found, outbox_message_make(&item), false);
}

static void a_callback_may_close_any_subscription_when_the_connection_is_lost(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 1);
    for (size_t i = 0; i < 8; i++) {
        char name[24];
        char reply[160];
        (void)snprintf(name, sizeof(name), "c-%zu", i);
        const struct agent_subscribe ask = {.channel = bytes_of_text(name), .user = (void *)i};
        assert_int_equal(agent_subscribe(&s.agent, &ask, &s.subs[i]), RC_OK);
        assert_non_null(strstr(heard(&s, 0), "\"subscribe\""));
        (void)snprintf(reply, sizeof(reply),
                       "{\"type\":\"subscribed\",\"id\":%" PRIu64 ",\"channel\":\"%s\","
                       "\"epoch\":\"a\",\"next\":1,\"earliest\":1,\"latest\":0}",
                       s.subs[i]->asked_, name);
        say_to(&s, 0, reply);
        assert_int_equal(s.subs[i]->state, AGENT_SUB_LIVE);
    }
    agent_on_lost(&s.agent);
    assert_true(s.told >= 4 && s.closed >= 4 && s.closed < 8);
    agent_on_ready(&s.agent, 0);
    unsigned subscribes = 0;
    while (strstr(heard(&s, 0), "\"subscribe\"") != NULL) {
        subscribes++;
    }
    assert_int_equal(subscribes, 8); /* as many have come as have gone */
    agent_deinit(&s.agent);
}

#define PUBLISHED(id, seq, more)                                                                   \
    "{\"type\":\"published\",\"id\":" #id ",\"channel\":\"a\",\"seq\":" #seq                       \
    ",\"epoch\":\"a\"" more "}"

static void what_is_not_answered_is_sent_again_though_the_window_is_full(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 1);
    add_small(&s, "a");
    add_small(&s, "b");
    assert_non_null(strstr(heard(&s, 1000), "\"channel\":\"a\",\"producer_seq\":1"));
    assert_string_equal(heard(&s, 1999), "");
    assert_int_equal(agent_deadline_ms(&s.agent), 2000);
    assert_non_null(strstr(heard(&s, 2000), "\"channel\":\"a\",\"producer_seq\":1"));
    assert_string_equal(heard(&s, 3999), ""); /* 2 s the next time, and some */
    assert_non_null(strstr(heard(&s, 5000), "\"channel\":\"a\",\"producer_seq\":1"));
    say_to(&s, 5000, PUBLISHED(2, 1, ""));
    assert_int_equal(s.done, 1);
    /* The others are answered too, and change nothing. */
    say_to(&s, 5000, PUBLISHED(3, 1, ",\"duplicate\":true"));
    say_to(&s, 5000, PUBLISHED(4, 1, ",\"duplicate\":true"));
    assert_int_equal(s.done, 1);
    assert_non_null(strstr(heard(&s, 5001), "\"channel\":\"b\",\"producer_seq\":1"));
    agent_deinit(&s.agent);
}

#define NOT_NOW(id, ms)                                                                            \
    "{\"type\":\"error\",\"id\":" #id ",\"code\":\"unavailable\",\"message\":\"later\","           \
    "\"retry_after_ms\":" #ms "}"

static void a_pause_that_is_over_before_all_is_answered_does_not_last(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 10);
    add_small(&s, "a");
    add_small(&s, "a");
    (void)heard(&s, 1000);
    (void)heard(&s, 1000);
    say_to(&s, 1000, NOT_NOW(2, 50));
    assert_string_equal(heard(&s, 1100), ""); /* the second one is not answered yet */
    say_to(&s, 1100, NOT_NOW(3, 1));
    assert_true(agent_deadline_ms(&s.agent) <= 1101);
    assert_non_null(strstr(heard(&s, 1101), "\"producer_seq\":1"));
    agent_deinit(&s.agent);
}

#define REFUSED(id, code)                                                                          \
    "{\"type\":\"error\",\"id\":" #id ",\"code\":\"" code "\",\"message\":\"no\",\"expected\":1}"

static void a_message_that_was_sent_twice_and_refused_twice_ends_alone(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 10);
    add_small(&s, "a");
    add_small(&s, "a");
    assert_non_null(strstr(heard(&s, 1000), "\"id\":2,\"channel\":\"a\",\"producer_seq\":1"));
    assert_non_null(strstr(heard(&s, 1000), "\"id\":3,\"channel\":\"a\",\"producer_seq\":2"));
    assert_non_null(strstr(heard(&s, 2000), "\"id\":4,\"channel\":\"a\",\"producer_seq\":1"));
    say_to(&s, 2000, REFUSED(2, "too_large"));
    say_to(&s, 2000, REFUSED(3, "out_of_sequence"));
    say_to(&s, 2000, REFUSED(4, "too_large"));
    assert_int_equal(s.refused, 1);
    assert_non_null(strstr(heard(&s, 2000), "\"id\":5,\"channel\":\"a\",\"producer_seq\":1"));
    say_to(&s, 2000, PUBLISHED(5, 1, ""));
    assert_int_equal(s.done, 1);
    agent_deinit(&s.agent);
}

/* The second copy may have been stored, though the first was not. */
static void a_refusal_is_not_told_while_another_copy_is_on_its_way(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 10);
    add_small(&s, "a");
    (void)heard(&s, 1000);
    (void)heard(&s, 2000);
    say_to(&s, 2000, REFUSED(2, "limit_exceeded"));
    assert_int_equal(s.refused, 0);
    say_to(&s, 2000, PUBLISHED(3, 1, ""));
    assert_int_equal(s.done, 1);
    assert_int_equal(s.refused, 0);
    agent_deinit(&s.agent);
}

/* The answer to what its subscription has asked last. */
static void answer_small(struct small *s, const char *members)
{
    char reply[256];
    (void)snprintf(reply, sizeof(reply), "{\"id\":%" PRIu64 ",%s}", s->subs[0]->asked_, members);
    say_to(s, 0, reply);
}

static void subscribe_small(struct small *s, uint32_t window)
{
    const struct agent_subscribe ask = {.channel = BYTES_LITERAL("a"), .window = window};
    assert_int_equal(agent_subscribe(&s->agent, &ask, &s->subs[0]), RC_OK);
    assert_non_null(strstr(heard(s, 0), "\"subscribe\""));
    answer_small(s, "\"type\":\"subscribed\",\"channel\":\"a\","
                    "\"epoch\":\"a\",\"next\":1,\"earliest\":1,\"latest\":0");
    assert_int_equal(s->subs[0]->state, AGENT_SUB_LIVE);
}

/* [P 6] It has no id, since the ack had none. */
static void an_ack_that_crosses_the_end_of_its_subscription_does_no_harm(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 1);
    subscribe_small(&s, 4);
    say_to(&s, 0,
           "{\"type\":\"unsubscribed\",\"channel\":\"a\",\"reason\":\"unavailable\","
           "\"earliest\":1,\"latest\":2}");
    say_to(&s, 0, "{\"type\":\"error\",\"code\":\"not_subscribed\",\"message\":\"it is not\"}");
    assert_int_equal(s.told, 1);
    agent_deinit(&s.agent);
}

/* Where the server has ended none it has lost one, and would go on in silence. */
static void a_server_that_does_not_know_a_live_subscription_breaks_the_connection(void **state)
{
    (void)state;
    static const char text[] =
        "{\"type\":\"error\",\"code\":\"not_subscribed\",\"message\":\"it is not\"}";
    struct small s;
    open_small(&s, 1);
    subscribe_small(&s, 4);
    assert_int_equal(agent_take(&s.agent, bytes_of_text(text), 0), RC_PROTOCOL);
    assert_non_null(strstr(agent_why(&s.agent), "it is not"));
    agent_deinit(&s.agent);
}

static void push_small(struct small *s, uint64_t seq)
{
    char text[160];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"message\",\"channel\":\"a\",\"seq\":%" PRIu64
                   ",\"message_id\":\"3\",\"time\":1,\"data\":1}",
                   seq);
    say_to(s, 0, text);
}

/* An ack is due when the question for a hole, which has been filled meanwhile, is refused. */
static void what_was_due_ends_with_its_subscription(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 1);
    s.takes = true;
    subscribe_small(&s, 4);
    push_small(&s, 1);
    push_small(&s, 3);
    assert_non_null(strstr(heard(&s, 0), "\"history\""));
    push_small(&s, 2);
    assert_int_equal(s.handed, 3);
    answer_small(&s, "\"type\":\"error\",\"code\":\"forbidden\","
                     "\"message\":\"no\"");
    assert_int_equal(s.subs[0]->state, AGENT_SUB_ENDED);
    assert_non_null(strstr(heard(&s, 0), "\"unsubscribe\""));
    assert_string_equal(heard(&s, 0), "");
    agent_deinit(&s.agent);
}

/* The number that an ack was due for is of another history then. */
static void no_ack_outlives_a_reset(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 1);
    s.takes = true;
    subscribe_small(&s, 4);
    push_small(&s, 1);
    push_small(&s, 2);
    s.agent.options_.ops = &reset_ops;
    say_to(&s, 0,
           "{\"type\":\"reset\",\"channel\":\"a\",\"epoch\":\"b\",\"next\":1,"
           "\"reason\":\"epoch\"}");
    assert_string_equal(heard(&s, 0), "");
    agent_deinit(&s.agent);
}

/* Else it would be told that it has it already, and end. */
static void a_history_that_is_refused_for_now_lets_go_of_the_subscription_first(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 1);
    subscribe_small(&s, 0);
    s.subs[0]->user = (void *)1; /* closes nobody: there is no other */
    push_small(&s, 3);
    assert_non_null(strstr(heard(&s, 0), "\"history\""));
    answer_small(&s, "\"type\":\"error\",\"code\":\"unavailable\","
                     "\"message\":\"later\",\"retry_after_ms\":50");
    assert_int_equal(s.subs[0]->state, AGENT_SUB_WAITING);
    assert_string_equal(heard(&s, 49), "");
    assert_non_null(strstr(heard(&s, 50), "\"unsubscribe\""));
    assert_non_null(strstr(heard(&s, 50), "\"subscribe\""));
    assert_string_equal(heard(&s, 50), "");
    agent_deinit(&s.agent);
}

static void a_hole_that_history_has_too_ends_who_has_not_asked_to_go_on(void **state)
{
    (void)state;
    struct small s;
    open_small(&s, 1);
    subscribe_small(&s, 0);
    push_small(&s, 3);
    assert_non_null(strstr(heard(&s, 0), "\"history\""));
    answer_small(&s, "\"type\":\"history\",\"channel\":\"a\",\"epoch\":\"a\","
                     "\"earliest\":3,\"latest\":3,\"messages\":[],\"more\":false");
    assert_int_equal(s.subs[0]->state, AGENT_SUB_ENDED);
    assert_string_equal(s.ended, "gap");
    /* And the server, which would go on, is told. */
    assert_non_null(strstr(heard(&s, 0), "\"unsubscribe\""));
    assert_string_equal(heard(&s, 0), "");
    agent_unsubscribe(&s.agent, s.subs[0]);
    assert_string_equal(heard(&s, 0), "");
    agent_deinit(&s.agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callback_may_close_any_subscription_when_the_connection_is_lost),
        cmocka_unit_test(what_is_not_answered_is_sent_again_though_the_window_is_full),
        cmocka_unit_test(a_pause_that_is_over_before_all_is_answered_does_not_last),
        cmocka_unit_test(a_message_that_was_sent_twice_and_refused_twice_ends_alone),
        cmocka_unit_test(a_refusal_is_not_told_while_another_copy_is_on_its_way),
        cmocka_unit_test(an_ack_that_crosses_the_end_of_its_subscription_does_no_harm),
        cmocka_unit_test(a_server_that_does_not_know_a_live_subscription_breaks_the_connection),
        cmocka_unit_test(what_was_due_ends_with_its_subscription),
        cmocka_unit_test(no_ack_outlives_a_reset),
        cmocka_unit_test(a_history_that_is_refused_for_now_lets_go_of_the_subscription_first),
        cmocka_unit_test(a_hole_that_history_has_too_ends_who_has_not_asked_to_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
