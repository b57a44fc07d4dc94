/* What the log has to do with a message: commit it, read it for who catches up, replay it. */
#include "perf_paths.h"

#include "base/mem.h"
#include "server/frames.h"

#define BATCHES      16u
#define BATCH        64u
#define HISTORY_RUNS 4u
#define HISTORY      ((uint64_t)HISTORY_RUNS * BATCHES * BATCH)
#define CHANNEL      BYTES_LITERAL("orders.eu-west")
#define CHUNK_BYTES  (64u * KIB) /* as the server reads */

struct log_world {
    struct shard shard;
    struct buf bodies; /* of the messages of one run, one behind the other */
    size_t ends[BATCHES * BATCH];
    uint64_t producer_seq;
    /* reading: */
    struct shared_chunk *chunk;
    struct buf scratch;
    uint64_t next;
    uint64_t read_count;
    uint64_t time_ms;
    struct log_read read;
};

static void bodies_prepare(void *ctx)
{
    struct log_world *world = ctx;
    buf_clear(&world->bodies);
    for (size_t i = 0; i < BATCHES * BATCH; i++) {
        shard_body(&world->bodies, CHANNEL, "p1", ++world->producer_seq);
        world->ends[i] = world->bodies.size;
    }
}

static void commit_run(void *ctx)
{
    struct log_world *world = ctx;
    const uint64_t before = world->shard.replies;
    for (size_t i = 0; i < BATCHES * BATCH; i++) {
        const size_t from = i == 0 ? 0 : world->ends[i - 1];
        shard_publish(&world->shard, i, bytes_of(world->bodies.data + from, world->ends[i] - from));
        if (i % BATCH == BATCH - 1) {
            shard_commit(&world->shard);
        }
    }
    expect(world->shard.replies == before + (uint64_t)BATCHES * BATCH, "each has a reply");
}

static struct log_world *world_open(uint32_t segment_bytes)
{
    struct log_world *world = mem_calloc(1, sizeof(*world));
    expect(world != NULL, "memory");
    shard_open(&world->shard, segment_bytes);
    return world;
}

static void *commit_open(void)
{
    return world_open(16u * MIB);
}

/* A log that is nearly full of messages: recovery looks at what is behind them, too. */
static void *history_open(void)
{
    struct log_world *world = world_open(MIB);
    for (unsigned i = 0; i < HISTORY_RUNS; i++) {
        bodies_prepare(world);
        commit_run(world);
    }
    return world;
}

/* ---- catch-up -------------------------------------------------------------------------------- */

static enum rc read_record(void *ctx, const struct record *record, uint64_t first_seq)
{
    struct log_world *world = ctx;
    struct command_publish publish = {0};
    must(command_publish_decode(record->body, &publish));
    publish.time_ms = world->read.ret_time_ms;
    struct bytes rest = publish.messages;
    struct command_message message;
    for (uint32_t nth = 0; command_message_next(&rest, &message); nth++) {
        struct wire_message wire;
        frames_message(&wire, &publish, &message, first_seq, nth, 1);
        if (world->chunk == NULL) {
            world->chunk = shared_chunk_new(WIRE_JSON, CHANNEL, wire.seq);
            expect(world->chunk != NULL, "memory");
        }
        must(shared_chunk_add(world->chunk, &wire, &world->scratch));
        world->read_count++;
    }
    return world->chunk->bytes_.size >= CHUNK_BYTES ? RC_END : RC_OK;
}

static void read_damage(void *ctx, uint64_t from, uint64_t to, const struct log_damage *damage)
{
    (void)ctx;
    (void)from;
    (void)to;
    expect(false, damage->what);
}

/* A chunk after the other until the end of the channel, as a subscriber's reads do. */
static void catch_up_run(void *ctx)
{
    struct log_world *world = ctx;
    const struct channel *channel = partition_channel_find(world->shard.partition, CHANNEL);
    world->read_count = 0;
    for (uint64_t seq = 1; seq <= channel->latest;) {
        world->read = (struct log_read){
            .kind = LOG_READ_FORWARD,
            .channel_id = channel->id,
            .seq = seq,
            .earliest = channel->earliest,
            .latest = channel->latest,
            .on_record = read_record,
            .on_damage = read_damage,
            .ctx = world,
        };
        must(file_log_read_begin(world->shard.log, &world->read));
        file_log_read_do(world->shard.log, &world->read);
        file_log_read_end(world->shard.log, &world->read);
        must(world->read.rc);
        seq = world->chunk->chunk.first_seq + world->chunk->chunk.count;
        shared_chunk_unref(world->chunk);
        world->chunk = NULL;
    }
    expect(world->read_count == HISTORY, "all of them are read");
}

/* ---- recovery -------------------------------------------------------------------------------- */

static void crash_prepare(void *ctx)
{
    struct log_world *world = ctx;
    shard_crash(&world->shard);
    world->shard.replayed = 0;
}

static void recover_run(void *ctx)
{
    struct log_world *world = ctx;
    shard_recover(&world->shard);
    expect(world->shard.replayed == HISTORY, "each record is replayed");
}

static void log_close(void *ctx)
{
    struct log_world *world = ctx;
    shard_close(&world->shard);
    buf_deinit(&world->bodies);
    buf_deinit(&world->scratch);
    mem_free(world);
}

const struct path log_paths[3] = {
    {"group_commit_64", "message", (uint64_t)BATCHES *BATCH, commit_open, bodies_prepare,
     commit_run, log_close},
    {"catch_up_read", "message", HISTORY, history_open, NULL, catch_up_run, log_close},
    {"recovery_replay", "record", HISTORY, history_open, crash_prepare, recover_run, log_close},
};
