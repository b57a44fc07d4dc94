/* How a cursor begins, is acknowledged, loses its place, and ends. */
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "session/session_private.h"
#include "session/subscription.h"

#include <stdio.h>

#define TO(name) (1u << SUB_##name)
static const unsigned sub_moves[SUB_STATE_COUNT] = {
    [SUB_ATTACHING] = TO(FOLLOWING),
    [SUB_FOLLOWING] = TO(BEHIND),
    [SUB_BEHIND] = TO(READING) | TO(FOLLOWING),
    [SUB_READING] = TO(CATCHING_UP) | TO(BEHIND) | TO(FOLLOWING),
    [SUB_CATCHING_UP] = TO(BEHIND) | TO(FOLLOWING) | TO(READING),
};
#undef TO

static void subscription_check(const struct subscription *sub)
{
    ASSERT_HOT(sub->id > 0);
    ASSERT_HOT(sub->feed->sub_count > 0);
    ASSERT_HOT(sub->window <= WINDOW_MAX);
    if (sub->state != SUB_ATTACHING) {
        ASSERT(sub->feed->attached);
        ASSERT(sub->cursor >= 1);
        ASSERT(sub->acked < sub->cursor);
    }
    if (sub->state == SUB_CATCHING_UP) ASSERT(sub->chunk != NULL);
    if (sub->state != SUB_CATCHING_UP) ASSERT(sub->chunk == NULL);
    if (sub->state == SUB_FOLLOWING) ASSERT(sub->cursor <= sub->feed->next_seq);
    if (sub->is_slow) ASSERT(sub->when_slow != WIRE_CATCH_UP);
    if (sub->ahead) ASSERT(sub->state == SUB_CATCHING_UP || sub->state == SUB_BEHIND);
}

static bool holds_read(unsigned state)
{
    ASSERT_HOT(state < SUB_STATE_COUNT);
    return state == SUB_READING || state == SUB_CATCHING_UP;
}

void subscription_move(struct subscription *sub, enum subscription_state next)
{
    ASSERT_HOT(sub->state < SUB_STATE_COUNT);
    ASSERT_HOT(next < SUB_STATE_COUNT);
    struct session *session = sub->session;
    ASSERT(sub_moves[sub->state] & (1u << next));
    session->read_count -= holds_read(sub->state);
    session->read_count += holds_read(next);
    ASSERT_HOT(session->read_count <= tune.session_reads);
    sub->state = (uint8_t)next;
    if (sub->is_slow && next == SUB_FOLLOWING) {
        sub->is_slow = false;
        sub->tail_seq = sub->cursor; /* it may be so again at once */
    }
    feed_touch(session->env->feeds, sub->feed);
    subscription_check(sub);
}

void subscription_wake(struct subscription *sub)
{
    ASSERT_HOT(sub->state != SUB_ATTACHING);
    ASSERT_HOT(sub->session->state != SESSION_OPENING);
    struct session *session = sub->session;
    if (list_empty(&sub->ready_link)) {
        list_push_back(&session->ready, &sub->ready_link);
    }
    session->env->ops->wake(session->env->ctx, session);
}

void subscription_on_tail(struct subscription *sub)
{
    ASSERT_HOT(sub->feed->attached || sub->state == SUB_ATTACHING);
    /* BEHIND: a read could not begin for want of memory; this is a chance to try again. */
    if (sub->state == SUB_FOLLOWING || sub->state == SUB_BEHIND) {
        subscription_wake(sub);
    }
}

void subscription_drop_chunk(struct subscription *sub)
{
    ASSERT(sub->chunk == NULL || holds_read(sub->state));
    if (sub->chunk != NULL) {
        const struct session_env *env = sub->session->env;
        struct chunk *then = sub->chunk->then;
        env->ops->chunk_unref(env->ctx, sub->chunk);
        sub->chunk = NULL;
        if (then != NULL) { /* read ahead, and a read of its own */
            ASSERT(then->then == NULL && !sub->ahead);
            env->ops->chunk_unref(env->ctx, then);
            ASSERT(sub->session->read_count > 0);
            sub->session->read_count--;
        }
    }
}

void subscription_end(struct subscription *sub)
{
    ASSERT(sub->feed->sub_count > 0);
    ASSERT(subs_find(&sub->session->subs, sub->feed->name) == sub);
    struct session *session = sub->session;
    struct feed *feed = sub->feed;
    subs_remove(&session->subs, sub);
    list_remove(&sub->feed_link);
    feed->sub_count--;
    list_remove(&sub->ready_link);
    subscription_drop_chunk(sub);
    /* [I11] A read that is under way counts until it comes back: or somebody who subscribes and
     * unsubscribes would have as many of them as he likes, in front of everybody else's. */
    ASSERT(session->read_count >= holds_read(sub->state));
    session->read_count -= sub->state == SUB_CATCHING_UP;
    mem_free(sub);
    feed_touch(session->env->feeds, feed); /* what was kept for it may go */
    feed_close_if_unused(session->env->feeds, feed);
}

static enum rc subscription_open(struct session *session, struct bytes channel,
                                 struct subscription **ret_sub)
{
    ASSERT(session->state == SESSION_READY);
    ASSERT(subs_find(&session->subs, channel) == NULL);
    struct feed_table *feeds = session->env->feeds;
    struct feed *feed;
    if (feed_open(feeds, session->codec, channel, &feed) != RC_OK) {
        return RC_NOMEM;
    }
    struct subscription *sub = mem_calloc(1, sizeof(*sub));
    if (sub == NULL) {
        goto fail_feed;
    }
    sub->session = session;
    sub->feed = feed;
    sub->state = SUB_ATTACHING;
    sub->id = feed_table_next_id(feeds);
    list_init(&sub->ready_link);
    if (subs_insert(&session->subs, sub) != RC_OK) {
        goto fail_sub;
    }
    list_push_back(&feed->subs, &sub->feed_link);
    feed->sub_count++;
    *ret_sub = sub;
    return RC_OK;

fail_sub:
    mem_free(sub);
fail_feed:
    feed_close_if_unused(feeds, feed);
    return RC_NOMEM;
}

/* False: no epoch that a channel could have; that is never 0. */
static bool epoch_take(const struct session *session, const struct wire_command *command,
                       uint64_t *ret_epoch)
{
    ASSERT(command->from == WIRE_FROM_EPOCH_SEQ);
    ASSERT(session->codec == WIRE_JSON || command->epoch.data == NULL);
    if (session->codec == WIRE_BINARY) {
        *ret_epoch = command->epoch_number;
    } else if (!wire_epoch_parse(command->epoch, ret_epoch)) {
        return false;
    }
    return *ret_epoch != 0;
}

enum rc session_subscribe(struct session *session, const struct wire_command *command)
{
    ASSERT(session->state == SESSION_READY);
    ASSERT(command->type == WIRE_SUBSCRIBE);
    ASSERT(command->window <= WINDOW_MAX);
    const struct session_env *env = session->env;
    if (subs_find(&session->subs, command->channel) != NULL) {
        MARK("subscribe: to a channel it has already");
        return session_refuse(session, command->id, WIRE_ERROR_ALREADY_SUBSCRIBED,
                              "this connection is subscribed to the channel already");
    }
    if (subs_count(&session->subs) >= env->subscriptions_max) {
        return session_refuse(session, command->id, WIRE_ERROR_LIMIT_EXCEEDED,
                              "too many subscriptions on this connection");
    }
    struct subscription *sub;
    if (subscription_open(session, command->channel, &sub) != RC_OK) {
        return RC_NOMEM;
    }
    sub->request_id = command->id;
    sub->window = command->window;
    sub->on_gap_reset = command->on_gap_reset;
    sub->when_slow = (uint8_t)command->when_slow;
    struct session_ask ask = {
        .feed_id = sub->feed->id,
        .sub_id = sub->id,
        .channel = sub->feed->name,
        .codec = session->codec,
        .from = command->from,
        .seq = command->seq,
        .time_ms = command->time_ms,
        .on_gap_reset = command->on_gap_reset,
        .deflated = session->deflated,
    };
    if (command->from == WIRE_FROM_EPOCH_SEQ) {
        ask.has_epoch = epoch_take(session, command, &ask.epoch);
    }
    const enum rc rc = env->ops->subscribe(env->ctx, session, &ask);
    if (rc == RC_OK) {
        session->inflight_count++; /* [I11] also if it is unsubscribed before the answer comes */
    }
    return rc;
}

static const char *gap_reason(enum position_verdict verdict)
{
    ASSERT(verdict != POSITION_OK);
    switch (verdict) {
    case POSITION_TRIMMED: MARK("subscribe: the position is trimmed"); return "trimmed";
    case POSITION_EPOCH: MARK("subscribe: the position is of a lost epoch"); return "epoch";
    case POSITION_AHEAD: MARK("subscribe: the position is ahead"); return "ahead";
    case POSITION_OK: break;
    }
    UNREACHABLE();
}

/* [P 3] subscribe: a position that is not there, with "on_gap":"error". */
static enum rc refuse_gap(struct session *session, uint64_t id, const struct session_answer *answer)
{
    ASSERT(answer->verdict != POSITION_OK);
    ASSERT(session->env->encode->size == 0);
    struct wire_error error = {
        .code = WIRE_ERROR_GAP,
        .id = id,
        .has_bounds = true,
        .epoch = answer->position.epoch,
        .earliest = answer->position.earliest,
        .latest = answer->position.latest,
        .reason = gap_reason(answer->verdict),
    };
    (void)snprintf(error.message, sizeof(error.message),
                   "the position is not in this channel's history (%s)", error.reason);
    return session_send_error(session, &error);
}

/* The owner's tail begins behind what it told: everything up to `latest` is in the log. */
static void feed_attach(struct feed *feed, const struct session_answer *answer)
{
    ASSERT(answer->feed_id > 0);
    ASSERT(answer->position.earliest <= answer->position.latest + 1);
    MARK_IF(feed->attached, "subscribe: to a feed that others follow");
    if (feed->id == answer->feed_id && !feed->attached) {
        feed->attached = true;
        feed->next_seq = answer->position.latest + 1;
    }
}

static enum rc start(struct subscription *sub, const struct session_answer *answer)
{
    ASSERT(sub->state == SUB_ATTACHING);
    ASSERT(answer->next >= 1);
    ASSERT(sub->session->env->encode->size == 0);
    struct session *session = sub->session;
    const struct wire_subscribed subscribed = {
        .id = sub->request_id,
        .channel = sub->feed->name,
        .epoch = answer->position.epoch,
        .next = answer->next,
        .earliest = answer->position.earliest,
        .latest = answer->position.latest,
        .reset_reason = answer->verdict == POSITION_OK ? NULL : gap_reason(answer->verdict),
    };
    enum rc rc = codec_encode_subscribed(session->codec, session->env->encode, &subscribed);
    if (rc == RC_OK) {
        rc = session_send_encoded(session);
    }
    ASSERT(sub->feed->next_seq == answer->position.latest + 1);
    ASSERT(answer->next <= sub->feed->next_seq);
    MARK_IF(answer->verdict != POSITION_OK, "subscribe: goes on behind a gap");
    MARK_IF(answer->next == sub->feed->next_seq, "subscribe: begins at the end");
    MARK_IF(answer->next < sub->feed->next_seq, "subscribe: begins in the history");
    sub->cursor = answer->next;
    sub->acked = answer->next - 1;
    sub->tail_seq = answer->position.latest + 1;
    subscription_move(sub, SUB_FOLLOWING);
    subscription_wake(sub);
    return rc;
}

enum rc session_on_subscribed(struct session *session, const struct session_answer *answer)
{
    ASSERT(answer->sub_id > 0);
    ASSERT(session->state != SESSION_OPENING);
    struct subscription *sub = subs_find(&session->subs, answer->channel);
    ASSERT(session->inflight_count > 0);
    session->inflight_count--;
    if (sub == NULL || sub->id != answer->sub_id) {
        MARK("subscribe: unsubscribed before the answer came");
        return RC_OK; /* ended meanwhile */
    }
    ASSERT(sub->state == SUB_ATTACHING);
    if (answer->failed) { /* then the owner sends no tail on its account either */
        MARK("subscribe: fails, the log cannot be read");
        const uint64_t id = sub->request_id;
        subscription_end(sub);
        return session_refuse(session, id, WIRE_ERROR_UNAVAILABLE, "the log could not be read");
    }
    feed_attach(sub->feed, answer);
    if (answer->verdict != POSITION_OK && !sub->on_gap_reset) {
        MARK("subscribe: refused for a gap");
        const uint64_t id = sub->request_id;
        subscription_end(sub);
        return refuse_gap(session, id, answer);
    }
    return start(sub, answer);
}

enum rc session_ack(struct session *session, const struct wire_command *command)
{
    ASSERT_HOT(session->state == SESSION_READY);
    ASSERT_HOT(command->seq >= 1);
    struct subscription *sub = subs_find(&session->subs, command->channel);
    if (sub == NULL || sub->state == SUB_ATTACHING) {
        MARK("ack: of a channel that is not subscribed");
        return session_refuse(session, command->id, WIRE_ERROR_NOT_SUBSCRIBED,
                              "this connection is not subscribed to the channel");
    }
    if (command->seq >= sub->cursor) {
        MARK("ack: beyond what was sent");
        return session_refuse(session, command->id, WIRE_ERROR_BAD_REQUEST,
                              "the acknowledgement is beyond what was sent");
    }
    if (command->seq > sub->acked) {
        MARK("ack: opens the window");
        sub->acked = command->seq;
        ASSERT(sub->acked < sub->cursor);
        subscription_wake(sub);
    }
    return RC_OK;
}

enum rc session_unsubscribe(struct session *session, const struct wire_command *command)
{
    ASSERT(session->state == SESSION_READY);
    ASSERT(command->type == WIRE_UNSUBSCRIBE);
    struct subscription *sub = subs_find(&session->subs, command->channel);
    if (sub == NULL) {
        return session_refuse(session, command->id, WIRE_ERROR_NOT_SUBSCRIBED,
                              "this connection is not subscribed to the channel");
    }
    /* A subscribe still on its way is answered before it ends: each command has one reply. */
    enum rc rc = RC_OK;
    if (sub->state == SUB_ATTACHING) {
        MARK("unsubscribe: before the subscription had begun");
        rc = session_refuse(session, sub->request_id, WIRE_ERROR_NOT_SUBSCRIBED,
                            "unsubscribed before the subscription had begun");
    }
    subscription_end(sub);
    const struct wire_notice notice = {.id = command->id, .channel = command->channel};
    if (rc == RC_OK) {
        rc = codec_encode_unsubscribed(session->codec, session->env->encode, &notice);
    }
    return rc == RC_OK ? session_send_encoded(session) : rc;
}
