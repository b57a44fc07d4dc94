#include "bench/bare.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "bench/bench.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS        200u
#define WARMUP_ROUNDS 20u
#define SYNC_FILE     (UINT64_C(4) * 1024 * 1024)
#define RECORD_MAX    4096u

/* ---- send ---------------------------------------------------------------------------------- */

struct bare {
    int *near;
    int *far;
    size_t count; /* open pairs */
    uint8_t *bytes;
    size_t size;
    int done[2];
};

/* The child: drains all sockets, and says after each round that all of it has come. */
static _Noreturn void drain(const struct bare *b)
{
    static uint8_t buffer[65536];
    struct epoll_event events[256];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int epoll_fd = epoll_create1(0);
    for (size_t i = 0; i < b->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = b->far[i]};
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, b->far[i], &event);
    }
    for (size_t got = 0;;) {
        const int ready = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            const ssize_t size = recv(events[i].data.fd, buffer, sizeof(buffer), 0);
            if (size <= 0) {
                _exit(0);
            }
            got += (size_t)size;
        }
        if (got >= b->count * b->size) {
            got -= b->count * b->size;
            if (write(b->done[1], "x", 1) != 1) {
                _exit(0);
            }
        }
    }
}

static bool open_pairs(struct bare *b, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    struct sockaddr *const to = (struct sockaddr *)&address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = listener >= 0 && bind(listener, to, size) == 0 && listen(listener, 16) == 0 &&
                getsockname(listener, to, &size) == 0;
    for (size_t i = 0; i < count && good; i++) {
        b->near[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        good = b->near[i] >= 0 && connect(b->near[i], to, size) == 0;
        b->far[i] = good ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        good = good && b->far[i] >= 0;
        b->count = i + 1;
    }
    if (listener >= 0) {
        (void)close(listener);
    }
    return good;
}

/* The CPU of all measured rounds; 0: something failed. */
static uint64_t rounds(const struct bare *b)
{
    uint64_t cpu = 0;
    for (unsigned round = 0; round < ROUNDS + WARMUP_ROUNDS; round++) {
        char byte;
        const uint64_t before = bench_client_cpu_ns();
        for (size_t i = 0; i < b->count; i++) {
            if (send(b->near[i], b->bytes, b->size, MSG_NOSIGNAL) != (ssize_t)b->size) {
                return 0;
            }
        }
        cpu += round < WARMUP_ROUNDS ? 0 : bench_client_cpu_ns() - before;
        if (read(b->done[0], &byte, 1) != 1) {
            return 0;
        }
    }
    return cpu;
}

static void close_all(struct bare *b)
{
    for (size_t i = 0; i < b->count; i++) {
        (void)close(b->near[i]);
        (void)close(b->far[i]);
    }
    (void)close(b->done[0]);
    (void)close(b->done[1]);
    mem_free(b->near);
    mem_free(b->far);
    mem_free(b->bytes);
}

double bench_bare_send_ns(size_t count, size_t size)
{
    struct bare b = {.size = size, .done = {-1, -1}};
    b.near = mem_calloc(count, sizeof(*b.near));
    b.far = mem_calloc(count, sizeof(*b.far));
    b.bytes = mem_calloc(1, size);
    uint64_t cpu = 0;
    if (b.near != NULL && b.far != NULL && b.bytes != NULL && pipe2(b.done, O_CLOEXEC) == 0 &&
        open_pairs(&b, count)) {
        const pid_t child = fork();
        if (child == 0) {
            drain(&b);
        }
        if (child > 0) {
            /* Only the child may hold this end: its death must end our reading. */
            (void)close(b.done[1]);
            b.done[1] = -1;
            cpu = rounds(&b);
            (void)kill(child, SIGKILL);
            (void)waitpid(child, NULL, 0);
        }
    }
    close_all(&b);
    return (double)cpu / (double)(count * ROUNDS);
}

/* ---- fdatasync ----------------------------------------------------------------------------- */

/* The server writes its segments ahead; so does this. */
static bool write_ahead(int fd)
{
    static const uint8_t zeros[65536];
    for (uint64_t at = 0; at < SYNC_FILE; at += sizeof(zeros)) {
        if (pwrite(fd, zeros, sizeof(zeros), (off_t)at) != (ssize_t)sizeof(zeros)) {
            return false;
        }
    }
    return fdatasync(fd) == 0;
}

bool bench_bare_sync_open(const struct bench *bench, size_t size, struct bench_bare_sync *ret_sync)
{
    char path[BENCH_PATH_SIZE + 8];
    if (bench->server.folder[0] == '\0') {
        return false; /* nobody knows where its disk is */
    }
    (void)snprintf(path, sizeof(path), "%s/sync", bench->server.folder);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && write_ahead(fd)) {
        *ret_sync =
            (struct bench_bare_sync){.fd = fd, .size = size < RECORD_MAX ? size : RECORD_MAX};
        return true;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return false;
}

uint64_t bench_bare_sync_once(struct bench_bare_sync *sync)
{
    static const uint8_t record[RECORD_MAX] = {1};
    const off_t at = (off_t)(sync->count++ * sync->size % (SYNC_FILE - sync->size));
    const uint64_t before = bench_now_ns();
    const bool good =
        pwrite(sync->fd, record, sync->size, at) == (ssize_t)sync->size && fdatasync(sync->fd) == 0;
    return good ? bench_now_ns() - before : 0;
}

void bench_bare_sync_close(struct bench_bare_sync *sync)
{
    (void)close(sync->fd);
}
