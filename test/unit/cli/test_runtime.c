/* cli/runtime: which server is meant, and waiting that ends at its time, at a descriptor or at a
 * signal. */
#include "cli/runtime.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void the_option_wins_over_the_variable_and_that_over_the_default(void **state)
{
    (void)state;
    struct client_url url;
    assert_int_equal(unsetenv("SERIATIM_URL"), 0);
    assert_int_equal(runtime_url("pub", NULL, &url), RC_OK);
    assert_string_equal(url.authority, "127.0.0.1:8470");
    assert_int_equal(setenv("SERIATIM_URL", "", 1), 0); /* empty counts as not set */
    assert_int_equal(runtime_url("pub", NULL, &url), RC_OK);
    assert_string_equal(url.authority, "127.0.0.1:8470");
    assert_int_equal(setenv("SERIATIM_URL", "ws://a:1", 1), 0);
    assert_int_equal(runtime_url("pub", NULL, &url), RC_OK);
    assert_string_equal(url.authority, "a:1");
    assert_int_equal(runtime_url("pub", "ws://b:2", &url), RC_OK);
    assert_string_equal(url.authority, "b:2");
    assert_int_equal(runtime_url("pub", "", &url), RC_OK);
    assert_string_equal(url.authority, "127.0.0.1:8470");
    assert_int_equal(unsetenv("SERIATIM_URL"), 0);
}

static void waiting_ends_at_its_time_or_at_once(void **state)
{
    (void)state;
    runtime_init();
    const uint64_t began_ms = runtime_now_ms();
    runtime_wait(NULL, 0, began_ms + 30);
    assert_true(runtime_now_ms() >= began_ms + 30);
    runtime_wait(NULL, 0, 0); /* which has come long ago */
    runtime_wait_ns(NULL, 0, 1);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    struct pollfd ready[2] = {{.fd = -1, .events = POLLIN}, {.fd = fds[0], .events = POLLIN}};
    runtime_wait(ready, 2, UINT64_MAX); /* or the test would hang */
    assert_int_equal(ready[0].revents, 0);
    assert_int_equal(ready[1].revents, POLLIN);
    runtime_wait(ready, 2, UINT64_MAX / 1000);
    assert_int_equal(ready[1].revents, POLLIN);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void a_signal_is_noticed_only_while_waiting_and_ends_that(void **state)
{
    (void)state;
    struct pollfd ready = {.fd = -1, .revents = 77};
    runtime_init();
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(runtime_stopped(), 0);
    runtime_wait(&ready, 1, UINT64_MAX); /* or the test would hang */
    assert_int_equal(runtime_stopped(), SIGTERM);
    assert_int_equal(ready.revents, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_option_wins_over_the_variable_and_that_over_the_default),
        cmocka_unit_test(waiting_ends_at_its_time_or_at_once),
        cmocka_unit_test(a_signal_is_noticed_only_while_waiting_and_ends_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
