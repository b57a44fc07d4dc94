#include "bench/bare.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "bench/bench.h"
#include "bench/process.h"
#include "bench/tcp.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS        200u
#define WARMUP_ROUNDS 20u
#define SYNC_FILE     (UINT64_C(4) * 1024 * 1024)
#define RECORD_MAX    4096u
#define EVENTS        256

/* ---- send ---------------------------------------------------------------------------------- */

struct bare {
    int *ends; /* of pairs: we send at the first one of each, the child reads at the second */
    size_t count;
    uint8_t *bytes;
    size_t size;
    int done[2];
};

/* False: one of them has ended. */
static bool drain_some(int epoll_fd, size_t *got)
{
    static uint8_t buffer[65536];
    struct epoll_event events[EVENTS];
    const int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
        const ssize_t size = recv(events[i].data.fd, buffer, sizeof(buffer), 0);
        if (size <= 0) {
            return false;
        }
        *got += (size_t)size;
    }
    return ready > 0;
}

void bench_bare_drain(const int *ends, size_t count, size_t round, int done)
{
    const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = ends[2 * i + 1]};
        good = epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event) == 0 && good;
    }
    for (size_t got = 0; good && drain_some(epoll_fd, &got);) {
        if (got >= round) {
            got -= round;
            good = write(done, "x", 1) == 1;
        }
    }
    (void)close(epoll_fd);
}

static void drain_child(const void *ctx)
{
    const struct bare *b = ctx;
    bench_bare_drain(b->ends, b->count, b->count * b->size, b->done[1]);
}

/* The CPU of all measured rounds; 0: something failed. */
static uint64_t rounds(const struct bare *b)
{
    uint64_t cpu = 0;
    for (unsigned round = 0; round < ROUNDS + WARMUP_ROUNDS; round++) {
        char byte;
        const uint64_t before = bench_client_cpu_ns();
        for (size_t i = 0; i < b->count; i++) {
            if (send(b->ends[2 * i], b->bytes, b->size, MSG_NOSIGNAL) != (ssize_t)b->size) {
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

static uint64_t with_child(struct bare *b)
{
    const pid_t child = process_start(drain_child, b);
    /* Only the child may hold this end: its death must end our reading. */
    (void)close(b->done[1]);
    const uint64_t cpu = child > 0 ? rounds(b) : 0;
    (void)process_kill(child);
    (void)close(b->done[0]);
    return cpu;
}

double bench_bare_send_ns(size_t count, size_t size)
{
    struct bare b = {.size = size, .count = count};
    uint64_t cpu = 0;
    b.bytes = mem_calloc(1, size);
    b.ends = bench_tcp_pairs(count);
    if (b.bytes != NULL && b.ends != NULL && pipe2(b.done, O_CLOEXEC) == 0) {
        cpu = with_child(&b);
    }
    bench_tcp_pairs_close(b.ends, count);
    mem_free(b.bytes);
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
    if (!write_ahead(fd)) {
        (void)close(fd);
        return false;
    }
    *ret_sync = (struct bench_bare_sync){.fd = fd, .size = size < RECORD_MAX ? size : RECORD_MAX};
    return true;
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
