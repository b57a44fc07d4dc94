/* apply: what a committed command does.
 *
 * Used by replay and live alike. Live and replay differ in two things only: who is told (nobody,
 * in replay, but for the index), and whether the channel's object is there before its first record.
 * No clock, no random number, no order of a hash table decides anything here.
 *
 * A record takes effect wholly or not at all: memory is reserved and the index is told first, the
 * state is changed after that, by code that cannot fail. (A live record that fails is cut from the
 * log again; had it left a trace here, a replay would reach another state.)
 *
 * Doubt. Where a repair has cut damage out of the log there stands a HOLE. Which channels lost
 * something is seen when a channel's next record comes: it says where the channel's record before
 * it stood (channel_prev).
 *
 *   channel   channel_prev                      verdict
 *   -------   -------------------------------   ---------------------------------------------
 *   known     the last one that we have seen    whole: out of doubt, keeps its epoch
 *   known     anything else                     lost something: new epoch, producers resync
 *   unknown   0, or a record outside the span   new: first epoch of the base before the hole
 *             of positions cut out                (unless a control record was lost, see below)
 *   unknown   in that span                      lost its beginning: first epoch of the new base
 *   any       no record until DOUBT_END         may have lost its end: new epoch
 *
 * A trim, settings and a doubt concern channels whose records do not tell of them: if one was cut
 * out, what behind the hole was judged with it is judged anew without it, and numbers may move in a
 * channel that has lost no record of its own. Each record says how many such control records stand
 * before it, so the record behind a hole tells; then every channel gets a new epoch there, good up
 * to the hole. Holes too long for the count to tell (it is kept modulo 65536) count as such. What
 * was lost may even have been the end of an earlier doubt: then a channel whose beginning had been
 * cut out before it began anew, with no record before it, and must not come to the epoch of that
 * beginning. So from there on no new channel gets an epoch of the base before the hole.
 *
 * While a hole is open TRIM and DOUBT_LIST records are passed over: they name channels by number,
 * and if a channel's first record fell into the hole later channels have other numbers now. A trim
 * passed over is only late: retention comes again.
 *
 * A DOUBT_END ends what the holes before it began that it was made for: it has the base of that
 * time. If a later repair has made another one in front of it, the base is another, what stands
 * behind it was written when channels may have had other numbers, and the doubt goes on.
 *
 * A publish that was refused once may be accepted when it is replayed behind a hole (what it was
 * ahead of was cut out). It then stands under the new epoch, at the place where it was sent. With
 * it the producer's one leap ahead is used up, and not by the message that it was for. So where the
 * doubt ends the producers of a channel that has lost something may go on anywhere once more: they
 * have been told that more is stored than there is, and cannot send it again. */
#include "base/hash.h"
#include "base/mark.h"
#include "core/digest.h"
#include "core/epoch.h"
#include "core/snowflake.h"
#include "core/state.h"

/* The count of control records is kept modulo one more. */
#define CONTROLS_MASK 65535u

/* A publish on its way through apply. */
struct publish_work {
    struct command_publish publish;
    struct channel *channel;   /* NULL: there is no object of that name yet (replay only) */
    struct producer *producer; /* NULL: not known, or not numbered */
    uint64_t now_ms;
    uint64_t first_epoch; /* for a channel that this publish makes */
    bool any_start;       /* see producer_judge() */
    bool channel_made;    /* to be undone if something fails */
    bool producer_made;
    struct publish_result result;
};

static bool is_known(const struct channel *channel)
{
    ASSERT_HOT(channel == NULL || (channel->id != 0) == (channel->epoch != 0));
    return channel != NULL && channel->id != 0;
}

/* ---- doubt --------------------------------------------------------------------------------- */

/* The base knows all holes so far. A later repair may cut more out in front of a record that gave
 * a channel a new epoch: then the channel has other numbers when it comes to that record again, and
 * must not come to the same epoch. */
static uint64_t epoch_salt(const struct state *state, struct bytes of)
{
    ASSERT(of.size > 0);
    ASSERT(state->base_count >= 1);
    return hash_bytes(of, state_base(state));
}

/* A known channel in doubt: its next record decides. See the table above. RC_NOMEM */
static enum rc doubt_decide(struct state *state, struct channel *channel,
                            const struct record *record)
{
    ASSERT(is_known(channel));
    ASSERT(channel->in_doubt_);
    ASSERT(state->in_doubt); /* so this is replay, where a failure ends it all */
    if (record->channel_prev != channel->applied_prev_pos_) {
        MARK("doubt: a channel has lost records");
        const enum rc rc = channel_epoch_reserve(&state->channels, channel);
        if (rc != RC_OK) {
            return rc;
        }
        channel_epoch_change(channel, channel->latest + 1, record->pos,
                             epoch_salt(state, record->body));
        channel->resync_ = true;
    }
    MARK_IF(record->channel_prev == channel->applied_prev_pos_,
            "doubt: a channel has lost nothing");
    channel->in_doubt_ = false;
    return RC_OK;
}

/* Whether a channel that is new to us has lost its beginning. */
static bool beginning_lost(const struct state *state, uint64_t channel_prev)
{
    ASSERT(state->doubt_first <= state->doubt_end);
    return state->in_doubt && channel_prev != 0 && channel_prev - 1 >= state->doubt_first &&
           channel_prev - 1 < state->doubt_end;
}

/* ---- publish ------------------------------------------------------------------------------- */

/* Finds what the publish is about, and lets doubt and time have their say. RC_NOMEM */
static enum rc publish_look(struct state *state, const struct record *record,
                            const struct apply_env *env, struct publish_work *work)
{
    ASSERT_HOT(work->result.epoch == 0);
    ASSERT_HOT(work->channel == NULL && work->producer == NULL);
    const struct command_publish *publish = &work->publish;
    work->channel =
        env->channel != NULL ? env->channel : table_find(&state->channels, publish->channel);
    work->now_ms = publish->time_ms;
    if (!is_known(work->channel)) {
        const bool lost = beginning_lost(state, record->channel_prev);
        const uint64_t base = state->in_doubt && !lost ? state->base_clean : state_base(state);
        MARK_IF(lost, "doubt: a new channel has lost its beginning");
        MARK_IF(state->in_doubt && !lost, "doubt: a new channel that begins behind what was lost");
        work->first_epoch = epoch_of_name(base, publish->channel);
        work->any_start = lost;
        work->result.epoch = work->first_epoch;
        return RC_OK;
    }
    struct channel *channel = work->channel;
    ASSERT_HOT(bytes_equal(channel_name(channel), publish->channel));
    state_touch(state, channel);
    if (channel->in_doubt_) {
        const enum rc rc = doubt_decide(state, channel, record);
        if (rc != RC_OK) {
            return rc;
        }
    }
    if (channel->last_time_ms > work->now_ms) {
        work->now_ms = channel->last_time_ms;
    }
    if (publish->producer.size > 0) {
        work->producer = channel_producer(channel, publish->producer);
    }
    work->any_start = channel->resync_;
    work->result.epoch = channel->epoch;
    return RC_OK;
}

/* All decisions about a publish are here and in producer_judge(); the rest carries them out. */
static void publish_judge(const struct state *state, struct publish_work *work)
{
    ASSERT_HOT(work->publish.count >= 1);
    ASSERT_HOT(is_known(work->channel) || work->producer == NULL);
    const struct command_publish *publish = &work->publish;
    const struct channel *channel = is_known(work->channel) ? work->channel : NULL;
    struct publish_result *result = &work->result;
    if (publish->producer_seq > 0) {
        const bool expired =
            work->producer != NULL &&
            producer_is_expired(work->producer, state->settings.producer_idle_ms, work->now_ms);
        producer_judge(work->producer, publish, expired, work->any_start,
                       channel != NULL ? channel->earliest : 1, result);
        MARK_IF(work->any_start, "producer: any number may come first behind a loss");
        MARK_IF(expired, "producer: it has been idle for too long");
    } else if (work->producer != NULL && publish->producer_epoch < work->producer->epoch) {
        result->verdict = PUBLISH_PRODUCER_FENCED; /* [P 3 connect] also without a number */
    } else {
        result->verdict = PUBLISH_ACCEPTED;
    }
    if (result->verdict != PUBLISH_ACCEPTED) {
        return;
    }
    /* [P 2] No number on the wire is beyond 2^53 - 1. */
    const bool seq_fits = channel == NULL || channel->latest <= WIRE_INTEGER_MAX - publish->count;
    const bool number_fits = publish->producer_seq <= WIRE_INTEGER_MAX - publish->count;
    const bool producer_fits = publish->producer_seq == 0 || work->producer != NULL ||
                               channel == NULL ||
                               channel_producer_count(channel) < CHANNEL_PRODUCERS_MAX;
    if (!seq_fits || !number_fits || !producer_fits) {
        result->verdict = PUBLISH_LIMIT;
    }
}

/* Undoes what publish_prepare() has made. */
static void publish_undo(struct state *state, struct publish_work *work)
{
    ASSERT_HOT(work->channel != NULL || !work->channel_made);
    ASSERT_HOT(work->producer != NULL || !work->producer_made);
    ASSERT_HOT(!work->channel_made || work->channel->id == 0);
    if (work->producer_made) {
        MARK("apply: a producer that could not be stored is dropped");
        channel_producer_drop(work->channel, work->producer);
    }
    if (work->channel_made) {
        MARK("apply: a channel that could not be stored is dropped");
        table_drop(&state->channels, work->channel);
    }
}

/* The producer's entry, made if need be, with room for what is accepted. RC_NOMEM */
static enum rc publish_prepare_producer(const struct state *state, struct publish_work *work)
{
    ASSERT_HOT(work->publish.producer_seq > 0);
    ASSERT_HOT(work->publish.producer.size > 0);
    ASSERT_HOT(work->channel != NULL);
    if (work->producer == NULL) {
        enum rc rc = channel_more_reserve(&state->channels, work->channel);
        if (rc != RC_OK) {
            return rc;
        }
        struct producer *producer = producer_open(work->publish.producer);
        if (producer == NULL) {
            return RC_NOMEM;
        }
        rc = channel_producer_add(work->channel, producer);
        if (rc != RC_OK) {
            producer_close(producer);
            return rc;
        }
        work->producer = producer;
        MARK("producer: it is new to the channel");
        work->producer_made = true;
    }
    return producer_reserve(work->producer, work->channel->earliest);
}

/* Everything about an accepted publish that can fail. */
static enum rc publish_prepare(struct state *state, const struct apply_env *env,
                               struct publish_work *work)
{
    ASSERT_HOT(work->result.verdict == PUBLISH_ACCEPTED);
    ASSERT_HOT(!work->channel_made && !work->producer_made);
    const struct command_publish *publish = &work->publish;
    enum rc rc = RC_OK;
    if (work->channel == NULL) {
        rc = table_add(&state->channels, publish->channel, &work->channel);
        if (rc != RC_OK) {
            return rc;
        }
        work->channel_made = true;
    }
    uint64_t channel_id = work->channel->id;
    if (channel_id == 0) {
        channel_id = state->channels.count + 1;
        rc = table_reserve(&state->channels);
        if (rc != RC_OK) {
            goto fail;
        }
    }
    if (publish->producer_seq > 0) {
        rc = publish_prepare_producer(state, work);
        if (rc != RC_OK) {
            goto fail;
        }
    }
    rc = env->ops->index(env->ctx, env->place, channel_id, work->channel->latest + 1,
                         publish->count, work->now_ms, work->channel->digest);
    if (rc != RC_OK) {
        goto fail;
    }
    return RC_OK;

fail:
    publish_undo(state, work);
    ASSERT(rc != RC_OK);
    return rc;
}

/* The change itself; cannot fail. */
static void publish_accept(struct state *state, struct publish_work *work)
{
    ASSERT_HOT(work->result.verdict == PUBLISH_ACCEPTED);
    ASSERT_HOT(work->channel != NULL);
    ASSERT_HOT(work->publish.producer_seq == 0 || work->producer != NULL);
    struct command_publish *publish = &work->publish;
    struct channel *channel = work->channel;
    if (channel->id == 0) {
        MARK("apply: a channel is made");
        table_number(&state->channels, channel, work->first_epoch);
        channel->resync_ = work->any_start;
    }
    ASSERT_HOT(work->result.epoch == channel->epoch);
    const uint64_t first_seq = channel->latest + 1; /* I1: dense */
    channel->latest += publish->count;
    ASSERT(channel->latest <= WIRE_INTEGER_MAX);
    ASSERT(work->now_ms >= channel->last_time_ms);
    channel->last_time_ms = work->now_ms;
    publish->time_ms = work->now_ms;
    channel->digest =
        publish_digest(channel->digest, publish, first_seq, channel->latest, state->node);
    if (publish->producer_seq > 0) {
        producer_accept(work->producer, publish, first_seq, work->now_ms);
        channel_producer_touch(channel, work->producer);
    }
    const uint64_t keep = state->settings.retention_messages;
    if (keep > 0 && channel->latest - channel->earliest + 1 > keep) {
        MARK("retention: the oldest messages go by number");
        channel->earliest = channel->latest - keep + 1;
    }
    ASSERT_HOT(channel->earliest >= 1 && channel->earliest <= channel->latest + 1);
    work->result.has_seq = true;
    work->result.seq = first_seq;
    work->result.message_id = snowflake_id(publish->tick, state->node);
}

/* Time passes for the channel's producers with each publish, also with one that is refused. */
static void publish_expire(const struct state *state, const struct publish_work *work)
{
    ASSERT_HOT(is_known(work->channel));
    ASSERT_HOT(work->now_ms >= work->channel->last_time_ms ||
               work->result.verdict != PUBLISH_ACCEPTED);
    if (state->settings.producer_idle_ms > 0) {
        channel_producers_expire(work->channel, state->settings.producer_idle_ms, work->now_ms);
    }
}

/* Tells those who wait: the subscribers, then the publisher. */
static void publish_tell(const struct apply_env *env, struct publish_work *work)
{
    ASSERT_HOT(work->result.verdict != PUBLISH_ACCEPTED || work->result.has_seq);
    ASSERT_HOT(env->live);
    ASSERT_HOT(work->result.epoch != 0);
    if (work->result.verdict == PUBLISH_ACCEPTED) {
        env->ops->messages(env->ctx, work->channel, work->result.seq, &work->publish);
    }
    ASSERT(env->tag != NULL);
    env->ops->reply(env->ctx, env->tag, &work->result);
}

static enum rc apply_publish(struct state *state, const struct record *record,
                             const struct apply_env *env)
{
    ASSERT_HOT(record->type == RECORD_PUBLISH);
    ASSERT_HOT(env->live == (env->tag != NULL));
    struct publish_work work = {0};
    enum rc rc = command_publish_decode(record->body, &work.publish);
    if (rc != RC_OK) {
        return rc;
    }
    rc = publish_look(state, record, env, &work);
    if (rc != RC_OK) {
        return rc;
    }
    work.result.channel = work.publish.channel;
    work.result.is_batch = work.publish.is_batch;
    work.result.count = work.publish.count;
    publish_judge(state, &work);
    if (work.result.verdict == PUBLISH_ACCEPTED) {
        rc = publish_prepare(state, env, &work);
        if (rc != RC_OK) {
            return rc;
        }
        publish_accept(state, &work);
    }
    /* Also what was refused is a record of its channel, and has taken its ticks. */
    const uint64_t tick_last = work.publish.tick + work.publish.count - 1;
    MARK_IF(work.result.verdict != PUBLISH_ACCEPTED, "apply: a record is refused");
    if (tick_last > state->tick_max) {
        state->tick_max = tick_last;
    }
    if (is_known(work.channel)) {
        publish_expire(state, &work);
        work.channel->applied_prev_pos_ = record->pos + 1;
        if (!env->live) {
            work.channel->prev_pos_ = record->pos + 1;
            work.channel->append_time_ms_ = work.channel->last_time_ms;
        }
        channel_check(work.channel);
    }
    if (env->live) {
        publish_tell(env, &work);
    }
    return RC_OK;
}

/* ---- the others ---------------------------------------------------------------------------- */

/* A channel gets a new epoch; room has been reserved. */
static void epoch_change(struct state *state, const struct apply_env *env, struct channel *channel,
                         uint64_t good_end, uint64_t pos, uint64_t salt)
{
    ASSERT(channel->more_->epoch_capacity > 0);
    ASSERT(good_end <= channel->latest + 1);
    state_touch(state, channel);
    channel_epoch_change(channel, good_end, pos, salt);
    if (env->live) {
        MARK("epoch: subscribers are told of a new one");
        env->ops->epoch_changed(env->ctx, channel);
    }
}

/* Room for a new epoch in every channel. RC_NOMEM */
static enum rc epochs_reserve(const struct state *state)
{
    const struct channel_table *channels = &state->channels;
    ASSERT(channels->count <= slots_count(&channels->names));
    for (size_t id = 1; id <= channels->count; id++) {
        const enum rc rc = channel_epoch_reserve(channels, table_by_id(channels, id));
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* Every channel gets one. RC_NOMEM */
static enum rc epochs_end(struct state *state, const struct record *record,
                          const struct apply_env *env)
{
    ASSERT(state->in_doubt);
    const enum rc rc = epochs_reserve(state);
    for (size_t id = 1; rc == RC_OK && id <= state->channels.count; id++) {
        struct channel *channel = table_by_id(&state->channels, id);
        epoch_change(state, env, channel, channel->latest + 1, record->pos,
                     epoch_salt(state, record->body));
    }
    return rc;
}

/* One that cannot be told any more was cut out. RC_NOMEM */
static enum rc control_lost(struct state *state, const struct record *record,
                            const struct apply_env *env)
{
    ASSERT(state->in_doubt && state->base_clean != 0);
    ASSERT(!env->live);
    MARK("doubt: a control record was lost or is outlived, every channel gets a new epoch");
    state->base_clean = state_base(state);
    return epochs_end(state, record, env);
}

/* Behind a hole the numbers of channels may be others, so a trim cannot be followed. But what it
 * made a channel forget of its producers it still knows, and may judge them otherwise from here on:
 * so its seqs may be others. */
static enum rc apply_trim(struct state *state, const struct record *record,
                          const struct apply_env *env)
{
    ASSERT(record->type == RECORD_TRIM);
    struct command_trim trim;
    const enum rc rc = command_trim_decode(record->body, &trim);
    if (rc != RC_OK) {
        return rc;
    }
    if (state->in_doubt) {
        MARK("doubt: a trim behind a loss says nothing");
        return epochs_end(state, record, env);
    }
    struct bytes rest = trim.entries;
    struct command_trim_entry entry;
    while (command_trim_next(&rest, &entry)) {
        struct channel *channel = table_by_id(&state->channels, entry.channel_id);
        if (channel == NULL || entry.earliest <= channel->earliest) {
            MARK("retention: a trim comes after the messages went");
            continue;
        }
        state_touch(state, channel);
        MARK_IF(entry.earliest > channel->latest, "retention: a trim empties a channel");
        MARK_IF(entry.earliest <= channel->latest,
                "retention: a trim takes the beginning of a channel");
        channel->earliest = entry.earliest > channel->latest ? channel->latest + 1 : entry.earliest;
        /* Without an idle time producers live as long as there is history. */
        if (channel->earliest > channel->latest && state->settings.producer_idle_ms == 0) {
            MARK("retention: with its messages a channel forgets its producers");
            channel_producers_expire_all(channel);
        }
        channel_check(channel);
    }
    return RC_OK;
}

static enum rc apply_settings(struct state *state, const struct record *record)
{
    ASSERT(record->type == RECORD_SETTINGS);
    ASSERT(state->base_count >= 1);
    MARK("apply: the settings change");
    return command_settings_decode(record->body, &state->settings);
}

/* DOUBT_ALL: every channel. DOUBT_END: those that are still in doubt. Both end what a HOLE began.
 */
static enum rc doubt_end(struct state *state, const struct record *record,
                         const struct apply_env *env, const struct command_doubt *doubt)
{
    ASSERT(doubt->kind != DOUBT_LIST);
    ASSERT(doubt->entries.size == 0);
    if (state->in_doubt && doubt->base != 0 && doubt->base != state_base(state)) {
        MARK("doubt: a later hole outlives an end of doubt");
        return control_lost(state, record, env);
    }
    const enum rc rc = epochs_reserve(state);
    if (rc != RC_OK) {
        return rc;
    }
    MARK_IF(doubt->kind == DOUBT_END, "doubt: what a hole began ends");
    state->in_doubt = false;
    state->doubt_first = 0;
    state->doubt_end = 0;
    state->base_clean = 0;
    if (doubt->kind == DOUBT_ALL) {
        MARK("doubt: every channel gets a new epoch");
        state_base_change(state, record->pos, doubt->salt);
    }
    const uint64_t salt = epoch_salt(state, record->body); /* which holds the one of its own */
    for (size_t id = 1; id <= state->channels.count; id++) {
        struct channel *channel = table_by_id(&state->channels, id);
        const bool lost = doubt->kind == DOUBT_ALL || channel->in_doubt_;
        state_touch(state, channel);
        if (channel->resync_) {
            MARK("doubt: at its end producers may go on anywhere once more");
            channel_producers_resync(channel);
        }
        channel->in_doubt_ = false;
        channel->resync_ = false;
        if (lost) {
            epoch_change(state, env, channel, channel->latest + 1, record->pos, salt);
        }
    }
    return RC_OK;
}

/* Behind a hole the numbers of channels may be others, so the list cannot tell whose epochs ended
 * here; but whoever was in it must not go on in the epoch before. */
static enum rc doubt_list(struct state *state, const struct record *record,
                          const struct apply_env *env, const struct command_doubt *doubt)
{
    ASSERT(doubt->kind == DOUBT_LIST);
    const enum rc rc = epochs_reserve(state);
    if (rc != RC_OK) {
        return rc;
    }
    const uint64_t salt = epoch_salt(state, record->body);
    if (state->in_doubt) {
        MARK("doubt: behind a loss a list is of every channel");
        for (size_t id = 1; id <= state->channels.count; id++) {
            epoch_change(state, env, table_by_id(&state->channels, id), 1, record->pos, salt);
        }
        return RC_OK;
    }
    struct bytes rest = doubt->entries;
    struct command_doubt_entry entry;
    while (command_doubt_next(&rest, &entry)) {
        struct channel *channel = table_by_id(&state->channels, entry.channel_id);
        if (channel == NULL) {
            continue;
        }
        MARK("doubt: the channels of a list get a new epoch");
        uint64_t good_end = entry.good_end == 0 ? 1 : entry.good_end;
        if (good_end > channel->latest + 1) {
            good_end = channel->latest + 1;
        }
        epoch_change(state, env, channel, good_end, record->pos, salt);
    }
    return RC_OK;
}

static enum rc apply_doubt(struct state *state, const struct record *record,
                           const struct apply_env *env)
{
    ASSERT(record->type == RECORD_DOUBT);
    ASSERT(env->tag == NULL);
    struct command_doubt doubt;
    const enum rc rc = command_doubt_decode(record->body, &doubt);
    if (rc != RC_OK) {
        return rc;
    }
    switch (doubt.kind) {
    case DOUBT_ALL:
    case DOUBT_END: return doubt_end(state, record, env, &doubt);
    case DOUBT_LIST: return doubt_list(state, record, env, &doubt);
    }
    UNREACHABLE();
}

static enum rc apply_hole(struct state *state, const struct record *record,
                          const struct apply_env *env)
{
    ASSERT(record->type == RECORD_HOLE);
    ASSERT(!env->live);
    struct record_hole hole;
    const enum rc rc = record_hole_decode(record->body, &hole);
    if (rc != RC_OK) {
        return rc;
    }
    if (hole.first_pos != record->pos || hole.end_pos > WIRE_INTEGER_MAX) {
        return RC_CORRUPT;
    }
    if (!state->in_doubt) {
        state->in_doubt = true;
        MARK("doubt: a hole in the log");
        state->base_clean = state_base(state);
        state->doubt_first = hole.first_pos;
        state->doubt_end = hole.end_pos;
    }
    /* Several holes count as one from the first to the last: a record between them that we have
     * seen cannot be the one before of a channel that we do not know, unless it was refused. */
    state->doubt_first = hole.first_pos < state->doubt_first ? hole.first_pos : state->doubt_first;
    state->doubt_end = hole.end_pos > state->doubt_end ? hole.end_pos : state->doubt_end;
    MARK_IF(state->doubt_first != hole.first_pos, "doubt: another hole");
    ASSERT(state->doubt_first <= state->doubt_end);
    state_base_change(state, record->pos, hole.salt);
    for (size_t id = 1; id <= state->channels.count; id++) {
        struct channel *channel = table_by_id(&state->channels, id);
        state_touch(state, channel);
        channel->in_doubt_ = true;
    }
    state->controls_in_doubt = true;
    return hole.end_pos - hole.first_pos > CONTROLS_MASK ? control_lost(state, record, env) : RC_OK;
}

/* Behind a hole: was a control record in it? See above. RC_CORRUPT, RC_NOMEM */
static enum rc controls_look(struct state *state, const struct record *record,
                             const struct apply_env *env)
{
    ASSERT_HOT(record->type != RECORD_HOLE);
    ASSERT_HOT(state->in_doubt || !state->controls_in_doubt);
    if (record->controls == state->controls) {
        return RC_OK;
    }
    ASSERT(!env->live); /* its number is ours */
    if (!state->controls_in_doubt) {
        return RC_CORRUPT;
    }
    return control_lost(state, record, env);
}

static enum rc apply_body(struct state *state, const struct record *record,
                          const struct apply_env *env)
{
    ASSERT_HOT(record->size == 0 || record->body.size < record->size);
    switch (record->type) {
    case RECORD_PUBLISH: return apply_publish(state, record, env);
    case RECORD_TRIM: return apply_trim(state, record, env);
    case RECORD_SETTINGS: return apply_settings(state, record);
    case RECORD_DOUBT: return apply_doubt(state, record, env);
    case RECORD_HOLE: break; /* state_apply() has seen to it */
    }
    return RC_CORRUPT; /* a type from the disk that is none of ours */
}

enum rc state_apply(struct state *state, const struct record *record, const struct apply_env *env)
{
    ASSERT_HOT(state->in_doubt == (state->base_clean != 0));
    ASSERT_HOT(state->base_count >= 1);
    ASSERT(env->live || (env->tag == NULL && env->channel == NULL));
    if (record->type == RECORD_HOLE) {
        return apply_hole(state, record, env);
    }
    enum rc rc = controls_look(state, record, env);
    if (rc == RC_OK) {
        rc = apply_body(state, record, env);
    }
    if (rc == RC_OK) {
        state->controls = (uint16_t)(record->controls + record_is_control(record->type));
        state->controls_in_doubt = false;
    }
    return rc;
}
