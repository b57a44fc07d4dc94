/* One connection that follows one channel, and checks that every message is the next one.
 *
 * Thread: one.  Memory: bench_subscriber_close() frees. */
#ifndef BENCH_SUBSCRIBER_H
#define BENCH_SUBSCRIBER_H

#include "bench/bench.h"
#include "bench/stamp.h"

struct bench_subscriber;

struct bench_subscriber_setup {
    uint32_t channel;
    uint64_t from;             /* a seq, or BENCH_FROM_… */
    struct histogram *latency; /* due to delivered; NULL: none */
    /* After each message; NULL: nothing is to be done. */
    void (*on_message)(struct bench_subscriber *subscriber, const struct stamp *stamp);
    void *ctx;
};

struct bench_subscriber {
    struct bench_conn conn;
    struct bench_subscriber_setup setup;
    bool subscribed;
    uint64_t expected; /* the number that comes next; 0: not known yet */
    uint64_t received;
    uint64_t gap_first; /* the last hole: what comes out of it is late, not double */
    uint64_t gap_end;
    uint64_t mark; /* the scenario's */
};

/* Connects, and subscribes as soon as it is ready. */
void bench_subscriber_open(struct bench *bench, struct bench_subscriber *subscriber, uint32_t index,
                           const struct bench_subscriber_setup *setup);
/* All zero is allowed. */
void bench_subscriber_close(struct bench_subscriber *subscriber);
/* Until all of them are subscribed, or the run has failed. */
void bench_subscribers_wait(struct bench *bench, const struct bench_subscriber *subscribers,
                            size_t count);
/* Whether nothing up to number `last` is to come any more. */
bool bench_subscriber_has(const struct bench_subscriber *subscriber, uint64_t last);
/* Counts what is missing of messages up to number `last` as lost. */
void bench_subscriber_settle(struct bench_subscriber *subscriber, uint64_t last);

/* "PREFIX-000042" */
void bench_channel_name(const struct bench *bench, uint32_t channel,
                        char to[static BENCH_NAME_SIZE]);

#endif
