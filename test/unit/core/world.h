/* A partition in a world of memory: a log that is an array of bytes, a clock that is a number, and
 * a book of everything that the partition has said.
 *
 * Nothing is committed until the test says so, so that what must not happen before a commit can be
 * seen not to happen. Failures of what a test takes for granted end the program (ASSERT).
 *
 * Thread: one.  Memory: world_deinit() frees everything. */
#ifndef TEST_CORE_WORLD_H
#define TEST_CORE_WORLD_H

#include "core/partition.h"

#define WORLD_INCARNATION 0x1234u
#define WORLD_NODE        5u

struct world_reply {
    struct partition_tag tag;
    struct publish_result result; /* `channel` is gone; its first letter stays */
    char channel;
};

/* A message delivered, or an epoch changed (count 0). */
struct world_event {
    uint64_t channel_id;
    uint64_t epoch;
    uint64_t first_seq;
    uint64_t time_ms;
    uint64_t tick;
    uint32_t count;
};

/* The messages of a record as the index was told of them, and the channel's digest around them: the
 * one told, and the one that a naive oracle has behind them. */
struct world_indexed {
    uint64_t channel_id;
    uint64_t first_seq;
    uint64_t end_seq;
    uint64_t before;
    uint64_t behind;
};

struct world {
    struct partition *partition;
    struct command_settings settings;
    uint64_t now_ms;
    uint64_t next_tick;
    size_t pending_bytes_max;
    struct buf log; /* the records committed */
    uint64_t next_pos;
    uint64_t next_hash;
    struct log_batch *lent;
    uint64_t index_fail_at; /* the call of that number from now fails; 0: none */
    uint64_t commit_count;
    uint64_t batch_begin_count;
    uint64_t record_end_pos; /* behind the record of a batch that was applied last */
    uint64_t batch_end_count;
    uint64_t index_count;
    struct buf replies; /* struct world_reply */
    struct buf events;  /* struct world_event */
    struct buf indexed; /* struct world_indexed */
};

void world_init(struct world *w);
void world_deinit(struct world *w);

/* A publish as a test writes it; zero fields mean "none", or one message and one byte. */
struct world_publish {
    const char *channel;
    const char *producer;
    uint64_t epoch;
    uint64_t seq;
    uint32_t count; /* > 0: as a batch */
    size_t data_size;
    uint64_t tag;
};
enum rc world_publish_try(struct world *w, struct world_publish publish);
/* Publishes, commits, and gives the reply. */
struct publish_result world_publish(struct world *w, struct world_publish publish);
void world_trim(struct world *w, const char *channel, uint64_t earliest);

/* Ends the commit under way; RC_OK writes it to the log. */
void world_commit_done(struct world *w, enum rc rc);
/* Flushes and commits until nothing waits. */
void world_settle(struct world *w);

/* Closes the partition as a crash would, and opens another over the same log; `state` (size 0:
 * none) is a checkpoint at `pos`. */
void world_restart_at(struct world *w, uint64_t pos, struct bytes state, int doubt);
void world_restart(struct world *w, int doubt);
/* As world_restart_at(), up to where partition_start() would be called. */
enum rc world_recover(struct world *w, uint64_t pos, struct bytes state);
/* The byte position in the log of the record at `pos`. */
size_t world_log_at(const struct world *w, uint64_t pos);
/* Puts a HOLE in the place of the positions first … end. Call before world_restart(). */
void world_cut(struct world *w, uint64_t first, uint64_t end);

uint64_t world_state_hash(const struct world *w);
size_t world_reply_count(const struct world *w);
const struct world_reply *world_reply_at(const struct world *w, size_t index);
size_t world_event_count(const struct world *w);
const struct world_event *world_event_at(const struct world *w, size_t index);
/* What the oracle says of the channel's digest behind message `seq`; 0: it does not know. */
uint64_t world_digest(const struct world *w, uint64_t channel_id, uint64_t seq);
struct position world_position(struct world *w, const char *channel);
enum position_verdict world_judge(struct world *w, const char *channel, uint64_t epoch,
                                  uint64_t seq);

#endif
