/* io/burst: many reads and writes at once come out as each by itself would, by calls and by a ring;
 * and what cannot be had of a ring is told by name. */
#include "io/burst.h"

#include "base/bytes.h"
#include "lib/failing.h"

#include <errno.h>
#include <liburing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PAIRS 16u

/* Pairs of sockets: near ones for the burst, far ones for the test. */
struct world {
    struct burst burst;
    int near[PAIRS];
    int far[PAIRS];
};

enum way {
    BY_CALLS,
    BY_RING,
};

/* A system that has no io_uring for us cannot test it; e2e tests see to the server there. */
static void world_open(struct world *world, void **state)
{
    const enum way way = *(const enum way *)*state;
    burst_init(&world->burst);
    const enum rc rc = way == BY_RING ? burst_use_uring(&world->burst) : RC_OK;
    if (rc == RC_DENIED || rc == RC_NOT_FOUND) {
        print_message("no io_uring here: %s\n", rc_text(rc));
        skip();
    }
    assert_int_equal(rc, RC_OK);
    assert_int_equal(burst_uses_uring(&world->burst), way == BY_RING);
    for (unsigned i = 0; i < PAIRS; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                         0);
        world->near[i] = pair[0];
        world->far[i] = pair[1];
    }
}

static void world_close(struct world *world)
{
    failing_clear();
    for (unsigned i = 0; i < PAIRS; i++) {
        assert_int_equal(close(world->near[i]), 0);
        if (world->far[i] >= 0) {
            assert_int_equal(close(world->far[i]), 0);
        }
    }
    burst_deinit(&world->burst);
    burst_deinit(&world->burst); /* twice is once */
    assert_int_equal(failing_blocks(), 0);
}

static struct burst_op op_of(enum burst_kind kind, int fd, const struct iovec *pieces,
                             unsigned count)
{
    return (struct burst_op){.kind = kind,
                             .fd = fd,
                             .pieces = pieces,
                             .count = count,
                             .rc = RC_CORRUPT, /* neither is what a burst may leave there */
                             .size = SIZE_MAX};
}

static void far_gets(struct world *world, unsigned i, const char *text)
{
    char got[64] = "";
    assert_int_equal(read(world->far[i], got, sizeof(got) - 1), strlen(text));
    assert_string_equal(got, text);
}

static void each_gets_and_gives_its_own(void **state)
{
    struct world world;
    struct burst_op ops[PAIRS];
    struct iovec pieces[PAIRS];
    char bytes[PAIRS][16];
    char text[16];
    world_open(&world, state);
    for (unsigned i = 0; i < PAIRS; i++) {
        const bool reads = i % 2 == 0;
        (void)snprintf(bytes[i], sizeof(bytes[i]), "near %u", i * 9);
        (void)snprintf(text, sizeof(text), "far %u", i * 9);
        assert_true(write(world.far[i], text, strlen(text)) > 0);
        pieces[i] = (struct iovec){bytes[i], reads ? sizeof(bytes[i]) : strlen(bytes[i])};
        ops[i] = op_of(reads ? BURST_READ : BURST_WRITE, world.near[i], &pieces[i], 1);
    }
    burst_run(&world.burst, ops, PAIRS);
    for (unsigned i = 0; i < PAIRS; i++) {
        assert_int_equal(ops[i].rc, RC_OK);
        if (i % 2 == 0) {
            (void)snprintf(text, sizeof(text), "far %u", i * 9);
            assert_int_equal(ops[i].size, strlen(text));
            assert_memory_equal(bytes[i], text, strlen(text));
        } else {
            (void)snprintf(text, sizeof(text), "near %u", i * 9);
            assert_int_equal(ops[i].size, strlen(text));
            far_gets(&world, i, text);
        }
    }
    world_close(&world);
}

static void pieces_go_out_as_one(void **state)
{
    struct world world;
    struct burst_op ops[PAIRS];
    struct iovec pieces[PAIRS][3];
    world_open(&world, state);
    for (unsigned i = 0; i < PAIRS; i++) {
        pieces[i][0] = (struct iovec){"a", 1};
        pieces[i][1] = (struct iovec){i % 3 == 0 ? "xyz" : "uvw", 3};
        pieces[i][2] = (struct iovec){"b", 1};
        ops[i] = op_of(BURST_WRITE, world.near[i], pieces[i], 1 + i % 3);
    }
    burst_run(&world.burst, ops, PAIRS);
    for (unsigned i = 0; i < PAIRS; i++) {
        const char *const texts[] = {"a", "auvw", "auvwb"};
        assert_int_equal(ops[i].rc, RC_OK);
        assert_int_equal(ops[i].size, strlen(texts[i % 3]));
        far_gets(&world, i, texts[i % 3]);
    }
    world_close(&world);
}

static void nothing_is_waited_for(void **state)
{
    static uint8_t bytes[4u << 20];
    struct world world;
    struct burst_op ops[PAIRS];
    const struct iovec large = {bytes, sizeof(bytes)};
    char byte[PAIRS];
    struct iovec small[PAIRS];
    world_open(&world, state);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < PAIRS; i++) {
            small[i] = (struct iovec){&byte[i], 1};
            ops[i] = i % 2 == 0 ? op_of(BURST_READ, world.near[i], &small[i], 1)
                                : op_of(BURST_WRITE, world.near[i], &large, 1);
        }
        burst_run(&world.burst, ops, PAIRS);
        for (unsigned i = 0; i < PAIRS; i++) {
            if (i % 2 == 1 && round == 0) { /* as much as there is room for */
                assert_int_equal(ops[i].rc, RC_OK);
                assert_in_range(ops[i].size, 1, sizeof(bytes) - 1);
            } else {
                assert_int_equal(ops[i].rc, RC_AGAIN);
                assert_int_equal(ops[i].size, 0);
            }
        }
    }
    /* And what has been refused is not done behind our back once there is room. */
    size_t drained = 0;
    ssize_t got;
    while ((got = read(world.far[1], bytes, sizeof(bytes))) > 0) {
        drained += (size_t)got;
    }
    assert_in_range(drained, 1, sizeof(bytes) - 1);
    burst_run(&world.burst, ops, 1);
    assert_int_equal(read(world.far[1], bytes, sizeof(bytes)), -1);
    assert_int_equal(errno, EAGAIN);
    world_close(&world);
}

static void who_is_gone_is_told_and_harms_nobody(void **state)
{
    struct world world;
    struct burst_op ops[PAIRS];
    char byte[PAIRS];
    struct iovec pieces[PAIRS];
    world_open(&world, state);
    for (unsigned i = 0; i < PAIRS; i++) {
        byte[i] = 'x';
        pieces[i] = (struct iovec){&byte[i], 1};
        ops[i] = op_of(i % 2 == 0 ? BURST_READ : BURST_WRITE, world.near[i], &pieces[i], 1);
        if (i < 4) {
            assert_int_equal(close(world.far[i]), 0);
            world.far[i] = -1;
        } else if (i < 6) {
            ops[i].fd = -1;
        } else if (i % 2 == 0) {
            assert_int_equal(write(world.far[i], "y", 1), 1);
        }
    }
    burst_run(&world.burst, ops, PAIRS); /* no signal either */
    for (unsigned i = 0; i < PAIRS; i++) {
        assert_int_equal(ops[i].rc, i < 6 ? RC_CLOSED : RC_OK);
        assert_int_equal(ops[i].size, i < 6 ? 0 : 1);
        assert_int_equal(byte[i], i >= 6 && i % 2 == 0 ? 'y' : 'x');
    }
    world_close(&world);
}

static void as_many_as_there_may_be_again_and_again(void **state)
{
    struct world world;
    struct burst_op ops[BURST_MAX];
    const struct iovec piece = {"m", 1};
    size_t got = 0;
    world_open(&world, state);
    burst_run(&world.burst, ops, 0);
    for (unsigned round = 0; round < 100; round++) {
        char bytes[2 * BURST_MAX];
        const unsigned count = round % (BURST_MAX + 1);
        for (unsigned i = 0; i < count; i++) {
            ops[i] = op_of(BURST_WRITE, world.near[0], &piece, 1);
        }
        burst_run(&world.burst, ops, count);
        for (unsigned i = 0; i < count; i++) {
            assert_int_equal(ops[i].rc, RC_OK);
        }
        const ssize_t size = count == 0 ? 0 : read(world.far[0], bytes, sizeof(bytes));
        assert_int_equal(size, count);
        got += (size_t)size;
    }
    assert_true(got > 0);
    world_close(&world);
}

static void a_ring_that_fails_is_given_up_and_nothing_is_lost(void **state)
{
    struct world world;
    struct burst_op ops[PAIRS];
    const struct iovec piece = {"z", 1};
    world_open(&world, state);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < PAIRS; i++) {
            ops[i] = op_of(BURST_WRITE, world.near[i], &piece, 1);
        }
        failing_set(FAILING_io_uring_submit, 1, 1, EINTR); /* only asked for again */
        burst_run(&world.burst, ops, PAIRS);
        assert_true(round == 1 || burst_uses_uring(&world.burst));
        for (unsigned i = 0; i < PAIRS; i++) {
            assert_int_equal(ops[i].rc, RC_OK);
            far_gets(&world, i, "z");
        }
        failing_set(FAILING_io_uring_submit, 1, 1, ENOMEM);
        burst_run(&world.burst, ops, PAIRS);
        assert_int_equal(failing_hits(FAILING_io_uring_submit), round == 0);
        assert_false(burst_uses_uring(&world.burst));
        for (unsigned i = 0; i < PAIRS; i++) {
            assert_int_equal(ops[i].rc, RC_OK);
            assert_int_equal(ops[i].size, 1);
            far_gets(&world, i, "z");
        }
    }
    world_close(&world);
}

/* The kernel's workers make them, some time after it has them. */
static void make_late(struct io_uring *ring)
{
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
        ring->sq.sqes[i & *ring->sq.kring_mask].flags |= IOSQE_ASYNC;
    }
}

static void what_is_made_late_is_made_once(void **state)
{
    struct world world;
    struct burst_op ops[PAIRS];
    const struct iovec piece = {"once", 4};
    world_open(&world, state);
    failing_before_submit = make_late;
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < PAIRS; i++) {
            ops[i] = op_of(BURST_WRITE, world.near[i], &piece, 1);
        }
        burst_run(&world.burst, ops, PAIRS);
        assert_true(burst_uses_uring(&world.burst));
        for (unsigned i = 0; i < PAIRS; i++) {
            assert_int_equal(ops[i].rc, RC_OK);
            assert_int_equal(ops[i].size, 4);
            far_gets(&world, i, "once");
        }
    }
    failing_before_submit = NULL;
    world_close(&world);
}

static void what_keeps_us_from_a_ring_is_named(void **state)
{
    (void)state;
    static const struct {
        int error;
        enum rc rc;
    } rows[] = {
        {EPERM, RC_DENIED}, {EACCES, RC_DENIED}, {ENOSYS, RC_NOT_FOUND}, {EINVAL, RC_NOT_FOUND},
        {ENOMEM, RC_NOMEM}, {EMFILE, RC_NOMEM},  {ENFILE, RC_NOMEM},     {EFAULT, RC_IO},
    };
    struct burst burst;
    burst_init(&burst);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        failing_set(FAILING_io_uring_queue_init_params, 1, 1, rows[i].error);
        assert_int_equal(burst_use_uring(&burst), rows[i].rc);
        assert_int_equal(failing_hits(FAILING_io_uring_queue_init_params), 1);
        assert_false(burst_uses_uring(&burst));
        assert_int_equal(failing_blocks(), 0);
    }
    failing_clear();
    failing_set(FAILING_mem_calloc, 1, 1, 0);
    assert_int_equal(burst_use_uring(&burst), RC_NOMEM);
    failing_clear();
    burst_deinit(&burst); /* is allowed after a failure */
}

static void a_ring_that_does_not_do_what_it_should_is_not_taken(void **state)
{
    struct world world;
    world_open(&world, state);
    burst_deinit(&world.burst);
    failing_set(FAILING_io_uring_submit, 1, 1, EBADFD);
    assert_int_equal(burst_use_uring(&world.burst), RC_IO);
    assert_false(burst_uses_uring(&world.burst));
    failing_clear();
    assert_int_equal(burst_use_uring(&world.burst), RC_OK); /* and this one does */
    world_close(&world);
}

int main(void)
{
    static enum way ways[] = {BY_CALLS, BY_RING};
#define BOTH(test)                                                                                 \
    {#test " (calls)", test, NULL, NULL, &ways[0]},                                                \
    {                                                                                              \
#test " (ring)", test, NULL, NULL, &ways[1]                                                \
    }
#define RING(test)                                                                                 \
    {                                                                                              \
#test, test, NULL, NULL, &ways[1]                                                          \
    }
    const struct CMUnitTest tests[] = {
        BOTH(each_gets_and_gives_its_own),
        BOTH(pieces_go_out_as_one),
        BOTH(nothing_is_waited_for),
        BOTH(who_is_gone_is_told_and_harms_nobody),
        BOTH(as_many_as_there_may_be_again_and_again),
        RING(a_ring_that_fails_is_given_up_and_nothing_is_lost),
        RING(what_is_made_late_is_made_once),
        RING(what_keeps_us_from_a_ring_is_named),
        RING(a_ring_that_does_not_do_what_it_should_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
