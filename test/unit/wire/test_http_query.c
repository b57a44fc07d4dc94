/* Goal: query parameters are found by name and decoded; bad escapes are refused.
 * Method: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "wire/http.h"

static void percent_escapes_are_undone_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct bytes expected;
        bool good;
    } rows[] = {
        {"", {0}, true},
        {"plain", BYTES_LITERAL("plain"), true},
        {"a%20b", BYTES_LITERAL("a b"), true},
        {"a+b", BYTES_LITERAL("a+b"), true},
        {"%41%5a%5A", BYTES_LITERAL("AZZ"), true},
        {"%00", BYTES_LITERAL("\0"), true},
        {"%2525", BYTES_LITERAL("%25"), true},
        {"%c3%A9", BYTES_LITERAL("\xC3\xA9"), true},
        {"%", {0}, false},
        {"a%", {0}, false},
        {"a%4", {0}, false},
        {"%4g", {0}, false},
        {"%g4", {0}, false},
        {"%%41", {0}, false},
        {"% 41", {0}, false},
        {"%-1", {0}, false},
        {"good%20then%zz", {0}, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out = {0};
        assert_int_equal(buf_append(&out, BYTES_LITERAL("kept:")), RC_OK);
        const enum rc rc = http_percent_decode(bytes_of_text(rows[i].text), &out);
        assert_int_equal(rc, rows[i].good ? RC_OK : RC_BAD);
        assert_int_equal(out.size, 5 + rows[i].expected.size);
        assert_memory_equal(out.data, "kept:", 5);
        assert_true(bytes_equal(bytes_of(out.data + 5, out.size - 5), rows[i].expected));
        buf_deinit(&out);
    }
}

static void a_parameter_is_found_by_its_decoded_name(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *expected; /* NULL: not there */
        enum rc rc;
    } rows[] = {
        {"from=1", "1", RC_OK},
        {"limit=5&from=1", "1", RC_OK},
        {"from=1&limit=5", "1", RC_OK},
        {"xfrom=2&from=1&fromx=3", "1", RC_OK},
        {"from=", "", RC_OK},
        {"from", "", RC_OK},
        {"from=a=b", "a=b", RC_OK},
        {"from=%41", "A", RC_OK},
        {"fr%6Fm=1", "1", RC_OK},
        {"&&from=1&&", "1", RC_OK},
        {"", NULL, RC_OK},
        {"limit=5", NULL, RC_OK},
        {"From=1", NULL, RC_OK},
        {"fro=1", NULL, RC_OK},
        {"x=from", NULL, RC_OK},
        {"=from", NULL, RC_OK},
        {"fr%6=1", NULL, RC_OK},
        {"from=%zz", NULL, RC_BAD},
        {"from=1&from=1", NULL, RC_BAD},
        {"from=1&x=2&fro%6d=3", NULL, RC_BAD},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out = {0};
        bool found = false;
        const enum rc rc = http_query_find(bytes_of_text(rows[i].query), "from", &out, &found);
        assert_int_equal(rc, rows[i].rc);
        if (rc == RC_OK) {
            assert_int_equal(found, rows[i].expected != NULL);
        }
        if (found) {
            assert_true(bytes_equal(buf_bytes(&out), bytes_of_text(rows[i].expected)));
        } else {
            assert_int_equal(out.size, 0);
        }
        buf_deinit(&out);
    }
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    struct buf out = {0};
    bool found = true;
    mem_fault_set(1, 0);
    assert_int_equal(http_query_find(BYTES_LITERAL("a=b"), "a", &out, &found), RC_NOMEM);
    mem_fault_set(0, 0);
    assert_true(found); /* untouched */
    assert_int_equal(out.size, 0);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percent_escapes_are_undone_or_refused),
        cmocka_unit_test(a_parameter_is_found_by_its_decoded_name),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
