/* A naive model of a partition's state: the list of all messages ever accepted, searched from end
 * to end. What it says about a command is what protocol.md says, without a thought for speed.
 *
 * Thread: one.  Memory: model_deinit() frees. */
#ifndef TEST_CORE_MODEL_H
#define TEST_CORE_MODEL_H

#include "core/partition.h"

#define MODEL_CHANNELS 3u
#define MODEL_EPOCHS   64u

struct model_message {
    unsigned channel;
    char producer; /* 0: not numbered */
    uint64_t producer_epoch;
    uint64_t producer_seq;
    uint64_t seq;
    uint64_t time_ms;
};

/* Something that was so about a (channel, producer, producer epoch). */
struct model_mark {
    unsigned channel;
    char producer;
    uint64_t producer_epoch;
};

struct model_channel {
    uint64_t id;
    uint64_t earliest;
    uint64_t latest;
    uint64_t last_time_ms;
    uint64_t epoch; /* taken from the partition when it changes, and checked for being new */
    struct channel_epoch epochs[MODEL_EPOCHS];
    size_t epoch_count;
};

struct model {
    struct model_channel channels[MODEL_CHANNELS];
    uint64_t channel_count;
    struct command_settings settings;
    struct buf messages; /* struct model_message */
    struct buf expired;  /* struct model_mark */
    struct buf resync;   /* struct model_mark; cleared by setting producer_epoch to 0 */
};

void model_init(struct model *model);
void model_deinit(struct model *model);
/* The result that the publish must have; takes it in if it is accepted. The channel's name is one
 * letter from 'a', a producer's id one letter. message_id and epoch are left 0. */
struct publish_result model_publish(struct model *model, const struct command_publish *publish);
void model_trim(struct model *model, uint64_t channel_id, uint64_t earliest);
/* Every channel's epoch ends. */
void model_doubt_all(struct model *model);
/* The channel's epoch after that; asserts that it is a new one. */
void model_epoch_set(struct model *model, unsigned channel, uint64_t epoch);
enum position_verdict model_judge(const struct model *model, unsigned channel, uint64_t epoch,
                                  uint64_t seq);
/* Highest number accepted of that (producer, epoch). */
uint64_t model_last(const struct model *model, unsigned channel, char producer,
                    uint64_t producer_epoch);

#endif
