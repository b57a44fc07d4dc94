/* What a process costs, with all that it has started: a server may be a master with workers.
 *
 * Read from /proc; what cannot be read counts 0. A child that somebody has waited for is in its
 * parent's CPU.
 *
 * Thread: one.  Memory: none. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include "base/bytes.h"

#include <sys/types.h>

#define PROCESS_TREE_MAX 256u

/* `root` and its descendants, itself first; the count, 0 where there is no such process. More than
 * fit are left out. */
size_t process_tree(pid_t root, pid_t to[static PROCESS_TREE_MAX]);
/* User and system time so far, of all of them. */
uint64_t process_cpu_ns(pid_t root);
/* The kilobytes that follow `name` in /proc/PID/`file`, of all of them; in bytes. */
uint64_t process_bytes(pid_t root, const char *file, const char *name);

#endif
