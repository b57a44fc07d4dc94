/* What a channel knows of one producer: how far its numbers have come, and which seqs they got.
 *
 * The promise [P 3, publish; I5, I6]: a (producer, producer epoch, producer seq) is accepted once
 * at most, in order. What is kept for it is one number, `last`; the runs serve only to answer a
 * duplicate with its original seq, and may be forgotten.
 *
 * Life of an entry:
 *
 *      first accepted publish            idle too long, or the history is gone
 *   ────────────────────────▶ known ─────────────────────────────────────────▶ expired
 *                              ▲  └─ a higher epoch: numbers begin anew           │
 *                              └──────────────── a higher epoch, number 1 ────────┘
 *
 * An expired entry answers `producer_unknown` to every number of its epoch. It stays as long as its
 * channel: were it forgotten, a late retry of number 1 would be stored a second time. So the
 * entries of a channel are bounded by CHANNEL_PRODUCERS_MAX, and over it new producers are refused.
 *
 * Runs: messages whose producer seqs and seqs rise together. A run begins at its producer seq and
 * ends where the next one begins (the last one at `last` + 1). A run whose seq is 0 is a gap: its
 * numbers were skipped when the channel had lost messages and the producer had gone on (`resync`):
 * they are not stored, nor will be, and are never answered as duplicates.
 *
 * Thread: the partition's owner.  Memory: producer_close() frees everything. */
#ifndef CORE_PRODUCER_H
#define CORE_PRODUCER_H

#include "base/list.h"
#include "core/partition.h"

/* Runs kept per producer and channel. A producer that has a channel to itself needs one; where
 * producers alternate each message makes one. A retry goes back by what a client has in flight, and
 * 1024 covers the largest batch sent as single messages; 16 KiB. A power of two (a ring). */
#define PRODUCER_RUNS_MAX 1024u

/* Producers a channel knows, expired ones too. About 200 bytes each: 20 MB. */
#define CHANNEL_PRODUCERS_MAX 100000u

struct producer_run {
    uint64_t producer_seq; /* of its first message */
    uint64_t seq;          /* of its first message; 0: a gap */
};

struct producer {
    struct list idle_link;     /* in the channel's list by last_ms, unless expired */
    struct producer_run *runs; /* a ring of run_capacity (0 or 2^k) */
    uint32_t run_first;
    uint32_t run_count;
    uint32_t run_capacity;
    bool expired;
    bool resync;      /* the next number may be ahead */
    uint64_t epoch;   /* of the producer, from 1 */
    uint64_t last;    /* highest number accepted */
    uint64_t last_ms; /* message time of the last accepted one */
    uint8_t id_size;
    uint8_t id[];
};

/* NULL: out of memory. Epoch and last are 0 until producer_accept(). */
MUST_USE struct producer *producer_open(struct bytes id);
void producer_close(struct producer *producer); /* NULL is allowed */

static inline struct bytes producer_id(const struct producer *producer)
{
    ASSERT_HOT(producer->id_size >= 1);
    return (struct bytes){producer->id, producer->id_size};
}
/* A map_key_of. */
struct bytes producer_key(const void *value);

/* Whether its state has expired, or is about to: last message more than idle_ms (0: no limit) ago.
 */
static inline bool producer_is_expired(const struct producer *producer, uint64_t idle_ms,
                                       uint64_t now_ms)
{
    ASSERT_HOT(now_ms >= producer->last_ms);
    return producer->expired || (idle_ms > 0 && now_ms - producer->last_ms > idle_ms);
}

/* Judges a numbered publish: verdict, has_seq, seq, expected. `producer` NULL: not known.
 * `any_start`: a producer or epoch not known may begin with any number. */
void producer_judge(const struct producer *producer, const struct command_publish *publish,
                    bool expired, bool any_start, uint64_t earliest, struct publish_result *result);

/* Room for one producer_accept(). RC_NOMEM: nothing has changed */
MUST_USE enum rc producer_reserve(struct producer *producer, uint64_t earliest);
/* Takes in what producer_judge() has accepted, after producer_reserve(). */
void producer_accept(struct producer *producer, const struct command_publish *publish, uint64_t seq,
                     uint64_t time_ms);
/* Forgets everything but epoch and last. Leaves the idle list. */
void producer_expire(struct producer *producer);

static inline struct producer_run *producer_run_at(const struct producer *producer, uint32_t index)
{
    ASSERT_HOT(index < producer->run_count);
    ASSERT_HOT(producer->run_count <= producer->run_capacity);
    return &producer->runs[(producer->run_first + index) & (producer->run_capacity - 1)];
}
/* One past the run's last producer seq. */
uint64_t producer_run_end(const struct producer *producer, uint32_t index);
/* How many runs at the front are of no use any more: all their messages are below `earliest`. */
uint32_t producer_runs_stale(const struct producer *producer, uint64_t earliest);
/* Appends a run that begins at last + 1; for decoding, after producer_runs_reserve(). */
void producer_run_push(struct producer *producer, struct producer_run run);
/* RC_NOMEM */
MUST_USE enum rc producer_runs_reserve(struct producer *producer, uint32_t count);
void producer_check(const struct producer *producer);

#endif
