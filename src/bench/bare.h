/* What the kernel alone takes, on this machine, now: to hold a server's figures against.
 *
 * Thread: one.  Memory: none kept. */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench;

/* The CPU of one send() of `size` bytes to one of `count` sockets over loopback, which a child
 * drains; in nanoseconds. 0: it could not be measured. */
double bench_bare_send_ns(size_t count, size_t size);
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

#endif
