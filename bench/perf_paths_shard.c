/* A partition with or without a log on a disk in memory, and everything done at once. */
#include "perf_paths.h"

#include "core/snowflake.h"
#include "io/ram_disk.h"

#include <stdio.h>
#include <stdlib.h>

#define FOLDER      "p000"
#define INCARNATION UINT64_C(0x1234567890ABCDEF)

void expect(bool as_expected, const char *what)
{
    if (!as_expected) {
        (void)fprintf(stderr, "perf_paths: not as expected: %s\n", what);
        exit(1);
    }
}

void must(enum rc rc)
{
    expect(rc == RC_OK, rc_text(rc));
}

struct bytes payload(void)
{
    static const char text[] =
        "{\"order\":\"a7f3c2\",\"at\":1767225600123,\"side\":\"buy\",\"price\":\"101.25\","
        "\"amount\":12,\"note\":\"as agreed on the telephone, by noon, in\"}";
    static_assert(sizeof(text) - 1 == 128, "as perf_paths.h says");
    return BYTES_LITERAL(text);
}

void shard_body(struct buf *to, struct bytes channel, const char *producer, uint64_t seq)
{
    const struct command_publish head = {
        .channel = channel,
        .producer = bytes_of_text(producer),
        .producer_epoch = 1,
        .producer_seq = seq,
        .count = 1,
    };
    const struct command_message message = {.data = payload()};
    must(command_publish_encode(to, &head, &message));
}

/* ---- what the partition asks ----------------------------------------------------------------- */

static void on_commit(void *ctx, struct log_batch *batch)
{
    struct shard *shard = ctx;
    expect(shard->lent == NULL, "one commit at a time");
    shard->lent = batch;
}

static void on_reply(void *ctx, const struct partition_tag *tag,
                     const struct publish_result *result)
{
    struct shard *shard = ctx;
    expect(result->verdict == PUBLISH_ACCEPTED, "a publish is accepted");
    shard->replies++;
    if (shard->on_reply != NULL) {
        shard->on_reply(shard->ctx, tag->b, result);
    }
}

static void on_messages(void *ctx, struct channel *channel, uint64_t first_seq,
                        const struct command_publish *publish)
{
    (void)ctx;
    (void)channel;
    (void)first_seq;
    (void)publish;
}

static void on_epoch_changed(void *ctx, struct channel *channel)
{
    (void)ctx;
    (void)channel;
    expect(false, "no epoch changes");
}

static enum rc on_index(void *ctx, struct log_place place, uint64_t channel_id, uint64_t first_seq,
                        uint32_t count, uint64_t time_ms, uint64_t digest)
{
    struct shard *shard = ctx;
    return shard->log == NULL ? RC_OK
                              : file_log_index_add(shard->log, place, channel_id, first_seq, count,
                                                   time_ms, digest);
}

static void on_batch_begin(void *ctx, const struct log_batch *batch)
{
    (void)ctx;
    (void)batch;
}

static void on_record_end(void *ctx)
{
    (void)ctx;
}

static void on_batch_end(void *ctx, const struct log_batch *batch)
{
    struct shard *shard = ctx;
    if (shard->log != NULL) {
        (void)file_log_committed(shard->log, batch);
    }
}

static uint64_t on_ticks_take(void *ctx, uint64_t now_ms, uint32_t count)
{
    struct shard *shard = ctx;
    const uint64_t floor = snowflake_tick_of(now_ms);
    const uint64_t first = shard->next_tick > floor ? shard->next_tick : floor;
    shard->next_tick = first + count;
    return first;
}

static const struct partition_ops shard_ops = {
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

/* ---- recovery -------------------------------------------------------------------------------- */

static void recover_log(void *ctx, struct file_log *log)
{
    struct shard *shard = ctx;
    shard->log = log;
}

static enum rc recover_state(void *ctx, uint64_t pos, struct bytes state)
{
    struct shard *shard = ctx;
    return partition_restore(shard->partition, pos, state);
}

static enum rc recover_record(void *ctx, const struct record *record, struct log_place place)
{
    struct shard *shard = ctx;
    shard->replayed++;
    return partition_replay(shard->partition, record, place);
}

static void recover_damage(void *ctx, const struct log_damage *damage)
{
    (void)ctx;
    expect(damage->torn_tail, damage->what);
}

static void partition_make(struct shard *shard)
{
    const struct partition_options options = {
        .incarnation = INCARNATION,
        .node = 1,
        .pending_bytes_max = 64u * MIB,
        .hash_seed = 7,
        .salt_seed = 11,
        .ops = &shard_ops,
        .ctx = shard,
    };
    must(partition_open(&options, &shard->partition));
}

void shard_recover(struct shard *shard)
{
    const struct storage storage = ram_disk_storage(shard->disk);
    const struct file_log_options options = {
        .folder = FOLDER,
        .incarnation = INCARNATION,
        .segment_bytes = shard->segment_bytes,
        .ctx = shard,
        .on_log = recover_log,
        .on_state = recover_state,
        .on_record = recover_record,
        .on_damage = recover_damage,
    };
    partition_make(shard);
    must(file_log_open(&storage, &options, &shard->log));
    const struct command_settings settings = {0};
    must(partition_start(shard->partition, file_log_next_pos(shard->log),
                         file_log_next_hash(shard->log), &settings, 0, shard->now_ms));
}

/* ---- life ------------------------------------------------------------------------------------ */

void shard_open(struct shard *shard, uint32_t segment_bytes)
{
    *shard = (struct shard){.now_ms = SHARD_START_MS, .segment_bytes = segment_bytes};
    if (segment_bytes > 0) {
        must(ram_disk_open(&shard->disk));
        shard_recover(shard);
        return;
    }
    const struct command_settings settings = {0};
    partition_make(shard);
    must(partition_start(shard->partition, 0, INCARNATION, &settings, 0, shard->now_ms));
}

void shard_crash(struct shard *shard)
{
    partition_close(shard->partition);
    file_log_close(shard->log);
    shard->partition = NULL;
    shard->log = NULL;
}

void shard_close(struct shard *shard)
{
    shard_crash(shard);
    ram_disk_close(shard->disk);
}

void shard_publish(struct shard *shard, uint64_t id, struct bytes body)
{
    const struct partition_tag tag = {.b = id};
    must(partition_publish(shard->partition, &tag, body, shard->now_ms));
}

void shard_commit(struct shard *shard)
{
    partition_flush(shard->partition);
    expect(shard->lent != NULL, "there is something to commit");
    struct log_batch *batch = shard->lent;
    shard->lent = NULL;
    if (shard->log != NULL) {
        must(file_log_commit(shard->log, batch, LOG_SYNC_DATA));
    }
    partition_commit_done(shard->partition, RC_OK);
    shard->now_ms++;
}
