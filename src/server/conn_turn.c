/* What a connection does once a turn: takes up what has waited, and sends. */
#include "base/mark.h"
#include "base/tune.h"
#include "io/socket.h"
#include "server/conn_private.h"

/* ---- output ---------------------------------------------------------------------------------- */

static void out_consume(struct conn *conn, size_t size)
{
    conn->out_at += size;
    ASSERT(conn->out_at <= conn->out.size);
    if (conn->out_at == conn->out.size) {
        conn->out_at = 0;
        buf_clear(&conn->out);
    }
}

/* [WS 5.5.3] only the latest ping need be answered; so at most one answer waits. */
static void pong_append(struct conn *conn)
{
    struct buf *pong = conn->work == NULL ? NULL : &conn->work->pong;
    if (pong == NULL || pong->size == 0 || conn_out_size(conn) > 0 || conn->phase != CONN_WS) {
        return;
    }
    /* The first byte only tells an empty payload from none. */
    const struct bytes payload = bytes_of(pong->data + 1, pong->size - 1);
    if (ws_frame_append(&conn->out, WS_PONG, payload) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    buf_clear(pong);
}

/* One write of all that is ready. False: nothing more can be sent now. */
static bool flush_once(struct conn *conn)
{
    struct session_slice slices[SESSION_SLICES_MAX];
    struct bytes pieces[SESSION_SLICES_MAX];
    struct iovec iov[SESSION_SLICES_MAX + 1];
    unsigned iov_count = 0;
    conn_deflate_fill(conn);
    size_t total = conn_out_size(conn);
    if (total > 0) {
        iov[iov_count++] = (struct iovec){conn->out.data + conn->out_at, total};
    }
    unsigned count = 0;
    if (conn->phase == CONN_WS && total < tune.flush_bytes && !compress_is_own(conn->compress)) {
        count = session_gather(conn->session, slices, pieces, SESSION_SLICES_MAX,
                               tune.flush_bytes - total);
    }
    for (unsigned i = 0; i < count; i++) {
        iov[iov_count++] = (struct iovec){(void *)(uintptr_t)pieces[i].data, pieces[i].size};
        total += pieces[i].size;
    }
    if (iov_count == 0) {
        return false;
    }
    size_t written = 0;
    const enum rc rc = socket_write(conn->handler.fd, iov, iov_count, &written);
    if (rc == RC_CLOSED) {
        conn_kill(conn, "the peer has gone");
        return false;
    }
    if (written > 0) {
        conn->tx_ms = conn->reactor->mono_ms;
    }
    const size_t own = conn_out_size(conn) < written ? conn_out_size(conn) : written;
    out_consume(conn, own);
    if (count > 0 && session_sent(conn->session, slices, count, written - own) != RC_OK) {
        conn_kill(conn, "out of memory");
        return false;
    }
    MARK_IF(written < total, "conn: takes less than there is");
    MARK_IF(written == 0, "conn: takes nothing");
    conn->want_write = written < total;
    return !conn->want_write;
}

static void conn_flush(struct conn *conn)
{
    if (conn->want_write || conn->phase == CONN_LINGER) {
        return;
    }
    if (conn_out_size(conn) == 0) {
        conn->tx_ms = conn->reactor->mono_ms;
    }
    for (unsigned round = 0; round < tune.flush_rounds; round++) {
        pong_append(conn);
        if (conn->dead || !flush_once(conn)) {
            break;
        }
        if (round + 1 == tune.flush_rounds) {
            MARK("conn: has more than its turn");
            conn->more = true; /* others first, then again */
        }
    }
    conn_deflate_rest(conn);
    if (!conn->dead && conn->want_write) {
        if (conn->session != NULL) {
            MARK("conn: its session stalls");
            session_stalled(conn->session);
        }
        conn_timer_set(conn);
    }
}

/* All is sent: [WS 7.1.1] the server ends the TCP connection first, and waits a little for the
 * other end, so that what it sent is not lost to a reset. */
static void finish(struct conn *conn)
{
    if (conn->phase == CONN_LINGER || !conn->close_after_out || conn_out_size(conn) > 0) {
        return;
    }
    socket_shutdown_write(conn->handler.fd);
    conn_move(conn, CONN_LINGER);
}

static void check_session(struct conn *conn)
{
    uint16_t code;
    const char *text;
    if (conn->phase == CONN_WS && session_closing(conn->session, &code, &text)) {
        conn_ws_close(conn, code, text);
    }
}

static void session_out(struct conn *conn)
{
    if (conn->phase == CONN_WS && session_flush(conn->session) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

/* Once it has said who it is, or has been answered over HTTP, its socket is looked at as anybody's.
 */
static void admit(struct conn *conn)
{
    const bool known = conn->phase == CONN_WS ? session_ready(conn->session) : conn->served;
    if (!conn->handler.newcomer || !known) {
        return;
    }
    (void)stats_counter_add(&conn->reactor->server->newcomers, UINT64_MAX);
    if (loop_admit(&conn->reactor->loop, &conn->handler) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

static void interest_update(struct conn *conn)
{
    const bool was_reading = conn->reading;
    MARK_IF(conn->reading && conn->phase == CONN_WS && !conn_can_take(conn),
            "conn: backpressure, reading stops");
    conn->reading = conn->phase == CONN_LINGER || (conn_in_size(conn) == 0 && conn_can_take(conn));
    if (conn->reading && !was_reading) {
        MARK("conn: reading goes on");
        /* Its silence counts from now, and so does what it has begun to say. */
        conn->heard_ms = conn->reactor->mono_ms;
        if (conn_message_ms(conn) != 0) {
            conn->work->message_ms = conn->reactor->mono_ms;
        }
        conn_timer_set(conn);
    }
    admit(conn);
    const uint32_t events = (conn->reading ? LOOP_READ : 0u) | (conn->want_write ? LOOP_WRITE : 0u);
    if (loop_set(&conn->reactor->loop, &conn->handler, events) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

/* What has waited and may be taken now. */
static bool has_input(const struct conn *conn)
{
    if (conn->phase == CONN_WS && conn_deferring(conn)) {
        return conn_ws_can_take(conn);
    }
    return conn_in_size(conn) > 0 && conn_can_take(conn) && !conn->blocked;
}

static void conn_turn(struct conn *conn)
{
    conn->more = false;
    if (!conn->dead) {
        conn_resume(conn);
    }
    if (!conn->dead) {
        check_session(conn);
    }
    if (!conn->dead) {
        session_out(conn);
    }
    if (!conn->dead) {
        conn_flush(conn);
    }
    if (!conn->dead) {
        finish(conn);
    }
    if (!conn->dead) {
        interest_update(conn);
        conn_work_rest(conn);
        conn_out_rest(conn);
    }
    list_remove(&conn->dirty_link);
    if (conn->dead) {
        conn_destroy(conn);
    } else if (conn->more || has_input(conn)) {
        conn_wake(conn);
    }
}

/* Each connection once; those that wake meanwhile have their turn in the reactor's next one. */
void conns_flush(struct reactor *reactor)
{
    struct list turn;
    list_init(&turn);
    struct list *node;
    while ((node = list_pop_front(&reactor->dirty)) != NULL) {
        list_push_back(&turn, node);
    }
    while (!list_empty(&turn)) {
        conn_turn(CONTAINER_OF(turn.next, struct conn, dirty_link));
    }
}
