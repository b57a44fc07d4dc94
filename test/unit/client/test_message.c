/* client/message, client/url, client/upgrade: what a server says, and what is refused of it. */
#include "client/message.h"

#include "client/link.h"
#include "client/upgrade.h"
#include "client/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void members_are_found_whatever_their_order(void **state)
{
    (void)state;
    struct client_message m;
    static const char text[] =
        " {\"x\":{\"seq\":9},\"seq\":43,\"duplicate\":true,\"cha\\u006enel\":1,"
        "\"channel\":\"or\\u0064ers\",\"type\":\"published\",\"id\":7} ";
    assert_int_equal(client_message_parse(bytes_of_text(text), &m), RC_OK);
    assert_int_equal(m.type, CLIENT_PUBLISHED);
    uint64_t value;
    assert_true(client_message_integer(&m, CLIENT_FIELD_SEQ, &value));
    assert_int_equal(value, 43);
    assert_int_equal(client_message_integer_or_0(&m, CLIENT_FIELD_ID), 7);
    assert_int_equal(client_message_integer_or_0(&m, CLIENT_FIELD_EXPECTED), 0);
    assert_true(client_message_true(&m, CLIENT_FIELD_DUPLICATE));
    assert_true(client_message_is(&m, CLIENT_FIELD_CHANNEL, BYTES_LITERAL("orders")));
    assert_false(client_message_is(&m, CLIENT_FIELD_CHANNEL, BYTES_LITERAL("order")));
    assert_false(client_message_has(&m, CLIENT_FIELD_DATA));
}

static void bad_objects_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"type\":\"pong\"",
        "{\"type\":\"pong\"} x",
        "{\"id\":1}",
        "\"type\"",
        "{\"type\":\"pong\",\"type\":\"pong\"}",
        "{\"type\":\"pong\",\"seq\":1,\"seq\":1}",
        "{\"type\":\"pong\",}",
        "{type:\"pong\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct client_message m;
        assert_int_equal(client_message_parse(bytes_of_text(texts[i]), &m), RC_BAD);
    }
}

static void what_is_unknown_or_ill_typed_is_not_taken_for_something(void **state)
{
    (void)state;
    struct client_message m;
    assert_int_equal(
        client_message_parse(BYTES_LITERAL("{\"type\":\"new\",\"seq\":\"1\",\"next\":1.0,"
                                           "\"id\":9007199254740992,\"code\":5}"),
                             &m),
        RC_OK);
    assert_int_equal(m.type, CLIENT_OTHER);
    assert_int_equal(client_message_integer_or_0(&m, CLIENT_FIELD_SEQ), 0);
    assert_int_equal(client_message_integer_or_0(&m, CLIENT_FIELD_NEXT), 0);
    assert_int_equal(client_message_integer_or_0(&m, CLIENT_FIELD_ID), 0);
    assert_false(client_message_is(&m, CLIENT_FIELD_CODE, BYTES_LITERAL("5")));
    char text[4];
    client_message_show(&m, CLIENT_FIELD_TYPE, text, sizeof(text));
    assert_string_equal(text, "new");
    client_message_show(&m, CLIENT_FIELD_CODE, text, sizeof(text));
    assert_string_equal(text, "");
}

/* A `features` as given lists "digest" and nothing like it. */
static bool lists_digest(const char *features)
{
    char text[1400];
    struct client_message m;
    (void)snprintf(text, sizeof(text), "{\"type\":\"connected\"%s}", features);
    assert_int_equal(client_message_parse(bytes_of_text(text), &m), RC_OK);
    return client_message_lists(&m, CLIENT_FIELD_FEATURES, BYTES_LITERAL("digest"));
}

static void a_list_holds_what_stands_in_it_and_nothing_else(void **state)
{
    (void)state;
    assert_true(lists_digest(",\"features\":[\"digest\"]"));
    assert_true(lists_digest(",\"features\":[ 1, {\"a\":[]} ,null,\"batch\", \"dig\\u0065st\" ]"));
    static const char *const others[] = {
        "",
        ",\"features\":[]",
        ",\"features\":\"digest\"",
        ",\"features\":{\"digest\":\"digest\"}",
        ",\"features\":[\"digests\",\"diges\",\"Digest\",\"\"]",
        ",\"features\":[[\"digest\"]]",
        ",\"feature\":[\"digest\"]",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(lists_digest(others[i]));
    }
    char deep[1300] = ",\"features\":[\"digest\",";
    for (size_t i = 0; i < 513; i++) { /* deeper than what is looked at */
        const size_t size = strlen(deep);
        (void)snprintf(deep + size, sizeof(deep) - size, "[");
    }
    for (size_t i = 0; i < 514; i++) {
        const size_t size = strlen(deep);
        (void)snprintf(deep + size, sizeof(deep) - size, "]");
    }
    assert_false(lists_digest(deep));
}

static void good_urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        const char *port;
        const char *path;
        const char *authority;
    } cases[] = {
        {CLIENT_URL_DEFAULT, "127.0.0.1", "8470", "/v1/ws", "127.0.0.1:8470"},
        {"ws://example.org", "example.org", "80", "/v1/ws", "example.org"},
        {"ws://[::1]:9/", "::1", "9", "/v1/ws", "[::1]:9"},
        {"ws://h:65535/a/b?c=d", "h", "65535", "/a/b?c=d", "h:65535"},
        {"ws://h?c=d", "h", "80", "/v1/ws?c=d", "h"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client_url url;
        const char *why = NULL;
        assert_int_equal(client_url_parse(cases[i].text, &url, &why), RC_OK);
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
        assert_string_equal(url.authority, cases[i].authority);
    }
}

static void bad_urls_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const texts[] = {"",          "http://h",        "wss://h",   "ws://",
                                        "ws://:80",  "ws://h:",         "ws://h:0",  "ws://h:65536",
                                        "ws://h:8x", "ws://u@h/",       "ws://[::1", "ws://[]:1",
                                        "ws://a b/", "ws://h/\r\nX: y", "ws://h/#f", "ws:/h"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct client_url url;
        const char *why = NULL;
        assert_int_equal(client_url_parse(texts[i], &url, &why), RC_BAD);
        assert_non_null(why);
    }
}

/* [WS 1.3] the nonce and the answer of the RFC's own example. */
static const uint8_t nonce[] = "the sample nonce";
#define STATUS   "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE  "Upgrade: websocket\r\n"
#define CONNECT  "Connection: Upgrade\r\n"
#define ACCEPT   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: seriatim.v1.json\r\n"

static void the_request_carries_the_key_and_the_subprotocol(void **state)
{
    (void)state;
    struct client_url url;
    const char *why = NULL;
    struct buf to = {0};
    assert_int_equal(client_url_parse("ws://h:81/x", &url, &why), RC_OK);
    assert_int_equal(upgrade_request(&to, &url, WIRE_JSON, nonce), RC_OK);
    assert_int_equal(buf_append(&to, bytes_of("", 1)), RC_OK);
    const char *text = (const char *)to.data;
    assert_ptr_equal(strstr(text, "GET /x HTTP/1.1\r\nHost: h:81\r\n"), text);
    assert_non_null(strstr(text, "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
    assert_non_null(strstr(text, "\r\nSec-WebSocket-Protocol: seriatim.v1.json\r\n"));
    assert_non_null(strstr(text, "\r\n\r\n"));
    buf_deinit(&to);
}

static void a_good_response_is_taken_at_every_cut(void **state)
{
    (void)state;
    static const char text[] = STATUS "x: y\r\nupgrade: WebSocket\r\nCONNECTION: keep-alive , "
                                      "upgrade\r\n" ACCEPT PROTOCOL "\r\n"
                                      "\x81\x00";
    const size_t head = sizeof(text) - 1 - 2;
    char why[UPGRADE_WHY_SIZE];
    size_t used = 0;
    for (size_t size = 0; size < head; size++) {
        assert_int_equal(upgrade_check(bytes_of(text, size), WIRE_JSON, nonce, why, &used),
                         RC_AGAIN);
    }
    assert_int_equal(upgrade_check(bytes_of(text, sizeof(text) - 1), WIRE_JSON, nonce, why, &used),
                     RC_OK);
    assert_int_equal(used, head);
}

static void bad_responses_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum rc rc;
        const char *why;
    } cases[] = {
        {"HTTP/1.0 101 x\r\n" UPGRADE CONNECT ACCEPT PROTOCOL "\r\n", RC_PROTOCOL, "HTTP/1.1"},
        {"SSH-2.0-x\r\n", RC_PROTOCOL, "HTTP/1.1"},
        {"HTTP/1.1 abc\r\n\r\n", RC_PROTOCOL, "no status"},
        {STATUS CONNECT ACCEPT PROTOCOL "\r\n", RC_PROTOCOL, "Upgrade: websocket"},
        {STATUS UPGRADE ACCEPT PROTOCOL "\r\n", RC_PROTOCOL, "Connection: Upgrade"},
        {STATUS UPGRADE CONNECT PROTOCOL "\r\n", RC_PROTOCOL, "Sec-WebSocket-Accept"},
        {STATUS UPGRADE CONNECT ACCEPT ACCEPT PROTOCOL "\r\n", RC_PROTOCOL, "Sec-WebSocket-Accept"},
        {STATUS UPGRADE CONNECT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n" PROTOCOL
                                "\r\n",
         RC_PROTOCOL, "Sec-WebSocket-Accept"},
        {STATUS UPGRADE CONNECT ACCEPT "\r\n", RC_PROTOCOL, "seriatim.v1.json"},
        {STATUS UPGRADE CONNECT ACCEPT "Sec-WebSocket-Protocol: mqtt\r\n\r\n", RC_PROTOCOL,
         "seriatim.v1.json"},
        {STATUS UPGRADE CONNECT ACCEPT PROTOCOL
         "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
         RC_PROTOCOL, "extension"},
        {"HTTP/1.1 404 Not Found\r\n\r\nno\x1b", RC_DENIED, "HTTP 404 no "},
        {"HTTP/1.1 503 x\r\n\r\n", RC_CLOSED, "HTTP 503"},
        {"HTTP/1.1 429 x\r\n\r\n", RC_CLOSED, "HTTP 429"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char why[UPGRADE_WHY_SIZE] = "";
        size_t used = 77;
        assert_int_equal(upgrade_check(bytes_of_text(cases[i].text), WIRE_JSON, nonce, why, &used),
                         cases[i].rc);
        assert_non_null(strstr(why, cases[i].why));
        assert_null(strchr(why, '\x1b'));
        assert_int_equal(used, 77);
    }
}

static void a_response_without_an_end_is_refused(void **state)
{
    (void)state;
    struct buf text = {0};
    char why[UPGRADE_WHY_SIZE];
    size_t used;
    assert_int_equal(buf_append(&text, BYTES_LITERAL(STATUS)), RC_OK);
    while (text.size <= UPGRADE_HEAD_MAX) {
        assert_int_equal(upgrade_check(buf_bytes(&text), WIRE_JSON, nonce, why, &used), RC_AGAIN);
        assert_int_equal(buf_append(&text, BYTES_LITERAL("x: 123456789012345678901234567\r\n")),
                         RC_OK);
    }
    assert_int_equal(upgrade_check(buf_bytes(&text), WIRE_JSON, nonce, why, &used), RC_PROTOCOL);
    buf_deinit(&text);
}

static void the_backoff_doubles_up_to_its_end_and_is_drawn(void **state)
{
    (void)state;
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        uint64_t whole = 100;
        for (unsigned i = 0; i < attempt && whole < 5000; i++) {
            whole *= 2;
        }
        whole = whole < 5000 ? whole : 5000;
        assert_int_equal(link_jitter_ms(attempt, 0), 1);
        assert_int_equal(link_jitter_ms(attempt, whole - 1), whole);
        assert_int_equal(link_jitter_ms(attempt, whole), 1);
    }
}

static void a_member_without_a_value_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"type\":}", "{\"type\":\"pong\",\"seq\":01}",
                                        "{\"type\":\"pong\",\"x\":}", "{\"type\":\"pong\",\"x\"}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct client_message m;
        assert_int_equal(client_message_parse(bytes_of_text(texts[i]), &m), RC_BAD);
        assert_int_equal(client_message_parse_element(bytes_of_text(texts[i]), &m), RC_BAD);
    }
}

static void an_escaped_text_is_compared_with_what_it_stands_for(void **state)
{
    (void)state;
    struct client_message m;
    char text[2600];
    assert_int_equal(client_message_parse(BYTES_LITERAL("{\"type\":\"\\ud800\"}"), &m), RC_OK);
    assert_false(client_message_is(&m, CLIENT_FIELD_TYPE, BYTES_LITERAL("\\ud800")));
    /* Longer than any name that is compared, even with each byte escaped. */
    (void)snprintf(text, sizeof(text), "{\"type\":\"\\u0041%02400d\"}", 0);
    assert_int_equal(client_message_parse(bytes_of_text(text), &m), RC_OK);
    assert_false(client_message_is(&m, CLIENT_FIELD_TYPE, BYTES_LITERAL("A")));
    (void)snprintf(text, sizeof(text), "{\"type\":\"\\u0041%0254d\"}", 0);
    assert_int_equal(client_message_parse(bytes_of_text(text), &m), RC_OK);
    char wanted[300];
    (void)snprintf(wanted, sizeof(wanted), "A%0254d", 0);
    assert_true(client_message_is(&m, CLIENT_FIELD_TYPE, bytes_of_text(wanted)));
}

static void what_is_shown_fits_and_controls_no_terminal(void **state)
{
    (void)state;
    struct client_message m;
    char text[6];
    assert_int_equal(
        client_message_parse(BYTES_LITERAL("{\"type\":\"a\x7f[2Jxyz\",\"code\":\"ab\"}"), &m),
        RC_OK);
    client_message_show(&m, CLIENT_FIELD_TYPE, text, sizeof(text));
    assert_string_equal(text, "a?[2J");
    client_message_show(&m, CLIENT_FIELD_CODE, text, sizeof(text));
    assert_string_equal(text, "ab");
    client_message_show(&m, CLIENT_FIELD_REASON, text, sizeof(text));
    assert_string_equal(text, "");
}

static void parts_of_a_url_may_not_be_too_long_or_odd(void **state)
{
    (void)state;
    struct client_url url;
    char text[700];
    const char *why;
    /* The longest that are taken, and one more. */
    for (int more = 0; more < 2; more++) {
        why = NULL;
        (void)snprintf(text, sizeof(text), "ws://%0*d:65535/", 255 + more, 0);
        assert_int_equal(client_url_parse(text, &url, &why), more == 0 ? RC_OK : RC_BAD);
        assert_true(more == 0 || strstr(why, "it needs a host") != NULL);
        (void)snprintf(text, sizeof(text), "ws://h/%0*d", 510 + more, 0);
        assert_int_equal(client_url_parse(text, &url, &why), more == 0 ? RC_OK : RC_BAD);
        assert_true(more == 0 || strstr(why, "its path is too long") != NULL);
    }
    static const char odd[] = {'"', '<', '>', '\\', '#', 0x7F, ' ', 0x1F, (char)0xC3};
    for (size_t i = 0; i < sizeof(odd); i++) {
        (void)snprintf(text, sizeof(text), "ws://h/%c", odd[i]);
        assert_int_equal(client_url_parse(text, &url, &why), RC_BAD);
        assert_non_null(strstr(why, "a character that no URL has"));
    }
    static const char *const bad[] = {"ws://h:-1", "ws://h:/",  "ws://h:655350", "ws://h:99999",
                                      "ws://[",    "ws://[:80", "ws://[a]b:80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(client_url_parse(bad[i], &url, &why), RC_BAD);
        assert_non_null(strstr(why, "it needs a host"));
    }
}

static void fields_are_read_as_http_has_them(void **state)
{
    (void)state;
    static const char good[] =
        STATUS "upgrade: \t websocket \t\r\nCONNECTION:\tkeep-alive, \t"
               "upgrade \r\nabcdefghij: x\r\nno colon\r\n" ACCEPT PROTOCOL "\r\n";
    char why[UPGRADE_WHY_SIZE] = "";
    size_t used = 0;
    assert_int_equal(upgrade_check(bytes_of_text(good), WIRE_JSON, nonce, why, &used), RC_OK);
    assert_int_equal(used, sizeof(good) - 1);
    static const char *const bad[] = {
        STATUS "upgrade: websockex\r\n" CONNECT ACCEPT PROTOCOL "\r\n",
        STATUS "upgrade:\r\n" CONNECT ACCEPT PROTOCOL "\r\n",
        STATUS UPGRADE "Connection: \t\r\n" ACCEPT PROTOCOL "\r\n",
        STATUS UPGRADE "Connection: upgrades, up\r\n" ACCEPT PROTOCOL "\r\n",
        "HTTP/1.1 1 1\r\n\r\n",
        "HTTP/1.1 -01 x\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(upgrade_check(bytes_of_text(bad[i]), WIRE_JSON, nonce, why, &used),
                         RC_PROTOCOL);
    }
}

static void of_a_long_refusal_the_beginning_is_told(void **state)
{
    (void)state;
    char text[600];
    char why[UPGRADE_WHY_SIZE] = "";
    size_t used = 0;
    (void)snprintf(text, sizeof(text), "HTTP/1.1 403 x\r\n\r\nno\x7f\n\xC3%0400d", 0);
    assert_int_equal(upgrade_check(bytes_of_text(text), WIRE_JSON, nonce, why, &used), RC_DENIED);
    assert_ptr_equal(strstr(why, "the server answers HTTP 403 no   000"), why);
    assert_int_equal(strlen(why), sizeof(why) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_whatever_their_order),
        cmocka_unit_test(bad_objects_are_refused),
        cmocka_unit_test(what_is_unknown_or_ill_typed_is_not_taken_for_something),
        cmocka_unit_test(a_list_holds_what_stands_in_it_and_nothing_else),
        cmocka_unit_test(good_urls_are_taken_apart),
        cmocka_unit_test(bad_urls_are_refused_with_a_reason),
        cmocka_unit_test(the_request_carries_the_key_and_the_subprotocol),
        cmocka_unit_test(a_good_response_is_taken_at_every_cut),
        cmocka_unit_test(bad_responses_are_refused_with_a_reason),
        cmocka_unit_test(a_response_without_an_end_is_refused),
        cmocka_unit_test(the_backoff_doubles_up_to_its_end_and_is_drawn),
        cmocka_unit_test(a_member_without_a_value_is_refused),
        cmocka_unit_test(an_escaped_text_is_compared_with_what_it_stands_for),
        cmocka_unit_test(what_is_shown_fits_and_controls_no_terminal),
        cmocka_unit_test(parts_of_a_url_may_not_be_too_long_or_odd),
        cmocka_unit_test(fields_are_read_as_http_has_them),
        cmocka_unit_test(of_a_long_refusal_the_beginning_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
