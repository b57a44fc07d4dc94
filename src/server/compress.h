/* permessage-deflate (RFC 7692) for the connections of one reactor: how, and with what memory.
 *
 * Three ways, by the setting `deflate.mode`:
 *   off      nothing is offered; nothing is held
 *   context  each connection has streams of its own, with small windows: small messages that are
 *            like the ones before get several times smaller, for some 16 KiB a connection
 *   shared   what is sent keeps no context, so that a message is compressed once, by the owner of
 *            its partition (frames.h) or by the reader, for all who take it
 *
 * What the connections' streams may come to is bounded by `limits.deflate_bytes`, an equal share
 * for each reactor. Room for a connection is taken in the handshake; where there is none the
 * extension is declined, and the connection does without. Streams without a context belong to the
 * reactor and serve everybody, one message after another.
 *
 * Thread: the reactor; `read_deflater` is the reader's.  Memory: compress_deinit(). */
#ifndef SERVER_COMPRESS_H
#define SERVER_COMPRESS_H

#include "server/config.h"
#include "wire/ws_deflate.h"

struct compress {
    enum config_deflate mode;
    struct ws_deflate_wish wish;
    struct deflater_options options; /* of what is sent, if the client agrees */
    struct deflater *deflater;       /* without context: for all connections, and for tails */
    struct deflater *read_deflater;  /* without context: for what is read from the log */
    struct inflater *inflater;       /* without context, of any window */
    size_t out_bytes;                /* what a connection's own streams come to at most */
    size_t in_bytes;
    size_t used; /* taken by connections */
    size_t max;
};

/* The streams of one connection: its own, or the reactor's. */
struct compress_conn {
    struct deflater *deflater;
    struct inflater *inflater;
    bool own_deflater;
    bool own_inflater;
    bool shared; /* takes what was compressed for all */
    size_t taken;
};

/* All zero is a valid one that is off. RC_NOMEM: nothing is to be freed. */
MUST_USE enum rc compress_init(struct compress *compress, const struct config *config,
                               unsigned reactors);
void compress_deinit(struct compress *compress);

/* For the handshake: NULL if the extension is to be declined. */
const struct ws_deflate_wish *compress_wish(const struct compress *compress);
/* As agreed on in a handshake with that wish. RC_NOMEM */
MUST_USE enum rc compress_open(struct compress *compress, const struct ws_deflate *agreed,
                               struct compress_conn **ret_conn);
/* NULL is allowed. */
void compress_close(struct compress *compress, struct compress_conn *conn);

/* Whether what it sends is made for it alone. */
static inline bool compress_is_own(const struct compress_conn *conn)
{
    return conn != NULL && !conn->shared;
}

#endif
