#include "bench/websocket.h"
#include "peers/peers.h"

#include <stdarg.h>
#include <stdio.h>

enum stage {
    STAGE_UPGRADE,
    STAGE_OPEN,
};

const struct bench_adapter *peer_find(const char *name)
{
    static const struct bench_adapter *const all[] = {&bench_adapter_seriatim,
#define X(peer) &peer_##peer,
                                                      PEER_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(all[i]->name, name) == 0) {
            return all[i];
        }
    }
    return NULL;
}

/* ---- WebSocket ----------------------------------------------------------------------------- */

uint32_t peer_mask(const struct bench_conn *conn)
{
    return (uint32_t)(conn->bench->loop.now_ns * 2654435761u + conn->out.size);
}

enum rc peer_upgrade(struct bench_conn *conn, const char *path, const char *protocol)
{
    struct client_url url = conn->bench->target;
    (void)snprintf(url.path, sizeof(url.path), "%s", path);
    conn->stage = STAGE_UPGRADE;
    return websocket_request(&conn->out, &url, protocol);
}

void peer_failed(struct bench_event *event, struct bytes text)
{
    *event = (struct bench_event){.type = BENCH_EVENT_FAILED, .text = text};
}

enum rc peer_frame(struct bench_template *made)
{
    const size_t size = made->frame.size;
    const size_t head = websocket_head_size(size);
    const enum rc rc = buf_reserve(&made->frame, head);
    if (rc != RC_OK) {
        return rc;
    }
    bytes_move(made->frame.data + head, made->frame.data, size);
    made->frame.size += head;
    made->head_size = head;
    made->payload_at += head;
    made->id_at += made->id_at == 0 ? 0 : head;
    made->channel_at += made->channel_at == 0 ? 0 : head;
    return RC_OK;
}

static void parse_upgrade(struct bench_conn *conn, struct bytes data,
                          const struct peer_inner *inner, size_t *ret_used,
                          struct bench_event *event)
{
    const enum rc rc = websocket_response(data, ret_used);
    if (rc == RC_AGAIN) {
        return;
    }
    event->type = BENCH_EVENT_OTHER;
    conn->stage = STAGE_OPEN;
    if (rc != RC_OK || inner->upgraded(conn) != RC_OK) {
        *ret_used = data.size;
        peer_failed(event, data);
    }
}

/* What is no message: it must be there as a whole. */
static void parse_control(struct bench_conn *conn, struct bytes data, size_t *ret_used,
                          struct bench_event *event)
{
    struct websocket_frame frame;
    if (websocket_frame(data, &frame) != RC_OK) {
        return; /* its header was good: the rest is to come */
    }
    *ret_used = frame.size;
    event->type = BENCH_EVENT_OTHER;
    if (frame.opcode == WS_CLOSE) {
        peer_failed(event, BYTES_LITERAL("the server closes the connection"));
    } else if (frame.opcode == WS_PING &&
               websocket_append(bench_send_buf(conn), WS_PONG, frame.payload, peer_mask(conn)) !=
                   RC_OK) {
        peer_failed(event, BYTES_LITERAL("out of memory"));
    }
}

/* conn->left bytes of the frame are not taken yet. */
static void parse_inside(struct bench_conn *conn, struct bytes data, const struct peer_inner *inner,
                         size_t *ret_used, struct bench_event *event)
{
    const bool whole = data.size >= conn->left;
    const struct bytes inside = bytes_of(data.data, whole ? conn->left : data.size);
    inner->parse(conn, inside, whole, ret_used, event);
    ASSERT(*ret_used <= inside.size);
    ASSERT((*ret_used == 0) == (event->type == BENCH_EVENT_NONE));
    conn->left -= *ret_used;
    if (whole && *ret_used == 0) {
        *ret_used = inside.size;
        peer_failed(event, BYTES_LITERAL("a message that is spread over frames"));
    }
}

void peer_parse(struct bench_conn *conn, struct bytes data, const struct peer_inner *inner,
                size_t *ret_used, struct bench_event *ret_event)
{
    *ret_used = 0;
    *ret_event = (struct bench_event){0};
    if (conn->stage == STAGE_UPGRADE) {
        parse_upgrade(conn, data, inner, ret_used, ret_event);
        return;
    }
    if (conn->left > 0) {
        parse_inside(conn, data, inner, ret_used, ret_event);
        return;
    }
    struct websocket_frame frame;
    const enum rc rc = websocket_header(data, &frame);
    if (rc == RC_AGAIN) {
        return;
    }
    if (rc != RC_OK) {
        *ret_used = data.size;
        peer_failed(ret_event, BYTES_LITERAL("a frame that no server may send"));
        return;
    }
    if (frame.opcode != WS_TEXT && frame.opcode != WS_BINARY) {
        parse_control(conn, data, ret_used, ret_event);
        return;
    }
    const size_t head = frame.size - frame.payload.size;
    const size_t there = data.size - head;
    conn->left = frame.payload.size;
    if (there > 0 && conn->left > 0) {
        parse_inside(conn, bytes_of(data.data + head, there), inner, ret_used, ret_event);
    }
    *ret_used += head;
    if (ret_event->type == BENCH_EVENT_NONE) {
        ret_event->type = BENCH_EVENT_OTHER; /* the header alone */
    }
}

/* ---- texts --------------------------------------------------------------------------------- */

enum rc peer_printf(struct buf *to, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ASSERT(size >= 0 && (size_t)size < sizeof(text)); /* names are bounded */
    return buf_append(to, bytes_of(text, (size_t)size));
}

bool peer_line(struct bytes data, struct bytes *ret_line)
{
    const uint8_t *end = data.size == 0 ? NULL : memmem(data.data, data.size, "\r\n", 2);
    if (end != NULL) {
        *ret_line = bytes_of(data.data, (size_t)(end - data.data));
    }
    return end != NULL;
}

bool peer_begins(struct bytes text, const char *with)
{
    const size_t size = strlen(with);
    return text.size >= size && memcmp(text.data, with, size) == 0;
}

bool peer_number(struct bytes *text, uint64_t *ret_number)
{
    uint64_t value = 0;
    size_t at = 0;
    for (; at < text->size && text->data[at] >= '0' && text->data[at] <= '9'; at++) {
        if (at == 18) {
            return false;
        }
        value = value * 10 + (uint64_t)(text->data[at] - '0');
    }
    if (at > 0) {
        *ret_number = value;
        *text = bytes_of(text->data + at, text->size - at);
    }
    return at > 0;
}

void peer_put_id(uint8_t *at, uint64_t id)
{
    for (size_t i = BENCH_ID_DIGITS; i > 0; i--) {
        at[i - 1] = (uint8_t)('0' + id % 10);
        id /= 10;
    }
}
