#include "bench/scenario.h"

#include "base/mem.h"
#include "bench/report.h"

#define WAIT_NS_MAX (BENCH_NS / 10)
/* Waking up more often than that costs more than it tells. */
#define WAIT_NS_MIN         UINT64_C(50000)
#define AUDIT_CONN_CHANNELS 500u

const struct bench_scenario *const bench_scenarios[BENCH_SCENARIO_COUNT] = {
    &bench_scenario_publish, &bench_scenario_fanout,   &bench_scenario_pairs,
    &bench_scenario_lone,    &bench_scenario_idle,     &bench_scenario_resume,
    &bench_scenario_replay,  &bench_scenario_channels, &bench_scenario_stall,
};

const struct bench_scenario *bench_scenario_find(const char *name)
{
    for (size_t i = 0; i < BENCH_SCENARIO_COUNT; i++) {
        if (strcmp(bench_scenarios[i]->name, name) == 0) {
            return bench_scenarios[i];
        }
    }
    return NULL;
}

void bench_options_complete(struct bench_options *options, const struct bench_scenario *scenario)
{
    const struct bench_options *defaults = &scenario->defaults;
#define X(name, field, text, least, most)                                                          \
    if ((options->given & 1u << BENCH_##name) == 0) {                                              \
        options->field = defaults->field;                                                          \
    }
    BENCH_NUMBER_LIST(X)
#undef X
}

int bench_run(const struct bench_options *options, const struct bench_adapter *adapter,
              const struct bench_scenario *scenario)
{
    struct bench *bench = mem_calloc(1, sizeof(*bench)); /* too large for a stack */
    if (bench == NULL) {
        (void)fprintf(stderr, "seriatim: out of memory\n");
        return 1;
    }
    bench_signals_init();
    const enum rc rc = bench_init(bench, options, adapter, scenario->name);
    bench->takes = scenario->takes;
    if (rc == RC_OK) {
        scenario->run(bench);
    } else if (rc == RC_NOMEM) {
        bench_fail(bench, "out of memory");
    }
    const bool told = bench_report(bench);
    const bool good = bench->failure[0] == '\0' && bench_violations(bench) == 0;
    bench_deinit(bench);
    mem_free(bench);
    return told && good ? 0 : 1;
}

/* ---- time ---------------------------------------------------------------------------------- */

void bench_run_for(struct bench *bench, uint64_t ns, bench_turn *turn, void *ctx)
{
    const uint64_t end = bench_now_ns() + ns;
    bench->loop.now_ns = bench_now_ns();
    while (bench->loop.now_ns < end && bench_going(bench)) {
        const uint64_t wait = turn(ctx);
        const uint64_t left = end - bench->loop.now_ns;
        bench_step(bench, wait < left ? wait : left);
    }
}

void bench_measure(struct bench *bench, bench_turn *turn, void *ctx)
{
    bench_run_for(bench, bench->options->warmup * BENCH_NS, turn, ctx);
    bench_window_begin(bench);
    bench_run_for(bench, bench->options->seconds * BENCH_NS, turn, ctx);
    bench_window_end(bench);
}

void bench_drain(struct bench *bench, bool (*done)(const void *ctx), const void *ctx)
{
    bench->moved_ns = 0; /* what stood still before does not count */
    while (!done(ctx) && bench->failure[0] == '\0' && !bench_stalled(bench)) {
        bench_step(bench, WAIT_NS_MAX);
    }
}

bool bench_pace_due(const struct bench_pace *pace, uint64_t now_ns, uint64_t *ret_due_ns)
{
    ASSERT(pace->rate > 0);
    /* In two parts, so that nothing overflows for years. */
    const uint64_t seconds = pace->sent / pace->rate;
    const uint64_t rest = pace->sent % pace->rate;
    *ret_due_ns = pace->began_ns + seconds * BENCH_NS + rest * BENCH_NS / pace->rate;
    return *ret_due_ns <= now_ns;
}

uint64_t bench_pace_wait_ns(const struct bench_pace *pace)
{
    uint64_t due_ns;
    const uint64_t now_ns = bench_now_ns();
    if (bench_pace_due(pace, now_ns, &due_ns)) {
        return WAIT_NS_MIN;
    }
    const uint64_t wait = due_ns - now_ns;
    return wait < WAIT_NS_MIN ? WAIT_NS_MIN : wait < WAIT_NS_MAX ? wait : WAIT_NS_MAX;
}

/* ---- audit --------------------------------------------------------------------------------- */

struct audit {
    uint32_t first;
    uint32_t end;
    uint64_t held;
    uint64_t answered;
};

static void audit_on_event(struct bench_conn *conn, const struct bench_event *event)
{
    struct audit *audit = conn->setup.ctx;
    struct bench *bench = conn->bench;
    char channel[BENCH_NAME_SIZE];
    if (event->type == BENCH_EVENT_SUBSCRIBED) {
        audit->held += event->next > 0 ? event->next - 1 : 0;
        audit->answered++;
    }
    for (uint32_t i = audit->first; event->type == BENCH_EVENT_READY && i < audit->end; i++) {
        bench_channel_name(bench, i, channel);
        if (bench->adapter->subscribe(conn, channel, BENCH_FROM_LATEST) != RC_OK) {
            bench_fail(bench, "out of memory");
        }
    }
}

uint64_t bench_audit(struct bench *bench, uint32_t channel_count)
{
    struct audit audit = {0};
    struct bench_conn conn;
    const uint64_t end_ns = bench_now_ns() + 4 * BENCH_PATIENCE_NS;
    while (audit.end < channel_count && bench_going(bench)) {
        const uint32_t left = channel_count - audit.end;
        audit.first = audit.end;
        audit.end += left < AUDIT_CONN_CHANNELS ? left : AUDIT_CONN_CHANNELS;
        const struct bench_conn_setup setup = {.index = audit.first,
                                               .channel = audit.first,
                                               .on_event = audit_on_event,
                                               .ctx = &audit};
        bench_conn_open(bench, &conn, &setup);
        while (audit.answered < audit.end && bench_going(bench) && bench->loop.now_ns < end_ns) {
            bench_step(bench, WAIT_NS_MAX);
        }
        bench_conn_close(&conn);
    }
    if (audit.answered < channel_count && bench_going(bench)) {
        bench_fail(bench, "the channels could not be looked at in time");
    }
    return audit.held;
}
