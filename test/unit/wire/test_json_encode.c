/* wire/json_encode: replies and pushes as JSON.
 * Goal: the exact texts that the protocol prints; any name, any integer, any payload survives.
 * Method: expected texts by hand; random objects are encoded and read back by jansson; every
 * failing allocation leaves the buffer as it was. */
#include "wire/json_codec.h"

#include "base/mem.h"
#include "base/prng.h"
#include "wire/base64.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct buf out;

#define CHANNEL BYTES_LITERAL("orders")

/* The call appended exactly `text`, behind what was there. */
#define ASSERT_ENCODES(call, text)                                                                 \
    do {                                                                                           \
        buf_clear(&out);                                                                           \
        assert_int_equal(buf_append(&out, BYTES_LITERAL("before")), RC_OK);                        \
        assert_int_equal((call), RC_OK);                                                           \
        assert_int_equal(buf_append(&out, BYTES_LITERAL("\0")), RC_OK);                            \
        assert_string_equal((const char *)out.data, "before" text);                                \
    } while (0)

static void errors_carry_what_belongs_to_them(void **state)
{
    struct wire_error error = {.code = WIRE_ERROR_OUT_OF_SEQUENCE,
                               .id = 7,
                               .has_expected = true,
                               .expected = 41,
                               .message = "expected producer_seq 41, got 44"};
    (void)state;
    ASSERT_ENCODES(json_encode_error(&out, &error, true),
                   "{\"type\":\"error\",\"id\":7,\"code\":\"out_of_sequence\",\"message\":"
                   "\"expected producer_seq 41, got 44\",\"expected\":41}");
    ASSERT_ENCODES(json_encode_error(&out, &error, false),
                   "{\"id\":7,\"code\":\"out_of_sequence\",\"message\":"
                   "\"expected producer_seq 41, got 44\",\"expected\":41}");
    error = (struct wire_error){.code = WIRE_ERROR_GAP,
                                .has_bounds = true,
                                .epoch = 20605,
                                .earliest = 10,
                                .latest = 99,
                                .reason = "trimmed",
                                .message = "a \"b\"\n"};
    ASSERT_ENCODES(json_encode_error(&out, &error, true),
                   "{\"type\":\"error\",\"code\":\"gap\",\"message\":\"a \\\"b\\\"\\n\","
                   "\"epoch\":\"k3t\",\"earliest\":10,\"latest\":99,\"reason\":\"trimmed\"}");
    error.reason = NULL;
    ASSERT_ENCODES(json_encode_error(&out, &error, true),
                   "{\"type\":\"error\",\"code\":\"gap\",\"message\":\"a \\\"b\\\"\\n\","
                   "\"epoch\":\"k3t\",\"earliest\":10,\"latest\":99}");
    error = (struct wire_error){
        .code = WIRE_ERROR_UNAVAILABLE, .id = 1, .retry_after_ms = 500, .message = "disk full"};
    ASSERT_ENCODES(json_encode_error(&out, &error, false),
                   "{\"id\":1,\"code\":\"unavailable\",\"message\":\"disk full\","
                   "\"retry_after_ms\":500}");
}

static void connected_tells_who_we_are_and_what_the_limits_are(void **state)
{
    const struct wire_connected connected = {.id = 1,
                                             .connection = 77,
                                             .namespace_name = "default",
                                             .node = 1,
                                             .ping_ms = 25000,
                                             .durability = "fsync",
                                             .message_bytes = 1048576,
                                             .frame_bytes = 4194304,
                                             .batch_messages = 1000,
                                             .subscriptions = 1024,
                                             .time_ms = 1780000000000u};
    (void)state;
    ASSERT_ENCODES(
        json_encode_connected(&out, &connected),
        "{\"type\":\"connected\",\"id\":1,\"connection\":\"77\",\"namespace\":\"default\","
        "\"node\":1,\"server\":\"seriatim/" SERIATIM_VERSION "\",\"ping_ms\":25000,"
        "\"durability\":\"fsync\",\"features\":[\"batch\",\"binary\",\"cumulative\","
        "\"data_base64\",\"digest\",\"from_time\",\"history\",\"producer\",\"quiet\",\"when_slow\","
        "\"window\"],\"limits\":{\"message_bytes\":1048576,"
        "\"frame_bytes\":4194304,\"batch_messages\":1000,\"subscriptions\":1024},"
        "\"time\":1780000000000}");
}

static void published_tells_seq_count_and_duplicate_where_they_are_known(void **state)
{
    struct wire_published published = {.id = 7,
                                       .channel = CHANNEL,
                                       .has_seq = true,
                                       .seq = 1042,
                                       .message_id = 9223372036854775807u,
                                       .epoch = 20605};
    (void)state;
    ASSERT_ENCODES(json_encode_published(&out, &published, true),
                   "{\"type\":\"published\",\"id\":7,\"channel\":\"orders\",\"seq\":1042,"
                   "\"message_id\":\"9223372036854775807\",\"epoch\":\"k3t\"}");
    published.is_batch = true;
    published.count = 3;
    published.id = 0;
    ASSERT_ENCODES(json_encode_published(&out, &published, false),
                   "{\"channel\":\"orders\",\"seq\":1042,\"message_id\":\"9223372036854775807\","
                   "\"epoch\":\"k3t\",\"count\":3}");
    published =
        (struct wire_published){.id = 8, .channel = CHANNEL, .epoch = 20605, .duplicate = true};
    ASSERT_ENCODES(json_encode_published(&out, &published, true),
                   "{\"type\":\"published\",\"id\":8,\"channel\":\"orders\",\"epoch\":\"k3t\","
                   "\"duplicate\":true}");
}

static void subscribed_tells_bounds_and_a_reset(void **state)
{
    struct wire_subscribed subscribed = {
        .id = 2, .channel = CHANNEL, .epoch = 20605, .next = 43, .earliest = 1, .latest = 1042};
    (void)state;
    ASSERT_ENCODES(json_encode_subscribed(&out, &subscribed),
                   "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"orders\",\"epoch\":\"k3t\","
                   "\"next\":43,\"earliest\":1,\"latest\":1042}");
    subscribed.id = 0;
    subscribed.latest = 0;
    subscribed.reset_reason = "ahead";
    ASSERT_ENCODES(json_encode_subscribed(&out, &subscribed),
                   "{\"type\":\"subscribed\",\"channel\":\"orders\",\"epoch\":\"k3t\",\"next\":43,"
                   "\"earliest\":1,\"latest\":0,\"reset\":{\"reason\":\"ahead\"}}");
}

static void notices_name_the_channel_and_the_reason(void **state)
{
    struct wire_notice notice = {.id = 3, .channel = CHANNEL};
    (void)state;
    ASSERT_ENCODES(json_encode_unsubscribed(&out, &notice),
                   "{\"type\":\"unsubscribed\",\"id\":3,\"channel\":\"orders\"}");
    notice = (struct wire_notice){.channel = CHANNEL, .reason = "draining"};
    ASSERT_ENCODES(json_encode_unsubscribed(&out, &notice),
                   "{\"type\":\"unsubscribed\",\"channel\":\"orders\",\"reason\":\"draining\"}");
    notice = (struct wire_notice){.channel = CHANNEL,
                                  .reason = "gap",
                                  .has_range = true,
                                  .from = 50,
                                  .to = 80,
                                  .epoch = 20605,
                                  .earliest = 81,
                                  .latest = 90};
    ASSERT_ENCODES(
        json_encode_unsubscribed(&out, &notice),
        "{\"type\":\"unsubscribed\",\"channel\":\"orders\",\"reason\":\"gap\",\"from\":50,"
        "\"to\":80,\"epoch\":\"k3t\",\"earliest\":81,\"latest\":90}");
    notice.reason = "trimmed";
    ASSERT_ENCODES(json_encode_gap(&out, &notice),
                   "{\"type\":\"gap\",\"channel\":\"orders\",\"from\":50,\"to\":80,"
                   "\"reason\":\"trimmed\"}");
    notice =
        (struct wire_notice){.channel = CHANNEL, .epoch = 20605, .reason = "epoch", .next = 41};
    ASSERT_ENCODES(
        json_encode_reset(&out, &notice),
        "{\"type\":\"reset\",\"channel\":\"orders\",\"epoch\":\"k3t\",\"reason\":\"epoch\","
        "\"next\":41}");
}

static void pong_and_goaway_are_short(void **state)
{
    (void)state;
    ASSERT_ENCODES(json_encode_pong(&out, 5), "{\"type\":\"pong\",\"id\":5}");
    ASSERT_ENCODES(json_encode_pong(&out, 0), "{\"type\":\"pong\"}");
    ASSERT_ENCODES(json_encode_goaway(&out, "draining", 3120),
                   "{\"type\":\"goaway\",\"reason\":\"draining\",\"reconnect_after_ms\":3120}");
}

static void a_message_has_only_what_the_publisher_gave(void **state)
{
    struct wire_message message = {.channel = CHANNEL,
                                   .seq = 43,
                                   .message_id = 123,
                                   .time_ms = 1780000000000u,
                                   .key = BYTES_LITERAL("customer-9"),
                                   .has_key = true,
                                   .producer = BYTES_LITERAL("p-81f3"),
                                   .producer_seq = 41,
                                   .data = BYTES_LITERAL("{ \"n\":1 }")};
    (void)state;
    ASSERT_ENCODES(json_encode_message(&out, &message, true),
                   "{\"type\":\"message\",\"channel\":\"orders\",\"seq\":43,\"message_id\":\"123\","
                   "\"time\":1780000000000,\"key\":\"customer-9\",\"producer\":\"p-81f3\","
                   "\"producer_seq\":41,\"data\":{ \"n\":1 }}");
    message.has_key = false;
    message.producer.size = 0;
    message.producer_seq = 0;
    ASSERT_ENCODES(json_encode_message(&out, &message, false),
                   "{\"seq\":43,\"message_id\":\"123\",\"time\":1780000000000,"
                   "\"data\":{ \"n\":1 }}");
    message.is_bytes = true;
    message.data = BYTES_LITERAL("foob");
    message.has_key = true;
    message.key.size = 0;
    ASSERT_ENCODES(json_encode_message(&out, &message, true),
                   "{\"type\":\"message\",\"channel\":\"orders\",\"seq\":43,\"message_id\":\"123\","
                   "\"time\":1780000000000,\"key\":\"\",\"data_base64\":\"Zm9vYg==\"}");
}

static void a_history_reply_is_made_of_pieces(void **state)
{
    const struct wire_range damaged[] = {{3, 5}, {9, 9}};
    (void)state;
    ASSERT_ENCODES(json_encode_history_head(&out, 4, CHANNEL, 20605, 1, 1042, true),
                   "{\"type\":\"history\",\"id\":4,\"channel\":\"orders\",\"epoch\":\"k3t\","
                   "\"earliest\":1,\"latest\":1042,\"messages\":[");
    ASSERT_ENCODES(json_encode_history_head(&out, 0, CHANNEL, 20605, 1, 0, false),
                   "{\"channel\":\"orders\",\"epoch\":\"k3t\",\"earliest\":1,\"latest\":0,"
                   "\"messages\":[");
    ASSERT_ENCODES(json_encode_history_tail(&out, false), "]}");
    ASSERT_ENCODES(json_encode_history_tail(&out, true), "],\"more\":true}");
    ASSERT_ENCODES(json_encode_history_tail_damaged(&out, damaged, 1, false),
                   "],\"damaged\":[{\"from\":3,\"to\":5}]}");
    ASSERT_ENCODES(json_encode_history_tail_damaged(&out, damaged, 2, true),
                   "],\"damaged\":[{\"from\":3,\"to\":5},{\"from\":9,\"to\":9}],\"more\":true}");
}

static void a_digest_has_16_digits(void **state)
{
    const struct wire_digest digest = {
        .id = 9, .channel = CHANNEL, .epoch = 20605, .seq = 42, .digest = 0x0123456789abcdef};
    (void)state;
    ASSERT_ENCODES(json_encode_digest(&out, &digest, true),
                   "{\"type\":\"digest\",\"id\":9,\"channel\":\"orders\",\"epoch\":\"k3t\","
                   "\"seq\":42,\"digest\":\"0123456789abcdef\"}");
    const struct wire_digest start = {.channel = CHANNEL, .epoch = 20605};
    ASSERT_ENCODES(json_encode_digest(&out, &start, false),
                   "{\"channel\":\"orders\",\"epoch\":\"k3t\",\"seq\":0,"
                   "\"digest\":\"0000000000000000\"}");
}

static void strings_are_escaped_where_json_demands_it_and_nowhere_else(void **state)
{
    (void)state;
    ASSERT_ENCODES(json_encode_string(&out, BYTES_LITERAL("")), "\"\"");
    ASSERT_ENCODES(json_encode_string(&out, BYTES_LITERAL("a/\x7f\xc3\xa9'")),
                   "\"a/\x7f\xc3\xa9'\"");
    ASSERT_ENCODES(json_encode_string(&out, BYTES_LITERAL("\"\\\b\f\n\r\t")),
                   "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    ASSERT_ENCODES(json_encode_string(&out, BYTES_LITERAL("a\0\x1f\x10z")),
                   "\"a\\u0000\\u001f\\u0010z\"");
}

/* ---- read back by jansson -------------------------------------------------------------------- */

static json_t *parsed(void)
{
    json_error_t error;
    json_t *json = json_loadb((const char *)out.data, out.size,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (json == NULL) {
        print_error("%s: %.*s\n", error.text, (int)out.size, (const char *)out.data);
        fail();
    }
    return json;
}

static void assert_json_text(const json_t *json, const char *member, struct bytes expected)
{
    const json_t *text = json_object_get(json, member);
    assert_true(json_is_string(text));
    assert_true(bytes_equal(bytes_of(json_string_value(text), json_string_length(text)), expected));
}

static void assert_json_integer(const json_t *json, const char *member, uint64_t expected)
{
    const json_t *integer = json_object_get(json, member);
    assert_true(json_is_integer(integer));
    assert_true((uint64_t)json_integer_value(integer) == expected);
}

/* Random UTF-8 with many characters that must be escaped. */
static struct bytes random_name(struct prng *prng, uint8_t *room, size_t size_max)
{
    size_t size = 0;
    const size_t wish = (size_t)prng_below(prng, size_max);
    while (size < wish) {
        switch (prng_below(prng, 6)) {
        case 0: room[size++] = (uint8_t)prng_below(prng, 0x20); break;
        case 1: room[size++] = prng_below(prng, 2) == 0 ? '"' : '\\'; break;
        case 2:
            if (size + 2 <= size_max) {
                room[size++] = 0xc3;
                room[size++] = (uint8_t)(0x80 + prng_below(prng, 0x40));
            }
            break;
        default: room[size++] = (uint8_t)(0x20 + prng_below(prng, 0x60)); break;
        }
    }
    return bytes_of(room, size);
}

static uint64_t random_integer(struct prng *prng)
{
    return (prng_next(prng) >> prng_below(prng, 64)) >> 1; /* jansson's are signed */
}

static void what_a_message_holds_comes_back_from_its_text(void **state)
{
    struct prng prng = {.state = 4711};
    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t room[4][256];
        uint8_t data[256];
        char id_text[32];
        struct wire_message message = {
            .channel = random_name(&prng, room[0], 255),
            .seq = random_integer(&prng),
            .message_id = random_integer(&prng),
            .time_ms = random_integer(&prng),
            .key = random_name(&prng, room[1], 255),
            .has_key = prng_below(&prng, 2) == 0,
            .producer = random_name(&prng, room[2], 255),
            .producer_seq = random_integer(&prng),
            .is_bytes = prng_below(&prng, 2) == 0,
        };
        message.data = message.is_bytes ? random_name(&prng, room[3], 180) : BYTES_LITERAL("[7]");
        buf_clear(&out);
        assert_int_equal(json_encode_message(&out, &message, true), RC_OK);
        json_t *json = parsed();
        (void)snprintf(id_text, sizeof(id_text), "%llu", (unsigned long long)message.message_id);
        assert_json_text(json, "type", BYTES_LITERAL("message"));
        assert_json_text(json, "channel", message.channel);
        assert_json_integer(json, "seq", message.seq);
        assert_json_text(json, "message_id", bytes_of_text(id_text));
        assert_json_integer(json, "time", message.time_ms);
        if (message.has_key) {
            assert_json_text(json, "key", message.key);
        }
        if (message.producer.size > 0) {
            assert_json_text(json, "producer", message.producer);
        }
        if (message.producer_seq > 0) {
            assert_json_integer(json, "producer_seq", message.producer_seq);
        }
        if (message.is_bytes) {
            const json_t *text = json_object_get(json, "data_base64");
            size_t size;
            assert_true(base64_decode(
                data, bytes_of(json_string_value(text), json_string_length(text)), &size));
            assert_true(bytes_equal(bytes_of(data, size), message.data));
        } else {
            assert_int_equal(json_array_size(json_object_get(json, "data")), 1);
        }
        assert_int_equal(json_object_size(json), 6u + (message.has_key ? 1u : 0u) +
                                                     (message.producer.size > 0 ? 1u : 0u) +
                                                     (message.producer_seq > 0 ? 1u : 0u));
        json_decref(json);
    }
}

static void integers_are_written_as_printf_writes_them(void **state)
{
    struct prng prng = {.state = 99};
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        char expected[64];
        uint64_t value = prng_next(&prng) >> prng_below(&prng, 64);
        if (i < 20) { /* 10^i - 1 and 10^i */
            value = 1;
            for (unsigned k = 0; k < i; k++) {
                value *= 10;
            }
        } else if (i < 2000) {
            value = i - 20 + 1;
        }
        for (int less = 0; less < 2 && value > 0; less++, value--) {
            if (value == 0) {
                break;
            }
            (void)snprintf(expected, sizeof(expected), "{\"type\":\"pong\",\"id\":%llu}",
                           (unsigned long long)value);
            buf_clear(&out);
            assert_int_equal(json_encode_pong(&out, value), RC_OK);
            assert_true(bytes_equal(buf_bytes(&out), bytes_of_text(expected)));
        }
    }
    ASSERT_ENCODES(json_encode_goaway(&out, "x", 0),
                   "{\"type\":\"goaway\",\"reason\":\"x\",\"reconnect_after_ms\":0}");
    ASSERT_ENCODES(json_encode_pong(&out, UINT64_MAX),
                   "{\"type\":\"pong\",\"id\":18446744073709551615}");
}

static void every_reply_survives_the_longest_name_of_nothing_but_escapes(void **state)
{
    uint8_t name[255];
    (void)state;
    bytes_zero(name, sizeof(name)); /* each byte becomes \u0000 */
    const struct bytes channel = bytes_of(name, sizeof(name));
    const uint64_t big = UINT64_MAX >> 1;
    const struct wire_message message = {
        channel, big, big, big, channel, true, channel, big, BYTES_LITERAL("1"), false};
    const struct wire_published published = {big,        channel, true, big,  true,
                                             UINT32_MAX, big,     big,  true, 0};
    const struct wire_subscribed subscribed = {big, channel, big, big, big, big, "trimmed"};
    const struct wire_notice notice = {big, channel, "trimmed", true, big, big, big, big, big, big};
    for (unsigned i = 0; i < 6; i++) {
        buf_deinit(&out); /* so that room is exactly what was reserved */
        switch (i) {
        case 0: assert_int_equal(json_encode_message(&out, &message, true), RC_OK); break;
        case 1: assert_int_equal(json_encode_published(&out, &published, true), RC_OK); break;
        case 2: assert_int_equal(json_encode_subscribed(&out, &subscribed), RC_OK); break;
        case 3: assert_int_equal(json_encode_unsubscribed(&out, &notice), RC_OK); break;
        case 4: assert_int_equal(json_encode_gap(&out, &notice), RC_OK); break;
        default: assert_int_equal(json_encode_reset(&out, &notice), RC_OK); break;
        }
        json_t *json = parsed();
        assert_json_text(json, "channel", channel);
        json_decref(json);
    }
}

static void without_memory_the_buffer_stays_as_it_was(void **state)
{
    const struct wire_error error = {.code = WIRE_ERROR_INTERNAL};
    const struct wire_connected connected = {.namespace_name = "n", .durability = "os"};
    const struct wire_published published = {.channel = CHANNEL};
    const struct wire_subscribed subscribed = {.channel = CHANNEL};
    const struct wire_notice notice = {.channel = CHANNEL, .reason = "gap"};
    const struct wire_message message = {.channel = CHANNEL, .data = BYTES_LITERAL("1")};
    struct buf to = {0};
    (void)state;
    mem_fault_set(1, 1);
    const enum rc rcs[] = {
        json_encode_error(&to, &error, true),
        json_encode_connected(&to, &connected),
        json_encode_published(&to, &published, true),
        json_encode_subscribed(&to, &subscribed),
        json_encode_unsubscribed(&to, &notice),
        json_encode_gap(&to, &notice),
        json_encode_reset(&to, &notice),
        json_encode_pong(&to, 1),
        json_encode_goaway(&to, "draining", 1),
        json_encode_message(&to, &message, true),
        json_encode_history_head(&to, 1, CHANNEL, 1, 1, 1, true),
        json_encode_history_tail(&to, true),
        json_encode_digest(&to, &(struct wire_digest){.channel = CHANNEL}, true),
        json_encode_string(&to, CHANNEL),
    };
    mem_fault_set(0, 0);
    for (size_t i = 0; i < sizeof(rcs) / sizeof(rcs[0]); i++) {
        assert_int_equal(rcs[i], RC_NOMEM);
    }
    assert_null(to.data);
    assert_int_equal(to.size, 0);
}

static int teardown(void **state)
{
    (void)state;
    buf_deinit(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_carry_what_belongs_to_them),
        cmocka_unit_test(connected_tells_who_we_are_and_what_the_limits_are),
        cmocka_unit_test(published_tells_seq_count_and_duplicate_where_they_are_known),
        cmocka_unit_test(subscribed_tells_bounds_and_a_reset),
        cmocka_unit_test(notices_name_the_channel_and_the_reason),
        cmocka_unit_test(pong_and_goaway_are_short),
        cmocka_unit_test(a_message_has_only_what_the_publisher_gave),
        cmocka_unit_test(a_history_reply_is_made_of_pieces),
        cmocka_unit_test(a_digest_has_16_digits),
        cmocka_unit_test(strings_are_escaped_where_json_demands_it_and_nowhere_else),
        cmocka_unit_test(what_a_message_holds_comes_back_from_its_text),
        cmocka_unit_test(integers_are_written_as_printf_writes_them),
        cmocka_unit_test(every_reply_survives_the_longest_name_of_nothing_but_escapes),
        cmocka_unit_test(without_memory_the_buffer_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
