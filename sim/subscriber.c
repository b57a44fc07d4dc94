/* A subscriber that remembers (epoch, seq) of what it has handled and resumes behind it: with and
 * without a window, from anywhere, told of gaps or ended by them, coming and going. */
#include "base/mem.h"
#include "sim/client.h"
#include "sim/faults.h"
#include "sim/keys.h"
#include "sim/trace.h"
#include "wire/command.h"

#include <stdio.h>
#include <string.h>

enum from_kind {
    FROM_LATEST,
    FROM_EARLIEST,
    FROM_SEQ,
    FROM_EPOCH_SEQ,
    FROM_TIME,
    FROM_OTHER_EPOCH, /* one that the channel never had, or that is none */
};

enum ack_kind {
    ACK_AHEAD, /* of what was not sent */
    ACK_AGAIN, /* of what was acknowledged */
};

struct follow {
    bool asked; /* subscribe is out */
    bool active;
    bool leaving; /* unsubscribe is out */
    bool on_gap_reset;
    enum wire_when_slow when_slow;
    uint64_t complete; /* up to here nothing is left out because it is slow */
    struct owed owed;  /* what was */
    uint64_t window;   /* 0: none */
    uint64_t next;     /* the seq expected; 0: it knows nothing yet */
    uint64_t acked;    /* told to the server */
    unsigned history;  /* the epoch that `next` belongs to */
    unsigned turns;    /* of its life: how often it has begun, ended, or met a gap */
    uint64_t ahead;    /* the highest that it acknowledged and that was not sent … */
    uint64_t
        perhaps; /* … and that may have met a gap on its way, so that it was of what was sent */
};

struct subscriber {
    struct client client; /* first */
    bool auditor;
    struct talk talk;
    struct follow follows[PLAN_CHANNELS_MAX];
};

/* ---- subscribing ----------------------------------------------------------------------------- */

static enum from_kind draw_from(const struct subscriber *subscriber, const struct follow *follow,
                                unsigned channel)
{
    if (follow->next == 0 && subscriber->auditor) {
        return FROM_EARLIEST;
    }
    if (fault_happens(FAULT_OTHER_EPOCH)) {
        return FROM_OTHER_EPOCH;
    }
    if (fault_happens(FAULT_RESUME_ANYWHERE)) {
        return (enum from_kind)sim_below(FROM_OTHER_EPOCH);
    }
    if (follow->next != 0) {
        const bool has_epoch = model_epoch(channel, follow->history) != NULL;
        return has_epoch && (model_lossy() || sim_chance(80)) ? FROM_EPOCH_SEQ : FROM_SEQ;
    }
    return clients_calm ? FROM_EARLIEST : (enum from_kind)sim_below(FROM_OTHER_EPOCH);
}

static size_t from_text(char *to, size_t size, const struct talk_ask *ask, unsigned channel)
{
    int done = 0;
    switch ((enum from_kind)ask->mode) {
    case FROM_LATEST: done = snprintf(to, size, "\"latest\""); break;
    case FROM_EARLIEST: done = snprintf(to, size, "\"earliest\""); break;
    case FROM_SEQ:
        done = snprintf(to, size, "{\"seq\":%llu}", (unsigned long long)ask->from);
        break;
    case FROM_EPOCH_SEQ:
        done = snprintf(to, size, "{\"epoch\":\"%s\",\"seq\":%llu}",
                        model_epoch(channel, ask->history), (unsigned long long)ask->from);
        break;
    case FROM_OTHER_EPOCH:
        done = snprintf(to, size, "{\"epoch\":\"%s\",\"seq\":%llu}",
                        ask->from % 2 == 0 ? "1" : "None", (unsigned long long)ask->from);
        break;
    case FROM_TIME:
        done = snprintf(to, size, "{\"time\":%llu}", (unsigned long long)ask->from);
        break;
    }
    return (size_t)done;
}

/* One that was away while the channel had lost something, perhaps more than once, comes back with
 * what it had. False: it is not such a one. */
static bool away_draw(struct talk_ask *ask, unsigned channel)
{
    const unsigned now = model_history(channel);
    if (now == 0 || clients_calm || !sim_chance(20)) {
        return false;
    }
    const unsigned history = (unsigned)sim_below(now);
    if (model_epoch(channel, history) == NULL) {
        return false;
    }
    ask->history = history;
    ask->from = sim_between(1, model_latest_of(channel, history) + 1);
    return true;
}

/* Some time, or just that of a message: mostly one of the last. */
static uint64_t time_draw(unsigned channel)
{
    const uint64_t latest = model_latest(channel);
    const uint64_t back = sim_chance(70) ? 3 : latest;
    uint64_t time = 0;
    const bool known =
        latest > 0 && sim_chance(50) &&
        model_time(channel, latest - sim_below(back < latest ? back : latest), &time);
    return known ? time : sim_wall_ms() - sim_below(20000);
}

static void subscribe(struct subscriber *subscriber, unsigned channel)
{
    struct follow *follow = &subscriber->follows[channel];
    struct talk_ask *ask = talk_ask(&subscriber->talk, TALK_ASK_SUBSCRIBE, channel);
    if (ask == NULL) {
        return;
    }
    enum from_kind from = draw_from(subscriber, follow, channel);
    ask->history = follow->next != 0 ? follow->history : model_history(channel);
    if (from == FROM_EPOCH_SEQ && model_epoch(channel, ask->history) == NULL) {
        from = FROM_SEQ;
    }
    const uint64_t latest = model_latest(channel);
    const bool away = from == FROM_EPOCH_SEQ && away_draw(ask, channel);
    ask->mode = from;
    const bool known = follow->next != 0 && (from == FROM_SEQ || from == FROM_EPOCH_SEQ);
    if (!away) {
        ask->from = known && !fault_happens(FAULT_RESUME_ANYWHERE) ? follow->next
                                                                   : sim_between(1, latest + 1);
    }
    if (from == FROM_SEQ && !clients_calm && sim_chance(5)) {
        ask->from = latest + sim_below(10); /* maybe ahead */
        ask->from += ask->from == 0;
    }
    if (from == FROM_TIME) {
        ask->from = time_draw(channel);
    }
    follow->asked = true;
    follow->on_gap_reset = sim_chance(60);
    follow->when_slow = subscriber->auditor || sim_chance(40) ? WIRE_CATCH_UP
                        : sim_chance(50)                      ? WIRE_SKIP
                                                              : WIRE_CONFLATE;
    follow->window = sim_chance(50) ? 0 : sim_chance(50) ? 1 : sim_between(2, 20);
    char where[120];
    (void)from_text(where, sizeof(where), ask, channel);
    char text[400];
    int size = snprintf(text, sizeof(text),
                        "{\"type\":\"subscribe\",\"id\":%llu,\"channel\":\"%s\",\"from\":%s,"
                        "\"on_gap\":\"%s\"",
                        (unsigned long long)ask->id, model_channel_name(channel), where,
                        follow->on_gap_reset ? "reset" : "error");
    if (follow->window > 0) {
        size += snprintf(text + size, sizeof(text) - (size_t)size, ",\"window\":%llu",
                         (unsigned long long)follow->window);
    }
    if (follow->when_slow != WIRE_CATCH_UP || sim_chance(20)) {
        static const char *const names[] = {"catch_up", "skip", "conflate"};
        size += snprintf(text + size, sizeof(text) - (size_t)size, ",\"when_slow\":\"%s\"",
                         names[follow->when_slow]);
    }
    size += snprintf(text + size, sizeof(text) - (size_t)size, "}");
    trace("s%u: %s", subscriber->client.number, text);
    talk_send(&subscriber->talk, bytes_of(text, (size_t)size));
}

/* Which reason a position has to be refused for; NULL: none, it is there. */
static const char *refusal(const struct talk_ask *ask, const struct value *object)
{
    if (ask->mode == FROM_OTHER_EPOCH) {
        return "epoch";
    }
    return ask->from < member_u64(object, "earliest")     ? "trimmed"
           : ask->from > member_u64(object, "latest") + 1 ? "ahead"
                                                          : NULL;
}

/* `history`: the one that the answer speaks of. A position of another one is good if all below it
 * has survived. */
static void refusal_check(const struct talk_ask *ask, const struct value *object, unsigned history,
                          const char *told)
{
    const char *right = refusal(ask, object);
    if (ask->mode == FROM_EPOCH_SEQ && ask->history != history) {
        if (told != NULL && strcmp(told, "epoch") == 0) {
            model_lost(ask->channel, ask->history, history, ask->from);
            return;
        }
        model_same(ask->channel, ask->history, ask->from);
    }
    if ((right == NULL) != (told == NULL) || (right != NULL && strcmp(right, told) != 0)) {
        trace_fail("P7 resume", "position %llu of channel %u, %llu … %llu: refused as %s, is %s",
                   (unsigned long long)ask->from, ask->channel,
                   (unsigned long long)member_u64(object, "earliest"),
                   (unsigned long long)member_u64(object, "latest"), told == NULL ? "good" : told,
                   right == NULL ? "good" : right);
    }
}

/* The first message that is not older than that time; as far as their times are known. */
static void time_check(const struct talk_ask *ask, uint64_t next, uint64_t earliest,
                       uint64_t latest)
{
    uint64_t time = 0;
    uint64_t seq = 0; /* of one that is wrong */
    if (next > earliest && model_time(ask->channel, next - 1, &time) && time >= ask->from) {
        seq = next - 1;
    } else if (next <= latest && model_time(ask->channel, next, &time) && time < ask->from) {
        seq = next;
    }
    if (!model_may_be_damaged(ask->channel) && (seq != 0 || next < earliest || next > latest + 1)) {
        trace_fail("P7 resume",
                   "channel %u, %llu … %llu, begins at %llu from time %llu on, and %llu is of %llu",
                   ask->channel, (unsigned long long)earliest, (unsigned long long)latest,
                   (unsigned long long)next, (unsigned long long)ask->from, (unsigned long long)seq,
                   (unsigned long long)time);
    }
}

/* What `next` must be, by what was asked. */
static void next_check(const struct talk_ask *ask, const struct value *object, unsigned history,
                       uint64_t next)
{
    const uint64_t earliest = member_u64(object, "earliest");
    const uint64_t latest = member_u64(object, "latest");
    const struct value *reset = value_member(object, "reset");
    const char *reason = reset == NULL ? NULL : member_text(reset, "reason");
    uint64_t right = next;
    switch ((enum from_kind)ask->mode) {
    case FROM_LATEST: right = latest + 1; break;
    case FROM_EARLIEST: right = earliest; break;
    case FROM_TIME: time_check(ask, next, earliest, latest); break;
    case FROM_OTHER_EPOCH:
        refusal_check(ask, object, history, reason);
        right = earliest;
        break;
    case FROM_SEQ:
    case FROM_EPOCH_SEQ:
        refusal_check(ask, object, history, reason);
        right = reason != NULL && strcmp(reason, "epoch") == 0 ? earliest
                : ask->from < earliest                         ? earliest
                : ask->from > latest + 1                       ? latest + 1
                                                               : ask->from;
        break;
    }
    if (next != right) {
        trace_fail("P7 resume", "channel %u begins at %llu instead of %llu", ask->channel,
                   (unsigned long long)next, (unsigned long long)right);
    }
}

static void on_subscribed(struct subscriber *subscriber, const struct talk_ask *ask,
                          const struct value *object)
{
    struct follow *follow = &subscriber->follows[ask->channel];
    const uint64_t next = member_u64(object, "next");
    follow->history = model_told(ask->channel, object, ask->mark);
    next_check(ask, object, follow->history, next);
    trace("s%u: subscribed to %u, next %llu", subscriber->client.number, ask->channel,
          (unsigned long long)next);
    follow->turns++;
    follow->asked = false;
    follow->active = true;
    follow->next = next;
    follow->complete = member_u64(object, "latest");
    follow->owed = (struct owed){0};
    follow->acked = next - 1;
    follow->ahead = 0;
    follow->perhaps = 0;
}

static void on_refused(struct subscriber *subscriber, const struct talk_ask *ask,
                       const struct value *object)
{
    struct follow *follow = &subscriber->follows[ask->channel];
    const char *code = member_text(object, "code");
    trace("s%u: subscribe to %u refused: %s", subscriber->client.number, ask->channel, code);
    follow->asked = false;
    if (strcmp(code, "gap") == 0) {
        follow->history = model_told(ask->channel, object, ask->mark);
        if (ask->mode != FROM_SEQ && ask->mode != FROM_EPOCH_SEQ && ask->mode != FROM_OTHER_EPOCH) {
            trace_fail("P7 resume", "a gap where no position was given");
        }
        refusal_check(ask, object, follow->history, member_text(object, "reason"));
        follow->next = member_u64(object, "earliest");
    } else if (strcmp(code, "unavailable") == 0) {
        talk_unavailable(&subscriber->talk, "a subscription");
    } else if (!(strcmp(code, "not_subscribed") == 0 && follow->leaving)) {
        trace_fail("protocol", "subscribe was refused: %s", code);
    }
}

/* ---- following ------------------------------------------------------------------------------- */

static struct follow *follow_of(struct subscriber *subscriber, const struct value *object,
                                unsigned *ret_channel)
{
    *ret_channel = model_channel_number(member_text(object, "channel"));
    return &subscriber->follows[*ret_channel];
}

static void ack(struct subscriber *subscriber, unsigned channel, uint64_t seq)
{
    char text[120];
    const int size =
        snprintf(text, sizeof(text), "{\"type\":\"ack\",\"channel\":\"%s\",\"seq\":%llu}",
                 model_channel_name(channel), (unsigned long long)seq);
    talk_send(&subscriber->talk, bytes_of(text, (size_t)size));
    subscriber->follows[channel].acked = seq;
}

/* What the server may take for acknowledged. */
static uint64_t acked_at_most(const struct follow *follow)
{
    return follow->perhaps > follow->acked ? follow->perhaps : follow->acked;
}

static void on_message(struct subscriber *subscriber, const struct value *object)
{
    unsigned channel;
    struct follow *follow = follow_of(subscriber, object, &channel);
    const uint64_t seq = member_u64(object, "seq");
    trace("s%u: message %llu of %u", subscriber->client.number, (unsigned long long)seq, channel);
    if (!follow->active || seq != follow->next) {
        trace_fail("I1 dense", "s%u: seq %llu of channel %u, expected %llu%s",
                   subscriber->client.number, (unsigned long long)seq, channel,
                   (unsigned long long)follow->next, follow->active ? "" : ", not subscribed");
    }
    model_seen(channel, follow->history, object);
    owed_seen(&follow->owed, channel, object);
    follow->next = seq + 1;
    if (follow->window > 0 && seq > acked_at_most(follow) + follow->window) {
        trace_fail("window", "s%u: seq %llu of channel %u, acked is %llu, window %llu",
                   subscriber->client.number, (unsigned long long)seq, channel,
                   (unsigned long long)follow->acked, (unsigned long long)follow->window);
    }
    if (follow->window > 0 && !follow->leaving && (clients_calm || sim_chance(60))) {
        ack(subscriber, channel, seq);
    }
}

enum hole { HOLE_TRIMMED, HOLE_DAMAGED, HOLE_SLOW };

/* What one that skips, or conflates, is not sent: newer than what stood there when it began, and
 * older than what comes. */
static void slow_check(struct subscriber *subscriber, unsigned channel, uint64_t from, uint64_t to)
{
    struct follow *follow = &subscriber->follows[channel];
    if (from <= follow->complete) {
        trace_fail("I7 no silent gap",
                   "s%u: %llu … %llu of channel %u are left out, %llu was there",
                   subscriber->client.number, (unsigned long long)from, (unsigned long long)to,
                   channel, (unsigned long long)follow->complete);
    }
    if (follow->when_slow == WIRE_CONFLATE) {
        owed_add(&follow->owed, channel, follow->history, from, to);
    }
}

static void gap_check(struct subscriber *subscriber, unsigned channel, const struct value *object,
                      enum hole hole)
{
    struct follow *follow = &subscriber->follows[channel];
    const uint64_t from = member_u64(object, "from");
    const uint64_t to = member_u64(object, "to");
    trace("s%u: gap %llu … %llu of %u", subscriber->client.number, (unsigned long long)from,
          (unsigned long long)to, channel);
    if (!follow->active || from != follow->next || to < from) {
        trace_fail("I7 no silent gap", "s%u: gap %llu … %llu of channel %u, expected was %llu",
                   subscriber->client.number, (unsigned long long)from, (unsigned long long)to,
                   channel, (unsigned long long)follow->next);
    }
    follow->perhaps = follow->ahead;
    follow->turns++;
    switch (hole) {
    case HOLE_DAMAGED: model_damaged(channel, from, to); break;
    case HOLE_TRIMMED: model_trimmed(channel, follow->history, to); break;
    case HOLE_SLOW: slow_check(subscriber, channel, from, to); break;
    }
    if (hole != HOLE_SLOW) {
        follow->owed = (struct owed){0}; /* the newer one may be in the hole */
    }
    follow->next = to + 1;
    follow->acked = to;
}

static void on_unsubscribed(struct subscriber *subscriber, const struct value *object,
                            const struct talk_ask *ask)
{
    unsigned channel;
    struct follow *follow = follow_of(subscriber, object, &channel);
    const char *reason = value_text(value_member(object, "reason"));
    trace("s%u: unsubscribed from %u, %s", subscriber->client.number, channel,
          reason == NULL ? "as asked" : reason);
    if ((!follow->active && !follow->leaving) || (ask == NULL) != (reason != NULL)) {
        trace_fail("protocol", "unsubscribed from channel %u, reason %s", channel,
                   reason == NULL ? "none" : reason);
    }
    if (reason != NULL && strcmp(reason, "gap") == 0) {
        if (follow->on_gap_reset) {
            trace_fail("I7 no silent gap", "ended by a gap, asked to go on");
        }
        /* It names the range and no reason: what is not below `earliest` is not trimmed. */
        gap_check(subscriber, channel, object,
                  member_u64(object, "to") >= member_u64(object, "earliest") ? HOLE_DAMAGED
                                                                             : HOLE_TRIMMED);
    } else if (reason != NULL && strcmp(reason, "unavailable") == 0) {
        talk_unavailable(&subscriber->talk, "a subscription");
    } else if (reason != NULL) {
        trace_fail("protocol", "unsubscribed with reason %s", reason);
    }
    follow->turns++;
    follow->active = false;
    follow->leaving = follow->leaving && ask == NULL;
}

/* [P 3 subscribe] "an ack beyond what was sent is bad_request, an older one is ignored". A reply
 * to an ack comes before that to a ping behind it. */
static void ack_refused(struct subscriber *subscriber, const struct talk_ask *ask,
                        const struct value *object)
{
    const char *code = member_text(object, "code");
    const struct follow *follow = &subscriber->follows[ask->channel];
    trace("s%u: ack of %llu of %u refused: %s", subscriber->client.number,
          (unsigned long long)ask->from, ask->channel, code);
    if (strcmp(code, "bad_request") == 0 ? ask->mode != ACK_AHEAD
                                         : strcmp(code, "not_subscribed") != 0 ||
                                               (follow->turns == ask->count && !follow->leaving)) {
        trace_fail("protocol", "an ack of %llu of channel %u, acked %llu, is refused: %s",
                   (unsigned long long)ask->from, ask->channel, (unsigned long long)follow->acked,
                   code);
    }
}

static void acks_check(struct subscriber *subscriber, uint64_t before_id)
{
    struct talk *talk = &subscriber->talk;
    for (unsigned i = 0; i < TALK_ASKS_MAX; i++) {
        struct talk_ask *ask = &talk->asks[i];
        if (ask->id == 0 || ask->kind != TALK_ASK_ACK || ask->id > before_id) {
            continue;
        }
        const struct follow *follow = &subscriber->follows[ask->channel];
        if (ask->mode == ACK_AHEAD && follow->turns == ask->count) {
            trace_fail("I13 refusals", "an ack of %llu of channel %u, which was not sent, is taken",
                       (unsigned long long)ask->from, ask->channel);
        }
        ask->id = 0;
    }
}

static void on_gap(struct subscriber *subscriber, const struct value *object)
{
    unsigned channel;
    const struct follow *follow = follow_of(subscriber, object, &channel);
    const char *reason = member_text(object, "reason");
    if (strcmp(reason, "slow") == 0 && follow->when_slow == WIRE_SKIP) {
        gap_check(subscriber, channel, object, HOLE_SLOW);
    } else if (strcmp(reason, "conflated") == 0 && follow->when_slow == WIRE_CONFLATE) {
        gap_check(subscriber, channel, object, HOLE_SLOW);
    } else if (strcmp(reason, "trimmed") == 0 && follow->on_gap_reset) {
        gap_check(subscriber, channel, object, HOLE_TRIMMED);
    } else if (strcmp(reason, "damaged") == 0 && follow->on_gap_reset) {
        gap_check(subscriber, channel, object, HOLE_DAMAGED);
    } else {
        trace_fail("I7 no silent gap", "a gap %s", reason);
    }
}

static void on_object(struct talk *talk, const char *type, const struct value *object,
                      const struct talk_ask *ask)
{
    struct subscriber *subscriber = talk->owner;
    if (strcmp(type, "message") == 0) {
        on_message(subscriber, object);
    } else if (strcmp(type, "gap") == 0) {
        on_gap(subscriber, object);
    } else if (strcmp(type, "unsubscribed") == 0) {
        on_unsubscribed(subscriber, object, ask);
    } else if (ask != NULL && ask->kind == TALK_ASK_SUBSCRIBE && strcmp(type, "subscribed") == 0) {
        on_subscribed(subscriber, ask, object);
    } else if (ask != NULL && ask->kind == TALK_ASK_SUBSCRIBE && strcmp(type, "error") == 0) {
        on_refused(subscriber, ask, object);
    } else if (ask != NULL && ask->kind == TALK_ASK_ACK && strcmp(type, "error") == 0) {
        ack_refused(subscriber, ask, object);
    } else if (ask != NULL && ask->kind == TALK_ASK_PING && strcmp(type, "pong") == 0) {
        acks_check(subscriber, ask->id);
    } else if (strcmp(type, "error") == 0) {
        /* An ack or an unsubscribe that crossed the server's own unsubscribed. */
        const char *code = member_text(object, "code");
        if (ask != NULL && ask->kind == TALK_ASK_UNSUBSCRIBE) {
            subscriber->follows[ask->channel].leaving = false;
        }
        if (strcmp(code, "not_subscribed") != 0) {
            trace_fail("protocol", "a subscriber is told %s: %s", code,
                       member_text(object, "message"));
        }
    } else if (strcmp(type, "goaway") != 0 && strcmp(type, "pong") != 0) {
        trace_fail("protocol", "a subscriber is sent %s", type);
    }
}

static void on_ready(struct talk *talk)
{
    (void)talk;
}

/* It remembers where it was, and nothing else. */
static void on_down(struct talk *talk)
{
    struct subscriber *subscriber = talk->owner;
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        struct follow *follow = &subscriber->follows[c];
        *follow = (struct follow){
            .next = follow->next, .history = follow->history, .turns = follow->turns + 1};
        if (!clients_calm && !subscriber->auditor && sim_chance(5)) {
            follow->next = 0; /* forgets */
        }
    }
}

static const struct talk_ops talk_ops = {.ready = on_ready, .object = on_object, .down = on_down};

/* ---- acting ---------------------------------------------------------------------------------- */

static void unsubscribe(struct subscriber *subscriber, unsigned channel)
{
    const struct talk_ask *ask = talk_ask(&subscriber->talk, TALK_ASK_UNSUBSCRIBE, channel);
    if (ask == NULL) {
        return;
    }
    char text[120];
    const int size =
        snprintf(text, sizeof(text), "{\"type\":\"unsubscribe\",\"id\":%llu,\"channel\":\"%s\"}",
                 (unsigned long long)ask->id, model_channel_name(channel));
    talk_send(&subscriber->talk, bytes_of(text, (size_t)size));
    subscriber->follows[channel].leaving = true;
}

static void ack_asked(struct subscriber *subscriber, unsigned channel, enum ack_kind kind,
                      uint64_t seq)
{
    struct talk *talk = &subscriber->talk;
    char text[160];
    if (talk_asks_out(talk, TALK_ASK_ACK) >= 8) {
        return;
    }
    struct talk_ask *ask = talk_ask(talk, TALK_ASK_ACK, channel);
    const struct talk_ask *ping = ask == NULL ? NULL : talk_ask(talk, TALK_ASK_PING, channel);
    if (ping == NULL) {
        talk_close(talk); /* so much is out: it has waited too long */
        return;
    }
    ask->mode = kind;
    ask->from = seq;
    ask->count = subscriber->follows[channel].turns;
    int size = snprintf(
        text, sizeof(text), "{\"type\":\"ack\",\"id\":%llu,\"channel\":\"%s\",\"seq\":%llu}",
        (unsigned long long)ask->id, model_channel_name(channel), (unsigned long long)seq);
    talk_send(talk, bytes_of(text, (size_t)size));
    size = snprintf(text, sizeof(text), "{\"type\":\"ping\",\"id\":%llu}",
                    (unsigned long long)ping->id);
    talk_send(talk, bytes_of(text, (size_t)size));
}

/* What is surely beyond: with a window the server has sent at most that much. */
static void ack_wrongly(struct subscriber *subscriber, unsigned channel)
{
    struct follow *follow = &subscriber->follows[channel];
    if (fault_happens(FAULT_ACK_AHEAD)) {
        const uint64_t seq = follow->window > 0 ? acked_at_most(follow) + follow->window + 1
                                                : model_latest(channel) + 100000;
        follow->ahead = seq > follow->ahead ? seq : follow->ahead;
        ack_asked(subscriber, channel, ACK_AHEAD, seq);
    } else if (follow->acked > 0 && fault_happens(FAULT_ACK_AGAIN)) {
        ack_asked(subscriber, channel, ACK_AGAIN, sim_between(1, follow->acked));
    }
}

static void act(struct client *client)
{
    struct subscriber *subscriber = (struct subscriber *)client;
    struct talk *talk = &subscriber->talk;
    talk_check_time(talk);
    talk_open(talk, &clients_plan, clients_calm);
    if (talk->state != TALK_READY) {
        return;
    }
    const unsigned channel = (unsigned)sim_below(clients_plan.channels);
    struct follow *follow = &subscriber->follows[channel];
    if (!follow->active && !follow->asked) {
        if (talk_asks_out(talk, TALK_ASK_UNSUBSCRIBE) == 0) {
            subscribe(subscriber, channel);
            if (fault_happens(FAULT_FLAPPING)) { /* before it has begun */
                unsubscribe(subscriber, channel);
            }
        }
    } else if (follow->active && !follow->leaving) {
        ack_wrongly(subscriber, channel);
        if (talk->state != TALK_READY) {
            return;
        }
        if (follow->window > 0 && follow->next - 1 > follow->acked) {
            ack(subscriber, channel, follow->next - 1);
        }
        if (fault_happens(FAULT_FLAPPING)) {
            unsubscribe(subscriber, channel);
            subscriber->client.next_us = sim_now_us + 1; /* and comes back */
        }
    }
    talk_fits(talk);
}

static bool settled(const struct client *client)
{
    const struct subscriber *subscriber = (const struct subscriber *)client;
    for (unsigned c = 0; c < clients_plan.channels; c++) {
        const struct follow *follow = &subscriber->follows[c];
        if (!follow->active || follow->history != model_history(c) ||
            follow->next != model_latest(c) + 1) {
            return false;
        }
    }
    return talk_settled(&subscriber->talk);
}

static void subscriber_close(struct client *client)
{
    struct subscriber *subscriber = (struct subscriber *)client;
    for (unsigned c = 0; clients_calm && settled(client) && c < clients_plan.channels; c++) {
        owed_check(&subscriber->follows[c].owed, c);
    }
    talk_deinit(&subscriber->talk);
    mem_free(subscriber);
}

struct client *subscriber_open(unsigned number, bool auditor)
{
    static const struct client_ops ops = {
        .act = act, .settled = settled, .close = subscriber_close};
    struct subscriber *subscriber = mem_calloc(1, sizeof(*subscriber));
    ASSERT(subscriber != NULL);
    subscriber->client = (struct client){.ops = &ops, .number = number};
    subscriber->auditor = auditor;
    talk_init(&subscriber->talk, &talk_ops, subscriber, number * 10);
    return &subscriber->client;
}
