#include "peer.h"

#include "wire/base64.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

void peer_open(struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    *peer = (struct peer){.fd = -1};
    ws_decoder_init(&peer->decoder, WS_SERVER);
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->listener >= 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(peer->listener, 8), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &size), 0);
    char text[64];
    const char *why = NULL;
    (void)snprintf(text, sizeof(text), "ws://127.0.0.1:%u/v1/ws", ntohs(address.sin_port));
    assert_int_equal(client_url_parse(text, &peer->url, &why), RC_OK);
}

void peer_listen_for(struct peer *peer, int count)
{
    assert_int_equal(listen(peer->listener, count), 0);
}

void peer_stop_listening(struct peer *peer)
{
    if (peer->listener >= 0) {
        (void)close(peer->listener);
    }
    peer->listener = -1;
}

void peer_hang_up(struct peer *peer, bool reset)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (reset) {
        (void)setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    if (peer->fd >= 0) {
        (void)close(peer->fd);
    }
    peer->fd = -1;
    buf_clear(&peer->in);
    ws_decoder_deinit(&peer->decoder);
    ws_decoder_init(&peer->decoder, WS_SERVER);
}

void peer_close(struct peer *peer)
{
    peer_hang_up(peer, false);
    peer_stop_listening(peer);
    ws_decoder_deinit(&peer->decoder);
    buf_deinit(&peer->in);
}

static bool readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, 0) == 1;
}

bool peer_waiting(const struct peer *peer)
{
    return readable(peer->listener);
}

bool peer_asked(const struct peer *peer)
{
    return readable(peer->fd);
}

static void wait_for(int fd, short events)
{
    struct pollfd ready = {.fd = fd, .events = events};
    assert_int_equal(poll(&ready, 1, PEER_WAIT_MS), 1);
}

void peer_accept(struct peer *peer)
{
    assert_int_equal(peer->fd, -1);
    wait_for(peer->listener, POLLIN);
    peer->fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(peer->fd >= 0);
}

bool peer_read(struct peer *peer)
{
    for (;;) {
        assert_int_equal(buf_reserve(&peer->in, 65536), RC_OK);
        const ssize_t got = recv(peer->fd, peer->in.data + peer->in.size, 65536, MSG_DONTWAIT);
        if (got > 0) {
            peer->in.size += (size_t)got;
        } else {
            return got < 0 && errno == EAGAIN;
        }
    }
}

/* [WS 4.2.2] what proves that the key was read. */
static void append_accept(struct buf *to, const char *key)
{
    char text[128];
    uint8_t digest[20];
    size_t size = 0;
    uint8_t accept[29] = {0};
    (void)snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    assert_int_equal(EVP_Q_digest(NULL, "SHA1", NULL, text, strlen(text), digest, &size), 1);
    base64_encode(accept, bytes_of(digest, sizeof(digest)));
    assert_int_equal(buf_append(to, bytes_of_text((const char *)accept)), RC_OK);
}

void peer_answer(struct peer *peer, struct buf *to)
{
    static const char key_field[] = "Sec-WebSocket-Key: ";
    const uint8_t *end = NULL;
    while (end == NULL) {
        wait_for(peer->fd, POLLIN);
        assert_true(peer_read(peer));
        end = memmem(peer->in.data, peer->in.size, "\r\n\r\n", 4);
    }
    const char *key = memmem(peer->in.data, peer->in.size, key_field, strlen(key_field));
    assert_non_null(key);
    assert_int_equal(buf_append(to, BYTES_LITERAL("HTTP/1.1 101 Switching Protocols\r\n"
                                                  "Upgrade: websocket\r\n"
                                                  "Connection: Upgrade\r\n"
                                                  "Sec-WebSocket-Protocol: seriatim.v1.json\r\n"
                                                  "Sec-WebSocket-Accept: ")),
                     RC_OK);
    append_accept(to, key + strlen(key_field));
    assert_int_equal(buf_append(to, BYTES_LITERAL("\r\n\r\n")), RC_OK);
    buf_consume(&peer->in, (size_t)(end - peer->in.data) + 4);
}

void peer_write(struct peer *peer, struct bytes bytes)
{
    while (bytes.size > 0) {
        wait_for(peer->fd, POLLOUT);
        const ssize_t written = send(peer->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        assert_true(written > 0);
        bytes.data += written;
        bytes.size -= (size_t)written;
    }
}

void peer_frame(struct peer *peer, enum ws_opcode opcode, struct bytes payload)
{
    struct buf frame = {0};
    assert_int_equal(ws_frame_append(&frame, opcode, payload), RC_OK);
    peer_write(peer, buf_bytes(&frame));
    buf_deinit(&frame);
}

void peer_say(struct peer *peer, const char *text)
{
    peer_frame(peer, WS_TEXT, bytes_of_text(text));
}

void peer_greet(struct peer *peer)
{
    struct buf answer = {0};
    if (peer->fd < 0) {
        peer_accept(peer);
    }
    peer_answer(peer, &answer);
    peer_write(peer, buf_bytes(&answer));
    buf_deinit(&answer);
}

bool peer_next(struct peer *peer, struct ws_event *ret_event)
{
    static const struct ws_limits limits = {.message_bytes = 64u << 20};
    static struct buf kept; /* the payload, which may lie in what is consumed */
    size_t used = 0;
    ws_decoder_feed(&peer->decoder, &limits, peer->in.data, peer->in.size, &used, ret_event);
    buf_clear(&kept);
    assert_int_equal(buf_append(&kept, ret_event->payload), RC_OK);
    ret_event->payload = buf_bytes(&kept);
    buf_consume(&peer->in, used);
    if (ret_event->type == WS_EVENT_NONE) {
        buf_deinit(&kept);
        return false;
    }
    return true;
}
