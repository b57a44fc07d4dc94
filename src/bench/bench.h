/* A run of the load generator: its clock, its failure, what it counts, and what it tells.
 *
 * One thread and one epoll descriptor drive every connection. A run ends early at its first
 * failure (something without which it makes no sense to go on), which is told in one sentence. What
 * a server must not do (lose, repeat, reorder) is a violation: it is counted, and the run goes on.
 *
 * Thread: one.  Memory: bench_deinit() frees. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "bench/adapter.h"
#include "bench/loop.h"
#include "bench/options.h"
#include "bench/server.h"
#include "client/histogram.h"

#define BENCH_NS        UINT64_C(1000000000)
#define BENCH_ROWS_MAX  48u
#define BENCH_LATENCIES 4u
#define BENCH_SERIES    3u
#define BENCH_EXAMPLES  5u
#define BENCH_TEXT_SIZE 240u
#define BENCH_SAMPLE_NS (BENCH_NS / 10)
#define BENCH_SAMPLES   3000u
/* Nothing moved for so long: the rest will not come. */
#define BENCH_PATIENCE_NS (30 * BENCH_NS)

/* X(NAME, "name"): what no server may do. */
#define BENCH_VIOLATION_LIST(X)                                                                    \
    X(LOST, "lost")                 /* published, acknowledged or due, and never came */           \
    X(DUPLICATED, "duplicated")     /* a message came again */                                     \
    X(OUT_OF_ORDER, "out_of_order") /* behind one that should follow it */                         \
    X(GAP, "gaps")                  /* seqs were skipped */                                        \
    X(CHANGED, "changed")           /* not the message that was published there */                 \
    X(UNACKED, "unacknowledged")    /* a publish was never answered */                             \
    X(ACK, "acks_wrong")            /* an answer to nothing, or with a seq that cannot be */

enum bench_violation {
#define X(name, text) BENCH_VIOLATION_##name,
    BENCH_VIOLATION_LIST(X)
#undef X
        BENCH_VIOLATION_COUNT
};
const char *bench_violation_name(enum bench_violation violation);

struct bench_row {
    const char *name;
    const char *unit;
    double value;
};

struct bench_latency {
    const char *name;
    struct histogram *ns; /* nanoseconds */
};

/* How a counter grew, sampled every BENCH_SAMPLE_NS. */
struct bench_series {
    const char *name;
    const uint64_t *counter;
    uint64_t before; /* at the last sample */
    float *rates;    /* a second; BENCH_SAMPLES of them */
};

struct bench_counts {
    uint64_t sent;  /* messages */
    uint64_t acked; /* messages */
    uint64_t delivered;
    uint64_t payload_bytes; /* delivered */
    uint64_t wire_bytes;    /* received */
};

/* The time that is measured. */
struct bench_window {
    uint64_t began_ns;
    uint64_t ended_ns;
    uint64_t server_cpu_ns;
    uint64_t client_cpu_ns;
    struct bench_counts counts; /* in this time */
    bool open;
};

struct bench {
    const struct bench_options *options;
    const struct bench_adapter *adapter;
    const char *scenario;
    uint32_t takes; /* the options that say something to it: bit per enum bench_number */
    struct bench_server server;
    struct bench_loop loop;
    struct client_url target;          /* where connections go */
    char failure[BENCH_TEXT_SIZE * 2]; /* "" while there is none */
    uint64_t violations[BENCH_VIOLATION_COUNT];
    char examples[BENCH_EXAMPLES][BENCH_TEXT_SIZE];
    unsigned example_count;
    struct bench_counts counts; /* since the start */
    struct bench_window window;
    uint64_t began_ns;
    struct bench_row rows[BENCH_ROWS_MAX];
    size_t row_count;
    struct bench_latency latencies[BENCH_LATENCIES];
    size_t latency_count;
    struct bench_series series[BENCH_SERIES];
    size_t series_count;
    float *sample_times; /* seconds since the window began; before it: warm-up */
    size_t sample_count;
    uint64_t sampled_ns;
    uint64_t shown_ns;
    struct bench_counts shown;
    struct bench_counts moved; /* by bench_stalled() */
    uint64_t moved_ns;
    char durability[16]; /* as the server says it */
    char server_name[64];
    bool terminal;
};

/* RC_NOMEM; RC_UNAVAILABLE: bench->failure says why. Deinit in any case. */
MUST_USE enum rc bench_init(struct bench *bench, const struct bench_options *options,
                            const struct bench_adapter *adapter, const char *scenario);
void bench_deinit(struct bench *bench);

/* SIGINT and SIGTERM end the run. */
void bench_signals_init(void);
uint64_t bench_now_ns(void);

/* The first one is kept. */
void bench_fail(struct bench *bench, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Whether there is neither a failure nor a signal. */
bool bench_going(const struct bench *bench);
/* Whether a signal has ended the run early. */
bool bench_stopped(void);
void bench_violated(struct bench *bench, enum bench_violation violation, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t bench_violations(const struct bench *bench);

/* Zeroed memory; NULL: out of memory, which is the run's failure. */
MUST_USE void *bench_alloc(struct bench *bench, size_t count, size_t size);

/* ---- what is told -------------------------------------------------------------------------- */

/* Nothing is told of what failed. */
void bench_row(struct bench *bench, const char *name, double value, const char *unit);
/* A histogram of nanoseconds to fill; NULL: out of memory, a failure. */
struct histogram *bench_latency(struct bench *bench, const char *name);
/* Draws the counter's rate over time. */
void bench_series(struct bench *bench, const char *name, const uint64_t *counter);

/* ---- time ---------------------------------------------------------------------------------- */

/* One turn: waits for at most `wait_ns`, takes what came, samples, shows the progress. */
void bench_step(struct bench *bench, uint64_t wait_ns);
/* Begins and ends the time that is measured. */
void bench_window_begin(struct bench *bench);
void bench_window_end(struct bench *bench);
double bench_window_seconds(const struct bench *bench);
/* Whether a latency that counts from `due_ns` belongs to what is measured: also one that ends
 * behind it. */
bool bench_measured(const struct bench *bench, uint64_t due_ns);
/* Whether neither sent, acknowledged nor delivered has changed for BENCH_PATIENCE_NS. */
bool bench_stalled(struct bench *bench);
/* Rows that every scenario has: CPU by `count` of what is called `what`. */
void bench_rows_cpu(struct bench *bench, const char *name, uint64_t count);

#endif
