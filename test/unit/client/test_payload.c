/* client/payload: what goes in as a line comes out as that line, whatever it looks like.
 * Method: tables of awkward lines, and random lines over an alphabet of awkward bytes; the text
 * that was encoded is put into a message, parsed and decoded, and must be the same. */
#include "client/payload.h"

#include "base/mem.h"
#include "base/prng.h"
#include "wire/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Encodes `text`, makes a message of it as the server would, and gives what is printed of it. */
static struct buf round_trip(struct bytes text, enum payload_mode mode)
{
    struct buf object = {0};
    struct buf out = {0};
    assert_int_equal(buf_append(&object, BYTES_LITERAL("{\"type\":\"message\",\"seq\":1,")), RC_OK);
    assert_int_equal(payload_encode(&object, text, mode), RC_OK);
    assert_int_equal(buf_append(&object, BYTES_LITERAL("}")), RC_OK);
    assert_true(utf8_valid(buf_bytes(&object)));
    struct client_message message;
    assert_int_equal(client_message_parse(buf_bytes(&object), &message), RC_OK);
    assert_int_equal(message.type, CLIENT_MESSAGE);
    assert_int_equal(payload_decode(&out, &message), RC_OK);
    buf_deinit(&object);
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

static void the_member_says_how_it_was_sent(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum payload_mode mode;
        const char *member;
    } cases[] = {
        {"1", PAYLOAD_GUESS, "\"data\":1"},
        {"1", PAYLOAD_STRING, "\"data\":\"1\""},
        {"one", PAYLOAD_GUESS, "\"data\":\"one\""},
        {"{\"n\":1", PAYLOAD_GUESS, "\"data\":\"{\\\"n\\\":1\""},
        {"\xff", PAYLOAD_GUESS, "\"data_base64\":\"/w==\""},
        {"\xff", PAYLOAD_STRING, "\"data_base64\":\"/w==\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf to = {0};
        assert_int_equal(payload_encode(&to, bytes_of_text(cases[i].text), cases[i].mode), RC_OK);
        assert_true(bytes_equal(buf_bytes(&to), bytes_of_text(cases[i].member)));
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
        assert_int_equal(payload_encode(&to, bytes_of_text(texts[i]), PAYLOAD_JSON), RC_BAD);
        assert_int_equal(to.size, 1);
        buf_deinit(&to);
    }
}

static void a_message_without_one_good_payload_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"type\":\"message\"}",
        "{\"type\":\"message\",\"data\":1,\"data_base64\":\"\"}",
        "{\"type\":\"message\",\"data_base64\":1}",
        "{\"type\":\"message\",\"data_base64\":\"a\"}",
        "{\"type\":\"message\",\"data_base64\":\"/x==\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct client_message message;
        struct buf out = {0};
        assert_int_equal(client_message_parse(bytes_of_text(texts[i]), &message), RC_OK);
        assert_int_equal(payload_decode(&out, &message), RC_BAD);
        assert_int_equal(out.size, 0);
        buf_deinit(&out);
    }
}

static void json_that_is_nested_too_deeply_is_no_json(void **state)
{
    (void)state;
    char text[1100];
    struct buf to = {0};
    for (size_t i = 0; i < 513; i++) {
        text[i] = '[';
        text[513 + i] = ']';
    }
    const struct bytes deep = bytes_of(text, 1026);
    assert_int_equal(payload_encode(&to, deep, PAYLOAD_JSON), RC_BAD);
    assert_int_equal(payload_encode(&to, bytes_of(text + 1, 1024), PAYLOAD_JSON), RC_OK);
    buf_clear(&to);
    assert_int_equal(payload_encode(&to, deep, PAYLOAD_GUESS), RC_OK); /* as a text */
    assert_int_equal(to.data[strlen("\"data\":")], '"');
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
        /* Filled up so far that this much more fits. */
        for (size_t room = 0; room < 12; room++) {
            struct buf to = {0};
            assert_int_equal(buf_reserve(&to, 1), RC_OK);
            to.size = to.capacity - room;
            const size_t before = to.size;
            mem_fault_set(1, 0);
            const enum rc rc = payload_encode(&to, bytes_of_text(cases[i].text), cases[i].mode);
            mem_fault_set(0, 0);
            assert_int_equal(rc, RC_NOMEM);
            assert_int_equal(to.size, before);
            assert_int_equal(payload_encode(&to, bytes_of_text(cases[i].text), cases[i].mode),
                             RC_OK);
            assert_true(to.size > before);
            buf_deinit(&to);
        }
    }
}

static void every_allocation_may_fail_on_the_way_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"type\":\"message\",\"data\":{\"a\":1}}",
        "{\"type\":\"message\",\"data\":\"text\"}",
        "{\"type\":\"message\",\"data_base64\":\"/w==\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct client_message message;
        struct buf out = {0};
        assert_int_equal(client_message_parse(bytes_of_text(texts[i]), &message), RC_OK);
        mem_fault_set(1, 0);
        assert_int_equal(payload_decode(&out, &message), RC_NOMEM);
        mem_fault_set(0, 0);
        assert_int_equal(out.size, 0);
        assert_int_equal(payload_decode(&out, &message), RC_OK);
        assert_true(out.size > 0);
        buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(awkward_lines_come_back_as_they_were),
        cmocka_unit_test(random_lines_come_back_as_they_were),
        cmocka_unit_test(json_is_sent_as_it_is_less_the_space_around_it),
        cmocka_unit_test(a_json_string_comes_out_as_its_text),
        cmocka_unit_test(the_member_says_how_it_was_sent),
        cmocka_unit_test(what_is_not_json_is_refused_where_json_is_asked_for),
        cmocka_unit_test(a_message_without_one_good_payload_is_refused),
        cmocka_unit_test(json_that_is_nested_too_deeply_is_no_json),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_allocation_may_fail_on_the_way_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
