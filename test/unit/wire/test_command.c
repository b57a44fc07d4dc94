/* wire/command: the texts of epochs and of error codes.
 * Method: known values, random round trips, and a table of texts that are no epoch. */
#include "wire/command.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void epochs_are_written_in_base_32(void **state)
{
    static const struct {
        uint64_t epoch;
        const char *text;
    } cases[] = {
        {0, "0"},       {1, "1"},
        {31, "v"},      {32, "10"},
        {20605, "k3t"}, {UINT64_MAX, "fvvvvvvvvvvvv"},
        {1023, "vv"},   {UINT64_C(1) << 60, "1000000000000"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[WIRE_EPOCH_TEXT_SIZE];
        uint64_t epoch;
        wire_epoch_text(cases[i].epoch, text);
        assert_string_equal(text, cases[i].text);
        assert_true(wire_epoch_parse(bytes_of_text(text), &epoch));
        assert_true(epoch == cases[i].epoch);
    }
}

static void every_epoch_comes_back_from_its_text(void **state)
{
    struct prng prng;
    (void)state;
    prng.state = 32;
    for (unsigned i = 0; i < 20000; i++) {
        char text[WIRE_EPOCH_TEXT_SIZE];
        uint64_t back;
        const uint64_t epoch = prng_next(&prng) >> prng_below(&prng, 64);
        wire_epoch_text(epoch, text);
        assert_true(wire_epoch_parse(bytes_of_text(text), &back));
        assert_true(back == epoch);
    }
}

static void a_text_that_this_server_never_gave_is_no_epoch(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "01",
        "w",
        "K3X",
        "k3x ",
        " k3x",
        "-1",
        "k_3",
        "g000000000000",
        "vvvvvvvvvvvvv",
        "10000000000000",
        "k3\xc3\xa9",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t epoch = 77;
        assert_false(wire_epoch_parse(bytes_of_text(bad[i]), &epoch));
        assert_int_equal(epoch, 77);
    }
    uint64_t epoch = 77;
    assert_false(wire_epoch_parse(BYTES_LITERAL("k\0x"), &epoch));
}

/* [P 2] 1 to 255 bytes of UTF-8 without control characters. */
static void a_channel_name_is_1_to_255_bytes_of_utf8_without_control_characters(void **state)
{
    static const struct bytes good[] = {
        BYTES_LITERAL("a"),
        BYTES_LITERAL("a b/c?d=\"\\"),
        BYTES_LITERAL("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
        BYTES_LITERAL("\xc2\xa0"), /* U+00A0 is the first one behind the controls */
        BYTES_LITERAL("a~"),
    };
    static const struct bytes bad[] = {
        BYTES_LITERAL(""),         BYTES_LITERAL("\0"),       BYTES_LITERAL("a\x1f"),
        BYTES_LITERAL("\x7f"),     BYTES_LITERAL("\xc2\x80"), BYTES_LITERAL("a\xc2\x9f"),
        BYTES_LITERAL("\xc3"),     BYTES_LITERAL("\xff"),     BYTES_LITERAL("\xed\xa0\x80"),
        BYTES_LITERAL("\xc0\x80"), BYTES_LITERAL("a\nb"),
    };
    uint8_t long_name[256];
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(wire_channel_name_valid(good[i]));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(wire_channel_name_valid(bad[i]));
    }
    for (size_t i = 0; i < sizeof(long_name); i++) {
        long_name[i] = 'x';
    }
    assert_true(wire_channel_name_valid(bytes_of(long_name, 255)));
    assert_false(wire_channel_name_valid(bytes_of(long_name, 256)));
}

/* Every byte at every place of texts of every size around the words that are looked at. */
static void plain_texts_are_those_of_printable_ascii_only(void **state)
{
    (void)state;
    uint8_t text[27];
    for (size_t size = 0; size <= sizeof(text); size++) {
        for (size_t i = 0; i < size; i++) {
            text[i] = (uint8_t)(i % 2 == 0 ? ' ' : '~');
        }
        assert_true(wire_is_plain(bytes_of(text, size)));
        for (size_t i = 0; i < size; i++) {
            const uint8_t before = text[i];
            for (unsigned byte = 0; byte <= 255; byte++) {
                text[i] = (uint8_t)byte;
                assert_true(wire_is_plain(bytes_of(text, size)) == (byte >= 0x20 && byte < 0x7f));
                const bool control = byte < 0x20 || byte == 0x7f;
                assert_true(byte >= 0x80 || wire_has_control(bytes_of(text, size)) == control);
            }
            text[i] = before;
        }
    }
}

static void each_error_code_has_a_text_and_a_status(void **state)
{
    (void)state;
    for (unsigned code = 0; code < WIRE_ERROR_COUNT; code++) {
        const unsigned status = wire_error_status((enum wire_error_code)code);
        assert_true(wire_error_text((enum wire_error_code)code)[0] != '\0');
        assert_true(status >= 400 && status < 600);
    }
    assert_string_equal(wire_error_text(WIRE_ERROR_OUT_OF_SEQUENCE), "out_of_sequence");
    assert_int_equal(wire_error_status(WIRE_ERROR_TOO_LARGE), 413);
    assert_int_equal(wire_error_status(WIRE_ERROR_UNAVAILABLE), 503);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epochs_are_written_in_base_32),
        cmocka_unit_test(every_epoch_comes_back_from_its_text),
        cmocka_unit_test(a_text_that_this_server_never_gave_is_no_epoch),
        cmocka_unit_test(a_channel_name_is_1_to_255_bytes_of_utf8_without_control_characters),
        cmocka_unit_test(plain_texts_are_those_of_printable_ascii_only),
        cmocka_unit_test(each_error_code_has_a_text_and_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
