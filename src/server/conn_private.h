/* A connection's inside, between conn*.c and http_api.c only.
 *
 *            upgrade            Close sent or received, or a violation        all sent
 *   HTTP ──────────────▶ WS ────────────────────────────────────▶ CLOSING ──────────▶ LINGER
 *     │  response with Connection: close is sent                                        │
 *     └────────────────────────────────────────────────────────────────────────────▶   │ EOF, or
 *                                                                                       ▼ in time
 *                                                                                     freed
 *
 * Thread: the reactor that serves it.  Memory: conn_destroy() frees. */
#ifndef SERVER_CONN_PRIVATE_H
#define SERVER_CONN_PRIVATE_H

#include "server/reactor.h"
#include "server/server_private.h"
#include "wire/http.h"
#include "wire/ws.h"

enum conn_phase {
    CONN_HTTP,
    CONN_WS,
    CONN_CLOSING,
    CONN_LINGER,
    CONN_PHASE_COUNT,
};

enum http_route {
    ROUTE_NONE,
    ROUTE_HEALTHZ,
    ROUTE_READYZ,
    ROUTE_PUBLISH,
    ROUTE_MESSAGES,
    ROUTE_DIGEST,
};

/* One request being answered. */
struct exchange {
    enum http_route route;
    bool head_only;  /* HEAD */
    bool close;      /* the response says Connection: close */
    bool keep_told;  /* HTTP/1.0: where it does not close the response says so */
    bool waiting;    /* sent on to a partition */
    uint64_t id;     /* of the publish, if its body had one */
    unsigned status; /* refused while reading: what to answer when the request is complete; 0: no */
    enum wire_error_code code;
    const char *text;
    const char *allow; /* 405: the method that would do */
    struct buf channel;
    struct buf body;
    uint64_t from; /* of a digest: the seq */
    bool has_from;
    uint32_t limit;
    bool reverse;
};

/* What a connection has only while it speaks HTTP, or while some of its input waits or has come in
 * part: an idle one has none of it. */
struct conn_work {
    struct conn *conn;
    struct http_parser *parser; /* of one that speaks HTTP */
    struct exchange *exchange;
    struct list blocked_link;   /* while blocked: among those who wait for room in … */
    unsigned blocked_partition; /* … this partition … */
    size_t blocked_size;        /* … for so many bytes */
    struct buf in;              /* bytes read and not looked at yet */
    struct buf deferred;       /* a message with a command that found no room, or had to wait … */
    size_t deferred_at;        /* … from here on */
    struct buf pong;           /* the latest ping's payload, to be answered when there is room */
    bool decoding;             /* a message or frame is under way … */
    uint64_t message_ms;       /* … since then … */
    struct ws_decoder decoder; /* … and here; else the reactor's one serves */
};

/* What every connection has; there may be a million, nearly all of them idle. */
struct conn {
    struct loop_handler handler; /* first: the loop gives it back */
    struct reactor *reactor;
    uint64_t handle;
    struct session *session;
    struct conn_work *work;         /* owned; NULL: idle */
    struct compress_conn *compress; /* NULL: permessage-deflate is not spoken */
    struct list dirty_link;
    struct timer timer;
    uint64_t heard_ms; /* when a byte last came, or it took bytes that had waited */
    uint64_t tx_ms;    /* when the kernel last took one, or `out` was empty */
    uint64_t since_ms; /* of the phase; in HTTP of the request */
    struct buf out;    /* bytes to send before anything else; no memory while it is empty … */
    size_t out_at;     /* … from here on */
    struct address peer;
    uint8_t phase;            /* enum conn_phase */
    bool reading : 1;         /* the loop tells when bytes are there */
    bool want_write : 1;      /* the kernel took no more */
    bool blocked : 1;         /* a publish waits for room */
    bool close_sent : 1;      /* a Close frame is out or in `out` */
    bool close_after_out : 1; /* end our side once all is sent */
    bool ping_sent : 1;       /* since it was last heard of */
    bool served : 1;          /* has been answered at least once over HTTP */
    bool eof : 1;             /* the peer has ended its side */
    bool deaf : 1;            /* has sent a Close or a broken frame: nothing more is decoded */
    bool dead : 1;            /* freed at the end of the phase */
    bool more : 1;            /* had its share of this turn, and has more */
};

/* With the heap's own no more than 176 bytes; docs/ARCHITECTURE.md tells what an idle connection
 * costs in all. */
static_assert(sizeof(struct conn) <= 168, "every connection has one");

static inline size_t conn_out_size(const struct conn *conn)
{
    return conn->out.size - conn->out_at;
}

/* Bytes read and not looked at yet. */
static inline size_t conn_in_size(const struct conn *conn)
{
    return conn->work == NULL ? 0 : conn->work->in.size;
}

static inline bool conn_deferring(const struct conn *conn)
{
    return conn->work != NULL && conn->work->deferred.size > conn->work->deferred_at;
}

/* Since when a message is under way; 0: none. */
static inline uint64_t conn_message_ms(const struct conn *conn)
{
    return conn->work != NULL && conn->work->decoding ? conn->work->message_ms : 0;
}

/* conn_work.c: for one that has none. NULL: out of memory */
MUST_USE struct conn_work *conn_work_new(struct conn *conn);
/* What it has, or a new one. NULL: out of memory, and the connection is killed. */
MUST_USE struct conn_work *conn_work_need(struct conn *conn);
/* Gives it back if there is nothing in it. */
void conn_work_rest(struct conn *conn);
void conn_work_free(struct conn *conn);
/* Before what is likely to be answered: a buffer for `out` that has room already, if one is left
 * over. */
void conn_out_take(struct conn *conn);
/* At the end of a turn: an empty `out` keeps no memory. */
void conn_out_rest(struct conn *conn);

/* Whether bytes from the socket may be taken. */
bool conn_can_take(const struct conn *conn);
/* Takes up what has waited. */
void conn_resume(struct conn *conn);
/* At the end of its turn: nothing refers to it any more. */
void conn_destroy(struct conn *conn);
/* Whether the next command of a session may be fed. */
bool conn_ws_can_take(const struct conn *conn);
void conn_move(struct conn *conn, enum conn_phase next);
/* Freed at the end of the phase; nothing more is sent. */
void conn_kill(struct conn *conn, const char *why);
/* Recomputes the deadline. */
void conn_timer_set(struct conn *conn);
/* Tells its session, which is ready, that the server is about to close. */
void conn_ws_goaway(struct conn *conn);
/* A Close frame and the way out. */
void conn_ws_close(struct conn *conn, uint16_t code, const char *text);

/* Its publish has just been refused for want of room: it waits for its turn. Out of memory, it is
 * killed. */
void conn_block(struct conn *conn);
/* It waits no more. Allowed when it does not. */
void conn_block_end(struct conn *conn);

/* conn_ws.c: takes bytes; returns how many. */
size_t conn_ws_input(struct conn *conn, uint8_t *data, size_t size);
/* Carries out the deferred command: there is room for it now. */
void conn_ws_retry(struct conn *conn);
/* Goes on with what is left of the message that the deferred command came in. */
void conn_ws_resume(struct conn *conn);
void conn_ws_open(struct conn *conn, enum wire_codec codec);

/* conn_deflate.c: behind conn_ws_open() */
void conn_deflate_open(struct conn *conn, const struct ws_deflate *deflate);
/* Before a write: puts messages into `out` where they must be compressed for this connection. */
void conn_deflate_fill(struct conn *conn);
/* At the end of its turn: lets go of memory that holds no context. */
void conn_deflate_rest(struct conn *conn);

/* http_api.c */
size_t http_input(struct conn *conn, const uint8_t *data, size_t size);
void http_retry(struct conn *conn);
void http_on_published(struct conn *conn, const struct publish_result *result);
void http_on_read(struct conn *conn, const struct mail_read *read);
void exchange_free(struct exchange *exchange);

#endif
