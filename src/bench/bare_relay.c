/* A relay that knows nothing: a process with one thread and epoll that sends on to one socket what
 * it receives from another. With a file it writes and syncs in between. No order, no log, no
 * frames: what is left is what the kernel takes for a message that goes through a process. */
#include "base/mem.h"
#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/process.h"
#include "bench/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256

/* What is sent at `out` goes to `from`, through the relay to `to`, and arrives at `in`. */
enum relay_end {
    END_OUT,
    END_FROM,
    END_IN,
    END_TO,
    END_COUNT,
};

struct relay_pair {
    int out;
    int in;
    uint64_t sent_ns;
    size_t got;
};

struct relay {
    const struct bench_bare_relay *setup;
    struct relay_pair *pairs;
    int *ends; /* END_COUNT of each pair */
    uint8_t *bytes;
    int epoll_fd;
};

/* ---- the relay ----------------------------------------------------------------------------- */

/* False: the end of it. */
static bool relay_some(int epoll_fd, struct bench_bare_sync *sync)
{
    static uint8_t buffer[65536];
    struct epoll_event events[EVENTS];
    const int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
        const int *ends = events[i].data.ptr;
        const ssize_t size = recv(ends[END_FROM], buffer, sizeof(buffer), MSG_DONTWAIT);
        if (size <= 0 || (sync != NULL && bench_bare_sync_once(sync) == 0) ||
            send(ends[END_TO], buffer, (size_t)size, MSG_NOSIGNAL) != size) {
            return false;
        }
    }
    return ready > 0;
}

void bench_bare_relay_serve(int *ends, size_t count, struct bench_bare_sync *sync)
{
    const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = ends + i * END_COUNT};
        good =
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ends[i * END_COUNT + END_FROM], &event) == 0 && good;
    }
    while (good && relay_some(epoll_fd, sync)) {
    }
    (void)close(epoll_fd);
}

static void relay_child(const void *ctx)
{
    const struct relay *r = ctx;
    bench_bare_relay_serve(r->ends, r->setup->pairs, r->setup->sync);
}

/* ---- who sends and waits ------------------------------------------------------------------- */

static bool pair_send(const struct relay *r, struct relay_pair *pair)
{
    pair->sent_ns = bench_now_ns();
    return send(pair->out, r->bytes, r->setup->size, MSG_NOSIGNAL) == (ssize_t)r->setup->size;
}

static void pace(const struct relay *r)
{
    if (r->setup->gap_ns > 0) {
        const struct timespec gap = {.tv_sec = (time_t)(r->setup->gap_ns / BENCH_NS),
                                     .tv_nsec = (long)(r->setup->gap_ns % BENCH_NS)};
        (void)nanosleep(&gap, NULL);
    }
}

/* A pair's message may have arrived whole: then it is timed, and the next one goes. */
static bool pair_receive(const struct relay *r, struct relay_pair *pair,
                         struct bench_bare_relay_result *result)
{
    uint8_t buffer[4096];
    const ssize_t size = recv(pair->in, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (size <= 0) {
        return false;
    }
    pair->got += (size_t)size;
    if (pair->got < r->setup->size) {
        return true;
    }
    pair->got = 0;
    histogram_add(&result->ns, bench_now_ns() - pair->sent_ns);
    pace(r);
    return pair_send(r, pair);
}

static bool drive(const struct relay *r, struct bench_bare_relay_result *result)
{
    struct epoll_event events[EVENTS];
    const uint64_t end_ns = bench_now_ns() + r->setup->run_ns;
    bool good = true;
    for (size_t i = 0; i < r->setup->pairs && good; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &r->pairs[i]};
        good = epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->pairs[i].in, &event) == 0 &&
               pair_send(r, &r->pairs[i]);
    }
    while (good && bench_now_ns() < end_ns) {
        const int ready = epoll_wait(r->epoll_fd, events, EVENTS, 1000);
        good = ready > 0;
        for (int i = 0; i < ready && good; i++) {
            good = pair_receive(r, events[i].data.ptr, result);
        }
    }
    return good;
}

static bool relay_open(struct relay *r)
{
    const size_t count = r->setup->pairs;
    const int on = 1;
    r->pairs = mem_calloc(count, sizeof(*r->pairs));
    r->bytes = mem_calloc(1, r->setup->size);
    r->ends = bench_tcp_pairs(count * END_COUNT / 2);
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (r->pairs == NULL || r->bytes == NULL || r->ends == NULL) {
        return false;
    }
    for (size_t i = 0; i < count * END_COUNT; i++) {
        (void)setsockopt(r->ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    for (size_t i = 0; i < count; i++) {
        const int *ends = r->ends + i * END_COUNT;
        r->pairs[i] = (struct relay_pair){.out = ends[END_OUT], .in = ends[END_IN]};
    }
    return true;
}

/* Only the child may hold these ends: its death must end ours. */
static void relay_leave(struct relay *r)
{
    for (size_t i = 0; r->ends != NULL && i < r->setup->pairs; i++) {
        int *ends = r->ends + i * END_COUNT;
        (void)close(ends[END_FROM]);
        (void)close(ends[END_TO]);
        ends[END_FROM] = -1;
        ends[END_TO] = -1;
    }
}

static void relay_close(struct relay *r)
{
    bench_tcp_pairs_close(r->ends, r->setup->pairs * END_COUNT / 2);
    (void)close(r->epoll_fd);
    mem_free(r->pairs);
    mem_free(r->bytes);
}

bool bench_bare_relay(const struct bench_bare_relay *setup, struct bench_bare_relay_result *result)
{
    struct relay r = {.setup = setup};
    *result = (struct bench_bare_relay_result){0};
    const pid_t child = relay_open(&r) ? process_start(relay_child, &r) : -1;
    relay_leave(&r);
    const bool good = child > 0 && drive(&r, result) && result->ns.count > 0;
    const uint64_t cpu_ns = process_kill(child);
    relay_close(&r);
    result->cpu_ns = good ? (double)cpu_ns / (double)result->ns.count : 0;
    return good;
}
