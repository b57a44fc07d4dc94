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
    /* [HTTP 9110 15], [RFC 6585]: the registry of status codes */
    static const struct {
        unsigned status;
        const char *text;
    } rows[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    size_t known = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(http_status_text(rows[i].status), rows[i].text);
    }
    for (unsigned status = 0; status < 1000; status++) {
        known += strcmp(http_status_text(status), "Unknown") != 0;
    }
    assert_int_equal(known, sizeof(rows) / sizeof(rows[0])); /* and no other has one */
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
