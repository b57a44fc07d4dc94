/* bench/codec in binary: commands are, byte by byte, what another encoder makes of them, and what
 * the server's own codec reads; what that one writes is taken apart; what is cut off or broken is
 * refused. */
#include "bench/codec.h"

#include "bench/stamp.h"
#include "test/lib/packed.h"
#include "wire/binary_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct wire_limits limits = {.message_bytes = 1 << 20};
static const struct bench_codec *const codec = &bench_codec_binary;

static struct wire_scratch scratch;

/* The one command that `units` holds; that it has no other form but this. */
static struct wire_command decoded(const struct buf *units)
{
    struct wire_command command;
    struct wire_error error;
    struct bytes rest = buf_bytes(units);
    assert_int_equal(binary_command_decode(&rest, &limits, &scratch, &command, &error), RC_OK);
    assert_int_equal(rest.size, 0);
    struct buf again = {0};
    packed_command(&again, &command);
    assert_true(bytes_equal(buf_bytes(&again), buf_bytes(units)));
    buf_deinit(&again);
    return command;
}

static void commands_are_what_the_server_reads(void **state)
{
    (void)state;
    struct buf units = {0};
    assert_int_equal(bench_codec_connect(codec, &units, false), RC_OK);
    struct wire_command command = decoded(&units);
    assert_int_equal(command.type, WIRE_CONNECT);
    assert_false(command.cumulative);
    buf_clear(&units);
    assert_int_equal(bench_codec_connect(codec, &units, true), RC_OK);
    assert_true(decoded(&units).cumulative);
    static const struct {
        uint64_t from;
        enum wire_from kind;
    } cases[] = {{BENCH_FROM_LATEST, WIRE_FROM_LATEST},
                 {BENCH_FROM_EARLIEST, WIRE_FROM_EARLIEST},
                 {17, WIRE_FROM_SEQ},
                 {1u << 20, WIRE_FROM_SEQ}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buf_clear(&units);
        assert_int_equal(bench_codec_subscribe(codec, &units, "c-1", cases[i].from), RC_OK);
        command = decoded(&units);
        assert_int_equal(command.type, WIRE_SUBSCRIBE);
        assert_int_equal(command.from, cases[i].kind);
        assert_true(command.seq == (cases[i].kind == WIRE_FROM_SEQ ? cases[i].from : 0));
        assert_true(bytes_equal(command.channel, BYTES_LITERAL("c-1")));
    }
    buf_deinit(&units);
}

/* Patches a copy as a publisher does, and lets the server read it. */
static void check_publish(size_t payload_size, size_t count, bool ack, uint64_t id)
{
    static uint8_t payload[70000];
    stamp_payload(payload, payload_size);
    struct bench_template made = {0};
    assert_int_equal(
        bench_codec_publish(codec, &made, "pre", bytes_of(payload, payload_size), count, ack),
        RC_OK);
    assert_true((made.id_at != 0) == ack);
    for (size_t i = 0; i < count; i++) {
        const struct stamp stamp = {.number = i + 1};
        stamp_put(made.frame.data + made.payload_at + i * made.payload_stride, &stamp);
    }
    bytes_copy(made.frame.data + made.channel_at, "000042", BENCH_CHANNEL_DIGITS);
    if (ack) {
        codec->patch_id(made.frame.data + made.id_at, id);
    }
    const struct wire_command command = decoded(&made.frame);
    assert_int_equal(command.type, WIRE_PUBLISH);
    assert_true(command.quiet == !ack);
    assert_true(command.id == (ack ? id : 0));
    assert_true(command.is_batch == (count > 1));
    assert_true(bytes_equal(command.channel, BYTES_LITERAL("pre-000042")));
    assert_int_equal(command.item_count, count);
    for (size_t i = 0; i < count; i++) {
        struct stamp stamp;
        assert_true(command.items[i].is_bytes);
        assert_int_equal(command.items[i].data.size, payload_size);
        assert_true(stamp_get(command.items[i].data, &stamp));
        assert_int_equal(stamp.number, i + 1);
    }
    buf_deinit(&made.frame);
}

static void publishes_are_what_the_server_reads(void **state)
{
    (void)state;
    static const size_t sizes[] = {32, 63, 64, 128, 16383, 16384, 70000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_publish(sizes[i], 1, true, BENCH_ID_FIRST);
        check_publish(sizes[i], 1, false, 0);
        check_publish(sizes[i], 2, true, BENCH_ID_END - 1);
    }
    check_publish(128, 1000, true, BENCH_ID_FIRST + 12345);
    check_publish(128, 100, false, 0);
}

static const struct wire_published published = {.id = 1000000007,
                                                .channel = BYTES_LITERAL("c"),
                                                .has_seq = true,
                                                .seq = 41,
                                                .message_id = 5,
                                                .epoch = 9};

static void answers_are_taken_apart(void **state)
{
    (void)state;
    struct buf units = {0};
    struct bench_event event;
    struct wire_published run = published;
    run.publishes = 3;
    run.count = 30;
    struct wire_published batch = published;
    batch.is_batch = true;
    batch.count = 7;
    const struct wire_published forgotten = {
        .id = 8, .channel = BYTES_LITERAL("c"), .duplicate = true, .epoch = 9};
    assert_int_equal(binary_encode_published(&units, &published), RC_OK);
    assert_int_equal(binary_encode_published(&units, &run), RC_OK);
    assert_int_equal(binary_encode_published(&units, &batch), RC_OK);
    assert_int_equal(binary_encode_published(&units, &forgotten), RC_OK);
    struct bytes rest = buf_bytes(&units); /* all in one message */
    codec->parse(&rest, &event);
    assert_int_equal(event.type, BENCH_EVENT_PUBLISHED);
    assert_true(event.id == 1000000007 && event.seq == 41 && event.count == 1 && event.more == 0);
    codec->parse(&rest, &event);
    assert_true(event.id == 1000000007 && event.seq == 41 && event.count == 30 && event.more == 2);
    codec->parse(&rest, &event);
    assert_true(event.seq == 41 && event.count == 7 && event.more == 0);
    codec->parse(&rest, &event);
    assert_int_equal(event.type, BENCH_EVENT_PUBLISHED);
    assert_true(event.id == 8 && event.seq == 0 && event.count == 1);
    assert_int_equal(rest.size, 0);
    buf_deinit(&units);
}

static void check_message(bool full)
{
    struct wire_message message = {.channel = BYTES_LITERAL("c"),
                                   .seq = 77,
                                   .message_id = 3,
                                   .time_ms = 4,
                                   .data = BYTES_LITERAL("\"payload\""),
                                   .is_bytes = full};
    if (full) {
        message.key = BYTES_LITERAL("k");
        message.has_key = true;
        message.producer = BYTES_LITERAL("p");
        message.producer_seq = 300;
    }
    struct buf frame = {0};
    struct bench_event event;
    assert_int_equal(binary_encode_message_frame(&frame, &message), RC_OK);
    struct bytes rest = bytes_of(frame.data + 2, frame.size - 2); /* behind the frame's header */
    codec->parse(&rest, &event);
    assert_int_equal(rest.size, 0);
    assert_int_equal(event.type, BENCH_EVENT_MESSAGE);
    assert_int_equal(event.seq, 77);
    assert_true(bytes_equal(event.payload, BYTES_LITERAL("\"payload\"")));
    buf_deinit(&frame);
}

static void messages_and_the_rest_are_taken_apart(void **state)
{
    (void)state;
    struct buf units = {0};
    struct bench_event event;
    const struct wire_subscribed subscribed = {.id = 2,
                                               .channel = BYTES_LITERAL("c"),
                                               .epoch = 1,
                                               .next = 12,
                                               .earliest = 1,
                                               .latest = 11};
    const struct wire_connected connected = {.id = 1,
                                             .namespace_name = "default",
                                             .durability = "os",
                                             .message_bytes = 1,
                                             .frame_bytes = 1,
                                             .batch_messages = 1,
                                             .subscriptions = 1,
                                             .ping_ms = 1,
                                             .time_ms = 1};
    check_message(false);
    check_message(true);
    assert_int_equal(binary_encode_connected(&units, &connected), RC_OK);
    assert_int_equal(binary_encode_pong(&units, 5), RC_OK);
    assert_int_equal(binary_encode_subscribed(&units, &subscribed), RC_OK);
    struct bytes rest = buf_bytes(&units);
    codec->parse(&rest, &event);
    assert_int_equal(event.type, BENCH_EVENT_READY);
    assert_non_null(memmem(event.text.data, event.text.size, "\"durability\":\"os\"", 17));
    codec->parse(&rest, &event);
    assert_int_equal(event.type, BENCH_EVENT_OTHER);
    codec->parse(&rest, &event);
    assert_int_equal(event.type, BENCH_EVENT_SUBSCRIBED);
    assert_int_equal(event.next, 12);
    assert_int_equal(rest.size, 0);
    buf_deinit(&units);
}

static struct bench_event parsed(const struct buf *units)
{
    struct bench_event event;
    struct bytes rest = buf_bytes(units);
    codec->parse(&rest, &event);
    return event;
}

static void what_ends_a_run_is_told(void **state)
{
    (void)state;
    struct buf units = {0};
    const struct wire_error error = {.code = WIRE_ERROR_UNAVAILABLE, .id = 5, .message = "no"};
    const struct wire_notice notice = {.channel = BYTES_LITERAL("c"),
                                       .reason = "trimmed",
                                       .from = 1,
                                       .to = 2,
                                       .epoch = 1,
                                       .next = 3};
    assert_int_equal(binary_encode_error(&units, &error), RC_OK);
    struct bench_event event = parsed(&units);
    assert_int_equal(event.type, BENCH_EVENT_FAILED);
    assert_non_null(memmem(event.text.data, event.text.size, "\"unavailable\"", 13));
    buf_clear(&units);
    assert_int_equal(binary_encode_goaway(&units, "draining", 10), RC_OK);
    event = parsed(&units);
    assert_int_equal(event.type, BENCH_EVENT_FAILED);
    assert_non_null(memmem(event.text.data, event.text.size, "draining", 8));
    buf_clear(&units);
    assert_int_equal(binary_encode_gap(&units, &notice), RC_OK);
    assert_int_equal(parsed(&units).type, BENCH_EVENT_FAILED);
    buf_clear(&units);
    assert_int_equal(binary_encode_reset(&units, &notice), RC_OK);
    assert_int_equal(parsed(&units).type, BENCH_EVENT_FAILED);
    buf_clear(&units);
    assert_int_equal(binary_encode_unsubscribed(&units, &notice), RC_OK);
    assert_int_equal(parsed(&units).type, BENCH_EVENT_FAILED);
    buf_deinit(&units);
}

/* Wherever it ends: no field is read beyond it, and what is not whole is nothing. */
static void what_is_cut_off_is_refused(void **state)
{
    (void)state;
    struct buf units = {0};
    struct wire_published run = published;
    run.publishes = 20;
    run.count = 400;
    assert_int_equal(binary_encode_published(&units, &run), RC_OK);
    for (size_t size = 0; size < units.size; size++) {
        struct bench_event event;
        struct bytes rest = bytes_of(units.data, size);
        codec->parse(&rest, &event);
        assert_int_equal(event.type, BENCH_EVENT_FAILED);
        assert_int_equal(rest.size, 0);
        assert_true(event.text.size > 0);
    }
    /* The same with a size that says so: what is inside breaks off. */
    const uint8_t whole = units.data[0];
    for (unsigned size = 0; size < whole / 4u; size++) {
        units.data[0] = (uint8_t)(size * 4);
        assert_int_equal(parsed(&units).type, BENCH_EVENT_FAILED);
    }
    units.data[0] = whole;
    assert_int_equal(parsed(&units).type, BENCH_EVENT_PUBLISHED);
    static const uint8_t later[] = {3 * 4, 0xB7, 0, 1};
    struct buf other = {0};
    assert_int_equal(buf_append(&other, bytes_of(later, sizeof(later))), RC_OK);
    assert_int_equal(parsed(&other).type, BENCH_EVENT_OTHER);
    buf_deinit(&other);
    buf_deinit(&units);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_what_the_server_reads),
        cmocka_unit_test(publishes_are_what_the_server_reads),
        cmocka_unit_test(answers_are_taken_apart),
        cmocka_unit_test(messages_and_the_rest_are_taken_apart),
        cmocka_unit_test(what_ends_a_run_is_told),
        cmocka_unit_test(what_is_cut_off_is_refused),
    };
    wire_scratch_init(&scratch);
    const int status = cmocka_run_group_tests(tests, NULL, NULL);
    wire_scratch_deinit(&scratch);
    return status;
}
