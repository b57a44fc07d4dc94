/* A connection that has agreed on permessage-deflate.
 *
 * Where what it sends has a context, messages must be compressed in the order in which they leave.
 * Its session's own are, as they are put into `out` (session_deflate()); those of chunks follow
 * here, when `out` is empty, a piece of so many bytes at a time: so what is compressed and not
 * taken yet stays small, and a cursor stands for the rest as it does on any other connection. */
#include "base/mark.h"
#include "base/tune.h"
#include "server/conn_private.h"

/* Before they are compressed: fills a packet or two in the usual case, and is all that a slow
 * connection can hold. */
#define FILL_BYTES (16u * KIB)

void conn_deflate_open(struct conn *conn, const struct ws_deflate *deflate)
{
    if (conn->dead || !deflate->agreed) {
        return;
    }
    if (compress_open(&conn->reactor->compress, deflate, &conn->compress) != RC_OK) {
        conn_kill(conn, "out of memory");
        return;
    }
    session_deflate(conn->session, conn->compress->deflater, conn->compress->shared);
}

/* Frames of one slice, whole ones; *taken: their bytes as they were. */
static enum rc slice_append(struct conn *conn, const struct session_slice *slice, size_t bytes_max,
                            size_t *taken)
{
    const struct chunk *chunk = slice->chunk;
    for (uint32_t i = slice->from; i < slice->to && *taken < bytes_max; i++) {
        const uint32_t at = chunk_at(chunk, i);
        const struct bytes frame = bytes_of(chunk->bytes + at, chunk->ends[i] - at);
        const enum rc rc = ws_message_reframe(&conn->out, conn->compress->deflater, frame);
        if (rc != RC_OK) {
            return rc;
        }
        *taken += frame.size;
    }
    return RC_OK;
}

void conn_deflate_fill(struct conn *conn)
{
    if (!compress_is_own(conn->compress) || conn->phase != CONN_WS || conn_out_size(conn) > 0) {
        return;
    }
    struct session_slice slices[SESSION_SLICES_MAX];
    struct bytes pieces[SESSION_SLICES_MAX];
    const size_t bytes_max = tune.flush_bytes < FILL_BYTES ? tune.flush_bytes : FILL_BYTES;
    const unsigned count =
        session_gather(conn->session, slices, pieces, SESSION_SLICES_MAX, bytes_max);
    size_t taken = 0;
    enum rc rc = RC_OK;
    for (unsigned i = 0; i < count && rc == RC_OK; i++) {
        rc = slice_append(conn, &slices[i], bytes_max, &taken);
    }
    if (rc == RC_OK && count > 0) {
        MARK("deflate: messages are compressed for one connection");
        rc = session_sent(conn->session, slices, count, taken);
    }
    if (rc != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

void conn_deflate_rest(struct conn *conn)
{
    if (conn->compress != NULL && conn->compress->own_deflater) {
        deflater_rest(conn->compress->deflater);
    }
}
