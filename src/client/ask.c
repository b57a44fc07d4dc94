#include "client/ask.h"

#include "base/limits.h"
#include "base/mem.h"
#include "client/link.h"
#include "client/speak.h"

#include <stdio.h>

#define PAUSE_MS_MAX 60000u

void asks_init(struct asks *asks, const struct asks_ops *ops, void *ctx)
{
    *asks = (struct asks){.ops_ = ops, .ctx_ = ctx};
    list_init(&asks->waiting_);
    list_init(&asks->paused_);
    list_init(&asks->asked_);
}

struct ask *asks_pop(struct asks *asks)
{
    struct list *node = list_pop_front(&asks->waiting_);
    node = node == NULL ? list_pop_front(&asks->paused_) : node;
    node = node == NULL ? list_pop_front(&asks->asked_) : node;
    asks->open_ -= node != NULL;
    return node == NULL ? NULL : CONTAINER_OF(node, struct ask, node_);
}

void ask_free(struct ask *ask)
{
    mem_free(ask);
}

void asks_deinit(struct asks *asks)
{
    struct ask *ask;
    while ((ask = asks_pop(asks)) != NULL) {
        ask_free(ask);
    }
    asks->under_way_ = 0;
}

struct bytes ask_channel(const struct ask *ask)
{
    return bytes_of(ask->name_, ask->name_size_);
}

enum rc asks_add(struct asks *asks, const struct ask_question *question)
{
    if (asks->open_ == ASKS_OPEN_MAX) {
        return RC_FULL;
    }
    const struct bytes channel = question->channel;
    ASSERT(channel.size > 0 && channel.size <= CHANNEL_NAME_BYTES_MAX);
    struct ask *ask = mem_calloc(1, sizeof(*ask) + channel.size + 1);
    if (ask == NULL) {
        return RC_NOMEM;
    }
    ask->user = question->user;
    ask->kind = (uint8_t)question->kind;
    ask->has_seq_ = question->has_seq;
    ask->seq = question->seq;
    ask->limit_ = question->limit;
    ask->name_size_ = (uint8_t)channel.size;
    bytes_copy(ask->name_, channel.data, channel.size);
    list_push_back(&asks->waiting_, &ask->node_);
    asks->open_++;
    return RC_OK;
}

void asks_on_lost(struct asks *asks)
{
    struct list *node;
    while ((node = list_pop_front(&asks->asked_)) != NULL) {
        CONTAINER_OF(node, struct ask, node_)->id_ = 0;
        list_push_back(&asks->waiting_, node);
    }
    asks->under_way_ = 0;
}

/* ---- asking -------------------------------------------------------------------------------- */

bool asks_due(const struct asks *asks)
{
    return !list_empty(&asks->waiting_) && asks->under_way_ < ASKS_UNDER_WAY_MAX;
}

enum rc asks_next(struct asks *asks, enum wire_codec codec, uint64_t id, struct buf *to)
{
    if (!asks_due(asks)) {
        return RC_END;
    }
    struct ask *ask = CONTAINER_OF(asks->waiting_.next, struct ask, node_);
    const struct bytes channel = ask_channel(ask);
    const enum rc rc = ask->kind == ASK_HISTORY
                           ? speak_history(codec, to, id, channel, ask->seq, ask->limit_)
                           : speak_digest(codec, to, id, channel, ask->has_seq_, ask->seq);
    if (rc == RC_OK) {
        ask->id_ = id;
        list_remove(&ask->node_);
        list_push_back(&asks->asked_, &ask->node_);
        asks->under_way_++;
    }
    return rc;
}

void asks_step(struct asks *asks, uint64_t now_ms)
{
    for (struct list *at = asks->paused_.next, *after; at != &asks->paused_; at = after) {
        after = at->next;
        if (now_ms >= CONTAINER_OF(at, struct ask, node_)->retry_at_ms_) {
            list_remove(at);
            list_push_back(&asks->waiting_, at);
        }
    }
}

uint64_t asks_deadline_ms(const struct asks *asks)
{
    uint64_t deadline = UINT64_MAX;
    for (const struct list *at = asks->paused_.next; at != &asks->paused_; at = at->next) {
        const uint64_t due = CONTAINER_OF(at, struct ask, node_)->retry_at_ms_;
        deadline = due < deadline ? due : deadline;
    }
    return deadline;
}

/* ---- answers ------------------------------------------------------------------------------- */

static struct ask *find(const struct asks *asks, uint64_t id)
{
    for (struct list *at = asks->asked_.next; at != &asks->asked_; at = at->next) {
        struct ask *ask = CONTAINER_OF(at, struct ask, node_);
        if (ask->id_ == id) {
            return ask;
        }
    }
    return NULL;
}

static bool code_is(const struct client_message *object, const char *code)
{
    return client_message_is(object, CLIENT_FIELD_CODE, bytes_of_text(code));
}

/* Not now, or never. True: it waits. */
static bool wait_longer(struct asks *asks, struct ask *ask, const struct client_message *object,
                        uint64_t drawn, uint64_t now_ms)
{
    const uint64_t asked = client_message_integer_or_0(object, CLIENT_FIELD_RETRY_AFTER_MS);
    if (asked == 0 && !code_is(object, "unavailable") && !code_is(object, "rate_limited") &&
        !code_is(object, "internal")) {
        return false;
    }
    const uint64_t wait = asked > 0 ? asked : link_jitter_ms(ask->refusals_, drawn);
    ask->refusals_ = (uint8_t)(ask->refusals_ < UINT8_MAX ? ask->refusals_ + 1 : UINT8_MAX);
    ask->retry_at_ms_ = now_ms + (wait < PAUSE_MS_MAX ? wait : PAUSE_MS_MAX);
    list_push_back(&asks->paused_, &ask->node_);
    return true;
}

static void take_refusal(const struct client_message *object, struct ask_answer *answer)
{
    answer->refused = true;
    client_message_show(object, CLIENT_FIELD_CODE, answer->code, sizeof(answer->code));
    client_message_show(object, CLIENT_FIELD_TEXT, answer->text, sizeof(answer->text));
    answer->earliest = client_message_integer_or_0(object, CLIENT_FIELD_EARLIEST);
    answer->latest = client_message_integer_or_0(object, CLIENT_FIELD_LATEST);
}

/* The ranges that a history leaves out, up to message `seq`; *at is what is left of them. */
static enum rc take_damaged(struct asks *asks, enum wire_codec codec, struct ask *ask,
                            struct reply *at, struct wire_range *range, bool *has, uint64_t seq)
{
    enum rc rc = RC_OK;
    while (rc == RC_OK && (!*has || range->from < seq)) {
        if (*has) {
            asks->ops_->damaged(asks->ctx_, ask, at->epoch, range);
        }
        rc = reply_next_damaged(codec, at, range);
        *has = rc == RC_OK;
    }
    return rc == RC_END ? RC_OK : rc;
}

static enum rc take_elements(struct asks *asks, enum wire_codec codec, struct ask *ask,
                             struct reply *reply, struct reply_room *room)
{
    struct wire_range range = {0};
    struct reply_message message;
    bool has = false;
    enum rc rc = RC_OK;
    while (rc == RC_OK) {
        rc = reply_next_element(codec, reply, room, &message);
        enum rc ranges = RC_OK;
        if (rc == RC_OK || rc == RC_END) {
            ranges = take_damaged(asks, codec, ask, reply, &range, &has,
                                  rc == RC_OK ? message.seq : UINT64_MAX);
        }
        if (rc == RC_OK && ranges == RC_OK) {
            message.channel = ask_channel(ask);
            asks->ops_->element(asks->ctx_, ask, reply->epoch, &message);
        }
        rc = ranges == RC_OK ? rc : ranges;
    }
    return rc == RC_END ? RC_OK : rc;
}

static enum rc take_answer(struct asks *asks, enum wire_codec codec, struct ask *ask,
                           struct reply *reply, struct reply_room *room, struct ask_answer *answer)
{
    bytes_copy((uint8_t *)answer->epoch, (const uint8_t *)reply->epoch, sizeof(answer->epoch));
    if (reply->type != (ask->kind == ASK_HISTORY ? CLIENT_HISTORY : CLIENT_DIGEST)) {
        answer->broken = true;
        (void)snprintf(answer->text, sizeof(answer->text), "a reply of another type");
        return RC_OK;
    }
    if (ask->kind == ASK_DIGEST) {
        answer->broken = !reply->has_digest;
        (void)snprintf(answer->text, sizeof(answer->text), "%s",
                       reply->has_digest ? "" : "a `digest` without one");
        answer->seq = reply->seq;
        answer->digest = reply->digest;
        return RC_OK;
    }
    answer->earliest = reply->earliest;
    answer->latest = reply->latest;
    answer->more = reply->more;
    return take_elements(asks, codec, ask, reply, room);
}

enum rc asks_take(struct asks *asks, enum wire_codec codec, struct reply *reply,
                  struct reply_room *room, uint64_t drawn, uint64_t now_ms, bool *ret_taken)
{
    struct ask *ask = reply->id == 0 ? NULL : find(asks, reply->id);
    struct ask_answer answer = {0};
    enum rc rc = RC_OK;
    *ret_taken = ask != NULL;
    if (ask == NULL) {
        return RC_OK;
    }
    ASSERT(asks->under_way_ > 0);
    asks->under_way_--;
    ask->id_ = 0;
    list_remove(&ask->node_);
    if (reply->type == CLIENT_ERROR) {
        if (wait_longer(asks, ask, &reply->object, drawn, now_ms)) {
            return RC_OK;
        }
        take_refusal(&reply->object, &answer);
    } else {
        rc = take_answer(asks, codec, ask, reply, room, &answer);
    }
    if (rc != RC_OK) {
        /* The connection ends with it; it is asked again on the next one, if there is one. */
        list_push_back(&asks->waiting_, &ask->node_);
        return rc;
    }
    asks->open_--;
    asks->ops_->answer(asks->ctx_, ask, &answer);
    ask_free(ask);
    return RC_OK;
}
