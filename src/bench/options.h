/* What a run was asked to do.
 *
 * Thread: one.  Memory: texts are borrowed for the run. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "client/url.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* X(NAME, field, "option", least, most): what takes a number. */
#define BENCH_NUMBER_LIST(X)                                                                       \
    X(CONNECTIONS, connections, "connections", 1, 1000000)                                         \
    X(CHANNELS, channels, "channels", 1, 1000000)                                                  \
    X(INFLIGHT, inflight, "inflight", 1, 65536)                                                    \
    X(PAYLOAD, payload, "payload", 32, 1048576)                                                    \
    X(BATCH, batch, "batch", 1, 1000)                                                              \
    X(MESSAGES, messages, "messages", 1, 1000000000)                                               \
    X(RATE, rate, "rate", 1, 100000000)                                                            \
    X(SECONDS, seconds, "seconds", 1, 1000000)                                                     \
    X(WARMUP, warmup, "warmup", 0, 1000000)                                                        \
    X(READERS, readers, "readers", 1, 100000)                                                      \
    X(STALLED, stalled, "stalled", 1, 1000000)                                                     \
    X(STALL_SECONDS, stall_seconds, "stall-seconds", 1, 1000000)                                   \
    X(BYTES, bytes, "bytes", 1, 1000000000000)

enum bench_number {
#define X(name, field, text, least, most) BENCH_##name,
    BENCH_NUMBER_LIST(X)
#undef X
        BENCH_NUMBER_COUNT
};

struct bench_options {
#define X(name, field, text, least, most) uint64_t field;
    BENCH_NUMBER_LIST(X)
#undef X
    uint32_t given;  /* bit per enum bench_number */
    bool lockstep;   /* fanout: the next message when all have the last one */
    bool no_ack;     /* publish without asking for an answer */
    bool cumulative; /* binary: one answer may do for a run of publishes */
    bool own_server;
    bool keep; /* the data of our own server */
    bool quiet;
    struct client_url url;  /* without own_server */
    const char *codec;      /* json, binary */
    const char *durability; /* of our own server; NULL: its default */
    const char *folder;     /* where our own server's data goes; NULL: the temporary folder */
    const char *program;    /* our own server */
    char **server_flags;    /* for our own server; NULL-terminated */
    pid_t server_pid;       /* of a server that runs, 0: not known */
    const char *prefix;     /* of channels */
    const char *command;    /* the command line, for the account */
    const char *json;
    const char *html;
    uint64_t seed;
};

#endif
