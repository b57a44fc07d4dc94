/* fanout: one publisher, many subscribers of one channel.
 *
 * Three shapes: saturated (--inflight messages ahead of the slowest subscriber), at a --rate, and
 * --lockstep, where the next message is published when every subscriber has the last one, so that
 * nothing can be coalesced. In the same run a bare loop of send() passes the same bytes to as many
 * sockets: what the kernel alone costs on this machine, now. */
#include "base/mem.h"
#include "bench/bare.h"
#include "bench/scenario.h"

struct fanout {
    struct bench *bench;
    struct bench_publisher publisher;
    struct bench_subscriber *subscribers;
    size_t count;
    struct bench_pace pace;
    uint64_t *waiting; /* by message modulo inflight: subscribers that do not have it yet */
    uint64_t done;     /* messages that all have */
    uint32_t frame_bytes;
};

/* What a subscriber has passed over counts as had: a message that is lost is told once, and must
 * not stop everything. */
static void on_message(struct bench_subscriber *subscriber, const struct stamp *stamp)
{
    struct fanout *f = subscriber->setup.ctx;
    const uint64_t mask = f->publisher.slot_mask;
    f->frame_bytes = subscriber->conn.event_size;
    if (f->waiting == NULL || stamp->number > f->publisher.sent) {
        return;
    }
    for (; subscriber->mark < stamp->number; subscriber->mark++) {
        f->waiting[(subscriber->mark + 1) & mask]--;
    }
    while (f->done < f->publisher.sent && f->waiting[(f->done + 1) & mask] == 0) {
        f->done++;
    }
}

static bool may_publish(const struct fanout *f)
{
    /* No further ahead of the slowest than so many: a generator that cannot drain what it asks
     * for measures only itself. */
    const uint64_t ahead = f->publisher.sent - f->done;
    const uint64_t most = f->bench->options->lockstep ? 1 : f->bench->options->inflight;
    return ahead < most && bench_publisher_free(&f->publisher);
}

static void send_one(struct fanout *f, uint64_t due_ns)
{
    bench_publisher_send(&f->publisher, due_ns);
    f->pace.sent++;
    if (f->waiting != NULL) {
        f->waiting[f->publisher.sent & f->publisher.slot_mask] = f->count;
    }
}

static uint64_t turn(void *ctx)
{
    struct fanout *f = ctx;
    uint64_t due_ns = f->bench->loop.now_ns;
    if (f->pace.rate > 0) {
        while (bench_publisher_free(&f->publisher) &&
               bench_pace_due(&f->pace, f->bench->loop.now_ns, &due_ns)) {
            send_one(f, due_ns);
        }
        return bench_pace_wait_ns(&f->pace);
    }
    while (may_publish(f)) {
        send_one(f, f->bench->loop.now_ns);
    }
    return BENCH_NS / 10;
}

static bool all_delivered(const void *ctx)
{
    const struct fanout *f = ctx;
    for (size_t i = 0; i < f->count; i++) {
        if (!bench_subscriber_has(&f->subscribers[i], f->publisher.sent)) {
            return false;
        }
    }
    return f->publisher.inflight == 0;
}

static void rows(struct fanout *f)
{
    struct bench *bench = f->bench;
    const double delivered = (double)bench->window.counts.delivered;
    bench_row(bench, "deliveries_per_second", delivered / bench_window_seconds(bench),
              "deliveries/s");
    bench_row(bench, "messages_per_second",
              (double)bench->window.counts.acked / bench_window_seconds(bench), "messages/s");
    bench_row(bench, "frame_bytes", (double)f->frame_bytes, "bytes");
    bench_rows_cpu(bench, "server_cpu_us_per_delivery", bench->window.counts.delivered);
    bench_row(bench, "client_cpu_us_per_delivery",
              (double)bench->window.client_cpu_ns / 1e3 / (delivered > 0 ? delivered : 1), "us");
}

static void row_bare(struct fanout *f)
{
    struct bench *bench = f->bench;
    if (f->frame_bytes == 0) {
        return; /* nothing was delivered: there is nothing to hold against it */
    }
    const double bare_us = bench_bare_send_ns(f->count, f->frame_bytes) / 1e3;
    const double own_us =
        (double)bench->window.server_cpu_ns / 1e3 / (double)(bench->window.counts.delivered | 1);
    if (bare_us > 0) {
        bench_row(bench, "bare_send_cpu_us", bare_us, "us");
    }
    if (bare_us > 0 && own_us > 0) {
        bench_row(bench, "ratio_to_bare_send", own_us / bare_us, "");
    }
}

static bool fanout_open(struct fanout *f)
{
    struct bench *bench = f->bench;
    struct histogram *delivered = bench_latency(bench, "publish_delivered");
    struct histogram *acked = bench_latency(bench, "publish_acknowledged");
    f->subscribers = bench_alloc(bench, f->count, sizeof(*f->subscribers));
    if (f->subscribers == NULL || delivered == NULL || acked == NULL) {
        return false;
    }
    const struct bench_subscriber_setup subscriber = {
        .from = BENCH_FROM_LATEST, .latency = delivered, .on_message = on_message, .ctx = f};
    for (uint32_t i = 0; i < f->count && bench_going(bench); i++) {
        bench_subscriber_open(bench, &f->subscribers[i], i, &subscriber);
    }
    bench_subscribers_wait(bench, f->subscribers, f->count);
    /* At a rate everything that is due goes out; only the slots bound it. */
    const bool paced = bench->options->rate > 0;
    const struct bench_publisher_setup publisher = {.channel_count = 1,
                                                    .channel_stride = 1,
                                                    .inflight =
                                                        paced ? 65536 : bench->options->inflight,
                                                    .alone = true,
                                                    .latency = acked};
    if (!bench_going(bench) ||
        !bench_publisher_open(bench, &f->publisher, (uint32_t)f->count, &publisher)) {
        return false;
    }
    f->waiting = paced ? NULL : bench_alloc(bench, f->publisher.slot_mask + 1, sizeof(*f->waiting));
    bench_conns_wait(bench);
    return bench_going(bench);
}

static void fanout_run(struct bench *bench)
{
    struct fanout f = {.bench = bench, .count = bench->options->connections};
    const bool open = fanout_open(&f);
    if (open) {
        bench_series(bench, "deliveries/s", &bench->counts.delivered);
        f.pace = (struct bench_pace){.rate = bench->options->rate, .began_ns = bench_now_ns()};
        bench_measure(bench, turn, &f);
        bench_drain(bench, all_delivered, &f);
        rows(&f);
        bench_publisher_settle(&f.publisher);
    }
    for (size_t i = 0; f.subscribers != NULL && i < f.count; i++) {
        if (open && bench_going(bench)) {
            bench_subscriber_settle(&f.subscribers[i], f.publisher.sent);
        }
        bench_subscriber_close(&f.subscribers[i]);
    }
    bench_publisher_close(&f.publisher);
    mem_free(f.subscribers);
    mem_free(f.waiting);
    if (open && bench_going(bench)) {
        row_bare(&f);
    }
}

const struct bench_scenario bench_scenario_fanout = {
    .name = "fanout",
    .summary = "deliveries a second to many subscribers, server CPU against bare send()",
    .takes = BENCH_TAKES(CONNECTIONS) | BENCH_TAKES(INFLIGHT) | BENCH_TAKES(PAYLOAD) |
             BENCH_TAKES(RATE) | BENCH_TAKES(SECONDS) | BENCH_TAKES(WARMUP),
    .takes_lockstep = true,
    .takes_cumulative = true,
    .defaults = {.connections = 1000,
                 .channels = 1,
                 .inflight = 64,
                 .payload = 128,
                 .batch = 1,
                 .seconds = 10,
                 .warmup = 2},
    .run = fanout_run,
};
