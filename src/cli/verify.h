/* seriatim verify: what its files share.
 *
 *   verify.c          options, the end
 *   verify_run.c      the phases, one loop
 *   verify_clients.c  producers, subscribers and readers: clients of the library
 *   verify_reader.c   what readers do: history and digests
 *   verify_report.c   the progress line and the account
 *
 *   CONNECT ---> LOAD ---> DRAIN ---> AUDIT ---> DONE
 *   all are      all is    every      every channel
 *   subscribed   acked     subscriber read whole from
 *                          has all    its history
 *
 * What clients do is the library's; what is judged is what goes over their connections, by the tap
 * (sdk/tap.h): client/numbered.h judges what a producer is answered, client/observer.h what a
 * subscriber is sent.
 *
 * A violation (unless --keep-going), a server that is away or makes no progress for too long, and a
 * refusal that waiting does not cure lead to DONE from anywhere.
 *
 * Thread: main.  Memory: verify_deinit() frees. */
#ifndef CLI_VERIFY_H
#define CLI_VERIFY_H

#include "base/prng.h"
#include "client/numbered.h"
#include "client/observer.h"
#include "sdk/tap.h"

#include <poll.h>

#define VERIFY_SUBSCRIBERS_MAX 64u /* of one channel */
#define VERIFY_CODE_SIZE       40u /* of an error */

struct verify_options {
    const char *url_text;
    const char *json; /* NULL: none, "-": standard output */
    const char *prefix;
    uint64_t rate;
    uint64_t seconds; /* 0: messages counts */
    uint64_t messages;
    uint64_t channels;
    uint64_t producers;
    uint64_t subscribers; /* of each channel */
    uint64_t size;
    uint64_t batch;
    uint64_t inflight;
    uint64_t window; /* 0: none */
    uint64_t restart_subscribers_ms;
    uint64_t restart_producers_ms;
    uint64_t patience_ms;
    uint64_t seed;
    enum seriatim_codec codec;
    bool has_seed;
    bool keep_going;
    bool no_audit;
    bool tolerated[VIOLATION_COUNT];
};

enum verify_phase {
    VERIFY_CONNECT,
    VERIFY_LOAD,
    VERIFY_DRAIN,
    VERIFY_AUDIT,
    VERIFY_DONE,
};

/* Why it ended before everything was done; none of these is a violation. */
enum verify_end {
    VERIFY_END_WHOLE,
    VERIFY_END_VIOLATION, /* the first one ended it */
    VERIFY_END_AWAY,      /* no connection for longer than --patience */
    VERIFY_END_STALLED,   /* connected, but nothing moves */
    VERIFY_END_REFUSED,   /* the server will not let us */
    VERIFY_END_STOPPED,   /* a signal: the load was cut short, the rest was done */
    VERIFY_END_NOMEM,
};

enum verify_kind {
    VERIFY_PRODUCER,
    VERIFY_SUBSCRIBER,
    VERIFY_READER,
};

struct verify;

struct verify_client {
    struct verify *verify;
    enum verify_kind kind;
    struct seriatim_client *client;
    struct client_tap tap;
    bool up;            /* connected; not only on the way */
    bool cutting;       /* the loss that comes next is our own doing */
    bool again;         /* its client is of no use any more: it gets another one */
    uint64_t cut_at_ms; /* UINT64_MAX: never */
    uint64_t judged;    /* violations counted before what it heard last */
    char lost_why[320]; /* of the last connection */
    char name[WORKLOAD_NAME_SIZE];
    struct observer view; /* VERIFY_SUBSCRIBER; VERIFY_READER while it reads a channel */
    /* VERIFY_PRODUCER */
    struct numbered number;
    bool full; /* the library has no room until something is answered */
    /* VERIFY_SUBSCRIBER */
    struct seriatim_subscription *subscription;
    uint64_t subscribe_at_ms; /* once more; UINT64_MAX: never */
    uint64_t handed_next;     /* what the library must hand on next, 0: anything */
    /* VERIFY_READER */
    bool reading;
    uint32_t next_channel; /* the one after this */
    bool asked;            /* and not answered */
    uint64_t asked_id;     /* 0: not said yet */
    bool more;             /* of the channel's history */
    bool wants_digest;     /* the channel is read, its digest is asked for */
};

/* What was counted beside the violations, for the account. */
struct verify_counts {
    uint64_t reconnects; /* connections lost that we did not cut */
    uint64_t restarts;   /* cut by us */
    uint64_t digests_compared;
    uint64_t digests_refused;
    uint64_t audited;
    uint64_t channels_audited;
};

struct verify {
    const struct verify_options *options;
    struct workload workload;
    struct violations violations;
    struct ledger ledger;
    struct histogram published_us;
    struct histogram delivered_us;
    struct verify_client *producers;
    struct verify_client *subscribers;
    struct verify_client *readers;
    size_t producer_count;
    size_t subscriber_count;
    size_t reader_count;
    struct pollfd *fds;
    struct verify_client **polled;
    struct prng prng;
    char (*channel_names)[WORKLOAD_NAME_SIZE];
    struct buf payload;  /* to publish */
    struct buf expected; /* to compare with */
    struct reply_room room;
    bool no_digest;                     /* the server refuses them, and has not listed them */
    char digest_code[VERIFY_CODE_SIZE]; /* with which it refused the first one */
    char subject[400];                  /* what the run is about to fail with */
    enum verify_phase phase;
    enum verify_end end;
    uint64_t now_ns;
    uint64_t now_ms;
    uint64_t started_ns;
    uint64_t began_ns; /* of the load */
    uint64_t load_ended_ns;
    uint64_t ended_ns;
    uint64_t moved_ms; /* when something last moved on */
    uint64_t moved_seen;
    uint64_t looked_ms;
    uint64_t suspect_ms; /* when the first violation was found, 0: none */
    bool stopping;       /* a signal came */
    struct verify_counts counts;
    /* progress line */
    bool terminal;
    uint64_t shown_ns;
    uint64_t shown_acked;
};

/* Time since the load began; 0 before. */
uint64_t verify_load_ns(const struct verify *verify);

/* ---- verify_run.c -------------------------------------------------------------------------- */

/* Why a client that needs a connection has none; NULL: each has one. */
const char *verify_away(const struct verify *verify);

/* RC_NOMEM */
MUST_USE enum rc verify_init(struct verify *verify, const struct verify_options *options);
void verify_deinit(struct verify *verify);
void verify_run(struct verify *verify);

/* ---- verify_clients.c ---------------------------------------------------------------------- */

/* Makes its client. False: it could not, and the run is over; `end` and `subject` say why. */
bool verify_client_open(struct verify_client *client);
void verify_client_close(struct verify_client *client);
/* Reads, writes and takes what came, if `ready` or something is due. */
void verify_client_step(struct verify_client *client, bool ready);
/* Publishes, or asks, what is due. */
void verify_client_send(struct verify_client *client);
/* When it must be looked at again though nothing comes. */
uint64_t verify_client_deadline_ns(const struct verify_client *client);
/* Whether it has all that it is to have in this phase. */
bool verify_client_done(const struct verify_client *client);
/* The run is over, with that end and `subject` as it is. */
void verify_end(struct verify *verify, enum verify_end end);

/* ---- verify_reader.c ----------------------------------------------------------------------- */

void verify_reader_heard(struct verify_client *client, const struct reply *reply);
/* Asks what is to be asked next. True: something was. */
bool verify_reader_ask(struct verify_client *client);

/* ---- verify_report.c ----------------------------------------------------------------------- */

struct verify_sums {
    uint64_t sent;
    uint64_t acked;
    uint64_t resent;
    uint64_t duplicates;
    uint64_t refused;
    uint64_t indeterminate;
    uint64_t found_stored;
    uint64_t found_absent;
    uint64_t unresolved; /* sent, and never answered */
    uint64_t unresolved_seen;
    uint64_t delivered; /* to subscribers, each message once each */
    uint64_t received;  /* by subscribers, with what came twice */
};

struct verify_sums verify_sum(const struct verify *verify);
/* Once a second. `last`: whatever the time is. */
void verify_progress(struct verify *verify, bool last);
/* The account on standard error, and where --json says. CLI_DONE or CLI_FAILED */
int verify_report(struct verify *verify);

#endif
