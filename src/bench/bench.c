#include "bench/bench.h"

#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

void bench_signals_init(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    stop_signal = 0;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * BENCH_NS + (uint64_t)now.tv_nsec;
}

/* ---- failures and violations --------------------------------------------------------------- */

void bench_fail(struct bench *bench, const char *format, ...)
{
    if (bench->failure[0] != '\0') {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(bench->failure, sizeof(bench->failure), format, args);
    va_end(args);
    ASSERT(bench->failure[0] != '\0');
}

bool bench_going(const struct bench *bench)
{
    return bench->failure[0] == '\0' && stop_signal == 0;
}

bool bench_stopped(void)
{
    return stop_signal != 0;
}

const char *bench_violation_name(enum bench_violation violation)
{
    static const char *const names[] = {
#define X(name, text) [BENCH_VIOLATION_##name] = text,
        BENCH_VIOLATION_LIST(X)
#undef X
    };
    ASSERT((size_t)violation < BENCH_VIOLATION_COUNT);
    return names[violation];
}

void bench_violated(struct bench *bench, enum bench_violation violation, const char *format, ...)
{
    bench->violations[violation]++;
    if (bench->example_count == BENCH_EXAMPLES) {
        return;
    }
    va_list args;
    va_start(args, format);
    char text[BENCH_TEXT_SIZE - 24];
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)snprintf(bench->examples[bench->example_count++], BENCH_TEXT_SIZE, "%s: %s",
                   bench_violation_name(violation), text);
}

uint64_t bench_violations(const struct bench *bench)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BENCH_VIOLATION_COUNT; i++) {
        sum += bench->violations[i];
    }
    return sum;
}

void *bench_alloc(struct bench *bench, size_t count, size_t size)
{
    ASSERT(count > 0);
    void *block = mem_calloc(count, size);
    if (block == NULL) {
        bench_fail(bench, "out of memory");
    }
    return block;
}

/* ---- what is told -------------------------------------------------------------------------- */

void bench_row(struct bench *bench, const char *name, double value, const char *unit)
{
    ASSERT(bench->row_count < BENCH_ROWS_MAX);
    if (bench->failure[0] != '\0') {
        return;
    }
    /* JSON has no infinity; a figure over no time or no messages is none. */
    bench->rows[bench->row_count++] = (struct bench_row){name, unit, isfinite(value) ? value : 0};
}

struct histogram *bench_latency(struct bench *bench, const char *name)
{
    ASSERT(bench->latency_count < BENCH_LATENCIES);
    struct histogram *ns = bench_alloc(bench, 1, sizeof(*ns));
    if (ns != NULL) {
        bench->latencies[bench->latency_count++] = (struct bench_latency){name, ns};
    }
    return ns;
}

void bench_series(struct bench *bench, const char *name, const uint64_t *counter)
{
    ASSERT(bench->series_count < BENCH_SERIES);
    float *rates = bench_alloc(bench, BENCH_SAMPLES, sizeof(*rates));
    if (rates != NULL) {
        bench->series[bench->series_count++] =
            (struct bench_series){name, counter, *counter, rates};
    }
}

/* ---- time ---------------------------------------------------------------------------------- */

static void sample(struct bench *bench, uint64_t now_ns)
{
    const double seconds = (double)(now_ns - bench->sampled_ns) / 1e9;
    bench->sampled_ns = now_ns;
    if (bench->sample_count == BENCH_SAMPLES) {
        return;
    }
    for (size_t i = 0; i < bench->series_count; i++) {
        struct bench_series *series = &bench->series[i];
        series->rates[bench->sample_count] =
            (float)((double)(*series->counter - series->before) / seconds);
        series->before = *series->counter;
    }
    bench->sample_times[bench->sample_count++] = (float)((double)(now_ns - bench->began_ns) / 1e9);
}

static void progress(struct bench *bench, uint64_t now_ns)
{
    const double seconds = (double)(now_ns - bench->shown_ns) / 1e9;
    const struct bench_counts *now = &bench->counts;
    const struct bench_counts *then = &bench->shown;
    bench->shown_ns = now_ns;
    if (!bench->options->quiet) {
        const struct histogram *latency = bench->latency_count > 0 ? bench->latencies[0].ns : NULL;
        (void)fprintf(stderr,
                      "%s%s: %.0f s, sent %" PRIu64 ", acknowledged %" PRIu64 " (%.0f/s), "
                      "delivered %" PRIu64 " (%.0f/s), p99 %.2f ms, %" PRIu64 " violations%s",
                      bench->terminal ? "\r\033[K" : "", bench->scenario,
                      (double)(now_ns - bench->began_ns) / 1e9, now->sent, now->acked,
                      (double)(now->acked - then->acked) / seconds, now->delivered,
                      (double)(now->delivered - then->delivered) / seconds,
                      latency == NULL ? 0.0 : (double)histogram_at(latency, 9900) / 1e6,
                      bench_violations(bench), bench->terminal ? "" : "\n");
    }
    bench->shown = *now;
}

void bench_step(struct bench *bench, uint64_t wait_ns)
{
    bench_loop_step(bench, wait_ns);
    const uint64_t now_ns = bench->loop.now_ns;
    if (now_ns - bench->sampled_ns >= BENCH_SAMPLE_NS) {
        sample(bench, now_ns);
    }
    if (now_ns - bench->shown_ns >= BENCH_NS) {
        progress(bench, now_ns);
    }
}

void bench_window_begin(struct bench *bench)
{
    struct bench_window *window = &bench->window;
    window->server_cpu_ns = bench_server_cpu_ns(bench);
    window->client_cpu_ns = bench_client_cpu_ns();
    window->counts = bench->counts;
    window->began_ns = bench_now_ns();
    window->open = true;
}

void bench_window_end(struct bench *bench)
{
    struct bench_window *window = &bench->window;
    ASSERT(window->open);
    window->open = false;
    window->ended_ns = bench_now_ns();
    window->client_cpu_ns = bench_client_cpu_ns() - window->client_cpu_ns;
    window->server_cpu_ns = bench_server_cpu_ns(bench) - window->server_cpu_ns;
    const struct bench_counts *now = &bench->counts;
    window->counts.sent = now->sent - window->counts.sent;
    window->counts.acked = now->acked - window->counts.acked;
    window->counts.delivered = now->delivered - window->counts.delivered;
    window->counts.payload_bytes = now->payload_bytes - window->counts.payload_bytes;
    window->counts.wire_bytes = now->wire_bytes - window->counts.wire_bytes;
}

double bench_window_seconds(const struct bench *bench)
{
    const struct bench_window *window = &bench->window;
    return window->ended_ns > window->began_ns ? (double)(window->ended_ns - window->began_ns) / 1e9
                                               : 0;
}

bool bench_measured(const struct bench *bench, uint64_t due_ns)
{
    const struct bench_window *window = &bench->window;
    return window->began_ns != 0 && due_ns >= window->began_ns &&
           (window->open || due_ns < window->ended_ns);
}

bool bench_stalled(struct bench *bench)
{
    const struct bench_counts *now = &bench->counts;
    struct bench_counts *moved = &bench->moved;
    if (bench->moved_ns == 0 || moved->sent != now->sent || moved->acked != now->acked ||
        moved->delivered != now->delivered) {
        *moved = *now;
        bench->moved_ns = bench->loop.now_ns;
    }
    return bench->loop.now_ns - bench->moved_ns > BENCH_PATIENCE_NS;
}

void bench_rows_cpu(struct bench *bench, const char *name, uint64_t count)
{
    const struct bench_window *window = &bench->window;
    const double seconds = bench_window_seconds(bench);
    if (bench->server.pid != 0) {
        const double rss = (double)bench_server_rss_bytes(bench) / 1048576;
        bench_row(bench, name, (double)window->server_cpu_ns / 1e3 / (double)(count ? count : 1),
                  "us");
        bench_row(bench, "server_cpu_cores", (double)window->server_cpu_ns / 1e9 / seconds,
                  "cores");
        bench_row(bench, "server_rss_mib", rss, "MiB");
        bench_row(bench, "server_pss_mib", (double)bench_server_pss_bytes(bench) / 1048576, "MiB");
    }
    bench_row(bench, "client_cpu_cores", (double)window->client_cpu_ns / 1e9 / seconds, "cores");
}

/* ---- life ---------------------------------------------------------------------------------- */

/* A connection each: the usual soft limit of 1024 descriptors is too low. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool find_target(struct bench *bench)
{
    if (!bench->options->own_server) {
        bench->server.pid = bench->options->server_pid;
        bench->target = bench->options->url;
        return bench_loop_target(bench, bench->target.host, bench->target.port);
    }
    if (!bench_server_start(bench)) {
        return false;
    }
    struct client_url *target = &bench->target;
    (void)snprintf(target->host, sizeof(target->host), "127.0.0.1");
    (void)snprintf(target->port, sizeof(target->port), "%u", bench->server.port);
    (void)snprintf(target->path, sizeof(target->path), "/v1/ws");
    (void)snprintf(target->authority, sizeof(target->authority), "127.0.0.1:%u",
                   bench->server.port);
    return bench_loop_target(bench, target->host, target->port);
}

enum rc bench_init(struct bench *bench, const struct bench_options *options,
                   const struct bench_adapter *adapter, const char *scenario)
{
    *bench = (struct bench){.options = options, .adapter = adapter, .scenario = scenario};
    bench->terminal = isatty(STDERR_FILENO) == 1;
    bench->sample_times = mem_calloc(BENCH_SAMPLES, sizeof(*bench->sample_times));
    if (bench->sample_times == NULL) {
        return RC_NOMEM;
    }
    raise_descriptor_limit();
    if (!bench_loop_open(bench) || !find_target(bench)) {
        return RC_UNAVAILABLE;
    }
    bench->began_ns = bench_now_ns();
    bench->sampled_ns = bench->began_ns;
    bench->shown_ns = bench->began_ns;
    return RC_OK;
}

void bench_deinit(struct bench *bench)
{
    bench_server_close(bench);
    bench_loop_close(bench);
    for (size_t i = 0; i < bench->latency_count; i++) {
        mem_free(bench->latencies[i].ns);
    }
    for (size_t i = 0; i < bench->series_count; i++) {
        mem_free(bench->series[i].rates);
    }
    mem_free(bench->sample_times);
}
