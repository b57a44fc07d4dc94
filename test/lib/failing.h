/* Calls of the C library, and of the heap, that fail on demand: for unit tests of what makes them.
 *
 * A test program links this with `failing_link_args` (test/lib/meson.build), so that the calls that
 * its libraries make come here first. Without a fault each one goes on to where it always went.
 * Blocks of the heap are counted on the way, whoever asks for them.
 *
 * Thread: faults and counts of calls are the calling thread's own; what other threads call is let
 * through. Blocks are counted for all threads together.  Memory: none. */
#ifndef TEST_FAILING_H
#define TEST_FAILING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Named as the linker knows them. */
enum failing_call {
    FAILING_accept4,
    FAILING_bind,
    FAILING_connect,
    FAILING_epoll_create1,
    FAILING_epoll_ctl,
    FAILING_epoll_pwait2,
    FAILING_epoll_wait,
    FAILING_eventfd,
    FAILING_fdatasync,
    FAILING_fdopendir,
    FAILING_flock,
    FAILING_fork,
    FAILING_fstat64,
    FAILING_fstatat64,
    FAILING_fstatvfs64,
    FAILING_fsync,
    FAILING_ftruncate64,
    FAILING_getaddrinfo,
    FAILING_getrandom,
    FAILING_getsockname,
    FAILING_io_uring_queue_init_params,
    FAILING_io_uring_submit,
    FAILING_listen,
    FAILING_mem_alloc,
    FAILING_mem_calloc,
    FAILING_mem_calloc_lines,
    FAILING_mem_realloc,
    FAILING_mem_strdup,
    FAILING_mkdir,
    FAILING_mkdirat,
    FAILING_mkdtemp,
    FAILING_open64,
    FAILING_openat64,
    FAILING_pipe2,
    FAILING_pread64,
    FAILING_pthread_create,
    FAILING_pthread_mutex_init,
    FAILING_pwrite64,
    FAILING_read,
    FAILING_readdir64,
    FAILING_recv,
    FAILING_renameat,
    FAILING_send,
    FAILING_sendmsg,
    FAILING_signalfd,
    FAILING_socket,
    FAILING_syncfs,
    FAILING_sysconf,
    FAILING_unlinkat,
    FAILING_wait4,
    FAILING_write,
    FAILING_COUNT,
};

/* No error: pwrite64 does nothing and says 0. */
#define FAILING_NOTHING 0

/* Call number `nth` from now on (1 = the next) fails with `error`, and `times - 1` after it. The
 * calls of a kind have one fault at a time. */
void failing_set(enum failing_call call, uint64_t nth, uint64_t times, int error);
/* No fault of any kind; counts begin anew. */
void failing_clear(void);
/* Calls of the kind since its fault was set. */
uint64_t failing_calls(enum failing_call call);
/* How many of them have failed. */
uint64_t failing_hits(enum failing_call call);
const char *failing_name(enum failing_call call);
/* Whether the thread's calls are neither counted nor failed: for what a test does between. */
void failing_let_through(bool all);
/* What is called where epoll_pwait2() does not fail; NULL: itself. */
struct epoll_event;
struct timespec;
extern int (*failing_instead_of_epoll_pwait2)(int fd, struct epoll_event *events, int count,
                                              const struct timespec *wait);
/* What is done to a ring before its entries are handed over; NULL: nothing. */
struct io_uring;
extern void (*failing_before_submit)(struct io_uring *ring);
/* Blocks of the heap (base/mem) that nobody has given back. */
int64_t failing_blocks(void);
/* Entries of a folder, "." and ".." too; of /proc/self/fd: a number for each open descriptor. */
size_t failing_entries(const char *path);

#endif
