/* Goal: tokens, lists and hosts are told from what only looks like them.
 * Method: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/http_list.h"

static void tokens_are_made_of_tchar_alone(void **state)
{
    (void)state;
    static const char tchar[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t text[3] = {'a', (uint8_t)byte, 'b'};
        const bool expected = byte != 0 && strchr(tchar, (int)byte) != NULL;
        assert_int_equal(http_token_valid(bytes_of(text, 3)), expected);
    }
    assert_false(http_token_valid((struct bytes){0}));
}

static void a_list_gives_its_elements_and_passes_over_empty_ones(void **state)
{
    (void)state;
    struct bytes list = BYTES_LITERAL(" , a,b ,\tc d\t,,e,");
    static const char *const expected[] = {"a", "b", "c d", "e"};
    struct bytes element;
    for (size_t i = 0; i < 4; i++) {
        assert_true(http_list_next(&list, &element));
        assert_true(bytes_equal(element, bytes_of_text(expected[i])));
    }
    assert_false(http_list_next(&list, &element));
    list = (struct bytes){0};
    assert_false(http_list_next(&list, &element));
}

static void text_is_compared_without_the_case_of_letters_only(void **state)
{
    (void)state;
    assert_true(http_text_equal(BYTES_LITERAL("aBc-1"), BYTES_LITERAL("AbC-1")));
    assert_false(http_text_equal(BYTES_LITERAL("a"), BYTES_LITERAL("ab")));
    assert_false(http_text_equal(BYTES_LITERAL("@"), BYTES_LITERAL("`"))); /* 0x40, 0x60 */
    assert_false(http_text_equal(BYTES_LITERAL("["), BYTES_LITERAL("{")));
    assert_false(http_text_equal(BYTES_LITERAL("\xC3"), BYTES_LITERAL("\xE3")));
}

static void hosts_are_parsed_with_their_ports(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        int port;         /* -1: none */
    } rows[] = {
        {"a", "a", -1},
        {"example.com", "example.com", -1},
        {"example.com:", "example.com", -1},
        {"example.com:80", "example.com", 80},
        {"127.0.0.1:8470", "127.0.0.1", 8470},
        {"a:0", "a", 0},
        {"a:00080", "a", 80},
        {"a:65535", "a", 65535},
        {"[::1]", "[::1]", -1},
        {"[fe80::1.2.3.4]:1", "[fe80::1.2.3.4]", 1},
        {"a_b-c~d%20", "a_b-c~d%20", -1},
        {"", NULL, 0},
        {":80", NULL, 0},
        {"a:65536", NULL, 0},
        {"a:000080", NULL, 0},
        {"a:99999999999999999999", NULL, 0},
        {"a:b", NULL, 0},
        {"a:-1", NULL, 0},
        {"a: 1", NULL, 0},
        {"a:1:2", NULL, 0},
        {"a b", NULL, 0},
        {"a,b", NULL, 0},
        {"a/b", NULL, 0},
        {"a?b", NULL, 0},
        {"a#b", NULL, 0},
        {"u@a", NULL, 0},
        {"a\"", NULL, 0},
        {"\xC3\xA9", NULL, 0},
        {"[]", NULL, 0},
        {"[::1", NULL, 0},
        {"[::1]x", NULL, 0},
        {"[::1]x:1", NULL, 0},
        {"[::g%]", NULL, 0},
        {"::1", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_authority got = {0};
        const bool good = http_authority_parse(bytes_of_text(rows[i].text), &got);
        if (good != (rows[i].host != NULL)) {
            fail_msg("%s: %d", rows[i].text, good);
        }
        if (good) {
            assert_true(bytes_equal(got.host, bytes_of_text(rows[i].host)));
            assert_int_equal(got.has_port ? got.port : -1, rows[i].port);
        }
    }
}

static void a_field_lists_a_token_on_any_of_its_lines(void **state)
{
    (void)state;
    const struct http_field fields[] = {
        {BYTES_LITERAL("Connection"), BYTES_LITERAL("keep-alive, x")},
        {BYTES_LITERAL("Other"), BYTES_LITERAL("y")},
        {BYTES_LITERAL("CONNECTION"), BYTES_LITERAL("UpGrade")},
    };
    const struct http_request request = {.fields = fields, .field_count = 3};
    assert_true(http_field_lists(&request, "connection", "upgrade"));
    assert_true(http_field_lists(&request, "connection", "Keep-Alive"));
    assert_true(http_field_lists(&request, "connection", "x"));
    assert_false(http_field_lists(&request, "connection", "y"));
    assert_false(http_field_lists(&request, "connection", "keep"));
    assert_false(http_field_lists(&request, "upgrade", "websocket"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_made_of_tchar_alone),
        cmocka_unit_test(a_list_gives_its_elements_and_passes_over_empty_ones),
        cmocka_unit_test(text_is_compared_without_the_case_of_letters_only),
        cmocka_unit_test(hosts_are_parsed_with_their_ports),
        cmocka_unit_test(a_field_lists_a_token_on_any_of_its_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
