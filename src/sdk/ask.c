/* History and digests: what client/ask.h tells, in the words of the public header. */
#include "base/mem.h"
#include "sdk/private.h"

/* What is called for a question. */
struct sdk_question {
    void *user;
    void (*on_message)(void *user, const struct seriatim_message *message);
    void (*on_gap)(void *user, const struct seriatim_gap *gap);
    void (*on_answer)(void *user, const struct seriatim_answer *answer);
};

static const char *name_of(const struct ask *ask)
{
    return (const char *)ask_channel(ask).data;
}

static void on_element(void *ctx, struct ask *ask, const char *epoch, const struct reply_message *m)
{
    (void)ctx;
    const struct sdk_question *q = ask->user;
    const struct seriatim_message message = sdk_message(name_of(ask), epoch, m);
    q->on_message(q->user, &message);
}

static void on_damaged(void *ctx, struct ask *ask, const char *epoch,
                       const struct wire_range *range)
{
    (void)ctx;
    const struct sdk_question *q = ask->user;
    const struct seriatim_gap gap = {
        .channel = name_of(ask),
        .reason = reply_reason_text(REPLY_DAMAGED),
        .from = range->from,
        .to = range->to,
        .next = range->to + 1,
        .epoch = epoch,
    };
    if (q->on_gap != NULL) {
        q->on_gap(q->user, &gap);
    }
}

static enum seriatim_status status_of(const struct ask_answer *answer)
{
    if (answer->broken) {
        return SERIATIM_PROTOCOL;
    }
    if (!answer->refused) {
        return SERIATIM_OK;
    }
    return strcmp(answer->code, "gap") == 0 ? SERIATIM_GAP : SERIATIM_REFUSED;
}

static void on_answer(void *ctx, struct ask *ask, const struct ask_answer *a)
{
    (void)ctx;
    struct sdk_question *q = ask->user;
    const struct seriatim_answer answer = {
        .status = status_of(a),
        .channel = name_of(ask),
        .code = a->code,
        .text = a->text,
        .epoch = a->epoch,
        .earliest = a->earliest,
        .latest = a->latest,
        .more = a->more,
        .seq = a->seq,
        .digest = a->digest,
    };
    q->on_answer(q->user, &answer);
    mem_free(q);
}

const struct asks_ops sdk_asks_ops = {
    .element = on_element, .damaged = on_damaged, .answer = on_answer};

void sdk_forget_asks(struct seriatim_client *client)
{
    struct ask *ask;
    while ((ask = asks_pop(&client->agent.asks)) != NULL) {
        mem_free(ask->user);
        ask_free(ask);
    }
}

/* ---- the calls ----------------------------------------------------------------------------- */

/* A name that may be one. */
static enum seriatim_status check_channel(const char *channel)
{
    if (channel == NULL) {
        return SERIATIM_BAD;
    }
    const struct bytes name = bytes_of_text(channel);
    if (name.size > CHANNEL_NAME_BYTES_MAX) {
        return SERIATIM_TOO_LARGE;
    }
    return wire_channel_name_valid(name) ? SERIATIM_OK : SERIATIM_BAD;
}

static enum seriatim_status ask(struct seriatim_client *client, struct ask_question *question,
                                const struct sdk_question *call)
{
    struct sdk_question *kept = mem_alloc(sizeof(*kept));
    if (kept == NULL) {
        return SERIATIM_NOMEM;
    }
    *kept = *call;
    question->user = kept;
    sdk_lock(client);
    const bool closed = client->failed || stats_flag_get(&client->closing);
    const enum rc rc = closed ? RC_UNAVAILABLE : asks_add(&client->agent.asks, question);
    sdk_unlock(client);
    if (rc != RC_OK) {
        mem_free(kept);
        return closed ? SERIATIM_CLOSED : rc == RC_FULL ? SERIATIM_FULL : SERIATIM_NOMEM;
    }
    sdk_wake(client);
    return SERIATIM_OK;
}

enum seriatim_status seriatim_history(struct seriatim_client *client,
                                      const struct seriatim_history *h)
{
    if (h == NULL || h->size < sizeof(*h) || h->on_message == NULL || h->on_answer == NULL ||
        h->from == 0 || h->from > WIRE_INTEGER_MAX || h->limit > HISTORY_MESSAGES_MAX) {
        return SERIATIM_BAD;
    }
    const enum seriatim_status status = check_channel(h->channel);
    if (status != SERIATIM_OK) {
        return status;
    }
    struct ask_question question = {
        .kind = ASK_HISTORY,
        .channel = bytes_of_text(h->channel),
        .seq = h->from,
        .limit = h->limit == 0 ? HISTORY_MESSAGES_MAX : h->limit,
    };
    const struct sdk_question call = {h->user, h->on_message, h->on_gap, h->on_answer};
    return ask(client, &question, &call);
}

enum seriatim_status seriatim_digest(struct seriatim_client *client,
                                     const struct seriatim_digest *d)
{
    if (d == NULL || d->size < sizeof(*d) || d->on_answer == NULL || d->seq > WIRE_INTEGER_MAX) {
        return SERIATIM_BAD;
    }
    const enum seriatim_status status = check_channel(d->channel);
    if (status != SERIATIM_OK) {
        return status;
    }
    struct ask_question question = {
        .kind = ASK_DIGEST,
        .channel = bytes_of_text(d->channel),
        .has_seq = d->seq > 0,
        .seq = d->seq,
    };
    const struct sdk_question call = {d->user, NULL, NULL, d->on_answer};
    return ask(client, &question, &call);
}
