#include "model.h"

static void append(struct buf *to, const void *item, size_t size)
{
    const enum rc rc = buf_append(to, bytes_of(item, size));
    ASSERT(rc == RC_OK);
}

static size_t message_count(const struct model *model)
{
    return model->messages.size / sizeof(struct model_message);
}

static const struct model_message *message_at(const struct model *model, size_t index)
{
    return (const struct model_message *)(const void *)model->messages.data + index;
}

static struct model_mark *mark_find(const struct buf *marks, unsigned channel, char producer,
                                    uint64_t producer_epoch)
{
    struct model_mark *all = (struct model_mark *)(void *)marks->data;
    for (size_t i = 0; i < marks->size / sizeof(struct model_mark); i++) {
        if (all[i].channel == channel && all[i].producer == producer &&
            all[i].producer_epoch == producer_epoch) {
            return &all[i];
        }
    }
    return NULL;
}

void model_init(struct model *model)
{
    *model = (struct model){0};
    for (unsigned c = 0; c < MODEL_CHANNELS; c++) {
        model->channels[c].earliest = 1;
    }
}

void model_deinit(struct model *model)
{
    buf_deinit(&model->messages);
    buf_deinit(&model->expired);
    buf_deinit(&model->resync);
}

/* The highest epoch of the producer that the channel has accepted; 0: none. */
static uint64_t producer_epoch_of(const struct model *model, unsigned channel, char producer)
{
    uint64_t epoch = 0;
    for (size_t i = 0; i < message_count(model); i++) {
        const struct model_message *m = message_at(model, i);
        if (m->channel == channel && m->producer == producer && m->producer_epoch > epoch) {
            epoch = m->producer_epoch;
        }
    }
    return epoch;
}

static const struct model_message *message_find(const struct model *model, unsigned channel,
                                                char producer, uint64_t producer_epoch,
                                                uint64_t producer_seq)
{
    for (size_t i = 0; i < message_count(model); i++) {
        const struct model_message *m = message_at(model, i);
        if (m->channel == channel && m->producer == producer &&
            m->producer_epoch == producer_epoch && m->producer_seq == producer_seq) {
            return m;
        }
    }
    return NULL;
}

uint64_t model_last(const struct model *model, unsigned channel, char producer,
                    uint64_t producer_epoch)
{
    uint64_t last = 0;
    for (size_t i = 0; i < message_count(model); i++) {
        const struct model_message *m = message_at(model, i);
        if (m->channel == channel && m->producer == producer &&
            m->producer_epoch == producer_epoch && m->producer_seq > last) {
            last = m->producer_seq;
        }
    }
    return last;
}

static void expire(struct model *model, unsigned channel, char producer, uint64_t producer_epoch)
{
    if (mark_find(&model->expired, channel, producer, producer_epoch) == NULL) {
        const struct model_mark mark = {channel, producer, producer_epoch};
        append(&model->expired, &mark, sizeof(mark));
    }
}

/* Expires the channel's producers; `now_ms` UINT64_MAX: all of them. */
static void expire_idle(struct model *model, unsigned channel, uint64_t now_ms)
{
    const uint64_t idle_ms = model->settings.producer_idle_ms;
    for (char id = 'A'; id <= 'Z'; id++) {
        const uint64_t epoch = producer_epoch_of(model, channel, id);
        if (epoch == 0) {
            continue;
        }
        const struct model_message *m =
            message_find(model, channel, id, epoch, model_last(model, channel, id, epoch));
        if (now_ms == UINT64_MAX || (idle_ms > 0 && now_ms - m->time_ms > idle_ms)) {
            expire(model, channel, id, epoch);
        }
    }
}

static void judge_seen(const struct model *model, unsigned channel, char id,
                       const struct command_publish *publish, uint64_t last,
                       struct publish_result *result)
{
    for (uint32_t i = 0; i < publish->count; i++) {
        if (message_find(model, channel, id, publish->producer_epoch, publish->producer_seq + i) ==
            NULL) {
            result->verdict = PUBLISH_OUT_OF_SEQUENCE;
            result->expected = last + 1;
            result->producer_seq = publish->producer_seq;
            return;
        }
    }
    const struct model_message *first =
        message_find(model, channel, id, publish->producer_epoch, publish->producer_seq);
    result->verdict = PUBLISH_DUPLICATE;
    result->has_seq = first->seq >= model->channels[channel].earliest;
    result->seq = result->has_seq ? first->seq : 0;
}

static void judge(const struct model *model, unsigned channel, char id,
                  const struct command_publish *publish, struct publish_result *result)
{
    const uint64_t known = producer_epoch_of(model, channel, id);
    const uint64_t number = publish->producer_seq;
    if (number == 0) {
        result->verdict =
            id != 0 && publish->producer_epoch < known ? PUBLISH_PRODUCER_FENCED : PUBLISH_ACCEPTED;
        return;
    }
    const uint64_t last = model_last(model, channel, id, publish->producer_epoch);
    const bool resync = mark_find(&model->resync, channel, id, publish->producer_epoch) != NULL;
    if (publish->producer_epoch > known) {
        result->verdict = number == 1 ? PUBLISH_ACCEPTED : PUBLISH_PRODUCER_UNKNOWN;
    } else if (publish->producer_epoch < known) {
        result->verdict = PUBLISH_PRODUCER_FENCED;
    } else if (mark_find(&model->expired, channel, id, known) != NULL) {
        result->verdict = PUBLISH_PRODUCER_UNKNOWN;
    } else if (number == last + 1 || (resync && number > last)) {
        result->verdict = PUBLISH_ACCEPTED;
    } else if (number + publish->count - 1 <= last) {
        judge_seen(model, channel, id, publish, last, result);
    } else {
        result->verdict = PUBLISH_OUT_OF_SEQUENCE;
        result->expected = last + 1;
        result->producer_seq = number;
    }
}

struct publish_result model_publish(struct model *model, const struct command_publish *publish)
{
    const unsigned c = (unsigned)(publish->channel.data[0] - 'a');
    const char id = publish->producer.size > 0 ? (char)publish->producer.data[0] : '\0';
    struct publish_result result = {.is_batch = publish->is_batch, .count = publish->count};
    struct model_channel *channel = &model->channels[c];
    ASSERT(c < MODEL_CHANNELS);
    const uint64_t time_ms =
        publish->time_ms > channel->last_time_ms ? publish->time_ms : channel->last_time_ms;
    expire_idle(model, c, time_ms);
    judge(model, c, id, publish, &result);
    if (result.verdict != PUBLISH_ACCEPTED) {
        return result;
    }
    if (channel->id == 0) {
        channel->id = ++model->channel_count;
    }
    for (uint32_t i = 0; i < publish->count; i++) {
        const struct model_message message = {
            .channel = c,
            .producer = publish->producer_seq > 0 ? id : '\0',
            .producer_epoch = publish->producer_epoch,
            .producer_seq = publish->producer_seq + i,
            .seq = channel->latest + 1 + i,
            .time_ms = time_ms,
        };
        append(&model->messages, &message, sizeof(message));
    }
    struct model_mark *mark = mark_find(&model->resync, c, id, publish->producer_epoch);
    if (publish->producer_seq > 0 && mark != NULL) {
        mark->producer_epoch = 0;
    }
    result.has_seq = true;
    result.seq = channel->latest + 1;
    channel->latest += publish->count;
    channel->last_time_ms = time_ms;
    const uint64_t keep = model->settings.retention_messages;
    while (keep > 0 && channel->latest - channel->earliest >= keep) {
        channel->earliest++;
    }
    return result;
}

void model_trim(struct model *model, uint64_t channel_id, uint64_t earliest)
{
    for (unsigned c = 0; c < MODEL_CHANNELS; c++) {
        struct model_channel *channel = &model->channels[c];
        if (channel->id != channel_id || channel->id == 0 || earliest <= channel->earliest) {
            continue;
        }
        channel->earliest = earliest < channel->latest + 1 ? earliest : channel->latest + 1;
        if (channel->earliest == channel->latest + 1 && model->settings.producer_idle_ms == 0) {
            expire_idle(model, c, UINT64_MAX);
        }
    }
}

void model_doubt_all(struct model *model)
{
    for (unsigned c = 0; c < MODEL_CHANNELS; c++) {
        struct model_channel *channel = &model->channels[c];
        const uint64_t good_end = channel->latest + 1;
        for (size_t i = 0; i < channel->epoch_count; i++) {
            if (channel->epochs[i].good_end > good_end) {
                channel->epochs[i].good_end = good_end;
            }
        }
        ASSERT(channel->epoch_count < MODEL_EPOCHS);
        channel->epochs[channel->epoch_count++] = (struct channel_epoch){channel->epoch, good_end};
        for (char id = 'A'; id <= 'Z'; id++) {
            const uint64_t epoch = producer_epoch_of(model, c, id);
            if (epoch != 0 && mark_find(&model->expired, c, id, epoch) == NULL &&
                mark_find(&model->resync, c, id, epoch) == NULL) {
                const struct model_mark mark = {c, id, epoch};
                append(&model->resync, &mark, sizeof(mark));
            }
        }
    }
}

void model_epoch_set(struct model *model, unsigned channel, uint64_t epoch)
{
    struct model_channel *mine = &model->channels[channel];
    ASSERT(epoch != 0);
    for (size_t i = 0; i < mine->epoch_count; i++) {
        ASSERT(mine->epochs[i].epoch != epoch);
    }
    mine->epoch = epoch;
}

enum position_verdict model_judge(const struct model *model, unsigned channel, uint64_t epoch,
                                  uint64_t seq)
{
    const struct model_channel *mine = &model->channels[channel];
    bool good = epoch == mine->epoch;
    for (size_t i = 0; i < mine->epoch_count; i++) {
        good = good || (mine->epochs[i].epoch == epoch && seq <= mine->epochs[i].good_end);
    }
    if (!good) {
        return POSITION_EPOCH;
    }
    if (seq < mine->earliest) {
        return POSITION_TRIMMED;
    }
    return seq > mine->latest + 1 ? POSITION_AHEAD : POSITION_OK;
}
