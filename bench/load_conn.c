/* A minimal client: blocking until it is connected, then driven by the loop. */
#include "load.h"

#include "base/mem.h"
#include "base/prng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE     (256u * 1024u)
#define EVENTS_MAX    256
#define MESSAGE_LIMIT (64u * 1024u * 1024u)

static uint8_t read_buffer[READ_SIZE];
static struct prng mask_prng = {.state = 1};

void loop_open(struct loop *loop)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        die("epoll: %s", strerror(errno));
    }
    loop->now_ns = now_ns();
}

void conn_send(struct conn *conn, struct bytes text)
{
    uint8_t header[WS_HEADER_SIZE_MAX];
    uint8_t mask[4];
    bytes_store_u32(mask, (uint32_t)prng_next(&mask_prng));
    const size_t header_size = ws_header_encode(header, WS_TEXT, text.size, mask);
    if (buf_reserve(&conn->out, header_size + text.size) != RC_OK) {
        die("out of memory");
    }
    buf_put(&conn->out, header, header_size);
    uint8_t *payload = conn->out.data + conn->out.size;
    buf_put(&conn->out, text.data, text.size);
    ws_mask(payload, text.size, mask, 0);
}

static void conn_watch(struct conn *conn, struct loop *loop, int operation)
{
    struct epoll_event event = {.data.ptr = conn};
    event.events = EPOLLIN | (conn->wants_write ? (uint32_t)EPOLLOUT : 0);
    if (epoll_ctl(loop->epoll_fd, operation, conn->fd, &event) != 0) {
        die("epoll_ctl: %s", strerror(errno));
    }
}

void conn_flush(struct conn *conn, struct loop *loop)
{
    while (conn->out_sent < conn->out.size) {
        const ssize_t sent = send(conn->fd, conn->out.data + conn->out_sent,
                                  conn->out.size - conn->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            break;
        }
        if (sent < 0) {
            die("connection %u: send: %s", conn->index, strerror(errno));
        }
        conn->out_sent += (size_t)sent;
    }
    const bool wants_write = conn->out_sent < conn->out.size;
    if (!wants_write) {
        buf_clear(&conn->out);
        conn->out_sent = 0;
    }
    if (wants_write != conn->wants_write) {
        conn->wants_write = wants_write;
        conn_watch(conn, loop, EPOLL_CTL_MOD);
    }
}

static void conn_on_event(struct conn *conn, const struct ws_event *event)
{
    uint8_t header[WS_HEADER_SIZE_MAX];
    static const uint8_t mask[4] = {0};
    switch (event->type) {
    case WS_EVENT_MESSAGE: conn->on_message(conn, event->payload); break;
    case WS_EVENT_PING: {
        const size_t size = ws_header_encode(header, WS_PONG, event->payload.size, mask);
        if (buf_append(&conn->out, bytes_of(header, size)) != RC_OK ||
            buf_append(&conn->out, event->payload) != RC_OK) {
            die("out of memory");
        }
        break;
    }
    case WS_EVENT_CLOSE: die("connection %u: closed with %u", conn->index, event->code);
    case WS_EVENT_ERROR: die("connection %u: %s", conn->index, event->text);
    case WS_EVENT_NONE:
    case WS_EVENT_PONG: break;
    }
}

/* Reads once and hands on every message that is whole. */
static void conn_read(struct conn *conn)
{
    static const struct ws_limits limits = {.message_bytes = MESSAGE_LIMIT};
    const ssize_t size = recv(conn->fd, read_buffer, sizeof(read_buffer), 0);
    if (size < 0 && errno == EAGAIN) {
        return;
    }
    if (size <= 0) {
        die("connection %u: %s", conn->index, size == 0 ? "lost" : strerror(errno));
    }
    for (size_t at = 0; at < (size_t)size;) {
        struct ws_event event;
        size_t used = 0;
        ws_decoder_feed(&conn->decoder, &limits, read_buffer + at, (size_t)size - at, &used,
                        &event);
        at += used;
        conn_on_event(conn, &event);
    }
}

static void upgrade(int fd)
{
    static const char request[] = "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char answer[2048];
    size_t size = 0;
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1) {
        die("upgrade: %s", strerror(errno));
    }
    /* Nothing follows the 101 before `connect` is sent, so this never reads too far. */
    while (size < 4 || memcmp(answer + size - 4, "\r\n\r\n", 4) != 0) {
        const ssize_t got = recv(fd, answer + size, sizeof(answer) - size, 0);
        if (got <= 0) {
            die("upgrade: the server closed the connection");
        }
        size += (size_t)got;
    }
    if (size < 12 || memcmp(answer, "HTTP/1.1 101", 12) != 0) {
        die("upgrade: refused: %.*s", 40, answer);
    }
}

static void on_connected(struct conn *conn, struct bytes text)
{
    if (!reply_is(text, "connected")) {
        die("connection %u: %.*s", conn->index, (int)text.size, (const char *)text.data);
    }
    conn->on_message = NULL;
}

void conn_open(struct conn *conn, struct loop *loop, uint16_t port, unsigned index,
               conn_on_message *on_message, void *ctx)
{
    *conn = (struct conn){.fd = tcp_connect(port), .index = index, .ctx = ctx};
    upgrade(conn->fd);
    ws_decoder_init(&conn->decoder, WS_CLIENT);
    conn->id = 1;
    conn_watch(conn, loop, EPOLL_CTL_ADD);
    conn_send(conn, bytes_of_text("{\"type\":\"connect\",\"id\":1}"));
    conn->on_message = on_connected;
    conn_flush(conn, loop);
    while (conn->on_message != NULL) {
        conn_read(conn);
    }
    conn->on_message = on_message;
    const int flags = fcntl(conn->fd, F_GETFL);
    if (flags < 0 || fcntl(conn->fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        die("fcntl: %s", strerror(errno));
    }
}

void conn_close(struct conn *conn)
{
    (void)close(conn->fd);
    ws_decoder_deinit(&conn->decoder);
    buf_deinit(&conn->out);
    mem_free(conn->sent_ns);
}

void loop_step(struct loop *loop, uint64_t wait_ns)
{
    struct epoll_event events[EVENTS_MAX];
    const struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                                  .tv_nsec = (long)(wait_ns % 1000000000u)};
    const int count = epoll_pwait2(loop->epoll_fd, events, EVENTS_MAX, &wait, NULL);
    if (count < 0 && errno != EINTR) {
        die("epoll: %s", strerror(errno));
    }
    loop->now_ns = now_ns();
    for (int i = 0; i < count; i++) {
        struct conn *conn = events[i].data.ptr;
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            conn_read(conn);
        }
        if (conn->out.size > 0) {
            conn_flush(conn, loop);
        }
    }
}

uint64_t reply_number(struct bytes text, const char *name)
{
    const uint8_t *at = memmem(text.data, text.size, name, strlen(name));
    const uint8_t *end = text.data + text.size;
    if (at == NULL) {
        die("no %s in %.*s", name, (int)text.size, (const char *)text.data);
    }
    uint64_t value = 0;
    for (at += strlen(name); at < end && *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
    }
    return value;
}

bool reply_is(struct bytes text, const char *type)
{
    char start[40];
    const int size = snprintf(start, sizeof(start), "{\"type\":\"%s\"", type);
    return size > 0 && text.size > (size_t)size && memcmp(text.data, start, (size_t)size) == 0;
}
