/* Idle connections: the server's own memory for each one that is subscribed and silent. The
 * kernel's socket buffers are not in it: they are not the server's. */
#include "load.h"

#include "base/mem.h"

#include <stdio.h>

#define CONNECTIONS_DEFAULT 5000
#define WARMUP_CONNECTIONS  50
#define NS_PER_SECOND       UINT64_C(1000000000)
#define SETTLE_SECONDS      2

static size_t subscribed;

static void on_subscribed(struct conn *conn, struct bytes text)
{
    if (!reply_is(text, "subscribed")) {
        die("connection %u: %.*s", conn->index, (int)text.size, (const char *)text.data);
    }
    subscribed++;
}

static void idle_open(struct conn *conns, size_t first, size_t end, struct loop *loop,
                      const struct server *server, uint64_t channels)
{
    for (size_t i = first; i < end; i++) {
        char command[128];
        const int size = snprintf(command, sizeof(command),
                                  "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"idle-%zu\"}",
                                  i % (size_t)channels);
        conn_open(&conns[i], loop, server->port, (unsigned)i, on_subscribed, NULL);
        conn_send(&conns[i], bytes_of(command, (size_t)size));
        conn_flush(&conns[i], loop);
    }
    while (subscribed < end) {
        loop_step(loop, NS_PER_SECOND);
    }
    const uint64_t settled = now_ns() + SETTLE_SECONDS * NS_PER_SECOND;
    while (now_ns() < settled) {
        loop_step(loop, NS_PER_SECOND / 10);
    }
}

void figure_idle(const struct options *options)
{
    const uint64_t count = or_default(options->connections, CONNECTIONS_DEFAULT);
    const uint64_t channels = or_default(options->channels, 1);
    const uint64_t total = count + WARMUP_CONNECTIONS;
    struct server server;
    struct loop loop;
    struct conn *conns = mem_calloc(total, sizeof(*conns));
    if (conns == NULL) {
        die("out of memory");
    }
    subscribed = 0;
    server_start(&server, options);
    loop_open(&loop);
    /* The first few grow pools and tables that all share. */
    idle_open(conns, 0, WARMUP_CONNECTIONS, &loop, &server, channels);
    const uint64_t before = server_rss_bytes(&server);
    idle_open(conns, WARMUP_CONNECTIONS, total, &loop, &server, channels);
    const uint64_t after = server_rss_bytes(&server);
    report_begin("idle");
    report_number("connections", (double)count, "");
    report_number("channels", (double)channels, "");
    report_number("server_rss_mib_before", (double)before / 1048576, "MiB");
    report_number("server_rss_mib_after", (double)after / 1048576, "MiB");
    report_number("server_bytes_per_connection", ((double)after - (double)before) / (double)count,
                  "bytes");
    report_end();
    for (uint64_t i = 0; i < total; i++) {
        conn_close(&conns[i]);
    }
    mem_free(conns);
    server_stop(&server);
}
