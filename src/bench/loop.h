/* Connections, and the one loop that drives them.
 *
 * Cheap on purpose: one recv() of up to 256 KiB a ready connection, events taken apart in place in
 * one shared buffer (only a cut-off rest is kept per connection), and one send() a turn for all
 * that a connection has queued.
 *
 * Thread: one.  Memory: bench_loop_close() and bench_conn_close() free. */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include "bench/adapter.h"

#include <sys/socket.h>

struct bench;
struct bench_conn;

/* What came, but READY and FAILED, which the loop deals with. */
typedef void bench_on_event(struct bench_conn *conn, const struct bench_event *event);

/* What a connection is for. Some protocols must know when they connect. */
struct bench_conn_setup {
    uint32_t index;
    bool publishes;
    uint32_t channel; /* the first of them */
    bench_on_event *on_event;
    void *ctx; /* the scenario's */
};

struct bench_conn {
    struct bench *bench;
    struct bench_conn_setup setup;
    int fd; /* -1: closed */
    bool ready;
    bool wants_write;
    bool paused;   /* nothing is read, as if its user slept */
    bool queued;   /* in the list of those to flush */
    uint8_t stage; /* the adapter's, as are those up to cursor */
    const struct bench_codec *codec;
    uint32_t message_head; /* of a message that is not sealed: room for its header; 0: none is */
    size_t message_at;     /* where that begins in `out` */
    uint64_t left;         /* bytes of a frame, or things of a list, that are to come */
    uint64_t answered;     /* publishes, where answers come in order and have no id */
    char cursor[24];       /* where it goes on to read */
    uint32_t event_size;   /* bytes of the event that is being handled, as it came */
    struct buf out;
    size_t out_sent;
    struct buf rest; /* the beginning of an event that is not whole */
};

struct bench_loop {
    int epoll_fd;
    uint64_t now_ns; /* when what is being handled came */
    uint8_t *buffer;
    size_t buffer_size;
    struct bench_conn **queue; /* what has something to send */
    size_t queue_count;
    size_t queue_size;
    size_t waiting; /* connections that are not ready */
    bool narrow;    /* those that are opened now have small segments and buffers: over loopback a
                     * connection would take megabytes that nobody reads */
    struct sockaddr_storage address;
    socklen_t address_size;
};

/* False: it failed, and the bench says why. */
MUST_USE bool bench_loop_open(struct bench *bench);
void bench_loop_close(struct bench *bench);
/* Where connections go from now on. False as above. */
MUST_USE bool bench_loop_target(struct bench *bench, const char *host, const char *port);

/* Begins to connect; the loop goes on with it until conn->ready. A connection that fails is the
 * bench's failure. */
void bench_conn_open(struct bench *bench, struct bench_conn *conn,
                     const struct bench_conn_setup *setup);
/* Until all that were opened are ready, or the run has failed. */
void bench_conns_wait(struct bench *bench);
/* From now on nothing is read from it, or everything again. */
void bench_conn_pause(struct bench_conn *conn, bool paused);
/* Without a goodbye; one that was never opened (all zero) is allowed. */
void bench_conn_close(struct bench_conn *conn);

/* Where to append; what is there goes out at the end of the turn. */
struct buf *bench_send_buf(struct bench_conn *conn);

/* Sends what is queued, waits at most `wait_ns` for something to come, takes it. */
void bench_loop_step(struct bench *bench, uint64_t wait_ns);

#endif
