/* Replies and pushes as binary units.
 *
 * A message's size is reckoned before it is written, so that size, head and payload go out in one
 * pass: this runs once a message for all who follow. Everything else is written behind room for the
 * longest size, which is filled in from the right when the rest is there. What is rare and may grow
 * (connected, error, goaway) is the JSON object of the other codec in a unit of its own. */
#include "wire/binary_codec.h"
#include "wire/binary_int.h"
#include "wire/json_codec.h"
#include "wire/ws.h"

/* Type, flags and all fields of any unit but names, payloads and lists: `unsubscribed`, the
 * longest, has less than 64. An int may be written with as many bytes behind it. */
#define FIXED_SIZE_MAX 96u
#define SIZE_SIZE_MAX  BINARY_INT_SIZE_MAX

static inline uint8_t *put_byte(uint8_t *at, unsigned value)
{
    ASSERT_HOT(value <= UINT8_MAX);
    *at = (uint8_t)value;
    return at + 1;
}

static inline uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    ASSERT_HOT(at != NULL);
    bytes_store_u64(at, value);
    return at + sizeof(value);
}

static inline uint8_t *put_bytes(uint8_t *at, struct bytes bytes)
{
    ASSERT_HOT(bytes.size == 0 || bytes.data != NULL);
    bytes_copy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

static inline uint8_t *put_short(uint8_t *at, struct bytes text)
{
    ASSERT_HOT(text.size <= UINT8_MAX);
    *at = (uint8_t)text.size;
    return put_bytes(at + 1, text);
}

static uint8_t *put_reason(uint8_t *at, const char *reason)
{
    ASSERT(reason != NULL);
    static const char *const reasons[] = {
#define X(number, text) [number] = text,
        BINARY_REASON_LIST(X)
#undef X
    };
    unsigned number = 1;
    while (strcmp(reasons[number], reason) != 0) {
        number++;
        ASSERT(number < sizeof(reasons) / sizeof(reasons[0]));
    }
    return put_byte(at, number);
}

/* ---- units ----------------------------------------------------------------------------------- */

/* Room for a unit with `extra` bytes beside the fixed ones; where its content begins. NULL: out of
 * memory */
static uint8_t *unit_begin(struct buf *to, size_t extra)
{
    ASSERT_HOT(to->size <= to->capacity);
    if (buf_reserve(to, SIZE_SIZE_MAX + FIXED_SIZE_MAX + extra) != RC_OK) {
        return NULL;
    }
    ASSERT_HOT(to->data != NULL);
    return to->data + to->size + SIZE_SIZE_MAX;
}

/* The content reaches up to `at`, and `follows` bytes will be appended to it. */
static enum rc unit_end(struct buf *to, const uint8_t *at, size_t follows)
{
    uint8_t *start = to->data + to->size;
    const uint8_t *content = start + SIZE_SIZE_MAX;
    ASSERT(at > content && at <= to->data + to->capacity);
    const size_t size = (size_t)(at - content);
    uint8_t head[SIZE_SIZE_MAX];
    const size_t head_size = (size_t)(binary_int_put(head, size + follows) - head);
    bytes_move(start + head_size, content, size);
    bytes_copy(start, head, head_size);
    to->size += head_size + size;
    ASSERT_HOT(to->size <= to->capacity);
    return RC_OK;
}

static inline uint8_t *put_head(uint8_t *at, enum binary_type type, unsigned flags, uint64_t id)
{
    ASSERT_HOT(id <= WIRE_INTEGER_MAX);
    at = put_byte(at, type);
    at = put_byte(at, flags);
    return binary_int_put(at, id);
}

/* Pushes have no id. */
static inline uint8_t *put_push(uint8_t *at, enum binary_type type, unsigned flags)
{
    ASSERT_HOT(type >= BINARY_MESSAGE);
    at = put_byte(at, type);
    return put_byte(at, flags);
}

/* ---- JSON in a unit -------------------------------------------------------------------------- */

/* Leaves room for the head; the caller appends the object. RC_NOMEM */
static enum rc object_begin(struct buf *to, size_t *ret_start)
{
    ASSERT(ret_start != NULL);
    *ret_start = to->size;
    if (buf_reserve(to, SIZE_SIZE_MAX + FIXED_SIZE_MAX) != RC_OK) {
        return RC_NOMEM;
    }
    to->size += FIXED_SIZE_MAX;
    ASSERT(to->size <= to->capacity);
    return RC_OK;
}

static enum rc object_end(struct buf *to, size_t start, enum binary_type type, uint64_t id,
                          enum rc rc)
{
    const size_t object_at = start + FIXED_SIZE_MAX;
    ASSERT(to->size >= object_at);
    const size_t object_size = to->size - object_at;
    if (rc != RC_OK) {
        to->size = start;
        return rc;
    }
    uint8_t head[FIXED_SIZE_MAX];
    uint8_t sized[FIXED_SIZE_MAX];
    const uint8_t *end =
        type >= BINARY_MESSAGE ? put_push(head, type, 0) : put_head(head, type, 0, id);
    const size_t head_size = (size_t)(end - head);
    uint8_t *at = binary_int_put(sized, head_size + object_size);
    at = put_bytes(at, bytes_of(head, head_size));
    const size_t before = (size_t)(at - sized);
    ASSERT(before <= FIXED_SIZE_MAX);
    bytes_copy(to->data + start, sized, before);
    bytes_move(to->data + start + before, to->data + object_at, object_size);
    to->size = start + before + object_size;
    return RC_OK;
}

enum rc binary_encode_error(struct buf *to, const struct wire_error *error)
{
    ASSERT(error->code < WIRE_ERROR_COUNT);
    ASSERT(error->message[0] != '\0');
    size_t start;
    const enum rc rc = object_begin(to, &start);
    return rc == RC_OK
               ? object_end(to, start, BINARY_ERROR, error->id, json_encode_error(to, error, true))
               : rc;
}

enum rc binary_encode_connected(struct buf *to, const struct wire_connected *connected)
{
    ASSERT(connected->durability[0] != '\0');
    ASSERT(connected->id <= WIRE_INTEGER_MAX);
    size_t start;
    const enum rc rc = object_begin(to, &start);
    return rc == RC_OK ? object_end(to, start, BINARY_CONNECTED, connected->id,
                                    json_encode_connected(to, connected))
                       : rc;
}

enum rc binary_encode_goaway(struct buf *to, const char *reason, uint64_t reconnect_ms)
{
    ASSERT(reason[0] != '\0');
    ASSERT(reconnect_ms <= WIRE_INTEGER_MAX);
    size_t start;
    const enum rc rc = object_begin(to, &start);
    return rc == RC_OK ? object_end(to, start, BINARY_GOAWAY, 0,
                                    json_encode_goaway(to, reason, reconnect_ms))
                       : rc;
}

/* ---- replies --------------------------------------------------------------------------------- */

enum rc binary_encode_published(struct buf *to, const struct wire_published *published)
{
    ASSERT_HOT(published->has_seq == (published->seq != 0));
    ASSERT_HOT(published->publishes == 0 || (published->publishes >= 2 && published->has_seq));
    ASSERT_HOT(published->publishes == 0 || (published->id != 0 && !published->duplicate));
    uint8_t *at = unit_begin(to, published->channel.size);
    if (at == NULL) {
        return RC_NOMEM;
    }
    const bool run = published->publishes > 0;
    const bool count = published->is_batch || run;
    const unsigned flags = (published->has_seq ? BINARY_PUBLISHED_SEQ : 0u) |
                           (published->message_id != 0 ? BINARY_PUBLISHED_MESSAGE_ID : 0u) |
                           (count ? BINARY_PUBLISHED_COUNT : 0u) |
                           (published->duplicate ? BINARY_PUBLISHED_DUPLICATE : 0u) |
                           (run ? BINARY_PUBLISHED_RUN : 0u);
    at = put_head(at, BINARY_PUBLISHED, flags, published->id);
    at = put_short(at, published->channel);
    at = put_u64(at, published->epoch);
    at = published->has_seq ? binary_int_put(at, published->seq) : at;
    at = published->message_id != 0 ? put_u64(at, published->message_id) : at;
    at = count ? binary_int_put(at, published->count) : at;
    at = run ? binary_int_put(at, published->publishes) : at;
    return unit_end(to, at, 0);
}

enum rc binary_encode_subscribed(struct buf *to, const struct wire_subscribed *subscribed)
{
    ASSERT(subscribed->channel.size > 0);
    ASSERT(subscribed->earliest <= subscribed->latest + 1);
    uint8_t *at = unit_begin(to, subscribed->channel.size);
    if (at == NULL) {
        return RC_NOMEM;
    }
    const bool reset = subscribed->reset_reason != NULL;
    at = put_head(at, BINARY_SUBSCRIBED, reset ? BINARY_SUBSCRIBED_RESET : 0u, subscribed->id);
    at = put_short(at, subscribed->channel);
    at = put_u64(at, subscribed->epoch);
    at = binary_int_put(at, subscribed->next);
    at = binary_int_put(at, subscribed->earliest);
    at = binary_int_put(at, subscribed->latest);
    at = reset ? put_reason(at, subscribed->reset_reason) : at;
    return unit_end(to, at, 0);
}

enum rc binary_encode_unsubscribed(struct buf *to, const struct wire_notice *notice)
{
    ASSERT(notice->channel.size > 0);
    ASSERT(!notice->has_range || (notice->reason != NULL && notice->from <= notice->to));
    uint8_t *at = unit_begin(to, notice->channel.size);
    if (at == NULL) {
        return RC_NOMEM;
    }
    const unsigned flags = (notice->reason != NULL ? BINARY_UNSUBSCRIBED_REASON : 0u) |
                           (notice->has_range ? BINARY_UNSUBSCRIBED_GAP : 0u);
    at = put_head(at, BINARY_UNSUBSCRIBED, flags, notice->id);
    at = put_short(at, notice->channel);
    at = notice->reason != NULL ? put_reason(at, notice->reason) : at;
    if (notice->has_range) {
        at = binary_int_put(at, notice->from);
        at = binary_int_put(at, notice->to);
        at = put_u64(at, notice->epoch);
        at = binary_int_put(at, notice->earliest);
        at = binary_int_put(at, notice->latest);
    }
    return unit_end(to, at, 0);
}

enum rc binary_encode_gap(struct buf *to, const struct wire_notice *notice)
{
    ASSERT(notice->from <= notice->to);
    ASSERT(notice->reason != NULL);
    uint8_t *at = unit_begin(to, notice->channel.size);
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = put_push(at, BINARY_GAP, 0);
    at = put_short(at, notice->channel);
    at = binary_int_put(at, notice->from);
    at = binary_int_put(at, notice->to);
    at = put_reason(at, notice->reason);
    return unit_end(to, at, 0);
}

enum rc binary_encode_reset(struct buf *to, const struct wire_notice *notice)
{
    ASSERT(notice->channel.size > 0);
    ASSERT(notice->reason != NULL);
    uint8_t *at = unit_begin(to, notice->channel.size);
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = put_push(at, BINARY_RESET, 0);
    at = put_short(at, notice->channel);
    at = put_u64(at, notice->epoch);
    at = put_reason(at, notice->reason);
    at = binary_int_put(at, notice->next);
    return unit_end(to, at, 0);
}

enum rc binary_encode_pong(struct buf *to, uint64_t id)
{
    ASSERT_HOT(id <= WIRE_INTEGER_MAX);
    uint8_t *at = unit_begin(to, 0);
    if (at == NULL) {
        return RC_NOMEM;
    }
    return unit_end(to, put_head(at, BINARY_PONG, 0, id), 0);
}

enum rc binary_encode_digest(struct buf *to, const struct wire_digest *digest)
{
    ASSERT(digest->channel.size > 0);
    ASSERT(digest->seq <= WIRE_INTEGER_MAX);
    uint8_t *at = unit_begin(to, digest->channel.size);
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = put_head(at, BINARY_DIGEST_REPLY, 0, digest->id);
    at = put_short(at, digest->channel);
    at = put_u64(at, digest->epoch);
    at = binary_int_put(at, digest->seq);
    at = put_u64(at, digest->digest);
    return unit_end(to, at, 0);
}

/* ---- messages -------------------------------------------------------------------------------- */

static inline unsigned message_flags(const struct wire_message *message)
{
    ASSERT_HOT(message->has_key || message->key.size == 0);
    return (message->has_key ? BINARY_MESSAGE_KEY : 0u) |
           (message->is_bytes ? BINARY_MESSAGE_BYTES : 0u) |
           (message->producer.size > 0 ? BINARY_MESSAGE_PRODUCER : 0u) |
           (message->producer_seq != 0 ? BINARY_MESSAGE_NUMBERED : 0u);
}

/* From `seq` to the payload's end. */
static inline size_t message_size(const struct wire_message *message)
{
    ASSERT_HOT(message->data.size <= MESSAGE_BYTES_MAX);
    return binary_int_size(message->seq) + sizeof(uint64_t) + binary_int_size(message->time_ms) +
           (message->has_key ? 1 + message->key.size : 0) +
           (message->producer.size > 0 ? 1 + message->producer.size : 0) +
           (message->producer_seq != 0 ? binary_int_size(message->producer_seq) : 0) +
           message->data.size;
}

static inline uint8_t *put_message(uint8_t *at, const struct wire_message *message)
{
    ASSERT_HOT(message->seq >= 1);
    at = binary_int_put(at, message->seq);
    at = put_u64(at, message->message_id);
    at = binary_int_put(at, message->time_ms);
    at = message->has_key ? put_short(at, message->key) : at;
    at = message->producer.size > 0 ? put_short(at, message->producer) : at;
    at = message->producer_seq != 0 ? binary_int_put(at, message->producer_seq) : at;
    return put_bytes(at, message->data);
}

enum rc binary_encode_message_frame(struct buf *to, const struct wire_message *message)
{
    ASSERT_HOT(message->channel.size >= 1 && message->channel.size <= CHANNEL_NAME_BYTES_MAX);
    ASSERT_HOT(to->size <= to->capacity);
    const size_t size = 3 + message->channel.size + message_size(message);
    const size_t unit_size = binary_int_size(size) + size;
    if (buf_reserve(to, WS_HEADER_SIZE_MAX + unit_size + BINARY_INT_SIZE_MAX) != RC_OK) {
        return RC_NOMEM;
    }
    uint8_t *start = to->data + to->size;
    uint8_t *at = start + ws_header_encode(start, WS_BINARY, unit_size, NULL);
    const uint8_t *unit = at;
    at = binary_int_put(at, size);
    at = put_push(at, BINARY_MESSAGE, message_flags(message));
    at = put_short(at, message->channel);
    at = put_message(at, message);
    ASSERT((size_t)(at - unit) == unit_size);
    to->size += (size_t)(at - start);
    return RC_OK;
}

enum rc binary_encode_element(struct buf *to, const struct wire_message *message)
{
    ASSERT_HOT(to->size <= to->capacity);
    const size_t size = 1 + message_size(message);
    if (buf_reserve(to, 2 * BINARY_INT_SIZE_MAX + size) != RC_OK) {
        return RC_NOMEM;
    }
    uint8_t *start = to->data + to->size;
    uint8_t *at = binary_int_put(start, size);
    at = put_byte(at, message_flags(message));
    at = put_message(at, message);
    ASSERT((size_t)(at - start) == binary_int_size(size) + size);
    to->size += (size_t)(at - start);
    return RC_OK;
}

enum rc binary_encode_history(struct buf *to, const struct wire_history *history)
{
    ASSERT(history->channel.size > 0);
    ASSERT(history->damaged_count <= HISTORY_MESSAGES_MAX + 1);
    const size_t damaged_size = history->damaged_count * 2 * BINARY_INT_SIZE_MAX;
    uint8_t *at = unit_begin(to, history->channel.size + damaged_size + history->elements.size);
    if (at == NULL) {
        return RC_NOMEM;
    }
    const bool damaged = history->damaged_count > 0;
    const unsigned flags =
        (history->more ? BINARY_HISTORY_MORE : 0u) | (damaged ? BINARY_HISTORY_DAMAGED : 0u);
    at = put_head(at, BINARY_HISTORY_REPLY, flags, history->id);
    at = put_short(at, history->channel);
    at = put_u64(at, history->epoch);
    at = binary_int_put(at, history->earliest);
    at = binary_int_put(at, history->latest);
    at = damaged ? binary_int_put(at, history->damaged_count) : at;
    for (size_t i = 0; i < history->damaged_count; i++) {
        ASSERT(history->damaged[i].from <= history->damaged[i].to);
        at = binary_int_put(at, history->damaged[i].from);
        at = binary_int_put(at, history->damaged[i].to);
    }
    const enum rc rc = unit_end(to, at, history->elements.size);
    ASSERT(rc == RC_OK);
    buf_put(to, history->elements.data, history->elements.size); /* there is room */
    return rc;
}
