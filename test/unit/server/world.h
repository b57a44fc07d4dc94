/* One reactor with one partition on a disk in memory, turned by the test, with a clock that can be
 * set on; and clients at the other end of socket pairs, which know bytes only.
 *
 * Thread: the caller's is the reactor's; the workers have their own.  Memory: world_close() frees.
 */
#ifndef TEST_SERVER_WORLD_H
#define TEST_SERVER_WORLD_H

#include "io/ram_disk.h"
#include "server/server_private.h"

struct world {
    struct server server;
    struct config config;
    struct ram_disk *disk; /* NULL: made by world_open() */
    /* In place of its own write(): a disk that fails. NULL: none. */
    enum rc (*write)(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at);
    struct storage_ops failing;
    struct reactor reactor;
    struct worker committer;
    struct host *host;
    struct loop_handler bell;
    struct stats_flag ready;
    struct clock clock;
    uint64_t ahead_ms; /* of the machine's clock */
    uint16_t port;     /* if it listens */
};

struct client {
    int fd; /* -1: closed */
    bool ended;
    /* All that has come. Of the C heap, not of base/mem: a test fails what the server asks for. */
    uint8_t *in;
    size_t in_size;
};

/* Serves. `config` may have been changed before; see world_config(). */
void world_config(struct world *world);
void world_open(struct world *world);
/* Stops in order. */
void world_close(struct world *world);
/* The same, but for the disk: what it holds is there for a world that is given it before its
 * world_open(). */
void world_stop(struct world *world);
/* One turn that does not sleep. */
void world_turn(struct world *world);
void world_turns(struct world *world, unsigned count);
/* So much time passes; then a turn. */
void world_later(struct world *world, uint64_t ms);

/* From now on the reactor accepts, on a port of the loopback. */
void world_listen(struct world *world);
/* Connects there; nothing is turned. */
void client_dial(const struct world *world, struct client *client);

/* A connection. `send_bytes` > 0: the kernel keeps about so much of what is sent to the client. */
void client_open(struct world *world, struct client *client, int send_bytes);
void client_close(struct client *client);
void client_send(struct client *client, struct bytes bytes);
void client_say(struct client *client, const char *text);
/* A frame, masked with zeros. */
void client_frame(struct client *client, unsigned opcode, struct bytes payload);
void client_text(struct client *client, const char *text);
/* Reads what is there. */
void client_read(struct client *client);
/* Turns until `text` has come (true), or the connection has ended. */
bool client_gets(struct world *world, struct client *client, struct bytes text);
bool client_hears(struct world *world, struct client *client, const char *text);
/* Turns until the connection has ended. */
void client_waits_for_end(struct world *world, struct client *client);
bool client_has(const struct client *client, struct bytes text);
/* All that has come as text: zeros are blanks. Until the next call. */
const char *client_in(const struct client *client);
/* Forgets what has come. */
void client_forget(struct client *client);
/* Upgrades; and connects. False: the connection has ended. */
bool client_upgrade(struct world *world, struct client *client);
bool client_connect(struct world *world, struct client *client);

/* Complete frames in what has come behind the upgrade. */
struct client_frame {
    unsigned opcode;
    struct bytes payload;
};
/* The n-th of them from 0 on; false: there is none. */
bool client_frame_nth(const struct client *client, unsigned n, struct client_frame *ret_frame);

#endif
