/* What a connection does once a turn: takes up what has waited, and sends. */
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "io/socket.h"
#include "server/conn_private.h"

#define TURNS_SLICES 256u

/* A connection whose turn it is. */
struct conn_turn {
    struct conn *conn;
    bool flushes;                 /* it could take bytes when the turn began … */
    bool sends;                   /* … and still can, and may have some */
    struct session_slice *slices; /* of the write under way … */
    unsigned slice_count;
    size_t total; /* … and its bytes */
};

/* Those who have their turn together, and their writes. */
struct conn_turns {
    struct conn_turn turns[BURST_MAX];
    unsigned count;
    struct conn_turn *writers[BURST_MAX];
    struct burst_op writes[BURST_MAX];
    unsigned write_count;
    struct session_slice slices[TURNS_SLICES];
    unsigned slice_count;
    struct iovec iov[TURNS_SLICES + BURST_MAX]; /* each has its own bytes in front */
    unsigned iov_count;
};

struct conn_turns *conn_turns_new(void)
{
    return mem_calloc(1, sizeof(struct conn_turns));
}

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

/* Adds a write of all that the turn's connection has ready. False: there is nothing. */
static bool turns_gather(struct conn_turns *turns, struct conn_turn *turn)
{
    struct conn *conn = turn->conn;
    struct bytes pieces[SESSION_SLICES_MAX];
    struct iovec *iov = turns->iov + turns->iov_count;
    unsigned iov_count = 0;
    conn_deflate_fill(conn);
    turn->slices = turns->slices + turns->slice_count;
    turn->slice_count = 0;
    turn->total = conn_out_size(conn);
    if (turn->total > 0) {
        iov[iov_count++] = (struct iovec){conn->out.data + conn->out_at, turn->total};
    }
    if (conn->phase == CONN_WS && turn->total < tune.flush_bytes &&
        !compress_is_own(conn->compress)) {
        turn->slice_count = session_gather(conn->session, turn->slices, pieces, SESSION_SLICES_MAX,
                                           tune.flush_bytes - turn->total);
    }
    for (unsigned i = 0; i < turn->slice_count; i++) {
        iov[iov_count++] = (struct iovec){(void *)(uintptr_t)pieces[i].data, pieces[i].size};
        turn->total += pieces[i].size;
    }
    if (iov_count == 0) {
        return false;
    }
    turns->writers[turns->write_count] = turn;
    turns->writes[turns->write_count++] = (struct burst_op){
        .kind = BURST_WRITE, .fd = conn->handler.fd, .pieces = iov, .count = iov_count};
    turns->iov_count += iov_count;
    turns->slice_count += turn->slice_count;
    return true;
}

/* What came of the write. Returns whether the connection may have, and take, more. */
static bool turn_settle(struct conn_turn *turn, const struct burst_op *write)
{
    struct conn *conn = turn->conn;
    if (write->rc == RC_CLOSED) {
        conn_kill(conn, "the peer has gone");
        return false;
    }
    const size_t written = write->size;
    if (written > 0) {
        conn->tx_ms = conn->reactor->mono_ms;
    }
    const size_t own = conn_out_size(conn) < written ? conn_out_size(conn) : written;
    out_consume(conn, own);
    if (turn->slice_count > 0 &&
        session_sent(conn->session, turn->slices, turn->slice_count, written - own) != RC_OK) {
        conn_kill(conn, "out of memory");
        return false;
    }
    MARK_IF(written < turn->total, "conn: takes less than there is");
    MARK_IF(written == 0, "conn: takes nothing");
    conn->want_write = written < turn->total;
    return !conn->want_write;
}

/* Makes the writes that were gathered, all at once. */
static void turns_write(struct conn_turns *turns, struct burst *burst)
{
    burst_run(burst, turns->writes, turns->write_count);
    for (unsigned i = 0; i < turns->write_count; i++) {
        turns->writers[i]->sends = turn_settle(turns->writers[i], &turns->writes[i]);
    }
    turns->write_count = 0;
    turns->iov_count = 0;
    turns->slice_count = 0;
}

/* One write of each that has something to send. Returns whether any may have more. */
static bool turns_round(struct conn_turns *turns, struct burst *burst)
{
    for (unsigned i = 0; i < turns->count; i++) {
        struct conn_turn *turn = &turns->turns[i];
        if (!turn->sends) {
            continue;
        }
        if (turns->slice_count + SESSION_SLICES_MAX > TURNS_SLICES) {
            turns_write(turns, burst);
        }
        pong_append(turn->conn);
        turn->sends = !turn->conn->dead && turns_gather(turns, turn);
    }
    turns_write(turns, burst);
    bool more = false;
    for (unsigned i = 0; i < turns->count; i++) {
        more |= turns->turns[i].sends;
    }
    return more;
}

static void flush_begin(struct conn_turn *turn)
{
    struct conn *conn = turn->conn;
    turn->sends = !conn->dead && !conn->want_write && conn->phase != CONN_LINGER;
    turn->flushes = turn->sends;
    if (turn->sends && conn_out_size(conn) == 0) {
        conn->tx_ms = conn->reactor->mono_ms;
    }
}

static void flush_end(struct conn_turn *turn)
{
    struct conn *conn = turn->conn;
    if (!turn->flushes) {
        return;
    }
    if (turn->sends) {
        MARK("conn: has more than its turn");
        conn->more = true; /* others first, then again */
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

static void turn_begin(struct conn_turn *turn)
{
    struct conn *conn = turn->conn;
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
    flush_begin(turn);
}

static void turn_end(struct conn_turn *turn)
{
    struct conn *conn = turn->conn;
    flush_end(turn);
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

/* The first of the list, where they stay linked until their turn has ended: so nobody who wakes one
 * of them gives it another. */
static void turns_take(struct conn_turns *turns, const struct list *list)
{
    turns->count = 0;
    for (struct list *at = list->next; at != list && turns->count < BURST_MAX; at = at->next) {
        turns->turns[turns->count++].conn = CONTAINER_OF(at, struct conn, dirty_link);
    }
}

/* Each connection once; those that wake meanwhile have their turn in the reactor's next one. Some
 * have it together, so that their writes can be made at once. */
void conns_flush(struct reactor *reactor)
{
    struct conn_turns *turns = reactor->turns;
    struct list dirty;
    list_init(&dirty);
    struct list *node;
    while ((node = list_pop_front(&reactor->dirty)) != NULL) {
        list_push_back(&dirty, node);
    }
    while (!list_empty(&dirty)) {
        turns_take(turns, &dirty);
        for (unsigned i = 0; i < turns->count; i++) {
            turn_begin(&turns->turns[i]);
        }
        for (unsigned round = 0; round < tune.flush_rounds; round++) {
            if (!turns_round(turns, &reactor->burst)) {
                break;
            }
        }
        for (unsigned i = 0; i < turns->count; i++) {
            turn_end(&turns->turns[i]);
        }
    }
}
