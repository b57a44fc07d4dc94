#include "lib/failing.h"

#include "base/assert.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static _Thread_local struct {
    uint64_t nth; /* 0: no fault */
    uint64_t times;
    int error;
    uint64_t calls;
    uint64_t hits;
} faults[FAILING_COUNT];

static atomic_int_fast64_t blocks;

void failing_set(enum failing_call call, uint64_t nth, uint64_t times, int error)
{
    faults[call].nth = nth;
    faults[call].times = times;
    faults[call].error = error;
    faults[call].calls = 0;
    faults[call].hits = 0;
}

void failing_clear(void)
{
    for (unsigned call = 0; call < FAILING_COUNT; call++) {
        failing_set((enum failing_call)call, 0, 0, 0);
    }
}

uint64_t failing_calls(enum failing_call call)
{
    return faults[call].calls;
}

uint64_t failing_hits(enum failing_call call)
{
    return faults[call].hits;
}

int64_t failing_blocks(void)
{
    return atomic_load_explicit(&blocks, memory_order_relaxed); /* a count, no order */
}

size_t failing_entries(const char *path)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    ASSERT(folder != NULL);
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

static _Thread_local bool let_through;

void failing_let_through(bool all)
{
    let_through = all;
}

static bool due(enum failing_call call, int *ret_error)
{
    if (let_through) {
        return false;
    }
    const uint64_t count = ++faults[call].calls;
    const uint64_t nth = faults[call].nth;
    if (nth == 0 || count < nth || count - nth >= faults[call].times) {
        return false;
    }
    faults[call].hits++;
    *ret_error = faults[call].error;
    return true;
}

const char *failing_name(enum failing_call call)
{
#define NAME(call) [FAILING_##call] = #call
    static const char *const names[] = {
        NAME(accept4),
        NAME(bind),
        NAME(connect),
        NAME(epoll_create1),
        NAME(epoll_ctl),
        NAME(epoll_pwait2),
        NAME(epoll_wait),
        NAME(eventfd),
        NAME(fdatasync),
        NAME(fdopendir),
        NAME(flock),
        NAME(fork),
        NAME(fstat64),
        NAME(fstatat64),
        NAME(fstatvfs64),
        NAME(fsync),
        NAME(ftruncate64),
        NAME(getaddrinfo),
        NAME(getrandom),
        NAME(getsockname),
        NAME(io_uring_queue_init_params),
        NAME(io_uring_submit),
        NAME(listen),
        NAME(mem_alloc),
        NAME(mem_calloc),
        NAME(mem_calloc_lines),
        NAME(mem_realloc),
        NAME(mem_strdup),
        NAME(mkdir),
        NAME(mkdirat),
        NAME(mkdtemp),
        NAME(open64),
        NAME(openat64),
        NAME(pipe2),
        NAME(pread64),
        NAME(pthread_create),
        NAME(pthread_mutex_init),
        NAME(pwrite64),
        NAME(read),
        NAME(readdir64),
        NAME(recv),
        NAME(renameat),
        NAME(send),
        NAME(sendmsg),
        NAME(signalfd),
        NAME(socket),
        NAME(syncfs),
        NAME(sysconf),
        NAME(unlinkat),
        NAME(wait4),
        NAME(write),
    };
#undef NAME
    return names[call];
}

/* ---- calls of the C library ------------------------------------------------------------------ */

/* What it is called, its type, parameters and arguments, and what it returns when it fails. */
#define WRAP(name, type, parameters, arguments, failure)                                           \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        int error = 0;                                                                             \
        if (due(FAILING_##name, &error)) {                                                         \
            errno = error;                                                                         \
            return failure;                                                                        \
        }                                                                                          \
        return __real_##name arguments;                                                            \
    }

WRAP(accept4, int, (int fd, struct sockaddr *address, socklen_t *size, int flags),
     (fd, address, size, flags), -1)
WRAP(bind, int, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), -1)
WRAP(connect, int, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size), -1)
WRAP(epoll_create1, int, (int flags), (flags), -1)
WRAP(epoll_ctl, int, (int fd, int op, int of, struct epoll_event *event), (fd, op, of, event), -1)
WRAP(epoll_wait, int, (int fd, struct epoll_event *events, int count, int wait),
     (fd, events, count, wait), -1)
WRAP(eventfd, int, (unsigned count, int flags), (count, flags), -1)
WRAP(fdatasync, int, (int fd), (fd), -1)
WRAP(fdopendir, DIR *, (int fd), (fd), NULL)
WRAP(flock, int, (int fd, int what), (fd, what), -1)
WRAP(fork, pid_t, (void), (), -1)
WRAP(fstat64, int, (int fd, struct stat *to), (fd, to), -1)
WRAP(fstatat64, int, (int at, const char *name, struct stat *to, int flags), (at, name, to, flags),
     -1)
WRAP(fstatvfs64, int, (int fd, struct statvfs *to), (fd, to), -1)
WRAP(fsync, int, (int fd), (fd), -1)
WRAP(ftruncate64, int, (int fd, off_t size), (fd, size), -1)
WRAP(getaddrinfo, int,
     (const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found),
     (host, service, hints, found), error)
WRAP(getrandom, ssize_t, (void *to, size_t size, unsigned flags), (to, size, flags), -1)
WRAP(getsockname, int, (int fd, struct sockaddr *to, socklen_t *size), (fd, to, size), -1)
WRAP(listen, int, (int fd, int backlog), (fd, backlog), -1)
WRAP(mkdir, int, (const char *name, mode_t mode), (name, mode), -1)
WRAP(mkdirat, int, (int at, const char *name, mode_t mode), (at, name, mode), -1)
WRAP(mkdtemp, char *, (char *name), (name), NULL)
WRAP(pipe2, int, (int ends[2], int flags), (ends, flags), -1)
WRAP(pread64, ssize_t, (int fd, void *to, size_t size, off_t at), (fd, to, size, at), -1)
WRAP(pthread_create, int,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg),
     (thread, attr, run, arg), error)
WRAP(pthread_mutex_init, int, (pthread_mutex_t * mutex, const pthread_mutexattr_t *attr),
     (mutex, attr), error)
WRAP(pwrite64, ssize_t, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at),
     error == FAILING_NOTHING ? 0 : -1)
WRAP(read, ssize_t, (int fd, void *to, size_t size), (fd, to, size), -1)
WRAP(readdir64, struct dirent *, (DIR * folder), (folder), NULL)
WRAP(recv, ssize_t, (int fd, void *to, size_t size, int flags), (fd, to, size, flags), -1)
WRAP(renameat, int, (int from_at, const char *from, int to_at, const char *to),
     (from_at, from, to_at, to), -1)
WRAP(send, ssize_t, (int fd, const void *from, size_t size, int flags), (fd, from, size, flags), -1)
WRAP(sendmsg, ssize_t, (int fd, const struct msghdr *message, int flags), (fd, message, flags), -1)
WRAP(signalfd, int, (int fd, const sigset_t *set, int flags), (fd, set, flags), -1)
WRAP(socket, int, (int family, int type, int protocol), (family, type, protocol), -1)
WRAP(syncfs, int, (int fd), (fd), -1)
WRAP(sysconf, long, (int name), (name), -1)
WRAP(unlinkat, int, (int at, const char *name, int flags), (at, name, flags), -1)
WRAP(wait4, pid_t, (pid_t child, int *status, int flags, struct rusage *usage),
     (child, status, flags, usage), -1)
WRAP(write, ssize_t, (int fd, const void *from, size_t size), (fd, from, size), -1)

/* With or without a mode. */
int __real_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...);

int __wrap_open64(const char *name, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    int error = 0;
    if (due(FAILING_open64, &error)) {
        errno = error;
        return -1;
    }
    return __real_open64(name, flags, mode);
}

int __real_openat64(int at, const char *name, int flags, ...);
int __wrap_openat64(int at, const char *name, int flags, ...);

int __wrap_openat64(int at, const char *name, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    int error = 0;
    if (due(FAILING_openat64, &error)) {
        errno = error;
        return -1;
    }
    return __real_openat64(at, name, flags, mode);
}

int (*failing_instead_of_epoll_pwait2)(int fd, struct epoll_event *events, int count,
                                       const struct timespec *wait);
int __real_epoll_pwait2(int fd, struct epoll_event *events, int count, const struct timespec *wait,
                        const sigset_t *mask);
int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int count, const struct timespec *wait,
                        const sigset_t *mask);

int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int count, const struct timespec *wait,
                        const sigset_t *mask)
{
    int error = 0;
    if (due(FAILING_epoll_pwait2, &error)) {
        errno = error;
        return -1;
    }
    return failing_instead_of_epoll_pwait2 != NULL
               ? failing_instead_of_epoll_pwait2(fd, events, count, wait)
               : __real_epoll_pwait2(fd, events, count, wait, mask);
}

/* liburing's tell their errors by what they return. */
struct io_uring;
struct io_uring_params;
int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
    int error = 0;
    return due(FAILING_io_uring_queue_init_params, &error)
               ? -error
               : __real_io_uring_queue_init_params(entries, ring, params);
}

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

void (*failing_before_submit)(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
    int error = 0;
    if (failing_before_submit != NULL) {
        failing_before_submit(ring);
    }
    return due(FAILING_io_uring_submit, &error) ? -error : __real_io_uring_submit(ring);
}

/* ---- the heap -------------------------------------------------------------------------------- */

static void *counted(void *block)
{
    if (block != NULL) {
        (void)atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    }
    return block;
}

void *__real_mem_alloc(size_t size);
void *__wrap_mem_alloc(size_t size);

void *__wrap_mem_alloc(size_t size)
{
    int error = 0;
    return due(FAILING_mem_alloc, &error) ? NULL : counted(__real_mem_alloc(size));
}

void *__real_mem_calloc(size_t count, size_t size);
void *__wrap_mem_calloc(size_t count, size_t size);

void *__wrap_mem_calloc(size_t count, size_t size)
{
    int error = 0;
    return due(FAILING_mem_calloc, &error) ? NULL : counted(__real_mem_calloc(count, size));
}

void *__real_mem_calloc_lines(size_t count, size_t size);
void *__wrap_mem_calloc_lines(size_t count, size_t size);

void *__wrap_mem_calloc_lines(size_t count, size_t size)
{
    int error = 0;
    return due(FAILING_mem_calloc_lines, &error) ? NULL
                                                 : counted(__real_mem_calloc_lines(count, size));
}

void *__real_mem_realloc(void *block, size_t size);
void *__wrap_mem_realloc(void *block, size_t size);

void *__wrap_mem_realloc(void *block, size_t size)
{
    int error = 0;
    if (due(FAILING_mem_realloc, &error)) {
        return NULL;
    }
    void *moved = __real_mem_realloc(block, size);
    return block == NULL ? counted(moved) : moved;
}

char *__real_mem_strdup(const char *text);
char *__wrap_mem_strdup(const char *text);

char *__wrap_mem_strdup(const char *text)
{
    int error = 0;
    return due(FAILING_mem_strdup, &error) ? NULL : counted(__real_mem_strdup(text));
}

void __real_mem_free(void *block);
void __wrap_mem_free(void *block);

void __wrap_mem_free(void *block)
{
    if (block != NULL) {
        (void)atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
    }
    __real_mem_free(block);
}
