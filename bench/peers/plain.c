/* Plain WebSocket: each message a frame, what it is published to in the URL. Spoken by nchan, and
 * by the two servers written for this comparison.
 *
 * Nobody answers a publish here; that a subscription stands is known from a pong, which the server
 * sends when it has dealt with what came before. */
#include "bench/websocket.h"
#include "peers/peers.h"

#include <stdio.h>

enum stage {
    STAGE_UPGRADE,
    STAGE_OPEN,
};

static enum rc plain_open(struct bench_conn *conn)
{
    char path[BENCH_NAME_SIZE + 16];
    (void)snprintf(path, sizeof(path), "/%s/%s-%06u", conn->setup.publishes ? "pub" : "sub",
                   conn->bench->options->prefix, conn->setup.channel);
    return peer_upgrade(conn, path, NULL);
}

static enum rc plain_subscribe(struct bench_conn *conn, const char *channel, uint64_t from)
{
    (void)channel;
    (void)from;
    return websocket_append(bench_send_buf(conn), WS_PING, BYTES_LITERAL("here"), peer_mask(conn));
}

static enum rc plain_prepare(struct bench_conn *conn, const char *prefix, struct bytes payload,
                             size_t count, bool ack, struct bench_template *ret_template)
{
    (void)conn;
    (void)prefix;
    (void)ack;
    ASSERT(count == 1);
    ret_template->count = count;
    const enum rc rc = buf_append(&ret_template->frame, payload);
    return rc == RC_OK ? peer_frame(ret_template) : rc;
}

static void plain_finish(struct bench_conn *conn, const struct bench_template *made, uint8_t *frame,
                         uint64_t id)
{
    (void)id;
    websocket_seal(frame, WS_TEXT, made->frame.size - made->head_size, peer_mask(conn));
}

static void parse_frame(struct bench_conn *conn, const struct websocket_frame *frame,
                        struct bench_event *event)
{
    event->type = BENCH_EVENT_OTHER;
    switch (frame->opcode) {
    case WS_TEXT:
    case WS_BINARY:
        /* nchan tells a publisher what has become of its message. */
        if (!conn->setup.publishes) {
            event->type = BENCH_EVENT_MESSAGE;
            event->payload = frame->payload;
        }
        break;
    case WS_PING:
        if (websocket_append(bench_send_buf(conn), WS_PONG, frame->payload, peer_mask(conn)) !=
            RC_OK) {
            peer_failed(event, BYTES_LITERAL("out of memory"));
        }
        break;
    case WS_PONG: event->type = BENCH_EVENT_SUBSCRIBED; break;
    case WS_CLOSE: peer_failed(event, BYTES_LITERAL("the server closes the connection")); break;
    case WS_CONTINUATION: break;
    }
}

static void plain_parse(struct bench_conn *conn, const uint8_t *data, size_t size, size_t *ret_used,
                        struct bench_event *ret_event)
{
    const struct bytes all = bytes_of(data, size);
    struct websocket_frame frame;
    *ret_used = 0;
    *ret_event = (struct bench_event){0};
    const bool upgrade = conn->stage == STAGE_UPGRADE;
    const enum rc rc = upgrade ? websocket_response(all, ret_used) : websocket_frame(all, &frame);
    if (rc == RC_AGAIN) {
        return;
    }
    if (rc != RC_OK) {
        *ret_used = size;
        peer_failed(ret_event, upgrade ? all : BYTES_LITERAL("a frame that no server may send"));
    } else if (upgrade) {
        conn->stage = STAGE_OPEN;
        ret_event->type = BENCH_EVENT_READY;
    } else {
        *ret_used = frame.size;
        parse_frame(conn, &frame, ret_event);
    }
}

const struct bench_adapter peer_plain = {
    .name = "plain",
    .open = plain_open,
    .subscribe = plain_subscribe,
    .prepare = plain_prepare,
    .finish = plain_finish,
    .parse = plain_parse,
};
