/* client/agent, with client/outbox, client/receive, client/speak and client/reply: what a client
 * promises, against a server that is as bad as one may be and still keeps its word.
 *
 * Method: the server here is a naive model that reads commands and writes replies with the server's
 * own codecs. By seed it loses connections (with what was on its way), refuses for now and for
 * good, answers late, forgets to answer, leaves holes in what it pushes, repeats, trims. At the end
 * of each run: each message that was published stands in the channel once, in order, and was told
 * its seq; each subscriber has had each message once and in order, or was told the gap. Both
 * codecs. */
#include "client/agent.h"

#include "base/mem.h"
#include "base/prng.h"
#include "wire/binary_codec.h"
#include "wire/codec.h"
#include "wire/json_codec.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CHANNELS     3u
#define MESSAGES_MAX 600u
#define FRAMES_MAX   512u
#define EPOCH        77u
#define EPOCH_TEXT   "2d" /* the same in base 32 */
#define BAD_VALUE    13u  /* messages that end so are refused for good */

/* ---- the server ---------------------------------------------------------------------------- */

struct server_channel {
    char name[24];
    uint32_t values[MESSAGES_MAX];
    uint64_t count;    /* messages; their seqs are 1 … */
    uint64_t earliest; /* what is before it is trimmed */
    uint64_t producer_next;
    uint64_t mute_from; /* the first number that was stored and not answered; 0: none */
    bool subscribed;
    bool on_gap_reset;
    uint64_t pushed; /* the next seq to push */
    uint64_t acked;
    uint64_t window;
};

struct world {
    struct prng prng;
    enum wire_codec codec;
    bool calm; /* no more faults */
    uint64_t now_ms;
    struct agent agent;
    struct server_channel channels[CHANNELS];
    struct buf replies[FRAMES_MAX]; /* on their way to the client */
    size_t first_reply;
    size_t reply_count;
    /* the client's side */
    struct agent_sub *subs[CHANNELS];
    uint64_t next_seen[CHANNELS]; /* the seq that its application expects */
    uint64_t gaps;
    uint64_t published; /* handed over */
    uint64_t told[OUTBOX_FENCED + 1];
    uint64_t ends[CHANNELS]; /* number of the last one that ended, by order of publishing */
    uint64_t resent;
    uint64_t histories;
    uint64_t drops;
};

static bool chance(struct world *w, uint64_t in)
{
    return !w->calm && prng_below(&w->prng, in) == 0;
}

/* A reply, as a WebSocket message of its own. */
static struct buf *reply(struct world *w)
{
    assert_true(w->reply_count < FRAMES_MAX);
    struct buf *to = &w->replies[(w->first_reply + w->reply_count++) % FRAMES_MAX];
    buf_clear(to);
    return to;
}

static void say_error(struct world *w, enum wire_error_code code, const struct wire_command *c,
                      uint64_t expected, uint64_t retry_ms)
{
    struct wire_error error = {.code = code,
                               .id = c->id,
                               .has_expected = code == WIRE_ERROR_OUT_OF_SEQUENCE,
                               .expected = expected,
                               .retry_after_ms = retry_ms,
                               .message = "as the test has it"};
    assert_int_equal(codec_encode_error(w->codec, reply(w), &error), RC_OK);
}

static uint32_t value_of(const struct wire_item *item)
{
    char text[16] = {0};
    assert_true(item->data.size < sizeof(text));
    bytes_copy(text, item->data.data, item->data.size);
    const uint32_t value = (uint32_t)atoi(text);
    assert_int_equal(item->is_bytes, value % 2);
    assert_int_equal(item->has_key, value % 3 == 0);
    return value;
}

static void on_publish(struct world *w, struct server_channel *ch, const struct wire_command *c)
{
    assert_true(c->has_producer_seq);
    const uint64_t end = c->producer_seq + c->item_count;
    if (ch->mute_from == 0 && chance(w, 12)) {
        say_error(w, WIRE_ERROR_UNAVAILABLE, c, 0, prng_below(&w->prng, 2) * 40);
        return;
    }
    if (c->producer_seq > ch->producer_next ||
        (c->producer_seq < ch->producer_next && end > ch->producer_next)) {
        say_error(w, WIRE_ERROR_OUT_OF_SEQUENCE, c, ch->producer_next, 0);
        return;
    }
    const bool duplicate = c->producer_seq < ch->producer_next;
    for (uint32_t i = 0; i < c->item_count && !duplicate; i++) {
        if (value_of(&c->items[i]) % 100 == BAD_VALUE) {
            say_error(w, WIRE_ERROR_TOO_LARGE, c, 0, 0);
            return;
        }
    }
    uint64_t seq = 0;
    bool muted = true;
    for (uint32_t i = 0; i < c->item_count && !duplicate; i++) {
        assert_true(ch->count < MESSAGES_MAX);
        ch->values[ch->count++] = value_of(&c->items[i]);
        seq = seq == 0 ? ch->count : seq;
    }
    if (duplicate) {
        /* Nothing but this producer publishes there: numbers and seqs go side by side, less what
         * was refused, whose numbers were given to the next. */
        seq = c->producer_seq;
    }
    ch->producer_next = duplicate ? ch->producer_next : end;
    if (ch->mute_from == 0 && chance(w, 40)) {
        ch->mute_from = c->producer_seq; /* nothing of this channel is answered from here on … */
    } else if (ch->mute_from != 0 && duplicate && c->producer_seq == ch->mute_from) {
        assert_int_equal(c->item_count, 1);
        ch->mute_from++; /* … but one after the other, when it comes once more */
        w->resent++;
        muted = false;
    }
    if (ch->mute_from != 0 && muted) {
        return;
    }
    ch->mute_from = ch->mute_from == ch->producer_next ? 0 : ch->mute_from;
    const struct wire_published published = {.id = c->id,
                                             .channel = bytes_of_text(ch->name),
                                             .has_seq = true,
                                             .seq = seq,
                                             .is_batch = c->is_batch,
                                             .count = c->item_count,
                                             .message_id = 5,
                                             .epoch = EPOCH,
                                             .duplicate = duplicate};
    assert_int_equal(codec_encode_published(w->codec, reply(w), &published), RC_OK);
}

static void on_subscribe(struct world *w, struct server_channel *ch, const struct wire_command *c)
{
    uint64_t next = c->from == WIRE_FROM_EARLIEST ? ch->earliest
                    : c->from == WIRE_FROM_LATEST ? ch->count + 1
                                                  : c->seq;
    const char *reset = NULL;
    if (chance(w, 10)) {
        say_error(w, WIRE_ERROR_UNAVAILABLE, c, 0, 0);
        return;
    }
    if (next < ch->earliest) {
        reset = "trimmed";
        next = ch->earliest;
    }
    assert_true(!ch->subscribed && next <= ch->count + 1 && c->on_gap_reset);
    ch->subscribed = true;
    ch->pushed = next;
    ch->acked = next - 1;
    ch->window = c->window;
    const struct wire_subscribed subscribed = {.id = c->id,
                                               .channel = bytes_of_text(ch->name),
                                               .epoch = EPOCH,
                                               .next = next,
                                               .earliest = ch->earliest,
                                               .latest = ch->count,
                                               .reset_reason = reset};
    assert_int_equal(codec_encode_subscribed(w->codec, reply(w), &subscribed), RC_OK);
}

static struct wire_message message_at(const struct server_channel *ch, uint64_t seq, char *room)
{
    const uint32_t value = ch->values[seq - 1];
    (void)snprintf(room, 16, "%u", value);
    return (struct wire_message){.channel = bytes_of_text(ch->name),
                                 .seq = seq,
                                 .message_id = 1000 + seq,
                                 .time_ms = 5000 + seq,
                                 .key = bytes_of("k\"ey", value % 3 == 0 ? 4 : 0),
                                 .has_key = value % 3 == 0,
                                 .producer = bytes_of_text("me"),
                                 .producer_seq = seq,
                                 .data = bytes_of_text(room),
                                 .is_bytes = value % 2 != 0};
}

static void on_history(struct world *w, struct server_channel *ch, const struct wire_command *c)
{
    char room[16];
    struct buf elements = {0};
    assert_true(c->has_history_from && c->limit >= 1);
    w->histories++;
    uint64_t seq = c->history_from < ch->earliest ? ch->earliest : c->history_from;
    uint64_t count = 0;
    uint64_t most = c->limit;
    most = chance(w, 2) ? 1 + prng_below(&w->prng, most) : most;
    for (; seq <= ch->count && count < most; seq++, count++) {
        const struct wire_message m = message_at(ch, seq, room);
        if (w->codec == WIRE_BINARY) {
            assert_int_equal(binary_encode_element(&elements, &m), RC_OK);
        } else {
            if (count > 0) {
                assert_int_equal(buf_append(&elements, BYTES_LITERAL(",")), RC_OK);
            }
            assert_int_equal(json_encode_message(&elements, &m, false), RC_OK);
        }
    }
    const struct wire_history history = {.id = c->id,
                                         .channel = bytes_of_text(ch->name),
                                         .epoch = EPOCH,
                                         .earliest = ch->earliest,
                                         .latest = ch->count,
                                         .elements = buf_bytes(&elements),
                                         .more = seq <= ch->count};
    assert_int_equal(codec_encode_history(w->codec, reply(w), &history), RC_OK);
    buf_deinit(&elements);
}

static struct server_channel *channel_named(struct world *w, struct bytes name)
{
    for (size_t i = 0; i < CHANNELS; i++) {
        if (bytes_equal(name, bytes_of_text(w->channels[i].name))) {
            return &w->channels[i];
        }
    }
    fail();
    return NULL;
}

static void serve(struct world *w, const struct wire_command *c)
{
    struct server_channel *ch = channel_named(w, c->channel);
    switch (c->type) {
    case WIRE_PUBLISH: on_publish(w, ch, c); break;
    case WIRE_SUBSCRIBE: on_subscribe(w, ch, c); break;
    case WIRE_ACK:
        assert_true(ch->subscribed && c->seq < ch->pushed);
        ch->acked = c->seq > ch->acked ? c->seq : ch->acked;
        break;
    case WIRE_HISTORY: on_history(w, ch, c); break;
    case WIRE_UNSUBSCRIBE: ch->subscribed = false; break;
    case WIRE_CONNECT:
    case WIRE_DIGEST:
    case WIRE_PING: fail(); break;
    }
}

/* Pushes some of what each subscription is owed, with holes and repetitions. */
static void push_some(struct world *w)
{
    char room[16];
    struct buf scratch = {0};
    for (size_t i = 0; i < CHANNELS; i++) {
        struct server_channel *ch = &w->channels[i];
        if (ch->subscribed && ch->pushed < ch->earliest) {
            const struct wire_notice gap = {.channel = bytes_of_text(ch->name),
                                            .reason = "trimmed",
                                            .has_range = true,
                                            .from = ch->pushed,
                                            .to = ch->earliest - 1};
            assert_int_equal(codec_encode_gap(w->codec, reply(w), &gap), RC_OK);
            ch->pushed = ch->earliest;
            ch->acked = ch->acked < ch->pushed - 1 ? ch->pushed - 1 : ch->acked;
        }
        uint64_t count = prng_below(&w->prng, 12);
        for (; count > 0 && ch->subscribed && ch->pushed <= ch->count && w->reply_count < 400 &&
               (ch->window == 0 || ch->pushed - 1 - ch->acked < ch->window);
             count--) {
            const uint64_t seq =
                chance(w, 20) && ch->pushed > ch->earliest
                    ? ch->earliest + prng_below(&w->prng, ch->pushed - ch->earliest)
                    : ch->pushed++;
            const bool hole = seq == ch->pushed - 1 && chance(w, 20);
            if (!hole) {
                /* Without its frame header, which is 2 or 4 bytes long. */
                const struct wire_message m = message_at(ch, seq, room);
                struct buf framed = {0};
                assert_int_equal(codec_encode_message_frame(w->codec, &framed, &m, &scratch),
                                 RC_OK);
                const size_t head = framed.data[1] < 126 ? 2 : 4;
                assert_int_equal(
                    buf_append(reply(w), bytes_of(framed.data + head, framed.size - head)), RC_OK);
                buf_deinit(&framed);
            }
        }
    }
    buf_deinit(&scratch);
}

/* ---- the client's application -------------------------------------------------------------- */

static void on_message(void *ctx, struct agent_sub *sub, const struct reply_message *m)
{
    struct world *w = ctx;
    const size_t i = (size_t)(uintptr_t)sub->user;
    char room[16];
    assert_true(w->subs[i] == sub);
    assert_int_equal(m->seq, w->next_seen[i]); /* dense, or a gap was told */
    w->next_seen[i]++;
    const struct wire_message wanted = message_at(&w->channels[i], m->seq, room);
    assert_true(bytes_equal(m->channel, wanted.channel));
    assert_true(bytes_equal(m->data, wanted.data) && m->is_bytes == wanted.is_bytes);
    assert_true(bytes_equal(m->key, wanted.key) && m->has_key == wanted.has_key);
    assert_true(bytes_equal(m->producer, wanted.producer));
    assert_int_equal(m->producer_seq, wanted.producer_seq);
    assert_int_equal(m->message_id, wanted.message_id);
    assert_int_equal(m->time_ms, wanted.time_ms);
    assert_string_equal(sub->epoch, EPOCH_TEXT);
}

static void on_gap(void *ctx, struct agent_sub *sub, const struct agent_gap *gap)
{
    struct world *w = ctx;
    const size_t i = (size_t)(uintptr_t)sub->user;
    assert_int_equal(gap->reason, REPLY_TRIMMED);
    assert_int_equal(gap->from, w->next_seen[i]);
    assert_true(gap->to >= gap->from && gap->next == gap->to + 1);
    assert_true(gap->to < w->channels[i].earliest);
    w->next_seen[i] = gap->next;
    w->gaps++;
}

static void on_state(void *ctx, struct agent_sub *sub, const struct agent_news *news)
{
    struct world *w = ctx;
    const size_t i = (size_t)(uintptr_t)sub->user;
    if (news->state == AGENT_SUB_LIVE && w->next_seen[i] == 0) {
        w->next_seen[i] = sub->receive.next; /* it asked for the earliest there is */
    }
    if (news->state == AGENT_SUB_ENDED) {
        print_error("ended: %s %s\n", news->code, news->text);
    }
    assert_int_not_equal(news->state, AGENT_SUB_ENDED);
}

static void on_goaway(void *ctx, uint64_t after_ms)
{
    (void)ctx;
    (void)after_ms;
    fail();
}

static void on_done(void *ctx, struct outbox_channel *channel, struct outbox_message *message,
                    const struct outbox_result *result)
{
    struct world *w = ctx;
    const struct server_channel *ch = channel_named(w, outbox_channel_name(channel));
    const uint64_t order = (uint64_t)(uintptr_t)message->user;
    const size_t i = (size_t)(ch - w->channels);
    assert_true(order > w->ends[i]); /* [I6] in the order of publishing */
    w->ends[i] = order;
    w->told[result->end]++;
    const struct wire_item item = outbox_message_item(message);
    if (result->end == OUTBOX_PUBLISHED) {
        assert_true(result->seq >= 1 && result->seq <= ch->count);
        assert_int_equal(ch->values[result->seq - 1], value_of(&item));
        assert_string_equal(result->epoch, EPOCH_TEXT);
    } else {
        assert_int_equal(result->end, OUTBOX_REFUSED);
        assert_string_equal(result->code, "too_large");
        assert_int_equal(value_of(&item) % 100, BAD_VALUE);
    }
    outbox_message_free(message);
}

static void on_moved(void *ctx, struct outbox_channel *channel)
{
    (void)ctx;
    (void)channel;
}

static void on_dropped(void *ctx, struct outbox_channel *channel)
{
    struct world *w = ctx;
    (void)channel;
    w->drops++;
}

static const struct agent_ops agent_ops = {on_message, on_gap, on_state, on_goaway};
static const struct outbox_ops outbox_ops = {on_done, on_moved, on_dropped};

static void publish(struct world *w)
{
    char text[16];
    const size_t i = prng_below(&w->prng, CHANNELS);
    const uint32_t value = (uint32_t)++w->published;
    struct outbox_channel *channel;
    (void)snprintf(text, sizeof(text), "%u", value);
    const struct wire_item item = {.data = bytes_of_text(text),
                                   .key = bytes_of("k\"ey", value % 3 == 0 ? 4 : 0),
                                   .has_key = value % 3 == 0,
                                   .is_bytes = value % 2 != 0};
    struct outbox_message *message = outbox_message_make(&item);
    assert_non_null(message);
    message->user = (void *)(uintptr_t)value;
    assert_int_equal(outbox_channel(&w->agent.outbox, bytes_of_text(w->channels[i].name), &channel),
                     RC_OK);
    outbox_add(&w->agent.outbox, channel, message, false);
}

/* ---- a run --------------------------------------------------------------------------------- */

static void client_to_server(struct world *w, struct wire_scratch *scratch)
{
    static const struct wire_limits limits = {.message_bytes = 1000};
    struct buf frame = {0};
    for (unsigned i = 0; i < 20 && w->reply_count < 300; i++) {
        buf_clear(&frame);
        const enum rc rc = agent_next(&w->agent, w->now_ms, &frame);
        if (rc == RC_END) {
            break;
        }
        assert_int_equal(rc, RC_OK);
        struct bytes rest = buf_bytes(&frame);
        while (rest.size > 0) {
            struct wire_command command;
            struct wire_error error;
            assert_int_equal(
                codec_command_decode(w->codec, &rest, &limits, scratch, &command, &error), RC_OK);
            serve(w, &command);
        }
    }
    buf_deinit(&frame);
}

static void server_to_client(struct world *w)
{
    uint64_t count = w->calm ? UINT64_MAX : prng_below(&w->prng, 30);
    for (; count > 0 && w->reply_count > 0; count--) {
        struct buf *next = &w->replies[w->first_reply];
        w->first_reply = (w->first_reply + 1) % FRAMES_MAX;
        w->reply_count--;
        if (agent_take(&w->agent, buf_bytes(next), w->now_ms) != RC_OK) {
            print_error("%s\n", agent_why(&w->agent));
            fail();
        }
    }
}

static void reconnect(struct world *w)
{
    w->reply_count = 0; /* lost on the way */
    for (size_t i = 0; i < CHANNELS; i++) {
        w->channels[i].subscribed = false;
        w->channels[i].mute_from = 0;
    }
    agent_on_lost(&w->agent);
    agent_on_ready(&w->agent, 65536);
}

static void trim(struct world *w)
{
    struct server_channel *ch = &w->channels[prng_below(&w->prng, CHANNELS)];
    ch->earliest +=
        ch->count >= ch->earliest ? prng_below(&w->prng, ch->count - ch->earliest + 2) : 0;
}

static void turn(struct world *w, struct wire_scratch *scratch)
{
    w->now_ms += prng_below(&w->prng, 60);
    agent_step(&w->agent, w->now_ms);
    client_to_server(w, scratch);
    push_some(w);
    server_to_client(w);
    if (chance(w, 40)) {
        reconnect(w);
    }
    if (chance(w, 30)) {
        trim(w);
    }
}

static void begin(struct world *w, uint64_t seed, enum wire_codec codec)
{
    static const uint32_t windows[] = {0, 1, 2, 7, 100};
    w->prng.state = seed;
    w->codec = codec;
    w->now_ms = 1000;
    const struct agent_options options = {
        .codec = codec,
        .publish_window = 1 + prng_below(&w->prng, 50),
        .batch_max = 1 + (uint32_t)prng_below(&w->prng, 20),
        .seed = seed,
        .ops = &agent_ops,
        .outbox_ops = &outbox_ops,
        .ctx = w,
    };
    assert_int_equal(agent_init(&w->agent, &options), RC_OK);
    for (size_t i = 0; i < CHANNELS; i++) {
        struct server_channel *ch = &w->channels[i];
        (void)snprintf(ch->name, sizeof(ch->name), i == 0 ? "a \"name\"" : "channel-%zu", i);
        ch->earliest = 1;
        ch->producer_next = 1;
        const struct agent_subscribe subscribe = {.channel = bytes_of_text(ch->name),
                                                  .from = WIRE_FROM_EARLIEST,
                                                  .window = windows[prng_below(&w->prng, 5)],
                                                  .on_gap_reset = true,
                                                  .user = (void *)(uintptr_t)i};
        assert_int_equal(agent_subscribe(&w->agent, &subscribe, &w->subs[i]), RC_OK);
        assert_int_equal(agent_subscribe(&w->agent, &subscribe, &w->subs[i]), RC_EXISTS);
    }
    agent_on_ready(&w->agent, 65536);
}

static bool all_seen(const struct world *w)
{
    bool seen = outbox_count(&w->agent.outbox) == 0;
    for (size_t i = 0; i < CHANNELS; i++) {
        seen = seen && w->next_seen[i] == w->channels[i].count + 1;
    }
    return seen;
}

static void judge(const struct world *w)
{
    uint64_t stored = 0;
    for (size_t i = 0; i < CHANNELS; i++) {
        const struct server_channel *ch = &w->channels[i];
        for (uint64_t s = 1; s < ch->count; s++) {
            assert_true(ch->values[s] > ch->values[s - 1]); /* in order, and once */
        }
        stored += ch->count;
    }
    assert_int_equal(w->told[OUTBOX_PUBLISHED], stored);
    assert_int_equal(w->told[OUTBOX_PUBLISHED] + w->told[OUTBOX_REFUSED], w->published);
    assert_int_equal(w->told[OUTBOX_REFUSED], w->drops);
}

struct sums {
    uint64_t gaps;
    uint64_t histories;
    uint64_t drops;
    uint64_t resent;
};

static void run(uint64_t seed, enum wire_codec codec, struct sums *sums)
{
    struct world *w = test_calloc(1, sizeof(*w));
    struct wire_scratch scratch;
    wire_scratch_init(&scratch);
    begin(w, seed, codec);
    for (unsigned i = 0; i < 250; i++) {
        for (uint64_t n = prng_below(&w->prng, 4); n > 0; n--) {
            publish(w);
        }
        turn(w, &scratch);
    }
    w->calm = true;
    reconnect(w);
    for (unsigned i = 0; i < 3000 && !all_seen(w); i++) {
        turn(w, &scratch);
    }
    if (!all_seen(w)) {
        print_error("seed %" PRIu64 ": it does not come to an end\n", seed);
        fail();
    }
    judge(w);
    sums->gaps += w->gaps;
    sums->histories += w->histories;
    sums->drops += w->drops;
    sums->resent += w->resent;
    agent_deinit(&w->agent);
    for (size_t i = 0; i < FRAMES_MAX; i++) {
        buf_deinit(&w->replies[i]);
    }
    wire_scratch_deinit(&scratch);
    test_free(w);
}

static void everything_arrives_once_and_in_order_whatever_a_server_does(void **state)
{
    const enum wire_codec codec = *state == NULL ? WIRE_JSON : WIRE_BINARY;
    struct sums sums = {0};
    for (uint64_t seed = 1; seed <= 150; seed++) {
        run(seed, codec, &sums);
    }
    assert_true(sums.gaps > 50 && sums.histories > 500 && sums.drops > 100 && sums.resent > 20);
}

int main(void)
{
    static int binary;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_arrives_once_and_in_order_whatever_a_server_does),
        cmocka_unit_test_prestate(everything_arrives_once_and_in_order_whatever_a_server_does,
                                  &binary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
