/* The load generator: what its parts share.
 *
 * One thread and one epoll descriptor drive every connection. The client is minimal and speaks
 * through src/wire's WebSocket codec; it trusts the server no further than it must to measure, but
 * checks that every publish is acknowledged once and every delivery has the next seq.
 *
 * It is a program for developers: an error ends it with a sentence on standard error.
 *
 * Thread: one.  Memory: the process's life, unless said otherwise. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "base/bytes.h"
#include "wire/ws.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- options ------------------------------------------------------------------------------- */

struct options {
    const char *figure;   /* publish, fanout, idle, fill, all */
    const char *server;   /* the program to start */
    const char *folder;   /* where its data goes; NULL: a temporary one */
    char **server_flags;  /* behind "--", passed on to serve; NULL-terminated */
    uint64_t connections; /* 0: the figure's own default, here and below */
    uint64_t inflight;
    uint64_t size; /* bytes of `data`, quotes included */
    uint64_t seconds;
    uint64_t warmup_seconds;
    uint64_t rate; /* messages a second, 0: as fast as it goes */
    uint64_t channels;
    uint64_t messages;
    bool lockstep; /* fanout: the next message when all have the last one */
};

/* Says what is wrong and ends the program. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `value`, or `otherwise` where it is 0. */
static inline uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

/* ---- time and figures (load_report.c) ------------------------------------------------------- */

uint64_t now_ns(void);

/* Log-linear: 32 steps for each doubling, so a value is known to 3 %. */
#define HISTOGRAM_STEPS 32u
#define HISTOGRAM_SLOTS (64u * HISTOGRAM_STEPS)

struct histogram {
    uint64_t slots[HISTOGRAM_SLOTS];
    uint64_t count;
    uint64_t max;
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value that `permille` thousandths of all are at or below. */
uint64_t histogram_at(const struct histogram *histogram, unsigned permille);

/* A table on standard output, then one line of JSON: begin, rows, end. */
void report_begin(const char *figure);
void report_number(const char *name, double value, const char *unit);
void report_end(void);

/* ---- the server (load_server.c) ------------------------------------------------------------- */

struct server {
    const struct options *options;
    char folder[256];
    bool folder_is_ours;
    uint16_t port;
    pid_t pid;
};

/* Makes the folder, starts the server and waits until it is ready. */
void server_start(struct server *server, const struct options *options);
/* Starts it again on the same folder; returns the nanoseconds until it was ready. */
uint64_t server_restart(struct server *server);
void server_kill(struct server *server);
/* Kills it and removes the folder if it is ours. */
void server_stop(struct server *server);
/* User and system time so far. */
uint64_t server_cpu_ns(const struct server *server);
uint64_t server_rss_bytes(const struct server *server);
/* The `latest` of a channel, read over HTTP: what the server itself says it holds. */
uint64_t server_latest(const struct server *server, const char *channel);
/* A TCP connection to a port of this machine. */
int tcp_connect(uint16_t port);

/* ---- connections (load_conn.c) -------------------------------------------------------------- */

struct conn;

/* A whole text message came. */
typedef void conn_on_message(struct conn *conn, struct bytes text);

/* When each publish under way was sent (or due), by id modulo this. */
#define CONN_SENT_SLOTS 4096u

struct conn {
    int fd;
    unsigned index;
    struct ws_decoder decoder;
    struct buf out;
    size_t out_sent;
    bool wants_write;
    conn_on_message *on_message;
    void *ctx;         /* the figure's */
    uint64_t id;       /* the last id used */
    uint64_t inflight; /* publishes that are not answered */
    uint64_t next_seq; /* fanout: the seq that comes next */
    uint64_t *sent_ns; /* publish: CONN_SENT_SLOTS of them, or NULL */
};

struct loop {
    int epoll_fd;
    uint64_t now_ns; /* at the last wake-up */
};

void loop_open(struct loop *loop);
/* Connects, upgrades, says `connect`, waits for `connected`; blocks. Then joins the loop. */
void conn_open(struct conn *conn, struct loop *loop, uint16_t port, unsigned index,
               conn_on_message *on_message, void *ctx);
void conn_close(struct conn *conn);
/* Queues one masked text frame. */
void conn_send(struct conn *conn, struct bytes text);
/* Writes what is queued, as much as goes. */
void conn_flush(struct conn *conn, struct loop *loop);
/* One wait of at most `wait_ns`, and what came with it. */
void loop_step(struct loop *loop, uint64_t wait_ns);

/* The integer behind `name` (with quotes and colon) in a reply; dies where there is none. */
uint64_t reply_number(struct bytes text, const char *name);
bool reply_is(struct bytes text, const char *type);

/* ---- the figures --------------------------------------------------------------------------- */

void figure_publish(const struct options *options);
void figure_fanout(const struct options *options);
void figure_idle(const struct options *options);
void figure_fill(const struct options *options);

#endif
