/* The server as a whole: from settings to a clean stop.
 *
 * Thread: main.  Memory: freed when server_main() returns. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/config.h"

/* Runs until SIGTERM, SIGINT or, where that is not ignored, SIGHUP. The first one drains: no new
 * sessions, what is in flight is committed and answered, clients are told goaway; a second one
 * stops at once. Returns the exit status: 0 stopped as asked, 1 could not start or had to give up
 * (said in the log of events). */
int server_main(const struct config *config);

#endif
