/* From the socket to the state and back, and from a committed message to those who follow; in each
 * codec. What a client says in binary comes from an encoder that is not the server's. */
#include "perf_paths.h"

#include "base/mem.h"
#include "server/frames.h"
#include "session/session.h"
#include "test/lib/packed.h"
#include "wire/ws.h"

#include <stdio.h>

#define COMMITS     16u
#define COMMIT      64u /* publishes at once, at most */
#define BATCH_ITEMS 100u
/* Publishes of a batch that share a WebSocket message and a commit: some 50 KiB. */
#define BATCH_SHARE 4u
#define SUBSCRIBERS 100u
#define TAILS       32u
#define CHANNEL     "orders.eu-west"
/* Numbers have as many digits in every run. */
#define FIRST_SEQ UINT64_C(1000001)

/* How it is published. */
struct publish_shape {
    enum wire_codec codec;
    unsigned items;     /* messages of a publish */
    unsigned per_frame; /* publishes in a WebSocket message */
    unsigned per_commit;
    size_t answer_size_min;
};

struct session_world {
    struct shard shard;
    enum wire_codec codec;
    struct publish_shape shape;
    struct session_env env;
    struct feed_table feeds;
    struct wire_scratch scratch;
    struct buf encode;
    struct session *sessions[SUBSCRIBERS];
    struct buf outs[SUBSCRIBERS];
    unsigned session_count;
    /* publishing: */
    struct ws_decoder decoder;
    struct buf frames;
    uint8_t *input;
    struct buf body;
    uint64_t next_id;
    size_t sizes[COMMIT]; /* inflight shares, by id modulo COMMIT */
    uint64_t answered;
    /* fan-out: */
    struct session_answer answer;
    uint64_t next_seq;
    uint64_t delivered;
    uint64_t woken;
};

/* ---- what a session asks --------------------------------------------------------------------- */

static enum rc on_publish(void *ctx, struct session *session, const struct command_publish *head,
                          const struct command_message *messages, uint64_t id, size_t size)
{
    struct session_world *world = ctx;
    expect(session == world->sessions[0], "the first one publishes");
    buf_clear(&world->body);
    must(command_publish_encode(&world->body, head, messages));
    world->sizes[id % COMMIT] = size;
    shard_publish(&world->shard, id, buf_bytes(&world->body));
    return RC_OK;
}

/* Answered later: a session does not expect it within the call. */
static enum rc on_subscribe(void *ctx, struct session *session, const struct session_ask *ask)
{
    struct session_world *world = ctx;
    (void)session;
    world->answer = (struct session_answer){
        .feed_id = ask->feed_id,
        .sub_id = ask->sub_id,
        .channel = BYTES_LITERAL(CHANNEL),
        .verdict = POSITION_OK,
        .position = {.epoch = 77, .earliest = 1, .latest = FIRST_SEQ - 1},
        .next = FIRST_SEQ,
    };
    return RC_OK;
}

static void on_detach(void *ctx, const struct feed *feed)
{
    (void)ctx;
    (void)feed;
}

static enum rc on_read(void *ctx, struct session *session, const struct subscription *sub,
                       uint64_t from, uint32_t count_max)
{
    (void)ctx;
    (void)session;
    (void)sub;
    (void)from;
    (void)count_max;
    expect(false, "nobody falls behind");
    return RC_NOMEM;
}

static enum rc on_request(void *ctx, struct session *session, const struct wire_command *command)
{
    (void)ctx;
    (void)session;
    (void)command;
    expect(false, "nobody asks for a history or a digest");
    return RC_NOMEM;
}

static void on_wake(void *ctx, struct session *session)
{
    struct session_world *world = ctx;
    (void)session;
    world->woken++;
}

static void on_chunk_unref(void *ctx, struct chunk *chunk)
{
    (void)ctx;
    shared_chunk_unref(shared_chunk_of(chunk));
}

static const struct session_ops ops = {
    .publish = on_publish,
    .subscribe = on_subscribe,
    .detach = on_detach,
    .read = on_read,
    .history = on_request,
    .digest = on_request,
    .wake = on_wake,
    .chunk_unref = on_chunk_unref,
};

/* ---- life ------------------------------------------------------------------------------------ */

/* All commands of a message. */
static enum rc session_take(struct session *session, struct bytes message, uint64_t now_ms)
{
    enum rc rc = RC_OK;
    while (rc == RC_OK && message.size > 0) {
        rc = session_on_message(session, &message, now_ms);
    }
    return rc;
}

/* A command that is written as JSON, in the codec of the world. */
static void session_say(struct session_world *world, struct session *session, const char *text)
{
    struct buf units = {0};
    struct bytes message = bytes_of_text(text);
    if (world->codec == WIRE_BINARY) {
        expect(packed_text(&units, message), "a command");
        message = buf_bytes(&units);
    }
    must(session_take(session, message, SHARD_START_MS));
    buf_deinit(&units);
}

static void session_add(struct session_world *world, const char *connect)
{
    const unsigned nth = world->session_count++;
    must(session_open(&world->env, world->codec, nth + 1, NULL, &world->outs[nth],
                      &world->sessions[nth]));
    session_say(world, world->sessions[nth], connect);
    expect(session_ready(world->sessions[nth]), "connected");
    buf_clear(&world->outs[nth]);
}

static struct session_world *world_open(enum wire_codec codec)
{
    struct session_world *world = mem_calloc(1, sizeof(*world));
    expect(world != NULL, "memory");
    world->codec = codec;
    wire_scratch_init(&world->scratch);
    world->env = (struct session_env){
        .ops = &ops,
        .ctx = world,
        .feeds = &world->feeds,
        .scratch = &world->scratch,
        .encode = &world->encode,
        .node = 1,
        .durability = "fsync",
        .ping_ms = 25000,
        .message_bytes_max = MESSAGE_BYTES_DEFAULT,
        .frame_bytes_max = FRAME_BYTES_DEFAULT,
        .subscriptions_max = 100,
        .inflight_max = 1024,
        .inflight_bytes_max = MIB,
    };
    feed_table_init(&world->feeds, &ops, world, MIB, 16u * MIB, 7);
    return world;
}

static void world_close(void *ctx)
{
    struct session_world *world = ctx;
    for (unsigned i = 0; i < world->session_count; i++) {
        session_close(world->sessions[i]);
        buf_deinit(&world->outs[i]);
    }
    feed_table_deinit(&world->feeds);
    wire_scratch_deinit(&world->scratch);
    ws_decoder_deinit(&world->decoder);
    buf_deinit(&world->encode);
    buf_deinit(&world->frames);
    buf_deinit(&world->body);
    mem_free(world->input);
    if (world->shard.partition != NULL) {
        shard_close(&world->shard);
    }
    mem_free(world);
}

/* ---- publish: frame, codec, command, apply, `published` -------------------------------------- */

static void on_reply(void *ctx, uint64_t id, const struct publish_result *result)
{
    struct session_world *world = ctx;
    must(session_on_published(world->sessions[0], id, result, world->sizes[id % COMMIT]));
    world->answered++;
}

static void *publish_open(struct publish_shape shape)
{
    struct session_world *world = world_open(shape.codec);
    world->shape = shape;
    shard_open(&world->shard, 0);
    world->shard.on_reply = on_reply;
    world->shard.ctx = world;
    ws_decoder_init(&world->decoder, WS_SERVER);
    session_add(world, "{\"type\":\"connect\",\"id\":1,\"producer\":{\"id\":\"p1\",\"epoch\":1}}");
    world->next_id = 1;
    return world;
}

static void *json_publish_open(void)
{
    return publish_open((struct publish_shape){.codec = WIRE_JSON,
                                               .items = 1,
                                               .per_frame = 1,
                                               .per_commit = COMMIT,
                                               .answer_size_min = 64});
}

static void *binary_publish_open(void)
{
    return publish_open((struct publish_shape){.codec = WIRE_BINARY,
                                               .items = 1,
                                               .per_frame = COMMIT,
                                               .per_commit = COMMIT,
                                               .answer_size_min = 32});
}

static void *binary_publish_batch_open(void)
{
    return publish_open((struct publish_shape){.codec = WIRE_BINARY,
                                               .items = BATCH_ITEMS,
                                               .per_frame = BATCH_SHARE,
                                               .per_commit = BATCH_SHARE,
                                               .answer_size_min = 32});
}

static void frame_add(struct buf *to, enum ws_opcode opcode, uint8_t *data, size_t size)
{
    static const uint8_t mask[4] = {0x9A, 0x03, 0xC5, 0x71};
    uint8_t header[WS_HEADER_SIZE_MAX];
    ws_mask(data, size, mask, 0);
    const size_t header_size = ws_header_encode(header, opcode, (uint64_t)size, mask);
    must(buf_append(to, bytes_of(header, header_size)));
    must(buf_append(to, bytes_of(data, size)));
}

/* The same size whatever the number: the count must not depend on how many runs there were. */
static void json_frame_add(struct session_world *world)
{
    char text[512];
    const uint64_t number = world->next_id++;
    const struct bytes data = payload();
    const int size = snprintf(text, sizeof(text),
                              "{\"type\":\"publish\",\"id\":%llu,\"channel\":\"" CHANNEL
                              "\",\"producer_seq\":%-8llu,\"data\":%.*s}",
                              (unsigned long long)(1000000 + number), (unsigned long long)number,
                              (int)data.size, (const char *)data.data);
    expect(size > 0 && (size_t)size < sizeof(text), "it fits");
    frame_add(&world->frames, WS_TEXT, (uint8_t *)text, (size_t)size);
}

/* Payloads as bytes. The warm-up leaves the numbers of one byte behind. */
static void binary_frame_add(struct session_world *world)
{
    struct wire_item items[BATCH_ITEMS];
    struct buf units = {0};
    for (unsigned i = 0; i < world->shape.items; i++) {
        items[i] = (struct wire_item){.data = payload(), .is_bytes = true};
    }
    for (unsigned i = 0; i < world->shape.per_frame; i++) {
        const uint64_t number = world->next_id++;
        const struct wire_command command = {
            .type = WIRE_PUBLISH,
            .id = 1000000 + number,
            .channel = BYTES_LITERAL(CHANNEL),
            .has_producer_seq = true,
            .producer_seq = (number - 1) * world->shape.items + 1,
            .items = items,
            .item_count = world->shape.items,
            .is_batch = world->shape.items > 1,
        };
        packed_command(&units, &command);
    }
    frame_add(&world->frames, WS_BINARY, units.data, units.size);
    buf_deinit(&units);
}

static void publish_prepare(void *ctx)
{
    struct session_world *world = ctx;
    const unsigned frames = COMMITS * world->shape.per_commit / world->shape.per_frame;
    buf_clear(&world->frames);
    buf_clear(&world->outs[0]);
    for (unsigned i = 0; i < frames; i++) {
        if (world->codec == WIRE_JSON) {
            json_frame_add(world);
        } else {
            binary_frame_add(world);
        }
    }
}

static void publish_run(void *ctx)
{
    struct session_world *world = ctx;
    const struct publish_shape *shape = &world->shape;
    const struct ws_limits limits = {.message_bytes = FRAME_BYTES_DEFAULT};
    const uint64_t all = world->answered + (uint64_t)COMMITS * shape->per_commit;
    uint8_t *at = world->frames.data;
    size_t left = world->frames.size;
    for (unsigned taken = 0; taken < COMMITS * shape->per_commit;) {
        size_t used;
        struct ws_event event;
        ws_decoder_feed(&world->decoder, &limits, at, left, &used, &event);
        expect(event.type == WS_EVENT_MESSAGE, "a message");
        must(session_take(world->sessions[0], event.payload, SHARD_START_MS));
        at += used;
        left -= used;
        taken += shape->per_frame;
        if (taken % shape->per_commit == 0) {
            shard_commit(&world->shard);
        }
    }
    expect(left == 0 && world->answered == all &&
               world->outs[0].size > COMMITS * shape->per_commit * shape->answer_size_min,
           "each is answered");
}

/* ---- fan-out: encoded once, sent to each ----------------------------------------------------- */

static void *fanout_open(enum wire_codec codec)
{
    struct session_world *world = world_open(codec);
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        session_add(world, "{\"type\":\"connect\",\"id\":1}");
        static const char subscribe[] =
            "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"" CHANNEL "\",\"from\":\"latest\"}";
        session_say(world, world->sessions[i], subscribe);
        must(session_on_subscribed(world->sessions[i], &world->answer));
        expect(world->outs[i].size > 32, "subscribed");
        buf_clear(&world->outs[i]);
    }
    world->next_seq = FIRST_SEQ;
    return world;
}

static void *json_fanout_open(void)
{
    return fanout_open(WIRE_JSON);
}

static void *binary_fanout_open(void)
{
    return fanout_open(WIRE_BINARY);
}

static void send_all(struct session_world *world, struct session *session)
{
    struct session_slice slices[SESSION_SLICES_MAX];
    struct bytes pieces[SESSION_SLICES_MAX];
    unsigned count;
    while ((count = session_gather(session, slices, pieces, SESSION_SLICES_MAX, 256u * KIB)) > 0) {
        size_t size = 0;
        for (unsigned i = 0; i < count; i++) {
            size += pieces[i].size;
            world->delivered += slices[i].to - slices[i].from;
        }
        must(session_sent(session, slices, count, size));
    }
}

static void fanout_run(void *ctx)
{
    struct session_world *world = ctx;
    const struct bytes channel = BYTES_LITERAL(CHANNEL);
    const uint64_t before = world->delivered;
    const uint64_t woken_before = world->woken;
    for (unsigned tail = 0; tail < TAILS; tail++) {
        const uint64_t seq = world->next_seq++;
        const struct wire_message message = {
            .channel = channel,
            .seq = seq,
            .message_id = seq << 22,
            .time_ms = SHARD_START_MS,
            .producer = BYTES_LITERAL("p1"),
            .producer_seq = seq,
            .data = payload(),
            .is_bytes = world->codec == WIRE_BINARY,
        };
        struct shared_chunk *chunk = shared_chunk_new(world->codec, channel, seq);
        expect(chunk != NULL, "memory");
        must(shared_chunk_add(chunk, &message, &world->encode));
        feed_on_chunk(&world->feeds, feed_find(&world->feeds, world->codec, channel),
                      &chunk->chunk);
        for (unsigned i = 0; i < SUBSCRIBERS; i++) {
            send_all(world, world->sessions[i]);
        }
        feed_table_trim(&world->feeds);
    }
    expect(world->delivered == before + (uint64_t)TAILS * SUBSCRIBERS &&
               world->woken >= woken_before + (uint64_t)TAILS * SUBSCRIBERS,
           "each gets each");
}

const struct path session_paths[SESSION_PATHS] = {
    {"json_publish", "message", (uint64_t)COMMITS *COMMIT, json_publish_open, publish_prepare,
     publish_run, world_close},
    {"json_fanout_100", "message to 100", TAILS, json_fanout_open, NULL, fanout_run, world_close},
    {"binary_publish", "message", (uint64_t)COMMITS *COMMIT, binary_publish_open, publish_prepare,
     publish_run, world_close},
    {"binary_publish_batch_100", "message", (uint64_t)COMMITS *BATCH_SHARE *BATCH_ITEMS,
     binary_publish_batch_open, publish_prepare, publish_run, world_close},
    {"binary_fanout_100", "message to 100", TAILS, binary_fanout_open, NULL, fanout_run,
     world_close},
};
