/* In place of io/worker.c: a worker is a step that the scheduler takes; one job, whole, and the
 * reactor hears of it when it looks. */
#include "io/worker.h"

#include "base/assert.h"
#include "base/mem.h"
#include "sim/steps.h"
#include "sim/trace.h"

enum rc worker_init(struct worker *worker, const char *name, unsigned lane_count)
{
    *worker = (struct worker){.name = name, .lane_count = lane_count, .wake_fd = -1};
    worker->lanes = mem_calloc_lines(lane_count, sizeof(*worker->lanes));
    if (worker->lanes == NULL) {
        return RC_NOMEM;
    }
    for (unsigned i = 0; i < lane_count; i++) {
        if (spsc_init(&worker->lanes[i].to, WORKER_JOBS_MAX * 2) != RC_OK ||
            spsc_init(&worker->lanes[i].from, WORKER_JOBS_MAX * 2) != RC_OK) {
            worker_deinit(worker);
            return RC_NOMEM;
        }
    }
    return RC_OK;
}

void worker_deinit(struct worker *worker)
{
    for (unsigned i = 0; worker->lanes != NULL && i < worker->lane_count; i++) {
        spsc_deinit(&worker->lanes[i].to);
        spsc_deinit(&worker->lanes[i].from);
    }
    mem_free(worker->lanes);
    worker->lanes = NULL;
}

void worker_lane_set(struct worker *worker, unsigned lane, struct doorbell *bell, int wake_fd)
{
    ASSERT(lane < worker->lane_count);
    worker->lanes[lane].reactor_bell = bell;
    worker->lanes[lane].reactor_fd = wake_fd;
}

void worker_submit(struct worker *worker, unsigned lane_index, struct job *job)
{
    ASSERT(lane_index < worker->lane_count);
    struct worker_lane *lane = &worker->lanes[lane_index];
    ASSERT(lane->out_count < WORKER_JOBS_MAX);
    lane->out_count++;
    const bool pushed = spsc_push(&lane->to, job);
    ASSERT(pushed);
}

unsigned worker_room(const struct worker *worker, unsigned lane)
{
    return WORKER_JOBS_MAX - worker->lanes[lane].out_count;
}

unsigned worker_reap(struct worker *worker, unsigned lane_index)
{
    struct worker_lane *lane = &worker->lanes[lane_index];
    unsigned count = 0;
    struct job *job;
    while ((job = spsc_pop(&lane->from)) != NULL) {
        ASSERT(lane->out_count > 0);
        lane->out_count--;
        count++;
        job->done(job);
    }
    return count;
}

bool worker_ready(struct worker *worker, unsigned lane)
{
    return !spsc_empty(&worker->lanes[lane].from);
}

/* ---- the scheduler's ------------------------------------------------------------------------- */

bool worker_step_ready(struct worker *worker)
{
    for (unsigned i = 0; worker->lanes != NULL && i < worker->lane_count; i++) {
        if (!spsc_empty(&worker->lanes[i].to)) {
            return true;
        }
    }
    return false;
}

void worker_step(struct worker *worker)
{
    const unsigned turn = (unsigned)sim_below(worker->lane_count);
    for (unsigned i = 0; i < worker->lane_count; i++) {
        struct worker_lane *lane = &worker->lanes[(i + turn) % worker->lane_count];
        struct job *job = spsc_pop(&lane->to);
        if (job != NULL) {
            job->run(job);
            const bool pushed = spsc_push(&lane->from, job);
            ASSERT(pushed);
            return;
        }
    }
}
