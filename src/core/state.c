#include "core/state.h"

#include "base/digest.h"
#include "core/capture.h"
#include "core/epoch.h"
#include "core/snowflake.h"

void state_init(struct state *state, const struct partition_options *options)
{
    ASSERT(options->node <= SNOWFLAKE_NODE_MAX);
    *state = (struct state){.number = options->number, .node = options->node};
    table_init(&state->channels, options->hash_seed);
    state->bases[0] = epoch_base_first(options->incarnation, options->number);
    state->base_count = 1;
}

void state_deinit(struct state *state)
{
    ASSERT(state->channels.count <= slots_count(&state->channels.names));
    capture_close(state->capture);
    table_deinit(&state->channels);
}

void state_base_change(struct state *state, uint64_t pos, uint64_t salt)
{
    ASSERT(state->base_count >= 1);
    ASSERT(state->base_count <= CHANNEL_EPOCHS_MAX + 1);
    const uint64_t next = epoch_next(state_base(state), pos, salt);
    if (state->base_count == CHANNEL_EPOCHS_MAX + 1) {
        state->base_count--;
        bytes_move(state->bases, state->bases + 1, state->base_count * sizeof(state->bases[0]));
    }
    ASSERT(next != 0 && next != state_base(state));
    state->bases[state->base_count++] = next;
}

/* The channel of that name, once it has a number. */
static const struct channel *channel_of(const struct state *state, struct bytes name)
{
    ASSERT_HOT(name.size >= 1);
    const struct channel *channel = table_find(&state->channels, name);
    return channel != NULL && channel->id != 0 ? channel : NULL;
}

struct position state_position(const struct state *state, struct bytes name)
{
    ASSERT(state->base_count >= 1);
    const struct channel *channel = channel_of(state, name);
    if (channel == NULL) {
        return (struct position){.epoch = epoch_of_name(state_base(state), name),
                                 .earliest = 1,
                                 .digest = digest_start(name)};
    }
    ASSERT(channel->earliest <= channel->latest + 1);
    return (struct position){channel->epoch, channel->earliest, channel->latest, channel->digest};
}

/* How far a history that is not the current one is good; 0: never heard of it. A first epoch is
 * good up to the first seq, as nothing comes before that. */
static uint64_t good_end_of(const struct state *state, struct bytes name, uint64_t epoch)
{
    ASSERT(state->base_count >= 1);
    ASSERT(state->base_count <= CHANNEL_EPOCHS_MAX + 1);
    const struct channel *channel = channel_of(state, name);
    const uint64_t good_end = channel != NULL ? channel_epoch_good_end(channel, epoch) : 0;
    if (good_end != 0) {
        return good_end;
    }
    for (uint32_t i = state->base_count; i > 0; i--) {
        if (epoch_of_name(state->bases[i - 1], name) == epoch) {
            return 1;
        }
    }
    return 0;
}

/* [P 3 subscribe] */
enum position_verdict state_position_judge(const struct state *state, struct bytes name,
                                           bool has_epoch, uint64_t epoch, uint64_t seq)
{
    const struct position now = state_position(state, name);
    ASSERT(now.earliest <= now.latest + 1);
    if (has_epoch && epoch != now.epoch) {
        const uint64_t good_end = good_end_of(state, name, epoch);
        if (good_end == 0 || seq > good_end) {
            return POSITION_EPOCH;
        }
    }
    if (seq < now.earliest) {
        return POSITION_TRIMMED;
    }
    return seq > now.latest + 1 ? POSITION_AHEAD : POSITION_OK;
}
