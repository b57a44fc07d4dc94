/* Centrifugo's JSON protocol: each frame holds one or more objects, one a line. An empty object is
 * a ping and its answer. */
#include "bench/websocket.h"
#include "peers/peers.h"

#define CONNECT_ID   1
#define SUBSCRIBE_ID 2

static enum rc append(struct bench_conn *conn, struct bytes text)
{
    return websocket_append(bench_send_buf(conn), WS_TEXT, text, peer_mask(conn));
}

static enum rc centrifugo_open(struct bench_conn *conn)
{
    return peer_upgrade(conn, "/connection/websocket", NULL);
}

static enum rc centrifugo_upgraded(struct bench_conn *conn)
{
    return append(conn, BYTES_LITERAL("{\"id\":1,\"connect\":{}}"));
}

static enum rc centrifugo_subscribe(struct bench_conn *conn, const char *channel, uint64_t from)
{
    (void)from;
    struct buf text = {0};
    enum rc rc =
        peer_printf(&text, "{\"id\":%d,\"subscribe\":{\"channel\":\"%s\"}}", SUBSCRIBE_ID, channel);
    if (rc == RC_OK) {
        rc = append(conn, buf_bytes(&text));
    }
    buf_deinit(&text);
    return rc;
}

static enum rc centrifugo_prepare(struct bench_conn *conn, const char *prefix, struct bytes payload,
                                  size_t count, bool ack, struct bench_template *ret_template)
{
    struct buf *frame = &ret_template->frame;
    (void)conn;
    (void)ack;
    ASSERT(count == 1);
    ret_template->count = count;
    enum rc rc = peer_printf(frame, "{\"id\":");
    ret_template->id_at = frame->size;
    if (rc == RC_OK) {
        rc = peer_printf(frame, "0000000000,\"publish\":{\"channel\":\"%s-", prefix);
    }
    ret_template->channel_at = frame->size;
    if (rc == RC_OK) {
        rc = peer_printf(frame, "000000\",\"data\":");
    }
    ret_template->payload_at = frame->size;
    if (rc == RC_OK) {
        rc = buf_append(frame, payload);
    }
    if (rc == RC_OK) {
        rc = buf_append(frame, BYTES_LITERAL("}}"));
    }
    return rc == RC_OK ? peer_frame(ret_template) : rc;
}

static void centrifugo_finish(struct bench_conn *conn, const struct bench_template *made,
                              uint8_t *frame, uint64_t id)
{
    peer_put_id(frame + made->id_at, id);
    websocket_seal(frame, WS_TEXT, made->frame.size - made->head_size, peer_mask(conn));
}

/* {"push":{"channel":"…","pub":{"data":"…",…}}}: our payloads have no quote inside. */
static void parse_push(struct bytes line, struct bench_event *event)
{
    static const char name[] = "\"pub\":{\"data\":";
    const uint8_t *at = memmem(line.data, line.size, name, sizeof(name) - 1);
    event->type = BENCH_EVENT_OTHER;
    if (at == NULL) {
        return;
    }
    at += sizeof(name) - 1;
    const size_t left = line.size - (size_t)(at - line.data);
    const uint8_t *end = left < 2 ? NULL : memchr(at + 1, '"', left - 1);
    if (end == NULL) {
        peer_failed(event, line);
        return;
    }
    event->type = BENCH_EVENT_MESSAGE;
    event->payload = bytes_of(at, (size_t)(end + 1 - at));
}

static void parse_reply(struct bytes line, struct bench_event *event)
{
    struct bytes rest = bytes_of(line.data + 6, line.size - 6);
    uint64_t id = 0;
    if (!peer_number(&rest, &id) || peer_begins(rest, ",\"error\"")) {
        peer_failed(event, line);
        return;
    }
    event->id = id;
    event->count = 1;
    event->type = id == CONNECT_ID     ? BENCH_EVENT_READY
                  : id == SUBSCRIBE_ID ? BENCH_EVENT_SUBSCRIBED
                                       : BENCH_EVENT_PUBLISHED;
}

static void parse_inside(struct bench_conn *conn, struct bytes data, bool whole, size_t *ret_used,
                         struct bench_event *event)
{
    const uint8_t *end = memchr(data.data, '\n', data.size);
    if (end == NULL && !whole) {
        return;
    }
    const struct bytes line =
        bytes_of(data.data, end == NULL ? data.size : (size_t)(end - data.data));
    *ret_used = line.size + (end == NULL ? 0 : 1);
    event->type = BENCH_EVENT_OTHER;
    if (peer_begins(line, "{\"push\":")) {
        parse_push(line, event);
    } else if (peer_begins(line, "{\"id\":")) {
        parse_reply(line, event);
    } else if (bytes_equal(line, BYTES_LITERAL("{}"))) {
        if (append(conn, line) != RC_OK) {
            peer_failed(event, BYTES_LITERAL("out of memory"));
        }
    } else if (line.size > 0) {
        peer_failed(event, line);
    }
}

static void centrifugo_parse(struct bench_conn *conn, const uint8_t *data, size_t size,
                             size_t *ret_used, struct bench_event *ret_event)
{
    static const struct peer_inner inner = {centrifugo_upgraded, parse_inside};
    peer_parse(conn, bytes_of(data, size), &inner, ret_used, ret_event);
}

const struct bench_adapter peer_centrifugo = {
    .name = "centrifugo",
    .acks = true,
    .open = centrifugo_open,
    .subscribe = centrifugo_subscribe,
    .prepare = centrifugo_prepare,
    .finish = centrifugo_finish,
    .parse = centrifugo_parse,
};
