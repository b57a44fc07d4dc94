/* NATS inside WebSocket, without and with JetStream.
 *
 * The protocol is lines: INFO comes first and is answered with CONNECT; PING and PONG tell that
 * what went before was dealt with. With JetStream a publish names a subject of this connection's
 * own to answer to, whose last part is the id; a stream named BENCH, of all subjects that begin
 * with "bench.", is made by whoever publishes first, and a subscriber gets what the stream is
 * given. */
#include "bench/websocket.h"
#include "peers/peers.h"

#include <inttypes.h>

#define CONNECT                                                                                    \
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"1\","              \
    "\"protocol\":1}\r\n"
#define STREAM                                                                                     \
    "{\"name\":\"BENCH\",\"subjects\":[\"bench.>\"],\"storage\":\"file\",\"num_replicas\":1,"      \
    "\"retention\":\"limits\",\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,"              \
    "\"max_age\":0,\"discard\":\"old\"}"
#define INBOX "_INBOX.%06" PRIu32

static bool with_acks(const struct bench_conn *conn)
{
    return conn->bench->adapter->acks && conn->setup.publishes;
}

static enum rc append(struct bench_conn *conn, struct bytes text)
{
    return websocket_append(bench_send_buf(conn), WS_BINARY, text, peer_mask(conn));
}

static enum rc nats_open(struct bench_conn *conn)
{
    return peer_upgrade(conn, "/", NULL);
}

static enum rc nats_upgraded(struct bench_conn *conn)
{
    (void)conn;
    return RC_OK; /* the server speaks first */
}

/* CONNECT, and what READY needs an answer to. */
static enum rc greet(struct bench_conn *conn)
{
    if (!with_acks(conn)) {
        return append(conn, BYTES_LITERAL(CONNECT "PING\r\n"));
    }
    struct buf text = {0};
    enum rc rc = peer_printf(&text,
                             CONNECT "SUB " INBOX ".* 1\r\n"
                                     "PUB $JS.API.STREAM.CREATE.BENCH " INBOX ".made %zu\r\n%s\r\n",
                             conn->setup.index, conn->setup.index, sizeof(STREAM) - 1, STREAM);
    if (rc == RC_OK) {
        rc = append(conn, buf_bytes(&text));
    }
    buf_deinit(&text);
    return rc;
}

static enum rc nats_subscribe(struct bench_conn *conn, const char *channel, uint64_t from)
{
    (void)from;
    struct buf text = {0};
    enum rc rc = peer_printf(&text, "SUB %s 1\r\nPING\r\n", channel);
    if (rc == RC_OK) {
        rc = append(conn, buf_bytes(&text));
    }
    buf_deinit(&text);
    return rc;
}

static enum rc nats_prepare(struct bench_conn *conn, const char *prefix, struct bytes payload,
                            size_t count, bool ack, struct bench_template *ret_template)
{
    struct buf *frame = &ret_template->frame;
    ASSERT(count == 1 && ack == conn->bench->adapter->acks);
    ret_template->count = count;
    enum rc rc = peer_printf(frame, "PUB %s-", prefix);
    ret_template->channel_at = frame->size;
    if (rc == RC_OK) {
        rc = peer_printf(frame, "000000 ");
    }
    if (rc == RC_OK && ack) {
        rc = peer_printf(frame, INBOX ".", conn->setup.index);
        ret_template->id_at = frame->size;
    }
    if (rc == RC_OK) {
        rc = peer_printf(frame, "%s%zu\r\n", ack ? "0000000000 " : "", payload.size);
    }
    ret_template->payload_at = frame->size;
    if (rc == RC_OK) {
        rc = buf_append(frame, payload);
    }
    if (rc == RC_OK) {
        rc = buf_append(frame, BYTES_LITERAL("\r\n"));
    }
    return rc == RC_OK ? peer_frame(ret_template) : rc;
}

static void nats_finish(struct bench_conn *conn, const struct bench_template *made, uint8_t *frame,
                        uint64_t id)
{
    if (made->id_at != 0) {
        peer_put_id(frame + made->id_at, id);
    }
    websocket_seal(frame, WS_BINARY, made->frame.size - made->head_size, peer_mask(conn));
}

/* What the stream, or the API that makes it, answers. */
static void parse_answer(struct bench_conn *conn, struct bytes subject, struct bytes payload,
                         struct bench_event *event)
{
    const uint8_t *dot = memrchr(subject.data, '.', subject.size);
    if (dot == NULL || memmem(payload.data, payload.size, "\"error\"", 7) != NULL) {
        peer_failed(event, payload);
        return;
    }
    struct bytes last = bytes_of(dot + 1, subject.size - (size_t)(dot + 1 - subject.data));
    if (!conn->ready) {
        event->type = BENCH_EVENT_READY;
    } else if (peer_number(&last, &event->id) && last.size == 0) {
        event->type = BENCH_EVENT_PUBLISHED;
        event->count = 1;
    }
}

/* "MSG subject sid [reply] size", then the payload and a line's end. */
static void parse_message(struct bench_conn *conn, struct bytes data, struct bytes line,
                          size_t *ret_used, struct bench_event *event)
{
    const struct bytes rest = bytes_of(line.data + 4, line.size - 4);
    const uint8_t *subject_end = memchr(rest.data, ' ', rest.size);
    const uint8_t *size_at = memrchr(rest.data, ' ', rest.size);
    struct bytes number = {0};
    uint64_t size = 0;
    if (size_at != NULL) {
        number = bytes_of(size_at + 1, rest.size - (size_t)(size_at + 1 - rest.data));
    }
    if (subject_end == size_at || !peer_number(&number, &size) || number.size > 0 ||
        size > UINT32_MAX) {
        *ret_used = data.size;
        peer_failed(event, line);
        return;
    }
    const size_t whole = line.size + 2 + (size_t)size + 2;
    if (data.size < whole) {
        return;
    }
    *ret_used = whole;
    event->type = BENCH_EVENT_OTHER;
    const struct bytes payload = bytes_of(data.data + line.size + 2, (size_t)size);
    if (with_acks(conn)) {
        parse_answer(conn, bytes_of(rest.data, (size_t)(subject_end - rest.data)), payload, event);
    } else {
        event->type = BENCH_EVENT_MESSAGE;
        event->payload = payload;
    }
}

static void parse_line(struct bench_conn *conn, struct bytes line, struct bench_event *event)
{
    enum rc rc = RC_OK;
    event->type = BENCH_EVENT_OTHER;
    if (peer_begins(line, "PONG")) {
        event->type = conn->ready ? BENCH_EVENT_SUBSCRIBED : BENCH_EVENT_READY;
    } else if (peer_begins(line, "PING")) {
        rc = append(conn, BYTES_LITERAL("PONG\r\n"));
    } else if (peer_begins(line, "INFO ")) {
        rc = conn->answered++ == 0 ? greet(conn) : RC_OK; /* it comes again when things change */
    } else if (!peer_begins(line, "+OK")) {
        peer_failed(event, line); /* -ERR, or nothing that is known */
    }
    if (rc != RC_OK) {
        peer_failed(event, BYTES_LITERAL("out of memory"));
    }
}

static void parse_inside(struct bench_conn *conn, struct bytes data, bool whole, size_t *ret_used,
                         struct bench_event *event)
{
    struct bytes line;
    (void)whole;
    if (!peer_line(data, &line)) {
        return;
    }
    if (peer_begins(line, "MSG ")) {
        parse_message(conn, data, line, ret_used, event);
    } else {
        *ret_used = line.size + 2;
        parse_line(conn, line, event);
    }
}

static void nats_parse(struct bench_conn *conn, const uint8_t *data, size_t size, size_t *ret_used,
                       struct bench_event *ret_event)
{
    static const struct peer_inner inner = {nats_upgraded, parse_inside};
    peer_parse(conn, bytes_of(data, size), &inner, ret_used, ret_event);
}

const struct bench_adapter peer_nats = {
    .name = "nats",
    .open = nats_open,
    .subscribe = nats_subscribe,
    .prepare = nats_prepare,
    .finish = nats_finish,
    .parse = nats_parse,
};

const struct bench_adapter peer_jetstream = {
    .name = "jetstream",
    .acks = true,
    .open = nats_open,
    .subscribe = nats_subscribe,
    .prepare = nats_prepare,
    .finish = nats_finish,
    .parse = nats_parse,
};
