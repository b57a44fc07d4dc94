/* A connection after the upgrade: frames to session, session to frames. */
#include "base/mark.h"
#include "base/prng.h"
#include "base/tune.h"
#include "server/conn_private.h"
#include "server/logger.h"
#include "wire/codec.h"

void conn_ws_open(struct conn *conn, enum wire_codec codec)
{
    struct reactor *reactor = conn->reactor;
    if (session_open(&reactor->env, codec, conn->handle, conn, &conn->out, &conn->session) !=
        RC_OK) {
        conn_kill(conn, "out of memory");
        return;
    }
    http_parser_free(conn->work->parser);
    conn->work->parser = NULL;
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
        char peer[ADDRESS_TEXT_SIZE];
        address_print(&conn->peer, peer);
        log_event(LEVEL_DEBUG, "closing", FIELD_U64("connection", conn->handle),
                  FIELD_TEXT("peer", peer), FIELD_U64("code", code), FIELD_TEXT("why", text));
    }
    conn->close_sent = true;
    const enum rc rc = session_flush(conn->session);
    session_close(conn->session);
    conn->session = NULL;
    conn_block_end(conn);
    if (conn->work != NULL) {
        buf_deinit(&conn->work->deferred);
        conn->work->deferred_at = 0;
    }
    if (rc != RC_OK || ws_close_append(&conn->out, code, text) != RC_OK) {
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
    const bool behind = conn->work != NULL && conn->work->pong.size > 0;
    if (conn_out_size(conn) <= tune.pong_bytes && !behind) {
        if (ws_frame_append(&conn->out, WS_PONG, payload) != RC_OK) {
            conn_kill(conn, "out of memory");
        }
        conn_wake(conn);
        return;
    }
    MARK("conn: a pong waits for its turn");
    struct conn_work *work = conn_work_need(conn);
    if (work == NULL) {
        return;
    }
    buf_clear(&work->pong);
    if (buf_append(&work->pong, bytes_of(&mark, 1)) != RC_OK ||
        buf_append(&work->pong, payload) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    conn_wake(conn);
}

/* Keeps what is left of a message, for conn_ws_resume(). */
static void defer(struct conn *conn, struct bytes rest)
{
    ASSERT(!conn_deferring(conn));
    struct conn_work *work = conn_work_need(conn);
    if (work == NULL) {
        return;
    }
    buf_clear(&work->deferred);
    work->deferred_at = 0;
    if (buf_append(&work->deferred, rest) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

static void check_closing(struct conn *conn)
{
    uint16_t code;
    const char *text;
    if (!conn->dead && conn->phase == CONN_WS && session_closing(conn->session, &code, &text)) {
        conn_ws_close(conn, code, text);
    }
}

/* Feeds one command. False: none behind it may be fed now. */
static bool command_take(struct conn *conn, struct bytes *rest)
{
    const bool was_ready = session_ready(conn->session);
    const enum rc rc = session_on_message(conn->session, rest, conn->reactor->wall_ms);
    if (rc == RC_OK && conn->reactor->draining && !was_ready && session_ready(conn->session)) {
        /* [P 9] It was upgraded before, and all the others have been told already. */
        MARK("conn: goaway to one that connects while the server drains");
        conn_ws_goaway(conn);
    }
    if (rc == RC_FULL) {
        conn_block(conn);
    } else if (rc != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    return rc == RC_OK && conn_ws_can_take(conn);
}

/* [I12] As many commands of a message as the bounds let it, and no more of them in one turn than a
 * socket is read: what is small here may have been smaller by far on the wire. */
static void commands_take(struct conn *conn, struct bytes *rest)
{
    const size_t before = rest->size;
    while (command_take(conn, rest) && rest->size > 0) {
        if (before - rest->size >= tune.read_bytes) {
            MARK("conn: a message has more commands than its turn");
            conn_wake(conn);
            return;
        }
    }
}

/* [P 15] One message may be many commands: they are taken as far as the bounds let them, as if each
 * had come alone. */
static void on_message(struct conn *conn, const struct ws_event *event)
{
    const enum wire_codec codec = session_codec(conn->session);
    if (event->opcode != codec_opcode(codec)) {
        /* [P 2] each subprotocol has one kind of frames */
        MARK("conn: a message of the wrong kind");
        conn_ws_close(conn, WS_CLOSE_UNSUPPORTED,
                      codec == WIRE_JSON ? "this subprotocol has text frames only"
                                         : "this subprotocol has binary frames only");
        return;
    }
    struct bytes rest = event->payload;
    commands_take(conn, &rest);
    if (rest.size > 0 && !conn->dead) {
        MARK_IF(!conn->blocked, "conn: the rest of a message waits");
        defer(conn, rest);
    }
    check_closing(conn);
}

/* Takes commands of what was deferred; `all` false: one. */
static void deferred_take(struct conn *conn, bool all)
{
    struct conn_work *work = conn->work;
    struct bytes rest =
        bytes_of(work->deferred.data + work->deferred_at, work->deferred.size - work->deferred_at);
    if (all) {
        commands_take(conn, &rest);
    } else {
        (void)command_take(conn, &rest);
    }
    work->deferred_at = work->deferred.size - rest.size;
    if (rest.size == 0) {
        buf_deinit(&work->deferred);
        work->deferred_at = 0;
    }
}

/* Only the one that there is room for: whoever waits behind it comes next. */
void conn_ws_retry(struct conn *conn)
{
    ASSERT(conn_deferring(conn));
    deferred_take(conn, false);
    ASSERT(!conn->blocked); /* there was room */
}

void conn_ws_resume(struct conn *conn)
{
    ASSERT(conn_deferring(conn) && !conn->blocked);
    MARK("conn: the rest of a message is taken");
    deferred_take(conn, true);
    check_closing(conn);
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* Between frames a decoder knows nothing, so one serves all connections of the reactor; one that is
 * left in the middle moves to the connection until it is through. */
static struct ws_decoder *decoder_of(struct conn *conn)
{
    return conn->work != NULL && conn->work->decoding ? &conn->work->decoder
                                                      : &conn->reactor->decoder;
}

static void decoder_move_in(struct conn *conn)
{
    struct ws_decoder *shared = &conn->reactor->decoder;
    struct conn_work *work = conn_work_need(conn);
    if (work == NULL) {
        ws_decoder_deinit(shared);
    } else {
        MARK("conn: a frame or message comes in part");
        work->decoder = *shared;
        work->decoding = true;
        work->message_ms = conn->reactor->mono_ms;
    }
    ws_decoder_init(shared, WS_SERVER);
}

/* The next one may serve the next message, or nobody's. */
static void decoder_let_go(struct conn *conn)
{
    struct ws_decoder *decoder = decoder_of(conn);
    ws_decoder_deinit(decoder);
    if (decoder == &conn->reactor->decoder) {
        ws_decoder_init(decoder, WS_SERVER);
    } else {
        conn->work->decoding = false;
    }
}

/* A gathered message is freed by the next call on the decoder, which may be long in coming. */
static void release_message(struct ws_decoder *decoder, const struct ws_limits *limits, size_t rest)
{
    if (rest == 0) {
        uint8_t nothing;
        size_t used;
        struct ws_event event;
        ws_decoder_feed(decoder, limits, &nothing, 0, &used, &event);
        ASSERT(event.type == WS_EVENT_NONE);
    }
}

static void on_event(struct conn *conn, const struct ws_event *event)
{
    const bool open = conn->phase == CONN_WS;
    switch (event->type) {
    case WS_EVENT_NONE:
    case WS_EVENT_PONG: break;
    case WS_EVENT_MESSAGE:
        if (open) {
            on_message(conn, event);
        }
        break;
    case WS_EVENT_PING:
        if (open) {
            on_ping(conn, event->payload);
        }
        break;
    case WS_EVENT_CLOSE: on_close(conn, event); break;
    case WS_EVENT_ERROR: on_violation(conn, event); break;
    }
}

size_t conn_ws_input(struct conn *conn, uint8_t *data, size_t size)
{
    if (conn->deaf) {
        return size;
    }
    const struct config *config = conn->reactor->server->config;
    const bool known = conn->session != NULL && session_ready(conn->session);
    const struct ws_limits limits = {
        .message_bytes = known ? config->limit_frame_bytes : FRAME_BYTES_BEFORE_CONNECT,
    };
    struct ws_decoder *decoder = decoder_of(conn);
    const bool own = decoder != &conn->reactor->decoder;
    if (!own) {
        ws_decoder_inflate(decoder, conn->compress == NULL ? NULL : conn->compress->inflater);
    }
    size_t used = size;
    struct ws_event event = {0};
    ws_decoder_feed(decoder, &limits, data, size, &used, &event);
    if (event.type == WS_EVENT_MESSAGE && conn->compress != NULL) {
        conn->reactor->inflated += event.payload.size;
    }
    on_event(conn, &event);
    if (event.type == WS_EVENT_CLOSE || event.type == WS_EVENT_ERROR) {
        conn->deaf = true;
        decoder_let_go(conn);
        return size;
    }
    const bool busy = ws_decoder_busy(decoder);
    if (busy && !own) {
        decoder_move_in(conn);
    } else if (!busy && own) {
        decoder_let_go(conn);
    } else if (event.type == WS_EVENT_MESSAGE) {
        release_message(decoder, &limits, size - used);
    }
    return used;
}
