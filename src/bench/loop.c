#include "bench/loop.h"

#include "base/mem.h"
#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE  (256u * 1024u)
#define EVENTS_MAX 512
/* As over a wide network. */
#define NARROW_SEGMENT 1400
#define NARROW_SIZE    65536

bool bench_loop_open(struct bench *bench)
{
    struct bench_loop *loop = &bench->loop;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        bench_fail(bench, "epoll: %s", strerror(errno));
        return false;
    }
    loop->now_ns = bench_now_ns();
    return true;
}

void bench_loop_close(struct bench *bench)
{
    if (bench->loop.epoll_fd > 0) {
        (void)close(bench->loop.epoll_fd);
    }
    mem_free(bench->loop.buffer);
    mem_free(bench->loop.queue);
}

bool bench_loop_target(struct bench *bench, const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int error = getaddrinfo(host, port, &hints, &found);
    if (error != 0) {
        bench_fail(bench, "%s: %s", host, gai_strerror(error));
        return false;
    }
    bytes_copy(&bench->loop.address, found->ai_addr, found->ai_addrlen);
    bench->loop.address_size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

/* ---- opening and closing ------------------------------------------------------------------- */

static bool watch(struct bench_conn *conn, int operation)
{
    struct epoll_event event = {.data.ptr = conn};
    event.events =
        (conn->paused ? 0 : (uint32_t)EPOLLIN) | (conn->wants_write ? (uint32_t)EPOLLOUT : 0);
    if (epoll_ctl(conn->bench->loop.epoll_fd, operation, conn->fd, &event) != 0) {
        bench_fail(conn->bench, "epoll_ctl: %s", strerror(errno));
        return false;
    }
    return true;
}

void bench_conn_pause(struct bench_conn *conn, bool paused)
{
    if (conn->fd >= 0 && conn->paused != paused) {
        conn->paused = paused;
        (void)watch(conn, EPOLL_CTL_MOD);
    }
}

void bench_conn_open(struct bench *bench, struct bench_conn *conn,
                     const struct bench_conn_setup *setup)
{
    struct bench_loop *loop = &bench->loop;
    *conn = (struct bench_conn){.bench = bench, .fd = -1, .setup = *setup};
    const int fd = socket(loop->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        bench_fail(bench, "connection %u: %s", setup->index, strerror(errno));
        return;
    }
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (loop->narrow) {
        const int segment = NARROW_SEGMENT;
        const int size = NARROW_SIZE;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    conn->fd = fd;
    conn->wants_write = true; /* says when it is connected */
    if (connect(fd, (const struct sockaddr *)&loop->address, loop->address_size) != 0 &&
        errno != EINPROGRESS) {
        bench_fail(bench, "cannot connect to %s: %s", bench->target.authority, strerror(errno));
        return;
    }
    loop->waiting++;
    if (bench->adapter->open(conn) != RC_OK) {
        bench_fail(bench, "out of memory");
    }
    (void)watch(conn, EPOLL_CTL_ADD);
}

void bench_conns_wait(struct bench *bench)
{
    const uint64_t end = bench_now_ns() + BENCH_PATIENCE_NS;
    while (bench->loop.waiting > 0 && bench_going(bench)) {
        bench_step(bench, BENCH_NS / 10);
        if (bench->loop.now_ns > end) {
            bench_fail(bench, "%zu connections were not accepted in time", bench->loop.waiting);
        }
    }
}

void bench_conn_close(struct bench_conn *conn)
{
    if (conn->bench == NULL) {
        return;
    }
    struct bench_loop *loop = &conn->bench->loop;
    for (size_t i = 0; conn->queued && i < loop->queue_count; i++) {
        if (loop->queue[i] == conn) {
            loop->queue[i] = loop->queue[--loop->queue_count];
            conn->queued = false;
        }
    }
    if (conn->fd >= 0) {
        (void)close(conn->fd);
        loop->waiting -= conn->ready || loop->waiting == 0 ? 0 : 1;
    }
    buf_deinit(&conn->out);
    buf_deinit(&conn->rest);
    *conn = (struct bench_conn){.fd = -1};
}

/* ---- sending ------------------------------------------------------------------------------- */

/* Puts it on the list of those to flush; false: out of memory. */
static bool enqueue(struct bench_conn *conn)
{
    struct bench_loop *loop = &conn->bench->loop;
    if (loop->queue_count == loop->queue_size) {
        const size_t size = loop->queue_size == 0 ? 256 : loop->queue_size * 2;
        void *grown = mem_realloc(loop->queue, size * sizeof(struct bench_conn *));
        if (grown == NULL) {
            bench_fail(conn->bench, "out of memory");
            return false;
        }
        loop->queue = grown;
        loop->queue_size = size;
    }
    loop->queue[loop->queue_count++] = conn;
    conn->queued = true;
    return true;
}

struct buf *bench_send_buf(struct bench_conn *conn)
{
    if (!conn->queued && !conn->wants_write) {
        (void)enqueue(conn);
    }
    return &conn->out;
}

static void lost(struct bench_conn *conn, const char *why)
{
    if (conn->ready) {
        bench_fail(conn->bench, "connection %u is lost: %s", conn->setup.index, why);
    } else {
        bench_fail(conn->bench, "cannot connect to %s: %s", conn->bench->target.authority, why);
    }
}

static void flush(struct bench_conn *conn)
{
    const struct bench_adapter *adapter = conn->bench->adapter;
    if (adapter->seal != NULL) {
        adapter->seal(conn);
    }
    while (conn->out_sent < conn->out.size) {
        const ssize_t sent = send(conn->fd, conn->out.data + conn->out_sent,
                                  conn->out.size - conn->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno == EAGAIN) {
            break;
        }
        if (sent < 0) {
            lost(conn, strerror(errno));
            return;
        }
        conn->out_sent += (size_t)sent;
    }
    const bool wants_write = conn->out_sent < conn->out.size;
    if (!wants_write) {
        buf_clear(&conn->out);
        conn->out_sent = 0;
    }
    if (wants_write != conn->wants_write) {
        conn->wants_write = wants_write;
        (void)watch(conn, EPOLL_CTL_MOD);
    }
}

static void flush_queue(struct bench_loop *loop)
{
    for (size_t i = 0; i < loop->queue_count; i++) {
        loop->queue[i]->queued = false;
        flush(loop->queue[i]);
    }
    loop->queue_count = 0;
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void on_event(struct bench_conn *conn, const struct bench_event *event)
{
    struct bench *bench = conn->bench;
    if (event->type == BENCH_EVENT_FAILED) {
        const size_t size = event->text.size < 160 ? event->text.size : 160;
        bench_fail(bench, "connection %u: %.*s", conn->setup.index, (int)size,
                   (const char *)event->text.data);
    } else if (event->type == BENCH_EVENT_READY) {
        bench->loop.waiting -= conn->ready ? 0 : 1;
        conn->ready = true;
    }
    if (event->type != BENCH_EVENT_OTHER && event->type != BENCH_EVENT_FAILED) {
        conn->setup.on_event(conn, event);
    }
}

/* Takes apart `size` bytes in the shared buffer; keeps what is not whole. */
static void take(struct bench_conn *conn, const uint8_t *data, size_t size)
{
    struct bench *bench = conn->bench;
    size_t at = 0;
    while (at < size && bench->failure[0] == '\0') {
        struct bench_event event;
        size_t used = 0;
        bench->adapter->parse(conn, data + at, size - at, &used, &event);
        if (event.type == BENCH_EVENT_NONE) {
            break;
        }
        at += used;
        conn->event_size = (uint32_t)used;
        on_event(conn, &event);
    }
    buf_clear(&conn->rest);
    if (at < size && buf_append(&conn->rest, bytes_of(data + at, size - at)) != RC_OK) {
        bench_fail(bench, "out of memory");
    } else if (at == size && conn->rest.capacity > 0) {
        buf_deinit(&conn->rest);
    }
}

static bool buffer_fit(struct bench *bench, size_t size)
{
    struct bench_loop *loop = &bench->loop;
    if (loop->buffer_size < size) {
        void *grown = mem_realloc(loop->buffer, size);
        if (grown == NULL) {
            bench_fail(bench, "out of memory");
            return false;
        }
        loop->buffer = grown;
        loop->buffer_size = size;
    }
    return true;
}

static void receive(struct bench_conn *conn)
{
    struct bench *bench = conn->bench;
    const size_t held = conn->rest.size;
    if (!buffer_fit(bench, held + READ_SIZE)) {
        return;
    }
    bytes_copy(bench->loop.buffer, conn->rest.data, held);
    const ssize_t got = recv(conn->fd, bench->loop.buffer + held, READ_SIZE, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        lost(conn, got == 0 ? "the server closed it" : strerror(errno));
        return;
    }
    bench->loop.now_ns = bench_now_ns();
    bench->counts.wire_bytes += (uint64_t)got;
    take(conn, bench->loop.buffer, held + (size_t)got);
}

void bench_loop_step(struct bench *bench, uint64_t wait_ns)
{
    struct bench_loop *loop = &bench->loop;
    struct epoll_event events[EVENTS_MAX];
    flush_queue(loop);
    const struct timespec wait = {.tv_sec = (time_t)(wait_ns / BENCH_NS),
                                  .tv_nsec = (long)(wait_ns % BENCH_NS)};
    const int count = epoll_pwait2(loop->epoll_fd, events, EVENTS_MAX, &wait, NULL);
    if (count < 0 && errno != EINTR) {
        bench_fail(bench, "epoll: %s", strerror(errno));
    }
    loop->now_ns = bench_now_ns();
    for (int i = 0; i < count && bench->failure[0] == '\0'; i++) {
        struct bench_conn *conn = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) != 0) {
            flush(conn);
        }
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            receive(conn);
        }
    }
    flush_queue(loop);
}
