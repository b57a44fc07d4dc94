/* A thread that blocks so that no reactor has to: commits, reads of old messages, upkeep.
 *
 * A reactor hands a job over through its own ring and gets it back through its own ring; the job's
 * run() is called on the worker, its done() on the reactor that sent it. Jobs of one reactor run in
 * the order sent, those of several in turn, one each. A reactor has at most WORKER_JOBS_MAX jobs at
 * one worker (asserted: callers bound their own), so neither ring is ever full.
 *
 * Thread: worker_submit() and worker_reap() by the reactor named; start and stop by the main
 * thread. Memory: worker_deinit() frees; jobs stay their owner's. */
#ifndef IO_WORKER_H
#define IO_WORKER_H

#include "ring/doorbell.h"
#include "ring/spsc.h"

#include <pthread.h>

#define WORKER_JOBS_MAX 1024u /* per reactor and worker; a power of two */

struct job {
    void (*run)(struct job *job);  /* on the worker */
    void (*done)(struct job *job); /* on the reactor */
};

/* One reactor's pair of rings. */
struct worker_lane {
    struct spsc to;
    struct spsc from;
    struct doorbell *reactor_bell; /* rung when a job is done … */
    int reactor_fd;                /* … and this eventfd written if the reactor sleeps */
    uint32_t out_count;            /* reactor only: jobs not yet back */
};

struct worker {
    struct worker_lane *lanes;
    unsigned lane_count;
    struct doorbell bell;
    int wake_fd;
    const char *name;
    pthread_t thread;
    bool started;
    struct job stop_; /* its arrival ends the thread */
};

/* `name` at most 15 characters, static. RC_NOMEM, RC_IO */
MUST_USE enum rc worker_init(struct worker *worker, const char *name, unsigned lane_count);
/* Before the start: where reactor `lane` is woken. */
void worker_lane_set(struct worker *worker, unsigned lane, struct doorbell *bell, int wake_fd);
MUST_USE enum rc worker_start(struct worker *worker);
/* After all reactors have stopped: waits for the jobs still in the rings, then for the thread. */
void worker_stop(struct worker *worker);
void worker_deinit(struct worker *worker);

void worker_submit(struct worker *worker, unsigned lane, struct job *job);
/* How many more jobs this lane may hand over now. */
unsigned worker_room(const struct worker *worker, unsigned lane);
/* Calls done() for every job that has come back. Returns how many. */
unsigned worker_reap(struct worker *worker, unsigned lane);
/* Whether a job waits to be reaped (for the reactor's last look before it sleeps). */
bool worker_ready(struct worker *worker, unsigned lane);

#endif
