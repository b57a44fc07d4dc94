/* Start-up after a crash: fills a log with many messages, kills the server with -9, starts it
 * again and takes the time until it says that it is ready. */
#include "load.h"

#include <stdio.h>

#define MESSAGES_DEFAULT 10000000
#define CHANNELS_DEFAULT 100
#define BATCH_MESSAGES   500
#define CONNECTIONS      4
#define BATCHES_INFLIGHT 8
#define NS_PER_SECOND    UINT64_C(1000000000)

struct filling {
    struct loop loop;
    struct conn conns[CONNECTIONS];
    struct buf items; /* "[{…},…]}": the same for every batch */
    uint64_t channels;
    uint64_t wanted;
    uint64_t sent;
    uint64_t acked;
};

static void batch_send(struct filling *f, struct conn *conn)
{
    static struct buf command;
    char head[128];
    const uint64_t batch = f->sent / BATCH_MESSAGES;
    const int size =
        snprintf(head, sizeof(head),
                 "{\"type\":\"publish\",\"id\":%llu,\"channel\":\"fill-%llu\","
                 "\"batch\":",
                 (unsigned long long)++conn->id, (unsigned long long)(batch % f->channels));
    buf_clear(&command);
    if (buf_append(&command, bytes_of(head, (size_t)size)) != RC_OK ||
        buf_append(&command, buf_bytes(&f->items)) != RC_OK) {
        die("out of memory");
    }
    conn_send(conn, buf_bytes(&command));
    f->sent += BATCH_MESSAGES;
}

static void on_batch(struct conn *conn, struct bytes text)
{
    struct filling *f = conn->ctx;
    if (!reply_is(text, "published")) {
        die("connection %u: %.*s", conn->index, (int)text.size, (const char *)text.data);
    }
    f->acked += BATCH_MESSAGES;
    if (f->sent < f->wanted) {
        batch_send(f, conn);
    }
}

static void items_make(struct filling *f, uint64_t size)
{
    struct buf *to = &f->items;
    buf_clear(to);
    for (unsigned i = 0; i < BATCH_MESSAGES; i++) {
        if (buf_append(to, bytes_of_text(i == 0 ? "[" : ",")) != RC_OK ||
            buf_append(to, bytes_of_text("{\"data\":\"")) != RC_OK ||
            buf_reserve(to, (size_t)size + 8) != RC_OK) {
            die("out of memory");
        }
        for (uint64_t k = 2; k < size; k++) {
            buf_put_u8(to, (uint8_t)('a' + (i + k) % 26));
        }
        buf_put(to, "\"}", 2);
    }
    if (buf_append(to, bytes_of_text("]}")) != RC_OK) {
        die("out of memory");
    }
}

static double fill(struct filling *f, const struct server *server)
{
    const uint64_t began = now_ns();
    loop_open(&f->loop);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        conn_open(&f->conns[i], &f->loop, server->port, i, on_batch, f);
        for (unsigned k = 0; k < BATCHES_INFLIGHT && f->sent < f->wanted; k++) {
            batch_send(f, &f->conns[i]);
        }
        conn_flush(&f->conns[i], &f->loop);
    }
    while (f->acked < f->wanted) {
        loop_step(&f->loop, NS_PER_SECOND);
    }
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        conn_close(&f->conns[i]);
    }
    return (double)(now_ns() - began) / 1e9;
}

void figure_fill(const struct options *options)
{
    static struct filling f;
    struct server server;
    const uint64_t messages = or_default(options->messages, MESSAGES_DEFAULT);
    f = (struct filling){.channels = or_default(options->channels, CHANNELS_DEFAULT),
                         .wanted = messages - messages % BATCH_MESSAGES};
    items_make(&f, or_default(options->size, 128));
    server_start(&server, options);
    const double seconds = fill(&f, &server);
    server_kill(&server);
    const uint64_t ready_ns = server_restart(&server);
    uint64_t held = 0;
    for (uint64_t channel = 0; channel < f.channels; channel++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "fill-%llu", (unsigned long long)channel);
        held += server_latest(&server, name);
    }
    if (held < f.acked) {
        die("%llu messages were acknowledged, the server holds %llu", (unsigned long long)f.acked,
            (unsigned long long)held);
    }
    report_begin("fill");
    report_number("messages", (double)f.acked, "");
    report_number("fill_messages_per_second", (double)f.acked / seconds, "messages/s");
    report_number("ready_ms_after_kill", (double)ready_ns / 1e6, "ms");
    report_number("server_rss_mib", (double)server_rss_bytes(&server) / 1048576, "MiB");
    report_end();
    server_stop(&server);
    buf_deinit(&f.items);
}
