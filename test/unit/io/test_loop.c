/* io/loop: what is ready is reported, as registered, until it is dealt with or forgotten. */
#include "io/loop.h"

#include "base/bytes.h"
#include "base/tune.h"
#include "io/clock.h"
#include "lib/failing.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

/* A loop and a pair of sockets, the near one with a handler. */
struct world {
    struct loop loop;
    struct loop_handler near;
    int far;
};

static void world_open(struct world *world)
{
    int pair[2];
    *world = (struct world){0};
    assert_int_equal(loop_init(&world->loop), RC_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    world->near = (struct loop_handler){.fd = pair[0], .kind = 7};
    world->far = pair[1];
}

static void world_close(struct world *world)
{
    loop_forget(&world->loop, &world->near);
    assert_int_equal(close(world->near.fd), 0);
    if (world->far >= 0) {
        assert_int_equal(close(world->far), 0);
    }
    loop_deinit(&world->loop);
}

static void send_byte(struct world *world)
{
    assert_int_equal(write(world->far, "x", 1), 1);
}

static void set(struct world *world, uint32_t events)
{
    assert_int_equal(loop_set(&world->loop, &world->near, events), RC_OK);
}

/* The events of the near socket now; it is the only one registered. */
static uint32_t ready(struct world *world)
{
    loop_wait(&world->loop, 0);
    if (world->loop.ready_count == 0) {
        return 0;
    }
    assert_int_equal(world->loop.ready_count, 1);
    assert_ptr_equal(world->loop.ready[0].handler, &world->near);
    return world->loop.ready[0].events;
}

static void what_is_readable_is_reported_until_it_is_read(void **state)
{
    (void)state;
    struct world world;
    char byte;
    world_open(&world);
    set(&world, LOOP_READ);
    assert_int_equal(ready(&world), 0);
    send_byte(&world);
    assert_int_equal(ready(&world), LOOP_READ);
    assert_int_equal(ready(&world), LOOP_READ);
    assert_int_equal(read(world.near.fd, &byte, 1), 1);
    assert_int_equal(ready(&world), 0);
    world_close(&world);
}

static void only_what_was_asked_for_is_reported(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    send_byte(&world);
    assert_int_equal(ready(&world), 0); /* not registered at all */
    set(&world, LOOP_WRITE);
    assert_int_equal(ready(&world), LOOP_WRITE);
    set(&world, LOOP_READ | LOOP_WRITE);
    assert_int_equal(ready(&world), LOOP_READ | LOOP_WRITE);
    set(&world, LOOP_READ);
    assert_int_equal(ready(&world), LOOP_READ);
    set(&world, LOOP_READ);
    assert_int_equal(ready(&world), LOOP_READ);
    set(&world, 0);
    assert_int_equal(ready(&world), 0);
    set(&world, LOOP_READ);
    assert_int_equal(ready(&world), LOOP_READ);
    world_close(&world);
}

static void a_full_socket_is_not_writable(void **state)
{
    (void)state;
    struct world world;
    static uint8_t bytes[65536];
    world_open(&world);
    set(&world, LOOP_WRITE);
    while (write(world.near.fd, bytes, sizeof(bytes)) > 0) {
    }
    assert_int_equal(ready(&world), 0);
    while (read(world.far, bytes, sizeof(bytes)) > 0) {
    }
    assert_int_equal(ready(&world), LOOP_WRITE);
    world_close(&world);
}

static void a_hang_up_is_reported_even_to_who_waits_for_nothing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    set(&world, 0);
    assert_int_equal(ready(&world), 0);
    assert_int_equal(close(world.far), 0);
    world.far = -1;
    assert_int_equal(ready(&world), LOOP_HANGUP);
    set(&world, LOOP_READ);
    assert_int_equal(ready(&world), LOOP_READ | LOOP_HANGUP);
    world_close(&world);
}

static void the_peers_end_of_its_side_is_something_to_read(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    set(&world, LOOP_READ);
    assert_int_equal(shutdown(world.far, SHUT_WR), 0);
    assert_int_equal(ready(&world), LOOP_READ);
    world_close(&world);
}

static void forgetting_blanks_the_events_at_hand_and_ends_those_to_come(void **state)
{
    (void)state;
    struct world world;
    struct loop_handler other = {.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
    world_open(&world);
    send_byte(&world);
    set(&world, LOOP_READ);
    assert_int_equal(loop_set(&world.loop, &other, LOOP_READ), RC_OK);
    loop_wait(&world.loop, 0);
    assert_int_equal(world.loop.ready_count, 2);
    loop_forget(&world.loop, &world.near);
    loop_forget(&world.loop, &world.near); /* twice is once */
    unsigned named = 0;
    for (unsigned i = 0; i < world.loop.ready_count; i++) {
        assert_ptr_not_equal(world.loop.ready[i].handler, &world.near);
        named += world.loop.ready[i].handler == &other ? 1 : 0;
    }
    assert_int_equal(named, 1);
    loop_forget(&world.loop, &other);
    assert_int_equal(close(other.fd), 0);
    assert_int_equal(ready(&world), 0);
    set(&world, LOOP_READ); /* and it may come back */
    assert_int_equal(ready(&world), LOOP_READ);
    world_close(&world);
}

#define MANY (LOOP_READY_MAX + 100u)

static void more_than_fit_into_one_wait_all_come_in_turn(void **state)
{
    (void)state;
    static struct loop_handler handlers[MANY];
    struct loop loop;
    unsigned seen_count = 0;
    assert_int_equal(loop_init(&loop), RC_OK);
    for (unsigned i = 0; i < MANY; i++) {
        handlers[i] = (struct loop_handler){.fd = eventfd(1, EFD_CLOEXEC), .kind = 0};
        assert_true(handlers[i].fd >= 0);
        assert_int_equal(loop_set(&loop, &handlers[i], LOOP_READ), RC_OK);
    }
    for (unsigned round = 0; round < 3; round++) { /* still readable: each round has them all */
        loop_wait(&loop, 0);
        assert_int_equal(loop.ready_count, LOOP_READY_MAX);
        for (unsigned i = 0; i < loop.ready_count; i++) {
            seen_count += loop.ready[i].handler->kind == 0 ? 1 : 0;
            loop.ready[i].handler->kind = 1;
        }
    }
    assert_int_equal(seen_count, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        loop_forget(&loop, &handlers[i]);
        assert_int_equal(close(handlers[i].fd), 0);
    }
    loop_deinit(&loop);
}

static void what_cannot_be_waited_for_is_refused(void **state)
{
    (void)state;
    struct loop loop;
    char name[] = "test_loop_XXXXXX";
    const int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(unlink(name), 0);
    struct loop_handler file = {.fd = fd};
    assert_int_equal(loop_init(&loop), RC_OK);
    assert_int_equal(loop_set(&loop, &file, LOOP_READ), RC_IO);
    assert_int_equal(file.events, 0); /* as before */
    assert_int_equal(close(fd), 0);
    loop_deinit(&loop);
    loop_deinit(&loop); /* twice is once */
}

static void what_the_kernel_has_no_room_for_is_told(void **state)
{
    (void)state;
    static const struct {
        int error;
        enum rc rc;
    } rows[] = {{ENOMEM, RC_NOMEM}, {ENOSPC, RC_NOMEM}, {EPERM, RC_IO}};
    struct loop loop;
    failing_set(FAILING_epoll_create1, 1, 1, EMFILE);
    assert_int_equal(loop_init(&loop), RC_IO);
    loop_deinit(&loop); /* is allowed after a failure */
    assert_int_equal(loop_init(&loop), RC_OK);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct loop_handler handler = {.fd = pair[0]};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        failing_set(FAILING_epoll_ctl, 1, 1, rows[i].error);
        assert_int_equal(loop_set(&loop, &handler, LOOP_WRITE), rows[i].rc);
        assert_int_equal(handler.events, 0);
    }
    assert_int_equal(loop_set(&loop, &handler, LOOP_WRITE), RC_OK); /* as if nothing had been */
    loop_wait(&loop, 0);
    assert_int_equal(loop.ready_count, 1);
    failing_clear();
    loop_deinit(&loop);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
}

static uint64_t mono_ms(void)
{
    return clock_mono_ns(&clock_real) / 1000000u;
}

static void an_idle_wait_ends_at_its_time(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    set(&world, LOOP_READ);
    const uint64_t began = mono_ms();
    loop_wait(&world.loop, 30);
    const uint64_t ms = mono_ms() - began;
    assert_int_equal(world.loop.ready_count, 0);
    assert_in_range(ms, 29, 5000);
    world_close(&world);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms = 1;
}

static void a_signal_ends_a_wait_with_nothing_ready(void **state)
{
    (void)state;
    struct world world;
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    /* Again and again, so that one comes inside the wait however slow the machine is. */
    const struct itimerval soon = {.it_value.tv_usec = 20000, .it_interval.tv_usec = 20000};
    const struct itimerval never = {0};
    world_open(&world);
    send_byte(&world);
    set(&world, LOOP_READ);
    assert_int_equal(ready(&world), LOOP_READ);
    set(&world, 0);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    loop_wait(&world.loop, -1);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(alarms, 1);
    assert_int_equal(world.loop.ready_count, 0); /* not what the last wait had */
    world_close(&world);
}

/* ---- newcomers ------------------------------------------------------------------------------- */

#define CROWD 500u

static void crowd_open(struct loop *loop, struct loop_handler crowd[])
{
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = (struct loop_handler){.fd = eventfd(1, EFD_CLOEXEC), .newcomer = true};
        assert_true(crowd[i].fd >= 0);
        assert_int_equal(loop_set(loop, &crowd[i], LOOP_READ), RC_OK);
    }
}

static void crowd_close(struct loop *loop, struct loop_handler crowd[])
{
    for (unsigned i = 0; i < CROWD; i++) {
        loop_forget(loop, &crowd[i]);
        assert_int_equal(close(crowd[i].fd), 0);
    }
}

/* A few of them in each wait, each in its turn; who is no newcomer in every one. */
static void a_crowd_keeps_nobody_waiting(void **state)
{
    (void)state;
    static struct loop_handler crowd[CROWD];
    struct world world;
    world_open(&world);
    crowd_open(&world.loop, crowd);
    send_byte(&world);
    set(&world, LOOP_READ);
    const unsigned rounds = (CROWD + tune.newcomers - 1) / tune.newcomers;
    unsigned seen = 0;
    for (unsigned round = 0; round < rounds; round++) {
        unsigned near = 0;
        loop_wait(&world.loop, 0);
        assert_int_equal(world.loop.ready_count, 1 + tune.newcomers);
        assert_true(world.loop.crowded);
        for (unsigned i = 0; i < world.loop.ready_count; i++) {
            struct loop_handler *handler = world.loop.ready[i].handler;
            near += handler == &world.near;
            seen += handler != &world.near && handler->kind == 0;
            handler->kind = 1;
            assert_int_equal(world.loop.ready[i].events, LOOP_READ);
        }
        assert_int_equal(near, 1);
    }
    assert_int_equal(seen, CROWD);
    crowd_close(&world.loop, crowd);
    assert_int_equal(ready(&world), LOOP_READ);
    assert_false(world.loop.crowded);
    world_close(&world);
}

static void who_is_admitted_is_one_of_all(void **state)
{
    (void)state;
    static struct loop_handler crowd[CROWD];
    struct loop loop;
    assert_int_equal(loop_init(&loop), RC_OK);
    crowd_open(&loop, crowd);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(loop_admit(&loop, &crowd[i]), RC_OK);
        assert_false(crowd[i].newcomer);
    }
    loop_wait(&loop, 0);
    assert_int_equal(loop.ready_count, 100 + tune.newcomers);
    loop_forget(&loop, loop.ready[0].handler);
    assert_null(loop.ready[0].handler);
    for (unsigned i = 0; i < 100; i++) { /* what it waits for is what it waited for */
        loop_forget(&loop, &crowd[i]);
        assert_int_equal(loop_set(&loop, &crowd[i], 0), RC_OK);
    }
    loop_wait(&loop, 0);
    assert_int_equal(loop.ready_count, tune.newcomers);
    crowd_close(&loop, crowd);
    loop_wait(&loop, 0);
    assert_int_equal(loop.ready_count, 0);
    loop_deinit(&loop);
}

static void a_newcomer_ends_a_wait(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    world.near.newcomer = true;
    set(&world, LOOP_READ);
    assert_int_equal(ready(&world), 0);
    send_byte(&world);
    loop_wait(&world.loop, -1);
    assert_int_equal(world.loop.ready_count, 1);
    assert_false(world.loop.crowded);
    assert_int_equal(ready(&world), LOOP_READ);
    set(&world, LOOP_WRITE);
    assert_int_equal(ready(&world), LOOP_WRITE);
    world_close(&world);
}

static void a_newcomer_that_cannot_be_admitted_is_nowhere(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    world.near.newcomer = true;
    send_byte(&world);
    set(&world, LOOP_READ);
    failing_set(FAILING_epoll_ctl, 2, 1, ENOSPC); /* out of one set, and not into the other */
    assert_int_equal(loop_admit(&world.loop, &world.near), RC_NOMEM);
    failing_clear();
    assert_int_equal(world.near.events, 0);
    assert_int_equal(ready(&world), 0);
    world_close(&world);
}

static void without_a_set_for_newcomers_there_is_no_loop(void **state)
{
    (void)state;
    struct loop loop;
    failing_set(FAILING_epoll_create1, 2, 1, EMFILE);
    assert_int_equal(loop_init(&loop), RC_IO);
    loop_deinit(&loop);
    failing_set(FAILING_epoll_ctl, 1, 1, ENOMEM);
    assert_int_equal(loop_init(&loop), RC_IO);
    loop_deinit(&loop);
    failing_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_readable_is_reported_until_it_is_read),
        cmocka_unit_test(only_what_was_asked_for_is_reported),
        cmocka_unit_test(a_full_socket_is_not_writable),
        cmocka_unit_test(a_hang_up_is_reported_even_to_who_waits_for_nothing),
        cmocka_unit_test(the_peers_end_of_its_side_is_something_to_read),
        cmocka_unit_test(forgetting_blanks_the_events_at_hand_and_ends_those_to_come),
        cmocka_unit_test(more_than_fit_into_one_wait_all_come_in_turn),
        cmocka_unit_test(what_cannot_be_waited_for_is_refused),
        cmocka_unit_test(what_the_kernel_has_no_room_for_is_told),
        cmocka_unit_test(an_idle_wait_ends_at_its_time),
        cmocka_unit_test(a_signal_ends_a_wait_with_nothing_ready),
        cmocka_unit_test(a_crowd_keeps_nobody_waiting),
        cmocka_unit_test(who_is_admitted_is_one_of_all),
        cmocka_unit_test(a_newcomer_ends_a_wait),
        cmocka_unit_test(a_newcomer_that_cannot_be_admitted_is_nowhere),
        cmocka_unit_test(without_a_set_for_newcomers_there_is_no_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
