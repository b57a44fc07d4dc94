#include "unit/log/world.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_HEAD_SIZE 40u

/* ---- records ------------------------------------------------------------------------------- */

static void record_body(const struct world_record *record, uint8_t *to)
{
    bytes_store_u64(to, record->channel);
    bytes_store_u64(to + 8, record->first_seq);
    bytes_store_u64(to + 16, record->count);
    bytes_store_u64(to + 24, record->time_ms);
    bytes_store_u64(to + 32, record->salt);
    struct prng prng = {record->salt};
    for (uint32_t i = BODY_HEAD_SIZE; i < record->body_size; i += 8) {
        const uint64_t eight = prng_next(&prng);
        const uint32_t rest = record->body_size - i;
        bytes_copy(to + i, &eight, rest < 8 ? rest : 8);
    }
}

/* The judgement: these are the bytes that were written at that position, and no others. */
static void check_record(const struct world *world, const struct record *record)
{
    ASSERT(record->type == RECORD_PUBLISH);
    ASSERT(record->partition == WORLD_PARTITION);
    ASSERT(record->pos < world->record_count);
    const struct world_record *wanted = &world->records[record->pos];
    ASSERT(record->body.size == wanted->body_size);
    uint8_t body[8192];
    ASSERT(wanted->body_size <= sizeof(body));
    record_body(wanted, body);
    ASSERT(bytes_equal(record->body, bytes_of(body, wanted->body_size)));
}

static struct world_record *record_make(struct world *world)
{
    if (world->record_count == world->record_capacity) {
        world->record_capacity = world->record_capacity == 0 ? 64 : world->record_capacity * 2;
        world->records = realloc(world->records, world->record_capacity * sizeof(*world->records));
        ASSERT(world->records != NULL);
    }
    struct world_record *record = &world->records[world->record_count++];
    const uint64_t channel = 1 + prng_below(&world->prng, world->channel_count);
    *record = (struct world_record){
        .channel = channel,
        .first_seq = world->latest[channel] + 1,
        .count = 1 + (uint32_t)prng_below(&world->prng, world->messages_max),
        .time_ms = world->now_ms,
        .body_size = BODY_HEAD_SIZE + (uint32_t)prng_below(&world->prng, world->body_max + 1),
        .salt = world->next_salt++,
    };
    world->now_ms += prng_below(&world->prng, 3);
    world->latest[channel] += record->count;
    world->last_time[channel] = record->time_ms;
    return record;
}

/* The state of the application at a position, from the model. */
static void state_at(struct world *world, uint64_t pos)
{
    for (uint32_t c = 0; c <= WORLD_CHANNELS_MAX; c++) {
        world->latest[c] = 0;
        world->last_time[c] = 0;
    }
    for (uint64_t i = 0; i < pos; i++) {
        const struct world_record *record = &world->records[i];
        world->latest[record->channel] = record->first_seq + record->count - 1;
        world->last_time[record->channel] = record->time_ms;
    }
}

static void state_encode(const struct world *world, uint64_t pos, struct buf *to)
{
    buf_clear(to);
    const enum rc rc = buf_reserve(to, 16 + 16 * (WORLD_CHANNELS_MAX + 1));
    ASSERT(rc == RC_OK);
    buf_put_u64(to, pos);
    for (uint32_t c = 0; c <= WORLD_CHANNELS_MAX; c++) {
        buf_put_u64(to, world->latest[c]);
    }
}

void world_state(const struct world *world, uint64_t pos, struct buf *to)
{
    struct world *copy = mem_alloc(sizeof(*copy));
    ASSERT(copy != NULL);
    *copy = *world; /* latest and last_time are those of today */
    state_at(copy, pos);
    state_encode(copy, pos, to);
    mem_free(copy);
}

/* ---- recovery ------------------------------------------------------------------------------ */

uint64_t world_digest(uint64_t channel, uint64_t first_seq)
{
    return (channel << 40 | first_seq) * 0x9E3779B97F4A7C15u;
}

static void on_log(void *ctx, struct file_log *log)
{
    struct world *world = ctx;
    world->log = log;
}

static enum rc on_state(void *ctx, uint64_t pos, struct bytes state)
{
    struct world *world = ctx;
    ASSERT(world->state_pos == UINT64_MAX);
    ASSERT(world->replay_count == 0);
    ASSERT(pos <= world->record_count);
    if (!world->no_state_check) {
        struct buf wanted = {0};
        state_at(world, pos);
        state_encode(world, pos, &wanted);
        ASSERT(bytes_equal(state, buf_bytes(&wanted)));
        buf_deinit(&wanted);
    }
    world->state_pos = pos;
    world->pos = pos;
    return RC_OK;
}

static enum rc on_record(void *ctx, const struct record *record, struct log_place place)
{
    struct world *world = ctx;
    ASSERT(record->pos == world->pos);
    if (world->replay_count++ == 0) {
        world->replay_first = record->pos;
    }
    if (record->type == RECORD_HOLE) {
        struct record_hole hole;
        const enum rc rc = record_hole_decode(record->body, &hole);
        ASSERT(rc == RC_OK);
        ASSERT(world->lossy);
        ASSERT(world->hole_count < 64);
        world->lost_pos[world->hole_count][0] = hole.first_pos;
        world->lost_pos[world->hole_count][1] = hole.end_pos;
        world->hole_count++;
        world->pos = hole.end_pos;
        return RC_OK;
    }
    check_record(world, record);
    world->pos++;
    const struct world_record *wanted = &world->records[record->pos];
    return file_log_index_add(world->log, place, wanted->channel, wanted->first_seq, wanted->count,
                              wanted->time_ms, world_digest(wanted->channel, wanted->first_seq));
}

static enum rc on_checkpoint(void *ctx, uint64_t pos, struct bytes state)
{
    struct world *world = ctx;
    ASSERT(pos == world->pos && pos > world->replay_first);
    world->checks++;
    if (!world->no_state_check) {
        struct buf wanted = {0};
        state_at(world, pos);
        state_encode(world, pos, &wanted);
        ASSERT(bytes_equal(state, buf_bytes(&wanted)));
        buf_deinit(&wanted);
    }
    return world->check_fails ? RC_CORRUPT : RC_OK;
}

static void on_sync_failed(void *ctx)
{
    struct world *world = ctx;
    world->sync_failures++;
}

static void on_damage(void *ctx, const struct log_damage *damage)
{
    struct world *world = ctx;
    ASSERT(damage->file != NULL);
    ASSERT(damage->what != NULL);
    if (world->damage_count < sizeof(world->damages) / sizeof(world->damages[0])) {
        struct world_damage *to = &world->damages[world->damage_count++];
        *to = (struct world_damage){
            .at = damage->at, .torn_tail = damage->torn_tail, .repaired = damage->repaired};
        (void)snprintf(to->file, sizeof(to->file), "%s", damage->file);
        (void)snprintf(to->what, sizeof(to->what), "%s", damage->what);
    }
}

void world_forget_damages(struct world *world)
{
    world->damage_count = 0;
}

bool world_pos_is_lost(const struct world *world, uint64_t pos)
{
    for (uint64_t i = 0; i < world->hole_count; i++) {
        if (pos >= world->lost_pos[i][0] && pos < world->lost_pos[i][1]) {
            return true;
        }
    }
    return false;
}

enum rc world_open(struct world *world, bool repair)
{
    ASSERT(world->log == NULL);
    world->replay_first = 0;
    world->replay_count = 0;
    world->state_pos = UINT64_MAX;
    world->hole_count = 0;
    world->pos = 0;
    world->checkpoint_segment = 0;
    const struct file_log_options options = {
        .folder = WORLD_FOLDER,
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .segment_bytes = world->segment_bytes,
        .repair = repair,
        .ctx = world,
        .on_log = on_log,
        .on_state = on_state,
        .on_record = on_record,
        .on_checkpoint = on_checkpoint,
        .on_damage = on_damage,
        .on_sync_failed = on_sync_failed,
        .rewrite = world->rewrite,
    };
    struct file_log *log = NULL;
    const enum rc rc = file_log_open(&world->storage, &options, &log);
    if (rc != RC_OK) {
        world->log = NULL;
        return rc;
    }
    ASSERT(log == world->log);
    ASSERT(world->pos == file_log_next_pos(world->log));
    ASSERT(world->pos <= world->record_count);
    world->hash = file_log_next_hash(world->log);
    world->record_count = (size_t)world->pos; /* what did not survive was never acknowledged */
    world->written_pos = world->pos;
    if (world->acked_pos > world->pos) {
        world->acked_pos = world->pos;
    }
    state_at(world, world->pos);
    return RC_OK;
}

void world_close(struct world *world)
{
    file_log_close(world->log);
    world->log = NULL;
}

void world_init(struct world *world, struct storage storage, uint64_t seed)
{
    *world = (struct world){
        .storage = storage,
        .prng = {seed},
        .channel_count = 5,
        .segment_bytes = 4096,
        .body_max = 200,
        .messages_max = 3,
        .now_ms = 1000,
        .next_salt = seed << 32,
        .state_pos = UINT64_MAX,
    };
    for (uint32_t c = 0; c <= WORLD_CHANNELS_MAX; c++) {
        world->earliest[c] = 1;
    }
}

void world_deinit(struct world *world)
{
    world_close(world);
    batch_deinit(&world->batch);
    buf_deinit(&world->checkpoint);
    free(world->records);
    world->records = NULL;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* What the owner does when a batch is committed, with its records below `end_pos`. */
static enum rc apply(struct world *world, uint64_t end_pos)
{
    const struct log_batch *batch = &world->batch;
    uint64_t segment;
    if (!world->no_checkpoints && file_log_checkpoint_due(world->log, batch, 0, 0, &segment)) {
        state_at(world, batch->first_pos);
        state_encode(world, batch->first_pos, &world->checkpoint);
        state_at(world, end_pos);
        world->checkpoint_segment = segment;
        world->checkpoint_pos = batch->first_pos;
    }
    struct log_place place = batch->place;
    for (uint64_t pos = batch->first_pos; pos < end_pos; pos++) {
        const struct world_record *record = &world->records[pos];
        place.crc = bytes_load_u32(batch->bytes.data + (place.at - batch->place.at));
        const enum rc rc =
            file_log_index_add(world->log, place, record->channel, record->first_seq, record->count,
                               record->time_ms, world_digest(record->channel, record->first_seq));
        if (rc != RC_OK) {
            return rc;
        }
        place.at += (uint32_t)record_size(record->body_size);
    }
    return RC_OK;
}

/* Makes a batch and hands it to the log. */
static enum rc commit(struct world *world, uint32_t count, enum log_sync sync)
{
    world->record_count = (size_t)world->pos; /* an attempt before it was cut by a reopen */
    batch_begin(&world->batch, WORLD_PARTITION, world->pos, world->hash, 0);
    enum rc rc = RC_OK;
    for (uint32_t i = 0; rc == RC_OK && i < count; i++) {
        uint8_t body[8192];
        const struct world_record *record = record_make(world);
        record_body(record, body);
        rc = batch_append(&world->batch, RECORD_PUBLISH, 0, bytes_of(body, record->body_size));
    }
    if (rc == RC_OK) {
        rc = file_log_commit_reserve(world->log);
    }
    if (rc == RC_OK) {
        rc = file_log_commit(world->log, &world->batch, sync);
    }
    if (rc != RC_OK) {
        state_at(world, world->pos);
    }
    return rc; /* the attempt stays in the model: it may yet turn out to be on disk */
}

enum rc world_publish(struct world *world, uint32_t count, enum log_sync sync)
{
    enum rc rc = commit(world, count, sync);
    if (rc != RC_OK) {
        return rc;
    }
    world->pos = world->batch.end_pos;
    world->hash = world->batch.end_hash;
    world->written_pos = world->pos;
    if (sync == LOG_SYNC_DATA) {
        world->acked_pos = world->pos;
    }
    rc = apply(world, world->pos);
    if (rc == RC_OK) {
        (void)file_log_committed(world->log, &world->batch);
    }
    return rc;
}

/* The hash in front of the record that stands `nth` in the batch. */
static uint64_t batch_hash(const struct log_batch *batch, uint32_t nth)
{
    struct bytes rest = buf_bytes(&batch->bytes);
    for (uint32_t i = 0;; i++) {
        struct record record;
        const enum rc rc = record_decode(rest, &record);
        ASSERT(rc == RC_OK);
        if (i == nth) {
            return record.prev_hash;
        }
        rest.data += record.size;
        rest.size -= record.size;
    }
}

enum rc world_publish_part(struct world *world, uint32_t count, uint32_t applied)
{
    ASSERT(applied < count);
    enum rc rc = commit(world, count, LOG_SYNC_DATA);
    if (rc != RC_OK) {
        return rc;
    }
    const uint64_t end_pos = world->batch.first_pos + applied;
    rc = apply(world, end_pos);
    state_at(world, end_pos);
    ASSERT(rc == RC_OK);
    world->pos = end_pos;
    world->hash = batch_hash(&world->batch, applied);
    world->written_pos = end_pos;
    world->acked_pos = end_pos;
    rc = file_log_reopen(world->log, world->pos, world->hash);
    if (rc == RC_OK) {
        world->record_count = (size_t)end_pos;
        file_log_reopened(world->log);
    }
    return rc;
}

enum rc world_chores(struct world *world)
{
    struct log_chore chore;
    enum rc rc = RC_OK;
    while (rc == RC_OK && file_log_chore_next(world->log, true, &chore)) {
        file_log_chore_do(world->log, &chore);
        file_log_chore_end(world->log, &chore);
        rc = chore.rc;
    }
    /* What is to be sealed may have failed, or there was no memory for it. */
    const uint64_t unsealed = file_log_unsealed(world->log);
    if (rc == RC_OK && world->checkpoint_segment != 0 &&
        (unsealed == 0 || unsealed >= world->checkpoint_segment)) {
        chore = (struct log_chore){
            .kind = LOG_CHORE_CHECKPOINT,
            .segment = world->checkpoint_segment,
            .state_pos = world->checkpoint_pos,
        };
        rc = pieces_append(&chore.state, buf_bytes(&world->checkpoint));
        if (rc != RC_OK) {
            pieces_deinit(&chore.state);
            return rc;
        }
        buf_deinit(&world->checkpoint);
        world->checkpoint_segment = 0;
        file_log_chore_do(world->log, &chore);
        file_log_chore_end(world->log, &chore);
        rc = chore.rc;
        world->checkpoint_count += rc == RC_OK;
    }
    return rc;
}

enum rc world_retain(struct world *world, uint64_t bytes_max)
{
    const uint64_t segment = file_log_retention_candidate(world->log, bytes_max, 0, false);
    if (segment == 0) {
        return RC_OK;
    }
    struct log_chore chore = {.kind = LOG_CHORE_SURVEY, .segment = segment, .will_trim = true};
    file_log_chore_do(world->log, &chore);
    for (size_t i = 0; chore.rc == RC_OK && i < chore.entry_count; i++) {
        const struct log_survey_entry *entry = &chore.entries[i];
        ASSERT(entry->end_seq <= world->latest[entry->channel_id] + 1);
        if (world->earliest[entry->channel_id] < entry->end_seq) {
            world->earliest[entry->channel_id] = entry->end_seq;
        }
    }
    file_log_chore_end(world->log, &chore);
    if (chore.rc != RC_OK) {
        return chore.rc;
    }
    chore = (struct log_chore){.kind = LOG_CHORE_REMOVE, .segment = segment};
    file_log_chore_do(world->log, &chore);
    file_log_chore_end(world->log, &chore);
    return chore.rc;
}

/* ---- reading ------------------------------------------------------------------------------- */

struct reading {
    struct world *world;
    uint64_t channel;
    uint64_t next; /* forward: the seq expected next; backward: the next lower one */
    bool backward;
    bool damaged_ok;
    uint64_t given;
    uint64_t damaged;
    uint32_t stop_after;
};

static enum rc on_read_record(void *ctx, const struct record *record, uint64_t first_seq)
{
    struct reading *r = ctx;
    check_record(r->world, record);
    const struct world_record *wanted = &r->world->records[record->pos];
    const uint64_t last_seq = first_seq + wanted->count - 1;
    ASSERT(wanted->channel == r->channel);
    ASSERT(wanted->first_seq == first_seq);
    ASSERT(r->next >= first_seq);
    ASSERT(r->next <= last_seq);
    r->next = r->backward ? first_seq - 1 : last_seq + 1;
    r->given += wanted->count;
    if (r->stop_after > 0) {
        r->stop_after--;
        return r->stop_after == 0 ? RC_END : RC_OK;
    }
    return RC_OK;
}

static void on_read_damage(void *ctx, uint64_t from, uint64_t to, const struct log_damage *damage)
{
    struct reading *r = ctx;
    ASSERT(r->damaged_ok);
    ASSERT(from <= to);
    ASSERT(damage->what != NULL);
    if (r->backward) {
        ASSERT(to == r->next);
        r->next = from - 1;
    } else {
        ASSERT(from == r->next);
        r->next = to + 1;
    }
    r->damaged += to - from + 1;
}

/* One read of the log. Returns where it wants to go on. */
static uint64_t read_once(struct reading *r, enum log_read_kind kind, uint64_t seq,
                          uint64_t time_ms)
{
    struct world *world = r->world;
    struct log_read read = {
        .kind = kind,
        .channel_id = r->channel,
        .seq = seq,
        .earliest = world->earliest[r->channel],
        .latest = world->latest[r->channel],
        .time_ms = time_ms,
        .on_record = on_read_record,
        .on_damage = on_read_damage,
        .ctx = r,
    };
    const enum rc rc = file_log_read_begin(world->log, &read);
    ASSERT(rc == RC_OK);
    file_log_read_do(world->log, &read);
    file_log_read_end(world->log, &read);
    ASSERT(read.rc == RC_OK);
    return read.ret_seq;
}

static uint64_t read_channel(struct world *world, uint64_t channel, bool damaged_ok)
{
    const uint64_t earliest = world->earliest[channel];
    const uint64_t latest = world->latest[channel];
    if (earliest > latest) {
        return 0;
    }
    struct reading r = {
        .world = world, .channel = channel, .next = earliest, .damaged_ok = damaged_ok};
    while (r.next <= latest) {
        r.stop_after = 1 + (uint32_t)prng_below(&world->prng, 20);
        const uint64_t before = r.next;
        const uint64_t next = read_once(&r, LOG_READ_FORWARD, r.next, 0);
        ASSERT(next == r.next);
        ASSERT(next > before);
    }
    const uint64_t damaged = r.damaged;
    r = (struct reading){.world = world,
                         .channel = channel,
                         .next = latest,
                         .backward = true,
                         .damaged_ok = damaged_ok};
    while (r.next >= earliest) {
        r.stop_after = 1 + (uint32_t)prng_below(&world->prng, 20);
        const uint64_t before = r.next;
        const uint64_t next = read_once(&r, LOG_READ_BACKWARD, r.next, 0);
        ASSERT(r.next < before);
        ASSERT(next == (r.next < earliest ? 0 : r.next));
    }
    ASSERT(damaged == r.damaged);
    return damaged;
}

/* By time, against a search through the model from front to back. */
static void check_time(struct world *world, uint64_t channel)
{
    const uint64_t earliest = world->earliest[channel];
    const uint64_t latest = world->latest[channel];
    const uint64_t time_ms = 990 + prng_below(&world->prng, world->now_ms - 980);
    if (earliest > latest) {
        return;
    }
    const uint64_t from = earliest + prng_below(&world->prng, latest - earliest + 1);
    uint64_t wanted = latest + 1;
    for (uint64_t pos = world->pos; pos-- > 0;) {
        const struct world_record *record = &world->records[pos];
        if (record->channel == channel && record->time_ms >= time_ms &&
            record->first_seq + record->count > from) {
            wanted = record->first_seq > from ? record->first_seq : from;
        }
    }
    struct reading r = {.world = world, .channel = channel};
    const uint64_t found = read_once(&r, LOG_READ_TIME, from, time_ms);
    ASSERT(found == wanted);
}

/* What a read for a digest is told beside its results. */
struct digest_reading {
    struct reading reading;
    uint32_t records;
    uint32_t damages;
};

static enum rc on_digest_record(void *ctx, const struct record *record, uint64_t first_seq)
{
    struct digest_reading *r = ctx;
    const struct world_record *wanted = &r->reading.world->records[record->pos];
    check_record(r->reading.world, record);
    ASSERT(wanted->channel == r->reading.channel);
    ASSERT(wanted->first_seq == first_seq);
    ASSERT(first_seq < r->reading.next);
    r->records++;
    return RC_OK;
}

static void on_digest_damage(void *ctx, uint64_t from, uint64_t to, const struct log_damage *damage)
{
    struct digest_reading *r = ctx;
    ASSERT(damage->what != NULL);
    ASSERT(from <= r->reading.next && r->reading.next <= to);
    r->damages++;
}

bool world_check_digest(struct world *world, uint64_t channel, uint64_t seq)
{
    struct digest_reading r = {{.world = world, .channel = channel, .next = seq}, 0, 0};
    struct log_read read = {
        .kind = LOG_READ_DIGEST,
        .channel_id = channel,
        .seq = seq,
        .earliest = world->earliest[channel],
        .latest = world->latest[channel],
        .on_record = on_digest_record,
        .on_damage = on_digest_damage,
        .ctx = &r,
    };
    const enum rc rc = file_log_read_begin(world->log, &read);
    ASSERT(rc == RC_OK);
    file_log_read_do(world->log, &read);
    file_log_read_end(world->log, &read);
    ASSERT(read.rc == RC_OK);
    if (r.damages > 0) {
        ASSERT(r.damages == 1 && r.records == 0);
        return false;
    }
    const struct world_record *holder = NULL;
    for (uint64_t pos = world->pos; pos-- > 0 && holder == NULL;) {
        const struct world_record *record = &world->records[pos];
        if (record->channel == channel && record->first_seq <= seq) {
            holder = record;
        }
    }
    ASSERT(holder != NULL);
    ASSERT(read.ret_seq == holder->first_seq);
    ASSERT(read.ret_digest == world_digest(channel, holder->first_seq));
    ASSERT(r.records == (holder->first_seq < seq));
    return true;
}

/* Of messages anywhere in the channel. */
static void check_digests(struct world *world, uint64_t channel, bool damaged_ok)
{
    const uint64_t earliest = world->earliest[channel];
    const uint64_t latest = world->latest[channel];
    for (unsigned i = 0; earliest <= latest && i < 8; i++) {
        const uint64_t seq = i == 0   ? earliest
                             : i == 1 ? latest
                                      : earliest + prng_below(&world->prng, latest - earliest + 1);
        const bool found = world_check_digest(world, channel, seq);
        ASSERT(found || damaged_ok);
    }
}

uint64_t world_check_reads(struct world *world, bool damaged_ok)
{
    uint64_t damaged = 0;
    for (uint64_t channel = 1; channel <= world->channel_count; channel++) {
        damaged += read_channel(world, channel, damaged_ok);
        check_digests(world, channel, damaged_ok);
        if (!damaged_ok) {
            check_time(world, channel);
            check_time(world, channel);
        }
    }
    return damaged;
}

uint64_t world_read_forward(struct world *world, uint64_t channel, uint64_t seq, uint64_t *ret_next)
{
    struct reading r = {.world = world, .channel = channel, .next = seq};
    *ret_next = read_once(&r, LOG_READ_FORWARD, seq, 0);
    return r.given;
}
