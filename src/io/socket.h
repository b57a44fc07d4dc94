/* TCP sockets, non-blocking, close-on-exec.
 *
 * Thread: any; one thread per descriptor at a time.  Memory: none. */
#ifndef IO_SOCKET_H
#define IO_SOCKET_H

#include "base/bytes.h"
#include "base/rc.h"
#include "io/address.h"

#include <errno.h>
#include <sys/uio.h>

#define SOCKET_ADDRESS_TEXT 64 /* "[ipv6]:port" with its NUL */

/* Listens on host:port; `host` is a numeric address or a name, port 0 lets the kernel choose.
 * *ret_address gets the address bound, as text.
 * RC_NOT_FOUND  the name has no address
 * RC_EXISTS     the port is in use
 * RC_DENIED     not allowed to bind it
 * RC_IO */
MUST_USE enum rc socket_listen(const char *host, uint16_t port, int backlog, int *ret_fd,
                               char ret_address[static SOCKET_ADDRESS_TEXT]);

/* The next connection waiting; TCP_NODELAY is set. *ret_peer: where it comes from.
 * RC_AGAIN  none is waiting (or the one that was has gone)
 * RC_FULL   out of descriptors or memory
 * RC_IO */
MUST_USE enum rc socket_accept(int listen_fd, int *ret_fd, struct address *ret_peer);

/* Reads what is there, up to `size`.
 * RC_AGAIN   nothing yet
 * RC_CLOSED  the peer has ended its side, or is gone */
MUST_USE enum rc socket_read(int fd, void *to, size_t size, size_t *ret_size);

/* Writes as much as the kernel takes now, never raising SIGPIPE.
 * RC_AGAIN   nothing was taken
 * RC_CLOSED  the peer is gone */
MUST_USE enum rc socket_write(int fd, const struct iovec *pieces, unsigned count, size_t *ret_size);

/* What they make of an error; that of reading no bytes is 0. */
static inline enum rc socket_read_rc(int error)
{
    return error == EAGAIN || error == EINTR ? RC_AGAIN : RC_CLOSED;
}

static inline enum rc socket_write_rc(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS ? RC_AGAIN : RC_CLOSED;
}

/* Ends our side; what is in flight is still delivered. */
void socket_shutdown_write(int fd);
void socket_close(int fd);

#endif
