/* bench/publisher, bench/subscriber: each way of breaking the order is found, once, by its name.
 * Method: a listener that nobody accepts from makes connections possible; what the server says is
 * put into the callbacks by hand. */
#include "bench/publisher.h"
#include "bench/subscriber.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct bench bench;
static struct bench_options options;
static struct bench_subscriber subscriber;
static struct bench_publisher publisher;
static struct histogram latency;

static int setup(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    options = (struct bench_options){
        .codec = "json", .prefix = "t", .command = "", .payload = 40, .batch = 1, .quiet = true};
    options.server_pid = 0;
    (void)snprintf(options.url.host, sizeof(options.url.host), "127.0.0.1");
    (void)snprintf(options.url.port, sizeof(options.url.port), "%u", ntohs(address.sin_port));
    (void)snprintf(options.url.path, sizeof(options.url.path), "/");
    assert_int_equal(bench_init(&bench, &options, &bench_adapter_seriatim, "test"), RC_OK);
    latency = (struct histogram){0};
    *state = (void *)(intptr_t)(listener + 1);
    return 0;
}

static int teardown(void **state)
{
    bench_subscriber_close(&subscriber);
    bench_publisher_close(&publisher);
    bench_deinit(&bench);
    return close((int)(intptr_t)*state - 1);
}

static uint64_t count(enum bench_violation violation)
{
    return bench.violations[violation];
}

/* ---- a subscriber -------------------------------------------------------------------------- */

static void subscribe(uint64_t from, uint64_t next)
{
    const struct bench_subscriber_setup with = {.channel = 4, .from = from, .latency = &latency};
    bench_subscriber_open(&bench, &subscriber, 0, &with);
    const struct bench_event event = {.type = BENCH_EVENT_SUBSCRIBED, .next = next};
    subscriber.conn.setup.on_event(&subscriber.conn, &event);
    assert_true(subscriber.subscribed);
}

static void hear_as(uint64_t seq, uint64_t number, uint32_t channel)
{
    uint8_t payload[40];
    stamp_payload(payload, sizeof(payload));
    stamp_put(payload, &(struct stamp){.number = number, .channel = channel});
    const struct bench_event event = {
        .type = BENCH_EVENT_MESSAGE, .seq = seq, .payload = bytes_of(payload, sizeof(payload))};
    subscriber.conn.setup.on_event(&subscriber.conn, &event);
}

static void hear(uint64_t number)
{
    hear_as(number, number, 4);
}

static void a_good_subscriber_has_nothing_to_complain(void **state)
{
    (void)state;
    subscribe(BENCH_FROM_LATEST, 1);
    for (uint64_t i = 1; i <= 100; i++) {
        hear(i);
    }
    bench_subscriber_settle(&subscriber, 100);
    assert_int_equal(bench_violations(&bench), 0);
    assert_int_equal(bench.counts.delivered, 100);
    assert_int_equal(bench.counts.payload_bytes, 4000);
}

static void a_hole_is_a_gap_and_what_comes_late_out_of_order(void **state)
{
    (void)state;
    subscribe(BENCH_FROM_EARLIEST, 1);
    hear(1);
    hear(4);
    assert_int_equal(count(BENCH_VIOLATION_GAP), 1);
    hear(3);
    assert_int_equal(count(BENCH_VIOLATION_OUT_OF_ORDER), 1);
    assert_int_equal(count(BENCH_VIOLATION_DUPLICATED), 0);
    hear(4);
    hear(1);
    assert_int_equal(count(BENCH_VIOLATION_DUPLICATED), 2);
    assert_int_equal(bench_violations(&bench), 4);
    assert_int_equal(bench.example_count, 4);
}

static void what_is_missing_at_the_end_is_lost(void **state)
{
    (void)state;
    subscribe(BENCH_FROM_LATEST, 1);
    hear(1);
    hear(2);
    bench_subscriber_settle(&subscriber, 5);
    assert_int_equal(count(BENCH_VIOLATION_LOST), 3);
}

static void a_beginning_that_was_not_asked_for_is_a_gap(void **state)
{
    (void)state;
    subscribe(BENCH_FROM_EARLIEST, 3);
    assert_int_equal(count(BENCH_VIOLATION_GAP), 1);
}

static void another_message_than_was_published_there_is_changed(void **state)
{
    (void)state;
    subscribe(BENCH_FROM_LATEST, 1);
    hear_as(1, 1, 5); /* of another channel */
    assert_int_equal(count(BENCH_VIOLATION_CHANGED), 1);
    hear_as(2, 1, 4); /* under another seq */
    assert_int_equal(count(BENCH_VIOLATION_CHANGED), 2);
    const struct bench_event event = {
        .type = BENCH_EVENT_MESSAGE, .seq = 2, .payload = BYTES_LITERAL("\"short\"")};
    subscriber.conn.setup.on_event(&subscriber.conn, &event);
    assert_int_equal(count(BENCH_VIOLATION_CHANGED), 3);
}

/* ---- a publisher --------------------------------------------------------------------------- */

static void open_publisher(bool alone)
{
    const struct bench_publisher_setup with = {.channel_count = 1,
                                               .channel_stride = 1,
                                               .inflight = 4,
                                               .alone = alone,
                                               .latency = &latency};
    assert_true(bench_publisher_open(&bench, &publisher, 0, &with));
}

static void answer(uint64_t id, uint64_t seq)
{
    const struct bench_event event = {
        .type = BENCH_EVENT_PUBLISHED, .id = BENCH_ID_FIRST + id, .seq = seq, .count = 1};
    publisher.conn.setup.on_event(&publisher.conn, &event);
}

/* One answer for a run of them. */
static void answer_run(uint64_t id, uint64_t publishes, uint64_t seq, uint64_t messages)
{
    const struct bench_event event = {.type = BENCH_EVENT_PUBLISHED,
                                      .id = BENCH_ID_FIRST + id,
                                      .seq = seq,
                                      .count = messages,
                                      .more = publishes - 1};
    publisher.conn.setup.on_event(&publisher.conn, &event);
}

static void a_publisher_knows_how_many_are_under_way(void **state)
{
    (void)state;
    open_publisher(true);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(bench_publisher_free(&publisher));
        bench_publisher_send(&publisher, bench_now_ns());
    }
    assert_false(bench_publisher_free(&publisher));
    answer(0, 1);
    assert_true(bench_publisher_free(&publisher));
    answer(1, 2);
    answer(2, 3);
    answer(3, 4);
    bench_publisher_settle(&publisher);
    assert_int_equal(bench_violations(&bench), 0);
    assert_int_equal(bench.counts.acked, 4);
    assert_int_equal(latency.count, 0); /* nothing is measured yet */
}

static void answers_that_cannot_be_are_wrong(void **state)
{
    (void)state;
    open_publisher(true);
    for (unsigned i = 0; i < 4; i++) {
        bench_publisher_send(&publisher, bench_now_ns());
    }
    answer(0, 1);
    answer(0, 1); /* twice */
    answer(9, 2); /* to nothing */
    assert_int_equal(count(BENCH_VIOLATION_ACK), 2);
    answer(1, 3); /* a seq is missing in a channel of its own */
    assert_int_equal(count(BENCH_VIOLATION_ACK), 3);
    answer(2, 3); /* told again */
    assert_int_equal(count(BENCH_VIOLATION_ACK), 4);
    bench_publisher_settle(&publisher); /* the last one has none */
    assert_int_equal(count(BENCH_VIOLATION_UNACKED), 1);
}

static void a_run_answers_each_of_its_publishes(void **state)
{
    (void)state;
    options.cumulative = true;
    open_publisher(true);
    for (unsigned i = 0; i < 4; i++) {
        bench_publisher_send(&publisher, bench_now_ns());
    }
    answer_run(0, 3, 1, 3);
    assert_int_equal(publisher.inflight, 1);
    answer(3, 4);
    bench_publisher_settle(&publisher);
    assert_int_equal(bench_violations(&bench), 0);
    assert_int_equal(bench.counts.acked, 4);
}

static void a_run_that_cannot_be_is_wrong(void **state)
{
    (void)state;
    options.cumulative = true;
    open_publisher(true);
    for (unsigned i = 0; i < 4; i++) {
        bench_publisher_send(&publisher, bench_now_ns());
    }
    answer_run(0, 2, 1, 3); /* more messages than were sent */
    assert_int_equal(count(BENCH_VIOLATION_ACK), 1);
    assert_int_equal(publisher.inflight, 4);
    answer_run(2, 3, 1, 3); /* one more than are under way: the others are answered */
    assert_int_equal(count(BENCH_VIOLATION_ACK), 2);
    assert_int_equal(publisher.inflight, 2);
    answer_run(0, UINT64_MAX, 1, UINT64_MAX); /* more than could be */
    assert_int_equal(count(BENCH_VIOLATION_ACK), 3);
    assert_int_equal(publisher.inflight, 2);
    options.cumulative = false;
    answer_run(0, 2, 3, 2); /* nobody has asked for runs */
    assert_int_equal(count(BENCH_VIOLATION_ACK), 4);
    assert_int_equal(publisher.inflight, 2);
}

/* Ids have a fixed size in a template. */
static void ids_begin_again_before_they_grow(void **state)
{
    (void)state;
    open_publisher(true);
    publisher.next_id = BENCH_ID_END - 2;
    for (unsigned i = 0; i < 4; i++) {
        assert_true(bench_publisher_free(&publisher));
        bench_publisher_send(&publisher, bench_now_ns());
    }
    assert_int_equal(publisher.next_id, BENCH_ID_FIRST + 2);
    const uint64_t span = BENCH_ID_END - BENCH_ID_FIRST;
    answer(span - 2, 1);
    answer(span - 1, 2);
    answer(0, 3);
    answer(1, 4);
    assert_int_equal(bench_violations(&bench), 0);
    assert_int_equal(publisher.inflight, 0);
}

static void in_a_shared_channel_seqs_only_rise(void **state)
{
    (void)state;
    open_publisher(false);
    for (unsigned i = 0; i < 3; i++) {
        bench_publisher_send(&publisher, bench_now_ns());
    }
    answer(0, 10);
    answer(1, 20);
    assert_int_equal(bench_violations(&bench), 0);
    answer(2, 15);
    assert_int_equal(count(BENCH_VIOLATION_ACK), 1);
}

static void latency_counts_from_when_it_was_due_also_behind_the_end(void **state)
{
    (void)state;
    open_publisher(true);
    bench_publisher_send(&publisher, bench_now_ns()); /* due before: not measured */
    bench_window_begin(&bench);
    const uint64_t due = bench.window.began_ns;
    bench_publisher_send(&publisher, due);
    bench_publisher_send(&publisher, due);
    bench_window_end(&bench);
    bench_publisher_send(&publisher, bench.window.ended_ns); /* due behind it: not measured */
    bench.loop.now_ns = due + 5 * BENCH_NS;
    for (unsigned i = 0; i < 4; i++) {
        answer(i, i + 1);
    }
    assert_int_equal(latency.count, 2);
    assert_true(latency.max == 5 * BENCH_NS);
}

static void what_failed_accuses_nobody(void **state)
{
    (void)state;
    open_publisher(true);
    bench_publisher_send(&publisher, bench_now_ns());
    bench_fail(&bench, "the connection is lost");
    bench_publisher_settle(&publisher);
    bench_row(&bench, "x", 1, "");
    assert_int_equal(bench_violations(&bench), 0);
    assert_int_equal(bench.row_count, 0);
}

/* ---- a protocol that tells less ------------------------------------------------------------- */

static struct bench_adapter plain;

static void tell_less(void)
{
    plain = bench_adapter_seriatim;
    plain.seqs = false;
    bench.adapter = &plain;
}

static void without_seqs_the_stamp_alone_says_what_came(void **state)
{
    (void)state;
    tell_less();
    subscribe(BENCH_FROM_LATEST, 0);
    hear_as(0, 7, 4); /* the first one that comes is the first */
    hear_as(0, 8, 4);
    assert_int_equal(bench_violations(&bench), 0);
    hear_as(0, 8, 4);
    assert_int_equal(count(BENCH_VIOLATION_DUPLICATED), 1);
    open_publisher(true);
    bench_publisher_send(&publisher, bench_now_ns());
    answer(0, 0);
    assert_int_equal(count(BENCH_VIOLATION_ACK), 0);
    assert_int_equal(bench.counts.acked, 1);
}

/* One that has seqs must tell them. */
static void an_answer_without_its_seq_is_wrong(void **state)
{
    (void)state;
    open_publisher(true);
    bench_publisher_send(&publisher, bench_now_ns());
    answer(0, 0);
    assert_int_equal(count(BENCH_VIOLATION_ACK), 1);
}

/* It came, changed, in its place: that is told once, and is no gap. */
static void what_was_changed_in_its_place_is_no_gap(void **state)
{
    (void)state;
    subscribe(BENCH_FROM_LATEST, 1);
    hear(1);
    hear_as(2, 2, 5); /* of another channel */
    hear(3);
    hear_as(0, 4, 5);
    assert_int_equal(count(BENCH_VIOLATION_CHANGED), 2);
    assert_int_equal(count(BENCH_VIOLATION_GAP), 0);
    bench_subscriber_settle(&subscriber, 3);
    assert_int_equal(count(BENCH_VIOLATION_LOST), 0);
}

/* More than was published: there is nobody else. */
static void what_nobody_published_is_one_too_many(void **state)
{
    (void)state;
    subscribe(BENCH_FROM_LATEST, 1);
    bench_subscriber_settle(&subscriber, 0); /* nothing, of nothing */
    assert_int_equal(bench_violations(&bench), 0);
    hear(1);
    hear(2);
    bench_subscriber_settle(&subscriber, 1);
    assert_int_equal(bench_violations(&bench), 1);
    struct bench_subscriber never = {0}; /* not opened: a signal came before */
    bench_subscriber_settle(&never, 5);
    assert_int_equal(bench_violations(&bench), 1);
}

static void other_events_are_not_theirs(void **state)
{
    (void)state;
    subscribe(BENCH_FROM_LATEST, 1);
    open_publisher(true);
    const struct bench_event published = {.type = BENCH_EVENT_PUBLISHED, .id = 1, .count = 1};
    subscriber.conn.setup.on_event(&subscriber.conn, &published);
    const struct bench_event ready = {.type = BENCH_EVENT_READY};
    publisher.conn.setup.on_event(&publisher.conn, &ready);
    publisher.made.id_at = 0; /* it has asked for no answers */
    publisher.conn.setup.on_event(&publisher.conn, &published);
    assert_int_equal(bench_violations(&bench), 0);
}

static void a_template_without_a_channel_goes_out_as_it_is(void **state)
{
    (void)state;
    open_publisher(true);
    publisher.made.channel_at = 0;
    struct buf *out = &publisher.conn.out;
    const size_t before = out->size;
    bench_publisher_send(&publisher, bench_now_ns());
    assert_int_equal(out->size - before, publisher.made.frame.size);
}

/* Only so many are told in full. */
static void of_many_violations_some_are_examples(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        bench_violated(&bench, BENCH_VIOLATION_GAP, "number %u", i);
    }
    assert_int_equal(count(BENCH_VIOLATION_GAP), 100);
    assert_int_equal(bench.example_count, BENCH_EXAMPLES);
    assert_string_equal(bench.examples[0], "gaps: number 0");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_good_subscriber_has_nothing_to_complain),
        CASE(a_hole_is_a_gap_and_what_comes_late_out_of_order),
        CASE(what_is_missing_at_the_end_is_lost),
        CASE(a_beginning_that_was_not_asked_for_is_a_gap),
        CASE(another_message_than_was_published_there_is_changed),
        CASE(a_publisher_knows_how_many_are_under_way),
        CASE(answers_that_cannot_be_are_wrong),
        CASE(a_run_answers_each_of_its_publishes),
        CASE(a_run_that_cannot_be_is_wrong),
        CASE(ids_begin_again_before_they_grow),
        CASE(in_a_shared_channel_seqs_only_rise),
        CASE(latency_counts_from_when_it_was_due_also_behind_the_end),
        CASE(what_failed_accuses_nobody),
        CASE(without_seqs_the_stamp_alone_says_what_came),
        CASE(an_answer_without_its_seq_is_wrong),
        CASE(what_was_changed_in_its_place_is_no_gap),
        CASE(what_nobody_published_is_one_too_many),
        CASE(other_events_are_not_theirs),
        CASE(a_template_without_a_channel_goes_out_as_it_is),
        CASE(of_many_violations_some_are_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
