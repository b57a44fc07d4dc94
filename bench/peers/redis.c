/* Redis Streams over plain TCP: XADD with an id that the server chooses, and XREAD BLOCK, asked
 * again after each answer from the last id that came.
 *
 * Answers come in the order of the requests and bear no id. */
#include "peers/peers.h"

#include <stdio.h>

static const char ping[] = "*1\r\n$4\r\nPING\r\n";

static enum rc redis_open(struct bench_conn *conn)
{
    return buf_append(&conn->out, bytes_of_text(ping));
}

/* Asks for what follows conn->cursor. */
static enum rc ask(struct bench_conn *conn, const char *channel)
{
    return peer_printf(bench_send_buf(conn),
                       "*6\r\n$5\r\nXREAD\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n"
                       "$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                       strlen(channel), channel, strlen(conn->cursor), conn->cursor);
}

static enum rc redis_subscribe(struct bench_conn *conn, const char *channel, uint64_t from)
{
    /* Both are in one segment, so whoever reads the pong knows that the other one stands. */
    (void)snprintf(conn->cursor, sizeof(conn->cursor), "%s", from == BENCH_FROM_LATEST ? "$" : "0");
    const enum rc rc = buf_append(bench_send_buf(conn), bytes_of_text(ping));
    return rc == RC_OK ? ask(conn, channel) : rc;
}

static enum rc redis_prepare(struct bench_conn *conn, const char *prefix, struct bytes payload,
                             size_t count, bool ack, struct bench_template *ret_template)
{
    struct buf *frame = &ret_template->frame;
    (void)conn;
    (void)ack;
    ASSERT(count == 1);
    enum rc rc = peer_printf(frame, "*5\r\n$4\r\nXADD\r\n$%zu\r\n%s-",
                             strlen(prefix) + 1 + BENCH_CHANNEL_DIGITS, prefix);
    ret_template->channel_at = frame->size;
    if (rc == RC_OK) {
        rc = peer_printf(frame, "000000\r\n$1\r\n*\r\n$1\r\nd\r\n$%zu\r\n", payload.size);
    }
    ret_template->payload_at = frame->size;
    ret_template->id_at = 1; /* there are answers; nothing is written there */
    ret_template->count = count;
    if (rc == RC_OK) {
        rc = buf_append(frame, payload);
    }
    return rc == RC_OK ? buf_append(frame, BYTES_LITERAL("\r\n")) : rc;
}

static void redis_finish(struct bench_conn *conn, const struct bench_template *made, uint8_t *frame,
                         uint64_t id)
{
    (void)conn;
    (void)made;
    (void)frame;
    (void)id;
}

/* ---- what comes ---------------------------------------------------------------------------- */

/* Latched: takes one thing after the other, until one is not whole or not what it should be. */
struct resp {
    struct bytes data;
    size_t at;
    bool cut;
    bool bad;
};

/* The number behind that character. */
static uint64_t resp_number(struct resp *r, uint8_t kind)
{
    struct bytes line;
    uint64_t value = 0;
    if (r->cut || r->bad) {
        return 0;
    }
    if (!peer_line(bytes_of(r->data.data + r->at, r->data.size - r->at), &line)) {
        r->cut = true;
        return 0;
    }
    struct bytes number = bytes_of(line.data + 1, line.size == 0 ? 0 : line.size - 1);
    r->bad = line.size == 0 || line.data[0] != kind || !peer_number(&number, &value) ||
             number.size > 0 || value > UINT32_MAX;
    r->at += line.size + 2;
    return value;
}

static struct bytes resp_bulk(struct resp *r)
{
    const size_t size = (size_t)resp_number(r, '$');
    if (r->cut || r->bad || r->data.size - r->at < size + 2) {
        r->cut = !r->bad;
        return (struct bytes){0};
    }
    const struct bytes text = bytes_of(r->data.data + r->at, size);
    r->at += size + 2;
    return text;
}

static void resp_array(struct resp *r, uint64_t count)
{
    r->bad = (resp_number(r, '*') != count && !r->cut) || r->bad;
}

/* One of the conn->left entries of an answer to XREAD: [id, [name, value]]. */
static void parse_entry(struct bench_conn *conn, struct resp *r, struct bench_event *event)
{
    resp_array(r, 2);
    const struct bytes id = resp_bulk(r);
    resp_array(r, 2);
    (void)resp_bulk(r);
    const struct bytes value = resp_bulk(r);
    r->bad = r->bad || id.size >= sizeof(conn->cursor);
    if (r->cut || r->bad) {
        return;
    }
    event->type = BENCH_EVENT_MESSAGE;
    event->payload = value;
    if (--conn->left == 0) {
        char channel[BENCH_NAME_SIZE];
        (void)snprintf(channel, sizeof(channel), "%s-%06u", conn->bench->options->prefix,
                       conn->setup.channel);
        (void)snprintf(conn->cursor, sizeof(conn->cursor), "%.*s", (int)id.size,
                       (const char *)id.data);
        if (ask(conn, channel) != RC_OK) {
            peer_failed(event, BYTES_LITERAL("out of memory"));
        }
    }
}

/* The front of an answer to XREAD: [[channel, [entries]]]. */
static void parse_entries(struct bench_conn *conn, struct resp *r, struct bench_event *event)
{
    resp_array(r, 1);
    resp_array(r, 2);
    (void)resp_bulk(r);
    const uint64_t count = resp_number(r, '*');
    r->bad = r->bad || (!r->cut && count == 0);
    if (!r->cut && !r->bad) {
        conn->left = count;
        event->type = BENCH_EVENT_OTHER;
    }
}

static void parse_reply(struct bench_conn *conn, struct resp *r, struct bench_event *event)
{
    struct bytes line;
    if (r->data.data[0] == '*') {
        parse_entries(conn, r, event);
    } else if (r->data.data[0] == '$') {
        (void)resp_bulk(r);
        if (!r->cut && !r->bad) {
            *event = (struct bench_event){
                .type = BENCH_EVENT_PUBLISHED, .id = bench_id(conn->answered++), .count = 1};
        }
    } else if (!peer_line(r->data, &line)) {
        r->cut = true;
    } else if (peer_begins(line, "+PONG")) {
        r->at = line.size + 2;
        event->type = conn->ready ? BENCH_EVENT_SUBSCRIBED : BENCH_EVENT_READY;
    } else {
        r->at = line.size + 2;
        peer_failed(event, line);
    }
}

static void redis_parse(struct bench_conn *conn, const uint8_t *data, size_t size, size_t *ret_used,
                        struct bench_event *ret_event)
{
    struct resp r = {.data = bytes_of(data, size)};
    *ret_used = 0;
    *ret_event = (struct bench_event){0};
    if (conn->left > 0) {
        parse_entry(conn, &r, ret_event);
    } else {
        parse_reply(conn, &r, ret_event);
    }
    if (r.bad) {
        *ret_used = size;
        peer_failed(ret_event, BYTES_LITERAL("an answer that is none"));
    } else if (!r.cut) {
        *ret_used = r.at;
    }
}

const struct bench_adapter peer_redis = {
    .name = "redis",
    .acks = true,
    .open = redis_open,
    .subscribe = redis_subscribe,
    .prepare = redis_prepare,
    .finish = redis_finish,
    .parse = redis_parse,
};
