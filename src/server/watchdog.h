/* Ends the process when its stop takes too long.
 *
 * A thread that is blocked in the disk cannot be called back, and what it holds cannot be freed. So
 * when a stop has not come to its end in time, or another signal asks for haste, the process ends
 * as it is: nothing that was acknowledged is in memory only.
 *
 * Thread: the main thread.  Memory: watchdog_end() gives back. */
#ifndef SERVER_WATCHDOG_H
#define SERVER_WATCHDOG_H

#include "base/rc.h"

#include <pthread.h>
#include <stdint.h>

struct watchdog {
    int signal_fd; /* a signalfd, borrowed */
    int end_fd;
    uint64_t time_ms;
    pthread_t thread;
};

/* RC_NOMEM  no thread or descriptor is to be had */
MUST_USE enum rc watchdog_start(struct watchdog *watchdog, int signal_fd, uint64_t time_ms);
/* The stop is done. */
void watchdog_end(struct watchdog *watchdog);

#endif
