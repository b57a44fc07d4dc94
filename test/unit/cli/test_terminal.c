/* The program on a terminal: what it shows there, and nowhere else.
 * Method: the real binary (TEST_BINARY) on a pseudo terminal, before a real server. */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define END_OF_INPUT "\x04"

static const char *url;

#define ON_TERMINAL(input, ...)                                                                    \
    program_run_on_terminal((const char *const[]){__VA_ARGS__, NULL}, input)

static void pub_takes_lines_as_they_are_typed_and_counts_them(void **state)
{
    (void)state;
    ON_TERMINAL("one\ntwo\nthree\n" END_OF_INPUT, "pub", "--url", url, "typed");
    assert_int_equal(program.status, 0);
    program_says(program.out, "seriatim: each line that you type is a message; ^D ends\r\n");
    program_says(program.out, "\r3 published\r\n");
    RUN("sub", "--url", url, "--from", "1", "--count", "3", "typed");
    assert_int_equal(program.status, 0);
    assert_string_equal(program.out, "one\ntwo\nthree\n");
    assert_string_equal(program.err, "");
}

static void pub_of_one_message_counts_nothing(void **state)
{
    (void)state;
    ON_TERMINAL("", "pub", "--url", url, "typed", "four");
    assert_int_equal(program.status, 0);
    assert_string_equal(program.out, "");
}

static void lines_from_a_file_are_not_asked_for(void **state)
{
    (void)state;
    const char *const args[] = {"pub", "--url", url, "filed", NULL};
    program_run(args, "one\n");
    assert_int_equal(program.status, 0);
    assert_string_equal(program.out, "");
    assert_string_equal(program.err, "");
}

static void sub_prints_to_a_terminal_as_to_anything(void **state)
{
    (void)state;
    ON_TERMINAL("", "sub", "--url", url, "--from", "1", "--count", "2", "typed");
    assert_int_equal(program.status, 0);
    assert_string_equal(program.out, "one\r\ntwo\r\n");
}

static void verify_shows_its_progress_in_one_line_there_and_in_many_elsewhere(void **state)
{
    (void)state;
    static const char again[] = "\r\033[Kload: ";
    ON_TERMINAL("", "verify", "--url", url, "--rate", "20", "--messages", "50", "--channels", "2",
                "--subscribers", "1", "--producers", "1");
    assert_int_equal(program.status, 0);
    program_says(program.out, again);
    program_says(program.out, " violations\r\033[Kfinished: "); /* no line end before the last */
    program_says(program.out, "\r\n0 violations\r\n");
    RUN("verify", "--url", url, "--rate", "20", "--messages", "50", "--channels", "2",
        "--subscribers", "1", "--producers", "1");
    assert_int_equal(program.status, 0);
    program_says(program.err, " violations\nfinished: ");
    assert_null(strchr(program.err, '\r'));
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pub_takes_lines_as_they_are_typed_and_counts_them),
        cmocka_unit_test(pub_of_one_message_counts_nothing),
        cmocka_unit_test(lines_from_a_file_are_not_asked_for),
        cmocka_unit_test(sub_prints_to_a_terminal_as_to_anything),
        cmocka_unit_test(verify_shows_its_progress_in_one_line_there_and_in_many_elsewhere),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
