/* A connection after the upgrade: frames to session, session to frames. */
#include "base/mark.h"
#include "base/prng.h"
#include "server/conn_private.h"
#include "server/logger.h"

#define PONG_AT_ONCE_BYTES 4096u

void conn_ws_open(struct conn *conn)
{
    struct reactor *reactor = conn->reactor;
    ws_decoder_init(&conn->decoder, WS_SERVER);
    if (session_open(&reactor->env, conn->handle, conn, &conn->out, &conn->session) != RC_OK) {
        conn_kill(conn, "out of memory");
        return;
    }
    http_parser_free(conn->parser);
    conn->parser = NULL;
    conn_move(conn, CONN_WS);
}

/* [P 9] Spread, so that clients don't come back all at once. */
void conn_ws_goaway(struct conn *conn)
{
    const struct server *server = conn->reactor->server;
    struct prng prng = {.state = server->hash_seed + conn->handle};
    const uint64_t after = prng_below(&prng, server->config->reconnect_spread_ms + 1);
    if (session_goaway(conn->session, "draining", after) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    conn_wake(conn);
}

void conn_ws_close(struct conn *conn, uint16_t code, const char *text)
{
    if (conn->close_sent) {
        return;
    }
    ASSERT(conn->phase == CONN_WS);
    if (log_enabled(LEVEL_DEBUG)) {
        log_event(LEVEL_DEBUG, "closing", FIELD_U64("connection", conn->handle),
                  FIELD_TEXT("peer", conn->peer), FIELD_U64("code", code), FIELD_TEXT("why", text));
    }
    conn->close_sent = true;
    session_close(conn->session);
    conn->session = NULL;
    conn_block_end(conn);
    if (ws_close_append(&conn->out, code, text) != RC_OK) {
        conn_kill(conn, "out of memory");
        return;
    }
    conn_move(conn, CONN_CLOSING);
    conn_wake(conn);
}

/* [WS 5.5.1] the peer's Close is answered with one of the same code, unless ours is out already. */
static void on_close(struct conn *conn, const struct ws_event *event)
{
    MARK("conn: the peer closes");
    if (!conn->close_sent) {
        conn_ws_close(conn, event->code == WS_CLOSE_NO_STATUS ? WS_CLOSE_NORMAL : event->code, "");
    }
    conn->close_after_out = true;
    conn_wake(conn);
}

/* [WS 7.1.7] after a violation there is nothing to wait for. */
static void on_violation(struct conn *conn, const struct ws_event *event)
{
    MARK("conn: broken frames");
    if (event->code == WS_CLOSE_UTF8 && conn->phase == CONN_WS) {
        session_on_bad_text(conn->session);
    }
    conn_ws_close(conn, event->code, event->text);
    conn->close_after_out = true;
    conn_wake(conn);
}

/* Answered at once while little waits to be sent; else only the latest, when there is room. */
static void on_ping(struct conn *conn, struct bytes payload)
{
    static const uint8_t mark = 0;
    if (conn_out_size(conn) <= PONG_AT_ONCE_BYTES && conn->pong.size == 0) {
        if (ws_frame_append(&conn->out, WS_PONG, payload) != RC_OK) {
            conn_kill(conn, "out of memory");
        }
        conn_wake(conn);
        return;
    }
    MARK("conn: a pong waits for its turn");
    buf_clear(&conn->pong);
    if (buf_append(&conn->pong, bytes_of(&mark, 1)) != RC_OK ||
        buf_append(&conn->pong, payload) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    conn_wake(conn);
}

static void block(struct conn *conn, struct bytes text)
{
    buf_clear(&conn->deferred);
    if (buf_append(&conn->deferred, text) != RC_OK) {
        conn_kill(conn, "out of memory");
        return;
    }
    conn_block(conn, text.size);
}

static void on_message(struct conn *conn, const struct ws_event *event)
{
    if (event->opcode != WS_TEXT) {
        /* [P 1] seriatim.v1.json: text frames */
        MARK("conn: a binary message");
        conn_ws_close(conn, WS_CLOSE_UNSUPPORTED, "this subprotocol has text frames only");
        return;
    }
    const bool was_ready = session_ready(conn->session);
    const enum rc rc = session_on_text(conn->session, event->payload, conn->reactor->wall_ms);
    if (conn->reactor->draining && !was_ready && session_ready(conn->session)) {
        /* [P 9] It was upgraded before, and all the others have been told already. */
        MARK("conn: goaway to one that connects while the server drains");
        conn_ws_goaway(conn);
    }
    if (rc == RC_FULL) {
        block(conn, event->payload);
    } else if (rc != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    uint16_t code;
    const char *text;
    if (!conn->dead && conn->phase == CONN_WS && session_closing(conn->session, &code, &text)) {
        conn_ws_close(conn, code, text);
    }
}

void conn_ws_retry(struct conn *conn)
{
    const enum rc rc =
        session_on_text(conn->session, buf_bytes(&conn->deferred), conn->reactor->wall_ms);
    ASSERT(rc != RC_FULL); /* there was room */
    buf_deinit(&conn->deferred);
    if (rc != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

/* A gathered message is freed by the next call on the decoder, which may be long in coming. */
static void release_message(struct conn *conn, const struct ws_limits *limits, size_t rest)
{
    if (rest == 0) {
        uint8_t nothing;
        size_t used;
        struct ws_event event;
        ws_decoder_feed(&conn->decoder, limits, &nothing, 0, &used, &event);
        ASSERT(event.type == WS_EVENT_NONE);
    }
}

size_t conn_ws_input(struct conn *conn, uint8_t *data, size_t size)
{
    const struct config *config = conn->reactor->server->config;
    const bool known = conn->session != NULL && session_ready(conn->session);
    const struct ws_limits limits = {
        .message_bytes = known ? config->limit_frame_bytes : FRAME_BYTES_BEFORE_CONNECT,
    };
    size_t used = size;
    struct ws_event event = {0};
    ws_decoder_feed(&conn->decoder, &limits, data, size, &used, &event);
    const bool open = conn->phase == CONN_WS;
    switch (event.type) {
    case WS_EVENT_NONE: break;
    case WS_EVENT_MESSAGE:
        if (open) {
            on_message(conn, &event);
        }
        release_message(conn, &limits, size - used);
        break;
    case WS_EVENT_PING:
        if (open) {
            on_ping(conn, event.payload);
        }
        break;
    case WS_EVENT_PONG: break;
    case WS_EVENT_CLOSE: on_close(conn, &event); return size;
    case WS_EVENT_ERROR: on_violation(conn, &event); return size;
    }
    if (!ws_decoder_busy(&conn->decoder)) {
        conn->message_ms = 0;
    } else if (conn->message_ms == 0) {
        conn->message_ms = conn->reactor->mono_ms;
    }
    return used;
}
