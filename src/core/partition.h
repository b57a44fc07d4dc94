/* A partition: the channels whose names hash to it, and the one log that orders them.
 *
 * Commands come in, are stamped and appended to the batch that is filling; when no commit is under
 * way the batch is handed to the log; when its commit is done each of its records is applied, in
 * order, and only then anybody hears of it. apply() is a deterministic function of (state,
 * position, command): a restart replays, and reaches the same state.
 *
 *        publish                        commit              commit_done(RC_OK)
 *   ───────────────▶ filling batch ───────────────▶ in flight ──────────────▶ applied, replied
 *                                                     │ commit_done(RC_IO | RC_NOSPACE)
 *                                                     ▼
 *                                                  STOPPED: every pending request is answered
 *                                                  `unavailable`, reads go on; resume() after the
 *                                                  log has been reopened, with room for all or,
 *                                                  on a full disk, for trims only
 *
 * Thread: the owning reactor.  Memory: partition_close() frees everything. */
#ifndef CORE_PARTITION_H
#define CORE_PARTITION_H

#include "base/map.h"
#include "base/pieces.h"
#include "core/command.h"
#include "log/record.h"

struct partition; /* opaque */

/* An epoch that a channel had before, and how far its history is still the same. */
struct channel_epoch {
    uint64_t epoch;
    uint64_t good_end; /* a position (epoch, seq) with seq <= good_end is still good */
};

/* What the owner may read of a channel; changed by apply only. There may be millions of them,
 * nearly all idle: 88 bytes and what the name needs beyond six. What few have is elsewhere
 * (`more_`). */
struct channel {
    uint64_t epoch;
    uint64_t earliest;     /* seq of the oldest message kept; latest + 1 if none is */
    uint64_t latest;       /* seq of the newest message; 0: none ever */
    uint64_t last_time_ms; /* a message's time never goes back within its channel */
    uint64_t digest;       /* of `latest` (base/digest.h) */
    /* private, but for the id */
    uint64_t prev_pos_;         /* position + 1 of the last record appended for it */
    uint64_t applied_prev_pos_; /* prev_pos_ as of the last record applied */
    uint64_t append_time_ms_;   /* the time stamped last; not going back */
    struct channel_more *more_; /* NULL: none of that */
    uint32_t id;                /* 1, 2, 3 … in the partition, by first publish */
    uint32_t pending_;          /* records appended that are not applied yet */
    bool in_doubt_ : 1;         /* a hole may have eaten records of it */
    bool resync_ : 1;           /* it has: producers not known may begin with any number */
    bool captured_ : 1;         /* a checkpoint under way has it as it was (core/capture.h) */
    uint8_t name_size_;
    uint8_t name_[];
};

static inline struct bytes channel_name(const struct channel *channel)
{
    ASSERT_HOT(channel->name_size_ >= 1);
    return (struct bytes){channel->name_, channel->name_size_};
}
/* The owner's own: its subscribers. NULL: none was set. */
void *channel_user(const struct channel *channel);
/* RC_NOMEM: unchanged; never for NULL */
MUST_USE enum rc partition_user_set(struct partition *partition, struct channel *channel,
                                    void *user);

/* Who asked, in the caller's terms: given back with the result, not looked into. */
struct partition_tag {
    uint64_t a;
    uint64_t b;
    uint64_t c;
};

enum publish_verdict {
    PUBLISH_ACCEPTED,
    PUBLISH_DUPLICATE,       /* seq is the original's; has_seq false if no longer known */
    PUBLISH_OUT_OF_SEQUENCE, /* expected */
    PUBLISH_PRODUCER_UNKNOWN,
    PUBLISH_PRODUCER_FENCED,
    PUBLISH_UNAVAILABLE, /* the log failed; nothing was stored */
    PUBLISH_LIMIT,       /* no number left, or the channel knows too many producers */
};

struct publish_result {
    enum publish_verdict verdict;
    bool has_seq;
    bool is_batch;
    uint64_t seq; /* of the first message */
    uint32_t count;
    uint64_t message_id; /* of the first; 0: not known */
    uint64_t epoch;
    uint64_t expected;     /* PUBLISH_OUT_OF_SEQUENCE: the next number … */
    uint64_t producer_seq; /* … and the one that came */
    struct bytes channel;  /* its name; borrowed during the call that gives the result */
};

/* What a partition asks of its surroundings; called on the owner's thread. */
struct partition_ops {
    /* Commit this batch. Lent until partition_commit_done(). */
    void (*commit)(void *ctx, struct log_batch *batch);
    void (*reply)(void *ctx, const struct partition_tag *tag, const struct publish_result *result);
    /* Messages first_seq … of the channel are committed and may be seen from now on. */
    void (*messages)(void *ctx, struct channel *channel, uint64_t first_seq,
                     const struct command_publish *publish);
    /* The channel has a new epoch; messages of it follow. (Of a new earliest nobody is told:
     * cursors learn that when they read.) */
    void (*epoch_changed)(void *ctx, struct channel *channel);
    /* Index: where the messages stand, and the channel's digest before the first of them
     * (file_log_index_add). RC_NOMEM stops the partition. */
    enum rc (*index)(void *ctx, struct log_place place, uint64_t channel_id, uint64_t first_seq,
                     uint32_t count, uint64_t time_ms, uint64_t digest);
    /* Called before the first record of a committed batch is applied: the moment at which a
     * checkpoint may be taken (file_log_checkpoint_due, partition_state_encode). */
    void (*batch_begin)(void *ctx, const struct log_batch *batch);
    /* A record of it has been applied; the next one has not. Everything before is on disk and may
     * be told. */
    void (*record_end)(void *ctx);
    /* Called after the last one has been applied. */
    void (*batch_end)(void *ctx, const struct log_batch *batch);
    /* `count` message id ticks, none given before and at least snowflake_tick_of(now_ms). */
    uint64_t (*ticks_take)(void *ctx, uint64_t now_ms, uint32_t count);
};

struct partition_options {
    uint32_t number;
    uint64_t incarnation; /* of the data directory: the epochs of channels not yet published to */
    unsigned node;        /* 0 … 1023, in message ids */
    size_t pending_bytes_max; /* commands waiting and under way; RC_FULL above */
    uint64_t hash_seed;       /* for name tables */
    uint64_t salt_seed; /* random, another at each start: no two epochs may be the same even if
                         * clock, position and all that was logged come again */
    const struct partition_ops *ops;
    void *ctx;
};

MUST_USE enum rc partition_open(const struct partition_options *options,
                                struct partition **ret_partition);
void partition_close(struct partition *partition); /* NULL is allowed */

/* ---- recovery, before anything else -------------------------------------------------------- */

/* RC_CORRUPT, RC_NOMEM */
MUST_USE enum rc partition_restore(struct partition *partition, uint64_t pos, struct bytes state);
/* Applies a record of the log: index and state only, no reply, no delivery. RC_CORRUPT: a body that
 * is none; RC_NOMEM */
MUST_USE enum rc partition_replay(struct partition *partition, const struct record *record,
                                  struct log_place place);
/* Recovery is over: commands may come. `settings` differing from the state's are appended as the
 * first command; `doubt` DOUBT_ALL or DOUBT_END (0: none) is appended before anything else. */
MUST_USE enum rc partition_start(struct partition *partition, uint64_t next_pos, uint64_t next_hash,
                                 const struct command_settings *settings, int doubt,
                                 uint64_t now_ms);
/* The highest message id tick in the state, for the node's ticket counter. */
uint64_t partition_tick_max(const struct partition *partition);
/* Whether replay has met a HOLE that nothing has resolved (then start with DOUBT_END). */
bool partition_in_doubt(const struct partition *partition);

/* ---- commands ------------------------------------------------------------------------------ */

/* Takes an encoded publish (command_publish_encode) in; copies it. The reply comes through ops.
 * RC_FULL         too much is pending: come again after a commit
 * RC_UNAVAILABLE  stopped, or full
 * RC_NOMEM */
MUST_USE enum rc partition_publish(struct partition *partition, const struct partition_tag *tag,
                                   struct bytes body, uint64_t now_ms);
/* Appends a RECORD_TRIM; *ret_pos is its position: once partition_applied_pos() is beyond it, the
 * trim is committed and applied, and the segments may go. RC_FULL, RC_UNAVAILABLE, RC_NOMEM */
MUST_USE enum rc partition_trim(struct partition *partition,
                                const struct command_trim_entry *entries, size_t count,
                                uint64_t now_ms, uint64_t *ret_pos);
/* Appends a RECORD_DOUBT of kind DOUBT_LIST: a repair knows which messages these channels have
 * lost, so they begin new epochs. Strictly ascending by channel. RC_FULL, RC_UNAVAILABLE, RC_NOMEM
 */
MUST_USE enum rc partition_doubt_list(struct partition *partition,
                                      const struct command_doubt_entry *entries, size_t count,
                                      uint64_t now_ms);
/* Hands the filling batch to the log if none is under way. Call at the end of each tick: what came
 * in during one tick is one batch. */
void partition_flush(struct partition *partition);
/* The end of a commit. RC_OK: applies it all. Else the partition stops: every request pending is
 * answered PUBLISH_UNAVAILABLE. */
void partition_commit_done(struct partition *partition, enum rc rc);
/* After the log has been reopened at partition_applied_pos(): accepts again. `full`: trims and
 * doubts only, publishes get RC_UNAVAILABLE; until it is called again without. */
void partition_resume(struct partition *partition, bool full);
bool partition_stopped(const struct partition *partition);
bool partition_full(const struct partition *partition);
/* The doubt that partition_start() was given is not applied yet: epochs are about to change. */
bool partition_doubt_due(const struct partition *partition);
/* Nothing waits and nothing is under way. */
bool partition_idle(const struct partition *partition);
/* The position and hash after the last record applied. */
uint64_t partition_applied_pos(const struct partition *partition);
uint64_t partition_applied_hash(const struct partition *partition);
/* The position that the next command appended will get: what is applied and all that is pending. */
uint64_t partition_next_pos(const struct partition *partition);

/* ---- reading the state --------------------------------------------------------------------- */

/* NULL: nobody has ever published to it. */
struct channel *partition_channel_find(struct partition *partition, struct bytes name);
struct channel *partition_channel_by_id(struct partition *partition, uint64_t id);
uint64_t partition_channel_count(const struct partition *partition);

enum position_verdict {
    POSITION_OK,
    POSITION_TRIMMED, /* below earliest */
    POSITION_EPOCH,   /* of another history */
    POSITION_AHEAD,   /* beyond latest + 1 */
};
struct position {
    uint64_t epoch; /* now */
    uint64_t earliest;
    uint64_t latest;
    uint64_t digest; /* of `latest` */
};
/* Bounds of a channel, also of one that nobody has published to (latest 0, earliest 1). */
struct position partition_position(struct partition *partition, struct bytes name);
/* Judges (epoch, seq) of a client; `has_epoch` false: only the seq counts. */
enum position_verdict partition_position_judge(struct partition *partition, struct bytes name,
                                               bool has_epoch, uint64_t epoch, uint64_t seq);

/* The state, for a checkpoint: deterministic bytes, equal for equal histories. RC_NOMEM */
MUST_USE enum rc partition_state_encode(const struct partition *partition, struct buf *to);
/* The same, a slice at a time: the state as it is now, while more is applied. One capture at a
 * time (core/capture.h). RC_NOMEM: there is none */
MUST_USE enum rc partition_capture_begin(struct partition *partition);
bool partition_capturing(const struct partition *partition);
/* Encodes some `bytes_max` more.
 * RC_OK     that was the last of it: all is in *ret_state, which the caller deinits
 * RC_AGAIN  more is left
 * RC_NOMEM  it is given up */
MUST_USE enum rc partition_capture_step(struct partition *partition, size_t bytes_max,
                                        struct pieces *ret_state);
/* XXH3-64 over the same bytes. */
MUST_USE enum rc partition_state_hash(const struct partition *partition, uint64_t *ret_hash);

#endif
