#include "client/agent.h"

#include "base/mark.h"
#include "base/mem.h"
#include "client/agent_private.h"
#include "client/link.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define PAUSE_MS_MAX    60000u
#define FIRST_ID        2u                  /* of publishes: 1 is connect's */
#define OTHER_IDS       (UINT64_C(1) << 52) /* from here on all others */
#define FILLS_MAX       5u
#define FRAME_MAX_KNOWN FRAME_BYTES_DEFAULT

static_assert(sizeof(struct agent_sub) <= 136, "a subscription is small: at most 300 with all");

#define TO(name) (1u << AGENT_SUB_##name)
static const unsigned sub_moves[AGENT_SUB_STATE_COUNT] = {
    [AGENT_SUB_WAITING] = TO(ASKED) | TO(CLOSED) | TO(WAITING),
    [AGENT_SUB_ASKED] = TO(LIVE) | TO(WAITING) | TO(ENDED) | TO(CLOSED),
    [AGENT_SUB_LIVE] = TO(WAITING) | TO(ENDED) | TO(CLOSED),
    [AGENT_SUB_ENDED] = TO(CLOSED),
    [AGENT_SUB_CLOSED] = 0,
};
#undef TO

void agent_sub_move(struct agent_sub *sub, enum agent_sub_state next)
{
    ASSERT(sub_moves[sub->state] & (1u << next));
    sub->state = (uint8_t)next;
}

static struct bytes key_of(const void *value)
{
    return agent_sub_name(value);
}

enum rc agent_init(struct agent *agent, const struct agent_options *options)
{
    *agent =
        (struct agent){.options_ = *options, .next_id_ = OTHER_IDS, .frame_max_ = FRAME_MAX_KNOWN};
    map_init(&agent->subs_, options->seed, key_of);
    list_init(&agent->due_);
    list_init(&agent->waits_);
    asks_init(&agent->asks, options->asks_ops, options->ctx);
    return outbox_init(&agent->outbox, options->outbox_ops, options->ctx, options->publish_window,
                       options->batch_max, options->seed);
}

void agent_sub_free(struct agent *a, struct agent_sub *sub)
{
    list_remove(&sub->due_);
    list_remove(&sub->wait_);
    receive_deinit(&sub->receive);
    a->last_ = a->last_ == sub ? NULL : a->last_;
    mem_free(sub);
}

static void epoch_keep(char to[static REPLY_EPOCH_SIZE], const char *epoch)
{
    const size_t size = strlen(epoch);
    ASSERT(size < REPLY_EPOCH_SIZE);
    bytes_copy((uint8_t *)to, (const uint8_t *)epoch, size + 1);
}

void agent_deinit(struct agent *agent)
{
    size_t at = 0;
    struct agent_sub *sub;
    struct list *closed;
    while ((closed = list_pop_front(&agent->due_)) != NULL) {
        sub = CONTAINER_OF(closed, struct agent_sub, due_);
        if (sub->state == AGENT_SUB_CLOSED) { /* the others are in the map */
            agent_sub_free(agent, sub);
        }
    }
    while ((sub = map_next(&agent->subs_, &at)) != NULL) {
        agent_sub_free(agent, sub);
    }
    map_deinit(&agent->subs_);
    asks_deinit(&agent->asks);
    outbox_deinit(&agent->outbox);
    reply_room_deinit(&agent->room_);
}

__attribute__((format(printf, 2, 3))) static enum rc broken(struct agent *a, const char *format,
                                                            ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(a->why_, sizeof(a->why_), format, args);
    va_end(args);
    return RC_PROTOCOL;
}

const char *agent_why(const struct agent *agent)
{
    return agent->why_;
}

/* ---- subscriptions ------------------------------------------------------------------------- */

static void make_due(struct agent *a, struct agent_sub *sub)
{
    if (list_empty(&sub->due_)) {
        list_push_back(&a->due_, &sub->due_);
    }
}

enum rc agent_subscribe(struct agent *agent, const struct agent_subscribe *s,
                        struct agent_sub **ret_sub)
{
    ASSERT(s->channel.size > 0 && s->channel.size <= CHANNEL_NAME_BYTES_MAX);
    if (map_find(&agent->subs_, s->channel) != NULL) {
        return RC_EXISTS;
    }
    struct agent_sub *sub = mem_calloc(1, sizeof(*sub) + s->channel.size + 1);
    if (sub == NULL) {
        return RC_NOMEM;
    }
    sub->name_size_ = (uint8_t)s->channel.size;
    bytes_copy(sub->name_, s->channel.data, s->channel.size);
    sub->from_ = (uint8_t)s->from;
    sub->from_value_ = s->from == WIRE_FROM_TIME ? s->time_ms : s->seq;
    if (s->from == WIRE_FROM_EPOCH_SEQ) {
        ASSERT(speak_epoch_valid(agent->options_.codec, s->epoch));
        epoch_keep(sub->epoch, s->epoch);
    }
    sub->window_ = s->window;
    sub->on_gap_reset_ = s->on_gap_reset;
    sub->when_slow_ = (uint8_t)s->when_slow;
    sub->user = s->user;
    list_init(&sub->due_);
    list_init(&sub->wait_);
    receive_init(&sub->receive, s->window > 0 ? s->window : AGENT_WINDOW_DEFAULT);
    if (map_insert(&agent->subs_, sub) != RC_OK) {
        mem_free(sub);
        return RC_NOMEM;
    }
    if (agent->ready_) {
        make_due(agent, sub);
    }
    *ret_sub = sub;
    return RC_OK;
}

void agent_unsubscribe(struct agent *agent, struct agent_sub *sub)
{
    ASSERT(sub->state != AGENT_SUB_CLOSED);
    /* The server knows of it only then; else its memory waits there all the same, since this may be
     * one of its own callbacks. */
    sub->say_ack_ = sub->state == AGENT_SUB_LIVE || sub->state == AGENT_SUB_ASKED || sub->held_;
    void *out = map_remove(&agent->subs_, agent_sub_name(sub));
    ASSERT(out == sub);
    agent_sub_move(sub, AGENT_SUB_CLOSED);
    list_remove(&sub->wait_);
    make_due(agent, sub);
}

struct agent_sub *agent_next_sub(const struct agent *agent, size_t *at)
{
    return map_next(&agent->subs_, at);
}

uint64_t agent_sub_next(const struct agent_sub *sub)
{
    if (sub->has_cursor) {
        return sub->receive.next;
    }
    return sub->from_ == WIRE_FROM_SEQ || sub->from_ == WIRE_FROM_EPOCH_SEQ ? sub->from_value_ : 0;
}

static void tell(struct agent *a, struct agent_sub *sub, const struct agent_news *news)
{
    a->options_.ops->state(a->options_.ctx, sub, news);
}

static void tell_state(struct agent *a, struct agent_sub *sub)
{
    const struct agent_news news = {.state = sub->state};
    tell(a, sub, &news);
}

/* It goes on after a wait. */
static void wait_for(struct agent *a, struct agent_sub *sub, uint64_t wait_ms, uint64_t now_ms)
{
    agent_sub_move(sub, AGENT_SUB_WAITING);
    list_remove(&sub->due_);
    list_remove(&sub->wait_);
    sub->asked_ = 0;
    sub->say_ack_ = false;
    sub->say_history_ = false;
    sub->retry_at_ms_ = now_ms + (wait_ms < PAUSE_MS_MAX ? wait_ms : PAUSE_MS_MAX);
    list_push_back(&a->waits_, &sub->wait_);
}

static void wait_longer(struct agent *a, struct agent_sub *sub, uint64_t asked_ms, uint64_t now_ms)
{
    const uint64_t own = link_jitter_ms(sub->refusals_, prng_next(&a->outbox.prng_));
    sub->refusals_ = (uint8_t)(sub->refusals_ < UINT8_MAX ? sub->refusals_ + 1 : UINT8_MAX);
    wait_for(a, sub, asked_ms > 0 ? asked_ms : own, now_ms);
}

static void tell_gap(struct agent *a, struct agent_sub *sub, const struct agent_gap *gap)
{
    a->options_.ops->gap(a->options_.ctx, sub, gap);
}

/* What is before `next` needs no ack any more. */
static void begin_at(struct agent_sub *sub, const char *epoch, uint64_t next)
{
    epoch_keep(sub->epoch, epoch);
    sub->has_cursor = true;
    receive_begin(&sub->receive, next);
    sub->acked_ = next - 1;
    sub->heard_ = next - 1;
    sub->say_ack_ = false;
    sub->say_history_ = false;
}

static enum rc on_subscribed(struct agent *a, struct agent_sub *sub, const struct reply *reply)
{
    if (sub->state != AGENT_SUB_ASKED || reply->id != sub->asked_) {
        return RC_OK; /* of one that was given up */
    }
    const uint64_t wanted = agent_sub_next(sub);
    const bool reset = reply->reason != REPLY_REASON_NONE;
    if (reset && !sub->on_gap_reset_) {
        return broken(a, "the server skipped messages though told not to");
    }
    if (!reset && wanted != 0 && wanted != reply->next) {
        return broken(a,
                      "order is broken: asked for seq %" PRIu64 ", the server goes on with %" PRIu64
                      " and tells no gap",
                      wanted, reply->next);
    }
    agent_sub_move(sub, AGENT_SUB_LIVE);
    sub->asked_ = 0;
    sub->refusals_ = 0;
    sub->fills_ = 0;
    begin_at(sub, reply->epoch, reply->next);
    if (reset) {
        MARK("agent: a position is not there, and it goes on behind it");
        const struct agent_gap gap = {
            .reason = reply->reason, .from = wanted, .to = reply->next - 1, .next = reply->next};
        tell_gap(a, sub, &gap);
    }
    if (sub->state == AGENT_SUB_LIVE) {
        tell_state(a, sub);
    }
    return RC_OK;
}

static void hand_on(struct agent *a, struct agent_sub *sub, const struct reply_message *message)
{
    a->options_.ops->message(a->options_.ctx, sub, message);
}

uint64_t agent_sub_ack(const struct agent_sub *sub)
{
    const uint64_t handled = sub->receive.next - 1;
    return handled < sub->heard_ ? handled : sub->heard_;
}

/* What was kept and is next now; then what is left to say: an ack, or the question for a hole. */
static void settle(struct agent *a, struct agent_sub *sub)
{
    struct receive_early *early;
    while (sub->state == AGENT_SUB_LIVE && (early = receive_pop(&sub->receive)) != NULL) {
        early->message.channel = agent_sub_name(sub);
        hand_on(a, sub, &early->message);
        receive_free(early);
    }
    uint64_t end;
    if (sub->state != AGENT_SUB_LIVE) {
        return;
    }
    if (receive_hole(&sub->receive, &end) && sub->asked_ == 0) {
        sub->say_history_ = true;
        make_due(a, sub);
    }
    const uint64_t most = agent_sub_ack(sub);
    if (sub->window_ > 0 && most > sub->acked_ && most - sub->acked_ >= sub->window_ / 2) {
        sub->say_ack_ = true;
        make_due(a, sub);
    }
}

static struct agent_sub *find(struct agent *a, struct bytes channel)
{
    if (a->last_ != NULL && a->last_->state != AGENT_SUB_CLOSED &&
        bytes_equal(agent_sub_name(a->last_), channel)) {
        return a->last_;
    }
    struct agent_sub *sub = map_find(&a->subs_, channel);
    a->last_ = sub == NULL ? a->last_ : sub;
    return sub;
}

static void on_message(struct agent *a, const struct reply_message *message)
{
    struct agent_sub *sub = find(a, message->channel);
    if (sub == NULL || sub->state != AGENT_SUB_LIVE) {
        return; /* of one that was given up */
    }
    sub->heard_ = message->seq > sub->heard_ ? message->seq : sub->heard_;
    if (receive_offer(&sub->receive, message) == RECEIVE_NEXT) {
        sub->fills_ = 0;
        hand_on(a, sub, message);
    }
    if (sub->receive.kept_ != NULL || sub->receive.seen_ != sub->receive.next || sub->window_ > 0) {
        settle(a, sub);
    }
}

/* Messages before `next` do not come. */
static void skip_to(struct agent *a, struct agent_sub *sub, uint64_t next, enum reply_reason reason)
{
    const struct agent_gap gap = {
        .reason = reason, .from = sub->receive.next, .to = next - 1, .next = next};
    receive_skip(&sub->receive, next);
    tell_gap(a, sub, &gap);
}

static enum rc on_gap(struct agent *a, struct agent_sub *sub, const struct reply *reply)
{
    if (reply->from == 0 || reply->to < reply->from) {
        return broken(a, "the server told a gap that makes no sense");
    }
    if (sub->state != AGENT_SUB_LIVE || reply->to < sub->receive.next) {
        return RC_OK; /* the history has told it */
    }
    sub->heard_ = reply->to > sub->heard_ ? reply->to : sub->heard_;
    if (reply->from <= sub->receive.next) {
        MARK("agent: a gap is told");
        skip_to(a, sub, reply->to + 1, reply->reason);
    } else {
        receive_expect(&sub->receive, reply->to + 1); /* what is missing before it comes first */
    }
    settle(a, sub);
    return RC_OK;
}

static void on_reset(struct agent *a, struct agent_sub *sub, const struct reply *reply)
{
    if (sub->state != AGENT_SUB_LIVE) {
        return;
    }
    const struct agent_gap gap = {.reason = reply->reason,
                                  .from = sub->receive.next,
                                  .to = reply->next - 1,
                                  .next = reply->next};
    begin_at(sub, reply->epoch, reply->next);
    sub->asked_ = 0;
    tell_gap(a, sub, &gap);
}

static void end(struct agent *a, struct agent_sub *sub, struct agent_news *news)
{
    agent_sub_move(sub, AGENT_SUB_ENDED);
    list_remove(&sub->due_);
    list_remove(&sub->wait_);
    sub->asked_ = 0;
    sub->say_ack_ = false;
    sub->say_history_ = false;
    news->state = AGENT_SUB_ENDED;
    tell(a, sub, news);
}

/* Because of what it was sent, or not sent: the server does not know, and would go on. */
static void end_ourselves(struct agent *a, struct agent_sub *sub, struct agent_news *news)
{
    sub->held_ = true;
    end(a, sub, news);
    if (sub->state == AGENT_SUB_ENDED) {
        make_due(a, sub);
    }
}

/* By itself: a reply to our own has an id. */
static void on_unsubscribed(struct agent *a, struct agent_sub *sub, const struct reply *reply,
                            uint64_t now_ms)
{
    if (reply->id != 0 || sub->state != AGENT_SUB_LIVE) {
        return;
    }
    struct agent_news news = {
        .state = AGENT_SUB_WAITING, .earliest = reply->earliest, .latest = reply->latest};
    (void)snprintf(news.code, sizeof(news.code), "%s", reply_reason_text(reply->reason));
    (void)snprintf(news.text, sizeof(news.text),
                   "the server ended the subscription (%s); seq %" PRIu64 " was next", news.code,
                   sub->receive.next);
    if (reply->reason == REPLY_UNAVAILABLE) {
        MARK("agent: a subscription is ended for now");
        wait_longer(a, sub, 0, now_ms);
        tell(a, sub, &news);
    } else {
        end(a, sub, &news);
    }
}

/* ---- history ------------------------------------------------------------------------------- */

/* The history has a hole, too: told, or the end of who has not asked to go on. */
static void skip_missing(struct agent *a, struct agent_sub *sub, const struct reply *reply,
                         uint64_t next, enum reply_reason reason)
{
    if (sub->on_gap_reset_) {
        MARK("agent: the history has a gap");
        skip_to(a, sub, next, reason);
        return;
    }
    struct agent_news news = {.code = "gap", .earliest = reply->earliest, .latest = reply->latest};
    (void)snprintf(news.text, sizeof(news.text),
                   "seq %" PRIu64 " to %" PRIu64 " did not come, and the history has them not (%s)",
                   sub->receive.next, next - 1, reply_reason_text(reason));
    end_ourselves(a, sub, &news);
}

/* What the history leaves out before message `seq`. */
static void skip_damaged(struct agent *a, struct agent_sub *sub, struct reply *reply, uint64_t seq)
{
    struct reply ranges = *reply;
    struct wire_range range;
    while (sub->state == AGENT_SUB_LIVE && sub->receive.next < seq &&
           reply_next_damaged(a->options_.codec, &ranges, &range) == RC_OK) {
        if (range.from <= sub->receive.next && range.to >= sub->receive.next) {
            skip_missing(a, sub, reply, range.to + 1, REPLY_DAMAGED);
        }
    }
}

static enum rc take_elements(struct agent *a, struct agent_sub *sub, struct reply *reply)
{
    enum rc rc = RC_OK;
    while (rc == RC_OK && sub->state == AGENT_SUB_LIVE) {
        struct reply_message message;
        rc = reply_next_element(a->options_.codec, reply, &a->room_, &message);
        if (rc != RC_OK) {
            break;
        }
        skip_damaged(a, sub, reply, message.seq);
        if (sub->state == AGENT_SUB_LIVE && message.seq == sub->receive.next) {
            const enum receive_verdict verdict = receive_offer(&sub->receive, &message);
            ASSERT(verdict == RECEIVE_NEXT);
            message.channel = agent_sub_name(sub);
            MARK("agent: the history fills a hole");
            sub->fills_ = 0;
            hand_on(a, sub, &message);
        }
    }
    return rc == RC_END ? RC_OK : rc;
}

static enum rc on_history(struct agent *a, struct agent_sub *sub, struct reply *reply,
                          uint64_t now_ms)
{
    if (sub->state != AGENT_SUB_LIVE || reply->id != sub->asked_) {
        return RC_OK;
    }
    sub->asked_ = 0;
    if (strcmp(reply->epoch, sub->epoch) != 0) {
        sub->held_ = true;
        wait_longer(a, sub, 0, now_ms); /* another history: ask for a position in it anew */
        tell_state(a, sub);
        return RC_OK;
    }
    if (reply->earliest > sub->receive.next) {
        skip_missing(a, sub, reply, reply->earliest, REPLY_TRIMMED);
    }
    const enum rc rc = take_elements(a, sub, reply);
    if (rc != RC_OK) {
        return rc == RC_BAD ? broken(a, "the server sent a history that makes no sense") : rc;
    }
    uint64_t hole_end;
    if (sub->state == AGENT_SUB_LIVE && receive_hole(&sub->receive, &hole_end)) {
        skip_damaged(a, sub, reply, hole_end);
    }
    if (sub->state == AGENT_SUB_LIVE && sub->fills_ >= FILLS_MAX) {
        struct agent_news news = {.broken = true};
        (void)snprintf(news.text, sizeof(news.text),
                       "order is broken: seq %" PRIu64 " did not come, and history has it not",
                       sub->receive.next);
        end_ourselves(a, sub, &news);
    }
    settle(a, sub);
    return RC_OK;
}

/* ---- errors -------------------------------------------------------------------------------- */

static struct agent_sub *find_asked(struct agent *a, uint64_t id)
{
    size_t at = 0;
    struct agent_sub *sub;
    do {
        sub = map_next(&a->subs_, &at);
    } while (sub != NULL && sub->asked_ != id);
    return sub;
}

static bool code_is(const struct client_message *object, const char *code)
{
    return client_message_is(object, CLIENT_FIELD_CODE, bytes_of_text(code));
}

static enum rc on_error(struct agent *a, const struct reply *reply, uint64_t now_ms)
{
    const struct client_message *object = &reply->object;
    struct agent_news news = {.state = AGENT_SUB_WAITING};
    client_message_show(object, CLIENT_FIELD_CODE, news.code, sizeof(news.code));
    client_message_show(object, CLIENT_FIELD_TEXT, news.text, 200);
    struct agent_sub *sub = reply->id == 0 ? NULL : find_asked(a, reply->id);
    if (reply->id == 0 && a->left_ && code_is(object, "not_subscribed")) {
        MARK("agent: an ack crosses the end of its subscription");
        return RC_OK; /* [P 6] an ack that has crossed the server's own unsubscribed */
    }
    if (reply->id == 0) {
        return broken(a, "the server complains: %s", news.text);
    }
    if (sub == NULL) {
        return reply->id > OTHER_IDS && reply->id <= a->next_id_
                   ? RC_OK /* of one that was given up */
                   : broken(a, "the server refused number %" PRIu64 ", which is not open",
                            reply->id);
    }
    news.earliest = client_message_integer_or_0(object, CLIENT_FIELD_EARLIEST);
    news.latest = client_message_integer_or_0(object, CLIENT_FIELD_LATEST);
    const uint64_t asked = client_message_integer_or_0(object, CLIENT_FIELD_RETRY_AFTER_MS);
    if (asked > 0 || code_is(object, "unavailable") || code_is(object, "rate_limited") ||
        code_is(object, "internal")) {
        MARK_IF(sub->state == AGENT_SUB_ASKED, "agent: a subscribe is refused for now");
        MARK_IF(sub->state == AGENT_SUB_LIVE, "agent: a history is refused for now");
        sub->held_ = sub->state == AGENT_SUB_LIVE;
        wait_longer(a, sub, asked, now_ms);
        tell(a, sub, &news);
    } else if (sub->state == AGENT_SUB_LIVE) {
        end_ourselves(a, sub, &news);
    } else {
        end(a, sub, &news);
    }
    return RC_OK;
}

/* ---- frames -------------------------------------------------------------------------------- */

void agent_on_ready(struct agent *agent, uint64_t frame_bytes)
{
    size_t at = 0;
    struct agent_sub *sub;
    agent->ready_ = true;
    agent->left_ = false;
    agent->frame_max_ =
        frame_bytes > 0 && frame_bytes < FRAME_BYTES_MAX ? (size_t)frame_bytes : FRAME_MAX_KNOWN;
    agent->frame_max_ = agent->frame_max_ < 16u * KIB ? 16u * KIB : agent->frame_max_;
    outbox_on_ready(&agent->outbox, FIRST_ID);
    while ((sub = map_next(&agent->subs_, &at)) != NULL) {
        if (sub->state != AGENT_SUB_ENDED && list_empty(&sub->wait_)) {
            make_due(agent, sub);
        }
    }
}

void agent_on_lost(struct agent *agent)
{
    size_t at = 0;
    struct agent_sub *sub;
    struct list *node;
    agent->ready_ = false;
    while ((node = list_pop_front(&agent->due_)) != NULL) {
        sub = CONTAINER_OF(node, struct agent_sub, due_);
        if (sub->state == AGENT_SUB_CLOSED) {
            agent_sub_free(agent, sub);
        }
    }
    struct list to_tell;
    asks_on_lost(&agent->asks);
    list_init(&to_tell);
    while ((sub = map_next(&agent->subs_, &at)) != NULL) {
        sub->held_ = false;
        if (sub->state == AGENT_SUB_LIVE || sub->state == AGENT_SUB_ASKED) {
            if (sub->state == AGENT_SUB_LIVE) {
                list_push_back(&to_tell, &sub->due_);
            }
            agent_sub_move(sub, AGENT_SUB_WAITING);
            sub->asked_ = 0;
            sub->say_history_ = false;
        }
        sub->say_ack_ = false;
    }
    /* Only now, since a callback may change what was gone through. */
    while ((node = list_pop_front(&to_tell)) != NULL) {
        sub = CONTAINER_OF(node, struct agent_sub, due_);
        if (sub->state == AGENT_SUB_CLOSED) {
            agent_sub_free(agent, sub);
        } else {
            tell_state(agent, sub);
        }
    }
}

/* What belongs to a subscription; NULL: it has none of that name (any more). */
static enum rc take_for(struct agent *a, struct agent_sub *sub, struct reply *reply,
                        uint64_t now_ms)
{
    switch (reply->type) {
    case CLIENT_SUBSCRIBED: return on_subscribed(a, sub, reply);
    case CLIENT_GAP: return on_gap(a, sub, reply);
    case CLIENT_RESET: on_reset(a, sub, reply); return RC_OK;
    case CLIENT_UNSUBSCRIBED: on_unsubscribed(a, sub, reply, now_ms); return RC_OK;
    case CLIENT_HISTORY: return on_history(a, sub, reply, now_ms);
    case CLIENT_CONNECTED:
    case CLIENT_PUBLISHED:
    case CLIENT_MESSAGE:
    case CLIENT_DIGEST:
    case CLIENT_GOAWAY:
    case CLIENT_ERROR:
    case CLIENT_OTHER: return RC_OK;
    }
    UNREACHABLE();
}

/* Whether it answers a question. */
static enum rc take_answer(struct agent *a, struct reply *reply, uint64_t now_ms, bool *ret_taken)
{
    const enum rc rc = asks_take(&a->asks, a->options_.codec, reply, &a->room_,
                                 prng_next(&a->outbox.prng_), now_ms, ret_taken);
    return rc == RC_BAD ? broken(a, "the server sent a history that makes no sense") : rc;
}

static enum rc take_one(struct agent *a, struct reply *reply, uint64_t now_ms)
{
    bool taken = false;
    if (reply->id > OTHER_IDS) {
        const enum rc rc = take_answer(a, reply, now_ms, &taken);
        if (taken || rc != RC_OK) {
            return rc;
        }
    }
    const bool for_outbox = (reply->type == CLIENT_PUBLISHED || reply->type == CLIENT_ERROR) &&
                            outbox_owns(&a->outbox, reply->id);
    if (for_outbox || reply->type == CLIENT_PUBLISHED) {
        const enum rc rc = outbox_take(&a->outbox, reply, now_ms);
        return rc == RC_PROTOCOL ? broken(a, "%s", outbox_why(&a->outbox)) : rc;
    }
    if (reply->type == CLIENT_ERROR) {
        return on_error(a, reply, now_ms);
    }
    if (reply->type == CLIENT_GOAWAY) {
        a->options_.ops->goaway(
            a->options_.ctx,
            client_message_integer_or_0(&reply->object, CLIENT_FIELD_RECONNECT_AFTER_MS));
        return RC_OK;
    }
    a->left_ = a->left_ || (reply->type == CLIENT_UNSUBSCRIBED && reply->id == 0);
    struct agent_sub *sub = reply->type == CLIENT_OTHER || reply->type == CLIENT_CONNECTED ||
                                    reply->type == CLIENT_DIGEST
                                ? NULL
                                : find(a, reply->channel);
    return sub == NULL ? RC_OK : take_for(a, sub, reply, now_ms);
}

enum rc agent_take(struct agent *agent, struct bytes frame, uint64_t now_ms)
{
    struct bytes rest = frame;
    enum rc rc = RC_OK;
    while (rc == RC_OK && rest.size > 0) {
        rc = reply_take(agent->options_.codec, &rest, &agent->room_, &agent->reply_);
        if (rc == RC_BAD) {
            rc = broken(agent, "the server sent something that is no message of the protocol");
        }
        if (rc == RC_OK && agent->tap_ != NULL) {
            agent->tap_->heard(agent->tap_->ctx, &agent->reply_);
        }
        if (rc == RC_OK && agent->reply_.type == CLIENT_MESSAGE) {
            on_message(agent, &agent->reply_.message);
        } else if (rc == RC_OK) {
            rc = take_one(agent, &agent->reply_, now_ms);
        }
    }
    return rc;
}

/* ---- time ---------------------------------------------------------------------------------- */

void agent_step(struct agent *agent, uint64_t now_ms)
{
    for (struct list *at = agent->waits_.next, *after; at != &agent->waits_; at = after) {
        after = at->next;
        struct agent_sub *sub = CONTAINER_OF(at, struct agent_sub, wait_);
        if (now_ms >= sub->retry_at_ms_) {
            list_remove(&sub->wait_);
            if (agent->ready_) {
                make_due(agent, sub);
            }
        }
    }
    asks_step(&agent->asks, now_ms);
    outbox_step(&agent->outbox, now_ms);
}

uint64_t agent_deadline_ms(const struct agent *agent)
{
    const uint64_t asks_ms = asks_deadline_ms(&agent->asks);
    uint64_t deadline = outbox_deadline_ms(&agent->outbox);
    deadline = asks_ms < deadline ? asks_ms : deadline;
    for (const struct list *at = agent->waits_.next; at != &agent->waits_; at = at->next) {
        const struct agent_sub *sub = CONTAINER_OF(at, struct agent_sub, wait_);
        deadline = sub->retry_at_ms_ < deadline ? sub->retry_at_ms_ : deadline;
    }
    return deadline;
}
