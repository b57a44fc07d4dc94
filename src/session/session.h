/* One conversation: commands in, replies and pushes out; a state machine without I/O.
 *
 *                connect              close asked or error
 *   OPENING ───────────────▶ READY ────────────────────────▶ CLOSING
 *      │ anything else, or not a command                        ▲
 *      └────────────────────────────────────────────────────────┘
 *
 * The connection feeds whole messages in, sends what stands in `out` first and then what
 * session_gather() gives, and closes when session_closing() says so. What concerns a channel goes
 * to its owner through session_ops and comes back through the session_on_… functions, maybe on a
 * later tick, maybe never if the session ends before.
 *
 * Thread: the owning reactor.  Memory: session_close() frees everything. */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "core/partition.h"
#include "session/feed.h"
#include "wire/command.h"
#include "wire/deflate.h"

struct session; /* opaque */

/* Where a subscription wants to begin; sent to the channel's owner. */
struct session_ask {
    uint64_t feed_id;
    uint64_t sub_id;
    struct bytes channel;
    enum wire_codec codec; /* of the feed that is to get the tail */
    enum wire_from from;
    bool has_epoch; /* WIRE_FROM_EPOCH_SEQ of what may be an epoch of ours */
    uint64_t epoch;
    uint64_t seq;
    uint64_t time_ms;
    bool on_gap_reset;
    bool deflated; /* chunks are wanted compressed as well */
};

/* The owner's answer. */
struct session_answer {
    uint64_t feed_id;
    uint64_t sub_id;
    struct bytes channel;
    enum position_verdict verdict; /* other than OK with `reset` false: refused */
    bool failed;                   /* the log could not be read (from a time) */
    struct position position;
    uint64_t next;
};

/* What a read of the log for a subscription gave. */
struct session_read {
    uint64_t sub_id;
    struct bytes channel;
    enum rc rc;           /* RC_OK, or why nothing could be read */
    struct chunk *chunk;  /* begins where it was to; NULL: see below. A reference that is taken */
    bool trimmed;         /* retention has passed the cursor: go on at position.earliest */
    uint64_t damaged_end; /* > 0: the bytes up to this seq cannot be read; go on there */
    struct position position;
};

struct session_history {
    uint64_t id;
    struct bytes channel;
    enum rc rc;
    struct position position;
    struct bytes messages;            /* encoded elements, in JSON with commas between them */
    const struct wire_range *damaged; /* what had to be left out */
    size_t damaged_count;
    bool more;
};

/* The digest that was asked for, or why there is none. */
struct session_digest {
    uint64_t id;
    struct bytes channel;
    enum rc rc;          /* RC_OK, or the log could not be read */
    const char *missing; /* "trimmed", "ahead", "damaged"; NULL: here it is */
    struct position position;
    uint64_t seq;
    uint64_t digest;
};

/* What a session asks of its surroundings. Calls return at once; answers come later. */
struct session_ops {
    /* `tag` and `size`, which counts against the bounds, come back with the answer.
     * RC_OK         the answer comes through session_on_published()
     * RC_FULL       no room now: the caller of session_on_message() keeps the rest and comes again
     * RC_NOMEM */
    enum rc (*publish)(void *ctx, struct session *session, const struct command_publish *head,
                       const struct command_message *messages, uint64_t tag, size_t size);
    enum rc (*subscribe)(void *ctx, struct session *session, const struct session_ask *ask);
    void (*detach)(void *ctx, const struct feed *feed);
    /* Messages of the channel from `from` on, at most `count_max`: of subscription_keeps(sub) the
     * newest only, or the newest of each key, with the gaps between them. Reads of a subscription
     * come back in the order in which they were asked for, unless retention passes one. RC_NOMEM */
    enum rc (*read)(void *ctx, struct session *session, const struct subscription *sub,
                    uint64_t from, uint32_t count_max);
    enum rc (*history)(void *ctx, struct session *session, const struct wire_command *command);
    enum rc (*digest)(void *ctx, struct session *session, const struct wire_command *command);
    /* There is something to send, or room to take more. */
    void (*wake)(void *ctx, struct session *session);
    void (*chunk_unref)(void *ctx, struct chunk *chunk);
};

/* What all sessions of a reactor share. */
struct session_env {
    const struct session_ops *ops;
    void *ctx;
    struct feed_table *feeds;
    struct wire_scratch *scratch;
    struct buf *encode; /* for encoding; empty between calls */
    unsigned node;
    const char *durability;
    uint32_t ping_ms;
    size_t message_bytes_max;
    size_t frame_bytes_max;
    uint32_t subscriptions_max;
    uint32_t inflight_max;     /* commands of a session sent on and not yet answered */
    size_t inflight_bytes_max; /* and their bytes */
};

/* `out` is the connection's and outlives the session. RC_NOMEM */
MUST_USE enum rc session_open(const struct session_env *env, enum wire_codec codec,
                              uint64_t connection, void *user, struct buf *out,
                              struct session **ret_session);
/* From now on its messages go out by `deflater`, which is lent as long as it lives. `shared`: so do
 * those of chunks that have been compressed for all; else the caller sees to what is gathered. */
void session_deflate(struct session *session, struct deflater *deflater, bool shared);
/* Whether it takes chunks that have been compressed for all. */
bool session_deflated(const struct session *session);
/* NULL is allowed. Ends its subscriptions. */
void session_close(struct session *session);
void *session_user(const struct session *session);
enum wire_codec session_codec(const struct session *session);

/* A whole message, text or binary as its codec has it. Takes one command off the front of `*rest`,
 * in JSON the only one; as long as something is left, call again once session_can_take().
 * RC_OK    taken (also when it was refused by an error reply)
 * RC_FULL  a publish that cannot be taken now: keep `*rest`, call again later, feed nothing else
 *          before
 * RC_NOMEM close the connection */
MUST_USE enum rc session_on_message(struct session *session, struct bytes *rest, uint64_t now_ms);
/* Whether the next command may be fed: not closing, and below its limits. */
bool session_can_take(const struct session *session);
/* `connect` has been answered. */
bool session_ready(const struct session *session);
/* Whether it wants the connection closed, with what. */
bool session_closing(const struct session *session, uint16_t *ret_code, const char **ret_text);
/* [P 3] A frame that is not UTF-8: answered, then closed with 1007. */
void session_on_bad_text(struct session *session);
/* [P 3] connect: none has come in time. */
void session_on_connect_timeout(struct session *session);
/* Sends goaway. RC_NOMEM */
MUST_USE enum rc session_goaway(struct session *session, const char *reason, uint64_t reconnect_ms);
/* Publishes, subscribes and reads of histories and digests sent on and not answered yet. */
uint32_t session_inflight(const struct session *session);

/* ---- answers; RC_NOMEM: close the connection ------------------------------------------------ */

/* `tag`, `size`: what session_ops.publish was given. */
MUST_USE enum rc session_on_published(struct session *session, uint64_t tag,
                                      const struct publish_result *result, size_t size);
/* Puts into `out` what was held back to be told together. Before each write. RC_NOMEM */
MUST_USE enum rc session_flush(struct session *session);
MUST_USE enum rc session_on_subscribed(struct session *session,
                                       const struct session_answer *answer);
MUST_USE enum rc session_on_read(struct session *session, const struct session_read *read);
MUST_USE enum rc session_on_history(struct session *session, const struct session_history *history);
MUST_USE enum rc session_on_digest(struct session *session, const struct session_digest *digest);

/* [P 8] The reply to `digest`, or the error, as HTTP has it. RC_NOMEM */
MUST_USE enum rc digest_encode_http(struct buf *to, const struct session_digest *digest);
/* The error for a refused publish; shared with the HTTP API. */
void publish_error(struct wire_error *ret_error, uint64_t id, const struct publish_result *result);

/* ---- sending -------------------------------------------------------------------------------- */

/* Frames of one chunk that go out together. */
struct session_slice {
    struct subscription *sub;
    const struct chunk *chunk;
    uint32_t from; /* frames from … to-1 */
    uint32_t to;
};

#define SESSION_SLICES_MAX 64u

/* What may be sent now behind `out`: fills slices[] and pieces[] (the bytes of each), returns how
 * many. Also asks for reads where a cursor has fallen behind. */
unsigned session_gather(struct session *session, struct session_slice slices[],
                        struct bytes pieces[], unsigned max, size_t bytes_max);
/* Of those, `size` bytes have gone out: cursors move; the rest of a frame cut in the middle goes to
 * `out`. RC_NOMEM: close the connection. */
MUST_USE enum rc session_sent(struct session *session, const struct session_slice slices[],
                              unsigned count, size_t size);
/* The socket takes no more: lets go of what was read from the log; the cursor remembers. */
void session_stalled(struct session *session);

#endif
