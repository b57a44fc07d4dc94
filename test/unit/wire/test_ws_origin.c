/* Goal: pages of our own host may connect, others only by the list; look-alikes are others.
 * Method: a table of origin, Host, list and verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/ws_origin.h"

struct row {
    const char *origin;
    const char *host;
    const char *item; /* the list's only one, or NULL */
    bool allowed;
};

static const struct row rows[] = {
    /* The same host: scheme left out, ports by the scheme's default. */
    {"http://good.example", "good.example", NULL, true},
    {"https://good.example", "good.example", NULL, true},
    {"http://good.example:80", "good.example", NULL, true},
    {"http://good.example", "good.example:80", NULL, true},
    {"https://good.example:443", "good.example", NULL, true},
    {"https://good.example", "good.example:443", NULL, true},
    {"http://GOOD.example", "good.EXAMPLE", NULL, true},
    {"HTTP://good.example", "good.example", NULL, true},
    {"http://good.example:8470", "good.example:8470", NULL, true},
    {"https://good.example:8470", "good.example:8470", NULL, true},
    {"http://127.0.0.1:8470", "127.0.0.1:8470", NULL, true},
    {"http://[::1]:8470", "[::1]:8470", NULL, true},
    /* Another port. */
    {"http://good.example:81", "good.example", NULL, false},
    {"http://good.example:443", "good.example", NULL, false},
    {"https://good.example:80", "good.example", NULL, false},
    {"http://good.example", "good.example:8470", NULL, false},
    {"http://good.example", "good.example:443", NULL, false},
    {"http://good.example:84", "good.example:8470", NULL, false},
    {"http://good.example:84700", "good.example:8470", NULL, false},
    /* Look-alikes. */
    {"http://good.example.evil", "good.example", NULL, false},
    {"http://evilgood.example", "good.example", NULL, false},
    {"http://evil.good.example", "good.example", NULL, false},
    {"http://good.example.", "good.example", NULL, false},
    {"http://good.exampl", "good.example", NULL, false},
    {"http://good.example@evil", "good.example", NULL, false},
    {"http://good.example:80@evil", "good.example", NULL, false},
    {"http://evil/good.example", "good.example", NULL, false},
    {"http://evil#good.example", "good.example", NULL, false},
    {"http://evil?good.example", "good.example", NULL, false},
    {"http://evil\\good.example", "good.example", NULL, false},
    {"http://localhost", "127.0.0.1", NULL, false},
    /* No origin of a web page, or malformed. */
    {"null", "good.example", NULL, false},
    {"null", "null", NULL, false},
    {"", "good.example", NULL, false},
    {"good.example", "good.example", NULL, false},
    {"//good.example", "good.example", NULL, false},
    {"http:good.example", "good.example", NULL, false},
    {"http://", "good.example", NULL, false},
    {"http://good.example/", "good.example", NULL, false},
    {"http://good.example/x", "good.example", NULL, false},
    {"http://good.example:", "good.example", NULL, true},
    {"http://good.example:x", "good.example", NULL, false},
    {"http://good.example http://evil", "good.example", NULL, false},
    {"file://good.example", "good.example", NULL, false},
    {"ftp://good.example", "good.example", NULL, false},
    {"ws://good.example", "good.example", NULL, false},
    {"chrome-extension://good.example", "good.example", NULL, false},
    /* The list: exact in scheme, host and port. */
    {"https://app.example", "good.example", "https://app.example", true},
    {"https://app.example:443", "good.example", "https://app.example", true},
    {"https://app.example", "good.example", "https://APP.example:443", true},
    {"http://app.example", "good.example", "https://app.example", false},
    {"https://app.example:8443", "good.example", "https://app.example", false},
    {"https://app.example.evil", "good.example", "https://app.example", false},
    {"https://evilapp.example", "good.example", "https://app.example", false},
    {"https://x.app.example", "good.example", "https://app.example", false},
    {"http://good.example", "good.example", "https://app.example", true},
    {"null", "good.example", "https://app.example", false},
    {"null", "good.example", "null", true},
    {"http://evil", "good.example", "null", false},
    {"chrome-extension://abc", "good.example", "chrome-extension://abc", true},
    {"chrome-extension://abcd", "good.example", "chrome-extension://abc", false},
    {"http://evil", "good.example", "*", true},
    {"null", "good.example", "*", true},
    {"http://evil", "good.example", "http://*", false},
    {"http://evil", "good.example", "", false},
};

static void pages_are_let_in_by_the_parts_of_their_origin(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        const struct bytes item = bytes_of_text(row->item != NULL ? row->item : "");
        const bool allowed = ws_origin_allowed(bytes_of_text(row->origin), bytes_of_text(row->host),
                                               &item, row->item != NULL ? 1 : 0);
        if (allowed != row->allowed) {
            fail_msg("origin %s, host %s, list %s: %d", row->origin, row->host,
                     row->item != NULL ? row->item : "-", allowed);
        }
    }
}

static void each_item_of_the_list_counts(void **state)
{
    (void)state;
    const struct bytes list[] = {BYTES_LITERAL("https://a.example"),
                                 BYTES_LITERAL("https://b.example")};
    const struct bytes host = BYTES_LITERAL("good.example");
    assert_true(ws_origin_allowed(BYTES_LITERAL("https://a.example"), host, list, 2));
    assert_true(ws_origin_allowed(BYTES_LITERAL("https://b.example"), host, list, 2));
    assert_false(ws_origin_allowed(BYTES_LITERAL("https://b.example"), host, list, 1));
    /* HTTP/1.0 may lack Host: then nothing is the same host. */
    assert_false(ws_origin_allowed(BYTES_LITERAL("http://a"), (struct bytes){0}, list, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_let_in_by_the_parts_of_their_origin),
        cmocka_unit_test(each_item_of_the_list_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
