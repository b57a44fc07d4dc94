/* channels: one message in each of so many channels: what a channel costs that nobody uses, in
 * memory and on disk, and how long the server takes to start with them.
 *
 * The server is ended as an operator ends it, and once more with kill -9. */
#include "base/mem.h"
#include "bench/scenario.h"

#include <inttypes.h>

#define FIRST_CHANNELS 1000u
#define SETTLE_NS      BENCH_NS

struct channels {
    struct bench *bench;
    struct bench_publisher publisher;
    uint64_t wanted;
};

static void on_acked(struct bench_publisher *publisher)
{
    const struct channels *c = publisher->setup.ctx;
    while (publisher->sent < c->wanted && bench_publisher_free(publisher)) {
        bench_publisher_send(publisher, c->bench->loop.now_ns);
    }
}

static bool made(const void *ctx)
{
    const struct channels *c = ctx;
    return c->publisher.inflight == 0;
}

static uint64_t do_nothing(void *ctx)
{
    (void)ctx;
    return BENCH_NS / 10;
}

static void make_channels(struct channels *c, uint64_t wanted)
{
    struct bench *bench = c->bench;
    c->wanted = wanted;
    while (bench_publisher_free(&c->publisher) && c->publisher.sent < wanted) {
        bench_publisher_send(&c->publisher, bench->loop.now_ns);
    }
    bench_drain(bench, made, c);
}

static void row_restarted(struct bench *bench, const char *name)
{
    uint64_t ready_ns = 0;
    if (bench_going(bench) && bench_server_restart(bench, &ready_ns)) {
        bench_row(bench, name, (double)ready_ns / 1e6, "ms");
    }
}

static void restarts(struct bench *bench)
{
    const uint64_t began = bench_now_ns();
    if (!bench->server.ours) {
        return;
    }
    bench_row(bench, "disk_mib", (double)bench_server_disk_bytes(bench) / 1048576, "MiB");
    bench_server_end(bench);
    bench_row(bench, "end_ms", (double)(bench_now_ns() - began) / 1e6, "ms");
    row_restarted(bench, "ready_ms_after_end");
    bench_row(bench, "server_rss_mib_restarted", (double)bench_server_rss_bytes(bench) / 1048576,
              "MiB");
    bench_server_kill(bench);
    row_restarted(bench, "ready_ms_after_kill");
}

static void measure(struct channels *c)
{
    struct bench *bench = c->bench;
    const uint64_t count = bench->options->channels;
    const uint64_t first = count / 10 < FIRST_CHANNELS ? count / 10 : FIRST_CHANNELS;
    /* The first ones grow tables that all share. */
    make_channels(c, first);
    bench_run_for(bench, SETTLE_NS, do_nothing, NULL);
    const double before = (double)bench_server_rss_bytes(bench);
    bench_window_begin(bench);
    make_channels(c, count);
    bench_window_end(bench);
    bench_run_for(bench, SETTLE_NS, do_nothing, NULL);
    const double after = (double)bench_server_rss_bytes(bench);
    bench_row(bench, "channels", (double)count, "");
    bench_row(bench, "channels_per_second", (double)(count - first) / bench_window_seconds(bench),
              "channels/s");
    if (bench->server.pid != 0) {
        bench_row(bench, "server_bytes_per_channel", (after - before) / (double)(count - first),
                  "bytes");
    }
    bench_rows_cpu(bench, "server_cpu_us_per_channel", count - first);
}

static void channels_run(struct bench *bench)
{
    struct channels c = {.bench = bench};
    const struct bench_publisher_setup setup = {
        .channel_count = (uint32_t)bench->options->channels,
        .channel_stride = 1,
        .inflight = bench->options->inflight,
        .alone = true,
        .latency = bench_latency(bench, "publish_acknowledged"),
        .on_acked = on_acked,
        .ctx = &c,
    };
    if (bench_going(bench) && bench_publisher_open(bench, &c.publisher, 0, &setup)) {
        bench_series(bench, "channels/s", &bench->counts.acked);
        bench_conns_wait(bench);
        measure(&c);
    }
    bench_publisher_settle(&c.publisher);
    bench_publisher_close(&c.publisher);
    if (bench_going(bench)) {
        restarts(bench);
    }
    const uint64_t held = bench->adapter->logs && bench_going(bench)
                              ? bench_audit(bench, (uint32_t)bench->options->channels)
                              : bench->counts.acked;
    if (bench_going(bench) && held != bench->counts.acked) {
        bench_violated(bench, BENCH_VIOLATION_LOST,
                       "%" PRIu64 " channels made, %" PRIu64 " are there", bench->counts.acked,
                       held);
    }
}

const struct bench_scenario bench_scenario_channels = {
    .name = "channels",
    .summary = "what a channel costs that nobody uses; start-up with many",
    .takes = BENCH_TAKES(CHANNELS) | BENCH_TAKES(INFLIGHT) | BENCH_TAKES(PAYLOAD),
    .defaults = {.connections = 1,
                 .channels = 100000,
                 .inflight = 1000,
                 .payload = 128,
                 .batch = 1,
                 .seconds = 1},
    .run = channels_run,
};
