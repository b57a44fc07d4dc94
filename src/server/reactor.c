#include "server/reactor.h"

#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "io/socket.h"
#include "server/host.h"
#include "server/logger.h"
#include "server/peers.h"
#include "server/server_private.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define SLEEP_MS_MAX 1000
#define CLOCK_MS     1000000u /* nanoseconds */

/* ---- set up ---------------------------------------------------------------------------------- */

static void env_init(struct reactor *reactor)
{
    const struct server *server = reactor->server;
    const struct config *config = server->config;
    reactor->env = (struct session_env){
        .ops = &router_session_ops,
        .ctx = reactor,
        .feeds = &reactor->feeds,
        .scratch = &reactor->scratch,
        .encode = &reactor->encode,
        .node = (unsigned)config->node,
        .durability = config_durability_text(config->durability),
        .ping_ms = (uint32_t)config->ping_interval_ms,
        .message_bytes_max = config->limit_message_bytes,
        .frame_bytes_max = config->limit_frame_bytes,
        .subscriptions_max = (uint32_t)config->limit_subscriptions,
        .inflight_max = (uint32_t)config->limit_inflight,
        .inflight_bytes_max = tune.credit_bytes,
    };
}

enum rc reactor_init(struct reactor *reactor, struct server *server, unsigned index)
{
    *reactor = (struct reactor){.server = server, .index = index, .spare_fd = -1};
    enum rc rc = loop_init(&reactor->loop); /* first: reactor_deinit() closes what it opens */
    const unsigned partitions = server->partitions;
    burst_init(&reactor->burst);
    list_init(&reactor->dirty);
    timer_init(&reactor->upkeep);
    wire_scratch_init(&reactor->scratch);
    ws_decoder_init(&reactor->decoder, WS_SERVER);
    feed_table_init(&reactor->feeds, &router_session_ops, reactor, server->config->feed_bytes,
                    tune.feeds_bytes, server->hash_seed);
    env_init(reactor);
    reactor->mono_ms = clock_mono_ns(server->clock) / CLOCK_MS;
    reactor->wall_ms = clock_wall_ms(server->clock);
    timer_wheel_init(&reactor->timers, reactor->mono_ms);
    reactor->wake =
        (struct loop_handler){.fd = server->mesh.endpoints[index].wake_fd, .kind = HANDLER_WAKE};
    reactor->listen = (struct loop_handler){.fd = -1, .kind = HANDLER_LISTEN};
    reactor->read_buffer = mem_alloc(tune.read_bytes);
    reactor->turns = conn_turns_new();
    reactor->parcels = mem_calloc(partitions, sizeof(struct mail_parcel *));
    reactor->parcel_sizes = mem_calloc(partitions, sizeof(size_t));
    reactor->credit_used = mem_calloc(partitions, sizeof(size_t));
    reactor->blocked = mem_calloc(partitions, sizeof(struct list));
    for (unsigned i = 0; reactor->blocked != NULL && i < partitions; i++) {
        list_init(&reactor->blocked[i]);
    }
    reactor->replies = mem_calloc(server->threads, sizeof(struct mail_replies *));
    reactor->hosts = mem_calloc(partitions, sizeof(struct host *));
    if (reactor->read_buffer == NULL || reactor->turns == NULL || reactor->parcels == NULL ||
        reactor->parcel_sizes == NULL || reactor->credit_used == NULL || reactor->blocked == NULL ||
        reactor->replies == NULL || reactor->hosts == NULL) {
        return RC_NOMEM;
    }
    if (rc == RC_OK) {
        rc = compress_init(&reactor->compress, server->config, server->threads);
    }
    return rc == RC_OK ? loop_set(&reactor->loop, &reactor->wake, LOOP_READ) : rc;
}

void reactor_deinit(struct reactor *reactor)
{
    for (unsigned i = 0; reactor->parcels != NULL && i < reactor->server->partitions; i++) {
        mail_free(reactor->parcels[i] == NULL ? NULL : &reactor->parcels[i]->mail);
    }
    loop_deinit(&reactor->loop);
    burst_deinit(&reactor->burst);
    feed_table_deinit(&reactor->feeds);
    wire_scratch_deinit(&reactor->scratch);
    ws_decoder_deinit(&reactor->decoder);
    for (unsigned i = 0; i < reactor->spare_out_count; i++) {
        buf_deinit(&reactor->spare_outs[i]);
    }
    buf_deinit(&reactor->encode);
    compress_deinit(&reactor->compress);
    mem_free(reactor->read_buffer);
    mem_free(reactor->turns);
    mem_free(reactor->parcels);
    mem_free(reactor->parcel_sizes);
    mem_free(reactor->credit_used);
    mem_free(reactor->blocked);
    mem_free(reactor->replies);
    mem_free(reactor->hosts);
    conn_table_deinit(&reactor->conns);
}

/* ---- accepting (reactor 0) ------------------------------------------------------------------- */

static bool admitted(struct reactor *reactor, const struct address *peer)
{
    const struct config *config = reactor->server->config;
    if (stats_counter_get(&reactor->server->connections) >= config->limit_connections) {
        return false;
    }
    return config->limit_connections_per_ip == 0 ||
           peers_add(reactor->server->peers, peer, config->limit_connections_per_ip);
}

/* [I12] Told by name, then closed: a client that is one too many harms nobody and knows why. */
static void turn_away(int fd)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        "Connection: close\r\nRetry-After: 5\r\nContent-Length: 81\r\n\r\n"
        "{\"code\":\"limit_exceeded\",\"message\":\"too many "
        "connections\",\"retry_after_ms\":5000}\n";
    const struct iovec piece = {(void *)(uintptr_t)answer, sizeof(answer) - 1};
    size_t written;
    (void)!socket_write(fd, &piece, 1, &written);
    socket_shutdown_write(fd);
    socket_close(fd);
}

/* Each connection goes to the next reactor in turn. */
static void hand_out(struct reactor *reactor, int fd, const struct address *peer)
{
    struct server *server = reactor->server;
    struct mail_connection *mail =
        mail_new(MAIL_CONNECTION, sizeof(*mail), (struct bytes){0}, NULL);
    if (mail == NULL) {
        MARK("accept: no memory for a connection");
        socket_close(fd);
        if (server->config->limit_connections_per_ip > 0) {
            peers_remove(server->peers, peer);
        }
        return;
    }
    (void)stats_counter_add(&server->connections, 1);
    (void)stats_counter_add(&server->newcomers, 1);
    mail->fd = fd;
    mail->peer = *peer;
    reactor->accept_next = (reactor->accept_next + 1) % server->threads;
    mesh_send(&server->mesh, reactor->index, reactor->accept_next, &mail->mail);
}

/* Out of descriptors: the one kept aside lets a client in, to be told, and is taken back. */
static void shed(struct reactor *reactor)
{
    int fd;
    struct address peer;
    socket_close(reactor->spare_fd);
    if (socket_accept(reactor->listen.fd, &fd, &peer) == RC_OK) {
        turn_away(fd);
    }
    MARK("accept: no descriptors are left");
    reactor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (reactor->mono_ms >= reactor->shed_told_ms + 1000) {
        reactor->shed_told_ms = reactor->mono_ms;
        log_event(LEVEL_ERROR, "out of descriptors: connections are turned away",
                  FIELD_U64("connections", stats_counter_get(&reactor->server->connections)));
    }
}

/* A crowd waits in the kernel's queue, and behind it at home, rather than here where its deadlines
 * run. Those who only sit there without a word keep nobody out. */
static bool has_waiting_room(const struct server *server)
{
    return stats_counter_get(&server->newcomers) < tune.waiting_room ||
           stats_counter_get(&server->crowded) == 0;
}

static void accept_some(struct reactor *reactor)
{
    for (unsigned i = 0; i < tune.accepts; i++) {
        if (!has_waiting_room(reactor->server)) {
            MARK("accept: a crowd waits outside");
            loop_forget(&reactor->loop, &reactor->listen); /* see accept_when_started() */
            return;
        }
        int fd;
        struct address peer;
        const enum rc rc = socket_accept(reactor->listen.fd, &fd, &peer);
        if (rc == RC_FULL) {
            shed(reactor);
            return;
        }
        if (rc != RC_OK) {
            return;
        }
        if (admitted(reactor, &peer)) {
            hand_out(reactor, fd, &peer);
        } else {
            MARK("accept: too many connections, one is turned away");
            turn_away(fd);
        }
    }
}

void reactor_on_gone(struct reactor *reactor, struct mail_connection *mail)
{
    peers_remove(reactor->server->peers, &mail->peer);
    mail_free(&mail->mail);
}

/* ---- the turn -------------------------------------------------------------------------------- */

static void reap(struct reactor *reactor)
{
    struct server *server = reactor->server;
    (void)worker_reap(&server->committers[reactor->index], 0);
    (void)worker_reap(&server->reader, reactor->index);
    (void)worker_reap(&server->keeper, reactor->index);
}

static void receive(struct reactor *reactor)
{
    for (unsigned i = 0; i < tune.mails; i++) {
        struct mail *mail = mesh_receive(&reactor->server->mesh, reactor->index);
        if (mail == NULL) {
            return;
        }
        router_on_mail(reactor, mail);
    }
}

/* How many sockets are read together. */
static unsigned reads_together(void)
{
    const size_t parts = tune.read_bytes / tune.part_bytes;
    return parts < 1 ? 1 : parts < BURST_MAX ? (unsigned)parts : BURST_MAX;
}

/* Reads the sockets of connections, all at once: each into a part of the one buffer. */
static void read_together(struct reactor *reactor, struct loop_handler *const readers[],
                          unsigned count)
{
    struct burst_op ops[BURST_MAX];
    struct iovec parts[BURST_MAX];
    ASSERT(count <= BURST_MAX);
    for (unsigned i = 0; i < count; i++) {
        const size_t size = tune.read_bytes / count;
        parts[i] = (struct iovec){reactor->read_buffer + i * size, size};
        ops[i] = (struct burst_op){
            .kind = BURST_READ, .fd = readers[i]->fd, .pieces = &parts[i], .count = 1};
    }
    burst_run(&reactor->burst, ops, count);
    for (unsigned i = 0; i < count; i++) {
        conn_on_bytes((struct conn *)readers[i], ops[i].rc, parts[i].iov_base, ops[i].size);
    }
}

static void dispatch_ready(struct reactor *reactor)
{
    struct loop_handler *readers[BURST_MAX];
    unsigned reader_count = 0;
    for (unsigned i = 0; i < reactor->loop.ready_count; i++) {
        const struct loop_ready *ready = &reactor->loop.ready[i];
        if (ready->handler == NULL) {
            continue;
        }
        switch ((enum handler_kind)ready->handler->kind) {
        case HANDLER_CONN:
            if (conn_on_events((struct conn *)ready->handler, ready->events)) {
                readers[reader_count++] = ready->handler;
            }
            break;
        case HANDLER_LISTEN: accept_some(reactor); break;
        case HANDLER_WAKE: mesh_drain_wake(&reactor->server->mesh, reactor->index); break;
        }
        if (reader_count == reads_together()) {
            read_together(reactor, readers, reader_count);
            reader_count = 0;
        }
    }
    read_together(reactor, readers, reader_count);
}

static void upkeep(struct reactor *reactor)
{
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        if (reactor->hosts[i] != NULL) {
            host_tick(reactor->hosts[i]);
        }
    }
    timer_arm(&reactor->timers, &reactor->upkeep, reactor->mono_ms + REACTOR_TICK_MS);
}

static void expire(struct reactor *reactor)
{
    struct timer *timer;
    while ((timer = timer_expire(&reactor->timers, reactor->mono_ms)) != NULL) {
        if (timer == &reactor->upkeep) {
            upkeep(reactor);
        } else {
            conn_on_timer(timer, reactor);
        }
    }
}

static void append(struct reactor *reactor)
{
    router_flush(reactor);
    receive(reactor); /* own parcels */
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        if (reactor->hosts[i] != NULL) {
            host_flush(reactor->hosts[i]);
        }
    }
    receive(reactor); /* what was committed here goes out in this turn */
}

/* One slice of long work a turn, whichever partition has some. */
static void slice(struct reactor *reactor)
{
    reactor->slicing = false;
    for (unsigned i = 0; i < reactor->server->partitions && !reactor->slicing; i++) {
        if (reactor->hosts[i] != NULL) {
            reactor->slicing = host_slice(reactor->hosts[i]);
        }
    }
}

static bool hosts_idle(const struct reactor *reactor)
{
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        if (reactor->hosts[i] != NULL && !host_idle(reactor->hosts[i])) {
            return false;
        }
    }
    return true;
}

/* While draining: tells the main thread, once, that nothing is in flight here. */
static void tell_drained(struct reactor *reactor)
{
    if (!reactor->draining || reactor->drained_told || conns_busy(reactor) ||
        !hosts_idle(reactor)) {
        return;
    }
    struct server *server = reactor->server;
    struct mail *mail = mail_new(MAIL_DRAINED, sizeof(*mail), (struct bytes){0}, NULL);
    if (mail != NULL) {
        MARK("reactor: drained");
        reactor->drained_told = true;
        mesh_send(&server->mesh, reactor->index, server_main_endpoint(server), mail);
    }
}

static bool work_left(struct reactor *reactor)
{
    struct server *server = reactor->server;
    return reactor->stopping || !list_empty(&reactor->dirty) || reactor->room_made ||
           reactor->slicing || mesh_ready(&server->mesh, reactor->index) ||
           worker_ready(&server->committers[reactor->index], 0) ||
           worker_ready(&server->reader, reactor->index) ||
           worker_ready(&server->keeper, reactor->index);
}

static void crowd_update(struct reactor *reactor)
{
    if (reactor->crowded != reactor->loop.crowded) {
        reactor->crowded = reactor->loop.crowded;
        (void)stats_counter_add(&reactor->server->crowded, reactor->crowded ? 1 : UINT64_MAX);
    }
}

static void sleep_or_poll(struct reactor *reactor, bool mail_left)
{
    struct doorbell *bell = &reactor->server->mesh.endpoints[reactor->index].bell;
    doorbell_arm(bell);
    int timeout = 0;
    if (!work_left(reactor)) {
        timeout = timer_wait_ms(&reactor->timers, reactor->mono_ms, SLEEP_MS_MAX);
        const bool soon = mail_left || (reactor->listen.fd >= 0 && reactor->listen.events == 0);
        timeout = soon && timeout > 1 ? 1 : timeout;
    }
    loop_wait(&reactor->loop, timeout);
    doorbell_disarm(bell);
    crowd_update(reactor);
    reactor->mono_ms = clock_mono_ns(reactor->server->clock) / CLOCK_MS;
    reactor->wall_ms = clock_wall_ms(reactor->server->clock);
}

/* The acceptor lets nobody in before every partition has applied what recovery wanted first: epochs
 * change there. Clients wait in the kernel's queue meanwhile; so does a crowd (accept_some()). */
static void accept_when_started(struct reactor *reactor)
{
    if (reactor->listen.fd < 0 || reactor->listen.events != 0 ||
        !stats_flag_get(&reactor->server->open) || !has_waiting_room(reactor->server)) {
        return;
    }
    if (loop_set(&reactor->loop, &reactor->listen, LOOP_READ) != RC_OK) {
        log_plain(LEVEL_ERROR, "cannot wait for connections: trying again");
    }
}

void reactor_turn(struct reactor *reactor)
{
    accept_when_started(reactor);
    reactor->deflate_left = tune.deflate_bytes;
    reap(reactor);
    receive(reactor);
    if (reactor->room_made) {
        reactor->room_made = false;
        conns_unblock(reactor);
    }
    dispatch_ready(reactor);
    expire(reactor);
    append(reactor);
    slice(reactor);
    conns_flush(reactor);
    router_flush(reactor); /* what resumed connections have sent */
    feed_table_trim(&reactor->feeds);
    tell_drained(reactor);
    const bool mail_left = mesh_flush(&reactor->server->mesh, reactor->index);
    sleep_or_poll(reactor, mail_left);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool hosts_quiet(const struct reactor *reactor)
{
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        if (reactor->hosts[i] != NULL && !host_quiet(reactor->hosts[i])) {
            return false;
        }
    }
    return true;
}

void reactor_begin(struct reactor *reactor)
{
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        if (reactor->hosts[i] != NULL) {
            host_start(reactor->hosts[i], reactor);
        }
    }
    timer_arm(&reactor->timers, &reactor->upkeep, reactor->mono_ms + REACTOR_TICK_MS);
}

bool reactor_end(struct reactor *reactor)
{
    if (!reactor->conns_ended) {
        reactor->conns_ended = true;
        conns_close(reactor, true);
    }
    reap(reactor);
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        if (reactor->hosts[i] != NULL) {
            host_settle(reactor->hosts[i]);
        }
    }
    return hosts_quiet(reactor);
}

static void *reactor_main(void *arg)
{
    struct reactor *reactor = arg;
    char name[16];
    (void)snprintf(name, sizeof(name), "reactor-%u", reactor->index);
    (void)pthread_setname_np(pthread_self(), name);
    reactor_begin(reactor);
    while (!reactor->stopping) {
        reactor_turn(reactor);
    }
    while (!reactor_end(reactor)) {
        (void)usleep(1000);
    }
    return NULL;
}

enum rc reactor_start(struct reactor *reactor)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&reactor->thread, NULL, reactor_main, reactor);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    reactor->started = failed == 0;
    return failed == 0 ? RC_OK : RC_NOMEM;
}

void reactor_join(struct reactor *reactor)
{
    if (reactor->started) {
        (void)pthread_join(reactor->thread, NULL);
        reactor->started = false;
    }
}
