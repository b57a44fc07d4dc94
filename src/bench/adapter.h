/* What a scenario needs of a protocol: connect, subscribe, publish, take apart what comes.
 *
 * A scenario knows messages, numbers and times; an adapter knows bytes. So each scenario runs
 * against every server that has an adapter, with the same generator, and figures can be compared.
 *
 * An adapter makes no system call: it appends to bench_send_buf() of a connection, and is shown
 * what came, in place and as often as needed until a whole event is there.
 *
 * Thread: one.  Memory: adapters are constant; per connection they have the fields below. */
#ifndef BENCH_ADAPTER_H
#define BENCH_ADAPTER_H

#include "base/bytes.h"
#include "base/rc.h"

#define BENCH_CHANNEL_DIGITS 6u
#define BENCH_NAME_SIZE      128u
/* The ids of publishes, over and over: all have the same number of digits, and of bytes. */
#define BENCH_ID_FIRST  UINT64_C(1000000000)
#define BENCH_ID_END    UINT64_C(1073741824)
#define BENCH_ID_DIGITS 10u
static inline uint64_t bench_id(uint64_t nth)
{
    return BENCH_ID_FIRST + nth % (BENCH_ID_END - BENCH_ID_FIRST);
}
#define BENCH_ARGV_MAX 48u

struct bench_conn;
struct bench_options;

enum bench_event_type {
    BENCH_EVENT_NONE,       /* nothing whole is there; more is needed */
    BENCH_EVENT_OTHER,      /* something that no scenario asks about */
    BENCH_EVENT_READY,      /* the connection may be used */
    BENCH_EVENT_SUBSCRIBED, /* next: the seq that comes first, 0: the server does not say */
    BENCH_EVENT_PUBLISHED,  /* id, seq of the first (0: not said), count; more */
    BENCH_EVENT_MESSAGE,    /* seq (0: not said), payload */
    BENCH_EVENT_FAILED,     /* the server refuses, closes, or breaks its protocol: `text` */
};

struct bench_event {
    enum bench_event_type type;
    uint64_t id;
    uint64_t seq;
    uint64_t next;
    uint64_t count;       /* messages */
    uint64_t more;        /* publishes that it answers as well: those with the next ids */
    struct bytes payload; /* borrowed */
    struct bytes text;    /* borrowed */
};

/* Where a subscription begins. */
#define BENCH_FROM_LATEST   UINT64_MAX
#define BENCH_FROM_EARLIEST UINT64_C(0)

/* A publish as it goes out, made once and copied for every message. All offsets are from the
 * frame's first byte. */
struct bench_template {
    struct buf frame;
    size_t head_size;      /* what the transport puts in front, such as a WebSocket header */
    size_t id_at;          /* 0: there is none */
    size_t channel_at;     /* BENCH_CHANNEL_DIGITS decimal digits, 0: there are none */
    size_t payload_at;     /* of the first message */
    size_t payload_stride; /* to the payload of the next one of a batch */
    size_t count;          /* messages */
};

struct bench_adapter {
    const char *name;
    bool acks; /* publishes are acknowledged */
    bool seqs; /* messages bear numbers */
    bool logs; /* messages can be read back, from any place */
    /* Appends what opens the conversation; may set conn->stage. RC_NOMEM */
    enum rc (*open)(struct bench_conn *conn);
    /* Appends a subscription from a seq, or from where BENCH_FROM_… says. RC_NOMEM */
    enum rc (*subscribe)(struct bench_conn *conn, const char *channel, uint64_t from);
    /* Makes the template: `count` messages of that payload to the channel with that prefix, whose
     * number is patched in. `ack` false: no answer is wanted, where the protocol knows that.
     * RC_NOMEM */
    enum rc (*prepare)(struct bench_conn *conn, const char *prefix, struct bytes payload,
                       size_t count, bool ack, struct bench_template *ret_template);
    /* Makes ready for a copy of the template at the end of what is to be sent. RC_NOMEM; NULL:
     * nothing is to be done. */
    enum rc (*begin)(struct bench_conn *conn, const struct bench_template *made);
    /* The last touch on a copy of the template's frame, with everything else patched in. */
    void (*finish)(struct bench_conn *conn, const struct bench_template *made, uint8_t *frame,
                   uint64_t id);
    /* Before anything is sent: ends what begin() and finish() have left open. NULL as above. */
    void (*seal)(struct bench_conn *conn);
    /* Takes one event from the front; *ret_used is 0 with BENCH_EVENT_NONE. */
    void (*parse)(struct bench_conn *conn, const uint8_t *data, size_t size, size_t *ret_used,
                  struct bench_event *ret_event);
    /* The command line of a server of its own: argv[0] is the program. Returns the count. */
    size_t (*server_argv)(const struct bench_options *options, const char *folder,
                          const char *address, const char *argv[static BENCH_ARGV_MAX]);
    /* An HTTP path of a server of its own that says 200 once it is ready. */
    const char *ready_path;
};

extern const struct bench_adapter bench_adapter_seriatim;

#endif
