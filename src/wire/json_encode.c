/* Replies and pushes as JSON text.
 *
 * Each function reserves the worst case once and then writes through a bare pointer without
 * checks: json_encode_message() runs once a message for all subscribers of a channel, the replies
 * once a command. Members come in the order in which the protocol prints them; optional ones are
 * left out, never null. */
#include "base/digest.h"
#include "wire/base64.h"
#include "wire/json_codec.h"

/* The worst that text can become: each byte \u00XX, and two quotes. */
#define STRING_SIZE_MAX(size) ((size)*6 + 2)
#define INTEGER_SIZE_MAX      20
/* The fixed texts of any object of ours, its integers and short strings: all of `connected`, the
 * longest, is below 700. */
#define FIXED_SIZE_MAX 1024

#define PUT(at, literal) put_raw((at), BYTES_LITERAL(literal))

static inline uint8_t *put_raw(uint8_t *at, struct bytes text)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    bytes_copy(at, text.data, text.size);
    return at + text.size;
}

/* ---- integers -------------------------------------------------------------------------------- */

static const char digit_pairs[] = "0001020304050607080910111213141516171819"
                                  "2021222324252627282930313233343536373839"
                                  "4041424344454647484950515253545556575859"
                                  "6061626364656667686970717273747576777879"
                                  "8081828384858687888990919293949596979899";

/* Two digits a division, from the right into a scratch, then one copy. */
static inline uint8_t *put_integer(uint8_t *at, uint64_t value)
{
    ASSERT_HOT(at != NULL);
    uint8_t text[INTEGER_SIZE_MAX];
    uint8_t *first = text + sizeof(text);
    while (value >= 100) {
        first -= 2;
        bytes_copy(first, &digit_pairs[value % 100 * 2], 2);
        value /= 100;
    }
    if (value >= 10) {
        first -= 2;
        bytes_copy(first, &digit_pairs[value * 2], 2);
    } else {
        *--first = (uint8_t)('0' + value);
    }
    return put_raw(at, bytes_of(first, (size_t)(text + sizeof(text) - first)));
}

/* ---- strings --------------------------------------------------------------------------------- */

static inline bool must_escape(uint8_t c)
{
    return (c < 0x20) | (c == '"') | (c == '\\');
}

static uint8_t *put_escaped_byte(uint8_t *at, uint8_t c)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(must_escape(c));
    static const char hex[] = "0123456789abcdef";
    at[0] = '\\';
    switch (c) {
    case '"':
    case '\\': at[1] = c; return at + 2;
    case '\b': at[1] = 'b'; return at + 2;
    case '\f': at[1] = 'f'; return at + 2;
    case '\n': at[1] = 'n'; return at + 2;
    case '\r': at[1] = 'r'; return at + 2;
    case '\t': at[1] = 't'; return at + 2;
    default: break;
    }
    ASSERT_HOT(c < 0x20);
    at = PUT(at, "\\u00");
    at[0] = (uint8_t)hex[c >> 4];
    at[1] = (uint8_t)hex[c & 15];
    return at + 2;
}

/* Looks first, many bytes at a time and without an early exit, then copies; only a text that needs
 * an escape goes byte by byte. */
static uint8_t *put_string(uint8_t *at, struct bytes text)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    bool found = false;
    for (size_t i = 0; i < text.size; i++) {
        found |= must_escape(text.data[i]);
    }
    *at++ = '"';
    if (!found) {
        at = put_raw(at, text);
        *at++ = '"';
        return at;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (must_escape(text.data[i])) {
            at = put_escaped_byte(at, text.data[i]);
        } else {
            *at++ = text.data[i];
        }
    }
    *at++ = '"';
    return at;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(text != NULL);
    return put_string(at, bytes_of_text(text));
}

static uint8_t *put_epoch(uint8_t *at, uint64_t epoch)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(epoch != 0);
    char text[WIRE_EPOCH_TEXT_SIZE];
    wire_epoch_text(epoch, text);
    *at++ = '"';
    at = put_raw(at, bytes_of_text(text));
    *at++ = '"';
    return at;
}

/* ---- objects --------------------------------------------------------------------------------- */

/* Room for an object with `extra` bytes beside the fixed ones; the place to write to.
 * NULL: out of memory */
static uint8_t *object_begin(struct buf *to, size_t extra)
{
    ASSERT_HOT(to->size <= to->capacity);
    if (buf_reserve(to, FIXED_SIZE_MAX + extra) != RC_OK) {
        return NULL;
    }
    ASSERT_HOT(to->capacity - to->size >= FIXED_SIZE_MAX + extra);
    return to->data + to->size;
}

static enum rc object_end(struct buf *to, const uint8_t *at)
{
    ASSERT(at >= to->data + to->size && at <= to->data + to->capacity);
    to->size = (size_t)(at - to->data);
    ASSERT_HOT(to->size <= to->capacity);
    return RC_OK;
}

/* `{"type":"error","id":7,` with what is asked for; always ends in a comma or the brace. */
#define PUT_HEAD(at, with_type, type, id) put_head((at), (with_type), BYTES_LITERAL(type), (id))

static inline uint8_t *put_head(uint8_t *at, bool with_type, struct bytes type, uint64_t id)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(type.size > 0);
    *at++ = '{';
    if (with_type) {
        at = PUT(at, "\"type\":\"");
        at = put_raw(at, type);
        at = PUT(at, "\",");
    }
    if (id != 0) {
        at = PUT(at, "\"id\":");
        at = put_integer(at, id);
        *at++ = ',';
    }
    return at;
}

static inline uint8_t *put_channel(uint8_t *at, struct bytes channel)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(channel.size <= CHANNEL_NAME_BYTES_MAX);
    at = PUT(at, "\"channel\":");
    return put_string(at, channel);
}

static uint8_t *put_bounds(uint8_t *at, uint64_t earliest, uint64_t latest)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(earliest <= latest + 1);
    at = PUT(at, ",\"earliest\":");
    at = put_integer(at, earliest);
    at = PUT(at, ",\"latest\":");
    return put_integer(at, latest);
}

enum rc json_encode_error(struct buf *to, const struct wire_error *error, bool with_type)
{
    ASSERT(error->code < WIRE_ERROR_COUNT);
    ASSERT(!error->has_bounds || error->epoch != 0);
    const struct bytes message = bytes_of_text(error->message);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(message.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = PUT_HEAD(at, with_type, "error", error->id);
    at = PUT(at, "\"code\":");
    at = put_text(at, wire_error_text(error->code));
    at = PUT(at, ",\"message\":");
    at = put_string(at, message);
    if (error->has_expected) {
        at = PUT(at, ",\"expected\":");
        at = put_integer(at, error->expected);
    }
    if (error->has_bounds) {
        at = PUT(at, ",\"epoch\":");
        at = put_epoch(at, error->epoch);
        at = put_bounds(at, error->earliest, error->latest);
        if (error->reason != NULL) {
            at = PUT(at, ",\"reason\":");
            at = put_text(at, error->reason);
        }
    }
    if (error->retry_after_ms != 0) {
        at = PUT(at, ",\"retry_after_ms\":");
        at = put_integer(at, error->retry_after_ms);
    }
    *at++ = '}';
    return object_end(to, at);
}

static uint8_t *put_limits(uint8_t *at, const struct wire_connected *connected)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(connected->message_bytes > 0);
    at = PUT(at, ",\"limits\":{\"message_bytes\":");
    at = put_integer(at, connected->message_bytes);
    at = PUT(at, ",\"frame_bytes\":");
    at = put_integer(at, connected->frame_bytes);
    at = PUT(at, ",\"batch_messages\":");
    at = put_integer(at, connected->batch_messages);
    at = PUT(at, ",\"subscriptions\":");
    at = put_integer(at, connected->subscriptions);
    *at++ = '}';
    return at;
}

enum rc json_encode_connected(struct buf *to, const struct wire_connected *connected)
{
    ASSERT(connected->durability[0] != '\0');
    ASSERT(connected->message_bytes <= connected->frame_bytes);
    const struct bytes name = bytes_of_text(connected->namespace_name);
    const struct bytes durability = bytes_of_text(connected->durability);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(name.size) + STRING_SIZE_MAX(durability.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = PUT_HEAD(at, true, "connected", connected->id);
    at = PUT(at, "\"connection\":\"");
    at = put_integer(at, connected->connection);
    at = PUT(at, "\",\"namespace\":");
    at = put_string(at, name);
    at = PUT(at, ",\"node\":");
    at = put_integer(at, connected->node);
    at = PUT(at, ",\"server\":\"seriatim/" SERIATIM_VERSION "\",\"ping_ms\":");
    at = put_integer(at, connected->ping_ms);
    at = PUT(at, ",\"durability\":");
    at = put_string(at, durability);
    at = PUT(at, ",\"features\":[\"batch\",\"binary\",\"cumulative\",\"data_base64\",\"digest\","
                 "\"from_time\",\"history\",\"producer\",\"quiet\",\"when_slow\",\"window\"]");
    at = put_limits(at, connected);
    at = PUT(at, ",\"time\":");
    at = put_integer(at, connected->time_ms);
    *at++ = '}';
    return object_end(to, at);
}

enum rc json_encode_published(struct buf *to, const struct wire_published *published,
                              bool with_type)
{
    ASSERT_HOT(to->size <= to->capacity);
    ASSERT_HOT(published->has_seq == (published->seq != 0));
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(published->channel.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = PUT_HEAD(at, with_type, "published", published->id);
    at = put_channel(at, published->channel);
    if (published->has_seq) {
        at = PUT(at, ",\"seq\":");
        at = put_integer(at, published->seq);
    }
    if (published->message_id != 0) {
        at = PUT(at, ",\"message_id\":\"");
        at = put_integer(at, published->message_id);
        *at++ = '"';
    }
    at = PUT(at, ",\"epoch\":");
    at = put_epoch(at, published->epoch);
    if (published->is_batch) {
        at = PUT(at, ",\"count\":");
        at = put_integer(at, published->count);
    }
    if (published->duplicate) {
        at = PUT(at, ",\"duplicate\":true");
    }
    *at++ = '}';
    return object_end(to, at);
}

enum rc json_encode_subscribed(struct buf *to, const struct wire_subscribed *subscribed)
{
    ASSERT_HOT(subscribed->channel.size <= CHANNEL_NAME_BYTES_MAX);
    ASSERT_HOT(to->size <= to->capacity);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(subscribed->channel.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = PUT_HEAD(at, true, "subscribed", subscribed->id);
    at = put_channel(at, subscribed->channel);
    at = PUT(at, ",\"epoch\":");
    at = put_epoch(at, subscribed->epoch);
    at = PUT(at, ",\"next\":");
    at = put_integer(at, subscribed->next);
    at = put_bounds(at, subscribed->earliest, subscribed->latest);
    if (subscribed->reset_reason != NULL) {
        at = PUT(at, ",\"reset\":{\"reason\":");
        at = put_text(at, subscribed->reset_reason);
        *at++ = '}';
    }
    *at++ = '}';
    return object_end(to, at);
}

static uint8_t *put_range(uint8_t *at, uint64_t from, uint64_t to)
{
    ASSERT_HOT(from >= 1);
    ASSERT_HOT(from <= to);
    at = PUT(at, "\"from\":");
    at = put_integer(at, from);
    at = PUT(at, ",\"to\":");
    return put_integer(at, to);
}

enum rc json_encode_unsubscribed(struct buf *to, const struct wire_notice *notice)
{
    ASSERT(notice->channel.size <= CHANNEL_NAME_BYTES_MAX);
    ASSERT(notice->channel.size > 0);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(notice->channel.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = PUT_HEAD(at, true, "unsubscribed", notice->id);
    at = put_channel(at, notice->channel);
    if (notice->reason != NULL) {
        at = PUT(at, ",\"reason\":");
        at = put_text(at, notice->reason);
    }
    if (notice->has_range) {
        *at++ = ',';
        at = put_range(at, notice->from, notice->to);
        at = PUT(at, ",\"epoch\":");
        at = put_epoch(at, notice->epoch);
        at = put_bounds(at, notice->earliest, notice->latest);
    }
    *at++ = '}';
    return object_end(to, at);
}

enum rc json_encode_gap(struct buf *to, const struct wire_notice *notice)
{
    ASSERT(notice->from <= notice->to);
    ASSERT(notice->reason != NULL);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(notice->channel.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    ASSERT(notice->from <= notice->to);
    at = PUT_HEAD(at, true, "gap", 0);
    at = put_channel(at, notice->channel);
    *at++ = ',';
    at = put_range(at, notice->from, notice->to);
    at = PUT(at, ",\"reason\":");
    at = put_text(at, notice->reason);
    *at++ = '}';
    return object_end(to, at);
}

enum rc json_encode_reset(struct buf *to, const struct wire_notice *notice)
{
    ASSERT(notice->channel.size <= CHANNEL_NAME_BYTES_MAX);
    ASSERT(notice->reason != NULL);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(notice->channel.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = PUT_HEAD(at, true, "reset", 0);
    at = put_channel(at, notice->channel);
    at = PUT(at, ",\"epoch\":");
    at = put_epoch(at, notice->epoch);
    at = PUT(at, ",\"reason\":");
    at = put_text(at, notice->reason);
    at = PUT(at, ",\"next\":");
    at = put_integer(at, notice->next);
    *at++ = '}';
    return object_end(to, at);
}

enum rc json_encode_pong(struct buf *to, uint64_t id)
{
    ASSERT_HOT(to->size <= to->capacity);
    uint8_t *at = object_begin(to, 0);
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = PUT(at, "{\"type\":\"pong\"");
    if (id != 0) {
        at = PUT(at, ",\"id\":");
        at = put_integer(at, id);
    }
    *at++ = '}';
    return object_end(to, at);
}

enum rc json_encode_goaway(struct buf *to, const char *reason, uint64_t reconnect_ms)
{
    ASSERT(reason[0] != '\0');
    const struct bytes text = bytes_of_text(reason);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(text.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = PUT(at, "{\"type\":\"goaway\",\"reason\":");
    at = put_string(at, text);
    at = PUT(at, ",\"reconnect_after_ms\":");
    at = put_integer(at, reconnect_ms);
    *at++ = '}';
    return object_end(to, at);
}

static inline size_t data_size(const struct wire_message *message)
{
    ASSERT_HOT(message->data.size <= MESSAGE_BYTES_MAX);
    return message->is_bytes ? base64_encoded_size(message->data.size) : message->data.size;
}

static inline uint8_t *put_data(uint8_t *at, const struct wire_message *message)
{
    ASSERT_HOT(at != NULL);
    ASSERT_HOT(message->is_bytes || message->data.size > 0);
    if (!message->is_bytes) {
        at = PUT(at, ",\"data\":");
        return put_raw(at, message->data);
    }
    at = PUT(at, ",\"data_base64\":\"");
    base64_encode(at, message->data);
    at += base64_encoded_size(message->data.size);
    *at++ = '"';
    return at;
}

enum rc json_encode_message(struct buf *to, const struct wire_message *message, bool with_type)
{
    ASSERT_HOT(message->channel.size <= CHANNEL_NAME_BYTES_MAX);
    ASSERT_HOT(to->size <= to->capacity);
    const size_t names_size =
        message->channel.size + message->producer.size + (message->has_key ? message->key.size : 0);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(names_size) + data_size(message));
    if (at == NULL) {
        return RC_NOMEM;
    }
    if (with_type) {
        at = PUT(at, "{\"type\":\"message\",");
        at = put_channel(at, message->channel);
        at = PUT(at, ",\"seq\":");
    } else {
        at = PUT(at, "{\"seq\":");
    }
    at = put_integer(at, message->seq);
    at = PUT(at, ",\"message_id\":\"");
    at = put_integer(at, message->message_id);
    at = PUT(at, "\",\"time\":");
    at = put_integer(at, message->time_ms);
    if (message->has_key) {
        at = PUT(at, ",\"key\":");
        at = put_string(at, message->key);
    }
    if (message->producer.size > 0) {
        at = PUT(at, ",\"producer\":");
        at = put_string(at, message->producer);
    }
    if (message->producer_seq != 0) {
        at = PUT(at, ",\"producer_seq\":");
        at = put_integer(at, message->producer_seq);
    }
    at = put_data(at, message);
    *at++ = '}';
    return object_end(to, at);
}

enum rc json_encode_history_head(struct buf *to, uint64_t id, struct bytes channel, uint64_t epoch,
                                 uint64_t earliest, uint64_t latest, bool with_type)
{
    ASSERT_HOT(channel.size <= CHANNEL_NAME_BYTES_MAX);
    ASSERT(epoch != 0);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(channel.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    at = PUT_HEAD(at, with_type, "history", id);
    at = put_channel(at, channel);
    at = PUT(at, ",\"epoch\":");
    at = put_epoch(at, epoch);
    at = put_bounds(at, earliest, latest);
    at = PUT(at, ",\"messages\":[");
    return object_end(to, at);
}

enum rc json_encode_history_tail(struct buf *to, bool more)
{
    ASSERT_HOT(to->size <= to->capacity);
    return json_encode_history_tail_damaged(to, NULL, 0, more);
}

enum rc json_encode_history_tail_damaged(struct buf *to, const struct wire_range *ranges,
                                         size_t count, bool more)
{
    ASSERT(count == 0 || ranges != NULL);
    enum { RANGE_SIZE_MAX = 2 * INTEGER_SIZE_MAX + 32 };
    ASSERT(count <= HISTORY_MESSAGES_MAX + 1); /* at most one before each message and one behind */
    uint8_t *at = object_begin(to, count * RANGE_SIZE_MAX);
    if (at == NULL) {
        return RC_NOMEM;
    }
    *at++ = ']';
    if (count > 0) {
        at = PUT(at, ",\"damaged\":[");
        for (size_t i = 0; i < count; i++) {
            ASSERT(ranges[i].from <= ranges[i].to);
            at = i == 0 ? PUT(at, "{") : PUT(at, ",{");
            at = put_range(at, ranges[i].from, ranges[i].to);
            *at++ = '}';
        }
        *at++ = ']';
    }
    if (more) {
        at = PUT(at, ",\"more\":true");
    }
    *at++ = '}';
    return object_end(to, at);
}

enum rc json_encode_digest(struct buf *to, const struct wire_digest *digest, bool with_type)
{
    ASSERT_HOT(digest->channel.size <= CHANNEL_NAME_BYTES_MAX);
    ASSERT(digest->seq <= WIRE_INTEGER_MAX);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(digest->channel.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    char text[DIGEST_TEXT_SIZE];
    digest_text(digest->digest, text);
    at = PUT_HEAD(at, with_type, "digest", digest->id);
    at = put_channel(at, digest->channel);
    at = PUT(at, ",\"epoch\":");
    at = put_epoch(at, digest->epoch);
    at = PUT(at, ",\"seq\":");
    at = put_integer(at, digest->seq);
    at = PUT(at, ",\"digest\":");
    at = put_text(at, text);
    *at++ = '}';
    return object_end(to, at);
}

enum rc json_encode_string(struct buf *to, struct bytes text)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    ASSERT_HOT(to->size <= to->capacity);
    uint8_t *at = object_begin(to, STRING_SIZE_MAX(text.size));
    if (at == NULL) {
        return RC_NOMEM;
    }
    return object_end(to, put_string(at, text));
}
