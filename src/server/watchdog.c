#include "server/watchdog.h"

#include "base/assert.h"
#include "server/logger.h"

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LAST_WORDS_MS 100 /* for the logger to write them */

static void *watchdog_main(void *arg)
{
    const struct watchdog *watchdog = arg;
    struct pollfd fds[2] = {
        {.fd = watchdog->end_fd, .events = POLLIN},
        {.fd = watchdog->signal_fd, .events = POLLIN},
    };
    const int time_ms = watchdog->time_ms < INT_MAX ? (int)watchdog->time_ms : INT_MAX;
    (void)poll(fds, 2, time_ms); /* signals are blocked in every thread: no EINTR */
    if (fds[0].revents != 0) {
        return NULL;
    }
    log_plain(LEVEL_ERROR, "the disk does not answer: ending without it");
    (void)poll(NULL, 0, LAST_WORDS_MS);
    _exit(0);
}

enum rc watchdog_start(struct watchdog *watchdog, int signal_fd, uint64_t time_ms)
{
    *watchdog = (struct watchdog){
        .signal_fd = signal_fd,
        .end_fd = eventfd(0, EFD_CLOEXEC),
        .time_ms = time_ms,
    };
    if (watchdog->end_fd < 0) {
        return RC_NOMEM;
    }
    if (pthread_create(&watchdog->thread, NULL, watchdog_main, watchdog) != 0) {
        (void)close(watchdog->end_fd);
        return RC_NOMEM;
    }
    return RC_OK;
}

void watchdog_end(struct watchdog *watchdog)
{
    const int failed = eventfd_write(watchdog->end_fd, 1);
    ASSERT(failed == 0);
    (void)pthread_join(watchdog->thread, NULL);
    (void)close(watchdog->end_fd);
}
