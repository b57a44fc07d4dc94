/* The program from outside: wrong usage, help, and what goes to which stream.
 * Method: runs the real binary (TEST_BINARY) with its streams in pipes. No server is needed. */
#include "base/bytes.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_MAX 65536

struct result {
    int status; /* exit status, or 128 + signal */
    char out[OUTPUT_MAX];
    char err[OUTPUT_MAX];
};

static struct result result;

static void read_file(FILE *file, char *to)
{
    rewind(file);
    to[fread(to, 1, OUTPUT_MAX - 1, file)] = '\0';
    (void)fclose(file);
}

/* Runs `seriatim ARGS` with `input` on standard input; files take the output, so nothing waits. */
static void run_with(const char *const *args, const char *input)
{
    const char *binary = getenv("TEST_BINARY");
    assert_non_null(binary);
    char *argv[16] = {(char *)binary};
    for (size_t i = 0; args[i] != NULL; i++) {
        assert_true(i + 2 < 16);
        argv[i + 1] = (char *)args[i];
    }
    FILE *in = tmpfile();
    FILE *out = tmpfile();
    FILE *err = tmpfile();
    assert_true(in != NULL && out != NULL && err != NULL);
    assert_true(fputs(input, in) >= 0);
    rewind(in);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (dup2(fileno(in), 0) == 0 && dup2(fileno(out), 1) == 1 && dup2(fileno(err), 2) == 2) {
            (void)alarm(20);
            (void)execv(binary, argv);
        }
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    (void)fclose(in);
    read_file(out, result.out);
    read_file(err, result.err);
}

#define RUN(...) run_with((const char *const[]){__VA_ARGS__, NULL}, "")

static void says(const char *stream, const char *text)
{
    if (strstr(stream, text) == NULL) {
        print_error("not found: %s\nin: %s\n", text, stream);
        fail();
    }
}

/* Status 2, nothing on standard output, and these words on the other. */
static void refused_with(const char *text)
{
    assert_int_equal(result.status, 2);
    assert_string_equal(result.out, "");
    says(result.err, text);
}

static void wrong_commands_are_refused_with_a_guess(void **state)
{
    (void)state;
    run_with((const char *const[]){NULL}, "");
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
        assert_int_equal(result.status, 0);
        says(result.out, "Usage: seriatim ");
        assert_string_equal(result.err, "");
        RUN("help", commands[i]);
        assert_int_equal(result.status, 0);
        says(result.out, commands[i]);
    }
    RUN("--help");
    assert_int_equal(result.status, 0);
    says(result.out, "Exit status: 0 done, 1 failed, 2 wrong usage");
    RUN("--version");
    assert_int_equal(result.status, 0);
    assert_string_equal(result.out, "seriatim " SERIATIM_VERSION "\n");
    RUN("serve", "--help");
    says(result.out, "--retention-bytes SIZE  (default 0)");
}

static void config_checks_and_shows(void **state)
{
    (void)state;
    RUN("config", "check", "--node", "7");
    assert_int_equal(result.status, 0);
    assert_string_equal(result.out, "the settings are good\n");
    RUN("config", "check", "--node", "7000");
    refused_with("--node: error: must be");
    RUN("config", "show", "--sources", "--node", "7");
    assert_int_equal(result.status, 0);
    says(result.out, "node: 7 # --node\n");
    says(result.out, "data: ./data # default\n");
    RUN("config", "default");
    assert_int_equal(result.status, 0);
    says(result.out, "\nlisten: 127.0.0.1:8470\n");
}

static void without_a_server_pub_gives_up_in_time_and_says_what_is_not_done(void **state)
{
    (void)state;
    RUN("pub", "--url", "ws://127.0.0.1:1/", "--timeout", "300ms", "a", "1");
    assert_int_equal(result.status, 1);
    assert_string_equal(result.out, "");
    says(result.err, "cannot connect to 127.0.0.1:1: Connection refused; trying again");
    says(result.err, "gave up: nothing was acknowledged for 300ms");
    says(result.err, "0 messages are acknowledged, number 1 and those behind it are not");
}

static void nothing_to_publish_is_done_at_once(void **state)
{
    (void)state;
    RUN("pub", "--url", "ws://127.0.0.1:1/", "a");
    assert_int_equal(result.status, 0);
    assert_string_equal(result.out, "");
}

static void data_that_is_not_json_is_refused_where_json_is_asked_for(void **state)
{
    (void)state;
    RUN("pub", "--url", "ws://127.0.0.1:1/", "--json", "a", "{");
    assert_int_equal(result.status, 1);
    says(result.err, "DATA is not JSON, as --json asks for");
    run_with((const char *const[]){"pub", "--url", "ws://127.0.0.1:1/", "--json", "a", NULL},
             "x\n");
    assert_int_equal(result.status, 1);
    says(result.err, "line 1 is not JSON, as --json asks for");
}

static void log_refuses_what_is_no_data_directory(void **state)
{
    (void)state;
    RUN("log", "verify", "/there/is/none");
    assert_int_equal(result.status, 1);
    says(result.err, "/there/is/none: No such file or directory");
    RUN("log", "inspect", "/dev");
    assert_int_equal(result.status, 1);
    says(result.err, "/dev is no data directory that can be read");
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
