/* client/speak and client/reply against test/vectors/binary.json, which another implementation has
 * written from the protocol's page.
 * Method: a command of the vectors, decoded by the server's JSON codec, is said by the client in
 * binary: byte for byte the vector; and in JSON: the server decodes the same from it. A reply comes
 * out of its binary and its JSON form as the same. No reply that is cut off passes. */
#include "client/agent.h"
#include "client/reply.h"
#include "client/speak.h"
#include "wire/json_codec.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static json_t *vectors;

static int load(void **state)
{
    (void)state;
    json_error_t error;
    vectors = json_load_file(VECTORS, 0, &error);
    return vectors == NULL ? -1 : 0;
}

static int unload(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static struct bytes text_of(const json_t *vector)
{
    return bytes_of_text(json_string_value(json_object_get(vector, "json")));
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void bytes_of_vector(const json_t *vector, struct buf *to)
{
    const char *hex = json_string_value(json_object_get(vector, "hex"));
    buf_clear(to);
    for (; *hex != '\0'; hex += 2) {
        const uint8_t byte = (uint8_t)(digit(hex[0]) << 4 | digit(hex[1]));
        assert_int_equal(buf_append(to, bytes_of(&byte, 1)), RC_OK);
    }
}

/* ---- commands ------------------------------------------------------------------------------ */

static void say_publish(enum wire_codec codec, struct buf *to, const struct wire_command *c)
{
    struct speak_publish publish = {
        .id = c->id, .channel = c->channel, .number = c->producer_seq, .count = c->item_count};
    const bool batch = c->item_count > 1;
    for (uint32_t i = 0; i < c->item_count; i++) {
        publish.size += speak_item_size(codec, &c->items[i]);
    }
    assert_int_equal(speak_publish(codec, to, &publish), RC_OK);
    for (uint32_t i = 0; i < c->item_count; i++) {
        speak_item(codec, to, &c->items[i], i == 0, batch);
    }
    speak_publish_end(codec, to, batch);
}

/* False: the client has no use for such a command. */
static bool say(enum wire_codec codec, struct buf *to, const struct wire_command *c)
{
    const struct speak_connect connect = {.id = c->id,
                                          .producer = c->producer.id,
                                          .producer_epoch = c->producer.epoch,
                                          .token = c->token,
                                          .cumulative = c->cumulative};
    char epoch[REPLY_EPOCH_SIZE] = "";
    assert_true(c->epoch.size < sizeof(epoch));
    bytes_copy((uint8_t *)epoch, c->epoch.data, c->epoch.size);
    const struct speak_subscribe subscribe = {.id = c->id,
                                              .channel = c->channel,
                                              .from = c->from,
                                              .epoch = epoch,
                                              .seq = c->seq,
                                              .time_ms = c->time_ms,
                                              .window = c->window,
                                              .on_gap_reset = c->on_gap_reset,
                                              .when_slow = c->when_slow};
    switch (c->type) {
    case WIRE_CONNECT:
        assert_int_equal(speak_connect(codec, to, &connect), RC_OK);
        return c->id > 0 && c->producer.id.size > 0;
    case WIRE_PUBLISH:
        if (!c->has_producer_seq || c->quiet) {
            return false;
        }
        say_publish(codec, to, c);
        return true;
    case WIRE_SUBSCRIBE:
        assert_int_equal(speak_subscribe(codec, to, &subscribe), RC_OK);
        return c->id > 0;
    case WIRE_ACK:
        assert_int_equal(speak_ack(codec, to, c->channel, c->seq), RC_OK);
        return c->id == 0;
    case WIRE_UNSUBSCRIBE:
        assert_int_equal(speak_unsubscribe(codec, to, c->id, c->channel), RC_OK);
        return true;
    case WIRE_HISTORY:
        assert_int_equal(speak_history(codec, to, c->id, c->channel, c->history_from, c->limit),
                         RC_OK);
        return c->has_history_from && !c->reverse && c->limit < HISTORY_MESSAGES_MAX;
    case WIRE_DIGEST:
    case WIRE_PING: return false;
    }
    return false;
}

static void decode(struct bytes text, struct wire_scratch *scratch, struct wire_command *command)
{
    static const struct wire_limits limits = {.message_bytes = 1024};
    struct wire_error error;
    assert_int_equal(json_command_decode(text, &limits, scratch, command, &error), RC_OK);
}

static void a_command_is_said_byte_for_byte(void **state)
{
    (void)state;
    struct wire_scratch scratch;
    struct wire_scratch again;
    struct buf wanted = {0};
    struct buf said = {0};
    struct buf text = {0};
    size_t index;
    json_t *vector;
    unsigned count = 0;
    wire_scratch_init(&scratch);
    wire_scratch_init(&again);
    json_array_foreach(json_object_get(vectors, "commands"), index, vector)
    {
        struct wire_command command;
        struct wire_command same;
        decode(text_of(vector), &scratch, &command);
        bytes_of_vector(vector, &wanted);
        buf_clear(&said);
        if (!say(WIRE_BINARY, &said, &command)) {
            continue;
        }
        assert_true(bytes_equal(buf_bytes(&said), buf_bytes(&wanted)));
        buf_clear(&text);
        assert_true(say(WIRE_JSON, &text, &command));
        decode(buf_bytes(&text), &again, &same);
        buf_clear(&said);
        assert_true(say(WIRE_BINARY, &said, &same));
        assert_true(bytes_equal(buf_bytes(&said), buf_bytes(&wanted)));
        count++;
    }
    assert_true(count >= 12);
    wire_scratch_deinit(&scratch);
    wire_scratch_deinit(&again);
    buf_deinit(&wanted);
    buf_deinit(&said);
    buf_deinit(&text);
}

/* ---- replies ------------------------------------------------------------------------------- */

static void compare_messages(const struct reply_message *a, const struct reply_message *b)
{
    assert_true(bytes_equal(a->channel, b->channel));
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->message_id, b->message_id);
    assert_int_equal(a->time_ms, b->time_ms);
    assert_int_equal(a->has_key, b->has_key);
    assert_true(bytes_equal(a->key, b->key));
    assert_true(bytes_equal(a->producer, b->producer));
    assert_int_equal(a->producer_seq, b->producer_seq);
    assert_int_equal(a->is_bytes, b->is_bytes);
    assert_true(bytes_equal(a->data, b->data));
}

static void compare_histories(struct reply *a, struct reply *b, struct reply_room *room)
{
    struct reply_message of_a;
    struct reply_message of_b;
    struct wire_range range_a;
    struct wire_range range_b;
    enum rc rc = RC_OK;
    assert_int_equal(a->more, b->more);
    while (rc == RC_OK) {
        rc = reply_next_element(WIRE_BINARY, a, room, &of_a);
        assert_int_equal(reply_next_element(WIRE_JSON, b, room, &of_b), rc);
        if (rc == RC_OK) {
            compare_messages(&of_a, &of_b);
        }
    }
    assert_int_equal(rc, RC_END);
    for (rc = RC_OK; rc == RC_OK;) {
        rc = reply_next_damaged(WIRE_BINARY, a, &range_a);
        assert_int_equal(reply_next_damaged(WIRE_JSON, b, &range_b), rc);
        if (rc == RC_OK) {
            assert_int_equal(range_a.from, range_b.from);
            assert_int_equal(range_a.to, range_b.to);
        }
    }
    assert_int_equal(rc, RC_END);
}

static void compare_published(const struct reply *a, const struct reply *b, struct bytes text)
{
    struct client_message object;
    json_error_t error;
    json_t *json = json_loadb((const char *)text.data, text.size, 0, &error);
    const json_t *publishes = json_object_get(json, "publishes");
    assert_int_equal(client_message_parse(text, &object), RC_OK);
    assert_int_equal(a->publishes, publishes == NULL ? 1 : json_integer_value(publishes));
    assert_int_equal(a->has_seq, b->has_seq);
    assert_int_equal(a->has_seq ? a->seq : 0, b->has_seq ? b->seq : 0);
    assert_int_equal(a->count, b->count);
    assert_string_equal(a->epoch, b->epoch);
    assert_int_equal(a->duplicate, b->duplicate);
    json_decref(json);
}

static void compare_bounds(const struct reply *a, const struct reply *b)
{
    assert_string_equal(a->epoch, b->epoch);
    assert_int_equal(a->earliest, b->earliest);
    assert_int_equal(a->latest, b->latest);
}

static void compare(struct reply *a, struct reply *b, struct bytes text, struct reply_room *room)
{
    assert_int_equal(a->type, b->type);
    switch (a->type) {
    case CLIENT_PUBLISHED: compare_published(a, b, text); break;
    case CLIENT_SUBSCRIBED:
        compare_bounds(a, b);
        assert_int_equal(a->next, b->next);
        assert_int_equal(a->reason, b->reason);
        break;
    case CLIENT_UNSUBSCRIBED:
        assert_int_equal(a->reason, b->reason);
        assert_int_equal(a->has_range, b->has_range);
        if (a->has_range) {
            compare_bounds(a, b);
            assert_int_equal(a->from, b->from);
            assert_int_equal(a->to, b->to);
        }
        break;
    case CLIENT_MESSAGE: compare_messages(&a->message, &b->message); break;
    case CLIENT_GAP:
        assert_int_equal(a->from, b->from);
        assert_int_equal(a->to, b->to);
        assert_int_equal(a->reason, b->reason);
        break;
    case CLIENT_RESET:
        assert_string_equal(a->epoch, b->epoch);
        assert_int_equal(a->next, b->next);
        assert_int_equal(a->reason, b->reason);
        break;
    case CLIENT_HISTORY:
        compare_bounds(a, b);
        compare_histories(a, b, room);
        break;
    case CLIENT_ERROR:
    case CLIENT_GOAWAY: assert_true(bytes_equal(a->object.text, b->object.text)); break;
    case CLIENT_CONNECTED:
    case CLIENT_DIGEST:
    case CLIENT_OTHER: break;
    }
}

static void a_reply_says_the_same_in_both_codecs_and_never_when_it_is_cut_off(void **state)
{
    (void)state;
    static struct reply_room room;
    struct buf unit = {0};
    size_t index;
    json_t *vector;
    unsigned seen = 0;
    json_array_foreach(json_object_get(vectors, "replies"), index, vector)
    {
        struct reply binary = {.type = CLIENT_OTHER};
        struct reply json = {.type = CLIENT_OTHER};
        bytes_of_vector(vector, &unit);
        struct bytes rest = buf_bytes(&unit);
        struct bytes text = text_of(vector);
        assert_int_equal(reply_take(WIRE_BINARY, &rest, &room, &binary), RC_OK);
        assert_int_equal(rest.size, 0);
        assert_int_equal(reply_take(WIRE_JSON, &text, &room, &json), RC_OK);
        if (json.type == CLIENT_DIGEST) {
            continue; /* nobody asks for one here, so it is not looked into */
        }
        compare(&binary, &json, text_of(vector), &room);
        seen |= 1u << binary.type;
        for (size_t size = 1; size < unit.size; size++) {
            rest = bytes_of(unit.data, size);
            assert_int_equal(reply_take(WIRE_BINARY, &rest, &room, &binary), RC_BAD);
        }
    }
    for (enum client_type type = CLIENT_PUBLISHED; type < CLIENT_OTHER; type++) {
        assert_true((seen & 1u << type) != 0 || type == CLIENT_DIGEST);
    }
    buf_deinit(&unit);
    reply_room_deinit(&room);
}

/* [P 2] In JSON an epoch is whatever the server says; in binary it is a number. */
static void an_epoch_is_said_as_it_was_told(void **state)
{
    (void)state;
    static const char *const bad[] = {NULL, "", "\xff", "1234567890123456"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(speak_epoch_valid(WIRE_JSON, bad[i]));
        assert_false(speak_epoch_valid(WIRE_BINARY, bad[i]));
    }
    assert_true(speak_epoch_valid(WIRE_JSON, "k3x"));
    assert_true(speak_epoch_valid(WIRE_JSON, "a\"b\\"));
    assert_false(speak_epoch_valid(WIRE_BINARY, "k3x"));
    assert_true(speak_epoch_valid(WIRE_BINARY, "k3v"));
    const struct speak_subscribe subscribe = {.id = 2,
                                              .channel = BYTES_LITERAL("c"),
                                              .from = WIRE_FROM_EPOCH_SEQ,
                                              .epoch = "a\"b\\",
                                              .seq = 3};
    struct buf to = {0};
    assert_int_equal(speak_subscribe(WIRE_JSON, &to, &subscribe), RC_OK);
    assert_non_null(memmem(to.data, to.size, "\"epoch\":\"a\\\"b\\\\\"", 16));
    buf_deinit(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_is_said_as_it_was_told),
        cmocka_unit_test(a_command_is_said_byte_for_byte),
        cmocka_unit_test(a_reply_says_the_same_in_both_codecs_and_never_when_it_is_cut_off),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
