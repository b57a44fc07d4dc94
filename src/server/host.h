/* A partition as its owner reactor runs it: the state machine, its log, who follows its channels.
 *
 * Thread: the owning reactor, but for host_recover() and host_close() (main thread, before the
 * reactors start and after they have stopped).  Memory: host_close() frees. */
#ifndef SERVER_HOST_H
#define SERVER_HOST_H

#include "server/reactor.h"

struct host; /* opaque */

/* Opens partition `number`'s log and replays it. Blocks. `doubt`: an unclean stop may have lost
 * what was seen (durability other than fsync).
 * RC_CORRUPT  damage that needs --repair; it has been told in the log of events */
MUST_USE enum rc host_recover(struct server *server, unsigned number, bool doubt,
                              struct host **ret_host);
/* On the owner's thread, before anything else: commands may come. */
void host_start(struct host *host, struct reactor *reactor);
void host_close(struct host *host); /* NULL is allowed */

/* Owner's mail; each takes the mail. */
void host_on_parcel(struct host *host, struct mail_parcel *parcel);
void host_on_ask(struct host *host, struct mail_ask *ask);
void host_on_detach(struct host *host, struct mail_channel *mail);
void host_on_read(struct host *host, struct mail_read *read);

/* The append phase: hands the filled batch to the committer. */
void host_flush(struct host *host);
/* Does the commit that is the reactor's own to do (durability memory), if one is due. */
void host_settle(struct host *host);
/* Does a slice of what takes long, a checkpoint or retention. False: there was nothing to do. */
bool host_slice(struct host *host);
/* Once a second: upkeep, retention, coming back from a full disk. */
void host_tick(struct host *host);
/* Nothing waits and no commit is under way. */
bool host_idle(const struct host *host);
/* No job of it is out at a worker. */
bool host_quiet(const struct host *host);

/* A sync has failed: what was shown without one may be gone, although the machine goes on. The next
 * start is told. Any thread. */
void host_sync_failed(const struct server *server);

/* The last message id tick that its log knows of. */
uint64_t host_tick_max(const struct host *host);

#endif
