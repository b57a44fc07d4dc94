/* Goal: a handshake that is as it should be, on a machine whose OpenSSL gives no SHA-1: out of
 * memory in the middle, or (as under some security policies) not at all. Refused, never a 101 with
 * a wrong answer.
 * Method: OpenSSL's own switches for both, in a process of its own, since SHA-1 is fetched once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/http.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static bool no_memory; /* of OpenSSL's */

static void *openssl_alloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return no_memory ? NULL : malloc(size);
}

static void *openssl_realloc(void *block, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return no_memory ? NULL : realloc(block, size);
}

static void openssl_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    free(block);
}

static enum rc shake(struct buf *response)
{
    static const struct http_field fields[] = {
        {BYTES_LITERAL("host"), BYTES_LITERAL("a")},
        {BYTES_LITERAL("upgrade"), BYTES_LITERAL("websocket")},
        {BYTES_LITERAL("connection"), BYTES_LITERAL("Upgrade")},
        {BYTES_LITERAL("sec-websocket-version"), BYTES_LITERAL("13")},
        {BYTES_LITERAL("sec-websocket-key"), BYTES_LITERAL("dGhlIHNhbXBsZSBub25jZQ==")},
    };
    const struct http_request request = {
        .method = BYTES_LITERAL("GET"),
        .path = BYTES_LITERAL("/v1/ws"),
        .minor = 1,
        .fields = fields,
        .field_count = sizeof(fields) / sizeof(fields[0]),
    };
    const struct ws_handshake_options options = {.path = "/v1/ws"};
    enum wire_codec codec = WIRE_JSON;
    const char *why = NULL;
    return ws_handshake(&request, &options, response, &codec, &why);
}

/* In a child, where SHA-1 has not been fetched yet: the answer is its exit status. */
static enum rc shake_without_sha1(void)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct buf response = {0};
        enum rc rc = RC_BAD;
        if (EVP_set_default_properties(NULL, "provider=none") == 1) {
            rc = shake(&response);
        }
        exit(response.size == 0 ? (int)rc : (int)RC_BAD);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (enum rc)WEXITSTATUS(status);
}

static void without_sha1_no_handshake_is_answered(void **state)
{
    (void)state;
    assert_int_equal(shake_without_sha1(), RC_NOMEM);
}

static void without_memory_for_sha1_a_handshake_waits_for_better_days(void **state)
{
    (void)state;
    struct buf response = {0};
    assert_int_equal(shake(&response), RC_OK);
    const size_t size = response.size;
    assert_true(size > 0);
    no_memory = true;
    assert_int_equal(shake(&response), RC_NOMEM);
    no_memory = false;
    assert_int_equal(response.size, size);
    assert_int_equal(shake(&response), RC_OK);
    assert_int_equal(response.size, 2 * size);
    assert_memory_equal(response.data, response.data + size, size);
    buf_deinit(&response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_sha1_no_handshake_is_answered),
        cmocka_unit_test(without_memory_for_sha1_a_handshake_waits_for_better_days),
    };
    /* Before OpenSSL has taken any memory. */
    if (CRYPTO_set_mem_functions(openssl_alloc, openssl_realloc, openssl_free) != 1) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
