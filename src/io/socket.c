#include "io/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of a family that we don't serve: the unspecified address. */
static struct address address_of(const struct sockaddr_storage *from, unsigned *ret_port)
{
    struct address address = {0};
    *ret_port = 0;
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        bytes_copy(address.bytes, &in6->sin6_addr, sizeof(address.bytes));
        *ret_port = ntohs(in6->sin6_port);
    } else if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)from;
        address = address_of_v4((const uint8_t *)&in4->sin_addr);
        *ret_port = ntohs(in4->sin_port);
    }
    return address;
}

static void bound_text(const struct sockaddr_storage *bound, char to[static SOCKET_ADDRESS_TEXT])
{
    char ip[ADDRESS_TEXT_SIZE];
    unsigned port;
    const struct address address = address_of(bound, &port);
    address_print(&address, ip);
    const char *form = strchr(ip, ':') == NULL ? "%s:%u" : "[%s]:%u";
    (void)snprintf(to, SOCKET_ADDRESS_TEXT, form, ip, port);
}

static enum rc rc_of_bind(int error)
{
    switch (error) {
    case EADDRINUSE: return RC_EXISTS;
    case EACCES:
    case EPERM: return RC_DENIED;
    case EADDRNOTAVAIL: return RC_NOT_FOUND;
    default: return RC_IO;
    }
}

static enum rc listen_on(const struct addrinfo *info, int backlog, int *ret_fd)
{
    const int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) {
        return RC_IO;
    }
    const int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, backlog) != 0) {
        const enum rc rc = rc_of_bind(errno);
        (void)close(fd);
        return rc;
    }
    *ret_fd = fd;
    return RC_OK;
}

enum rc socket_listen(const char *host, uint16_t port, int backlog, int *ret_fd,
                      char ret_address[static SOCKET_ADDRESS_TEXT])
{
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", port);
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, service, &hints, &found) != 0 || found == NULL) {
        return RC_NOT_FOUND;
    }
    int fd = -1;
    const enum rc rc = listen_on(found, backlog, &fd);
    freeaddrinfo(found);
    if (rc != RC_OK) {
        return rc;
    }
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof(bound);
    (void)getsockname(fd, (struct sockaddr *)&bound, &size);
    bound_text(&bound, ret_address);
    *ret_fd = fd;
    return RC_OK;
}

enum rc socket_accept(int listen_fd, int *ret_fd, struct address *ret_peer)
{
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof(peer);
    const int fd =
        accept4(listen_fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        switch (errno) {
        case EAGAIN:
        case EINTR:
        case ECONNABORTED:
        case EPROTO: return RC_AGAIN;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: return RC_FULL;
        default: return RC_IO;
        }
    }
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    unsigned port;
    *ret_peer = address_of(&peer, &port);
    *ret_fd = fd;
    return RC_OK;
}

enum rc socket_read(int fd, void *to, size_t size, size_t *ret_size)
{
    const ssize_t count = recv(fd, to, size, 0);
    if (count > 0) {
        *ret_size = (size_t)count;
        return RC_OK;
    }
    return socket_read_rc(count < 0 ? errno : 0);
}

enum rc socket_write(int fd, const struct iovec *pieces, unsigned count, size_t *ret_size)
{
    ASSERT(count > 0);
    ssize_t written;
    if (count == 1) {
        written = send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
    } else {
        const struct msghdr message = {
            .msg_iov = (struct iovec *)(uintptr_t)pieces,
            .msg_iovlen = count,
        };
        written = sendmsg(fd, &message, MSG_NOSIGNAL);
    }
    if (written >= 0) {
        *ret_size = (size_t)written;
        return RC_OK;
    }
    return socket_write_rc(errno);
}

void socket_shutdown_write(int fd)
{
    (void)shutdown(fd, SHUT_WR);
}

void socket_close(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}
