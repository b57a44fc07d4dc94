/* The program from outside: wrong usage, help, and what goes to which stream.
 * Method: runs the real binary (TEST_BINARY) with its streams in files. No server is needed. */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Status 2, nothing on standard output, and these words on the other. */
static void refused_with(const char *text)
{
    assert_int_equal(program.status, 2);
    assert_string_equal(program.out, "");
    program_says(program.err, text);
}

static void wrong_commands_are_refused_with_a_guess(void **state)
{
    (void)state;
    program_run((const char *const[]){NULL}, "");
    refused_with("Usage: seriatim COMMAND");
    RUN("sevre");
    refused_with("there is no command 'sevre', did you mean 'serve'?\n");
    RUN("\x1b[31mx");
    refused_with("there is no command '?[31mx'\n");
    RUN("help", "pbu");
    refused_with("did you mean 'pub'?");
}

static void wrong_options_are_refused_all_at_once(void **state)
{
    (void)state;
    RUN("sub", "c", "--from", "x", "--count", "0", "--on-gap=stop", "--window", "1e3", "--jsn");
    refused_with("error: --from must be a seq from 1, `earliest` or `latest`; this is 'x'\n");
    refused_with("error: --count must be a whole number from 1; this is '0'\n");
    refused_with("error: --on-gap must be `error` or `reset`; this is 'stop'\n");
    refused_with("error: --window must be a whole number from 1 to 1000000; this is '1e3'\n");
    refused_with("error: unknown option '--jsn', did you mean '--json'?\n");
    refused_with("Try `seriatim sub --help`.\n");
    RUN("pub", "c", "1", "--epoch=0", "--timeout", "5", "--key", "", "--cuont");
    refused_with("error: --epoch must be a whole number from 1; this is '0'\n");
    refused_with("error: --timeout must be a duration");
    refused_with("error: --key must be a text of 1 to 255 bytes; this is ''\n");
    refused_with("error: unknown option '--cuont'");
    RUN("serve", "--threads", "many", "--lisen", "x");
    refused_with("error: unknown option '--lisen', did you mean '--listen'?\n");
    refused_with("--threads: error: must be a whole number from 1 to 64");
}

static void abbreviations_and_misplaced_values_are_refused(void **state)
{
    (void)state;
    RUN("pub", "c", "1", "--js");
    refused_with("unknown option '--js'");
    RUN("sub", "c", "--json=yes");
    refused_with("error: --json takes no value\n");
    RUN("sub", "c", "--from");
    refused_with("error: --from needs a value\n");
}

static void operands_are_counted(void **state)
{
    (void)state;
    RUN("pub");
    refused_with("which channel?");
    RUN("sub");
    refused_with("which channel?");
    RUN("sub", "a", "b");
    refused_with("which channel?");
    RUN("pub", "a", "1", "2");
    refused_with("too many arguments");
    RUN("pub", "a", "1", "--json", "--string");
    refused_with("exclude one another");
    RUN("log", "inspect");
    refused_with("the data directory");
    RUN("log", "chekc", "d");
    refused_with("there is no `log chekc`");
    RUN("config");
    refused_with("check, show, default or docs");
    RUN("config", "chekc");
    refused_with("did you mean 'check'?");
    RUN("config", "docs", "x");
    refused_with("unexpected argument 'x'");
    RUN("version", "x");
    refused_with("unexpected argument 'x'");
}

static void bad_urls_are_refused_and_their_source_is_named(void **state)
{
    (void)state;
    RUN("pub", "--url", "http://h/", "a", "1");
    refused_with("--url: 'http://h/' is no URL of a server: it must begin with ws://");
    assert_int_equal(setenv("SERIATIM_URL", "wss://h/", 1), 0);
    RUN("sub", "a");
    assert_int_equal(unsetenv("SERIATIM_URL"), 0);
    refused_with("SERIATIM_URL: 'wss://h/'");
}

static void help_goes_to_standard_output(void **state)
{
    (void)state;
    static const char *const commands[] = {"serve", "pub",    "sub",   "config",
                                           "log",   "verify", "bench", "version"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        RUN(commands[i], "--help");
        assert_int_equal(program.status, 0);
        program_says(program.out, "Usage: seriatim ");
        assert_string_equal(program.err, "");
        RUN("help", commands[i]);
        assert_int_equal(program.status, 0);
        program_says(program.out, commands[i]);
    }
    RUN("--help");
    assert_int_equal(program.status, 0);
    program_says(program.out, "Exit status: 0 done, 1 failed, 2 wrong usage");
    RUN("--version");
    assert_int_equal(program.status, 0);
    assert_string_equal(program.out, "seriatim " SERIATIM_VERSION "\n");
    RUN("serve", "--help");
    program_says(program.out, "--retention-bytes SIZE  (default 0)");
}

static void config_checks_and_shows(void **state)
{
    (void)state;
    RUN("config", "check", "--node", "7");
    assert_int_equal(program.status, 0);
    assert_string_equal(program.out, "the settings are good\n");
    RUN("config", "check", "--node", "7000");
    refused_with("--node: error: must be");
    RUN("config", "show", "--sources", "--node", "7");
    assert_int_equal(program.status, 0);
    program_says(program.out, "node: 7 # --node\n");
    program_says(program.out, "data: ./data # default\n");
    RUN("config", "default");
    assert_int_equal(program.status, 0);
    program_says(program.out, "\nlisten: 127.0.0.1:8470\n");
}

static void without_a_server_pub_gives_up_in_time_and_says_what_is_not_done(void **state)
{
    (void)state;
    RUN("pub", "--url", "ws://127.0.0.1:1/", "--timeout", "300ms", "a", "1");
    assert_int_equal(program.status, 1);
    assert_string_equal(program.out, "");
    program_says(program.err, "cannot connect to 127.0.0.1:1: Connection refused; trying again");
    program_says(program.err, "gave up: nothing was acknowledged for 300ms");
    program_says(program.err, "0 messages are acknowledged, number 1 and those behind it are not");
}

static void nothing_to_publish_is_done_at_once(void **state)
{
    (void)state;
    RUN("pub", "--url", "ws://127.0.0.1:1/", "a");
    assert_int_equal(program.status, 0);
    assert_string_equal(program.out, "");
}

static void data_that_is_not_json_is_refused_where_json_is_asked_for(void **state)
{
    (void)state;
    RUN("pub", "--url", "ws://127.0.0.1:1/", "--json", "a", "{");
    assert_int_equal(program.status, 1);
    program_says(program.err, "DATA is not JSON, as --json asks for");
    program_run((const char *const[]){"pub", "--url", "ws://127.0.0.1:1/", "--json", "a", NULL},
                "x\n");
    assert_int_equal(program.status, 1);
    program_says(program.err, "line 1 is not JSON, as --json asks for");
}

static void log_refuses_what_is_no_data_directory(void **state)
{
    (void)state;
    RUN("log", "verify", "/there/is/none");
    assert_int_equal(program.status, 1);
    program_says(program.err, "/there/is/none: No such file or directory");
    RUN("log", "inspect", "/dev");
    assert_int_equal(program.status, 1);
    program_says(program.err, "/dev is no data directory that can be read");
}

static void verify_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        const char *value;
        const char *wanted;
    } cases[] = {
        {"--rate", "100000001", "a whole number from 1 to 100000000"},
        {"--seconds", "0", "a whole number from 1 to 1000000"},
        {"--messages", "4000000001", "a whole number from 1 to 4000000000"},
        {"--channels", "16385", "a whole number from 1 to 16384"},
        {"--producers", "1025", "a whole number from 1 to 1024"},
        {"--subscribers", "65", "a whole number from 1 to 64"},
        {"--size", "63", "a whole number from 64 to 1048576"},
        {"--batch", "1001", "a whole number from 1 to 1000"},
        {"--inflight", "x", "a whole number from 1 to 1000000"},
        {"--window", "1000001", "a whole number from 0 to 1000000"},
        {"--restart-subscribers", "1s", "a whole number from 0 to 86400000"},
        {"--restart-producers", "-1", "a whole number from 0 to 86400000"},
        {"--patience", "86401", "a whole number from 1 to 86400"},
        {"--seed", "9007199254740992", "a whole number from 0 to 9007199254740991"},
        {"--tolerate", "", "`gap` or `epoch`"},
        {"--prefix", "", "1 to 100 letters, digits, '.', '_' or '-'"},
        {"--prefix", "a/b", "1 to 100 letters, digits, '.', '_' or '-'"},
        {"--prefix", "a@", "1 to 100 letters, digits, '.', '_' or '-'"},
        {"--prefix", "[", "1 to 100 letters, digits, '.', '_' or '-'"},
        {"--prefix", "a{", "1 to 100 letters, digits, '.', '_' or '-'"},
        {"--prefix", ":", "1 to 100 letters, digits, '.', '_' or '-'"},
        {"--prefix", "\xC3\xA9", "1 to 100 letters, digits, '.', '_' or '-'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char wanted[200];
        RUN("verify", "--url", "ws://127.0.0.1:1/", cases[i].option, cases[i].value);
        (void)snprintf(wanted, sizeof(wanted), "error: %s must be %s; this is '%s'\n",
                       cases[i].option, cases[i].wanted, cases[i].value);
        refused_with(wanted);
        refused_with("Try `seriatim verify --help`.\n");
    }
    char prefix[102];
    (void)snprintf(prefix, sizeof(prefix), "%0101d", 0);
    RUN("verify", "--url", "ws://127.0.0.1:1/", "--prefix", prefix);
    refused_with("error: --prefix must be 1 to 100 letters");
    RUN("verify", "--producers", "1024", "--channels", "1000", "--subscribers", "4");
    refused_with("error: producers and subscribers (--channels times --subscribers) together must "
                 "be at most 4096\n");
}

static void verify_without_a_server_says_that_it_was_away(void **state)
{
    (void)state;
    RUN("verify", "--url", "ws://127.0.0.1:1/", "--patience", "1", "--messages", "1", "--prefix",
        "aZ.z_A-09");
    assert_int_equal(program.status, 1);
    assert_string_equal(program.out, "");
    program_says(program.err, "gave up: the server was away for more than 1 s (cannot connect to "
                              "127.0.0.1:1: Connection refused)\n0 violations\n");
}

static void everything_behind_two_dashes_is_an_operand(void **state)
{
    (void)state;
    RUN("pub", "--url", "ws://127.0.0.1:1/", "--timeout", "1ms", "--", "--help", "-h");
    assert_int_equal(program.status, 1);
    program_says(program.err, "gave up");
    RUN("sub", "--", "-h", "--json");
    refused_with("which channel?");
    RUN("sub", "-h", "--", "x");
    assert_int_equal(program.status, 0);
    program_says(program.out, "Usage: seriatim sub ");
}

static void short_and_long_forms_of_the_same_say_the_same(void **state)
{
    (void)state;
    static char help[PROGRAM_OUTPUT_MAX];
    RUN("help");
    (void)snprintf(help, sizeof(help), "%s", program.out);
    static const char *const forms[] = {"--help", "-h"};
    for (size_t i = 0; i < 2; i++) {
        RUN(forms[i]);
        assert_int_equal(program.status, 0);
        assert_string_equal(program.out, help);
    }
    RUN("--version", "x"); /* what follows does not matter */
    assert_int_equal(program.status, 0);
    assert_string_equal(program.out, "seriatim " SERIATIM_VERSION "\n");
    RUN("version", "--help");
    assert_int_equal(program.status, 0);
    program_says(program.out, "Usage: seriatim version\n");
}

static void config_documents_itself_and_guesses_no_further_than_is_sensible(void **state)
{
    (void)state;
    RUN("config", "docs");
    assert_int_equal(program.status, 0);
    program_says(program.out, "# Settings\n");
    RUN("config", "show");
    assert_int_equal(program.status, 0);
    program_says(program.out, "data: ./data\n");
    RUN("config", "frobnicate");
    refused_with("error: there is no `config frobnicate`\n");
    RUN("frobnicate");
    refused_with("there is no command 'frobnicate'\n");
    RUN("config", "check", "--sources");
    refused_with("unknown option '--sources'");
}

static void bench_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        const char *value;
        const char *wanted;
    } cases[] = {
        {"--connections", "0", "a whole number from 1 to 1000000"},
        {"--payload", "31", "a whole number from 32 to 1048576"},
        {"--warmup", "x", "a whole number from 0 to 1000000"},
        {"--server-pid", "2147483648", "a whole number from 1 to 2147483647"},
        {"--durability", "disk", "fsync, os or memory"},
        {"--codec", "xml", "json or binary"},
        {"--prefix", "", "1 to 100 letters, digits, '.', '_' or '-'"},
        {"--prefix", "a/b", "1 to 100 letters, digits, '.', '_' or '-'"},
        {"--prefix", "[", "1 to 100 letters, digits, '.', '_' or '-'"},
        {"--prefix", "A.z_0-{", "1 to 100 letters, digits, '.', '_' or '-'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char wanted[200];
        RUN("bench", "publish", cases[i].option, cases[i].value);
        (void)snprintf(wanted, sizeof(wanted), "error: %s must be %s; this is '%s'\n",
                       cases[i].option, cases[i].wanted, cases[i].value);
        refused_with(wanted);
        refused_with("Try `seriatim bench --help`.\n");
    }
    char prefix[102];
    (void)snprintf(prefix, sizeof(prefix), "%0101d", 0);
    RUN("bench", "publish", "--prefix", prefix);
    refused_with("error: --prefix must be 1 to 100 letters");
    RUN("bench", "publish", "--server", "--server-pid", "7");
    refused_with("error: --server starts one of its own: no --url, no --server-pid\n");
    const char *many[40] = {"bench", "publish", "--server", "--"};
    for (size_t i = 4; i < 37; i++) {
        many[i] = "--flag";
    }
    program_run(many, "");
    refused_with("error: more than 32 flags for the server\n");
}

int main(void)
{
    (void)unsetenv("SERIATIM_URL");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_commands_are_refused_with_a_guess),
        cmocka_unit_test(wrong_options_are_refused_all_at_once),
        cmocka_unit_test(abbreviations_and_misplaced_values_are_refused),
        cmocka_unit_test(operands_are_counted),
        cmocka_unit_test(bad_urls_are_refused_and_their_source_is_named),
        cmocka_unit_test(help_goes_to_standard_output),
        cmocka_unit_test(config_checks_and_shows),
        cmocka_unit_test(without_a_server_pub_gives_up_in_time_and_says_what_is_not_done),
        cmocka_unit_test(nothing_to_publish_is_done_at_once),
        cmocka_unit_test(data_that_is_not_json_is_refused_where_json_is_asked_for),
        cmocka_unit_test(log_refuses_what_is_no_data_directory),
        cmocka_unit_test(verify_refuses_what_it_cannot_do),
        cmocka_unit_test(verify_without_a_server_says_that_it_was_away),
        cmocka_unit_test(everything_behind_two_dashes_is_an_operand),
        cmocka_unit_test(short_and_long_forms_of_the_same_say_the_same),
        cmocka_unit_test(config_documents_itself_and_guesses_no_further_than_is_sensible),
        cmocka_unit_test(bench_refuses_what_it_cannot_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
