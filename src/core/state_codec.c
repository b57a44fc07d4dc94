/* The state as bytes, for checkpoints and for comparing histories.
 *
 * Equal histories give equal bytes: channels stand by number, producers by id, and runs that are of
 * no use any more are left out, whether or not they have been freed yet. Decoding takes exactly
 * what encoding gives; anything else is RC_CORRUPT.
 *
 *   4 "SQP3"   4 partition number
 *   8 retention in messages   8 producer idle time in ms   8 highest tick
 *   2 count of control records   1 a hole came just now
 *   1 in doubt   8 first position cut out   8 end of those   8 base epoch before (all 0 if not)
 *   4 count of base epochs, then each 8, oldest first
 *   8 count of channels, then each, by number:
 *     1 name size, name
 *     8 epoch   8 earliest   8 latest   8 time of the last message   8 prev_pos   8 digest
 *     1 flags: 1 in doubt, 2 resync
 *     1 count of earlier epochs, then each: 8 epoch, 8 good end
 *     4 count of producers, then each, by id:
 *       1 id size, id
 *       8 producer epoch   8 last   8 time of its last message
 *       1 flags: 1 expired, 2 resync
 *       2 count of runs, then each: 8 count of numbers, 8 seq of the first (0: a gap); the last
 *         run ends at `last` */
#include "base/mem.h"
#include "core/state.h"

#include <stdlib.h>

#define STATE_MAGIC           0x33505153u /* "SQP3" */
#define FLAG_DOUBT_OR_EXPIRED 1u
#define FLAG_RESYNC           2u

#define CHANNEL_SIZE_MIN  (1u + 1u + 6u * 8u + 1u + 1u + 4u)
#define PRODUCER_SIZE_MAX (1u + PRODUCER_ID_BYTES_MAX + 3u * 8u + 1u + 2u)
#define PRODUCER_SIZE_MIN (1u + 1u + 3u * 8u + 1u + 2u)
#define RUN_SIZE          16u

/* ---- encode -------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    const struct bytes x = producer_id(*(struct producer *const *)a);
    const struct bytes y = producer_id(*(struct producer *const *)b);
    const int order = memcmp(x.data, y.data, x.size < y.size ? x.size : y.size);
    return order != 0 ? order : (x.size > y.size) - (x.size < y.size);
}

static enum rc producer_encode(const struct producer *producer, uint64_t earliest, struct buf *to)
{
    ASSERT(earliest >= 1);
    const uint32_t stale = producer_runs_stale(producer, earliest);
    const uint32_t count = producer->run_count - stale;
    const enum rc rc = buf_reserve(to, PRODUCER_SIZE_MAX + (size_t)count * RUN_SIZE);
    if (rc != RC_OK) {
        return rc;
    }
    producer_check(producer);
    buf_put_u8(to, producer->id_size);
    buf_put(to, producer->id, producer->id_size);
    buf_put_u64(to, producer->epoch);
    buf_put_u64(to, producer->last);
    buf_put_u64(to, producer->last_ms);
    buf_put_u8(to, (uint8_t)((producer->expired ? FLAG_DOUBT_OR_EXPIRED : 0) |
                             (producer->resync ? FLAG_RESYNC : 0)));
    buf_put_u16(to, (uint16_t)count);
    for (uint32_t i = stale; i < producer->run_count; i++) {
        const struct producer_run *run = producer_run_at(producer, i);
        buf_put_u64(to, producer_run_end(producer, i) - run->producer_seq);
        buf_put_u64(to, run->seq);
    }
    return RC_OK;
}

static enum rc producers_encode(const struct channel *channel, struct buf *to)
{
    const size_t count = channel_producer_count(channel);
    ASSERT(count <= CHANNEL_PRODUCERS_MAX);
    enum rc rc = buf_reserve(to, sizeof(uint32_t));
    if (rc != RC_OK) {
        return rc;
    }
    buf_put_u32(to, (uint32_t)count);
    if (count == 0) {
        return RC_OK;
    }
    struct producer **sorted = mem_calloc(count, sizeof(struct producer *));
    if (sorted == NULL) {
        return RC_NOMEM;
    }
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = map_next(&channel->more_->producers, &at);
    }
    qsort(sorted, count, sizeof(struct producer *), by_id);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        rc = producer_encode(sorted[i], channel->earliest, to);
    }
    mem_free(sorted);
    return rc;
}

enum rc state_encode_channel(const struct channel *channel, struct buf *to)
{
    const uint32_t epoch_count = channel_epoch_count(channel);
    ASSERT(channel->id >= 1);
    ASSERT(epoch_count <= CHANNEL_EPOCHS_MAX);
    const struct bytes name = channel_name(channel);
    const enum rc rc =
        buf_reserve(to, CHANNEL_SIZE_MIN + name.size + epoch_count * sizeof(struct channel_epoch));
    if (rc != RC_OK) {
        return rc;
    }
    channel_check(channel);
    buf_put_u8(to, (uint8_t)name.size);
    buf_put(to, name.data, name.size);
    buf_put_u64(to, channel->epoch);
    buf_put_u64(to, channel->earliest);
    buf_put_u64(to, channel->latest);
    buf_put_u64(to, channel->last_time_ms);
    buf_put_u64(to, channel->applied_prev_pos_);
    buf_put_u64(to, channel->digest);
    buf_put_u8(to, (uint8_t)((channel->in_doubt_ ? FLAG_DOUBT_OR_EXPIRED : 0) |
                             (channel->resync_ ? FLAG_RESYNC : 0)));
    buf_put_u8(to, (uint8_t)epoch_count);
    for (uint32_t i = 0; i < epoch_count; i++) {
        buf_put_u64(to, channel->more_->epochs[i].epoch);
        buf_put_u64(to, channel->more_->epochs[i].good_end);
    }
    return producers_encode(channel, to);
}

enum rc state_encode_head(const struct state *state, struct buf *to)
{
    ASSERT(state->base_count >= 1 && state->base_count <= CHANNEL_EPOCHS_MAX + 1);
    ASSERT(state->in_doubt == (state->base_clean != 0));
    const enum rc rc = buf_reserve(to, 128 + sizeof(state->bases));
    if (rc != RC_OK) {
        return rc;
    }
    buf_put_u32(to, STATE_MAGIC);
    buf_put_u32(to, state->number);
    buf_put_u64(to, state->settings.retention_messages);
    buf_put_u64(to, state->settings.producer_idle_ms);
    buf_put_u64(to, state->tick_max);
    buf_put_u16(to, state->controls);
    buf_put_u8(to, state->controls_in_doubt ? 1 : 0);
    buf_put_u8(to, state->in_doubt ? 1 : 0);
    buf_put_u64(to, state->doubt_first);
    buf_put_u64(to, state->doubt_end);
    buf_put_u64(to, state->base_clean);
    buf_put_u32(to, state->base_count);
    for (uint32_t i = 0; i < state->base_count; i++) {
        buf_put_u64(to, state->bases[i]);
    }
    buf_put_u64(to, state->channels.count);
    return RC_OK;
}

enum rc state_encode(const struct state *state, struct buf *to)
{
    ASSERT(state->channels.count <= slots_count(&state->channels.names));
    enum rc rc = state_encode_head(state, to);
    for (uint64_t id = 1; id <= state->channels.count && rc == RC_OK; id++) {
        rc = state_encode_channel(table_by_id(&state->channels, id), to);
    }
    return rc;
}

/* ---- decode -------------------------------------------------------------------------------- */

/* Runs are as producer_accept() makes them: none empty, seqs rising, none that could go on in the
 * one before, no gap at the end, and none that are of no use. */
static enum rc runs_decode(struct bytes_reader *reader, uint32_t count,
                           const struct channel *channel, struct producer *producer)
{
    ASSERT(producer->run_count == 0);
    ASSERT(producer->last >= 1);
    if (count > PRODUCER_RUNS_MAX || reader->rest.size < (size_t)count * RUN_SIZE) {
        return RC_CORRUPT;
    }
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t numbers = bytes_load_u64(reader->rest.data + (size_t)i * RUN_SIZE);
        if (numbers == 0 || numbers > producer->last - total) {
            return RC_CORRUPT;
        }
        total += numbers;
    }
    const enum rc rc = producer_runs_reserve(producer, count);
    if (rc != RC_OK) {
        return rc;
    }
    uint64_t producer_seq = producer->last - total + 1;
    uint64_t seq_end = 0; /* of the run before */
    bool was_gap = false;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t numbers = reader_u64(reader);
        const uint64_t seq = reader_u64(reader);
        const bool gap = seq == 0;
        if (gap ? was_gap || i + 1 == count
                : seq < seq_end || (seq == seq_end && !was_gap) || seq > channel->latest ||
                      numbers > channel->latest - seq + 1) {
            return RC_CORRUPT;
        }
        producer_run_push(producer, (struct producer_run){producer_seq, seq});
        producer_seq += numbers;
        seq_end = gap ? seq_end : seq + numbers;
        was_gap = gap;
    }
    return producer_runs_stale(producer, channel->earliest) == 0 ? RC_OK : RC_CORRUPT;
}

static enum rc producer_fill(struct bytes_reader *reader, const struct channel *channel,
                             struct producer *producer)
{
    ASSERT(producer->epoch == 0 && producer->last == 0);
    ASSERT(list_empty(&producer->idle_link));
    producer->epoch = reader_u64(reader);
    producer->last = reader_u64(reader);
    producer->last_ms = reader_u64(reader);
    const unsigned flags = reader_u8(reader);
    const uint32_t run_count = reader_u16(reader);
    producer->expired = (flags & FLAG_DOUBT_OR_EXPIRED) != 0;
    producer->resync = (flags & FLAG_RESYNC) != 0;
    if (reader->failed || flags > FLAG_RESYNC || producer->epoch == 0 || producer->last == 0 ||
        producer->epoch > WIRE_INTEGER_MAX || producer->last > WIRE_INTEGER_MAX ||
        producer->last_ms > channel->last_time_ms || (producer->expired && run_count != 0)) {
        return RC_CORRUPT;
    }
    return runs_decode(reader, run_count, channel, producer);
}

/* One producer into the channel; `before` is the one that stands before it. */
static enum rc producer_decode(struct bytes_reader *reader, struct channel *channel,
                               struct producer *before, struct producer **ret_producer)
{
    ASSERT(before == NULL || before->id_size >= 1);
    const struct bytes id = reader_take(reader, reader_u8(reader));
    if (reader->failed || id.size == 0) {
        return RC_CORRUPT;
    }
    struct producer *producer = producer_open(id);
    if (producer == NULL) {
        return RC_NOMEM;
    }
    enum rc rc = RC_CORRUPT;
    if (before != NULL && by_id(&before, &producer) >= 0) {
        goto fail;
    }
    rc = producer_fill(reader, channel, producer);
    if (rc != RC_OK) {
        goto fail;
    }
    rc = channel_producer_add(channel, producer);
    if (rc != RC_OK) {
        goto fail;
    }
    producer_check(producer);
    *ret_producer = producer;
    return RC_OK;

fail:
    producer_close(producer);
    ASSERT(rc != RC_OK);
    return rc;
}

static int by_time(const void *a, const void *b)
{
    const uint64_t x = (*(struct producer *const *)a)->last_ms;
    const uint64_t y = (*(struct producer *const *)b)->last_ms;
    return (x > y) - (x < y);
}

static enum rc producers_decode(const struct channel_table *table, struct bytes_reader *reader,
                                struct channel *channel)
{
    ASSERT(channel_producer_count(channel) == 0);
    ASSERT(channel->id != 0);
    const uint32_t count = reader_u32(reader);
    if (reader->failed || count > CHANNEL_PRODUCERS_MAX ||
        count > reader->rest.size / PRODUCER_SIZE_MIN) {
        return RC_CORRUPT;
    }
    if (count == 0) {
        return RC_OK;
    }
    enum rc rc = channel_more_reserve(table, channel);
    if (rc != RC_OK) {
        return rc;
    }
    struct producer **all = mem_calloc(count, sizeof(struct producer *));
    if (all == NULL) {
        return RC_NOMEM;
    }
    for (uint32_t i = 0; i < count && rc == RC_OK; i++) {
        rc = producer_decode(reader, channel, i > 0 ? all[i - 1] : NULL, &all[i]);
    }
    if (rc == RC_OK) {
        /* The order among those of one millisecond does not matter: they expire together. */
        qsort(all, count, sizeof(struct producer *), by_time);
        for (uint32_t i = 0; i < count; i++) {
            if (!all[i]->expired) {
                channel_producer_touch(channel, all[i]);
            }
        }
    }
    mem_free(all);
    return rc;
}

static enum rc epochs_decode(const struct channel_table *table, struct bytes_reader *reader,
                             struct channel *channel)
{
    ASSERT(channel_epoch_count(channel) == 0);
    ASSERT(channel->epoch != 0);
    const uint32_t count = reader_u8(reader);
    if (reader->failed || count > CHANNEL_EPOCHS_MAX) {
        return RC_CORRUPT;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t epoch = reader_u64(reader);
        const uint64_t good_end = reader_u64(reader);
        if (epoch == 0 || epoch == channel->epoch || good_end == 0 ||
            good_end > channel->latest + 1 || channel_epoch_good_end(channel, epoch) != 0) {
            return RC_CORRUPT;
        }
        const enum rc rc = channel_epoch_reserve(table, channel);
        if (rc != RC_OK) {
            return rc;
        }
        channel_epoch_push(channel, (struct channel_epoch){epoch, good_end});
    }
    return RC_OK;
}

static enum rc channel_decode(struct state *state, uint64_t pos, struct bytes_reader *reader)
{
    ASSERT(state->channels.count == slots_count(&state->channels.names));
    const struct bytes name = reader_take(reader, reader_u8(reader));
    const uint64_t epoch = reader_u64(reader);
    const uint64_t earliest = reader_u64(reader);
    const uint64_t latest = reader_u64(reader);
    const uint64_t last_time_ms = reader_u64(reader);
    const uint64_t prev_pos = reader_u64(reader);
    const uint64_t digest = reader_u64(reader);
    const unsigned flags = reader_u8(reader);
    if (reader->failed || name.size == 0 || epoch == 0 || latest == 0 ||
        latest > WIRE_INTEGER_MAX || earliest == 0 || earliest > latest + 1 ||
        last_time_ms > WIRE_INTEGER_MAX || prev_pos == 0 || prev_pos > pos ||
        flags > (FLAG_DOUBT_OR_EXPIRED | FLAG_RESYNC) || (flags != 0 && !state->in_doubt) ||
        table_find(&state->channels, name) != NULL) {
        return RC_CORRUPT;
    }
    struct channel *channel = NULL;
    enum rc rc = table_reserve(&state->channels);
    if (rc != RC_OK) {
        return rc;
    }
    rc = table_add(&state->channels, name, &channel);
    if (rc != RC_OK) {
        return rc;
    }
    table_number(&state->channels, channel, epoch);
    channel->earliest = earliest;
    channel->latest = latest;
    channel->last_time_ms = last_time_ms;
    channel->digest = digest;
    channel->prev_pos_ = prev_pos;
    channel->applied_prev_pos_ = prev_pos;
    channel->append_time_ms_ = last_time_ms;
    channel->in_doubt_ = (flags & FLAG_DOUBT_OR_EXPIRED) != 0;
    channel->resync_ = (flags & FLAG_RESYNC) != 0;
    rc = epochs_decode(&state->channels, reader, channel);
    if (rc != RC_OK) {
        return rc;
    }
    channel_check(channel);
    return producers_decode(&state->channels, reader, channel);
}

static enum rc head_decode(struct state *state, struct bytes_reader *reader)
{
    ASSERT(state->channels.count == 0);
    ASSERT(!reader->failed);
    const uint32_t magic = reader_u32(reader);
    const uint32_t number = reader_u32(reader);
    state->settings.retention_messages = reader_u64(reader);
    state->settings.producer_idle_ms = reader_u64(reader);
    state->tick_max = reader_u64(reader);
    state->controls = reader_u16(reader);
    const unsigned controls_in_doubt = reader_u8(reader);
    state->controls_in_doubt = controls_in_doubt != 0;
    const unsigned in_doubt = reader_u8(reader);
    state->in_doubt = in_doubt != 0;
    state->doubt_first = reader_u64(reader);
    state->doubt_end = reader_u64(reader);
    state->base_clean = reader_u64(reader);
    const uint32_t base_count = reader_u32(reader);
    if (reader->failed || magic != STATE_MAGIC || number != state->number || in_doubt > 1 ||
        controls_in_doubt > in_doubt || state->tick_max >> 53 != 0 || base_count == 0 ||
        base_count > CHANNEL_EPOCHS_MAX + 1 || state->doubt_first > state->doubt_end ||
        state->in_doubt != (state->base_clean != 0) ||
        (!state->in_doubt && state->doubt_end != 0)) {
        return RC_CORRUPT;
    }
    state->base_count = base_count;
    for (uint32_t i = 0; i < base_count; i++) {
        state->bases[i] = reader_u64(reader);
        if (state->bases[i] == 0) {
            return RC_CORRUPT;
        }
    }
    return RC_OK;
}

enum rc state_decode(struct state *state, uint64_t pos, struct bytes bytes)
{
    ASSERT(state->channels.count == 0);
    struct bytes_reader reader = {.rest = bytes};
    enum rc rc = head_decode(state, &reader);
    if (rc != RC_OK) {
        return rc;
    }
    const uint64_t count = reader_u64(&reader);
    if (reader.failed || count > reader.rest.size / CHANNEL_SIZE_MIN) {
        return RC_CORRUPT;
    }
    rc = table_expect(&state->channels, count);
    if (rc != RC_OK) {
        return rc;
    }
    for (uint64_t i = 0; i < count; i++) {
        rc = channel_decode(state, pos, &reader);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return reader.rest.size == 0 ? RC_OK : RC_CORRUPT;
}
