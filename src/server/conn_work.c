/* What a connection has only while it is busy: taken when it is needed, given back when it is
 * empty. */
#include "base/limits.h"
#include "base/mem.h"
#include "server/conn_private.h"

struct conn_work *conn_work_new(struct conn *conn)
{
    ASSERT(conn->work == NULL);
    struct conn_work *work = mem_calloc(1, sizeof(*work));
    if (work != NULL) {
        work->conn = conn;
        list_init(&work->blocked_link);
    }
    conn->work = work;
    return work;
}

struct conn_work *conn_work_need(struct conn *conn)
{
    if (conn->work == NULL && conn_work_new(conn) == NULL) {
        conn_kill(conn, "out of memory");
    }
    return conn->work;
}

static bool is_empty(const struct conn_work *work)
{
    return work->parser == NULL && work->exchange == NULL && !work->conn->blocked &&
           !work->decoding && work->in.size == 0 && work->deferred.size == 0 &&
           work->pong.size == 0;
}

void conn_work_rest(struct conn *conn)
{
    if (conn->work != NULL && is_empty(conn->work)) {
        conn_work_free(conn);
    }
}

void conn_work_free(struct conn *conn)
{
    struct conn_work *work = conn->work;
    if (work == NULL) {
        return;
    }
    ASSERT(!conn->blocked);
    http_parser_free(work->parser);
    exchange_free(work->exchange);
    if (work->decoding) {
        ws_decoder_deinit(&work->decoder);
    }
    buf_deinit(&work->in);
    buf_deinit(&work->deferred);
    buf_deinit(&work->pong);
    mem_free(work);
    conn->work = NULL;
}

/* ---- the buffer of what is to be sent -------------------------------------------------------- */

/* A larger one goes back to the heap. */
#define OUT_SPARE_BYTES (16u * KIB)

void conn_out_take(struct conn *conn)
{
    struct reactor *reactor = conn->reactor;
    if (conn->out.capacity == 0 && reactor->spare_out_count > 0) {
        conn->out = reactor->spare_outs[--reactor->spare_out_count];
        ASSERT_HOT(conn->out.size == 0);
    }
}

void conn_out_rest(struct conn *conn)
{
    struct reactor *reactor = conn->reactor;
    if (conn->out.capacity == 0 || conn->out.size > 0) {
        return;
    }
    ASSERT_HOT(conn->out_at == 0);
    if (reactor->spare_out_count < REACTOR_SPARE_OUTS && conn->out.capacity <= OUT_SPARE_BYTES) {
        reactor->spare_outs[reactor->spare_out_count++] = conn->out;
        conn->out = (struct buf){0};
    } else {
        buf_deinit(&conn->out);
    }
}
