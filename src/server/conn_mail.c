/* What comes back for a connection from the owners of partitions: results, answers, reads. */
#include "server/conn_private.h"

void conn_on_published(struct conn *conn, uint64_t id, const struct publish_result *result,
                       size_t size)
{
    conn_out_take(conn);
    if (conn->phase == CONN_HTTP) {
        http_on_published(conn, result);
    } else if (conn->session != NULL &&
               session_on_published(conn->session, id, result, size) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    conn_wake(conn);
}

void conn_on_answer(struct conn *conn, const struct session_answer *answer)
{
    if (conn->session != NULL && session_on_subscribed(conn->session, answer) != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    conn_wake(conn);
}

static enum rc give_catch_up(struct conn *conn, struct mail_read *read)
{
    struct session_read give = {
        .sub_id = read->sub_id,
        .channel = read->channel,
        .rc = read->rc,
        .chunk = read->chunk == NULL ? NULL : &read->chunk->chunk,
        .trimmed = read->trimmed,
        .damaged_end = read->damaged_count > 0 ? read->damaged[0].to + 1 : 0,
        .position = read->position,
    };
    read->chunk = NULL; /* the reference goes to the session */
    return session_on_read(conn->session, &give);
}

static enum rc give_history(struct conn *conn, struct mail_read *read)
{
    const struct session_history give = {
        .id = read->id,
        .channel = read->channel,
        .rc = read->rc,
        .position = read->position,
        .messages = buf_bytes(&read->elements),
        .damaged = read->damaged,
        .damaged_count = read->damaged_count,
        .more = read->more,
    };
    return session_on_history(conn->session, &give);
}

static enum rc give_digest(struct conn *conn, const struct mail_read *read)
{
    const struct session_digest give = mail_digest(read);
    return session_on_digest(conn->session, &give);
}

static enum rc give_read(struct conn *conn, struct mail_read *read)
{
    switch (read->purpose) {
    case READ_CATCH_UP: return give_catch_up(conn, read);
    case READ_HISTORY: return give_history(conn, read);
    case READ_DIGEST: return give_digest(conn, read);
    }
    UNREACHABLE();
}

void conn_on_read(struct conn *conn, struct mail_read *read)
{
    enum rc rc = RC_OK;
    if (conn->phase == CONN_HTTP) {
        http_on_read(conn, read);
    } else if (conn->session != NULL) {
        rc = give_read(conn, read);
    }
    if (rc != RC_OK) {
        conn_kill(conn, "out of memory");
    }
    conn_wake(conn);
}
