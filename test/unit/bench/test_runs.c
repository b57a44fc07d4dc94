/* bench: what a user sees of a run when the system says no, or the server does not keep its word.
 *
 * Method: short runs of each load in the world of world.h. Then again with the first, the second …
 * call of a kind failing, once and ever after; and with a server that hangs up, or keeps silent
 * from its first, second … command on. Whatever happens, the run ends: either all is well, or it
 * says why and its status is 1. */
#include "lib/failing.h"
#include "world.h"

#include <errno.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct world_told told;

/* What each load is run with, small. */
struct load {
    const struct bench_scenario *scenario;
    bool binary;
    bool own;
    bool costly;   /* not each call, and never ever after */
    uint64_t rate; /* 0: the scenario's own */
    bool lockstep;
    bool no_ack;
};

static const struct load loads[] = {
    {&bench_scenario_publish, .binary = true, .rate = 20},
    {&bench_scenario_publish, .binary = false},
    {&bench_scenario_publish, .binary = true, .no_ack = true, .costly = true},
    {&bench_scenario_fanout, .binary = true, .costly = true},
    {&bench_scenario_pairs, .rate = 20},
    {&bench_scenario_resume, .rate = 20},
    {&bench_scenario_replay, .binary = true},
    {&bench_scenario_channels, .binary = false},
    {&bench_scenario_stall, .binary = false},
    {&bench_scenario_lone, .own = true, .costly = true, .rate = 5},
    /* Much as those above; not with each failing call. */
    {&bench_scenario_replay, .own = true},
    {&bench_scenario_channels, .own = true},
    {&bench_scenario_idle, .binary = true},
    {&bench_scenario_fanout, .rate = 20},
    {&bench_scenario_fanout, .lockstep = true},
    {&bench_scenario_pairs, .binary = true},
};
#define LOADS       (sizeof(loads) / sizeof(loads[0]))
#define LOADS_ALIKE 6u

static struct world_setup setup_of(const struct load *load)
{
    struct world_setup setup = {.options = load->own ? world_options_own(load->scenario)
                                                     : world_options(load->scenario)};
    setup.options.codec = load->binary ? "binary" : "json";
    setup.options.rate = load->rate > 0 ? load->rate : setup.options.rate;
    setup.options.lockstep = load->lockstep;
    setup.options.no_ack = load->no_ack;
    setup.options.payload = load->no_ack ? 100000 : setup.options.payload;
    setup.options.server_pid = 0; /* what it costs is looked up in all of /proc */
    setup.look_ns = load->no_ack ? BENCH_NS / 3 : load->own ? BENCH_NS / 100 : BENCH_NS / 20;
    return setup;
}

static void run(const struct load *load, const struct world_setup *setup)
{
    world_run(load->scenario, setup, &told);
}

static void each_load_runs_in_no_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < LOADS; i++) {
        struct world_setup setup = setup_of(&loads[i]);
        run(&loads[i], &setup);
        assert_string_equal(told.error, "");
        assert_int_equal(told.status, 0);
        assert_int_equal(world_violations(&told), 0);
    }
}

static char what[100]; /* the run under way, for people */

static void check(bool good, const char *claim)
{
    if (!good) {
        print_error("%s: %s\nstatus %d, %s", what, claim, told.status, told.error);
        fail();
    }
}
#define CHECK(claim) check(claim, #claim)

/* Either all is well, or it says in a sentence what is not. */
static void check_told(void)
{
    static const char name[] = "seriatim: ";
    if (told.status == 0) {
        CHECK(told.error[0] == '\0');
        return;
    }
    CHECK(told.status == 1);
    CHECK(strncmp(told.error, name, strlen(name)) == 0);
    CHECK(strlen(told.error) > 20);
    CHECK(strchr(told.error, '\n') == told.error + strlen(told.error) - 1);
}

/* ---- the system says no -------------------------------------------------------------------- */

/* Loads with a server of their own have no faults but those that are theirs. */
static const struct fault {
    enum failing_call call;
    int error;
    bool passes; /* it is tried again: all must be well */
    bool own;    /* of those with a server of their own, too */
} faults[] = {
    {FAILING_mem_alloc, ENOMEM, false, false},
    {FAILING_mem_calloc, ENOMEM, false, false},
    {FAILING_mem_realloc, ENOMEM, false, false},
    {FAILING_socket, EMFILE, false, false},
    {FAILING_connect, ENETUNREACH, false, false},
    {FAILING_getaddrinfo, EAI_AGAIN, false, true},
    {FAILING_epoll_create1, EMFILE, false, false},
    {FAILING_epoll_ctl, ENOSPC, false, false},
    {FAILING_epoll_pwait2, EBADF, false, false},
    {FAILING_epoll_pwait2, EINTR, true, false},
    {FAILING_recv, ECONNRESET, false, true},
    {FAILING_recv, EINTR, true, false},
    {FAILING_send, EPIPE, false, true},
    {FAILING_send, EAGAIN, true, false},
    {FAILING_send, EINTR, true, false},
    {FAILING_bind, EADDRINUSE, false, true},
    {FAILING_listen, EADDRINUSE, false, true},
    {FAILING_accept4, EMFILE, false, true},
    {FAILING_getsockname, ENOBUFS, false, false},
    {FAILING_fork, EAGAIN, false, true},
    {FAILING_pipe2, EMFILE, false, false},
    {FAILING_mkdtemp, ENOSPC, false, true},
    {FAILING_open64, EMFILE, false, true},
    {FAILING_read, EIO, false, false},
    {FAILING_pwrite64, ENOSPC, false, true},
    {FAILING_fdatasync, EIO, false, true},
    {FAILING_wait4, EINTR, true, true},
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))
/* Each of the first calls, then fewer and fewer: they are all alike. */
#define EACH_CALL  4u
#define EACH_BLOCK 24u

static bool run_with(const struct load *load, const struct fault *fault, uint64_t nth,
                     uint64_t times)
{
    const struct world_setup setup = setup_of(load);
    failing_set(fault->call, nth, times, fault->error);
    run(load, &setup);
    const bool hit = failing_hits(fault->call) > 0;
    failing_clear();
    (void)snprintf(what, sizeof(what), "%s: %s %d at %u, %s", load->scenario->name,
                   failing_name(fault->call), fault->error, (unsigned)nth,
                   times == 1 ? "once" : "ever");
    CHECK(told.status == 0 || (hit && !fault->passes));
    CHECK(world_violations(&told) == 0);
    check_told();
    return hit;
}

static void whatever_the_system_refuses_is_told(void **state)
{
    (void)state;
    unsigned runs = 0;
    unsigned ended = 0;
    for (size_t i = 0; i < LOADS - LOADS_ALIKE; i++) {
        for (size_t f = 0; f < FAULTS; f++) {
            uint64_t nth = 1;
            const uint64_t each = faults[f].error == ENOMEM ? EACH_BLOCK : EACH_CALL;
            const bool fits = !loads[i].own || faults[f].own;
            while (fits && run_with(&loads[i], &faults[f], nth, 1)) {
                nth += nth < each && !loads[i].costly ? 1 : nth;
                runs++;
                ended += (unsigned)told.status;
                if (!faults[f].passes && !loads[i].costly) {
                    (void)run_with(&loads[i], &faults[f], nth, UINT64_MAX);
                    runs++;
                }
            }
        }
    }
    print_message("%u runs with a failing call, %u ended by it\n", runs, ended);
    assert_true(ended > 400);
}

static void a_server_that_cannot_be_started_again_is_told(void **state)
{
    (void)state;
    const struct load again[] = {{&bench_scenario_replay, .own = true},
                                 {&bench_scenario_channels, .own = true}};
    const struct fault fork_fails = {FAILING_fork, EAGAIN, false, true};
    for (size_t i = 0; i < 2; i++) {
        assert_true(run_with(&again[i], &fork_fails, 2, 1));
        CHECK(strcmp(told.error, "seriatim: cannot start the server: Resource temporarily "
                                 "unavailable\n") == 0);
    }
}

int main(int argc, char **argv)
{
    world_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_load_runs_in_no_time),
        cmocka_unit_test(whatever_the_system_refuses_is_told),
        cmocka_unit_test(a_server_that_cannot_be_started_again_is_told),
    };
    world_open();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close();
    return failed;
}
