/* io/worker: jobs run on the thread, come back to who sent them, in order, and none is lost at the
 * end.
 * Method: reactors that really sleep (poll on an eventfd, with a deadline); TSan runs this too. */
#include "io/worker.h"

#include "base/mem.h"
#include "lib/failing.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define LANES       2u
#define JOBS        20000u
#define DEADLINE_MS 20000

struct world {
    struct worker worker;
    struct doorbell bells[LANES];
    int wake_fds[LANES];
};

/* A job that tells where and when it was run. */
struct task {
    struct job job;
    pthread_t ran_on;
    unsigned run_count;
    unsigned done_count;
};

static void task_run(struct job *job)
{
    struct task *task = (struct task *)job;
    task->ran_on = pthread_self();
    task->run_count++;
}

static void task_done(struct job *job)
{
    struct task *task = (struct task *)job;
    task->done_count++;
}

static void world_open(struct world *world, unsigned lanes)
{
    assert_int_equal(worker_init(&world->worker, "test", lanes), RC_OK);
    for (unsigned i = 0; i < lanes; i++) {
        doorbell_init(&world->bells[i]);
        world->wake_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(world->wake_fds[i] >= 0);
        worker_lane_set(&world->worker, i, &world->bells[i], world->wake_fds[i]);
    }
}

static void world_close(struct world *world)
{
    for (unsigned i = 0; i < world->worker.lane_count; i++) {
        assert_int_equal(close(world->wake_fds[i]), 0);
    }
    worker_deinit(&world->worker);
}

/* Sleeps until a job is back, as a reactor does. False: the deadline has passed. */
static bool wait_ready(struct world *world, unsigned lane)
{
    bool ready = true;
    doorbell_arm(&world->bells[lane]);
    if (!worker_ready(&world->worker, lane)) {
        struct pollfd wait = {.fd = world->wake_fds[lane], .events = POLLIN};
        uint64_t count;
        ready = poll(&wait, 1, DEADLINE_MS) == 1;
        (void)!read(world->wake_fds[lane], &count, sizeof(count));
    }
    doorbell_disarm(&world->bells[lane]);
    return ready;
}

static void a_job_runs_on_the_worker_and_is_done_where_it_came_from(void **state)
{
    (void)state;
    struct world world;
    struct task task = {.job = {task_run, task_done}};
    world_open(&world, 1);
    assert_int_equal(worker_start(&world.worker), RC_OK);
    assert_int_equal(worker_room(&world.worker, 0), WORKER_JOBS_MAX);
    worker_submit(&world.worker, 0, &task.job);
    assert_int_equal(worker_room(&world.worker, 0), WORKER_JOBS_MAX - 1);
    assert_true(wait_ready(&world, 0));
    assert_int_equal(task.done_count, 0); /* not before it is reaped */
    assert_int_equal(worker_reap(&world.worker, 0), 1);
    assert_int_equal(worker_reap(&world.worker, 0), 0);
    assert_int_equal(task.run_count, 1);
    assert_int_equal(task.done_count, 1);
    assert_false(pthread_equal(task.ran_on, pthread_self()));
    assert_int_equal(worker_room(&world.worker, 0), WORKER_JOBS_MAX);
    worker_stop(&world.worker);
    world_close(&world);
}

/* ---- two reactors ---------------------------------------------------------------------------- */

struct numbered {
    struct job job;
    struct reactor *reactor;
    unsigned number;
};

struct reactor {
    struct world *world;
    unsigned lane;
    pthread_t thread;
    pthread_t self;
    unsigned ran;        /* worker: how many have run */
    unsigned back;       /* reactor: how many have come back */
    unsigned run_wrong;  /* worker */
    unsigned done_wrong; /* reactor */
    unsigned sleeps;
    struct numbered jobs[JOBS];
};

static void numbered_run(struct job *job)
{
    struct numbered *numbered = (struct numbered *)job;
    numbered->reactor->run_wrong += numbered->number == numbered->reactor->ran++ ? 0 : 1;
}

static void numbered_done(struct job *job)
{
    struct numbered *numbered = (struct numbered *)job;
    struct reactor *reactor = numbered->reactor;
    reactor->done_wrong += numbered->number == reactor->back++ ? 0 : 1;
    reactor->done_wrong += pthread_equal(reactor->self, pthread_self()) ? 0 : 1;
}

static void *reactor_main(void *arg)
{
    struct reactor *reactor = arg;
    struct worker *worker = &reactor->world->worker;
    unsigned sent = 0;
    reactor->self = pthread_self();
    while (reactor->back < JOBS) {
        /* Now a burst until there is no room, now a few. */
        const unsigned burst = sent % 3 == 0 ? WORKER_JOBS_MAX : 7;
        for (unsigned i = 0; i < burst && sent < JOBS; i++) {
            if (worker_room(worker, reactor->lane) == 0) {
                break;
            }
            worker_submit(worker, reactor->lane, &reactor->jobs[sent++].job);
        }
        if (worker_reap(worker, reactor->lane) == 0) {
            reactor->sleeps++;
            if (!wait_ready(reactor->world, reactor->lane)) {
                break;
            }
        }
    }
    return NULL;
}

static void jobs_of_two_reactors_each_come_back_in_the_order_sent(void **state)
{
    (void)state;
    static struct reactor reactors[LANES];
    struct world world;
    world_open(&world, LANES);
    assert_int_equal(worker_start(&world.worker), RC_OK);
    for (unsigned lane = 0; lane < LANES; lane++) {
        reactors[lane].world = &world;
        reactors[lane].lane = lane;
        for (unsigned i = 0; i < JOBS; i++) {
            reactors[lane].jobs[i] = (struct numbered){
                .job = {numbered_run, numbered_done}, .reactor = &reactors[lane], .number = i};
        }
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        assert_int_equal(
            pthread_create(&reactors[lane].thread, NULL, reactor_main, &reactors[lane]), 0);
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        assert_int_equal(pthread_join(reactors[lane].thread, NULL), 0);
        assert_int_equal(reactors[lane].back, JOBS);
        assert_int_equal(reactors[lane].run_wrong, 0);
        assert_int_equal(reactors[lane].done_wrong, 0);
        assert_true(reactors[lane].sleeps > 0); /* else no wake-up was tested */
    }
    worker_stop(&world.worker);
    world_close(&world);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void a_stop_waits_for_the_jobs_in_the_rings(void **state)
{
    (void)state;
    static struct task tasks[LANES][WORKER_JOBS_MAX];
    struct world world;
    for (unsigned round = 0; round < 20; round++) {
        world_open(&world, LANES);
        assert_int_equal(worker_start(&world.worker), RC_OK);
        for (unsigned i = 0; i < WORKER_JOBS_MAX; i++) {
            for (unsigned lane = 0; lane < LANES; lane++) {
                tasks[lane][i] = (struct task){.job = {task_run, task_done}};
                worker_submit(&world.worker, lane, &tasks[lane][i].job);
            }
        }
        worker_stop(&world.worker);
        for (unsigned lane = 0; lane < LANES; lane++) {
            assert_int_equal(worker_reap(&world.worker, lane), WORKER_JOBS_MAX);
            for (unsigned i = 0; i < WORKER_JOBS_MAX; i++) {
                assert_int_equal(tasks[lane][i].run_count, 1);
                assert_int_equal(tasks[lane][i].done_count, 1);
            }
        }
        world_close(&world);
    }
}

/* A job of the last lane that goes on until the stop has arrived behind it. */
struct gate {
    struct job job;
    struct worker *worker;
    struct spsc begun; /* says so to the test */
};

static void gate_run(struct job *job)
{
    struct gate *gate = (struct gate *)job;
    (void)spsc_push(&gate->begun, gate);
    while (spsc_empty(&gate->worker->lanes[LANES - 1].to)) {
        (void)sched_yield();
    }
}

static void a_stop_does_not_overtake_a_job_of_another_lane(void **state)
{
    (void)state;
    struct world world;
    struct gate gate = {.job = {gate_run, task_done}, .worker = &world.worker};
    struct task task = {.job = {task_run, task_done}};
    world_open(&world, LANES);
    gate.job.done = NULL; /* never reaped */
    assert_int_equal(spsc_init(&gate.begun, 2), RC_OK);
    assert_int_equal(worker_start(&world.worker), RC_OK);
    worker_submit(&world.worker, LANES - 1, &gate.job);
    while (spsc_pop(&gate.begun) == NULL) {
        (void)sched_yield();
    }
    /* The worker has passed lane 0 and is in the last one, where the stop will be. */
    worker_submit(&world.worker, 0, &task.job);
    worker_stop(&world.worker);
    assert_int_equal(task.run_count, 1);
    assert_int_equal(worker_reap(&world.worker, 0), 1);
    assert_int_equal(task.done_count, 1);
    spsc_deinit(&gate.begun);
    world_close(&world);
}

/* A job that tells as the how many-th it was run. */
struct ranked {
    struct job job;
    unsigned *count;
    unsigned rank;
};

static void ranked_run(struct job *job)
{
    struct ranked *ranked = (struct ranked *)job;
    ranked->rank = (*ranked->count)++;
}

static void a_reactor_with_many_jobs_keeps_no_other_waiting(void **state)
{
    (void)state;
    struct world world;
    struct gate gate = {.job = {gate_run, task_done}, .worker = &world.worker};
    struct ranked many[8];
    unsigned count = 0;
    world_open(&world, LANES);
    assert_int_equal(spsc_init(&gate.begun, 2), RC_OK);
    assert_int_equal(worker_start(&world.worker), RC_OK);
    worker_submit(&world.worker, 0, &gate.job);
    while (spsc_pop(&gate.begun) == NULL) {
        (void)sched_yield();
    }
    for (unsigned i = 0; i < 8; i++) {
        many[i] = (struct ranked){.job = {.run = ranked_run}, .count = &count};
        worker_submit(&world.worker, 0, &many[i].job);
    }
    struct ranked one = {.job = {.run = ranked_run}, .count = &count};
    worker_submit(&world.worker, LANES - 1, &one.job); /* and the gate opens */
    worker_stop(&world.worker);
    assert_int_equal(count, 9);
    assert_int_equal(one.rank, 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(many[i].rank, i + 1); /* one reactor's stay in order */
    }
    spsc_deinit(&gate.begun);
    world_close(&world);
}

static void a_worker_that_was_never_started_is_stopped_at_once(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, LANES);
    worker_stop(&world.worker);
    world_close(&world);
}

static void every_failing_allocation_of_the_start_is_told(void **state)
{
    (void)state;
    uint64_t refused = 0;
    for (uint64_t k = 1;; k++) {
        struct worker worker;
        mem_fault_set(k, 0);
        const enum rc rc = worker_init(&worker, "test", LANES);
        mem_fault_set(0, 0);
        if (rc == RC_OK) {
            worker_deinit(&worker);
            break;
        }
        assert_int_equal(rc, RC_NOMEM);
        worker_deinit(&worker); /* is allowed after a failure */
        refused++;
    }
    assert_int_equal(refused, 1 + 2 * LANES);
}

static void a_start_that_the_system_refuses_is_told(void **state)
{
    (void)state;
    struct world world;
    struct worker worker;
    failing_set(FAILING_eventfd, 1, 1, EMFILE);
    assert_int_equal(worker_init(&worker, "test", LANES), RC_IO);
    worker_deinit(&worker);
    world_open(&world, LANES);
    failing_set(FAILING_pthread_create, 1, 1, EAGAIN);
    assert_int_equal(worker_start(&world.worker), RC_NOMEM);
    worker_stop(&world.worker);                           /* nothing to stop */
    assert_int_equal(worker_start(&world.worker), RC_OK); /* and it may be tried again */
    worker_stop(&world.worker);
    failing_clear();
    world_close(&world);
}

static void a_signal_does_not_keep_a_sleeper_asleep(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1);
    assert_int_equal(worker_start(&world.worker), RC_OK);
    failing_set(FAILING_write, 1, 3, EINTR);
    worker_stop(&world.worker); /* and ends */
    assert_int_equal(failing_hits(FAILING_write), 3);
    assert_int_equal(failing_calls(FAILING_write), 4);
    failing_clear();
    world_close(&world);
}

static void a_counter_at_its_top_wakes_all_the_same(void **state)
{
    (void)state;
    struct world world;
    struct task task = {.job = {task_run, task_done}};
    world_open(&world, 1);
    assert_int_equal(eventfd_write(world.wake_fds[0], UINT64_MAX - 1), 0);
    assert_int_equal(worker_start(&world.worker), RC_OK);
    doorbell_arm(&world.bells[0]); /* so that the worker pays for a wake-up, which finds no room */
    worker_submit(&world.worker, 0, &task.job);
    worker_stop(&world.worker);
    doorbell_disarm(&world.bells[0]);
    assert_true(wait_ready(&world, 0));
    assert_int_equal(worker_reap(&world.worker, 0), 1);
    assert_int_equal(task.done_count, 1);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_runs_on_the_worker_and_is_done_where_it_came_from),
        cmocka_unit_test(jobs_of_two_reactors_each_come_back_in_the_order_sent),
        cmocka_unit_test(a_stop_waits_for_the_jobs_in_the_rings),
        cmocka_unit_test(a_stop_does_not_overtake_a_job_of_another_lane),
        cmocka_unit_test(a_reactor_with_many_jobs_keeps_no_other_waiting),
        cmocka_unit_test(a_worker_that_was_never_started_is_stopped_at_once),
        cmocka_unit_test(every_failing_allocation_of_the_start_is_told),
        cmocka_unit_test(a_start_that_the_system_refuses_is_told),
        cmocka_unit_test(a_signal_does_not_keep_a_sleeper_asleep),
        cmocka_unit_test(a_counter_at_its_top_wakes_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
