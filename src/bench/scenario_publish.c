/* publish: many connections, each with so many publishes under way, or at a given rate.
 *
 * Closed loop: an answer makes room for the next publish. Open loop (--rate): publish number n is
 * due at n / rate, whatever the server does, and its latency counts from then on: a server that
 * stalls cannot hide the queue that it causes. At the end the server is asked what it holds. */
#include "base/mem.h"
#include "bench/scenario.h"

#include <inttypes.h>

struct publish {
    struct bench *bench;
    struct bench_publisher *publishers;
    size_t count;
    size_t turn;
    bool going; /* answers are followed by publishes */
    struct bench_pace pace;
};

static void on_acked(struct bench_publisher *publisher)
{
    const struct publish *p = publisher->setup.ctx;
    while (p->going && bench_publisher_free(publisher)) {
        bench_publisher_send(publisher, p->bench->loop.now_ns);
    }
}

/* Everything that may be under way is sent again by on_acked(), unless nothing is acknowledged. */
static void fill_up(struct publish *p)
{
    for (size_t i = 0; i < p->count; i++) {
        while (bench_publisher_free(&p->publishers[i])) {
            bench_publisher_send(&p->publishers[i], p->bench->loop.now_ns);
        }
    }
}

/* What is due goes to the next connection that has room; if none has, it waits and is late. */
static void send_due(struct publish *p, uint64_t until_ns)
{
    uint64_t due_ns;
    size_t full = 0;
    while (full < p->count && bench_pace_due(&p->pace, until_ns, &due_ns)) {
        struct bench_publisher *publisher = &p->publishers[p->turn];
        p->turn = p->turn + 1 == p->count ? 0 : p->turn + 1;
        if (!bench_publisher_free(publisher)) {
            full++;
            continue;
        }
        full = 0;
        bench_publisher_send(publisher, due_ns);
        p->pace.sent += p->bench->options->batch;
    }
}

static uint64_t turn(void *ctx)
{
    struct publish *p = ctx;
    if (p->pace.rate > 0) {
        send_due(p, p->bench->loop.now_ns);
        return bench_pace_wait_ns(&p->pace);
    }
    if (p->publishers[0].made.id_at == 0) {
        fill_up(p);
        return BENCH_NS / 1000;
    }
    return BENCH_NS / 10;
}

/* What was due in the time measured and not sent is still sent. */
static bool all_answered(const void *ctx)
{
    const struct publish *p = ctx;
    uint64_t due_ns;
    for (size_t i = 0; i < p->count; i++) {
        if (p->publishers[i].inflight > 0 || p->publishers[i].conn.wants_write) {
            return false;
        }
    }
    return p->pace.rate == 0 || !bench_pace_due(&p->pace, p->bench->window.ended_ns, &due_ns);
}

static void drain(struct publish *p)
{
    struct bench *bench = p->bench;
    const uint64_t end = bench_now_ns() + BENCH_PATIENCE_NS;
    p->going = false;
    while (p->pace.rate > 0 && bench_going(bench) && bench->loop.now_ns < end) {
        uint64_t due_ns;
        if (!bench_pace_due(&p->pace, bench->window.ended_ns, &due_ns)) {
            break;
        }
        send_due(p, bench->window.ended_ns);
        bench_step(bench, BENCH_NS / 1000);
    }
    bench_drain(bench, all_answered, p);
}

/* What was acknowledged must be there: a figure of a server that forgets is none. Without answers
 * nobody knows when all has arrived but by looking. */
static void audit(struct bench *bench)
{
    const uint64_t end = bench_now_ns() + BENCH_PATIENCE_NS;
    const bool acked = !bench->options->no_ack;
    const uint64_t least = acked ? bench->counts.acked : bench->counts.sent;
    uint64_t held = 0;
    do {
        held = bench_audit(bench, (uint32_t)bench->options->channels);
    } while (!acked && held < least && bench_going(bench) && bench_now_ns() < end);
    if (bench_going(bench) && held < least) {
        bench_violated(bench, BENCH_VIOLATION_LOST,
                       "%" PRIu64 " published, the server holds %" PRIu64, least, held);
        bench->violations[BENCH_VIOLATION_LOST] += least - held - 1;
    } else if (bench_going(bench) && held > bench->counts.sent) {
        bench_violated(bench, BENCH_VIOLATION_DUPLICATED,
                       "%" PRIu64 " sent, the server holds %" PRIu64, bench->counts.sent, held);
    }
}

static void rows(struct bench *bench)
{
    const struct bench_window *w = &bench->window;
    const uint64_t count = bench->options->no_ack ? w->counts.sent : w->counts.acked;
    const double rate = (double)count / bench_window_seconds(bench);
    bench_row(bench, bench->options->no_ack ? "sent_per_second" : "acked_per_second", rate,
              "messages/s");
    bench_row(bench, "payload_mb_per_second", rate * (double)bench->options->payload / 1e6, "MB/s");
    bench_rows_cpu(bench, "server_cpu_us_per_message", count);
}

static bool open_publishers(struct publish *p, struct histogram *latency)
{
    struct bench *bench = p->bench;
    const uint32_t channels = (uint32_t)bench->options->channels;
    const uint32_t count = (uint32_t)p->count;
    for (uint32_t i = 0; i < count && bench_going(bench); i++) {
        /* With more channels than connections each channel has one publisher. */
        const bool alone = channels >= count;
        const struct bench_publisher_setup setup = {
            .channel_first = alone ? i : i % channels,
            .channel_count = alone ? (channels - i + count - 1) / count : 1,
            .channel_stride = count,
            .inflight = bench->options->inflight,
            .alone = alone,
            .latency = latency,
            .on_acked = bench->options->rate == 0 ? on_acked : NULL,
            .ctx = p,
        };
        if (!bench_publisher_open(bench, &p->publishers[i], i, &setup)) {
            return false;
        }
    }
    bench_conns_wait(bench);
    return bench_going(bench);
}

static void publish_run(struct bench *bench)
{
    struct publish p = {.bench = bench, .count = bench->options->connections, .going = true};
    struct histogram *latency = bench_latency(bench, "publish_acknowledged");
    p.publishers = bench_alloc(bench, p.count, sizeof(*p.publishers));
    if (p.publishers != NULL && latency != NULL && open_publishers(&p, latency)) {
        bench_series(bench, bench->options->no_ack ? "sent/s" : "acknowledged/s",
                     bench->options->no_ack ? &bench->counts.sent : &bench->counts.acked);
        p.pace = (struct bench_pace){.rate = bench->options->rate, .began_ns = bench_now_ns()};
        if (p.pace.rate == 0) {
            fill_up(&p);
        }
        bench_measure(bench, turn, &p);
        drain(&p);
        rows(bench);
        if (bench->adapter->logs && bench_going(bench)) {
            audit(bench);
        }
    }
    for (size_t i = 0; p.publishers != NULL && i < p.count; i++) {
        bench_publisher_settle(&p.publishers[i]);
        bench_publisher_close(&p.publishers[i]);
    }
    mem_free(p.publishers);
}

const struct bench_scenario bench_scenario_publish = {
    .name = "publish",
    .summary = "acknowledged publishes a second, their latency, server CPU a message",
    .takes = BENCH_TAKES(CONNECTIONS) | BENCH_TAKES(CHANNELS) | BENCH_TAKES(INFLIGHT) |
             BENCH_TAKES(PAYLOAD) | BENCH_TAKES(BATCH) | BENCH_TAKES(RATE) | BENCH_TAKES(SECONDS) |
             BENCH_TAKES(WARMUP),
    .takes_no_ack = true,
    .takes_cumulative = true,
    .defaults = {.connections = 64,
                 .channels = 64,
                 .inflight = 64,
                 .payload = 128,
                 .batch = 1,
                 .seconds = 10,
                 .warmup = 2},
    .run = publish_run,
};
