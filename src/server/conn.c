/* A socket from accept to close: bytes in, deadlines. What goes out: conn_turn.c. */
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "io/socket.h"
#include "server/conn_private.h"
#include "server/logger.h"

#define CLOSING_TIMEOUT_MS 5000u  /* for the peer's Close */
#define LINGER_TIMEOUT_MS  2000u  /* for the peer's end of the connection */
#define KEEP_ALIVE_MS      60000u /* an HTTP connection between requests */

#define HANDLE_REACTOR_SHIFT (32u + CONN_GENERATION_BITS)

#define TO(name) (1u << CONN_##name)
static const unsigned conn_moves[CONN_PHASE_COUNT] = {
    [CONN_HTTP] = TO(WS) | TO(LINGER),
    [CONN_WS] = TO(CLOSING) | TO(LINGER),
    [CONN_CLOSING] = TO(LINGER),
    [CONN_LINGER] = 0,
};
#undef TO

void conn_move(struct conn *conn, enum conn_phase next)
{
    ASSERT(conn_moves[conn->phase] & (1u << next));
    conn->phase = (uint8_t)next;
    conn->since_ms = conn->reactor->mono_ms;
    conn_timer_set(conn);
}

/* ---- the table ------------------------------------------------------------------------------- */

uint64_t conn_handle(const struct conn *conn)
{
    return conn->handle;
}

struct conn *conn_find(struct reactor *reactor, uint64_t handle)
{
    ASSERT(handle >> HANDLE_REACTOR_SHIFT == reactor->index);
    struct conn *conn = conn_table_at(&reactor->conns, (uint32_t)handle);
    return conn != NULL && conn->handle == handle && !conn->dead ? conn : NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void tell_gone(struct reactor *reactor, struct mail_connection *mail)
{
    struct server *server = reactor->server;
    (void)stats_counter_add(&server->connections, UINT64_MAX); /* minus one */
    ASSERT(mail->fd < 0);
    if (server->config->limit_connections_per_ip == 0) {
        mail_free(&mail->mail);
        return;
    }
    mail->mail.kind = MAIL_GONE;
    mesh_send(&server->mesh, reactor->index, 0, &mail->mail);
}

static_assert(sizeof(struct mail_connection) <= sizeof(struct conn), "see obituary()");

/* Its own memory becomes the mail that tells of its end: there must be some whatever happens. */
static void obituary(struct conn *conn)
{
    struct reactor *reactor = conn->reactor;
    const struct address peer = conn->peer;
    struct mail_connection *mail = (struct mail_connection *)(void *)conn;
    *mail = (struct mail_connection){.fd = -1, .peer = peer};
    list_init(&mail->mail.link);
    tell_gone(reactor, mail);
}

void conn_destroy(struct conn *conn)
{
    struct reactor *reactor = conn->reactor;
    ASSERT(conn_table_at(&reactor->conns, (uint32_t)conn->handle) == conn);
    conn_table_remove(&reactor->conns, conn->handle);
    session_close(conn->session);
    if (conn->handler.newcomer) {
        (void)stats_counter_add(&reactor->server->newcomers, UINT64_MAX);
    }
    loop_forget(&reactor->loop, &conn->handler);
    socket_close(conn->handler.fd);
    timer_disarm(&reactor->timers, &conn->timer);
    list_remove(&conn->dirty_link);
    conn_block_end(conn);
    conn_work_free(conn);
    compress_close(&reactor->compress, conn->compress);
    buf_deinit(&conn->out);
    obituary(conn);
}

void conn_kill(struct conn *conn, const char *why)
{
    if (!conn->dead && log_enabled(LEVEL_DEBUG)) {
        char peer[ADDRESS_TEXT_SIZE];
        address_print(&conn->peer, peer);
        log_event(LEVEL_DEBUG, "connection closed", FIELD_U64("connection", conn->handle),
                  FIELD_TEXT("peer", peer), FIELD_TEXT("why", why));
    }
    conn->dead = true;
    conn_wake(conn);
}

void conn_wake(struct conn *conn)
{
    if (list_empty(&conn->dirty_link)) {
        list_push_back(&conn->reactor->dirty, &conn->dirty_link);
    }
}

/* A connection in its first phase, known to nobody yet. NULL: out of memory */
static struct conn *conn_new(struct reactor *reactor)
{
    struct conn *conn = mem_calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return NULL;
    }
    conn->reactor = reactor;
    conn->phase = CONN_HTTP;
    conn->reading = true;
    list_init(&conn->dirty_link);
    timer_init(&conn->timer);
    conn->heard_ms = reactor->mono_ms;
    conn->tx_ms = reactor->mono_ms;
    conn->since_ms = reactor->mono_ms;
    struct conn_work *work = conn_work_new(conn);
    if (work == NULL || http_parser_new(&work->parser) != RC_OK) {
        conn_work_free(conn);
        mem_free(conn);
        return NULL;
    }
    return conn;
}

void conn_open(struct reactor *reactor, struct mail_connection *mail)
{
    const int fd = mail->fd;
    mail->fd = -1;
    struct conn *conn = conn_new(reactor);
    uint64_t handle;
    if (conn == NULL || conn_table_add(&reactor->conns, conn, &handle) != RC_OK) {
        socket_close(fd);
        if (conn != NULL) {
            conn_work_free(conn);
        }
        mem_free(conn);
        (void)stats_counter_add(&reactor->server->newcomers, UINT64_MAX);
        tell_gone(reactor, mail);
        return;
    }
    conn->handle = (uint64_t)reactor->index << HANDLE_REACTOR_SHIFT | handle;
    conn->handler = (struct loop_handler){.fd = fd, .kind = HANDLER_CONN, .newcomer = true};
    conn->peer = mail->peer;
    mail_free(&mail->mail);
    conn_timer_set(conn);
    if (loop_set(&reactor->loop, &conn->handler, LOOP_READ) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint64_t http_deadline(const struct conn *conn, const struct config *config)
{
    const struct conn_work *work = conn->work;
    if (work->exchange != NULL) {
        return work->exchange->waiting ? 0 : conn->since_ms + config->message_timeout_ms;
    }
    return conn->since_ms + (!conn->served || http_parser_busy(conn->work->parser)
                                 ? config->head_timeout_ms
                                 : KEEP_ALIVE_MS);
}

static uint64_t ws_deadline(const struct conn *conn, const struct config *config)
{
    if (!session_ready(conn->session)) {
        return conn->since_ms + config->connect_timeout_ms;
    }
    if (!conn->reading) {
        return 0; /* it is us who do not listen */
    }
    /* A ping would wait behind what the peer has not taken yet; the write timeout rules then. */
    const uint64_t silent = conn->want_write  ? 0
                            : conn->ping_sent ? conn->heard_ms + config->pong_timeout_ms
                                              : conn->heard_ms + config->ping_interval_ms;
    const uint64_t message_ms = conn_message_ms(conn);
    return message_ms == 0 ? silent : sooner(silent, message_ms + config->message_timeout_ms);
}

/* When something must have happened; 0: no deadline. */
static uint64_t conn_deadline(const struct conn *conn)
{
    const struct config *config = conn->reactor->server->config;
    const uint64_t write = conn->want_write ? conn->tx_ms + config->write_timeout_ms : 0;
    switch ((enum conn_phase)conn->phase) {
    case CONN_HTTP: return sooner(write, http_deadline(conn, config));
    case CONN_WS: return sooner(write, ws_deadline(conn, config));
    case CONN_CLOSING: return sooner(write, conn->since_ms + CLOSING_TIMEOUT_MS);
    case CONN_LINGER: return conn->since_ms + LINGER_TIMEOUT_MS;
    case CONN_PHASE_COUNT: break;
    }
    UNREACHABLE();
}

/* Deadlines mostly move away: the timer is only moved when one comes nearer, and looks again when
 * it fires. */
void conn_timer_set(struct conn *conn)
{
    const uint64_t due = conn_deadline(conn);
    if (due != 0 && (conn->timer.due_ms == 0 || due < conn->timer.due_ms)) {
        timer_arm(&conn->reactor->timers, &conn->timer, due);
    }
}

static void ws_overdue(struct conn *conn, uint64_t now)
{
    const struct config *config = conn->reactor->server->config;
    const uint64_t message_ms = conn_message_ms(conn);
    if (!session_ready(conn->session)) {
        MARK("conn: upgraded, and no connect in time");
        session_on_connect_timeout(conn->session);
        conn_wake(conn);
    } else if (message_ms != 0 && now >= message_ms + config->message_timeout_ms) {
        MARK("conn: a message takes too long");
        conn_ws_close(conn, WS_CLOSE_POLICY, "a message took too long");
    } else if (conn->ping_sent && now >= conn->heard_ms + config->pong_timeout_ms) {
        MARK("conn: no pong in time");
        conn_ws_close(conn, WS_CLOSE_POLICY, "nothing has come for too long");
    } else if (!conn->ping_sent) {
        MARK("conn: a ping");
        conn->ping_sent = true;
        if (ws_frame_append(&conn->out, WS_PING, (struct bytes){0}) != RC_OK) {
            conn_kill(conn, "out of memory");
        }
        conn_wake(conn);
    }
}

static void http_overdue(struct conn *conn)
{
    const bool idle = conn->work->exchange == NULL && !http_parser_busy(conn->work->parser);
    const struct bytes too_long =
        BYTES_LITERAL("{\"code\":\"bad_request\",\"message\":\"the request took too long\"}\n");
    if (!idle &&
        http_response_append(&conn->out, 408, "application/json", NULL, too_long, true) == RC_OK) {
        MARK("http: a request takes too long");
        conn->close_after_out = true;
        conn_wake(conn);
        return;
    }
    MARK("http: no request in time");
    conn_kill(conn, "no request in time");
}

void conn_on_timer(struct timer *timer, struct reactor *reactor)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    const struct config *config = reactor->server->config;
    const uint64_t now = reactor->mono_ms;
    if (conn->dead) {
        return;
    }
    const uint64_t due = conn_deadline(conn);
    if (due != 0 && due <= now) {
        if (conn->want_write && now >= conn->tx_ms + config->write_timeout_ms) {
            MARK("conn: takes no bytes for too long");
            conn_kill(conn, "it takes no bytes");
        } else if (conn->phase == CONN_WS) {
            ws_overdue(conn, now);
        } else if (conn->phase == CONN_HTTP && !conn->close_after_out) {
            http_overdue(conn);
        } else {
            MARK("conn: the peer does not close in time");
            conn_kill(conn, "the peer did not close in time");
        }
    }
    if (!conn->dead) {
        const uint64_t next = conn_deadline(conn);
        if (next != 0) {
            timer_arm(&reactor->timers, &conn->timer, next > now ? next : now + 1);
        }
    }
}

/* ---- input ----------------------------------------------------------------------------------- */

bool conn_ws_can_take(const struct conn *conn)
{
    ASSERT(conn->phase == CONN_WS);
    return !conn->blocked && session_can_take(conn->session) &&
           conn_out_size(conn) < tune.out_bytes;
}

/* Whether bytes from the socket may be taken. */
bool conn_can_take(const struct conn *conn)
{
    switch ((enum conn_phase)conn->phase) {
    case CONN_HTTP:
        return !conn->close_after_out &&
               (conn->work->exchange == NULL || !conn->work->exchange->waiting) &&
               conn_out_size(conn) < tune.out_bytes;
    case CONN_WS: return !conn_deferring(conn) && conn_ws_can_take(conn);
    case CONN_CLOSING:
    case CONN_LINGER: return true;
    case CONN_PHASE_COUNT: break;
    }
    UNREACHABLE();
}

static size_t input_step(struct conn *conn, uint8_t *data, size_t size)
{
    switch ((enum conn_phase)conn->phase) {
    case CONN_HTTP: return http_input(conn, data, size);
    case CONN_WS:
    case CONN_CLOSING: return conn_ws_input(conn, data, size);
    case CONN_LINGER: return size;
    case CONN_PHASE_COUNT: break;
    }
    UNREACHABLE();
}

/* [I12] Whether what it has read has become more than its turn. */
static bool has_had_its_turn(const struct conn *conn)
{
    return conn->reactor->inflated >= tune.read_bytes;
}

/* Takes bytes as far as it can; what must wait is kept, once. */
static void conn_input(struct conn *conn, uint8_t *data, size_t size)
{
    conn->reactor->inflated = 0;
    while (size > 0 && !conn->dead && conn_can_take(conn) && !has_had_its_turn(conn)) {
        const size_t used = input_step(conn, data, size);
        ASSERT(used <= size);
        data += used;
        size -= used;
    }
    if (size == 0 || conn->dead) {
        return;
    }
    MARK("conn: input waits");
    if (conn_can_take(conn)) {
        MARK("conn: its messages inflate to more than its turn");
        conn_wake(conn);
    }
    struct conn_work *work = conn_work_need(conn);
    if (work != NULL && buf_append(&work->in, bytes_of(data, size)) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
}

/* The way back from waiting: first what is left of a message, then what was read behind it. */
void conn_resume(struct conn *conn)
{
    if (conn_deferring(conn) && conn->phase == CONN_WS && conn_ws_can_take(conn)) {
        conn_ws_resume(conn);
    }
    if (conn->dead || conn->blocked || conn_in_size(conn) == 0 || !conn_can_take(conn)) {
        return;
    }
    MARK("conn: input that has waited is taken");
    struct buf in = conn->work->in;
    conn->work->in = (struct buf){0};
    conn_input(conn, in.data, in.size);
    buf_deinit(&in);
}

/* A client may end its side of an HTTP connection and still wait for what it asked for. */
static void on_eof(struct conn *conn)
{
    if (conn->phase == CONN_HTTP && !conn->eof && conn_out_size(conn) > 0) {
        MARK("http: the client ends its side and is still answered");
        conn->eof = true;
        conn->close_after_out = true;
        conn_wake(conn);
        return;
    }
    conn_kill(conn, "the peer has gone");
}

void conn_on_bytes(struct conn *conn, enum rc rc, uint8_t *data, size_t size)
{
    if (conn->dead || rc == RC_AGAIN) {
        return;
    }
    if (rc != RC_OK) {
        on_eof(conn);
        return;
    }
    conn->heard_ms = conn->reactor->mono_ms;
    conn->ping_sent = false;
    conn_out_take(conn);
    conn_input(conn, data, size);
    if (!conn->dead) {
        conn_work_rest(conn);
        conn_out_rest(conn);
        conn_timer_set(conn);
    }
}

/* It has something. Whether that is to be read now. */
static bool wants_read(struct conn *conn)
{
    if (conn_can_take(conn) && conn_in_size(conn) == 0) {
        return true;
    }
    MARK("conn: it is not listened to for a while");
    conn->reading = false; /* its turn tells the loop */
    conn_wake(conn);
    return false;
}

bool conn_on_events(struct conn *conn, uint32_t events)
{
    if (conn->dead) {
        return false;
    }
    if ((events & LOOP_WRITE) != 0) {
        conn->want_write = false;
        MARK("conn: takes bytes again");
        conn->heard_ms = conn->reactor->mono_ms; /* who takes bytes is there */
        conn->ping_sent = false;
        conn_timer_set(conn);
        conn_wake(conn);
    }
    if ((events & (LOOP_READ | LOOP_HANGUP)) != 0) {
        if (conn->reading) {
            return wants_read(conn);
        }
        if ((events & LOOP_HANGUP) != 0) {
            MARK("conn: gone while it is not listened to");
            conn_kill(conn, "the peer has gone");
        }
    }
    return false;
}

/* ---- what others tell it --------------------------------------------------------------------- */

void conn_block(struct conn *conn)
{
    struct reactor *reactor = conn->reactor;
    ASSERT(!conn->blocked);
    struct conn_work *work = conn_work_need(conn);
    if (work == NULL) {
        return;
    }
    conn->blocked = true;
    work->blocked_partition = reactor->full_partition;
    MARK("credit: a publish waits for room");
    work->blocked_size = reactor->full_size;
    list_push_back(&reactor->blocked[work->blocked_partition], &work->blocked_link);
    reactor->blocked_count++;
}

void conn_block_end(struct conn *conn)
{
    if (conn->blocked) {
        ASSERT(conn->reactor->blocked_count > 0);
        conn->reactor->blocked_count--;
        conn->blocked = false;
        list_remove(&conn->work->blocked_link);
    }
}

/* In the order they came, as long as there is room for the first: nobody's command is decoded again
 * in vain. */
static void unblock_partition(struct reactor *reactor, unsigned partition)
{
    struct list *waiting = &reactor->blocked[partition];
    while (!list_empty(waiting)) {
        const struct conn_work *work = CONTAINER_OF(waiting->next, struct conn_work, blocked_link);
        struct conn *conn = work->conn;
        if (!router_has_room(reactor, partition, work->blocked_size)) {
            MARK("credit: room, but not enough for who is next");
            return;
        }
        conn_block_end(conn);
        if (!conn->dead && conn->phase == CONN_WS) {
            MARK("credit: a publish that waited goes on");
            conn_ws_retry(conn);
        } else if (!conn->dead) {
            MARK("credit: a publish over HTTP that waited goes on");
            http_retry(conn);
        }
        conn_wake(conn);
    }
}

void conns_unblock(struct reactor *reactor)
{
    reactor->unblocking = true;
    for (unsigned i = 0; reactor->blocked_count > 0 && i < reactor->server->partitions; i++) {
        unblock_partition(reactor, i);
    }
    reactor->unblocking = false;
}

/* ---- all of them ----------------------------------------------------------------------------- */

void conns_goaway(struct reactor *reactor)
{
    for (uint32_t slot = 0; slot < conn_table_end(&reactor->conns); slot++) {
        struct conn *conn = conn_table_at(&reactor->conns, slot);
        if (conn == NULL || conn->dead) {
            continue;
        }
        if (conn->phase == CONN_WS && session_ready(conn->session)) {
            MARK("conn: goaway");
            conn_ws_goaway(conn);
        }
        conn_wake(conn);
    }
}

void conns_close(struct reactor *reactor, bool now)
{
    for (uint32_t slot = 0; slot < conn_table_end(&reactor->conns); slot++) {
        struct conn *conn = conn_table_at(&reactor->conns, slot);
        if (conn == NULL) {
            continue;
        }
        if (now) {
            conn_destroy(conn);
        } else if (conn->phase == CONN_WS && !conn->dead) {
            conn_ws_close(conn, WS_CLOSE_GOING_AWAY, "the server is stopping");
        } else if (conn->phase == CONN_HTTP && conn->work->exchange == NULL) {
            conn->close_after_out = true;
            conn_wake(conn);
        }
    }
}

bool conns_busy(const struct reactor *reactor)
{
    if (reactor->blocked_count > 0) {
        return true;
    }
    for (unsigned i = 0; i < reactor->server->partitions; i++) {
        if (reactor->credit_used[i] > 0) {
            return true;
        }
    }
    return false;
}
