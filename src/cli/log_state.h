/* The state of a partition, computed from its log: what `log verify` compares checkpoints and index
 * files with, and where it has the channels' digests from.
 *
 * Thread: one.  Memory: log_state_deinit() frees. */
#ifndef CLI_LOG_STATE_H
#define CLI_LOG_STATE_H

#include "core/partition.h"
#include "log/file_log.h"

struct log_state {
    uint32_t number;
    uint64_t incarnation;
    unsigned node;
    struct partition *partition; /* as of the last restore; NULL before */
    struct audit *audit;         /* of the record that is being applied */
    uint64_t *before; /* by channel id: latest at the first restore, not of a beginning */
    uint64_t before_count;
    uint64_t before_pos;      /* where that was */
    bool begun;               /* there was a restore */
    struct log_replay replay; /* to be given to file_log_verify_replay() */
};

void log_state_init(struct log_state *state, uint32_t number, uint64_t incarnation, unsigned node);
/* Whether what stood in front of `first_pos`, where the log now begins, was not removed by
 * retention: channels keep messages from there, or there is no state to begin with. For a log that
 * has no other damage, so that its state is known. */
bool log_state_lacks_beginning(const struct log_state *state, uint64_t first_pos);
void log_state_deinit(struct log_state *state);

#endif
