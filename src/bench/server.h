/* The server under load: one of our own, or one that runs; and what it costs.
 *
 * A server of our own runs as a child with a data directory of its own in a new folder, which is
 * removed at the end. Whatever ends us ends it, too.
 *
 * Thread: one.  Memory: none beside itself. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include "base/rc.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_PATH_SIZE 300u

struct bench;

struct bench_server {
    char folder[BENCH_PATH_SIZE]; /* "": none of our own */
    uint16_t port;
    pid_t pid; /* 0: not known, nothing can be measured */
    bool ours; /* it is our child */
};

/* Makes the folder, starts the server, waits until it is ready. False: the bench says why, or there
 * was a signal. */
MUST_USE bool bench_server_start(struct bench *bench);
/* kill -9, as a crash would. */
void bench_server_kill(struct bench *bench);
/* SIGTERM, and waits for its end. */
void bench_server_end(struct bench *bench);
/* Starts it again on the same data. *ret_ns: until it was ready. False as above. */
MUST_USE bool bench_server_restart(struct bench *bench, uint64_t *ret_ns);
/* Ends it if it is ours, and removes the folder. */
void bench_server_close(struct bench *bench);

/* Of a server of our own: asks the kernel to forget what it has cached of the data; bytes that are
 * still cached. */
uint64_t bench_server_chill(const struct bench *bench);
/* Size of all files of the data directory. */
uint64_t bench_server_disk_bytes(const struct bench *bench);

/* ---- what it and its children cost; 0 where the process is not known ----------------------- */

/* User and system time so far. */
uint64_t bench_server_cpu_ns(const struct bench *bench);
uint64_t bench_server_rss_bytes(const struct bench *bench);
/* As above, with its part only of what it shares; 0 where the kernel does not tell. */
uint64_t bench_server_pss_bytes(const struct bench *bench);
/* The heap and other memory of its own: not what it shares, nor file pages. */
uint64_t bench_server_anonymous_bytes(const struct bench *bench);
/* Our own time. */
uint64_t bench_client_cpu_ns(void);

#endif
