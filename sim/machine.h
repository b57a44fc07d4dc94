/* A machine on which a program runs that uses the C client library: its descriptors, its disk, its
 * end at any moment. What the library asks of the system (sim/calls.h) comes here.
 *
 * Descriptors are small numbers, each the lowest that is free, as a kernel gives them. A socket is
 * a connection of sim/net.h. An epoll descriptor is readable when something that it watches is
 * ready, and machine_ready() is all that the program goes by: what the library does not watch, it
 * does not learn of.
 *
 * A process dies between two calls, or within one that writes to its disk or sends: the machine
 * then takes all that it had, without a line of its code running.
 *
 * Thread: one.  Memory: machine_close() frees; what belongs to the kernel is of the C heap. */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "lib/sim_disk.h"
#include "sim/plan.h"

struct machine; /* opaque */

/* Where the server can be reached, by so many names: "ws://sim:PORT", PORT from 1 on. */
#define MACHINE_ADDRESSES_MAX 3u

/* At most MACHINES_MAX at once. `wake` is called when something has happened to a descriptor. */
#define MACHINES_MAX 6u
void machines_begin(const struct plan *plan);
struct machine *machine_open(uint64_t seed, void (*wake)(void *ctx), void *ctx);
void machine_close(struct machine *machine);
/* No fault of a machine's from now on; connections with some are cut. */
void machines_calm(void);

/* Runs a part of the program. False: it has died in it, and is to be taken away by machine_kill().
 */
bool machine_run(struct machine *machine, void (*part)(void *ctx), void *ctx);
/* Whether it is within one, that is, in a callback of the library's. */
bool machine_runs(const struct machine *machine);
/* In its next run it dies at change `k` of the disk, and what was not synced is gone, or at its
 * k-th send; if it gets so far. */
void machine_die_writing(struct machine *machine, uint64_t k);
void machine_die_sending(struct machine *machine, uint64_t k);
/* The process ends, as by kill -9; or the machine does, without a word to anybody, and what of its
 * disk was not synced is lost, or any part of it. */
void machine_kill(struct machine *machine, enum sim_loss loss);
/* Whether a call of the disk has failed, since this was last asked. */
bool machine_disk_failed(struct machine *machine);
/* What the process has left in memory and descriptors; NULL: nothing. */
const char *machine_left_over(const struct machine *machine);

/* Whether that epoll descriptor is readable, and when it will be without anything coming;
 * UINT64_MAX: never. */
bool machine_ready(const struct machine *machine, int epoll_fd);
uint64_t machine_due_us(const struct machine *machine);

#endif
