/* One connection of a client: TCP, the WebSocket handshake, frames. Once closed it stays closed;
 * client/link.h opens the next one.
 *
 *   CONNECTING -> HANDSHAKE -> OPEN -> CLOSED       (each may go to CLOSED)
 *
 * The caller polls: wait for client_conn_events() on client_conn_fd(), call client_conn_on_ready(),
 * then take events until there is none. Every host address is tried in turn. The server's proof
 * (Sec-WebSocket-Accept) is checked; every frame is masked with a fresh key; pings are answered.
 *
 * Thread: the owner's.  Memory: client_conn_close() frees. */
#ifndef CLIENT_CONN_H
#define CLIENT_CONN_H

#include "base/bytes.h"
#include "client/url.h"
#include "wire/command.h"

struct client_conn; /* opaque */

enum conn_event_type {
    CONN_NONE,
    CONN_OPEN,   /* the handshake is done */
    CONN_TEXT,   /* one message of the codec; borrowed until the next call */
    CONN_CLOSED, /* the end; see client_conn_why() */
};

struct client_conn_event {
    enum conn_event_type type;
    struct bytes text;
};

/* How it ended. */
enum client_conn_end {
    CONN_END_LOST,    /* refused, reset, ended: trying again may help */
    CONN_END_REFUSED, /* the other end says that this will never do */
    CONN_END_BROKEN,  /* it broke the rules of WebSocket */
};

/* Begins to connect. Blocks while the name is looked up.
 * RC_NOT_FOUND  the host has no address
 * RC_NOMEM, RC_IO */
MUST_USE enum rc client_conn_open(const struct client_url *url, enum wire_codec codec,
                                  struct client_conn **ret_conn);
/* NULL is allowed. What is not sent yet is lost. */
void client_conn_close(struct client_conn *conn);

int client_conn_fd(const struct client_conn *conn);
/* POLLIN and POLLOUT as wanted now. */
short client_conn_events(const struct client_conn *conn);
/* Reads and writes what is possible; call it whatever poll said. */
void client_conn_on_ready(struct client_conn *conn);
/* The next event. CONN_CLOSED comes once everything before it has been taken. */
void client_conn_next(struct client_conn *conn, struct client_conn_event *ret_event);

/* Queues one frame, text or binary as the codec has it; client_conn_on_ready() sends it. RC_NOMEM;
 * RC_CLOSED: not open */
MUST_USE enum rc client_conn_send(struct client_conn *conn, struct bytes text);
/* Writes what the socket takes now, and reads nothing. */
void client_conn_flush(struct client_conn *conn);
/* Queues a Close frame and sends what the socket takes. */
void client_conn_say_goodbye(struct client_conn *conn);
/* Bytes that wait to be sent. */
size_t client_conn_pending(const struct client_conn *conn);

/* After CONN_CLOSED: what happened, for people; and what it means. */
const char *client_conn_why(const struct client_conn *conn);
enum client_conn_end client_conn_end(const struct client_conn *conn);

#endif
