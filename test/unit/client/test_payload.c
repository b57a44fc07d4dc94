/* client/payload: what goes in as a line comes out as that line, whatever it looks like.
 * Method: tables of awkward lines, and random lines over an alphabet of awkward bytes; what
 * is made of a text is shown again, and must be the same. */
#include "client/payload.h"

#include "base/mem.h"
#include "base/prng.h"
#include "wire/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* What is sent for `text`, and is shown of it. */
static struct buf round_trip(struct bytes text, enum payload_mode mode)
{
    struct buf data = {0};
    struct buf out = {0};
    bool is_bytes = false;
    assert_int_equal(payload_data(&data, text, mode, &is_bytes), RC_OK);
    assert_true(is_bytes || utf8_valid(buf_bytes(&data)));
    assert_int_equal(payload_show(&out, buf_bytes(&data), is_bytes), RC_OK);
    buf_deinit(&data);
    return out;
}

static void assert_comes_back(struct bytes line)
{
    struct buf out = round_trip(line, PAYLOAD_STRING);
    assert_true(bytes_equal(buf_bytes(&out), line));
    buf_deinit(&out);
}

static void awkward_lines_come_back_as_they_were(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "123",
        "\"a\"",
        "true",
        "null",
        "{\"n\":1}",
        " {\"n\": 1} ",
        "[1,2",
        "a\\u0041",
        "\\",
        "\"",
        "\t\r",
        "é€😀",
        "\xff\xfe",
        "\xc3",
        "\xed\xa0\x80",
        "\x01\x7f",
        "\\ud800",
        "-0",
        "1e400",
        "\"\\ud800\"",
        "data_base64",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_comes_back(bytes_of_text(lines[i]));
    }
    assert_comes_back(bytes_of("a\0b", 3));
}

static void random_lines_come_back_as_they_were(void **state)
{
    (void)state;
    static const uint8_t alphabet[] =
        "\"\\{}[]:,0aune \t\r\x01\x7f\x80\xbf\xc2\xe2\x82\xac\xf0\xff";
    struct prng prng = {.state = 11};
    uint8_t line[64];
    for (int round = 0; round < 20000; round++) {
        const size_t size = prng_below(&prng, sizeof(line));
        for (size_t i = 0; i < size; i++) {
            line[i] = alphabet[prng_below(&prng, sizeof(alphabet))];
        }
        assert_comes_back(bytes_of(line, size));
    }
}

static void json_is_sent_as_it_is_less_the_space_around_it(void **state)
{
    (void)state;
    static const char *const values[] = {"1.0", "{\"n\": 1.0}", "[ ]", "null", "-0", "1e400"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        for (enum payload_mode mode = PAYLOAD_GUESS; mode <= PAYLOAD_JSON; mode++) {
            struct buf out = round_trip(bytes_of_text(values[i]), mode);
            assert_true(bytes_equal(buf_bytes(&out), bytes_of_text(values[i])));
            buf_deinit(&out);
        }
    }
    struct buf out = round_trip(BYTES_LITERAL("  {\"a\" : [1]}\n"), PAYLOAD_GUESS);
    assert_true(bytes_equal(buf_bytes(&out), BYTES_LITERAL("{\"a\" : [1]}")));
    buf_deinit(&out);
}

static void a_json_string_comes_out_as_its_text(void **state)
{
    (void)state;
    struct buf out = round_trip(BYTES_LITERAL("\"a\\u0041\\n\""), PAYLOAD_JSON);
    assert_true(bytes_equal(buf_bytes(&out), BYTES_LITERAL("aA\n")));
    buf_deinit(&out);
    /* Half a surrogate pair stands for no text: it stays JSON. */
    out = round_trip(BYTES_LITERAL("\"\\ud800\""), PAYLOAD_JSON);
    assert_true(bytes_equal(buf_bytes(&out), BYTES_LITERAL("\"\\ud800\"")));
    buf_deinit(&out);
}

static void bytes_are_what_is_no_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum payload_mode mode;
        const char *data;
        bool is_bytes;
    } cases[] = {
        {"1", PAYLOAD_GUESS, "1", false},
        {"1", PAYLOAD_STRING, "\"1\"", false},
        {"one", PAYLOAD_GUESS, "\"one\"", false},
        {"{\"n\":1", PAYLOAD_GUESS, "\"{\\\"n\\\":1\"", false},
        {"\xff", PAYLOAD_GUESS, "\xff", true},
        {"\xff", PAYLOAD_STRING, "\xff", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf to = {0};
        bool is_bytes = !cases[i].is_bytes;
        assert_int_equal(payload_data(&to, bytes_of_text(cases[i].text), cases[i].mode, &is_bytes),
                         RC_OK);
        assert_true(bytes_equal(buf_bytes(&to), bytes_of_text(cases[i].data)));
        assert_int_equal(is_bytes, cases[i].is_bytes);
        buf_deinit(&to);
    }
}

static void what_is_not_json_is_refused_where_json_is_asked_for(void **state)
{
    (void)state;
    static const char *const texts[] = {"",    " ",        "one", "{",   "1 2",
                                        "'a'", "\"\xff\"", "01",  "[1,]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct buf to = {0};
        assert_int_equal(buf_append(&to, BYTES_LITERAL("x")), RC_OK);
        bool is_bytes = true;
        assert_int_equal(payload_data(&to, bytes_of_text(texts[i]), PAYLOAD_JSON, &is_bytes),
                         RC_BAD);
        assert_int_equal(to.size, 1);
        buf_deinit(&to);
    }
}

static void what_should_be_json_and_is_not_is_not_shown(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "one", "{", "1 2"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct buf out = {0};
        assert_int_equal(payload_show(&out, bytes_of_text(texts[i]), false), RC_BAD);
        assert_int_equal(out.size, 0);
        assert_int_equal(payload_show(&out, bytes_of_text(texts[i]), true), RC_OK);
        assert_true(bytes_equal(buf_bytes(&out), bytes_of_text(texts[i])));
        buf_deinit(&out);
    }
}

static void json_that_is_nested_too_deeply_is_no_json(void **state)
{
    (void)state;
    char text[1100];
    struct buf to = {0};
    bool is_bytes;
    for (size_t i = 0; i < 513; i++) {
        text[i] = '[';
        text[513 + i] = ']';
    }
    const struct bytes deep = bytes_of(text, 1026);
    assert_int_equal(payload_data(&to, deep, PAYLOAD_JSON, &is_bytes), RC_BAD);
    assert_int_equal(payload_data(&to, bytes_of(text + 1, 1024), PAYLOAD_JSON, &is_bytes), RC_OK);
    buf_clear(&to);
    assert_int_equal(payload_data(&to, deep, PAYLOAD_GUESS, &is_bytes), RC_OK); /* as a text */
    assert_int_equal(to.data[0], '"');
    assert_false(is_bytes);
    buf_deinit(&to);
}

/* What could not be added for want of memory is not there, and goes in later. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum payload_mode mode;
    } cases[] = {{"{\"a\":1}", PAYLOAD_JSON}, {"text", PAYLOAD_STRING}, {"\xff", PAYLOAD_STRING}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct bytes text = bytes_of_text(cases[i].text);
        struct buf to = {0};
        struct buf out = {0};
        bool is_bytes;
        assert_int_equal(buf_reserve(&to, 1), RC_OK);
        to.size = to.capacity;
        mem_fault_set(1, 0);
        assert_int_equal(payload_data(&to, text, cases[i].mode, &is_bytes), RC_NOMEM);
        assert_int_equal(to.size, to.capacity);
        mem_fault_set(0, 0);
        buf_clear(&to);
        assert_int_equal(payload_data(&to, text, cases[i].mode, &is_bytes), RC_OK);

        mem_fault_set(1, 0);
        assert_int_equal(payload_show(&out, buf_bytes(&to), is_bytes), RC_NOMEM);
        mem_fault_set(0, 0);
        assert_int_equal(out.size, 0);
        assert_int_equal(payload_show(&out, buf_bytes(&to), is_bytes), RC_OK);
        assert_true(bytes_equal(buf_bytes(&out), text));
        buf_deinit(&out);
        buf_deinit(&to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(awkward_lines_come_back_as_they_were),
        cmocka_unit_test(random_lines_come_back_as_they_were),
        cmocka_unit_test(json_is_sent_as_it_is_less_the_space_around_it),
        cmocka_unit_test(a_json_string_comes_out_as_its_text),
        cmocka_unit_test(bytes_are_what_is_no_text),
        cmocka_unit_test(what_is_not_json_is_refused_where_json_is_asked_for),
        cmocka_unit_test(what_should_be_json_and_is_not_is_not_shown),
        cmocka_unit_test(json_that_is_nested_too_deeply_is_no_json),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
