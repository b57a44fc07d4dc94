#include "sim/net.h"

#include "base/tune.h"
#include "io/socket.h"
#include "sim/faults.h"
#include "sim/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNS_MAX    4096u
#define REGISTERED   0x80u
#define LOOPS_MAX    8u
#define SPECIALS_MAX 16u

struct stream {
    uint8_t *data; /* of the block, from which `gone` bytes have been taken */
    size_t size;
    size_t gone;
    size_t capacity; /* of the block */
};

struct net_conn {
    int fd;
    struct net_client *client; /* NULL: its end is closed */
    struct net_nature nature;
    struct stream up;      /* sent by the client, under way */
    struct stream up_here; /* arrived, not read by the server */
    struct stream down;    /* in the server's kernel or under way */
    uint64_t down_total;
    uint64_t up_us; /* not before */
    uint64_t down_us;
    uint64_t accepted_us; /* these as its reactor sees time */
    uint64_t read_us;     /* when the server last took bytes */
    uint64_t took_us;     /* … or the kernel did */
    uint64_t silence_us;  /* the longest between two reads, or a read and a write */
    uint64_t age_us;      /* at the last write, since it was accepted */
    bool client_fin;      /* the client has ended its side */
    bool accepted;
    bool server_open; /* the server holds the descriptor */
    bool server_fin;  /* … but has ended its side */
    bool broken;      /* either end gets an error */
    bool silent;
    bool window_shut;
    bool blocked; /* what the client sends does not arrive */
    const struct loop *loop;
    struct loop_handler *handler;
    uint32_t events;
};

/* A handler that is no connection: listener, wake-up. */
struct special {
    const struct loop *loop;
    struct loop_handler *handler;
    uint32_t events;
};

static struct {
    struct net_conn *conns[CONNS_MAX]; /* those alive, in order of birth */
    unsigned count;
    int fd_next;
    bool listening;
    struct special specials[SPECIALS_MAX];
    unsigned special_count;
    int timeouts[LOOPS_MAX];
    uint64_t looked_us[LOOPS_MAX]; /* of the last wait: what its reactor takes for now */
    int loops;
} net;

/* ---- streams --------------------------------------------------------------------------------- */

static void stream_free(struct stream *stream)
{
    if (stream->data != NULL) {
        free(stream->data - stream->gone);
    }
}

static void stream_put(struct stream *stream, const void *data, size_t size)
{
    if (stream->gone + stream->size + size > stream->capacity) {
        const size_t capacity = (stream->size + size) * 2 + 256;
        uint8_t *block = malloc(capacity);
        ASSERT(block != NULL);
        if (stream->data != NULL) {
            bytes_copy(block, stream->data, stream->size);
        }
        stream_free(stream);
        *stream = (struct stream){.data = block, .size = stream->size, .capacity = capacity};
    }
    if (size > 0) {
        bytes_copy(stream->data + stream->size, data, size);
        stream->size += size;
    }
}

static void stream_drop(struct stream *stream, size_t size)
{
    ASSERT(size <= stream->size);
    const size_t back = size == stream->size ? stream->gone : 0;
    if (back > 0) { /* empty: from the block's start again */
        stream->data -= back;
        stream->gone = 0;
        stream->size = 0;
    } else if (size > 0) {
        stream->data += size;
        stream->gone += size;
        stream->size -= size;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void conn_free(struct net_conn *conn)
{
    stream_free(&conn->up);
    stream_free(&conn->up_here);
    stream_free(&conn->down);
    free(conn);
}

/* Frees connections that neither end holds. */
static void sweep(void)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < net.count; i++) {
        struct net_conn *conn = net.conns[i];
        if (conn->client == NULL && !conn->server_open && (conn->accepted || conn->broken)) {
            conn_free(conn);
        } else {
            net.conns[kept++] = conn;
        }
    }
    net.count = kept;
}

void net_reset(void)
{
    for (unsigned i = 0; i < net.count; i++) {
        conn_free(net.conns[i]);
    }
    net.count = 0;
    net.fd_next = NET_FIRST_FD;
    net.listening = false;
    net.special_count = 0;
    net.loops = 0;
}

/* A process that stands still would hear of an epoch when the channel has another one by now. */
static void silence(struct net_client *client)
{
    if (client != NULL && client->on_silence != NULL) {
        client->on_silence(client);
    }
}

void net_server_gone(bool last_words)
{
    for (unsigned i = 0; i < net.count; i++) {
        if (!last_words) {
            stream_drop(&net.conns[i]->down, net.conns[i]->down.size);
            silence(net.conns[i]->client);
        }
        net.conns[i]->server_open = false;
        net.conns[i]->broken = true;
        net.conns[i]->loop = NULL;
        net.conns[i]->handler = NULL;
    }
    net.special_count = 0;
    net.loops = 0;
    net.listening = false;
}

void net_listen(bool on)
{
    net.listening = on;
}

bool net_is_listening(void)
{
    return net.listening;
}

struct net_conn *net_connect(struct net_client *client, const struct net_nature *nature)
{
    if (!net.listening || fault_happens(FAULT_CONNECT)) {
        return NULL;
    }
    sweep();
    ASSERT(net.count < CONNS_MAX);
    struct net_conn *conn = calloc(1, sizeof(*conn));
    ASSERT(conn != NULL);
    conn->fd = net.fd_next++;
    conn->client = client;
    conn->nature = *nature;
    net.conns[net.count++] = conn;
    return conn;
}

void net_send(struct net_conn *conn, const void *data, size_t size)
{
    if (!conn->broken && !conn->client_fin) {
        stream_put(&conn->up, data, size);
    }
}

size_t net_unsent(const struct net_conn *conn)
{
    return conn->up.size;
}

void net_half_close(struct net_conn *conn)
{
    conn->client_fin = true;
}

uint64_t net_silence_us(const struct net_conn *conn)
{
    return conn->silence_us;
}

uint64_t net_age_us(const struct net_conn *conn)
{
    return conn->age_us;
}

void net_close(struct net_conn *conn)
{
    conn->client = NULL;
    stream_drop(&conn->down, conn->down.size);
}

void net_cut(struct net_conn *conn)
{
    conn->broken = true;
}

void net_half_open(struct net_conn *conn)
{
    conn->silent = true;
}

void net_window(struct net_conn *conn, bool open)
{
    conn->window_shut = !open;
}

/* What the server has sent meanwhile arrives at last, and is answered with a reset if nobody is
 * there any more. */
static void unblock(struct net_conn *conn)
{
    conn->broken = conn->broken || (conn->client == NULL && conn->down.size > 0);
    conn->blocked = false;
}

void net_block(struct net_conn *conn, bool blocked)
{
    conn->blocked = conn->blocked || blocked;
    if (!blocked) {
        unblock(conn);
    }
}

void net_calm(void)
{
    for (unsigned i = 0; i < net.count; i++) {
        struct net_conn *conn = net.conns[i];
        conn->broken = conn->broken || conn->silent;
        conn->silent = false;
        conn->window_shut = false;
        unblock(conn);
        conn->nature.cut_after = 0;
        conn->nature.latency_us = 1000;
        conn->nature.down_max = 65536;
        conn->nature.buffer = conn->nature.buffer < 4000 ? 4000 : conn->nature.buffer;
    }
}

/* ---- arrivals -------------------------------------------------------------------------------- */

unsigned net_count(void)
{
    return net.count;
}

struct net_conn *net_at(unsigned index)
{
    return net.conns[index];
}

static bool up_waits(const struct net_conn *conn)
{
    return conn->up.size > 0 && !conn->silent && !conn->blocked && !conn->broken;
}

static bool down_waits(const struct net_conn *conn)
{
    if (conn->client == NULL) {
        return false;
    }
    return conn->broken ||
           (!conn->silent && !conn->window_shut &&
            (conn->down.size > 0 || (conn->accepted && (conn->server_fin || !conn->server_open))));
}

bool net_ready(unsigned index)
{
    const struct net_conn *conn = net.conns[index];
    return (up_waits(conn) && conn->up_us <= sim_now_us) ||
           (down_waits(conn) && conn->down_us <= sim_now_us);
}

uint64_t net_next_us(void)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < net.count; i++) {
        const struct net_conn *conn = net.conns[i];
        if (up_waits(conn) && conn->up_us < next) {
            next = conn->up_us;
        }
        if (down_waits(conn) && conn->down_us < next) {
            next = conn->down_us;
        }
    }
    return next;
}

static uint64_t later(const struct net_conn *conn)
{
    return sim_now_us + sim_below(conn->nature.latency_us + 1);
}

static void move_up(struct net_conn *conn)
{
    const size_t size = sim_chance(60) ? conn->up.size : (size_t)sim_between(1, conn->up.size);
    stream_put(&conn->up_here, conn->up.data, size);
    stream_drop(&conn->up, size);
    conn->up_us = later(conn);
}

static void end_client(struct net_conn *conn)
{
    struct net_client *client = conn->client;
    conn->client = NULL;
    client->on_end(client);
}

static void move_down(struct net_conn *conn)
{
    if (conn->broken && (conn->down.size == 0 || sim_chance(50))) {
        end_client(conn); /* what was under way is lost */
        return;
    }
    if (conn->down.size == 0) {
        end_client(conn);
        return;
    }
    size_t size = conn->down.size < conn->nature.down_max ? conn->down.size : conn->nature.down_max;
    size = sim_chance(60) ? size : (size_t)sim_between(1, size);
    const uint64_t cut = conn->nature.cut_after;
    if (cut != 0 && conn->down_total + size >= cut) {
        size = cut > conn->down_total ? (size_t)(cut - conn->down_total) : 0;
        conn->broken = true;
    }
    conn->down_total += size;
    conn->down_us = later(conn);
    uint8_t *copy = malloc(size + 1);
    ASSERT(copy != NULL);
    bytes_copy(copy, conn->down.data, size);
    stream_drop(&conn->down, size);
    conn->client->on_bytes(conn->client, copy, size);
    free(copy);
}

void net_move(unsigned index)
{
    struct net_conn *conn = net.conns[index];
    const bool up = up_waits(conn) && conn->up_us <= sim_now_us;
    const bool down = down_waits(conn) && conn->down_us <= sim_now_us;
    if (up && (!down || sim_chance(50))) {
        move_up(conn);
    } else if (down) {
        move_down(conn);
    }
}

/* ---- io/socket.h ----------------------------------------------------------------------------- */

static struct net_conn *conn_of(int fd)
{
    for (unsigned i = 0; i < net.count; i++) {
        if (net.conns[i]->fd == fd) {
            ASSERT(net.conns[i]->server_open);
            return net.conns[i];
        }
    }
    UNREACHABLE();
}

/* Whether the server can know that the client has closed its end. */
static bool client_ended(const struct net_conn *conn)
{
    return (conn->client == NULL || conn->client_fin) && conn->up.size == 0 && !conn->silent &&
           !conn->blocked;
}

/* As the reactor sees time that serves the connection. */
static uint64_t looked_us(const struct net_conn *conn)
{
    return conn->loop == NULL ? sim_now_us : net.looked_us[conn->loop->epoll_fd_];
}

/* A Close may wait long behind other bytes, and what comes meanwhile is not its end. */
static void silence_note(struct net_conn *conn, uint64_t now_us)
{
    const uint64_t silence_us = now_us > conn->read_us ? now_us - conn->read_us : 0;
    conn->silence_us = silence_us > conn->silence_us ? silence_us : conn->silence_us;
}

uint64_t net_heard_us(int fd)
{
    const struct net_conn *conn = conn_of(fd);
    return conn->read_us > conn->took_us ? conn->read_us : conn->took_us;
}

static struct net_conn *waiting(void)
{
    for (unsigned i = 0; i < net.count; i++) {
        if (!net.conns[i]->accepted && !net.conns[i]->broken) {
            return net.conns[i];
        }
    }
    return NULL;
}

enum rc socket_accept(int listen_fd, int *ret_fd, struct address *ret_peer)
{
    ASSERT(listen_fd == NET_LISTEN_FD);
    struct net_conn *conn = waiting();
    if (conn == NULL) {
        return RC_AGAIN;
    }
    if (fault_happens(FAULT_ACCEPT)) {
        return RC_FULL;
    }
    conn->accepted = true;
    conn->server_open = true;
    conn->accepted_us = sim_now_us;
    conn->read_us = sim_now_us;
    *ret_fd = conn->fd;
    *ret_peer = address_of_v4((uint8_t[4]){10, 0, 0, (uint8_t)(conn->fd % 7)});
    return RC_OK;
}

enum rc socket_read(int fd, void *to, size_t size, size_t *ret_size)
{
    struct net_conn *conn = conn_of(fd);
    conn->broken = conn->broken || fault_happens(FAULT_RECEIVE_FAILS);
    if (conn->broken) {
        return RC_CLOSED;
    }
    if (conn->up_here.size == 0) {
        return client_ended(conn) ? RC_CLOSED : RC_AGAIN;
    }
    size_t count = conn->up_here.size < size ? conn->up_here.size : size;
    silence_note(conn, looked_us(conn));
    conn->read_us = looked_us(conn);
    count = sim_chance(75) ? count : (size_t)sim_between(1, count);
    bytes_copy(to, conn->up_here.data, count);
    stream_drop(&conn->up_here, count);
    *ret_size = count;
    return RC_OK;
}

static size_t room(const struct net_conn *conn)
{
    return conn->down.size < conn->nature.buffer ? conn->nature.buffer - conn->down.size : 0;
}

enum rc socket_write(int fd, const struct iovec *pieces, unsigned count, size_t *ret_size)
{
    struct net_conn *conn = conn_of(fd);
    ASSERT(!conn->server_fin);
    conn->broken = conn->broken || fault_happens(FAULT_SEND_FAILS);
    if (conn->broken) {
        return RC_CLOSED;
    }
    if (conn->client == NULL && !conn->silent && !conn->blocked) {
        conn->broken = true; /* the answer to this is a reset */
    }
    size_t left = room(conn);
    left = left > 0 && sim_chance(10) ? (size_t)sim_between(1, left) : left;
    size_t total = 0;
    for (unsigned i = 0; i < count && left > 0; i++) {
        const size_t size = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        stream_put(&conn->down, pieces[i].iov_base, size);
        left -= size;
        total += size;
    }
    if (total == 0) {
        return RC_AGAIN;
    }
    const uint64_t now_us = looked_us(conn);
    silence_note(conn, now_us);
    conn->age_us = now_us > conn->accepted_us ? now_us - conn->accepted_us : 0;
    conn->took_us = sim_now_us;
    *ret_size = total;
    return RC_OK;
}

void socket_shutdown_write(int fd)
{
    conn_of(fd)->server_fin = true;
}

void socket_close(int fd)
{
    if (fd < NET_FIRST_FD) {
        if (fd >= 0 && fd < NET_WAKE_FD) {
            (void)close(fd); /* the acceptor's spare one is real */
        }
        return;
    }
    struct net_conn *conn = conn_of(fd);
    ASSERT(conn->handler == NULL);
    conn->server_open = false;
    if (conn->up_here.size > 0 || conn->up.size > 0) {
        conn->broken = true; /* closing on unread bytes is a reset */
    }
}

/* ---- io/loop.h ------------------------------------------------------------------------------- */

enum rc loop_init(struct loop *loop)
{
    loop->ready_count = 0;
    loop->crowded = false;
    loop->epoll_fd_ = net.loops++;
    net.timeouts[loop->epoll_fd_] = 0;
    net.looked_us[loop->epoll_fd_] = sim_now_us;
    ASSERT(net.loops <= (int)LOOPS_MAX);
    return RC_OK;
}

void loop_deinit(struct loop *loop)
{
    loop->epoll_fd_ = -1;
}

static struct special *special_of(const struct loop_handler *handler)
{
    for (unsigned i = 0; i < net.special_count; i++) {
        if (net.specials[i].handler == handler) {
            return &net.specials[i];
        }
    }
    return NULL;
}

enum rc loop_set(struct loop *loop, struct loop_handler *handler, uint32_t events)
{
    handler->events = (uint16_t)(events | REGISTERED);
    if (handler->fd >= NET_FIRST_FD) {
        struct net_conn *conn = conn_of(handler->fd);
        conn->loop = loop;
        conn->handler = handler;
        conn->events = events;
        return RC_OK;
    }
    struct special *special = special_of(handler);
    if (special == NULL) {
        ASSERT(net.special_count < SPECIALS_MAX);
        special = &net.specials[net.special_count++];
    }
    *special = (struct special){.loop = loop, .handler = handler, .events = events};
    return RC_OK;
}

enum rc loop_admit(struct loop *loop, struct loop_handler *handler)
{
    ASSERT(handler->newcomer && handler->events != 0);
    handler->newcomer = false;
    return loop_set(loop, handler, handler->events & ~REGISTERED);
}

void loop_forget(struct loop *loop, struct loop_handler *handler)
{
    if (handler->events == 0) {
        return;
    }
    handler->events = 0;
    if (handler->fd >= NET_FIRST_FD) {
        struct net_conn *conn = conn_of(handler->fd);
        conn->loop = NULL;
        conn->handler = NULL;
    } else if (special_of(handler) != NULL) {
        special_of(handler)->events = 0;
    }
    for (unsigned i = 0; i < loop->ready_count; i++) {
        if (loop->ready[i].handler == handler) {
            loop->ready[i].handler = NULL;
        }
    }
}

static uint32_t events_of(const struct net_conn *conn)
{
    if (conn->broken) {
        return LOOP_HANGUP | (conn->events & LOOP_READ);
    }
    const bool ended = client_ended(conn);
    uint32_t events = 0;
    if ((conn->events & LOOP_READ) != 0 && (conn->up_here.size > 0 || ended)) {
        events |= LOOP_READ;
    }
    if ((conn->events & LOOP_WRITE) != 0 && room(conn) > conn->nature.buffer / 3) {
        events |= LOOP_WRITE;
    }
    return events;
}

static bool special_ready(const struct special *special)
{
    return special->handler->fd == NET_LISTEN_FD && special->events != 0 && waiting() != NULL;
}

bool net_loop_ready(const struct loop *loop)
{
    for (unsigned i = 0; i < net.special_count; i++) {
        if (net.specials[i].loop == loop && special_ready(&net.specials[i])) {
            return true;
        }
    }
    for (unsigned i = 0; i < net.count; i++) {
        if (net.conns[i]->loop == loop && events_of(net.conns[i]) != 0) {
            return true;
        }
    }
    return false;
}

int net_loop_timeout(const struct loop *loop)
{
    return net.timeouts[loop->epoll_fd_];
}

/* Never sleeps: tells what is there, in an order of its own, sometimes only a part of it. */
void loop_wait(struct loop *loop, int timeout_ms)
{
    net.timeouts[loop->epoll_fd_] = timeout_ms;
    net.looked_us[loop->epoll_fd_] = sim_now_us;
    loop->ready_count = 0;
    const unsigned count = net.count;
    const unsigned turn = count > 0 ? (unsigned)sim_below(count) : 0;
    const bool partly = sim_chance(20);
    for (unsigned i = 0; i < net.special_count; i++) {
        if (net.specials[i].loop == loop && special_ready(&net.specials[i])) {
            loop->ready[loop->ready_count++] =
                (struct loop_ready){.handler = net.specials[i].handler, .events = LOOP_READ};
        }
    }
    unsigned newcomers = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct net_conn *conn = net.conns[(i + turn) % count];
        const uint32_t events = conn->loop == loop ? events_of(conn) : 0;
        if (events == 0 || loop->ready_count == LOOP_READY_MAX || (partly && sim_chance(40)) ||
            (conn->handler->newcomer && newcomers == tune.newcomers)) {
            continue;
        }
        newcomers += conn->handler->newcomer;
        loop->ready[loop->ready_count++] =
            (struct loop_ready){.handler = conn->handler, .events = events};
    }
    loop->crowded = newcomers == tune.newcomers;
}
