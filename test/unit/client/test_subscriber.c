/* client/subscriber: it asks for just what comes next, and takes nothing else.
 * Method: scripts of what the server says, with the event that each must give. */
#include "client/subscriber.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define SUBSCRIBED(next)                                                                           \
    "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"c\",\"epoch\":\"e1\",\"next\":" next          \
    ",\"earliest\":1,\"latest\":9}"
#define MESSAGE(seq) "{\"type\":\"message\",\"channel\":\"c\",\"seq\":" seq ",\"data\":1}"

struct step {
    const char *said;
    enum subscriber_event event;
    const char *text; /* part of it; NULL: not looked at */
};

static struct subscriber make(enum subscriber_from from, uint64_t seq, bool reset, uint64_t window)
{
    const struct subscriber_options options = {.channel = BYTES_LITERAL("c"),
                                               .from = from,
                                               .seq = seq,
                                               .on_gap_reset = reset,
                                               .window = window};
    struct subscriber s;
    subscriber_init(&s, &options);
    subscriber_on_ready(&s, 0);
    return s;
}

static void play(struct subscriber *s, const struct step *steps)
{
    for (; steps->said != NULL; steps++) {
        struct client_message message;
        assert_int_equal(client_message_parse(bytes_of_text(steps->said), &message), RC_OK);
        assert_int_equal(subscriber_on_message(s, &message, 0), steps->event);
        if (steps->text != NULL && strstr(subscriber_text(s), steps->text) == NULL) {
            print_error("%s\n", subscriber_text(s));
            fail();
        }
    }
}

static void asks(struct subscriber *s, const char *command)
{
    struct buf to = {0};
    const enum rc rc = subscriber_next(s, 0, &to);
    assert_int_equal(rc, command == NULL ? RC_END : RC_OK);
    if (command != NULL && !bytes_equal(buf_bytes(&to), bytes_of_text(command))) {
        print_error("%.*s\n", (int)to.size, (char *)to.data);
        fail();
    }
    buf_deinit(&to);
}

static void it_asks_for_what_it_was_told(void **state)
{
    (void)state;
#define HEAD "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"c\",\"from\":"
    struct subscriber s = make(SUBSCRIBER_FROM_LATEST, 0, false, 0);
    asks(&s, HEAD "\"latest\",\"on_gap\":\"error\"}");
    asks(&s, NULL);
    s = make(SUBSCRIBER_FROM_EARLIEST, 0, true, 0);
    asks(&s, HEAD "\"earliest\",\"on_gap\":\"reset\"}");
    s = make(SUBSCRIBER_FROM_SEQ, 43, false, 256);
    asks(&s, HEAD "{\"seq\":43},\"on_gap\":\"error\",\"window\":256}");
    const struct subscriber_options options = {.channel = BYTES_LITERAL("c"),
                                               .from = SUBSCRIBER_FROM_SEQ,
                                               .seq = UINT64_C(9007199254740991),
                                               .when_slow = "conflate",
                                               .window = 1000000};
    subscriber_init(&s, &options);
    subscriber_on_ready(&s, 0);
    asks(&s, HEAD "{\"seq\":9007199254740991},\"on_gap\":\"error\",\"when_slow\":\"conflate\","
                  "\"window\":1000000}");
}

static void what_it_asked_not_to_get_is_not_called_lost(void **state)
{
    (void)state;
    struct subscriber s = make(SUBSCRIBER_FROM_SEQ, 5, false, 0);
    asks(&s, HEAD "{\"seq\":5},\"on_gap\":\"error\"}");
#define GAP(from, to, reason)                                                                      \
    "{\"type\":\"gap\",\"channel\":\"c\",\"from\":" from ",\"to\":" to ",\"reason\":\"" reason "\"}"
    play(&s, (const struct step[]){
                 {SUBSCRIBED("5"), SUBSCRIBER_NOTHING, NULL},
                 {GAP("5", "8", "slow"), SUBSCRIBER_NOTICE, "5 to 8 are left out (slow)"},
                 {GAP("9", "9", "conflated"), SUBSCRIBER_NOTICE, "9 are left out (conflated)"},
                 {MESSAGE("10"), SUBSCRIBER_DELIVER, NULL},
                 {GAP("11", "12", "trimmed"), SUBSCRIBER_NOTICE, "11 to 12 are lost (trimmed)"},
                 {NULL, 0, NULL}});
}

static void it_resumes_at_epoch_and_seq_after_each_reconnect(void **state)
{
    (void)state;
    struct subscriber s = make(SUBSCRIBER_FROM_EARLIEST, 0, false, 0);
    asks(&s, HEAD "\"earliest\",\"on_gap\":\"error\"}");
    play(&s, (const struct step[]){{SUBSCRIBED("1"), SUBSCRIBER_NOTHING, NULL},
                                   {MESSAGE("1"), SUBSCRIBER_DELIVER, NULL},
                                   {MESSAGE("2"), SUBSCRIBER_DELIVER, NULL},
                                   {NULL, 0, NULL}});
    subscriber_on_ready(&s, 0);
    asks(&s, HEAD "{\"epoch\":\"e1\",\"seq\":3},\"on_gap\":\"error\"}");
    play(&s, (const struct step[]){{SUBSCRIBED("3"), SUBSCRIBER_NOTHING, NULL},
                                   {MESSAGE("3"), SUBSCRIBER_DELIVER, NULL},
                                   {NULL, 0, NULL}});
    assert_int_equal(subscriber_received(&s), 3);
}

static void anything_but_the_next_seq_is_a_broken_promise(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        const char *text;
    } cases[] = {
        {MESSAGE("4"), "expected seq 5, got 4"},
        {MESSAGE("6"), "expected seq 5, got 6"},
        {"{\"type\":\"message\",\"channel\":\"c\",\"data\":1}", "not asked for"},
        {"{\"type\":\"message\",\"channel\":\"d\",\"seq\":5,\"data\":1}", "another channel"},
        {SUBSCRIBED("5"), "makes no sense"},
        {"{\"type\":\"gap\",\"channel\":\"c\",\"from\":6,\"to\":8,\"reason\":\"trimmed\"}",
         "does not fit"},
        {"{\"type\":\"gap\",\"channel\":\"c\",\"from\":5,\"to\":4,\"reason\":\"trimmed\"}",
         "does not fit"},
        {"{\"type\":\"reset\",\"channel\":\"c\",\"next\":5}", "makes no sense"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct subscriber s = make(SUBSCRIBER_FROM_SEQ, 4, true, 0);
        play(&s, (const struct step[]){{SUBSCRIBED("4"), SUBSCRIBER_NOTHING, NULL},
                                       {MESSAGE("4"), SUBSCRIBER_DELIVER, NULL},
                                       {cases[i].said, SUBSCRIBER_BROKEN, cases[i].text},
                                       {NULL, 0, NULL}});
        assert_int_equal(subscriber_received(&s), 1);
    }
}

static void a_start_elsewhere_than_asked_for_must_be_told(void **state)
{
    (void)state;
    static const char reset[] =
        "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"c\",\"epoch\":\"e2\","
        "\"next\":7,\"earliest\":7,\"latest\":9,"
        "\"reset\":{\"reason\":\"trimmed\"}}";
    struct subscriber s = make(SUBSCRIBER_FROM_SEQ, 4, true, 0);
    play(&s, (const struct step[]){{SUBSCRIBED("7"), SUBSCRIBER_BROKEN, "tells no gap"},
                                   {NULL, 0, NULL}});
    s = make(SUBSCRIBER_FROM_SEQ, 4, false, 0);
    play(&s, (const struct step[]){{reset, SUBSCRIBER_BROKEN, "told not to"}, {NULL, 0, NULL}});
    s = make(SUBSCRIBER_FROM_SEQ, 4, true, 0);
    play(&s, (const struct step[]){{reset, SUBSCRIBER_NOTICE, "going on with 7"},
                                   {MESSAGE("7"), SUBSCRIBER_DELIVER, NULL},
                                   {NULL, 0, NULL}});
}

static void told_gaps_and_resets_move_the_cursor(void **state)
{
    (void)state;
    struct subscriber s = make(SUBSCRIBER_FROM_SEQ, 5, true, 0);
    asks(&s, HEAD "{\"seq\":5},\"on_gap\":\"reset\"}");
    play(&s, (const struct step[]){
                 {SUBSCRIBED("5"), SUBSCRIBER_NOTHING, NULL},
                 {"{\"type\":\"gap\",\"channel\":\"c\",\"from\":5,\"to\":8,\"reason\":\"trimmed\"}",
                  SUBSCRIBER_NOTICE, "messages 5 to 8 are lost (trimmed)"},
                 {MESSAGE("9"), SUBSCRIBER_DELIVER, NULL},
                 {"{\"type\":\"reset\",\"channel\":\"c\",\"epoch\":\"e2\",\"reason\":\"epoch\","
                  "\"next\":3}",
                  SUBSCRIBER_NOTICE, "seq 10 was next, now it is 3"},
                 {MESSAGE("3"), SUBSCRIBER_DELIVER, NULL},
                 {NULL, 0, NULL}});
    subscriber_on_ready(&s, 0);
    asks(&s, HEAD "{\"epoch\":\"e2\",\"seq\":4},\"on_gap\":\"reset\"}");
}

static void acks_are_cumulative_and_only_for_what_was_delivered(void **state)
{
    (void)state;
#define ACK(seq) "{\"type\":\"ack\",\"channel\":\"c\",\"seq\":" seq "}"
    struct subscriber s = make(SUBSCRIBER_FROM_SEQ, 5, true, 10);
    asks(&s, HEAD "{\"seq\":5},\"on_gap\":\"reset\",\"window\":10}");
    play(&s, (const struct step[]){{SUBSCRIBED("5"), SUBSCRIBER_NOTHING, NULL}, {NULL, 0, NULL}});
    asks(&s, NULL);
    play(&s, (const struct step[]){
                 {MESSAGE("5"), SUBSCRIBER_DELIVER, NULL},
                 {MESSAGE("6"), SUBSCRIBER_DELIVER, NULL},
                 {"{\"type\":\"gap\",\"channel\":\"c\",\"from\":7,\"to\":8,\"reason\":\"trimmed\"}",
                  SUBSCRIBER_NOTICE, NULL},
                 {NULL, 0, NULL}});
    asks(&s, ACK("6"));
    asks(&s, NULL);
}

static void refusals_end_it_unless_waiting_helps(void **state)
{
    (void)state;
    struct subscriber s = make(SUBSCRIBER_FROM_SEQ, 5, false, 0);
    asks(&s, HEAD "{\"seq\":5},\"on_gap\":\"error\"}");
    play(&s, (const struct step[]){{"{\"type\":\"error\",\"id\":2,\"code\":\"unavailable\","
                                    "\"message\":\"away\",\"retry_after_ms\":300}",
                                    SUBSCRIBER_NOTICE, "unavailable"},
                                   {NULL, 0, NULL}});
    assert_int_equal(subscriber_deadline_ms(&s), 300);
    asks(&s, NULL); /* not yet */
    struct buf to = {0};
    assert_int_equal(subscriber_next(&s, 300, &to), RC_OK);
    buf_deinit(&to);
    play(&s,
         (const struct step[]){{"{\"type\":\"error\",\"id\":2,\"code\":\"gap\",\"message\":\"\","
                                "\"earliest\":8,\"latest\":9}",
                                SUBSCRIBER_FAILED, "seq 5 is not there: the channel has 8 to 9"},
                               {"{\"type\":\"error\",\"id\":2,\"code\":\"forbidden\","
                                "\"message\":\"no\"}",
                                SUBSCRIBER_FAILED, "forbidden"},
                               {"{\"type\":\"unsubscribed\",\"channel\":\"c\",\"reason\":\"gap\"}",
                                SUBSCRIBER_FAILED, "--on-gap reset"},
                               {NULL, 0, NULL}});
}

static void what_it_does_not_know_is_ignored(void **state)
{
    (void)state;
    struct subscriber s = make(SUBSCRIBER_FROM_LATEST, 0, false, 0);
    play(&s, (const struct step[]){{"{\"type\":\"weather\",\"seq\":1}", SUBSCRIBER_NOTHING, NULL},
                                   {"{\"type\":\"pong\",\"id\":1}", SUBSCRIBER_NOTHING, NULL},
                                   {NULL, 0, NULL}});
}

static void answers_that_lack_a_member_break_the_protocol(void **state)
{
    (void)state;
    static const char *const subscribed[] = {
        "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"c\",\"next\":5}",
        "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"c\",\"epoch\":7,\"next\":5}",
        "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"c\",\"epoch\":\"e1\"}",
        "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"c\",\"epoch\":\"e1\",\"next\":0}",
        "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"c\",\"epoch\":\"e1\",\"next\":-1}",
    };
    for (size_t i = 0; i < sizeof(subscribed) / sizeof(subscribed[0]); i++) {
        struct subscriber s = make(SUBSCRIBER_FROM_LATEST, 0, true, 0);
        play(&s, (const struct step[]){{subscribed[i], SUBSCRIBER_BROKEN, "makes no sense"},
                                       {NULL, 0, NULL}});
    }
    char text[400];
    struct subscriber s = make(SUBSCRIBER_FROM_LATEST, 0, true, 0);
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"subscribed\",\"channel\":\"c\",\"epoch\":\"%0200d\",\"next\":5}",
                   0);
    play(&s, (const struct step[]){{text, SUBSCRIBER_BROKEN, "makes no sense"}, {NULL, 0, NULL}});
    static const char *const later[] = {
        "{\"type\":\"gap\",\"channel\":\"c\",\"to\":8}",
        "{\"type\":\"gap\",\"channel\":\"c\",\"from\":5}",
        "{\"type\":\"reset\",\"channel\":\"c\",\"epoch\":\"e2\"}",
    };
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        s = make(SUBSCRIBER_FROM_SEQ, 5, true, 0);
        play(&s, (const struct step[]){{SUBSCRIBED("5"), SUBSCRIBER_NOTHING, NULL},
                                       {later[i], SUBSCRIBER_BROKEN, "the server"},
                                       {NULL, 0, NULL}});
    }
}

static void nothing_is_taken_before_the_server_has_subscribed_us(void **state)
{
    (void)state;
    static const char *const texts[] = {
        MESSAGE("5"),
        "{\"type\":\"gap\",\"channel\":\"c\",\"from\":5,\"to\":8,\"reason\":\"trimmed\"}",
        "{\"type\":\"reset\",\"channel\":\"c\",\"epoch\":\"e2\",\"next\":5}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct subscriber s = make(SUBSCRIBER_FROM_SEQ, 5, true, 0);
        play(&s,
             (const struct step[]){{texts[i], SUBSCRIBER_BROKEN, "the server"}, {NULL, 0, NULL}});
    }
}

static void who_begins_at_the_latest_takes_any_seq_as_the_first(void **state)
{
    (void)state;
    struct subscriber s = make(SUBSCRIBER_FROM_LATEST, 0, false, 0);
    assert_int_equal(subscriber_deadline_ms(&s), 0);
    play(&s, (const struct step[]){{SUBSCRIBED("77"), SUBSCRIBER_NOTHING, NULL},
                                   {MESSAGE("77"), SUBSCRIBER_DELIVER, NULL},
                                   {NULL, 0, NULL}});
    assert_true(subscriber_deadline_ms(&s) == UINT64_MAX);
}

static void waiting_takes_as_long_as_was_asked_for_or_doubles(void **state)
{
    (void)state;
    static const char *const codes[] = {"unavailable", "rate_limited", "internal"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct subscriber s = make(SUBSCRIBER_FROM_SEQ, 5, false, 0);
        struct buf to = {0};
        char text[200];
        uint64_t before = 0;
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"error\",\"id\":2,\"code\":\"%s\",\"message\":\"later\"}",
                       codes[i]);
        for (unsigned attempt = 0; attempt < 4; attempt++) {
            assert_int_equal(subscriber_next(&s, UINT64_MAX - 1, &to), RC_OK);
            play(&s, (const struct step[]){{text, SUBSCRIBER_NOTICE, "later"}, {NULL, 0, NULL}});
            assert_true(subscriber_deadline_ms(&s) > before);
            before = subscriber_deadline_ms(&s);
        }
        buf_deinit(&to);
    }
    struct subscriber s = make(SUBSCRIBER_FROM_SEQ, 5, false, 0);
    play(&s, (const struct step[]){{"{\"type\":\"error\",\"id\":2,\"code\":\"x\",\"message\":\"\","
                                    "\"retry_after_ms\":9007199254740991}",
                                    SUBSCRIBER_NOTICE, NULL},
                                   {NULL, 0, NULL}});
    assert_int_equal(subscriber_deadline_ms(&s), 60000);
}

/* Subscribe and ack, each with every allocation failing once. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    static char name[256];
    (void)snprintf(name, sizeof(name), "%0255d", 0);
    const struct subscriber_options options = {
        .channel = bytes_of_text(name), .from = SUBSCRIBER_FROM_SEQ, .seq = 5, .window = 10};
    char subscribed[600];
    char message[600];
    (void)snprintf(subscribed, sizeof(subscribed),
                   "{\"type\":\"subscribed\",\"channel\":\"%s\",\"epoch\":\"e\",\"next\":5}", name);
    (void)snprintf(message, sizeof(message),
                   "{\"type\":\"message\",\"channel\":\"%s\",\"seq\":5,\"data\":1}", name);
    for (int ack = 0; ack < 2; ack++) {
        enum rc rc = RC_NOMEM;
        for (uint64_t fault = 1; rc != RC_OK; fault++) {
            struct subscriber s;
            struct buf to = {0};
            subscriber_init(&s, &options);
            subscriber_on_ready(&s, 0);
            if (ack == 1) {
                play(&s, (const struct step[]){{subscribed, SUBSCRIBER_NOTHING, NULL},
                                               {message, SUBSCRIBER_DELIVER, NULL},
                                               {NULL, 0, NULL}});
            }
            mem_fault_set(fault, 0);
            rc = subscriber_next(&s, 0, &to);
            mem_fault_set(0, 0);
            buf_deinit(&to);
            assert_true(rc == RC_NOMEM || (rc == RC_OK && fault > 2));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_for_what_it_was_told),
        cmocka_unit_test(what_it_asked_not_to_get_is_not_called_lost),
        cmocka_unit_test(it_resumes_at_epoch_and_seq_after_each_reconnect),
        cmocka_unit_test(anything_but_the_next_seq_is_a_broken_promise),
        cmocka_unit_test(a_start_elsewhere_than_asked_for_must_be_told),
        cmocka_unit_test(told_gaps_and_resets_move_the_cursor),
        cmocka_unit_test(acks_are_cumulative_and_only_for_what_was_delivered),
        cmocka_unit_test(refusals_end_it_unless_waiting_helps),
        cmocka_unit_test(what_it_does_not_know_is_ignored),
        cmocka_unit_test(answers_that_lack_a_member_break_the_protocol),
        cmocka_unit_test(nothing_is_taken_before_the_server_has_subscribed_us),
        cmocka_unit_test(who_begins_at_the_latest_takes_any_seq_as_the_first),
        cmocka_unit_test(waiting_takes_as_long_as_was_asked_for_or_doubles),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
