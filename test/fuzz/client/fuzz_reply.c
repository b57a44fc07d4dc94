/* A hostile server against the C client library: the first byte says which codec, the rest is what
 * it says, one WebSocket message in each piece (JSON by lines, binary with two bytes of size in
 * front).
 *
 * An agent with two subscriptions and messages in flight hears it. Nothing may break it: what
 * cannot be is refused with a reason, and its subscriptions get dense messages or gaps. */
#include "client/agent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct agent agent;
    uint64_t next[2];
};

static void on_message(void *ctx, struct agent_sub *sub, const struct reply_message *m)
{
    struct world *w = ctx;
    uint64_t *next = &w->next[(size_t)(uintptr_t)sub->user];
    ASSERT(*next == 0 || m->seq == *next);
    *next = m->seq + 1;
}

static void on_gap(void *ctx, struct agent_sub *sub, const struct agent_gap *gap)
{
    struct world *w = ctx;
    w->next[(size_t)(uintptr_t)sub->user] = gap->next;
}

static void on_state(void *ctx, struct agent_sub *sub, const struct agent_news *news)
{
    struct world *w = ctx;
    if (news->state == AGENT_SUB_LIVE) {
        w->next[(size_t)(uintptr_t)sub->user] = sub->receive.next;
    }
}

static void on_goaway(void *ctx, uint64_t after_ms)
{
    (void)ctx;
    (void)after_ms;
}

static void on_done(void *ctx, struct outbox_channel *channel, struct outbox_message *message,
                    const struct outbox_result *result)
{
    (void)ctx;
    (void)channel;
    (void)result;
    outbox_message_free(message);
}

static void on_channel(void *ctx, struct outbox_channel *channel)
{
    (void)ctx;
    (void)channel;
}

static const struct agent_ops agent_ops = {on_message, on_gap, on_state, on_goaway};
static const struct outbox_ops outbox_ops = {on_done, on_channel, on_channel};

static void speak(struct world *w, uint64_t now_ms)
{
    struct buf out = {0};
    enum rc rc = RC_OK;
    agent_step(&w->agent, now_ms);
    while (rc == RC_OK) {
        buf_clear(&out);
        rc = agent_next(&w->agent, now_ms, &out);
    }
    ASSERT(rc == RC_END);
    buf_deinit(&out);
}

static void begin(struct world *w, enum wire_codec codec)
{
    const struct agent_options options = {.codec = codec,
                                          .publish_window = 8,
                                          .batch_max = 3,
                                          .seed = 1,
                                          .ops = &agent_ops,
                                          .outbox_ops = &outbox_ops,
                                          .ctx = w};
    enum rc rc = agent_init(&w->agent, &options);
    ASSERT(rc == RC_OK);
    for (size_t i = 0; i < 2; i++) {
        const struct agent_subscribe ask = {.channel =
                                                i == 0 ? BYTES_LITERAL("a") : BYTES_LITERAL("b"),
                                            .from = i == 0 ? WIRE_FROM_EARLIEST : WIRE_FROM_LATEST,
                                            .window = i == 0 ? 4 : 0,
                                            .on_gap_reset = i == 0,
                                            .user = (void *)i};
        struct agent_sub *sub;
        rc = agent_subscribe(&w->agent, &ask, &sub);
        ASSERT(rc == RC_OK);
    }
    for (size_t i = 0; i < 6; i++) {
        const struct wire_item item = {.data = BYTES_LITERAL("{}")};
        struct outbox_channel *channel;
        rc = outbox_channel(&w->agent.outbox, i % 2 == 0 ? BYTES_LITERAL("a") : BYTES_LITERAL("b"),
                            &channel);
        ASSERT(rc == RC_OK);
        outbox_add(&w->agent.outbox, channel, outbox_message_make(&item), i == 0);
    }
    agent_on_ready(&w->agent, 65536);
}

/* The next piece; false: there is none. */
static bool next_piece(enum wire_codec codec, struct bytes *rest, struct bytes *ret_piece)
{
    size_t head = 0;
    size_t size = 0;
    if (rest->size < 2) {
        return false;
    }
    if (codec == WIRE_BINARY) {
        head = 2;
        size = bytes_load_u16(rest->data);
        size = size < rest->size - 2 ? size : rest->size - 2;
    } else {
        const uint8_t *end = memchr(rest->data, '\n', rest->size);
        size = end == NULL ? rest->size : (size_t)(end - rest->data);
    }
    *ret_piece = bytes_of(rest->data + head, size);
    const size_t used = head + size + (codec == WIRE_JSON && head + size < rest->size ? 1 : 0);
    *rest = bytes_of(rest->data + used, rest->size - used);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const enum wire_codec codec = data[0] % 2 == 0 ? WIRE_JSON : WIRE_BINARY;
    struct bytes rest = bytes_of(data + 1, size - 1);
    struct bytes piece;
    struct world w = {0};
    uint64_t now_ms = 1000;
    enum rc rc = RC_OK;
    begin(&w, codec);
    speak(&w, now_ms);
    while (rc == RC_OK && next_piece(codec, &rest, &piece)) {
        rc = agent_take(&w.agent, piece, now_ms);
        ASSERT(rc == RC_OK || (rc == RC_PROTOCOL && agent_why(&w.agent)[0] != '\0'));
        now_ms += 400;
        speak(&w, now_ms);
    }
    agent_on_lost(&w.agent);
    agent_deinit(&w.agent);
    return 0;
}
