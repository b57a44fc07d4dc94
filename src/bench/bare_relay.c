/* A relay that knows nothing: a process with one thread and epoll that sends on to one socket what
 * it receives from another. With a file it writes and syncs in between. No order, no log, no
 * frames: what is left is what the kernel takes for a message that goes through a process. */
#include "base/mem.h"
#include "bench/bare.h"
#include "bench/bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256

/* A pair has two sockets at each end: what is sent by `out` arrives at `in`. */
struct relay_pair {
    int out;
    int in;
    int from; /* the relay's: of `out` */
    int to;   /* of `in` */
    uint64_t sent_ns;
    size_t got;
};

struct relay {
    const struct bench_bare_relay *setup;
    struct relay_pair *pairs;
    uint8_t *bytes;
    int listener;
    int epoll_fd;
};

static bool connect_one(const struct relay *r, int *ret_near, int *ret_far)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    struct sockaddr *const to = (struct sockaddr *)&address;
    const int on = 1;
    if (getsockname(r->listener, to, &size) != 0) {
        return false;
    }
    *ret_near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*ret_near < 0 || connect(*ret_near, to, size) != 0) {
        return false;
    }
    *ret_far = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    return *ret_far >= 0 && setsockopt(*ret_near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
           setsockopt(*ret_far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0;
}

static bool pairs_connect(struct relay *r)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = r->listener >= 0 &&
                bind(r->listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                listen(r->listener, 16) == 0;
    for (size_t i = 0; i < r->setup->pairs && good; i++) {
        struct relay_pair *pair = &r->pairs[i];
        good = connect_one(r, &pair->out, &pair->from) && connect_one(r, &pair->in, &pair->to);
    }
    return good;
}

static bool watch(int epoll_fd, int fd, struct relay_pair *pair)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = pair};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* The child. It ends with its parent, or when that has killed it. */
static _Noreturn void relay_main(const struct relay *r)
{
    static uint8_t buffer[65536];
    struct epoll_event events[EVENTS];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int epoll_fd = epoll_create1(0);
    for (size_t i = 0; i < r->setup->pairs; i++) {
        (void)watch(epoll_fd, r->pairs[i].from, &r->pairs[i]);
    }
    for (;;) {
        const int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            const struct relay_pair *pair = events[i].data.ptr;
            const ssize_t size = recv(pair->from, buffer, sizeof(buffer), MSG_DONTWAIT);
            if (size <= 0 ||
                (r->setup->sync != NULL && bench_bare_sync_once(r->setup->sync) == 0) ||
                send(pair->to, buffer, (size_t)size, MSG_NOSIGNAL) != size) {
                _exit(1);
            }
        }
    }
}

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
        return size < 0 && errno == EAGAIN;
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
        good = watch(r->epoll_fd, r->pairs[i].in, &r->pairs[i]) && pair_send(r, &r->pairs[i]);
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

static void close_if(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void relay_close(struct relay *r)
{
    for (size_t i = 0; r->pairs != NULL && i < r->setup->pairs; i++) {
        close_if(r->pairs[i].out);
        close_if(r->pairs[i].in);
        close_if(r->pairs[i].from);
        close_if(r->pairs[i].to);
    }
    close_if(r->listener);
    close_if(r->epoll_fd);
    mem_free(r->pairs);
    mem_free(r->bytes);
}

static bool relay_open(struct relay *r)
{
    r->pairs = mem_calloc(r->setup->pairs, sizeof(*r->pairs));
    r->bytes = mem_calloc(1, r->setup->size);
    for (size_t i = 0; r->pairs != NULL && i < r->setup->pairs; i++) {
        r->pairs[i] = (struct relay_pair){.out = -1, .in = -1, .from = -1, .to = -1};
    }
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return r->pairs != NULL && r->bytes != NULL && r->epoll_fd >= 0 && pairs_connect(r);
}

/* The CPU of a child that has been killed. */
static uint64_t child_end(pid_t child)
{
    struct rusage usage;
    pid_t ended;
    (void)kill(child, SIGKILL);
    do {
        ended = wait4(child, NULL, 0, &usage);
    } while (ended < 0 && errno == EINTR);
    if (ended != child) {
        return 0;
    }
    const uint64_t us =
        ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000000 +
        (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
    return us * 1000;
}

bool bench_bare_relay(const struct bench_bare_relay *setup, struct bench_bare_relay_result *result)
{
    struct relay r = {.setup = setup, .listener = -1, .epoll_fd = -1};
    *result = (struct bench_bare_relay_result){0};
    bool good = relay_open(&r);
    if (good) {
        const pid_t child = fork();
        if (child == 0) {
            relay_main(&r);
        }
        good = child > 0 && drive(&r, result);
        const uint64_t cpu_ns = child > 0 ? child_end(child) : 0;
        if (good && result->ns.count > 0) {
            result->cpu_ns = (double)cpu_ns / (double)result->ns.count;
        }
    }
    relay_close(&r);
    return good && result->ns.count > 0;
}
