/* A reader of histories over WebSocket, and the check of a history. */
#include "base/mem.h"
#include "sim/client.h"
#include "sim/history.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

#define CALM_ASKS 6u

/* ---- the check ------------------------------------------------------------------------------- */

struct history_ask history_ask_draw(unsigned channels)
{
    struct history_ask ask = {.channel = (unsigned)sim_below(channels)};
    ask.has_from = sim_chance(70);
    ask.from = sim_below(model_latest(ask.channel) + 3);
    ask.limit = sim_chance(90) ? sim_between(1, 20) : sim_between(1, 2000);
    ask.reverse = sim_chance(40);
    ask.mark = model_mark(ask.channel);
    return ask;
}

/* Whether all of from … to is told to be damaged. */
static bool told_damaged(const struct value *damaged, uint64_t from, uint64_t to)
{
    while (from <= to) {
        const struct value *range = NULL;
        const uint64_t before = from;
        while (damaged != NULL && (range = value_next(damaged, range)) != NULL) {
            if (member_u64(range, "from") <= from && member_u64(range, "to") >= from) {
                from = member_u64(range, "to") + 1;
            }
        }
        if (from == before) {
            return false;
        }
    }
    return true;
}

static void damage_check(const struct history_ask *ask, const struct value *damaged)
{
    const struct value *range = NULL;
    while (damaged != NULL && (range = value_next(damaged, range)) != NULL) {
        model_damaged(ask->channel, member_u64(range, "from"), member_u64(range, "to"));
    }
}

/* What of a history should stand between two places, and does not. */
static bool is_missing(const struct value *damaged, uint64_t from, uint64_t end)
{
    return from < end && !told_damaged(damaged, from, end - 1);
}

static void first_check(const struct history_ask *ask, const struct value *damaged, uint64_t first,
                        uint64_t earliest, uint64_t latest)
{
    uint64_t right;
    if (ask->reverse) {
        right = ask->has_from && ask->from < latest ? ask->from : latest;
    } else {
        right = ask->has_from && ask->from > earliest ? ask->from : earliest;
    }
    if (first != right &&
        is_missing(damaged, ask->reverse ? first + 1 : right, ask->reverse ? right + 1 : first)) {
        trace_fail("I7 no silent gap",
                   "a history of channel %u, %llu … %llu, begins at %llu instead of %llu",
                   ask->channel, (unsigned long long)earliest, (unsigned long long)latest,
                   (unsigned long long)first, (unsigned long long)right);
    }
}

/* What may be missing at the end: nothing, unless `more` says so. */
static void end_check(const struct history_ask *ask, const struct value *object, uint64_t last,
                      uint64_t earliest, uint64_t latest)
{
    const bool more = value_is_true(value_member(object, "more"));
    const struct value *damaged = value_member(object, "damaged");
    if (more && !is_missing(damaged, ask->reverse ? earliest : last + 1,
                            ask->reverse ? last : latest + 1)) {
        trace_fail("protocol", "a history of channel %u, %llu … %llu, ends at %llu, with \"more\"",
                   ask->channel, (unsigned long long)earliest, (unsigned long long)latest,
                   (unsigned long long)last);
    }
    if (!more && last != (ask->reverse ? earliest : latest) &&
        is_missing(damaged, ask->reverse ? earliest : last + 1, ask->reverse ? last : latest + 1)) {
        trace_fail("I7 no silent gap",
                   "a history of channel %u, %llu … %llu, ends at %llu without \"more\"",
                   ask->channel, (unsigned long long)earliest, (unsigned long long)latest,
                   (unsigned long long)last);
    }
}

void history_check(const struct history_ask *ask, const struct value *object)
{
    const unsigned history = model_told(ask->channel, object, ask->mark);
    const uint64_t earliest = member_u64(object, "earliest");
    const uint64_t latest = member_u64(object, "latest");
    const struct value *messages = value_member(object, "messages");
    const size_t count = value_count(messages);
    const struct value *damaged = value_member(object, "damaged");
    damage_check(ask, damaged);
    if (count > ask->limit) {
        trace_fail("protocol", "a history with %zu of %llu messages", count,
                   (unsigned long long)ask->limit);
    }
    uint64_t last = 0;
    const struct value *message = NULL;
    while ((message = value_next(messages, message)) != NULL) {
        const uint64_t seq = member_u64(message, "seq");
        if (last == 0) {
            first_check(ask, damaged, seq, earliest, latest);
        } else if (ask->reverse ? seq >= last || is_missing(damaged, seq + 1, last)
                                : seq <= last || is_missing(damaged, last + 1, seq)) {
            trace_fail("I1 dense", "a history of channel %u has %llu behind %llu", ask->channel,
                       (unsigned long long)seq, (unsigned long long)last);
        }
        last = seq;
        model_seen(ask->channel, history, message);
    }
    if (count > 0) {
        end_check(ask, object, last, earliest, latest);
    } else if (damaged == NULL && earliest <= latest &&
               (!ask->has_from || (!ask->reverse && ask->from <= latest) ||
                (ask->reverse && ask->from >= earliest))) {
        trace_fail("I7 no silent gap", "an empty history of channel %u, which has %llu … %llu",
                   ask->channel, (unsigned long long)earliest, (unsigned long long)latest);
    }
}

/* ---- the client ------------------------------------------------------------------------------ */

struct reader {
    struct client client; /* first */
    struct talk talk;
    struct history_ask asks[8]; /* by id, mod 8; as many are out at most */
    unsigned calm_asks;         /* it need not go on for ever */
};

/* A digest is there from the message before the earliest up to the latest. */
static void digest_refused(const struct talk *talk, const struct talk_ask *ask,
                           const struct value *object)
{
    const char *code = member_text(object, "code");
    if (strcmp(code, "unavailable") == 0) {
        talk_unavailable(talk, "a digest");
        return;
    }
    if (strcmp(code, "gap") != 0) {
        trace_fail("protocol", "a digest is refused: %s", code);
    }
    model_told(ask->channel, object, ask->mark);
    const uint64_t earliest = member_u64(object, "earliest");
    const uint64_t latest = member_u64(object, "latest");
    if (strcmp(member_text(object, "reason"), "damaged") == 0) {
        model_damaged(ask->channel, ask->from == 0 ? 1 : ask->from, ask->from == 0 ? 1 : ask->from);
        return;
    }
    const char *right = ask->from + 1 < earliest ? "trimmed" : ask->from > latest ? "ahead" : "";
    if (strcmp(member_text(object, "reason"), right) != 0) {
        trace_fail("P28 digest", "channel %u, %llu … %llu: the digest of %llu is refused as %s",
                   ask->channel, (unsigned long long)earliest, (unsigned long long)latest,
                   (unsigned long long)ask->from, member_text(object, "reason"));
    }
}

static void on_digest(const struct reader *reader, const char *type, const struct value *object,
                      const struct talk_ask *ask)
{
    trace("r%u: digest of %llu of %u: %s", reader->client.number, (unsigned long long)ask->from,
          ask->channel, type);
    if (strcmp(type, "error") == 0) {
        digest_refused(&reader->talk, ask, object);
    } else if (strcmp(type, "digest") != 0 || member_u64(object, "seq") != ask->from) {
        trace_fail("protocol", "the digest of %llu is answered with %s",
                   (unsigned long long)ask->from, type);
    } else {
        model_digest(ask->channel, object);
    }
}

static void on_object(struct talk *talk, const char *type, const struct value *object,
                      const struct talk_ask *ask)
{
    struct reader *reader = talk->owner;
    if (ask == NULL) {
        if (strcmp(type, "goaway") != 0) {
            trace_fail("protocol", "a reader is sent %s", type);
        }
        return;
    }
    const struct history_ask *history = &reader->asks[ask->id % 8];
    if (ask->kind == TALK_ASK_DIGEST) {
        on_digest(reader, type, object, ask);
    } else if (strcmp(type, "history") == 0 && ask->kind == TALK_ASK_HISTORY) {
        trace("r%u: history of %u, %zu messages", reader->client.number, ask->channel,
              value_count(value_member(object, "messages")));
        history_check(history, object);
    } else if (strcmp(type, "error") == 0) {
        trace("r%u: refused: %s", reader->client.number, member_text(object, "code"));
        if (strcmp(member_text(object, "code"), "unavailable") != 0) {
            trace_fail("protocol", "history is refused: %s", member_text(object, "message"));
        }
        talk_unavailable(talk, "a history");
    } else if (ask->kind != TALK_ASK_PING || strcmp(type, "pong") != 0) {
        trace_fail("protocol", "a reader is answered with %s", type);
    }
}

static void nothing(struct talk *talk)
{
    (void)talk;
}

static const struct talk_ops talk_ops = {.ready = nothing, .object = on_object, .down = nothing};

static void ask_history(struct reader *reader)
{
    struct talk *talk = &reader->talk;
    const struct history_ask history = history_ask_draw(clients_plan.channels);
    const struct talk_ask *ask = talk_ask(talk, TALK_ASK_HISTORY, history.channel);
    reader->asks[ask->id % 8] = history;
    char text[240];
    int size = snprintf(text, sizeof(text),
                        "{\"type\":\"history\",\"id\":%llu,\"channel\":\"%s\",\"limit\":%llu",
                        (unsigned long long)ask->id, model_channel_name(history.channel),
                        (unsigned long long)history.limit);
    if (history.has_from) {
        size += snprintf(text + size, sizeof(text) - (size_t)size, ",\"from\":%llu",
                         (unsigned long long)history.from);
    }
    size += snprintf(text + size, sizeof(text) - (size_t)size, ",\"reverse\":%s}",
                     history.reverse ? "true" : "false");
    talk_send(talk, bytes_of(text, (size_t)size));
}

static void ask_digest(struct reader *reader)
{
    const unsigned channel = (unsigned)sim_below(clients_plan.channels);
    const uint64_t latest = model_latest(channel);
    struct talk_ask *ask = talk_ask(&reader->talk, TALK_ASK_DIGEST, channel);
    char text[160];
    ask->from =
        sim_chance(50) ? latest - sim_below(latest < 5 ? latest + 1 : 5) : sim_below(latest + 3);
    const int size = snprintf(
        text, sizeof(text), "{\"type\":\"digest\",\"id\":%llu,\"channel\":\"%s\",\"seq\":%llu}",
        (unsigned long long)ask->id, model_channel_name(channel), (unsigned long long)ask->from);
    talk_send(&reader->talk, bytes_of(text, (size_t)size));
}

static void act(struct client *client)
{
    struct reader *reader = (struct reader *)client;
    struct talk *talk = &reader->talk;
    talk_check_time(talk);
    talk_open(talk, &clients_plan, clients_calm);
    if (talk->state != TALK_READY) {
        return;
    }
    /* Its ids must not meet in the table. */
    bool room = talk_asks_out(talk, TALK_ASK_HISTORY) < 3;
    for (unsigned i = 0; i < TALK_ASKS_MAX; i++) {
        room = room && (talk->asks[i].id == 0 || talk->asks[i].id + 7 > talk->id_last);
    }
    if (room && sim_chance(30)) {
        ask_digest(reader);
    } else if (room && reader->calm_asks < CALM_ASKS && (clients_calm || sim_chance(40))) {
        reader->calm_asks += clients_calm;
        ask_history(reader);
    }
    talk_fits(talk);
}

static bool settled(const struct client *client)
{
    const struct reader *reader = (const struct reader *)client;
    return reader->calm_asks == CALM_ASKS && talk_asks_out(&reader->talk, TALK_ASK_HISTORY) == 0 &&
           talk_settled(&reader->talk);
}

static void reader_close(struct client *client)
{
    struct reader *reader = (struct reader *)client;
    talk_deinit(&reader->talk);
    mem_free(reader);
}

struct client *reader_open(unsigned number)
{
    static const struct client_ops ops = {.act = act, .settled = settled, .close = reader_close};
    struct reader *reader = mem_calloc(1, sizeof(*reader));
    ASSERT(reader != NULL);
    reader->client = (struct client){.ops = &ops, .number = number};
    talk_init(&reader->talk, &talk_ops, reader, number * 10);
    return &reader->client;
}
