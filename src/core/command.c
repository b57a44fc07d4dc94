/* Encoding and decoding of command bodies. Little-endian throughout.
 *
 * PUBLISH      at  size
 *               0     8  time in ms since 1970      (stamped by the partition's owner)
 *               8     8  message id tick of the first message (likewise)
 *              16     8  producer epoch, 0: no producer
 *              24     8  producer seq of the first message, 0: not numbered
 *              32     4  message count, 1 … 1000
 *              36     1  flags: 1 asked for as a batch
 *              37     1  channel name size, 1 … 255
 *              38     1  producer id size, 0: no producer
 *              39     1  zero
 *              40        channel name, producer id, then each message:
 *                        4 data size, 1 flags (1 has a key, 2 bytes), 1 key size, key, data
 *
 * TRIM         8 time in ms, 4 entry count, 4 zero, then each entry: 8 channel, 8 earliest
 * SETTINGS     8 retention in messages, 8 producer idle time in ms
 * DOUBT        4 kind, 4 entry count, 8 salt, then each entry: 8 channel, 8 good end
 *
 * A body has exactly one encoding, and decoding refuses everything else: what is replayed is what
 * was written, or it is RC_CORRUPT. */
#include "core/command.h"

#include "core/snowflake.h"

#define PUBLISH_HEAD_SIZE  40u
#define PUBLISH_FLAG_BATCH 1u
#define MESSAGE_HEAD_SIZE  6u
#define MESSAGE_FLAG_KEY   1u
#define MESSAGE_FLAG_BYTES 2u
#define TRIM_HEAD_SIZE     16u
#define SETTINGS_SIZE      16u
#define DOUBT_HEAD_SIZE    16u
#define DOUBT_BASE_SIZE    8u
#define ENTRY_SIZE         16u

static_assert(CHANNEL_NAME_BYTES_MAX <= UINT8_MAX, "a name's size fits its byte");
static_assert(PRODUCER_ID_BYTES_MAX <= UINT8_MAX, "an id's size fits its byte");
static_assert(KEY_BYTES_MAX <= UINT8_MAX, "a key's size fits its byte");

static void message_put(struct buf *to, const struct command_message *message)
{
    ASSERT_HOT(to->capacity - to->size >=
               MESSAGE_HEAD_SIZE + message->key.size + message->data.size);
    ASSERT(message->data.size <= MESSAGE_BYTES_MAX);
    ASSERT(message->key.size <= KEY_BYTES_MAX);
    ASSERT(message->has_key || message->key.size == 0);
    const unsigned flags =
        (message->has_key ? MESSAGE_FLAG_KEY : 0) | (message->is_bytes ? MESSAGE_FLAG_BYTES : 0);
    buf_put_u32(to, (uint32_t)message->data.size);
    buf_put_u8(to, (uint8_t)flags);
    buf_put_u8(to, (uint8_t)message->key.size);
    buf_put(to, message->key.data, message->key.size);
    buf_put(to, message->data.data, message->data.size);
}

enum rc command_publish_encode(struct buf *to, const struct command_publish *head,
                               const struct command_message *messages)
{
    ASSERT(head->count >= 1 && head->count <= BATCH_MESSAGES_MAX);
    ASSERT(head->is_batch || head->count == 1);
    ASSERT(head->channel.size >= 1 && head->channel.size <= CHANNEL_NAME_BYTES_MAX);
    ASSERT(head->producer.size <= PRODUCER_ID_BYTES_MAX);
    ASSERT((head->producer.size > 0) == (head->producer_epoch > 0));
    ASSERT(head->producer.size > 0 || head->producer_seq == 0);

    size_t size = PUBLISH_HEAD_SIZE + head->channel.size + head->producer.size;
    for (uint32_t i = 0; i < head->count; i++) {
        size += MESSAGE_HEAD_SIZE + messages[i].key.size + messages[i].data.size;
    }
    const enum rc rc = buf_reserve(to, size);
    if (rc != RC_OK) {
        return rc;
    }
    const size_t before = to->size;
    buf_put_u64(to, 0);
    buf_put_u64(to, 0);
    buf_put_u64(to, head->producer_epoch);
    buf_put_u64(to, head->producer_seq);
    buf_put_u32(to, head->count);
    buf_put_u8(to, head->is_batch ? PUBLISH_FLAG_BATCH : 0);
    buf_put_u8(to, (uint8_t)head->channel.size);
    buf_put_u8(to, (uint8_t)head->producer.size);
    buf_put_u8(to, 0);
    buf_put(to, head->channel.data, head->channel.size);
    buf_put(to, head->producer.data, head->producer.size);
    for (uint32_t i = 0; i < head->count; i++) {
        message_put(to, &messages[i]);
    }
    ASSERT_HOT(to->size - before == size);
    return RC_OK;
}

void command_publish_stamp(uint8_t *body, uint64_t time_ms, uint64_t tick)
{
    ASSERT_HOT(tick >> SNOWFLAKE_TICK_BITS == 0);
    ASSERT(time_ms <= WIRE_INTEGER_MAX);
    bytes_store_u64(body, time_ms);
    bytes_store_u64(body + 8, tick);
}

/* The fixed part and the names, with all their checks; `messages` is what stands behind them. */
enum rc command_publish_head_decode(struct bytes body, struct command_publish *ret_publish)
{
    if (body.size < PUBLISH_HEAD_SIZE) {
        return RC_CORRUPT;
    }
    const uint8_t *at = body.data;
    const unsigned flags = at[36];
    const size_t channel_size = at[37];
    const size_t producer_size = at[38];
    const size_t names_size = channel_size + producer_size;
    if (channel_size == 0 || at[39] != 0 || (flags & ~PUBLISH_FLAG_BATCH) != 0 ||
        body.size - PUBLISH_HEAD_SIZE < names_size) {
        return RC_CORRUPT;
    }
    const struct command_publish publish = {
        .time_ms = bytes_load_u64(at),
        .tick = bytes_load_u64(at + 8),
        .producer_epoch = bytes_load_u64(at + 16),
        .producer_seq = bytes_load_u64(at + 24),
        .count = bytes_load_u32(at + 32),
        .is_batch = flags != 0,
        .channel = {at + PUBLISH_HEAD_SIZE, channel_size},
        .producer = {at + PUBLISH_HEAD_SIZE + channel_size, producer_size},
        .messages = {at + PUBLISH_HEAD_SIZE + names_size,
                     body.size - PUBLISH_HEAD_SIZE - names_size},
    };
    if (publish.count < 1 || publish.count > BATCH_MESSAGES_MAX ||
        (!publish.is_batch && publish.count != 1) || publish.time_ms > WIRE_INTEGER_MAX ||
        publish.tick > ((uint64_t)1 << SNOWFLAKE_TICK_BITS) - publish.count) {
        return RC_CORRUPT;
    }
    if ((producer_size > 0) != (publish.producer_epoch > 0) ||
        (producer_size == 0 && publish.producer_seq > 0) ||
        publish.producer_epoch > WIRE_INTEGER_MAX || publish.producer_seq > WIRE_INTEGER_MAX) {
        return RC_CORRUPT;
    }
    ASSERT_HOT(publish.channel.size >= 1 && publish.channel.size <= CHANNEL_NAME_BYTES_MAX);
    ASSERT_HOT((publish.producer.size > 0) == (publish.producer_epoch > 0));
    *ret_publish = publish;
    return RC_OK;
}

/* False: what stands at the front of `*rest` is no whole message. */
static bool message_take(struct bytes *rest, struct command_message *ret_message)
{
    if (rest->size < MESSAGE_HEAD_SIZE) {
        return false;
    }
    const uint8_t *at = rest->data;
    const size_t data_size = bytes_load_u32(at);
    const unsigned flags = at[4];
    const size_t key_size = at[5];
    if (data_size > MESSAGE_BYTES_MAX || flags > (MESSAGE_FLAG_KEY | MESSAGE_FLAG_BYTES) ||
        ((flags & MESSAGE_FLAG_KEY) == 0 && key_size > 0) ||
        rest->size - MESSAGE_HEAD_SIZE < key_size + data_size) {
        return false;
    }
    *ret_message = (struct command_message){
        .data = {at + MESSAGE_HEAD_SIZE + key_size, data_size},
        .key = {at + MESSAGE_HEAD_SIZE, key_size},
        .has_key = (flags & MESSAGE_FLAG_KEY) != 0,
        .is_bytes = (flags & MESSAGE_FLAG_BYTES) != 0,
    };
    ASSERT_HOT(ret_message->has_key || ret_message->key.size == 0);
    ASSERT_HOT(MESSAGE_HEAD_SIZE + key_size + data_size <= rest->size);
    rest->data += MESSAGE_HEAD_SIZE + key_size + data_size;
    rest->size -= MESSAGE_HEAD_SIZE + key_size + data_size;
    return true;
}

enum rc command_publish_decode(struct bytes body, struct command_publish *ret_publish)
{
    struct command_publish publish;
    const enum rc rc = command_publish_head_decode(body, &publish);
    if (rc != RC_OK) {
        return rc;
    }
    struct bytes rest = publish.messages;
    struct command_message message;
    for (uint32_t i = 0; i < publish.count; i++) {
        if (!message_take(&rest, &message)) {
            return RC_CORRUPT;
        }
    }
    if (rest.size != 0) {
        return RC_CORRUPT;
    }
    *ret_publish = publish;
    return RC_OK;
}

bool command_message_next(struct bytes *rest, struct command_message *ret_message)
{
    ASSERT_HOT(rest->size == 0 || rest->size >= MESSAGE_HEAD_SIZE);
    if (rest->size == 0) {
        return false;
    }
    const bool whole = message_take(rest, ret_message);
    ASSERT(whole); /* command_publish_decode() has been over it */
    return true;
}

enum rc command_trim_encode(struct buf *to, uint64_t time_ms,
                            const struct command_trim_entry *entries, size_t count)
{
    ASSERT(time_ms <= WIRE_INTEGER_MAX);
    ASSERT(count <= COMMAND_ENTRIES_MAX);
    const enum rc rc = buf_reserve(to, TRIM_HEAD_SIZE + count * ENTRY_SIZE);
    if (rc != RC_OK) {
        return rc;
    }
    buf_put_u64(to, time_ms);
    buf_put_u32(to, (uint32_t)count);
    buf_put_u32(to, 0);
    for (size_t i = 0; i < count; i++) {
        buf_put_u64(to, entries[i].channel_id);
        buf_put_u64(to, entries[i].earliest);
    }
    return RC_OK;
}

enum rc command_trim_decode(struct bytes body, struct command_trim *ret_trim)
{
    struct bytes_reader reader = {.rest = body};
    const uint64_t time_ms = reader_u64(&reader);
    const uint32_t count = reader_u32(&reader);
    const uint32_t zero = reader_u32(&reader);
    if (reader.failed || zero != 0 || count > COMMAND_ENTRIES_MAX ||
        reader.rest.size != (size_t)count * ENTRY_SIZE) {
        return RC_CORRUPT;
    }
    ASSERT(reader.rest.size % ENTRY_SIZE == 0);
    *ret_trim = (struct command_trim){.time_ms = time_ms, .count = count, .entries = reader.rest};
    return RC_OK;
}

bool command_trim_next(struct bytes *rest, struct command_trim_entry *ret_entry)
{
    ASSERT(rest->size % ENTRY_SIZE == 0);
    if (rest->size == 0) {
        return false;
    }
    struct bytes_reader reader = {.rest = *rest};
    ret_entry->channel_id = reader_u64(&reader);
    ret_entry->earliest = reader_u64(&reader);
    ASSERT(!reader.failed);
    *rest = reader.rest;
    return true;
}

enum rc command_settings_encode(struct buf *to, const struct command_settings *settings)
{
    const enum rc rc = buf_reserve(to, SETTINGS_SIZE);
    if (rc != RC_OK) {
        return rc;
    }
    buf_put_u64(to, settings->retention_messages);
    buf_put_u64(to, settings->producer_idle_ms);
    return RC_OK;
}

enum rc command_settings_decode(struct bytes body, struct command_settings *ret_settings)
{
    if (body.size != SETTINGS_SIZE) {
        return RC_CORRUPT;
    }
    static_assert(SETTINGS_SIZE == sizeof(struct command_settings), "all of them");
    ret_settings->retention_messages = bytes_load_u64(body.data);
    ret_settings->producer_idle_ms = bytes_load_u64(body.data + 8);
    return RC_OK;
}

enum rc command_doubt_encode(struct buf *to, enum doubt_kind kind, uint64_t salt, uint64_t base,
                             const struct command_doubt_entry *entries, size_t count)
{
    ASSERT(kind >= DOUBT_ALL && kind <= DOUBT_LIST);
    ASSERT(count <= COMMAND_ENTRIES_MAX);
    ASSERT(kind == DOUBT_LIST ? base == 0 : base != 0 && count == 0);
    const enum rc rc = buf_reserve(to, DOUBT_HEAD_SIZE + DOUBT_BASE_SIZE + count * ENTRY_SIZE);
    if (rc != RC_OK) {
        return rc;
    }
    buf_put_u32(to, (uint32_t)kind);
    buf_put_u32(to, (uint32_t)count);
    buf_put_u64(to, salt);
    if (kind != DOUBT_LIST) {
        buf_put_u64(to, base);
    }
    for (size_t i = 0; i < count; i++) {
        buf_put_u64(to, entries[i].channel_id);
        buf_put_u64(to, entries[i].good_end);
    }
    return RC_OK;
}

enum rc command_doubt_decode(struct bytes body, struct command_doubt *ret_doubt)
{
    struct bytes_reader reader = {.rest = body};
    const uint32_t kind = reader_u32(&reader);
    const uint32_t count = reader_u32(&reader);
    const uint64_t salt = reader_u64(&reader);
    /* Older logs have none. */
    const uint64_t base = kind == DOUBT_LIST || reader.rest.size == 0 ? 0 : reader_u64(&reader);
    if (reader.failed || kind < DOUBT_ALL || kind > DOUBT_LIST || count > COMMAND_ENTRIES_MAX ||
        (kind != DOUBT_LIST && count != 0) || reader.rest.size != (size_t)count * ENTRY_SIZE) {
        return RC_CORRUPT;
    }
    /* Strictly by number: a channel gets one new epoch, not two. */
    for (uint32_t i = 1; i < count; i++) {
        const uint8_t *entry = reader.rest.data + (size_t)i * ENTRY_SIZE;
        if (bytes_load_u64(entry) <= bytes_load_u64(entry - ENTRY_SIZE)) {
            return RC_CORRUPT;
        }
    }
    ASSERT(kind == DOUBT_LIST || reader.rest.size == 0);
    *ret_doubt = (struct command_doubt){.kind = (enum doubt_kind)kind,
                                        .salt = salt,
                                        .base = base,
                                        .count = count,
                                        .entries = reader.rest};
    return RC_OK;
}

bool command_doubt_next(struct bytes *rest, struct command_doubt_entry *ret_entry)
{
    ASSERT(rest->size % ENTRY_SIZE == 0);
    if (rest->size == 0) {
        return false;
    }
    struct bytes_reader reader = {.rest = *rest};
    ret_entry->channel_id = reader_u64(&reader);
    ret_entry->good_end = reader_u64(&reader);
    ASSERT(!reader.failed);
    *rest = reader.rest;
    return true;
}
