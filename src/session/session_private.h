/* The session's inside, between the files of this module only.
 *
 * Thread: the owning reactor.  Memory: see session.h. */
#ifndef SESSION_SESSION_PRIVATE_H
#define SESSION_SESSION_PRIVATE_H

#include "session/session.h"
#include "session/subs.h"
#include "wire/codec.h"
#include "wire/ws_deflate.h"

enum session_state {
    SESSION_OPENING,
    SESSION_READY,
    SESSION_CLOSING,
    SESSION_STATE_COUNT,
};

/* [P 15] Publishes that are stored and not told yet, since the next one may be told with them. */
struct run {
    uint32_t publishes;           /* 0: none is held back */
    uint64_t id;                  /* of the first */
    struct publish_result result; /* of the first, but `count` is that of all; its channel: */
    uint8_t channel[CHANNEL_NAME_BYTES_MAX];
};

/* Whom a connection publishes as. */
struct named_producer {
    uint64_t epoch;
    uint8_t id_size;
    uint8_t id[];
};

/* What every connection has, be it idle: see the bound below. */
struct session {
    const struct session_env *env;
    struct buf *out;
    void *user;
    uint64_t connection;
    const char *close_text;
    struct named_producer *producer; /* owned; NULL: none */
    struct run *run;                 /* owned; NULL: each publish is answered on its own */
    struct deflater *deflater;       /* lent; NULL: its messages go out plain */
    struct subs subs;
    struct list ready; /* struct subscription.ready_link */
    uint32_t inflight_count;
    uint32_t inflight_bytes;
    uint32_t read_count; /* under way, also of subscriptions that have ended, or held by one */
    uint16_t close_code;
    uint8_t codec; /* enum wire_codec */
    uint8_t state; /* enum session_state */
    bool deflated; /* takes what was compressed for all */
    bool stalled;  /* the socket took no more at the last write */
};

static_assert(sizeof(struct session) <= 120, "with the heap's 8 bytes no more than 128");

void session_check(const struct session *session);
void session_move(struct session *session, enum session_state next);
/* Asks for the connection to be closed; the first code given stands. */
void session_close_with(struct session *session, uint16_t code, const char *text);

/* Encodes with one of the codec_encode functions and frames it: begin, encode into the buffer
 * given, end. RC_NOMEM: nothing was appended. */
MUST_USE enum rc session_send_error(struct session *session, const struct wire_error *error);
MUST_USE enum rc session_send_encoded(struct session *session);
/* An error reply made of a code and a sentence. */
MUST_USE enum rc session_refuse(struct session *session, uint64_t id, enum wire_error_code code,
                                const char *message);

/* How a publish's tag is made: the command's id, and whether only an error is to be told. */
uint64_t session_tag(const struct wire_command *command);
MUST_USE enum rc session_subscribe(struct session *session, const struct wire_command *command);
MUST_USE enum rc session_ack(struct session *session, const struct wire_command *command);
MUST_USE enum rc session_unsubscribe(struct session *session, const struct wire_command *command);
MUST_USE enum rc session_digest(struct session *session, const struct wire_command *command);

#endif
