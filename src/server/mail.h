/* What reactors send one another.
 *
 * A connection lives on the reactor that serves its socket, a partition on the reactor that owns
 * it; everything between the two is one of these. Mail of one pair of reactors arrives in the order
 * sent. A mail belongs to its receiver, who frees it or sends it on.
 *
 * Thread: one owner at a time; a ring hands it over.  Memory: mail_free(). */
#ifndef SERVER_MAIL_H
#define SERVER_MAIL_H

#include "base/list.h"
#include "io/address.h"
#include "io/worker.h"
#include "log/file_log.h"
#include "server/conflate.h"
#include "server/frames.h"
#include "session/session.h"

enum mail_kind {
    MAIL_CONNECTION, /* struct mail_connection: a socket to serve */
    MAIL_GONE,       /* struct mail_connection, back: that socket is closed (to the acceptor) */
    MAIL_PARCEL,     /* struct mail_parcel: publishes, to the owner */
    MAIL_REPLIES,    /* struct mail_replies: their results, back */
    MAIL_ASK,        /* struct mail_ask: a subscribe, to the owner */
    MAIL_ANSWER,     /* struct mail_ask, back */
    MAIL_DETACH, /* struct mail_channel: nobody follows the channel in that codec there any more */
    MAIL_TAIL,   /* struct mail_tail: newly committed messages, to who follows */
    MAIL_READ,   /* struct mail_read: older messages wanted, to the owner */
    MAIL_READ_DONE, /* struct mail_read, back */
    MAIL_DRAIN,     /* struct mail: begin to stop (from the main thread) */
    MAIL_CLOSE,     /* struct mail: close every connection, with a word */
    MAIL_STOP,      /* struct mail: stop now */
    MAIL_DRAINED,   /* struct mail: nothing is in flight here (to the main thread) */
};

struct mail {
    enum mail_kind kind;
    uint32_t from; /* index of the sender */
    struct list link;
};

/* Goes back when the connection has ended: so the acceptor hears of it whatever memory there is. */
struct mail_connection {
    struct mail mail;
    int fd; /* -1: taken */
    struct address peer;
};

/* Publishes for one partition, one after another in `bytes`: struct parcel_entry, body, padding. */
struct mail_parcel {
    struct mail mail;
    uint32_t partition;
    struct buf bytes;
};

struct parcel_entry {
    uint64_t handle; /* the connection */
    uint64_t id;     /* of the command */
    uint32_t size;   /* what it counts against its sender's bounds */
    uint32_t body_size;
};

/* Results, one after another in `bytes`: struct reply_entry, channel name, padding. */
struct mail_replies {
    struct mail mail;
    uint32_t partition;
    struct buf bytes;
};

struct reply_entry {
    uint64_t handle;
    uint64_t id;
    uint32_t size;
    uint32_t channel_size;
    struct publish_result result; /* its `channel` is set by the reader */
};

struct mail_channel {
    struct mail mail;
    uint32_t partition;
    enum wire_codec codec;
    struct bytes channel; /* behind the struct */
};

struct mail_tail {
    struct mail mail;
    struct shared_chunk *chunk; /* a reference */
};

struct mail_ask {
    struct mail mail;
    uint32_t partition;
    uint64_t handle;
    struct session_ask ask; /* its channel is behind the struct */
    struct session_answer answer;
    uint64_t barrier_pos; /* owner: answered once everything before is applied */
    struct job job;       /* WIRE_FROM_TIME: a search in the log */
    struct log_read read;
    struct host *host;
};

/* Damaged places that one read tells of; there may be more behind. */
#define DAMAGED_RANGES_MAX 8u

enum read_purpose {
    READ_CATCH_UP, /* frames for a subscription */
    READ_HISTORY,  /* elements of a history reply */
    READ_DIGEST,   /* the channel's digest of a message */
};

struct mail_read {
    struct mail mail;
    enum read_purpose purpose;
    uint32_t partition;
    uint64_t handle;
    enum wire_codec codec;
    struct bytes channel; /* behind the struct */
    /* wanted */
    uint64_t sub_id;           /* READ_CATCH_UP */
    enum wire_when_slow keeps; /* READ_CATCH_UP: of what is found */
    bool deflated;             /* READ_CATCH_UP: wanted compressed as well */
    uint64_t id;               /* READ_HISTORY, READ_DIGEST: of the command */
    bool has_from;             /* READ_HISTORY, READ_DIGEST */
    bool reverse;
    uint64_t from;
    uint32_t count_max;
    size_t bytes_max;
    uint64_t barrier_pos;
    /* on the way: the owner's job on the reader thread */
    struct job job;
    struct log_read read;
    struct host *host;
    struct buf encode;        /* scratch of the reader thread */
    struct conflate conflate; /* `keeps` is WIRE_CONFLATE; then: */
    bool looking;             /* its keys are looked at, or else what is kept is read … */
    uint64_t seen;            /* … and this comes next … */
    bool goes_on;             /* … in another read of the log */
    uint32_t count;           /* messages encoded so far */
    uint64_t next;            /* the seq behind the last of them, in the direction read */
    unsigned node;
    /* results */
    enum rc rc;
    bool trimmed;
    bool more;
    struct wire_range damaged[DAMAGED_RANGES_MAX]; /* what could not be read */
    uint32_t damaged_count;
    bool damaged_more; /* and there was no place for the next one: the read ends before it */
    struct position position;
    struct shared_chunk *chunk; /* READ_CATCH_UP */
    struct buf elements;        /* READ_HISTORY */
    uint64_t digest_seq;        /* READ_DIGEST: of which message; the newest if !has_from */
    uint64_t digest;
    const char *digest_missing; /* static; why there is none, or NULL */
};

/* The result of a READ_DIGEST as sessions and the HTTP API take it; lent until mail_free(). */
struct session_digest mail_digest(const struct mail_read *read);
/* Frees a mail and what it owns, whatever its kind. NULL is allowed. */
void mail_free(struct mail *mail);
/* A zeroed mail of `size` bytes with a copy of `channel` behind it, or NULL; *ret_channel may be
 * NULL where there is none. */
void *mail_new(enum mail_kind kind, size_t size, struct bytes channel, struct bytes *ret_channel);

#endif
