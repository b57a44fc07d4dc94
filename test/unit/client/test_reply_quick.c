/* client/reply_quick: the quick way and the strict one give the same; what the quick one does not
 * know it leaves to the other; what neither takes is no message.
 * Method: one good message, changed at one place, in each way that matters. */
#include "client/reply_quick.h"

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

static bool same(const struct reply *a, const struct reply *b)
{
    const struct reply_message *quick = &a->message;
    const struct reply_message *strict = &b->message;
    return a->type == b->type && a->id == b->id && bytes_equal(a->channel, b->channel) &&
           bytes_equal(quick->channel, strict->channel) && quick->seq == strict->seq &&
           quick->time_ms == strict->time_ms && quick->producer_seq == strict->producer_seq &&
           quick->message_id == strict->message_id &&
           bytes_equal(quick->id_text, strict->id_text) &&
           bytes_equal(quick->producer, strict->producer) && bytes_equal(quick->key, strict->key) &&
           quick->has_key == strict->has_key && quick->is_bytes == strict->is_bytes &&
           bytes_equal(quick->data, strict->data);
}

static void expect(const char *text, enum taken taken)
{
    static struct reply_room room;
    char spaced[1000];
    struct reply quick = {0};
    struct reply strict = {0};
    (void)snprintf(spaced, sizeof(spaced), " %s", text); /* which is for the strict way */
    assert_false(reply_quick(bytes_of_text(spaced), &quick));
    struct bytes rest = bytes_of_text(spaced);
    const bool by_strict = reply_take(WIRE_JSON, &rest, &room, &strict) == RC_OK;
    const bool by_quick = reply_quick(bytes_of_text(text), &quick);
    if (by_quick != (taken == BY_BOTH) || by_strict != (taken != BY_NEITHER)) {
        print_error("quick %d, strict %d: %s\n", by_quick, by_strict, text);
        fail();
    }
    assert_true(!by_quick || same(&quick, &strict));
    reply_room_deinit(&room);
    room = (struct reply_room){0};
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
    expect("{\"data\":1,\"type\":\"message\",\"time\":5,\"channel\":\"c\",\"message_id\":\"m\","
           "\"seq\":43}",
           BY_STRICT);
    expect(HEAD "43,\"message_id\":\"7\",\"time\":5,\"data\":1}", BY_BOTH);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"key\":\"k\",\"data\": [ ] }", BY_BOTH);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"producer\":\"p\",\"data\":1}", BY_STRICT);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"producer\":\"p\",\"producer_seq\":7,"
                "\"key\":\"k\",\"data\":1}",
           BY_STRICT);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"data\":1,\"more\":2}", BY_STRICT);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"data\":1,\"seq\":2}", BY_NEITHER);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"data\":1}}", BY_NEITHER);
    expect(HEAD "43,\"message_id\":\"m\",\"time\":5,\"data\":1} ", BY_STRICT);
}

/* [P 2] integers are plain digits, up to 2^53 - 1. What is none is as good as not there. */
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
        {"9007199254740992", BY_NEITHER, BY_STRICT},
        {"90071992547409910", BY_NEITHER, BY_STRICT},
        {"900719925474099100", BY_NEITHER, BY_STRICT},
        {"18446744073709551617", BY_NEITHER, BY_STRICT},
        {"01", BY_NEITHER, BY_NEITHER},
        {"-1", BY_NEITHER, BY_STRICT},
        {"1.0", BY_NEITHER, BY_STRICT},
        {"1e3", BY_NEITHER, BY_STRICT},
        {"1 ", BY_STRICT, BY_STRICT},
        {" 1", BY_STRICT, BY_STRICT},
        {"\"1\"", BY_NEITHER, BY_STRICT},
        {"", BY_NEITHER, BY_NEITHER},
        {"null", BY_NEITHER, BY_STRICT},
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
        enum taken as_id;  /* which may be missing */
        enum taken as_name;
    } cases[] = {
        {"m", "\"%s\"", BY_BOTH, BY_BOTH},
        {longest, "\"%s\"", BY_BOTH, BY_BOTH},
        {"\\u006d", "\"%s\"", BY_STRICT, BY_STRICT},
        {"\\ud83d\\ude00", "\"%s\"", BY_STRICT, BY_STRICT},
        {"\\ud800", "\"%s\"", BY_STRICT, BY_NEITHER},
        {too_long, "\"%s\"", BY_STRICT, BY_STRICT},
        {too_long, "\"\\u0041%s\"", BY_STRICT, BY_STRICT},
        {"m", "%s", BY_NEITHER, BY_NEITHER},
        {"5", "%s", BY_STRICT, BY_NEITHER},
        {"null", "%s", BY_STRICT, BY_NEITHER},
        {"\x01", "\"%s\"", BY_NEITHER, BY_NEITHER},
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
            expect(text, place == 0 ? cases[i].as_id : cases[i].as_name);
        }
    }
}

static void what_lacks_a_member_is_no_message(void **state)
{
    (void)state;
    expect("{\"type\":\"message\",\"channel\":\"c\",\"message_id\":\"m\",\"time\":5,\"data\":1}",
           BY_NEITHER);
    expect("{\"type\":\"message\",\"seq\":5,\"message_id\":\"m\",\"time\":5,\"data\":1}",
           BY_NEITHER);
    expect(HEAD "5,\"message_id\":\"m\",\"time\":5}", BY_NEITHER);
    expect(HEAD "5,\"message_id\":\"m\",\"time\":5,\"data_base64\":\"\"}", BY_STRICT);
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
        struct reply reply = {.id = 77};
        uint8_t *copy = size == 0 ? NULL : test_malloc(size); /* a sanitizer sees its end */
        bytes_copy(copy, text, size);
        assert_false(reply_quick(bytes_of(copy, size), &reply));
        assert_int_equal(reply.id, 77);
        test_free(copy);
    }
}

/* A history of three messages, each of which is written as usual or not: the same comes of it. */
static void elements_come_to_the_same_both_ways(void **state)
{
    (void)state;
    static const char *const ends[] = {"[1,{\"a\":\"}]\"}]", "1", "\"x\"", "null"};
    static const char *const more[] = {"", ",\"more\":[{}]"};
    for (unsigned shape = 0; shape < 64; shape++) {
        static struct reply_room room;
        char text[1000] = "";
        size_t size = 0;
        for (unsigned i = 0; i < 3; i++) {
            const bool usual = (shape >> i & 1) == 0;
            size += (size_t)snprintf(
                text + size, sizeof(text) - size,
                "%s{%s\"seq\":%u,\"message_id\":\"1%u\",\"time\":5%s,\"data\":%s%s}",
                i == 0  ? "{\"type\":\"history\",\"id\":7,\"channel\":\"c\",\"epoch\":\"e\","
                          "\"messages\":["
                : usual ? ","
                        : " ,\n",
                usual ? "" : " ", i + 1, i, i == 1 ? ",\"key\":\"k\"" : "", ends[(shape >> 3) % 4],
                more[shape >> 5]);
        }
        (void)snprintf(text + size, sizeof(text) - size, "%s],\"more\":true}",
                       (shape & 1) == 0 ? "" : " ");
        struct bytes rest = bytes_of_text(text);
        struct reply reply = {0};
        struct reply_message m;
        assert_int_equal(reply_take(WIRE_JSON, &rest, &room, &reply), RC_OK);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(reply_next_element(WIRE_JSON, &reply, &room, &m), RC_OK);
            assert_int_equal(m.seq, i + 1);
            assert_int_equal(m.message_id, 10 + i);
            assert_int_equal(m.has_key, i == 1);
            assert_true(bytes_equal(m.data, bytes_of_text(ends[(shape >> 3) % 4])));
        }
        assert_int_equal(reply_next_element(WIRE_JSON, &reply, &room, &m), RC_END);
    }
}

static void a_message_id_is_a_number_where_it_is_one(void **state)
{
    (void)state;
    assert_int_equal(reply_message_id(BYTES_LITERAL("0")), 0);
    assert_int_equal(reply_message_id(BYTES_LITERAL("7218000000000000001")),
                     UINT64_C(7218000000000000001));
    assert_true(reply_message_id(BYTES_LITERAL("18446744073709551615")) == UINT64_MAX);
    static const char *const others[] = {"18446744073709551616",
                                         "99999999999999999999",
                                         "184467440737095516150",
                                         "1x",
                                         "-1",
                                         " 1",
                                         "",
                                         "\xff"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(reply_message_id(bytes_of_text(others[i])), 0);
    }
}

/* ---- published ------------------------------------------------------------------------------ */

static void expect_published(const char *text, enum taken taken)
{
    static struct reply_room room;
    char spaced[600];
    struct reply quick = {0};
    struct reply strict = {0};
    (void)snprintf(spaced, sizeof(spaced), " %s", text);
    struct bytes rest = bytes_of_text(spaced);
    const bool by_strict = reply_take(WIRE_JSON, &rest, &room, &strict) == RC_OK;
    const bool by_quick = reply_quick(bytes_of_text(text), &quick);
    if (by_quick != (taken == BY_BOTH) || by_strict != (taken != BY_NEITHER)) {
        print_error("quick %d, strict %d: %s\n", by_quick, by_strict, text);
        fail();
    }
    if (by_quick) {
        assert_true(quick.type == strict.type && quick.id == strict.id &&
                    quick.has_seq == strict.has_seq && quick.seq == strict.seq &&
                    quick.count == strict.count && quick.publishes == strict.publishes &&
                    quick.duplicate == strict.duplicate && quick.message_id == strict.message_id);
        assert_true(bytes_equal(quick.channel, strict.channel) &&
                    bytes_equal(quick.id_text, strict.id_text));
        assert_string_equal(quick.epoch, strict.epoch);
    }
}

#define PUBLISHED "{\"type\":\"published\",\"id\":7,\"channel\":\"c\",\"seq\":41"

static void an_answer_to_a_publish_comes_to_the_same_both_ways(void **state)
{
    (void)state;
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"e\"}", BY_BOTH);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"e\",\"count\":3}", BY_BOTH);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"e\",\"duplicate\":true}",
                     BY_BOTH);
    expect_published(
        PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"e\",\"count\":3,\"duplicate\":true}", BY_BOTH);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"123456789012345\"}", BY_BOTH);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"e\",\"duplicate\":false}",
                     BY_STRICT);
    expect_published(PUBLISHED
                     ",\"message_id\":\"5\",\"epoch\":\"e\",\"duplicate\":true,\"count\":3}",
                     BY_STRICT);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"e\",\"more\":1}", BY_STRICT);
    expect_published(PUBLISHED ",\"epoch\":\"e\"}", BY_STRICT);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"\\u0065\"}", BY_STRICT);
    expect_published("{\"type\":\"published\",\"id\":7,\"channel\":\"c\",\"epoch\":\"e\","
                     "\"duplicate\":true}",
                     BY_STRICT);
    expect_published("{\"type\":\"pong\",\"id\":7}", BY_STRICT);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"e\",\"count\":0}", BY_NEITHER);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"\"}", BY_NEITHER);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"1234567890123456\"}", BY_NEITHER);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"e\"}}", BY_NEITHER);
    expect_published(PUBLISHED ",\"message_id\":\"5\",\"epoch\":\"e\"", BY_NEITHER);
    expect_published(PUBLISHED "}", BY_NEITHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_order_is_taken_quickly_and_any_other_strictly),
        cmocka_unit_test(numbers_are_those_of_the_protocol),
        cmocka_unit_test(names_are_short_strings_with_any_escapes),
        cmocka_unit_test(what_lacks_a_member_is_no_message),
        cmocka_unit_test(no_part_of_a_message_is_taken_for_one),
        cmocka_unit_test(elements_come_to_the_same_both_ways),
        cmocka_unit_test(a_message_id_is_a_number_where_it_is_one),
        cmocka_unit_test(an_answer_to_a_publish_comes_to_the_same_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
