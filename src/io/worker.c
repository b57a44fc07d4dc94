#include "io/worker.h"

#include "base/assert.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void wake(int fd)
{
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
    /* EAGAIN: the counter is at its top, so the sleeper is awake or will be. */
}

static void stop_run(struct job *job)
{
    (void)job;
}

enum rc worker_init(struct worker *worker, const char *name, unsigned lane_count)
{
    *worker = (struct worker){.name = name, .lane_count = lane_count, .wake_fd = -1};
    worker->stop_.run = stop_run;
    doorbell_init(&worker->bell);
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
    worker->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (worker->wake_fd < 0) {
        worker_deinit(worker);
        return RC_IO;
    }
    return RC_OK;
}

void worker_deinit(struct worker *worker)
{
    ASSERT(!worker->started);
    for (unsigned i = 0; worker->lanes != NULL && i < worker->lane_count; i++) {
        spsc_deinit(&worker->lanes[i].to);
        spsc_deinit(&worker->lanes[i].from);
    }
    mem_free(worker->lanes);
    worker->lanes = NULL;
    if (worker->wake_fd >= 0) {
        (void)close(worker->wake_fd);
        worker->wake_fd = -1;
    }
}

void worker_lane_set(struct worker *worker, unsigned lane, struct doorbell *bell, int wake_fd)
{
    ASSERT(lane < worker->lane_count);
    worker->lanes[lane].reactor_bell = bell;
    worker->lanes[lane].reactor_fd = wake_fd;
}

/* Runs the next job of the lane. False: it is empty, or what came was the stop (*stop). */
static bool lane_run(struct worker *worker, struct worker_lane *lane, bool *stop)
{
    struct job *job = spsc_pop(&lane->to);
    if (job == NULL) {
        return false;
    }
    if (job == &worker->stop_) {
        *stop = true;
        return false;
    }
    job->run(job);
    const bool pushed = spsc_push(&lane->from, job);
    ASSERT(pushed);
    if (doorbell_ring(lane->reactor_bell)) {
        wake(lane->reactor_fd);
    }
    return true;
}

/* [I12] One job of each reactor in turn: one that always has another keeps nobody waiting. False:
 * there was none. */
static bool lanes_run(struct worker *worker, bool *stop)
{
    bool any = false;
    for (unsigned i = 0; i < worker->lane_count; i++) {
        any |= lane_run(worker, &worker->lanes[i], stop);
    }
    return any;
}

static bool lanes_empty(struct worker *worker)
{
    for (unsigned i = 0; i < worker->lane_count; i++) {
        if (!spsc_empty(&worker->lanes[i].to)) {
            return false;
        }
    }
    return true;
}

static void worker_sleep(struct worker *worker)
{
    doorbell_arm(&worker->bell);
    if (lanes_empty(worker)) {
        uint64_t count;
        (void)!read(worker->wake_fd, &count, sizeof(count));
    }
    doorbell_disarm(&worker->bell);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    (void)pthread_setname_np(pthread_self(), worker->name);
    bool stop = false;
    while (!stop) {
        if (!lanes_run(worker, &stop) && !stop) {
            worker_sleep(worker);
        }
    }
    /* What had been sent before the stop may still be in the lanes. */
    while (lanes_run(worker, &stop)) {
    }
    return NULL;
}

enum rc worker_start(struct worker *worker)
{
    /* Signals are the main thread's. */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->started = failed == 0;
    return failed == 0 ? RC_OK : RC_NOMEM;
}

void worker_stop(struct worker *worker)
{
    if (!worker->started) {
        return;
    }
    const bool pushed = spsc_push(&worker->lanes[worker->lane_count - 1].to, &worker->stop_);
    ASSERT(pushed);
    wake(worker->wake_fd);
    (void)pthread_join(worker->thread, NULL);
    worker->started = false;
}

void worker_submit(struct worker *worker, unsigned lane_index, struct job *job)
{
    ASSERT(lane_index < worker->lane_count);
    struct worker_lane *lane = &worker->lanes[lane_index];
    ASSERT(lane->out_count < WORKER_JOBS_MAX);
    lane->out_count++;
    const bool pushed = spsc_push(&lane->to, job);
    ASSERT(pushed);
    if (doorbell_ring(&worker->bell)) {
        wake(worker->wake_fd);
    }
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
