/* pairs: so many publishers with a subscriber each, one message under way between the two.
 * lone: one such pair on an idle server, at a rate that leaves it idle, beside what fdatasync()
 * itself takes in the same folder. Beside both: what a process takes that only sends on.
 *
 * Latency counts from when a message was published (or due, with --rate) until its subscriber had
 * it. Without a rate a pair publishes again when the last message was acknowledged and delivered.
 */
#include "base/mem.h"
#include "bench/bare.h"
#include "bench/scenario.h"

#define RECORD_HEAD 96u            /* about what a record adds to its payload */
#define FRAME_HEAD  50u            /* and a frame of the binary codec */
#define RELAY_NS    (2 * BENCH_NS) /* at most */

struct pair {
    struct bench_publisher publisher;
    struct bench_subscriber subscriber;
};

struct pairs {
    struct bench *bench;
    struct pair *pairs;
    size_t count;
    size_t turn;
    bool going;
    struct bench_pace pace;
    bool probes;
    struct histogram *sync_ns; /* lone: NULL if it cannot be measured */
    struct bench_bare_sync sync;
};

static bool is_idle(const struct pair *pair)
{
    return pair->publisher.inflight == 0 &&
           bench_subscriber_has(&pair->subscriber, pair->publisher.sent);
}

static void go_on(struct pairs *p, struct pair *pair)
{
    if (p->going && p->pace.rate == 0 && is_idle(pair)) {
        bench_publisher_send(&pair->publisher, p->bench->loop.now_ns);
    }
}

static struct pair *pair_at(struct pairs *p, uint32_t index)
{
    return &p->pairs[index % p->count];
}

static void on_acked(struct bench_publisher *publisher)
{
    struct pairs *p = publisher->setup.ctx;
    go_on(p, pair_at(p, publisher->setup.channel_first));
}

static void on_message(struct bench_subscriber *subscriber, const struct stamp *stamp)
{
    struct pairs *p = subscriber->setup.ctx;
    (void)stamp;
    go_on(p, pair_at(p, subscriber->setup.channel));
}

/* Between two messages, when the server has nothing to do: what its disk takes just now. Our own
 * schedule waits meanwhile. */
static void probe(struct pairs *p)
{
    const bool idle = is_idle(&p->pairs[0]);
    if (p->sync_ns == NULL || !idle || p->sync.count >= p->pairs[0].publisher.sent) {
        return;
    }
    const uint64_t began = bench_now_ns();
    const uint64_t ns = bench_bare_sync_once(&p->sync);
    if (ns > 0 && p->bench->window.open) {
        histogram_add(p->sync_ns, ns);
    }
    p->pace.began_ns += bench_now_ns() - began;
}

/* What is due goes to the next pair whose last message has arrived; if there is none, it waits. */
static uint64_t turn(void *ctx)
{
    struct pairs *p = ctx;
    uint64_t due_ns;
    size_t busy = 0;
    if (p->pace.rate == 0) {
        return BENCH_NS / 10;
    }
    while (busy < p->count && bench_pace_due(&p->pace, p->bench->loop.now_ns, &due_ns)) {
        struct pair *pair = &p->pairs[p->turn];
        p->turn = p->turn + 1 == p->count ? 0 : p->turn + 1;
        if (!is_idle(pair)) {
            busy++;
            continue;
        }
        busy = 0;
        bench_publisher_send(&pair->publisher, due_ns);
        p->pace.sent++;
    }
    probe(p);
    return bench_pace_wait_ns(&p->pace);
}

static bool all_idle(const void *ctx)
{
    const struct pairs *p = ctx;
    for (size_t i = 0; i < p->count; i++) {
        if (!is_idle(&p->pairs[i])) {
            return false;
        }
    }
    return true;
}

static bool pairs_open(struct pairs *p)
{
    struct bench *bench = p->bench;
    struct histogram *delivered = bench_latency(bench, "publish_delivered");
    struct histogram *acked = bench_latency(bench, "publish_acknowledged");
    p->pairs = bench_alloc(bench, p->count, sizeof(*p->pairs));
    for (uint32_t i = 0; p->pairs != NULL && i < p->count && bench_going(bench); i++) {
        const struct bench_subscriber_setup subscriber = {.channel = i,
                                                          .from = BENCH_FROM_LATEST,
                                                          .latency = delivered,
                                                          .on_message = on_message,
                                                          .ctx = p};
        bench_subscriber_open(bench, &p->pairs[i].subscriber, i, &subscriber);
    }
    for (size_t i = 0; i < p->count && bench_going(bench); i++) {
        bench_subscribers_wait(bench, &p->pairs[i].subscriber, 1);
    }
    for (uint32_t i = 0; i < p->count && bench_going(bench); i++) {
        const struct bench_publisher_setup publisher = {.channel_first = i,
                                                        .channel_count = 1,
                                                        .channel_stride = 1,
                                                        .inflight = 1,
                                                        .alone = true,
                                                        .latency = acked,
                                                        .on_acked = on_acked,
                                                        .ctx = p};
        if (!bench_publisher_open(bench, &p->pairs[i].publisher, i, &publisher)) {
            return false;
        }
    }
    bench_conns_wait(bench);
    return bench_going(bench);
}

static void pairs_close(struct pairs *p, bool opened)
{
    for (size_t i = 0; p->pairs != NULL && i < p->count; i++) {
        struct pair *pair = &p->pairs[i];
        if (opened && bench_going(p->bench)) {
            bench_publisher_settle(&pair->publisher);
            bench_subscriber_settle(&pair->subscriber, pair->publisher.sent);
        }
        bench_publisher_close(&pair->publisher);
        bench_subscriber_close(&pair->subscriber);
    }
    mem_free(p->pairs);
}

static void run(struct pairs *p)
{
    struct bench *bench = p->bench;
    const bool opened = pairs_open(p);
    if (opened) {
        bench_series(bench, "deliveries/s", &bench->counts.delivered);
        p->sync_ns = p->probes ? bench_latency(bench, "bare_fdatasync") : NULL;
        p->pace = (struct bench_pace){.rate = bench->options->rate, .began_ns = bench_now_ns()};
        for (size_t i = 0; i < p->count; i++) {
            go_on(p, &p->pairs[i]);
        }
        bench_measure(bench, turn, p);
        p->going = false;
        bench_drain(bench, all_idle, p);
        bench_row(bench, "round_trips_per_second",
                  (double)bench->window.counts.delivered / bench_window_seconds(bench),
                  "messages/s");
        bench_rows_cpu(bench, "server_cpu_us_per_message", bench->window.counts.delivered);
    }
    pairs_close(p, opened);
}

/* The same between as many sockets, by a process that does nothing but send on. `cpu_name` NULL: so
 * few messages that its beginning would count. */
static void relay_rows(struct bench *bench, struct bench_bare_relay *setup, const char *p50_name,
                       const char *p99_name, const char *cpu_name)
{
    struct bench_bare_relay_result *result = bench_alloc(bench, 1, sizeof(*result));
    const uint64_t run_ns = bench->options->seconds * BENCH_NS;
    setup->size = (size_t)bench->options->payload + FRAME_HEAD;
    setup->run_ns = run_ns < RELAY_NS ? run_ns : RELAY_NS;
    if (result != NULL && bench_going(bench) && bench_bare_relay(setup, result)) {
        if (cpu_name != NULL) {
            bench_row(bench, cpu_name, result->cpu_ns / 1e3, "us");
        }
        bench_row(bench, p50_name, (double)histogram_at(&result->ns, 5000) / 1e3, "us");
        bench_row(bench, p99_name, (double)histogram_at(&result->ns, 9900) / 1e3, "us");
    }
    mem_free(result);
}

static void pairs_run(struct bench *bench)
{
    struct pairs p = {.bench = bench, .count = bench->options->connections, .going = true};
    run(&p);
    struct bench_bare_relay setup = {.pairs = p.count};
    if (bench->options->rate == 0) {
        relay_rows(bench, &setup, "bare_relay_us_p50", "bare_relay_us_p99", "bare_relay_cpu_us");
    }
}

static void lone_run(struct bench *bench)
{
    struct pairs p = {.bench = bench, .count = 1, .going = true};
    ASSERT(bench->options->rate > 0); /* it has a default */
    const size_t size = (size_t)bench->options->payload + RECORD_HEAD;
    const bool probes = bench_bare_sync_open(bench, size, &p.sync);
    p.probes = probes;
    run(&p);
    if (probes) {
        struct bench_bare_relay setup = {
            .pairs = 1, .gap_ns = BENCH_NS / bench->options->rate, .sync = &p.sync};
        relay_rows(bench, &setup, "bare_syncing_relay_us_p50", "bare_syncing_relay_us_p99", NULL);
        bench_bare_sync_close(&p.sync);
    }
    const struct histogram *sync = p.sync_ns;
    if (sync == NULL || sync->count == 0 || bench->failure[0] != '\0') {
        return;
    }
    const struct histogram *delivered = bench->latencies[0].ns;
    for (unsigned i = 0; i < 2; i++) {
        const double bare = (double)histogram_at(sync, i == 0 ? 5000 : 9900);
        const double told = (double)histogram_at(delivered, i == 0 ? 5000 : 9900);
        bench_row(bench, i == 0 ? "fdatasync_us_p50" : "fdatasync_us_p99", bare / 1e3, "us");
        bench_row(bench, i == 0 ? "ratio_to_fdatasync_p50" : "ratio_to_fdatasync_p99", told / bare,
                  "");
    }
}

const struct bench_scenario bench_scenario_pairs = {
    .name = "pairs",
    .summary = "many publishers with a subscriber each, one message under way in each pair",
    .takes = BENCH_TAKES(CONNECTIONS) | BENCH_TAKES(PAYLOAD) | BENCH_TAKES(RATE) |
             BENCH_TAKES(SECONDS) | BENCH_TAKES(WARMUP),
    .takes_no_ack = true,
    .defaults = {.connections = 300,
                 .channels = 300,
                 .inflight = 1,
                 .payload = 128,
                 .batch = 1,
                 .seconds = 10,
                 .warmup = 2},
    .run = pairs_run,
};

const struct bench_scenario bench_scenario_lone = {
    .name = "lone",
    .summary = "one message at a time on an idle server, against fdatasync()'s own time",
    .takes = BENCH_TAKES(PAYLOAD) | BENCH_TAKES(RATE) | BENCH_TAKES(SECONDS) | BENCH_TAKES(WARMUP),
    .defaults = {.connections = 1,
                 .channels = 1,
                 .inflight = 1,
                 .payload = 128,
                 .batch = 1,
                 .rate = 50,
                 .seconds = 10,
                 .warmup = 1},
    .run = lone_run,
};
