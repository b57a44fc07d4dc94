/* What a command that talks to a server needs from the system: time, signals, waiting, output.
 *
 * SIGINT and SIGTERM are noticed only while it waits; so nothing is torn apart in the middle.
 *
 * Thread: main.  Memory: output_deinit() frees. */
#ifndef CLI_RUNTIME_H
#define CLI_RUNTIME_H

#include "base/bytes.h"
#include "client/url.h"

#include <poll.h>

/* Whoever has closed standard input, output or error before has it taken by /dev/null, so that no
 * file of ours gets its number. False: it cannot be had. */
bool runtime_descriptors_hold(void);
/* Whether a report may be written there in the end: a load that has run for an hour must not find
 * out then. NULL and "-" are fine. False: told. */
bool runtime_can_write(const char *path);
/* RC_USAGE: no channel can have that name, which is told. */
MUST_USE enum rc runtime_channel(const char *command, const char *name);
/* From now on SIGINT and SIGTERM are taken note of. */
void runtime_init(void);
/* The signal that asked us to end, 0: none. */
int runtime_stopped(void);
uint64_t runtime_now_ms(void);
uint64_t runtime_now_ns(void);
uint64_t runtime_random(void);
/* A second signal ends the program at once. */
void runtime_stop_waiting(void);
/* Waits until a descriptor is ready, `deadline_ms` has come, or a signal. Those with fd -1 are
 * passed over. */
void runtime_wait(struct pollfd *fds, nfds_t count, uint64_t deadline_ms);
void runtime_wait_ns(struct pollfd *fds, nfds_t count, uint64_t deadline_ns);

/* The URL given, else SERIATIM_URL, else the default. RC_USAGE: told on standard error */
MUST_USE enum rc runtime_url(const char *command, const char *given, struct client_url *ret_url);

/* The same, as the text that it was found to be good as. */
MUST_USE enum rc runtime_url_text(const char *command, const char *given, const char **ret_text);

/* Tells on standard error that the connection was lost, once an outage, and that it is back. */
struct runtime_news {
    bool out;       /* an outage was told */
    bool connected; /* it has been connected once */
};
void runtime_tell_lost(struct runtime_news *news, const char *why);
void runtime_tell_ready(struct runtime_news *news);

/* Standard output, gathered. A reader that takes nothing makes us wait, never die; a signal ends
 * the waiting. */
struct output {
    struct buf buf;
    bool regular; /* a file: writes never wait */
    bool failed;  /* latched */
};
void output_init(struct output *output);
void output_deinit(struct output *output);
/* Writes everything, waiting as long as it takes; after a signal one second more.
 * RC_IO  it cannot be written (told, but for a reader that has gone) */
MUST_USE enum rc output_flush(struct output *output);

#endif
