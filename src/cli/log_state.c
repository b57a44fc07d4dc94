#include "cli/log_state.h"

#include "base/mem.h"

/* What a partition asks of its surroundings; in a replay only the index is told of anything. */

static void on_commit(void *ctx, struct log_batch *batch)
{
    (void)ctx;
    (void)batch;
    UNREACHABLE();
}

static void on_reply(void *ctx, const struct partition_tag *tag,
                     const struct publish_result *result)
{
    (void)ctx;
    (void)tag;
    (void)result;
    UNREACHABLE();
}

static void on_messages(void *ctx, struct channel *channel, uint64_t first_seq,
                        const struct command_publish *publish)
{
    (void)ctx;
    (void)channel;
    (void)first_seq;
    (void)publish;
    UNREACHABLE();
}

static void on_epoch_changed(void *ctx, struct channel *channel)
{
    (void)ctx;
    (void)channel;
    UNREACHABLE();
}

static enum rc on_index(void *ctx, struct log_place place, uint64_t channel_id, uint64_t first_seq,
                        uint32_t count, uint64_t time_ms, uint64_t digest)
{
    struct log_state *state = ctx;
    return log_replay_index_add(state->audit, place, channel_id, first_seq, count, time_ms, digest);
}

static void on_batch(void *ctx, const struct log_batch *batch)
{
    (void)ctx;
    (void)batch;
    UNREACHABLE();
}

static void on_record_end(void *ctx)
{
    (void)ctx;
    UNREACHABLE();
}

static uint64_t on_ticks_take(void *ctx, uint64_t now_ms, uint32_t count)
{
    (void)ctx;
    (void)now_ms;
    (void)count;
    UNREACHABLE();
}

static const struct partition_ops ops = {
    .commit = on_commit,
    .reply = on_reply,
    .messages = on_messages,
    .epoch_changed = on_epoch_changed,
    .index = on_index,
    .batch_begin = on_batch,
    .record_end = on_record_end,
    .batch_end = on_batch,
    .ticks_take = on_ticks_take,
};

/* The log begins with a state: what the channels had before. */
static enum rc note_before(struct log_state *state, uint64_t pos)
{
    const uint64_t count = partition_channel_count(state->partition);
    state->before = mem_calloc((size_t)count + 1, sizeof(*state->before));
    if (state->before == NULL) {
        return RC_NOMEM;
    }
    for (uint64_t id = 1; id <= count; id++) {
        state->before[id] = partition_channel_by_id(state->partition, id)->latest;
    }
    state->before_count = count;
    state->before_pos = pos;
    return RC_OK;
}

bool log_state_lacks_beginning(const struct log_state *state, uint64_t first_pos)
{
    if (state->before == NULL || state->before_pos != first_pos) {
        return first_pos > 0; /* a removal leaves the checkpoint in front of which it has removed */
    }
    for (uint64_t id = 1; id <= state->before_count; id++) {
        if (partition_channel_by_id(state->partition, id)->earliest <= state->before[id]) {
            return true;
        }
    }
    return false;
}

static enum rc restore(void *ctx, uint64_t pos, struct bytes bytes)
{
    struct log_state *state = ctx;
    const struct partition_options options = {
        .number = state->number,
        .incarnation = state->incarnation,
        .node = state->node,
        .hash_seed = state->incarnation,
        .ops = &ops,
        .ctx = state,
    };
    partition_close(state->partition);
    state->partition = NULL;
    enum rc rc = partition_open(&options, &state->partition);
    if (rc == RC_OK && bytes.size > 0) {
        rc = partition_restore(state->partition, pos, bytes);
        if (rc == RC_OK && !state->begun) {
            rc = note_before(state, pos);
        }
    }
    state->begun = true;
    return rc;
}

static enum rc apply(void *ctx, struct audit *audit, const struct record *record,
                     struct log_place place)
{
    struct log_state *state = ctx;
    ASSERT(state->partition != NULL); /* nothing is applied before a restore */
    state->audit = audit;
    return partition_replay(state->partition, record, place);
}

static enum rc encode(void *ctx, struct buf *to)
{
    const struct log_state *state = ctx;
    return partition_state_encode(state->partition, to);
}

void log_state_init(struct log_state *state, uint32_t number, uint64_t incarnation, unsigned node)
{
    *state = (struct log_state){
        .number = number,
        .incarnation = incarnation,
        .node = node,
        .replay = {.ctx = state, .restore = restore, .apply = apply, .encode = encode},
    };
}

void log_state_deinit(struct log_state *state)
{
    partition_close(state->partition);
    state->partition = NULL;
    mem_free(state->before);
    state->before = NULL;
}
