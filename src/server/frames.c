#include "server/frames.h"

#include "base/mark.h"
#include "base/mem.h"
#include "core/snowflake.h"
#include "wire/codec.h"
#include "wire/ws_deflate.h"

struct shared_chunk *shared_chunk_new(enum wire_codec codec, struct bytes channel,
                                      uint64_t first_seq)
{
    struct shared_chunk *chunk = mem_calloc(1, sizeof(*chunk) + channel.size);
    if (chunk == NULL) {
        return NULL;
    }
    uint8_t *copy = (uint8_t *)(chunk + 1);
    bytes_copy(copy, channel.data, channel.size);
    chunk->codec = codec;
    chunk->channel = bytes_of(copy, channel.size);
    chunk->chunk.first_seq = first_seq;
    share_init(&chunk->share);
    return chunk;
}

void shared_chunk_unref(struct shared_chunk *chunk)
{
    if (chunk != NULL && share_unref(&chunk->share)) {
        buf_deinit(&chunk->bytes_);
        buf_deinit(&chunk->ends_);
        buf_deinit(&chunk->deflated_bytes_);
        buf_deinit(&chunk->deflated_ends_);
        buf_deinit(&chunk->steps_);
        mem_free(chunk);
    }
}

/* Room for what is known of a frame beside its bytes. */
static enum rc frame_reserve(struct shared_chunk *chunk)
{
    ASSERT(!shared_chunk_skipped(chunk));
    enum rc rc = buf_reserve(&chunk->ends_, sizeof(uint32_t));
    if (rc == RC_OK && chunk->sparse) {
        rc = buf_reserve(&chunk->steps_, sizeof(uint64_t));
    }
    return rc;
}

/* The frame has been encoded, or not. */
static enum rc frame_end(struct shared_chunk *chunk, enum rc rc, uint64_t step)
{
    /* Any may have moved, also where there was no memory for the rest. */
    chunk->chunk.ends = (const uint32_t *)(const void *)chunk->ends_.data;
    chunk->chunk.steps = (const uint64_t *)(const void *)chunk->steps_.data;
    chunk->chunk.bytes = chunk->bytes_.data;
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(chunk->bytes_.size <= UINT32_MAX);
    buf_put_u32(&chunk->ends_, (uint32_t)chunk->bytes_.size);
    if (chunk->sparse) {
        buf_put_u64(&chunk->steps_, step);
    }
    chunk->chunk.count++;
    return RC_OK;
}

enum rc shared_chunk_add(struct shared_chunk *chunk, const struct wire_message *message,
                         struct buf *scratch)
{
    ASSERT(message->seq == chunk_cursor(&chunk->chunk, chunk->chunk.count));
    ASSERT(scratch->size == 0);
    enum rc rc = frame_reserve(chunk);
    if (rc == RC_OK) {
        rc = codec_encode_message_frame(chunk->codec, &chunk->bytes_, message, scratch);
    }
    return frame_end(chunk, rc, message->seq + 1);
}

enum rc shared_chunk_add_gap(struct shared_chunk *chunk, uint64_t to, const char *reason,
                             struct buf *scratch)
{
    const struct wire_notice notice = {
        .channel = chunk->channel,
        .reason = reason,
        .has_range = true,
        .from = chunk_cursor(&chunk->chunk, chunk->chunk.count),
        .to = to,
    };
    ASSERT(chunk->sparse);
    ASSERT(scratch->size == 0);
    enum rc rc = frame_reserve(chunk);
    if (rc == RC_OK) {
        rc = codec_encode_gap(chunk->codec, scratch, &notice);
    }
    if (rc == RC_OK) {
        rc = ws_frame_append(&chunk->bytes_, codec_opcode(chunk->codec), buf_bytes(scratch));
    }
    buf_clear(scratch);
    return frame_end(chunk, rc, (to + 1) | CHUNK_GAP);
}

static enum rc deflate_all(struct shared_chunk *chunk, struct deflater *deflater, size_t *left)
{
    const struct chunk *plain = &chunk->chunk;
    enum rc rc = buf_reserve(&chunk->deflated_ends_, plain->count * sizeof(uint32_t));
    for (uint32_t i = 0; rc == RC_OK && i < plain->count; i++) {
        const uint32_t at = chunk_at(plain, i);
        const uint32_t size = plain->ends[i] - at;
        MARK_IF(*left == 0, "deflate: enough for a turn, the rest goes out plain");
        rc = ws_message_reframe(&chunk->deflated_bytes_, *left == 0 ? NULL : deflater,
                                bytes_of(plain->bytes + at, size));
        *left -= size < *left ? size : *left;
        ASSERT(chunk->deflated_bytes_.size <= plain->ends[i]); /* not compressed where it grows */
        if (rc == RC_OK) {
            buf_put_u32(&chunk->deflated_ends_, (uint32_t)chunk->deflated_bytes_.size);
        }
    }
    return rc;
}

static bool has_large(const struct chunk *chunk, size_t size)
{
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (chunk->ends[i] - chunk_at(chunk, i) > size) {
            return true;
        }
    }
    return false;
}

void shared_chunk_deflate(struct shared_chunk *chunk, struct deflater *deflater, size_t *left)
{
    const struct deflater_options *options = deflater_options(deflater);
    ASSERT(chunk->chunk.deflated == NULL && !options->takeover);
    if (*left == 0 || shared_chunk_skipped(chunk) ||
        !has_large(&chunk->chunk, options->min_bytes)) {
        MARK_IF(*left > 0, "deflate: nothing in a chunk is large enough");
        return;
    }
    if (deflate_all(chunk, deflater, left) != RC_OK) {
        MARK("deflate: no memory to compress a chunk, it goes out plain");
        buf_deinit(&chunk->deflated_bytes_);
        buf_deinit(&chunk->deflated_ends_);
        return;
    }
    MARK("deflate: a chunk is compressed for all");
    chunk->deflated_ = (struct chunk){
        .first_seq = chunk->chunk.first_seq,
        .count = chunk->chunk.count,
        .ends = (const uint32_t *)(const void *)chunk->deflated_ends_.data,
        .bytes = chunk->deflated_bytes_.data,
        .steps = chunk->chunk.steps,
    };
    chunk->chunk.deflated = &chunk->deflated_;
}

void shared_chunk_skip(struct shared_chunk *chunk, uint32_t count)
{
    ASSERT(count > 0);
    buf_deinit(&chunk->bytes_);
    buf_deinit(&chunk->ends_);
    chunk->chunk.bytes = NULL;
    chunk->chunk.ends = NULL;
    chunk->chunk.count += count;
}

void frames_message(struct wire_message *ret_message, const struct command_publish *publish,
                    const struct command_message *message, uint64_t first_seq, uint32_t nth,
                    unsigned node)
{
    *ret_message = (struct wire_message){
        .channel = publish->channel,
        .seq = first_seq + nth,
        .message_id = snowflake_id(publish->tick + nth, node),
        .time_ms = publish->time_ms,
        .key = message->key,
        .has_key = message->has_key,
        .producer = publish->producer,
        .producer_seq = publish->producer_seq == 0 ? 0 : publish->producer_seq + nth,
        .data = message->data,
        .is_bytes = message->is_bytes,
    };
}
