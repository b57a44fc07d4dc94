/* A small application over a file_log, with a naive model of what it has written: for the tests.
 *
 * Its records say which channel, seqs and time they are about, and carry bytes that follow from
 * their position. So every record that comes back, by replay or by reading, can be compared with
 * what was written there: the judgements that must always hold are made in here, in the callbacks.
 *
 * Thread: one; chores and reads are done at once.  Memory: world_deinit() frees. */
#ifndef TEST_LOG_WORLD_H
#define TEST_LOG_WORLD_H

#include "base/prng.h"
#include "lib/sim_disk.h"
#include "log/file_log.h"

#define WORLD_CHANNELS_MAX 64u
#define WORLD_FOLDER       "p003"
#define WORLD_PARTITION    3u
#define WORLD_INCARNATION  0x1122334455667788u

/* A record as it was handed to the log. */
struct world_record {
    uint64_t channel;
    uint64_t first_seq;
    uint32_t count;
    uint64_t time_ms;
    uint32_t body_size;
    uint64_t salt; /* of its bytes: differs between attempts at the same position */
};

struct world;
/* The application's state at a position, as its checkpoints have it. */
void world_state(const struct world *world, uint64_t pos, struct buf *to);
/* The digest that the model gives a channel in front of a seq. */
uint64_t world_digest(uint64_t channel, uint64_t first_seq);

struct world_damage {
    char file[160];
    uint64_t at;
    char what[48];
    bool torn_tail;
    bool repaired;
};

struct world {
    struct storage storage;
    struct file_log *log;
    struct log_batch batch;
    struct prng prng;
    uint32_t channel_count;
    uint32_t segment_bytes;
    uint32_t body_max;
    uint32_t messages_max; /* in one record */
    bool no_checkpoints;
    bool no_state_check; /* while allocations fail */
    bool rewrite;        /* as file_log_options has it */
    uint64_t sync_failures;
    bool lossy; /* holes are legal: seqs come from the records, not from counting */

    struct world_record *records; /* by position; attempted ones behind the acknowledged, too */
    size_t record_count;
    size_t record_capacity;
    uint64_t acked_pos;   /* acknowledged with a sync: must survive a power cut */
    uint64_t written_pos; /* acknowledged: must survive kill -9 */
    uint64_t pos;
    uint64_t hash;
    uint64_t latest[WORLD_CHANNELS_MAX + 1];
    uint64_t earliest[WORLD_CHANNELS_MAX + 1];
    uint64_t last_time[WORLD_CHANNELS_MAX + 1];
    uint64_t now_ms;
    uint64_t next_salt;

    /* Of the last recovery: */
    uint64_t replay_first; /* position of the first record replayed */
    uint64_t replay_count;
    uint64_t state_pos; /* UINT64_MAX: there was no checkpoint */
    uint64_t checks;    /* checkpoints that the replay has come to */
    bool check_fails;   /* on_checkpoint says that it has another state */
    uint64_t hole_count;
    uint64_t lost_pos[64][2]; /* position ranges that holes say are lost */
    struct world_damage damages[64];
    size_t damage_count;

    struct buf checkpoint; /* one that waits for the segments below it to be sealed */
    uint64_t checkpoint_segment;
    uint64_t checkpoint_pos;
    uint64_t checkpoint_count;
};

void world_init(struct world *world, struct storage storage, uint64_t seed);
void world_deinit(struct world *world);

/* Opens the log, replays, judges every record. After RC_OK the world goes on at what survived. */
enum rc world_open(struct world *world, bool repair);
void world_close(struct world *world);

/* Writes `count` records as one batch. */
enum rc world_publish(struct world *world, uint32_t count, enum log_sync sync);
/* As world_publish(), but memory runs out when so many of the records are applied (fewer than
 * `count`): the rest is cut. What file_log_reopen() says of that; no more is lost if it fails. */
enum rc world_publish_part(struct world *world, uint32_t count, uint32_t applied);
/* Does all that the keeper is asked to do. The first failure, or RC_OK. */
enum rc world_chores(struct world *world);
/* Removes what is over bytes_max, with a survey before. */
enum rc world_retain(struct world *world, uint64_t bytes_max);

/* Reads everything in each channel, in both directions, and by time, and compares with the model.
 * `damaged_ok`: ranges may be reported as damaged; returns how many messages were. */
uint64_t world_check_reads(struct world *world, bool damaged_ok);
/* Reads one channel forwards from `seq` in one go; returns the messages given, *ret_next. */
uint64_t world_read_forward(struct world *world, uint64_t channel, uint64_t seq,
                            uint64_t *ret_next);
/* Reads the digest in front of the record that holds `seq`, and compares it with the model's.
 * False: it cannot be told, for damage. */
bool world_check_digest(struct world *world, uint64_t channel, uint64_t seq);
void world_forget_damages(struct world *world);
/* Whether position `pos` is in a range that a hole says is lost. */
bool world_pos_is_lost(const struct world *world, uint64_t pos);

#endif
