/* stall: so many subscribers, of whom some stop reading for a while as a phone in a tunnel does,
 * while
 * --bytes of payload are published; then they read again.
 *
 * Told: what the others notice (deliveries a second and publish to delivery, before, during the
 * stall and while the stalled ones catch up), what the server's memory does, and how long it takes
 * until the stalled ones have everything that was published up to their return. Each of them must
 * get all of it, in order: the account is as exact for them as for the others. */
#include "base/mem.h"
#include "bench/scenario.h"

#define RSS_SAMPLE_NS (BENCH_NS / 5)

enum phase {
    PHASE_BEFORE,
    PHASE_STALL,
    PHASE_RETURN,
    PHASE_COUNT,
};

struct phase_told {
    struct histogram *latency; /* of the others, from due to delivered */
    uint64_t began_ns;
    uint64_t ended_ns;
    uint64_t delivered; /* to the others */
    uint64_t rss_max;
    uint64_t cpu_ns;
};

struct stall {
    struct bench *bench;
    struct bench_publisher publisher;
    struct bench_subscriber *subscribers; /* the first `stalled` are those that stall */
    size_t count;
    size_t stalled;
    struct bench_pace pace;
    bool pacing;
    enum phase phase;
    struct phase_told told[PHASE_COUNT];
    uint64_t delivered; /* to the others */
    uint64_t sampled_ns;
    uint64_t *targets; /* by channel: the last one when they returned */
    size_t caught_up;
    uint64_t behind; /* messages, all of them together, when they returned */
};

static bool is_stalled(const struct stall *s, const struct bench_subscriber *subscriber)
{
    return subscriber < s->subscribers + s->stalled;
}

static void on_message(struct bench_subscriber *subscriber, const struct stamp *stamp)
{
    struct stall *s = subscriber->setup.ctx;
    if (!is_stalled(s, subscriber)) {
        s->delivered++;
    } else if (s->phase == PHASE_RETURN && subscriber->mark == 0 &&
               stamp->number >= s->targets[stamp->channel]) {
        subscriber->mark = 1;
        s->caught_up++;
    }
}

static void sample_rss(struct stall *s)
{
    const uint64_t now_ns = s->bench->loop.now_ns;
    if (now_ns - s->sampled_ns < RSS_SAMPLE_NS) {
        return;
    }
    s->sampled_ns = now_ns;
    const uint64_t rss = bench_server_rss_bytes(s->bench);
    uint64_t *max = &s->told[s->phase].rss_max;
    *max = rss > *max ? rss : *max;
}

static uint64_t turn(void *ctx)
{
    struct stall *s = ctx;
    uint64_t due_ns;
    sample_rss(s);
    while (s->pacing && bench_publisher_free(&s->publisher) &&
           bench_pace_due(&s->pace, s->bench->loop.now_ns, &due_ns)) {
        bench_publisher_send(&s->publisher, due_ns);
        s->pace.sent++;
    }
    return bench_pace_wait_ns(&s->pace);
}

static void phase_begin(struct stall *s, enum phase phase)
{
    struct phase_told *told = &s->told[phase];
    s->phase = phase;
    for (size_t i = s->stalled; i < s->count; i++) {
        s->subscribers[i].setup.latency = told->latency;
    }
    bench_window_begin(s->bench);
    told->began_ns = bench_now_ns();
    told->delivered = s->delivered;
}

static void phase_end(struct stall *s)
{
    struct phase_told *told = &s->told[s->phase];
    bench_window_end(s->bench);
    s->sampled_ns = 0; /* at least once in each phase */
    sample_rss(s);
    told->ended_ns = bench_now_ns();
    told->delivered = s->delivered - told->delivered;
    told->cpu_ns = s->bench->window.server_cpu_ns;
}

static void pause_stalled(struct stall *s, bool paused)
{
    for (size_t i = 0; i < s->stalled; i++) {
        bench_conn_pause(&s->subscribers[i].conn, paused);
    }
}

/* Where everything stands when they return. */
static void targets_set(struct stall *s)
{
    bytes_copy(s->targets, s->publisher.numbers,
               s->publisher.setup.channel_count * sizeof(*s->targets));
    for (size_t i = 0; i < s->stalled; i++) {
        struct bench_subscriber *subscriber = &s->subscribers[i];
        const uint64_t target = s->targets[subscriber->setup.channel];
        const bool has = bench_subscriber_has(subscriber, target);
        subscriber->mark = has;
        s->caught_up += has;
        s->behind += has ? 0 : target + 1 - subscriber->expected;
    }
}

static void catch_up(struct stall *s)
{
    struct bench *bench = s->bench;
    const uint64_t end = bench_now_ns() + 4 * BENCH_PATIENCE_NS;
    while (s->caught_up < s->stalled && bench_going(bench)) {
        bench_step(bench, turn(s));
        if (bench->loop.now_ns > end) {
            bench_fail(bench, "%zu of %zu had not caught up in time", s->stalled - s->caught_up,
                       s->stalled);
        }
    }
}

static bool all_delivered(const void *ctx)
{
    const struct stall *s = ctx;
    for (size_t i = 0; i < s->count; i++) {
        const struct bench_subscriber *subscriber = &s->subscribers[i];
        if (!bench_subscriber_has(subscriber, s->publisher.numbers[subscriber->setup.channel])) {
            return false;
        }
    }
    return s->publisher.inflight == 0;
}

static bool stall_open(struct stall *s)
{
    struct bench *bench = s->bench;
    const uint32_t channels = (uint32_t)bench->options->channels;
    for (uint32_t i = 0; i < s->count && bench_going(bench); i++) {
        const struct bench_subscriber_setup subscriber = {
            .channel = i % channels, .from = BENCH_FROM_LATEST, .on_message = on_message, .ctx = s};
        bench->loop.narrow = i < s->stalled;
        bench_subscriber_open(bench, &s->subscribers[i], i, &subscriber);
    }
    bench->loop.narrow = false;
    bench_subscribers_wait(bench, s->subscribers, s->count);
    const struct bench_publisher_setup publisher = {
        .channel_count = channels, .channel_stride = 1, .inflight = 16384, .alone = true};
    if (!bench_going(bench) ||
        !bench_publisher_open(bench, &s->publisher, (uint32_t)s->count, &publisher)) {
        return false;
    }
    bench_conns_wait(bench);
    return bench_going(bench);
}

static double mib(double bytes)
{
    return bytes / 1048576;
}

static void rows(struct stall *s)
{
    static const char *const names[PHASE_COUNT][4] = {
        {"before_deliveries_per_second", "before_ms_p99", "before_rss_mib", "before_cpu_cores"},
        {"stall_deliveries_per_second", "stall_ms_p99", "stall_rss_mib", "stall_cpu_cores"},
        {"return_deliveries_per_second", "return_ms_p99", "return_rss_mib", "return_cpu_cores"},
    };
    struct bench *bench = s->bench;
    for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
        const struct phase_told *told = &s->told[phase];
        const double seconds = (double)(told->ended_ns - told->began_ns) / 1e9;
        bench_row(bench, names[phase][0], (double)told->delivered / seconds, "deliveries/s");
        bench_row(bench, names[phase][1], (double)histogram_at(told->latency, 9900) / 1e6, "ms");
        if (bench->server.pid != 0) {
            bench_row(bench, names[phase][2], mib((double)told->rss_max), "MiB");
            bench_row(bench, names[phase][3], (double)told->cpu_ns / 1e9 / seconds, "cores");
        }
    }
    const struct phase_told *back = &s->told[PHASE_RETURN];
    const double seconds = (double)(back->ended_ns - back->began_ns) / 1e9;
    const double bytes = (double)s->behind * (double)bench->options->payload;
    bench_row(bench, "behind_messages", (double)s->behind, "messages");
    bench_row(bench, "behind_mib", mib(bytes), "MiB");
    bench_row(bench, "caught_up_seconds", seconds, "s");
    bench_row(bench, "caught_up_mib_per_second", mib(bytes) / seconds, "MiB/s");
}

static void run_all(struct stall *s)
{
    struct bench *bench = s->bench;
    const struct bench_options *o = bench->options;
    bench_series(bench, "deliveries/s", &s->delivered);
    const uint64_t rate = o->bytes / o->payload / o->stall_seconds;
    s->pace = (struct bench_pace){.rate = rate == 0 ? 1 : rate, .began_ns = bench_now_ns()};
    s->pacing = true;
    bench_run_for(bench, o->warmup * BENCH_NS, turn, s);
    phase_begin(s, PHASE_BEFORE);
    bench_run_for(bench, o->seconds * BENCH_NS, turn, s);
    phase_end(s);
    pause_stalled(s, true);
    phase_begin(s, PHASE_STALL);
    bench_run_for(bench, o->stall_seconds * BENCH_NS, turn, s);
    phase_end(s);
    targets_set(s);
    phase_begin(s, PHASE_RETURN);
    pause_stalled(s, false);
    catch_up(s);
    phase_end(s);
    s->pacing = false;
    bench_drain(bench, all_delivered, s);
    rows(s);
    bench_publisher_settle(&s->publisher);
    for (size_t i = 0; i < s->count && bench_going(bench); i++) {
        struct bench_subscriber *subscriber = &s->subscribers[i];
        bench_subscriber_settle(subscriber, s->publisher.numbers[subscriber->setup.channel]);
    }
}

static void stall_run(struct bench *bench)
{
    const struct bench_options *o = bench->options;
    struct stall s = {.bench = bench, .count = o->connections, .stalled = o->stalled};
    ASSERT(s.stalled <= s.count); /* the options were checked */
    s.told[PHASE_BEFORE].latency = bench_latency(bench, "before");
    s.told[PHASE_STALL].latency = bench_latency(bench, "stall");
    s.told[PHASE_RETURN].latency = bench_latency(bench, "return");
    s.subscribers = bench_alloc(bench, s.count, sizeof(*s.subscribers));
    s.targets = bench_alloc(bench, o->channels, sizeof(*s.targets));
    if (bench_going(bench) && stall_open(&s)) {
        run_all(&s);
    }
    for (size_t i = 0; s.subscribers != NULL && i < s.count; i++) {
        bench_subscriber_close(&s.subscribers[i]);
    }
    bench_publisher_close(&s.publisher);
    mem_free(s.subscribers);
    mem_free(s.targets);
}

const struct bench_scenario bench_scenario_stall = {
    .name = "stall",
    .summary = "some subscribers stop reading for a while; what the others notice",
    .takes = BENCH_TAKES(CONNECTIONS) | BENCH_TAKES(CHANNELS) | BENCH_TAKES(STALLED) |
             BENCH_TAKES(STALL_SECONDS) | BENCH_TAKES(BYTES) | BENCH_TAKES(PAYLOAD) |
             BENCH_TAKES(SECONDS) | BENCH_TAKES(WARMUP),
    .defaults = {.connections = 1000,
                 .channels = 100,
                 .inflight = 1,
                 .payload = 4096,
                 .batch = 1,
                 .seconds = 10,
                 .warmup = 2,
                 .stalled = 100,
                 .stall_seconds = 60,
                 .bytes = 1000000000},
    .run = stall_run,
};
