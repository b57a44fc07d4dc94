/* server/reactor: who is let in, who is turned away and told, and what is counted for whom.
 * Method: world.h, with a listener on the loopback. */
#include "unit/server/world.h"

#include "base/mem.h"
#include "base/tune.h"
#include "lib/failing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world_config(world);
    world_open(world);
    world_listen(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    failing_clear();
    tune = tune_default;
    world_close(world);
    free(world);
    return 0;
}

/* Asks for health; what is answered: 200 or 503, 0 for the end. */
static int asked(struct world *world, struct client *client)
{
    client_say(client, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    if (!client_hears(world, client, "HTTP/1.1 ")) {
        return 0;
    }
    return client_has(client, BYTES_LITERAL("HTTP/1.1 200")) ? 200 : 503;
}

static void gone(struct world *world, struct client *client)
{
    client_close(client);
    world_turns(world, 3);
}

static void who_is_one_too_many_is_told_and_later_let_in(void **state)
{
    struct world *world = *state;
    struct client clients[3];
    for (int per_ip = 0; per_ip < 2; per_ip++) {
        world->config.limit_connections = per_ip ? 100 : 2;
        world->config.limit_connections_per_ip = per_ip ? 2 : 0;
        for (int i = 0; i < 3; i++) {
            client_dial(world, &clients[i]);
            assert_int_equal(asked(world, &clients[i]), i < 2 ? 200 : 503);
        }
        assert_true(client_hears(world, &clients[2], "\"code\":\"limit_exceeded\""));
        assert_true(client_has(&clients[2], BYTES_LITERAL("\r\nRetry-After: 5\r\n")));
        client_waits_for_end(world, &clients[2]);
        gone(world, &clients[2]);
        gone(world, &clients[0]);
        client_dial(world, &clients[0]);
        assert_int_equal(asked(world, &clients[0]), 200);
        gone(world, &clients[0]);
        gone(world, &clients[1]);
    }
    assert_int_equal(stats_counter_get(&world->server.connections), 0);
}

/* An address whose connection could not be served, or could not be told to have ended, has one
 * less all the same: else it would be locked out for ever. */
static void what_memory_does_not_suffice_for_counts_against_nobody(void **state)
{
    struct world *world = *state;
    struct client client;
    bool hit = true;
    unsigned hits = 0;
    world->config.limit_connections_per_ip = 1;
    for (uint64_t nth = 1; hit; nth++) {
        failing_set(FAILING_mem_calloc, nth, 1, ENOMEM);
        client_dial(world, &client);
        (void)asked(world, &client);
        gone(world, &client);
        hit = failing_hits(FAILING_mem_calloc) > 0;
        hits += hit;
        failing_clear();
        client_dial(world, &client);
        assert_int_equal(asked(world, &client), 200);
        gone(world, &client);
    }
    assert_true(hits >= 3); /* the mail that brings it, the connection, its parser … */
    assert_int_equal(stats_counter_get(&world->server.connections), 0);
}

static void an_end_that_cannot_be_told_counts_all_the_same(void **state)
{
    struct world *world = *state;
    struct client client;
    world->config.limit_connections_per_ip = 1;
    for (int i = 0; i < 3; i++) {
        client_dial(world, &client);
        assert_int_equal(asked(world, &client), 200);
        failing_set(FAILING_mem_calloc, 1, UINT64_MAX, ENOMEM);
        gone(world, &client);
        failing_clear();
    }
    assert_int_equal(stats_counter_get(&world->server.connections), 0);
}

/* The one descriptor kept aside is for telling. */
static void without_descriptors_each_is_told(void **state)
{
    struct world *world = *state;
    struct client client;
    for (int i = 0; i < 3; i++) {
        failing_set(FAILING_accept4, 1, 1, EMFILE);
        client_dial(world, &client);
        assert_int_equal(asked(world, &client), 503);
        client_waits_for_end(world, &client);
        gone(world, &client);
        assert_int_equal(failing_hits(FAILING_accept4), 1);
        assert_true(world->reactor.spare_fd >= 0); /* taken back */
    }
    failing_set(FAILING_accept4, 1, 2, EMFILE); /* not even with it: it waits in the queue */
    client_dial(world, &client);
    assert_int_equal(asked(world, &client), 200);
    gone(world, &client);
}

static void a_listener_that_cannot_be_waited_for_is_tried_again(void **state)
{
    struct world *world = *state;
    struct client client;
    assert_int_equal(world->reactor.listen.events, 0); /* not yet */
    failing_set(FAILING_epoll_ctl, 1, 3, ENOMEM);
    world_turns(world, 3);
    assert_int_equal(failing_hits(FAILING_epoll_ctl), 3);
    assert_int_equal(world->reactor.listen.events, 0);
    client_dial(world, &client);
    assert_int_equal(asked(world, &client), 200);
    gone(world, &client);
}

static void a_turn_accepts_so_many_and_the_next_one_more(void **state)
{
    struct world *world = *state;
    struct client clients[10];
    tune.accepts = 3;
    world_turns(world, 1);
    for (int i = 0; i < 10; i++) {
        client_dial(world, &clients[i]);
    }
    uint64_t before = 0;
    for (int i = 0; i < 10 && before < 10; i++) {
        world_turn(world);
        const uint64_t now = stats_counter_get(&world->server.connections);
        assert_true(now - before <= 3);
        before = now;
    }
    assert_int_equal(before, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(asked(world, &clients[i]), 200);
        gone(world, &clients[i]);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(who_is_one_too_many_is_told_and_later_let_in),
        CASE(what_memory_does_not_suffice_for_counts_against_nobody),
        CASE(an_end_that_cannot_be_told_counts_all_the_same),
        CASE(without_descriptors_each_is_told),
        CASE(a_listener_that_cannot_be_waited_for_is_tried_again),
        CASE(a_turn_accepts_so_many_and_the_next_one_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
