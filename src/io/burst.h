/* Reads and writes of many sockets, made together: by one system call where the kernel lets us use
 * io_uring, else by one for each.
 *
 * Either way they are as socket_read() and socket_write() do them: what is there, what the kernel
 * takes now, without waiting. When burst_run() returns, all of them have been made. So nothing is
 * in flight between two calls: nothing has to outlive its connection, to be cancelled, or to be
 * held back, and an idle connection costs nothing.
 *
 * Thread: one at a time.  Memory: burst_deinit() frees. */
#ifndef IO_BURST_H
#define IO_BURST_H

#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define BURST_MAX 64u

enum burst_kind {
    BURST_READ, /* into one piece */
    BURST_WRITE,
};

struct burst_op {
    enum burst_kind kind;
    int fd;
    const struct iovec *pieces;
    unsigned count; /* of pieces; at least one */
    enum rc rc;     /* what came of it, as socket_read() and socket_write() tell … */
    size_t size;    /* … and of how many bytes */
};

struct burst {
    struct burst_ring *ring_; /* NULL: a call for each */
};

/* A call for each. */
void burst_init(struct burst *burst);
void burst_deinit(struct burst *burst);
/* One call for all of them, from now on.
 * RC_DENIED     the system forbids io_uring to this process: a container's rules, or its settings
 * RC_NOT_FOUND  the kernel has no io_uring, or lacks what is needed of it
 * RC_NOMEM      no memory, or too little that may be locked
 * RC_IO         it works otherwise than it should */
MUST_USE enum rc burst_use_uring(struct burst *burst);
bool burst_uses_uring(const struct burst *burst);
/* Makes all of them, at most BURST_MAX, each on a socket of its own. A ring that fails is given up,
 * and what it has not done is done by calls. */
void burst_run(struct burst *burst, struct burst_op ops[], unsigned count);

#endif
