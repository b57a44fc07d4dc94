/* client/pushed: the quick way and the strict one give the same; what the quick one does not know
 * it leaves to the other; what neither takes is no message.
 * Method: one good message, changed at one place, in each way that matters. */
#include "client/pushed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define HEAD      "{\"type\":\"message\",\"channel\":\"c\",\"seq\":"
#define LONG_NAME 255u

/* Which of the two take a text. */
enum taken {
    BY_BOTH,
    BY_STRICT,
    BY_NEITHER,
};

static bool same(const struct pushed *quick, const struct pushed *strict)
{
    /* The quick one leaves the end of the data to its caller. */
    return quick->seq == strict->seq && quick->time == strict->time &&
           quick->producer_seq == strict->producer_seq &&
           bytes_equal(quick->message_id, strict->message_id) &&
           bytes_equal(quick->producer, strict->producer) && bytes_equal(quick->key, strict->key) &&
           quick->has_key == strict->has_key && quick->data.size == strict->data.size + 1 &&
           memcmp(quick->data.data, strict->data.data, strict->data.size) == 0;
}

static void expect(const char *text, enum taken taken)
{
    struct client_message message;
    struct pushed_room room;
    struct pushed quick = {0};
    struct pushed strict = {0};
    const bool by_quick = pushed_quick(bytes_of_text(text), BYTES_LITERAL(HEAD), &quick);
    const bool good = client_message_parse(bytes_of_text(text), &message) == RC_OK;
    const bool by_strict = good && pushed_from(&message, &room, &strict);
    if (by_quick != (taken == BY_BOTH) || by_strict != (taken != BY_NEITHER)) {
        print_error("quick %d, strict %d: %s\n", by_quick, by_strict, text);
        fail();
    }
    assert_true(!by_quick || same(&quick, &strict));
}

static void the_usual_order_is_taken_quickly_and_any_other_strictly(void **state)
{
    (void)state;
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"key\":\"k\",\"producer\":\"p\","
                "\"producer_seq\":7,\"data\":{\"n\":[1]}}",
           BY_BOTH);
    expect(HEAD "43,\"message_id\":\"\",\"time\":0,\"producer\":\"p\",\"producer_seq\":7,"
                "\"data\":1}",
           BY_BOTH);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"key\":\"\",\"producer\":\"p\","
                "\"producer_seq\":7,\"data\":1}",
           BY_BOTH);
    expect("{\"type\":\"message\", \"channel\":\"c\",\"seq\":43,\"message_id\":\"m\",\"time\":5,"
           "\"producer\":\"p\",\"producer_seq\":7,\"data\":1}",
           BY_STRICT);
    expect("{\"data\":1,\"type\":\"message\",\"time\":5,\"message_id\":\"m\",\"seq\":43}",
           BY_STRICT);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"data\":1}", BY_STRICT);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"producer\":\"p\",\"data\":1}", BY_STRICT);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"producer\":\"p\",\"producer_seq\":7,"
                "\"key\":\"k\",\"data\":1}",
           BY_STRICT);
}

/* [P 2] integers are plain digits, up to 2^53 - 1. */
static void numbers_are_those_of_the_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *number;
        enum taken as_seq;
        enum taken as_time;
    } cases[] = {
        {"1", BY_BOTH, BY_BOTH},
        {"0", BY_NEITHER, BY_BOTH},
        {"9007199254740991", BY_BOTH, BY_BOTH},
        {"9007199254740992", BY_NEITHER, BY_NEITHER},
        {"90071992547409910", BY_NEITHER, BY_NEITHER},
        {"900719925474099100", BY_NEITHER, BY_NEITHER},
        {"18446744073709551617", BY_NEITHER, BY_NEITHER},
        {"01", BY_NEITHER, BY_NEITHER},
        {"-1", BY_NEITHER, BY_NEITHER},
        {"1.0", BY_NEITHER, BY_NEITHER},
        {"1e3", BY_NEITHER, BY_NEITHER},
        {"1 ", BY_STRICT, BY_STRICT},
        {" 1", BY_STRICT, BY_STRICT},
        {"\"1\"", BY_NEITHER, BY_NEITHER},
        {"", BY_NEITHER, BY_NEITHER},
        {"null", BY_NEITHER, BY_NEITHER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[300];
        (void)snprintf(text, sizeof(text),
                       HEAD "%s,\"message_id\":\"m\",\"time\":5,\"producer\":\"p\","
                            "\"producer_seq\":7,\"data\":1}",
                       cases[i].number);
        expect(text, cases[i].as_seq);
        (void)snprintf(text, sizeof(text),
                       HEAD "5,\"message_id\":\"m\",\"time\":%s,\"producer\":\"p\","
                            "\"producer_seq\":7,\"data\":1}",
                       cases[i].number);
        expect(text, cases[i].as_time);
        (void)snprintf(text, sizeof(text),
                       HEAD "5,\"message_id\":\"m\",\"time\":5,\"producer\":\"p\","
                            "\"producer_seq\":%s,\"data\":1}",
                       cases[i].number);
        expect(text, cases[i].as_time);
    }
}

static void names_are_short_strings_with_any_escapes(void **state)
{
    (void)state;
    static char longest[LONG_NAME + 1];
    static char too_long[LONG_NAME + 3];
    for (size_t i = 0; i < LONG_NAME + 2; i++) {
        too_long[i] = 'x';
        longest[i < LONG_NAME ? i : LONG_NAME] = i < LONG_NAME ? 'x' : '\0';
    }
    const struct {
        const char *name;
        const char *shape; /* how it is written */
        enum taken taken;
    } cases[] = {
        {"m", "\"%s\"", BY_BOTH},
        {longest, "\"%s\"", BY_BOTH},
        {"\\u006d", "\"%s\"", BY_STRICT},
        {"\\ud83d\\ude00", "\"%s\"", BY_STRICT},
        {"\\ud800", "\"%s\"", BY_NEITHER},
        {too_long, "\"%s\"", BY_STRICT},
        {too_long, "\"\\u0041%s\"", BY_NEITHER},
        {"m", "%s", BY_NEITHER},
        {"5", "%s", BY_NEITHER},
        {"null", "%s", BY_NEITHER},
        {"\x01", "\"%s\"", BY_NEITHER},
    };
    static const char *const places[] = {
        HEAD "5,\"message_id\":%s,\"time\":5,\"key\":\"k\",\"producer\":\"p\","
             "\"producer_seq\":7,\"data\":1}",
        HEAD "5,\"message_id\":\"m\",\"time\":5,\"key\":%s,\"producer\":\"p\","
             "\"producer_seq\":7,\"data\":1}",
        HEAD "5,\"message_id\":\"m\",\"time\":5,\"key\":\"k\",\"producer\":%s,"
             "\"producer_seq\":7,\"data\":1}",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t place = 0; place < 3; place++) {
            char name[400];
            char text[800];
            (void)snprintf(name, sizeof(name), cases[i].shape, cases[i].name);
            (void)snprintf(text, sizeof(text), places[place], name);
            expect(text, cases[i].taken);
        }
    }
}

static void what_lacks_a_member_is_no_message(void **state)
{
    (void)state;
    expect("{\"type\":\"message\",\"message_id\":\"m\",\"time\":5,\"data\":1}", BY_NEITHER);
    expect(HEAD "5,\"time\":5,\"data\":1}", BY_NEITHER);
    expect(HEAD "5,\"message_id\":\"m\",\"data\":1}", BY_NEITHER);
    expect(HEAD "5,\"message_id\":\"m\",\"time\":5}", BY_NEITHER);
    expect(HEAD "5,\"message_id\":\"m\",\"time\":5,\"data_base64\":\"\"}", BY_NEITHER);
    expect(HEAD "5,\"message_id\":\"m\",\"time\":5,\"data\":1,\"data_base64\":\"\"}", BY_NEITHER);
}

/* Whatever is cut off, the quick way reads no further than there is. */
static void no_part_of_a_message_is_taken_for_one(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "43,\"message_id\":\"m\",\"time\":5,\"key\":\"k\",\"producer\":\"p\","
             "\"producer_seq\":7,\"data\":";
    for (size_t size = 0; size < sizeof(text) - 1; size++) {
        struct pushed pushed = {.seq = 77};
        uint8_t *copy = size == 0 ? NULL : test_malloc(size); /* a sanitizer sees its end */
        bytes_copy(copy, text, size);
        assert_false(pushed_quick(bytes_of(copy, size), BYTES_LITERAL(HEAD), &pushed));
        assert_int_equal(pushed.seq, 77);
        test_free(copy);
    }
}

static void numbers_and_names_are_taken_one_by_one(void **state)
{
    (void)state;
    static const char text[] = "\"a\":12,\"b\":\"x\"}";
    const struct bytes all = bytes_of_text(text);
    uint64_t number = 0;
    struct bytes name;
    size_t at = 0;
    assert_false(pushed_take_number(all, &at, BYTES_LITERAL("\"b\":"), &number));
    assert_false(pushed_take_plain(all, &at, BYTES_LITERAL("\"a\":"), &name));
    assert_int_equal(at, 0); /* what is refused moves nothing */
    assert_true(pushed_take_number(all, &at, BYTES_LITERAL("\"a\":"), &number));
    assert_int_equal(number, 12);
    assert_true(pushed_take_plain(all, &at, BYTES_LITERAL(",\"b\":"), &name));
    assert_true(bytes_equal(name, BYTES_LITERAL("x")));
    assert_int_equal(at, all.size - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_order_is_taken_quickly_and_any_other_strictly),
        cmocka_unit_test(numbers_are_those_of_the_protocol),
        cmocka_unit_test(names_are_short_strings_with_any_escapes),
        cmocka_unit_test(what_lacks_a_member_is_no_message),
        cmocka_unit_test(no_part_of_a_message_is_taken_for_one),
        cmocka_unit_test(numbers_and_names_are_taken_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
