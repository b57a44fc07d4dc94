/* bench/websocket: frames as our own server writes and reads them.
 * Method: against the encoder and the decoder of src/wire. */
#include "bench/websocket.h"

#include "base/mem.h"
#include "client/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 300000};

static void a_servers_frame_is_taken_apart_and_never_too_early(void **state)
{
    (void)state;
    uint8_t *payload = calloc(1, 300000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct buf frame = {0};
        struct websocket_frame got;
        assert_int_equal(ws_frame_append(&frame, WS_BINARY, bytes_of(payload, sizes[i])), RC_OK);
        const size_t whole = frame.size;
        for (size_t cut = 0; cut < whole; cut = cut < 20 ? cut + 1 : whole) {
            assert_int_equal(websocket_frame(bytes_of(frame.data, cut), &got), RC_AGAIN);
        }
        assert_int_equal(websocket_frame(bytes_of(frame.data, whole - 1), &got), RC_AGAIN);
        /* The header alone says what it will be. */
        assert_int_equal(websocket_header(bytes_of(frame.data, whole - sizes[i]), &got), RC_OK);
        assert_int_equal(got.size, whole);
        assert_ptr_equal(got.payload.data, frame.data + whole - sizes[i]);
        assert_int_equal(ws_frame_append(&frame, WS_TEXT, BYTES_LITERAL("next")), RC_OK);
        assert_int_equal(websocket_frame(buf_bytes(&frame), &got), RC_OK);
        assert_int_equal(got.opcode, WS_BINARY);
        assert_int_equal(got.size, whole);
        assert_int_equal(got.payload.size, sizes[i]);
        assert_ptr_equal(got.payload.data, frame.data + whole - sizes[i]);
        buf_deinit(&frame);
    }
    free(payload);
}

static void what_no_server_may_send_is_refused(void **state)
{
    (void)state;
    static const uint8_t bad[][10] = {
        {0x01, 0x01, 'a'},                      /* not the last fragment */
        {0xC1, 0x01, 'a'},                      /* a reserved bit */
        {0x81, 0x81, 0, 0, 0, 0},               /* masked */
        {0x82, 127, 0, 0, 0, 0, 0x10, 0, 0, 0}, /* 256 MiB */
        {0x89, 126, 0, 126, 'a'},               /* a control frame of more than 125 */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct websocket_frame got;
        assert_int_equal(websocket_frame(bytes_of(bad[i], 10), &got), RC_PROTOCOL);
    }
}

static void our_frame_is_what_a_server_reads(void **state)
{
    (void)state;
    static const struct ws_limits limits = {.message_bytes = 1 << 20};
    uint8_t *payload = calloc(1, 300000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ws_decoder decoder;
        struct ws_event event;
        struct buf frame = {0};
        size_t used = 0;
        ws_decoder_init(&decoder, WS_SERVER);
        for (size_t k = 0; k < sizes[i]; k++) {
            payload[k] = (uint8_t)('a' + k % 26);
        }
        assert_int_equal(websocket_append(&frame, WS_TEXT, bytes_of(payload, sizes[i]), 0x81F01234),
                         RC_OK);
        assert_int_equal(frame.size, websocket_head_size(sizes[i]) + sizes[i]);
        ws_decoder_feed(&decoder, &limits, frame.data, frame.size, &used, &event);
        assert_int_equal(event.type, WS_EVENT_MESSAGE);
        assert_int_equal(used, frame.size);
        assert_true(bytes_equal(event.payload, bytes_of(payload, sizes[i])));
        ws_decoder_deinit(&decoder);
        buf_deinit(&frame);
    }
    free(payload);
}

static void an_upgrade_is_waited_for_and_a_refusal_is_one(void **state)
{
    (void)state;
    static const char good[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    size_t used = 0;
    for (size_t cut = 0; cut + 1 < sizeof(good); cut++) {
        assert_int_equal(websocket_response(bytes_of(good, cut), &used), RC_AGAIN);
    }
    assert_int_equal(websocket_response(BYTES_LITERAL("HTTP/1.1 101 x\r\n\r\n\x81"), &used), RC_OK);
    assert_int_equal(used, 18);
    assert_int_equal(websocket_response(BYTES_LITERAL("HTTP/1.1 503 x\r\n\r\n"), &used), RC_DENIED);
    assert_int_equal(websocket_response(BYTES_LITERAL("\r\n\r\n"), &used), RC_DENIED);
}

static void the_request_names_host_path_and_protocol(void **state)
{
    (void)state;
    struct client_url url;
    const char *why = NULL;
    assert_int_equal(client_url_parse("ws://127.0.0.1:99/x?y", &url, &why), RC_OK);
    struct buf text = {0};
    assert_int_equal(websocket_request(&text, &url, "some.protocol"), RC_OK);
    assert_int_equal(buf_append(&text, bytes_of("", 1)), RC_OK);
    const char *head = (const char *)text.data;
    assert_ptr_equal(strstr(head, "GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:99\r\n"), head);
    assert_non_null(strstr(head, "\r\nSec-WebSocket-Protocol: some.protocol\r\n\r\n"));
    buf_clear(&text);
    assert_int_equal(websocket_request(&text, &url, NULL), RC_OK);
    assert_int_equal(buf_append(&text, bytes_of("", 1)), RC_OK);
    assert_null(strstr((const char *)text.data, "Protocol:"));
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_servers_frame_is_taken_apart_and_never_too_early),
        cmocka_unit_test(what_no_server_may_send_is_refused),
        cmocka_unit_test(our_frame_is_what_a_server_reads),
        cmocka_unit_test(an_upgrade_is_waited_for_and_a_refusal_is_one),
        cmocka_unit_test(the_request_names_host_path_and_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
