/* A publisher that numbers its messages, keeps them in an outbox until they are acknowledged, and
 * sends them again as often as it likes: after a reconnect, out of impatience, on two connections
 * at once, in batches cut otherwise than before. */
#include "base/mem.h"
#include "sim/client.h"
#include "sim/copies.h"
#include "sim/faults.h"
#include "sim/keys.h"
#include "sim/history.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

#define TALKS     2u
#define BUMPS_MAX 20u /* without need */

/* Messages without a number have producers of their own in the model. */
#define PLAIN_PRODUCER 8u
#define PLAIN_MAX      200u
#define MODE_PLAIN     1u

struct outbox {
    unsigned made;  /* numbers 1 … made exist */
    unsigned acked; /* of them 1 … acked are acknowledged */
    unsigned ahead; /* the highest number that was sent far ahead of them */
    unsigned next[TALKS];
};

/* [P 2] Commands of a connection take effect in the order sent: a history or a subscription asked
 * for behind a publish knows its message. Answers may come in either order. */
struct own_writes {
    uint64_t published_id;
    uint64_t published_seq;
    uint64_t looked_id;
    uint64_t looked_latest;
    bool following;   /* a subscription to have a look is there … */
    unsigned history; /* … in which epoch */
};

struct publisher {
    struct client client; /* first */
    unsigned producer;
    unsigned epoch;
    unsigned talk_count;
    bool honest; /* what is acknowledged it does not have any more, and never sends again */
    struct talk talks[TALKS];
    struct own_writes own[TALKS][PLAN_CHANNELS_MAX];
    struct outbox outboxes[PLAN_CHANNELS_MAX];
    struct outbox old[PLAN_CHANNELS_MAX]; /* of the epoch before */
    unsigned plain;                       /* messages without a number, each sent once */
    uint64_t backoff_us;
};

static struct outbox *outbox_of(struct publisher *publisher, unsigned epoch, unsigned channel)
{
    return epoch == publisher->epoch ? &publisher->outboxes[channel] : &publisher->old[channel];
}

static unsigned index_of(const struct publisher *publisher, const struct talk *talk)
{
    return (unsigned)(talk - publisher->talks);
}

static void own_check(const struct own_writes *own, unsigned channel)
{
    if (own->published_id < own->looked_id && own->published_seq > own->looked_latest) {
        trace_fail("P20 order", "channel %u: seq %llu was published before an answer up to %llu",
                   channel, (unsigned long long)own->published_seq,
                   (unsigned long long)own->looked_latest);
    }
}

static void on_history(struct publisher *publisher, const struct talk *talk,
                       const struct talk_ask *ask, const struct value *object)
{
    struct own_writes *own = &publisher->own[index_of(publisher, talk)][ask->channel];
    const struct history_ask history = {
        .channel = ask->channel, .limit = 1, .reverse = true, .mark = ask->mark};
    history_check(&history, object);
    own->looked_id = ask->id;
    own->looked_latest = member_u64(object, "latest");
    own_check(own, ask->channel);
}

/* It wanted to know where the channel ends, no more. */
static void unsubscribe(struct talk *talk, unsigned channel)
{
    char text[120];
    const struct talk_ask *ask = talk_ask(talk, TALK_ASK_UNSUBSCRIBE, channel);
    if (ask != NULL) {
        const int size = snprintf(text, sizeof(text),
                                  "{\"type\":\"unsubscribe\",\"id\":%llu,\"channel\":\"%s\"}",
                                  (unsigned long long)ask->id, model_channel_name(channel));
        talk_send(talk, bytes_of(text, (size_t)size));
    }
}

static void on_subscribed(struct publisher *publisher, struct talk *talk,
                          const struct talk_ask *ask, const struct value *object)
{
    struct own_writes *own = &publisher->own[index_of(publisher, talk)][ask->channel];
    own->history = model_told(ask->channel, object, ask->mark);
    own->looked_id = ask->id;
    own->looked_latest = member_u64(object, "latest");
    if (member_u64(object, "next") != own->looked_latest + 1) {
        trace_fail("P7 resume", "\"latest\" of channel %u is not its end", ask->channel);
    }
    own_check(own, ask->channel);
    unsubscribe(talk, ask->channel);
}

/* True: it was about a subscription. */
static bool about_following(struct publisher *publisher, struct talk *talk, const char *type,
                            const struct value *object, const struct talk_ask *ask)
{
    if (strcmp(type, "message") == 0) {
        const unsigned channel = model_channel_number(member_text(object, "channel"));
        model_seen(channel, publisher->own[index_of(publisher, talk)][channel].history, object);
        return true;
    }
    if (strcmp(type, "unsubscribed") == 0) {
        const unsigned channel = model_channel_number(member_text(object, "channel"));
        publisher->own[index_of(publisher, talk)][channel].following = false;
        return true;
    }
    if (ask != NULL && ask->kind == TALK_ASK_SUBSCRIBE) {
        if (strcmp(type, "subscribed") == 0) {
            on_subscribed(publisher, talk, ask, object);
        } else {
            trace("p%u: subscribe refused: %s", publisher->producer, member_text(object, "code"));
            publisher->own[index_of(publisher, talk)][ask->channel].following = false;
        }
        return true;
    }
    return ask != NULL && ask->kind == TALK_ASK_UNSUBSCRIBE; /* it had ended by itself */
}

/* Numbers below `end`, from who.n on, are said to be stored: of each there must be a copy. */
static void sent_check(unsigned channel, struct identity who, uint64_t end, const char *why)
{
    for (; who.n < end && !model_lossy(); who.n++) {
        if (!copies_possible(channel, who)) {
            trace_fail("I6 producer order", "p%u e%u n%u is stored, says %s, and no copy can be",
                       who.producer, who.epoch, who.n, why);
        }
    }
}

static void acked(struct publisher *publisher, const struct talk_ask *ask,
                  const struct value *object, unsigned epoch)
{
    const bool duplicate = value_is_true(value_member(object, "duplicate"));
    const struct identity who = {publisher->producer, epoch, (unsigned)ask->from};
    const struct value *seq = value_member(object, "seq");
    struct outbox *outbox = outbox_of(publisher, epoch, ask->channel);
    if (seq == NULL && !duplicate) {
        trace_fail("protocol", "published without a seq, and no duplicate");
    }
    if (!duplicate && ask->from <= ask->known && !model_lossy()) {
        trace_fail("I5 once", "p%u e%u n%llu was acknowledged, and is stored again",
                   publisher->producer, epoch, (unsigned long long)ask->from);
    }
    for (uint64_t i = 0; seq != NULL && i < (duplicate ? 1 : ask->count); i++) {
        model_acked(ask->channel, member_text(object, "epoch"), value_number(seq) + i,
                    (struct identity){publisher->producer, epoch, (unsigned)(ask->from + i)});
    }
    /* What was sent far ahead may have come to be the next one on its way. */
    if (ask->from > outbox->made && ask->from > outbox->ahead && !model_lossy()) {
        trace_fail("I6 producer order", "p%u e%u n%llu is accepted, and %u is the last one made",
                   publisher->producer, epoch, (unsigned long long)ask->from, outbox->made);
    }
    if (duplicate) {
        copies_refused(ask->channel, who, ask->count, "a duplicate");
        sent_check(ask->channel, who, ask->from + ask->count, "a duplicate");
    }
    const unsigned end = (unsigned)(ask->from + ask->count - 1);
    outbox->acked = end > outbox->acked ? end : outbox->acked;
    outbox->made = end > outbox->made ? end : outbox->made; /* behind a loss any may come */
}

/* Its outbox is lost: a new incarnation numbers from 1. */
static void epoch_bump(struct publisher *publisher)
{
    ASSERT(publisher->epoch + 1 < EPOCHS_MAX);
    publisher->epoch++;
    trace("p%u: takes epoch %u", publisher->producer, publisher->epoch);
    bytes_copy(publisher->old, publisher->outboxes, sizeof(publisher->old));
    bytes_zero(publisher->outboxes, sizeof(publisher->outboxes));
    talk_close(&publisher->talks[0]);
    for (unsigned i = 1; i < publisher->talk_count; i++) {
        if (publisher->talks[i].epoch + 1 != publisher->epoch) {
            talk_close(&publisher->talks[i]); /* two epochs back nobody remembers */
        }
    }
}

static void expected(struct publisher *publisher, struct talk *talk, const struct talk_ask *ask,
                     const struct value *object)
{
    const unsigned next = (unsigned)member_u64(object, "expected");
    struct outbox *outbox = outbox_of(publisher, talk->epoch, ask->channel);
    /* Behind a loss any number may come first, and has then been made. */
    if (model_lossy() && next > outbox->made) {
        outbox->made = next - 1;
    }
    if (next <= ask->known && model_lossy() && publisher->honest) {
        trace_fail("I12 liveness",
                   "p%u e%u can never go on: expected is %u, and 1 … %llu, which "
                   "were acknowledged, it has no more",
                   publisher->producer, talk->epoch, next, (unsigned long long)ask->known);
    }
    if ((next <= ask->known && !model_lossy()) ||
        (next > outbox->made + 1 && next > outbox->ahead + 1)) {
        trace_fail("I5 once", "p%u e%u: expected is %u; 1 … %llu were acknowledged, made are %u",
                   publisher->producer, talk->epoch, next, (unsigned long long)ask->known,
                   outbox->made);
    }
    const uint64_t end = ask->from + ask->count;
    if (!model_lossy() && (ask->from == next || end <= next)) {
        trace_fail("I6 producer order", "p%u e%u: %llu … %llu out of sequence, expected is %u",
                   publisher->producer, talk->epoch, (unsigned long long)ask->from,
                   (unsigned long long)end - 1, next);
    }
    sent_check(ask->channel, (struct identity){publisher->producer, talk->epoch, 1}, next,
               "out_of_sequence");
    outbox->acked = next - 1 > outbox->acked ? next - 1 : outbox->acked;
    outbox->next[index_of(publisher, talk)] = next;
}

static void refused(struct publisher *publisher, struct talk *talk, const struct talk_ask *ask,
                    const struct value *object)
{
    const char *code = member_text(object, "code");
    struct outbox *outbox = outbox_of(publisher, talk->epoch, ask->channel);
    trace("p%u: n%llu to %u refused: %s", publisher->producer, (unsigned long long)ask->from,
          ask->channel, code);
    copies_refused(ask->channel,
                   (struct identity){publisher->producer, talk->epoch, (unsigned)ask->from},
                   ask->count, code);
    if (strcmp(code, "out_of_sequence") == 0) {
        expected(publisher, talk, ask, object);
    } else if (strcmp(code, "unavailable") == 0) {
        talk_unavailable(talk, "a publish");
        outbox->next[index_of(publisher, talk)] = outbox->acked + 1;
        publisher->backoff_us = sim_now_us + sim_below(500000);
    } else if (strcmp(code, "producer_unknown") == 0 && ask->known == 0 && ask->from > 1) {
        outbox->next[index_of(publisher, talk)] = outbox->acked + 1;
    } else if (strcmp(code, "producer_unknown") == 0) {
        /* All of the channel was trimmed, and with it went what it knew of its producers. */
        model_forgotten(ask->channel, publisher->producer, talk->epoch);
        if (talk->epoch == publisher->epoch) {
            epoch_bump(publisher);
        } else {
            talk_close(talk);
        }
    } else if (strcmp(code, "producer_fenced") == 0 && talk->epoch < publisher->epoch) {
        talk_close(talk);
    } else {
        trace_fail("protocol", "p%u e%u n%llu refused with %s", publisher->producer, talk->epoch,
                   (unsigned long long)ask->from, code);
    }
}

/* A message without a number has been answered. It is never sent again, so it is stored at most
 * once; on a connection of an older epoch it is refused like any other. */
static void plain_answered(struct publisher *publisher, const struct talk *talk, const char *type,
                           const struct value *object, const struct talk_ask *ask)
{
    if (strcmp(type, "published") == 0) {
        struct own_writes *own = &publisher->own[index_of(publisher, talk)][ask->channel];
        own->published_id = ask->id;
        own->published_seq = member_u64(object, "seq");
        trace("p%u: plain %llu to %u published, seq %llu", publisher->producer,
              (unsigned long long)ask->from, ask->channel, (unsigned long long)own->published_seq);
        model_acked(
            ask->channel, member_text(object, "epoch"), own->published_seq,
            (struct identity){PLAIN_PRODUCER + publisher->producer, 0, (unsigned)ask->from});
        own_check(own, ask->channel);
        return;
    }
    const char *code = member_text(object, "code");
    trace("p%u: plain %llu to %u refused: %s", publisher->producer, (unsigned long long)ask->from,
          ask->channel, code);
    copies_refused(ask->channel,
                   (struct identity){PLAIN_PRODUCER + publisher->producer, 0, (unsigned)ask->from},
                   1, code);
    if (strcmp(code, "unavailable") == 0) {
        talk_unavailable(talk, "a publish");
    } else if (!(strcmp(code, "producer_fenced") == 0 && talk->epoch < publisher->epoch)) {
        trace_fail("protocol", "p%u: a message without a number is refused with %s",
                   publisher->producer, code);
    }
}

static void on_object(struct talk *talk, const char *type, const struct value *object,
                      const struct talk_ask *ask)
{
    struct publisher *publisher = talk->owner;
    if (about_following(publisher, talk, type, object, ask)) {
        return;
    }
    if (ask == NULL) {
        if (strcmp(type, "goaway") != 0) {
            trace_fail("protocol", "a publisher is sent %s", type);
        }
        return;
    }
    if (ask->kind == TALK_ASK_PUBLISH && ask->mode == MODE_PLAIN) {
        plain_answered(publisher, talk, type, object, ask);
    } else if (strcmp(type, "published") == 0) {
        trace("p%u: n%llu+%llu to %u published, seq %llu", publisher->producer,
              (unsigned long long)ask->from, (unsigned long long)ask->count, ask->channel,
              (unsigned long long)value_number(value_member(object, "seq")));
        acked(publisher, ask, object, talk->epoch);
        struct own_writes *own = &publisher->own[index_of(publisher, talk)][ask->channel];
        own->published_id = ask->id;
        own->published_seq = value_number(value_member(object, "seq"));
        own_check(own, ask->channel);
    } else if (strcmp(type, "history") == 0 && ask->kind == TALK_ASK_HISTORY) {
        on_history(publisher, talk, ask, object);
    } else if (strcmp(type, "error") == 0 && ask->kind == TALK_ASK_HISTORY) {
        trace("p%u: history refused: %s", publisher->producer, member_text(object, "code"));
    } else if (strcmp(type, "error") == 0) {
        refused(publisher, talk, ask, object);
    } else if (ask->kind != TALK_ASK_PING || strcmp(type, "pong") != 0) {
        trace_fail("protocol", "publish is answered with %s", type);
    }
}

/* The outbox goes again, from what is not acknowledged. */
static void on_ready(struct talk *talk)
{
    struct publisher *publisher = talk->owner;
    const unsigned index = index_of(publisher, talk);
    bytes_zero(publisher->own[index], sizeof(publisher->own[index]));
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        struct outbox *outbox = outbox_of(publisher, talk->epoch, c);
        outbox->next[index] = outbox->acked + 1;
    }
}

static void on_down(struct talk *talk)
{
    (void)talk;
}

static const struct talk_ops talk_ops = {.ready = on_ready, .object = on_object, .down = on_down};

/* ---- acting ---------------------------------------------------------------------------------- */

static void put(struct buf *buf, const char *text)
{
    const enum rc rc = buf_append(buf, bytes_of_text(text));
    ASSERT(rc == RC_OK);
}

static void send_from(struct publisher *publisher, struct talk *talk, unsigned channel,
                      struct outbox *outbox)
{
    unsigned *next = &outbox->next[index_of(publisher, talk)];
    if (*next == 0 || *next > outbox->made) {
        return;
    }
    struct talk_ask *ask = talk_ask(talk, TALK_ASK_PUBLISH, channel);
    if (ask == NULL) {
        return;
    }
    const unsigned left = outbox->made - *next + 1;
    const unsigned most = left < clients_plan.batch_max ? left : clients_plan.batch_max;
    const unsigned count = (unsigned)sim_between(1, most);
    const bool batch = count > 1 || sim_chance(10);
    ask->from = *next;
    ask->count = count;
    ask->known = outbox->acked;
    char head[160];
    (void)snprintf(head, sizeof(head),
                   "{\"type\":\"publish\",\"id\":%llu,\"channel\":\"%s\",\"producer_seq\":%u,\"%s",
                   (unsigned long long)ask->id, model_channel_name(channel), *next,
                   batch ? "batch\":[" : "data\":");
    struct buf text = {0};
    put(&text, head);
    for (unsigned i = 0; i < count; i++) {
        put(&text, batch ? i > 0 ? ",{\"data\":" : "{\"data\":" : "");
        key_payload(&text, channel, (struct identity){publisher->producer, talk->epoch, *next + i});
        put(&text, batch ? "}" : "");
    }
    put(&text, batch ? "]}" : "}");
    copies_sent(channel, (struct identity){publisher->producer, talk->epoch, *next}, count);
    talk_send(talk, buf_bytes(&text));
    buf_deinit(&text);
    *next += count;
}

static void send_some(struct publisher *publisher, struct talk *talk, unsigned channel)
{
    send_from(publisher, talk, channel, outbox_of(publisher, talk->epoch, channel));
}

static void send_plain(struct publisher *publisher, struct talk *talk, unsigned channel)
{
    struct talk_ask *ask = talk_ask(talk, TALK_ASK_PUBLISH, channel);
    if (ask == NULL || publisher->plain >= PLAIN_MAX) {
        if (ask != NULL) {
            ask->id = 0;
        }
        return;
    }
    ask->mode = MODE_PLAIN;
    ask->from = ++publisher->plain;
    ask->count = 1;
    char head[120];
    (void)snprintf(head, sizeof(head),
                   "{\"type\":\"publish\",\"id\":%llu,\"channel\":\"%s\",\"data\":",
                   (unsigned long long)ask->id, model_channel_name(channel));
    struct buf text = {0};
    put(&text, head);
    key_payload(&text, channel,
                (struct identity){PLAIN_PRODUCER + publisher->producer, 0, publisher->plain});
    copies_sent(channel,
                (struct identity){PLAIN_PRODUCER + publisher->producer, 0, publisher->plain}, 1);
    put(&text, "}");
    talk_send(talk, buf_bytes(&text));
    buf_deinit(&text);
}

static void ask_history(struct talk *talk, unsigned channel)
{
    char text[200];
    const struct talk_ask *ask = talk_ask(talk, TALK_ASK_HISTORY, channel);
    if (ask != NULL) {
        const int size = snprintf(text, sizeof(text),
                                  "{\"type\":\"history\",\"id\":%llu,\"channel\":\"%s\","
                                  "\"limit\":1,\"reverse\":true}",
                                  (unsigned long long)ask->id, model_channel_name(channel));
        talk_send(talk, bytes_of(text, (size_t)size));
    }
}

static void ask_subscribe(struct publisher *publisher, struct talk *talk, unsigned channel)
{
    char text[200];
    struct own_writes *own = &publisher->own[index_of(publisher, talk)][channel];
    const struct talk_ask *ask =
        own->following ? NULL : talk_ask(talk, TALK_ASK_SUBSCRIBE, channel);
    if (ask != NULL) {
        const int size =
            snprintf(text, sizeof(text), "{\"type\":\"subscribe\",\"id\":%llu,\"channel\":\"%s\"}",
                     (unsigned long long)ask->id, model_channel_name(channel));
        talk_send(talk, bytes_of(text, (size_t)size));
        own->following = true;
    }
}

/* Everything that is not acknowledged, again and again. */
static void storm(struct publisher *publisher, struct talk *talk, unsigned channel)
{
    struct outbox *outbox = outbox_of(publisher, talk->epoch, channel);
    unsigned *next = &outbox->next[index_of(publisher, talk)];
    for (uint64_t times = sim_between(2, 5); times > 0; times--) {
        *next = outbox->acked + 1;
        for (unsigned i = 0; i < 10 && *next <= outbox->made; i++) {
            send_some(publisher, talk, channel);
        }
    }
}

/* A number that is not made yet: it must be refused. */
static void send_ahead(struct publisher *publisher, struct talk *talk, unsigned channel)
{
    struct outbox *outbox = outbox_of(publisher, talk->epoch, channel);
    struct outbox ahead = *outbox;
    const unsigned index = index_of(publisher, talk);
    ahead.next[index] = outbox->made + (unsigned)sim_between(2, 40);
    ahead.made = ahead.next[index];
    outbox->ahead = ahead.made > outbox->ahead ? ahead.made : outbox->ahead;
    send_from(publisher, talk, channel, &ahead);
}

static void make(struct publisher *publisher)
{
    struct outbox *outbox = &publisher->outboxes[sim_below(clients_plan.channels)];
    if (!clients_calm && outbox->made < clients_plan.messages_max &&
        outbox->made < outbox->acked + 30) {
        outbox->made += (unsigned)sim_between(1, 1 + clients_plan.batch_max);
    }
}

static void talk_act(struct publisher *publisher, struct talk *talk)
{
    talk_check_time(talk);
    if (talk->state == TALK_DOWN) {
        talk->producer = publisher->producer;
        talk->epoch = publisher->epoch;
        /* Only there: the first connection is the one that makes progress. */
        if (index_of(publisher, talk) > 0 && talk->epoch > 1 && fault_happens(FAULT_OLD_EPOCH)) {
            talk->epoch--;
        }
        talk_open(talk, &clients_plan, clients_calm);
    }
    if (talk->state != TALK_READY || sim_now_us < publisher->backoff_us) {
        return;
    }
    if (clients_calm && talk->epoch != publisher->epoch) {
        talk_close(talk);
        return;
    }
    const unsigned channel = (unsigned)sim_below(clients_plan.channels);
    struct outbox *outbox = outbox_of(publisher, talk->epoch, channel);
    unsigned *next = &outbox->next[index_of(publisher, talk)];
    if (!clients_calm && sim_chance(3) &&
        outbox->made > 0) { /* impatience, or a number far ahead */
        *next = publisher->honest || sim_chance(80) ? outbox->acked + 1
                                                    : (unsigned)sim_between(1, outbox->made);
    } else if (clients_calm && talk_asks_out(talk, TALK_ASK_PUBLISH) == 0 && *next > outbox->made) {
        *next = outbox->acked + 1;
    }
    if (fault_happens(FAULT_RETRY_STORM)) {
        storm(publisher, talk, channel);
    }
    if (!publisher->honest && fault_happens(FAULT_NUMBER_AHEAD)) {
        send_ahead(publisher, talk, channel);
    }
    const unsigned burst = (unsigned)sim_between(1, sim_chance(20) ? 20 : 2);
    for (unsigned i = 0; i < burst; i++) {
        send_some(publisher, talk, channel);
    }
    if (!clients_calm && sim_chance(10)) {
        ask_history(talk, channel);
    }
    if (!clients_calm && sim_chance(4)) {
        send_plain(publisher, talk, channel);
    } else if (!clients_calm && sim_chance(15)) {
        ask_subscribe(publisher, talk, channel);
    }
    talk_fits(talk);
}

static void act(struct client *client)
{
    struct publisher *publisher = (struct publisher *)client;
    make(publisher);
    if (publisher->epoch < BUMPS_MAX && fault_happens(FAULT_NEW_EPOCH)) {
        epoch_bump(publisher);
    }
    talk_act(publisher, &publisher->talks[sim_below(publisher->talk_count)]);
}

static bool settled(const struct client *client)
{
    const struct publisher *publisher = (const struct publisher *)client;
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        if (publisher->outboxes[c].acked < publisher->outboxes[c].made) {
            return false;
        }
    }
    return talk_settled(&publisher->talks[0]) && talk_settled(&publisher->talks[1]);
}

static void publisher_close(struct client *client)
{
    struct publisher *publisher = (struct publisher *)client;
    for (unsigned i = 0; i < TALKS; i++) {
        talk_deinit(&publisher->talks[i]);
    }
    mem_free(publisher);
}

struct client *publisher_open(unsigned number, unsigned producer)
{
    static const struct client_ops ops = {.act = act, .settled = settled, .close = publisher_close};
    struct publisher *publisher = mem_calloc(1, sizeof(*publisher));
    ASSERT(publisher != NULL);
    publisher->client = (struct client){.ops = &ops, .number = number};
    publisher->producer = producer;
    publisher->epoch = 1;
    publisher->honest = sim_chance(40);
    publisher->talk_count = !publisher->honest && fault_happens(FAULT_TWO_CONNECTIONS) ? 2 : 1;
    for (unsigned i = 0; i < TALKS; i++) {
        talk_init(&publisher->talks[i], &talk_ops, publisher, number * 10 + i);
    }
    return &publisher->client;
}
