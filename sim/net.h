/* The network between the clients and the server, in place of io/loop.c and io/socket.c.
 *
 * A connection is two streams of bytes. What one end sends is under way until net_move() lets some
 * of it arrive, cut anywhere. The server's send buffer is small; a client may take nothing for a
 * while, or little. A connection may be cut, at once or after a number of bytes, or go silent
 * without a word to anybody.
 *
 * Thread: one.  Memory: net_reset() frees; the C heap, since the server's is dropped at a crash. */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "base/bytes.h"
#include "io/loop.h"

struct net_conn; /* opaque */

#define NET_LISTEN_FD 900
#define NET_WAKE_FD   500 /* + endpoint */
#define NET_FIRST_FD  1000

/* How a connection behaves; drawn by whoever connects. */
struct net_nature {
    uint64_t latency_us; /* at most, of each arrival */
    size_t down_max;     /* bytes that the client takes at once */
    size_t buffer;       /* of the server's kernel */
    uint64_t cut_after;  /* bytes to the client; 0: never */
};

/* Told to the client of a connection. */
struct net_client {
    void (*on_bytes)(struct net_client *client, const uint8_t *data, size_t size);
    void (*on_end)(struct net_client *client);
    /* The server is gone without last words: nor is there what has arrived and was not read. NULL:
     * it reads at once. */
    void (*on_silence)(struct net_client *client);
};

void net_reset(void);
/* The server is gone: every connection breaks; nobody listens. What it sent may still arrive if
 * `last_words`. */
void net_server_gone(bool last_words);
void net_listen(bool on);
bool net_is_listening(void);

/* NULL: refused. */
struct net_conn *net_connect(struct net_client *client, const struct net_nature *nature);
void net_send(struct net_conn *conn, const void *data, size_t size);
/* What the client has sent and has not arrived. */
size_t net_unsent(const struct net_conn *conn);
/* The client's end closes; it hears nothing more. The connection is not the caller's any more. */
void net_close(struct net_conn *conn);

/* Faults. */
void net_cut(struct net_conn *conn);                 /* both ends are told */
void net_half_open(struct net_conn *conn);           /* nothing arrives any more, either way */
void net_window(struct net_conn *conn, bool open);   /* the client reads, or does not */
void net_block(struct net_conn *conn, bool blocked); /* what the client sends does not arrive */
void net_calm(void); /* no cuts any more, all windows open; half-open ones break */

/* The scheduler's: how many connections there are to look at, whether bytes of one could arrive
 * now, and letting them. */
unsigned net_count(void);
bool net_ready(unsigned index);
void net_move(unsigned index);
struct net_conn *net_at(unsigned index);
/* When one that is not ready may be; UINT64_MAX: never by itself. */
uint64_t net_next_us(void);
/* Whether the loop has something for its reactor. */
bool net_loop_ready(const struct loop *loop);
/* When the server last heard of that connection, or had it take bytes. */
uint64_t net_heard_us(int fd);
/* How long the client has been silent at most, as its reactor sees time; and how old the connection
 * was when the server last wrote to it. */
uint64_t net_silence_us(const struct net_conn *conn);
uint64_t net_age_us(const struct net_conn *conn);
/* The client ends its side, and goes on listening. */
void net_half_close(struct net_conn *conn);
/* How long it would have slept. */
int net_loop_timeout(const struct loop *loop);

#endif
