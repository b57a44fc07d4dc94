/* One partition's log in files: segments, index, checkpoints, recovery.
 *
 * What was committed is kept through kill -9, power loss and torn writes; what cannot be kept is
 * named, by file and byte. The object has four faces, each for one thread; they share nothing but
 * what is handed over in arguments, so the caller needs no lock:
 *
 *   open/recover  start-up, blocking, before any other face is used
 *   owner         the reactor that owns the partition: the index of what is not sealed yet, the
 *                 catalogue of segments; no I/O
 *   committer     write and sync of batches, rolling to the next segment
 *   worker        (reader or keeper thread) reads, sealing, preparing, checkpoints, removal
 *
 * Files in the partition's folder: <number>.seg, <number>.idx, <number>.ckp (a checkpoint of the
 * state at the first position of that segment), <number>.new (prepared). A segment is removed only
 * from the front, and the first one kept always starts with a checkpoint: so the index can always
 * be rebuilt. Formats and the decision table of recovery: docs/LOG.md.
 *
 * Thread: see the four faces.  Memory: file_log_close() frees everything. */
#ifndef LOG_FILE_LOG_H
#define LOG_FILE_LOG_H

#include "base/pieces.h"
#include "log/record.h"
#include "log/storage.h"

struct file_log; /* opaque */

enum log_sync {
    LOG_SYNC_DATA, /* write and sync before the commit is done: durability fsync */
    LOG_SYNC_NONE, /* write only: durability os and memory */
};

/* Something found in the files that is not as it was written. */
struct log_damage {
    const char *file; /* relative to the storage's root */
    uint64_t at;      /* first byte concerned */
    uint64_t size;    /* bytes concerned; 0 = to the end of the file */
    const char *what; /* static text: "checksum", "chain", "position", … */
    bool torn_tail;   /* cut, nothing acknowledged was lost */
    bool repaired;
};

struct file_log_options {
    const char *folder; /* relative, such as "p003"; made if missing */
    uint32_t partition;
    uint64_t incarnation;   /* identity of the data directory, in every segment header */
    uint32_t segment_bytes; /* a segment's size; one larger batch makes one larger segment */
    bool repair;            /* cut damage out instead of refusing */
    /* What the newest segment holds may be in memory only, and held for written, for a sync of it
     * has failed: all of it is written again, not the last batch alone. */
    bool rewrite;
    void *ctx;
    /* The log under recovery, for file_log_index_add() out of on_record; called once, before the
     * two below. It is the caller's only once file_log_open() has returned RC_OK. May be NULL. */
    void (*on_log)(void *ctx, struct file_log *log);
    /* The state at the first position of a segment; called at most once, before any record. */
    enum rc (*on_state)(void *ctx, uint64_t pos, struct bytes state);
    /* Each record after that, in order. The callback applies it and calls file_log_index_add(). */
    enum rc (*on_record)(void *ctx, const struct record *record, struct log_place place);
    /* The replay has come to the place of a whole checkpoint, and has met no hole: RC_CORRUPT if it
     * has come to another state there. That is told (on_damage), and the log decides: the replay's
     * own state goes on. May be NULL. RC_NOMEM */
    enum rc (*on_checkpoint)(void *ctx, uint64_t pos, struct bytes state);
    /* Each thing found; for the operator's eyes. */
    void (*on_damage)(void *ctx, const struct log_damage *damage);
    /* A sync of a segment has failed: what was committed in it without a sync of its own may be
     * gone, now or as soon as memory is short. While opening, and later on the committer's or the
     * keeper's thread. May be NULL. */
    void (*on_sync_failed)(void *ctx);
};

/* Opens or makes a log; recovers. Blocks: start-up only.
 * RC_CORRUPT  damage that is no torn tail, and `repair` is false (on_damage has told what)
 * RC_IO, RC_NOSPACE, RC_DENIED, RC_NOMEM; and what a callback returned */
MUST_USE enum rc file_log_open(const struct storage *storage,
                               const struct file_log_options *options, struct file_log **ret_log);
/* NULL is allowed. No other face may be in use any more. */
void file_log_close(struct file_log *log);

/* The position and hash that the next batch must follow (batch_begin), as of recovery. */
uint64_t file_log_next_pos(const struct file_log *log);
uint64_t file_log_next_hash(const struct file_log *log);

/* What a repair is known to have cost: the messages from … to (inclusive) of a channel. Known are
 * those in segments whose index was whole; of others the HOLE records tell. Lent until
 * file_log_close(). */
struct log_loss {
    uint64_t channel_id;
    uint64_t from;
    uint64_t to;
};
void file_log_repaired_losses(const struct file_log *log, const struct log_loss **ret_entries,
                              size_t *ret_count);

/* ---- owner --------------------------------------------------------------------------------- */

/* Tells where messages first_seq … first_seq+count-1 of a channel stand: all in the record at
 * `place`. In order of position; after the batch's commit (or in on_record).
 * `time_ms` is the messages' time, not going back within a channel; `digest` the channel's in front
 * of first_seq. RC_NOMEM */
MUST_USE enum rc file_log_index_add(struct file_log *log, struct log_place place,
                                    uint64_t channel_id, uint64_t first_seq, uint32_t count,
                                    uint64_t time_ms, uint64_t digest);
/* Before a batch is handed to the committer: room to take note of a roll, for once the batch is on
 * disk there is nobody left to refuse it to. RC_NOMEM: do not commit; nothing has happened */
MUST_USE enum rc file_log_commit_reserve(struct file_log *log);
/* After a batch's commit has been applied: takes note of a roll, so that it knows which segments
 * may be sealed. True: at least one segment awaits sealing. */
bool file_log_committed(struct file_log *log, const struct log_batch *batch);

enum log_read_kind {
    LOG_READ_FORWARD,  /* from seq upwards */
    LOG_READ_BACKWARD, /* from seq downwards */
    LOG_READ_TIME,     /* find the first seq >= `seq` whose message is not older than time_ms */
    LOG_READ_DIGEST,   /* find the channel's digest in front of the record that holds `seq` */
};

/* A read of one channel. The owner begins it, a worker does it, the owner ends it. */
struct log_read {
    enum log_read_kind kind;
    uint64_t channel_id;
    uint64_t seq;      /* where to begin; earliest <= seq <= latest */
    uint64_t earliest; /* the channel's bounds when the read began */
    uint64_t latest;
    uint64_t time_ms; /* LOG_READ_TIME */
    /* Calls for each record that holds messages wanted, in the order read: the messages in it
     * have the seqs first_seq … (its count is in its body). Return RC_OK to go on, RC_END when
     * enough. Worker's thread. For LOG_READ_TIME it's not called; for LOG_READ_DIGEST once, unless
     * `seq` is the record's first, when ret_digest is all there is to know. */
    enum rc (*on_record)(void *ctx, const struct record *record, uint64_t first_seq);
    /* The seqs from … to (inclusive) cannot be read since their bytes are damaged; the read goes on
     * behind them. For LOG_READ_DIGEST: there is no answer. */
    void (*on_damage)(void *ctx, uint64_t from, uint64_t to, const struct log_damage *damage);
    void *ctx;
    /* Results: */
    enum rc rc; /* RC_OK, RC_IO, RC_NOMEM; RC_NOT_FOUND: retention has removed the messages since
                 * the read began: look at the channel's bounds again */
    uint64_t ret_seq;    /* FORWARD: the next seq not read; BACKWARD: the next lower one not read
                          * (0: none); TIME: the seq found, latest + 1 if none; DIGEST: the record's
                          * first seq, 0: not found, on_damage has told why */
    uint64_t ret_digest; /* DIGEST: before ret_seq; set before on_record is called */
    /* Of the messages in the record that on_record is called with: what apply gave them, which is
     * what subscribers saw. Behind a loss that may be later than what the record says. */
    uint64_t ret_time_ms;
    /* Private: places copied from the owner's index, and the segments held meanwhile. */
    void *private_;
};

/* RC_NOMEM. After RC_OK the read must come back to file_log_read_end(), even on shutdown. */
MUST_USE enum rc file_log_read_begin(struct file_log *log, struct log_read *read);
void file_log_read_end(struct file_log *log, struct log_read *read);

/* Bytes on disk and the first position kept, for retention and for the operator. */
struct file_log_stats {
    uint64_t bytes;
    uint64_t segment_count;
    uint64_t first_pos;
    uint64_t first_segment_last_ms; /* wall time of the newest message in the oldest segment */
};
void file_log_stats(const struct file_log *log, struct file_log_stats *ret_stats);

/* Work for the keeper that the owner hands out; at most one is under way at a time per log. SEAL
 * and PREPARE come from file_log_chore_next(); the others the owner fills in itself. After one has
 * failed, file_log_chore_next() gives nothing until the next file_log_committed().
 *
 * CHECKPOINT: not before all below `segment` is sealed (file_log_unsealed()), for a replay begins
 * at the newest one and trusts the indexes below it. */
enum log_chore_kind {
    LOG_CHORE_SEAL,       /* write the index of a segment that is full */
    LOG_CHORE_PREPARE,    /* write the next segment ahead with zeros */
    LOG_CHORE_CHECKPOINT, /* write `state`, the state at the start of segment `segment` */
    LOG_CHORE_SURVEY,     /* tell which channels' messages the oldest sealed segments hold */
    LOG_CHORE_REMOVE,     /* remove the segments below `segment`, if its checkpoint is whole */
};
struct log_survey_entry {
    uint64_t channel_id;
    uint64_t end_seq; /* one past the last message of the channel in what was surveyed */
};
struct log_chore {
    enum log_chore_kind kind;
    uint64_t segment;
    struct pieces state; /* CHECKPOINT: owned by the chore; gone once it is written */
    uint64_t state_pos;  /* CHECKPOINT: position that the state is at */
    uint64_t state_size; /* CHECKPOINT result */
    bool will_trim; /* SURVEY: what the segments hold will be trimmed, so that an index that is gone
                     * hides nothing that is wanted; otherwise that is RC_CORRUPT */
    struct log_survey_entry *entries; /* SURVEY result, owned by the chore */
    size_t entry_count;
    enum rc rc;
    void *private_;
};

/* What should be done next, if anything (seal, then, where `prepare` wants it, prepare); false:
 * nothing. */
bool file_log_chore_next(struct file_log *log, bool prepare, struct log_chore *ret_chore);
/* The oldest segment that is full and not sealed yet, 0: none. */
uint64_t file_log_unsealed(const struct file_log *log);
/* Whether a checkpoint is due, that is: a roll has just happened, enough has been logged since the
 * last one, and the state now is the state at the start of a segment. Called by the owner right
 * BEFORE it applies the first record of a batch that begins a segment; true gives its number.
 * The newest one that is not written yet counts as well: its segment, 0: none, and its bytes. */
bool file_log_checkpoint_due(const struct file_log *log, const struct log_batch *batch,
                             uint64_t waiting, uint64_t waiting_bytes, uint64_t *ret_segment);
/* The highest segment (with checkpoint) up to which a removal may go, given limits on bytes and
 * age (0 = none); 0: none. `first`: the lowest, which takes the fewest trims. */
uint64_t file_log_retention_candidate(const struct file_log *log, uint64_t bytes_max,
                                      uint64_t oldest_ms, bool first);
/* Takes the result in; frees what the chore owns. */
void file_log_chore_end(struct file_log *log, struct log_chore *chore);

/* ---- committer ----------------------------------------------------------------------------- */

/* Writes the batch behind the last one, rolls to the next segment if it does not fit, syncs, sets
 * batch->place. After a failure nothing more is accepted (RC_UNAVAILABLE) until file_log_reopen()
 * has succeeded. Where the disk has no room for a next segment, what is left of this one, or of
 * the disk, is kept free for what is committed after a reopen with RC_FULL.
 * RC_NOSPACE  disk full: nothing of the batch is or will be visible
 * RC_NOMEM    the same, for want of descriptors or memory for the next segment
 * RC_IO       write or sync failed */
MUST_USE enum rc file_log_commit(struct file_log *log, struct log_batch *batch, enum log_sync sync);
/* After a failure: reads the tail anew from disk through fresh descriptors, cuts what was not
 * acknowledged (everything from `pos` on, which lies in the last batch or behind it), and accepts
 * again. It first checks that there is room for a segment. Never used after a failed sync of data
 * that the kernel may have dropped: then it returns RC_IO and only a new start of the server
 * recovers.
 * RC_FULL     accepts again, but only trims should come, for there is little room, and they make
 *             more; a later call may find it and give RC_OK
 * RC_NOSPACE  not even that
 * RC_NOMEM, RC_IO */
MUST_USE enum rc file_log_reopen(struct file_log *log, uint64_t pos, uint64_t hash);
/* The owner's part of it before: tells what is prepared. Without it nothing counts as prepared that
 * was not when it was told last. Owner's thread, while no reopen is under way. */
void file_log_reopen_begin(struct file_log *log);
/* And after RC_OK or RC_FULL and before anything is appended: what was applied
 * of a batch that was cut counts as committed. Owner's thread, while the committer has nothing to
 * do. */
void file_log_reopened(struct file_log *log);

/* ---- worker (reader or keeper) ------------------------------------------------------------- */

void file_log_read_do(struct file_log *log, struct log_read *read);    /* reader thread */
void file_log_chore_do(struct file_log *log, struct log_chore *chore); /* keeper thread */

/* ---- offline ------------------------------------------------------------------------------- */

struct audit; /* log/audit.h */

/* The application, for a verification that applies the records again: what is derived from the log,
 * checkpoints and index files, is then compared with what it comes to. */
struct log_replay {
    void *ctx;
    /* The state at `pos`; size 0: the empty one at position 0. RC_CORRUPT: none; RC_NOMEM */
    enum rc (*restore)(void *ctx, uint64_t pos, struct bytes state);
    /* Applies a record; where its messages stand goes to log_replay_index_add().
     * RC_CORRUPT: it is no command; RC_NOMEM */
    enum rc (*apply)(void *ctx, struct audit *audit, const struct record *record,
                     struct log_place place);
    /* Appends the state. RC_NOMEM */
    enum rc (*encode)(void *ctx, struct buf *to);
};
/* As file_log_index_add(), out of `apply`. RC_NOMEM */
MUST_USE enum rc log_replay_index_add(struct audit *audit, struct log_place place,
                                      uint64_t channel_id, uint64_t first_seq, uint32_t count,
                                      uint64_t time_ms, uint64_t digest);

struct log_verify_result {
    uint64_t segments;
    uint64_t records;
    uint64_t bytes;
    uint64_t damages;
    uint64_t first_pos;
    uint64_t end_pos;
    bool state_known; /* of a replay: at the end it has the state there, no damage in between */
};
/* Reads a whole partition folder without changing anything: every record, chain, index and
 * checkpoint. Each problem goes to on_damage; `on_record` may be NULL. RC_OK even with damage. */
MUST_USE enum rc file_log_verify(const struct storage *storage, const char *folder,
                                 void (*on_damage)(void *ctx, const struct log_damage *damage),
                                 void (*on_record)(void *ctx, const struct record *record,
                                                   struct log_place place),
                                 void *ctx, struct log_verify_result *ret_result);
/* As above, and applies the records again. `replay` may be NULL. */
MUST_USE enum rc
file_log_verify_replay(const struct storage *storage, const char *folder,
                       void (*on_damage)(void *ctx, const struct log_damage *damage), void *ctx,
                       const struct log_replay *replay, struct log_verify_result *ret_result);

#endif
