#include "io/burst.h"

#include "base/mem.h"
#include "io/socket.h"

#include <errno.h>
#include <liburing.h>
#include <sys/socket.h>
#include <unistd.h>

/* Fewer are made by calls: as measured, the ring only begins to gain there. */
#define RING_MIN 4u

struct burst_ring {
    struct io_uring ring;
    struct msghdr heads[BURST_MAX]; /* of the writes under way that have several pieces */
};

/* ---- the ring -------------------------------------------------------------------------------- */

static enum rc rc_of_setup(int error)
{
    switch (error) {
    case EPERM:
    case EACCES: return RC_DENIED;
    case ENOSYS:
    case EINVAL: return RC_NOT_FOUND;
    case ENOMEM:
    case EMFILE:
    case ENFILE: return RC_NOMEM;
    default: return RC_IO;
    }
}

static void ring_close(struct burst *burst)
{
    io_uring_queue_exit(&burst->ring_->ring);
    mem_free(burst->ring_);
    burst->ring_ = NULL;
}

static enum rc ring_open(struct burst *burst)
{
    struct burst_ring *ring = mem_calloc(1, sizeof(*ring));
    if (ring == NULL) {
        return RC_NOMEM;
    }
    /* One that the kernel refuses must not keep those behind it. */
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL};
    const int failed = io_uring_queue_init_params(BURST_MAX, &ring->ring, &params);
    if (failed != 0) {
        mem_free(ring);
        return rc_of_setup(-failed);
    }
    burst->ring_ = ring;
    return RC_OK;
}

/* MSG_DONTWAIT: what cannot be done at once fails at once, and is not waited for in the kernel. So
 * everything is done when the call that hands it over returns. */
static void ring_put(struct burst_ring *ring, const struct burst_op *op, unsigned index)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
    ASSERT(entry != NULL); /* it was empty, and has BURST_MAX */
    ASSERT_HOT(op->count > 0);
    const struct iovec *first = &op->pieces[0];
    if (op->kind == BURST_READ) {
        io_uring_prep_recv(entry, op->fd, first->iov_base, first->iov_len, MSG_DONTWAIT);
    } else if (op->count == 1) {
        io_uring_prep_send(entry, op->fd, first->iov_base, first->iov_len,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        ring->heads[index] = (struct msghdr){
            .msg_iov = (struct iovec *)(uintptr_t)op->pieces,
            .msg_iovlen = op->count,
        };
        io_uring_prep_sendmsg(entry, op->fd, &ring->heads[index], MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    entry->user_data = index;
}

/* Hands over what was put. False: the ring is of no use any more. */
static bool ring_submit(struct burst_ring *ring)
{
    while (io_uring_sq_ready(&ring->ring) > 0) {
        const int taken = io_uring_submit(&ring->ring);
        if (taken <= 0 && taken != -EINTR) {
            return false;
        }
    }
    return true;
}

static void op_settle(struct burst_op *op, int result)
{
    op->size = result > 0 ? (size_t)result : 0;
    if (op->kind == BURST_READ) {
        op->rc = result > 0 ? RC_OK : socket_read_rc(-result);
    } else {
        op->rc = result >= 0 ? RC_OK : socket_write_rc(-result);
    }
}

/* Takes the results that are there. Returns how many. */
static unsigned ring_reap(struct burst_ring *ring, struct burst_op ops[])
{
    unsigned count = 0;
    unsigned head;
    struct io_uring_cqe *result;
    io_uring_for_each_cqe(&ring->ring, head, result)
    {
        ASSERT_HOT(result->user_data < BURST_MAX);
        op_settle(&ops[result->user_data], result->res);
        count++;
    }
    io_uring_cq_advance(&ring->ring, count);
    return count;
}

/* All results of the first `taken` of them, which the kernel has. It says them before it returns;
 * should it not, they are waited for: made once more by a call, bytes would go out twice. */
static bool ring_settle(struct burst_ring *ring, struct burst_op ops[], unsigned taken)
{
    for (unsigned i = 0; i < taken; i++) {
        ops[i].rc = RC_CLOSED; /* where no result comes nobody knows what has gone out */
        ops[i].size = 0;
    }
    unsigned count = ring_reap(ring, ops);
    int error = 0;
    while (count < taken && (error == 0 || error == -EINTR)) {
        struct io_uring_cqe *result;
        error = io_uring_wait_cqe(&ring->ring, &result);
        count += ring_reap(ring, ops);
    }
    return count == taken;
}

/* Returns how many were made, from the first on. */
static unsigned ring_run(struct burst *burst, struct burst_op ops[], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        ring_put(burst->ring_, &ops[i], i);
    }
    bool good = ring_submit(burst->ring_);
    const unsigned taken = count - io_uring_sq_ready(&burst->ring_->ring); /* in order */
    good = ring_settle(burst->ring_, ops, taken) && good;
    if (!good) {
        ring_close(burst); /* and with it what it has not taken */
    }
    return taken;
}

/* ---- whether it is there --------------------------------------------------------------------- */

#define TRIAL_BYTES 65536u
#define TRIALS_MAX  1024u

/* Reads of nothing, and writes until the near socket is full: what came of them must be said at
 * once. */
static bool works(struct burst *burst, int near_fd)
{
    static uint8_t bytes[TRIAL_BYTES]; /* zeros that are sent; never written to, nothing comes */
    struct iovec halves[2] = {{bytes, TRIAL_BYTES / 2}, {bytes, TRIAL_BYTES / 2}};
    for (unsigned i = 0; i < TRIALS_MAX; i++) {
        struct burst_op ops[] = {
            {.kind = BURST_READ, .fd = near_fd, .pieces = halves, .count = 1},
            {.kind = BURST_WRITE, .fd = near_fd, .pieces = halves, .count = 1},
            {.kind = BURST_WRITE, .fd = near_fd, .pieces = halves, .count = 2},
        };
        if (ring_run(burst, ops, 3) != 3 || burst->ring_ == NULL || ops[0].rc != RC_AGAIN) {
            return false;
        }
        if (ops[1].rc != RC_OK || ops[2].rc != RC_OK) {
            return i > 0 && ops[2].rc == RC_AGAIN;
        }
    }
    return false;
}

static enum rc ring_try(struct burst *burst)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        return RC_NOMEM;
    }
    const enum rc rc = works(burst, pair[0]) ? RC_OK : RC_IO;
    (void)close(pair[0]);
    (void)close(pair[1]);
    return rc;
}

enum rc burst_use_uring(struct burst *burst)
{
    ASSERT(burst->ring_ == NULL);
    enum rc rc = ring_open(burst);
    if (rc == RC_OK) {
        rc = ring_try(burst);
        if (rc != RC_OK) {
            burst_deinit(burst);
        }
    }
    return rc;
}

/* ---- the face -------------------------------------------------------------------------------- */

void burst_init(struct burst *burst)
{
    burst->ring_ = NULL;
}

void burst_deinit(struct burst *burst)
{
    if (burst->ring_ != NULL) {
        ring_close(burst);
    }
}

bool burst_uses_uring(const struct burst *burst)
{
    return burst->ring_ != NULL;
}

static void call(struct burst_op *op)
{
    op->size = 0;
    if (op->kind == BURST_READ) {
        op->rc = socket_read(op->fd, op->pieces[0].iov_base, op->pieces[0].iov_len, &op->size);
    } else {
        op->rc = socket_write(op->fd, op->pieces, op->count, &op->size);
    }
}

void burst_run(struct burst *burst, struct burst_op ops[], unsigned count)
{
    ASSERT(count <= BURST_MAX);
    const bool by_ring = burst->ring_ != NULL && count >= RING_MIN;
    for (unsigned i = by_ring ? ring_run(burst, ops, count) : 0; i < count; i++) {
        call(&ops[i]);
    }
}
