/* Adapters of the load generator for other servers, to hold ours against theirs in one run.
 *
 * Thread: one.  Memory: constant; what they keep is in the connection. */
#ifndef PEERS_PEERS_H
#define PEERS_PEERS_H

#include "bench/bench.h"

/* X(name): an adapter peer_##name. */
#define PEER_LIST(X)                                                                               \
    X(plain)      /* WebSocket, a channel's name in the URL: /sub/NAME and /pub/NAME */            \
    X(nats)       /* NATS inside WebSocket, no answers */                                          \
    X(jetstream)  /* the same, each publish acknowledged by a stream */                            \
    X(mqtt)       /* MQTT 3.1.1 inside WebSocket, QoS 0 */                                         \
    X(mqtt_qos1)  /* the same, QoS 1 */                                                            \
    X(redis)      /* RESP: XADD, and XREAD BLOCK again and again */                                \
    X(centrifugo) /* its JSON protocol */

#define X(name) extern const struct bench_adapter peer_##name;
PEER_LIST(X)
#undef X

/* NULL: there is none of that name; ours is one of them. */
const struct bench_adapter *peer_find(const char *name);

/* ---- WebSocket ----------------------------------------------------------------------------- */

/* The mask need not be secret here, only different from frame to frame. */
uint32_t peer_mask(const struct bench_conn *conn);
/* Appends the request for an upgrade with that path. RC_NOMEM */
MUST_USE enum rc peer_upgrade(struct bench_conn *conn, const char *path, const char *protocol);
void peer_failed(struct bench_event *event, struct bytes text);
/* Prepends room for a WebSocket header to a template whose frame holds the payload of one: the
 * offsets move. RC_NOMEM */
MUST_USE enum rc peer_frame(struct bench_template *made);

/* A protocol of its own inside binary or text frames: a message may share a frame with others, but
 * not be spread over two. */
struct peer_inner {
    /* The first words, once the upgrade is done. RC_NOMEM */
    enum rc (*upgraded)(struct bench_conn *conn);
    /* As an adapter's parse(), on what is there of a frame; `whole`: all of its rest is. */
    void (*parse)(struct bench_conn *conn, struct bytes data, bool whole, size_t *ret_used,
                  struct bench_event *ret_event);
};

void peer_parse(struct bench_conn *conn, struct bytes data, const struct peer_inner *inner,
                size_t *ret_used, struct bench_event *ret_event);

/* ---- texts --------------------------------------------------------------------------------- */

/* Appends what the format makes, at most 1 KiB. RC_NOMEM */
MUST_USE enum rc peer_printf(struct buf *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The line at the front, without its end; false: its "\r\n" is not there. */
bool peer_line(struct bytes data, struct bytes *ret_line);
/* Whether it begins with that. */
bool peer_begins(struct bytes text, const char *with);
/* The decimal number at the front of `text`, which it is cut from; false: there is none, or it is
 * too large. */
bool peer_number(struct bytes *text, uint64_t *ret_number);
/* Writes the last decimal digits of an id. */
void peer_put_id(uint8_t *at, uint64_t id);

#endif
