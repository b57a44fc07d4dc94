#include "bench/subscriber.h"

#include <inttypes.h>
#include <stdio.h>

void bench_channel_name(const struct bench *bench, uint32_t channel,
                        char to[static BENCH_NAME_SIZE])
{
    (void)snprintf(to, BENCH_NAME_SIZE, "%s-%06" PRIu32, bench->options->prefix, channel);
}

/* The stamp says what the message is, the seq where it stands: in a channel of our own the two
 * agree. */
static bool is_whole(struct bench_subscriber *s, const struct bench_event *event,
                     struct stamp *ret_stamp)
{
    struct bench *bench = s->conn.bench;
    if (event->payload.size != bench->options->payload || !stamp_get(event->payload, ret_stamp) ||
        ret_stamp->channel != s->setup.channel) {
        bench_violated(bench, BENCH_VIOLATION_CHANGED,
                       "subscriber %u got what nobody published to channel %" PRIu32
                       " as seq %" PRIu64,
                       s->conn.setup.index, s->setup.channel, event->seq);
        return false;
    }
    if (event->seq != ret_stamp->number && bench->adapter->seqs) {
        bench_violated(bench, BENCH_VIOLATION_CHANGED,
                       "subscriber %u got message %" PRIu64 " as seq %" PRIu64, s->conn.setup.index,
                       ret_stamp->number, event->seq);
    }
    return true;
}

static void check_number(struct bench_subscriber *s, uint64_t number)
{
    struct bench *bench = s->conn.bench;
    if (s->expected == 0 || number == s->expected) {
        s->expected = number + 1;
        return;
    }
    if (number > s->expected) {
        bench_violated(bench, BENCH_VIOLATION_GAP,
                       "subscriber %u got message %" PRIu64 " behind %" PRIu64, s->conn.setup.index,
                       number, s->expected - 1);
        s->gap_first = s->expected;
        s->gap_end = number;
        s->expected = number + 1;
        return;
    }
    const bool late = number >= s->gap_first && number < s->gap_end;
    bench_violated(bench, late ? BENCH_VIOLATION_OUT_OF_ORDER : BENCH_VIOLATION_DUPLICATED,
                   "subscriber %u got message %" PRIu64 " behind %" PRIu64, s->conn.setup.index,
                   number, s->expected - 1);
}

static void on_message(struct bench_subscriber *s, const struct bench_event *event)
{
    struct bench *bench = s->conn.bench;
    struct stamp stamp;
    if (!is_whole(s, event, &stamp)) {
        s->expected += event->seq != 0 && event->seq == s->expected ? 1 : 0; /* told already */
        return;
    }
    check_number(s, stamp.number);
    s->received++;
    bench->counts.delivered++;
    bench->counts.payload_bytes += event->payload.size;
    const uint64_t due_ns = bench->began_ns + stamp.due_ns;
    if (s->setup.latency != NULL && bench_measured(bench, due_ns)) {
        histogram_add(s->setup.latency, bench->loop.now_ns - due_ns);
    }
    if (s->setup.on_message != NULL) {
        s->setup.on_message(s, &stamp);
    }
}

static void on_subscribed(struct bench_subscriber *s, const struct bench_event *event)
{
    struct bench *bench = s->conn.bench;
    s->subscribed = true;
    if (bench->adapter->seqs) {
        s->expected = event->next;
        const uint64_t from = s->setup.from == BENCH_FROM_EARLIEST ? 1 : s->setup.from;
        if (from != BENCH_FROM_LATEST && event->next != from) {
            bench_violated(bench, BENCH_VIOLATION_GAP,
                           "subscriber %u asked for seq %" PRIu64 " and begins at %" PRIu64,
                           s->conn.setup.index, from, event->next);
        }
    }
}

static void subscriber_on_event(struct bench_conn *conn, const struct bench_event *event)
{
    struct bench_subscriber *s = conn->setup.ctx;
    char channel[BENCH_NAME_SIZE];
    switch (event->type) {
    case BENCH_EVENT_READY:
        bench_channel_name(conn->bench, s->setup.channel, channel);
        if (conn->bench->adapter->subscribe(conn, channel, s->setup.from) != RC_OK) {
            bench_fail(conn->bench, "out of memory");
        }
        break;
    case BENCH_EVENT_SUBSCRIBED: on_subscribed(s, event); break;
    case BENCH_EVENT_MESSAGE: on_message(s, event); break;
    case BENCH_EVENT_NONE:
    case BENCH_EVENT_OTHER:
    case BENCH_EVENT_PUBLISHED:
    case BENCH_EVENT_FAILED: break;
    }
}

void bench_subscriber_open(struct bench *bench, struct bench_subscriber *subscriber, uint32_t index,
                           const struct bench_subscriber_setup *setup)
{
    *subscriber = (struct bench_subscriber){.setup = *setup};
    const struct bench_conn_setup conn = {.index = index,
                                          .channel = setup->channel,
                                          .on_event = subscriber_on_event,
                                          .ctx = subscriber};
    bench_conn_open(bench, &subscriber->conn, &conn);
}

void bench_subscriber_close(struct bench_subscriber *subscriber)
{
    bench_conn_close(&subscriber->conn);
    *subscriber = (struct bench_subscriber){0};
}

void bench_subscribers_wait(struct bench *bench, const struct bench_subscriber *subscribers,
                            size_t count)
{
    const uint64_t end = bench_now_ns() + BENCH_PATIENCE_NS;
    for (size_t i = 0; i < count && bench_going(bench);) {
        if (subscribers[i].subscribed) {
            i++;
            continue;
        }
        bench_step(bench, BENCH_NS / 10);
        if (bench->loop.now_ns > end) {
            bench_fail(bench, "subscriber %zu was not answered in time", i);
        }
    }
}

bool bench_subscriber_has(const struct bench_subscriber *subscriber, uint64_t last)
{
    return last == 0 || subscriber->expected > last;
}

void bench_subscriber_settle(struct bench_subscriber *subscriber, uint64_t last)
{
    const uint64_t end = subscriber->expected == 0 ? 1 : subscriber->expected;
    if (end != last + 1 && subscriber->conn.bench != NULL) {
        struct bench *bench = subscriber->conn.bench;
        bench_violated(bench, BENCH_VIOLATION_LOST,
                       "subscriber %u got messages up to %" PRIu64 " of %" PRIu64,
                       subscriber->conn.setup.index, end - 1, last);
        bench->violations[BENCH_VIOLATION_LOST] += last >= end ? last - end : 0;
    }
}
