/* The adapter to Seriatim itself: WebSocket, with any of its codecs. */
#include "bench/bench.h"
#include "bench/codec.h"
#include "bench/websocket.h"

#include <stdio.h>

enum stage {
    STAGE_UPGRADE,
    STAGE_OPEN,
};

/* The mask need not be secret here, only different from frame to frame. */
static uint32_t next_mask(struct bench_conn *conn)
{
    return (uint32_t)(conn->bench->loop.now_ns * 2654435761u + conn->out.size);
}

static const struct bench_codec *codec_of(const struct bench_conn *conn)
{
    const struct bench_codec *codec = bench_codec_find(conn->bench->options->codec);
    ASSERT(codec != NULL); /* the options were checked */
    return codec;
}

static enum rc seriatim_open(struct bench_conn *conn)
{
    conn->stage = STAGE_UPGRADE;
    conn->codec = codec_of(conn);
    return websocket_request(&conn->out, &conn->bench->target, conn->codec->protocol);
}

/* ---- messages of many units ---------------------------------------------------------------- */

/* A message of up to so many bytes has a header of one size, but for very small ones. */
#define MESSAGE_SIZE_MAX 65535u

/* Its header is known only now: a small one is moved to the left. */
static void seriatim_seal(struct bench_conn *conn)
{
    if (conn->message_head == 0) {
        return;
    }
    struct buf *out = &conn->out;
    uint8_t *frame = out->data + conn->message_at;
    ASSERT(out->size >= conn->message_at + conn->message_head);
    const size_t size = out->size - conn->message_at - conn->message_head;
    const size_t head = websocket_head_size(size);
    ASSERT(head <= conn->message_head);
    if (head < conn->message_head) {
        bytes_move(frame + head, frame + conn->message_head, size);
        out->size -= conn->message_head - head;
    }
    websocket_seal(frame, codec_opcode(conn->codec->wire), size, next_mask(conn));
    conn->message_head = 0;
}

/* What is appended from here on goes into the connection's open message, or into a new one. */
static enum rc seriatim_begin(struct bench_conn *conn, const struct bench_template *made)
{
    struct buf *out = &conn->out;
    static const uint8_t room[WS_HEADER_SIZE_MAX];
    const size_t size = made->frame.size;
    if (conn->codec->wire == WIRE_JSON) {
        return RC_OK;
    }
    if (conn->message_head != 0) {
        const size_t held = out->size - conn->message_at - conn->message_head;
        if (held + size <= MESSAGE_SIZE_MAX) {
            return RC_OK;
        }
        seriatim_seal(conn);
    }
    const size_t head = websocket_head_size(size < MESSAGE_SIZE_MAX ? MESSAGE_SIZE_MAX : size);
    const size_t at = out->size;
    const enum rc rc = buf_append(out, bytes_of(room, head));
    if (rc == RC_OK) {
        conn->message_at = at;
        conn->message_head = (uint32_t)head;
    }
    return rc;
}

/* ---- out ----------------------------------------------------------------------------------- */

static enum rc append_frame(struct bench_conn *conn, enum ws_opcode opcode, struct bytes payload)
{
    struct buf *out = bench_send_buf(conn);
    seriatim_seal(conn);
    return websocket_append(out, opcode, payload, next_mask(conn));
}

/* Appends the command that `text` holds, and frees it. */
static enum rc append_command(struct bench_conn *conn, enum rc rc, struct buf *text)
{
    if (rc == RC_OK) {
        rc = append_frame(conn, codec_opcode(conn->codec->wire), buf_bytes(text));
    }
    buf_deinit(text);
    return rc;
}

static enum rc seriatim_subscribe(struct bench_conn *conn, const char *channel, uint64_t from)
{
    struct buf text = {0};
    const enum rc rc = bench_codec_subscribe(conn->codec, &text, channel, from);
    return append_command(conn, rc, &text);
}

static enum rc seriatim_prepare(struct bench_conn *conn, const char *prefix, struct bytes payload,
                                size_t count, bool ack, struct bench_template *ret_template)
{
    const struct bench_codec *codec = codec_of(conn);
    /* Its size decides the size of the header in front of it: the first try tells. A unit has none
     * of its own. */
    for (size_t head = 0;; head = websocket_head_size(ret_template->frame.size - head)) {
        static const uint8_t room[WS_HEADER_SIZE_MAX];
        buf_clear(&ret_template->frame);
        enum rc rc = buf_append(&ret_template->frame, bytes_of(room, head));
        ret_template->head_size = head;
        ret_template->count = count;
        if (rc == RC_OK) {
            rc = bench_codec_publish(codec, ret_template, prefix, payload, count, ack);
        }
        if (rc != RC_OK || head > 0 || codec->wire == WIRE_BINARY) {
            return rc;
        }
    }
}

static void seriatim_finish(struct bench_conn *conn, const struct bench_template *made,
                            uint8_t *frame, uint64_t id)
{
    if (made->id_at != 0) {
        conn->codec->patch_id(frame + made->id_at, id);
    }
    if (conn->codec->wire == WIRE_JSON) {
        websocket_seal(frame, codec_opcode(conn->codec->wire), made->frame.size - made->head_size,
                       next_mask(conn));
    }
}

/* ---- in ------------------------------------------------------------------------------------ */

static void failed(struct bench_event *event, struct bytes text)
{
    *event = (struct bench_event){.type = BENCH_EVENT_FAILED, .text = text};
}

static void parse_upgrade(struct bench_conn *conn, struct bytes data, size_t *ret_used,
                          struct bench_event *event)
{
    const enum rc rc = websocket_response(data, ret_used);
    if (rc == RC_AGAIN) {
        return;
    }
    if (rc != RC_OK) {
        const uint8_t *end = memchr(data.data, '\r', data.size); /* of its first line */
        ASSERT(end != NULL);
        *ret_used = data.size;
        failed(event, bytes_of(data.data, (size_t)(end - data.data)));
        return;
    }
    struct buf text = {0};
    const bool cumulative = conn->bench->options->cumulative;
    conn->stage = STAGE_OPEN;
    event->type = BENCH_EVENT_OTHER;
    if (append_command(conn, bench_codec_connect(conn->codec, &text, cumulative), &text) != RC_OK) {
        failed(event, BYTES_LITERAL("out of memory"));
    }
}

/* A string member of `connected`, as it stands there; the values are plain. */
static void note_member(struct bytes text, const char *name, char *to, size_t size)
{
    const uint8_t *at = memmem(text.data, text.size, name, strlen(name));
    if (at == NULL || to[0] != '\0') {
        return;
    }
    at += strlen(name);
    const uint8_t *end = memchr(at, '"', text.size - (size_t)(at - text.data));
    if (end != NULL) {
        (void)snprintf(to, size, "%.*s", (int)(end - at), (const char *)at);
    }
}

/* One event of a message; what is behind it waits in the loop's buffer. */
static void parse_message(struct bench_conn *conn, struct bytes rest, struct bench_event *event)
{
    conn->codec->parse(&rest, event);
    conn->left = rest.size;
    if (event->type == BENCH_EVENT_READY) {
        struct bench *bench = conn->bench;
        note_member(event->text, "\"durability\":\"", bench->durability, sizeof(bench->durability));
        note_member(event->text, "\"server\":\"", bench->server_name, sizeof(bench->server_name));
    }
}

static void parse_frame(struct bench_conn *conn, const struct websocket_frame *frame,
                        struct bench_event *event)
{
    switch (frame->opcode) {
    case WS_TEXT:
    case WS_BINARY: parse_message(conn, frame->payload, event); break;
    case WS_PING:
        if (append_frame(conn, WS_PONG, frame->payload) != RC_OK) {
            failed(event, BYTES_LITERAL("out of memory"));
        }
        break;
    case WS_CLOSE: failed(event, BYTES_LITERAL("the server closes the connection")); break;
    case WS_PONG:
    case WS_CONTINUATION: break;
    }
}

static void seriatim_parse(struct bench_conn *conn, const uint8_t *data, size_t size,
                           size_t *ret_used, struct bench_event *ret_event)
{
    *ret_used = 0;
    *ret_event = (struct bench_event){0};
    if (conn->stage == STAGE_UPGRADE) {
        parse_upgrade(conn, bytes_of(data, size), ret_used, ret_event);
        return;
    }
    const size_t left = (size_t)conn->left;
    if (left > 0) {
        ASSERT(left <= size); /* the frame was whole when its first event was taken */
        parse_message(conn, bytes_of(data, left), ret_event);
        *ret_used = left - conn->left;
        return;
    }
    struct websocket_frame frame;
    const enum rc rc = websocket_frame(bytes_of(data, size), &frame);
    if (rc == RC_OK) {
        ret_event->type = BENCH_EVENT_OTHER;
        parse_frame(conn, &frame, ret_event);
        *ret_used = frame.size - conn->left;
    } else if (rc != RC_AGAIN) {
        *ret_used = size;
        failed(ret_event, BYTES_LITERAL("a frame that no server may send"));
    }
}

static size_t seriatim_argv(const struct bench_options *options, const char *folder,
                            const char *address, const char *argv[static BENCH_ARGV_MAX])
{
    size_t count = 0;
    argv[count++] = options->program;
    argv[count++] = "serve";
    argv[count++] = "--data";
    argv[count++] = folder;
    argv[count++] = "--listen";
    argv[count++] = address;
    if (options->durability != NULL) {
        argv[count++] = "--durability";
        argv[count++] = options->durability;
    }
    for (char **flag = options->server_flags; flag != NULL && *flag != NULL; flag++) {
        ASSERT(count < BENCH_ARGV_MAX - 1); /* the options were checked */
        argv[count++] = *flag;
    }
    return count;
}

const struct bench_adapter bench_adapter_seriatim = {
    .name = "seriatim",
    .acks = true,
    .seqs = true,
    .logs = true,
    .open = seriatim_open,
    .subscribe = seriatim_subscribe,
    .prepare = seriatim_prepare,
    .begin = seriatim_begin,
    .finish = seriatim_finish,
    .seal = seriatim_seal,
    .parse = seriatim_parse,
    .server_argv = seriatim_argv,
    .ready_path = "/readyz",
};
