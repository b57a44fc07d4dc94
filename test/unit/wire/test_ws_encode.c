/* Goal: frames out are byte for byte what RFC 6455 shows, lengths in their shortest form.
 * Method: the examples of [WS 5.7], every edge of the three forms, close frames and codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "wire/ws.h"

static void assert_bytes(const uint8_t *got, size_t got_size, struct bytes expected)
{
    assert_int_equal(got_size, expected.size);
    assert_memory_equal(got, expected.data, expected.size);
}

static void the_examples_of_the_rfc_are_encoded_alike(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(ws_frame_append(&out, WS_TEXT, BYTES_LITERAL("Hello")), RC_OK);
    assert_bytes(out.data, out.size, BYTES_LITERAL("\x81\x05Hello"));
    buf_clear(&out);
    assert_int_equal(ws_frame_append(&out, WS_PING, BYTES_LITERAL("Hello")), RC_OK);
    assert_bytes(out.data, out.size, BYTES_LITERAL("\x89\x05Hello"));
    buf_deinit(&out);

    uint8_t head[WS_HEADER_SIZE_MAX];
    const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    assert_bytes(head, ws_header_encode(head, WS_TEXT, 5, mask),
                 BYTES_LITERAL("\x81\x85\x37\xFA\x21\x3D"));
    assert_bytes(head, ws_header_encode_fragment(head, WS_TEXT, false, 3, NULL),
                 BYTES_LITERAL("\x01\x03"));
    assert_bytes(head, ws_header_encode_fragment(head, WS_CONTINUATION, true, 2, NULL),
                 BYTES_LITERAL("\x80\x02"));
}

static void lengths_take_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        struct bytes head;
    } rows[] = {
        {0, BYTES_LITERAL("\x82\x00")},
        {125, BYTES_LITERAL("\x82\x7D")},
        {126, BYTES_LITERAL("\x82\x7E\x00\x7E")},
        {256, BYTES_LITERAL("\x82\x7E\x01\x00")},
        {65535, BYTES_LITERAL("\x82\x7E\xFF\xFF")},
        {65536, BYTES_LITERAL("\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00")},
        {UINT64_C(1) << 40, BYTES_LITERAL("\x82\x7F\x00\x00\x01\x00\x00\x00\x00\x00")},
        {INT64_MAX, BYTES_LITERAL("\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t head[WS_HEADER_SIZE_MAX];
        assert_bytes(head, ws_header_encode(head, WS_BINARY, rows[i].size, NULL), rows[i].head);
    }
}

static void a_close_frame_carries_its_code_and_text(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(ws_close_append(&out, WS_CLOSE_NORMAL, "bye"), RC_OK);
    assert_bytes(out.data, out.size,
                 BYTES_LITERAL("\x88\x05\x03\xE8"
                               "bye"));
    buf_clear(&out);
    assert_int_equal(ws_close_append(&out, WS_CLOSE_BAD_REQUEST, NULL), RC_OK);
    assert_bytes(out.data, out.size, BYTES_LITERAL("\x88\x02\x11\x30"));
    buf_clear(&out);
    assert_int_equal(ws_close_append(&out, WS_CLOSE_NO_STATUS, "not sent"), RC_OK);
    assert_bytes(out.data, out.size, BYTES_LITERAL("\x88\x00"));
    buf_deinit(&out);
}

static void a_long_close_text_is_cut_between_characters(void **state)
{
    (void)state;
    char text[200];
    for (size_t lead = 0; lead < 4; lead++) {
        /* Three-byte characters: the limit of 123 falls inside one for two of three shifts. */
        memset(text, 'x', lead);
        for (size_t i = lead; i + 3 < sizeof(text); i += 3) {
            memcpy(text + i, "\xE2\x82\xAC", 4);
        }
        struct buf out = {0};
        assert_int_equal(ws_close_append(&out, WS_CLOSE_POLICY, text), RC_OK);
        const size_t text_size = out.size - 4;
        assert_int_equal(out.data[1], text_size + 2);
        assert_true(text_size <= 123 && text_size > 120);
        assert_true(utf8_valid(bytes_of(out.data + 4, text_size)));
        assert_memory_equal(out.data + 4, text, text_size);
        buf_deinit(&out);
    }
}

/* Not UTF-8, so there is no place between two characters; but a frame all the same. */
static void a_close_text_of_nothing_but_continuation_bytes_is_left_out(void **state)
{
    (void)state;
    char text[200];
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        text[i] = '\x80';
    }
    text[sizeof(text) - 1] = '\0';
    struct buf out = {0};
    assert_int_equal(ws_close_append(&out, WS_CLOSE_POLICY, text), RC_OK);
    assert_int_equal(out.size, 4);
    assert_memory_equal(out.data, "\x88\x02\x03\xf0", 4);
    buf_deinit(&out);
}

static void only_codes_that_may_be_on_the_wire_are_valid(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        const bool expected = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                              (code >= 3000 && code <= 4999);
        assert_int_equal(ws_close_code_valid((uint16_t)code), expected);
    }
}

static void out_of_memory_leaves_the_output_as_it_was(void **state)
{
    (void)state;
    struct buf out = {0};
    mem_fault_set(1, 0);
    assert_int_equal(ws_frame_append(&out, WS_TEXT, BYTES_LITERAL("Hello")), RC_NOMEM);
    mem_fault_set(0, 0);
    assert_int_equal(out.size, 0);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc_are_encoded_alike),
        cmocka_unit_test(lengths_take_their_shortest_form),
        cmocka_unit_test(a_close_frame_carries_its_code_and_text),
        cmocka_unit_test(a_long_close_text_is_cut_between_characters),
        cmocka_unit_test(a_close_text_of_nothing_but_continuation_bytes_is_left_out),
        cmocka_unit_test(only_codes_that_may_be_on_the_wire_are_valid),
        cmocka_unit_test(out_of_memory_leaves_the_output_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
