/* Subscriptions: what the agent tells, in the words of the public header.
 *
 * A callback may end its own subscription, so nothing of it is touched once a callback was called.
 */
#include "base/mem.h"
#include "sdk/private.h"

static_assert(sizeof(struct seriatim_subscription) + sizeof(struct agent_sub) <= 184,
              "with a name of 16 bytes, its place by name and the heap's own: at most 300 bytes");

static const char *name_of(const struct agent_sub *sub)
{
    return (const char *)agent_sub_name(sub).data;
}

static const char *text_or_null(struct bytes text, bool there)
{
    return there ? (const char *)text.data : NULL;
}

struct seriatim_message sdk_message(const char *channel, const char *epoch,
                                    const struct reply_message *m)
{
    return (struct seriatim_message){
        .channel = channel,
        .seq = m->seq,
        .epoch = epoch,
        .message_id = m->message_id,
        .time_ms = m->time_ms,
        .data = m->data.data,
        .data_size = m->data.size,
        .bytes = m->is_bytes,
        .key = text_or_null(m->key, m->has_key),
        .key_size = m->has_key ? m->key.size : 0,
        .producer = text_or_null(m->producer, m->producer.size > 0),
        .producer_size = m->producer.size,
        .producer_seq = m->producer_seq,
    };
}

static void on_message(void *ctx, struct agent_sub *sub, const struct reply_message *m)
{
    (void)ctx;
    const struct seriatim_subscription *s = sub->user;
    const struct seriatim_message message = sdk_message(name_of(sub), sub->epoch, m);
    s->on_message(s->user, &message);
}

static void on_gap(void *ctx, struct agent_sub *sub, const struct agent_gap *g)
{
    (void)ctx;
    const struct seriatim_subscription *s = sub->user;
    const struct seriatim_gap gap = {
        .channel = name_of(sub),
        .reason = reply_reason_text(g->reason),
        .from = g->from,
        .to = g->to,
        .next = g->next,
        .epoch = sub->epoch,
    };
    if (s->on_gap != NULL) {
        s->on_gap(s->user, &gap);
    }
}

static enum seriatim_status status_of(const struct agent_news *news)
{
    if (news->state != AGENT_SUB_ENDED) {
        return SERIATIM_OK;
    }
    if (news->broken) {
        return SERIATIM_PROTOCOL;
    }
    return strcmp(news->code, "gap") == 0 ? SERIATIM_GAP : SERIATIM_REFUSED;
}

static void on_state(void *ctx, struct agent_sub *sub, const struct agent_news *n)
{
    (void)ctx;
    const struct seriatim_subscription *s = sub->user;
    const struct seriatim_subscription_news news = {
        .channel = name_of(sub),
        .state = n->state == AGENT_SUB_LIVE    ? SERIATIM_SUB_LIVE
                 : n->state == AGENT_SUB_ENDED ? SERIATIM_SUB_ENDED
                                               : SERIATIM_SUB_WAITING,
        .status = status_of(n),
        .code = n->code,
        .text = n->text,
        .next = agent_sub_next(sub),
        .epoch = sub->has_cursor ? sub->epoch : "",
        .earliest = n->earliest,
        .latest = n->latest,
    };
    if (s->on_state != NULL) {
        s->on_state(s->user, &news);
    }
}

static void on_goaway(void *ctx, uint64_t reconnect_after_ms)
{
    struct seriatim_client *client = ctx;
    link_on_goaway(client->link, reconnect_after_ms, client->now_ms);
    if (client->options.on_connection != NULL) {
        client->options.on_connection(client->options.user, SERIATIM_LEAVING,
                                      "the server is about to leave");
    }
}

const struct agent_ops sdk_agent_ops = {
    .message = on_message, .gap = on_gap, .state = on_state, .goaway = on_goaway};

/* ---- the calls ----------------------------------------------------------------------------- */

static enum seriatim_status check(const struct seriatim_client *client,
                                  const struct seriatim_subscribe *s)
{
    if (s == NULL || s->size < sizeof(*s) || s->channel == NULL || s->on_message == NULL) {
        return SERIATIM_BAD;
    }
    const size_t size = strlen(s->channel);
    if (size > CHANNEL_NAME_BYTES_MAX || s->window > WINDOW_MAX) {
        return SERIATIM_TOO_LARGE;
    }
    const bool by_seq = s->from == SERIATIM_SEQ || s->from == SERIATIM_POSITION;
    const bool good =
        wire_channel_name_valid(bytes_of(s->channel, size)) && s->from <= SERIATIM_TIME &&
        s->when_slow <= SERIATIM_CONFLATE &&
        (s->from != SERIATIM_POSITION || speak_epoch_valid(client->codec, s->epoch)) &&
        (!by_seq || (s->seq > 0 && s->seq <= WIRE_INTEGER_MAX)) && s->time_ms <= WIRE_INTEGER_MAX;
    return good ? SERIATIM_OK : SERIATIM_BAD;
}

static enum wire_from from_of(enum seriatim_from from)
{
    switch (from) {
    case SERIATIM_LATEST: return WIRE_FROM_LATEST;
    case SERIATIM_EARLIEST: return WIRE_FROM_EARLIEST;
    case SERIATIM_SEQ: return WIRE_FROM_SEQ;
    case SERIATIM_POSITION: return WIRE_FROM_EPOCH_SEQ;
    case SERIATIM_TIME: return WIRE_FROM_TIME;
    }
    UNREACHABLE();
}

static enum wire_when_slow slow_of(enum seriatim_when_slow when)
{
    switch (when) {
    case SERIATIM_CATCH_UP: return WIRE_CATCH_UP;
    case SERIATIM_SKIP: return WIRE_SKIP;
    case SERIATIM_CONFLATE: return WIRE_CONFLATE;
    }
    UNREACHABLE();
}

static enum rc subscribe(struct seriatim_client *client, const struct seriatim_subscribe *s,
                         struct seriatim_subscription *sub)
{
    const struct agent_subscribe ask = {
        .channel = bytes_of_text(s->channel),
        .from = from_of(s->from),
        .epoch = s->epoch,
        .seq = s->seq,
        .time_ms = s->time_ms,
        .window = s->window,
        .on_gap_reset = s->go_on_behind_gaps,
        .when_slow = slow_of(s->when_slow),
        .user = sub,
    };
    sdk_lock(client);
    const enum rc rc = agent_subscribe(&client->agent, &ask, &sub->sub);
    sdk_unlock(client);
    return rc;
}

enum seriatim_status seriatim_subscribe(struct seriatim_client *client,
                                        const struct seriatim_subscribe *s,
                                        struct seriatim_subscription **ret_subscription)
{
    const enum seriatim_status status = check(client, s);
    if (status != SERIATIM_OK) {
        return status;
    }
    struct seriatim_subscription *sub = mem_alloc(sizeof(*sub));
    if (sub == NULL) {
        return SERIATIM_NOMEM;
    }
    *sub = (struct seriatim_subscription){.client = client,
                                          .user = s->user,
                                          .on_message = s->on_message,
                                          .on_gap = s->on_gap,
                                          .on_state = s->on_state};
    /* Before it is there for the client's thread: a callback may come before this returns. */
    if (ret_subscription != NULL) {
        *ret_subscription = sub;
    }
    const enum rc rc = subscribe(client, s, sub);
    if (rc != RC_OK) {
        mem_free(sub);
        return rc == RC_EXISTS ? SERIATIM_EXISTS : SERIATIM_NOMEM;
    }
    sdk_wake(client);
    return SERIATIM_OK;
}

void seriatim_unsubscribe(struct seriatim_client *client,
                          struct seriatim_subscription *subscription)
{
    if (subscription == NULL) {
        return;
    }
    ASSERT(subscription->client == client);
    sdk_lock(client);
    agent_unsubscribe(&client->agent, subscription->sub);
    sdk_unlock(client);
    mem_free(subscription);
    sdk_wake(client);
}
