/* The session's inside, between the files of this module only.
 *
 * Thread: the owning reactor.  Memory: see session.h. */
#ifndef SESSION_SESSION_PRIVATE_H
#define SESSION_SESSION_PRIVATE_H

#include "session/session.h"
#include "wire/json_codec.h"
#include "wire/ws.h"

enum session_state {
    SESSION_OPENING,
    SESSION_READY,
    SESSION_CLOSING,
    SESSION_STATE_COUNT,
};

struct session {
    const struct session_env *env;
    struct buf *out;
    void *user;
    uint64_t connection;
    enum session_state state;
    uint16_t close_code;
    const char *close_text;
    uint8_t *producer_id; /* owned; NULL: none */
    uint8_t producer_id_size;
    uint64_t producer_epoch;
    uint32_t inflight_count;
    size_t inflight_bytes;
    struct map subs;     /* by channel name */
    struct list ready;   /* struct subscription.ready_link */
    uint32_t read_count; /* subscriptions that wait for a read, or hold what it gave */
    bool stalled;        /* the socket took no more at the last write */
};

void session_check(const struct session *session);
void session_move(struct session *session, enum session_state next);
/* Asks for the connection to be closed; the first code given stands. */
void session_close_with(struct session *session, uint16_t code, const char *text);

/* Encodes with one of the json_encode functions and frames it: begin, encode into the buffer given,
 * end. RC_NOMEM: nothing was appended. */
MUST_USE enum rc session_send_error(struct session *session, const struct wire_error *error);
MUST_USE enum rc session_send_encoded(struct session *session);
/* An error reply made of a code and a sentence. */
MUST_USE enum rc session_refuse(struct session *session, uint64_t id, enum wire_error_code code,
                                const char *message);

MUST_USE enum rc session_subscribe(struct session *session, const struct wire_command *command);
MUST_USE enum rc session_ack(struct session *session, const struct wire_command *command);
MUST_USE enum rc session_unsubscribe(struct session *session, const struct wire_command *command);
MUST_USE enum rc session_digest(struct session *session, const struct wire_command *command);
struct subscription *session_sub_find(const struct session *session, struct bytes channel);
struct bytes subscription_key(const void *value);

#endif
