#include "world.h"

#include "base/digest.h"
#include "core/snowflake.h"

#include <stdio.h>

#define WORLD_START_MS (SNOWFLAKE_EPOCH_MS + 1000u)

static void must(enum rc rc)
{
    ASSERT(rc == RC_OK);
}

/* ---- what the partition asks of its surroundings ------------------------------------------- */

static void on_commit(void *ctx, struct log_batch *batch)
{
    struct world *w = ctx;
    ASSERT(w->lent == NULL);
    w->lent = batch;
    w->commit_count++;
}

static void on_reply(void *ctx, const struct partition_tag *tag,
                     const struct publish_result *result)
{
    struct world *w = ctx;
    ASSERT(result->channel.size > 0);
    const struct world_reply reply = {
        .tag = *tag, .result = *result, .channel = (char)result->channel.data[0]};
    must(buf_append(&w->replies, bytes_of(&reply, sizeof(reply))));
}

static void on_messages(void *ctx, struct channel *channel, uint64_t first_seq,
                        const struct command_publish *publish)
{
    struct world *w = ctx;
    ASSERT(bytes_equal(channel_name(channel), publish->channel));
    const struct world_event event = {
        .channel_id = channel->id,
        .epoch = channel->epoch,
        .first_seq = first_seq,
        .time_ms = publish->time_ms,
        .tick = publish->tick,
        .count = publish->count,
    };
    must(buf_append(&w->events, bytes_of(&event, sizeof(event))));
}

static void on_epoch_changed(void *ctx, struct channel *channel)
{
    struct world *w = ctx;
    const struct world_event event = {.channel_id = channel->id, .epoch = channel->epoch};
    must(buf_append(&w->events, bytes_of(&event, sizeof(event))));
}

uint64_t world_digest(const struct world *w, uint64_t channel_id, uint64_t seq)
{
    for (size_t at = w->indexed.size; at > 0; at -= sizeof(struct world_indexed)) {
        struct world_indexed indexed;
        bytes_copy(&indexed, w->indexed.data + at - sizeof(indexed), sizeof(indexed));
        if (indexed.channel_id == channel_id && indexed.end_seq == seq + 1) {
            return indexed.behind;
        }
    }
    return 0;
}

/* The digest told is the one behind the channel's message before; what comes behind these, message
 * by message, is for the next time. */
static void index_digest(struct world *w, uint64_t channel_id, uint64_t first_seq,
                         const struct command_publish *publish, uint64_t digest)
{
    const uint64_t before = first_seq == 1 ? digest_start(publish->channel)
                                           : world_digest(w, channel_id, first_seq - 1);
    ASSERT(digest == before || before == 0);
    struct world_indexed indexed = {channel_id, first_seq, first_seq + publish->count, digest,
                                    digest};
    struct bytes rest = publish->messages;
    for (uint32_t i = 0; i < publish->count; i++) {
        struct command_message message;
        const bool taken = command_message_next(&rest, &message);
        ASSERT(taken);
        char id[24];
        (void)snprintf(id, sizeof(id), "%llu",
                       (unsigned long long)snowflake_id(publish->tick + i, WORLD_NODE));
        const struct digest_message seen = {
            .seq = first_seq + i,
            .time_ms = publish->time_ms,
            .message_id = bytes_of_text(id),
            .producer = publish->producer,
            .producer_seq = publish->producer_seq > 0 ? publish->producer_seq + i : 0,
            .key = message.key,
            .has_key = message.has_key,
            .is_bytes = message.is_bytes,
            .data = message.data,
        };
        indexed.behind = digest_roll(indexed.behind, &seen);
    }
    must(buf_append(&w->indexed, bytes_of(&indexed, sizeof(indexed))));
}

static enum rc on_index(void *ctx, struct log_place place, uint64_t channel_id, uint64_t first_seq,
                        uint32_t count, uint64_t time_ms, uint64_t digest)
{
    struct world *w = ctx;
    ASSERT(channel_id >= 1 && first_seq >= 1 && count >= 1);
    if (w->index_fail_at > 0 && --w->index_fail_at == 0) {
        return RC_NOMEM;
    }
    /* The place is that of a record of ours, with these messages in it. */
    struct record record;
    struct command_publish publish;
    must(record_decode(bytes_of(w->log.data + place.at, w->log.size - place.at), &record));
    must(command_publish_decode(record.body, &publish));
    ASSERT(publish.count == count);
    ASSERT(publish.time_ms == time_ms); /* I2: who reads the log sees the time that was told live */
    index_digest(w, channel_id, first_seq, &publish, digest);
    w->index_count++;
    return RC_OK;
}

static void on_batch_begin(void *ctx, const struct log_batch *batch)
{
    struct world *w = ctx;
    ASSERT(batch->first_pos == partition_applied_pos(w->partition));
    w->record_end_pos = batch->first_pos;
    w->batch_begin_count++;
}

static void on_record_end(void *ctx)
{
    struct world *w = ctx;
    w->record_end_pos++;
    ASSERT(w->record_end_pos == partition_applied_pos(w->partition));
}

static void on_batch_end(void *ctx, const struct log_batch *batch)
{
    struct world *w = ctx;
    ASSERT(w->record_end_pos == batch->end_pos);
    ASSERT(batch->end_pos == partition_applied_pos(w->partition));
    ASSERT(batch->end_hash == partition_applied_hash(w->partition));
    w->batch_end_count++;
}

static uint64_t on_ticks_take(void *ctx, uint64_t now_ms, uint32_t count)
{
    struct world *w = ctx;
    const uint64_t floor = snowflake_tick_of(now_ms);
    const uint64_t first = w->next_tick > floor ? w->next_tick : floor;
    w->next_tick = first + count;
    return first;
}

static const struct partition_ops ops = {
    .commit = on_commit,
    .reply = on_reply,
    .messages = on_messages,
    .epoch_changed = on_epoch_changed,
    .index = on_index,
    .batch_begin = on_batch_begin,
    .record_end = on_record_end,
    .batch_end = on_batch_end,
    .ticks_take = on_ticks_take,
};

/* ---- the world ----------------------------------------------------------------------------- */

static enum rc world_open(struct world *w)
{
    const struct partition_options options = {
        .number = 3,
        .incarnation = WORLD_INCARNATION,
        .node = WORLD_NODE,
        .pending_bytes_max = w->pending_bytes_max,
        /* Another seed at each start: the order of tables must not show. */
        .hash_seed = w->next_pos * 77 + w->log.size,
        .ops = &ops,
        .ctx = w,
    };
    return partition_open(&options, &w->partition);
}

void world_init(struct world *w)
{
    *w = (struct world){
        .now_ms = WORLD_START_MS, .pending_bytes_max = MIB, .next_hash = WORLD_INCARNATION};
    must(world_open(w));
    must(partition_start(w->partition, 0, w->next_hash, &w->settings, 0, w->now_ms));
}

void world_deinit(struct world *w)
{
    partition_close(w->partition);
    buf_deinit(&w->log);
    buf_deinit(&w->replies);
    buf_deinit(&w->events);
    buf_deinit(&w->indexed);
}

enum rc world_publish_try(struct world *w, struct world_publish publish)
{
    static uint8_t data[256 * 1024];
    ASSERT(publish.data_size <= sizeof(data) && publish.count <= BATCH_MESSAGES_MAX);
    struct command_message messages[BATCH_MESSAGES_MAX];
    const uint32_t count = publish.count == 0 ? 1 : publish.count;
    for (uint32_t i = 0; i < count; i++) {
        messages[i] = (struct command_message){
            .data = {data, publish.data_size == 0 ? 1 : publish.data_size}};
    }
    const struct command_publish head = {
        .channel = bytes_of_text(publish.channel),
        .producer = bytes_of_text(publish.producer == NULL ? "" : publish.producer),
        .producer_epoch = publish.epoch,
        .producer_seq = publish.seq,
        .count = count,
        .is_batch = publish.count > 0,
    };
    struct buf body = {0};
    enum rc rc = command_publish_encode(&body, &head, messages);
    if (rc == RC_OK) {
        const struct partition_tag tag = {.a = publish.tag, .b = 7, .c = 9};
        rc = partition_publish(w->partition, &tag, buf_bytes(&body), w->now_ms);
    }
    buf_deinit(&body);
    return rc;
}

void world_commit_done(struct world *w, enum rc rc)
{
    struct log_batch *batch = w->lent;
    ASSERT(batch != NULL);
    w->lent = NULL;
    if (rc == RC_OK) {
        ASSERT(batch->first_pos == w->next_pos);
        batch->place = (struct log_place){.segment = 1, .at = (uint32_t)w->log.size};
        must(buf_append(&w->log, buf_bytes(&batch->bytes)));
        w->next_pos = batch->end_pos;
        w->next_hash = batch->end_hash;
    }
    partition_commit_done(w->partition, rc);
}

void world_settle(struct world *w)
{
    while (!partition_idle(w->partition)) {
        partition_flush(w->partition);
        world_commit_done(w, RC_OK);
    }
}

struct publish_result world_publish(struct world *w, struct world_publish publish)
{
    must(world_publish_try(w, publish));
    world_settle(w);
    return world_reply_at(w, world_reply_count(w) - 1)->result;
}

void world_trim(struct world *w, const char *channel, uint64_t earliest)
{
    const struct channel *found = partition_channel_find(w->partition, bytes_of_text(channel));
    ASSERT(found != NULL);
    const struct command_trim_entry entry = {.channel_id = found->id, .earliest = earliest};
    uint64_t pos = 0;
    must(partition_trim(w->partition, &entry, 1, w->now_ms, &pos));
    ASSERT(partition_applied_pos(w->partition) <= pos);
    world_settle(w);
    ASSERT(partition_applied_pos(w->partition) > pos);
}

enum rc world_recover(struct world *w, uint64_t pos, struct bytes state)
{
    partition_close(w->partition);
    w->partition = NULL;
    w->lent = NULL;
    if (state.size == 0) {
        buf_clear(&w->indexed); /* all of it is told again */
    }
    enum rc rc = world_open(w);
    if (rc != RC_OK) {
        return rc;
    }
    if (state.size > 0) {
        rc = partition_restore(w->partition, pos, state);
    }
    size_t at = world_log_at(w, pos);
    while (at < w->log.size && rc == RC_OK) {
        struct record record;
        must(record_decode(bytes_of(w->log.data + at, w->log.size - at), &record));
        rc = partition_replay(w->partition, &record,
                              (struct log_place){.segment = 1, .at = (uint32_t)at});
        at += record.size;
    }
    return rc;
}

void world_restart_at(struct world *w, uint64_t pos, struct bytes state, int doubt)
{
    must(world_recover(w, pos, state));
    must(partition_start(w->partition, w->next_pos, w->next_hash, &w->settings, doubt, w->now_ms));
    world_settle(w);
}

void world_restart(struct world *w, int doubt)
{
    world_restart_at(w, 0, (struct bytes){0}, doubt);
}

size_t world_log_at(const struct world *w, uint64_t pos)
{
    size_t at = 0;
    while (at < w->log.size) {
        struct record record;
        must(record_decode(bytes_of(w->log.data + at, w->log.size - at), &record));
        if (record.pos >= pos) {
            break;
        }
        at += record.size;
    }
    return at;
}

void world_cut(struct world *w, uint64_t first, uint64_t end)
{
    ASSERT(first < end && end <= w->next_pos);
    const size_t from = world_log_at(w, first);
    const size_t to = world_log_at(w, end);
    struct record_hole hole = {.first_pos = first, .end_pos = end, .segment = 1, .at = from};
    uint8_t body[RECORD_HOLE_BODY_SIZE];
    record_hole_encode(&hole, body);

    struct log_batch batch = {0};
    batch_begin(&batch, 3, first, 0, 0);
    must(batch_append(&batch, RECORD_HOLE, 0, bytes_of(body, sizeof(body))));
    struct buf log = {0};
    must(buf_append(&log, bytes_of(w->log.data, from)));
    must(buf_append(&log, buf_bytes(&batch.bytes)));
    must(buf_append(&log, bytes_of(w->log.data + to, w->log.size - to)));
    batch_deinit(&batch);
    buf_deinit(&w->log);
    w->log = log;
}

uint64_t world_state_hash(const struct world *w)
{
    uint64_t hash = 0;
    must(partition_state_hash(w->partition, &hash));
    return hash;
}

size_t world_reply_count(const struct world *w)
{
    return w->replies.size / sizeof(struct world_reply);
}

const struct world_reply *world_reply_at(const struct world *w, size_t index)
{
    ASSERT(index < world_reply_count(w));
    return (const struct world_reply *)(const void *)w->replies.data + index;
}

size_t world_event_count(const struct world *w)
{
    return w->events.size / sizeof(struct world_event);
}

const struct world_event *world_event_at(const struct world *w, size_t index)
{
    ASSERT(index < world_event_count(w));
    return (const struct world_event *)(const void *)w->events.data + index;
}

struct position world_position(struct world *w, const char *channel)
{
    return partition_position(w->partition, bytes_of_text(channel));
}

enum position_verdict world_judge(struct world *w, const char *channel, uint64_t epoch,
                                  uint64_t seq)
{
    return partition_position_judge(w->partition, bytes_of_text(channel), true, epoch, seq);
}
