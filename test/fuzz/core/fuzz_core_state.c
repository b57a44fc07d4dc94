/* A checkpoint from anywhere, and records behind it: refused, or a state that stands.
 *
 * Input: 2 bytes size of the checkpoint, the checkpoint, then records: 1 byte type, 1 byte
 * channel_prev, 1 byte body size, body. A checkpoint of size 0 is none. What has been taken in is
 * then published to, and encoded and read back. */
#include "core/partition.h"

#define RESTORE_POS 200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_commit(void *ctx, struct log_batch *batch)
{
    (void)batch;
    bool *lent = ctx;
    *lent = true;
}

static void on_reply(void *ctx, const struct partition_tag *tag,
                     const struct publish_result *result)
{
    (void)ctx;
    (void)tag;
    ASSERT(result->verdict != PUBLISH_ACCEPTED || result->seq <= WIRE_INTEGER_MAX);
}

static void on_messages(void *ctx, struct channel *channel, uint64_t first_seq,
                        const struct command_publish *publish)
{
    (void)ctx;
    ASSERT(first_seq + publish->count - 1 == channel->latest);
}

static void on_epoch_changed(void *ctx, struct channel *channel)
{
    (void)ctx;
    ASSERT(channel->epoch != 0);
}

static enum rc on_index(void *ctx, struct log_place place, uint64_t channel_id, uint64_t first_seq,
                        uint32_t count, uint64_t time_ms, uint64_t digest)
{
    (void)ctx;
    (void)place;
    (void)time_ms;
    (void)digest;
    ASSERT(channel_id > 0 && first_seq > 0 && count > 0);
    return RC_OK;
}

static void on_batch(void *ctx, const struct log_batch *batch)
{
    (void)ctx;
    ASSERT(batch->end_pos > batch->first_pos);
}

static void on_record_end(void *ctx)
{
    (void)ctx;
}

static uint64_t on_ticks_take(void *ctx, uint64_t now_ms, uint32_t count)
{
    (void)ctx;
    return now_ms + count;
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

static struct partition *open_one(bool *lent)
{
    const struct partition_options options = {
        .number = 3, .incarnation = 1, .pending_bytes_max = MIB, .ops = &ops, .ctx = lent};
    struct partition *partition = NULL;
    const enum rc rc = partition_open(&options, &partition);
    ASSERT(rc == RC_OK);
    return partition;
}

static void replay(struct partition *partition, struct bytes_reader *input)
{
    uint64_t pos = RESTORE_POS;
    while (input->rest.size > 0 && !input->failed) {
        struct record record = {
            .type = (enum record_type)reader_u8(input), .partition = 3, .pos = pos};
        record.channel_prev = reader_u8(input);
        record.body = reader_take(input, reader_u8(input));
        if (partition_replay(partition, &record, (struct log_place){0}) == RC_OK) {
            pos = partition_applied_pos(partition);
        }
    }
}

static void encode_check(const struct partition *partition, bool *lent)
{
    struct buf first = {0};
    struct buf second = {0};
    enum rc rc = partition_state_encode(partition, &first);
    ASSERT(rc == RC_OK);
    struct partition *other = open_one(lent);
    rc = partition_restore(other, partition_applied_pos(partition), buf_bytes(&first));
    ASSERT(rc == RC_OK);
    rc = partition_state_encode(other, &second);
    ASSERT(rc == RC_OK && bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    partition_close(other);
    buf_deinit(&first);
    buf_deinit(&second);
}

static void publish_to_all(struct partition *partition, bool *lent)
{
    const struct command_settings settings = {.producer_idle_ms = 1};
    enum rc rc =
        partition_start(partition, partition_applied_pos(partition), 0, &settings, DOUBT_ALL, 5);
    ASSERT(rc == RC_OK);
    const struct command_message message = {.data = BYTES_LITERAL("1")};
    for (uint64_t id = 1; id <= partition_channel_count(partition) && id < 10; id++) {
        struct command_publish head = {
            .channel = channel_name(partition_channel_by_id(partition, id)),
            .producer = BYTES_LITERAL("p"),
            .producer_epoch = 1,
            .producer_seq = id,
            .count = 1,
        };
        struct buf body = {0};
        const struct partition_tag tag = {0};
        rc = command_publish_encode(&body, &head, &message);
        ASSERT(rc == RC_OK);
        rc = partition_publish(partition, &tag, buf_bytes(&body), 6);
        ASSERT(rc == RC_OK);
        buf_deinit(&body);
    }
    partition_flush(partition);
    ASSERT(*lent);
    *lent = false;
    partition_commit_done(partition, RC_OK);
    ASSERT(partition_idle(partition));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool lent = false;
    struct bytes_reader input = {.rest = bytes_of(data, size)};
    const size_t state_size = reader_u16(&input);
    const struct bytes state = reader_take(&input, state_size);
    if (input.failed) {
        return -1;
    }
    struct partition *partition = open_one(&lent);
    if (state_size == 0 || partition_restore(partition, RESTORE_POS, state) == RC_OK) {
        replay(partition, &input);
        encode_check(partition, &lent);
        publish_to_all(partition, &lent);
        encode_check(partition, &lent);
    }
    partition_close(partition);
    return 0;
}
