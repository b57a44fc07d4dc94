/* wire/json: the strict scanner.
 * Goal: it accepts RFC 8259 and nothing else, hands on exact spans, and bounds its depth.
 * Method: tables of good and bad texts, and mutations of real documents judged by jansson. */
#include "wire/json.h"

#include "base/mem.h"
#include "base/prng.h"
#include "json_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Scans a copy that ends exactly where the text does, so that the sanitizer sees a read behind. */
static enum rc scan(struct bytes text, struct json_value *ret_value, size_t *ret_offset)
{
    uint8_t *copy = mem_alloc(text.size + 1);
    assert_non_null(copy);
    uint8_t *at = copy + 1; /* and at an odd address */
    bytes_copy(at, text.data, text.size);
    struct json_value value = {0};
    const enum rc rc = json_scan_text(bytes_of(at, text.size), &value);
    if (rc == RC_OK) {
        *ret_offset = (size_t)(value.raw.data - at);
        value.raw.data = text.data + *ret_offset;
        *ret_value = value;
    }
    mem_free(copy);
    return rc;
}

static void good_texts_are_accepted_with_their_kind_and_span(void **state)
{
    static const struct {
        const char *text;
        enum json_kind kind;
        const char *raw;
    } good[] = {
        {"{}", JSON_KIND_OBJECT, "{}"},
        {"[]", JSON_KIND_ARRAY, "[]"},
        {" \t\r\n[ ]\n", JSON_KIND_ARRAY, "[ ]"},
        {" {\"a\" : 1 , \"b\":[true,false,null]} ", JSON_KIND_OBJECT,
         "{\"a\" : 1 , \"b\":[true,false,null]}"},
        {"true", JSON_KIND_TRUE, "true"},
        {"false ", JSON_KIND_FALSE, "false"},
        {" null", JSON_KIND_NULL, "null"},
        {"0", JSON_KIND_NUMBER, "0"},
        {"-0", JSON_KIND_NUMBER, "-0"},
        {"-0.0e-0", JSON_KIND_NUMBER, "-0.0e-0"},
        {"10", JSON_KIND_NUMBER, "10"},
        {"1E+2", JSON_KIND_NUMBER, "1E+2"},
        {"1.25e9", JSON_KIND_NUMBER, "1.25e9"},
        {"1e999", JSON_KIND_NUMBER, "1e999"},
        {"\"\"", JSON_KIND_STRING, "\"\""},
        {"\"a\\\"b\\\\\"", JSON_KIND_STRING, "\"a\\\"b\\\\\""},
        {"\"\\b\\f\\n\\r\\t\\/\\u00e9\"", JSON_KIND_STRING, "\"\\b\\f\\n\\r\\t\\/\\u00e9\""},
        {"\"\\ud800\"", JSON_KIND_STRING, "\"\\ud800\""},
        {"\"\x7f\"", JSON_KIND_STRING, "\"\x7f\""},
        {"\"\xc3\xa9\xe2\x80\xa8\"", JSON_KIND_STRING, "\"\xc3\xa9\xe2\x80\xa8\""},
        {"{\"a\":1,\"a\":2}", JSON_KIND_OBJECT, "{\"a\":1,\"a\":2}"},
        {"{\"\":{\"\":{}}}", JSON_KIND_OBJECT, "{\"\":{\"\":{}}}"},
        {"[[],[[]],{},{\"a\":[]}]", JSON_KIND_ARRAY, "[[],[[]],{},{\"a\":[]}]"},
        {"\"0123456789abcdef0123456789abcdef\"", JSON_KIND_STRING,
         "\"0123456789abcdef0123456789abcdef\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct json_value value;
        size_t offset;
        assert_int_equal(scan(bytes_of_text(good[i].text), &value, &offset), RC_OK);
        assert_int_equal(value.kind, good[i].kind);
        assert_true(bytes_equal(value.raw, bytes_of_text(good[i].raw)));
        assert_false(value.too_deep);
    }
}

static const struct bytes bad_texts[] = {
    /* Of the twenty malformed inputs on which JSON libraries were compared those that the grammar
     * forbids; the rest (bad UTF-8, lone surrogates, 1e999, repeated members) are others' duty. */
    BYTES_LITERAL("nul"),
    BYTES_LITERAL("[1,]"),
    BYTES_LITERAL("{\"a\":1,}"),
    BYTES_LITERAL("\"\\x\""),
    BYTES_LITERAL("01"),
    BYTES_LITERAL("1."),
    BYTES_LITERAL(".5"),
    BYTES_LITERAL("+1"),
    BYTES_LITERAL("NaN"),
    BYTES_LITERAL("Infinity"),
    BYTES_LITERAL("'a'"),
    BYTES_LITERAL("{a:1}"),
    BYTES_LITERAL("\"\t\""),
    BYTES_LITERAL("[1 2]"),
    BYTES_LITERAL("{} x"),
    BYTES_LITERAL("/*c*/{}"),
    BYTES_LITERAL("[1"),
    BYTES_LITERAL("\"abc"),
    BYTES_LITERAL("{\"a\" 1}"),
    BYTES_LITERAL("\"\\u12g4\""),
    /* and more of the kind */
    BYTES_LITERAL(""),
    BYTES_LITERAL(" "),
    BYTES_LITERAL("\n\n"),
    BYTES_LITERAL("{"),
    BYTES_LITERAL("}"),
    BYTES_LITERAL("["),
    BYTES_LITERAL("]"),
    BYTES_LITERAL(","),
    BYTES_LITERAL(":"),
    BYTES_LITERAL("[}"),
    BYTES_LITERAL("{]"),
    BYTES_LITERAL("[[]"),
    BYTES_LITERAL("[]]"),
    BYTES_LITERAL("{}}"),
    BYTES_LITERAL("[,]"),
    BYTES_LITERAL("[,1]"),
    BYTES_LITERAL("[1,,2]"),
    BYTES_LITERAL("{,}"),
    BYTES_LITERAL("{\"a\"}"),
    BYTES_LITERAL("{\"a\":}"),
    BYTES_LITERAL("{\"a\":1 \"b\":2}"),
    BYTES_LITERAL("{\"a\":1,,}"),
    BYTES_LITERAL("{1:1}"),
    BYTES_LITERAL("{null:1}"),
    BYTES_LITERAL("{\"a\"::1}"),
    BYTES_LITERAL("{\"a\":1:2}"),
    BYTES_LITERAL("[\"a\":1]"),
    BYTES_LITERAL("{\"a\",1}"),
    BYTES_LITERAL("-"),
    BYTES_LITERAL("--1"),
    BYTES_LITERAL("-a"),
    BYTES_LITERAL("00"),
    BYTES_LITERAL("-01"),
    BYTES_LITERAL("1e"),
    BYTES_LITERAL("1e+"),
    BYTES_LITERAL("1e-"),
    BYTES_LITERAL("1.e1"),
    BYTES_LITERAL("1.1.1"),
    BYTES_LITERAL("1e1e1"),
    BYTES_LITERAL("0x1"),
    BYTES_LITERAL("1_0"),
    BYTES_LITERAL("1 1"),
    BYTES_LITERAL("True"),
    BYTES_LITERAL("tru"),
    BYTES_LITERAL("truex"),
    BYTES_LITERAL("fals"),
    BYTES_LITERAL("nulll"),
    BYTES_LITERAL("undefined"),
    BYTES_LITERAL("\"\n\""),
    BYTES_LITERAL("\"a\0b\""),
    BYTES_LITERAL("\0"),
    BYTES_LITERAL("[ -0\0 ]"),
    BYTES_LITERAL("{}\0"),
    BYTES_LITERAL("\"\x1f\""),
    BYTES_LITERAL("\""),
    BYTES_LITERAL("\"\\\""),
    BYTES_LITERAL("\"\\"),
    BYTES_LITERAL("\"\\u"),
    BYTES_LITERAL("\"\\u1\""),
    BYTES_LITERAL("\"\\u123\""),
    BYTES_LITERAL("\"\\u123"),
    BYTES_LITERAL("\"\\U0041\""),
    BYTES_LITERAL("\"\\'\""),
    BYTES_LITERAL("\"\\0\""),
    BYTES_LITERAL("\"\\a\""),
    BYTES_LITERAL("\"\\v\""),
    BYTES_LITERAL("\"a\"\"b\""),
    BYTES_LITERAL("\xef\xbb\xbf{}"),
    BYTES_LITERAL("\f{}"),
    BYTES_LITERAL("\v{}"),
    BYTES_LITERAL("\xc2\xa0{}"),
    BYTES_LITERAL("{}//"),
    BYTES_LITERAL("#\n{}"),
    BYTES_LITERAL("\"0123456789abcdef\x01\""),
    BYTES_LITERAL("\"0123456789abcdef\\q\""),
    BYTES_LITERAL("[\"0123456789abcdef"),
};

static void bad_texts_are_refused_and_jansson_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_texts); i++) {
        struct json_value value;
        size_t offset;
        assert_int_equal(scan(bad_texts[i], &value, &offset), RC_BAD);
        assert_int_equal(oracle_verdict(bad_texts[i]), ORACLE_BAD);
    }
}

static void a_refusal_says_where_and_what_was_expected(void **state)
{
    static const struct {
        const char *text;
        size_t offset;
        const char *expected;
    } cases[] = {
        {"{\"a\":nul}", 5, "a value"},
        {"{\"a\":1,}", 7, "a member's name"},
        {"[1 2]", 3, "a comma or ']'"},
        {"{\"a\" 1}", 5, "a colon"},
        {"\"a\nb\"", 2, "an escape in place of a control character"},
        {"[\"\\q\"]", 2, "a valid escape"},
        {"[1.x]", 3, "a digit"},
        {"{} {}", 3, "the end of the text"},
        {"[\"abc", 5, "the rest of a string"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_scan s;
        struct json_value value;
        json_scan_init(&s, bytes_of_text(cases[i].text));
        enum rc rc = json_scan_value(&s, &value);
        if (rc == RC_OK) {
            rc = json_scan_end(&s);
        }
        assert_int_equal(rc, RC_BAD);
        assert_int_equal(json_scan_offset(&s), cases[i].offset);
        assert_string_equal(json_scan_expected(&s), cases[i].expected);
    }
}

/* `count` levels of arrays (or objects) around 1, then `tail`. */
static struct bytes nested(struct buf *to, unsigned count, bool object, const char *tail)
{
    buf_clear(to);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(buf_append(to, bytes_of_text(object ? "{\"a\":" : "[")), RC_OK);
    }
    assert_int_equal(buf_append(to, bytes_of_text("1")), RC_OK);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(buf_append(to, bytes_of_text(object ? "}" : "]")), RC_OK);
    }
    assert_int_equal(buf_append(to, bytes_of_text(tail)), RC_OK);
    return buf_bytes(to);
}

static void depth_is_bounded_and_a_value_too_deep_is_skipped_whole(void **state)
{
    struct buf text = {0};
    struct json_value value;
    size_t offset;
    (void)state;
    for (int object = 0; object < 2; object++) {
        assert_int_equal(scan(nested(&text, JSON_DEPTH_MAX, object, ""), &value, &offset), RC_OK);
        assert_false(value.too_deep);
        assert_int_equal(scan(nested(&text, JSON_DEPTH_MAX + 1, object, " "), &value, &offset),
                         RC_OK);
        assert_true(value.too_deep);
        assert_int_equal(value.raw.size, text.size - 1);
        assert_int_equal(scan(nested(&text, 100000, object, ""), &value, &offset), RC_OK);
        assert_true(value.too_deep);
        assert_int_equal(scan(nested(&text, JSON_DEPTH_MAX, object, "]"), &value, &offset), RC_BAD);
        /* cut short, at both sides of the limit */
        nested(&text, JSON_DEPTH_MAX + 2, object, "");
        for (size_t cut = 1; cut < text.size; cut += 7) {
            assert_int_equal(scan(bytes_of(text.data, text.size - cut), &value, &offset), RC_BAD);
        }
    }
    buf_deinit(&text);
}

static void brackets_in_strings_do_not_count_in_a_value_too_deep(void **state)
{
    struct buf text = {0};
    struct json_value value;
    (void)state;
    for (unsigned i = 0; i <= JSON_DEPTH_MAX; i++) {
        assert_int_equal(buf_append(&text, BYTES_LITERAL("[")), RC_OK);
    }
    assert_int_equal(buf_append(&text, BYTES_LITERAL("\"]]\\\"]\"")), RC_OK);
    for (unsigned i = 0; i <= JSON_DEPTH_MAX; i++) {
        assert_int_equal(buf_append(&text, BYTES_LITERAL("]")), RC_OK);
    }
    assert_int_equal(json_scan_text(buf_bytes(&text), &value), RC_OK);
    assert_true(value.too_deep);
    assert_int_equal(value.raw.size, text.size);
    buf_deinit(&text);
}

static void a_bad_string_in_a_value_too_deep_is_refused(void **state)
{
    static const char *const strings[] = {"\"\\x\"", "\"\n\"", "\"\\u12g4\"", "\"no end"};
    (void)state;
    for (size_t k = 0; k < COUNT(strings); k++) {
        struct buf text = {0};
        struct json_value value;
        for (unsigned i = 0; i <= JSON_DEPTH_MAX; i++) {
            assert_int_equal(buf_append(&text, BYTES_LITERAL("[")), RC_OK);
        }
        assert_int_equal(buf_append(&text, bytes_of_text(strings[k])), RC_OK);
        for (unsigned i = 0; i <= JSON_DEPTH_MAX; i++) {
            assert_int_equal(buf_append(&text, BYTES_LITERAL("]")), RC_OK);
        }
        assert_int_equal(json_scan_text(buf_bytes(&text), &value), RC_BAD);
        buf_deinit(&text);
    }
}

static void no_text_at_all_is_no_value(void **state)
{
    struct json_scan s;
    struct json_value value;
    (void)state;
    assert_int_equal(json_scan_text((struct bytes){0}, &value), RC_BAD);
    assert_int_equal(json_scan_text(BYTES_LITERAL(""), &value), RC_BAD);
    json_scan_init(&s, (struct bytes){0});
    assert_int_equal(json_scan_peek(&s), 0);
    assert_int_equal(json_scan_open(&s, '{'), RC_BAD);
    assert_int_equal(json_scan_offset(&s), 0);
    assert_int_equal(json_scan_end(&s), RC_OK);
}

static void a_member_without_name_colon_or_comma_is_refused_where_it_is(void **state)
{
    static const struct {
        const char *text; /* behind an opening brace */
        bool first;
        size_t offset;
    } cases[] = {
        {"1:2}", true, 0},      {"\"a}", true, 3},   {"\"a\\q\":1}", true, 2},
        {"\"a\" 1}", true, 4},  {"\"a\"", true, 3},  {"", true, 0},
        {"\"a\":1}", false, 0}, {",1:2}", false, 1}, {",\"a\"}", false, 4},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_scan s;
        struct json_value name = {.kind = JSON_KIND_NULL};
        json_scan_init(&s, bytes_of_text(cases[i].text));
        assert_int_equal(json_scan_member(&s, cases[i].first, &name), RC_BAD);
        assert_int_equal(json_scan_offset(&s), cases[i].offset);
        assert_int_equal(name.kind, JSON_KIND_NULL); /* untouched */
    }
}

static void members_and_elements_are_walked_in_order(void **state)
{
    struct json_scan s;
    struct json_value name;
    struct json_value value;
    (void)state;
    json_scan_init(&s, BYTES_LITERAL(" { \"a\" : [ 1 , \"x\" ] , \"b\\u0021\":{} } "));
    assert_int_equal(json_scan_open(&s, '['), RC_BAD);
    assert_int_equal(json_scan_open(&s, '{'), RC_OK);
    assert_int_equal(json_scan_member(&s, true, &name), RC_OK);
    assert_true(bytes_equal(json_string_inner(&name), BYTES_LITERAL("a")));
    assert_false(name.escaped);
    assert_int_equal(json_scan_peek(&s), '[');
    assert_int_equal(json_scan_open(&s, '['), RC_OK);
    assert_int_equal(json_scan_element(&s, true), RC_OK);
    assert_int_equal(json_scan_value(&s, &value), RC_OK);
    assert_true(bytes_equal(value.raw, BYTES_LITERAL("1")));
    assert_int_equal(json_scan_element(&s, false), RC_OK);
    assert_int_equal(json_scan_value(&s, &value), RC_OK);
    assert_true(bytes_equal(value.raw, BYTES_LITERAL("\"x\"")));
    assert_int_equal(json_scan_element(&s, false), RC_END);
    assert_int_equal(json_scan_member(&s, false, &name), RC_OK);
    assert_true(name.escaped);
    assert_int_equal(json_scan_value(&s, &value), RC_OK);
    assert_int_equal(value.kind, JSON_KIND_OBJECT);
    assert_int_equal(json_scan_member(&s, false, &name), RC_END);
    assert_int_equal(json_scan_end(&s), RC_OK);
    assert_int_equal(json_scan_peek(&s), 0);
}

static void strings_are_unescaped_to_utf8(void **state)
{
    static const struct {
        const char *text;
        struct bytes plain;
    } cases[] = {
        {"\"\"", BYTES_LITERAL("")},
        {"\"plain\"", BYTES_LITERAL("plain")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", BYTES_LITERAL("\"\\/\b\f\n\r\t")},
        {"\"a\\u0000b\"", BYTES_LITERAL("a\0b")},
        {"\"\\u007F\\u0080\\u07ff\\u0800\\uFFFF\"",
         BYTES_LITERAL("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")},
        {"\"\\ud83d\\ude00!\"", BYTES_LITERAL("\xf0\x9f\x98\x80!")},
        {"\"\\uD800\\uDC00\\uDBFF\\uDFFF\"", BYTES_LITERAL("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
        {"\"0123456789abcdef\\n0123456789abcdef\"",
         BYTES_LITERAL("0123456789abcdef\n0123456789abcdef")},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_value value;
        uint8_t plain[64];
        size_t size;
        assert_int_equal(json_scan_text(bytes_of_text(cases[i].text), &value), RC_OK);
        assert_true(json_unescape(&value, plain, &size));
        assert_true(bytes_equal(bytes_of(plain, size), cases[i].plain));
    }
}

static void lone_surrogates_do_not_unescape(void **state)
{
    static const char *const cases[] = {
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\ud800 and more\"",
        "\"\\ud800\\n and more\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800\\ue000\"",
        "\"\\udc00\\ud800\"",
        "\"x\\udbff\"",
        "\"\\ud83d\\\\ude00\"",
        "\"\\ud83d\\ude00\\udfff\"",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_value value;
        uint8_t plain[64];
        size_t size = 77;
        assert_int_equal(json_scan_text(bytes_of_text(cases[i]), &value), RC_OK);
        assert_true(value.escaped);
        assert_false(json_unescape(&value, plain, &size));
        assert_int_equal(size, 77);
    }
}

static void integers_are_plain_and_exact_in_a_double(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0}, {"7", 7}, {"42", 42}, {"9007199254740991", 9007199254740991u}};
    static const char *const bad[] = {
        "-1",
        "-0",
        "1.0",
        "1e3",
        "1E0",
        "0.0",
        "9007199254740992",
        "10000000000000000",
        "1e-1",
        "0e0",
        "1.5",
        "\"1\"",
        "true",
        "null",
        "[1]",
        "99999999999999999999999999999999",
    };
    struct json_value value;
    uint64_t integer = 99;
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(json_scan_text(bytes_of_text(good[i].text), &value), RC_OK);
        assert_true(json_scan_integer(&value, &integer));
        assert_true(integer == good[i].value);
    }
    integer = 99;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(json_scan_text(bytes_of_text(bad[i]), &value), RC_OK);
        assert_false(json_scan_integer(&value, &integer));
        assert_int_equal(integer, 99);
    }
}

/* ---- against jansson ------------------------------------------------------------------------- */

static const char *const seeds[] = {
    "{\"type\":\"publish\",\"id\":7,\"channel\":\"orders\",\"data\":{\"n\":1},\"key\":\"customer-"
    "9\","
    "\"producer_seq\":41}",
    "{\"a\":[1,-2.5e+10,0.1E-3,true,false,null,\"x\\u00e9\\n\\\"\",{\"b\":{}}], \"c\" : [] }",
    "[\"\\ud83d\\ude00\",\"\\\\\",\"0123456789abcdef0123456789abcdef\",[[[[]]]],{\"\":\"\"}]",
    " [ 0 , -0 , 10 , 1e5 , 12345678901234567890 , \"a\tb\" ] ",
};

/* One to three random edits: a byte changed, inserted, removed, or a piece doubled or cut off. */
static void mutate(struct prng *prng, struct buf *text)
{
    static const char alphabet[] = "{}[]:,\"\\/ \n\t0123456789-+.eEutrfalsn\x01\x7f\xc3\xa9";
    const uint64_t edit_count = 1 + prng_below(prng, 3);
    for (uint64_t i = 0; i < edit_count && text->size > 0; i++) {
        const size_t at = (size_t)prng_below(prng, text->size);
        const uint8_t c = (uint8_t)alphabet[prng_below(prng, sizeof(alphabet) - 1)];
        assert_int_equal(buf_reserve(text, 1), RC_OK);
        switch (prng_below(prng, 4)) {
        case 0: text->data[at] = c; break;
        case 1:
            bytes_move(text->data + at + 1, text->data + at, text->size - at);
            text->data[at] = c;
            text->size++;
            break;
        case 2:
            bytes_move(text->data + at, text->data + at + 1, text->size - at - 1);
            text->size--;
            break;
        default:
            if (prng_below(prng, 8) == 0) {
                text->size = at;
            } else {
                text->data[at] = text->data[prng_below(prng, text->size)];
            }
            break;
        }
    }
}

static void the_verdict_on_mutated_documents_is_that_of_jansson(void **state)
{
    struct prng prng;
    struct buf text = {0};
    unsigned good_count = 0;
    unsigned bad_count = 0;
    (void)state;
    prng.state = 0x5e71a7;
    for (unsigned i = 0; i < 40000; i++) {
        buf_clear(&text);
        assert_int_equal(buf_append(&text, bytes_of_text(seeds[i % COUNT(seeds)])), RC_OK);
        mutate(&prng, &text);
        struct json_value value;
        size_t offset;
        const enum rc rc = scan(buf_bytes(&text), &value, &offset);
        const enum oracle oracle = oracle_verdict(buf_bytes(&text));
        if (oracle != ORACLE_UNKNOWN && (rc == RC_OK) != (oracle == ORACLE_GOOD)) {
            print_error("differs (ours %s): %.*s\n", rc_name(rc), (int)text.size,
                        (const char *)text.data);
            fail();
        }
        good_count += oracle == ORACLE_GOOD;
        bad_count += oracle == ORACLE_BAD;
    }
    assert_true(good_count > 2000 && bad_count > 2000); /* both verdicts were really compared */
    buf_deinit(&text);
}

static void every_prefix_of_a_document_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct bytes whole = bytes_of_text(seeds[i]);
        struct json_value value;
        size_t offset;
        size_t end = whole.size;
        while (whole.data[end - 1] == ' ') {
            end--;
        }
        for (size_t size = 0; size < end; size++) {
            assert_int_equal(scan(bytes_of(whole.data, size), &value, &offset), RC_BAD);
        }
        assert_int_equal(scan(whole, &value, &offset), RC_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_are_accepted_with_their_kind_and_span),
        cmocka_unit_test(bad_texts_are_refused_and_jansson_agrees),
        cmocka_unit_test(a_refusal_says_where_and_what_was_expected),
        cmocka_unit_test(depth_is_bounded_and_a_value_too_deep_is_skipped_whole),
        cmocka_unit_test(brackets_in_strings_do_not_count_in_a_value_too_deep),
        cmocka_unit_test(a_bad_string_in_a_value_too_deep_is_refused),
        cmocka_unit_test(no_text_at_all_is_no_value),
        cmocka_unit_test(a_member_without_name_colon_or_comma_is_refused_where_it_is),
        cmocka_unit_test(members_and_elements_are_walked_in_order),
        cmocka_unit_test(strings_are_unescaped_to_utf8),
        cmocka_unit_test(lone_surrogates_do_not_unescape),
        cmocka_unit_test(integers_are_plain_and_exact_in_a_double),
        cmocka_unit_test(the_verdict_on_mutated_documents_is_that_of_jansson),
        cmocka_unit_test(every_prefix_of_a_document_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
