/* What the simulator's clients read answers with: every text here is read, or refused, as jansson
 * does it; jansson is the oracle for what is well-formed. */
#include "sim/value.h"

#include "base/bytes.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t copy[4096];

static const struct value *read_text(const char *text)
{
    const size_t size = strlen(text);
    assert_true(size < sizeof(copy));
    bytes_copy(copy, text, size + 1);
    return value_read(copy, size);
}

static void members_are_found_by_their_whole_name(void **state)
{
    (void)state;
    const struct value *object =
        read_text(" {\"a\" : 1 , \"ab\":[2,{\"a\":3}],\"b\":{\"a\":\"x\"},\"c\":true} ");
    assert_non_null(object);
    assert_int_equal(value_number(value_member(object, "a")), 1);
    assert_int_equal(value_count(value_member(object, "ab")), 2);
    assert_string_equal(value_text(value_member(value_member(object, "b"), "a")), "x");
    assert_true(value_is_true(value_member(object, "c")));
    assert_null(value_member(object, "ac"));
    assert_null(value_member(object, ""));
    assert_null(value_member(value_member(object, "a"), "a"));
    assert_null(value_member(NULL, "a"));
}

static void elements_come_in_their_order(void **state)
{
    (void)state;
    const struct value *array = read_text("[1,[2,2],{\"n\":3},\"4\",5]");
    static const uint64_t numbers[] = {1, 0, 0, 0, 5};
    const struct value *at = NULL;
    unsigned count = 0;
    while ((at = value_next(array, at)) != NULL) {
        assert_int_equal(value_number(at), numbers[count++]);
    }
    assert_int_equal(count, 5);
    assert_null(value_next(read_text("[]"), NULL));
    assert_null(value_next(read_text("{}"), NULL));
}

static void numbers_are_exact_or_of_another_kind(void **state)
{
    (void)state;
    assert_true(value_number(read_text("18446744073709551615")) == UINT64_MAX);
    assert_int_equal(read_text("18446744073709551616")->type, VALUE_OTHER);
    assert_int_equal(read_text("9007199254740993")->number, 9007199254740993);
    assert_int_equal(read_text("-1")->type, VALUE_OTHER);
    assert_int_equal(read_text("1.0")->type, VALUE_OTHER);
    assert_int_equal(read_text("1e3")->type, VALUE_OTHER);
    assert_int_equal(value_number(read_text("\"7\"")), 0);
    assert_null(read_text("01"));
}

static void escapes_mean_what_they_say(void **state)
{
    (void)state;
    const struct value *value =
        read_text("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\uDE00z\"");
    assert_non_null(value);
    assert_string_equal(value_text(value), "\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z");
    assert_int_equal(value->size, strlen(value_text(value)));
}

static void a_member_that_is_repeated_is_refused(void **state)
{
    (void)state;
    assert_null(read_text("{\"a\":1,\"a\":1}"));
    assert_null(read_text("{\"a\":1,\"b\":{},\"\\u0061\":1}"));
    assert_non_null(read_text("{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":1}]}"));
}

/* Every text, and each of its mutants of one byte, is good exactly if jansson says so. */
static void agree(const char *text)
{
    const size_t size = strlen(text);
    static const char bytes[] =
        "{}[]\",:\\ \n0123456789.-+eEtrufalsn\x01\x1f\x7f\x80\xC3\xA9\xE2\xFF";
    for (size_t at = 0; at <= size; at++) {
        for (size_t b = 0; b + 1 < sizeof(bytes); b++) {
            uint8_t changed[256];
            bytes_copy(changed, text, size);
            changed[at < size ? at : 0] = at < size ? (uint8_t)bytes[b] : (uint8_t)text[0];
            json_t *right = json_loadb((const char *)changed, size,
                                       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
            uint8_t before[256];
            bytes_copy(before, changed, size);
            const struct value *value = value_read(changed, size);
            if ((right != NULL) != (value != NULL)) {
                fail_msg("%.*s is %s", (int)size, (const char *)before,
                         value == NULL ? "refused" : "taken");
            }
            json_decref(right);
        }
    }
}

static void what_is_well_formed_is_what_another_parser_says(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"type\":\"message\",\"seq\":12,\"data\":{\"p\":1,\"x\":\"aaaaaaaaaaaaaaaaaaaa\"}}",
        "[true,false,null,-0,1,10.25,2E-2,\"\",[],{}]",
        "\"\\u00e9 \xC3\xA9 \\n\"",
        "{\"a\":[[[1]]],\"b\":\"\\ud83d\\ude00\"}",
        "  {}  ",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        agree(texts[i]);
    }
}

static void what_is_nested_too_deeply_is_refused(void **state)
{
    (void)state;
    char text[200] = "";
    for (unsigned i = 0; i < 32; i++) {
        text[i] = '[';
        text[63 - i] = ']';
    }
    text[31] = '[';
    text[32] = ']';
    assert_non_null(read_text(text));
    char deeper[210];
    (void)snprintf(deeper, sizeof(deeper), "[[%s]]", text);
    assert_null(read_text(deeper));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_by_their_whole_name),
        cmocka_unit_test(elements_come_in_their_order),
        cmocka_unit_test(numbers_are_exact_or_of_another_kind),
        cmocka_unit_test(escapes_mean_what_they_say),
        cmocka_unit_test(a_member_that_is_repeated_is_refused),
        cmocka_unit_test(what_is_well_formed_is_what_another_parser_says),
        cmocka_unit_test(what_is_nested_too_deeply_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
