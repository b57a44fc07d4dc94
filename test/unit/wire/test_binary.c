/* wire/binary_decode, wire/binary_encode: seriatim.v1.binary, byte by byte.
 *
 * Method: the vectors of test/vectors/binary.json, which another implementation has written from
 * docs/PROTOCOL.md: a command's bytes must decode to what its JSON decodes to, and a reply that its
 * JSON describes must encode to the bytes. Then cuts and flipped bits of all of them, random
 * commands and messages there and back through test/lib/packed, and memory that runs out. */
#include "wire/binary_codec.h"

#include "base/mem.h"
#include "base/prng.h"
#include "test/lib/packed.h"
#include "wire/binary_int.h"
#include "wire/codec.h"
#include "wire/json_codec.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct wire_scratch scratch;
static struct wire_scratch scratch_json;
static json_t *root;
static struct wire_limits limits;

/* ---- the vectors ----------------------------------------------------------------------------- */

static struct bytes text_of(const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    return value == NULL ? (struct bytes){0}
                         : bytes_of(json_string_value(value), json_string_length(value));
}

static uint64_t number_of(const json_t *object, const char *member)
{
    return (uint64_t)json_integer_value(json_object_get(object, member));
}

static uint64_t decimal_of(const json_t *object, const char *member)
{
    const struct bytes text = text_of(object, member);
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    return value;
}

static uint64_t epoch_of(const json_t *object)
{
    uint64_t epoch = 0;
    assert_true(wire_epoch_parse(text_of(object, "epoch"), &epoch));
    return epoch;
}

static unsigned hex_digit(uint8_t c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

/* Owned by the caller: exactly as long as it is, so that a byte read too far is seen. */
static struct bytes hex_of(const json_t *vector)
{
    const struct bytes hex = text_of(vector, "hex");
    uint8_t *data = malloc(hex.size / 2 + (hex.size == 0));
    assert_non_null(data);
    for (size_t i = 0; i < hex.size / 2; i++) {
        data[i] = (uint8_t)(hex_digit(hex.data[2 * i]) * 16 + hex_digit(hex.data[2 * i + 1]));
    }
    return bytes_of(data, hex.size / 2);
}

static void free_bytes(struct bytes bytes)
{
    free((void *)(uintptr_t)bytes.data);
}

static const json_t *vectors_of(const char *name)
{
    const json_t *vectors = json_object_get(root, name);
    assert_true(json_array_size(vectors) >= 8);
    return vectors;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void assert_text(struct bytes a, struct bytes b)
{
    assert_int_equal(a.size, b.size);
    if (a.size > 0) {
        assert_memory_equal(a.data, b.data, a.size);
    }
}

static void assert_items(const struct wire_command *a, const struct wire_command *b)
{
    assert_int_equal(a->item_count, b->item_count);
    for (uint32_t i = 0; i < a->item_count; i++) {
        assert_text(a->items[i].data, b->items[i].data);
        assert_text(a->items[i].key, b->items[i].key);
        assert_int_equal(a->items[i].has_key, b->items[i].has_key);
        assert_int_equal(a->items[i].is_bytes, b->items[i].is_bytes);
    }
}

/* `json` is what the JSON decoder makes of the same command. */
static void assert_same(const struct wire_command *binary, const struct wire_command *json)
{
    uint64_t epoch = 0;
    assert_int_equal(binary->type, json->type);
    assert_true(binary->id == json->id);
    assert_text(binary->channel, json->channel);
    assert_text(binary->producer.id, json->producer.id);
    assert_true(binary->producer.epoch == json->producer.epoch);
    assert_text(binary->token, json->token);
    assert_items(binary, json);
    assert_int_equal(binary->is_batch, json->is_batch);
    assert_int_equal(binary->has_producer_seq, json->has_producer_seq);
    assert_true(binary->producer_seq == json->producer_seq);
    assert_int_equal(binary->quiet, json->quiet);
    assert_int_equal(binary->from, json->from);
    if (json->from == WIRE_FROM_EPOCH_SEQ) {
        assert_true(wire_epoch_parse(json->epoch, &epoch));
    }
    assert_true(binary->epoch_number == epoch);
    assert_true(binary->seq == json->seq);
    assert_true(binary->time_ms == json->time_ms);
    assert_int_equal(binary->on_gap_reset, json->on_gap_reset);
    assert_int_equal(binary->window, json->window);
    assert_int_equal(binary->when_slow, json->when_slow);
    assert_int_equal(binary->has_history_from, json->has_history_from);
    assert_true(binary->history_from == json->history_from);
    assert_int_equal(binary->limit, json->limit);
    assert_int_equal(binary->reverse, json->reverse);
    assert_int_equal(binary->has_seq, json->has_seq);
}

static void commands_decode_to_what_their_json_does(void **state)
{
    (void)state;
    size_t index;
    const json_t *vector;
    json_array_foreach(vectors_of("commands"), index, vector)
    {
        struct wire_command binary = {0};
        struct wire_command json = {0};
        struct wire_error error = {0};
        const struct bytes unit = hex_of(vector);
        struct bytes rest = unit;
        assert_int_equal(binary_command_decode(&rest, &limits, &scratch, &binary, &error), RC_OK);
        assert_int_equal(rest.size, 0);
        assert_int_equal(
            json_command_decode(text_of(vector, "json"), &limits, &scratch_json, &json, &error),
            RC_OK);
        assert_same(&binary, &json);
        free_bytes(unit);
    }
    assert_true(index >= 30);
}

static void several_commands_stand_in_one_message(void **state)
{
    (void)state;
    struct buf message = {0};
    size_t index;
    const json_t *vector;
    json_array_foreach(vectors_of("commands"), index, vector)
    {
        const struct bytes unit = hex_of(vector);
        assert_int_equal(buf_append(&message, unit), RC_OK);
        free_bytes(unit);
    }
    size_t count = 0;
    for (struct bytes rest = buf_bytes(&message); rest.size > 0; count++) {
        struct wire_command command = {0};
        struct wire_error error = {0};
        assert_int_equal(
            codec_command_decode(WIRE_BINARY, &rest, &limits, &scratch, &command, &error), RC_OK);
    }
    assert_int_equal(count, index);
    buf_deinit(&message);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void what_is_no_unit_is_told_from_a_bad_command(void **state)
{
    (void)state;
    size_t index;
    const json_t *vector;
    json_array_foreach(vectors_of("broken"), index, vector)
    {
        struct wire_command command = {0};
        struct wire_error error = {0};
        const struct bytes message = hex_of(vector);
        struct bytes rest = message;
        assert_int_equal(binary_command_decode(&rest, &limits, &scratch, &command, &error), RC_BAD);
        assert_int_equal(rest.size, message.size);
        assert_int_equal(error.code, WIRE_ERROR_BAD_REQUEST);
        assert_true(error.id == 0 && error.message[0] != '\0');
        free_bytes(message);
    }
}

static void a_bad_command_is_refused_alone_and_with_its_id(void **state)
{
    (void)state;
    size_t index;
    const json_t *vector;
    json_array_foreach(vectors_of("refused"), index, vector)
    {
        struct wire_command command = {0};
        struct wire_error error = {0};
        const struct bytes message = hex_of(vector);
        struct bytes rest = message;
        assert_int_equal(binary_command_decode(&rest, &limits, &scratch, &command, &error),
                         RC_PROTOCOL);
        assert_text(bytes_of_text(wire_error_text(error.code)), text_of(vector, "code"));
        assert_true(error.id == number_of(vector, "id"));
        assert_true(error.message[0] != '\0');
        /* the ping behind it */
        assert_int_equal(binary_command_decode(&rest, &limits, &scratch, &command, &error), RC_OK);
        assert_int_equal(command.type, WIRE_PING);
        assert_true(command.id == 5 && rest.size == 0);
        free_bytes(message);
    }
    assert_true(index >= 50);
}

static void a_refused_item_is_named(void **state)
{
    (void)state;
    static const uint8_t unit[] = {14 << 2, 2,   2, 9 << 2, 1,   'a', 2 << 2, 0,
                                   1 << 2,  '1', 0, 1 << 2, 'x', 0,   0};
    struct wire_command command = {0};
    struct wire_error error = {0};
    struct bytes rest = bytes_of(unit, sizeof(unit));
    assert_int_equal(binary_command_decode(&rest, &limits, &scratch, &command, &error),
                     RC_PROTOCOL);
    assert_string_equal(error.message, "batch[1].data: expected one value of JSON");
    assert_true(error.id == 9);
}

/* A cut unit is no unit; a unit whose content is cut, and whose size says so, is refused or, where
 * only a payload ran to its end, another command. */
static void every_cut_of_every_command_is_refused(void **state)
{
    (void)state;
    size_t index;
    const json_t *vector;
    json_array_foreach(vectors_of("commands"), index, vector)
    {
        const struct bytes unit = hex_of(vector);
        for (size_t size = 0; size < unit.size; size++) {
            struct wire_command command = {0};
            struct wire_error error = {0};
            uint8_t *cut = malloc(size + (size == 0));
            assert_non_null(cut);
            bytes_copy(cut, unit.data, size);
            struct bytes rest = bytes_of(cut, size);
            assert_int_equal(binary_command_decode(&rest, &limits, &scratch, &command, &error),
                             RC_BAD);
            free(cut);
        }
        free_bytes(unit);
    }
}

/* Any bit flipped: it is refused, or it is another command, which has one form only. */
static void every_flipped_bit_is_refused_or_another_command(void **state)
{
    (void)state;
    size_t index;
    size_t accepted = 0;
    const json_t *vector;
    json_array_foreach(vectors_of("commands"), index, vector)
    {
        const struct bytes unit = hex_of(vector);
        uint8_t *data = (uint8_t *)(uintptr_t)unit.data;
        for (size_t bit = 0; bit < unit.size * 8; bit++) {
            struct wire_command command = {0};
            struct wire_error error = {0};
            struct bytes rest = unit;
            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            const enum rc rc = binary_command_decode(&rest, &limits, &scratch, &command, &error);
            assert_true(rc == RC_OK || rc == RC_PROTOCOL || rc == RC_BAD);
            accepted += rc == RC_OK;
            data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free_bytes(unit);
    }
    assert_true(accepted > 100);
}

/* ---- replies --------------------------------------------------------------------------------- */

static bool is(const json_t *object, const char *type)
{
    return strcmp(json_string_value(json_object_get(object, "type")), type) == 0;
}

static const char *reason_of(const json_t *object)
{
    return json_string_value(json_object_get(object, "reason"));
}

static struct wire_error error_of(const json_t *o)
{
    struct wire_error error = {
        .id = number_of(o, "id"),
        .has_expected = json_object_get(o, "expected") != NULL,
        .expected = number_of(o, "expected"),
        .has_bounds = json_object_get(o, "earliest") != NULL,
        .earliest = number_of(o, "earliest"),
        .latest = number_of(o, "latest"),
        .reason = reason_of(o),
    };
    while (strcmp(wire_error_text(error.code), json_string_value(json_object_get(o, "code"))) !=
           0) {
        error.code++;
    }
    error.epoch = error.has_bounds ? epoch_of(o) : 0;
    (void)snprintf(error.message, sizeof(error.message), "%s",
                   json_string_value(json_object_get(o, "message")));
    return error;
}

static enum rc encode_published(struct buf *to, const json_t *o)
{
    const struct wire_published published = {
        .id = number_of(o, "id"),
        .channel = text_of(o, "channel"),
        .has_seq = json_object_get(o, "seq") != NULL,
        .seq = number_of(o, "seq"),
        .is_batch = json_object_get(o, "count") != NULL && json_object_get(o, "publishes") == NULL,
        .count = (uint32_t)number_of(o, "count"),
        .message_id = decimal_of(o, "message_id"),
        .epoch = epoch_of(o),
        .duplicate = json_object_get(o, "duplicate") != NULL,
        .publishes = (uint32_t)number_of(o, "publishes"),
    };
    return codec_encode_published(WIRE_BINARY, to, &published);
}

static enum rc encode_subscribed(struct buf *to, const json_t *o)
{
    const json_t *reset = json_object_get(o, "reset");
    const struct wire_subscribed subscribed = {
        .id = number_of(o, "id"),
        .channel = text_of(o, "channel"),
        .epoch = epoch_of(o),
        .next = number_of(o, "next"),
        .earliest = number_of(o, "earliest"),
        .latest = number_of(o, "latest"),
        .reset_reason = reset == NULL ? NULL : reason_of(reset),
    };
    return codec_encode_subscribed(WIRE_BINARY, to, &subscribed);
}

static enum rc encode_notice(struct buf *to, const json_t *o)
{
    const struct wire_notice notice = {
        .id = number_of(o, "id"),
        .channel = text_of(o, "channel"),
        .reason = reason_of(o),
        .has_range = json_object_get(o, "from") != NULL,
        .from = number_of(o, "from"),
        .to = number_of(o, "to"),
        .epoch = json_object_get(o, "epoch") == NULL ? 0 : epoch_of(o),
        .next = number_of(o, "next"),
        .earliest = number_of(o, "earliest"),
        .latest = number_of(o, "latest"),
    };
    return is(o, "gap")     ? codec_encode_gap(WIRE_BINARY, to, &notice)
           : is(o, "reset") ? binary_encode_reset(to, &notice)
                            : codec_encode_unsubscribed(WIRE_BINARY, to, &notice);
}

static unsigned base64_value(uint8_t c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return (unsigned)(strchr(alphabet, c) - alphabet);
}

static struct bytes base64_of(struct bytes text, uint8_t *to)
{
    size_t size = 0;
    unsigned bits = 0;
    unsigned value = 0;
    for (size_t i = 0; i < text.size && text.data[i] != '='; i++) {
        value = (value << 6 | base64_value(text.data[i])) & 0xFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            to[size++] = (uint8_t)(value >> bits);
        }
    }
    return bytes_of(to, size);
}

/* The text of `data` in an object in which it is the last member, or in which only braces follow.
 */
static struct bytes data_of(struct bytes raw)
{
    static const char name[] = "\"data\":";
    const uint8_t *at = memmem(raw.data, raw.size, name, sizeof(name) - 1);
    assert_non_null(at);
    at += sizeof(name) - 1;
    return bytes_of(at, (size_t)(raw.data + raw.size - 1 - at));
}

/* `raw` is its text, or an element's up to its brace. */
static struct wire_message message_of(const json_t *o, struct bytes raw, uint8_t *decoded)
{
    const bool is_bytes = json_object_get(o, "data_base64") != NULL;
    return (struct wire_message){
        .channel = text_of(o, "channel"),
        .seq = number_of(o, "seq"),
        .message_id = decimal_of(o, "message_id"),
        .time_ms = number_of(o, "time"),
        .key = text_of(o, "key"),
        .has_key = json_object_get(o, "key") != NULL,
        .producer = text_of(o, "producer"),
        .producer_seq = number_of(o, "producer_seq"),
        .is_bytes = is_bytes,
        .data = is_bytes ? base64_of(text_of(o, "data_base64"), decoded) : data_of(raw),
    };
}

static enum rc encode_history(struct buf *to, const json_t *o)
{
    struct buf elements = {0};
    struct wire_range ranges[4] = {{0}};
    const json_t *damaged = json_object_get(o, "damaged");
    const json_t *message;
    size_t index;
    json_array_foreach(json_object_get(o, "messages"), index, message)
    {
        uint8_t decoded[100];
        char *raw = json_dumps(message, JSON_COMPACT);
        const struct wire_message wire = message_of(message, bytes_of_text(raw), decoded);
        const enum rc rc = binary_encode_element(&elements, &wire);
        free(raw);
        if (rc != RC_OK) {
            buf_deinit(&elements);
            return rc;
        }
    }
    const json_t *range;
    json_array_foreach(damaged, index, range)
    {
        ranges[index] = (struct wire_range){number_of(range, "from"), number_of(range, "to")};
    }
    const struct wire_history history = {
        .id = number_of(o, "id"),
        .channel = text_of(o, "channel"),
        .epoch = epoch_of(o),
        .earliest = number_of(o, "earliest"),
        .latest = number_of(o, "latest"),
        .elements = buf_bytes(&elements),
        .damaged = ranges,
        .damaged_count = json_array_size(damaged),
        .more = json_object_get(o, "more") != NULL,
    };
    const enum rc rc = codec_encode_history(WIRE_BINARY, to, &history);
    buf_deinit(&elements);
    return rc;
}

static enum rc encode_digest(struct buf *to, const json_t *o)
{
    const struct wire_digest digest = {
        .id = number_of(o, "id"),
        .channel = text_of(o, "channel"),
        .epoch = epoch_of(o),
        .seq = number_of(o, "seq"),
        .digest = strtoull(json_string_value(json_object_get(o, "digest")), NULL, 16),
    };
    return codec_encode_digest(WIRE_BINARY, to, &digest);
}

/* The header of a WebSocket frame that the server sends. */
static size_t header_size(const struct buf *frame)
{
    assert_int_equal(frame->data[0], 0x82); /* binary, and the only one of its message */
    return frame->data[1] < 126 ? 2 : frame->data[1] == 126 ? 4 : 10;
}

static enum rc encode_message(struct buf *to, const json_t *o, struct bytes raw)
{
    uint8_t decoded[100];
    struct buf frame = {0};
    struct buf unused = {0};
    const struct wire_message message = message_of(o, raw, decoded);
    enum rc rc = codec_encode_message_frame(WIRE_BINARY, &frame, &message, &unused);
    if (rc == RC_OK) {
        const size_t head = header_size(&frame);
        rc = buf_append(to, bytes_of(frame.data + head, frame.size - head));
    }
    buf_deinit(&frame);
    return rc;
}

static enum rc encode_reply(struct buf *to, const json_t *o, struct bytes raw)
{
    if (is(o, "error")) {
        const struct wire_error error = error_of(o);
        return codec_encode_error(WIRE_BINARY, to, &error);
    }
    if (is(o, "goaway")) {
        return codec_encode_goaway(WIRE_BINARY, to, reason_of(o),
                                   number_of(o, "reconnect_after_ms"));
    }
    if (is(o, "pong")) {
        return codec_encode_pong(WIRE_BINARY, to, number_of(o, "id"));
    }
    return is(o, "published")    ? encode_published(to, o)
           : is(o, "subscribed") ? encode_subscribed(to, o)
           : is(o, "history")    ? encode_history(to, o)
           : is(o, "digest")     ? encode_digest(to, o)
           : is(o, "message")    ? encode_message(to, o, raw)
                                 : encode_notice(to, o);
}

static void replies_encode_to_the_bytes_of_the_vectors(void **state)
{
    (void)state;
    size_t index;
    const json_t *vector;
    json_array_foreach(vectors_of("replies"), index, vector)
    {
        struct buf encoded = {0};
        const struct bytes raw = text_of(vector, "json");
        json_t *object = json_loadb((const char *)raw.data, raw.size, 0, NULL);
        assert_non_null(object);
        const struct bytes expected = hex_of(vector);
        assert_int_equal(encode_reply(&encoded, object, raw), RC_OK);
        assert_text(buf_bytes(&encoded), expected);
        free_bytes(expected);
        buf_deinit(&encoded);
        json_decref(object);
    }
    assert_true(index >= 30);
}

static const struct wire_connected connected = {
    .id = 3,
    .connection = 17,
    .namespace_name = "default",
    .node = 1,
    .ping_ms = 25000,
    .durability = "fsync",
    .message_bytes = 1,
    .frame_bytes = 2,
};

/* Each allocation fails in turn: nothing is appended, and nothing in front of it is lost. */
static void what_finds_no_memory_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    size_t index;
    const json_t *vector;
    unsigned refused = 0;
    json_array_foreach(vectors_of("replies"), index, vector)
    {
        const struct bytes raw = text_of(vector, "json");
        json_t *object = json_loadb((const char *)raw.data, raw.size, 0, NULL);
        enum rc rc = RC_NOMEM;
        for (uint64_t k = 1; rc != RC_OK; k++) {
            struct buf encoded = {0};
            assert_int_equal(buf_append(&encoded, BYTES_LITERAL("before")), RC_OK);
            mem_fault_set(k, 0);
            rc = encode_reply(&encoded, object, raw);
            mem_fault_set(0, 0);
            assert_memory_equal(encoded.data, "before", 6);
            assert_int_equal(encoded.size > 6, rc == RC_OK);
            refused += rc != RC_OK;
            buf_deinit(&encoded);
        }
        json_decref(object);
    }
    for (uint64_t k = 1; k <= 2; k++) {
        struct buf encoded = {0};
        mem_fault_set(k, 0);
        assert_int_equal(codec_encode_connected(WIRE_BINARY, &encoded, &connected), RC_NOMEM);
        mem_fault_set(0, 0);
        assert_int_equal(encoded.size, 0);
        buf_deinit(&encoded);
    }
    assert_true(refused >= index);
}

static void a_history_in_json_that_finds_no_memory_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    static char elements[5000];
    (void)memset(elements, '1', sizeof(elements));
    const struct wire_range damaged = {7, 9};
    const struct wire_history history = {
        .id = 4,
        .channel = BYTES_LITERAL("orders"),
        .epoch = 5,
        .earliest = 1,
        .latest = 10,
        .elements = bytes_of(elements, sizeof(elements)),
        .damaged = &damaged,
        .damaged_count = 1,
        .more = true,
    };
    enum rc rc = RC_NOMEM;
    unsigned refused = 0;
    for (uint64_t k = 1; rc != RC_OK; k++) {
        struct buf encoded = {0};
        mem_fault_set(k, 0);
        rc = codec_encode_history(WIRE_JSON, &encoded, &history);
        mem_fault_set(0, 0);
        assert_int_equal(encoded.size > 0, rc == RC_OK);
        refused += rc != RC_OK;
        buf_deinit(&encoded);
    }
    assert_true(refused >= 2);
}

static void a_batch_that_finds_no_memory_is_not_taken_off(void **state)
{
    (void)state;
    static const uint8_t unit[] = {8 << 2, 2, 2, 9 << 2, 1, 'a', 1 << 2, 2, 0};
    struct wire_scratch empty;
    struct wire_command command = {0};
    struct wire_error error = {0};
    struct bytes rest = bytes_of(unit, sizeof(unit));
    wire_scratch_init(&empty);
    mem_fault_set(1, 0);
    assert_int_equal(codec_command_decode(WIRE_BINARY, &rest, &limits, &empty, &command, &error),
                     RC_NOMEM);
    mem_fault_set(0, 0);
    assert_int_equal(rest.size, sizeof(unit));
    assert_int_equal(codec_command_decode(WIRE_BINARY, &rest, &limits, &empty, &command, &error),
                     RC_OK);
    assert_int_equal(rest.size, 0);
    wire_scratch_deinit(&empty);
}

/* What is in the buffer stays in front of what is encoded. */
static void connected_is_the_object_of_the_other_codec(void **state)
{
    (void)state;
    struct buf binary = {0};
    struct buf json = {0};
    assert_int_equal(buf_append(&binary, BYTES_LITERAL("before")), RC_OK);
    assert_int_equal(codec_encode_connected(WIRE_BINARY, &binary, &connected), RC_OK);
    assert_int_equal(codec_encode_connected(WIRE_JSON, &json, &connected), RC_OK);
    assert_memory_equal(binary.data, "before", 6);
    struct bytes rest = bytes_of(binary.data + 6, binary.size - 6);
    uint64_t size = 0;
    assert_true(binary_int_take(&rest, &size));
    assert_int_equal(size, rest.size);
    assert_int_equal(rest.data[0], 0x81);
    assert_int_equal(rest.data[1], 0);
    assert_int_equal(rest.data[2], 3 << 2);
    assert_text(bytes_of(rest.data + 3, rest.size - 3), buf_bytes(&json));
    buf_deinit(&binary);
    buf_deinit(&json);
}

/* ---- there and back -------------------------------------------------------------------------- */

static void every_int_comes_back_and_has_one_form(void **state)
{
    (void)state;
    struct prng prng = {.state = 1};
    for (unsigned i = 0; i < 100000; i++) {
        const unsigned bits = (unsigned)prng_below(&prng, 54);
        uint64_t value = prng_below(&prng, (UINT64_C(1) << bits) + 1);
        value = i < 70 ? (UINT64_C(1) << i % 54) - (i >= 54) : value;
        value = value > WIRE_INTEGER_MAX ? WIRE_INTEGER_MAX : value;
        uint8_t form[16] = {0};
        const size_t size = (size_t)(binary_int_put(form, value) - form);
        assert_int_equal(size, binary_int_size(value));
        for (size_t have = 0; have <= 9; have++) { /* cut off, exact, and with more behind it */
            struct bytes rest = bytes_of(form, have);
            uint64_t back = 0;
            assert_int_equal(binary_int_take(&rest, &back), have >= size);
            assert_true(have < size || (back == value && rest.size == have - size));
        }
    }
}

static void random_messages_are_read_by_a_client_as_they_were(void **state)
{
    (void)state;
    struct prng prng = {.state = 7};
    uint8_t noise[300];
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (uint8_t)('a' + prng_below(&prng, 26));
    }
    for (unsigned i = 0; i < 5000; i++) {
        struct buf frame = {0};
        struct buf json = {0};
        struct buf back = {0};
        struct wire_message message = {
            .channel = bytes_of(noise, 1 + prng_below(&prng, 255)),
            .seq = 1 + prng_below(&prng, WIRE_INTEGER_MAX),
            .message_id = prng_next(&prng),
            .time_ms = prng_below(&prng, WIRE_INTEGER_MAX),
            .has_key = prng_below(&prng, 2) == 0,
            .is_bytes = prng_below(&prng, 2) == 0,
            .data = bytes_of(noise, prng_below(&prng, sizeof(noise))),
        };
        if (message.has_key) {
            message.key = bytes_of(noise, prng_below(&prng, 256));
        }
        if (prng_below(&prng, 2) == 0) {
            message.producer = bytes_of(noise, 1 + prng_below(&prng, 255));
            message.producer_seq = prng_below(&prng, 100);
        }
        message.data = message.is_bytes ? message.data : BYTES_LITERAL("[1, \"x\"]");
        assert_int_equal(binary_encode_message_frame(&frame, &message), RC_OK);
        const size_t head = header_size(&frame);
        struct bytes rest = bytes_of(frame.data + head, frame.size - head);
        assert_null(packed_reply(&rest, &back));
        assert_int_equal(rest.size, 0);
        assert_int_equal(json_encode_message(&json, &message, true), RC_OK);
        assert_text(buf_bytes(&back), buf_bytes(&json));
        buf_deinit(&frame);
        buf_deinit(&json);
        buf_deinit(&back);
    }
}

static int set_up(void **state)
{
    (void)state;
    root = json_load_file(VECTORS, 0, NULL);
    limits.message_bytes = root == NULL ? 0 : number_of(root, "message_bytes");
    wire_scratch_init(&scratch);
    wire_scratch_init(&scratch_json);
    return root == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(root);
    wire_scratch_deinit(&scratch);
    wire_scratch_deinit(&scratch_json);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_decode_to_what_their_json_does),
        cmocka_unit_test(several_commands_stand_in_one_message),
        cmocka_unit_test(what_is_no_unit_is_told_from_a_bad_command),
        cmocka_unit_test(a_bad_command_is_refused_alone_and_with_its_id),
        cmocka_unit_test(a_refused_item_is_named),
        cmocka_unit_test(every_cut_of_every_command_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused_or_another_command),
        cmocka_unit_test(replies_encode_to_the_bytes_of_the_vectors),
        cmocka_unit_test(what_finds_no_memory_leaves_the_buffer_as_it_was),
        cmocka_unit_test(a_history_in_json_that_finds_no_memory_leaves_the_buffer_as_it_was),
        cmocka_unit_test(a_batch_that_finds_no_memory_is_not_taken_off),
        cmocka_unit_test(connected_is_the_object_of_the_other_codec),
        cmocka_unit_test(every_int_comes_back_and_has_one_form),
        cmocka_unit_test(random_messages_are_read_by_a_client_as_they_were),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
