/* Every command with every allocation of it failing, one at a time, and all behind it: it ends by
 * itself, says "out of memory" where it could not do its work, and never calls done what is not.
 * Method: cli_main() in a child, with faults of base/mem.h; a run without faults says what is
 * right. Commands that talk to a server talk to a real one. */
#include "cli/cli.h"
#include "program.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LINES "one\ntwo\nthree\n"

static const char *url;

static void call(const char *const *args, const char *input, uint64_t fault, bool forever)
{
    program_call(cli_main, args, input, fault, forever);
}

static void bad(const char *const *args, uint64_t fault, const char *what)
{
    print_error("%s: allocation %" PRIu64 ": %s: status %d\n%s\n%s\n", args[0], fault, what,
                program.status, program.out, program.err);
    fail();
}

/* ---- without a server ---------------------------------------------------------------------- */

/* The same as without the fault, or out of memory. */
static void torture(const char *const *args)
{
    static struct program_result right;
    call(args, "", 0, false);
    right = program;
    assert_true(right.status == 0 || right.status == 2);
    assert_true(right.allocations > 0);
    for (int forever = 0; forever < 2; forever++) {
        for (uint64_t fault = 1; fault <= right.allocations; fault++) {
            call(args, "", fault, forever == 1);
            if (program.status == right.status && strcmp(program.out, right.out) == 0) {
                continue; /* it could do without; or what it said of a wrong usage is cut short */
            }
            if (program.status != 1 || strstr(program.err, "out of memory") == NULL) {
                bad(args, fault, "neither right nor out of memory");
            }
        }
    }
}

#define TORTURE(...) torture((const char *const[]){__VA_ARGS__, NULL})

static void help_and_settings(void **state)
{
    (void)state;
    TORTURE("help");
    TORTURE("help", "serve");
    TORTURE("pub", "--help");
    TORTURE("config", "show", "--sources", "--node", "7");
    TORTURE("config", "check");
    TORTURE("config", "default");
    TORTURE("config", "docs");
}

static void wrong_usage(void **state)
{
    (void)state;
    TORTURE("sevre");
    TORTURE("config", "check", "--node", "7000");
    TORTURE("serve", "--node", "7000");
    TORTURE("sub", "c", "--count", "0", "--from", "x", "--jsno");
    TORTURE("sub");
    TORTURE("pub", "c", "1", "--epoch", "0", "--key", "");
    TORTURE("pub", "c", "1", "2");
    TORTURE("verify", "--rate", "0", "--prefix", "", "--tolerate", "x");
    TORTURE("verify", "c");
    TORTURE("verify", "--seconds", "1", "--messages", "1");
    TORTURE("log", "inspect", "--jsno");
    TORTURE("bench");
    TORTURE("bench", "orders");
    TORTURE("bench", "publish", "--payload", "1", "--prefix", "", "--durability", "x");
    TORTURE("bench", "idle", "--rate", "1", "--keep", "--", "--threads", "1");
}

static void data_directories(void **state)
{
    (void)state;
    url = program_server_start();
    const char *const args[] = {"pub", "--url", url, "--producer", "p", "lines", NULL};
    program_run(args, LINES);
    assert_int_equal(program.status, 0);
    program_server_stop();
    const char *folder = program_server_folder();
    TORTURE("log", "inspect", folder);
    TORTURE("log", "inspect", "--json", folder);
    TORTURE("log", "verify", folder);
    TORTURE("log", "verify", "--digests", folder);
    TORTURE("log", "verify", "--json", "--digests", folder);
    program_server_remove();
}

/* ---- with a server ------------------------------------------------------------------------- */

/* Done only if each line is there once and in order. */
static bool publish(uint64_t fault, bool forever)
{
    char channel[40];
    (void)snprintf(channel, sizeof(channel), "pub-%d-%" PRIu64, forever, fault);
    const char *const args[] = {"pub",      "--url", url,     "--timeout", forever ? "50ms" : "10s",
                                "--window", "2",     channel, NULL};
    call(args, LINES, fault, forever);
    const bool hit = program.allocations >= fault;
    if (program.status == 0) {
        const char *const read[] = {"sub",     "--url", url,     "--from", "1",
                                    "--count", "3",     channel, NULL};
        program_run(read, "");
        if (program.status != 0 || strcmp(program.out, LINES) != 0) {
            bad(args, fault, "done, and not all is there");
        }
    } else if (program.status != 1 || (strstr(program.err, "out of memory") == NULL &&
                                       (!forever || strstr(program.err, "gave up") == NULL))) {
        bad(args, fault, "neither right nor out of memory"); /* nor late, with so little time */
    }
    return hit;
}

/* Whole lines from the first one on, and done only if they are all. */
static bool subscribe(uint64_t fault, bool json)
{
    const char *const args[] = {"sub",
                                "--url",
                                url,
                                "--from",
                                "1",
                                "--count",
                                "3",
                                "--window",
                                "2",
                                "lines",
                                json ? "--json" : NULL,
                                NULL};
    static char right[2][PROGRAM_OUTPUT_MAX];
    call(args, "", fault, false);
    const bool hit = program.allocations >= fault;
    if (right[json][0] == '\0') {
        assert_int_equal(program.status, 0);
        (void)snprintf(right[json], sizeof(right[json]), "%s", program.out);
    }
    const size_t size = strlen(program.out);
    const bool whole = strcmp(program.out, right[json]) == 0;
    const bool lines = size == 0 || program.out[size - 1] == '\n';
    if (!lines || memcmp(program.out, right[json], size) != 0) {
        bad(args, fault, "not what was published");
    }
    if (program.status == 0 ? !whole
                            : program.status != 1 || strstr(program.err, "out of memory") == NULL) {
        bad(args, fault, "neither right nor out of memory");
    }
    return hit;
}

/* The server keeps its word, so nothing may be called a violation. */
static bool verify(uint64_t fault, bool forever)
{
    const char *const args[] = {"verify",
                                "--url",
                                url,
                                "--messages",
                                "12",
                                "--channels",
                                "2",
                                "--producers",
                                "1",
                                "--subscribers",
                                "1",
                                "--batch",
                                "2",
                                "--window",
                                "3",
                                "--restart-subscribers",
                                "0",
                                "--patience",
                                forever ? "1" : "10",
                                "--json",
                                "-",
                                NULL};
    call(args, "", fault, forever);
    const bool hit = program.allocations >= fault;
    const bool done = strstr(program.err, "\n0 violations\n") != NULL &&
                      strstr(program.out, "\"end\":\"whole\"") != NULL;
    const bool told = program.status == 1 && strstr(program.err, "out of memory") != NULL;
    if (program.status == 0 ? !done : !told) {
        bad(args, fault, "neither right nor out of memory");
    }
    static const char count[] = "0 violations\n";
    for (const char *at = strstr(program.err, count + 1); at != NULL;
         at = strstr(at + 1, count + 1)) {
        if (at - 2 < program.err || at[-1] != '0' || (at[-2] != ' ' && at[-2] != '\n')) {
            bad(args, fault, "the server was accused");
        }
    }
    return hit;
}

static void pub_says_done_only_if_it_is(void **state)
{
    (void)state;
    uint64_t fault = 1;
    while (publish(fault, false)) {
        fault++;
    }
    assert_true(fault > 15);
    for (fault = 1; publish(fault, true); fault++) {
    }
}

static void sub_prints_whole_lines_in_order(void **state)
{
    (void)state;
    const char *const args[] = {"pub", "--url", url, "lines", NULL};
    program_run(args, LINES);
    assert_int_equal(program.status, 0);
    for (int json = 0; json < 2; json++) {
        assert_true(!subscribe(UINT64_MAX, json == 1));
        uint64_t fault = 1;
        while (subscribe(fault, json == 1)) {
            fault++;
        }
        assert_true(fault > 5);
    }
}

static void verify_accuses_nobody(void **state)
{
    (void)state;
    uint64_t fault = 1;
    while (verify(fault, false)) {
        fault++;
    }
    assert_true(fault > 60);
    for (fault = 1; fault <= 30; fault++) { /* behind these nothing but connections would fail */
        (void)verify(fault, true);
    }
}

static int start(void **state)
{
    (void)state;
    url = program_server_start();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    program_server_stop();
    program_server_remove();
    return 0;
}

int main(void)
{
    (void)unsetenv("SERIATIM_URL");
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(help_and_settings),
        cmocka_unit_test(wrong_usage),
        cmocka_unit_test(data_directories),
    };
    const struct CMUnitTest with_server[] = {
        cmocka_unit_test(pub_says_done_only_if_it_is),
        cmocka_unit_test(sub_prints_whole_lines_in_order),
        cmocka_unit_test(verify_accuses_nobody),
    };
    const int failed = cmocka_run_group_tests(alone, NULL, NULL);
    return failed + cmocka_run_group_tests(with_server, start, stop);
}
