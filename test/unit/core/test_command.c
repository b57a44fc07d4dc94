/* Goal: a command's body is read back as it was written, and nothing else is read at all.
 * Method: round trips; every prefix; a table of changed bytes; every bit flipped. */
#include "core/command.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct command_message messages[] = {
    {.data = BYTES_LITERAL("{\"n\":1}"), .key = BYTES_LITERAL("k"), .has_key = true},
    {.data = BYTES_LITERAL("\0\1\2"), .is_bytes = true},
    {.data = BYTES_LITERAL(""), .key = BYTES_LITERAL(""), .has_key = true, .is_bytes = true},
};

static struct command_publish head_of(uint32_t count)
{
    return (struct command_publish){
        .channel = BYTES_LITERAL("orders"),
        .producer = BYTES_LITERAL("p-81f3"),
        .producer_epoch = 2,
        .producer_seq = 41,
        .count = count,
        .is_batch = true,
    };
}

static struct buf encoded(uint32_t count)
{
    struct buf body = {0};
    const struct command_publish head = head_of(count);
    assert_int_equal(command_publish_encode(&body, &head, messages), RC_OK);
    return body;
}

static void a_publish_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    struct buf body = encoded(3);
    command_publish_stamp(body.data, 1767225600123u, 99);
    struct command_publish publish;
    assert_int_equal(command_publish_decode(buf_bytes(&body), &publish), RC_OK);
    assert_true(publish.time_ms == 1767225600123u && publish.tick == 99);
    assert_true(bytes_equal(publish.channel, BYTES_LITERAL("orders")));
    assert_true(bytes_equal(publish.producer, BYTES_LITERAL("p-81f3")));
    assert_true(publish.producer_epoch == 2 && publish.producer_seq == 41);
    assert_true(publish.count == 3 && publish.is_batch);
    struct bytes rest = publish.messages;
    struct command_message message;
    for (size_t i = 0; i < 3; i++) {
        assert_true(command_message_next(&rest, &message));
        assert_true(bytes_equal(message.data, messages[i].data));
        assert_true(bytes_equal(message.key, messages[i].key));
        assert_true(message.has_key == messages[i].has_key);
        assert_true(message.is_bytes == messages[i].is_bytes);
    }
    assert_false(command_message_next(&rest, &message));
    buf_deinit(&body);
}

static void a_publish_cut_short_or_too_long_is_refused(void **state)
{
    (void)state;
    struct buf body = encoded(3);
    struct command_publish publish;
    for (size_t size = 0; size < body.size; size++) {
        uint8_t *block = mem_alloc(size + 1);
        assert_non_null(block);
        bytes_copy(block + 1, body.data, size); /* a read past the end is seen */
        assert_int_equal(command_publish_decode(bytes_of(block + 1, size), &publish), RC_CORRUPT);
        mem_free(block);
    }
    assert_int_equal(buf_append(&body, BYTES_LITERAL("x")), RC_OK);
    assert_int_equal(command_publish_decode(buf_bytes(&body), &publish), RC_CORRUPT);
    buf_deinit(&body);
}

static void fields_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint64_t value;
        size_t size;
    } changes[] = {
        {0, WIRE_INTEGER_MAX + 1, 8},  /* time */
        {8, (1ull << 53) - 2, 8},      /* the third message's tick would not fit */
        {16, 0, 8},                    /* a producer without an epoch */
        {16, WIRE_INTEGER_MAX + 1, 8}, /* epoch */
        {24, WIRE_INTEGER_MAX + 1, 8}, /* number */
        {32, 0, 4},                    /* count */
        {32, 1001, 4},
        {32, 2, 4},
        {32, 4, 4},
        {36, 0, 1}, /* three messages and no batch */
        {36, 3, 1}, /* unknown flag */
        {37, 0, 1}, /* no channel */
        {38, 0, 1}, /* an epoch without a producer */
        {39, 1, 1}, /* not zero */
        {52, MESSAGE_BYTES_MAX + 1, 4},
        {56, 4, 1}, /* unknown flag of a message */
        {56, 0, 1}, /* a key that is not there */
    };
    struct command_publish publish;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct buf body = encoded(3);
        for (size_t b = 0; b < changes[i].size; b++) {
            body.data[changes[i].at + b] = (uint8_t)(changes[i].value >> (8 * b));
        }
        assert_int_equal(command_publish_decode(buf_bytes(&body), &publish), RC_CORRUPT);
        buf_deinit(&body);
    }
}

static void a_flipped_bit_never_leads_astray(void **state)
{
    (void)state;
    struct buf body = encoded(3);
    for (size_t bit = 0; bit < body.size * 8; bit++) {
        body.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        struct command_publish publish;
        if (command_publish_decode(buf_bytes(&body), &publish) == RC_OK) {
            struct bytes rest = publish.messages;
            struct command_message message;
            uint32_t count = 0;
            while (command_message_next(&rest, &message)) {
                count++;
            }
            assert_true(count == publish.count);
        }
        body.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    buf_deinit(&body);
}

static void a_trim_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    const struct command_trim_entry entries[] = {{7, 100}, {3, 2}};
    struct buf body = {0};
    assert_int_equal(command_trim_encode(&body, 55, entries, 2), RC_OK);
    struct command_trim trim;
    assert_int_equal(command_trim_decode(buf_bytes(&body), &trim), RC_OK);
    assert_true(trim.time_ms == 55 && trim.count == 2);
    struct command_trim_entry entry;
    assert_true(command_trim_next(&trim.entries, &entry));
    assert_true(entry.channel_id == 7 && entry.earliest == 100);
    assert_true(command_trim_next(&trim.entries, &entry));
    assert_true(entry.channel_id == 3 && entry.earliest == 2);
    assert_false(command_trim_next(&trim.entries, &entry));
    for (size_t size = 0; size < body.size; size++) {
        assert_int_equal(command_trim_decode(bytes_of(body.data, size), &trim), RC_CORRUPT);
    }
    body.data[12] = 1;
    assert_int_equal(command_trim_decode(buf_bytes(&body), &trim), RC_CORRUPT);
    buf_deinit(&body);
}

static void settings_are_read_back_as_they_were_written(void **state)
{
    (void)state;
    const struct command_settings settings = {.retention_messages = 5, .producer_idle_ms = 6};
    struct command_settings read = {0};
    struct buf body = {0};
    assert_int_equal(command_settings_encode(&body, &settings), RC_OK);
    assert_int_equal(command_settings_decode(buf_bytes(&body), &read), RC_OK);
    assert_true(read.retention_messages == 5 && read.producer_idle_ms == 6);
    assert_int_equal(command_settings_decode(bytes_of(body.data, 15), &read), RC_CORRUPT);
    assert_int_equal(buf_append(&body, BYTES_LITERAL("x")), RC_OK);
    assert_int_equal(command_settings_decode(buf_bytes(&body), &read), RC_CORRUPT);
    buf_deinit(&body);
}

static void a_doubt_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    const struct command_doubt_entry entries[] = {{3, 100}, {7, 2}};
    struct buf body = {0};
    struct command_doubt doubt;
    assert_int_equal(command_doubt_encode(&body, DOUBT_LIST, 42, 0, entries, 2), RC_OK);
    assert_int_equal(command_doubt_decode(buf_bytes(&body), &doubt), RC_OK);
    assert_true(doubt.kind == DOUBT_LIST && doubt.salt == 42 && doubt.count == 2);
    struct command_doubt_entry entry;
    assert_true(command_doubt_next(&doubt.entries, &entry));
    assert_true(entry.channel_id == 3 && entry.good_end == 100);
    for (size_t size = 0; size < body.size; size++) {
        assert_int_equal(command_doubt_decode(bytes_of(body.data, size), &doubt), RC_CORRUPT);
    }
    body.data[16] = 7; /* the same channel twice */
    assert_int_equal(command_doubt_decode(buf_bytes(&body), &doubt), RC_CORRUPT);
    body.data[16] = 3;
    body.data[0] = DOUBT_ALL; /* has no entries */
    assert_int_equal(command_doubt_decode(buf_bytes(&body), &doubt), RC_CORRUPT);
    body.data[0] = 4;
    assert_int_equal(command_doubt_decode(buf_bytes(&body), &doubt), RC_CORRUPT);
    buf_clear(&body);
    assert_int_equal(command_doubt_encode(&body, DOUBT_END, 1, 9, NULL, 0), RC_OK);
    assert_int_equal(command_doubt_decode(buf_bytes(&body), &doubt), RC_OK);
    assert_int_equal(doubt.kind, DOUBT_END);
    assert_int_equal(doubt.base, 9);
    body.size -= sizeof(doubt.base); /* as older logs have it */
    assert_int_equal(command_doubt_decode(buf_bytes(&body), &doubt), RC_OK);
    assert_int_equal(doubt.base, 0);
    buf_deinit(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_is_read_back_as_it_was_written),
        cmocka_unit_test(a_publish_cut_short_or_too_long_is_refused),
        cmocka_unit_test(fields_out_of_range_are_refused),
        cmocka_unit_test(a_flipped_bit_never_leads_astray),
        cmocka_unit_test(a_trim_is_read_back_as_it_was_written),
        cmocka_unit_test(settings_are_read_back_as_they_were_written),
        cmocka_unit_test(a_doubt_is_read_back_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
