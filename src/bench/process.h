/* Children of ours; and what a process costs, with all that it has started: a server may be a
 * master with workers.
 *
 * Costs are read from /proc; what cannot be read counts 0. A child that somebody has waited for is
 * in its parent's CPU.
 *
 * Thread: one.  Memory: none. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include "base/bytes.h"

#include <sys/types.h>

#define PROCESS_TREE_MAX 256u

/* A child that does `run` and ends; whatever ends us ends it. -1: there is none, and errno says
 * why. */
MUST_USE pid_t process_start(void (*run)(const void *ctx), const void *ctx);
/* Whether a child has ended by now; it has then been waited for. */
bool process_ended(pid_t child);
/* kill -9 for a child, as a crash would, and waits for its end. Its CPU, and that of the children
 * it has waited for; 0 where `child` is none. */
uint64_t process_kill(pid_t child);

/* `root` and its descendants, itself first; the count, 0 where there is no such process. More than
 * fit are left out. */
size_t process_tree(pid_t root, pid_t to[static PROCESS_TREE_MAX]);
/* User and system time so far, of all of them. */
uint64_t process_cpu_ns(pid_t root);
/* The kilobytes that follow `name` in /proc/PID/`file`, of all of them; in bytes. */
uint64_t process_bytes(pid_t root, const char *file, const char *name);

#endif
