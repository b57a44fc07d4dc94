/* The way of commands into the log and back: two batches, one that fills and one under way.
 *
 * Happy path: a command is stamped, gets its position by being appended to the filling batch, and
 * waits; partition_flush() lends the batch to the committer; partition_commit_done() applies its
 * records one after another and tells everybody.
 *
 * What goes wrong, and what we do:
 *
 *   too much is pending             RC_FULL; nothing has happened
 *   out of memory at append         RC_NOMEM; nothing has happened
 *   the commit fails                the batch under way and the one filling are dropped, each
 *                                   waiting publish is answered `unavailable`, the partition stops;
 *                                   what was remembered at append goes back to what was applied
 *   out of memory in apply          the same, from that record on: it and those after it have not
 *                                   been seen by anybody, and the log is reopened at their position
 *
 * A log that is open again on a full disk takes trims only: a publish is refused as before.
 *
 * After partition_resume() the next command follows the last one applied. The records that
 * partition_start() wanted are appended again if they were among the lost. */
#include "core/partition.h"

#include "base/hash.h"
#include "base/mark.h"
#include "base/mem.h"
#include "core/snowflake.h"
#include "core/state.h"

/* A batch's memory is kept for the next one, up to this: one batch of large messages must not hold
 * its memory for ever. Enough for 4,000 messages of 128 bytes in one commit. */
#define BATCH_KEEP_BYTES MIB
/* A batch that is larger may be copied as it grows: that is little beside filling it. */
#define BATCH_BEGIN_BYTES (4u * MIB)
#define PENDING_KEEP      8192u

/* Beside each record of a batch: who waits for it. */
struct pending {
    struct partition_tag tag;
    struct channel *channel; /* of a publish; NULL: nobody waits */
};

struct batch {
    struct log_batch log;
    struct pending *pending;
    size_t count;
    size_t capacity;
    size_t bytes_before; /* of the records of the batch that was here before */
};

enum partition_phase {
    PARTITION_RECOVERING,
    PARTITION_RUNNING,
    PARTITION_STOPPED,
};

struct partition {
    struct state state;
    const struct partition_ops *ops;
    void *ctx;
    size_t pending_bytes_max;
    uint64_t salt_seed;
    enum partition_phase phase;
    bool full; /* the log takes no more than trims */
    uint64_t applied_pos;
    uint64_t applied_hash;
    struct batch batches[2];
    unsigned filling;   /* index in batches; the other one is under way, or empty */
    bool committing;    /* the other batch is lent, or being applied */
    struct buf scratch; /* a body of a start's record */
    /* What partition_start() wants in the log before anything else. */
    bool start_due;
    int start_doubt; /* enum doubt_kind, 0: none */
    uint64_t start_salt;
    struct command_settings start_settings;
};

static struct batch *filling_of(struct partition *p)
{
    ASSERT_HOT(p->filling <= 1);
    ASSERT_HOT(p->batches[p->filling].count <= p->batches[p->filling].capacity);
    return &p->batches[p->filling];
}

static struct batch *committing_of(struct partition *p)
{
    ASSERT_HOT(p->filling <= 1);
    ASSERT_HOT(p->batches[1 - p->filling].count <= p->batches[1 - p->filling].capacity);
    return &p->batches[1 - p->filling];
}

static void batch_start(struct partition *p, struct batch *batch, uint64_t pos, uint64_t hash,
                        uint16_t controls)
{
    ASSERT_HOT(batch == filling_of(p) || batch == committing_of(p));
    ASSERT_HOT(pos <= WIRE_INTEGER_MAX);
    if (batch->log.bytes.capacity > BATCH_KEEP_BYTES) {
        buf_deinit(&batch->log.bytes);
    }
    if (batch->capacity > PENDING_KEEP) {
        mem_free(batch->pending);
        batch->pending = NULL;
        batch->capacity = 0;
    }
    batch->count = 0;
    batch_begin(&batch->log, p->state.number, pos, hash, controls);
}

static void partition_check(const struct partition *p)
{
    ASSERT_HOT(p->filling <= 1);
    ASSERT_HOT(p->batches[0].count <= p->batches[0].capacity);
    ASSERT_HOT(p->batches[1].count <= p->batches[1].capacity);
    ASSERT_HOT(p->committing || p->batches[1 - p->filling].count == 0);
    const struct batch *filling = &p->batches[p->filling];
    const struct batch *other = &p->batches[1 - p->filling];
    if (p->phase == PARTITION_RUNNING) {
        ASSERT(filling->log.end_pos - filling->log.first_pos == filling->count);
        ASSERT(p->committing ? other->log.end_pos == filling->log.first_pos
                             : filling->log.first_pos == p->applied_pos);
    } else {
        ASSERT(filling->count == 0 && !p->committing);
    }
}

enum rc partition_open(const struct partition_options *options, struct partition **ret_partition)
{
    ASSERT(options->ops != NULL);
    ASSERT(options->node <= SNOWFLAKE_NODE_MAX);
    struct partition *p = mem_calloc(1, sizeof(*p));
    if (p == NULL) {
        return RC_NOMEM;
    }
    state_init(&p->state, options);
    p->ops = options->ops;
    p->ctx = options->ctx;
    p->pending_bytes_max = options->pending_bytes_max;
    p->salt_seed = options->salt_seed;
    p->phase = PARTITION_RECOVERING;
    partition_check(p);
    *ret_partition = p;
    return RC_OK;
}

void partition_close(struct partition *partition)
{
    if (partition == NULL) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        batch_deinit(&partition->batches[i].log);
        mem_free(partition->batches[i].pending);
    }
    buf_deinit(&partition->scratch);
    state_deinit(&partition->state);
    mem_free(partition);
}

/* ---- recovery ------------------------------------------------------------------------------ */

enum rc partition_restore(struct partition *partition, uint64_t pos, struct bytes state)
{
    ASSERT(partition->state.channels.count == 0);
    ASSERT(partition->phase == PARTITION_RECOVERING);
    ASSERT(partition->applied_pos == 0);
    if (pos > WIRE_INTEGER_MAX) {
        return RC_CORRUPT;
    }
    const enum rc rc = state_decode(&partition->state, pos, state);
    if (rc == RC_OK) {
        partition->applied_pos = pos;
    }
    return rc;
}

enum rc partition_replay(struct partition *partition, const struct record *record,
                         struct log_place place)
{
    ASSERT(!partition->committing);
    ASSERT(partition->phase == PARTITION_RECOVERING);
    /* Positions go on by one; where a repair has cut something out they may jump. */
    if (record->pos < partition->applied_pos || record->pos >= WIRE_INTEGER_MAX) {
        return RC_CORRUPT;
    }
    const struct apply_env env = {.ops = partition->ops, .ctx = partition->ctx, .place = place};
    const enum rc rc = state_apply(&partition->state, record, &env);
    if (rc != RC_OK) {
        return rc;
    }
    partition->applied_pos = record->pos + 1;
    if (record->type == RECORD_HOLE) {
        struct record_hole hole;
        const enum rc decoded = record_hole_decode(record->body, &hole);
        ASSERT(decoded == RC_OK); /* state_apply() has done so too */
        partition->applied_pos = hole.end_pos;
    }
    return RC_OK;
}

uint64_t partition_tick_max(const struct partition *partition)
{
    ASSERT(partition->state.tick_max >> SNOWFLAKE_TICK_BITS == 0);
    return partition->state.tick_max;
}

bool partition_in_doubt(const struct partition *partition)
{
    ASSERT(partition->state.in_doubt == (partition->state.base_clean != 0));
    return partition->state.in_doubt;
}

/* ---- appending ----------------------------------------------------------------------------- */

static enum rc pending_reserve(struct batch *batch)
{
    ASSERT_HOT(batch->count <= batch->capacity);
    if (batch->count < batch->capacity) {
        return RC_OK;
    }
    const size_t capacity = batch->capacity == 0 ? 64 : batch->capacity * 2;
    struct pending *pending = mem_realloc(batch->pending, capacity * sizeof(*pending));
    if (pending == NULL) {
        return RC_NOMEM;
    }
    batch->pending = pending;
    batch->capacity = capacity;
    return RC_OK;
}

/* A batch that has given its memory back begins as large as it last became, since growing step by
 * step would copy it once more. Where memory is short it grows. */
static void bytes_foresee(struct batch *batch)
{
    ASSERT_HOT(batch->log.bytes.size <= batch->log.bytes.capacity);
    if (batch->log.bytes.capacity == 0 && batch->bytes_before > 0) {
        const size_t size = batch->bytes_before;
        (void)!buf_reserve(&batch->log.bytes, size < BATCH_BEGIN_BYTES ? size : BATCH_BEGIN_BYTES);
    }
    ASSERT_HOT(batch->log.bytes.size == 0 || batch->log.bytes.capacity > 0);
}

/* Appends a record nobody waits for. RC_NOMEM: nothing has happened */
static enum rc append_command(struct partition *p, enum record_type type, struct bytes body)
{
    ASSERT(type != RECORD_PUBLISH);
    ASSERT(type != RECORD_HOLE);
    ASSERT(p->phase == PARTITION_RUNNING);
    struct batch *batch = filling_of(p);
    enum rc rc = pending_reserve(batch);
    if (rc != RC_OK) {
        return rc;
    }
    rc = batch_append(&batch->log, type, 0, body);
    if (rc == RC_OK) {
        batch->pending[batch->count++] = (struct pending){.channel = NULL};
        partition_check(p);
    }
    return rc;
}

static bool settings_equal(const struct command_settings *a, const struct command_settings *b)
{
    return a->retention_messages == b->retention_messages &&
           a->producer_idle_ms == b->producer_idle_ms;
}

/* Appends what partition_start() wants and the log does not have. RC_NOMEM: come again */
static enum rc start_append(struct partition *p)
{
    ASSERT_HOT(p->start_due);
    enum rc rc = RC_OK;
    ASSERT(p->phase == PARTITION_RUNNING && filling_of(p)->log.first_pos == p->applied_pos);
    if (p->start_doubt != 0 && filling_of(p)->count == 0) {
        buf_clear(&p->scratch);
        MARK("partition: doubt is appended");
        rc = command_doubt_encode(&p->scratch, (enum doubt_kind)p->start_doubt, p->start_salt,
                                  state_base(&p->state), NULL, 0);
        if (rc == RC_OK) {
            rc = append_command(p, RECORD_DOUBT, buf_bytes(&p->scratch));
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    if (!settings_equal(&p->start_settings, &p->state.settings)) {
        buf_clear(&p->scratch);
        MARK("partition: new settings are appended");
        rc = command_settings_encode(&p->scratch, &p->start_settings);
        if (rc == RC_OK) {
            rc = append_command(p, RECORD_SETTINGS, buf_bytes(&p->scratch));
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    p->start_due = false;
    return RC_OK;
}

/* What makes an epoch another one. The record that bears it may be lost again, without a sync, its
 * position written anew, and the wall clock may stand where it stood. */
static uint64_t salt_draw(struct partition *p, uint64_t now_ms)
{
    ASSERT_HOT(p->phase != PARTITION_STOPPED || !p->committing);
    const uint64_t salt[3] = {now_ms, p->ops->ticks_take(p->ctx, now_ms, 1), p->salt_seed};
    return hash_bytes(bytes_of(salt, sizeof(salt)), 0);
}

enum rc partition_start(struct partition *partition, uint64_t next_pos, uint64_t next_hash,
                        const struct command_settings *settings, int doubt, uint64_t now_ms)
{
    ASSERT(next_pos <= WIRE_INTEGER_MAX);
    ASSERT(partition->pending_bytes_max > 0); /* an audit replays only, and has none */
    ASSERT(!partition->start_due);
    ASSERT(partition->phase == PARTITION_RECOVERING);
    ASSERT(doubt == 0 || doubt == DOUBT_ALL || doubt == DOUBT_END);
    ASSERT(!partition->state.in_doubt || doubt != 0);
    ASSERT(next_pos >= partition->applied_pos);
    partition->applied_pos = next_pos;
    partition->applied_hash = next_hash;
    partition->phase = PARTITION_RUNNING;
    batch_start(partition, filling_of(partition), next_pos, next_hash, partition->state.controls);
    partition->start_settings = *settings;
    partition->start_doubt = doubt;
    if (doubt != 0) {
        partition->start_salt = salt_draw(partition, now_ms);
    }
    partition->start_due = true;
    return start_append(partition);
}

static size_t pending_bytes(const struct partition *p)
{
    ASSERT_HOT(p->committing || p->batches[1 - p->filling].count == 0);
    return p->batches[0].log.bytes.size + p->batches[1].log.bytes.size;
}

/* Whether a command of that size may be appended now. A single one always may, however large.
 * RC_FULL, RC_UNAVAILABLE, RC_NOMEM */
static enum rc append_admit(struct partition *p, size_t body_size)
{
    ASSERT_HOT(body_size <= RECORD_BODY_BYTES_MAX);
    ASSERT(p->phase != PARTITION_RECOVERING);
    if (p->phase == PARTITION_STOPPED) {
        MARK("partition: a command while it is stopped");
        return RC_UNAVAILABLE;
    }
    if (p->start_due) {
        const enum rc rc = start_append(p);
        if (rc != RC_OK) {
            return rc;
        }
    }
    const size_t before = pending_bytes(p);
    if (before > 0 && before + record_size(body_size) > p->pending_bytes_max) {
        return RC_FULL;
    }
    bytes_foresee(filling_of(p));
    return pending_reserve(filling_of(p));
}

/* Appends a copy of the body, stamped where it stands. Times do not go back within a channel, and
 * neither times nor ticks depend on what becomes of the command. RC_NOMEM: nothing has happened */
static enum rc publish_append(struct partition *p, struct channel *channel, struct bytes body,
                              uint32_t count, uint64_t now_ms)
{
    ASSERT_HOT(p->phase == PARTITION_RUNNING);
    ASSERT_HOT(count >= 1 && count <= BATCH_MESSAGES_MAX);
    uint8_t *placed;
    struct log_batch *log = &filling_of(p)->log;
    const uint64_t pos = log->end_pos;
    const enum rc rc = batch_place(log, RECORD_PUBLISH, channel->prev_pos_, body, &placed);
    if (rc != RC_OK) {
        return rc;
    }
    const uint64_t time_ms = now_ms > channel->append_time_ms_ ? now_ms : channel->append_time_ms_;
    MARK_IF(now_ms < channel->append_time_ms_,
            "partition: the clock has gone back, the time of a channel has not");
    const uint64_t tick = p->ops->ticks_take(p->ctx, now_ms, count);
    command_publish_stamp(placed, time_ms, tick);
    batch_seal(log);
    ASSERT(log->end_pos == pos + 1 && channel->prev_pos_ <= pos);
    channel->prev_pos_ = pos + 1;
    channel->append_time_ms_ = time_ms;
    channel->pending_++;
    return RC_OK;
}

enum rc partition_publish(struct partition *partition, const struct partition_tag *tag,
                          struct bytes body, uint64_t now_ms)
{
    ASSERT_HOT(body.size > 0);
    ASSERT_HOT(partition->phase != PARTITION_RECOVERING);
    if (partition->full) {
        MARK("partition: a publish while there is room for trims only");
        return RC_UNAVAILABLE;
    }
    enum rc rc = append_admit(partition, body.size);
    if (rc != RC_OK) {
        return rc;
    }
    struct command_publish publish;
    rc = command_publish_head_decode(body, &publish);
    ASSERT(rc == RC_OK); /* it comes from command_publish_encode() */

    struct channel_table *channels = &partition->state.channels;
    struct channel *channel = table_find(channels, publish.channel);
    if (channel == NULL) {
        rc = table_add(channels, publish.channel, &channel);
        if (rc != RC_OK) {
            return rc;
        }
    }
    rc = publish_append(partition, channel, body, publish.count, now_ms);
    if (rc != RC_OK) {
        if (channel->id == 0 && channel->pending_ == 0) {
            MARK("partition: a name without a message is dropped");
            table_drop(channels, channel);
        }
        return rc;
    }
    struct batch *batch = filling_of(partition);
    batch->pending[batch->count++] = (struct pending){.tag = *tag, .channel = channel};
    partition_check(partition);
    return RC_OK;
}

enum rc partition_trim(struct partition *partition, const struct command_trim_entry *entries,
                       size_t count, uint64_t now_ms, uint64_t *ret_pos)
{
    ASSERT(count > 0);
    ASSERT(partition->phase != PARTITION_RECOVERING);
    struct buf body = {0};
    enum rc rc = command_trim_encode(&body, now_ms, entries, count);
    if (rc != RC_OK) {
        return rc;
    }
    rc = append_admit(partition, body.size);
    if (rc == RC_OK) {
        const uint64_t pos = filling_of(partition)->log.end_pos;
        rc = append_command(partition, RECORD_TRIM, buf_bytes(&body));
        if (rc == RC_OK) {
            *ret_pos = pos;
        }
    }
    buf_deinit(&body);
    return rc;
}

enum rc partition_doubt_list(struct partition *partition, const struct command_doubt_entry *entries,
                             size_t count, uint64_t now_ms)
{
    ASSERT(partition->phase != PARTITION_RECOVERING);
    ASSERT(count <= COMMAND_ENTRIES_MAX);
    const uint64_t salt = salt_draw(partition, now_ms);
    struct buf body = {0};
    enum rc rc = command_doubt_encode(&body, DOUBT_LIST, salt, 0, entries, count);
    if (rc != RC_OK) {
        return rc;
    }
    rc = append_admit(partition, body.size);
    if (rc == RC_OK) {
        rc = append_command(partition, RECORD_DOUBT, buf_bytes(&body));
    }
    buf_deinit(&body);
    return rc;
}

void partition_flush(struct partition *partition)
{
    ASSERT_HOT(partition->phase != PARTITION_RECOVERING || filling_of(partition)->count == 0);
    if (partition->phase != PARTITION_RUNNING || partition->committing) {
        return;
    }
    if (partition->start_due && start_append(partition) != RC_OK) {
        return; /* out of memory: the next tick comes again */
    }
    struct batch *batch = filling_of(partition);
    if (batch->count == 0) {
        return;
    }
    partition->filling = 1 - partition->filling;
    partition->committing = true;
    batch_start(partition, filling_of(partition), batch->log.end_pos, batch->log.end_hash,
                batch->log.controls);
    partition_check(partition);
    partition->ops->commit(partition->ctx, &batch->log);
}

/* ---- the end of a commit ------------------------------------------------------------------- */

/* A record of the channel is pending no more. An object that has not become a channel goes with
 * the last one. */
static void channel_release(struct partition *p, struct channel *channel)
{
    ASSERT_HOT(channel->id == 0 || channel->latest >= 1);
    ASSERT(channel->pending_ > 0);
    channel->pending_--;
    if (channel->pending_ == 0 && channel->id == 0) {
        MARK("partition: with its last pending record a name goes");
        table_drop(&p->state.channels, channel);
    }
}

/* Forgets a pending record: the channel is again as the last record applied has left it. */
static void channel_roll_back(struct partition *p, struct channel *channel)
{
    ASSERT(channel->pending_ > 0);
    ASSERT(channel->prev_pos_ >= channel->applied_prev_pos_);
    ASSERT(channel->append_time_ms_ >= channel->last_time_ms);
    MARK("partition: a channel is as its last record left it");
    channel->prev_pos_ = channel->applied_prev_pos_;
    channel->append_time_ms_ = channel->last_time_ms;
    channel_release(p, channel);
}

/* Answers `unavailable` to those who wait for the batch's records from `from` on. */
static void batch_refuse(struct partition *p, const struct batch *batch, size_t from, size_t count)
{
    ASSERT(p->phase == PARTITION_STOPPED);
    ASSERT(from <= count || count == 0);
    struct bytes rest = buf_bytes(&batch->log.bytes);
    for (size_t i = 0; i < count; i++) {
        const struct record record = record_trust(rest);
        rest.data += record.size;
        rest.size -= record.size;
        if (i < from || batch->pending[i].channel == NULL) {
            continue;
        }
        struct command_publish publish;
        const enum rc rc = command_publish_head_decode(record.body, &publish);
        ASSERT(rc == RC_OK);
        const struct publish_result result = {
            .verdict = PUBLISH_UNAVAILABLE,
            .is_batch = publish.is_batch,
            .count = publish.count,
            .channel = publish.channel,
        };
        p->ops->reply(p->ctx, &batch->pending[i].tag, &result);
    }
}

/* The records of both batches from `from` of the one under way on are lost. */
static void partition_fail(struct partition *p, size_t from)
{
    ASSERT(p->phase == PARTITION_RUNNING);
    ASSERT(p->committing);
    ASSERT(from <= committing_of(p)->count);
    struct batch *lost[2] = {committing_of(p), filling_of(p)};
    const size_t first[2] = {from, 0};
    const size_t count[2] = {lost[0]->count, lost[1]->count};
    MARK_IF(count[0] > from && count[1] > 0, "partition: two batches fail at once");
    MARK_IF(from > 0, "partition: out of memory in the middle of a batch");
    MARK_IF(from == 0, "partition: a batch fails, and it stops");
    p->phase = PARTITION_STOPPED;
    p->full = false;
    p->committing = false;
    for (size_t b = 0; b < 2; b++) {
        for (size_t i = first[b]; i < count[b]; i++) {
            if (lost[b]->pending[i].channel != NULL) {
                channel_roll_back(p, lost[b]->pending[i].channel);
            }
        }
        lost[b]->count = 0;
    }
    /* The state is whole again before anybody hears of it: a reply may lead to a new call. */
    for (size_t b = 0; b < 2; b++) {
        batch_refuse(p, lost[b], first[b], count[b]);
        batch_start(p, lost[b], p->applied_pos, p->applied_hash, p->state.controls);
    }
    partition_check(p);
}

/* Applies one record. RC_NOMEM */
static enum rc record_apply(struct partition *p, const struct record *record,
                            const struct pending *pending, struct log_place place)
{
    ASSERT_HOT(p->committing);
    ASSERT_HOT(p->phase == PARTITION_RUNNING);
    const struct apply_env env = {
        .ops = p->ops,
        .ctx = p->ctx,
        .place = place,
        .live = true,
        .tag = pending->channel != NULL ? &pending->tag : NULL,
        .channel = pending->channel,
    };
    ASSERT(record->pos == p->applied_pos);
    const enum rc rc = state_apply(&p->state, record, &env);
    if (rc != RC_OK) {
        ASSERT(rc != RC_CORRUPT); /* we have written it */
        return rc;
    }
    p->applied_pos = record->pos + 1;
    if (record->type == RECORD_DOUBT) {
        p->start_doubt = 0;
    }
    if (pending->channel != NULL) {
        channel_release(p, pending->channel);
    }
    return RC_OK;
}

void partition_commit_done(struct partition *partition, enum rc rc)
{
    ASSERT_HOT(partition->phase == PARTITION_RUNNING);
    struct batch *batch = committing_of(partition);
    ASSERT(partition->committing);
    if (rc != RC_OK) {
        partition_fail(partition, 0);
        return;
    }
    MARK_IF(batch->count > 1, "partition: one batch has several records");
    MARK_IF(filling_of(partition)->count > 0, "partition: more waits while a batch is committed");
    partition->ops->batch_begin(partition->ctx, &batch->log);
    struct bytes rest = buf_bytes(&batch->log.bytes);
    struct log_place place = batch->log.place;
    for (size_t i = 0; i < batch->count; i++) {
        const struct record record = record_trust(rest);
        partition->applied_hash = record.prev_hash;
        place.crc = bytes_load_u32(rest.data);
        rc = record_apply(partition, &record, &batch->pending[i], place);
        if (rc != RC_OK) {
            partition_fail(partition, i);
            return;
        }
        partition->ops->record_end(partition->ctx);
        place.at += (uint32_t)record.size;
        rest.data += record.size;
        rest.size -= record.size;
    }
    ASSERT(rest.size == 0 && partition->applied_pos == batch->log.end_pos);
    partition->applied_hash = batch->log.end_hash;
    partition->ops->batch_end(partition->ctx, &batch->log);
    partition->committing = false;
    batch->count = 0;
    batch->bytes_before = batch->log.bytes.size;
    buf_clear(&batch->log.bytes);
    partition_check(partition);
}

void partition_resume(struct partition *partition, bool full)
{
    ASSERT(partition->phase == PARTITION_STOPPED || partition->full);
    const bool stopped = partition->phase == PARTITION_STOPPED;
    partition->full = full;
    if (!stopped) {
        return; /* what is pending goes on */
    }
    ASSERT(!partition->committing);
    ASSERT(filling_of(partition)->count == 0);
    partition->phase = PARTITION_RUNNING;
    batch_start(partition, filling_of(partition), partition->applied_pos, partition->applied_hash,
                partition->state.controls);
    MARK_IF(!settings_equal(&partition->start_settings, &partition->state.settings),
            "partition: after a failure the settings are appended again");
    partition->start_due = partition->start_doubt != 0 ||
                           !settings_equal(&partition->start_settings, &partition->state.settings);
    partition_check(partition);
}

bool partition_stopped(const struct partition *partition)
{
    ASSERT(partition->phase != PARTITION_STOPPED || !partition->committing);
    ASSERT(partition->filling <= 1);
    return partition->phase == PARTITION_STOPPED;
}

bool partition_full(const struct partition *partition)
{
    ASSERT(!partition->full || partition->phase == PARTITION_RUNNING);
    return partition->full;
}

bool partition_doubt_due(const struct partition *partition)
{
    ASSERT_HOT(partition->start_doubt >= 0 && partition->start_doubt <= DOUBT_LIST);
    return partition->start_doubt != 0;
}

bool partition_idle(const struct partition *partition)
{
    ASSERT_HOT(partition->filling <= 1);
    return !partition->committing && !partition->start_due &&
           partition->batches[partition->filling].count == 0;
}

uint64_t partition_next_pos(const struct partition *partition)
{
    ASSERT_HOT(partition->filling <= 1);
    ASSERT_HOT(partition->phase != PARTITION_RUNNING ||
               partition->batches[partition->filling].log.end_pos >= partition->applied_pos);
    return partition->batches[partition->filling].log.end_pos;
}

uint64_t partition_applied_pos(const struct partition *partition)
{
    ASSERT_HOT(partition->applied_pos <= WIRE_INTEGER_MAX);
    return partition->applied_pos;
}

uint64_t partition_applied_hash(const struct partition *partition)
{
    return partition->applied_hash;
}

/* ---- reading the state --------------------------------------------------------------------- */

struct channel *partition_channel_find(struct partition *partition, struct bytes name)
{
    ASSERT_HOT(name.size >= 1);
    struct channel *channel = table_find(&partition->state.channels, name);
    return channel != NULL && channel->id != 0 ? channel : NULL;
}

struct channel *partition_channel_by_id(struct partition *partition, uint64_t id)
{
    ASSERT_HOT(id >= 1);
    return table_by_id(&partition->state.channels, id);
}

enum rc partition_user_set(struct partition *partition, struct channel *channel, void *user)
{
    ASSERT(channel->id != 0);
    if (channel_user(channel) == user) {
        return RC_OK;
    }
    const enum rc rc = channel_more_reserve(&partition->state.channels, channel);
    if (rc == RC_OK) {
        channel->more_->user = user;
    }
    ASSERT(rc != RC_OK || channel_user(channel) == user);
    return rc;
}

uint64_t partition_channel_count(const struct partition *partition)
{
    ASSERT(partition->state.channels.count <= slots_count(&partition->state.channels.names));
    return partition->state.channels.count;
}

struct position partition_position(struct partition *partition, struct bytes name)
{
    ASSERT_HOT(name.size >= 1 && name.size <= CHANNEL_NAME_BYTES_MAX);
    return state_position(&partition->state, name);
}

enum position_verdict partition_position_judge(struct partition *partition, struct bytes name,
                                               bool has_epoch, uint64_t epoch, uint64_t seq)
{
    ASSERT(name.size >= 1 && name.size <= CHANNEL_NAME_BYTES_MAX);
    return state_position_judge(&partition->state, name, has_epoch, epoch, seq);
}

enum rc partition_state_encode(const struct partition *partition, struct buf *to)
{
    return state_encode(&partition->state, to);
}

enum rc partition_capture_begin(struct partition *partition)
{
    ASSERT(partition->state.capture == NULL);
    ASSERT(partition->phase != PARTITION_RECOVERING);
    return capture_open(&partition->state, &partition->state.capture);
}

bool partition_capturing(const struct partition *partition)
{
    return partition->state.capture != NULL;
}

enum rc partition_capture_step(struct partition *partition, size_t bytes_max,
                               struct pieces *ret_state)
{
    ASSERT(partition->state.capture != NULL);
    ASSERT(bytes_max > 0);
    const enum rc rc = capture_step(partition->state.capture, bytes_max, ret_state);
    if (rc != RC_AGAIN) {
        capture_close(partition->state.capture);
        partition->state.capture = NULL;
    }
    return rc;
}

enum rc partition_state_hash(const struct partition *partition, uint64_t *ret_hash)
{
    struct buf bytes = {0};
    const enum rc rc = state_encode(&partition->state, &bytes);
    if (rc == RC_OK) {
        *ret_hash = hash_bytes(buf_bytes(&bytes), 0);
    }
    buf_deinit(&bytes);
    return rc;
}
