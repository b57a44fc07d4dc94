/* What the kernel alone takes, on this machine, now: to hold a server's figures against.
 *
 * Thread: one.  Memory: none kept. */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include "base/rc.h"
#include "client/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench;

/* The CPU of one send() of `size` bytes to one of `count` sockets over loopback, which a child
 * drains; in nanoseconds. 0: it could not be measured. */
double bench_bare_send_ns(size_t count, size_t size);
/* The child's part of it, which it does until something ends or fails: reads at the second one of
 * each pair of sockets, and writes a byte to `done` after each `round` bytes. */
void bench_bare_drain(const int *ends, size_t count, size_t round, int done);

/* Writes of a record's size to a file written ahead, each with its fdatasync(), in the folder of
 * our own server: the file goes with the folder. */
struct bench_bare_sync {
    int fd;
    size_t size;
    uint64_t count;
};
/* False: there is no such folder, or it cannot be written. */
MUST_USE bool bench_bare_sync_open(const struct bench *bench, size_t size,
                                   struct bench_bare_sync *ret_sync);
/* The nanoseconds of one; 0: it failed. */
uint64_t bench_bare_sync_once(struct bench_bare_sync *sync);
void bench_bare_sync_close(struct bench_bare_sync *sync);

/* A process that sends on what it receives, and nothing else, between so many pairs of loopback
 * sockets with one message of `size` bytes under way in each. */
struct bench_bare_relay {
    size_t pairs;
    size_t size;
    uint64_t gap_ns; /* between a message's arrival and the next one; 0: none */
    uint64_t run_ns;
    struct bench_bare_sync *sync; /* not NULL: it writes and syncs before it sends on */
};
struct bench_bare_relay_result {
    double cpu_ns;       /* of the relay, a message */
    struct histogram ns; /* from sent to arrived */
};
/* False: it could not be measured. */
MUST_USE bool bench_bare_relay(const struct bench_bare_relay *setup,
                               struct bench_bare_relay_result *result);
/* The relay itself, until something ends or fails. Four sockets belong together: what arrives at
 * the second one goes out at the fourth. */
void bench_bare_relay_serve(int *ends, size_t count, struct bench_bare_sync *sync);

#endif
