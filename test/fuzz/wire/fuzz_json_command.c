/* Any bytes as a command, over WebSocket (first byte even) or as an HTTP body (odd): no crash, and
 * what comes out keeps the promises of wire/command.h: every range lies in the frame or in the
 * scratch memory, every number in its bounds, every refusal is a named one with a text. What was
 * decoded is encoded as a message, which must be one JSON object again. */
#include "wire/json_codec.h"

#include "base/mem.h"
#include "wire/json.h"
#include "wire/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wire_limits limits = {.message_bytes = 256};
static struct wire_scratch scratch;
static struct bytes text;

static bool lies_in(struct bytes part, struct bytes whole)
{
    return part.data >= whole.data && part.size <= whole.size &&
           (size_t)(part.data - whole.data) <= whole.size - part.size;
}

static void check_range(struct bytes part, size_t size_max)
{
    ASSERT(part.size <= size_max);
    if (part.size > 0) {
        ASSERT(lies_in(part, text) || lies_in(part, buf_bytes(&scratch.arena_)));
    }
}

static void check_message(const struct wire_command *c, const struct wire_item *item)
{
    const struct wire_message message = {
        .channel = c->channel,
        .seq = 1,
        .key = item->key,
        .has_key = item->has_key,
        .data = item->data,
        .is_bytes = item->is_bytes,
    };
    struct json_value value;
    struct buf out = {0};
    const enum rc encoded = json_encode_message(&out, &message, true);
    ASSERT(encoded == RC_OK);
    const enum rc scanned = json_scan_text(buf_bytes(&out), &value);
    ASSERT(scanned == RC_OK);
    ASSERT(value.kind == JSON_KIND_OBJECT);
    buf_deinit(&out);
}

static void check_publish(const struct wire_command *c)
{
    ASSERT(c->item_count >= 1 && c->item_count <= BATCH_MESSAGES_MAX);
    ASSERT(c->is_batch || c->item_count == 1);
    ASSERT(!c->has_producer_seq || c->producer_seq >= 1);
    ASSERT(c->producer_seq <= WIRE_INTEGER_MAX);
    for (uint32_t i = 0; i < c->item_count; i++) {
        const struct wire_item *item = &c->items[i];
        check_range(item->data, limits.message_bytes);
        check_range(item->key, KEY_BYTES_MAX);
        ASSERT(item->is_bytes || item->data.size > 0);
        ASSERT(item->has_key || item->key.size == 0);
        check_message(c, item);
    }
}

static void check_command(const struct wire_command *c)
{
    ASSERT(c->type <= WIRE_PING);
    ASSERT(c->id <= WIRE_INTEGER_MAX);
    check_range(c->channel, CHANNEL_NAME_BYTES_MAX);
    ASSERT((c->channel.size > 0) == (c->type != WIRE_CONNECT && c->type != WIRE_PING));
    check_range(c->producer.id, PRODUCER_ID_BYTES_MAX);
    ASSERT(c->producer.id.size == 0 || c->producer.epoch >= 1);
    check_range(c->token, text.size);
    check_range(c->epoch, text.size);
    ASSERT(c->from <= WIRE_FROM_TIME);
    ASSERT(c->window <= WINDOW_MAX);
    ASSERT(c->seq <= WIRE_INTEGER_MAX && c->time_ms <= WIRE_INTEGER_MAX);
    ASSERT(c->type != WIRE_ACK || c->seq >= 1);
    if (c->type == WIRE_HISTORY) {
        ASSERT(c->limit >= 1 && c->limit <= HISTORY_MESSAGES_MAX);
    }
    if (c->type == WIRE_PUBLISH) {
        check_publish(c);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_command command = {0};
    struct wire_error error = {0};
    struct json_value value;
    if (size == 0) {
        return 0;
    }
    text = bytes_of(data + 1, size - 1);
    if (!utf8_valid(text)) {
        return 0; /* the frame decoder lets no such text through */
    }
    const bool http = (data[0] & 1) != 0;
    const enum rc rc = http ? json_publish_decode(text, &limits, &scratch, &command, &error)
                            : json_command_decode(text, &limits, &scratch, &command, &error);
    const bool is_json = json_scan_text(text, &value) == RC_OK;
    const bool is_object = is_json && value.kind == JSON_KIND_OBJECT;
    ASSERT(rc == RC_OK || rc == RC_PROTOCOL || rc == RC_BAD);
    if (rc == RC_OK) {
        ASSERT(is_object);
        check_command(&command);
    } else {
        ASSERT(error.code == WIRE_ERROR_BAD_REQUEST || error.code == WIRE_ERROR_TOO_LARGE);
        ASSERT(error.message[0] != '\0' && error.id <= WIRE_INTEGER_MAX);
        ASSERT(rc != RC_PROTOCOL || is_object);
        /* In a text that is too deep as a whole the scan of a member may see more than that of the
         * whole; else the two agree on what is an object. */
        ASSERT(!is_object || value.too_deep || rc == RC_PROTOCOL);
    }
    return 0;
}
