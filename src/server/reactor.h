/* A reactor: one thread, its event loop, the connections it serves and the partitions it owns.
 *
 * One turn of the loop goes through phases, in this order:
 *
 *   reap      jobs that came back: commits are applied here, results and messages go into mail
 *   mail      from other reactors and from itself
 *   read      sockets that have bytes, some at a time: frames, commands; publishes go into parcels
 *   append    parcels leave; batches that filled are handed to the committer
 *   send      connections with something to send, each once, some at a time: nothing is sent before
 * it is durable, since only applied commands reach this phase trim      feeds let go of chunks;
 * mail leaves sleep     until a socket, a deadline or the doorbell
 *
 * Thread: its own; started and joined by the main thread.  Memory: reactor_deinit() frees. */
#ifndef SERVER_REACTOR_H
#define SERVER_REACTOR_H

#include "io/burst.h"
#include "io/loop.h"
#include "io/timer.h"
#include "server/compress.h"
#include "server/conn_table.h"
#include "server/mail.h"
#include "server/mesh.h"
#include "session/session.h"
#include "wire/ws.h"

#include <pthread.h>

struct server;
struct host;
struct conn;
struct conn_turns;

/* What loop handlers are. */
enum handler_kind {
    HANDLER_CONN,
    HANDLER_LISTEN,
    HANDLER_WAKE,
};

#define REACTOR_TICK_MS    1000 /* upkeep of partitions */
#define REACTOR_SPARE_OUTS 16u  /* of 16 KiB at most */

struct reactor {
    struct server *server;
    unsigned index;
    pthread_t thread;
    bool started;
    struct loop loop;
    struct burst burst;
    struct loop_handler wake;
    struct loop_handler listen; /* the acceptor's (reactor 0) */
    struct timer_wheel timers;
    struct timer upkeep; /* partitions, once a second */
    uint64_t mono_ms;    /* of this turn */
    uint64_t wall_ms;

    struct conn_table conns; /* a handle: reactor (8 bits), generation (24), slot (32) */
    struct list dirty;       /* struct conn.dirty_link: something to send or to take up again */
    struct list *blocked; /* by partition, struct conn_work.blocked_link: a publish waits for room,
                           * in the    order they came; who comes later waits behind */
    uint32_t blocked_count;  /* in all of them */
    unsigned full_partition; /* of the last publish that found no room */
    size_t full_size;        /* and its size */
    bool unblocking;         /* they have their turn */
    bool room_made;          /* this turn: the blocked may try again */
    bool slicing;            /* this turn did a slice of long work: the next one comes at once */
    bool crowded;            /* it counts in server.crowded */

    struct session_env env;
    struct feed_table feeds;
    struct wire_scratch scratch;
    struct buf encode;
    uint8_t *read_buffer;                      /* tune.read_bytes */
    struct conn_turns *turns;                  /* of conns_flush() */
    struct buf spare_outs[REACTOR_SPARE_OUTS]; /* empty ones with memory, for who answers next */
    unsigned spare_out_count;
    struct ws_decoder decoder; /* of whoever is between frames: conn_ws.c */
    struct compress compress;
    size_t deflate_left; /* [I12] of messages that this turn may still compress for all */
    size_t inflated;     /* bytes of messages, of the connection whose input is being taken */

    struct mail_parcel **parcels;  /* by partition: filling */
    size_t *parcel_sizes;          /* by partition: what the last parcel held */
    size_t *credit_used;           /* by partition: bytes of publishes not yet answered */
    struct mail_replies **replies; /* by endpoint: filling */
    struct host **hosts;           /* by partition; NULL where another reactor owns it */

    unsigned accept_next; /* acceptor: who gets the next connection */
    int spare_fd;         /* acceptor: given up to turn a client away when descriptors run out */
    uint64_t shed_told_ms;

    bool draining;
    bool drained_told;
    bool stopping;
    bool conns_ended;
    uint64_t drain_since_ms;
};

MUST_USE enum rc reactor_init(struct reactor *reactor, struct server *server, unsigned index);
/* What the thread does; apart, so that the simulator can take its place: begin once, a turn as long
 * as `stopping` is false, then end until it is true: no job of its partitions is out any more. */
void reactor_begin(struct reactor *reactor);
void reactor_turn(struct reactor *reactor);
bool reactor_end(struct reactor *reactor);

MUST_USE enum rc reactor_start(struct reactor *reactor);
void reactor_join(struct reactor *reactor);
void reactor_deinit(struct reactor *reactor);

/* A connection of this address has ended (acceptor). Takes the mail. */
void reactor_on_gone(struct reactor *reactor, struct mail_connection *mail);

/* ---- conn.c --------------------------------------------------------------------------------- */

/* Serves a socket; takes the mail that brought it, and sends it back at the end. */
void conn_open(struct reactor *reactor, struct mail_connection *mail);
struct conn *conn_find(struct reactor *reactor, uint64_t handle);
uint64_t conn_handle(const struct conn *conn);
/* What the loop tells. True: its socket is to be read. */
bool conn_on_events(struct conn *conn, uint32_t events);
/* What came of that: as socket_read() tells. The bytes may be changed. */
void conn_on_bytes(struct conn *conn, enum rc rc, uint8_t *data, size_t size);
void conn_on_timer(struct timer *timer, struct reactor *reactor);
/* What conns_flush() works with; freed by mem_free(). NULL: out of memory */
MUST_USE struct conn_turns *conn_turns_new(void);
/* The send phase: flushes all dirty connections. */
void conns_flush(struct reactor *reactor);
/* Lets the connections whose publish found no room try again. */
void conns_unblock(struct reactor *reactor);
/* Something to send, or room to take more. */
void conn_wake(struct conn *conn);
void conn_on_published(struct conn *conn, uint64_t id, const struct publish_result *result,
                       size_t size);
void conn_on_answer(struct conn *conn, const struct session_answer *answer);
void conn_on_read(struct conn *conn, struct mail_read *read);
/* Tells every session goaway. */
void conns_goaway(struct reactor *reactor);
/* Closes every connection: sessions with 1001. `now`: without waiting for anything. */
void conns_close(struct reactor *reactor, bool now);
/* Whether any publish or read is in flight. */
bool conns_busy(const struct reactor *reactor);

/* ---- router.c: between sessions here and partitions anywhere --------------------------------- */

extern const struct session_ops router_session_ops;
/* As session_ops, for the HTTP API too. `size`: what it counts against the bounds. */
MUST_USE enum rc router_publish(struct reactor *reactor, uint64_t handle, uint64_t id, size_t size,
                                const struct command_publish *head,
                                const struct command_message *messages);
MUST_USE enum rc router_history(struct reactor *reactor, uint64_t handle, enum wire_codec codec,
                                const struct wire_command *command);
MUST_USE enum rc router_digest(struct reactor *reactor, uint64_t handle,
                               const struct wire_command *command);
/* Whether a publish of that size to the partition would find room. */
bool router_has_room(const struct reactor *reactor, unsigned partition, size_t size);
/* Sends the parcels that have filled in this turn. */
void router_flush(struct reactor *reactor);
/* Handles one mail, whatever it is. */
void router_on_mail(struct reactor *reactor, struct mail *mail);

#endif
