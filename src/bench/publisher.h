/* One connection that publishes, and checks every answer.
 *
 * It has channels of its own, which it takes in turn: first, first + stride, … Where nobody else
 * publishes to them (`alone`), the seqs that it is told must be dense; else they must rise.
 *
 * Latency counts from when a message was due, in the histogram given, for messages that were due
 * in the time that is measured.
 *
 * Thread: one.  Memory: bench_publisher_close() frees. */
#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include "bench/bench.h"

struct bench_publisher;

/* What is under way, by id modulo the number of slots. */
struct bench_slot {
    uint64_t id; /* 0: free */
    uint64_t due_ns;
    uint32_t channel; /* index into its own */
};

struct bench_publisher_setup {
    uint32_t channel_first;
    uint32_t channel_count;
    uint32_t channel_stride;
    uint64_t inflight; /* publishes without an answer, at most */
    bool alone;
    struct histogram *latency; /* NULL: none */
    /* After each answer; NULL: nothing is to be done. */
    void (*on_acked)(struct bench_publisher *publisher);
    void *ctx;
};

struct bench_publisher {
    struct bench_conn conn;
    struct bench_publisher_setup setup;
    struct bench_template made;
    struct bench_slot *slots;
    uint64_t slot_mask;
    uint64_t next_id;
    uint64_t inflight;
    size_t out_bytes_max; /* without answers: what may wait for a socket */
    uint64_t sent;        /* messages */
    uint32_t turn;        /* the channel that is next */
    uint64_t *numbers;    /* by own channel: the last one sent */
    uint64_t *seqs;       /* by own channel: the last one told */
};

/* False: the bench says why. The connection is ready after bench_conns_wait(). */
MUST_USE bool bench_publisher_open(struct bench *bench, struct bench_publisher *publisher,
                                   uint32_t index, const struct bench_publisher_setup *setup);
/* All zero is allowed. */
void bench_publisher_close(struct bench_publisher *publisher);
/* Whether one more publish may be under way; never again after one that failed. */
bool bench_publisher_free(const struct bench_publisher *publisher);
/* Queues one publish, a batch of --batch messages. */
void bench_publisher_send(struct bench_publisher *publisher, uint64_t due_ns);
/* Counts what was never answered as violations, unless the run has failed. */
void bench_publisher_settle(struct bench_publisher *publisher);

#endif
