/* ws-echo: sends every WebSocket message back, so that public conformance suites can be pointed at
 * src/wire and src/io as they are.
 *
 *   ws-echo [--port N] [--deflate]     127.0.0.1:N, 9001 if not given; 0 lets the system choose
 *
 * With --deflate permessage-deflate is agreed on, whatever the parameters: then every message goes
 * back compressed. A text or binary message of up to 16 MiB comes back in one frame. A ping is
 * answered at once while the output flows; while it is stuck, only the latest one is kept
 * ([WS 5.5.3]). A connection whose peer does not read is not read either, so it costs a few
 * messages at most.
 *
 *         upgrade accepted              Close, a violation, or a refusal           all sent
 *   HTTP ──────────────────▶ OPEN ─┬───────────────────────────────────▶ ENDING ──────────▶ ENDED
 *     └────────────────────────────┘                                                          │
 *                                                 the peer ends its side, or a deadline passes ▼
 *
 * Thread: one.  Memory: bounded by CONNECTIONS_MAX times OUT_BYTES_MAX and two messages. */
#include "base/limits.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/socket.h"
#include "io/timer.h"
#include "wire/http.h"
#include "wire/ws.h"

#include <stdio.h>

#define PORT_DEFAULT    9001u
#define CONNECTIONS_MAX 1000u
#define READ_BYTES      (64u * KIB)
#define MESSAGE_BYTES   (16u * MIB)
/* A peer may send two messages before it reads the first. */
#define OUT_BYTES_MAX (2u * (MESSAGE_BYTES + WS_HEADER_SIZE_MAX))
/* Output that is about to leave; behind more than this, pings wait. */
#define PONG_ROOM_BYTES (4u * KIB)
#define HEAD_TIMEOUT_MS 10000u
#define END_TIMEOUT_MS  5000u

enum phase {
    PHASE_HTTP,
    PHASE_OPEN,
    PHASE_ENDING, /* what comes is dropped; once `out` is sent our side ends */
    PHASE_ENDED,
};

struct echo {
    struct loop loop;
    struct timer_wheel timers;
    struct loop_handler listener;
    unsigned connections;
    bool deflate;
    uint8_t read_buffer[READ_BYTES];
};

struct conn {
    struct loop_handler handler; /* first: the loop gives it back */
    enum phase phase;
    bool dead;
    bool pong_waits;
    uint8_t pong_size;
    uint8_t pong[125];
    struct timer timer;
    struct http_parser *parser;
    struct ws_decoder decoder;
    struct deflater *deflater; /* both or neither */
    struct inflater *inflater;
    struct buf out; /* to be sent, from out_at on */
    size_t out_at;
};

static const struct ws_limits limits = {.message_bytes = MESSAGE_BYTES};

static uint64_t now_ms(void)
{
    return clock_mono_ns(&clock_real) / 1000000u;
}

static size_t out_size(const struct conn *conn)
{
    return conn->out.size - conn->out_at;
}

/* Any failure here is out of memory: the connection ends without a word. */
static void check(struct conn *conn, enum rc rc)
{
    conn->dead = conn->dead || rc != RC_OK;
}

static void conn_end(struct echo *echo, struct conn *conn)
{
    ASSERT(conn->phase != PHASE_ENDED);
    conn->phase = PHASE_ENDING;
    timer_arm(&echo->timers, &conn->timer, now_ms() + END_TIMEOUT_MS);
}

static void conn_free(struct echo *echo, struct conn *conn)
{
    loop_forget(&echo->loop, &conn->handler);
    timer_disarm(&echo->timers, &conn->timer);
    socket_close(conn->handler.fd);
    http_parser_free(conn->parser);
    ws_decoder_deinit(&conn->decoder);
    deflater_free(conn->deflater);
    inflater_free(conn->inflater);
    buf_deinit(&conn->out);
    mem_free(conn);
    ASSERT(echo->connections > 0);
    echo->connections--;
    /* If descriptors had run out, there is one now. */
    if (loop_set(&echo->loop, &echo->listener, LOOP_READ) != RC_OK) {
        (void)fprintf(stderr, "ws-echo: cannot listen any more\n");
    }
}

static void on_ping(struct conn *conn, struct bytes payload)
{
    if (out_size(conn) <= PONG_ROOM_BYTES) {
        conn->pong_waits = false;
        check(conn, ws_frame_append(&conn->out, WS_PONG, payload));
        return;
    }
    ASSERT(payload.size <= sizeof(conn->pong));
    bytes_copy(conn->pong, payload.data, payload.size);
    conn->pong_size = (uint8_t)payload.size;
    conn->pong_waits = true;
}

static size_t ws_input(struct echo *echo, struct conn *conn, uint8_t *data, size_t size)
{
    struct ws_event event = {0};
    size_t used = size;
    ws_decoder_feed(&conn->decoder, &limits, data, size, &used, &event);
    switch (event.type) {
    case WS_EVENT_NONE:
    case WS_EVENT_PONG: break;
    case WS_EVENT_MESSAGE:
        check(conn, ws_message_append(&conn->out, conn->deflater, event.opcode, event.payload));
        break;
    case WS_EVENT_PING: on_ping(conn, event.payload); break;
    case WS_EVENT_CLOSE: /* [WS 5.5.1] the same code back, or none for none */
        check(conn, ws_close_append(&conn->out, event.code, NULL));
        conn_end(echo, conn);
        break;
    case WS_EVENT_ERROR: /* [WS 7.1.7] */
        check(conn, ws_close_append(&conn->out, event.code, event.text));
        conn_end(echo, conn);
        break;
    }
    return used;
}

static void deflate_begin(struct conn *conn, const struct ws_deflate *deflate)
{
    const struct deflater_options options = {
        .window_bits = deflate->server_bits,
        .memory_level = DEFLATE_LEVEL_MAX,
        .takeover = !deflate->server_no_context,
    };
    check(conn, deflater_new(&options, &conn->deflater));
    check(conn, inflater_new(deflate->client_bits, !deflate->client_no_context, &conn->inflater));
    if (!conn->dead) {
        ws_decoder_inflate(&conn->decoder, conn->inflater);
    }
}

static void on_head(struct echo *echo, struct conn *conn, const struct http_request *request)
{
    static const struct bytes any_origin = BYTES_LITERAL("*");
    static const struct ws_deflate_wish any_deflate = {.window_bits = DEFLATE_BITS_MAX};
    struct ws_deflate deflate = {0};
    const struct ws_handshake_options options = {
        .path = "/",
        .origins = &any_origin,
        .origin_count = 1,
        .any_protocol = true,
        .deflate = echo->deflate ? &any_deflate : NULL,
        .ret_deflate = &deflate,
    };
    enum wire_codec codec;
    const char *why;
    const enum rc rc = ws_handshake(request, &options, &conn->out, &codec, &why);
    if (rc == RC_PROTOCOL) {
        conn_end(echo, conn);
        return;
    }
    check(conn, rc);
    http_parser_free(conn->parser);
    conn->parser = NULL;
    ws_decoder_init(&conn->decoder, WS_SERVER);
    if (deflate.agreed) {
        deflate_begin(conn, &deflate);
    }
    timer_disarm(&echo->timers, &conn->timer);
    conn->phase = PHASE_OPEN;
}

static size_t http_input(struct echo *echo, struct conn *conn, const uint8_t *data, size_t size)
{
    struct http_event event = {0};
    size_t used = size;
    http_parser_feed(conn->parser, bytes_of(data, size), &used, &event);
    if (event.type == HTTP_EVENT_HEAD) {
        on_head(echo, conn, event.request);
    } else if (event.type != HTTP_EVENT_NONE) {
        /* A head comes before all else, and ends this phase. */
        ASSERT(event.type == HTTP_EVENT_ERROR);
        check(conn, http_response_append(&conn->out, event.status, "text/plain", NULL,
                                         bytes_of_text(event.text), true));
        conn_end(echo, conn);
    }
    return used;
}

static void conn_read(struct echo *echo, struct conn *conn)
{
    uint8_t *data = echo->read_buffer;
    size_t size = 0;
    const enum rc rc = socket_read(conn->handler.fd, data, READ_BYTES, &size);
    if (rc != RC_OK) {
        conn->dead = conn->dead || rc != RC_AGAIN;
        return;
    }
    while (size > 0 && !conn->dead && conn->phase < PHASE_ENDING) {
        const size_t used = conn->phase == PHASE_HTTP ? http_input(echo, conn, data, size)
                                                      : ws_input(echo, conn, data, size);
        ASSERT(used <= size);
        data += used;
        size -= used;
        /* What was sent already makes room before the next message does. */
        if (conn->out_at > out_size(conn)) {
            buf_consume(&conn->out, conn->out_at);
            conn->out_at = 0;
        }
    }
    if (conn->phase == PHASE_OPEN && !conn->dead) {
        (void)ws_input(echo, conn, data, 0); /* lets go of the memory of the last message */
    }
}

static void out_sent(struct conn *conn, size_t size)
{
    conn->out_at += size;
    ASSERT(conn->out_at <= conn->out.size);
    if (conn->out_at == conn->out.size) {
        conn->out_at = 0;
        buf_deinit(&conn->out);
    }
}

static void conn_write(struct echo *echo, struct conn *conn)
{
    enum rc rc = RC_OK;
    while (rc == RC_OK && !conn->dead) {
        if (conn->pong_waits && conn->phase == PHASE_OPEN && out_size(conn) == 0) {
            on_ping(conn, bytes_of(conn->pong, conn->pong_size));
        }
        if (out_size(conn) == 0) {
            break;
        }
        const struct iovec piece = {conn->out.data + conn->out_at, out_size(conn)};
        size_t written = 0;
        rc = socket_write(conn->handler.fd, &piece, 1, &written);
        out_sent(conn, written);
    }
    conn->dead = conn->dead || rc == RC_CLOSED;
    if (conn->phase == PHASE_ENDING && out_size(conn) == 0) {
        /* [WS 7.1.1] the server ends its side first, then waits for the peer's end. */
        socket_shutdown_write(conn->handler.fd);
        conn->phase = PHASE_ENDED;
        timer_arm(&echo->timers, &conn->timer, now_ms() + END_TIMEOUT_MS);
    }
}

static void conn_turn(struct echo *echo, struct conn *conn, uint32_t events)
{
    if ((events & LOOP_READ) != 0) {
        conn_read(echo, conn);
    } else if ((events & LOOP_HANGUP) != 0) {
        conn->dead = true; /* nobody is there to send to */
    }
    if (!conn->dead) {
        conn_write(echo, conn);
    }
    if (!conn->dead) {
        const bool reading = conn->phase != PHASE_OPEN || out_size(conn) < OUT_BYTES_MAX;
        const uint32_t wanted = (reading ? LOOP_READ : 0u) | (out_size(conn) > 0 ? LOOP_WRITE : 0u);
        check(conn, loop_set(&echo->loop, &conn->handler, wanted));
    }
    if (conn->dead) {
        conn_free(echo, conn);
    }
}

static void conn_open(struct echo *echo, int fd)
{
    struct conn *conn = mem_calloc(1, sizeof(*conn));
    if (conn == NULL || http_parser_new(&conn->parser) != RC_OK) {
        socket_close(fd);
        mem_free(conn);
        return;
    }
    conn->handler.fd = fd;
    timer_init(&conn->timer);
    timer_arm(&echo->timers, &conn->timer, now_ms() + HEAD_TIMEOUT_MS);
    echo->connections++;
    conn_turn(echo, conn, 0);
}

static void on_accept(struct echo *echo)
{
    struct address peer;
    int fd = -1;
    const enum rc rc = socket_accept(echo->listener.fd, &fd, &peer);
    if (rc == RC_OK && echo->connections < CONNECTIONS_MAX) {
        conn_open(echo, fd);
    } else if (rc == RC_OK) {
        socket_close(fd);
    } else if (rc == RC_FULL && loop_set(&echo->loop, &echo->listener, 0) != RC_OK) {
        (void)fprintf(stderr, "ws-echo: out of memory\n");
    }
}

static void echo_turn(struct echo *echo)
{
    loop_wait(&echo->loop, timer_wait_ms(&echo->timers, now_ms(), 1000));
    for (unsigned i = 0; i < echo->loop.ready_count; i++) {
        struct loop_handler *handler = echo->loop.ready[i].handler;
        if (handler == &echo->listener) {
            on_accept(echo);
        } else if (handler != NULL) {
            conn_turn(echo, (struct conn *)(void *)handler, echo->loop.ready[i].events);
        }
    }
    for (struct timer *timer = timer_expire(&echo->timers, now_ms()); timer != NULL;
         timer = timer_expire(&echo->timers, now_ms())) {
        conn_free(echo, CONTAINER_OF(timer, struct conn, timer));
    }
}

static bool parse_port(const char *text, uint16_t *ret_port)
{
    unsigned port = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || port > UINT16_MAX) {
            return false;
        }
        port = port * 10 + (unsigned)(*at - '0');
    }
    *ret_port = (uint16_t)port;
    return text[0] != '\0' && port <= UINT16_MAX;
}

static bool parse(int argc, char **argv, uint16_t *ret_port, bool *ret_deflate)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--deflate") == 0) {
            *ret_deflate = true;
        } else if (strcmp(argv[i], "--port") != 0 || i + 1 == argc ||
                   !parse_port(argv[++i], ret_port)) {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct echo echo;
    char address[SOCKET_ADDRESS_TEXT];
    uint16_t port = PORT_DEFAULT;
    if (!parse(argc, argv, &port, &echo.deflate)) {
        (void)fprintf(stderr, "usage: ws-echo [--port N] [--deflate]\n");
        return 2;
    }
    timer_wheel_init(&echo.timers, now_ms());
    enum rc rc = loop_init(&echo.loop);
    if (rc == RC_OK) {
        rc = socket_listen("127.0.0.1", port, 128, &echo.listener.fd, address);
    }
    if (rc != RC_OK || loop_set(&echo.loop, &echo.listener, LOOP_READ) != RC_OK) {
        (void)fprintf(stderr, "ws-echo: cannot listen on port %u: %s\n", port, rc_text(rc));
        return 1;
    }
    (void)printf("listening on %s\n", address);
    (void)fflush(stdout);
    for (;;) {
        echo_turn(&echo);
    }
}
