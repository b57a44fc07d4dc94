#include "scenario.h"

#include "model.h"
#include "world.h"

#define DOUBTS_MAX 20u /* fewer than a partition remembers */

struct scenario {
    struct world world;
    struct model model;
    struct scenario_marks *marks;
    struct bytes_reader input;
    size_t log_seen;      /* bytes of the log that the model has taken in */
    uint64_t tag_next;    /* tags are given in order */
    uint64_t tag_replied; /* the last one answered */
    size_t replies_seen;
    size_t events_seen;
    uint64_t doubts;
    struct buf checkpoint;
    uint64_t checkpoint_pos;
};

static const char *const channel_names[MODEL_CHANNELS] = {"a", "b", "c"};

static void positions_check(struct scenario *s)
{
    for (unsigned c = 0; c < MODEL_CHANNELS; c++) {
        const struct model_channel *mine = &s->model.channels[c];
        const struct position position = world_position(&s->world, channel_names[c]);
        ASSERT(position.epoch == mine->epoch);
        ASSERT(position.earliest == mine->earliest);
        ASSERT(position.latest == mine->latest);
        const struct channel *channel =
            partition_channel_find(s->world.partition, bytes_of_text(channel_names[c]));
        ASSERT((channel == NULL) == (mine->id == 0));
        ASSERT(channel == NULL || channel->id == mine->id);
        const uint64_t seqs[] = {1,
                                 mine->latest / 2 + 1,
                                 mine->earliest,
                                 mine->latest,
                                 mine->latest + 1,
                                 mine->latest + 2};
        for (size_t i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++) {
            for (size_t e = 0; e <= mine->epoch_count; e++) {
                const uint64_t epoch = e < mine->epoch_count ? mine->epochs[e].epoch : mine->epoch;
                ASSERT(world_judge(&s->world, channel_names[c], epoch, seqs[i]) ==
                       model_judge(&s->model, c, epoch, seqs[i]));
            }
            ASSERT(world_judge(&s->world, channel_names[c], 99, seqs[i]) == POSITION_EPOCH);
        }
    }
}

/* The reply to a publish, and the message if it was accepted. */
static void reply_check(struct scenario *s, const struct publish_result *expected, char channel)
{
    const struct world_reply *reply = world_reply_at(&s->world, s->replies_seen++);
    ASSERT(reply->tag.a > s->tag_replied); /* in the order sent */
    s->tag_replied = reply->tag.a;
    ASSERT(reply->channel == channel);
    ASSERT(reply->result.verdict == expected->verdict);
    ASSERT(reply->result.has_seq == expected->has_seq);
    ASSERT(reply->result.seq == expected->seq);
    ASSERT(reply->result.expected == expected->expected);
    ASSERT(reply->result.producer_seq == expected->producer_seq);
    ASSERT(reply->result.count == expected->count);
    ASSERT(reply->result.is_batch == expected->is_batch);
    ASSERT((reply->result.message_id != 0) == (expected->verdict == PUBLISH_ACCEPTED));
    if (expected->verdict == PUBLISH_ACCEPTED) {
        const struct world_event *event = world_event_at(&s->world, s->events_seen++);
        ASSERT(event->first_seq == expected->seq && event->count == expected->count);
    }
}

static void record_take(struct scenario *s, const struct record *record, bool live)
{
    struct command_publish publish;
    struct command_trim trim;
    enum rc rc = RC_OK;
    switch (record->type) {
    case RECORD_PUBLISH:
        rc = command_publish_decode(record->body, &publish);
        ASSERT(rc == RC_OK);
        const struct publish_result expected = model_publish(&s->model, &publish);
        s->marks->verdicts[expected.verdict]++;
        if (live) {
            reply_check(s, &expected, (char)publish.channel.data[0]);
        }
        break;
    case RECORD_TRIM:
        rc = command_trim_decode(record->body, &trim);
        ASSERT(rc == RC_OK);
        struct command_trim_entry entry;
        while (command_trim_next(&trim.entries, &entry)) {
            model_trim(&s->model, entry.channel_id, entry.earliest);
        }
        break;
    case RECORD_SETTINGS:
        rc = command_settings_decode(record->body, &s->model.settings);
        ASSERT(rc == RC_OK);
        break;
    case RECORD_DOUBT:
        model_doubt_all(&s->model);
        for (unsigned c = 0; c < MODEL_CHANNELS; c++) {
            model_epoch_set(&s->model, c, world_position(&s->world, channel_names[c]).epoch);
            s->events_seen += live && s->model.channels[c].id != 0 ? 1 : 0;
        }
        s->marks->epochs++;
        break;
    case RECORD_HOLE: UNREACHABLE();
    }
}

/* The model takes in what has been committed since, and compares. */
static void log_take(struct scenario *s, bool live)
{
    while (s->log_seen < s->world.log.size) {
        struct record record;
        const enum rc rc = record_decode(
            bytes_of(s->world.log.data + s->log_seen, s->world.log.size - s->log_seen), &record);
        ASSERT(rc == RC_OK);
        record_take(s, &record, live);
        s->log_seen += record.size;
    }
    /* I4: no reply and no message but for what is committed. */
    ASSERT(s->replies_seen == world_reply_count(&s->world));
    ASSERT(s->events_seen == world_event_count(&s->world));
    positions_check(s);
}

static void publish(struct scenario *s)
{
    static const char *const producers[] = {NULL, "A", "B", "C"};
    const unsigned c = reader_u8(&s->input) % MODEL_CHANNELS;
    const unsigned p = reader_u8(&s->input) % 4;
    const unsigned how = reader_u8(&s->input);
    struct world_publish publish = {
        .channel = channel_names[c], .producer = producers[p], .tag = ++s->tag_next};
    publish.count = how & 8 ? 1 + how / 16 % 4 : 0;
    if (p > 0) {
        publish.epoch = how % 64 == 63 ? 2 : 1 + s->doubts / 8;
        const uint64_t last = model_last(&s->model, c, producers[p][0], publish.epoch);
        const uint64_t numbers[8] = {last + 1, last + 1, last + 2, last, 1, 0, last + 4, how / 32};
        publish.seq = numbers[how % 8];
    }
    const enum rc rc = world_publish_try(&s->world, publish);
    ASSERT(rc == (partition_stopped(s->world.partition) ? RC_UNAVAILABLE : RC_OK) || rc == RC_FULL);
    log_take(s, true); /* nothing */
}

static void commit_fail(struct scenario *s)
{
    const uint64_t hash = world_state_hash(&s->world);
    world_commit_done(&s->world, reader_u8(&s->input) % 2 ? RC_IO : RC_NOSPACE);
    while (s->replies_seen < world_reply_count(&s->world)) {
        const struct world_reply *reply = world_reply_at(&s->world, s->replies_seen++);
        ASSERT(reply->tag.a > s->tag_replied);
        s->tag_replied = reply->tag.a;
        ASSERT(reply->result.verdict == PUBLISH_UNAVAILABLE);
    }
    ASSERT(world_state_hash(&s->world) == hash);
    ASSERT(partition_applied_pos(s->world.partition) == s->world.next_pos);
    ASSERT(partition_applied_hash(s->world.partition) == s->world.next_hash);
    log_take(s, true);
    partition_resume(s->world.partition, false);
    s->marks->failed_commits++;
}

/* A crash; the batch under way may have reached the log all the same. */
static void restart(struct scenario *s)
{
    struct world *w = &s->world;
    const unsigned how = reader_u8(&s->input);
    const bool written = w->lent != NULL && how % 2 == 0;
    const uint64_t hash = world_state_hash(w);
    if (written) {
        const enum rc rc = buf_append(&w->log, buf_bytes(&w->lent->bytes));
        ASSERT(rc == RC_OK);
        w->next_pos = w->lent->end_pos;
        w->next_hash = w->lent->end_hash;
        s->marks->lost_replies++;
    }
    w->lent = NULL;
    if (how & 4) {
        w->settings.retention_messages = how / 16 % 4 * 3;
        w->settings.producer_idle_ms = how / 64 * 500;
    }
    const bool doubt = (how & 8) != 0 && s->doubts < DOUBTS_MAX;
    const bool from_checkpoint = (how & 2) != 0 && s->checkpoint.size > 0;
    const struct bytes state = from_checkpoint ? buf_bytes(&s->checkpoint) : (struct bytes){0};
    enum rc rc = world_recover(w, from_checkpoint ? s->checkpoint_pos : 0, state);
    ASSERT(rc == RC_OK);
    ASSERT(written || world_state_hash(w) == hash);
    log_take(s, false);
    rc = partition_start(w->partition, w->next_pos, w->next_hash, &w->settings,
                         doubt ? DOUBT_ALL : 0, w->now_ms);
    ASSERT(rc == RC_OK);
    s->doubts += doubt ? 1 : 0;
    s->marks->restarts++;
    s->marks->restarts_from_checkpoint += from_checkpoint ? 1 : 0;
}

static void checkpoint(struct scenario *s)
{
    buf_clear(&s->checkpoint);
    const enum rc rc = partition_state_encode(s->world.partition, &s->checkpoint);
    ASSERT(rc == RC_OK);
    s->checkpoint_pos = partition_applied_pos(s->world.partition);
}

static void trim(struct scenario *s)
{
    const struct command_trim_entry entries[2] = {
        {.channel_id = 1 + reader_u8(&s->input) % 4, .earliest = reader_u8(&s->input) % 32},
        {.channel_id = 1 + reader_u8(&s->input) % 4, .earliest = reader_u8(&s->input)},
    };
    uint64_t pos = 0;
    const enum rc rc = partition_trim(s->world.partition, entries, 2, s->world.now_ms, &pos);
    ASSERT(rc == RC_OK || rc == RC_FULL);
}

static void step(struct scenario *s)
{
    struct world *w = &s->world;
    const unsigned what = reader_u8(&s->input) % 32;
    if (what < 16) {
        publish(s);
    } else if (what < 20) {
        partition_flush(w->partition);
    } else if (what < 26) {
        if (w->lent != NULL) {
            world_commit_done(w, RC_OK);
            log_take(s, true);
        }
    } else if (what == 26) {
        if (w->lent != NULL) {
            commit_fail(s);
        }
    } else if (what == 27) {
        trim(s);
    } else if (what == 28) {
        restart(s);
    } else if (what == 29) {
        checkpoint(s);
    } else {
        const uint64_t by = reader_u8(&s->input) * 4u;
        w->now_ms = what == 30 ? w->now_ms + by : w->now_ms - by / 2;
    }
}

void scenario_run(struct bytes input, struct scenario_marks *marks)
{
    struct scenario s = {.input = {.rest = input}, .marks = marks};
    world_init(&s.world);
    s.world.pending_bytes_max = 8 * KIB;
    model_init(&s.model);
    for (unsigned c = 0; c < MODEL_CHANNELS; c++) {
        model_epoch_set(&s.model, c, world_position(&s.world, channel_names[c]).epoch);
    }
    while (s.input.rest.size > 0) {
        step(&s);
    }
    while (!partition_idle(s.world.partition)) {
        partition_flush(s.world.partition);
        if (s.world.lent != NULL) {
            world_commit_done(&s.world, RC_OK);
        }
    }
    log_take(&s, true);
    const uint64_t hash = world_state_hash(&s.world);
    const enum rc rc = world_recover(&s.world, 0, (struct bytes){0});
    ASSERT(rc == RC_OK && world_state_hash(&s.world) == hash);
    buf_deinit(&s.checkpoint);
    model_deinit(&s.model);
    world_deinit(&s.world);
}
