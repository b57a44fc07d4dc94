/* idle: the server's own memory for each connection that is subscribed and silent. The kernel's
 * socket buffers are not in it: they are not the server's. */
#include "base/mem.h"
#include "bench/scenario.h"

#define FIRST_CONNECTIONS 50u
#define SETTLE_NS         (2 * BENCH_NS)
#define AT_ONCE           500u

static uint64_t do_nothing(void *ctx)
{
    (void)ctx;
    return BENCH_NS / 10;
}

static void open_range(struct bench *bench, struct bench_subscriber *subscribers, uint32_t first,
                       uint32_t end)
{
    for (uint32_t i = first; i < end && bench_going(bench); i++) {
        const struct bench_subscriber_setup setup = {
            .channel = i % (uint32_t)bench->options->channels, .from = BENCH_FROM_LATEST};
        bench_subscriber_open(bench, &subscribers[i], i, &setup);
        if (i % AT_ONCE == 0) {
            bench_conns_wait(bench);
        }
    }
    bench_subscribers_wait(bench, subscribers + first, end - first);
    bench_run_for(bench, SETTLE_NS, do_nothing, NULL);
}

static void idle_run(struct bench *bench)
{
    const uint32_t count = (uint32_t)bench->options->connections;
    const uint32_t total = count + FIRST_CONNECTIONS;
    struct bench_subscriber *subscribers = bench_alloc(bench, total, sizeof(*subscribers));
    if (subscribers == NULL) {
        return;
    }
    /* The first few grow pools and tables that all share. */
    open_range(bench, subscribers, 0, FIRST_CONNECTIONS);
    const uint64_t rss = bench_server_rss_bytes(bench);
    const uint64_t heap = bench_server_anonymous_bytes(bench);
    bench_window_begin(bench);
    open_range(bench, subscribers, FIRST_CONNECTIONS, total);
    bench_window_end(bench);
    const double rss_after = (double)bench_server_rss_bytes(bench);
    const double heap_after = (double)bench_server_anonymous_bytes(bench);
    if (bench_going(bench) && bench->server.pid != 0) {
        bench_row(bench, "server_rss_bytes_per_connection", (rss_after - (double)rss) / count,
                  "bytes");
        bench_row(bench, "server_heap_bytes_per_connection", (heap_after - (double)heap) / count,
                  "bytes");
        bench_row(bench, "server_rss_mib_before", (double)rss / 1048576, "MiB");
        bench_row(bench, "server_rss_mib_after", rss_after / 1048576, "MiB");
    }
    if (bench_going(bench)) {
        bench_row(bench, "connections", count, "");
        bench_row(bench, "client_cpu_cores",
                  (double)bench->window.client_cpu_ns / 1e9 / bench_window_seconds(bench), "cores");
    }
    for (uint32_t i = 0; i < total; i++) {
        bench_subscriber_close(&subscribers[i]);
    }
    mem_free(subscribers);
}

const struct bench_scenario bench_scenario_idle = {
    .name = "idle",
    .summary = "the server's memory for a connection that is subscribed and silent",
    .takes = BENCH_TAKES(CONNECTIONS) | BENCH_TAKES(CHANNELS),
    .defaults = {.connections = 5000,
                 .channels = 1,
                 .inflight = 1,
                 .payload = 128,
                 .batch = 1,
                 .seconds = 1},
    .run = idle_run,
};
