/* What a client says: one command after the other, for as long as there is something due. */
#include "client/agent_private.h"

static void tell_said(const struct agent *a, const struct client_said *said)
{
    if (a->tap_ != NULL) {
        a->tap_->said(a->tap_->ctx, said);
    }
}

static enum rc say_subscribe(struct agent *a, struct agent_sub *sub, struct buf *to)
{
    const struct speak_subscribe subscribe = {
        .id = ++a->next_id_,
        .channel = agent_sub_name(sub),
        .from = sub->has_cursor ? WIRE_FROM_EPOCH_SEQ : sub->from_,
        .epoch = sub->epoch,
        .seq = sub->has_cursor ? sub->receive.next : sub->from_value_,
        .time_ms = sub->has_cursor ? 0 : sub->from_value_,
        .window = sub->window_,
        .on_gap_reset = sub->on_gap_reset_,
        .when_slow = sub->when_slow_,
    };
    const enum rc rc = speak_subscribe(a->options_.codec, to, &subscribe);
    if (rc == RC_OK) {
        const struct client_said said = {
            .what = CLIENT_SAID_SUBSCRIBE,
            .channel = subscribe.channel,
            .id = subscribe.id,
            .number = agent_sub_next(sub),
        };
        sub->asked_ = subscribe.id;
        agent_sub_move(sub, AGENT_SUB_ASKED);
        tell_said(a, &said);
    }
    return rc;
}

static enum rc say_history(struct agent *a, struct agent_sub *sub, struct buf *to)
{
    uint64_t hole_end;
    sub->say_history_ = false;
    if (!receive_hole(&sub->receive, &hole_end)) {
        return RC_OK;
    }
    const uint64_t missing = hole_end - sub->receive.next;
    const uint32_t limit =
        missing < HISTORY_MESSAGES_MAX ? (uint32_t)missing : HISTORY_MESSAGES_MAX;
    const enum rc rc = speak_history(a->options_.codec, to, ++a->next_id_, agent_sub_name(sub),
                                     sub->receive.next, limit);
    if (rc == RC_OK) {
        sub->asked_ = a->next_id_;
        sub->fills_++;
    }
    return rc;
}

static enum rc say_ack(struct agent *a, struct agent_sub *sub, struct buf *to)
{
    const struct client_said said = {
        .what = CLIENT_SAID_ACK, .channel = agent_sub_name(sub), .number = agent_sub_ack(sub)};
    const enum rc rc = speak_ack(a->options_.codec, to, said.channel, said.number);
    if (rc == RC_OK) {
        sub->acked_ = said.number;
        sub->say_ack_ = false;
        tell_said(a, &said);
    }
    return rc;
}

/* One command of the subscription that is due first; it stays due while it has more. */
static enum rc say_one(struct agent *a, struct agent_sub *sub, struct buf *to)
{
    const struct bytes name = agent_sub_name(sub);
    enum rc rc = RC_OK;
    if (sub->state == AGENT_SUB_CLOSED) {
        if (sub->say_ack_ && a->ready_) {
            rc = speak_unsubscribe(a->options_.codec, to, ++a->next_id_, name);
        }
        if (rc == RC_OK) {
            agent_sub_free(a, sub);
        }
        return rc;
    }
    if (sub->held_) {
        ASSERT(sub->state == AGENT_SUB_ENDED || sub->state == AGENT_SUB_WAITING);
        rc = speak_unsubscribe(a->options_.codec, to, ++a->next_id_, name);
        sub->held_ = rc != RC_OK;
        if (sub->state == AGENT_SUB_WAITING) {
            return rc; /* then it is asked for anew */
        }
    } else if (sub->state == AGENT_SUB_WAITING) {
        rc = say_subscribe(a, sub, to);
    } else if (sub->state == AGENT_SUB_LIVE && sub->say_ack_) {
        rc = say_ack(a, sub, to);
    } else if (sub->state == AGENT_SUB_LIVE && sub->say_history_) {
        rc = say_history(a, sub, to);
    }
    const bool more = sub->state == AGENT_SUB_LIVE && (sub->say_ack_ || sub->say_history_);
    if (rc == RC_OK && !more) {
        list_remove(&sub->due_);
    }
    return rc;
}

static enum rc say_question(struct agent *a, struct buf *to)
{
    const struct client_said said = {.what = CLIENT_SAID_QUESTION, .id = ++a->next_id_};
    const enum rc rc = asks_next(&a->asks, a->options_.codec, said.id, to);
    if (rc == RC_OK) {
        tell_said(a, &said);
    }
    return rc;
}

enum rc agent_next(struct agent *agent, uint64_t now_ms, struct buf *to)
{
    const size_t before = to->size;
    const size_t enough = agent->options_.codec == WIRE_JSON          ? 1
                          : agent->frame_max_ / 2 < AGENT_FRAME_BYTES ? agent->frame_max_ / 2
                                                                      : AGENT_FRAME_BYTES;
    enum rc rc = RC_OK;
    while (rc == RC_OK && to->size - before < enough) {
        if (!list_empty(&agent->due_)) {
            rc = say_one(agent, CONTAINER_OF(agent->due_.next, struct agent_sub, due_), to);
        } else if (agent->ready_ && asks_due(&agent->asks)) {
            rc = say_question(agent, to);
        } else if (agent->ready_) {
            /* Whatever stands before it, the frame as a whole is no larger than the server takes.
             */
            rc = outbox_next(&agent->outbox, agent->options_.codec, agent->frame_max_,
                             agent->frame_max_ - (to->size - before), now_ms, to);
        } else {
            rc = RC_END;
        }
    }
    return rc == RC_END && to->size > before ? RC_OK : rc;
}
