/* server/watchdog: what the disk does not do in time is not waited for.
 * Method: where it is to end the process, a process of its own; its _exit() ends as exit() does,
 * for the counters of a coverage build. */
#include "server/watchdog.h"

#include "lib/failing.h"
#include "server/logger.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

_Noreturn void __wrap__exit(int status);

_Noreturn void __wrap__exit(int status)
{
    exit(status);
}

static void an_end_in_time_ends_nothing_else(void **state)
{
    (void)state;
    static const uint64_t times_ms[] = {60000,
                                        UINT64_MAX}; /* the second is more than poll() takes */
    for (size_t i = 0; i < 2; i++) {
        struct watchdog watchdog;
        const int never = eventfd(0, EFD_CLOEXEC);
        assert_int_equal(watchdog_start(&watchdog, never, times_ms[i]), RC_OK);
        watchdog_end(&watchdog);
        assert_int_equal(close(never), 0);
    }
}

/* Status of the process, its log in `text`. */
static int watched(uint64_t time_ms, bool signal, char *text, size_t size)
{
    int log[2];
    assert_int_equal(pipe(log), 0);
    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct watchdog watchdog;
        logger_init(LEVEL_INFO, LOG_FORMAT_TEXT, log[1]);
        const int signal_fd = eventfd(signal ? 1 : 0, EFD_CLOEXEC);
        if (watchdog_start(&watchdog, signal_fd, time_ms) == RC_OK) {
            (void)poll(NULL, 0, 60000); /* the disk does not answer */
        }
        abort();
    }
    assert_int_equal(close(log[1]), 0);
    size_t used = 0;
    ssize_t got;
    while ((got = read(log[0], text + used, size - 1 - used)) > 0) {
        used += (size_t)got;
    }
    text[used] = '\0';
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(close(log[0]), 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_end_of_the_time_or_a_signal_ends_the_process_and_says_why(void **state)
{
    (void)state;
    char text[512];
    for (int signal = 0; signal < 2; signal++) {
        assert_int_equal(watched(signal ? 60000 : 20, signal, text, sizeof(text)), 0);
        assert_non_null(strstr(text, "ERROR the disk does not answer: ending without it\n"));
    }
}

static void a_start_that_the_system_refuses_is_told(void **state)
{
    (void)state;
    struct watchdog watchdog;
    const int lowest = dup(0);
    assert_int_equal(close(lowest), 0);
    failing_set(FAILING_eventfd, 1, 1, EMFILE);
    assert_int_equal(watchdog_start(&watchdog, 0, 1), RC_NOMEM);
    failing_set(FAILING_pthread_create, 1, 1, EAGAIN);
    assert_int_equal(watchdog_start(&watchdog, 0, 1), RC_NOMEM);
    failing_clear();
    assert_int_equal(dup(0), lowest); /* it keeps no descriptor */
    assert_int_equal(close(lowest), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_in_time_ends_nothing_else),
        cmocka_unit_test(the_end_of_the_time_or_a_signal_ends_the_process_and_says_why),
        cmocka_unit_test(a_start_that_the_system_refuses_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
