/* bench: what a user sees of servers that hang up, keep silent, forget, or do not start at all; and
 * of a run that is cut short. Method: short runs in the world of world.h, with a server that
 * behaves so from its first, second … command on. Each run ends, by the world's clock in minutes.
 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct world_told told;
static char what[100]; /* the run under way, for people */

static void check(bool good, const char *claim)
{
    if (!good) {
        print_error("%s: %s\nstatus %d, %s\n%s", what, claim, told.status, told.error, told.text);
        fail();
    }
}
#define CHECK(claim) check(claim, #claim)

static bool says(const char *text)
{
    return strstr(told.error, text) != NULL;
}

/* Whether the table says `name N` among the violations. */
static bool counts(const char *name, unsigned n)
{
    char text[40];
    (void)snprintf(text, sizeof(text), "%s %u", name, n);
    const char *at = strstr(told.text, " violations of order (");
    return at != NULL && strstr(at, text) != NULL;
}

static struct world_setup setup_of(const struct bench_scenario *scenario)
{
    struct world_setup setup = {.options = world_options(scenario), .look_ns = BENCH_NS / 20};
    setup.options.rate = setup.options.rate > 20 ? 20 : setup.options.rate;
    setup.options.server_pid = 0;
    return setup;
}

/* Runs it with the fault at its first, second … command, for as long as there is one. */
static unsigned each_command(const struct bench_scenario *scenario, struct world_setup *setup,
                             uint64_t *at, void (*judge)(void))
{
    unsigned runs = 0;
    for (uint64_t nth = 1;; nth += nth < 6 ? 1 : nth / 2) {
        *at = nth;
        (void)snprintf(what, sizeof(what), "%s at %u", scenario->name, (unsigned)nth);
        const double began = world_seconds();
        world_run(scenario, setup, &told);
        CHECK(world_seconds() - began < 600);
        if (fake_commands() < nth) {
            CHECK(told.status == 0);
            return runs;
        }
        judge();
        runs++;
    }
}

static void is_lost(void)
{
    CHECK(told.status == 1);
    CHECK(says("is lost: the server closed it\n") || says("cannot connect to "));
    CHECK(world_violations(&told) == 0);
}

static void a_server_that_hangs_up_is_told_and_accused_of_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < BENCH_SCENARIO_COUNT; i++) {
        struct world_setup setup = setup_of(bench_scenarios[i]);
        assert_true(each_command(bench_scenarios[i], &setup, &setup.manners.hangs_up_at, is_lost) >
                    3);
    }
}

/* Either somebody waits for it in vain, or what it owes is counted in the end. */
static void is_missed(void)
{
    CHECK(told.status == 1);
    CHECK(says(" in time") || (told.error[0] == '\0' && world_violations(&told) > 0));
}

static void a_server_that_falls_silent_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    for (size_t i = 0; i < BENCH_SCENARIO_COUNT; i++) {
        struct world_setup setup = setup_of(bench_scenarios[i]);
        assert_true(
            each_command(bench_scenarios[i], &setup, &setup.manners.silent_from, is_missed) > 3);
    }
    struct world_setup setup = setup_of(&bench_scenario_publish);
    setup.manners.never_upgrades = true;
    world_run(&bench_scenario_publish, &setup, &told);
    CHECK(told.status == 1 && says("3 connections were not accepted in time"));
}

/* ---- what it holds ------------------------------------------------------------------------- */

static void run_with(const struct bench_scenario *scenario, const struct fake_manners *manners)
{
    struct world_setup setup = setup_of(scenario);
    setup.manners = *manners;
    (void)snprintf(what, sizeof(what), "%s", scenario->name);
    world_run(scenario, &setup, &told);
    CHECK(told.error[0] == '\0');
}

static void what_a_server_holds_is_counted(void **state)
{
    (void)state;
    const struct fake_manners forgets = {.forgets_at = 5};
    const struct fake_manners doubles = {.doubles_at = 5};
    run_with(&bench_scenario_publish, &doubles);
    CHECK(told.status == 1 && counts("duplicated", 1));
    run_with(&bench_scenario_publish, &forgets);
    CHECK(told.status == 1 && counts("lost", 1));
    /* Without answers it may come yet, for a while. */
    struct world_setup setup = setup_of(&bench_scenario_publish);
    setup.manners = forgets;
    setup.options.no_ack = true;
    setup.options.payload = 100000;
    setup.look_ns = BENCH_NS / 3;
    const double began = world_seconds();
    world_run(&bench_scenario_publish, &setup, &told);
    CHECK(told.status == 1 && counts("lost", 1) && world_seconds() - began > 30);
    const struct fake_manners forgets_channel = {.forgets_at = 2};
    run_with(&bench_scenario_channels, &forgets_channel);
    CHECK(told.status == 1 && counts("lost", 1));
}

static void what_was_held_back_is_lost(void **state)
{
    (void)state;
    const struct fake_manners hides = {.hides_at = 2};
    run_with(&bench_scenario_fanout, &hides);
    CHECK(told.status == 1 && (counts("gaps", 3) || counts("lost", 3)));
    run_with(&bench_scenario_pairs, &hides);
    CHECK(told.status == 1 && counts("lost", 1));
}

/* ---- other shapes -------------------------------------------------------------------------- */

static void more_than_a_few_are_served_as_well(void **state)
{
    (void)state;
    struct world_setup setup = setup_of(&bench_scenario_replay);
    setup.options.channels = 5;
    setup.options.messages = 100;
    setup.options.warmup = 1;
    world_run(&bench_scenario_replay, &setup, &told);
    CHECK(told.status == 0 && strstr(told.text, "delivered 100\n") != NULL);
    setup = setup_of(&bench_scenario_resume);
    setup.options.connections = 70;
    world_run(&bench_scenario_resume, &setup, &told);
    CHECK(told.status == 0 && strstr(told.text, "caught_up_seconds") != NULL);
    setup = setup_of(&bench_scenario_stall);
    setup.options.bytes = 1; /* less than a message a second */
    world_run(&bench_scenario_stall, &setup, &told);
    CHECK(told.status == 0 && world_violations(&told) == 0);
}

/* Figures of nothing are zero. */
static void of_what_delivers_nothing_there_is_nothing_to_measure(void **state)
{
    (void)state;
    struct world_setup setup = setup_of(&bench_scenario_fanout);
    setup.options.server_pid = getpid();
    setup.manners.silent_from = 8; /* three subscribers and a publisher are connected */
    (void)snprintf(what, sizeof(what), "a silent server");
    world_run(&bench_scenario_fanout, &setup, &told);
    CHECK(told.status == 1 && counts("lost", 6) && counts("unacknowledged", 2));
    CHECK(strstr(told.text, "bare_send") == NULL && strstr(told.text, "nan") == NULL);
}

/* ---- other servers ------------------------------------------------------------------------- */

/* What a protocol does not tell cannot be counted: neither is it. */
static void a_server_without_numbers_or_answers_is_counted_as_far_as_it_goes(void **state)
{
    (void)state;
    struct bench_adapter plain = bench_adapter_seriatim;
    plain.acks = false;
    plain.seqs = false;
    plain.logs = false;
    plain.begin = NULL;
    plain.seal = NULL;
    const struct bench_scenario *const scenarios[] = {&bench_scenario_publish,
                                                      &bench_scenario_fanout, &bench_scenario_pairs,
                                                      &bench_scenario_stall};
    for (size_t i = 0; i < 4; i++) {
        struct world_setup setup = setup_of(scenarios[i]);
        (void)snprintf(what, sizeof(what), "plain %s", scenarios[i]->name);
        setup.adapter = &plain;
        setup.look_ns = BENCH_NS / 3;
        setup.options.payload = 100000;
        setup.options.bytes = 1000000;
        world_run(scenarios[i], &setup, &told);
        CHECK(told.status == 0 && world_violations(&told) == 0);
        CHECK(strstr(told.text, "acknowledged 0,") != NULL);
    }
    plain.acks = true;
    struct world_setup setup = setup_of(&bench_scenario_channels);
    setup.adapter = &plain;
    world_run(&bench_scenario_channels, &setup, &told);
    CHECK(told.status == 0 && strstr(told.text, "acknowledged 2,") != NULL);
}

/* ---- a server of a load's own -------------------------------------------------------------- */

static void run_own(const struct bench_scenario *scenario, const char *program, const char *flag,
                    uint64_t look_ns)
{
    char text[20];
    char *flags[] = {text, NULL};
    (void)snprintf(text, sizeof(text), "%s", flag);
    struct world_setup setup = {.options = world_options_own(scenario), .look_ns = look_ns};
    setup.options.program = program != NULL ? program : setup.options.program;
    setup.options.server_flags = flags;
    (void)snprintf(what, sizeof(what), "%s %s %s", scenario->name, setup.options.program, flag);
    world_run(scenario, &setup, &told);
}

static void a_server_that_does_not_start_is_told(void **state)
{
    (void)state;
    run_own(&bench_scenario_publish, "/bin/false", "", BENCH_NS / 100);
    CHECK(told.status == 1 && says("seriatim: the server ended at once: \n"));
    run_own(&bench_scenario_publish, "/nowhere/seriatim", "", 0);
    CHECK(told.status == 1);
    CHECK(says("the server ended at once: cannot run /nowhere/seriatim: No such file"));
    run_own(&bench_scenario_publish, NULL, "--deaf", BENCH_NS);
    CHECK(told.status == 1 && says("seriatim: the server was not ready in time: \n"));
    char *flags[] = {(char[]){"--deaf"}, NULL};
    struct world_setup setup = {.options = world_options_own(&bench_scenario_publish)};
    setup.options.server_flags = flags;
    setup.signal_after_ns = BENCH_NS;
    setup.look_ns = BENCH_NS / 10;
    world_run(&bench_scenario_publish, &setup, &told);
    CHECK(told.status == 0 && says("seriatim: cut short by a signal\n") && !says("in time"));
    setup.options.folder = "/nowhere";
    world_run(&bench_scenario_publish, &setup, &told);
    CHECK(told.status == 1);
    CHECK(says("seriatim: cannot make /nowhere/seriatim-bench-") && says(": No such file"));
}

/* What it has said last is what helps. */
static void of_a_long_log_the_end_is_told(void **state)
{
    (void)state;
    run_own(&bench_scenario_publish, NULL, "--verbose", 0);
    CHECK(told.status == 1 && says("the server ended at once: "));
    CHECK(says("this is line 100\n") && !says("this is line 80\n"));
}

static void a_server_that_does_not_end_is_killed(void **state)
{
    (void)state;
    run_own(&bench_scenario_channels, NULL, "--stubborn", BENCH_NS / 5);
    CHECK(told.status == 0 && strstr(told.text, "ready_ms_after_end") != NULL);
    const char *end = strstr(told.text, "end_ms ");
    CHECK(end != NULL && strtod(end + 7, NULL) > 29000);
}

/* ---- a run that is cut short --------------------------------------------------------------- */

static void a_signal_ends_a_run_which_tells_what_it_has(void **state)
{
    (void)state;
    for (size_t i = 0; i < BENCH_SCENARIO_COUNT; i++) {
        for (uint64_t at = 1; at < 100; at += at < 20 ? 2 : 10) {
            struct world_setup setup = setup_of(bench_scenarios[i]);
            setup.signal_at = at;
            (void)snprintf(what, sizeof(what), "%s, a signal at %u", bench_scenarios[i]->name,
                           (unsigned)at);
            const double began = world_seconds();
            world_run(bench_scenarios[i], &setup, &told);
            CHECK(world_seconds() - began < 60);
            CHECK(told.status == 0 && world_violations(&told) == 0);
            if (world_waits() < at) {
                CHECK(at > 5 && told.error[0] == '\0');
                break;
            }
            CHECK(says("seriatim: cut short by a signal\n"));
        }
    }
}

/* ---- what is told -------------------------------------------------------------------------- */

static void a_report_that_cannot_be_written_is_told(void **state)
{
    (void)state;
    struct world_setup setup = setup_of(&bench_scenario_publish);
    (void)snprintf(what, sizeof(what), "reports");
    setup.options.json = "/dev/full";
    world_run(&bench_scenario_publish, &setup, &told);
    CHECK(told.status == 1 && says("seriatim: cannot write /dev/full: No space left on device\n"));
    setup.options.json = NULL;
    setup.options.html = "/nowhere/page.html";
    world_run(&bench_scenario_publish, &setup, &told);
    CHECK(told.status == 1 && says("seriatim: cannot write /nowhere/page.html: No such file"));
}

static void a_line_a_second_tells_how_it_goes(void **state)
{
    (void)state;
    struct world_setup setup = setup_of(&bench_scenario_idle); /* has no latency to show */
    setup.options.quiet = false;
    world_run(&bench_scenario_idle, &setup, &told);
    CHECK(told.status == 0 && says("\nidle: 5 s, sent 0, acknowledged 0 (0/s), "));
    setup = setup_of(&bench_scenario_publish);
    setup.options.quiet = false;
    setup.options.connections = 1;
    setup.options.seconds = 620; /* more than there are samples for */
    world_run(&bench_scenario_publish, &setup, &told);
    CHECK(told.status == 0 && says("publish: 40 s, sent "));
}

int main(int argc, char **argv)
{
    world_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_hangs_up_is_told_and_accused_of_nothing),
        cmocka_unit_test(a_server_that_falls_silent_is_not_waited_for_for_ever),
        cmocka_unit_test(what_a_server_holds_is_counted),
        cmocka_unit_test(what_was_held_back_is_lost),
        cmocka_unit_test(more_than_a_few_are_served_as_well),
        cmocka_unit_test(of_what_delivers_nothing_there_is_nothing_to_measure),
        cmocka_unit_test(a_server_without_numbers_or_answers_is_counted_as_far_as_it_goes),
        cmocka_unit_test(a_server_that_does_not_start_is_told),
        cmocka_unit_test(of_a_long_log_the_end_is_told),
        cmocka_unit_test(a_server_that_does_not_end_is_killed),
        cmocka_unit_test(a_signal_ends_a_run_which_tells_what_it_has),
        cmocka_unit_test(a_report_that_cannot_be_written_is_told),
        cmocka_unit_test(a_line_a_second_tells_how_it_goes),
    };
    world_open();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close();
    return failed;
}
