#include "unit/server/world.h"

#include "base/assert.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/socket.h"
#include "server/datadir.h"
#include "server/host.h"
#include "server/peers.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 20000u /* of 0.2 ms at least */
#define HEAD_END  "\r\n\r\n"

static void must(enum rc rc)
{
    ASSERT(rc == RC_OK);
}

static uint64_t world_mono_ns(void *ctx)
{
    const struct world *world = ctx;
    return clock_mono_ns(&clock_real) + world->ahead_ms * 1000000u;
}

static uint64_t world_wall_ms(void *ctx)
{
    const struct world *world = ctx;
    return clock_wall_ms(&clock_real) + world->ahead_ms;
}

void world_config(struct world *world)
{
    *world = (struct world){0};
    must(config_defaults(&world->config));
    world->config.durability = DURABILITY_MEMORY;
    world->config.threads = 1;
    world->config.partitions = 1;
}

static void workers_open(struct world *world)
{
    struct server *server = &world->server;
    struct worker *workers[] = {&world->committer, &server->reader, &server->keeper};
    server->committers = &world->committer;
    for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
        must(worker_init(workers[i], "test", 1));
        worker_lane_set(workers[i], 0, &server->mesh.endpoints[0].bell,
                        server->mesh.endpoints[0].wake_fd);
        must(worker_start(workers[i]));
    }
}

void world_open(struct world *world)
{
    struct server *server = &world->server;
    world->clock = (struct clock){world_mono_ns, world_wall_ms, world};
    server->config = &world->config;
    server->clock = &world->clock;
    server->threads = 1;
    server->partitions = 1;
    server->incarnation = 77;
    server->listen_fd = -1;
    if (world->disk == NULL) {
        must(ram_disk_open(&world->disk));
    }
    server->storage = ram_disk_storage(world->disk);
    if (world->write != NULL) {
        world->failing = *server->storage.ops;
        world->failing.write = world->write;
        server->storage.ops = &world->failing;
    }
    server->hosts = &world->host;
    server->ready = &world->ready;
    must(host_recover(server, 0, false, &world->host));
    ticket_init(&server->ticks, host_tick_max(world->host) + 1);
    must(peers_open(1, &server->peers));
    must(mesh_init(&server->mesh, 2));
    workers_open(world);
    server->reactors = &world->reactor;
    must(reactor_init(&world->reactor, server, 0));
    world->reactor.hosts[0] = world->host;
    /* Somebody rings all the time: no turn sleeps. */
    world->bell = (struct loop_handler){.fd = eventfd(1, EFD_CLOEXEC), .kind = HANDLER_WAKE};
    must(loop_set(&world->reactor.loop, &world->bell, LOOP_READ));
    reactor_begin(&world->reactor);
    for (unsigned i = 0; stats_counter_get(&server->started) == 0; i++) {
        ASSERT(i < TURNS_MAX);
        world_turns(world, 1);
    }
    stats_flag_set(&server->open, true);
}

void world_stop(struct world *world)
{
    struct server *server = &world->server;
    for (unsigned i = 0; !reactor_end(&world->reactor); i++) {
        ASSERT(i < TURNS_MAX);
        (void)usleep(200);
    }
    worker_stop(&world->committer);
    worker_stop(&server->reader);
    worker_stop(&server->keeper);
    socket_close(world->reactor.spare_fd);
    reactor_deinit(&world->reactor);
    ASSERT(close(world->bell.fd) == 0);
    host_close(world->host);
    worker_deinit(&world->committer);
    worker_deinit(&server->reader);
    worker_deinit(&server->keeper);
    mesh_deinit(&server->mesh);
    peers_close(server->peers);
    socket_close(server->listen_fd);
    config_deinit(&world->config);
}

void world_close(struct world *world)
{
    world_stop(world);
    ram_disk_close(world->disk);
}

void world_turn(struct world *world)
{
    reactor_turn(&world->reactor);
}

void world_turns(struct world *world, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        world_turn(world);
        (void)usleep(200); /* the workers' turn */
    }
}

void world_later(struct world *world, uint64_t ms)
{
    world->ahead_ms += ms;
    world_turn(world); /* looks at the clock at its end */
    world_turn(world);
}

void world_listen(struct world *world)
{
    char address[SOCKET_ADDRESS_TEXT];
    must(socket_listen("127.0.0.1", 0, 64, &world->server.listen_fd, address));
    world->port = (uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
    world->reactor.listen.fd = world->server.listen_fd;
    world->reactor.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void client_dial(const struct world *world, struct client *client)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(world->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ASSERT(connect(client->fd, (const struct sockaddr *)&to, sizeof(to)) == 0);
    ASSERT(fcntl(client->fd, F_SETFL, O_NONBLOCK) == 0);
}

/* ---- clients --------------------------------------------------------------------------------- */

void client_open(struct world *world, struct client *client, int send_bytes)
{
    int pair[2];
    *client = (struct client){.fd = -1};
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    if (send_bytes > 0) {
        ASSERT(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes)) == 0);
    }
    client->fd = pair[1];
    struct mail_connection *mail =
        mail_new(MAIL_CONNECTION, sizeof(*mail), (struct bytes){0}, NULL);
    if (mail == NULL) {
        socket_close(pair[0]);
        return;
    }
    (void)stats_counter_add(&world->server.connections, 1); /* as who accepts it does */
    mail->fd = pair[0];
    conn_open(&world->reactor, mail);
}

void client_close(struct client *client)
{
    socket_close(client->fd);
    client->fd = -1;
    free(client->in);
    client->in = NULL;
    client->in_size = 0;
}

void client_send(struct client *client, struct bytes bytes)
{
    /* What the server has closed takes nothing any more. */
    (void)!send(client->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
}

void client_say(struct client *client, const char *text)
{
    client_send(client, bytes_of_text(text));
}

void client_frame(struct client *client, unsigned opcode, struct bytes payload)
{
    ASSERT(payload.size < 65536);
    uint8_t head[8] = {(uint8_t)(0x80 | opcode)};
    size_t size = 2;
    if (payload.size < 126) {
        head[1] = (uint8_t)(0x80 | payload.size);
    } else {
        head[1] = 0x80 | 126;
        head[2] = (uint8_t)(payload.size >> 8);
        head[3] = (uint8_t)payload.size;
        size = 4;
    }
    client_send(client, bytes_of(head, size + 4));
    client_send(client, payload);
}

void client_text(struct client *client, const char *text)
{
    client_frame(client, 1, bytes_of_text(text));
}

void client_read(struct client *client)
{
    uint8_t bytes[4096];
    size_t size;
    enum rc rc = client->ended ? RC_AGAIN : RC_OK;
    while (rc == RC_OK) {
        rc = socket_read(client->fd, bytes, sizeof(bytes), &size);
        if (rc == RC_OK) {
            uint8_t *in = realloc(client->in, client->in_size + size);
            ASSERT(in != NULL);
            bytes_copy(in + client->in_size, bytes, size);
            client->in = in;
            client->in_size += size;
        }
    }
    client->ended = client->ended || rc == RC_CLOSED;
}

bool client_has(const struct client *client, struct bytes text)
{
    return client->in_size > 0 && memmem(client->in, client->in_size, text.data, text.size) != NULL;
}

const char *client_in(const struct client *client)
{
    static char text[256u * 1024u];
    ASSERT(client->in_size < sizeof(text));
    for (size_t i = 0; i < client->in_size; i++) {
        text[i] = client->in[i] == 0 ? ' ' : (char)client->in[i];
    }
    text[client->in_size] = '\0';
    return text;
}

bool client_gets(struct world *world, struct client *client, struct bytes text)
{
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        const bool ended = client->ended;
        client_read(client);
        if (client_has(client, text)) {
            return true;
        }
        if (ended) {
            return false;
        }
        world_turns(world, 1);
    }
    UNREACHABLE(); /* it would have come in so many turns */
}

bool client_hears(struct world *world, struct client *client, const char *text)
{
    return client_gets(world, client, bytes_of_text(text));
}

void client_waits_for_end(struct world *world, struct client *client)
{
    for (unsigned i = 0; !client->ended; i++) {
        ASSERT(i < TURNS_MAX);
        world_turns(world, 1);
        client_read(client);
    }
}

void client_forget(struct client *client)
{
    client->in_size = 0;
}

bool client_upgrade(struct world *world, struct client *client)
{
    client_say(client, "GET /v1/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                       "Sec-WebSocket-Protocol: seriatim.v1.json\r\n\r\n");
    return client_hears(world, client, HEAD_END);
}

bool client_connect(struct world *world, struct client *client)
{
    if (!client_upgrade(world, client)) {
        return false;
    }
    client_text(client, "{\"type\":\"connect\",\"id\":1}");
    return client_hears(world, client, "\"type\":\"connected\"");
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* The size of the frame that begins there, 0: it is not whole. */
static size_t frame_at(struct bytes in, struct client_frame *ret_frame)
{
    if (in.size < 2) {
        return 0;
    }
    size_t head = 2;
    uint64_t size = in.data[1];
    ASSERT(size < 128); /* a server does not mask */
    if (size >= 126) {
        const size_t wide = size == 126 ? 2 : 8;
        size = 0;
        for (size_t i = 0; i < wide && head + i < in.size; i++) {
            size = size << 8 | in.data[head + i];
        }
        head += wide;
    }
    if (in.size < head || in.size - head < size) {
        return 0;
    }
    ret_frame->opcode = in.data[0] & 0x0Fu;
    ret_frame->payload = bytes_of(in.data + head, (size_t)size);
    return head + (size_t)size;
}

bool client_frame_nth(const struct client *client, unsigned n, struct client_frame *ret_frame)
{
    const uint8_t *end =
        client->in_size == 0 ? NULL : memmem(client->in, client->in_size, HEAD_END, 4);
    if (end == NULL) {
        return false;
    }
    size_t at = (size_t)(end - client->in) + 4;
    for (unsigned i = 0;; i++) {
        const size_t size = frame_at(bytes_of(client->in + at, client->in_size - at), ret_frame);
        if (size == 0 || i == n) {
            return size > 0;
        }
        at += size;
    }
}
