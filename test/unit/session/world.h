/* Sessions in a world of memory: channels whose owner is a naive model, mail that arrives when the
 * test says so, and clients whose sockets take as many bytes as the test likes.
 *
 * What a channel holds follows from its number and the seq (world_data()), so every message that
 * comes out of a socket can be judged; a client checks each text that it decodes against the rules
 * of [P 3] that the stream alone tells (I1, I7): seqs are consecutive from `next`, holes are named,
 * nothing follows `unsubscribed`. A difference ends the program (ASSERT).
 *
 * The way of a request is that of the server: requests reach the owner in order; a detach is done
 * at once, asks and reads may wait for a commit (in order), reads and asks by time are then done in
 * any order; what the owner sends for one channel arrives in the order sent, and each tail before
 * what was said after it.
 *
 * Thread: one.  Memory: world_deinit() frees everything, and checks that no chunk was leaked. */
#ifndef TEST_SESSION_WORLD_H
#define TEST_SESSION_WORLD_H

#include "session/session.h"
#include "wire/ws.h"

#include <jansson.h>

#define WORLD_CHANNELS_MAX 16u
#define WORLD_CLIENTS_MAX  4u
#define WORLD_EPOCH        0x5ea1u

/* What a client knows of a channel from its stream alone. */
struct world_view {
    bool on;
    uint64_t expected; /* the next seq; stays when the subscription ends */
    uint64_t epoch;
    uint64_t messages;             /* since `subscribed` */
    uint32_t window;               /* set by the test; 0: none */
    uint64_t acked;                /* set by the test */
    enum wire_when_slow when_slow; /* set by the test */
    uint64_t complete;             /* up to here nothing is left out */
    uint64_t owed[3];              /* of each key, what a newer message must replace; 0: nothing */
};

struct world;

struct world_client {
    struct world *world;
    uint64_t handle;         /* of its session; never used again */
    struct session *session; /* NULL: none, or closed */
    struct buf out;
    struct ws_decoder decoder;
    json_t *inbox;     /* texts that have come and not been taken yet, oldest first */
    struct buf stream; /* every byte that has come */
    struct world_view views[WORLD_CHANNELS_MAX];
    bool woken;
    bool want_write;     /* the socket took less than there was */
    bool killed;         /* RC_NOMEM */
    uint16_t close_code; /* > 0: the session asked for it */
    /* Called with each text once it has been checked; NULL: it goes into the inbox. */
    void (*on_text)(struct world_client *client, json_t *text);
};

struct world_channel {
    char name[CHANNEL_NAME_BYTES_MAX + 1];
    uint64_t earliest;
    uint64_t latest;
    uint64_t damaged_from; /* 0: nothing is damaged */
    uint64_t damaged_to;
    bool watched;         /* the tail goes to the sessions' reactor */
    struct list requests; /* struct world_mail: on their way to the owner */
    struct list waiting;  /* at the owner, behind publishes not yet committed */
    struct list jobs;     /* being read, in any order */
    struct list mails;    /* on their way back */
};

struct world_marks {
    uint64_t reads;
    uint64_t reads_trimmed;
    uint64_t reads_damaged;
    uint64_t reads_failed;
    uint64_t late; /* answers for a session or subscription that had ended */
    uint64_t gaps;
    uint64_t skipped;
    uint64_t conflated;
    uint64_t ended_by_gap;
    uint64_t ended_by_failure;
    uint64_t resets;
    uint64_t refused_gap;
    uint64_t cut_frames;
    uint64_t stalls;
    uint64_t messages;
};

/* Zero fields take the defaults of world.c. */
struct world_limits {
    enum wire_codec codec; /* of all clients; texts are JSON in any case */
    size_t feed_bytes_max;
    size_t table_bytes_max;
    size_t read_bytes_max; /* a chunk read from the log ends with the first message beyond */
    size_t gather_bytes_max;
    uint32_t subscriptions_max;
    uint32_t inflight_max;
    size_t inflight_bytes_max;
};

struct world {
    struct session_env env;
    struct feed_table feeds;
    struct wire_scratch scratch;
    struct buf encode;
    struct world_limits limits;
    struct world_channel channels[WORLD_CHANNELS_MAX];
    unsigned channel_count;
    struct world_client clients[WORLD_CLIENTS_MAX];
    uint64_t next_handle;
    uint64_t chunks_live;
    uint64_t detach_count;
    bool publish_full;             /* session_ops.publish answers RC_FULL */
    bool any_slow;                 /* views do not know what their subscriptions chose */
    bool read_nomem;               /* session_ops.read answers RC_NOMEM */
    bool fail_reads;               /* reads and asks by time find the log unreadable */
    struct publish_result verdict; /* for publishes; ACCEPTED stores */
    uint64_t fault_at;             /* > 0: that allocation of the sessions fails */
    uint64_t fault_seen;           /* allocations of the sessions so far */
    struct world_marks marks;
};

void world_init(struct world *w, const struct world_limits *limits);
/* Everything still open is closed first. */
void world_deinit(struct world *w);

/* Finds or makes. */
unsigned world_channel(struct world *w, const char *name);

/* ---- the owner ------------------------------------------------------------------------------ */

/* Messages are committed, and their tail leaves in chunks of at most `per_chunk`. */
void world_publish(struct world *w, unsigned channel, uint32_t count, uint32_t per_chunk);
/* Retention: everything below `earliest` goes. */
void world_trim(struct world *w, unsigned channel, uint64_t earliest);
/* Each moves one thing one step on; false: there is none. */
bool world_request(struct world *w, unsigned channel);
bool world_waiting(struct world *w, unsigned channel);
bool world_job(struct world *w, unsigned channel, unsigned nth);
bool world_deliver(struct world *w, unsigned channel);
/* All of them, for all channels, until nothing moves. */
void world_owners_run(struct world *w);
unsigned world_job_count(const struct world *w, unsigned channel);

/* ---- a client ------------------------------------------------------------------------------- */

/* A new connection and its session; views stay, with `on` false. */
void world_open(struct world *w, unsigned client);
/* As world_open(), and `connect` done. */
struct world_client *world_connect(struct world *w, unsigned client);
void world_close(struct world *w, unsigned client);
/* A text from the client. RC_NOMEM closes it. */
enum rc world_text(struct world_client *client, const char *text);
/* The next command of a message, as it is on the wire. */
enum rc world_message(struct world_client *client, struct bytes *rest);
enum rc world_textf(struct world_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The socket takes `size` bytes; what comes is decoded. Returns how many it took. */
size_t world_pump(struct world_client *client, size_t size);
/* Owners, clients (those that were woken) and trims, until nothing moves. */
void world_run(struct world *w);
/* Runs the world, then takes the next text of the inbox: it must have the members of `expected`,
 * and may have more. What differs is printed, and ends the program. */
void world_expect(struct world_client *client, const char *expected);
/* Takes messages first … end - 1 of that channel. */
void world_expect_messages(struct world_client *client, unsigned channel, uint64_t first,
                           uint64_t end);
/* Nothing (more) has come. */
void world_expect_nothing(struct world_client *client);
/* A session call that may close the connection. */
void world_check(struct world_client *client, enum rc rc);

/* Faults count only the allocations that the sessions make. */
void world_enter(struct world *w);
void world_leave(struct world *w);

#endif
