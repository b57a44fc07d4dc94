/* Publishing: many connections, each with so many publishes under way, or at a given rate.
 *
 * Closed loop: an acknowledgement makes room for the next publish. Open loop (--rate): publish
 * number n is due at start + n / rate, whatever the server does, and its latency counts from then
 * on: a server that stalls cannot hide the queue that it causes. */
#include "load.h"

#include "base/mem.h"

#include <stdio.h>

#define CONNECTIONS_DEFAULT 64
#define INFLIGHT_DEFAULT    64
#define SECONDS_DEFAULT     10
#define NS_PER_SECOND       UINT64_C(1000000000)
#define OPEN_LOOP_WAIT_NS   UINT64_C(100000)
#define COMMAND_SIZE_MAX    (64u * 1024u)

struct publishing {
    const struct options *options;
    struct loop loop;
    struct conn *conns;
    size_t conn_count;
    uint64_t channels;
    uint64_t inflight_max;
    uint64_t acked;
    uint64_t began_ns;
    uint64_t sent; /* open loop */
    bool measuring;
    bool going; /* closed loop: acknowledgements are followed by publishes */
    struct histogram latency_us;
    char data[COMMAND_SIZE_MAX / 2];
};

static void publish_one(struct publishing *p, struct conn *conn, uint64_t due_ns)
{
    static char command[COMMAND_SIZE_MAX];
    const uint64_t id = ++conn->id;
    const unsigned channel = (unsigned)((conn->index + id * p->conn_count) % p->channels);
    const int size = snprintf(command, sizeof(command),
                              "{\"type\":\"publish\",\"id\":%llu,\"channel\":\"load-%u\","
                              "\"data\":%s}",
                              (unsigned long long)id, channel, p->data);
    if (size < 0 || (size_t)size >= sizeof(command)) {
        die("the message is too long");
    }
    conn->sent_ns[id % CONN_SENT_SLOTS] = due_ns;
    conn->inflight++;
    conn_send(conn, bytes_of(command, (size_t)size));
}

static void on_published(struct conn *conn, struct bytes text)
{
    struct publishing *p = conn->ctx;
    if (!reply_is(text, "published")) {
        die("connection %u: %.*s", conn->index, (int)text.size, (const char *)text.data);
    }
    const uint64_t id = reply_number(text, "\"id\":");
    uint64_t *sent_ns = &conn->sent_ns[id % CONN_SENT_SLOTS];
    if (*sent_ns == 0) {
        die("connection %u: id %llu was acknowledged twice", conn->index, (unsigned long long)id);
    }
    if (p->measuring) {
        p->acked++;
        histogram_add(&p->latency_us, (p->loop.now_ns - *sent_ns) / 1000);
    }
    *sent_ns = 0;
    conn->inflight--;
    if (p->going) {
        publish_one(p, conn, p->loop.now_ns);
    }
}

static void data_fill(struct publishing *p)
{
    const uint64_t size = or_default(p->options->size, 128);
    if (size < 2 || size >= sizeof(p->data)) {
        die("--size must be from 2 to %zu", sizeof(p->data) - 1);
    }
    for (uint64_t i = 0; i < size; i++) {
        p->data[i] = i == 0 || i == size - 1 ? '"' : (char)('a' + i % 26);
    }
    p->data[size] = '\0';
}

static void conns_open(struct publishing *p, const struct server *server)
{
    p->conns = mem_calloc(p->conn_count, sizeof(*p->conns));
    if (p->conns == NULL) {
        die("out of memory");
    }
    loop_open(&p->loop);
    for (size_t i = 0; i < p->conn_count; i++) {
        conn_open(&p->conns[i], &p->loop, server->port, (unsigned)i, on_published, p);
        p->conns[i].sent_ns = mem_calloc(CONN_SENT_SLOTS, sizeof(uint64_t));
        if (p->conns[i].sent_ns == NULL) {
            die("out of memory");
        }
    }
}

/* Sends what is due by now; a connection with all slots in use is a server that is lost. */
static void open_loop_send(struct publishing *p)
{
    const uint64_t rate = p->options->rate;
    const uint64_t due = (p->loop.now_ns - p->began_ns) * rate / NS_PER_SECOND;
    for (; p->sent < due; p->sent++) {
        struct conn *conn = &p->conns[p->sent % p->conn_count];
        if (conn->inflight >= CONN_SENT_SLOTS - 1) {
            die("the server does not keep up with %llu a second", (unsigned long long)rate);
        }
        publish_one(p, conn, p->began_ns + p->sent * NS_PER_SECOND / rate);
    }
    for (size_t i = 0; i < p->conn_count; i++) {
        if (p->conns[i].out.size > 0 && !p->conns[i].wants_write) {
            conn_flush(&p->conns[i], &p->loop);
        }
    }
}

static void run_for(struct publishing *p, uint64_t seconds)
{
    const uint64_t end = now_ns() + seconds * NS_PER_SECOND;
    while (p->loop.now_ns < end) {
        if (p->options->rate > 0) {
            open_loop_send(p);
            loop_step(&p->loop, OPEN_LOOP_WAIT_NS);
        } else {
            loop_step(&p->loop, NS_PER_SECOND / 10);
        }
    }
}

static void closed_loop_begin(struct publishing *p)
{
    p->going = true;
    for (size_t i = 0; i < p->conn_count; i++) {
        for (uint64_t k = 0; k < p->inflight_max; k++) {
            publish_one(p, &p->conns[i], now_ns());
        }
        conn_flush(&p->conns[i], &p->loop);
    }
}

/* What was acknowledged must be there: a figure of a server that forgets is none. */
static void publish_verify(const struct publishing *p, const struct server *server)
{
    uint64_t held = 0;
    for (uint64_t channel = 0; channel < p->channels; channel++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "load-%llu", (unsigned long long)channel);
        held += server_latest(server, name);
    }
    if (held < p->acked) {
        die("%llu messages were acknowledged, the server holds %llu", (unsigned long long)p->acked,
            (unsigned long long)held);
    }
}

static void publish_report(const struct publishing *p, double seconds, uint64_t cpu_ns)
{
    const double acked = (double)p->acked;
    report_begin("publish");
    report_number("connections", (double)p->conn_count, "");
    report_number("inflight", p->options->rate > 0 ? 0 : (double)p->inflight_max, "each");
    report_number("rate", (double)p->options->rate, "a second asked for (0: saturated)");
    report_number("acked_per_second", acked / seconds, "messages/s");
    report_number("server_cpu_us_per_message", (double)cpu_ns / 1000 / acked, "us");
    report_number("server_cpu_cores", (double)cpu_ns / 1e9 / seconds, "cores");
    report_number("latency_ms_p50", (double)histogram_at(&p->latency_us, 500) / 1000, "ms");
    report_number("latency_ms_p90", (double)histogram_at(&p->latency_us, 900) / 1000, "ms");
    report_number("latency_ms_p99", (double)histogram_at(&p->latency_us, 990) / 1000, "ms");
    report_number("latency_ms_p999", (double)histogram_at(&p->latency_us, 999) / 1000, "ms");
    report_number("latency_ms_max", (double)p->latency_us.max / 1000, "ms");
    report_end();
}

void figure_publish(const struct options *options)
{
    static struct publishing p;
    struct server server;
    p = (struct publishing){.options = options,
                            .conn_count = or_default(options->connections, CONNECTIONS_DEFAULT),
                            .inflight_max = or_default(options->inflight, INFLIGHT_DEFAULT),
                            .channels = or_default(options->channels, CONNECTIONS_DEFAULT)};
    if (p.inflight_max >= CONN_SENT_SLOTS) {
        die("--inflight must be below %u", CONN_SENT_SLOTS);
    }
    data_fill(&p);
    server_start(&server, options);
    conns_open(&p, &server);
    p.began_ns = now_ns();
    p.loop.now_ns = p.began_ns;
    if (options->rate == 0) {
        closed_loop_begin(&p);
    }
    run_for(&p, options->warmup_seconds);
    const uint64_t cpu_before = server_cpu_ns(&server);
    const uint64_t began = now_ns();
    p.measuring = true;
    run_for(&p, or_default(options->seconds, SECONDS_DEFAULT));
    p.measuring = false;
    const uint64_t ended = now_ns();
    const uint64_t cpu_after = server_cpu_ns(&server);
    publish_verify(&p, &server);
    publish_report(&p, (double)(ended - began) / 1e9, cpu_after - cpu_before);
    for (size_t i = 0; i < p.conn_count; i++) {
        conn_close(&p.conns[i]);
    }
    mem_free(p.conns);
    server_stop(&server);
}
