/* The rings between reactors (and the main thread, which is the last of the endpoints).
 *
 * Each ordered pair has a ring of its own. What does not fit into a full ring waits in the sender's
 * outbox, in order; the bounds on publishes under way and on reads bound it (see router.h). Mail to
 * oneself goes through a list.
 *
 * Thread: mesh_send, mesh_flush, mesh_receive by the endpoint named; init and deinit by the main
 * thread.  Memory: mesh_deinit() frees the mail still under way. */
#ifndef SERVER_MESH_H
#define SERVER_MESH_H

#include "server/mail.h"

#define MESH_RING_SLOTS 1024u

struct mesh_pipe {
    struct spsc ring;
    struct list outbox; /* sender only */
};

struct mesh_endpoint {
    struct doorbell bell;
    int wake_fd; /* eventfd, non-blocking */
    struct list local;
    unsigned turn; /* whose ring is looked at first, next time */
};

struct mesh {
    unsigned count;
    struct mesh_endpoint *endpoints;
    struct mesh_pipe *pipes; /* [from * count + to] */
};

/* RC_NOMEM, RC_IO */
MUST_USE enum rc mesh_init(struct mesh *mesh, unsigned count);
void mesh_deinit(struct mesh *mesh);
/* Takes the mail. It leaves with mesh_flush(). */
void mesh_send(struct mesh *mesh, unsigned from, unsigned to, struct mail *mail);
/* Moves outboxes into rings and wakes who sleeps. Returns whether anything had to stay behind. */
bool mesh_flush(struct mesh *mesh, unsigned from);
/* The next mail for `self`, or NULL: of each sender in turn, itself among them. */
struct mail *mesh_receive(struct mesh *mesh, unsigned self);
/* Whether mesh_receive() would give something. */
bool mesh_ready(struct mesh *mesh, unsigned self);
/* Empties the eventfd of `self` after a wake-up. */
void mesh_drain_wake(struct mesh *mesh, unsigned self);

#endif
