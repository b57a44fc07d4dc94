/* The C client library of Seriatim: publish and subscribe, in order, through lost connections,
 * restarted servers and a restarted client.
 *
 * One client is one producer and at most one connection at a time. What is published is numbered
 * and kept in the outbox until the server has acknowledged it; it is sent again after a lost
 * connection under the same number, so that nothing is stored twice. Subscriptions are cursors:
 * each gets its messages densely, or is told by name what does not come.
 *
 * Who runs it. Either the library starts a thread (`thread`), or the program calls
 * seriatim_client_turn() whenever seriatim_client_fd() is readable (poll, select, epoll), from one
 * thread at a time. Callbacks come on that thread only, one at a time. A callback may call any
 * function here but seriatim_client_turn(), seriatim_client_close() and, with a timeout,
 * seriatim_publish_wait(); it should not take long, for nothing is received or sent meanwhile: that
 * is the backpressure.
 *
 * Thread: every function may be called from any thread, unless it says otherwise.
 * seriatim_publish() takes no lock and never waits.
 * Memory: what a function is given it copies, unless it says otherwise; what a callback is given is
 * good until it returns. Texts are UTF-8; sizes are bytes; times are milliseconds.
 *
 * ABI: structs of options begin with their size, as the caller knows it; what is zero has its
 * default. So they can grow. */
#ifndef SERIATIM_CLIENT_H
#define SERIATIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SERIATIM_API __attribute__((visibility("default")))

#define SERIATIM_FOR_EVER UINT64_MAX /* a timeout that never comes */

/* What functions answer, and how publishes and subscriptions end. */
enum seriatim_status {
    SERIATIM_OK = 0,
    SERIATIM_FULL = 1,      /* the outbox has no room: try again when something is acknowledged */
    SERIATIM_TIMEOUT = 2,   /* the time is over */
    SERIATIM_BAD = 3,       /* an argument is not what it must be; nothing has happened */
    SERIATIM_TOO_LARGE = 4, /* a message, key or name over its limit */
    SERIATIM_NOMEM = 5,     /* out of memory; nothing has happened */
    SERIATIM_CLOSED = 6,    /* the client is closing, or has failed for good */
    SERIATIM_DISK = 7,      /* the outbox cannot be written, or read */
    SERIATIM_LOCKED = 8,    /* another process uses that outbox */
    SERIATIM_CORRUPT = 9,   /* the outbox holds damage */
    SERIATIM_EXISTS = 10,   /* there is one already */
    SERIATIM_REFUSED = 11,  /* the server refuses for good; `code` is its error */
    SERIATIM_UNKNOWN = 12,  /* the server does not know the producer (any more): whether the message
                               was stored before cannot be told */
    SERIATIM_FENCED = 13, /* another incarnation of the producer, with a higher epoch, is at work */
    SERIATIM_GAP = 14,    /* the position is not there */
    SERIATIM_PROTOCOL = 15, /* the other end broke the rules */
    SERIATIM_SYSTEM = 16    /* the system refuses a thread, a descriptor, a timer */
};

/* A few words in English, such as "the outbox is full". Static; never NULL. */
SERIATIM_API const char *seriatim_status_text(enum seriatim_status status);
/* The version of the library, such as "0.1.0". Static. */
SERIATIM_API const char *seriatim_version(void);

/* ---- a client ------------------------------------------------------------------------------ */

struct seriatim_client; /* opaque */

enum seriatim_codec {
    SERIATIM_BINARY = 0, /* seriatim.v1.binary */
    SERIATIM_JSON = 1    /* seriatim.v1.json */
};

enum seriatim_connection {
    SERIATIM_CONNECTING = 0, /* lost, or not there yet; it is tried again by itself */
    SERIATIM_CONNECTED = 1,
    SERIATIM_LEAVING = 2, /* connected; the server has said that it will close (goaway) */
    SERIATIM_FAILED = 3   /* for good: trying again is of no use. Publishes stay in the outbox */
};

/* How a publish ended. */
struct seriatim_published {
    enum seriatim_status status; /* OK, REFUSED, UNKNOWN, FENCED, TOO_LARGE, DISK */
    const char *channel;
    uint64_t producer_seq; /* the number it had; 0 where it never got one (DISK) */
    uint64_t seq;          /* OK: its number in the channel; 0: a duplicate that is too old */
    const char *epoch;     /* OK: of that number; else "" */
    bool duplicate;        /* OK: an earlier try had already been stored */
    bool recovered;        /* it was in the outbox when the client started; `user` is NULL */
    const char *code;      /* REFUSED: the server's error code, else "" */
    const char *text;      /* for people, else "" */
    void *user;            /* as given to seriatim_publish() */
};

struct seriatim_client_options {
    size_t size; /* sizeof(struct seriatim_client_options) */
    /* Addresses of one service, "ws://host[:port][/path]": 1 to 16. They are tried in turn; one
     * that fails 3 times in a row within 30 s is left out for 5 minutes, then longer, but never
     * all. */
    const char *const *endpoints;
    size_t endpoint_count;
    /* Asked before each connect: the token to show, good until the next call; or NULL. */
    const char *(*token)(void *user);
    /* 1 to 255 bytes; NULL: a random one, or the one that is in the outbox's file. Without a file a
     * producer's numbers begin with 1: whoever names one must take a higher epoch each time. */
    const char *producer;
    uint64_t producer_epoch; /* 0: 1, or the one in the outbox's file */
    enum seriatim_codec codec;
    /* A folder for the outbox's file; made if it is missing (its parent must be there). A message
     * counts as taken, and is sent, when it is on disk (fdatasync, many messages at a time); it
     * survives the end of the process. NULL: the outbox is in memory. One process at a time. */
    const char *outbox;
    uint64_t outbox_bytes;   /* room for what is not acknowledged; 0: 64 MiB; up to 128 MiB */
    uint64_t message_bytes;  /* of one payload; 0: 1 MiB; up to 16 MiB */
    uint32_t publish_window; /* messages sent and not answered; 0: 65536 */
    uint32_t batch_messages; /* that may go in one publish, 1 to 1000; 0: 1000 */
    bool thread;             /* the library runs itself, on a thread of its own */
    void *user;              /* handed to the callbacks */
    /* NULL: not told. A publish has ended, on the client's thread; in order within a channel. */
    void (*on_published)(void *user, const struct seriatim_published *published);
    /* NULL: not told. `why` is for people, "" where there is nothing to say. */
    void (*on_connection)(void *user, enum seriatim_connection connection, const char *why);
};

/* Begins to connect. With a file it reads the outbox first, and blocks while it does.
 * BAD      an option is not what it must be; *ret_why (static or NULL, ret_why may be NULL) says
 * DISK, LOCKED, CORRUPT  the outbox cannot be used
 * NOMEM, SYSTEM
 * The caller owns *ret_client, and ends it with seriatim_client_close(). */
SERIATIM_API enum seriatim_status seriatim_client_new(const struct seriatim_client_options *options,
                                                      struct seriatim_client **ret_client,
                                                      const char **ret_why);

/* Waits up to `flush_ms` until everything in the outbox is acknowledged, then ends the client and
 * frees it, with its subscriptions. Without `thread` it turns the client itself meanwhile. NULL is
 * allowed. Not from a callback; no other call may run or follow.
 * OK       everything was acknowledged, or has ended
 * TIMEOUT  something was not; with a file it is sent by the next client, without one it is lost */
SERIATIM_API enum seriatim_status seriatim_client_close(struct seriatim_client *client,
                                                        uint64_t flush_ms);

/* Without `thread`: a descriptor that is readable when seriatim_client_turn() has something to do.
 * It is the client's; never read from it or close it. */
SERIATIM_API int seriatim_client_fd(const struct seriatim_client *client);
/* Without `thread`: does what is due, and never waits but for a name to be looked up and for the
 * outbox's disk. One thread at a time. CLOSED: the client has failed for good */
SERIATIM_API enum seriatim_status seriatim_client_turn(struct seriatim_client *client);

/* The producer's id, which is the client's; and its epoch. */
SERIATIM_API const char *seriatim_client_producer(const struct seriatim_client *client);
SERIATIM_API uint64_t seriatim_client_producer_epoch(const struct seriatim_client *client);

/* ---- publishing ---------------------------------------------------------------------------- */

struct seriatim_publish {
    size_t size;         /* sizeof(struct seriatim_publish) */
    const char *channel; /* 1 to 255 bytes without control characters */
    size_t channel_size; /* 0: up to the NUL */
    const void *data;    /* the payload; NULL only with data_size 0 and `bytes` */
    size_t data_size;
    bool bytes;      /* any bytes; else it must be the text of one JSON value */
    const char *key; /* NULL: none; at most 255 bytes */
    size_t key_size; /* 0: up to the NUL */
    void *user;      /* comes back in seriatim_published */
};

/* Puts a message into the outbox; its end is told to on_published. The messages of one thread keep
 * their order in each channel. Without a lock, and without waiting.
 * FULL       no room now: in place of EAGAIN
 * BAD        a name, key or payload is not what it must be
 * TOO_LARGE  over message_bytes, or outbox_bytes, or 255 bytes of a name or key
 * CLOSED     the client is being closed; DISK: the outbox's file has failed
 * NOMEM */
SERIATIM_API enum seriatim_status seriatim_publish(struct seriatim_client *client,
                                                   const struct seriatim_publish *publish);
/* As above, and waits up to `timeout_ms` for room, and then, where the outbox has a file, until the
 * message is on disk.
 * TIMEOUT    no room came: the message was not taken
 * DISK       it could not be written; on_published tells of it
 * With a file and the time over after it was taken: OK is not said, TIMEOUT is, and on_published
 * tells what became of it. */
SERIATIM_API enum seriatim_status seriatim_publish_wait(struct seriatim_client *client,
                                                        const struct seriatim_publish *publish,
                                                        uint64_t timeout_ms);

/* The next message of that channel gets this number, from 1: for who keeps an outbox of their own.
 * Before anything was published to it. EXISTS: something waits there; BAD; NOMEM */
SERIATIM_API enum seriatim_status seriatim_channel_begin(struct seriatim_client *client,
                                                         const char *channel, uint64_t number);

/* A message in the outbox. */
struct seriatim_pending {
    const char *channel;
    uint64_t producer_seq;
    const void *data;
    size_t data_size;
    bool bytes;
    const char *key; /* not ended by a NUL; NULL: none */
    size_t key_size;
    bool recovered;
    void *user;
};
/* Shows every message that is not acknowledged, in order within a channel, until `each` answers
 * false. What was published a moment ago may not be there yet. `each` runs on the caller's thread,
 * while the client stands still, and may call nothing here. */
SERIATIM_API void seriatim_client_pending(struct seriatim_client *client,
                                          bool (*each)(void *user,
                                                       const struct seriatim_pending *pending),
                                          void *user);
/* How many bytes of outbox_bytes are in use: payloads, keys, names and 64 bytes a message. */
SERIATIM_API uint64_t seriatim_client_pending_bytes(const struct seriatim_client *client);

/* ---- subscribing --------------------------------------------------------------------------- */

struct seriatim_subscription; /* opaque */

enum seriatim_from {
    SERIATIM_LATEST = 0,   /* what comes after the server's reply */
    SERIATIM_EARLIEST = 1, /* the oldest message kept */
    SERIATIM_SEQ = 2,      /* `seq`, whatever the epoch */
    SERIATIM_POSITION = 3, /* (`epoch`, `seq`): to resume */
    SERIATIM_TIME = 4      /* the first that is not older than `time_ms` */
};

enum seriatim_when_slow { SERIATIM_CATCH_UP = 0, SERIATIM_SKIP = 1, SERIATIM_CONFLATE = 2 };

struct seriatim_message {
    const char *channel;
    uint64_t seq;
    const char *epoch; /* (epoch, seq + 1) is the position to resume from once it is handled */
    uint64_t message_id;
    uint64_t time_ms; /* since 1970 */
    const void *data;
    size_t data_size;
    bool bytes;      /* else it is the text of a JSON value */
    const char *key; /* not ended by a NUL; NULL: none */
    size_t key_size;
    const char *producer; /* not ended by a NUL; NULL: none */
    size_t producer_size;
    uint64_t producer_seq; /* 0: none */
};

/* Messages that do not come. */
struct seriatim_gap {
    const char *channel;
    const char *reason; /* trimmed, damaged, slow, conflated, epoch, ahead */
    uint64_t from;      /* the first one; 0: not known */
    uint64_t to;        /* the last one; below `from` where the history itself has changed */
    uint64_t next;      /* the seq that comes next */
    const char *epoch;  /* of `next` */
};

enum seriatim_subscription_state {
    SERIATIM_SUB_WAITING = 0, /* not subscribed now; it is tried again by itself */
    SERIATIM_SUB_LIVE = 1,    /* subscribed; `next` says from where */
    SERIATIM_SUB_ENDED = 2    /* for good; `status` says why */
};

struct seriatim_subscription_news {
    const char *channel;
    enum seriatim_subscription_state state;
    enum seriatim_status status; /* ENDED: GAP, REFUSED or PROTOCOL; else OK */
    const char *code;            /* the server's word for it, or "" */
    const char *text;            /* for people, or "" */
    uint64_t next;               /* the seq that is next, or was asked for; 0: not known yet */
    const char *epoch;           /* of `next`; "": not known yet */
    uint64_t earliest;           /* GAP: what there is */
    uint64_t latest;
};

struct seriatim_subscribe {
    size_t size; /* sizeof(struct seriatim_subscribe) */
    const char *channel;
    enum seriatim_from from;
    uint64_t seq;      /* SEQ, POSITION: from 1 */
    const char *epoch; /* POSITION: as it was told; at most 15 bytes */
    uint64_t time_ms;
    /* How many messages the server sends ahead of what was handled; 0: the connection alone pushes
     * back. Up to 1000000. Beside it, what comes too early is kept up to the same number (1024). */
    uint32_t window;
    enum seriatim_when_slow when_slow;
    bool go_on_behind_gaps; /* false: a gap that nobody has asked for ends the subscription */
    void *user;
    /* Not NULL. The next message; handled when it returns. */
    void (*on_message)(void *user, const struct seriatim_message *message);
    /* NULL: not told. Comes before the message behind the gap. */
    void (*on_gap)(void *user, const struct seriatim_gap *gap);
    void (*on_state)(void *user, const struct seriatim_subscription_news *news);
};

/* Subscribes, now or as soon as there is a connection. One for each channel of a client.
 * EXISTS, BAD, TOO_LARGE (a name or window), NOMEM
 * *ret_subscription lives until seriatim_unsubscribe() or the client's end; ret_subscription may be
 * NULL. */
SERIATIM_API enum seriatim_status
seriatim_subscribe(struct seriatim_client *client, const struct seriatim_subscribe *subscribe,
                   struct seriatim_subscription **ret_subscription);
/* Ends it: no callback of it runs when this returns, unless this is called from one, or follows. */
SERIATIM_API void seriatim_unsubscribe(struct seriatim_client *client,
                                       struct seriatim_subscription *subscription);

/* ---- history and digests ------------------------------------------------------------------- */

/* The answer to a question. */
struct seriatim_answer {
    enum seriatim_status status; /* OK; GAP: not there (any more), `code` gap; REFUSED; PROTOCOL */
    const char *channel;
    const char *code;  /* the server's error, else "" */
    const char *text;  /* for people, else "" */
    const char *epoch; /* OK: of what it answers, else "" */
    uint64_t earliest; /* history, GAP: what there is */
    uint64_t latest;
    bool more;       /* history: there is more behind the last message told */
    uint64_t seq;    /* digest: of which message */
    uint64_t digest; /* digest */
};

struct seriatim_history {
    size_t size; /* sizeof(struct seriatim_history) */
    const char *channel;
    uint64_t from;  /* the seq of the first message wanted, from 1 */
    uint32_t limit; /* messages, up to 1000; 0: 1000. A server may give fewer, and says `more` */
    void *user;
    /* Not NULL. Each message, in the server's order, which is not looked at; then the answer. If
     * the connection breaks or memory runs short in between, they come again from the first one. */
    void (*on_message)(void *user, const struct seriatim_message *message);
    /* NULL: not told. Messages that the server could not read, before the one behind them. */
    void (*on_gap)(void *user, const struct seriatim_gap *gap);
    void (*on_answer)(void *user, const struct seriatim_answer *answer); /* not NULL */
};

/* Asks for a page of a channel's history, now or as soon as there is a connection, and again for as
 * long as the server cannot answer: until on_answer, or the client's end or failure.
 * FULL       1000 questions, pages and digests together, are open already
 * CLOSED     the client is being closed, or has failed
 * BAD, TOO_LARGE (a name), NOMEM */
SERIATIM_API enum seriatim_status seriatim_history(struct seriatim_client *client,
                                                   const struct seriatim_history *history);

struct seriatim_digest {
    size_t size; /* sizeof(struct seriatim_digest) */
    const char *channel;
    uint64_t seq; /* of which message; 0: the newest */
    void *user;
    void (*on_answer)(void *user, const struct seriatim_answer *answer); /* not NULL */
};

/* Asks in the same way for the digest of a message: one number for all of the channel up to it
 * (docs/PROTOCOL.md, "Digests"), by which two clients, or a client and the server, find out whether
 * they have seen the same.
 * FULL, CLOSED, BAD, TOO_LARGE (a name), NOMEM */
SERIATIM_API enum seriatim_status seriatim_digest(struct seriatim_client *client,
                                                  const struct seriatim_digest *digest);

#ifdef __cplusplus
}
#endif

#endif
