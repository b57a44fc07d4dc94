#include "server/host.h"

#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "core/snowflake.h"
#include "server/datadir.h"
#include "server/host_private.h"
#include "server/logger.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what the partition asks ----------------------------------------------------------------- */

static void commit_run(struct job *job)
{
    struct host *host = CONTAINER_OF(job, struct host, commit_job);
    const enum log_sync sync =
        host->server->config->durability == DURABILITY_FSYNC ? LOG_SYNC_DATA : LOG_SYNC_NONE;
    if (host->commit_rc == RC_OK) {
        host->commit_rc = file_log_commit(host->log, host->commit_batch, sync);
    }
}

static void log_failed(struct host *host, enum rc rc)
{
    if (!host->failed) {
        log_event(LEVEL_ERROR, "log cannot accept commands", FIELD_U64("partition", host->number),
                  FIELD_TEXT("reason", rc_text(rc)));
    }
    host->failed = true;
    MARK_IF(rc == RC_NOSPACE, "host: stopped, the disk is full");
    MARK_IF(rc == RC_IO, "host: stopped for good");
    host->reopen_useless = rc != RC_NOSPACE && rc != RC_NOMEM;
    stats_flag_set(&host->server->ready[host->number], false);
}

static void replies_flush(struct host *host)
{
    for (unsigned to = 0; to < host->server->threads; to++) {
        struct mail_replies *replies = host->reactor->replies[to];
        if (replies != NULL) {
            host->reactor->replies[to] = NULL;
            mesh_send(&host->server->mesh, host->reactor->index, to, &replies->mail);
        }
    }
}

/* [limits.channels] A bound of the node: the partitions add up what they have. Publishes that are
 * under way to new channels are not counted yet, so it may be passed by as many. */
static void channels_count(struct host *host)
{
    const uint64_t count = partition_channel_count(host->partition);
    (void)stats_counter_add(&host->server->channels, count - host->channels_told);
    host->channels_told = count;
}

static void topics_flush(struct host *host);

static void commit_done(struct job *job)
{
    struct host *host = CONTAINER_OF(job, struct host, commit_job);
    host->commit_out = false;
    host->commit_batch = NULL;
    if (host->commit_rc != RC_OK) {
        log_failed(host, host->commit_rc);
    }
    partition_commit_done(host->partition, host->commit_rc);
    if (partition_stopped(host->partition)) {
        MARK("host: stopped, barriers are lifted");
        host_barriers_lift(host);
    }
    /* Memory ran out in the middle of applying: what is in the log can be neither shown nor taken
     * back. The process ends before anybody is told `unavailable`; the next start applies it. */
    if (host->commit_rc == RC_OK && partition_stopped(host->partition)) {
        mem_exhausted("a committed batch cannot be applied to its end");
    }
    replies_flush(host); /* refusals, where the commit failed */
    channels_count(host);
    host_waiting_run(host);
    host_upkeep_run(host);
}

static void on_commit(void *ctx, struct log_batch *batch)
{
    struct host *host = ctx;
    ASSERT(!host->commit_out);
    host->commit_out = true;
    host->commit_batch = batch;
    /* Out of memory is told like a disk that fails: later, when the caller has done. */
    host->commit_rc = file_log_commit_reserve(host->log);
    host->commit_job = (struct job){.run = commit_run, .done = commit_done};
    /* Memory makes nobody wait: a copy of the batch, under a mutex that others hold for one copy as
     * well. The two wake-ups of a committer would cost ten times that. */
    host->commit_here = host->server->config->durability == DURABILITY_MEMORY;
    if (!host->commit_here) {
        worker_submit(&host->server->committers[host->reactor->index], 0, &host->commit_job);
    }
}

void host_settle(struct host *host)
{
    while (host->commit_here) { /* what is done may have led to the next one */
        ASSERT(host->commit_out);
        host->commit_here = false;
        commit_run(&host->commit_job);
        commit_done(&host->commit_job);
    }
}

/* Out of memory while what is committed is handed out: a lost reply would break its sender's count
 * for ever, followers who are told nothing of a message would have a hole. So the process ends. */
static void must(enum rc rc)
{
    if (rc != RC_OK) {
        ASSERT(rc == RC_NOMEM);
        mem_exhausted("what is committed cannot be told");
    }
}

void host_reply_send(struct host *host, uint64_t handle, uint64_t id, uint32_t size,
                     const struct publish_result *result)
{
    struct reactor *reactor = host->reactor;
    const unsigned to = (unsigned)(handle >> 56);
    struct mail_replies **slot = &reactor->replies[to];
    if (*slot != NULL && (*slot)->partition != host->number) {
        mesh_send(&host->server->mesh, reactor->index, to, &(*slot)->mail);
        *slot = NULL;
    }
    if (*slot == NULL) {
        *slot = mail_new(MAIL_REPLIES, sizeof(struct mail_replies), (struct bytes){0}, NULL);
        must(*slot == NULL ? RC_NOMEM : RC_OK);
        (*slot)->partition = host->number;
    }
    struct buf *bytes = &(*slot)->bytes;
    const struct reply_entry entry = {
        .handle = handle,
        .id = id,
        .size = size,
        .channel_size = (uint32_t)result->channel.size,
        .result = *result,
    };
    must(buf_reserve(bytes, sizeof(entry) + CHANNEL_NAME_BYTES_MAX + 8));
    buf_put(bytes, &entry, sizeof(entry));
    buf_put(bytes, result->channel.data, result->channel.size);
    while (bytes->size % 8 != 0) {
        buf_put_u8(bytes, 0);
    }
}

static void on_reply(void *ctx, const struct partition_tag *tag,
                     const struct publish_result *result)
{
    host_reply_send(ctx, tag->a, tag->b, (uint32_t)tag->c, result);
}

static struct bytes topic_key(const void *value)
{
    const struct topic *topic = value;
    return topic->name;
}

/* Who follows the channel, or NULL. A channel may have been followed before it was published to. */
static struct topic *topic_of(struct host *host, struct channel *channel, uint64_t first_seq)
{
    struct topic *topic = channel_user(channel);
    if (topic == NULL && first_seq == 1) {
        MARK("host: the first message of a channel");
        topic = map_find(&host->topics, channel_name(channel));
        if (topic != NULL) {
            must(partition_user_set(host->partition, channel, topic));
        }
    }
    return topic;
}

static struct shared_chunk *topic_chunk(struct host *host, struct topic *topic,
                                        enum wire_codec codec, uint64_t first_seq)
{
    if (topic->open[codec] == NULL) {
        topic->open[codec] = shared_chunk_new(codec, topic->name, first_seq);
        must(topic->open[codec] == NULL ? RC_NOMEM : RC_OK);
        if (list_empty(&topic->open_link)) {
            list_push_back(&host->open_topics, &topic->open_link);
        }
    }
    return topic->open[codec];
}

static void topic_add(struct host *host, struct topic *topic, enum wire_codec codec,
                      uint64_t first_seq, const struct command_publish *publish)
{
    struct shared_chunk *chunk = topic_chunk(host, topic, codec, first_seq);
    if (host->tail_bytes > tune.tail_bytes || shared_chunk_skipped(chunk)) {
        MARK("host: one batch is too much for those who follow");
        shared_chunk_skip(chunk, publish->count);
        return;
    }
    const size_t before = chunk->bytes_.size;
    struct bytes rest = publish->messages;
    struct command_message message;
    for (uint32_t nth = 0; command_message_next(&rest, &message); nth++) {
        struct wire_message wire;
        frames_message(&wire, publish, &message, first_seq, nth,
                       (unsigned)host->server->config->node);
        must(shared_chunk_add(chunk, &wire, &host->reactor->encode));
    }
    host->tail_bytes += chunk->bytes_.size - before;
}

static void on_messages(void *ctx, struct channel *channel, uint64_t first_seq,
                        const struct command_publish *publish)
{
    struct host *host = ctx;
    struct topic *topic = topic_of(host, channel, first_seq);
    for (unsigned codec = 0; topic != NULL && codec < WIRE_CODEC_COUNT; codec++) {
        if (topic->watchers[codec] != 0) {
            topic_add(host, topic, (enum wire_codec)codec, first_seq, publish);
        }
    }
}

/* Sends one topic's chunk to every reactor that follows it: one encoding for all of them. */
static void topic_send(struct host *host, struct topic *topic, enum wire_codec codec)
{
    struct shared_chunk *chunk = topic->open[codec];
    topic->open[codec] = NULL;
    if (chunk != NULL && topic->deflated[codec] != 0) {
        shared_chunk_deflate(chunk, host->reactor->compress.deflater, &host->reactor->deflate_left);
    }
    for (unsigned to = 0; chunk != NULL && to < host->server->threads; to++) {
        if ((topic->watchers[codec] >> to & 1u) == 0) {
            continue;
        }
        struct mail_tail *tail =
            mail_new(MAIL_TAIL, sizeof(struct mail_tail), (struct bytes){0}, NULL);
        must(tail == NULL ? RC_NOMEM : RC_OK);
        share_ref(&chunk->share);
        tail->chunk = chunk;
        mesh_send(&host->server->mesh, host->reactor->index, to, &tail->mail);
    }
    shared_chunk_unref(chunk);
}

static void topics_flush(struct host *host)
{
    struct list *node;
    while ((node = list_pop_front(&host->open_topics)) != NULL) {
        struct topic *topic = CONTAINER_OF(node, struct topic, open_link);
        for (unsigned codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
            topic_send(host, topic, (enum wire_codec)codec);
        }
    }
    host->tail_bytes = 0;
}

void host_topic_flush(struct host *host, struct topic *topic)
{
    for (unsigned codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
        MARK_IF(topic->open[codec] != NULL, "host: a batch is told in parts");
        topic_send(host, topic, (enum wire_codec)codec);
    }
    list_remove(&topic->open_link);
    replies_flush(host);
}

static void on_record_end(void *ctx)
{
    struct host *host = ctx;
    if (!list_empty(&host->asks)) {
        host_asks_run(host);
    }
}

static void on_batch_end(void *ctx, const struct log_batch *batch)
{
    struct host *host = ctx;
    topics_flush(host);
    replies_flush(host);
    (void)file_log_committed(host->log, batch);
}

/* Epochs change in recovery only, before anybody follows anything. */
static void on_epoch_changed(void *ctx, struct channel *channel)
{
    const struct host *host = ctx;
    ASSERT(channel_user(channel) == NULL);
    log_event(LEVEL_WARN, "channel has a new epoch", FIELD_U64("partition", host->number),
              FIELD_BYTES("channel", channel_name(channel)), FIELD_U64("latest", channel->latest));
}

static enum rc on_index(void *ctx, struct log_place place, uint64_t channel_id, uint64_t first_seq,
                        uint32_t count, uint64_t time_ms, uint64_t digest)
{
    struct host *host = ctx;
    return file_log_index_add(host->log, place, channel_id, first_seq, count, time_ms, digest);
}

static void on_batch_begin(void *ctx, const struct log_batch *batch)
{
    host_batch_begin(ctx, batch);
}

static uint64_t on_ticks_take(void *ctx, uint64_t now_ms, uint32_t count)
{
    struct host *host = ctx;
    return ticket_take(&host->server->ticks, snowflake_tick_of(now_ms), count);
}

const struct partition_ops host_partition_ops = {
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

/* ---- mail ------------------------------------------------------------------------------------ */

/* A refusal that the partition is not asked about. */
static void refuse(struct host *host, const struct parcel_entry *entry, struct bytes body,
                   enum publish_verdict verdict)
{
    struct command_publish publish = {0};
    const enum rc rc = command_publish_decode(body, &publish);
    ASSERT(rc == RC_OK);
    const struct publish_result result = {.verdict = verdict, .channel = publish.channel};
    host_reply_send(host, entry->handle, entry->id, entry->size, &result);
}

static bool channel_refused(struct host *host, struct bytes body)
{
    if (stats_counter_get(&host->server->channels) < host->server->config->limit_channels) {
        return false;
    }
    struct command_publish publish = {0};
    const enum rc rc = command_publish_decode(body, &publish);
    ASSERT(rc == RC_OK);
    return partition_channel_find(host->partition, publish.channel) == NULL;
}

static void take_entry(struct host *host, const struct parcel_entry *entry, struct bytes body)
{
    if (channel_refused(host, body)) {
        MARK("host: one channel too many");
        refuse(host, entry, body, PUBLISH_LIMIT);
        return;
    }
    const struct partition_tag tag = {.a = entry->handle, .b = entry->id, .c = entry->size};
    const enum rc rc = partition_publish(host->partition, &tag, body, host->reactor->wall_ms);
    if (rc != RC_OK) {
        MARK("host: a publish is refused at once");
        refuse(host, entry, body, PUBLISH_UNAVAILABLE);
    }
}

void host_on_parcel(struct host *host, struct mail_parcel *parcel)
{
    size_t at = 0;
    while (at < parcel->bytes.size) {
        struct parcel_entry entry;
        bytes_copy(&entry, parcel->bytes.data + at, sizeof(entry));
        at += sizeof(entry);
        take_entry(host, &entry, bytes_of(parcel->bytes.data + at, entry.body_size));
        at += (entry.body_size + 7u) / 8u * 8u;
    }
    ASSERT(at == parcel->bytes.size);
    replies_flush(host); /* refusals that no commit will send */
    mail_free(&parcel->mail);
}

/* What recovery and the settings want in the log comes first; then anybody may. A log that can't
 * take it lets people read, unless epochs are to change: nobody may be told of the old ones. */
static void starting_check(struct host *host)
{
    const bool settled = partition_idle(host->partition) || partition_stopped(host->partition);
    if (host->losses_due && host->starting && !host->commit_out &&
        partition_idle(host->partition) && !partition_stopped(host->partition)) {
        host->losses_due = false;
    }
    if (!host->losses_due && host->starting && !host->commit_out && settled &&
        !partition_doubt_due(host->partition)) {
        MARK_IF(partition_stopped(host->partition), "host: starts with a log that takes nothing");
        host->starting = false;
        channels_count(host);
        stats_flag_set(&host->server->ready[host->number],
                       !partition_stopped(host->partition) && !partition_full(host->partition));
        (void)stats_counter_add(&host->server->started, 1);
    }
}

void host_flush(struct host *host)
{
    if (!host->commit_out) {
        partition_flush(host->partition);
    }
    host_settle(host);
    starting_check(host);
}

bool host_idle(const struct host *host)
{
    return !host->commit_out && partition_idle(host->partition) && list_empty(&host->asks) &&
           list_empty(&host->waiting) && host->reads_out == 0;
}

bool host_quiet(const struct host *host)
{
    return !host->commit_out && !host->reopen_out && !host->chore_out && host->reads_out == 0;
}

uint64_t host_tick_max(const struct host *host)
{
    return partition_tick_max(host->partition);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void recover_log(void *ctx, struct file_log *log)
{
    struct host *host = ctx;
    host->log = log;
}

static enum rc recover_state(void *ctx, uint64_t pos, struct bytes state)
{
    struct host *host = ctx;
    return partition_restore(host->partition, pos, state);
}

static enum rc recover_record(void *ctx, const struct record *record, struct log_place place)
{
    struct host *host = ctx;
    return partition_replay(host->partition, record, place);
}

static enum rc recover_checkpoint(void *ctx, uint64_t pos, struct bytes state)
{
    const struct host *host = ctx;
    ASSERT(pos > 0);
    struct buf own = {0};
    enum rc rc = partition_state_encode(host->partition, &own);
    if (rc == RC_OK && !bytes_equal(buf_bytes(&own), state)) {
        rc = RC_CORRUPT;
    }
    buf_deinit(&own);
    return rc;
}

static void recover_damage(void *ctx, const struct log_damage *damage)
{
    const struct host *host = ctx;
    if (damage->torn_tail) {
        log_event(LEVEL_INFO, "torn tail cut", FIELD_U64("partition", host->number),
                  FIELD_TEXT("file", damage->file), FIELD_U64("at", damage->at));
        return;
    }
    log_event(damage->repaired ? LEVEL_WARN : LEVEL_ERROR,
              damage->repaired ? "damage cut out" : "damaged log",
              FIELD_U64("partition", host->number), FIELD_TEXT("file", damage->file),
              FIELD_U64("at", damage->at), FIELD_U64("size", damage->size),
              FIELD_TEXT("what", damage->what));
}

void host_sync_failed(const struct server *server)
{
    const bool open = stats_flag_get(&server->open);
    if (open && server->config->durability == DURABILITY_FSYNC) {
        return; /* nobody has seen what it was for */
    }
    const enum rc rc = datadir_doubt(&server->storage, open);
    if (rc != RC_OK) {
        MARK("host: that a sync has failed cannot be noted");
        log_event(LEVEL_ERROR, "a failed sync cannot be noted for the next start",
                  FIELD_TEXT("reason", rc_text(rc)));
    }
}

static void on_sync_failed(void *ctx)
{
    const struct host *host = ctx;
    host_sync_failed(host->server);
}

/* What waits at one partition: every reactor's credit, each with one publish beyond it, and twice
 * that for headers; so partition_publish() has room for what the credits let through. */
static size_t pending_bytes_max(const struct server *server)
{
    return 4 * server->threads * ((size_t)tune.credit_bytes + server->config->limit_frame_bytes);
}

static enum rc open_partition(struct host *host)
{
    const struct partition_options options = {
        .number = host->number,
        .incarnation = host->server->incarnation,
        .node = (unsigned)host->server->config->node,
        .pending_bytes_max = pending_bytes_max(host->server),
        .hash_seed = host->server->hash_seed,
        .salt_seed = host->server->salt_seed,
        .ops = &host_partition_ops,
        .ctx = host,
    };
    return partition_open(&options, &host->partition);
}

static enum rc open_log(struct host *host)
{
    const struct file_log_options options = {
        .folder = host->folder,
        .partition = host->number,
        .incarnation = host->server->incarnation,
        .segment_bytes = (uint32_t)host->server->config->segment_bytes,
        .repair = host->server->config->repair,
        .rewrite = host->doubt,
        .ctx = host,
        .on_log = recover_log,
        .on_state = recover_state,
        .on_record = recover_record,
        .on_checkpoint = recover_checkpoint,
        .on_damage = recover_damage,
        .on_sync_failed = on_sync_failed,
    };
    struct file_log *log = NULL;
    const enum rc rc = file_log_open(&host->server->storage, &options, &log);
    host->log = log; /* NULL again where recovery has failed */
    return rc;
}

enum rc host_recover(struct server *server, unsigned number, bool doubt, struct host **ret_host)
{
    struct host *host = mem_calloc(1, sizeof(*host));
    if (host == NULL) {
        return RC_NOMEM;
    }
    host->server = server;
    host->number = number;
    host->doubt = doubt;
    datadir_folder(number, host->folder);
    map_init(&host->topics, server->hash_seed, topic_key);
    list_init(&host->open_topics);
    list_init(&host->asks);
    list_init(&host->waiting);
    enum rc rc = open_partition(host);
    if (rc == RC_OK) {
        rc = open_log(host);
    }
    if (rc != RC_OK) {
        host_close(host);
        return rc;
    }
    *ret_host = host;
    return RC_OK;
}

static int loss_compare(const void *a, const void *b)
{
    const struct command_doubt_entry *x = a;
    const struct command_doubt_entry *y = b;
    if (x->channel_id != y->channel_id) {
        return x->channel_id < y->channel_id ? -1 : 1;
    }
    return x->good_end < y->good_end ? -1 : x->good_end > y->good_end ? 1 : 0;
}

void host_doubt_losses(struct host *host)
{
    const struct log_loss *losses;
    size_t count;
    file_log_repaired_losses(host->log, &losses, &count);
    if (count == 0) {
        return;
    }
    struct command_doubt_entry *entries = mem_calloc(count, sizeof(*entries));
    must(entries == NULL ? RC_NOMEM : RC_OK);
    for (size_t i = 0; i < count; i++) {
        entries[i] = (struct command_doubt_entry){
            .channel_id = losses[i].channel_id,
            .good_end = losses[i].from,
        };
    }
    qsort(entries, count, sizeof(*entries), loss_compare);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (used == 0 || entries[used - 1].channel_id != entries[i].channel_id) {
            entries[used++] = entries[i]; /* the lowest loss of a channel stands */
        }
    }
    must(partition_doubt_list(host->partition, entries, used, host->reactor->wall_ms));
    mem_free(entries);
}

void host_start(struct host *host, struct reactor *reactor)
{
    const struct config *config = host->server->config;
    const struct command_settings settings = {
        .retention_messages = config->retention_messages,
        .producer_idle_ms = config->producer_expiry_ms,
    };
    host->reactor = reactor;
    /* All is more than what a hole has put in doubt. */
    const int doubt = host->doubt ? DOUBT_ALL : partition_in_doubt(host->partition) ? DOUBT_END : 0;
    must(partition_start(host->partition, file_log_next_pos(host->log),
                         file_log_next_hash(host->log), &settings, doubt, reactor->wall_ms));
    const struct log_loss *losses;
    size_t count;
    file_log_repaired_losses(host->log, &losses, &count);
    for (size_t i = 0; i < count; i++) {
        log_event(LEVEL_WARN, "messages lost", FIELD_U64("partition", host->number),
                  FIELD_U64("channel_id", losses[i].channel_id), FIELD_U64("from", losses[i].from),
                  FIELD_U64("to", losses[i].to));
    }
    host->losses_due = count > 0;
    host_doubt_losses(host);
    host->starting = true;
}

void host_close(struct host *host)
{
    if (host == NULL) {
        return;
    }
    ASSERT(host_quiet(host));
    struct list *node;
    while ((node = list_pop_front(&host->asks)) != NULL ||
           (node = list_pop_front(&host->waiting)) != NULL) {
        mail_free(CONTAINER_OF(node, struct mail, link));
    }
    size_t at = 0;
    struct topic *topic;
    while ((topic = map_next(&host->topics, &at)) != NULL) {
        for (unsigned codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
            shared_chunk_unref(topic->open[codec]);
        }
        mem_free(topic);
    }
    map_deinit(&host->topics);
    checkpoints_deinit(&host->checkpoints);
    mem_free(host->survey);
    partition_close(host->partition);
    file_log_close(host->log);
    mem_free(host);
}
