/* resume: so many subscribers come back at once, as after a restart or a lost network, each to a
 * channel where --messages wait for it; meanwhile a bystander's publishes go on at --rate.
 *
 * Told: the time until the last one has caught up, how long each took from its first packet, and
 * the bystander's publish to delivery before and meanwhile. */
#include "base/mem.h"
#include "bench/scenario.h"

#define FILL_INFLIGHT 64u
/* As fast as connect() goes, but the bystander must not wait for that: some milliseconds of it. */
#define OPEN_AT_ONCE 64u

struct resume {
    struct bench *bench;
    struct bench_publisher filler;
    struct bench_publisher bystander;
    struct bench_subscriber listener; /* to the bystander */
    struct bench_subscriber *subscribers;
    size_t count;
    uint32_t opened;
    uint64_t backlog; /* messages that wait for each */
    size_t caught_up;
    uint64_t storm_ns;
    uint64_t ended_ns;
    struct histogram *each_ns;
    struct bench_pace pace;
    bool pacing;
};

static void on_message(struct bench_subscriber *subscriber, const struct stamp *stamp)
{
    struct resume *r = subscriber->setup.ctx;
    if (stamp->number == r->backlog) {
        histogram_add(r->each_ns, r->bench->loop.now_ns - r->storm_ns);
        r->caught_up++;
        r->ended_ns = r->bench->loop.now_ns;
    }
}

static void on_filled(struct bench_publisher *publisher)
{
    const struct resume *r = publisher->setup.ctx;
    const uint64_t all = r->backlog * publisher->setup.channel_count;
    while (publisher->sent < all && bench_publisher_free(publisher)) {
        bench_publisher_send(publisher, r->bench->loop.now_ns);
    }
}

static bool filled(const void *ctx)
{
    const struct resume *r = ctx;
    return r->filler.inflight == 0;
}

static uint64_t turn(void *ctx)
{
    struct resume *r = ctx;
    uint64_t due_ns;
    while (r->pacing && bench_publisher_free(&r->bystander) &&
           bench_pace_due(&r->pace, r->bench->loop.now_ns, &due_ns)) {
        bench_publisher_send(&r->bystander, due_ns);
        r->pace.sent++;
    }
    return bench_pace_wait_ns(&r->pace);
}

static bool bystander_done(const void *ctx)
{
    const struct resume *r = ctx;
    return r->bystander.inflight == 0 && bench_subscriber_has(&r->listener, r->bystander.sent);
}

/* What waits for the subscribers, in channels 1 …; channel 0 is the bystander's. */
static bool fill(struct resume *r)
{
    struct bench *bench = r->bench;
    const struct bench_publisher_setup setup = {
        .channel_first = 1,
        .channel_count = (uint32_t)bench->options->channels,
        .channel_stride = 1,
        .inflight = FILL_INFLIGHT,
        .alone = true,
        .on_acked = on_filled,
        .ctx = r,
    };
    if (!bench_publisher_open(bench, &r->filler, 0, &setup)) {
        return false;
    }
    bench_conns_wait(bench);
    const uint64_t all = r->backlog * setup.channel_count;
    while (bench_publisher_free(&r->filler) && r->filler.sent < all && bench_going(bench)) {
        bench_publisher_send(&r->filler, bench->loop.now_ns);
    }
    bench_drain(bench, filled, r);
    bench_publisher_settle(&r->filler);
    bench_publisher_close(&r->filler);
    return bench_going(bench);
}

static bool bystander_open(struct resume *r, struct histogram *latency)
{
    struct bench *bench = r->bench;
    const struct bench_subscriber_setup listener = {.from = BENCH_FROM_LATEST, .latency = latency};
    const struct bench_publisher_setup publisher = {
        .channel_count = 1, .channel_stride = 1, .inflight = 4096, .alone = true};
    bench_subscriber_open(bench, &r->listener, 1, &listener);
    bench_subscribers_wait(bench, &r->listener, 1);
    if (!bench_going(bench) || !bench_publisher_open(bench, &r->bystander, 2, &publisher)) {
        return false;
    }
    bench_conns_wait(bench);
    return bench_going(bench);
}

static void open_some(struct resume *r)
{
    struct bench *bench = r->bench;
    for (unsigned n = 0; n < OPEN_AT_ONCE && r->opened < r->count && bench_going(bench); n++) {
        const uint32_t i = r->opened++;
        const struct bench_subscriber_setup setup = {
            .channel = 1 + i % (uint32_t)bench->options->channels,
            .from = BENCH_FROM_EARLIEST,
            .on_message = on_message,
            .ctx = r,
        };
        bench_subscriber_open(bench, &r->subscribers[i], i + 3, &setup);
    }
}

static void storm(struct resume *r)
{
    struct bench *bench = r->bench;
    r->storm_ns = bench_now_ns();
    bench->moved_ns = 0; /* as bench_drain() */
    while (r->caught_up < r->count && bench_going(bench) && !bench_stalled(bench)) {
        open_some(r);
        const uint64_t wait = turn(r);
        bench_step(bench, r->opened < r->count ? 0 : wait);
    }
}

static void rows(struct resume *r, const struct histogram *before, const struct histogram *during)
{
    struct bench *bench = r->bench;
    const double seconds = (double)(r->ended_ns - r->storm_ns) / 1e9;
    bench_row(bench, "caught_up_seconds", seconds, "s");
    bench_row(bench, "resumed_per_second", (double)r->caught_up / seconds, "subscribers/s");
    bench_row(bench, "deliveries_per_second", (double)(r->backlog * r->caught_up) / seconds,
              "messages/s");
    bench_row(bench, "bystander_before_ms_p99", (double)histogram_at(before, 9900) / 1e6, "ms");
    bench_row(bench, "bystander_during_ms_p99", (double)histogram_at(during, 9900) / 1e6, "ms");
    bench_rows_cpu(bench, "server_cpu_us_per_subscriber", r->caught_up);
}

static void run_all(struct resume *r)
{
    struct bench *bench = r->bench;
    struct histogram *during = bench_latency(bench, "bystander_during");
    struct histogram *before = bench_latency(bench, "bystander_before");
    r->each_ns = bench_latency(bench, "caught_up");
    r->subscribers = bench_alloc(bench, r->count, sizeof(*r->subscribers));
    if (!bench_going(bench) || !fill(r) || !bystander_open(r, before)) {
        return;
    }
    bench_series(bench, "deliveries/s", &bench->counts.delivered);
    r->pacing = true;
    r->pace = (struct bench_pace){.rate = bench->options->rate, .began_ns = bench_now_ns()};
    bench_measure(bench, turn, r);
    r->listener.setup.latency = during;
    bench_window_begin(bench);
    storm(r);
    bench_window_end(bench);
    r->pacing = false;
    bench_drain(bench, bystander_done, r);
    rows(r, before, during);
    if (bench_going(bench)) {
        bench_publisher_settle(&r->bystander);
        bench_subscriber_settle(&r->listener, r->bystander.sent);
        for (size_t i = 0; i < r->count; i++) {
            bench_subscriber_settle(&r->subscribers[i], r->backlog);
        }
    }
}

static void resume_run(struct bench *bench)
{
    struct resume r = {
        .bench = bench, .count = bench->options->connections, .backlog = bench->options->messages};
    run_all(&r);
    bench_publisher_close(&r.filler);
    bench_publisher_close(&r.bystander);
    bench_subscriber_close(&r.listener);
    for (size_t i = 0; r.subscribers != NULL && i < r.count; i++) {
        bench_subscriber_close(&r.subscribers[i]);
    }
    mem_free(r.subscribers);
}

const struct bench_scenario bench_scenario_resume = {
    .name = "resume",
    .summary = "many subscribers come back at once; what a bystander notices",
    .takes = BENCH_TAKES(CONNECTIONS) | BENCH_TAKES(CHANNELS) | BENCH_TAKES(MESSAGES) |
             BENCH_TAKES(PAYLOAD) | BENCH_TAKES(RATE) | BENCH_TAKES(SECONDS) | BENCH_TAKES(WARMUP),
    .defaults = {.connections = 2000,
                 .channels = 100,
                 .inflight = 1,
                 .messages = 100,
                 .payload = 128,
                 .batch = 1,
                 .rate = 200,
                 .seconds = 3,
                 .warmup = 1},
    .run = resume_run,
};
