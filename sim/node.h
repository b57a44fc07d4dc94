/* The server in the simulated world: what server.c does with threads, done step by step.
 *
 * It is the server's own code: reactors, connections, sessions, partitions, log. Only the surface
 * to the machine is another (sim/net.c, worker.c, mesh.c, disk.c, heap.c), and set-up and stop,
 * which follow server.c.
 *
 * Thread: one.  Memory: node_crash() and the end of a stop free everything. */
#ifndef SIM_NODE_H
#define SIM_NODE_H

#include "lib/sim_disk.h"
#include "server/config.h"
#include "sim/plan.h"

enum node_state {
    NODE_DOWN,
    NODE_STARTING, /* recovered; what recovery wanted is not applied yet */
    NODE_OPEN,
    NODE_DRAINING,
    NODE_CLOSING,
    NODE_STOPPING,
};

void node_begin(void);
enum node_state node_state(void);
/* Recovers and starts. False: it could not, and is down again. `faults`: the disk may fail while it
 * tries; without them a failure is a broken promise. */
bool node_boot(const struct plan *plan, bool faults);
/* The next start that succeeds is one with --repair. */
void node_repair(void);
/* As kill -9 (nothing lost) or a power cut. */
void node_crash(enum sim_loss loss);
/* How many there were, of whatever cause; a start that did not succeed is none. */
uint64_t node_crashes(void);
void node_stop(void);
/* Of the server that runs, or ran last. */
const struct config *node_config(void);
/* Whether a step of the server is possible now; taking one. */
bool node_ready(void);
void node_step(void);
/* When one will be possible, if none is; UINT64_MAX: never. */
uint64_t node_next_us(void);
/* Whether at the last orderly stop nothing was left in flight. */
bool node_drained(void);
/* Every partition accepts commands. */
bool node_healthy(void);
/* Whether that partition's log takes commands. */
bool node_log_runs(unsigned partition);

/* Nothing is under way inside it: no connection, mail, job, read or chore. */
bool node_quiet(void);
/* Retention has done what it had begun. It may wait, for a seal that failed and waits for a commit.
 */
bool node_upkeep_done(void);
/* Of a quiet server: what it still holds for those who have gone; NULL: nothing. */
const char *node_left_over(void);

/* Faults. */
void node_pause_reactor(uint64_t us);
void node_pause_worker(uint64_t us);
void node_calm(void);

#endif
