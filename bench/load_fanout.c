/* Fan-out: one publisher, many subscribers of one channel, each of which checks its order.
 *
 * Three shapes: saturated (so many publishes under way), at a rate, and --lockstep, where the next
 * message is published when every subscriber has the last one, so that nothing can be coalesced.
 * In the same run a bare loop of send() passes the same bytes to as many sockets, drained by a
 * child: what the kernel alone costs on this machine, now. */
#include "load.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SUBSCRIBERS_DEFAULT 1000
#define INFLIGHT_DEFAULT    64
#define SECONDS_DEFAULT     10
#define NS_PER_SECOND       UINT64_C(1000000000)
#define BARE_ROUNDS         300
#define BARE_WARMUP_ROUNDS  20
#define WAIT_NS             UINT64_C(200000)

struct fanout {
    const struct options *options;
    struct loop loop;
    struct conn *conns; /* the publisher is the last one */
    size_t subscriber_count;
    uint64_t published;
    uint64_t acked;
    uint64_t delivered;
    uint64_t delivered_before; /* when the measurement began */
    size_t frame_size;         /* of a delivery, with the WebSocket header */
    size_t subscribed;
    uint64_t began_ns;
    char data[8192];
};

static void on_delivery(struct conn *conn, struct bytes text)
{
    struct fanout *f = conn->ctx;
    if (reply_is(text, "subscribed")) {
        conn->next_seq = reply_number(text, "\"next\":");
        f->subscribed++;
        return;
    }
    if (!reply_is(text, "message")) {
        die("subscriber %u: %.*s", conn->index, (int)text.size, (const char *)text.data);
    }
    const uint64_t seq = reply_number(text, "\"seq\":");
    if (seq != conn->next_seq) {
        die("subscriber %u: seq %llu, expected %llu", conn->index, (unsigned long long)seq,
            (unsigned long long)conn->next_seq);
    }
    conn->next_seq++;
    f->delivered++;
    f->frame_size = text.size + (text.size < 126 ? 2 : 4);
}

static void on_ack(struct conn *conn, struct bytes text)
{
    struct fanout *f = conn->ctx;
    if (!reply_is(text, "published")) {
        die("publisher: %.*s", (int)text.size, (const char *)text.data);
    }
    f->acked++;
}

static void fanout_open(struct fanout *f, const struct server *server)
{
    f->conns = mem_calloc(f->subscriber_count + 1, sizeof(*f->conns));
    if (f->conns == NULL) {
        die("out of memory");
    }
    loop_open(&f->loop);
    for (size_t i = 0; i < f->subscriber_count; i++) {
        conn_open(&f->conns[i], &f->loop, server->port, (unsigned)i, on_delivery, f);
        conn_send(&f->conns[i],
                  bytes_of_text("{\"type\":\"subscribe\",\"id\":2,\"channel\":\"fan\"}"));
        conn_flush(&f->conns[i], &f->loop);
    }
    while (f->subscribed < f->subscriber_count) {
        loop_step(&f->loop, NS_PER_SECOND);
    }
    conn_open(&f->conns[f->subscriber_count], &f->loop, server->port, (unsigned)f->subscriber_count,
              on_ack, f);
}

/* Whether the next message may go now. */
static bool fanout_may_publish(const struct fanout *f)
{
    if (f->options->lockstep) {
        return f->delivered == f->published * f->subscriber_count && f->acked == f->published;
    }
    if (f->options->rate > 0) {
        const uint64_t due = (f->loop.now_ns - f->began_ns) * f->options->rate / NS_PER_SECOND;
        return f->published < due;
    }
    /* Saturated, but no further ahead of the deliveries than so many messages: a generator that
     * cannot drain what it asks for measures only itself. */
    const uint64_t inflight = or_default(f->options->inflight, INFLIGHT_DEFAULT);
    return f->published - f->delivered / f->subscriber_count < inflight;
}

static void fanout_publish(struct fanout *f)
{
    char command[sizeof(f->data) + 128];
    struct conn *publisher = &f->conns[f->subscriber_count];
    bool any = false;
    while (fanout_may_publish(f)) {
        const int size =
            snprintf(command, sizeof(command),
                     "{\"type\":\"publish\",\"id\":%llu,\"channel\":\"fan\",\"data\":%s}",
                     (unsigned long long)++publisher->id, f->data);
        conn_send(publisher, bytes_of(command, (size_t)size));
        f->published++;
        any = true;
    }
    if (any) {
        conn_flush(publisher, &f->loop);
    }
}

static void fanout_run_for(struct fanout *f, uint64_t seconds)
{
    const uint64_t end = now_ns() + seconds * NS_PER_SECOND;
    while (f->loop.now_ns < end) {
        fanout_publish(f);
        loop_step(&f->loop, WAIT_NS);
    }
}

/* ---- the bare loop ------------------------------------------------------------------------- */

/* The child: drains all sockets, and says after each round that all of it has come. */
static _Noreturn void drain(const int *fds, size_t count, size_t round_size, int done_fd)
{
    static uint8_t buffer[65536];
    struct epoll_event events[256];
    const int epoll_fd = epoll_create1(0);
    for (size_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event);
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
        if (got >= round_size) {
            got -= round_size;
            if (write(done_fd, "x", 1) != 1) {
                _exit(0);
            }
        }
    }
}

static void tcp_pair(int listener, uint16_t port, int *ret_near, int *ret_far)
{
    *ret_near = tcp_connect(port);
    *ret_far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (*ret_far < 0) {
        die("accept: %s", strerror(errno));
    }
}

static uint64_t own_cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static void bare_round(const int *near, size_t count, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (send(near[i], bytes, size, MSG_NOSIGNAL) != (ssize_t)size) {
            die("bare send: %s", strerror(errno));
        }
    }
}

static int bare_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_size = sizeof(address);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &address_size) != 0) {
        die("bare listener: %s", strerror(errno));
    }
    *ret_port = ntohs(address.sin_port);
    return listener;
}

/* The CPU of one send() of `size` bytes to one of `count` sockets, in nanoseconds. */
static double bare_send_cpu_ns(size_t count, size_t size)
{
    uint16_t port = 0;
    const int listener = bare_listen(&port);
    int *near = mem_calloc(count, sizeof(*near));
    int *far = mem_calloc(count, sizeof(*far));
    uint8_t *bytes = mem_calloc(1, size);
    int done[2];
    if (near == NULL || far == NULL || bytes == NULL || pipe(done) != 0) {
        die("out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        tcp_pair(listener, port, &near[i], &far[i]);
    }
    const pid_t child = fork();
    if (child == 0) {
        drain(far, count, count * size, done[1]);
    }
    uint64_t cpu = 0;
    for (unsigned round = 0; round < BARE_ROUNDS + BARE_WARMUP_ROUNDS; round++) {
        char byte;
        const uint64_t before = own_cpu_ns();
        bare_round(near, count, bytes, size);
        cpu += round < BARE_WARMUP_ROUNDS ? 0 : own_cpu_ns() - before;
        if (read(done[0], &byte, 1) != 1) {
            die("the draining child is gone");
        }
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        (void)close(near[i]);
        (void)close(far[i]);
    }
    (void)close(listener);
    (void)close(done[0]);
    (void)close(done[1]);
    mem_free(near);
    mem_free(far);
    mem_free(bytes);
    return (double)cpu / (double)(count * BARE_ROUNDS);
}

/* ---- the figure ---------------------------------------------------------------------------- */

static void fanout_report(const struct fanout *f, double seconds, uint64_t cpu_ns)
{
    const double delivered = (double)(f->delivered - f->delivered_before);
    const double cpu_us = (double)cpu_ns / 1000 / delivered;
    const double bare_us = bare_send_cpu_ns(f->subscriber_count, f->frame_size) / 1000;
    report_begin(f->options->lockstep ? "fanout-lockstep" : "fanout");
    report_number("subscribers", (double)f->subscriber_count, "");
    report_number("rate", (double)f->options->rate, "messages/s asked for (0: saturated)");
    report_number("frame_bytes", (double)f->frame_size, "bytes");
    report_number("deliveries_per_second", delivered / seconds, "deliveries/s");
    report_number("server_cpu_us_per_delivery", cpu_us, "us");
    report_number("bare_send_cpu_us", bare_us, "us");
    report_number("ratio_to_bare_send", cpu_us / bare_us, "");
    report_end();
}

void figure_fanout(const struct options *options)
{
    static struct fanout f;
    struct server server;
    f = (struct fanout){.options = options,
                        .subscriber_count = or_default(options->connections, SUBSCRIBERS_DEFAULT)};
    const uint64_t size = or_default(options->size, 128);
    if (size < 2 || size >= sizeof(f.data)) {
        die("--size must be from 2 to %zu here", sizeof(f.data) - 1);
    }
    for (uint64_t i = 0; i < size; i++) {
        f.data[i] = i == 0 || i == size - 1 ? '"' : (char)('a' + i % 26);
    }
    server_start(&server, options);
    fanout_open(&f, &server);
    f.began_ns = now_ns();
    f.loop.now_ns = f.began_ns;
    fanout_run_for(&f, options->warmup_seconds);
    const uint64_t cpu_before = server_cpu_ns(&server);
    const uint64_t began = now_ns();
    f.delivered_before = f.delivered;
    fanout_run_for(&f, or_default(options->seconds, SECONDS_DEFAULT));
    const uint64_t ended = now_ns();
    const uint64_t cpu_after = server_cpu_ns(&server);
    for (size_t i = 0; i <= f.subscriber_count; i++) {
        conn_close(&f.conns[i]);
    }
    mem_free(f.conns);
    server_stop(&server);
    fanout_report(&f, (double)(ended - began) / 1e9, cpu_after - cpu_before);
}
