/* Looks into the server after each turn of a reactor, for what a client can't see or not at once:
 * bounds of queues, deadlines, and whether it is really done when it says so.
 *
 *   I11  under way of a connection, reads of a session and of a partition, feeds
 *   P26  a deadline that has passed is noticed, whatever the wall clock does
 *   P27  a reactor says that it is drained when nothing is in flight there
 *
 * Thread: one.  Memory: fixed. */
#ifndef SIM_WATCH_H
#define SIM_WATCH_H

#include "server/reactor.h"

void watch_begin(void); /* a server starts */
void watch_reactor(const struct reactor *reactor);

#endif
