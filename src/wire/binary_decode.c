/* Commands out of binary units.
 *
 *     unit      size (int), then as many bytes:
 *     command   type (1 byte), flags (1 byte), id (int, 0: none), then what the type has
 *
 * Every inner size is checked against what is left of its unit before anything is done with it, a
 * unit must be used up, and a flag that its type does not have is refused: so each command has one
 * form only (but for the white space around a payload, which is not part of it). The id is taken
 * before all else that can be refused, so that the refusal carries it.
 *
 * Nothing is copied, and nothing allocated but the array of a batch's items, which the scratch
 * keeps. */
#include "wire/binary_codec.h"
#include "wire/binary_int.h"
#include "wire/json.h"
#include "wire/utf8.h"

#include <stdio.h>

#define HISTORY_LIMIT_DEFAULT 100u
#define ITEM_SIZE_MIN         2u /* flags, and the size of no bytes */

static_assert(CHANNEL_NAME_BYTES_MAX == UINT8_MAX && KEY_BYTES_MAX == UINT8_MAX &&
                  PRODUCER_ID_BYTES_MAX == UINT8_MAX,
              "what a byte can tell is what they may have");

struct decode {
    struct bytes rest; /* of the unit */
    const struct wire_limits *limits;
    struct wire_scratch *scratch;
    unsigned flags;
    bool in_batch;
    uint32_t item_index;
    enum wire_error_code code;
    const char *field;
    const char *expected; /* NULL: nothing is refused */
};

static enum rc refuse_with(struct decode *d, enum wire_error_code code, const char *field,
                           const char *expected)
{
    ASSERT(d->expected == NULL);
    ASSERT(expected[0] != '\0');
    d->code = code;
    d->field = field;
    d->expected = expected;
    return RC_PROTOCOL;
}

static enum rc refuse(struct decode *d, const char *field, const char *expected)
{
    ASSERT(field[0] != '\0');
    ASSERT(expected[0] != '\0');
    return refuse_with(d, WIRE_ERROR_BAD_REQUEST, field, expected);
}

/* ---- fields ---------------------------------------------------------------------------------- */

static inline struct bytes cut(struct bytes *rest, size_t size)
{
    ASSERT_HOT(size <= rest->size);
    const struct bytes piece = bytes_of(rest->data, size);
    rest->data += size;
    rest->size -= size;
    ASSERT_HOT(piece.size == size);
    return piece;
}

static inline enum rc take_int(struct decode *d, const char *field, uint64_t min, uint64_t *ret)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(min <= 1);
    if (!binary_int_take(&d->rest, ret)) {
        return refuse(d, field, "is not there, or no int in its shortest form up to 2^53 - 1");
    }
    return *ret >= min ? RC_OK : refuse(d, field, "expected at least 1");
}

static enum rc take_byte(struct decode *d, const char *field, unsigned *ret)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(ret != NULL);
    if (d->rest.size == 0) {
        return refuse(d, field, "is not there");
    }
    *ret = cut(&d->rest, 1).data[0];
    return RC_OK;
}

static enum rc take_u64(struct decode *d, const char *field, uint64_t *ret)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(ret != NULL);
    if (d->rest.size < sizeof(*ret)) {
        return refuse(d, field, "expected 8 bytes");
    }
    *ret = bytes_load_u64(cut(&d->rest, sizeof(*ret)).data);
    return RC_OK;
}

/* A byte for the size, then as many. */
static enum rc take_short(struct decode *d, const char *field, struct bytes *ret)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(ret != NULL);
    if (d->rest.size == 0 || d->rest.size - 1 < d->rest.data[0]) {
        return refuse(d, field, "is longer than its command");
    }
    const size_t size = cut(&d->rest, 1).data[0];
    *ret = cut(&d->rest, size);
    const bool valid = wire_is_plain(*ret) || utf8_valid(*ret);
    return valid ? RC_OK : refuse(d, field, "expected UTF-8");
}

static enum rc take_name(struct decode *d, const char *field, struct bytes *ret)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(field[0] != '\0');
    const enum rc rc = take_short(d, field, ret);
    if (rc != RC_OK) {
        return rc;
    }
    if (ret->size == 0) {
        return refuse(d, field, "expected 1 to 255 bytes, not an empty name");
    }
    if (wire_has_control(*ret)) {
        return refuse(d, field, "expected a name without control characters");
    }
    return RC_OK;
}

/* An int for the size, then as many bytes. */
static enum rc take_long(struct decode *d, const char *field, struct bytes *ret)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(ret != NULL);
    uint64_t size = 0;
    const enum rc rc = take_int(d, field, 0, &size);
    if (rc != RC_OK) {
        return rc;
    }
    if (size > d->rest.size) {
        return refuse(d, field, "is longer than its command");
    }
    *ret = cut(&d->rest, (size_t)size);
    return RC_OK;
}

static enum rc check_flags(struct decode *d, unsigned flags, unsigned known)
{
    ASSERT_HOT(flags <= UINT8_MAX);
    ASSERT_HOT(known <= UINT8_MAX);
    return (flags & ~known) == 0 ? RC_OK : refuse(d, "flags", "one that is not known here is set");
}

/* ---- publish --------------------------------------------------------------------------------- */

/* JSON subscribers get it as it is. */
static enum rc check_json(struct decode *d, struct bytes *data)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(data->size == 0 || data->data != NULL);
    struct json_value value;
    if (!utf8_valid(*data) || json_scan_text(*data, &value) != RC_OK) {
        return refuse(d, "data", "expected one value of JSON");
    }
    if (value.too_deep) {
        return refuse(d, "data", "a value is nested deeper than 512 levels");
    }
    *data = value.raw;
    return RC_OK;
}

static enum rc take_item(struct decode *d, struct wire_item *ret_item)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(ret_item != NULL);
    unsigned flags = 0;
    struct wire_item item = {0};
    enum rc rc = take_byte(d, "flags", &flags);
    if (rc == RC_OK) {
        rc = check_flags(d, flags, BINARY_ITEM_KEY | BINARY_ITEM_BYTES);
    }
    item.has_key = (flags & BINARY_ITEM_KEY) != 0;
    item.is_bytes = (flags & BINARY_ITEM_BYTES) != 0;
    if (rc == RC_OK && item.has_key) {
        rc = take_short(d, "key", &item.key);
    }
    if (rc == RC_OK) {
        rc = take_long(d, "data", &item.data);
    }
    if (rc == RC_OK && !item.is_bytes) {
        rc = check_json(d, &item.data);
    }
    if (rc == RC_OK && item.data.size > d->limits->message_bytes) {
        rc = refuse_with(d, WIRE_ERROR_TOO_LARGE, "data",
                         "larger than limits.message_bytes in `connected`");
    }
    if (rc == RC_OK) {
        *ret_item = item;
    }
    return rc;
}

static enum rc take_count(struct decode *d, uint32_t *ret_count)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(ret_count != NULL);
    uint64_t count = 0;
    const enum rc rc = take_int(d, "count", 1, &count);
    if (rc != RC_OK) {
        return rc;
    }
    if (count > BATCH_MESSAGES_MAX) {
        return refuse_with(d, WIRE_ERROR_TOO_LARGE, "count", "expected at most 1000 messages");
    }
    if (count > d->rest.size / ITEM_SIZE_MIN) {
        return refuse(d, "count", "more messages than the command has room for");
    }
    *ret_count = (uint32_t)count;
    return RC_OK;
}

static enum rc take_publish(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(c->type == WIRE_PUBLISH);
    ASSERT_HOT(d->expected == NULL);
    c->has_producer_seq = (d->flags & BINARY_PUBLISH_NUMBERED) != 0;
    c->is_batch = (d->flags & BINARY_PUBLISH_BATCH) != 0;
    c->quiet = (d->flags & BINARY_PUBLISH_QUIET) != 0;
    c->item_count = 1;
    enum rc rc = take_name(d, "channel", &c->channel);
    if (rc == RC_OK && c->has_producer_seq) {
        rc = take_int(d, "producer_seq", 1, &c->producer_seq);
    }
    if (rc == RC_OK && c->is_batch) {
        rc = take_count(d, &c->item_count);
    }
    if (rc == RC_OK) {
        rc = wire_scratch_items(d->scratch, c->item_count);
    }
    d->in_batch = c->is_batch;
    for (d->item_index = 0; rc == RC_OK && d->item_index < c->item_count; d->item_index++) {
        rc = take_item(d, &d->scratch->items_[d->item_index]);
        if (rc != RC_OK) {
            return rc;
        }
    }
    d->in_batch = false;
    c->items = d->scratch->items_;
    return rc;
}

/* ---- the others ------------------------------------------------------------------------------ */

static enum rc take_connect(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_CONNECT);
    ASSERT(c->producer.id.size == 0);
    enum rc rc = RC_OK;
    c->cumulative = (d->flags & BINARY_CONNECT_CUMULATIVE) != 0;
    if ((d->flags & BINARY_CONNECT_PRODUCER) != 0) {
        rc = take_name(d, "producer.id", &c->producer.id);
        if (rc == RC_OK) {
            rc = take_int(d, "producer.epoch", 1, &c->producer.epoch);
        }
    }
    if (rc == RC_OK && (d->flags & BINARY_CONNECT_TOKEN) != 0) {
        rc = take_long(d, "token", &c->token);
        if (rc == RC_OK && !utf8_valid(c->token)) {
            rc = refuse(d, "token", "expected UTF-8");
        }
    }
    return rc;
}

static enum rc take_from(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_SUBSCRIBE);
    ASSERT(d->expected == NULL);
    unsigned from = 0;
    enum rc rc = take_byte(d, "from", &from);
    if (rc != RC_OK) {
        return rc;
    }
    if (from > WIRE_FROM_TIME) {
        return refuse(d, "from", "expected 0 to 4");
    }
    c->from = (enum wire_from)from;
    switch (c->from) {
    case WIRE_FROM_LATEST:
    case WIRE_FROM_EARLIEST: return RC_OK;
    case WIRE_FROM_SEQ: return take_int(d, "from.seq", 1, &c->seq);
    case WIRE_FROM_EPOCH_SEQ:
        rc = take_u64(d, "from.epoch", &c->epoch_number);
        return rc == RC_OK ? take_int(d, "from.seq", 1, &c->seq) : rc;
    case WIRE_FROM_TIME: return take_int(d, "from.time", 0, &c->time_ms);
    }
    UNREACHABLE();
}

/* catch_up is what stands where nothing is said, so it has no number: one command, one form. */
static enum rc take_when_slow(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_SUBSCRIBE);
    ASSERT(c->when_slow == WIRE_CATCH_UP);
    unsigned when_slow = 0;
    const enum rc rc = take_byte(d, "when_slow", &when_slow);
    if (rc != RC_OK) {
        return rc;
    }
    if (when_slow < WIRE_SKIP || when_slow > WIRE_CONFLATE) {
        return refuse(d, "when_slow", "expected 1 or 2");
    }
    c->when_slow = (enum wire_when_slow)when_slow;
    return RC_OK;
}

static_assert(WIRE_SKIP == 1 && WIRE_CONFLATE == 2, "they are on the wire");
static_assert(WIRE_FROM_LATEST == 0 && WIRE_FROM_EARLIEST == 1 && WIRE_FROM_SEQ == 2 &&
                  WIRE_FROM_EPOCH_SEQ == 3 && WIRE_FROM_TIME == 4,
              "they are on the wire");

static enum rc take_subscribe(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_SUBSCRIBE);
    ASSERT(c->window == 0);
    uint64_t window = 0;
    c->on_gap_reset = (d->flags & BINARY_SUBSCRIBE_RESET) != 0;
    enum rc rc = take_name(d, "channel", &c->channel);
    if (rc == RC_OK) {
        rc = take_from(d, c);
    }
    if (rc == RC_OK && (d->flags & BINARY_SUBSCRIBE_WINDOW) != 0) {
        rc = take_int(d, "window", 1, &window);
        if (rc == RC_OK && window > WINDOW_MAX) {
            rc = refuse(d, "window", "expected 1 to 1000000");
        }
    }
    if (rc == RC_OK && (d->flags & BINARY_SUBSCRIBE_SLOW) != 0) {
        rc = take_when_slow(d, c);
    }
    c->window = rc == RC_OK ? (uint32_t)window : 0;
    return rc;
}

static enum rc take_ack(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(c->type == WIRE_ACK);
    ASSERT_HOT(c->seq == 0);
    const enum rc rc = take_name(d, "channel", &c->channel);
    return rc == RC_OK ? take_int(d, "seq", 1, &c->seq) : rc;
}

static enum rc take_history(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_HISTORY);
    ASSERT(c->limit == 0);
    uint64_t limit = HISTORY_LIMIT_DEFAULT;
    c->has_history_from = (d->flags & BINARY_HISTORY_FROM) != 0;
    c->reverse = (d->flags & BINARY_HISTORY_REVERSE) != 0;
    enum rc rc = take_name(d, "channel", &c->channel);
    if (rc == RC_OK && c->has_history_from) {
        rc = take_int(d, "from", 0, &c->history_from);
    }
    if (rc == RC_OK && (d->flags & BINARY_HISTORY_LIMIT) != 0) {
        rc = take_int(d, "limit", 1, &limit);
    }
    c->limit = (uint32_t)(limit > HISTORY_MESSAGES_MAX ? HISTORY_MESSAGES_MAX : limit);
    return rc;
}

static enum rc take_digest(struct decode *d, struct wire_command *c)
{
    ASSERT(c->type == WIRE_DIGEST);
    ASSERT(!c->has_seq);
    c->has_seq = (d->flags & BINARY_DIGEST_SEQ) != 0;
    const enum rc rc = take_name(d, "channel", &c->channel);
    return rc == RC_OK && c->has_seq ? take_int(d, "seq", 0, &c->seq) : rc;
}

/* ---- one command ----------------------------------------------------------------------------- */

/* By type on the wire. */
static const struct {
    enum wire_type type;
    unsigned flags; /* those that it has */
} types[] = {
    [BINARY_CONNECT] = {WIRE_CONNECT,
                        BINARY_CONNECT_PRODUCER | BINARY_CONNECT_TOKEN | BINARY_CONNECT_CUMULATIVE},
    [BINARY_PUBLISH] = {WIRE_PUBLISH,
                        BINARY_PUBLISH_NUMBERED | BINARY_PUBLISH_BATCH | BINARY_PUBLISH_QUIET},
    [BINARY_SUBSCRIBE] = {WIRE_SUBSCRIBE,
                          BINARY_SUBSCRIBE_RESET | BINARY_SUBSCRIBE_WINDOW | BINARY_SUBSCRIBE_SLOW},
    [BINARY_ACK] = {WIRE_ACK, 0},
    [BINARY_UNSUBSCRIBE] = {WIRE_UNSUBSCRIBE, 0},
    [BINARY_HISTORY] = {WIRE_HISTORY,
                        BINARY_HISTORY_FROM | BINARY_HISTORY_LIMIT | BINARY_HISTORY_REVERSE},
    [BINARY_DIGEST] = {WIRE_DIGEST, BINARY_DIGEST_SEQ},
    [BINARY_PING] = {WIRE_PING, 0},
};
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

static enum rc take_body(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(c->type <= WIRE_PING);
    ASSERT_HOT(d->expected == NULL);
    switch (c->type) {
    case WIRE_CONNECT: return take_connect(d, c);
    case WIRE_PUBLISH: return take_publish(d, c);
    case WIRE_SUBSCRIBE: return take_subscribe(d, c);
    case WIRE_ACK: return take_ack(d, c);
    case WIRE_UNSUBSCRIBE: return take_name(d, "channel", &c->channel);
    case WIRE_HISTORY: return take_history(d, c);
    case WIRE_DIGEST: return take_digest(d, c);
    case WIRE_PING: return RC_OK;
    }
    UNREACHABLE();
}

static enum rc take_command(struct decode *d, struct wire_command *c)
{
    ASSERT_HOT(d->expected == NULL);
    ASSERT_HOT(d->rest.size > 0);
    const unsigned type = cut(&d->rest, 1).data[0]; /* no unit is empty */
    enum rc rc = take_byte(d, "flags", &d->flags);
    if (rc == RC_OK) {
        rc = take_int(d, "id", 0, &c->id);
    }
    if (rc != RC_OK) {
        c->id = 0;
        return rc;
    }
    if (type < BINARY_CONNECT || type >= TYPE_COUNT) {
        return refuse(d, "type", "expected 1 to 8");
    }
    c->type = types[type].type;
    rc = check_flags(d, d->flags, types[type].flags);
    if (rc == RC_OK) {
        rc = take_body(d, c);
    }
    if (rc == RC_OK && d->rest.size > 0) {
        rc = refuse(d, "size", "there are bytes behind the command");
    }
    return rc;
}

/* A sentence for a developer. Nothing in it comes from the client but numbers. */
static void error_write(const struct decode *d, uint64_t id, struct wire_error *error)
{
    ASSERT(d->expected != NULL);
    ASSERT(d->code < WIRE_ERROR_COUNT);
    char item[32] = "";
    if (d->in_batch) {
        (void)snprintf(item, sizeof(item), "batch[%u].", d->item_index);
    }
    *error = (struct wire_error){.code = d->code, .id = id};
    (void)snprintf(error->message, sizeof(error->message), "%s%s: %s", item, d->field, d->expected);
}

enum rc binary_command_decode(struct bytes *rest, const struct wire_limits *limits,
                              struct wire_scratch *scratch, struct wire_command *ret_command,
                              struct wire_error *ret_error)
{
    ASSERT_HOT(rest->size == 0 || rest->data != NULL);
    ASSERT_HOT(limits->message_bytes > 0);
    ASSERT_HOT(ret_command != NULL && ret_error != NULL);
    struct bytes left = *rest;
    uint64_t size = 0;
    if (!binary_int_take(&left, &size) || size == 0 || size > left.size) {
        *ret_error = (struct wire_error){.code = WIRE_ERROR_BAD_REQUEST};
        (void)snprintf(ret_error->message, sizeof(ret_error->message),
                       "the frame is not made of whole commands");
        return RC_BAD;
    }
    struct decode d = {.rest = cut(&left, (size_t)size), .limits = limits, .scratch = scratch};
    struct wire_command command = {0};
    const enum rc rc = take_command(&d, &command);
    if (rc == RC_PROTOCOL) {
        error_write(&d, command.id, ret_error);
    }
    if (rc == RC_OK || rc == RC_PROTOCOL) {
        *rest = left;
    }
    if (rc == RC_OK) {
        ASSERT_HOT(d.expected == NULL);
        *ret_command = command;
    }
    return rc;
}
