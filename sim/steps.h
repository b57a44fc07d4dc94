/* What the scheduler may let happen to workers and mail: worker.c and mesh.c here stand in place of
 * those of the server.
 *
 * Thread: one.  Memory: none. */
#ifndef SIM_STEPS_H
#define SIM_STEPS_H

#include "io/worker.h"
#include "server/mesh.h"

/* Whether the worker has a job; running one. */
bool worker_step_ready(struct worker *worker);
void worker_step(struct worker *worker);

/* Some of the mail that is under way to `to` can be received from now on. Mail of one pair keeps
 * its order; that of different pairs comes in any. True: there was some. */
bool mesh_step(struct mesh *mesh, unsigned to);
/* Whether any mail at all is under way or waits. */
bool mesh_busy(struct mesh *mesh, unsigned to);

#endif
