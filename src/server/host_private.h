/* The inside of a host, between host*.c only.
 *
 * Thread: the owning reactor.  Memory: see host.h. */
#ifndef SERVER_HOST_PRIVATE_H
#define SERVER_HOST_PRIVATE_H

#include "server/checkpoints.h"
#include "server/datadir.h"
#include "server/host.h"
#include "server/server_private.h"

/* A channel that somebody follows: encoded once for each codec that somebody follows it in. */
struct topic {
    struct bytes name;                   /* behind the struct */
    uint64_t watchers[WIRE_CODEC_COUNT]; /* who follows it in which codec: a bit per reactor */
    uint64_t deflated[WIRE_CODEC_COUNT]; /* of those: where it is taken compressed for all */
    /* Of the batch that is being applied, where somebody follows in that codec. */
    struct shared_chunk *open[WIRE_CODEC_COUNT];
    struct list open_link;
};

enum upkeep_state {
    UPKEEP_NONE,
    UPKEEP_SURVEY,   /* a survey is under way */
    UPKEEP_JUDGING,  /* what it has found is looked at, and trimmed, in slices */
    UPKEEP_TRIMMING, /* its trim is being committed; then the segments go */
};

struct host {
    struct server *server;
    struct reactor *reactor; /* NULL until host_start() */
    unsigned number;
    char folder[DATADIR_FOLDER_SIZE];
    struct partition *partition;
    struct file_log *log;
    uint64_t channels_told; /* of server->channels, what is ours */
    struct map topics;      /* by name */
    struct list open_topics;
    size_t tail_bytes; /* encoded for them, of the batch that is being applied */

    struct job commit_job;
    struct log_batch *commit_batch; /* lent by the partition */
    enum rc commit_rc;
    bool commit_out;
    bool commit_here; /* the reactor itself is to do it, at once */

    struct job reopen_job;
    bool reopen_out;
    enum rc reopen_rc;
    bool reopen_useless; /* after a failed sync only a restart helps */

    struct list asks;    /* behind their barrier, in the order in which they came */
    struct list waiting; /* reads and asks for a time: behind their barrier, or for room there */
    unsigned reads_out;

    struct job chore_job;
    struct log_chore chore;
    bool chore_out;
    struct checkpoints checkpoints; /* that wait for their turn */
    uint64_t capture_segment;       /* of the one that is being encoded (partition_capturing) … */
    uint64_t capture_pos;           /* … its segment and position */
    bool chore_wait;                /* the last one failed: not before the next tick */
    bool survey_may_trim;
    unsigned survey_eighths; /* how much of the log the next survey looks at */
    enum upkeep_state upkeep;
    struct log_survey_entry *survey; /* UPKEEP_JUDGING: what was found … */
    size_t survey_count;
    size_t survey_at;      /* … and how much of it has been looked at */
    uint64_t trim_pos;     /* the last trim appended, 0: none; UPKEEP_TRIMMING: once applied … */
    uint64_t trim_segment; /* … segments below this may go */
    bool failed;           /* told that the log failed */
    bool losses_due;       /* a repair's losses are not in the log yet: nobody is let in */
    bool starting;         /* its first commands are not applied yet */
    bool doubt;            /* an unclean stop may have lost what was seen */
};

extern const struct partition_ops host_partition_ops;

/* host_read.c */
void host_waiting_run(struct host *host);
/* Answers the subscribes whose barrier has been reached: also between two records of a batch. */
void host_asks_run(struct host *host);
/* What was appended is lost, and its positions will be given again: nobody waits for it any more.
 */
void host_barriers_lift(struct host *host);
/* host_upkeep.c */
void host_upkeep_run(struct host *host);
void host_batch_begin(struct host *host, const struct log_batch *batch);
void host_reopen_try(struct host *host);
/* host.c */
/* Messages that a repair has cut out below the newest checkpoint: their channels begin new epochs.
 * Again if the commit that was to say so failed. */
void host_doubt_losses(struct host *host);
/* What is encoded of the batch that is being applied, and the replies to it, go out now: nothing
 * that follows in the batch is for the same readers. */
void host_topic_flush(struct host *host, struct topic *topic);
void host_reply_send(struct host *host, uint64_t handle, uint64_t id, uint32_t size,
                     const struct publish_result *result);

#endif
