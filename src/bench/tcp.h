/* Sockets of the loopback, which block: for what is measured beside a server, and to reach a server
 * of our own.
 *
 * Thread: one.  Memory: bench_tcp_pairs_close() frees. */
#ifndef BENCH_TCP_H
#define BENCH_TCP_H

#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

/* On a free port. -1: there is none, and errno says why. */
MUST_USE int bench_tcp_listen(uint16_t *ret_port);
/* -1: nobody takes it. */
MUST_USE int bench_tcp_connect(uint16_t port);

/* So many pairs, connected with one another: 2 * count descriptors, each beside its other end.
 * NULL: they cannot be had, and none is left. */
MUST_USE int *bench_tcp_pairs(size_t count);
/* NULL is allowed. */
void bench_tcp_pairs_close(int *ends, size_t count);

#endif
