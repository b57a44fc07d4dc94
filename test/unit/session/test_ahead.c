/* Goal: while a chunk is being sent the next one is read, for a connection that takes whole ones,
 * and whatever comes in between (a window, a stall, retention, an end, no memory) nothing is lost,
 * repeated, kept or counted that should not be.
 * Method: stories over the world of memory, which checks every message that arrives. Reads give two
 * messages each, and the feed holds no more than its newest chunk. */
#include "world.h"

#include "base/tune.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NEWEST 1u /* chunk of the feed */

static struct world w;
static unsigned a; /* the channel of these stories */

static int begin(void **state)
{
    (void)state;
    world_init(&w, &(struct world_limits){.feed_bytes_max = 1, .read_bytes_max = 200});
    a = world_channel(&w, "a");
    tune.flow_chunks = 1;
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_deinit(&w);
    tune = tune_default;
    return 0;
}

static void again(void)
{
    world_close(&w, 0);
    world_run(&w);
    world_deinit(&w);
    (void)begin(NULL);
}

/* All but the reads of the log goes its way. */
static void arrive_but_for_reads(void)
{
    while (world_request(&w, a) || world_waiting(&w, a) || world_deliver(&w, a)) {
    }
}

/* The read that is under way is done, and comes. */
static void arrive_one_read(void)
{
    arrive_but_for_reads();
    assert_true(world_job(&w, a, 0));
    assert_true(world_deliver(&w, a));
}

/* A cursor at 1 that has fallen off the feed: messages 1 … 12, and the first read is under way. */
static struct world_client *behind(const char *how)
{
    struct world_client *client = world_connect(&w, 0);
    world_expect(client, "{\"type\":\"connected\"}");
    (void)world_textf(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\"%s}", how);
    world_expect(client, "{\"type\":\"subscribed\",\"id\":2,\"next\":1}");
    world_publish(&w, a, 12, 2);
    arrive_but_for_reads();
    (void)world_pump(client, SIZE_MAX);
    assert_int_equal(w.marks.reads, 1);
    return client;
}

/* … and the first chunk has gone out whole: it flows. Messages 3 and 4 have come, and those that
 * follow are being read. */
static struct world_client *flowing(const char *how)
{
    struct world_client *client = behind(how);
    arrive_one_read();
    assert_int_equal(w.marks.reads, 1); /* nobody knew yet whether it takes a whole one */
    (void)world_pump(client, SIZE_MAX);
    assert_int_equal(client->views[a].expected, 3);
    assert_int_equal(w.marks.reads, 2);
    arrive_one_read();
    assert_int_equal(w.marks.reads, 3); /* asked for before 3 and 4 are sent */
    assert_int_equal(client->views[a].expected, 3);
    return client;
}

static void while_one_chunk_is_sent_the_next_is_read(void **state)
{
    (void)state;
    struct world_client *client = flowing("");
    world_owners_run(&w);
    assert_int_equal(w.marks.reads, 3); /* no further ahead than one */
    assert_int_equal(w.chunks_live, 2 + NEWEST);
    world_expect_messages(client, a, 1, 13);
    assert_int_equal(w.marks.reads, 6); /* two messages each, each once */
}

static void a_chunk_that_is_sent_before_the_next_has_come_waits_for_it(void **state)
{
    (void)state;
    struct world_client *client = flowing("");
    (void)world_pump(client, SIZE_MAX);
    assert_int_equal(client->views[a].expected, 5);
    (void)world_pump(client, SIZE_MAX);
    assert_int_equal(w.marks.reads, 3); /* it is not asked for twice */
    world_expect_messages(client, a, 1, 13);
    assert_int_equal(w.marks.reads, 6);
}

static void nothing_is_read_ahead_of_a_window(void **state)
{
    (void)state;
    struct world_client *client = behind(",\"window\":5");
    client->views[a].window = 5;
    world_expect_messages(client, a, 1, 6);
    assert_int_equal(w.marks.reads, 3); /* 1 and 2, 3 and 4, and 5 alone */
    world_expect_nothing(client);
    client->views[a].acked = 2;
    (void)world_text(client, "{\"type\":\"ack\",\"channel\":\"a\",\"seq\":2}");
    world_expect_messages(client, a, 6, 8);
    world_expect_nothing(client);
    assert_int_equal(w.marks.reads, 4);
}

static void a_stall_lets_go_of_what_was_read_ahead(void **state)
{
    (void)state;
    for (unsigned came = 0; came < 2; came++) {
        struct world_client *client = flowing("");
        if (came == 1) {
            world_owners_run(&w);
            assert_int_equal(w.chunks_live, 2 + NEWEST);
        }
        (void)world_pump(client, 1);
        (void)world_pump(client, 0);
        assert_true(client->want_write);
        assert_true(w.chunks_live <= NEWEST);
        world_owners_run(&w);
        assert_true(w.chunks_live <= NEWEST);
        world_expect_messages(client, a, 1, 13);
        again();
    }
}

/* A connection that takes a chunk and stalls at the next one is read for as if nothing had gone
 * out: with as many whole ones in a row as a server wants it flows, and each stall begins anew. */
static void one_that_stalls_now_and_then_does_not_flow(void **state)
{
    (void)state;
    tune.flow_chunks = 3;
    struct world_client *client = behind("");
    for (uint64_t reads = 1; reads <= 4; reads++) {
        arrive_one_read();
        assert_int_equal(w.marks.reads, reads); /* never ahead */
        if (reads == 3) {
            (void)world_pump(client, 0);
            assert_true(client->want_write);
        }
        (void)world_pump(client, SIZE_MAX);
    }
    world_expect_messages(client, a, 1, 13);
}

/* Also where it was not there when the connection stalled. */
static void a_read_that_comes_for_a_stalled_connection_does_not_flow(void **state)
{
    (void)state;
    struct world_client *client = flowing("");
    tune.flow_chunks = 15;              /* it will have stalled too soon */
    (void)world_pump(client, SIZE_MAX); /* 3 and 4 go out, what follows is waited for */
    assert_int_equal(session_goaway(client->session, "draining", 1), RC_OK);
    (void)world_pump(client, 0);
    assert_true(client->want_write);
    arrive_one_read(); /* and is let go of */
    (void)world_pump(client, SIZE_MAX);
    (void)world_pump(client, SIZE_MAX);
    assert_int_equal(w.marks.reads, 4);
    arrive_one_read();
    assert_int_equal(w.marks.reads, 4); /* not ahead */
    world_expect_messages(client, a, 1, 5);
}

/* It is not asked for a second time while the first is still under way. */
static void after_a_stall_what_is_being_read_ahead_is_waited_for(void **state)
{
    (void)state;
    struct world_client *client = flowing("");
    (void)world_pump(client, 1);
    (void)world_pump(client, 0);
    arrive_but_for_reads();
    (void)world_pump(client, SIZE_MAX);
    (void)world_pump(client, SIZE_MAX);
    assert_int_equal(client->views[a].expected, 4); /* the one that had been cut */
    assert_int_equal(w.marks.reads, 3);
    assert_int_equal(world_job_count(&w, a), 1);
    world_expect_messages(client, a, 1, 13);
}

/* What is not there any more is told when the cursor comes to it, and not before. */
static void what_cannot_be_read_ahead_is_told_in_its_place(void **state)
{
    (void)state;
    struct world_client *client = flowing(",\"on_gap\":\"reset\"");
    world_trim(&w, a, 8);
    world_owners_run(&w);
    world_expect_messages(client, a, 1, 5);
    world_expect(client, "{\"type\":\"gap\",\"from\":5,\"to\":7,\"reason\":\"trimmed\"}");
    world_expect_messages(client, a, 8, 13);
}

static void a_subscription_may_end_with_a_read_ahead(void **state)
{
    (void)state;
    for (unsigned came = 0; came < 2; came++) {
        struct world_client *client = flowing("");
        if (came == 1) {
            world_owners_run(&w);
        }
        (void)world_text(client, "{\"type\":\"unsubscribe\",\"id\":3,\"channel\":\"a\"}");
        assert_true(w.chunks_live <= NEWEST);
        world_expect_messages(client, a, 1, 3);
        world_expect(client, "{\"type\":\"unsubscribed\",\"id\":3}");
        (void)world_text(client, "{\"type\":\"subscribe\",\"id\":4,\"channel\":\"a\","
                                 "\"from\":\"earliest\"}");
        world_expect(client, "{\"type\":\"subscribed\",\"id\":4}");
        world_expect_messages(client, a, 1, 13);
        again();
    }
}

static void without_memory_nothing_is_read_ahead(void **state)
{
    (void)state;
    struct world_client *client = behind("");
    arrive_one_read();
    (void)world_pump(client, SIZE_MAX);
    w.read_nomem = true;
    arrive_one_read();
    assert_int_equal(w.marks.reads, 2);
    w.read_nomem = false;
    world_expect_messages(client, a, 1, 13);
}

/* All reads of the one session that are under way. */
static unsigned under_way(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < w.channel_count; i++) {
        while (world_request(&w, i) || world_waiting(&w, i)) {
        }
        count += world_job_count(&w, i);
    }
    return count;
}

/* [I11] Each read counts, also one ahead, until what it gave has been sent. */
static void what_is_read_ahead_counts_as_a_read(void **state)
{
    (void)state;
    enum { CHANNELS = 6, READS_MAX = 4 };
    struct world_client *client = flowing("");
    for (unsigned i = 1; i < CHANNELS; i++) {
        const char name[] = {(char)('a' + (int)i), '\0'};
        world_publish(&w, world_channel(&w, name), 8, 2);
        (void)world_textf(
            client, "{\"type\":\"subscribe\",\"channel\":\"%s\",\"from\":\"earliest\"}", name);
    }
    unsigned most = 0;
    for (unsigned turn = 0; turn < 200; turn++) {
        const unsigned count = under_way();
        most = count > most ? count : most;
        assert_true(count <= READS_MAX && w.chunks_live + count <= READS_MAX + NEWEST);
        (void)world_job(&w, turn % CHANNELS, 0);
        (void)world_deliver(&w, turn % CHANNELS);
        if (turn % 3 == 2) {
            (void)world_pump(client, SIZE_MAX);
        }
    }
    assert_int_equal(most, READS_MAX);
    world_run(&w);
    for (unsigned i = 0; i < CHANNELS; i++) {
        assert_int_equal(client->views[i].expected, i == 0 ? 13 : 9);
    }
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        STORY(while_one_chunk_is_sent_the_next_is_read),
        STORY(a_chunk_that_is_sent_before_the_next_has_come_waits_for_it),
        STORY(nothing_is_read_ahead_of_a_window),
        STORY(a_stall_lets_go_of_what_was_read_ahead),
        STORY(one_that_stalls_now_and_then_does_not_flow),
        STORY(a_read_that_comes_for_a_stalled_connection_does_not_flow),
        STORY(after_a_stall_what_is_being_read_ahead_is_waited_for),
        STORY(what_cannot_be_read_ahead_is_told_in_its_place),
        STORY(a_subscription_may_end_with_a_read_ahead),
        STORY(without_memory_nothing_is_read_ahead),
        STORY(what_is_read_ahead_counts_as_a_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
