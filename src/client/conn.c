#include "client/conn.h"

#include "base/limits.h"
#include "base/mark.h"
#include "base/mem.h"
#include "client/upgrade.h"
#include "wire/ws.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536u
/* A message and its names, or a batch in a history reply: what the server may send at once. */
#define MESSAGE_BYTES_RECEIVED_MAX (2u * FRAME_BYTES_MAX)
#define RANDOM_BYTES               1024u
#define WHY_SIZE                   320u

enum conn_state {
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_OPENED, /* CONN_OPEN is to be told */
    CONN_RUNNING,
    CONN_OVER, /* CONN_CLOSED is to be told once the input is used up */
};

struct client_conn {
    enum conn_state state;
    enum wire_codec codec;
    int fd;
    struct addrinfo *addresses;
    struct addrinfo *next_address; /* to try if this one fails */
    struct client_url url;
    uint8_t nonce[UPGRADE_NONCE_SIZE];
    struct buf in; /* what was read and is not decoded yet, from in_at on */
    size_t in_at;
    struct buf out; /* what is not written yet, from out_at on */
    size_t out_at;
    struct ws_decoder decoder;
    bool ended; /* the socket gives nothing more */
    enum client_conn_end end;
    size_t random_left;
    uint8_t random[RANDOM_BYTES];
    char why[WHY_SIZE];
};

static enum ws_opcode opcode_of(enum wire_codec codec)
{
    return codec == WIRE_BINARY ? WS_BINARY : WS_TEXT;
}

/* Random bytes for keys: one system call gives many. */
static enum rc take_random(struct client_conn *conn, uint8_t *to, size_t size)
{
    ASSERT(size <= sizeof(conn->random));
    if (conn->random_left < size) {
        if (getrandom(conn->random, sizeof(conn->random), 0) != (ssize_t)sizeof(conn->random)) {
            return RC_IO;
        }
        conn->random_left = sizeof(conn->random);
    }
    conn->random_left -= size;
    bytes_copy(to, conn->random + conn->random_left, size);
    return RC_OK;
}

__attribute__((format(printf, 3, 4))) static void
fail(struct client_conn *conn, enum client_conn_end end, const char *format, ...)
{
    ASSERT(conn->state != CONN_OVER); /* it ends once */
    va_list args;
    va_start(args, format);
    (void)vsnprintf(conn->why, sizeof(conn->why), format, args);
    va_end(args);
    conn->end = end;
    conn->state = CONN_OVER;
}

/* Begins with the next address; false: there is none left. */
static bool connect_next(struct client_conn *conn)
{
    while (conn->next_address != NULL) {
        const struct addrinfo *address = conn->next_address;
        conn->next_address = address->ai_next;
        if (conn->fd >= 0) {
            MARK("conn: the next address of a name");
            (void)close(conn->fd);
        }
        conn->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (conn->fd < 0) {
            continue;
        }
        const int one = 1;
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (connect(conn->fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS) {
            return true;
        }
    }
    return false;
}

enum rc client_conn_open(const struct client_url *url, enum wire_codec codec,
                         struct client_conn **ret_conn)
{
    enum rc rc = RC_OK;
    struct client_conn *conn = mem_calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return RC_NOMEM;
    }
    conn->fd = -1;
    conn->codec = codec;
    conn->url = *url;
    ws_decoder_init(&conn->decoder, WS_CLIENT);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    if (getaddrinfo(url->host, url->port, &hints, &conn->addresses) != 0) {
        conn->addresses = NULL;
        rc = RC_NOT_FOUND;
        goto fail_conn;
    }
    conn->next_address = conn->addresses;
    rc = take_random(conn, conn->nonce, sizeof(conn->nonce));
    if (rc != RC_OK) {
        goto fail_conn;
    }
    if (!connect_next(conn)) {
        fail(conn, CONN_END_LOST, "cannot connect to %s: %s", url->authority, strerror(errno));
    }
    *ret_conn = conn;
    return RC_OK;

fail_conn:
    client_conn_close(conn);
    ASSERT(rc != RC_OK);
    return rc;
}

void client_conn_close(struct client_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    if (conn->fd >= 0) {
        (void)close(conn->fd);
    }
    if (conn->addresses != NULL) {
        freeaddrinfo(conn->addresses);
    }
    ws_decoder_deinit(&conn->decoder);
    buf_deinit(&conn->in);
    buf_deinit(&conn->out);
    mem_free(conn);
}

int client_conn_fd(const struct client_conn *conn)
{
    return conn->fd;
}

short client_conn_events(const struct client_conn *conn)
{
    if (conn->state == CONN_OVER) {
        return 0;
    }
    if (conn->state == CONN_CONNECTING) {
        return POLLOUT;
    }
    return (short)(POLLIN | (client_conn_pending(conn) > 0 ? POLLOUT : 0));
}

/* ---- reading and writing ------------------------------------------------------------------- */

static void on_connect(struct client_conn *conn)
{
    struct pollfd ready = {.fd = conn->fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) <= 0) {
        return; /* not yet */
    }
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error != 0) {
        if (!connect_next(conn)) {
            fail(conn, CONN_END_LOST, "cannot connect to %s: %s", conn->url.authority,
                 strerror(error));
        }
        return;
    }
    conn->state = CONN_HANDSHAKE;
    if (upgrade_request(&conn->out, &conn->url, conn->codec, conn->nonce) != RC_OK) {
        fail(conn, CONN_END_LOST, "%s", rc_text(RC_NOMEM));
    }
}

static void write_some(struct client_conn *conn)
{
    while (client_conn_pending(conn) > 0 && !conn->ended) {
        const ssize_t written = send(conn->fd, conn->out.data + conn->out_at,
                                     client_conn_pending(conn), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            /* What has arrived is still worth reading: the reading side reports the end. */
            return;
        }
        conn->out_at += (size_t)written;
    }
    if (client_conn_pending(conn) == 0) {
        buf_clear(&conn->out);
        conn->out_at = 0;
    }
}

/* One read; what was decoded before is dropped first. */
static void read_some(struct client_conn *conn)
{
    if (conn->in_at == conn->in.size) {
        buf_clear(&conn->in);
        conn->in_at = 0;
    }
    if (conn->ended || conn->in.size - conn->in_at >= READ_BYTES) {
        return; /* the caller is to take events first */
    }
    buf_consume(&conn->in, conn->in_at);
    conn->in_at = 0;
    if (buf_reserve(&conn->in, READ_BYTES) != RC_OK) {
        fail(conn, CONN_END_LOST, "%s", rc_text(RC_NOMEM));
        return;
    }
    ssize_t got;
    do {
        got = recv(conn->fd, conn->in.data + conn->in.size, READ_BYTES, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        conn->in.size += (size_t)got;
    } else if (got == 0 || errno != EAGAIN) {
        conn->ended = true;
    }
}

static void on_handshake(struct client_conn *conn)
{
    const struct bytes response =
        bytes_of(conn->in.data + conn->in_at, conn->in.size - conn->in_at);
    char why[UPGRADE_WHY_SIZE] = "";
    size_t used = 0;
    const enum rc rc = upgrade_check(response, conn->codec, conn->nonce, why, &used);
    if (rc == RC_OK) {
        conn->in_at += used;
        conn->state = CONN_OPENED;
        return;
    }
    if (rc != RC_AGAIN) {
        const enum client_conn_end end = rc == RC_CLOSED   ? CONN_END_LOST
                                         : rc == RC_DENIED ? CONN_END_REFUSED
                                                           : CONN_END_BROKEN;
        fail(conn, end, "%s: %s", conn->url.authority, why);
        return;
    }
    if (conn->ended) {
        fail(conn, CONN_END_LOST, "%s closed the connection before it answered",
             conn->url.authority);
    }
}

void client_conn_on_ready(struct client_conn *conn)
{
    if (conn->state == CONN_CONNECTING) {
        on_connect(conn);
    }
    if (conn->state == CONN_CONNECTING || conn->state == CONN_OVER) {
        return;
    }
    write_some(conn);
    read_some(conn);
    if (conn->state == CONN_HANDSHAKE) {
        on_handshake(conn);
    }
}

/* ---- frames -------------------------------------------------------------------------------- */

static enum rc send_frame(struct client_conn *conn, enum ws_opcode opcode, struct bytes payload)
{
    enum rc rc = buf_reserve(&conn->out, WS_HEADER_SIZE_MAX + payload.size);
    uint8_t mask[4];
    if (rc == RC_OK) {
        rc = take_random(conn, mask, sizeof(mask));
    }
    if (rc != RC_OK) {
        return rc;
    }
    /* [WS 5.3] every frame has a key of its own that nobody can foresee. */
    uint8_t header[WS_HEADER_SIZE_MAX];
    const size_t size = ws_header_encode(header, opcode, payload.size, mask);
    buf_put(&conn->out, header, size);
    uint8_t *at = conn->out.data + conn->out.size;
    buf_put(&conn->out, payload.data, payload.size);
    ws_mask(at, payload.size, mask, 0);
    return RC_OK;
}

enum rc client_conn_send(struct client_conn *conn, struct bytes text)
{
    return conn->state == CONN_RUNNING ? send_frame(conn, opcode_of(conn->codec), text) : RC_CLOSED;
}

void client_conn_flush(struct client_conn *conn)
{
    if (conn->state == CONN_RUNNING) {
        write_some(conn);
    }
}

void client_conn_say_goodbye(struct client_conn *conn)
{
    static const uint8_t normal[2] = {WS_CLOSE_NORMAL >> 8, WS_CLOSE_NORMAL & 0xFF};
    if (conn->state == CONN_RUNNING &&
        send_frame(conn, WS_CLOSE, bytes_of(normal, sizeof(normal))) == RC_OK) {
        write_some(conn);
    }
}

size_t client_conn_pending(const struct client_conn *conn)
{
    return conn->out.size - conn->out_at;
}

static void on_close_frame(struct client_conn *conn, const struct ws_event *event)
{
    char reason[128];
    size_t size = 0;
    ASSERT(event->payload.size < sizeof(reason)); /* [WS 5.5] 125 bytes, and two are the code */
    for (; size < event->payload.size; size++) {
        const uint8_t c = event->payload.data[size];
        reason[size] = c < 0x20 || c == 0x7F ? '?' : (char)c;
    }
    reason[size] = '\0';
    /* [P 11] what the server will say again however often we come back; not 1008, its patience with
     * a slow line */
    const bool final = event->code == WS_CLOSE_TOO_LARGE || event->code == WS_CLOSE_UTF8 ||
                       event->code == WS_CLOSE_PROTOCOL || event->code >= 4000;
    fail(conn, final ? CONN_END_REFUSED : CONN_END_LOST,
         "the server closed the connection (code %u%s%s)", event->code, size > 0 ? ", " : "",
         reason);
}

/* Turns one WebSocket event into one of ours; CONN_NONE: it was not for the caller. */
static enum conn_event_type take_event(struct client_conn *conn, const struct ws_event *event)
{
    switch (event->type) {
    case WS_EVENT_NONE: break;
    case WS_EVENT_PONG: break;
    case WS_EVENT_PING:
        if (send_frame(conn, WS_PONG, event->payload) != RC_OK) {
            fail(conn, CONN_END_LOST, "%s", rc_text(RC_NOMEM));
        }
        break;
    case WS_EVENT_MESSAGE:
        if (event->opcode == opcode_of(conn->codec)) {
            return CONN_TEXT;
        }
        fail(conn, CONN_END_BROKEN, "the server sent a %s frame",
             event->opcode == WS_TEXT ? "text" : "binary");
        break;
    case WS_EVENT_CLOSE: on_close_frame(conn, event); break;
    case WS_EVENT_ERROR:
        fail(conn, CONN_END_BROKEN, "the server broke the WebSocket protocol: %s", event->text);
        break;
    }
    return CONN_NONE;
}

static void next_frame(struct client_conn *conn, struct client_conn_event *ret_event)
{
    static const struct ws_limits limits = {.message_bytes = MESSAGE_BYTES_RECEIVED_MAX};
    while (conn->state == CONN_RUNNING && conn->in_at < conn->in.size) {
        struct ws_event event = {0};
        size_t used = 0;
        ws_decoder_feed(&conn->decoder, &limits, conn->in.data + conn->in_at,
                        conn->in.size - conn->in_at, &used, &event);
        conn->in_at += used;
        ret_event->type = take_event(conn, &event);
        ret_event->text = event.payload;
        if (ret_event->type != CONN_NONE) {
            return;
        }
        ASSERT(event.type != WS_EVENT_NONE || conn->in_at == conn->in.size);
    }
    if (conn->state == CONN_RUNNING && conn->ended) { /* and all that came is used up */
        fail(conn, CONN_END_LOST, "the connection to %s was lost", conn->url.authority);
    }
}

void client_conn_next(struct client_conn *conn, struct client_conn_event *ret_event)
{
    *ret_event = (struct client_conn_event){.type = CONN_NONE};
    if (conn->state == CONN_OPENED) {
        conn->state = CONN_RUNNING;
        ret_event->type = CONN_OPEN;
        return;
    }
    if (conn->state == CONN_RUNNING) {
        next_frame(conn, ret_event);
    }
    if (conn->state == CONN_OVER) {
        ret_event->type = CONN_CLOSED;
    }
}

const char *client_conn_why(const struct client_conn *conn)
{
    return conn->why;
}

enum client_conn_end client_conn_end(const struct client_conn *conn)
{
    return conn->end;
}
