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
    struct log_replay replay;    /* to be given to file_log_verify_replay() */
};

void log_state_init(struct log_state *state, uint32_t number, uint64_t incarnation, unsigned node);
void log_state_deinit(struct log_state *state);

#endif
