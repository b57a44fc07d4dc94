#include "sim/watch.h"

#include "base/tune.h"
#include "server/conn_private.h"
#include "server/host_private.h"
#include "session/session_private.h"
#include "session/subscription.h"
#include "sim/net.h"
#include "sim/trace.h"

#define REACTORS_MAX 8u

/* A deadline may be missed by as many turns, while so much time passes, before it counts: the first
 * turn sends the ping, a later one the Close. */
#define LATE_TURNS 20u
#define LATE_US    2000000u

static struct {
    bool drained;
    unsigned late_turns; /* in a row */
    uint64_t late_us;    /* since when */
} watched[REACTORS_MAX];

void watch_begin(void)
{
    bytes_zero(watched, sizeof(watched));
}

static void session_watch(const struct reactor *reactor, const struct session *session)
{
    const uint64_t bytes_max = tune.credit_bytes + HISTORY_BYTES_MAX;
    if (session->inflight_count > reactor->server->config->limit_inflight ||
        session->inflight_bytes > bytes_max || session->read_count > tune.session_reads) {
        trace_fail("I11 bounded", "a connection has %u commands under way, %u bytes, %u reads",
                   session->inflight_count, session->inflight_bytes, session->read_count);
    }
}

/* [I11] A feed keeps what its bound says, or the newest chunk alone. Returns how many they keep. */
static uint32_t feeds_watch(const struct reactor *reactor, enum wire_codec codec)
{
    const struct feed_table *table = &reactor->feeds;
    const struct feed *feed;
    uint32_t chunks = 0;
    size_t at = 0;
    while ((feed = map_next(&table->by_name_[codec], &at)) != NULL) {
        if (feed->chunk_count_ > 1 && feed->bytes_ > table->feed_bytes_max_) {
            trace_fail("I11 bounded", "a feed keeps %zu bytes in %u chunks, and may keep %zu",
                       feed->bytes_, feed->chunk_count_, table->feed_bytes_max_);
        }
        chunks += feed->chunk_count_;
    }
    return chunks;
}

/* So do all of them together. */
static void feed_table_watch(const struct reactor *reactor)
{
    const struct feed_table *table = &reactor->feeds;
    const uint32_t chunks = feeds_watch(reactor, WIRE_JSON) + feeds_watch(reactor, WIRE_BINARY);
    if (chunks > 1 && table->bytes_ > table->table_bytes_max_) {
        trace_fail("I11 bounded", "feeds keep %zu bytes in %u chunks, and may keep %zu",
                   table->bytes_, chunks, table->table_bytes_max_);
    }
}

/* Whether a client has been silent longer than any may, and the server has not noticed. */
static bool is_late(const struct reactor *reactor, const struct conn *conn)
{
    const struct config *config = reactor->server->config;
    const uint64_t may_us = (config->ping_interval_ms + config->pong_timeout_ms) * 1000 + LATE_US;
    return conn->phase == CONN_WS && session_ready(conn->session) && conn->reading &&
           !conn->want_write && !conn->dead && net_heard_us(conn->handler.fd) + may_us < sim_now_us;
}

static void late_watch(const struct reactor *reactor, bool late)
{
    const unsigned i = reactor->index;
    if (!late) {
        watched[i].late_turns = 0;
        return;
    }
    if (watched[i].late_turns++ == 0) {
        watched[i].late_us = sim_now_us;
    }
    if (watched[i].late_turns > LATE_TURNS && watched[i].late_us + LATE_US < sim_now_us) {
        trace_fail("P26 clock independence", "a silent connection is kept beyond all deadlines");
    }
}

/* Between turns a connection keeps no memory for what it has not got: else a million idle ones
 * would. */
static void idle_watch(const struct conn *conn)
{
    const struct conn_work *work = conn->work;
    if (conn->out.size == 0 && conn->out.capacity > 0) {
        trace_fail("I11 bounded", "a connection keeps a buffer with nothing to send");
    }
    if (work != NULL && work->parser == NULL && !conn->blocked && !work->decoding &&
        work->in.size + work->deferred.size + work->pong.size == 0) {
        trace_fail("I11 bounded", "an idle connection keeps what only a busy one needs");
    }
}

/* [I11] Nor what was read from the log for one that takes nothing: it is read again when it does.
 */
static void stalled_watch(const struct session *session)
{
    for (struct list *at = session->ready.next; session->stalled && at != &session->ready;
         at = at->next) {
        const struct subscription *sub = CONTAINER_OF(at, struct subscription, ready_link);
        if (sub->chunk != NULL) {
            trace_fail("I11 bounded", "what was read is kept for a connection that takes nothing");
        }
    }
}

static void conns_watch(const struct reactor *reactor)
{
    bool late = false;
    unsigned count = 0;
    for (uint32_t slot = 0; slot < conn_table_end(&reactor->conns); slot++) {
        const struct conn *conn = conn_table_at(&reactor->conns, slot);
        if (conn != NULL && conn->session != NULL) {
            session_watch(reactor, conn->session);
            stalled_watch(conn->session);
            idle_watch(conn);
            late = late || is_late(reactor, conn);
        }
        count += conn != NULL;
    }
    late_watch(reactor, late);
    if (reactor->blocked_count > count) {
        trace_fail("I11 bounded", "%u publishes of %u connections wait", reactor->blocked_count,
                   count);
    }
}

/* [P27] It says so once; what is published later, it does not wait for. */
static void drained_watch(const struct reactor *reactor)
{
    if (watched[reactor->index].drained == reactor->drained_told) {
        return;
    }
    watched[reactor->index].drained = reactor->drained_told;
    bool busy = reactor->blocked_count > 0;
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        busy = busy || reactor->credit_used[i] > 0 ||
               (reactor->hosts[i] != NULL && !host_idle(reactor->hosts[i]));
    }
    if (busy) {
        trace_fail("P27 graceful stop", "reactor %u says that it is drained, and is not",
                   reactor->index);
    }
}

void watch_reactor(const struct reactor *reactor)
{
    ASSERT(reactor->index < REACTORS_MAX);
    conns_watch(reactor);
    feed_table_watch(reactor);
    drained_watch(reactor);
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        if (reactor->hosts[i] != NULL && reactor->hosts[i]->reads_out > tune.host_reads) {
            trace_fail("I11 bounded", "partition %u has %u reads out", i,
                       reactor->hosts[i]->reads_out);
        }
    }
}
