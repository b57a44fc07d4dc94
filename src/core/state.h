/* What a partition's log adds up to: everything that apply changes, and nothing else.
 *
 * Thread: the partition's owner.  Memory: state_deinit() frees everything. */
#ifndef CORE_STATE_H
#define CORE_STATE_H

#include "core/capture.h"
#include "core/channel.h"

struct state {
    struct channel_table channels;
    struct command_settings settings;
    uint64_t tick_max; /* the highest message id tick taken by a record */
    /* Base epochs, oldest first; the last one is the current one. */
    uint64_t bases[CHANNEL_EPOCHS_MAX + 1];
    uint32_t base_count;
    uint16_t controls;      /* control records so far, modulo 65536 */
    bool controls_in_doubt; /* a HOLE came, and the record behind it has not told of its own yet */
    /* From a HOLE to the DOUBT that ends the repair: the span of positions cut out, and the base
     * epoch from before it. */
    bool in_doubt;
    uint64_t doubt_first;
    uint64_t doubt_end;
    uint64_t base_clean;
    struct capture *capture; /* of a checkpoint under way (core/capture.h); NULL: there is none */
    /* Constant. */
    uint32_t number;
    unsigned node;
};

void state_init(struct state *state, const struct partition_options *options);
void state_deinit(struct state *state);

static inline uint64_t state_base(const struct state *state)
{
    ASSERT_HOT(state->base_count >= 1 && state->base_count <= CHANNEL_EPOCHS_MAX + 1);
    ASSERT_HOT(state->bases[state->base_count - 1] != 0);
    return state->bases[state->base_count - 1];
}
/* Before anything of the channel changes. */
static inline void state_touch(struct state *state, struct channel *channel)
{
    ASSERT_HOT(channel->name_size_ >= 1);
    if (state->capture != NULL) {
        capture_touch(state->capture, channel);
    }
}
/* The current base becomes an earlier one. */
void state_base_change(struct state *state, uint64_t pos, uint64_t salt);

struct position state_position(const struct state *state, struct bytes name);
enum position_verdict state_position_judge(const struct state *state, struct bytes name,
                                           bool has_epoch, uint64_t epoch, uint64_t seq);

/* Who is told of what a record does, and what is known of it already. */
struct apply_env {
    const struct partition_ops *ops;
    void *ctx;
    struct log_place place;
    bool live;                       /* false: replay, nobody is told, but for `index` */
    const struct partition_tag *tag; /* of a live publish, else NULL */
    struct channel *channel;         /* of a live publish: its object, else NULL */
};

/* apply(state, position, command) -> effects: the one place where state changes. A failure leaves
 * the state as it was.
 * RC_CORRUPT  the body is no command
 * RC_NOMEM    also what ops->index returned */
MUST_USE enum rc state_apply(struct state *state, const struct record *record,
                             const struct apply_env *env);

/* Format: state_codec.c. RC_NOMEM */
MUST_USE enum rc state_encode(const struct state *state, struct buf *to);
/* Its two parts: what stands in front of the channels, and one channel. RC_NOMEM */
MUST_USE enum rc state_encode_head(const struct state *state, struct buf *to);
MUST_USE enum rc state_encode_channel(const struct channel *channel, struct buf *to);
/* Into a state fresh from state_init(); it is the state before position `pos`. RC_CORRUPT,
 * RC_NOMEM: only state_deinit() is left to do */
MUST_USE enum rc state_decode(struct state *state, uint64_t pos, struct bytes bytes);

#endif
