/* The phases of a run, and the loop that drives every connection. */
#include "base/mem.h"
#include "cli/runtime.h"
#include "cli/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
/* Rounds are at least this far apart, so that at a high rate each has enough to do. */
#define ROUND_NS UINT64_C(200000)
/* What a first violation still gets to show what it is: a message that seems lost may be late. */
#define SETTLE_MS   1000u
#define READERS_MAX 4u
#define LOOK_MS     50u /* between looks at whether anything moves */

static void set_clock(struct verify *v)
{
    v->now_ns = runtime_now_ns();
    v->now_ms = v->now_ns / NS_PER_MS;
}

/* ---- making and freeing -------------------------------------------------------------------- */

static enum rc make_producers(struct verify *v)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < v->options->producers && rc == RC_OK; i++) {
        struct verify_client *c = &v->producers[i];
        c->verify = v;
        c->kind = VERIFY_PRODUCER;
        (void)workload_producer_name(&v->workload, (uint32_t)i, c->name);
        rc = numbered_init(&c->number, &v->ledger, (uint32_t)i, v->options->inflight);
        c->number.latency_us = &v->published_us;
        v->producer_count += rc == RC_OK ? 1 : 0;
    }
    return rc;
}

static enum rc make_subscribers(struct verify *v)
{
    enum rc rc = RC_OK;
    const size_t count = v->options->subscribers * v->options->channels;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        struct verify_client *c = &v->subscribers[i];
        c->verify = v;
        c->kind = VERIFY_SUBSCRIBER;
        (void)snprintf(c->name, sizeof(c->name), "subscriber %zu", i);
        rc = observer_init(&c->view, &v->ledger, (uint32_t)(i % v->options->channels), c->name,
                           &v->expected);
        c->view.latency_us = &v->delivered_us;
        c->view.window = v->options->window;
        v->subscriber_count += rc == RC_OK ? 1 : 0;
    }
    return rc;
}

/* The readers come when they are needed. */
static void make_readers(struct verify *v)
{
    const size_t count =
        v->options->channels < READERS_MAX ? (size_t)v->options->channels : READERS_MAX;
    for (size_t i = 0; i < count; i++) {
        v->readers[i].verify = v;
        v->readers[i].kind = VERIFY_READER;
        v->readers[i].next_channel = (uint32_t)i;
    }
    v->reader_count = count;
}

static enum rc make_arrays(struct verify *v)
{
    const size_t subscribers = v->options->subscribers * v->options->channels;
    const size_t all = v->options->producers + subscribers + READERS_MAX;
    v->producers = mem_calloc(v->options->producers, sizeof(*v->producers));
    v->subscribers = mem_calloc(subscribers, sizeof(*v->subscribers));
    v->readers = mem_calloc(READERS_MAX, sizeof(*v->readers));
    v->fds = mem_calloc(all, sizeof(*v->fds));
    v->polled = mem_calloc(all, sizeof(*v->polled));
    v->channel_names = mem_calloc(v->options->channels, sizeof(*v->channel_names));
    if (v->producers == NULL || v->subscribers == NULL || v->readers == NULL || v->fds == NULL ||
        v->polled == NULL || v->channel_names == NULL) {
        return RC_NOMEM;
    }
    for (size_t i = 0; i < v->options->channels; i++) {
        (void)workload_channel_name(&v->workload, (uint32_t)i, v->channel_names[i]);
    }
    return RC_OK;
}

enum rc verify_init(struct verify *verify, const struct verify_options *options)
{
    struct verify *v = verify;
    *v = (struct verify){.options = options, .prng = {.state = options->seed}};
    const struct workload_options load = {
        .prefix = options->prefix,
        .seed = options->seed,
        .messages = options->messages,
        .channels = (uint32_t)options->channels,
        .producers = (uint32_t)options->producers,
        .batch = (uint32_t)options->batch,
        .size = (uint32_t)options->size,
        .rate = options->rate,
    };
    for (size_t i = 0; i < VIOLATION_COUNT; i++) {
        v->violations.tolerated[i] = options->tolerated[i];
    }
    set_clock(v);
    enum rc rc = workload_init(&v->workload, &load);
    if (rc == RC_OK) {
        rc = ledger_init(&v->ledger, &v->workload, &v->violations);
    }
    if (rc == RC_OK) {
        rc = make_arrays(v);
    }
    if (rc == RC_OK) {
        rc = make_producers(v);
    }
    if (rc == RC_OK) {
        rc = make_subscribers(v);
    }
    if (rc != RC_OK) {
        verify_deinit(v);
    }
    return rc;
}

static void close_all(struct verify_client *clients, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        verify_client_close(&clients[i]);
    }
    mem_free(clients);
}

void verify_deinit(struct verify *verify)
{
    struct verify *v = verify;
    close_all(v->producers, v->producer_count);
    close_all(v->subscribers, v->subscriber_count);
    close_all(v->readers, v->reader_count);
    mem_free(v->fds);
    mem_free(v->polled);
    mem_free(v->channel_names);
    ledger_deinit(&v->ledger);
    workload_deinit(&v->workload);
    buf_deinit(&v->payload);
    buf_deinit(&v->expected);
    reply_room_deinit(&v->room);
}

/* ---- one round ----------------------------------------------------------------------------- */

static void open_all(struct verify *v, struct verify_client *clients, size_t count)
{
    for (size_t i = 0; i < count && v->phase != VERIFY_DONE; i++) {
        (void)verify_client_open(&clients[i]);
    }
}

static void add_to_poll(struct verify *v, struct verify_client *clients, size_t count,
                        nfds_t *fd_count, uint64_t *deadline_ns)
{
    for (size_t i = 0; i < count; i++) {
        struct verify_client *c = &clients[i];
        if (c->client == NULL) {
            continue;
        }
        v->fds[*fd_count] = (struct pollfd){.fd = seriatim_client_fd(c->client), .events = POLLIN};
        v->polled[(*fd_count)++] = c;
        const uint64_t deadline = verify_client_deadline_ns(c);
        *deadline_ns = deadline < *deadline_ns ? deadline : *deadline_ns;
    }
}

static void one_round(struct verify *v)
{
    nfds_t count = 0;
    uint64_t deadline_ns = v->shown_ns + 1000 * NS_PER_MS;
    add_to_poll(v, v->producers, v->producer_count, &count, &deadline_ns);
    add_to_poll(v, v->subscribers, v->subscriber_count, &count, &deadline_ns);
    add_to_poll(v, v->readers, v->reader_count, &count, &deadline_ns);
    const uint64_t soonest_ns = v->now_ns + ROUND_NS;
    if (v->phase == VERIFY_LOAD) {
        /* First wait out the round, then for whatever is first. */
        runtime_wait_ns(NULL, 0, soonest_ns);
    }
    runtime_wait_ns(v->fds, count, deadline_ns);
    set_clock(v);
    for (nfds_t i = 0; i < count && v->phase != VERIFY_DONE; i++) {
        verify_client_step(v->polled[i], v->fds[i].revents != 0);
    }
    for (nfds_t i = 0; i < count && v->phase != VERIFY_DONE; i++) {
        verify_client_send(v->polled[i]);
    }
}

/* ---- phases -------------------------------------------------------------------------------- */

static bool all_done(const struct verify_client *clients, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!verify_client_done(&clients[i])) {
            return false;
        }
    }
    return true;
}

/* [P 2] What the library said twice is answered twice: the second answer may still be coming. */
static bool all_answered(const struct verify *v)
{
    for (size_t i = 0; i < v->producer_count; i++) {
        if (v->producers[i].up && numbered_in_flight(&v->producers[i].number) > 0) {
            return false;
        }
    }
    return true;
}

/* A prefix that was used before would make us accuse the server of its own old messages. */
static void check_fresh(struct verify *v)
{
    for (size_t i = 0; i < v->subscriber_count; i++) {
        if (v->subscribers[i].view.latest_told > 0) {
            (void)snprintf(v->subject, sizeof(v->subject),
                           "the channels of prefix '%.60s' hold messages already: take another "
                           "--prefix",
                           v->workload.prefix);
            v->end = VERIFY_END_REFUSED;
            v->phase = VERIFY_DONE;
            return;
        }
    }
}

static void leave_phase(struct verify *v)
{
    switch (v->phase) {
    case VERIFY_CONNECT:
        if (all_done(v->subscribers, v->subscriber_count)) {
            v->phase = VERIFY_LOAD;
            v->began_ns = v->now_ns;
            check_fresh(v);
        }
        break;
    case VERIFY_LOAD:
        if (all_done(v->producers, v->producer_count)) {
            v->load_ended_ns = v->now_ns;
            v->phase = VERIFY_DRAIN;
        }
        break;
    case VERIFY_DRAIN:
        if (!all_done(v->subscribers, v->subscriber_count)) {
            break;
        }
        if (v->options->no_audit) {
            v->phase = all_answered(v) ? VERIFY_DONE : VERIFY_DRAIN;
        } else {
            v->phase = VERIFY_AUDIT;
            make_readers(v);
            open_all(v, v->readers, v->reader_count);
        }
        break;
    case VERIFY_AUDIT:
        if (all_done(v->readers, v->reader_count) && all_answered(v)) {
            v->phase = VERIFY_DONE;
        }
        break;
    case VERIFY_DONE: break;
    }
}

/* A phase that has nothing to do is left at once: nothing would come that ends the wait for it. */
static void next_phase(struct verify *v)
{
    enum verify_phase before;
    do {
        before = v->phase;
        leave_phase(v);
    } while (v->phase != before);
}

/* Anything that shows that the server is there and works. */
static uint64_t moved(const struct verify *v)
{
    const struct verify_sums sums = verify_sum(v);
    uint64_t read = v->counts.audited + v->counts.channels_audited;
    for (size_t i = 0; i < v->reader_count; i++) {
        read += v->readers[i].reading ? v->readers[i].view.received : 0;
    }
    return sums.acked + sums.received + read + v->phase;
}

const char *verify_away(const struct verify *verify)
{
    const struct verify *v = verify;
    const struct verify_client *const lists[] = {v->subscribers, v->producers, v->readers};
    const size_t counts[] = {v->subscriber_count, v->producer_count, v->reader_count};
    for (size_t list = 0; list < 3; list++) {
        for (size_t i = 0; i < counts[list]; i++) {
            const struct verify_client *c = &lists[list][i];
            if (c->client != NULL && !c->up && !verify_client_done(c)) {
                return c->lost_why;
            }
        }
    }
    return NULL;
}

/* An open-loop load may be idle for as long as the next message is not due. */
static bool waits_for_clock(const struct verify *v)
{
    if (v->phase != VERIFY_LOAD) {
        return false;
    }
    uint64_t in_flight = 0;
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < v->producer_count; i++) {
        const struct numbered *n = &v->producers[i].number;
        const uint64_t next = numbered_due_ns(n);
        in_flight += numbered_in_flight(n);
        due = next < due ? next : due;
    }
    return in_flight == 0 && due != UINT64_MAX && due > verify_load_ns(v);
}

static void check_patience(struct verify *v)
{
    if (v->now_ms - v->looked_ms < LOOK_MS) {
        return;
    }
    v->looked_ms = v->now_ms;
    const uint64_t now = moved(v);
    if (now != v->moved_seen || waits_for_clock(v)) {
        v->moved_seen = now;
        v->moved_ms = v->now_ms;
    }
    if (v->phase == VERIFY_DONE || v->now_ms - v->moved_ms < v->options->patience_ms) {
        return;
    }
    const char *away = verify_away(v);
    v->end = away == NULL ? VERIFY_END_STALLED : VERIFY_END_AWAY;
    if (away != NULL) {
        (void)snprintf(v->subject, sizeof(v->subject), "%s", away);
    }
    v->phase = VERIFY_DONE;
}

static void check_violations(struct verify *v)
{
    if (v->options->keep_going || (v->violations.total == 0 && v->violations.suspects == 0)) {
        v->suspect_ms = 0;
        return;
    }
    if (v->suspect_ms == 0) {
        v->suspect_ms = v->now_ms;
    }
    /* A suspicion that is only that (seqs skipped) may still come to nothing but a wrong order,
     * which is a violation too: either way it ends here. */
    if (v->now_ms - v->suspect_ms >= SETTLE_MS && v->phase != VERIFY_DONE) {
        v->end = VERIFY_END_VIOLATION;
        v->phase = VERIFY_DONE;
    }
}

static void check_signal(struct verify *v)
{
    if (runtime_stopped() == 0 || v->stopping) {
        return;
    }
    v->stopping = true;
    v->end = VERIFY_END_STOPPED;
    runtime_stop_waiting();
    if (v->phase == VERIFY_CONNECT) {
        v->phase = VERIFY_DONE;
    }
    for (size_t i = 0; i < v->producer_count; i++) {
        numbered_stop(&v->producers[i].number);
    }
}

/* Whether a subscriber had the time and the connection to get all: then what it lacks is lost. */
static bool view_complete(const struct verify *v, const struct verify_client *c)
{
    switch (v->end) {
    case VERIFY_END_WHOLE:
    case VERIFY_END_STOPPED: return true;
    case VERIFY_END_STALLED: return c->up && c->view.active;
    case VERIFY_END_VIOLATION:
    case VERIFY_END_AWAY:
    case VERIFY_END_REFUSED:
    case VERIFY_END_NOMEM: return false;
    }
    UNREACHABLE();
}

void verify_run(struct verify *verify)
{
    struct verify *v = verify;
    v->terminal = isatty(STDERR_FILENO) == 1;
    set_clock(v);
    v->shown_ns = v->now_ns;
    v->started_ns = v->now_ns;
    v->moved_ms = v->now_ms;
    open_all(v, v->producers, v->producer_count);
    open_all(v, v->subscribers, v->subscriber_count);
    while (v->phase != VERIFY_DONE) {
        one_round(v);
        check_signal(v);
        next_phase(v);
        check_violations(v);
        if (v->phase != VERIFY_DONE && v->now_ns - v->shown_ns >= 1000 * NS_PER_MS) {
            verify_progress(v, false);
        }
        check_patience(v);
    }
    v->ended_ns = v->now_ns;
    v->load_ended_ns = v->load_ended_ns == 0 ? v->now_ns : v->load_ended_ns;
    verify_progress(v, true);
    for (size_t i = 0; i < v->producer_count && v->end == VERIFY_END_STALLED; i++) {
        if (v->producers[i].up) {
            numbered_finish(&v->producers[i].number);
        }
    }
    for (size_t i = 0; i < v->subscriber_count; i++) {
        observer_finish(&v->subscribers[i].view, view_complete(v, &v->subscribers[i]));
    }
}
