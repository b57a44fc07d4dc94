#include "log/record.h"

#include "base/crc32c.h"
#include "base/hash.h"

/* Byte positions in the header; record.h has the table. */
enum {
    AT_CRC = 0,
    AT_BODY_SIZE = 4,
    AT_TYPE = 8,
    AT_VERSION = 9,
    AT_BATCH_INDEX = 10,
    AT_PARTITION = 12,
    AT_CONTROLS = 14,
    AT_POS = 16,
    AT_PREV_HASH = 24,
    AT_CHANNEL_PREV = 32,
};

static_assert(AT_CHANNEL_PREV + sizeof(uint64_t) == RECORD_HEADER_SIZE, "the header has no tail");
static_assert(RECORD_HEADER_SIZE % 8 == 0, "records stay aligned to 8 bytes");

/* What is true of a batch whenever nobody is changing it. */
static void batch_check(const struct log_batch *batch)
{
    ASSERT_HOT(batch->bytes.size <= batch->bytes.capacity);
    ASSERT_HOT(batch->bytes.size % 8 == 0);
    ASSERT_HOT(batch->first_pos <= batch->end_pos);
    ASSERT_HOT((batch->bytes.size == 0) == (batch->first_pos == batch->end_pos));
    ASSERT_HOT(batch->bytes.size / RECORD_HEADER_SIZE >= batch->end_pos - batch->first_pos);
}

size_t record_size(size_t body_size)
{
    ASSERT_HOT(body_size <= RECORD_BODY_BYTES_MAX);
    return (RECORD_HEADER_SIZE + body_size + 7) & ~(size_t)7;
}

uint64_t record_hash(struct bytes bytes)
{
    ASSERT_HOT(bytes.data != NULL);
    ASSERT_HOT(bytes.size % 8 == 0);
    ASSERT_HOT(bytes.size >= RECORD_HEADER_SIZE);
    return hash_bytes(bytes, 0);
}

static bool header_is_zero(const uint8_t *header)
{
    ASSERT_HOT(header != NULL);
    uint64_t any = 0;
    for (size_t i = 0; i < RECORD_HEADER_SIZE; i += sizeof(any)) {
        any |= bytes_load_u64(header + i);
    }
    return any == 0;
}

/* What the header at the start of `bytes` says; sizes were checked. */
static struct record header_load(struct bytes bytes)
{
    const uint8_t *header = bytes.data;
    const uint32_t body_size = bytes_load_u32(header + AT_BODY_SIZE);
    const struct record record = {
        .type = (enum record_type)header[AT_TYPE],
        .partition = bytes_load_u16(header + AT_PARTITION),
        .pos = bytes_load_u64(header + AT_POS),
        .prev_hash = bytes_load_u64(header + AT_PREV_HASH),
        .channel_prev = bytes_load_u64(header + AT_CHANNEL_PREV),
        .controls = bytes_load_u16(header + AT_CONTROLS),
        .batch_index = bytes_load_u16(header + AT_BATCH_INDEX),
        .body = {header + RECORD_HEADER_SIZE, body_size},
        .size = record_size(body_size),
    };
    ASSERT_HOT(record.size % 8 == 0);
    ASSERT_HOT(record.size <= bytes.size);
    ASSERT_HOT(record.body.size <= record.size - RECORD_HEADER_SIZE);
    return record;
}

enum rc record_decode(struct bytes bytes, struct record *ret_record)
{
    ASSERT_HOT(bytes.size == 0 || bytes.data != NULL);
    ASSERT_HOT(ret_record != NULL);
    if (bytes.size < RECORD_HEADER_SIZE) {
        return RC_AGAIN;
    }
    const uint8_t *header = bytes.data;
    if (header_is_zero(header)) {
        return RC_END;
    }
    const uint32_t body_size = bytes_load_u32(header + AT_BODY_SIZE);
    const uint8_t type = header[AT_TYPE];
    if (header[AT_VERSION] != RECORD_VERSION || body_size > RECORD_BODY_BYTES_MAX ||
        type < RECORD_PUBLISH || type > RECORD_HOLE) {
        return RC_CORRUPT;
    }
    const size_t size = record_size(body_size);
    if (bytes.size < size) {
        return RC_AGAIN;
    }
    const struct bytes covered = {header + AT_BODY_SIZE, size - AT_BODY_SIZE};
    if (crc32c(0, covered) != bytes_load_u32(header + AT_CRC)) {
        return RC_CORRUPT;
    }
    *ret_record = header_load(bytes);
    return RC_OK;
}

struct record record_trust(struct bytes bytes)
{
    ASSERT(bytes.size >= RECORD_HEADER_SIZE);
    ASSERT(bytes.data[AT_VERSION] == RECORD_VERSION);
    ASSERT(record_size(bytes_load_u32(bytes.data + AT_BODY_SIZE)) <= bytes.size);
    ASSERT_HOT(record_decode(bytes, &(struct record){0}) == RC_OK);
    return header_load(bytes);
}

void record_hole_encode(struct record_hole *hole, uint8_t to[RECORD_HOLE_BODY_SIZE])
{
    ASSERT(to != NULL);
    ASSERT(hole->first_pos <= hole->end_pos);
    bytes_store_u64(to, hole->first_pos);
    bytes_store_u64(to + 8, hole->end_pos);
    bytes_store_u64(to + 16, hole->resume_hash);
    bytes_store_u64(to + 24, hole->segment);
    bytes_store_u64(to + 32, hole->at);
    bytes_store_u64(to + 40, hole->size);
    hole->salt = hash_bytes(bytes_of(to, 48), 0);
    bytes_store_u64(to + 48, hole->salt);
    ASSERT(bytes_load_u64(to) == hole->first_pos);
    ASSERT(bytes_load_u64(to + 8) == hole->end_pos);
}

enum rc record_hole_decode(struct bytes body, struct record_hole *ret_hole)
{
    ASSERT_HOT(body.size == 0 || body.data != NULL);
    ASSERT_HOT(ret_hole != NULL);
    if (body.size < RECORD_HOLE_BODY_SIZE) {
        return RC_CORRUPT;
    }
    const struct record_hole hole = {
        .first_pos = bytes_load_u64(body.data),
        .end_pos = bytes_load_u64(body.data + 8),
        .resume_hash = bytes_load_u64(body.data + 16),
        .segment = bytes_load_u64(body.data + 24),
        .at = bytes_load_u64(body.data + 32),
        .size = bytes_load_u64(body.data + 40),
        .salt = bytes_load_u64(body.data + 48),
    };
    if (hole.first_pos > hole.end_pos || hole.salt != hash_bytes(bytes_of(body.data, 48), 0)) {
        return RC_CORRUPT;
    }
    ASSERT_HOT(hole.first_pos <= hole.end_pos);
    *ret_hole = hole;
    return RC_OK;
}

enum rc record_after(const struct record *record, struct bytes bytes, uint64_t *ret_pos,
                     uint64_t *ret_hash)
{
    ASSERT_HOT(bytes.size == record->size);
    ASSERT_HOT(ret_pos != NULL);
    ASSERT_HOT(ret_hash != NULL);
    if (record->type == RECORD_HOLE) {
        struct record_hole hole;
        const enum rc rc = record_hole_decode(record->body, &hole);
        if (rc != RC_OK) {
            return rc;
        }
        *ret_pos = hole.end_pos;
        *ret_hash = hole.resume_hash;
        return RC_OK;
    }
    *ret_pos = record->pos + 1;
    *ret_hash = record_hash(bytes);
    return RC_OK;
}

void batch_begin(struct log_batch *batch, uint32_t partition, uint64_t pos, uint64_t hash,
                 uint16_t controls)
{
    ASSERT_HOT(partition < RECORD_PARTITIONS_MAX);
    buf_clear(&batch->bytes);
    batch->partition = partition;
    batch->first_pos = pos;
    batch->end_pos = pos;
    batch->end_hash = hash;
    batch->controls = controls;
    batch->place = (struct log_place){0};
    ASSERT_HOT(batch->place.segment == 0);
    batch_check(batch);
}

/* The record that was placed and not sealed: it begins where the sealed ones end. */
static uint8_t *unsealed(const struct log_batch *batch)
{
    ASSERT_HOT(batch->bytes.capacity - batch->bytes.size >= RECORD_HEADER_SIZE);
    ASSERT_HOT(batch->bytes.data != NULL);
    return batch->bytes.data + batch->bytes.size;
}

enum rc batch_place(struct log_batch *batch, enum record_type type, uint64_t channel_prev,
                    struct bytes body, uint8_t **ret_body)
{
    batch_check(batch);
    ASSERT_HOT(type >= RECORD_PUBLISH);
    ASSERT_HOT(type <= RECORD_HOLE);
    ASSERT_HOT(body.size == 0 || body.data != NULL);
    ASSERT(body.size <= RECORD_BODY_BYTES_MAX);
    ASSERT_HOT(channel_prev <= batch->end_pos);
    const size_t size = record_size(body.size);
    const enum rc rc = buf_reserve(&batch->bytes, size);
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT_HOT(batch->bytes.capacity - batch->bytes.size >= size);
    uint8_t *to = unsealed(batch);
    const uint64_t index = batch->end_pos - batch->first_pos;
    bytes_store_u32(to + AT_BODY_SIZE, (uint32_t)body.size);
    to[AT_TYPE] = (uint8_t)type;
    to[AT_VERSION] = RECORD_VERSION;
    bytes_store_u16(to + AT_BATCH_INDEX,
                    (uint16_t)(index < RECORD_BATCH_INDEX_MAX ? index : RECORD_BATCH_INDEX_MAX));
    bytes_store_u16(to + AT_PARTITION, (uint16_t)batch->partition);
    bytes_store_u16(to + AT_CONTROLS, batch->controls);
    bytes_store_u64(to + AT_POS, batch->end_pos);
    bytes_store_u64(to + AT_PREV_HASH, batch->end_hash);
    bytes_store_u64(to + AT_CHANNEL_PREV, channel_prev);
    bytes_copy(to + RECORD_HEADER_SIZE, body.data, body.size);
    bytes_zero(to + RECORD_HEADER_SIZE + body.size, size - RECORD_HEADER_SIZE - body.size);
    *ret_body = to + RECORD_HEADER_SIZE;
    return RC_OK;
}

void batch_seal(struct log_batch *batch)
{
    batch_check(batch);
    uint8_t *to = unsealed(batch);
    const size_t size = record_size(bytes_load_u32(to + AT_BODY_SIZE));
    ASSERT(bytes_load_u64(to + AT_POS) == batch->end_pos);
    ASSERT(size <= batch->bytes.capacity - batch->bytes.size);
    bytes_store_u32(to + AT_CRC, crc32c(0, bytes_of(to + AT_BODY_SIZE, size - AT_BODY_SIZE)));
    batch->end_hash = record_hash(bytes_of(to, size));
    batch->end_pos++;
    batch->controls =
        (uint16_t)(batch->controls + record_is_control((enum record_type)to[AT_TYPE]));
    batch->bytes.size += size;
    ASSERT_HOT(bytes_load_u64(to + AT_POS) + 1 == batch->end_pos);
    batch_check(batch);
}

enum rc batch_append(struct log_batch *batch, enum record_type type, uint64_t channel_prev,
                     struct bytes body)
{
    uint8_t *placed;
    const enum rc rc = batch_place(batch, type, channel_prev, body, &placed);
    ASSERT_HOT(rc == RC_OK || rc == RC_NOMEM);
    if (rc == RC_OK) {
        ASSERT_HOT(placed == unsealed(batch) + RECORD_HEADER_SIZE);
        batch_seal(batch);
    }
    return rc;
}

void batch_deinit(struct log_batch *batch)
{
    ASSERT_HOT(batch != NULL);
    buf_deinit(&batch->bytes);
    *batch = (struct log_batch){0};
}
