/* Any bytes as a binary message: no crash, and what comes out keeps the promises of wire/command.h:
 * every range lies in the message, every number in its bounds, every refusal is a named one with a
 * text, and each unit is taken off once. What was decoded is written again by another
 * implementation (test/lib/packed.h): that must decode to the same, and be what came, but for the
 * white space around a payload and a history's limit, which are not passed on as they came. */
#include "wire/binary_codec.h"

#include "base/mem.h"
#include "test/lib/packed.h"
#include "wire/json.h"
#include "wire/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wire_limits limits = {.message_bytes = 256};
static struct wire_scratch scratch;
static struct bytes message;

static void check_range(struct bytes part, size_t size_max)
{
    ASSERT(part.size <= size_max);
    ASSERT(part.size == 0 ||
           (part.data >= message.data && part.data + part.size <= message.data + message.size));
}

static void check_item(const struct wire_item *item)
{
    struct json_value value;
    check_range(item->data, limits.message_bytes);
    check_range(item->key, KEY_BYTES_MAX);
    ASSERT(item->has_key || item->key.size == 0);
    ASSERT(utf8_valid(item->key));
    if (!item->is_bytes) {
        ASSERT(utf8_valid(item->data));
        ASSERT(json_scan_text(item->data, &value) == RC_OK);
        ASSERT(value.raw.size == item->data.size && !value.too_deep);
    }
}

static void check_command(const struct wire_command *c)
{
    ASSERT(c->type <= WIRE_PING);
    ASSERT(c->id <= WIRE_INTEGER_MAX);
    check_range(c->channel, CHANNEL_NAME_BYTES_MAX);
    if (c->type == WIRE_CONNECT || c->type == WIRE_PING) {
        ASSERT(c->channel.size == 0);
    } else {
        ASSERT(wire_channel_name_valid(c->channel));
    }
    check_range(c->producer.id, PRODUCER_ID_BYTES_MAX);
    check_range(c->token, message.size);
    ASSERT(c->producer.id.size == 0 || c->producer.epoch >= 1);
    ASSERT(c->from <= WIRE_FROM_TIME);
    ASSERT(c->window <= WINDOW_MAX);
    ASSERT(c->seq <= WIRE_INTEGER_MAX && c->time_ms <= WIRE_INTEGER_MAX);
    ASSERT(c->type != WIRE_ACK || c->seq >= 1);
    ASSERT(c->type != WIRE_HISTORY || (c->limit >= 1 && c->limit <= HISTORY_MESSAGES_MAX));
    ASSERT(c->type == WIRE_PUBLISH || c->item_count == 0);
    ASSERT(c->type != WIRE_PUBLISH || (c->item_count >= 1 && c->item_count <= BATCH_MESSAGES_MAX));
    ASSERT(c->is_batch || c->item_count <= 1);
    for (uint32_t i = 0; i < c->item_count; i++) {
        check_item(&c->items[i]);
    }
}

/* `unit` is what it came in. */
static void check_again(const struct wire_command *command, struct bytes unit)
{
    struct buf packed = {0};
    struct buf again = {0};
    struct wire_command second = {0};
    struct wire_error error = {0};
    packed_command(&packed, command);
    if (packed.size == unit.size && command->type != WIRE_HISTORY) {
        ASSERT(bytes_equal(buf_bytes(&packed), unit));
    } else {
        ASSERT(command->type == WIRE_HISTORY || command->type == WIRE_PUBLISH);
    }
    struct bytes rest = buf_bytes(&packed);
    const enum rc rc = binary_command_decode(&rest, &limits, &scratch, &second, &error);
    ASSERT(rc == RC_OK && rest.size == 0);
    packed_command(&again, &second);
    ASSERT(bytes_equal(buf_bytes(&packed), buf_bytes(&again)));
    buf_deinit(&packed);
    buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    message = bytes_of(data, size);
    struct bytes rest = message;
    do {
        struct wire_command command = {0};
        struct wire_error error = {0};
        const struct bytes before = rest;
        const enum rc rc = binary_command_decode(&rest, &limits, &scratch, &command, &error);
        ASSERT(rc == RC_OK || rc == RC_PROTOCOL || rc == RC_BAD);
        ASSERT((rest.size < before.size) == (rc != RC_BAD));
        if (rc == RC_OK) {
            check_command(&command);
            check_again(&command, bytes_of(before.data, before.size - rest.size));
        } else {
            ASSERT(error.code == WIRE_ERROR_BAD_REQUEST || error.code == WIRE_ERROR_TOO_LARGE);
            ASSERT(error.message[0] != '\0' && error.id <= WIRE_INTEGER_MAX);
            ASSERT(rc != RC_BAD || error.id == 0);
        }
        if (rc == RC_BAD) {
            return 0;
        }
    } while (rest.size > 0);
    return 0;
}
