/* wire/json_members: each member of each command.
 * Goal: it is understood when it is right, and refused by name when it is not.
 * Method: one table row per member drives all the ways in which it can be wrong. */
#include "json_decode_lib.h"

#define NAME_ILL                                                                                   \
    "1", "true", "null", "[]", "{}", "[\"x\"]", "\"\"", "\"\\ud800\"", "\"a\\u0000\"", "\"\\n\"",  \
        "\"\\u001f\"", "\"\x7f\"", "\"\\u007f\"", "\"\xc2\x80\"", "\"a\xc2\x9f\"", "\"\\u0085\""
#define INTEGER_ILL                                                                                \
    "-1", "1.0", "1e3", "1E3", "-0", "0.5", "9007199254740992", "123456789012345678901234567890",  \
        "\"1\"", "null", "true", "[1]", "{}"

/* `rest` are the other members that the command needs. */
static const struct member_case {
    const char *type;
    const char *rest;
    const char *member;
    bool required;
    const char *good[6];
    const char *ill[24]; /* all bad_request */
} member_cases[] = {
    {"connect",
     "",
     "token",
     false,
     {"\"eyJ\"", "\"\"", "\"\\u0065\""},
     {"1", "null", "false", "[]", "{}", "\"\\udc00\""}},
    {"connect",
     "",
     "producer",
     false,
     {"{\"id\":\"p\"}", "{\"id\":\"p\",\"epoch\":1}",
      "{ \"epoch\" : 9007199254740991,\"id\":\"p\"}",
      "{\"x\":[1],\"id\":\"p\",\"x\":2,\"seq\":-1,\"seq\":0}", "{\"\\u0069d\":\"p\"}"},
     {"1", "null", "\"p\"", "[]", "{}", "{\"epoch\":1}", "{\"id\":1}", "{\"id\":\"\"}",
      "{\"id\":\"a\\n\"}", "{\"id\":\"\\ud800\"}", "{\"id\":\"p\",\"epoch\":0}",
      "{\"id\":\"p\",\"epoch\":-1}", "{\"id\":\"p\",\"epoch\":1.0}",
      "{\"id\":\"p\",\"epoch\":\"1\"}", "{\"id\":\"p\",\"epoch\":null}",
      "{\"id\":\"p\",\"id\":\"p\"}", "{\"id\":\"p\",\"\\u0069\\u0064\":\"q\"}",
      "{\"id\":\"p\",\"epoch\":1,\"epoch\":1}", "{\"id\":\"\xc2\x85\"}"}},
    {"publish",
     ",\"data\":1",
     "channel",
     true,
     {"\"c\"", "\"a b/c\"", "\"\xc2\xa0\xe2\x82\xac\"", "\"\\ud83d\\ude00\"", "\"\\\"\\\\\\/\""},
     {NAME_ILL}},
    {"publish",
     ",\"channel\":\"c\"",
     "data",
     true,
     {"1", "null", "\"\\ud800\"", "{\"a\":1,\"a\":[1e999]}", " [ ] ", "-0.0e1"},
     {NULL}},
    {"publish",
     ",\"channel\":\"c\"",
     "data_base64",
     true,
     {"\"\"", "\"Zg==\"", "\"Zm9v\"", "\"+\\/+\\/\"", "\"\\u005ag==\""},
     {"1", "null", "[]", "\"Zg\"", "\"Zh==\"", "\"Z g=\"", "\"Zm-_\"", "\"\\ud800\"", "\"Zm9v\\n\"",
      "\"=\""}},
    {"publish",
     ",\"channel\":\"c\"",
     "batch",
     true,
     {"[{\"data\":1}]", "[{\"data\":1,\"key\":\"k\"},{\"data_base64\":\"Zg==\"}]",
      "[ { \"x\":1,\"x\":2,\"batch\":[3],\"batch\":4, \"data\" : [ ] } ]",
      "[{\"d\\u0061ta\":\"\\u00e9\"}]"},
     {"1",
      "null",
      "\"\"",
      "{}",
      "[]",
      "[1]",
      "[null]",
      "[[]]",
      "[{}]",
      "[{\"key\":\"k\"}]",
      "[{\"data\":1},{}]",
      "[{\"data\":1},2]",
      "[{\"data\":1,\"data_base64\":\"\"}]",
      "[{\"data\":1,\"data\":1}]",
      "[{\"data\":1,\"key\":1}]",
      "[{\"data\":1,\"key\":null}]",
      "[{\"data\":1,\"key\":\"a\",\"key\":\"a\"}]",
      "[{\"data_base64\":\"Z\"}]",
      "[{\"data_base64\":\"\",\"data_base64\":\"\"}]",
      "[{\"data\":1,\"key\":\"\\udfff\"}]",
      "[{\"data\":1,\"d\\u0061ta\":2}]"}},
    {"publish",
     ",\"channel\":\"c\",\"data\":1",
     "key",
     false,
     {"\"k\"", "\"\"", "\"\\u0000\"", "\"\\u00e9\""},
     {"1", "null", "{}", "[]", "true", "\"\\ud800\""}},
    {"publish",
     ",\"channel\":\"c\",\"data\":1",
     "producer_seq",
     false,
     {"1", "41", "9007199254740991"},
     {"0", INTEGER_ILL}},
    {"subscribe", "", "channel", true, {"\"c\""}, {NAME_ILL}},
    {"subscribe",
     ",\"channel\":\"c\"",
     "from",
     false,
     {"\"latest\"", "\"earliest\"", "{\"seq\":1}", "{\"epoch\":\"k3x\",\"seq\":43}", "{\"time\":0}",
      "{\"x\":1,\"x\":1,\"\\u0073eq\":1}"},
     {NULL}},
    {"subscribe",
     ",\"channel\":\"c\"",
     "from",
     false,
     {"\"l\\u0061test\""},
     {"1",
      "null",
      "[]",
      "\"\"",
      "\"Latest\"",
      "\"now\"",
      "{}",
      "{\"seq\":0}",
      "{\"seq\":-1}",
      "{\"seq\":1.0}",
      "{\"seq\":\"1\"}",
      "{\"epoch\":\"e\"}",
      "{\"epoch\":1,\"seq\":1}",
      "{\"epoch\":\"\\ud800\",\"seq\":1}",
      "{\"epoch\":\"e\",\"seq\":0}",
      "{\"seq\":1,\"time\":1}",
      "{\"epoch\":\"e\",\"time\":1}",
      "{\"epoch\":\"e\",\"seq\":1,\"time\":1}",
      "{\"time\":-1}",
      "{\"time\":1e3}",
      "{\"time\":null}",
      "{\"seq\":1,\"seq\":1}",
      "{\"time\":1,\"time\":2}"}},
    {"subscribe",
     ",\"channel\":\"c\"",
     "on_gap",
     false,
     {"\"error\"", "\"reset\"", "\"r\\u0065set\""},
     {"1", "null", "true", "\"\"", "\"Error\"", "\"skip\"", "\"\\ud800\"", "{}"}},
    {"subscribe",
     ",\"channel\":\"c\"",
     "window",
     false,
     {"1", "256", "1000000"},
     {"0", "1000001", INTEGER_ILL}},
    {"subscribe",
     ",\"channel\":\"c\"",
     "when_slow",
     false,
     {"\"catch_up\"", "\"skip\"", "\"conflate\"", "\"sk\\u0069p\""},
     {"1", "null", "true", "\"\"", "\"Skip\"", "\"drop\"", "\"\\ud800\"", "{}"}},
    {"ack", ",\"seq\":1", "channel", true, {"\"c\""}, {NAME_ILL}},
    {"ack", ",\"channel\":\"c\"", "seq", true, {"1", "9007199254740991"}, {"0", INTEGER_ILL}},
    {"unsubscribe", "", "channel", true, {"\"c\""}, {NAME_ILL}},
    {"history", "", "channel", true, {"\"c\""}, {NAME_ILL}},
    {"history",
     ",\"channel\":\"c\"",
     "from",
     false,
     {"0", "1", "9007199254740991"},
     {"\"latest\"", "{\"seq\":1}", INTEGER_ILL}},
    {"history",
     ",\"channel\":\"c\"",
     "limit",
     false,
     {"1", "1000", "1001", "9007199254740991"},
     {"0", INTEGER_ILL}},
    {"history",
     ",\"channel\":\"c\"",
     "reverse",
     false,
     {"true", "false"},
     {"0", "1", "null", "\"true\"", "[]", "{}"}},
    {"publish",
     ",\"channel\":\"c\",\"data\":1",
     "quiet",
     false,
     {"true", "false"},
     {"0", "1", "null", "\"true\"", "[]", "{}"}},
    {"digest", "", "channel", true, {"\"c\""}, {NAME_ILL}},
    {"digest", ",\"channel\":\"c\"", "seq", false, {"0", "1", "9007199254740991"}, {INTEGER_ILL}},
    {"ping", "", "id", false, {"1", "9007199254740991"}, {"0", INTEGER_ILL}},
};

static char text_[4096];

/* The command of a row, with `first` and `second` (NULL: not there) as its member, and an id. */
static const char *row_text(const struct member_case *row, const char *name, const char *first,
                            const char *second_name, const char *second)
{
    const bool has_id = strcmp(row->member, "id") != 0;
    int size = snprintf(text_, sizeof(text_), "{\"type\":\"%s\"%s%s", row->type, row->rest,
                        has_id ? ",\"id\":9" : "");
    if (first != NULL) {
        size += snprintf(text_ + size, sizeof(text_) - (size_t)size, ",\"%s\":%s", name, first);
    }
    if (second != NULL) {
        size +=
            snprintf(text_ + size, sizeof(text_) - (size_t)size, ",\"%s\":%s", second_name, second);
    }
    size += snprintf(text_ + size, sizeof(text_) - (size_t)size, "}");
    assert_true(size < (int)sizeof(text_));
    return text_;
}

/* The name with its first character as an escape. */
static const char *escaped_name(const char *name)
{
    static char escaped[64];
    (void)snprintf(escaped, sizeof(escaped), "\\u%04x%s", (unsigned)name[0], name + 1);
    return escaped;
}

static void check_row(const struct member_case *row)
{
    const bool has_id = strcmp(row->member, "id") != 0;
    const char *name = row->member;
    if (row->required) {
        assert_refused(row_text(row, name, NULL, NULL, NULL), WIRE_ERROR_BAD_REQUEST, "is missing");
    } else {
        assert_good(row_text(row, name, NULL, NULL, NULL));
    }
    for (size_t i = 0; i < COUNT(row->good) && row->good[i] != NULL; i++) {
        const char *good = row->good[i];
        assert_good(row_text(row, name, good, NULL, NULL));
        assert_true(command.id == (has_id ? 9 : strtoull(good, NULL, 10)));
        assert_good(row_text(row, escaped_name(name), good, NULL, NULL));
        assert_refused(row_text(row, name, good, name, good), WIRE_ERROR_BAD_REQUEST, "repeated");
        assert_refused(row_text(row, name, good, escaped_name(name), good), WIRE_ERROR_BAD_REQUEST,
                       "repeated");
        assert_int_equal(error.id, has_id ? 9 : 0);
    }
    for (size_t i = 0; i < COUNT(row->ill) && row->ill[i] != NULL; i++) {
        /* a fault of `data` in a batch is named batch[0].data */
        assert_refused(row_text(row, name, row->ill[i], NULL, NULL), WIRE_ERROR_BAD_REQUEST, name);
        assert_int_equal(error.id, has_id ? 9 : 0);
        assert_refused(row_text(row, escaped_name(name), row->ill[i], NULL, NULL),
                       WIRE_ERROR_BAD_REQUEST, name);
    }
}

static void each_member_is_taken_when_right_and_refused_by_name_when_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(member_cases); i++) {
        check_row(&member_cases[i]);
    }
}

static void members_of_other_commands_and_unknown_ones_are_ignored_also_when_repeated(void **state)
{
    (void)state;
    assert_good(
        "{\"type\":\"ping\",\"channel\":1,\"channel\":2,\"batch\":[1,{\"data\":1,\"data\":2}],"
        "\"batch\":0,\"data\":1,\"data\":2,\"from\":[],\"producer\":0}");
    assert_good(
        "{\"type\":\"publish\",\"channel\":\"c\",\"data\":1,\"window\":0,\"window\":0,"
        "\"producer\":1,\"producer\":2,\"token\":1,\"seq\":\"\",\"limit\":{},\"x\":1,\"x\":1}");
    assert_int_equal(command.producer.id.size, 0);
    assert_good(
        "{\"type\":\"subscribe\",\"channel\":\"c\",\"data\":1,\"data_base64\":2,\"session\":1,"
        "\"group\":1,\"headers\":{},\"ttl_ms\":1,\"tags\":[],\"filter\":\"\",\"delta\":true}");
    assert_good("{\"type\":\"ack\",\"channel\":\"c\",\"seq\":1,\"from\":0,\"batch\":[[]],\"\":1}");
    assert_good("{\"type\":\"history\",\"channel\":\"c\",\"seq\":0,\"Channel\":1,\"channel2\":1,"
                "\"chan\\u0000el\":1,\"\\ud800\":1,\"keys\":1,\"tipe\":1}");
    /* escaped: one longer than the longest of ours could be, and one that is no text */
    assert_good(
        "{\"type\":\"ping\",\"\\u0070\\u0072\\u006f\\u0064\\u0075\\u0063\\u0065\\u0072\\u005f"
        "\\u0073\\u0065\\u0071\\u0071\":1,\"\\udc00id\":0}");
    /* names as long as ours, and as ours begin */
    assert_good(
        "{\"type\":\"ping\",\"ie\":1,\"kex\":1,\"sex\":1,\"dat\\u0062\":1,\"fron\":1,\"tim_\":1,"
        "\"batc_\":1,\"epocx\":1,\"limix\":1,\"toke_\":1,\"on_gax\":1,\"windox\":1,"
        "\"channex\":1,\"reversx\":1,\"produces\":1,\"data_base65\":1,\"producer_sex\":1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_member_is_taken_when_right_and_refused_by_name_when_not),
        cmocka_unit_test(members_of_other_commands_and_unknown_ones_are_ignored_also_when_repeated),
    };
    return cmocka_run_group_tests(tests, decode_setup, decode_teardown);
}
