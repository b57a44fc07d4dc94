/* Goal: responses are framed so that a client knows where they end.
 * Method: whole responses, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "wire/http.h"

static void assert_response(const struct buf *got, const char *expected)
{
    assert_int_equal(got->size, strlen(expected));
    assert_memory_equal(got->data, expected, got->size);
}

static void a_response_has_its_length_and_its_fields(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(http_response_append(&out, 200, "application/json", "X-A: b\r\nX-C: d\r\n",
                                          BYTES_LITERAL("{}"), false),
                     RC_OK);
    assert_response(&out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                          "Content-Length: 2\r\nX-A: b\r\nX-C: d\r\n\r\n{}");
    buf_clear(&out);
    assert_int_equal(http_response_append(&out, 404, NULL, NULL, (struct bytes){0}, true), RC_OK);
    assert_response(&out,
                    "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    buf_deinit(&out);
}

static void responses_without_a_body_have_no_length(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(http_response_append(&out, 204, NULL, NULL, (struct bytes){0}, false), RC_OK);
    assert_int_equal(http_response_append(&out, 100, NULL, NULL, (struct bytes){0}, false), RC_OK);
    assert_response(&out, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    buf_deinit(&out);
}

static void statuses_have_their_texts(void **state)
{
    (void)state;
    assert_string_equal(http_status_text(426), "Upgrade Required");
    assert_string_equal(http_status_text(431), "Request Header Fields Too Large");
    assert_string_equal(http_status_text(503), "Service Unavailable");
    assert_string_equal(http_status_text(299), "Unknown");
}

static void out_of_memory_leaves_the_output_as_it_was(void **state)
{
    (void)state;
    struct buf out = {0};
    mem_fault_set(1, 0);
    assert_int_equal(http_response_append(&out, 200, NULL, NULL, (struct bytes){0}, false),
                     RC_NOMEM);
    mem_fault_set(0, 0);
    assert_int_equal(out.size, 0);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_has_its_length_and_its_fields),
        cmocka_unit_test(responses_without_a_body_have_no_length),
        cmocka_unit_test(statuses_have_their_texts),
        cmocka_unit_test(out_of_memory_leaves_the_output_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
