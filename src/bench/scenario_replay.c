/* replay: a history is written, the server is killed (-9) and started again, what the kernel has
 * cached of the files is dropped as far as it lets us, and then --readers read all of it from the
 * first message.
 *
 * Told: how fast it was written and read, in payload and on the wire, and the time until the
 * server was ready again. Against a server that is not ours it neither restarts nor drops. */
#include "base/mem.h"
#include "bench/scenario.h"

#define FILL_CONNECTIONS 4u
#define FILL_INFLIGHT    8u

struct replay {
    struct bench *bench;
    struct bench_publisher fillers[FILL_CONNECTIONS];
    struct bench_subscriber *readers; /* one for each channel, so many times */
    size_t reader_count;
    uint64_t each; /* messages of a channel */
    uint64_t all;
};

/* Each filler has every fourth channel, and takes them in turn, a batch each. */
static uint64_t share_of(const struct replay *r, const struct bench_publisher *filler)
{
    return r->each * filler->setup.channel_count;
}

static void on_acked(struct bench_publisher *publisher)
{
    const struct replay *r = publisher->setup.ctx;
    while (publisher->sent < share_of(r, publisher) && bench_publisher_free(publisher)) {
        bench_publisher_send(publisher, r->bench->loop.now_ns);
    }
}

static bool filled(const void *ctx)
{
    const struct replay *r = ctx;
    for (size_t i = 0; i < FILL_CONNECTIONS; i++) {
        if (r->fillers[i].inflight > 0) {
            return false;
        }
    }
    return true;
}

static bool fill_open(struct replay *r, uint32_t index)
{
    const uint32_t channels = (uint32_t)r->bench->options->channels;
    const struct bench_publisher_setup setup = {
        .channel_first = index,
        .channel_count = (channels - index + FILL_CONNECTIONS - 1) / FILL_CONNECTIONS,
        .channel_stride = FILL_CONNECTIONS,
        .inflight = FILL_INFLIGHT,
        .alone = true,
        .on_acked = on_acked,
        .ctx = r,
    };
    return bench_publisher_open(r->bench, &r->fillers[index], index, &setup);
}

static void fill(struct replay *r)
{
    struct bench *bench = r->bench;
    const uint64_t channels = bench->options->channels;
    for (uint32_t i = 0; i < FILL_CONNECTIONS && i < channels; i++) {
        if (!fill_open(r, i)) {
            return;
        }
    }
    bench_conns_wait(bench);
    const uint64_t began = bench_now_ns();
    for (uint32_t i = 0; i < FILL_CONNECTIONS && i < channels; i++) {
        struct bench_publisher *filler = &r->fillers[i];
        while (bench_publisher_free(filler) && filler->sent < share_of(r, filler)) {
            bench_publisher_send(filler, bench->loop.now_ns);
        }
    }
    bench_drain(bench, filled, r);
    for (size_t i = 0; i < FILL_CONNECTIONS; i++) {
        bench_publisher_settle(&r->fillers[i]);
        bench_publisher_close(&r->fillers[i]);
    }
    bench_row(bench, "fill_messages_per_second",
              (double)r->all * 1e9 / (double)(bench_now_ns() - began), "messages/s");
}

static bool restart(struct bench *bench)
{
    uint64_t ready_ns = 0;
    if (!bench->server.ours) {
        return true;
    }
    bench_server_kill(bench);
    (void)bench_server_chill(bench);
    bench_row(bench, "log_mib", (double)bench_server_disk_bytes(bench) / 1048576, "MiB");
    if (!bench_server_restart(bench, &ready_ns)) {
        return false;
    }
    bench_row(bench, "ready_ms_after_kill", (double)ready_ns / 1e6, "ms");
    /* Once more, for what the start has read. */
    const double cached = (double)bench_server_chill(bench);
    bench_row(bench, "cached_mib_after_drop", cached / 1048576, "MiB");
    return true;
}

static uint64_t wait_a_moment(void *ctx)
{
    (void)ctx;
    return BENCH_NS / 10;
}

static bool all_read(const void *ctx)
{
    const struct replay *r = ctx;
    for (size_t i = 0; i < r->reader_count; i++) {
        if (!bench_subscriber_has(&r->readers[i], r->each)) {
            return false;
        }
    }
    return true;
}

static void read_back(struct replay *r)
{
    struct bench *bench = r->bench;
    bench_series(bench, "messages read/s", &bench->counts.delivered);
    bench_window_begin(bench);
    for (uint32_t i = 0; i < r->reader_count && bench_going(bench); i++) {
        const struct bench_subscriber_setup setup = {
            .channel = i % (uint32_t)bench->options->channels, .from = BENCH_FROM_EARLIEST};
        bench_subscriber_open(bench, &r->readers[i], i, &setup);
    }
    bench_drain(bench, all_read, r);
    bench_window_end(bench);
    const struct bench_counts *counts = &bench->window.counts;
    const double seconds = bench_window_seconds(bench);
    bench_row(bench, "read_messages_per_second", (double)counts->delivered / seconds, "messages/s");
    bench_row(bench, "read_payload_mb_per_second", (double)counts->payload_bytes / 1e6 / seconds,
              "MB/s");
    bench_row(bench, "read_wire_mb_per_second", (double)counts->wire_bytes / 1e6 / seconds, "MB/s");
    bench_rows_cpu(bench, "server_cpu_us_per_message", counts->delivered);
}

static void replay_run(struct bench *bench)
{
    struct replay r = {.bench = bench};
    const struct bench_options *o = bench->options;
    /* As many whole batches in each channel. */
    const uint64_t round = o->channels * o->batch;
    r.each = (o->messages + round - 1) / round * o->batch;
    r.all = r.each * o->channels;
    r.reader_count = o->readers * o->channels;
    r.readers = bench_alloc(bench, r.reader_count, sizeof(*r.readers));
    if (r.readers != NULL) {
        bench_row(bench, "messages", (double)r.all, "");
        fill(&r);
    }
    if (bench_going(bench) && restart(bench)) {
        bench_run_for(bench, o->warmup * BENCH_NS, wait_a_moment, NULL);
        read_back(&r);
    }
    for (size_t i = 0; i < FILL_CONNECTIONS; i++) {
        bench_publisher_close(&r.fillers[i]);
    }
    for (size_t i = 0; r.readers != NULL && i < r.reader_count; i++) {
        if (bench_going(bench)) {
            bench_subscriber_settle(&r.readers[i], r.each);
        }
        bench_subscriber_close(&r.readers[i]);
    }
    mem_free(r.readers);
}

const struct bench_scenario bench_scenario_replay = {
    .name = "replay",
    .summary = "a long history: written, kill -9, time until ready, read from the beginning",
    .takes = BENCH_TAKES(CHANNELS) | BENCH_TAKES(MESSAGES) | BENCH_TAKES(PAYLOAD) |
             BENCH_TAKES(BATCH) | BENCH_TAKES(READERS) | BENCH_TAKES(WARMUP),
    .takes_cumulative = true,
    .defaults = {.connections = FILL_CONNECTIONS,
                 .channels = 4,
                 .inflight = FILL_INFLIGHT,
                 .messages = 1000000,
                 .payload = 128,
                 .batch = 500,
                 .readers = 1,
                 .seconds = 1},
    .run = replay_run,
};
