/* The texts of numbers, sizes, durations and addresses: what is taken, what is refused, and that
 * what is printed is taken again. */
#include "server/config_suggest.h"
#include "server/config_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct number_case {
    const char *text;
    uint64_t value;
};

static void takes_good_sizes(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"0", 0},
        {"512", 512},
        {"512B", 512},
        {"1KiB", 1024},
        {"64KiB", 65536},
        {"16MiB", 16777216},
        {"3GiB", 3ull << 30},
        {"1TiB", 1ull << 40},
        {"18446744073709551615", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 1;
        assert_int_equal(config_parse_size(bytes_of_text(cases[i].text), &value), RC_OK);
        assert_int_equal(value, cases[i].value);
    }
}

static void refuses_bad_sizes(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "B",
                                        "KiB",
                                        "-1",
                                        "+1",
                                        "1.5MiB",
                                        "1 MiB",
                                        "1MB",
                                        "1kib",
                                        "01",
                                        "1KiBB",
                                        "0x10",
                                        "1e3",
                                        "18446744073709551616",
                                        "16777216TiB",
                                        "١"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 77;
        assert_int_equal(config_parse_size(bytes_of_text(cases[i]), &value), RC_BAD);
        assert_int_equal(value, 77);
    }
}

static void takes_good_durations(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"0", 0},       {"0s", 0},       {"250ms", 250},    {"10s", 10000},
        {"5m", 300000}, {"2h", 7200000}, {"7d", 604800000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 1;
        assert_int_equal(config_parse_duration(bytes_of_text(cases[i].text), &value), RC_OK);
        assert_int_equal(value, cases[i].value);
    }
}

static void refuses_bad_durations(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "10",
                                        "s",
                                        "10 s",
                                        "10S",
                                        "1w",
                                        "-1s",
                                        "1m30s",
                                        "99999999999999999999s",
                                        "18446744073709551615d"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 77;
        assert_int_equal(config_parse_duration(bytes_of_text(cases[i]), &value), RC_BAD);
        assert_int_equal(value, 77);
    }
}

static void what_is_printed_is_taken_again(void **state)
{
    (void)state;
    char text[CONFIG_NUMBER_TEXT_SIZE];
    for (uint64_t value = 0; value < (1ull << 50); value = value * 3 + 1) {
        uint64_t again = 0;
        config_format_size(value, text);
        assert_int_equal(config_parse_size(bytes_of_text(text), &again), RC_OK);
        assert_int_equal(again, value);
        config_format_duration(value, text);
        assert_int_equal(config_parse_duration(bytes_of_text(text), &again), RC_OK);
        assert_int_equal(again, value);
    }
    config_format_size(16777216, text);
    assert_string_equal(text, "16MiB");
    config_format_duration(90000, text);
    assert_string_equal(text, "90s");
}

static void takes_good_addresses(void **state)
{
    (void)state;
    static const char *const cases[] = {"127.0.0.1:8470", "[::1]:0", "localhost:65535",
                                        "[fe80::1%eth0]:1", "my-host.example:80"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_address address;
        char text[CONFIG_ADDRESS_TEXT_SIZE];
        assert_int_equal(config_parse_address(bytes_of_text(cases[i]), &address), RC_OK);
        config_address_text(&address, text);
        assert_string_equal(text, cases[i]);
    }
}

static void refuses_bad_addresses(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",       ":",     "host",  ":80",    "host:",   "host:65536", "host:-1",
        "::1:80", "[]:80", "[::1]", "a b:80", "[::1:80", "h:08"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_address address;
        assert_int_equal(config_parse_address(bytes_of_text(cases[i]), &address), RC_BAD);
    }
}

static size_t distance(const char *a, const char *b)
{
    return config_edit_distance(bytes_of_text(a), bytes_of_text(b));
}

static void counts_edits(void **state)
{
    (void)state;
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("abc", ""), 3);
    assert_int_equal(distance("abc", "abc"), 0);
    assert_int_equal(distance("durabilty", "durability"), 1);
    assert_int_equal(distance("inof", "info"), 1);
    assert_int_equal(distance("kitten", "sitting"), 3);
    char far_name[CONFIG_SUGGEST_NAME_MAX + 2];
    (void)memset(far_name, 'a', sizeof(far_name) - 1);
    far_name[sizeof(far_name) - 1] = '\0';
    assert_true(distance(far_name, "a") == SIZE_MAX);
}

static void guesses_only_what_is_near(void **state)
{
    (void)state;
    struct config_suggest suggest = config_suggest_begin(BYTES_LITERAL("verison"));
    config_suggest_offer(&suggest, "serve");
    config_suggest_offer(&suggest, "version");
    assert_string_equal(suggest.best, "version");
    suggest = config_suggest_begin(BYTES_LITERAL("xyz"));
    config_suggest_offer(&suggest, "sub");
    config_suggest_offer(&suggest, "pub");
    assert_null(suggest.best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_good_sizes),
        cmocka_unit_test(refuses_bad_sizes),
        cmocka_unit_test(takes_good_durations),
        cmocka_unit_test(refuses_bad_durations),
        cmocka_unit_test(what_is_printed_is_taken_again),
        cmocka_unit_test(takes_good_addresses),
        cmocka_unit_test(refuses_bad_addresses),
        cmocka_unit_test(counts_edits),
        cmocka_unit_test(guesses_only_what_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
