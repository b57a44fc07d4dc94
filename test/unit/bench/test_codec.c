/* bench/codec in JSON: commands are what the server's own codec reads, and what its codec writes is
 * taken apart, also where the members stand in another order. */
#include "bench/codec.h"

#include "bench/stamp.h"
#include "wire/json_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct wire_limits limits = {.message_bytes = 1 << 20};
static const struct bench_codec *const codec = &bench_codec_json;

static struct wire_scratch scratch;

static struct wire_command decoded(struct bytes text)
{
    struct wire_command command;
    struct wire_error error;
    assert_int_equal(json_command_decode(text, &limits, &scratch, &command, &error), RC_OK);
    return command;
}

static struct bench_event parsed(const char *text)
{
    struct bench_event event;
    struct bytes rest = bytes_of_text(text);
    codec->parse(&rest, &event);
    assert_int_equal(rest.size, 0);
    return event;
}

static struct bench_event parsed_buf(const struct buf *text)
{
    struct bench_event event;
    struct bytes rest = buf_bytes(text);
    codec->parse(&rest, &event);
    assert_int_equal(rest.size, 0);
    return event;
}

static void commands_are_what_the_server_reads(void **state)
{
    (void)state;
    struct buf text = {0};
    assert_int_equal(bench_codec_connect(codec, &text, false), RC_OK);
    assert_int_equal(decoded(buf_bytes(&text)).type, WIRE_CONNECT);
    buf_clear(&text);
    assert_int_equal(bench_codec_subscribe(codec, &text, "c-1", BENCH_FROM_LATEST), RC_OK);
    struct wire_command command = decoded(buf_bytes(&text));
    assert_int_equal(command.type, WIRE_SUBSCRIBE);
    assert_int_equal(command.from, WIRE_FROM_LATEST);
    assert_true(bytes_equal(command.channel, BYTES_LITERAL("c-1")));
    buf_clear(&text);
    assert_int_equal(bench_codec_subscribe(codec, &text, "c-1", BENCH_FROM_EARLIEST), RC_OK);
    assert_int_equal(decoded(buf_bytes(&text)).from, WIRE_FROM_EARLIEST);
    buf_clear(&text);
    assert_int_equal(bench_codec_subscribe(codec, &text, "c-1", 17), RC_OK);
    command = decoded(buf_bytes(&text));
    assert_int_equal(command.from, WIRE_FROM_SEQ);
    assert_int_equal(command.seq, 17);
    buf_deinit(&text);
}

/* Patches a copy as a publisher does, and lets the server read it. */
static void check_publish(size_t count, bool ack)
{
    uint8_t payload[STAMP_SIZE_MIN + 9];
    stamp_payload(payload, sizeof(payload));
    struct bench_template made = {0};
    assert_int_equal(
        bench_codec_publish(codec, &made, "pre", bytes_of(payload, sizeof(payload)), count, ack),
        RC_OK);
    assert_true((made.id_at != 0) == ack);
    for (size_t i = 0; i < count; i++) {
        const struct stamp stamp = {.number = i + 1};
        stamp_put(made.frame.data + made.payload_at + i * made.payload_stride, &stamp);
    }
    bytes_copy(made.frame.data + made.channel_at, "000042", BENCH_CHANNEL_DIGITS);
    if (ack) {
        codec->patch_id(made.frame.data + made.id_at, BENCH_ID_FIRST + 12345);
    }
    const struct wire_command command = decoded(buf_bytes(&made.frame));
    assert_int_equal(command.type, WIRE_PUBLISH);
    assert_true(command.quiet == !ack);
    assert_true(command.id == (ack ? BENCH_ID_FIRST + 12345 : 0));
    assert_true(bytes_equal(command.channel, BYTES_LITERAL("pre-000042")));
    assert_int_equal(command.item_count, count);
    for (size_t i = 0; i < count; i++) {
        struct stamp stamp;
        assert_true(stamp_get(command.items[i].data, &stamp));
        assert_int_equal(stamp.number, i + 1);
    }
    buf_deinit(&made.frame);
}

static void publishes_are_what_the_server_reads(void **state)
{
    (void)state;
    check_publish(1, true);
    check_publish(1, false);
    check_publish(3, false);
    check_publish(2, true);
    check_publish(1000, true);
}

static void what_the_server_writes_is_taken_apart(void **state)
{
    (void)state;
    struct buf text = {0};
    struct bench_event event;
    struct wire_published published = {.id = 1000000007,
                                       .channel = BYTES_LITERAL("c"),
                                       .has_seq = true,
                                       .seq = 41,
                                       .message_id = 5,
                                       .epoch = 9};
    assert_int_equal(json_encode_published(&text, &published, true), RC_OK);
    event = parsed_buf(&text);
    assert_int_equal(event.type, BENCH_EVENT_PUBLISHED);
    assert_true(event.id == 1000000007 && event.seq == 41 && event.count == 1);
    published.is_batch = true;
    published.count = 30;
    buf_clear(&text);
    assert_int_equal(json_encode_published(&text, &published, true), RC_OK);
    event = parsed_buf(&text);
    assert_true(event.id == 1000000007 && event.seq == 41 && event.count == 30);
    const struct wire_message message = {.channel = BYTES_LITERAL("c"),
                                         .seq = 77,
                                         .message_id = 3,
                                         .time_ms = 4,
                                         .data = BYTES_LITERAL("\"payload\"")};
    buf_clear(&text);
    assert_int_equal(json_encode_message(&text, &message, true), RC_OK);
    event = parsed_buf(&text);
    assert_int_equal(event.type, BENCH_EVENT_MESSAGE);
    assert_int_equal(event.seq, 77);
    assert_true(bytes_equal(event.payload, BYTES_LITERAL("\"payload\"")));
    const struct wire_subscribed subscribed = {.id = 2,
                                               .channel = BYTES_LITERAL("c"),
                                               .epoch = 1,
                                               .next = 12,
                                               .earliest = 1,
                                               .latest = 11};
    buf_clear(&text);
    assert_int_equal(json_encode_subscribed(&text, &subscribed), RC_OK);
    event = parsed_buf(&text);
    assert_int_equal(event.type, BENCH_EVENT_SUBSCRIBED);
    assert_int_equal(event.next, 12);
    buf_deinit(&text);
}

static void another_order_of_members_and_escapes_mean_the_same(void **state)
{
    (void)state;
    struct bench_event event =
        parsed("{\"data\":\"x\", \"seq\":3, \"type\":\"message\", \"channel\":\"\\u0063\"}");
    assert_int_equal(event.type, BENCH_EVENT_MESSAGE);
    assert_int_equal(event.seq, 3);
    assert_true(bytes_equal(event.payload, BYTES_LITERAL("\"x\"")));
    event = parsed("{\"type\":\"message\",\"channel\":\"c\",\"seq\":3,\"key\":\"k\",\"data\":7}");
    assert_int_equal(event.seq, 3);
    assert_true(bytes_equal(event.payload, BYTES_LITERAL("7")));
    event = parsed("{\"seq\":8,\"type\":\"published\",\"id\":9,\"epoch\":\"e\",\"channel\":\"c\"}");
    assert_int_equal(event.type, BENCH_EVENT_PUBLISHED);
    assert_true(event.id == 9 && event.seq == 8 && event.count == 1);
    event = parsed("{\"type\":\"connected\",\"durability\":\"os\"}");
    assert_int_equal(event.type, BENCH_EVENT_READY);
    assert_int_equal(parsed("{\"type\":\"pong\",\"id\":1}").type, BENCH_EVENT_OTHER);
    assert_int_equal(parsed("{\"type\":\"what comes later\"}").type, BENCH_EVENT_OTHER);
}

static void what_ends_a_run_is_told_with_its_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"type\":\"error\",\"code\":\"unavailable\",\"message\":\"no\"}",
        "{\"type\":\"gap\",\"channel\":\"c\",\"from\":1,\"to\":2,\"reason\":\"trimmed\"}",
        "{\"type\":\"goaway\",\"reason\":\"draining\"}",
        "{\"type\":\"unsubscribed\",\"channel\":\"c\"}",
        "{\"type\":\"message\",\"channel\":\"c\",\"seq\":3,\"data_base64\":\"eA==\"}",
        "{\"type\":\"published\",\"id\":9}",
        "not JSON",
        "",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const struct bench_event event = parsed(texts[i]);
        assert_int_equal(event.type, BENCH_EVENT_FAILED);
        assert_true(bytes_equal(event.text, bytes_of_text(texts[i])));
    }
}

static void codecs_have_names(void **state)
{
    (void)state;
    assert_ptr_equal(bench_codec_find("json"), codec);
    assert_ptr_equal(bench_codec_find("binary"), &bench_codec_binary);
    assert_null(bench_codec_find("xml"));
    assert_null(bench_codec_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_what_the_server_reads),
        cmocka_unit_test(publishes_are_what_the_server_reads),
        cmocka_unit_test(what_the_server_writes_is_taken_apart),
        cmocka_unit_test(another_order_of_members_and_escapes_mean_the_same),
        cmocka_unit_test(what_ends_a_run_is_told_with_its_text),
        cmocka_unit_test(codecs_have_names),
    };
    wire_scratch_init(&scratch);
    const int status = cmocka_run_group_tests(tests, NULL, NULL);
    wire_scratch_deinit(&scratch);
    return status;
}
