/* Goal: a cursor gets its messages from the feed or from the log, in order, under its window, and
 * is told by name of what it cannot have; answers to what has ended harm nobody.
 * Method: stories over the world of memory, which checks every message that arrives. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

static struct world w;
static unsigned a; /* the channel of these stories */

static int begin_with(const struct world_limits *limits)
{
    world_init(&w, limits);
    a = world_channel(&w, "a");
    return 0;
}

static int begin(void **state)
{
    (void)state;
    return begin_with(&(struct world_limits){0});
}

/* A feed that holds one chunk of a message or so, and reads that give two messages. */
static int begin_tiny(void **state)
{
    (void)state;
    return begin_with(&(struct world_limits){.feed_bytes_max = 1, .read_bytes_max = 200});
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
    world_expect(client, "{\"type\":\"connected\"}");
    return client;
}

/* `how` are the members behind the channel. */
static struct world_client *subscribed(unsigned nth, const char *how, uint64_t next)
{
    struct world_client *client = connected(nth);
    char reply[80];
    (void)world_textf(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\"%s}", how);
    (void)snprintf(reply, sizeof(reply), "{\"type\":\"subscribed\",\"id\":2,\"next\":%llu}",
                   (unsigned long long)next);
    world_expect(client, reply);
    return client;
}

static void ack(struct world_client *client, uint64_t seq)
{
    if (seq > client->views[a].acked) {
        client->views[a].acked = seq;
    }
    (void)world_textf(client, "{\"type\":\"ack\",\"id\":9,\"channel\":\"a\",\"seq\":%llu}",
                      (unsigned long long)seq);
}

/* The mail of the channel up to here has arrived, nothing has been sent. */
static void arrive(void)
{
    world_owners_run(&w);
}

/* ---- the feed ---------------------------------------------------------------------------------
 */

static void followers_of_one_feed_get_the_same_and_never_read_the_log(void **state)
{
    (void)state;
    struct world_client *one = subscribed(0, "", 1);
    struct world_client *two = subscribed(1, "", 1);
    for (uint64_t seq = 1; seq < 40; seq += 4) {
        world_publish(&w, a, 3, 2);
        arrive(); /* two tails at once, and a trim before anything was sent */
        feed_table_trim(&w.feeds);
        world_publish(&w, a, 1, 1);
        world_expect_messages(one, a, seq, seq + 4);
        world_expect_messages(two, a, seq, seq + 4);
    }
    assert_int_equal(w.marks.reads, 0);
    feed_table_trim(&w.feeds);
    assert_int_equal(w.chunks_live, 0); /* all have it: nobody keeps it */
}

static void a_feed_ends_with_its_last_subscription(void **state)
{
    (void)state;
    struct world_client *one = subscribed(0, "", 1);
    (void)subscribed(1, "", 1);
    (void)world_text(one, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
    assert_int_equal(w.detach_count, 0);
    world_close(&w, 1);
    assert_int_equal(w.detach_count, 1);
    world_run(&w);
    assert_false(w.channels[a].watched);
    world_publish(&w, a, 3, 1); /* for nobody */
    world_expect(one, "{\"type\":\"unsubscribed\",\"id\":3}");
    world_expect_nothing(one);
}

static void a_feed_keeps_nothing_for_one_that_has_left(void **state)
{
    (void)state;
    struct world_client *one = subscribed(0, "", 1);
    struct world_client *two = subscribed(1, "", 1);
    world_publish(&w, a, 6, 2);
    arrive();
    world_expect_messages(one, a, 1, 7);
    world_publish(&w, a, 6, 2);
    arrive();
    (void)world_pump(one, SIZE_MAX); /* and `two` has taken all of the first, none of these */
    feed_table_trim(&w.feeds);
    assert_int_equal(w.chunks_live, 3);
    (void)world_text(two, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
    feed_table_trim(&w.feeds);
    assert_int_equal(w.chunks_live, 0);
}

/* [I11] many channels with stalled followers share one bound; over it the newest chunk is left. */
static void the_feeds_of_all_channels_share_a_bound(void **state)
{
    (void)state;
    world_deinit(&w);
    (void)begin_with(&(struct world_limits){.table_bytes_max = 1});
    struct world_client *client = subscribed(0, "", 1);
    const unsigned b = world_channel(&w, "b");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":3,\"channel\":\"b\"}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":3}");
    world_publish(&w, a, 12, 2);
    world_publish(&w, b, 12, 2);
    arrive();
    assert_int_equal(w.chunks_live, 1);
    assert_null(feed_chunk_of(feed_find(&w.feeds, WIRE_JSON, bytes_of_text("a")), 12));
    assert_non_null(feed_chunk_of(feed_find(&w.feeds, WIRE_JSON, bytes_of_text("b")), 12));
    world_run(&w);
    assert_int_equal(client->views[a].expected, 13);
    assert_int_equal(client->views[b].expected, 13);
}

static void one_that_comes_later_reads_what_the_feed_no_longer_has(void **state)
{
    (void)state;
    struct world_client *one = subscribed(0, "", 1);
    world_publish(&w, a, 9, 4);
    world_expect_messages(one, a, 1, 10);
    struct world_client *two = subscribed(1, ",\"from\":{\"seq\":4}", 4);
    world_expect_messages(two, a, 4, 10);
    assert_int_equal(w.marks.reads, 1);
    world_publish(&w, a, 5, 5);
    world_expect_messages(one, a, 10, 15);
    world_expect_messages(two, a, 10, 15);
    assert_int_equal(w.marks.reads, 1); /* it has joined the tail */
}

static void one_that_falls_off_the_feed_reads_and_joins_again(void **state)
{
    (void)state;
    struct world_client *client = subscribed(0, "", 1);
    world_publish(&w, a, 20, 3);
    arrive(); /* only the newest chunk stays */
    assert_int_equal(w.chunks_live, 1);
    world_expect_messages(client, a, 1, 21);
    assert_true(w.marks.reads >= 6);
    const uint64_t reads = w.marks.reads;
    world_publish(&w, a, 1, 1);
    world_expect_messages(client, a, 21, 22);
    assert_int_equal(w.marks.reads, reads);
}

static void a_tail_for_a_feed_that_is_not_attached_yet_is_left_alone(void **state)
{
    (void)state;
    struct world_client *client = subscribed(0, "", 1);
    (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
    world_publish(&w, a, 2, 2); /* the owner has not heard of the end: the tail comes */
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":4,\"channel\":\"a\"}");
    world_expect(client, "{\"type\":\"unsubscribed\",\"id\":3}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":4,\"next\":3}");
    world_publish(&w, a, 1, 1);
    world_expect_messages(client, a, 3, 4);
}

/* ---- answers that come late -------------------------------------------------------------------
 */

static void an_answer_to_an_ended_subscription_is_not_for_the_next_one(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    world_publish(&w, a, 3, 3);
    (void)world_text(client,
                     "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\",\"from\":\"earliest\"}");
    while (world_request(&w, a) || world_waiting(&w, a)) {
    } /* the first answer is on its way */
    (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":4,\"channel\":\"a\"}");
    world_publish(&w, a, 2, 1); /* a tail for the first */
    world_expect(client, "{\"type\":\"error\",\"id\":2,\"code\":\"not_subscribed\"}");
    world_expect(client, "{\"type\":\"unsubscribed\",\"id\":3}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":4,\"next\":6}");
    world_publish(&w, a, 1, 1);
    world_expect_messages(client, a, 6, 7);
    world_expect_nothing(client);
}

static void an_answer_that_was_overtaken_is_not_for_a_later_feed(void **state)
{
    (void)state;
    struct world_client *client = connected(0);
    world_publish(&w, a, 3, 3);
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\","
                             "\"from\":{\"time\":1}}"); /* searched for in the log */
    (void)world_request(&w, a);
    (void)world_waiting(&w, a);
    assert_int_equal(world_job_count(&w, a), 1);
    (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":4,\"channel\":\"a\"}");
    while (world_request(&w, a) || world_waiting(&w, a)) {
    }
    world_publish(&w, a, 2, 1);
    (void)world_job(&w, a, 0); /* the search is done last */
    world_publish(&w, a, 1, 1);
    world_expect(client, "{\"type\":\"error\",\"id\":2,\"code\":\"not_subscribed\"}");
    world_expect(client, "{\"type\":\"unsubscribed\",\"id\":3}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":4,\"next\":4}");
    world_expect_messages(client, a, 4, 7);
    world_expect_nothing(client);
}

static void a_read_for_an_ended_subscription_is_let_go_of(void **state)
{
    (void)state;
    struct world_client *client = subscribed(0, "", 1);
    world_publish(&w, a, 9, 1);
    arrive();
    (void)world_pump(client, SIZE_MAX); /* asks for a read */
    assert_int_equal(w.marks.reads, 1);
    (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
    (void)world_text(client,
                     "{\"type\":\"subscribe\",\"id\":4,\"channel\":\"a\",\"from\":{\"seq\":5}}");
    world_expect(client, "{\"type\":\"unsubscribed\",\"id\":3}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":4,\"next\":5}");
    world_expect_messages(client, a, 5, 10);
}

static void a_session_may_close_in_every_state(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 12; steps++) {
        struct world_client *client = connected(0);
        world_publish(&w, a, 6, 1);
        (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\","
                                 "\"from\":\"earliest\"}");
        for (unsigned i = 0; i < steps; i++) {
            (void)world_request(&w, a);
            (void)world_waiting(&w, a);
            (void)world_job(&w, a, 0);
            (void)world_deliver(&w, a);
            (void)world_pump(client, i % 2 == 0 ? 0 : 150);
        }
        world_close(&w, 0);
        world_run(&w);
        assert_int_equal(w.chunks_live, 0);
        assert_null(feed_find(&w.feeds, WIRE_JSON, BYTES_LITERAL("a")));
    }
    assert_true(w.marks.late > 0);
}

/* ---- windows ----------------------------------------------------------------------------------
 */

static void the_window_bounds_what_is_unacknowledged(void **state)
{
    (void)state;
    struct world_client *client = subscribed(0, ",\"window\":4", 1);
    client->views[a].window = 4;
    world_publish(&w, a, 20, 7);
    world_expect_messages(client, a, 1, 5);
    world_expect_nothing(client);
    ack(client, 1); /* one makes room for one */
    world_expect_messages(client, a, 5, 6);
    world_expect_nothing(client);
    ack(client, 6); /* not sent yet */
    world_expect(client, "{\"type\":\"error\",\"id\":9,\"code\":\"bad_request\"}");
    world_expect_nothing(client);
    ack(client, 5);
    world_expect_messages(client, a, 6, 10);
    ack(client, 5); /* the same again */
    ack(client, 3); /* an older one */
    world_expect_nothing(client);
    ack(client, 9);
    world_expect_messages(client, a, 10, 14);
    world_expect_nothing(client);
}

static void an_acknowledgement_before_anything_was_sent_is_refused(void **state)
{
    (void)state;
    world_publish(&w, a, 5, 5);
    struct world_client *client = connected(0);
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\"}");
    ack(client, 1); /* no answer yet */
    world_expect(client, "{\"type\":\"error\",\"id\":9,\"code\":\"not_subscribed\"}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":2,\"next\":6}");
    ack(client, 6);
    world_expect(client, "{\"type\":\"error\",\"id\":9,\"code\":\"bad_request\"}");
    ack(client, 5); /* older than where it began: ignored */
    world_expect_nothing(client);
}

static void a_window_holds_while_reading_the_log_too(void **state)
{
    (void)state;
    world_publish(&w, a, 20, 20);
    struct world_client *client =
        subscribed(0, ",\"window\":3,\"from\":\"earliest\"", 1); /* nothing in the feed */
    client->views[a].window = 3;
    for (uint64_t seq = 1; seq < 19; seq += 3) {
        world_expect_messages(client, a, seq, seq + 3);
        world_expect_nothing(client);
        assert_int_equal(w.chunks_live, 0); /* it waits as a cursor, not as bytes */
        ack(client, seq + 2);
    }
    world_expect_messages(client, a, 19, 21);
    world_publish(&w, a, 9, 2);
    world_expect_messages(client, a, 21, 22);
    world_expect_nothing(client);
}

/* ---- holes ------------------------------------------------------------------------------------
 */

/* A cursor at 1 that has fallen off the feed: messages 1 … 12, a read is due. */
static struct world_client *behind(const char *how)
{
    struct world_client *client = subscribed(0, how, 1);
    world_publish(&w, a, 12, 2);
    arrive();
    return client;
}

static void retention_that_overtakes_a_cursor_is_told_as_a_gap(void **state)
{
    (void)state;
    struct world_client *client = behind(",\"on_gap\":\"reset\",\"window\":4");
    client->views[a].window = 4;
    world_trim(&w, a, 6);
    world_expect(client, "{\"type\":\"gap\",\"channel\":\"a\",\"from\":1,\"to\":5,"
                         "\"reason\":\"trimmed\"}");
    world_expect_messages(client, a, 6, 10); /* the window is whole again */
    world_expect_nothing(client);
    ack(client, 5); /* as if all of the gap had been acknowledged: ignored */
    world_expect_nothing(client);
    ack(client, 9);
    world_expect_messages(client, a, 10, 13);
    assert_int_equal(w.marks.gaps, 1);
}

static void retention_that_overtakes_a_cursor_ends_it_where_asked_for(void **state)
{
    (void)state;
    struct world_client *client = behind("");
    world_trim(&w, a, 6);
    world_expect(client, "{\"type\":\"unsubscribed\",\"channel\":\"a\",\"reason\":\"gap\","
                         "\"from\":1,\"to\":5,\"earliest\":6,\"latest\":12}");
    world_publish(&w, a, 3, 1);
    world_expect_nothing(client);
    ack(client, 1);
    world_expect(client, "{\"type\":\"error\",\"id\":9,\"code\":\"not_subscribed\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":3,\"channel\":\"a\","
                             "\"from\":{\"seq\":6}}");
    world_expect(client, "{\"type\":\"subscribed\",\"id\":3,\"next\":6}");
    world_expect_messages(client, a, 6, 16);
}

static void when_nothing_is_kept_the_cursor_goes_on_with_the_next_message(void **state)
{
    (void)state;
    struct world_client *client = behind(",\"on_gap\":\"reset\"");
    world_trim(&w, a, 13);
    world_expect(client, "{\"type\":\"gap\",\"from\":1,\"to\":12,\"reason\":\"trimmed\"}");
    world_expect_nothing(client);
    world_publish(&w, a, 2, 1);
    world_expect_messages(client, a, 13, 15);
}

static void damage_is_told_and_passed_over(void **state)
{
    (void)state;
    struct world_client *client = behind(",\"on_gap\":\"reset\"");
    w.channels[a].damaged_from = 3;
    w.channels[a].damaged_to = 7;
    world_expect_messages(client, a, 1, 3);
    world_expect(client, "{\"type\":\"gap\",\"from\":3,\"to\":7,\"reason\":\"damaged\"}");
    world_expect_messages(client, a, 8, 13);
    assert_int_equal(w.marks.reads_damaged, 1);
}

static void damage_ends_a_subscription_where_asked_for(void **state)
{
    (void)state;
    struct world_client *client = behind("");
    w.channels[a].damaged_from = 3;
    w.channels[a].damaged_to = 12; /* up to the very end */
    world_expect_messages(client, a, 1, 3);
    world_expect(client, "{\"type\":\"unsubscribed\",\"reason\":\"gap\",\"from\":3,\"to\":12}");
    world_expect_nothing(client);
}

static void a_log_that_cannot_be_read_ends_the_subscription_by_name(void **state)
{
    (void)state;
    struct world_client *client = behind(",\"on_gap\":\"reset\"");
    w.fail_reads = true;
    world_expect(client,
                 "{\"type\":\"unsubscribed\",\"channel\":\"a\",\"reason\":\"unavailable\"}");
    world_publish(&w, a, 2, 1);
    world_expect_nothing(client);
}

/* ---- slow ones --------------------------------------------------------------------------------
 */

static struct world_client *slow(const char *how, enum wire_when_slow when_slow)
{
    struct world_client *client = behind(how);
    client->views[a].when_slow = when_slow;
    return client;
}

static void a_slow_one_skips_to_the_newest_and_is_told(void **state)
{
    (void)state;
    struct world_client *client = slow(",\"when_slow\":\"skip\"", WIRE_SKIP);
    world_expect(client,
                 "{\"type\":\"gap\",\"channel\":\"a\",\"from\":1,\"to\":11,\"reason\":\"slow\"}");
    world_expect_messages(client, a, 12, 13);
    assert_int_equal(w.marks.reads, 1);
    world_publish(&w, a, 1, 1); /* it follows again */
    world_expect_messages(client, a, 13, 14);
    assert_int_equal(w.marks.reads, 1);
    world_publish(&w, a, 9, 2); /* and is slow again */
    arrive();
    world_expect(client, "{\"type\":\"gap\",\"from\":14,\"to\":21,\"reason\":\"slow\"}");
    world_expect_messages(client, a, 22, 23);
    world_expect_nothing(client);
}

static void one_that_is_overtaken_by_a_single_message_skips_nothing(void **state)
{
    (void)state;
    struct world_client *client = subscribed(0, ",\"when_slow\":\"skip\"", 1);
    client->views[a].when_slow = WIRE_SKIP;
    world_publish(&w, a, 2, 1);
    arrive();
    world_expect(client, "{\"type\":\"gap\",\"from\":1,\"to\":1,\"reason\":\"slow\"}");
    world_expect_messages(client, a, 2, 3);
    world_publish(&w, a, 1, 1);
    arrive();
    world_expect_messages(client, a, 3, 4);
    assert_int_equal(w.marks.skipped, 1);
}

/* Being slow begins where following has begun. */
static void what_stood_there_at_the_start_comes_complete_however_slow_one_is(void **state)
{
    static const char *const names[] = {"skip", "conflate"};
    (void)state;
    world_publish(&w, a, 20, 3);
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t end = w.channels[a].latest + 1;
        struct world_client *client = connected(i);
        client->views[a].when_slow = i == 0 ? WIRE_SKIP : WIRE_CONFLATE;
        (void)world_textf(client,
                          "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\","
                          "\"from\":\"earliest\",\"when_slow\":\"%s\"}",
                          names[i]);
        arrive();
        world_publish(&w, a, 9, 2); /* it reads, and does not follow yet */
        arrive();
        world_expect(client, "{\"type\":\"subscribed\",\"id\":2}");
        world_expect_messages(client, a, 1, end + 9);
        world_expect_nothing(client);
        world_close(&w, i);
    }
    assert_int_equal(w.marks.skipped + w.marks.conflated, 0);
}

/* Messages 1 … 12: a a - a, b b b -, and so on (world_key()). */
static void a_slow_one_gets_the_newest_of_each_key(void **state)
{
    (void)state;
    struct world_client *client = slow(",\"when_slow\":\"conflate\"", WIRE_CONFLATE);
    world_expect(client, "{\"type\":\"gap\",\"from\":1,\"to\":2,\"reason\":\"conflated\"}");
    world_expect_messages(client, a, 3,
                          5); /* 4 has no key: it replaces none, and none replaces it */
    world_expect(client, "{\"type\":\"gap\",\"from\":5,\"to\":6,\"reason\":\"conflated\"}");
    world_expect_messages(client, a, 7, 9);
    world_expect(client, "{\"type\":\"gap\",\"from\":9,\"to\":10,\"reason\":\"conflated\"}");
    world_expect_messages(client, a, 11, 13);
    world_publish(&w, a, 1, 1);
    world_expect_messages(client, a, 13, 14);
    assert_int_equal(w.marks.reads, 1);
}

/* [P 7] a gap counts as acknowledged, and all before it. */
static void a_window_holds_while_conflating(void **state)
{
    (void)state;
    struct world_client *client = slow(",\"window\":2,\"when_slow\":\"conflate\"", WIRE_CONFLATE);
    client->views[a].window = 2;
    world_expect(client, "{\"type\":\"gap\",\"from\":1,\"to\":2,\"reason\":\"conflated\"}");
    world_expect_messages(client, a, 3, 5);
    world_expect_nothing(client);
    ack(client, 1); /* in the gap: ignored */
    world_expect_nothing(client);
    ack(client, 4);
    world_expect(client, "{\"type\":\"gap\",\"from\":5,\"to\":6,\"reason\":\"conflated\"}");
    world_expect_messages(client, a, 7, 9);
    world_expect_nothing(client);
    assert_int_equal(w.chunks_live, 0); /* it waits as a cursor */
}

/* A window of one, and a gap of one: what is told needs no acknowledgement of its own. */
static void a_gap_takes_no_room_in_the_window(void **state)
{
    (void)state;
    struct world_client *client = subscribed(0, ",\"window\":1,\"when_slow\":\"skip\"", 1);
    client->views[a].window = 1;
    client->views[a].when_slow = WIRE_SKIP;
    world_publish(&w, a, 2, 1);
    arrive();
    world_expect(client, "{\"type\":\"gap\",\"from\":1,\"to\":1,\"reason\":\"slow\"}");
    world_expect_messages(client, a, 2, 3);
}

/* What is left out anyway need not be there; only what was asked for and is gone ends it. */
static void retention_harms_one_that_skips_only_if_nothing_is_left(void **state)
{
    (void)state;
    struct world_client *client = slow(",\"when_slow\":\"skip\"", WIRE_SKIP);
    world_trim(&w, a, 6);
    world_expect(client, "{\"type\":\"gap\",\"from\":1,\"to\":11,\"reason\":\"slow\"}");
    world_expect_messages(client, a, 12, 13);
    world_publish(&w, a, 12, 2);
    arrive();
    world_trim(&w, a, 25);
    world_expect(client, "{\"type\":\"unsubscribed\",\"reason\":\"gap\",\"from\":13,\"to\":24}");
}

static void a_stall_in_a_gap_or_behind_it_tells_on_from_there(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < 400; bytes += 7) {
        struct world_client *client = slow(",\"when_slow\":\"conflate\"", WIRE_CONFLATE);
        const uint64_t latest = w.channels[a].latest;
        (void)world_pump(client, 0);
        arrive();
        (void)world_pump(client, bytes);
        world_run(&w); /* the world checks what comes */
        assert_int_equal(client->views[a].expected, latest + 1);
        world_close(&w, 0);
        world_run(&w);
        world_deinit(&w);
        (void)begin_tiny(NULL);
    }
}

/* ---- stalls -----------------------------------------------------------------------------------
 */

static void a_stall_in_any_state_loses_nothing_and_keeps_no_bytes_of_its_own(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 14; steps++) {
        struct world_client *client = behind(",\"from\":{\"seq\":1}");
        for (unsigned i = 0; i < steps; i++) {
            (void)world_request(&w, a);
            (void)world_waiting(&w, a);
            (void)world_job(&w, a, 0);
            (void)world_deliver(&w, a);
            (void)world_pump(client, i % 3 * 70);
        }
        for (unsigned i = 0; i < 3; i++) {
            (void)world_pump(client, 0);
            arrive();
        }
        (void)world_pump(client, 0);
        assert_true(w.chunks_live <= 1); /* the feed's newest */
        world_expect_messages(client, a, 1, 13);
        world_close(&w, 0);
        world_run(&w);
        world_deinit(&w);
        (void)begin_tiny(NULL);
    }
}

static void what_is_read_for_a_stalled_socket_is_let_go_of(void **state)
{
    (void)state;
    struct world_client *client = behind("");
    assert_int_equal(session_goaway(client->session, "draining", 1), RC_OK);
    (void)world_pump(client, 0); /* asks for a read, and finds that nothing can go out */
    assert_true(client->want_write);
    assert_int_equal(w.marks.reads, 1);
    arrive();
    assert_int_equal(w.chunks_live, 1); /* the feed's newest, and not what was read */
    world_expect(client, "{\"type\":\"goaway\"}");
    world_expect_messages(client, a, 1, 13);
}

/* [I11] a thousand subscriptions must not hold a thousand reads. */
static void only_a_few_reads_of_one_session_are_under_way_or_held(void **state)
{
    (void)state;
    enum { CHANNELS = 12, HELD_MAX = 4 };
    w.env.subscriptions_max = CHANNELS;
    struct world_client *client = connected(0);
    for (unsigned i = 0; i < CHANNELS; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "c%u", i);
        world_publish(&w, world_channel(&w, name), 7, 7);
        (void)world_textf(
            client, "{\"type\":\"subscribe\",\"channel\":\"%s\",\"from\":\"earliest\"}", name);
    }
    arrive();
    (void)world_pump(client, SIZE_MAX);
    assert_int_equal(w.marks.reads, HELD_MAX);
    arrive();
    assert_int_equal(w.chunks_live, HELD_MAX);
    (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"c0\"}");
    assert_int_equal(w.chunks_live, HELD_MAX - 1);
    world_run(&w);
    for (unsigned i = 0; i < w.channel_count; i++) {
        const struct world_view *view = &client->views[i];
        assert_true(!view->on || view->expected == 8); /* each has its turn */
    }
    assert_int_equal(w.marks.messages, 7 * (CHANNELS - 1));
}

/* All but the reads of the log goes its way. */
static void arrive_but_for_reads(void)
{
    while (world_request(&w, a) || world_waiting(&w, a) || world_deliver(&w, a)) {
    }
}

/* [I11], [I12] nor may one that subscribes and unsubscribes put ever more of them before others'.
 */
static void a_read_counts_until_it_is_back_though_its_subscription_has_ended(void **state)
{
    (void)state;
    enum { ROUNDS = 20, HELD_MAX = 4 };
    struct world_client *client = connected(0);
    world_publish(&w, a, 9, 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        (void)world_text(client,
                         "{\"type\":\"subscribe\",\"channel\":\"a\",\"from\":\"earliest\"}");
        arrive_but_for_reads();
        (void)world_pump(client, SIZE_MAX); /* asks for a read, if it may */
        (void)world_text(client, "{\"type\":\"unsubscribe\",\"channel\":\"a\"}");
    }
    assert_int_equal(w.marks.reads, HELD_MAX);
    assert_int_equal(world_job_count(&w, a), HELD_MAX);
    (void)world_text(client,
                     "{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\",\"from\":{\"seq\":2}}");
    arrive_but_for_reads();
    (void)world_pump(client, SIZE_MAX);
    assert_int_equal(w.marks.reads, HELD_MAX); /* it waits for one of them … */
    world_run(&w);
    assert_int_equal(client->views[a].expected, 10); /* … and goes on by itself */
}

static void a_read_refused_for_want_of_memory_is_tried_again_at_the_next_write(void **state)
{
    (void)state;
    struct world_client *client = behind("");
    w.read_nomem = true;
    world_expect_nothing(client);
    w.read_nomem = false;
    (void)world_pump(client, SIZE_MAX); /* the ping of a silent connection */
    world_expect_messages(client, a, 1, 13);
}

/* A reader that has nearly caught up joins a tail that never pauses, instead of reading for ever
 * what the feed has just let go of. */
static void a_reader_joins_a_tail_that_never_pauses(void **state)
{
    (void)state;
    world_publish(&w, a, 50, 50);
    struct world_client *client = connected(0);
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\","
                             "\"from\":\"earliest\"}");
    for (unsigned turn = 0; turn < 300; turn++) {
        (void)world_request(&w, a);
        (void)world_job(&w, a, 0); /* a read takes a turn */
        (void)world_waiting(&w, a);
        world_publish(&w, a, 1, 1);
        while (world_deliver(&w, a)) {
        }
        (void)world_pump(client, SIZE_MAX);
        feed_table_trim(&w.feeds);
        assert_true(w.chunks_live < 10);
    }
    assert_true(w.marks.reads < 5);
    assert_true(client->views[a].expected > 345);
}

/* A channel that always has more must not keep the others of its connection waiting. */
static void channels_of_one_connection_take_turns(void **state)
{
    (void)state;
    const unsigned b = world_channel(&w, "b");
    w.limits.gather_bytes_max = 300;
    struct world_client *client = connected(0);
    (void)world_text(client, "{\"type\":\"subscribe\",\"channel\":\"a\"}");
    (void)world_text(client, "{\"type\":\"subscribe\",\"channel\":\"b\"}");
    world_run(&w);
    world_publish(&w, a, 100, 4);
    arrive();
    (void)world_pump(client, 100);
    world_publish(&w, b, 1, 1);
    arrive();
    for (unsigned turn = 0; client->views[b].messages == 0; turn++) {
        assert_true(turn < 6);
        (void)world_pump(client, 350);
        world_publish(&w, a, 4, 4);
        arrive();
    }
}

int main(void)
{
#define STORY(name)      cmocka_unit_test_setup_teardown(name, begin, end)
#define TINY_STORY(name) cmocka_unit_test_setup_teardown(name, begin_tiny, end)
    const struct CMUnitTest tests[] = {
        STORY(followers_of_one_feed_get_the_same_and_never_read_the_log),
        STORY(a_feed_ends_with_its_last_subscription),
        STORY(a_feed_keeps_nothing_for_one_that_has_left),
        STORY(the_feeds_of_all_channels_share_a_bound),
        STORY(one_that_comes_later_reads_what_the_feed_no_longer_has),
        TINY_STORY(one_that_falls_off_the_feed_reads_and_joins_again),
        STORY(a_tail_for_a_feed_that_is_not_attached_yet_is_left_alone),
        STORY(an_answer_to_an_ended_subscription_is_not_for_the_next_one),
        STORY(an_answer_that_was_overtaken_is_not_for_a_later_feed),
        TINY_STORY(a_read_for_an_ended_subscription_is_let_go_of),
        TINY_STORY(a_session_may_close_in_every_state),
        STORY(the_window_bounds_what_is_unacknowledged),
        STORY(an_acknowledgement_before_anything_was_sent_is_refused),
        TINY_STORY(a_window_holds_while_reading_the_log_too),
        TINY_STORY(retention_that_overtakes_a_cursor_is_told_as_a_gap),
        TINY_STORY(retention_that_overtakes_a_cursor_ends_it_where_asked_for),
        TINY_STORY(when_nothing_is_kept_the_cursor_goes_on_with_the_next_message),
        TINY_STORY(damage_is_told_and_passed_over),
        TINY_STORY(damage_ends_a_subscription_where_asked_for),
        TINY_STORY(a_log_that_cannot_be_read_ends_the_subscription_by_name),
        TINY_STORY(a_slow_one_skips_to_the_newest_and_is_told),
        TINY_STORY(one_that_is_overtaken_by_a_single_message_skips_nothing),
        TINY_STORY(what_stood_there_at_the_start_comes_complete_however_slow_one_is),
        TINY_STORY(a_slow_one_gets_the_newest_of_each_key),
        TINY_STORY(a_window_holds_while_conflating),
        TINY_STORY(a_gap_takes_no_room_in_the_window),
        TINY_STORY(retention_harms_one_that_skips_only_if_nothing_is_left),
        TINY_STORY(a_stall_in_a_gap_or_behind_it_tells_on_from_there),
        TINY_STORY(what_is_read_for_a_stalled_socket_is_let_go_of),
        STORY(only_a_few_reads_of_one_session_are_under_way_or_held),
        STORY(a_read_counts_until_it_is_back_though_its_subscription_has_ended),
        TINY_STORY(a_read_refused_for_want_of_memory_is_tried_again_at_the_next_write),
        STORY(a_reader_joins_a_tail_that_never_pauses),
        STORY(channels_of_one_connection_take_turns),
        TINY_STORY(a_stall_in_any_state_loses_nothing_and_keeps_no_bytes_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
