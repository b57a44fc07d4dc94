/* What a program with the C client library is given of its subscriptions: each message is the one
 * next to the one before, or a gap has named exactly what does not come, for a reason that is
 * true. Positions are the application's: they outlive the client. */
#include "sim/heap.h"
#include "sim/library.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

static unsigned producer_of(const struct follow *follow)
{
    return follow->library->producer;
}

static struct process *process_of(const struct follow *follow)
{
    return follow->library->now;
}

/* ---- callbacks ------------------------------------------------------------------------------- */

/* As a message of the protocol, for those who know that. */
static const struct value *object_of(struct buf *text, const struct seriatim_message *m)
{
    char head[600];
    int size = snprintf(head, sizeof(head), "{\"seq\":%llu,\"message_id\":\"%llu\",\"time\":%llu",
                        (unsigned long long)m->seq, (unsigned long long)m->message_id,
                        (unsigned long long)m->time_ms);
    if (m->key != NULL) {
        size += snprintf(head + size, sizeof(head) - (size_t)size, ",\"key\":\"%.*s\"",
                         (int)m->key_size, m->key);
    }
    if (m->producer != NULL) {
        size += snprintf(head + size, sizeof(head) - (size_t)size,
                         ",\"producer\":\"%.*s\",\"producer_seq\":%llu", (int)m->producer_size,
                         m->producer, (unsigned long long)m->producer_seq);
    }
    size += snprintf(head + size, sizeof(head) - (size_t)size, ",\"data\":");
    const enum rc rc = buf_reserve(text, (size_t)size + m->data_size + 1);
    ASSERT(rc == RC_OK && (size_t)size < sizeof(head));
    buf_put(text, head, (size_t)size);
    buf_put(text, m->data, m->data_size);
    buf_put(text, "}", 1);
    return value_read(text->data, text->size);
}

static void on_message(void *user, const struct seriatim_message *m)
{
    struct follow *follow = user;
    const enum heap_owner owner = heap_owner_set(HEAP_WORLD);
    trace("l%u: message %llu of %u", producer_of(follow), (unsigned long long)m->seq,
          follow->channel);
    const char *epoch = model_epoch(follow->channel, follow->history);
    if (!follow->live || m->seq != follow->next || m->bytes ||
        strcmp(m->channel, model_channel_name(follow->channel)) != 0 || epoch == NULL ||
        strcmp(m->epoch, epoch) != 0) {
        trace_fail("client dense", "l%u: seq %llu of %s, epoch %s, expected %llu of epoch %s%s",
                   producer_of(follow), (unsigned long long)m->seq, m->channel, m->epoch,
                   (unsigned long long)follow->next, epoch == NULL ? "none" : epoch,
                   follow->live ? "" : ", not subscribed");
    }
    struct buf text = {0};
    const struct value *object = object_of(&text, m);
    if (object == NULL) {
        trace_fail("client dense", "l%u: seq %llu of channel %u is no JSON", producer_of(follow),
                   (unsigned long long)m->seq, follow->channel);
    }
    model_seen(follow->channel, follow->history, object);
    owed_seen(&follow->owed, follow->channel, object);
    buf_deinit(&text);
    follow->next = m->seq + 1;
    if (!clients_calm && sim_chance(1)) {
        library_unsubscribe(process_of(follow), follow); /* from its own callback */
    }
    (void)heap_owner_set(owner);
}

/* Where the history itself is another, or the position was never there. */
static void reset_check(const struct follow *follow, const struct seriatim_gap *gap)
{
    const bool ahead = strcmp(gap->reason, "ahead") == 0;
    const bool chosen = !follow->known && follow->from == SERIATIM_SEQ;
    if (ahead && !chosen && !model_lossy()) {
        trace_fail("I4 no phantom", "l%u: position %llu of channel %u is ahead, and was there",
                   producer_of(follow), (unsigned long long)follow->next, follow->channel);
    }
}

static void on_gap(void *user, const struct seriatim_gap *gap)
{
    struct follow *follow = user;
    const enum heap_owner owner = heap_owner_set(HEAP_WORLD);
    const unsigned channel = follow->channel;
    trace("l%u: gap %llu … %llu of %u: %s", producer_of(follow), (unsigned long long)gap->from,
          (unsigned long long)gap->to, channel, gap->reason);
    const uint64_t right = follow->known ? follow->next : follow->asked;
    const bool trimmed = strcmp(gap->reason, "trimmed") == 0;
    const bool damaged = strcmp(gap->reason, "damaged") == 0;
    const bool slow = strcmp(gap->reason, "slow") == 0;
    const bool conflated = strcmp(gap->reason, "conflated") == 0;
    const bool reset = strcmp(gap->reason, "epoch") == 0 || strcmp(gap->reason, "ahead") == 0;
    if (gap->from != right || gap->to + 1 != gap->next || (gap->to < gap->from && !reset) ||
        (!trimmed && !damaged && !slow && !conflated && !reset)) {
        trace_fail("I7 no silent gap", "l%u: gap %llu … %llu of channel %u (%s), expected was %llu",
                   producer_of(follow), (unsigned long long)gap->from, (unsigned long long)gap->to,
                   channel, gap->reason, (unsigned long long)right);
    }
    if ((slow && follow->when_slow != SERIATIM_SKIP) ||
        (conflated && follow->when_slow != SERIATIM_CONFLATE) ||
        ((trimmed || damaged || reset) && !follow->go_on)) {
        trace_fail("I7 no silent gap", "l%u: a gap %s of channel %u, not asked for",
                   producer_of(follow), gap->reason, channel);
    }
    const unsigned history = model_heard(channel, gap->epoch);
    if (trimmed) {
        model_trimmed(channel, history, gap->to);
    } else if (damaged) {
        model_damaged(channel, gap->from, gap->to);
    } else if (conflated) {
        owed_add(&follow->owed, channel, history, gap->from, gap->to);
    } else if (reset) {
        reset_check(follow, gap);
    }
    if (!conflated) {
        follow->owed = (struct owed){0};
    }
    follow->known = true;
    follow->gap_told = true;
    follow->history = history;
    follow->next = gap->next;
    (void)heap_owner_set(owner);
}

/* The first message that is not older than that time; as far as their times are known. */
static bool time_right(const struct follow *follow, unsigned history, uint64_t next)
{
    uint64_t time;
    const unsigned channel = follow->channel;
    return model_may_be_damaged(channel) || next > follow->mark.latest ||
           history != follow->mark.history || history != model_history(channel) ||
           !(model_time(channel, next, &time) && time < follow->asked);
}

/* Where a subscription begins that had no position. */
static void begin_check(const struct follow *follow, unsigned history, uint64_t next)
{
    bool right = true;
    switch (follow->from) {
    case SERIATIM_LATEST:
        right = history != follow->mark.history || next > follow->mark.latest;
        break;
    case SERIATIM_EARLIEST:
        if (next > 1) {
            model_trimmed(follow->channel, history, next - 1);
        }
        break;
    case SERIATIM_SEQ: right = next == follow->asked; break;
    case SERIATIM_TIME: right = time_right(follow, history, next); break;
    case SERIATIM_POSITION: right = false; break;
    }
    if (!right) {
        trace_fail("P7 resume", "l%u: channel %u begins at %llu, asked was %u of %llu",
                   producer_of(follow), follow->channel, (unsigned long long)next,
                   (unsigned)follow->from, (unsigned long long)follow->asked);
    }
}

static void on_live(struct follow *follow, const struct seriatim_subscription_news *news)
{
    const unsigned history = model_heard(follow->channel, news->epoch);
    if (!follow->known) {
        begin_check(follow, history, news->next);
    } else if (news->next != follow->next || history < follow->history) {
        trace_fail("P7 resume", "l%u: channel %u goes on at %llu of epoch %s, expected was %llu%s",
                   producer_of(follow), follow->channel, (unsigned long long)news->next,
                   news->epoch, (unsigned long long)follow->next,
                   history < follow->history ? " of a later one" : "");
    } else if (history != follow->history && (follow->begun || follow->from != SERIATIM_SEQ)) {
        /* A number alone is one of any history: what is there may have become another one. */
        model_same(follow->channel, follow->history, follow->next);
    }
    follow->known = true;
    follow->begun = true;
    follow->live = true;
    follow->next = news->next;
    follow->history = history;
}

static void on_ended(struct follow *follow, const struct seriatim_subscription_news *news)
{
    if (news->status != SERIATIM_GAP || follow->go_on) {
        trace_fail("client subscription", "l%u: that of channel %u ends: %s, %s: %s",
                   producer_of(follow), follow->channel, seriatim_status_text(news->status),
                   news->code, news->text);
    }
    follow->known = false; /* what a hole means to it it decides anew */
    library_unsubscribe(process_of(follow), follow);
}

static void on_state(void *user, const struct seriatim_subscription_news *news)
{
    struct follow *follow = user;
    const enum heap_owner owner = heap_owner_set(HEAP_WORLD);
    static const char *const states[] = {"waits", "is live", "has ended"};
    trace("l%u: channel %u %s, next %llu %s", producer_of(follow), follow->channel,
          states[news->state], (unsigned long long)news->next, news->code);
    if (news->state == SERIATIM_SUB_LIVE) {
        on_live(follow, news);
    } else if (news->state == SERIATIM_SUB_WAITING) {
        if (follow->known && news->next != follow->next) {
            trace_fail("P7 resume", "l%u: channel %u waits at %llu, %llu is next",
                       producer_of(follow), follow->channel, (unsigned long long)news->next,
                       (unsigned long long)follow->next);
        }
        follow->live = false;
    } else {
        follow->live = false;
        on_ended(follow, news);
    }
    (void)heap_owner_set(owner);
}

/* ---- subscribing ----------------------------------------------------------------------------- */

struct subscribing {
    struct process *process;
    struct follow *follow;
    struct seriatim_subscribe subscribe;
    enum seriatim_status status;
};

static void subscribe_part(void *ctx)
{
    struct subscribing *s = ctx;
    s->status = seriatim_subscribe(s->process->client, &s->subscribe, &s->follow->sub);
}

static void draw_from(struct follow *follow)
{
    const unsigned channel = follow->channel;
    const uint64_t latest = model_latest(channel);
    if (follow->known && fault_happens(FAULT_RESUME_ANYWHERE)) {
        follow->known = false; /* it has forgotten */
    }
    if (follow->known) {
        const bool by_seq = !model_lossy() && sim_chance(15);
        follow->from = by_seq ? SERIATIM_SEQ : SERIATIM_POSITION;
        follow->asked = follow->next;
        return;
    }
    static const enum seriatim_from kinds[] = {SERIATIM_LATEST, SERIATIM_EARLIEST, SERIATIM_SEQ,
                                               SERIATIM_TIME};
    follow->from = clients_calm ? SERIATIM_EARLIEST : kinds[sim_below(4)];
    follow->asked = follow->from == SERIATIM_TIME  ? sim_wall_ms() - sim_below(20000)
                    : follow->from == SERIATIM_SEQ ? 1 + sim_below(latest + 3)
                                                   : 0;
    follow->history = model_history(channel);
    follow->owed = (struct owed){0};
}

void library_subscribe(struct process *process, struct follow *follow)
{
    if (process->client == NULL || process->failed || follow->sub != NULL) {
        return;
    }
    draw_from(follow);
    follow->mark = model_mark(follow->channel);
    follow->go_on = clients_calm || sim_chance(70);
    follow->when_slow = sim_chance(50)   ? SERIATIM_CATCH_UP
                        : sim_chance(50) ? SERIATIM_SKIP
                                         : SERIATIM_CONFLATE;
    follow->live = false;
    follow->begun = false;
    const unsigned window = (unsigned)sim_below(3);
    struct subscribing s = {
        .process = process,
        .follow = follow,
        .subscribe = {.size = sizeof(s.subscribe),
                      .channel = model_channel_name(follow->channel),
                      .from = follow->from,
                      .seq = follow->asked,
                      .epoch = model_epoch(follow->channel, follow->history),
                      .time_ms = follow->from == SERIATIM_TIME ? follow->asked : 0,
                      .window = window == 0   ? 0
                                : window == 1 ? 1
                                              : (uint32_t)sim_between(2, 20),
                      .when_slow = follow->when_slow,
                      .go_on_behind_gaps = follow->go_on,
                      .user = follow,
                      .on_message = on_message,
                      .on_gap = on_gap,
                      .on_state = on_state},
    };
    trace("l%u: subscribes to %u, from %u, %llu", follow->library->producer, follow->channel,
          (unsigned)follow->from, (unsigned long long)follow->asked);
    (void)process_call(process, subscribe_part, &s);
    if (s.status != SERIATIM_OK) {
        trace_fail("client subscription", "l%u: channel %u cannot be subscribed to: %s",
                   follow->library->producer, follow->channel, seriatim_status_text(s.status));
    }
}

static void unsubscribe_part(void *ctx)
{
    struct subscribing *s = ctx;
    seriatim_unsubscribe(s->process->client, s->follow->sub);
}

void library_unsubscribe(struct process *process, struct follow *follow)
{
    struct subscribing s = {.process = process, .follow = follow};
    if (follow->sub != NULL) {
        (void)process_call(process, unsubscribe_part, &s);
    }
    follow->sub = NULL;
    follow->live = false;
}

void library_follows_down(struct library *library)
{
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        library->follows[c].sub = NULL;
        library->follows[c].live = false;
    }
}

bool library_follows_settled(const struct library *library)
{
    for (unsigned c = 0; library->subscribes && c < clients_plan.channels; c++) {
        const struct follow *follow = &library->follows[c];
        if (!follow->live || follow->history != model_history(c) ||
            follow->next != model_latest(c) + 1) {
            return false;
        }
    }
    return true;
}
